"""Run one program in the foreground, and end with it everything that it started.

JupyterHub ends its servers, its service and its proxy when it is asked to, once it is up. This covers the rest: a stop
while it starts, a second Ctrl-C, and a hub that crashes. On Linux a process can adopt the orphans among its
descendants, so nothing can slip away; elsewhere a crashed hub's servers run until the next start finds them again.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_LIBC = ctypes.CDLL(None)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending(Enum):
    """How a supervised program ended."""

    STOPPED = "asked to, and in good order"
    FORCED = "asked to, and ended by force"
    CRASHED = "on its own"
    NEVER_READY = "on its own, before it was ready"


async def supervise(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: IO[bytes],
    *,
    ready: Callable[[], Coroutine[None, None, None]],
    on_ready: Callable[[], None],
    on_stop: Callable[[], None],
    grace: float = 30,
) -> Ending:
    """Run ``command`` until it ends or this process is asked to stop, and leave no process behind.

    ``on_ready`` is called when ``ready`` returns, ``on_stop`` at the first stop signal. The program then has ``grace``
    seconds; after those, or at a second signal, all that is left is killed.
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, signals.put_nowait, number)
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,  # at a terminal a Jupyter server would ask whether to stop
        stdout=log,
        stderr=log,
        start_new_session=True,  # a Ctrl-C reaches this process alone, which then ends the rest in order
        umask=0o077,
        preexec_fn=_die_with_parent,
    )
    loop.add_signal_handler(signal.SIGCHLD, _reap, process.pid)
    ended, asked, is_ready = (asyncio.ensure_future(each) for each in (process.wait(), signals.get(), ready()))
    ending = Ending.FORCED
    try:
        await asyncio.wait({ended, asked, is_ready}, return_when=asyncio.FIRST_COMPLETED)
        if is_ready.done() and not asked.done():
            is_ready.result()
            on_ready()
            await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
        if asked.done():
            on_stop()
            with suppress(ProcessLookupError):
                process.terminate()
            asked = asyncio.ensure_future(signals.get())
            await asyncio.wait({ended, asked}, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
            ending = Ending.STOPPED if ended.done() else Ending.FORCED
        else:
            ending = Ending.CRASHED if is_ready.done() else Ending.NEVER_READY
    finally:
        is_ready.cancel()
        asked.cancel()
        if not ended.done():
            process.kill()
            await ended
        await end_descendants(patience=0 if ending is Ending.FORCED else 5)
    return ending


async def end_descendants(*, patience: float) -> None:
    """End every process below this one: asked for ``patience`` seconds, then killed, until none is left."""
    deadline = asyncio.get_running_loop().time() + patience
    number = signal.SIGTERM
    told: set[int] = set()
    while left := descendants(os.getpid()):
        if number is signal.SIGTERM and asyncio.get_running_loop().time() >= deadline:
            number, told = signal.SIGKILL, set()
        for pid in left - told:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        told |= left
        await asyncio.sleep(0.05)


def descendants(root: int) -> set[int]:
    """The living processes below ``root``, as /proc tells (none where there is no /proc)."""
    children: dict[int, set[int]] = {}
    for pid, parent, state in _processes():
        if state != "Z":
            children.setdefault(parent, set()).add(pid)
    found: set[int] = set()
    todo = [root]
    while todo:
        below = children.get(todo.pop(), set())
        found |= below
        todo.extend(below)
    return found


def _processes() -> list[tuple[int, int, str]]:
    """The pid, the parent's pid and the state of every process on a Linux machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended in the meantime
            # "pid (name) state parent …", where the name may hold anything
            state, parent = path.read_text(errors="replace").rpartition(")")[2].split()[:2]
            found.append((int(path.parent.name), int(parent), state))
    return found


def _reap(program: int) -> None:
    """Take note of adopted orphans that have ended; asyncio itself waits for ``program``."""
    for pid, parent, state in _processes():
        if parent == os.getpid() and state == "Z" and pid != program:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _die_with_parent() -> None:
    """In the child: have the kernel send SIGTERM should this supervisor itself be killed."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    """Linux's prctl(2); nothing elsewhere."""
    if sys.platform == "linux":
        _LIBC.prctl(option, value, 0, 0, 0)
