"""In a kernel: notes each cell that runs, in a file that only the user can read. The server reads it from there.

It is loaded at the start of each kernel of the server's environment, so it imports next to nothing.
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

from aidp_ext.experiments.lineage import process, threads
from aidp_ext.experiments.lineage.threads import Cell

FOLDER = "AIDP_KERNEL_LOG"
#: By which a child process knows the cell that started it: the kernel's id and the cell's number.
CELL = "AIDP_CELL"
#: The most characters of a cell that are kept, and the most bytes of all: a notebook's code is a thousandth of it.
MOST_SOURCE, MOST_BYTES = 1_000_000, 32_000_000

_ID = re.compile(r"kernel-([A-Za-z0-9_-]{1,64})\.json$")


class CellLog:
    """The cells of one kernel process, as lines of JSON: one when a cell begins, one when it has ended."""

    def __init__(self, folder: Path, kernel_id: str) -> None:
        """Begin it anew: what an earlier process of this kernel did is no part of this one's state."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        self._file: int | None = os.open(folder / f"{kernel_id}.jsonl", flags, 0o600)
        self._pid = os.getpid()
        self._bytes = 0
        self.add(kernel=kernel_id, process=process.identity(), at_ms=_now_ms())

    def add(self, **fields: Any) -> None:
        """Write a line. A full disk ends the log, not the cell; a fork of the kernel writes nothing."""
        if self._file is None or os.getpid() != self._pid:
            return
        if self._bytes > MOST_BYTES and "source" in fields:
            fields |= {"source": "", "is_cut": True}
        line = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n"
        self._bytes += len(line)
        try:
            os.write(self._file, line)
        except OSError:
            self.close()

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Hook:
    """What IPython calls before and after each cell."""

    def __init__(self, kernel_id: str, log: CellLog | None) -> None:
        self.kernel_id = kernel_id
        self.log = log
        self.is_busy = False
        self.was_interrupted = False

    def before(self, info: Any, count: int) -> None:
        """Note that a cell begins."""
        if not info.store_history:  # the front end's own question, which is in no notebook
            return
        self.is_busy, self.was_interrupted = True, False
        threads.begin(Cell(self.kernel_id, count, info.cell_id))
        os.environ[CELL] = f"{self.kernel_id}/{count}"
        if self.log is not None:
            source = str(info.raw_cell)
            cut = {"is_cut": True} if len(source) > MOST_SOURCE else {}
            self.log.add(count=count, cell_id=info.cell_id, source=source[:MOST_SOURCE], at_ms=_now_ms(), **cut)

    def after(self, result: Any, count: int) -> None:
        """Note how a cell ended."""
        if not result.info.store_history:
            return
        self.is_busy = False
        self.was_interrupted = isinstance(result.error_in_exec, KeyboardInterrupt)
        if self.log is not None:
            self.log.add(count=count, ok=bool(result.success), end_ms=_now_ms())


class Counter:
    """The number of the cell that runs, as the notebook shows it.

    IPython raises its counter before `pre_run_cell` since 9.16, and did it after the cell until then. By how much it is
    ahead is known for certain when the first cell has ended; until then the length of the history tells.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._open: list[int] = []  # what the counter said: a cell may run another one
        self._ahead: int | None = None

    def begin(self) -> int:
        """Return the number of the cell that begins."""
        said = int(self._shell.execution_count)
        self._open.append(said)
        if self._ahead is not None:
            return said - self._ahead
        return min(said, len(self._shell.history_manager.input_hist_raw))

    def end(self, count: int | None) -> int:
        """Return the number of the cell that ends; ``count`` is the one in its result, where it has one."""
        said = self._open.pop() if self._open else int(self._shell.execution_count)
        if count is not None:
            self._ahead = said - count
            return count
        return said - (self._ahead or 0)


_loaded: dict[str, Any] = {"hook": None, "undo": None}


def hook() -> Hook | None:
    """Return what was loaded into this kernel; None where nothing was."""
    found: Hook | None = _loaded["hook"]
    return found


def load(shell: Any) -> None:
    """Begin to note the cells of this kernel. Outside of a kernel nothing is done."""
    kernel_id = own_kernel_id()
    if kernel_id is None or hook() is not None:
        return
    log = None
    if folder := os.environ.get(FOLDER):
        try:
            log = CellLog(Path(folder), kernel_id)
        except OSError:  # runs are told of their cell all the same, by its number
            log = None
    new = Hook(kernel_id, log)
    counter = Counter(shell)

    def before(info: Any) -> None:
        new.before(info, counter.begin())

    def after(result: Any) -> None:
        new.after(result, counter.end(result.execution_count if result.info.store_history else None))

    shell.events.register("pre_run_cell", before)
    shell.events.register("post_run_cell", after)
    threads.install()

    def undo() -> None:
        shell.events.unregister("pre_run_cell", before)
        shell.events.unregister("post_run_cell", after)
        threads.remove()
        os.environ.pop(CELL, None)
        if log is not None:
            log.close()

    _loaded.update(hook=new, undo=undo)


def unload() -> None:
    """Note no more, and leave everything as it was."""
    if _loaded["undo"] is not None:
        _loaded["undo"]()
    _loaded.update(hook=None, undo=None)


def own_kernel_id() -> str | None:
    """Return the id of the kernel that this process is; None where it is none."""
    import sys

    application = sys.modules.get("ipykernel.kernelapp")
    if application is None or not application.IPKernelApp.initialized():
        return None
    found = _ID.search(str(application.IPKernelApp.instance().connection_file))
    return found[1] if found else None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
