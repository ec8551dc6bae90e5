"""The audit record: an append-only file of JSON lines, each sealed with the hash of the one before.

A line that is changed, removed or inserted breaks the chain from there on; :func:`verify` says where. Several
processes may write to one file: a file lock orders them. Slices write what happened, never the content of a prompt.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from aidp_ext.core.errors import StorageError

log = logging.getLogger("aidp")

_GENESIS = "0" * 64
_TAIL = 65536  # bytes read from the end to find the last record; a record is far smaller


class AuditLog:
    """Appends records to one file, made with mode 0600 on the first of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last = (0, 0, _GENESIS)  # file size, sequence number and hash after our latest record
        self._warned = False
        self._fd: int | None = None
        self._identity = (0, 0)

    def append(self, event: str, actor: str, **fields: Any) -> bool:
        """Write one record and return True; False where the file cannot be written (said once in the log).

        ``event`` is ``<slice>.<what>`` (``ai.call``), ``actor`` the caller's name. Costs some 40 µs: no fsync, so a
        power cut may take the latest records, and the chain stays whole up to there.
        """
        try:
            self._write(event, actor, fields)
        except (OSError, StorageError) as error:
            if not self._warned:
                self._warned = True
                log.warning("no audit record can be written to %s: %s", self.path, error)
            return False
        return True

    def _write(self, event: str, actor: str, fields: dict[str, Any]) -> None:
        fd = self._open()
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            size = os.fstat(fd).st_size
            if size != self._last[0]:  # another process wrote meanwhile, or we have just begun
                size = _cut_to_whole_lines(fd, size)
                self._last = (size, *_last_record(fd, size, self.path))
            sequence, previous = self._last[1] + 1, self._last[2]
            record = {
                "seq": sequence,
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "event": event,
                "actor": actor,
                **fields,
                "prev": previous,
            }
            seal = _seal(record)
            line = msgspec.json.encode({**record, "hash": seal}) + b"\n"
            if os.write(fd, line) != len(line):  # the disk is full: half a record would break the chain
                os.ftruncate(fd, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._last = (size + len(line), sequence, seal)
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)

    def _open(self) -> int:
        """Return the file, opened anew where somebody moved it away meanwhile: records belong to the path."""
        try:
            there = self.path.stat()
        except FileNotFoundError:
            there = None
        if self._fd is not None and there is not None and (there.st_dev, there.st_ino) == self._identity:
            return self._fd
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        opened = os.fstat(self._fd)
        self._identity = (opened.st_dev, opened.st_ino)
        self._last = (0, 0, _GENESIS)
        return self._fd

    def close(self) -> None:
        """Close the file. A later record opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def verify(path: Path) -> int:
    """Return the number of records of a whole chain; raise StorageError naming the first line that breaks it."""
    previous, number = _GENESIS, 0
    try:
        for number, record in enumerate(_records(path), start=1):
            claimed = record.pop("hash", None)
            if record.get("prev") != previous or record.get("seq") != number or claimed != _seal(record):
                raise StorageError(f"The audit record is not whole: line {number} of {path.name} was changed.")
            previous = str(claimed)
    except (msgspec.DecodeError, AttributeError) as error:
        raise StorageError(f"The audit record is not whole: line {number + 1} of {path.name} is no record.") from error
    except OSError as error:
        raise StorageError(f"The audit record {path.name} cannot be read: {error.strerror}.") from error
    return number


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):  # else its writer was killed before it was a record
                yield msgspec.json.decode(line)


def _seal(record: dict[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(record, order="sorted")).hexdigest()


def _cut_to_whole_lines(fd: int, size: int) -> int:
    """Return the file's size without the half record that a process leaves which dies while it writes.

    It never was a record, and whoever holds the lock knows that its writer is gone.
    """
    start = max(0, size - _TAIL)
    tail = os.pread(fd, size - start, start)
    end = start + tail.rfind(b"\n") + 1
    if end == size or (start and end == start):  # the latter is no file of ours
        return size
    os.ftruncate(fd, end)
    return end


def _last_record(fd: int, size: int, path: Path) -> tuple[int, str]:
    if size == 0:
        return 0, _GENESIS
    start = max(0, size - _TAIL)
    tail = os.pread(fd, size - start, start)
    for line in reversed(tail.splitlines()):
        try:
            record = msgspec.json.decode(line)
            return int(record["seq"]), str(record["hash"])
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            continue
    raise StorageError(f"{path.name} holds no audit record at its end.")
