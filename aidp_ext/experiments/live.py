"""What happens to runs, told as it happens: one look at the tracking server's data serves everybody who watches."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from aidp_ext.core.errors import AidpError
from aidp_ext.experiments import wire
from aidp_ext.experiments.curves import History
from aidp_ext.experiments.index import rows
from aidp_ext.experiments.index.runs import RunIndex
from aidp_ext.experiments.models import Access, Caller, Row
from aidp_ext.experiments.stores.sqlite import NewPoint
from aidp_ext.experiments.upstream import TrackingState
from aidp_ext.experiments.watchers import Send, Watcher

log = logging.getLogger("aidp")

Reconcile = Callable[[Iterable[tuple[str, Mapping[str, str]]]], Awaitable[object]]
#: How often it is looked: at MLflow's file, and by its API.
DIRECT_S, REST_S = 1.0, 2.0
_RECONCILE_S = 10.0
#: More changes at once, or points, are not told one by one.
_CHANGES, _POINTS = 2000, 50_000
_ALIVE = ("RUNNING", "SCHEDULED")
_CHANGED = """
SELECT r.n, r.run_id, e.id, r.status, r.stage, r.diverged FROM runs r INDEXED BY runs_by_seq
JOIN experiments e ON e.n = r.exp WHERE r.seq > ? LIMIT ?
"""


class _Change(NamedTuple):
    n: int
    run: str
    experiment: str
    status: str
    stage: str
    diverged: int

    @property
    def is_alive(self) -> bool:
        return self.status in _ALIVE and self.stage == "active"


class _Look(NamedTuple):
    """What a look at the index found."""

    generation: str
    seq: int
    changes: list[_Change]
    gone: list[tuple[str, str]]  # run and experiment
    top: int  # the number of the newest run


class Live:
    """Everybody who watches. It looks only while somebody does."""

    def __init__(
        self,
        index: RunIndex,
        history: History,
        access: Access,
        state: Callable[[], TrackingState],
        reconcile: Reconcile | None,
    ) -> None:
        self._index = index
        self._history = history
        self._access = access
        self._state = state
        self._reconcile = reconcile
        self._watchers: set[Watcher] = set()
        self._task: asyncio.Task[None] | None = None
        self._reconciling: asyncio.Task[None] | None = None
        self._reconciled = 0.0
        self._generation, self._seq, self._top_run = "", 0, 0
        self._alive: dict[str, bool] = {}  # whether it has diverged
        self._mark = 0  # the last point that was told
        self._latest: dict[tuple[str, str], tuple[int, int]] = {}  # of watched runs, where only REST remains
        self._said: TrackingState | None = None

    # ---- who watches

    def join(self, caller: Caller, send: Send) -> Watcher:
        """Let a page watch; `watch` says what."""
        watcher = Watcher(caller, send)
        watcher.start()
        watcher.tell_tracking(self._state())
        self._watchers.add(watcher)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return watcher

    async def watch(self, watcher: Watcher, wish: wire.Watch) -> None:
        """Take what a page wants to be told of, in place of what it wanted before."""
        watcher.forget_unwatched(wish)
        visible = await self._access.visible(watcher.caller)
        version = await self._index.version()
        for experiment in wish.experiments:
            if visible is None or experiment in visible:
                watcher.tell_runs(experiment, (), (), version)

    async def leave(self, watcher: Watcher) -> None:
        """Forget a page."""
        self._watchers.discard(watcher)
        if not self._watchers and self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            if not self._watchers:  # nobody came meanwhile
                self._task = None
        await watcher.close()

    async def close(self) -> None:
        """Let everybody go."""
        for watcher in list(self._watchers):
            await self.leave(watcher)
        if self._reconciling is not None:
            self._reconciling.cancel()
            await asyncio.gather(self._reconciling, return_exceptions=True)

    # ---- looking

    async def _run(self) -> None:
        self._generation = ""
        fault = ""
        while True:
            try:
                await self._tick()
                fault = ""
            except AidpError as error:  # a file that is locked, a disk that is full: it may be over the next time
                if error.message != fault:  # it is asked often, and says it once
                    log.info("runs were not looked at: %s", error.message)
                fault = error.message
            except Exception:
                log.exception("runs were not looked at")
            await asyncio.sleep(DIRECT_S if self._index.reads_directly else REST_S)

    async def _tick(self) -> None:
        await asyncio.wait({self._index.look()}, timeout=REST_S)
        state = self._state()
        if state != self._said:
            self._said = state
            for watcher in self._watchers:
                watcher.tell_tracking(state)
        self.reconcile_soon()
        if not self._generation:
            await self._begin()
            return
        look = await self._index.read(partial(_look, above=self._seq))
        if look.generation != self._generation or len(look.changes) > _CHANGES:
            await self._begin()
            for watcher in self._watchers:
                watcher.tell_resync()
            return
        ended = self._ended(look)
        self._seq, self._top_run = look.seq, look.top
        visible = {caller: await self._access.visible(caller) for caller in {one.caller for one in self._watchers}}
        if look.changes or look.gone:
            await self._tell_changes(look, ended, visible)
        await self._tell_points(look, visible)

    async def _begin(self) -> None:
        """Take what there is as known."""
        self._mark = await self._history.top()
        look, alive = await self._index.read(_all_alive)
        self._generation, self._seq, self._top_run = look.generation, look.seq, look.top
        self._alive = {run: bool(diverged) for run, diverged in alive}
        self._latest.clear()

    def _ended(self, look: _Look) -> set[str]:
        """Return the runs that ended or diverged since the last look."""
        found = set()
        for change in look.changes:
            was = self._alive.pop(change.run, None)
            is_new = change.n > self._top_run
            if change.is_alive:
                self._alive[change.run] = bool(change.diverged)
                if change.diverged and not was and (was is not None or is_new):
                    found.add(change.run)
            elif (was is not None or is_new) and change.stage == "active":
                found.add(change.run)
        for run, _ in look.gone:
            self._alive.pop(run, None)
        return found

    async def _tell_changes(
        self, look: _Look, ended: set[str], visible: Mapping[Caller, frozenset[str] | None]
    ) -> None:
        rows_of = _Rows(self._index, [change.n for change in look.changes])
        version = f"{look.generation}.{look.seq}"
        for watcher in list(self._watchers):
            seen = visible.get(watcher.caller, frozenset())
            wanted: dict[str, list[Row]] = {}
            for row in await rows_of(tuple(watcher.watch.columns)):
                if _is_watched(watcher, row, seen):
                    wanted.setdefault(row.experiment_id, []).append(row)
                    if row.id in ended:
                        watcher.tell_ended(row)
            removed: dict[str, list[str]] = {}
            for run, experiment in look.gone:
                if (seen is None or experiment in seen) and experiment in watcher.watch.experiments:
                    removed.setdefault(experiment, []).append(run)
            for experiment in {*wanted, *removed}:
                watcher.tell_runs(experiment, wanted.get(experiment, ()), removed.get(experiment, ()), version)

    # ---- points

    async def _tell_points(self, look: _Look, visible: Mapping[Caller, frozenset[str] | None]) -> None:
        runs = sorted({run for watcher in self._watchers for run in watcher.watch.runs})
        if self._history.file is not None:
            points, self._mark = await self._history.new_points(runs, self._mark, _POINTS)
        else:
            points = await self._newest_values(runs, look)
        if not points:
            return
        by_run: dict[str, list[NewPoint]] = {}
        for point in points:
            by_run.setdefault(point.run, []).append(point)
        for watcher in list(self._watchers):
            mine = [run for run in watcher.watch.runs if run in by_run]
            seen_by = visible.get(watcher.caller, frozenset())
            if mine:
                seen = await self._index.read(partial(rows.numbers, ids=mine, visible=seen_by))
                watcher.tell_points(point for run in mine if run in seen for point in by_run[run])

    async def _newest_values(self, runs: Sequence[str], look: _Look) -> list[NewPoint]:
        """Return the last values of runs that changed: by REST there is no cheap way to ask for what is new."""
        changed = {change.run: change.n for change in look.changes if change.run in runs}
        found = []
        for run, n in changed.items():
            for metric in await self._index.read(partial(rows.metrics_of, n=n)):
                at = (metric.step, metric.time_ms)
                if self._latest.get((run, metric.key)) != at:
                    self._latest[run, metric.key] = at
                    value = metric.value if isinstance(metric.value, float) else None
                    found.append(NewPoint(run, metric.key, metric.step, metric.time_ms, value))
        return found

    # ---- runs whose process is gone

    def reconcile_soon(self) -> None:
        """Have the runs looked at that say they are running, where that was not done a moment ago."""
        now = time.monotonic()
        is_due = not self._reconciled or now - self._reconciled >= _RECONCILE_S
        if self._reconcile is None or not is_due or self._state().state not in ("ready", "remote"):
            return
        if self._reconciling is None or self._reconciling.done():
            self._reconciled = now
            self._reconciling = asyncio.create_task(self._end_dead(self._reconcile))

    async def _end_dead(self, reconcile: Reconcile) -> None:
        try:
            alive = await self._index.read(rows.alive_with_tags)
            if alive and await reconcile(alive):
                self._index.touch(run for run, _ in alive)
        except AidpError as error:
            log.info("runs that are under way were not looked at: %s", error.message)
        except Exception:
            log.exception("runs that are under way were not looked at")


class _Rows:
    """The rows of what changed, read once for each set of columns."""

    def __init__(self, index: RunIndex, ns: Sequence[int]) -> None:
        self._index = index
        self._ns = ns
        self._read: dict[tuple[str, ...], list[Row]] = {}

    async def __call__(self, columns: tuple[str, ...]) -> list[Row]:
        if columns not in self._read:
            self._read[columns] = await self._index.read(partial(rows.rows, ns=self._ns, columns=columns))
        return self._read[columns]


def _is_watched(watcher: Watcher, row: Row, seen: frozenset[str] | None) -> bool:
    if seen is not None and row.experiment_id not in seen:
        return False
    is_in_notebook = row.cell is not None and row.cell.notebook in watcher.notebooks
    return row.experiment_id in watcher.watch.experiments or row.id in watcher.watch.runs or is_in_notebook


def _look(connection: sqlite3.Connection, above: int) -> _Look:
    generation, seq = rows.version(connection)
    if seq == above:
        return _Look(generation, seq, [], [], _top(connection))
    changes = [_Change(*row) for row in connection.execute(_CHANGED, (above, _CHANGES + 1))]
    gone = connection.execute(
        "SELECT g.run_id, e.id FROM gone g JOIN experiments e ON e.n = g.exp WHERE g.seq > ?", (above,)
    ).fetchall()
    return _Look(generation, seq, changes, gone, _top(connection))


def _top(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(n), 0) FROM runs").fetchone()[0])


def _all_alive(connection: sqlite3.Connection) -> tuple[_Look, list[tuple[str, int]]]:
    generation, seq = rows.version(connection)
    alive = connection.execute(
        "SELECT run_id, diverged FROM runs WHERE status IN ('RUNNING', 'SCHEDULED') AND stage = 'active'"
    ).fetchall()
    return _Look(generation, seq, [], [], _top(connection)), alive
