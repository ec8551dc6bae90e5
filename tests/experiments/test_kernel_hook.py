"""What runs in a kernel: its record of cells, the wraps of threads, and that all of it can be taken away again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aidp_ext.experiments.lineage import kernel, threads
from aidp_ext.experiments.lineage.kernel import CellLog, Hook
from aidp_ext.experiments.lineage.log import CellRun, read_cells
from aidp_ext.experiments.lineage.threads import Cell


@pytest.fixture
def wrapped() -> Iterator[None]:
    threads.install()
    yield
    threads.remove()


def info(source: str, cell_id: str | None = "c", store_history: bool = True) -> Any:
    return SimpleNamespace(raw_cell=source, cell_id=cell_id, store_history=store_history)


def result(about: Any, error: BaseException | None = None) -> Any:
    return SimpleNamespace(info=about, success=error is None, error_in_exec=error)


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    monkeypatch.setenv(kernel.CELL, "")
    log = CellLog(tmp_path / "logs", "k1")
    yield Hook("k1", log)
    log.close()
    threads.remove()


def cells(tmp_path: Path) -> list[CellRun]:
    found = read_cells(tmp_path / "logs", "k1", None)
    assert found is not None
    return found


def test_cells_are_noted_as_they_begin_and_end(hook: Hook, tmp_path: Path) -> None:
    first, second = info("x = 1"), info("é\n\ud800", None)
    hook.before(first, 1)
    assert cells(tmp_path) == [CellRun(1, "c", "x = 1", None)], "it runs"
    assert os.environ[kernel.CELL] == "k1/1"
    hook.after(result(first, ValueError()), 1)
    hook.before(second, 2)
    hook.after(result(second, KeyboardInterrupt()), 2)
    assert hook.was_interrupted and not hook.is_busy
    assert cells(tmp_path) == [CellRun(1, "c", "x = 1", False), CellRun(2, None, "é\n?", False)]


def test_what_the_front_end_asks_for_itself_is_no_cell(hook: Hook, tmp_path: Path) -> None:
    own = info("dir()", store_history=False)
    hook.before(own, 1)
    hook.after(result(own), 1)
    assert cells(tmp_path) == [] and threads.current() is None


def test_the_record_is_only_its_users_and_has_an_end(
    hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "logs" / "k1.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(kernel, "MOST_SOURCE", 10)
    monkeypatch.setattr(kernel, "MOST_BYTES", 2000)
    for count in range(1, 100):
        hook.before(info("x" * 50), count)
    found = cells(tmp_path)
    assert found[0] == CellRun(1, "c", "x" * 10, None, is_cut=True)
    assert found[-1] == CellRun(99, "c", "", None, is_cut=True), "that it ran is known"


def test_a_full_disk_ends_the_record_and_not_the_cell(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(kernel.os, "write", full)
        hook.before(info("x = 1"), 1)
    hook.before(info("x = 2"), 2)
    assert threads.current() == Cell("k1", 2, "c")


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "logs" / "k1.jsonl").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="k1"):
        CellLog(tmp_path / "logs", "k1")
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_thread_keeps_its_cell_and_a_pools_thread_that_of_its_work(wrapped: None) -> None:
    found: list[Cell | None] = []
    first, second = Cell("k", 1, "a"), Cell("k", 2, "b")
    threads.begin(first)
    go = threading.Event()
    thread = threading.Thread(target=lambda: (go.wait(10), found.append(threads.current())))
    thread.start()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(threads.current).result() == first
        threads.begin(second)
        assert pool.submit(threads.current).result() == second
        go.set()
        thread.join()
    assert found == [first]


def test_wraps_are_taken_away_also_from_below_somebody_elses() -> None:
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit
    threads.install()
    threads.install()
    ours = threading.Thread.start
    assert ours is not start

    def theirs(self: threading.Thread) -> None:
        ours(self)

    threading.Thread.start = theirs  # type: ignore[method-assign]
    try:
        threads.begin(Cell("k", 1, None))
        threads.remove()
        assert threading.Thread.start is theirs and ThreadPoolExecutor.submit is submit
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        assert not hasattr(thread, "_aidp_cell")
    finally:
        threading.Thread.start = start  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda a, *, b: a + b, 1, b=2).result() == 3


def test_the_start_of_a_kernel_loads_nothing_large() -> None:
    code = (
        "import sys; from aidp_ext.experiments.lineage import kernel, context\n"
        "large = {'mlflow', 'msgspec', 'aiohttp', 'sqlalchemy', 'tornado', 'pandas', 'numpy'}\n"
        "print(sorted(large & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.replace("'", '"')) == []


def test_outside_of_a_kernel_nothing_is_loaded() -> None:
    kernel.load(SimpleNamespace(events=None))
    assert kernel.hook() is None
    kernel.unload()


def test_a_cell_has_the_number_that_the_notebook_shows() -> None:
    script = """
from IPython.core.interactiveshell import InteractiveShell
from aidp_ext.experiments.lineage.kernel import Counter
shell = InteractiveShell()
shell.history_manager.enabled = False
counter, began, ended = Counter(shell), [], []
shell.events.register("pre_run_cell", lambda info: began.append(counter.begin()))
def end(result):
    shown = result.execution_count if result.info.store_history else None
    ended.append((counter.end(shown), shown))
shell.events.register("post_run_cell", end)
nested = "get_ipython().run_cell('3')"
for code, kept in (("1", True), ("hidden = 1", False), ("  ", True), ("1 +", True), (nested, True)):
    shell.run_cell(code, store_history=kept)
print([began[0], began[2], began[3]], [count for count, shown in ended if shown is not None])
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[1, 2, 3] [1, 2, 3]", told.stdout + told.stderr
