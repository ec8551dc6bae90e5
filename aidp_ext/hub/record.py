"""The audit record as an admin sees it: whether it is whole, and what was written last."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from aidp_ext.core.audit import verify
from aidp_ext.core.errors import StorageError

#: A whole chain of this size is read in a second or two; a page waits for no more.
_LARGEST = 64 * 2**20
_TAIL = 65536
_LATEST = 20


class Event(Struct, frozen=True):
    """What a line says in a few words."""

    seq: int
    at: str
    event: str
    actor: str


class Record(Struct, frozen=True):
    """The state of the record. ``state`` is ``whole``, ``broken``, ``empty`` or ``unchecked``, which is too large."""

    state: str
    records: int | None  # in a whole one
    size_bytes: int
    problem: str | None
    latest: tuple[Event, ...]  # newest first
    checked_at: datetime


class RecordLook:
    """Looks into one file. What was found is good until the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[tuple[int, int, int], Record] | None = None
        self._turn = asyncio.Lock()  # one reads, and those who ask meanwhile get its answer

    async def look(self) -> Record:
        """Return the state of the record. Raises StorageError where the file cannot be read."""
        async with self._turn:
            return await asyncio.to_thread(self._look)

    def _look(self) -> Record:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return Record("empty", 0, 0, None, (), datetime.now(UTC))
        except OSError as error:
            raise _unreadable(error) from error
        mark = (there.st_ino, there.st_size, there.st_mtime_ns)
        if self._known is None or self._known[0] != mark:
            self._known = mark, self._read(there.st_size)
        return self._known[1]

    def _read(self, size: int) -> Record:
        try:
            latest = _latest(self._path, size)
        except OSError as error:
            raise _unreadable(error) from error
        now = datetime.now(UTC)
        if size > _LARGEST:
            return Record("unchecked", None, size, None, latest, now)
        try:
            return Record("whole", verify(self._path), size, None, latest, now)
        except StorageError as error:
            return Record("broken", None, size, error.message, latest, now)


def _latest(path: Path, size: int) -> tuple[Event, ...]:
    with path.open("rb") as file:
        file.seek(max(0, size - _TAIL), os.SEEK_SET)
        lines = file.read().splitlines()
    found: deque[Event] = deque(maxlen=_LATEST)
    for line in lines:
        try:
            found.appendleft(msgspec.json.decode(line, type=Event))
        except msgspec.DecodeError:  # cut off by where we began, being written, or no record: `verify` tells of those
            continue
    return tuple(found)


def _unreadable(error: OSError) -> StorageError:
    return StorageError(f"The audit record cannot be read: {error.strerror}.", next_step="Look at the state folder.")
