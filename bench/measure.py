"""CPU time and memory of a process as the operating system counts them, and the load that causes them."""

from __future__ import annotations

import asyncio
import ctypes
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class Cost:
    """What one piece of work cost the server."""

    cpu_ms: float
    wall_ms: float  # median as the client saw it
    per_s: float  # pieces done a second


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process and of its children, ended ones included.

    By the processes' own clocks (clock_getcpuclockid(3)): /proc counts in steps of 10 ms, which is all there is of
    children that have ended.
    """
    process = psutil.Process(pid)
    times = process.cpu_times()
    running = sum(_clock(child.pid) for child in process.children(recursive=True))
    ended: float = times.children_user + times.children_system
    return _clock(pid) + running + ended


def _clock(pid: int) -> float:
    clock = ctypes.c_int()
    if error := _LIBC.clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise ProcessLookupError(error, os.strerror(error))
    seconds: float = time.clock_gettime(clock.value)
    return seconds


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process in MB (10⁶ bytes)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise AssertionError("smaps_rollup has no Rss")


def rss_of_all_mb(pid: int) -> float:
    """Return the resident memory of a process and of its children, in MB (10⁶ bytes)."""
    return rss_mb(pid) + sum(rss_mb(child.pid) for child in psutil.Process(pid).children(recursive=True))


async def cost_of(pid: int, work: Callable[[], Awaitable[None]], count: int, concurrency: int) -> Cost:
    """Do ``work`` ``count`` times, ``concurrency`` of it at a time, and return what one cost the process ``pid``."""
    walls: list[float] = []
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            started = time.perf_counter()
            try:
                await work()
            except Exception as error:
                error.add_note(f"it was asked of {' '.join(psutil.Process(pid).cmdline())[:200]}")
                raise
            walls.append(time.perf_counter() - started)

    before, began = cpu_seconds(pid), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())
    took_s = time.perf_counter() - began
    spent = cpu_seconds(pid) - before
    return Cost(spent / count * 1000, statistics.median(walls) * 1000, count / took_s)


def middle(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Return the median, and the lowest and the highest."""
    return statistics.median(values), (min(values), max(values))
