"""Curves of metrics, thinned out on the server: each point stands for a bucket and says between which values it was."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from aidp_ext.core.errors import AidpError, NotFound
from aidp_ext.experiments.index.workers import Worker
from aidp_ext.experiments.models import LARGEST, Curve
from aidp_ext.experiments.stores.mlflow import MlflowStore
from aidp_ext.experiments.stores.sqlite import NewPoint, Point, Points, extremes, new_points, open_file, top

Axis = Literal["step", "time", "relative"]
#: How many curves are remembered, and how many are asked for at once where each is a request.
_REMEMBERED, _AT_ONCE = 512, 4
_CHUNK = 4096


class Shape(NamedTuple):
    """How a curve is wanted."""

    axis: Axis
    points: int
    first: float | None
    last: float | None


class RunAsked(NamedTuple):
    """A run whose curves are wanted: where it starts, and the number of its last change."""

    id: str
    start_ms: int
    seq: int


class History:
    """The points of metrics: from MLflow's file where it can be read, else by its REST API."""

    def __init__(self, database: Path | None, store: MlflowStore, reads_directly: Callable[[], bool]) -> None:
        self._store = store
        self._reads_directly = reads_directly
        self._worker = Worker("history", partial(open_file, database)) if database is not None else None
        self._remembered: OrderedDict[tuple[str, str, Shape], tuple[int, Curve]] = OrderedDict()

    async def close(self) -> None:
        """End what is under way."""
        if self._worker is not None:
            await self._worker.close()

    @property
    def file(self) -> Worker | None:
        """The thread that reads MLflow's file, where that can be read."""
        return self._worker if self._reads_directly() else None

    async def curves(self, runs: Sequence[RunAsked], metrics: Sequence[str], shape: Shape) -> list[Curve]:
        """Return the curves that have points. A curve of which nothing changed is not read again."""
        wanted = [(run, metric) for run in runs for metric in metrics]
        found: dict[tuple[str, str], Curve] = {}
        missing = []
        for run, metric in wanted:
            seq, curve = self._remembered.get((run.id, metric, shape), (-1, None))
            if curve is not None and seq == run.seq:
                found[run.id, metric] = curve
            else:
                missing.append((run, metric))
        for (run, metric), curve in zip(missing, await self._read(missing, shape), strict=True):
            found[run.id, metric] = curve
            self._remembered[run.id, metric, shape] = (run.seq, curve)
        while len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)
        return [curve for run, metric in wanted if (curve := found[run.id, metric]).total]

    async def _read(self, wanted: Sequence[tuple[RunAsked, str]], shape: Shape) -> list[Curve]:
        if self.file is not None:
            # One piece of work each: others' questions come in between
            return [
                await self.file.run(partial(_from_file, run=run, metric=metric, shape=shape)) for run, metric in wanted
            ]
        few = asyncio.Semaphore(_AT_ONCE)

        async def one(run: RunAsked, metric: str) -> Curve:
            async with few:
                return await self._from_rest(run, metric, shape)

        return list(await asyncio.gather(*(one(run, metric) for run, metric in wanted)))

    async def _from_rest(self, run: RunAsked, metric: str, shape: Shape) -> Curve:
        try:
            said = await self._store.history(run.id, metric)
        except NotFound:
            said = []
        return await asyncio.to_thread(_from_answer, said, run, metric, shape)

    async def extremes(self, run: str) -> dict[str, tuple[float, float]]:
        """Return between which finite values each metric of a run was, where that is known cheaply."""
        if self.file is None:
            return {}
        try:
            return await self.file.run(partial(extremes, run=run))
        except AidpError:
            return {}

    async def top(self) -> int:
        """Return the number of the last point that was logged; 0 where the file cannot be read."""
        return 0 if self.file is None else await self.file.run(top)

    async def new_points(self, runs: Sequence[str], above: int, most: int) -> tuple[list[NewPoint], int]:
        """Return what was logged to these runs since then, and the number of the last point."""
        if self.file is None:
            return [], above
        return await self.file.run(partial(new_points, runs=runs, above=above, most=most))


def _limits(run: RunAsked, shape: Shape) -> tuple[float | None, float | None]:
    """Return the limits in steps, or in milliseconds since the epoch."""
    away = run.start_ms if shape.axis == "relative" else 0
    return tuple(None if x is None or not math.isfinite(x) else x + away for x in (shape.first, shape.last))  # type: ignore[return-value]


def _from_file(connection: Any, run: RunAsked, metric: str, shape: Shape) -> Curve:
    first, last = _limits(run, shape)
    points = Points(connection, run.id, metric, by_time=shape.axis != "step", first=first, last=last)
    return thinned(run, metric, shape, points.total, points.take)


def _from_answer(said: Sequence[dict[str, Any]], run: RunAsked, metric: str, shape: Shape) -> Curve:
    points = [(int(one.get("step", 0)), int(one.get("timestamp", 0)), _finite(float(one["value"]))) for one in said]
    at: Callable[[Point], tuple[int, int]]
    at = (lambda point: (point[0], point[1])) if shape.axis == "step" else (lambda point: (point[1], point[0]))
    first, last = _limits(run, shape)
    kept = sorted(
        (one for one in points if (first is None or at(one)[0] >= first) and (last is None or at(one)[0] <= last)),
        key=at,
    )
    rest = iter(kept)
    return thinned(run, metric, shape, len(kept), lambda count: list(islice(rest, count)))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) and abs(value) < LARGEST else None


def thinned(run: RunAsked, metric: str, shape: Shape, total: int, take: Callable[[int], Sequence[Point]]) -> Curve:
    """Return a curve of ``total`` points in buckets; ``take`` gives the next ones in the order of the axis."""
    buckets = min(shape.points, total)
    columns: tuple[list[Any], ...] = ([], [], [], [], [], [])
    seen = not_finite = 0
    for number in range(buckets):
        size = (number + 1) * total // buckets - number * total // buckets
        bucket = _bucket(take, size)
        if bucket is None:  # points were removed meanwhile
            break
        (step, time_ms, _), last, least, greatest, count, lacking = bucket
        seen += count
        not_finite += lacking
        x = step if shape.axis == "step" else time_ms - (run.start_ms if shape.axis == "relative" else 0)
        for column, value in zip(columns, (x, last, least, greatest, step, time_ms), strict=True):
            column.append(value)
    x_, y, low, high, steps, times = map(tuple, columns)
    return Curve(run.id, metric, x_, y, low, high, steps, times, seen, not_finite)


def _bucket(
    take: Callable[[int], Sequence[Point]], size: int
) -> tuple[Point, float | None, float | None, float | None, int, int] | None:
    """Return of ``size`` points the last, its or the last finite value, the least, the greatest, and two counts."""
    count = lacking = 0
    last = least = greatest = None
    end: Point | None = None
    while count < size:
        some = take(min(_CHUNK, size - count))
        if not some:
            break
        end = some[-1]
        values = [point[2] for point in some if point[2] is not None]
        count += len(some)
        lacking += len(some) - len(values)
        if values:
            low, high, last = min(values), max(values), values[-1]
            least = low if least is None or low < least else least
            greatest = high if greatest is None or high > greatest else greatest
    return None if end is None else (end, last, least, greatest, count, lacking)
