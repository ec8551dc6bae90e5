"""GPUs and who has them, in a database: the rules of ``schedule.py``, one change after the other.

Several processes may use one database. What is decided is written down before anybody is told, so that a hub that is
killed finds it as it was; a server that is gone loses its GPU when the hub has looked for it in vain.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from aidp_ext.core.db import migrated_engine
from aidp_ext.core.errors import Conflict, NotFound, StorageError
from aidp_ext.hub import schedule
from aidp_ext.hub.schedule import ANY, Lease, Place, Rules, State, Wait

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

T = TypeVar("T")

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "lease_version"
_PATIENCE_S = 10.0


class Overview(Struct, frozen=True):
    """Everything at a glance."""

    devices: Mapping[str, str]  # with their kinds
    leases: tuple[Lease, ...]
    waits: tuple[Wait, ...]
    places: Mapping[str, Place]  # by holder
    now_ms: int

    def is_wanted(self, lease: Lease) -> bool:
        """Return whether somebody waits for the device of a lease."""
        return schedule.is_wanted(State(dict(self.devices), waits={wait.holder: wait for wait in self.waits}), lease)


class Leases:
    """The leases of one hub. ``record(event, actor, **fields)`` is told of each that begins and ends.

    Every method raises StorageError where the database fails; nothing has changed then.
    """

    def __init__(
        self,
        url: str,
        record: Callable[..., object],
        rules: Rules | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._record = record
        self._rules = rules or Rules()
        self._clock = clock
        self._engine: Engine | None = None
        self._thread = ThreadPoolExecutor(1, "aidp-leases")

    @property
    def is_begun(self) -> bool:
        """Whether there may be something in the database: a file that is not there holds nothing."""
        kind, _, path = self._url.partition(":///")
        return kind != "sqlite" or Path(path).exists()

    async def close(self) -> None:
        """Close the database."""
        await self._do(self._forget)
        self._thread.shutdown()

    async def found(self, devices: Mapping[str, str]) -> None:
        """Take note of the devices that are there, by their ids with their kinds; leases of others end."""
        await self._change(lambda state, now: schedule.found(state, self._rules, devices, now))

    async def ask(self, holder: str, user: str, kind: str = ANY) -> Lease | Place:
        """Return what a server is offered or has, else its place on the waiting list. It may ask as often as it likes.

        An offer is to be taken with :meth:`take`.
        """

        def work(state: State, now: int) -> Lease | Place:
            schedule.ask(state, self._rules, holder, user, kind, now)
            return state.lease_of(holder) or schedule.places(state, self._rules, now)[holder]

        return await self._change(work)

    async def take(self, holder: str) -> Lease:
        """Take what is offered. Raises NotFound where it is offered no more."""
        lease = await self._change(lambda state, now: schedule.take(state, self._rules, holder, now))
        if lease is None:
            raise NotFound("No GPU is offered to this server any more.", next_step="Ask for one again.")
        return lease

    async def give_back(self, holder: str) -> None:
        """Let go of what a server has, is offered or waits for; nothing where that is nothing."""
        await self._change(lambda state, now: schedule.give_back(state, self._rules, holder, now))

    async def leave(self, holder: str) -> None:
        """Wait no more, and decline what is offered. Raises Conflict where the server has its GPU already."""

        def work(state: State, now: int) -> bool:
            lease = state.lease_of(holder)
            if lease is not None and lease.is_held:
                return False
            schedule.give_back(state, self._rules, holder, now)
            return True

        if not await self._change(work):
            raise Conflict("This server has its GPU already.", next_step="Stop the server to give it back.")

    async def extend(self, holder: str) -> Lease:
        """Let a lease last anew from now. Raises Conflict where somebody waits, NotFound where there is none."""

        def work(state: State, now: int) -> tuple[Lease | None, bool]:
            longer = schedule.extend(state, self._rules, holder, now)
            return longer, state.lease_of(holder) is not None

        lease, is_there = await self._change(work)
        if lease is not None:
            return lease
        if is_there:
            raise Conflict("Others wait for this GPU.", next_step="Save your work; it can be asked for again.")
        raise NotFound("This server has no GPU.")

    async def see(self, running: Iterable[str]) -> list[Lease]:
        """Compare with the servers that run; return the leases that were taken back because theirs is gone."""
        there = frozenset(running)
        return await self._change(lambda state, now: schedule.see(state, self._rules, there, now))

    async def to_end(self, idle: Collection[str] = ()) -> list[Lease]:
        """Return the leases that are over and waited for: their servers are to be stopped, and then give back.

        ``idle`` are devices that do nothing; their leases count as over.
        """
        return await self._change(lambda state, now: schedule.to_end(state, self._rules, now, idle))

    async def look(self) -> Overview:
        """Return everything as it is now."""

        def work(state: State, now: int) -> Overview:
            schedule.advance(state, self._rules, now)
            leases, waits = tuple(state.leases.values()), tuple(state.waits.values())
            return Overview(dict(state.devices), leases, waits, schedule.places(state, self._rules, now), now)

        return await self._change(work)

    # --- the database, in a thread of its own

    async def _change(self, work: Callable[[State, int], T]) -> T:
        loop = asyncio.get_running_loop()

        def change() -> T:
            result, before, after = self._in_turn(work)
            # In the loop, where others write to the record too, and even if whoever asked has been cancelled.
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._tell, before, after)
            return result

        return await self._do(change)

    async def _do(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, functools.partial(work, *args))

    def _in_turn(self, work: Callable[[State, int], T]) -> tuple[T, State, State]:
        with self._begin() as connection:
            state = _load(connection)
            before = State(dict(state.devices), dict(state.leases), dict(state.waits), state.number)
            result = work(state, round(self._clock() * 1000))
            _save(connection, before, state)
        return result, before, state

    def _tell(self, before: State, after: State) -> None:
        for device, lease in before.leases.items():
            now = after.leases.get(device)
            if lease.is_held and (now is None or now.holder != lease.holder):
                self._record("gpu.released", lease.user, device=device, server=lease.holder)
        for device, lease in after.leases.items():
            was = before.leases.get(device)
            if lease.is_held and (was is None or was.holder != lease.holder or not was.is_held):
                self._record("gpu.leased", lease.user, device=device, server=lease.holder, until_ms=lease.until_ms)

    @contextlib.contextmanager
    def _begin(self) -> Iterator[Connection]:
        from sqlalchemy import update
        from sqlalchemy.exc import SQLAlchemyError

        from aidp_ext.hub.lease_tables import turn

        if self._engine is None:
            self._engine = migrated_engine(self._url, MIGRATIONS, VERSION_TABLE, patience_s=_PATIENCE_S)
        try:
            with self._engine.begin() as connection:
                # First: PostgreSQL lets others wait at this row, SQLite let them wait already.
                connection.execute(update(turn).values(number=turn.c.number + 1))
                yield connection
        except SQLAlchemyError as error:
            self._forget()
            raise StorageError(
                f"The leases of GPUs cannot be written: {type(error).__name__}.", next_step="Try again in a moment."
            ) from error

    def _forget(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()


def _load(connection: Connection) -> State:
    from sqlalchemy import select

    from aidp_ext.hub.lease_tables import devices, leases, turn, waits

    return State(
        {row.id: row.kind for row in connection.execute(select(devices))},
        {row.device: Lease(**row._mapping) for row in connection.execute(select(leases))},
        {row.holder: Wait(**row._mapping) for row in connection.execute(select(waits))},
        int(connection.execute(select(turn.c.number)).scalar_one()),
    )


def _save(connection: Connection, before: State, after: State) -> None:
    """Write what differs. Rows go before others come: a device has one holder, and a holder one device."""
    from sqlalchemy import delete, insert, update

    from aidp_ext.hub.lease_tables import devices, leases, turn, waits

    if after.devices != before.devices:
        connection.execute(delete(devices))
        if rows := [{"id": id_, "kind": kind} for id_, kind in after.devices.items()]:
            connection.execute(insert(devices), rows)
    changed = [device for device, lease in before.leases.items() if after.leases.get(device) != lease]
    if changed:
        connection.execute(delete(leases).where(leases.c.device.in_(changed)))
    if rows := [asdict(one) for device, one in after.leases.items() if before.leases.get(device) != one]:
        connection.execute(insert(leases), rows)
    if gone := [holder for holder in before.waits if holder not in after.waits]:
        connection.execute(delete(waits).where(waits.c.holder.in_(gone)))
    if rows := [asdict(one) for holder, one in after.waits.items() if holder not in before.waits]:
        connection.execute(insert(waits), rows)
    for holder, wait in after.waits.items():
        if before.waits.get(holder, wait) != wait:
            connection.execute(update(waits).where(waits.c.holder == holder).values(**asdict(wait)))
    if after.number != before.number:
        connection.execute(update(turn).values(number=after.number))
