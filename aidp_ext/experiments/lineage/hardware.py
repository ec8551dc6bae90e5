"""What the machine has, found out once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
from pathlib import Path
from typing import Any

from aidp_ext.core import proc
from aidp_ext.core.errors import AidpError

_SECONDS = 5.0


async def hardware() -> dict[str, Any]:
    """Return processor, cores, memory in MB and GPUs of this machine, as far as they can be found out."""
    found: dict[str, Any] = await asyncio.to_thread(_machine)
    if gpus := await _gpus():
        found["gpus"] = gpus
    return found


def _machine() -> dict[str, Any]:
    found: dict[str, Any] = {"cpu": _processor(), "cores": _cores(), "machine": platform.machine()}
    with contextlib.suppress(ValueError, OSError, AttributeError):  # not known here
        found["memory_mb"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1_000_000
    return found


def _cores() -> int | None:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.lower().startswith("model name"))
    return next(named, platform.processor())


async def _gpus() -> list[dict[str, Any]]:
    asked = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        told = await proc.run(asked, timeout_s=_SECONDS)
    except AidpError:  # there is none, or its driver does not answer
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in told.stdout.splitlines() if line.count(",") == 2]
    return [{"name": name, "memory_mb": memory, "driver": driver} for name, memory, driver in rows]
