"""Reads points of metrics from MLflow's own SQLite file, which is opened for reading only."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from aidp_ext.experiments.index.schema import connect
from aidp_ext.experiments.models import LARGEST

Point = tuple[int, int, float | None]  # step, time, value where it is finite
_CHUNK = 4096
_INDEX = "index_metrics_run_uuid_key_step"
_VALUE = f"iif(is_nan OR abs(value) >= {LARGEST!r}, NULL, value)"
_POINTS = f"SELECT step, timestamp, {_VALUE} FROM metrics"  # noqa: S608 - a number of ours


class NewPoint(Struct, frozen=True):
    """A point that was logged."""

    run: str
    metric: str
    step: int
    time_ms: int
    value: float | None


def open_file(database: Path) -> sqlite3.Connection:
    """Return a connection that only reads. Raises sqlite3.Error where there is no such file."""
    return connect(f"{database.absolute().as_uri()}?mode=ro")


class Points:
    """The points of a metric along an axis, counted first and read some at a time."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        run: str,
        metric: str,
        *,
        by_time: bool,
        first: float | None,
        last: float | None,
    ) -> None:
        hint = f"INDEXED BY {_INDEX}" if _has_index(connection) else ""
        column = "timestamp" if by_time else "step"
        where, values = "run_uuid = ? AND key = ?", [run, metric, *(x for x in (first, last) if x is not None)]
        where += "" if first is None else f" AND {column} >= ?"
        where += "" if last is None else f" AND {column} <= ?"
        counted = f"SELECT count(*) FROM metrics {hint} WHERE {where}"  # noqa: S608 - names of ours
        (self.total,) = connection.execute(counted, values).fetchone()
        order = "timestamp, step" if by_time else "step"
        self._cursor = connection.execute(f"{_POINTS} {hint} WHERE {where} ORDER BY {order}", values)
        self._read: list[Point] = []
        self._at = 0

    def take(self, count: int) -> Sequence[Point]:
        """Return the next points."""
        while len(self._read) - self._at < count:
            more = self._cursor.fetchmany(max(_CHUNK, count))  # few at a time take half as long again
            if not more:
                break
            self._read = [*self._read[self._at :], *more]
            self._at = 0
        some = self._read[self._at : self._at + count]
        self._at += len(some)
        return some


def _has_index(connection: sqlite3.Connection) -> bool:
    question = "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?"
    return connection.execute(question, (_INDEX,)).fetchone() is not None


def extremes(connection: sqlite3.Connection, run: str, most: int = 300_000) -> dict[str, tuple[float, float]]:
    """Return the least and the greatest finite value of each metric of a run; of none where it has too many points."""
    some = "SELECT count(*) FROM (SELECT 1 FROM metrics WHERE run_uuid = ? LIMIT ?)"
    (count,) = connection.execute(some, (run, most)).fetchone()
    if count == most:
        return {}
    rows = connection.execute(
        f"SELECT key, min({_VALUE}), max({_VALUE}) FROM metrics WHERE run_uuid = ? GROUP BY key",  # noqa: S608 - ours
        (run,),
    )
    return {key: (least, greatest) for key, least, greatest in rows if least is not None}


def top(connection: sqlite3.Connection) -> int:
    """Return the number of the last point that was logged."""
    return int(connection.execute("SELECT coalesce(max(rowid), 0) FROM metrics").fetchone()[0])


def new_points(
    connection: sqlite3.Connection, runs: Sequence[str], above: int, most: int
) -> tuple[list[NewPoint], int]:
    """Return what was logged to these runs after the point with the number ``above``, and the last point's number."""
    last = top(connection)
    if last <= above:
        return [], last
    rows = connection.execute(
        f"SELECT run_uuid, key, step, timestamp, {_VALUE} FROM metrics NOT INDEXED"  # noqa: S608 - a number of ours
        " WHERE rowid > ? AND rowid <= ? AND run_uuid IN (SELECT value FROM json_each(?)) ORDER BY rowid DESC LIMIT ?",
        (above, last, json.dumps(list(runs)), most),
    )
    return [NewPoint(*row) for row in rows][::-1], last
