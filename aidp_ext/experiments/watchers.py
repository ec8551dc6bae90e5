"""Who watches, and what they are still to be told. What piles up for a slow one is joined, and bounded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from aidp_ext.experiments import wire
from aidp_ext.experiments.models import Caller, Row
from aidp_ext.experiments.stores.sqlite import NewPoint
from aidp_ext.experiments.upstream import TrackingState

log = logging.getLogger("aidp")

Send = Callable[[bytes], Awaitable[object]]
#: What waits for one watcher at most; beyond it is told to ask anew.
_ROWS, _ENDED, _CURVES = 2000, 200, 400
#: Points of a curve in one message.
_POINTS = 320


class Watcher:
    """One page."""

    def __init__(self, caller: Caller, send: Send) -> None:
        self.caller = caller
        self.watch = wire.Watch()
        self._send = send
        self._there = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._clear()

    def _clear(self) -> None:
        self._rows: dict[str, dict[str, Row]] = {}
        self._removed: dict[str, dict[str, None]] = {}
        self._points: dict[tuple[str, str], list[NewPoint]] = {}
        self._ended: dict[str, Row] = {}
        self._versions: dict[str, str] = {}
        self._tracking: TrackingState | None = None
        self._resync = False

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Send nothing any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def notebooks(self) -> frozenset[str]:
        """The notebooks whose cells are watched."""
        cells = self.watch.cells
        return frozenset([cells] if isinstance(cells, str) else cells or ())

    # ---- what is to be told

    def tell_runs(self, experiment: str, rows: Iterable[Row], removed: Iterable[str], version: str) -> None:
        """Runs changed or are gone; with neither, only how the index is called now."""
        known = self._rows.setdefault(experiment, {})
        known |= {row.id: row for row in rows}
        gone = dict.fromkeys(removed)
        for run in gone:
            known.pop(run, None)
        self._removed.setdefault(experiment, {}).update(gone)
        self._versions[experiment] = version
        if sum(map(len, self._rows.values())) + sum(map(len, self._removed.values())) > _ROWS:
            self.tell_resync()
        self._there.set()

    def tell_points(self, points: Iterable[NewPoint]) -> None:
        """Points were logged."""
        for point in points:
            known = self._points.setdefault((point.run, point.metric), [])
            known.append(point)
            if len(known) > 4 * _POINTS:
                del known[: len(known) - 2 * _POINTS : 2]  # the later ones matter
        if len(self._points) > _CURVES:
            self.tell_resync()
        self._there.set()

    def tell_ended(self, row: Row) -> None:
        """A run ended or diverged."""
        if len(self._ended) < _ENDED:
            self._ended[row.id] = row
        self._there.set()

    def tell_tracking(self, state: TrackingState) -> None:
        """The tracking server is another way."""
        self._tracking = state
        self._there.set()

    def tell_resync(self) -> None:
        """More happened than is told."""
        tracking, ended = self._tracking, self._ended
        self._clear()
        self._tracking, self._ended, self._resync = tracking, ended, True
        self._there.set()

    def forget_unwatched(self, watch: wire.Watch) -> None:
        """Take a new wish; what waits for the one before is of no use."""
        self.watch = watch
        self._points = {key: points for key, points in self._points.items() if key[0] in watch.runs}

    # ---- telling it

    async def _run(self) -> None:
        try:
            while True:
                await self._there.wait()
                self._there.clear()
                for news in self._take():
                    await self._send(msgspec.json.encode(news))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # it is closed, which its own handler hears of
            log.debug("a watcher has gone: %s", error)

    def _take(self) -> list[wire.News]:
        found: list[wire.News] = []
        if self._tracking is not None:
            found.append(wire.TrackingNews(self._tracking))
        if self._resync:
            found.append(wire.Resync())
        for experiment, version in self._versions.items():
            rows, removed = self._rows.get(experiment, {}), self._removed.get(experiment, {})
            found.append(wire.RunsNews(experiment, tuple(rows.values()), tuple(removed), version))
        found += [_points(run, metric, points) for (run, metric), points in self._points.items()]
        found += [wire.EndedNews(row) for row in self._ended.values()]
        self._clear()
        return found


def _points(run: str, metric: str, points: list[NewPoint]) -> wire.PointsNews:
    if len(points) > _POINTS:
        step = len(points) / _POINTS
        points = [points[min(len(points) - 1, int((number + 1) * step) - 1)] for number in range(_POINTS)]
    return wire.PointsNews(
        run,
        metric,
        tuple(point.step for point in points),
        tuple(point.time_ms for point in points),
        tuple(point.value for point in points),
    )
