"""What is written down of the server that runs, so that another process can find it again and be sure that it is it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

_GRACE_S = 5.0


class Record(Struct, frozen=True):
    """A server that was started."""

    id: str
    pid: int  # also the number of its process group
    started: str  # tells it from a later process with the same number
    boot: str
    host: str
    socket: str
    serves: str  # a hash of where its runs are kept: an address may hold a password
    version: str  # of MLflow


def read(path: Path) -> Record | None:
    """Return what is written there, or None where there is nothing that can be understood."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def write(path: Path, record: Record) -> None:
    """Write it down, whole or not at all. Raises OSError."""
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(record))
    part.replace(path)


@cache
def boot() -> str:
    """Return what differs after each start of the machine, as far as it can be known."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def host() -> str:
    """Return the machine, and on Linux the namespace in which its processes have their numbers."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').stat().st_ino}"
    return socket.gethostname()


def started(pid: int) -> str | None:
    """Return when a process started, in the system's own words, or None where no such process runs."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in ("Z", "X") else fields[19]
    if Path("/proc/self/stat").exists():
        return None
    said = subprocess.run(
        ["/bin/ps", "-o", "lstart=,stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return said.rpartition(" ")[0] if said and "Z" not in said.rpartition(" ")[2] else None


def is_alive(record: Record) -> bool:
    """Return whether exactly this process still runs, on this machine."""
    return record.host == host() and record.boot == boot() and started(record.pid) == record.started


def end(record: Record) -> None:
    """End it with its whole group: politely, then not. It blocks for up to some seconds."""
    if not is_alive(record):
        return
    for number, patience_s in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, _GRACE_S)):
        try:
            os.killpg(record.pid, number)
        except (ProcessLookupError, PermissionError):
            return
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(record.pid, os.WNOHANG)  # it may be a child of ours
            if started(record.pid) != record.started and not _has_group(record.pid):
                return
            time.sleep(0.05)


def _has_group(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


class Lock:
    """A lock on a file, which ends with the process that has it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def take(self, *, shared: bool = False) -> bool:
        """Return whether it could be had at once. Raises OSError."""
        if self._fd is None:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            return False
        return True

    def release(self) -> None:
        """Give it back."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Give it back at the end, whatever happens."""
        try:
            yield
        finally:
            self.release()
