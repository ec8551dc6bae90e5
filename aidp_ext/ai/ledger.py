"""The ledger: money reserved before a call is sent, what it really cost afterwards, and a row for every call.

This is what the event loop sees of it. `Writer` has the queues and the thread, `Store` the transactions, `Reader` what
is asked of the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from aidp_ext.ai.budgets import BudgetState, Limit, dollars, nano, resets_at
from aidp_ext.ai.calls import Call, Reservation, UsageGroup, UsageReport
from aidp_ext.ai.ledger_reports import Reader, recent_calls, sums_of, usage_of
from aidp_ext.ai.ledger_store import Store
from aidp_ext.ai.ledger_transaction import Ask, Feedback, Settlement, buckets_of, day_of, limit_buckets
from aidp_ext.ai.ledger_writer import Writer
from aidp_ext.core.errors import StorageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Call", "Ledger", "Reservation", "UsageGroup", "UsageReport"]

T = TypeVar("T")

_WRITE_S = 9.0  # the longest that a caller waits for a reservation
_READ_S = 8.0
_BUDGETS_S = 2.0  # a decision must not wait as long as a report
_FRESH_S = 1.0
_FAILED_S = 5.0  # how long an unreadable database is believed to be one
_MAX_STATES = 1000


class Ledger:
    """One ledger, on the database at ``url`` (SQLAlchemy's form). Nothing is opened before the first call.

    ``lease_s`` is how long a dead process's reservations stay held, ``keep_days`` how long calls keep their rows
    (their daily sums stay), ``patience_s`` how long one waits for a locked database. ``clock`` gives seconds since
    1970 and decides about days and months only; ``monotonic`` times everything else.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        lease_s: float = 900.0,
        keep_days: int = 400,
        patience_s: float = 4.0,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._store = Store(url, patience_s)
        self._writer = Writer(self._store, clock=clock, monotonic=monotonic, lease_s=lease_s, keep_days=keep_days)
        self._reader = Reader(url, self._store, patience_s)
        self._readers: ThreadPoolExecutor | None = None
        self._numbers = itertools.count()
        self._states: dict[tuple[Limit, ...], tuple[float, tuple[BudgetState, ...]]] = {}
        self._unreadable: tuple[float, StorageError] | None = None

    async def start(self) -> None:
        """Make it ready inside the running loop. Opens nothing."""
        self._writer.start()

    async def close(self) -> None:
        """Write what waits, for 10 seconds at the most, and close the database."""
        await self._writer.close()
        if self._readers is not None:
            self._readers.shutdown(wait=False, cancel_futures=True)
            self._readers = None
        self._reader.close()

    async def reserve(
        self, call_id: str, user: str, limits: Sequence[Limit], usd: float, *, draft: Call | None = None
    ) -> Reservation:
        """Hold ``usd`` for a call until it is settled or given back; all or nothing, within every limit.

        Where no limit binds, nothing is held and nothing waited for. ``draft`` is what is known of the call already,
        for the row that it gets where this process dies. Raises BudgetExhausted, whose details say which limit, and
        StorageError where it cannot be written down, after 9 seconds at the most; ValueError for what is no amount.
        """
        now = self._now()
        known = draft or Call(call_id, now, user)
        buckets = buckets_of(user, known.team, limits, now)
        if not limits:
            return Reservation("", nano(usd), buckets, now)
        reservation = Reservation(f"{call_id}.{next(self._numbers)}", nano(usd), buckets, now)
        future = self._writer.ask(Ask(reservation, known, tuple(limits), now))
        timer = asyncio.get_running_loop().call_later(_WRITE_S, _give_up, future)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.give_back(future.result())  # decided in the very moment in which the caller went
            raise
        finally:
            timer.cancel()

    def give_back(self, reservation: Reservation | None) -> None:
        """End a reservation whose call cost nothing, without a row: an attempt that another one follows."""
        if reservation is not None:
            self._writer.give_back(reservation)

    def settle(self, reservation: Reservation | None, call: Call) -> None:
        """Write a call down that has ended, and turn its reservation into what it really cost. Never waits.

        The cost counts in the day and the month of the reservation, else of the call; also where it is more than was
        reserved, or the reservation was given up as lost meanwhile. Raises ValueError where the cost is no amount.
        """
        self._writer.settle(Settlement(call, nano(call.cost_usd), nano(call.saved_usd), reservation))

    def feedback(self, user: str, route: str, task: str, accepted: int, rejected: int, *, team: str = "") -> None:
        """Count what became of a model's suggestions. Never waits."""
        self._writer.count(Feedback(day_of(self._now()), user, team, route, task, max(0, accepted), max(0, rejected)))

    async def flush(self) -> None:
        """Wait until everything handed over so far is written. Raises StorageError where it cannot be."""
        await _within(_WRITE_S, self._writer.barrier())

    async def budgets(self, limits: Sequence[Limit]) -> tuple[BudgetState, ...]:
        """Return where these limits stand, at most one second ago. Raises StorageError."""
        if not limits:
            return ()
        key, now = tuple(limits), self._monotonic()
        kept = self._states.get(key)
        if kept is not None and now - kept[0] < _FRESH_S:
            return kept[1]
        if self._unreadable is not None and now - self._unreadable[0] < _FAILED_S:
            raise copy.copy(self._unreadable[1])
        at = self._now()
        buckets = limit_buckets(key, at)
        try:
            sums = await self._read(partial(sums_of, buckets=buckets), _BUDGETS_S)
        except StorageError as error:
            self._unreadable = (self._monotonic(), error)
            raise
        self._unreadable = None
        found = [sums.get(bucket, (0, 0)) for bucket in buckets]
        states = tuple(
            BudgetState(limit, dollars(spent), dollars(reserved), resets_at(limit.period, at))
            for limit, (spent, reserved) in zip(key, found, strict=True)
        )
        if len(self._states) >= _MAX_STATES:
            self._states.clear()
        self._states[key] = (now, states)
        return states

    async def usage(self, *, since: datetime, user: str | None = None) -> UsageReport:
        """Return what the calls add up to from the day of ``since`` (in UTC) on; of everybody where ``user`` is None.

        Raises StorageError.
        """
        return await self._report(partial(usage_of, since=since, now=self._now(), user=user))

    async def recent(self, limit: int, user: str | None) -> tuple[Call, ...]:
        """Return the latest calls, newest first; of everybody where ``user`` is None. Raises StorageError."""
        return await self._report(partial(recent_calls, limit=limit, user=user))

    async def _report(self, query: Callable[[Connection], T]) -> T:
        with contextlib.suppress(StorageError):  # what cannot be written now need not hide what is there
            await self.flush()
        return await self._read(query, _READ_S)

    async def _read(self, query: Callable[[Connection], T], wait_s: float) -> T:
        if not self._writer.is_open:
            await self.flush()
        if self._readers is None:
            self._readers = ThreadPoolExecutor(2, "aidp ledger reads")
        loop = asyncio.get_running_loop()
        return await _within(wait_s, loop.run_in_executor(self._readers, self._reader.query, query))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _give_up(future: asyncio.Future[Reservation]) -> None:
    if not future.done():
        future.set_exception(_silent())


async def _within(wait_s: float, future: asyncio.Future[T]) -> T:
    try:
        return await asyncio.wait_for(future, wait_s)
    except TimeoutError:
        raise _silent() from None


def _silent() -> StorageError:
    return StorageError(
        "The ledger's database does not answer in time.",
        next_step="Calls that cost nothing go on. Look after the database; the server's log says more.",
    )
