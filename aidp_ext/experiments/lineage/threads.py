"""To which cell running code belongs: kept in the tasks, callbacks, threads and executors that the cell began.

Tasks and callbacks of asyncio keep it by themselves, by a context variable. Threads do not, before Python 3.14; so
while a kernel has the extension, a thread notes at its start who started it, and a piece of work who submitted it.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

_MARK = "_aidp_cell"


@dataclass(frozen=True)
class Cell:
    """One execution of a cell."""

    kernel_id: str
    count: int
    id: str | None  # None where the front end does not say


_cell: ContextVar[Cell | None] = ContextVar("aidp_cell", default=None)
_state: dict[str, Any] = {"last": None, "undo": None}


def begin(cell: Cell) -> None:
    """Note that this cell begins now, in this context."""
    _cell.set(cell)
    _state["last"] = cell


def current() -> Cell | None:
    """Return the cell to which this code belongs.

    What nothing is known of, such as what a widget's button does, counts as the cell that ran last; None before one.
    """
    found: Cell | None = _cell.get() or getattr(threading.current_thread(), _MARK, None) or _state["last"]
    return found


def install() -> None:
    """Have threads and executors keep the cell, until :func:`remove`."""
    if _state["undo"] is None:
        undo = [_replace(threading.Thread, "start", _started), _replace(ThreadPoolExecutor, "submit", _submitted)]
        _state["undo"] = undo


def remove() -> None:
    """Leave threads and executors as they were, also where somebody else has wrapped them since."""
    for undo in _state["undo"] or ():
        undo()
    _state.update(undo=None, last=None)
    _cell.set(None)


def _replace(owner: Any, name: str, wrap: Callable[[Any, Callable[[], bool]], Any]) -> Callable[[], None]:
    original = vars(owner)[name]
    active = [True]
    wrapped = functools.wraps(original)(wrap(original, lambda: active[0]))
    setattr(owner, name, wrapped)

    def undo() -> None:
        active[0] = False  # where others hold on to it, it only passes on
        if vars(owner)[name] is wrapped:
            setattr(owner, name, original)

    return undo


def _started(original: Any, is_active: Callable[[], bool]) -> Any:
    def start(self: threading.Thread) -> None:
        if is_active() and (cell := current()) is not None:
            setattr(self, _MARK, cell)
        original(self)

    return start


def _submitted(original: Any, is_active: Callable[[], bool]) -> Any:
    def submit(self: ThreadPoolExecutor, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        cell = current() if is_active() else None
        return original(self, fn if cell is None else _Carried(cell, fn), *args, **kwargs)

    return submit


class _Carried:
    """A piece of work for a thread that other cells use too."""

    def __init__(self, cell: Cell, work: Callable[..., Any]) -> None:
        self._cell = cell
        self._work = work

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        _cell.set(self._cell)  # it stays: what waits for the result is called next, in this thread
        return self._work(*args, **kwargs)
