"""The ledger's writer: queues that the event loop fills, and the one thread that empties them into the database.

All that has come together is written in one transaction (group commit). Reservations, and what turns them into money
spent, wake the thread at once; rows of calls that cost nothing wait for company.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from typing import TypeVar

from aidp_ext.ai.calls import Reservation
from aidp_ext.ai.ledger_store import LOOKS, Store
from aidp_ext.ai.ledger_transaction import Ask, Feedback, Settlement, Work
from aidp_ext.core.errors import StorageError

log = logging.getLogger("aidp")

T = TypeVar("T")

_LINGER_S = 0.25  # how long rows of free calls wait for company
_COMPANY = 200  # rows that need no more of it
_AT_ONCE = 500  # of each kind of work in one transaction
_MAX_WAITING = 10_000  # rows of free calls, where the database is away
_CLOSE_S = 10.0
_FIRST_PAUSE_S, _LAST_PAUSE_S = 1.0, 30.0  # after a failure: doubled from the one to the other
_DAY_S = 86_400.0


@dataclass
class _Batch:
    """What one transaction does, and who waits for it."""

    work: Work = field(default_factory=Work)
    waiting: list[tuple[Ask, asyncio.Future[Reservation]]] = field(default_factory=list)
    barriers: list[asyncio.Future[None]] = field(default_factory=list)
    chores_at: float | None = None


class Writer:
    """Writes to a store. The methods without an underscore belong to the event loop, and never wait."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        lease_s: float,
        keep_days: int,
    ) -> None:
        self.is_open = False  # whether the database has been opened, and so been made
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        self._beat_s = lease_s / LOOKS
        self._keep = timedelta(days=keep_days)

        self._asks: deque[tuple[Ask, asyncio.Future[Reservation]]] = deque()
        self._paid: deque[Settlement] = deque()  # never dropped
        self._free: deque[Settlement] = deque()
        self._returned: deque[Reservation] = deque(maxlen=_MAX_WAITING)  # what is dropped here ends with its lease
        self._feedback: deque[Feedback] = deque(maxlen=_MAX_WAITING)
        self._barriers: deque[asyncio.Future[None]] = deque()
        self._live: dict[str, weakref.ref[Reservation]] = {}

        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._has_dropped = False
        # of the thread alone:
        self._chores_at: float | None = None
        self._deleted_at: float | None = None
        self._pause_s = 0.0  # above 0 while writing fails
        self._retry_at = 0.0

    def start(self) -> None:
        """Make it ready inside the running loop. The thread starts with the first work."""
        self._loop = asyncio.get_running_loop()
        self._is_closed = False

    async def close(self) -> None:
        """Write what waits, for 10 seconds at the most, and close the store."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._thread is not None or self._has_work():
            self._wake()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, _CLOSE_S)
            if self._thread.is_alive():
                log.warning("the ledger's database does not answer: %d rows are not written", self._waiting())

    def ask(self, ask: Ask) -> asyncio.Future[Reservation]:
        """Hand an ask over, and return what will be its reservation, BudgetExhausted or StorageError."""
        future: asyncio.Future[Reservation] = self._running().create_future()
        self._asks.append((ask, future))
        self._wake()
        return future

    def barrier(self) -> asyncio.Future[None]:
        """Return what is done when everything handed over before is written, or StorageError where it cannot be."""
        future: asyncio.Future[None] = self._running().create_future()
        self._barriers.append(future)
        self._wake()
        return future

    def give_back(self, reservation: Reservation) -> None:
        """End a reservation without a row; one that has ended already is left alone."""
        if self._live.pop(reservation.id, None) is not None:
            self._returned.append(reservation)
            self._wake()

    def settle(self, settlement: Settlement) -> None:
        """Hand a call over that has ended."""
        if settlement.is_paid:
            if settlement.reservation is not None:
                self._live.pop(settlement.reservation.id, None)
            self._paid.append(settlement)
            self._wake()
            return
        if len(self._free) >= _MAX_WAITING:
            self._free.popleft()
            if not self._has_dropped:
                self._has_dropped = True
                log.warning("%d rows wait for the ledger's database: dropping the oldest", _MAX_WAITING)
        self._free.append(settlement)
        self._wake_soon(len(self._free))

    def count(self, feedback: Feedback) -> None:
        """Hand feedback over."""
        self._feedback.append(feedback)
        self._wake_soon(len(self._feedback))

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._is_closed or self._loop is None:
            raise StorageError("The ledger is closed.")
        return self._loop

    def _wake(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="aidp ledger", daemon=True)
            self._thread.start()
        self._wakes.put(None)

    def _wake_soon(self, rows: int) -> None:
        if rows % _COMPANY == 0 or self._loop is None:
            self._wake()
        elif self._timer is None:
            self._timer = self._loop.call_later(_LINGER_S, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._wake()

    def _waiting(self) -> int:
        return len(self._paid) + len(self._free)

    def _deliver(self, batch: _Batch, error: StorageError | None) -> None:
        """Tell those who wait. Each gets an error of its own, since each adds its traceback to it."""
        for ask, future in batch.waiting:
            if isinstance(ask.outcome, Reservation):
                if future.done():  # the caller has gone, or waited long enough
                    self.give_back(ask.outcome)
                else:
                    future.set_result(ask.outcome)
            elif not future.done():
                assert ask.outcome is not None
                future.set_exception(copy.copy(ask.outcome))
        for barrier in batch.barriers:
            if barrier.done():
                continue
            if error is None:
                barrier.set_result(None)
            else:
                barrier.set_exception(copy.copy(error))

    # From here on everything runs in the thread.

    def _run(self) -> None:
        while True:
            with contextlib.suppress(Empty):
                self._wakes.get(timeout=max(0.01, self._retry_at - time.monotonic()) if self._pause_s else self._beat_s)
                while True:  # all that woke it since is done in one go
                    self._wakes.get_nowait()
            is_last = self._is_closed
            # Somebody who waits is worth a try at any time; rows are not, shortly after a failure.
            if is_last or self._asks or self._barriers or not self._pause_s or time.monotonic() >= self._retry_at:
                self._work_off()
            if is_last:
                break
        if self._waiting():
            log.warning("the ledger cannot be written: %d rows are lost", self._waiting())
        self.is_open = False
        self._store.close()

    def _work_off(self) -> None:
        """Write until nothing waits any more, or writing fails."""
        is_done = False
        while not is_done:
            batch = self._take()
            try:
                has_more = self._store.write(batch.work)
            except StorageError as error:
                self._has_failed(batch, error)
                return
            except Exception:
                log.exception("the ledger cannot be written")
                self._has_failed(batch, StorageError("The ledger cannot be written; the server's log says why."))
                return
            self._has_written(batch, has_more)
            is_done = not (has_more or self._has_work())

    def _has_work(self) -> bool:
        return bool(self._asks or self._paid or self._free or self._returned or self._feedback)

    def _take(self) -> _Batch:
        batch = _Batch()
        work = batch.work
        barriers = _taken(self._barriers)  # before the work: they wait for all that was handed over before them
        work.settlements = _taken(self._paid) + _taken(self._free)
        work.returned, work.feedback = _taken(self._returned), _taken(self._feedback)
        batch.waiting = [(ask, future) for ask, future in _taken(self._asks) if not future.done()]
        work.asks = [ask for ask, _ in batch.waiting]
        if self._has_work():
            self._barriers.extendleft(reversed(barriers))
        else:
            batch.barriers = barriers
        now = self._monotonic()
        if self._chores_at is None or now - self._chores_at >= self._beat_s:
            held = list(self._live.items())
            work.beating = [name for name, kept in held if kept() is not None]
            work.dropped = [name for name, kept in held if kept() is None]
            work.looks = True
            batch.chores_at = now
        if self._deleted_at is None or now - self._deleted_at >= _DAY_S:
            work.delete_before = datetime.fromtimestamp(self._clock(), UTC) - self._keep
        return batch

    def _has_written(self, batch: _Batch, has_more: bool) -> None:
        if self._pause_s:
            log.info("the ledger can be written again")
        self.is_open, self._pause_s, self._has_dropped = True, 0.0, False
        if batch.chores_at is not None:
            self._chores_at = batch.chores_at
            for name in batch.work.dropped:
                self._live.pop(name, None)
        if batch.work.delete_before is not None and not has_more:
            self._deleted_at = self._monotonic()
        for ask, _ in batch.waiting:
            if isinstance(ask.outcome, Reservation):
                self._live[ask.outcome.id] = weakref.ref(ask.outcome)
        self._tell(batch, None)

    def _has_failed(self, batch: _Batch, error: StorageError) -> None:
        error.suggest("Calls that cost nothing go on. Look after the database; the server's log says more.")
        if not self._pause_s:
            log.warning("%s Rows wait until it can.", error.message)
        self._pause_s = min(max(self._pause_s * 2, _FIRST_PAUSE_S), _LAST_PAUSE_S)
        self._retry_at = time.monotonic() + self._pause_s
        work = batch.work
        self._paid.extendleft(one for one in reversed(work.settlements) if one.is_paid)
        self._free.extendleft(one for one in reversed(work.settlements) if not one.is_paid)
        self._returned.extendleft(reversed(work.returned))
        self._feedback.extendleft(reversed(work.feedback))
        for ask, _ in batch.waiting:
            ask.outcome = error
            self._returned.append(ask.reservation)  # where the commit succeeded and only its answer was lost
        self._tell(batch, error)

    def _tell(self, batch: _Batch, error: StorageError | None) -> None:
        if (batch.waiting or batch.barriers) and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                self._loop.call_soon_threadsafe(self._deliver, batch, error)


def _taken(queue: deque[T]) -> list[T]:
    return [queue.popleft() for _ in range(min(len(queue), _AT_ONCE))]
