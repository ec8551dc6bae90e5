"""What goes wrong while the lineage of a run is kept: the run is never held up, and what is missing is said."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aidp_ext.core.errors import GitError, UpstreamUnreachable
from aidp_ext.experiment_parts import find_secrets, git_state
from aidp_ext.experiments.lineage import capture as capturing
from aidp_ext.experiments.lineage import environment, process
from aidp_ext.experiments.lineage.capture import Capture
from aidp_ext.experiments.lineage.evidence import GitState, Surroundings
from aidp_ext.experiments.lineage.secrets import patch_without_secrets, without_secrets
from aidp_ext.experiments.models import Written
from tests.git.repo import Repo
from tests.support.tracking import TrackingHost

TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
KEY = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA7bq0\n" * 12 + "-----END RSA PRIVATE KEY-----"


class Flaky:
    """The tracking server, which can be taken away; it notes what it was asked."""

    def __init__(self, real: Any, has_folder: bool = True) -> None:
        self._real = real
        self.is_away = False
        self.asked: list[tuple[str, Any]] = []
        self.artifacts = real.artifacts if has_folder else None

    @contextlib.asynccontextmanager
    async def request(self, method: str, path: str, **options: Any) -> AsyncIterator[Any]:
        self.asked.append((path, options.get("json")))
        if self.is_away:
            raise UpstreamUnreachable("The tracking server is away.")
        async with self._real.request(method, path, **options) as response:
            yield response


class Bench:
    """A capture with everything around it."""

    def __init__(self, tracking: TrackingHost, folder: Path, **changes: Any) -> None:
        self.tracking = tracking
        self.upstream = Flaky(tracking.upstream, has_folder=changes.pop("has_folder", True))
        self.logs = folder / "kernels"
        self.logs.mkdir(exist_ok=True)
        (folder / "work").mkdir(exist_ok=True)

        async def notebook_of(_: str) -> str | None:
            return None

        around = Surroundings(
            self.logs, folder / "spool", folder / "work", "ana", find_secrets, git_state, notebook_of, lambda _: True
        )
        self.spool = around.spool
        self.capture: Capture = tracking.run(self._begin(replace(around, **changes)))
        self.experiment = tracking.experiment(f"capture {folder.name} {os.urandom(3).hex()}")

    async def _begin(self, around: Surroundings) -> Capture:
        return Capture(self.upstream, around)  # type: ignore[arg-type]

    def log(self, *lines: dict[str, Any], kernel: str = "k1") -> None:
        """Write what a kernel noted of its cells."""
        head = {"kernel": kernel, "process": process.identity()}
        text = "".join(json.dumps(line) + "\n" for line in (head, *lines))
        (self.logs / f"{kernel}.jsonl").write_text(text)

    def start(self, **tags: str) -> str:
        """Begin a run as a kernel does."""
        own = {"aidp.process": json.dumps(process.identity()), "aidp.kernel.id": "k1", "aidp.cell.count": "1"}
        given = {**own, "aidp.notebook": "n.ipynb", **tags}
        body = {
            "experiment_id": self.experiment,
            "tags": [{"key": name, "value": value} for name, value in given.items() if value],
        }
        answer = self.tracking.post("runs/create", **body)
        self.tracking.run(
            self.capture.written(Written("POST", "/api/2.0/mlflow/runs/create", body, answer, 200, "ana"))
        )
        return str(answer["run"]["info"]["run_id"])

    def tags(self, run_id: str) -> dict[str, str]:
        self.tracking.run(self.capture.idle())
        return self.tracking.tags(run_id)

    def close(self) -> None:
        self.tracking.run(self.capture.close())


@pytest.fixture
def bench(tracking: TrackingHost, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tracking, tmp_path)
    yield made
    made.close()


CELL = {"count": 1, "cell_id": "c1", "source": "x = 1"}


def test_no_repository_is_no_fault(bench: Bench) -> None:
    bench.log(CELL)
    tags = bench.tags(bench.start())
    assert tags["aidp.captured"] == "done"
    assert tags["aidp.cell.source"] == "x = 1"
    assert not any("git" in name for name in tags)


def test_a_record_that_is_missing_damaged_or_of_another_process_is_said(bench: Bench) -> None:
    missing = "partly: the kernel's record of its cells is not there"
    assert bench.tags(bench.start())["aidp.captured"] == missing
    bench.log(CELL, kernel="k2")
    (bench.logs / "k2.jsonl").write_text((bench.logs / "k2.jsonl").read_text() + '{"count": 2, "sou')
    assert bench.tags(bench.start(**{"aidp.kernel.id": "k2"}))["aidp.captured"] == "done"
    other = {**process.identity(), "start": "1"}
    (bench.logs / "k3.jsonl").write_text(json.dumps({"kernel": "k3", "process": other}) + "\n")
    assert bench.tags(bench.start(**{"aidp.kernel.id": "k3"}))["aidp.captured"] == missing
    assert bench.tags(bench.start(**{"aidp.kernel.id": "../k3"}))["aidp.captured"] == missing


def test_clocks_that_differ_change_nothing(bench: Bench) -> None:
    bench.log({**CELL, "at_ms": 9_999_999_999_999}, {"count": 1, "ok": True, "end_ms": 5}, {**CELL, "count": 2})
    run_id = bench.start(**{"aidp.cell.count": "2"})
    bench.tags(run_id)
    cells = json.loads(bench.tracking.artifact(run_id, "cells.json") or b"")
    assert [(cell["count"], cell["ok"]) for cell in cells] == [(1, True), (2, None)]


def test_a_run_of_another_machine_is_not_described_by_this_one(bench: Bench) -> None:
    bench.log(CELL)
    told = {**process.identity(), "host": "elsewhere"}
    tags = bench.tags(bench.start(**{"aidp.process": json.dumps(told)}))
    assert tags["aidp.captured"].startswith("partly: it ran on another machine")
    assert "aidp.hardware" not in tags


def test_runs_that_aidp_did_not_start_and_what_was_refused_are_left_alone(bench: Bench) -> None:
    body = {"experiment_id": bench.experiment, "tags": [{"key": "mine", "value": "1"}]}
    answer = bench.tracking.post("runs/create", **body)
    for written in (
        Written("POST", "/api/2.0/mlflow/runs/create", body, answer, 200, "ana"),
        Written("POST", "/api/2.0/mlflow/runs/create", None, None, 200, "ana"),
        Written("POST", "/api/2.0/mlflow/runs/create", {"tags": "x"}, {"run": None}, 200, "ana"),
        Written("POST", "/api/2.0/mlflow/runs/create", {"tags": [{"key": "aidp.kernel.id"}]}, {}, 500, "ana"),
    ):
        bench.tracking.run(bench.capture.written(written))
    assert bench.upstream.asked == []


def test_the_whole_of_a_large_diff_is_not_kept(tracking: TrackingHost, tmp_path: Path) -> None:
    async def large(_: Path, most: int) -> GitState:
        return GitState(tmp_path, "a" * 40, None, None, True, b"diff --git a/x b/x\n+1\n", is_cut=True)

    bench = Bench(tracking, tmp_path, snapshot=large)
    tags = bench.tags(bench.start())
    assert "of the uncommitted changes at most 20 MB are kept" in tags["aidp.captured"]
    assert "mlflow.source.git.branch" not in tags, "HEAD is detached"
    bench.close()


def test_a_real_diff_of_many_megabytes_is_taken_in_pieces(tracking: TrackingHost, tmp_path: Path) -> None:
    repo = Repo.make(tmp_path / "work" / "proj")
    repo("config", "user.name", "Ana")
    repo("config", "user.email", "ana@example.org")
    repo.commit({"a.py": "x = 1\n"})
    for number in range(4):
        repo.write({f"data{number}.csv": "1,2,3,4,5,6,7,8,9\n" * 20_000, "a.py": f"x = 2\ntoken = '{TOKEN}'\n"})
    bench = Bench(tracking, tmp_path)
    run_id = bench.start(**{"aidp.notebook": "proj/n.ipynb"})
    tags = bench.tags(run_id)
    patch = bench.tracking.artifact(run_id, "uncommitted.patch") or b""
    assert len(patch) > 1_000_000 and TOKEN.encode() not in patch and tags["aidp.redacted"] == "true"
    repo("stash", "--include-untracked")
    (tmp_path / "p").write_bytes(patch)
    repo("apply", str(tmp_path / "p"))
    assert repo("status", "--porcelain").count("data") == 4, "it applies"
    bench.close()


@pytest.mark.parametrize(("files", "megabytes", "kept_mb"), [(1, 200, 0), (40, 5, 15)])
def test_of_200_mb_of_changes_some_are_kept_and_the_server_never_holds_them_all(
    tracking: TrackingHost, tmp_path: Path, files: int, megabytes: int, kept_mb: int
) -> None:
    repo = Repo.make(tmp_path / "work" / "proj")
    names = [f"data{number}.csv" for number in range(files)]
    repo.commit({"a.py": "x = 1\n", **dict.fromkeys(names, "a,b\n")})
    for name in names:
        (repo.root / name).write_bytes(b"1,2,3,4,5,6,7,8,9,10\n" * (megabytes * 10**6 // 21))
    repo.write({"a.py": "x = 2\n"})
    bench = Bench(tracking, tmp_path)
    bench.log(CELL)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run_id = bench.start(**{"aidp.notebook": "proj/n.ipynb"})
    tags = bench.tags(run_id)
    words = "of the uncommitted changes at most 20 MB are kept, and none of very large files"
    assert (tags["aidp.captured"], tags["aidp.git.dirty"]) == (f"partly: {words}", "true")
    patch = bench.tracking.artifact(run_id, "uncommitted.patch") or b""
    assert b"+x = 2" in patch
    assert kept_mb * 10**6 <= len(patch) <= 20_000_000
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 200, "the patch as bytes, as text and as what is left of it"
    bench.close()


def test_a_repository_in_which_git_is_at_work_is_read_all_the_same(tracking: TrackingHost, tmp_path: Path) -> None:
    repo = Repo.make(tmp_path / "work" / "proj")
    repo.commit({"a.py": "x = 1\n"})
    repo.write({"a.py": "x = 2\n"})
    (repo.root / ".git" / "index.lock").touch()  # as a commit holds it that waits for its editor
    bench = Bench(tracking, tmp_path)
    bench.log(CELL)
    run_id = bench.start(**{"aidp.notebook": "proj/n.ipynb"})
    assert bench.tags(run_id)["aidp.captured"] == "done"
    assert b"+x = 2" in (bench.tracking.artifact(run_id, "uncommitted.patch") or b"")
    assert (repo.root / ".git" / "index.lock").exists()
    bench.close()


def test_a_repository_that_cannot_be_read_is_said(tracking: TrackingHost, tmp_path: Path) -> None:
    async def broken(_: Path, most: int) -> GitState:
        raise GitError("The index is damaged.")

    bench = Bench(tracking, tmp_path, snapshot=broken)
    bench.log(CELL)
    tags = bench.tags(bench.start())
    assert tags["aidp.captured"] == "partly: Git: The index is damaged."
    assert tags["aidp.cell.source"] == "x = 1", "all else is there"
    bench.close()


def test_what_could_not_be_sent_is_sent_later_in_order_and_as_it_was(
    tracking: TrackingHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capturing, "_PAUSES_S", (0.05,))
    bench = Bench(tracking, tmp_path)
    bench.upstream.is_away = True
    bench.log(CELL)
    first = bench.start()
    tracking.run(_until(lambda: len(bench.upstream.asked) > 1))
    bench.log({**CELL, "source": "x = 22"})  # the kernel goes on; what belongs to the first run has been taken
    second = bench.start()
    bench.upstream.asked.clear()
    bench.upstream.is_away = False
    assert bench.tags(first)["aidp.cell.source"] == "x = 1"
    assert bench.tags(second)["aidp.cell.source"] == "x = 22"
    sent = [body["run_id"] for path, body in bench.upstream.asked if path.endswith("log-batch")]
    assert sent[-2:] == [first, second]
    bench.close()


def test_a_run_that_was_deleted_holds_up_no_other(bench: Bench) -> None:
    bench.log(CELL)
    answer = {"run": {"info": {"run_id": "0" * 32, "artifact_uri": "mlflow-artifacts:/0/0/artifacts"}}}
    body = {"tags": [{"key": "aidp.kernel.id", "value": "k1"}, {"key": "aidp.process", "value": "{}"}]}
    bench.tracking.run(bench.capture.written(Written("POST", "/api/2.0/mlflow/runs/create", body, answer, 200, "ana")))
    assert bench.tags(bench.start())["aidp.captured"] == "done"


def test_ending_does_not_wait_for_a_server_that_is_away(
    tracking: TrackingHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capturing, "_CLOSING_S", 0.2)
    bench = Bench(tracking, tmp_path)
    bench.upstream.is_away = True
    bench.start()
    bench.close()
    assert not bench.spool.exists()


def test_there_is_an_end_to_what_waits(tracking: TrackingHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capturing, "MOST_WAITING", 2)
    monkeypatch.setattr(capturing, "_CLOSING_S", 0.2)
    bench = Bench(tracking, tmp_path)
    bench.upstream.is_away = True
    for _ in range(4):
        bench.start()
    assert len(bench.capture._waiting) == 2
    bench.close()


def test_files_go_by_http_where_the_artifacts_are_elsewhere(tracking: TrackingHost, tmp_path: Path) -> None:
    bench = Bench(tracking, tmp_path, has_folder=False)
    bench.log(CELL)
    run_id = bench.start()
    assert bench.tags(run_id)["aidp.captured"] == "done"
    assert b"x = 1" in (bench.tracking.artifact(run_id, "cells.json") or b"")
    bench.close()


def test_packages_are_listed_once_and_their_credentials_are_not(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    key = environment.note(str(bench.logs))
    tags = bench.tags(bench.start(**{"aidp.environment": key}))
    assert "packages" not in tags["aidp.captured"]
    told = environment.read(bench.logs, key)
    assert told is not None and told["packages"]["msgspec"]
    assert "aidp-ext" in told["from"], "it was installed from a folder"
    text = environment.requirements({**told, "from": {"msgspec": "git+https://h/x@1", "numpy": "file:///x"}})
    assert "msgspec @ git+https://h/x@1" in text and "# numpy==" in text
    assert environment._origin(json.dumps({"url": "https://u:p@h/x", "vcs_info": {"vcs": "git"}})) == "git+https://h/x@"


def test_a_run_that_another_process_goes_on_with_is_not_ended(bench: Bench) -> None:
    gone = {**process.identity(), "start": "1"}
    run_id = bench.start(**{"aidp.process": json.dumps(gone)})
    rows = [(run_id, bench.tags(run_id))]
    reconciler = bench.capture.reconciler
    assert reconciler.ended_runs(rows), "its process is gone"
    bench.tracking.post("runs/set-tag", run_id=run_id, key="aidp.ended", value="process gone")
    body = {"run_id": run_id, "status": "RUNNING"}
    bench.tracking.post("runs/update", **body)
    bench.tracking.run(bench.capture.written(Written("POST", "/api/2.0/mlflow/runs/update", body, {}, 200, "ana")))
    assert "aidp.ended" not in bench.tags(run_id)
    assert bench.tracking.run(reconciler.reconcile(rows)) == [], "what was listed before is looked at again"
    assert bench.tracking.run_of(run_id)["info"]["status"] == "RUNNING"


# ---- secrets


async def test_a_secret_is_found_wherever_a_long_text_is_cut() -> None:
    for before in (0, 65_530, 65_536 - len(TOKEN), 65_560, 200_000):
        text = f"{'a = 1' * (before // 5)}\ntoken = '{TOKEN}'\n{'b = 2' * 1000}"
        clean, count = await without_secrets(text, find_secrets)
        assert count == 1 and TOKEN not in clean
        assert len(clean) > len(text) - 60


async def test_a_patch_keeps_its_lines_and_its_binary_files(tmp_path: Path) -> None:
    repo = Repo.make(tmp_path / "r")
    repo("config", "user.name", "Ana")
    repo("config", "user.email", "ana@example.org")
    repo.commit({"a.txt": "1\n"})
    image = os.urandom(3000)
    repo.write({"key.pem": f"{KEY}\nlast\n", "image.bin": image, "b.txt": f"token = '{TOKEN}'\n"})
    repo("add", "--all")
    patch = subprocess.run(["git", "diff", "--cached", "--binary"], cwd=repo.root, capture_output=True).stdout
    clean, count = await patch_without_secrets(patch, find_secrets)
    assert count >= 2 and TOKEN.encode() not in clean and b"MIIEp" not in clean
    repo("reset", "--hard")
    (tmp_path / "p").write_bytes(clean)
    repo("apply", str(tmp_path / "p"))
    assert (repo.root / "image.bin").read_bytes() == image
    assert (repo.root / "key.pem").read_text().endswith("last\n")


async def _until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)
