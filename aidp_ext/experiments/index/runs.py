"""The index as the rest of the slice knows it: fed when it is looked at, read without waiting for the feed."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from aidp_ext.core.errors import AidpError
from aidp_ext.experiments.index import facets, query, rows, schema
from aidp_ext.experiments.index.direct import DirectFeed, NotReadable
from aidp_ext.experiments.index.filter import Condition, Order
from aidp_ext.experiments.index.rest import RestFeed
from aidp_ext.experiments.index.workers import Worker
from aidp_ext.experiments.models import Columns, Row
from aidp_ext.experiments.stores.mlflow import MlflowStore
from aidp_ext.experiments.upstream import Upstream

log = logging.getLogger("aidp")
T = TypeVar("T")

#: How old what is read may be, and for how long a reader waits for a look.
FRESH_S, PATIENCE_S = 1.0, 0.4
_FACETS_S, _AGAIN_S = 5.0, 5.0
_REMEMBERED = 256


class RunIndex:
    """Runs, quickly. Everything raises StorageError, DiskFull, and Unavailable where the file stays locked."""

    def __init__(self, path: Path, upstream: Upstream, store: MlflowStore) -> None:
        self._path = path
        self._upstream = upstream
        self._writer = Worker("feed", lambda: schema.open_to_write(path))
        self._reader = Worker("index", lambda: schema.open_to_read(path))
        self._direct: DirectFeed | None = None
        self._rest = RestFeed(store)
        self._is_rest = False
        self._file: tuple[int, int] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = 0.0
        self._touched: dict[str, None] = {}
        self._totals: OrderedDict[object, int] = OrderedDict()
        self._facets: OrderedDict[object, tuple[float, Columns]] = OrderedDict()
        self._asked_again_at = 0.0  # after it did not answer
        self._said: str | None = None
        self.looks = 0  # for those who count them

    @property
    def reads_directly(self) -> bool:
        """Whether MLflow's own file is read."""
        return self._direct is not None and not self._is_rest

    async def close(self) -> None:
        """End what is under way."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self._writer.close()
        await self._reader.close()

    # ---- the feed

    def touch(self, runs: Iterable[str]) -> None:
        """Note that these runs changed."""
        self._touched |= dict.fromkeys(runs)
        self._looked_at = 0.0

    async def fresh(self, patience_s: float = PATIENCE_S, age_s: float = FRESH_S) -> None:
        """See to it that the index is not older than a moment; but nobody waits for long."""
        if time.monotonic() - self._looked_at >= age_s:
            await asyncio.wait({self.look()}, timeout=patience_s)

    def look(self) -> asyncio.Task[None]:
        """Return the look that is under way, or a new one. It never raises."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return self._looking

    async def _look(self) -> None:
        """Bring in what changed, and all that has piled up."""
        while True:
            self._looked_at = time.monotonic()
            self.looks += 1
            touched, self._touched = self._touched, {}
            try:
                await self._open()
                await self._feed(touched)
                self._said = None
            except (AidpError, OSError) as error:
                self._touched = touched | self._touched
                await self._recover(error)
                return
            if not self._has_backlog:
                return
            await asyncio.sleep(0)

    @property
    def _has_backlog(self) -> bool:
        if self._is_rest:
            return bool(self._rest.backlog)
        return self._direct is not None and bool(self._direct.backlog)

    async def _feed(self, touched: dict[str, None]) -> None:
        database = self._upstream.database
        if database is not None:
            if self._direct is None:
                self._direct = DirectFeed(database)
            direct = self._direct
            try:
                if self._is_rest and direct.may_be_there():
                    await self._switch(is_rest=False)
                await self._writer.run(lambda connection: direct.look(connection, touched))
                return
            except NotReadable as error:
                self._say(f"MLflow's database is not read directly: {error}")
        state = self._upstream.state()
        # One that runs elsewhere may be there again; our own is not started by a look at it
        may_answer = state.state in ("ready", "remote") or (state.state == "failed" and state.kind != "local")
        if may_answer and time.monotonic() >= self._asked_again_at:
            if not self._is_rest:
                await self._switch(is_rest=True)
            self._asked_again_at = time.monotonic() + _AGAIN_S
            await self._rest.look(self._writer, touched)
            self._asked_again_at = 0.0

    async def _switch(self, *, is_rest: bool) -> None:
        self._is_rest = is_rest
        await self._writer.reopen()
        self._forget()

    def _forget(self) -> None:
        self._rest.forget()
        if self._direct is not None:
            self._direct.forget()

    async def _open(self) -> None:
        """Make the file where it is not there, or no more the one that was opened."""
        if self._file is not None and self._file != _identity(self._path):
            await self._anew()
        if self._file is None:
            await self._writer.run(lambda connection: None)
            self._file = _identity(self._path)

    async def _anew(self) -> None:
        self._file = None
        await self._writer.reopen()
        await self._reader.reopen()
        self._forget()

    async def _recover(self, error: Exception) -> None:
        """Say what is wrong, once; a damaged file is made anew."""
        self._say(f"the index of runs was not brought up to date: {error}")
        if is_damaged(error):
            schema.discard(self._path)
            await self._anew()

    def _say(self, words: str) -> None:
        if words != self._said:
            self._said = words
            log.info("%s", words)

    # ---- reading

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what ``work`` reads."""
        if self._file is None:
            await self.fresh()
            await self._open()
        try:
            return await self._reader.run(work)
        except AidpError as error:
            if not is_damaged(error):
                raise
            schema.discard(self._path)
            await self._anew()
            await self._open()
            return await self._reader.run(work)

    async def version(self) -> str:
        """Return what changes when the index does."""
        generation, seq = await self.read(rows.version)
        return f"{generation}.{seq}"

    async def search(
        self,
        experiments: Sequence[str],
        visible: frozenset[str] | None,
        conditions: tuple[Condition, ...],
        orders: tuple[Order, ...],
        stages: tuple[str, ...],
        *,
        offset: int,
        limit: int,
        columns: Sequence[str],
    ) -> tuple[list[Row], int, str]:
        """Return some rows, how many there are in all, and the index' version."""

        def work(connection: sqlite3.Connection) -> tuple[list[Row], int, str]:
            version = rows.version(connection)
            numbers = query.numbers_of(connection, experiments, visible)
            asked = query.Search(tuple(numbers), stages, conditions, orders)
            found, total = query.page(connection, asked, offset, limit)
            if total is None:
                total = self._total(connection, asked, version)
            return rows.rows(connection, found, columns), total, f"{version[0]}.{version[1]}"

        return await self.read(work)

    def _total(self, connection: sqlite3.Connection, asked: query.Search, version: tuple[str, int]) -> int:
        """Return how many runs are meant; the answer is remembered until the index changes."""
        key = (version, asked.experiments, asked.stages, asked.conditions)
        if key not in self._totals:
            self._totals[key] = query.total(connection, asked)
            while len(self._totals) > _REMEMBERED:
                self._totals.popitem(last=False)
        return self._totals[key]

    async def columns(self, experiment: str, search: str, limit: int) -> Columns:
        """Return the columns of an experiment, as they were a moment ago."""
        key = (experiment, search, limit)
        at, said = self._facets.get(key, (0.0, None))
        if said is not None and time.monotonic() - at < _FACETS_S:
            return said

        def work(connection: sqlite3.Connection) -> Columns:
            numbers = query.numbers_of(connection, (experiment,), None)
            return facets.columns(connection, numbers[0], search, limit) if numbers else Columns((), (), ())

        said = await self.read(work)
        self._facets[key] = (time.monotonic(), said)
        while len(self._facets) > _REMEMBERED:
            self._facets.popitem(last=False)
        return said


def is_damaged(error: BaseException) -> bool:
    """Return whether an error says that the file is no index, or a broken one."""
    cause = error.__cause__
    if isinstance(cause, sqlite3.OperationalError):
        return "no such table" in str(cause) or "no such column" in str(cause) or "no such index" in str(cause)
    return type(cause) is sqlite3.DatabaseError


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
