"""Curves: thinned out on the server, with what is odd among their points."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from aidp_ext.core.errors import StorageError
from aidp_ext.experiments.curves import History, RunAsked, Shape, thinned
from aidp_ext.experiments.models import Curve
from tests.support.desk import Desk

RUN = RunAsked("r", 1000, 1)


def curve(points: list[tuple[int, int, float | None]], wanted: int = 10, axis: Any = "step") -> Any:
    rest = iter(points)

    def take(count: int) -> list[tuple[int, int, float | None]]:
        return [point for _, point in zip(range(count), rest, strict=False)]

    return thinned(RUN, "loss", Shape(axis, wanted, None, None), len(points), take)


def test_each_point_stands_for_those_around_it() -> None:
    made = curve([(n, 2000 + n, float(n % 10)) for n in range(1000)])
    assert made.x == tuple(range(99, 1000, 100)) == made.step
    assert set(made.y) == set(made.max) == {9.0} and set(made.min) == {0.0}
    assert (made.total, made.not_finite) == (1000, 0)
    assert curve([(n, 2000 + n, 1.0) for n in range(100)], axis="relative").x[0] == 1009


def test_no_spike_is_lost() -> None:
    points: list[tuple[int, int, float | None]] = [(n, n, 0.0) for n in range(10_000)]
    points[4321] = (4321, 4321, 1e300)
    made = curve(points, 320)
    assert len(made.x) == 320 and max(made.max) == 1e300 and made.max.count(1e300) == 1


def test_what_is_not_finite_is_counted_and_not_drawn() -> None:
    made = curve([(n, n, None if n % 2 else float(n)) for n in range(6)])
    assert made.y == (0.0, None, 2.0, None, 4.0, None) and made.not_finite == 3
    assert curve([(n, n, None) for n in range(100)], 2).y == (None, None)


def test_few_points_are_all_there_and_none_is_nothing() -> None:
    assert curve([(5, 5, 1.0), (5, 5, 2.0), (7, 6, 3.0)]).y == (1.0, 2.0, 3.0)
    assert curve([]).total == 0


# --- before a real MLflow


@pytest.fixture(scope="module")
def odd(desk: Desk) -> str:
    """A run with all that is odd about points."""
    run = desk.start_run(desk.host.experiment("curves"), start_ms=0)
    desk.log(run, metrics={"loss": [(n, 1 / (n + 1)) for n in range(700)]})
    desk.log(run, metrics={"odd": [(3, 1.0), (1, "NaN"), (2, "Infinity"), (0, "-Infinity"), (-5, 1e300), (3, 2.0)]})
    desk.log(run, metrics={"constant": [(0, float(n)) for n in range(5)]})  # all at one step
    desk.log(run, metrics={"far": [(-(2**40), 1.0), (0, 2.0), (2**40, 3.0)]})
    return run


@pytest.mark.parametrize("where", ["desk", "far"])
def test_curves_are_the_same_from_the_file_and_by_rest(where: str, odd: str, request: pytest.FixtureRequest) -> None:
    desk: Desk = request.getfixturevalue(where)
    desk.until(lambda: desk.search(filter=f"run_id = '{odd}'").total, "the run is known")
    loss, strange, far = desk.curves([odd], ["loss", "odd", "none", "far"], points=7)
    assert (loss.total, len(loss.x), loss.x[-1], loss.max[0]) == (700, 7, 699, 1.0)
    assert loss.y == tuple(1 / (x + 1) for x in loss.x)
    assert strange.x == (-5, 0, 1, 2, 3, 3) and strange.y[:4] == (1e300, None, None, None)
    assert set(strange.y[4:]) == {1.0, 2.0} and strange.not_finite == 3
    assert far.x == (-(2**40), 0, 2**40)
    (zoomed,) = desk.curves([odd], ["loss"], points=50, from_=100, to=109)
    assert zoomed.x == tuple(range(100, 110))
    (timed,) = desk.curves([odd], ["loss"], points=5, axis="time")
    assert timed.x == timed.time_ms and list(timed.x) == sorted(timed.x)
    (constant,) = desk.curves([odd], ["constant"], axis="time")
    assert constant.total == 5


def test_new_points_of_a_curve_that_is_known_are_seen(desk: Desk) -> None:
    run = desk.start_run(desk.host.experiment("growing"))
    desk.log(run, metrics={"loss": [(n, 1.0) for n in range(5)]})
    desk.until(lambda: desk.search(filter=f"run_id = '{run}'").total, "the run is known")
    desk.until(lambda: sum(one.total for one in desk.curves([run], ["loss"])) == 5, "five points")
    assert desk.curves([run], ["loss"])[0] is desk.curves([run], ["loss"])[0]  # nothing was read again
    desk.end(run)
    desk.host.post("runs/log-metric", run_id=run, key="loss", value=3, timestamp=1, step=1)  # late, and out of order
    desk.until(lambda: desk.curves([run], ["loss"])[0].total == 6, "six points")


def test_a_million_points_are_thinned_out(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "m.db")) as connection:
        connection.execute("CREATE TABLE metrics(run_uuid, key, value, timestamp, step, is_nan)")
        connection.executemany(
            "INSERT INTO metrics VALUES('r', 'loss', ?, ?, ?, 0)", ((math.sin(n / 1e5), n, n) for n in range(10**6))
        )
        connection.execute("CREATE INDEX index_metrics_run_uuid_key_step ON metrics(run_uuid, key, step)")
        connection.commit()

    async def work() -> list[Curve]:
        history = History(tmp_path / "m.db", None, lambda: True)  # type: ignore[arg-type]
        made = await history.curves([RUN], ["loss"], Shape("step", 320, None, None))
        await history.close()
        return made

    (made,) = asyncio.run(work())
    assert (len(made.x), made.x[-1], made.total) == (320, 999_999, 1_000_000)
    assert all(0.99 < abs(value or 0) <= 1.0 for value in (max(made.max), min(made.min)))  # type: ignore[type-var]


def test_a_damaged_or_missing_file_is_an_error_and_no_crash(tmp_path: Path) -> None:
    async def work() -> None:
        (tmp_path / "bad.db").write_bytes(b"no database" * 100)
        for name in ("bad.db", "none.db"):
            history = History(tmp_path / name, None, lambda: True)  # type: ignore[arg-type]
            with pytest.raises(StorageError):
                await history.curves([RUN], ["loss"], Shape("step", 10, None, None))
            assert await history.extremes("r") == {}
            await history.close()

    asyncio.run(work())
