"""Running programs: real ones."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import psutil
import pytest

from aidp_ext.core import proc
from aidp_ext.core.errors import ProcessError, ProcessTimeout, ProgramNotFound
from tests.support.processes import wait_until

# A program with a child of its own that would outlive it; it writes the child's id.
PARENT = (
    "import subprocess, sys, time; c = subprocess.Popen(['sleep', '300']); print(c.pid, flush=True); time.sleep(300)"
)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def test_it_returns_what_was_printed() -> None:
    done = await proc.run(python("import sys; print('out'); print('err', file=sys.stderr)"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "err\n")


async def test_arguments_are_never_read_by_a_shell() -> None:
    done = await proc.run(["echo", "$HOME; rm -rf x", "--", "a b"])
    assert done.stdout == "$HOME; rm -rf x -- a b\n"


async def test_stdin_reaches_the_program_and_is_empty_by_default() -> None:
    read = python("import sys; print(repr(sys.stdin.read()))")
    assert (await proc.run(read, stdin=b"hello")).stdout == "'hello'\n"
    assert (await proc.run(read)).stdout == "''\n"


async def test_a_failure_carries_its_last_words() -> None:
    with pytest.raises(ProcessError, match=r"\(3\): it broke") as failed:
        await proc.run(python("import sys; print('it broke', file=sys.stderr); sys.exit(3)"))
    assert failed.value.details["returncode"] == 3
    assert (await proc.run(["false"], check=False)).returncode == 1


async def test_a_missing_program_and_a_missing_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ProgramNotFound, match="no-such-program"):
        await proc.run(["no-such-program"])
    with pytest.raises(ProcessError, match="no folder gone") as failed:
        await proc.run(["true"], cwd=tmp_path / "gone")
    assert not isinstance(failed.value, ProgramNotFound)


async def test_secrets_are_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "JUPYTERHUB_API_TOKEN", "MY_SECRET", "DB_PASSWORD", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("KEYBOARD", "qwerty")
    shown = (await proc.run(["env"], env={"GIVEN_TOKEN": "on purpose"})).stdout
    assert "hunter2" not in shown
    assert "GIVEN_TOKEN=on purpose" in shown
    assert "KEYBOARD=qwerty" in shown
    assert f"HOME={os.environ['HOME']}" in shown


async def test_lines_come_as_they_are_written() -> None:
    slow = python(
        "import time\nfor n in range(3):\n print(n, end='\\r' if n == 1 else '\\n', flush=True)\ntime.sleep(300)"
    )
    lines = proc.lines(slow)
    assert [await anext(lines) for _ in range(2)] == ["0", "1"]  # while it is still running
    await lines.aclose()  # type: ignore[attr-defined]


async def test_lines_end_with_the_error_of_the_program() -> None:
    seen = []
    with pytest.raises(ProcessError, match=r"\(1\): fatal"):
        async for line in proc.lines(python("print('working'); raise SystemExit(print('fatal') or 1)")):
            seen.append(line)
    assert seen == ["working", "fatal"]


async def test_a_timeout_ends_the_whole_group(tmp_path: Path) -> None:
    with pytest.raises(ProcessTimeout):
        await proc.run(["sh", "-c", f"sleep 300 & echo $! > {tmp_path}/pid; wait"], timeout_s=0.5)
    assert_gone(int((tmp_path / "pid").read_text()))


async def test_cancelling_ends_the_whole_group() -> None:
    lines = proc.lines(python(PARENT))
    child = int(await anext(lines))
    waiting = asyncio.ensure_future(anext(lines))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await lines.aclose()  # type: ignore[attr-defined]
    assert_gone(child)


async def test_a_child_left_behind_by_a_finished_program_is_ended(tmp_path: Path) -> None:
    await proc.run(["sh", "-c", f"sleep 300 >/dev/null 2>&1 & echo $! > {tmp_path}/pid"])
    assert_gone(int((tmp_path / "pid").read_text()))


def assert_gone(pid: int) -> None:
    def gone() -> bool:
        return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

    wait_until(gone, f"process {pid} ends")


async def test_a_line_without_end_comes_in_parts() -> None:
    code = "import sys; sys.stdout.write('x' * 3_000_000); print(); print('end')"
    parts = [line async for line in proc.lines(python(code))]
    assert max(map(len, parts)) < 2_000_000
    assert "".join(parts) == "x" * 3_000_000 + "end"
