"""Tells the hub that a server is in use while something works in it, though nobody does anything.

A hub stops servers that are idle. Jupyter counts requests and what kernels say, so a cell that computes in silence for
hours would look idle. Here that is looked into: kernels that are busy, jobs in terminals, and what kernels have started
or do in the background, which is seen by the processor time that it takes. In a container, where all that runs is the
user's, so is what has let go of its terminal or kernel (tmux, nohup, setsid).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

INTERVAL = "JUPYTERHUB_ACTIVITY_INTERVAL"
_USUAL_S, _LONGEST_S = 300.0, 60.0
#: Of one processor: what an idle kernel takes is a tenth of that.
_WORKS = 0.05


class Busy:
    """Looks now and then, and keeps the time of the last look at which something worked, where Jupyter looks for it."""

    def __init__(self, serverapp: Any, environment: Mapping[str, str] = os.environ) -> None:
        self._serverapp = serverapp
        self._is_needed = bool(environment.get("JUPYTERHUB_ACTIVITY_URL"))
        self._every_s = min(_LONGEST_S, float(environment.get(INTERVAL) or _USUAL_S) / 2)
        self._spent: dict[int, tuple[float, float]] = {}  # by process: when we looked, and its processor time by then
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look from now on, where a hub wants to know."""
        if self._is_needed:
            self._task = asyncio.create_task(self._look_on())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _look_on(self) -> None:
        while True:
            try:
                if self.look():
                    self._serverapp.web_app.settings["last_activity_times"]["aidp_busy"] = datetime.now(UTC)
            except Exception:
                self._serverapp.log.exception("what works in this server cannot be seen")
            await asyncio.sleep(self._every_s)

    def look(self) -> bool:
        """Return whether anything works now."""
        # all are looked at each time: processor time is of since the last look
        processes: list[int] = []
        kernels, jobs = self._kernels_work(processes), self._jobs_work(processes)
        self._forget_others(processes)
        return self._terminals_work() or kernels or jobs

    def _kernels_work(self, processes: list[int]) -> bool:
        """Whether a kernel is busy, or works in the background; ``processes`` gets what was looked at."""
        manager = self._serverapp.kernel_manager
        found = False
        for kernel_id in manager.list_kernel_ids():
            kernel = manager.get_kernel(kernel_id)
            is_busy = getattr(kernel, "execution_state", None) == "busy"
            pid = getattr(getattr(kernel, "provisioner", None), "pid", None)
            if pid:
                processes.append(pid)
                if self._computes(pid) and not is_busy:
                    # A thread or a child of an idle one: without this, Jupyter would take the kernel for unused.
                    kernel.last_activity = datetime.now(UTC)
                    is_busy = True
            found = found or is_busy
        return found

    def _jobs_work(self, processes: list[int]) -> bool:
        """Whether something computes that neither a kernel nor a terminal of this server holds any more."""
        jobs = [pid for pid in _let_go(self._lineage()) if pid not in processes]
        processes += jobs
        computing = [pid for pid in jobs if self._computes(pid)]
        return bool(computing)

    def _lineage(self) -> list[int]:
        """Return this server's process and those above it where it is in a container of its own, else nothing."""
        import psutil  # type: ignore[import-untyped]

        try:
            # an init that is a user's, as in a container; a machine's own is root's, with everybody's processes below
            is_ours = os.getuid() != 0 and psutil.Process(1).uids().real == os.getuid()
            return [os.getpid(), *(one.pid for one in psutil.Process().parents())] if is_ours else []
        except psutil.Error:
            return []

    def _terminals_work(self) -> bool:
        manager = self._serverapp.web_app.settings.get("terminal_manager")
        terminals = getattr(manager, "terminals", None) or {}
        return any(_has_children(getattr(getattr(one, "ptyproc", None), "pid", None)) for one in terminals.values())

    def _computes(self, pid: int) -> bool:
        now, spent = time.monotonic(), _processor_time(pid)
        before = self._spent.get(pid)
        self._spent[pid] = now, spent
        # A child that has ended meanwhile takes its time along: then there is less than before.
        return before is not None and now > before[0] and (spent - before[1]) / (now - before[0]) >= _WORKS

    def _forget_others(self, pids: Iterable[int]) -> None:
        there = set(pids)
        self._spent = {pid: known for pid, known in self._spent.items() if pid in there}


def _let_go(lineage: Sequence[int]) -> list[int]:
    """Return the processes that were handed on to one above the server, the first of ``lineage``, by their parents."""
    import psutil

    found: list[int] = []
    for pid in lineage[1:]:
        with contextlib.suppress(psutil.Error):
            found += [child.pid for child in psutil.Process(pid).children() if child.pid not in lineage]
    return found


def _has_children(pid: int | None) -> bool:
    import psutil

    if not pid:
        return False
    try:
        return any(child.status() != psutil.STATUS_ZOMBIE for child in psutil.Process(pid).children())
    except psutil.Error:
        return False


def _processor_time(pid: int) -> float:
    """Return the processor time, in seconds, of a process and of all below it."""
    import psutil

    total = 0.0
    try:
        family = [psutil.Process(pid)]
        family += family[0].children(recursive=True)
    except psutil.Error:
        return total
    for process in family:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total
