"""CPU time and memory of a process as the operating system counts them, and the load that causes them."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Cost:
    """What one piece of work cost the server."""

    cpu_ms: float
    wall_ms: float  # median as the client saw it


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process and of its children, ended ones included."""
    process = psutil.Process(pid)
    own = process.cpu_times()
    ended = own.children_user + own.children_system
    running = (child.cpu_times() for child in process.children(recursive=True))
    return own.user + own.system + ended + sum(times.user + times.system for times in running)


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process in MB (10⁶ bytes)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise AssertionError("smaps_rollup has no Rss")


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

    before = cpu_seconds(pid)
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())
    spent = cpu_seconds(pid) - before
    return Cost(spent / count * 1000, statistics.median(walls) * 1000)


def middle(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Return the median, and the lowest and the highest."""
    return statistics.median(values), (min(values), max(values))
