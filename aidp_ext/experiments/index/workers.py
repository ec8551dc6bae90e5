"""A thread with a connection of its own: SQLite's calls take time, and the event loop must not."""

from __future__ import annotations

import asyncio
import concurrent.futures
import sqlite3
import threading
from collections.abc import Callable
from typing import TypeVar

from aidp_ext.core.errors import DiskFull, StorageError, Unavailable

T = TypeVar("T")


class Worker:
    """One thread, one connection, one piece of work at a time; what its asker gave up is interrupted."""

    def __init__(self, name: str, opener: Callable[[], sqlite3.Connection]) -> None:
        self._opener = opener
        self._pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix=f"aidp-{name}")
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._current: object | None = None

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do it in the thread and return what it returns.

        Raises Unavailable where the database stays locked, DiskFull, StorageError. When the asker is cancelled, what
        is under way is interrupted and what waits is not begun.
        """
        job = object()
        future = self._pool.submit(self._do, job, work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.cancel()
            with self._lock:
                if self._current is job and self._connection is not None:
                    self._connection.interrupt()
            raise
        except sqlite3.Error as error:
            raise translated(error) from error

    def _do(self, job: object, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None:
            self._connection = self._opener()
        with self._lock:
            self._current = job
        try:
            return work(self._connection)
        except sqlite3.DatabaseError:
            self._reset()
            raise
        finally:
            with self._lock:
                self._current = None

    def _reset(self) -> None:
        """Open it anew next time: the file may be another one by then."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def reopen(self) -> None:
        """Open the file anew with the next work."""
        await asyncio.wrap_future(self._pool.submit(self._reset))

    async def close(self) -> None:
        """End what is under way, and close the connection."""
        with self._lock:
            if self._current is not None and self._connection is not None:
                self._connection.interrupt()
        self._pool.submit(self._reset)
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=False)


def translated(error: sqlite3.Error) -> Unavailable | StorageError:
    """Return SQLite's error as one of ours."""
    said = str(error)
    if "locked" in said or "busy" in said:
        return Unavailable("The database of runs is in use by another program.", next_step="Try again in a moment.")
    if "full" in said:
        return DiskFull("The disk is full: the index of runs cannot be written.")
    if "interrupted" in said:
        return Unavailable("The question was taken back.")
    return StorageError(f"The database of runs cannot be read: {said[:200]}.")
