"""Which process it is, so that it can be told later whether it still runs. Needs nothing but the standard library."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
from pathlib import Path

_PROC = Path("/proc")


def identity() -> dict[str, str | int]:
    """Return what names this process among all of all machines: a number alone is used again.

    ``pid``, ``start`` (in the system's own unit), ``boot``, ``host``, ``ns`` (in which the number counts), ``server``
    (of which hub's server it is a child) where there is one, and ``cwd``.
    """
    found: dict[str, str | int] = {"pid": os.getpid(), "start": start_of(os.getpid()) or "", **place()}
    if server := server_name():
        found["server"] = server
    with contextlib.suppress(OSError):
        found["cwd"] = str(Path.cwd())
    return found


def place() -> dict[str, str]:
    """Return where the numbers of processes count: this boot, this host, this name space. Empty where unknown."""
    return {"boot": boot(), "host": socket.gethostname(), "ns": namespace()}


def start_of(pid: int) -> str | None:
    """Return when a process began, in a unit of the system's own; None where there is none of this number."""
    try:
        # The name in brackets may hold anything, brackets too.
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return _start_elsewhere(pid) if not (_PROC / "self" / "stat").exists() else None


def _start_elsewhere(pid: int) -> str | None:
    try:
        import psutil  # type: ignore[import-untyped]  # ipykernel needs it

        return str(int(psutil.Process(pid).create_time()))
    except Exception:  # not there, or the process is not
        return None


def is_zombie(pid: int) -> bool:
    """Return whether a process has ended and only waits for its parent to notice."""
    try:
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "ZX"
    except (OSError, IndexError):
        return False


def boot() -> str:
    """Return what names the time since the machine was started."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def namespace() -> str:
    """Return what names the space in which processes' numbers count: a container has one of its own."""
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return platform.system()


def server_name() -> str:
    """Return of which server of a hub this process is a part: one of a name runs only once at a time."""
    user = os.environ.get("JUPYTERHUB_USER", "")
    return f"{user}/{os.environ.get('JUPYTERHUB_SERVER_NAME', '')}" if user else ""
