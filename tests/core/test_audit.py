"""The audit record: what is written cannot be changed without being seen."""

from __future__ import annotations

import json
import multiprocessing
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from aidp_ext.core.audit import AuditLog, verify
from aidp_ext.core.errors import StorageError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "aidp" / "audit.jsonl"


def three(path: Path) -> list[str]:
    log = AuditLog(path)
    for number in range(3):
        assert log.append("test.event", "ana", number=number)
    return path.read_text().splitlines()


def test_records_are_chained_and_private(path: Path) -> None:
    records = [json.loads(line) for line in three(path)]
    assert [r["seq"] for r in records] == [1, 2, 3]
    assert [r["prev"] for r in records] == ["0" * 64, records[0]["hash"], records[1]["hash"]]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert verify(path) == 3


def test_a_restart_continues_the_chain(path: Path) -> None:
    three(path)
    AuditLog(path).append("test.event", "ben")
    assert verify(path) == 4


@pytest.mark.parametrize(
    ("tamper", "line"),
    [
        (lambda lines: [lines[0], lines[1].replace('"number":1', '"number":9'), lines[2]], 2),
        (lambda lines: [lines[0], lines[2]], 2),
        (lambda lines: [lines[1], lines[2]], 1),
        (lambda lines: [lines[0], lines[0], lines[1], lines[2]], 2),
        (lambda lines: [lines[0], "not a record", lines[2]], 2),
    ],
    ids=["changed", "removed", "first removed", "inserted", "overwritten"],
)
def test_tampering_is_seen_at_its_line(path: Path, tamper: object, line: int) -> None:
    path.write_text("\n".join(tamper(three(path))) + "\n")  # type: ignore[operator]
    with pytest.raises(StorageError, match=f"line {line} "):
        verify(path)


@pytest.mark.parametrize("length", [1, 40, -1])
def test_half_a_record_of_a_process_that_was_killed_breaks_no_chain(path: Path, length: int) -> None:
    lines = three(path)
    path.write_text("\n".join(lines) + "\n" + lines[0][:length])
    assert verify(path) == 3
    assert AuditLog(path).append("test.event", "ana", number=3)
    last = json.loads(path.read_text().splitlines()[-1])
    assert (last["seq"], last["prev"]) == (4, json.loads(lines[2])["hash"])
    assert verify(path) == 4


FILL = """
import resource, sys
from pathlib import Path
from aidp_ext.core.audit import AuditLog
log = AuditLog(Path(sys.argv[1]))
assert log.append("test.event", "ana")
full = log.path.stat().st_size + 50
resource.setrlimit(resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
assert not log.append("test.event", "ana")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert log.append("test.event", "ana")
"""


def test_a_full_disk_leaves_no_half_record(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FILL, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert verify(path) == 2


def write_many(path: Path, actor: str) -> None:
    log = AuditLog(path)
    for number in range(200):
        log.append("test.event", actor, number=number)


def test_processes_may_write_at_the_same_time(path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=write_many, args=(path, name)) for name in ("ana", "ben", "cho")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert verify(path) == 600


def test_an_unwritable_place_is_said_once_and_harms_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    log = AuditLog(tmp_path / "file" / "audit.jsonl")
    assert [log.append("test.event", "ana") for _ in range(3)] == [False, False, False]
    assert len(caplog.records) == 1


def test_a_missing_record_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        verify(tmp_path / "none.jsonl")
