"""Feed the index by MLflow's REST API where its database cannot be read: a few questions a look, newest runs first."""

# ruff: noqa: S608 - what is put into SQL are names of tables and columns of ours; values are always parameters

from __future__ import annotations

import asyncio
import math
import sqlite3
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from aidp_ext.core.errors import NotFound
from aidp_ext.experiments.index import sync
from aidp_ext.experiments.index.workers import Worker
from aidp_ext.experiments.models import LARGEST
from aidp_ext.experiments.stores.mlflow import MlflowStore

#: How many runs are asked for at once.
PAGE = 500
#: How long one look may bring in what has piled up, and how often everything is gone through.
SLICE_S, ALL_S, EXPERIMENTS_S = 2.0, 600.0, 10.0
_ASKED_ONE_BY_ONE = 50
_NEWEST = ("attributes.start_time DESC",)


class RestFeed:
    """What a feed remembers between two looks."""

    def __init__(self, store: MlflowStore) -> None:
        self._store = store
        self._experiments: list[str] = []
        self._asked_experiments = self._went_through = 0.0
        self._token: str | None = None  # of the page where going through everything goes on
        self._seen: set[str] | None = None  # while it is under way
        self._known: set[str] = set()

    @property
    def backlog(self) -> int:
        """Whether runs are still to be brought in, as a number."""
        return int(self._seen is not None)

    def forget(self) -> None:
        """Note that the index was made anew."""
        self._asked_experiments = self._went_through = 0.0
        self._token = self._seen = None

    async def look(self, worker: Worker, touched: Iterable[str]) -> bool:
        """Bring in what changed; ``touched`` are runs that surely did. Returns whether anything was brought in.

        Raises the errors of the store and of the worker.
        """
        has_changed = await self._look_at_experiments(worker)
        if not self._experiments:
            return has_changed
        running, _ = await self._store.search_runs(self._experiments, filter="attributes.status = 'RUNNING'", most=PAGE)
        newest, _ = await self._store.search_runs(self._experiments, order_by=_NEWEST, most=100)
        alive = await worker.run(_alive)
        named = {_id(run) for run in (*running, *newest)}
        others = [one for one in dict.fromkeys((*touched, *alive)) if one not in named]
        runs = [*running, *newest, *await self._one_by_one(worker, others[:_ASKED_ONE_BY_ONE])]
        has_changed |= await worker.run(lambda connection: _take_in(connection, runs))
        return await self._go_through(worker) or has_changed

    async def _look_at_experiments(self, worker: Worker) -> bool:
        now = time.monotonic()
        if self._asked_experiments and now - self._asked_experiments < EXPERIMENTS_S:
            return False
        found = await self._store.experiments()
        self._experiments = [str(one["experiment_id"]) for one in found]
        self._asked_experiments = now
        return await worker.run(lambda connection: _take_in_experiments(connection, found))

    async def _one_by_one(self, worker: Worker, ids: Sequence[str]) -> list[dict[str, Any]]:
        found, gone = [], []
        for answer, id in zip(
            await asyncio.gather(*map(self._store.run, ids), return_exceptions=True), ids, strict=True
        ):
            if isinstance(answer, NotFound):
                gone.append(id)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found.append(answer)
        if gone:
            await worker.run(lambda connection: _remove(connection, gone))
        return found

    async def _go_through(self, worker: Worker) -> bool:
        """Go through all runs, some at a look; those that did not come up are gone."""
        began = time.monotonic()
        if self._seen is None:
            if self._went_through and began - self._went_through < ALL_S:
                return False
            self._seen, self._token = set(), None
            self._known = set(await worker.run(_all_ids))
        has_changed = False
        while time.monotonic() - began < SLICE_S:
            runs, token = await self._store.search_runs(
                self._experiments, order_by=_NEWEST, most=PAGE, token=self._token
            )
            self._token = token
            self._seen |= {_id(run) for run in runs}
            has_changed |= await worker.run(partial(_take_in, runs=runs))
            if token is None:
                gone = sorted(self._known - self._seen)
                await worker.run(partial(_remove, ids=gone))
                self._seen, self._went_through = None, time.monotonic()
                return has_changed or bool(gone)
        return has_changed


def _id(run: dict[str, Any]) -> str:
    return str(run["info"]["run_id"])


def _alive(connection: sqlite3.Connection) -> list[str]:
    question = "SELECT run_id FROM main.runs WHERE status IN ('RUNNING', 'SCHEDULED') AND stage = 'active' LIMIT 500"
    return [row[0] for row in connection.execute(question)]


def _all_ids(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT run_id FROM main.runs")]


def _remove(connection: sqlite3.Connection, ids: Sequence[str]) -> None:
    sync.prepare(connection)
    sync.remove(connection, ids)


def _attach(connection: sqlite3.Connection) -> None:
    if not any(row[1] == "src" for row in connection.execute("PRAGMA database_list")):
        connection.execute("ATTACH ':memory:' AS src")
        for statement in filter(str.strip, sync.SHAPE.split(";")):
            connection.execute(statement)
        sync.prepare(connection)


def _take_in_experiments(connection: sqlite3.Connection, found: list[dict[str, Any]]) -> bool:
    _attach(connection)
    with sync.transaction(connection):
        connection.execute("DELETE FROM src.experiments")
        connection.execute("DELETE FROM src.experiment_tags")
        connection.executemany(
            "INSERT INTO src.experiments VALUES(?, ?, ?)",
            ((str(one["experiment_id"]), one.get("name", ""), one.get("lifecycle_stage", "active")) for one in found),
        )
        connection.executemany(
            "INSERT INTO src.experiment_tags VALUES(?, ?, ?)",
            (
                (str(one["experiment_id"]), tag["key"], tag.get("value", ""))
                for one in found
                for tag in one.get("tags", ())
            ),
        )
    return sync.experiments(connection)


def _take_in(connection: sqlite3.Connection, runs: Sequence[dict[str, Any]]) -> bool:
    """Bring in those of the runs that are not in the index as they are here."""
    _attach(connection)
    has_changed = False
    for some in sync.batched_ids(runs, PAGE):  # type: ignore[arg-type]
        with sync.transaction(connection):
            _stage(connection, some)  # type: ignore[arg-type]
        changed = sync.differing(connection, [_id(run) for run in some])  # type: ignore[arg-type]
        if changed:
            sync.bring(connection, changed)
            has_changed = True
    return has_changed


def _stage(connection: sqlite3.Connection, runs: Sequence[dict[str, Any]]) -> None:
    for table in ("runs", "latest_metrics", "params", "tags", "datasets", "inputs", "input_tags"):
        connection.execute(f"DELETE FROM src.{table}")
    insert = connection.executemany
    insert("INSERT OR REPLACE INTO src.runs VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)", map(_head, runs))
    insert(
        "INSERT OR REPLACE INTO src.latest_metrics VALUES(?, ?, ?, ?, ?, ?)",
        (metric for run in runs for metric in _metrics(run)),
    )
    for table in ("params", "tags"):
        insert(
            f"INSERT OR REPLACE INTO src.{table} VALUES(?, ?, ?)",
            (
                (_id(run), one.get("key", ""), one.get("value", ""))
                for run in runs
                for one in run.get("data", {}).get(table, ())
            ),
        )
    for run in runs:
        for number, one in enumerate(run.get("inputs", {}).get("dataset_inputs", ())):
            input, set_ = f"{_id(run)}-{number}", one.get("dataset", {})
            values = (input, set_.get("name", ""), set_.get("digest", ""))
            connection.execute("INSERT OR REPLACE INTO src.datasets VALUES(?, ?, ?)", values)
            connection.execute("INSERT INTO src.inputs VALUES(?, ?, 'RUN', ?)", (input, input, _id(run)))
            insert(
                "INSERT OR REPLACE INTO src.input_tags VALUES(?, ?, ?)",
                ((input, tag.get("key", ""), tag.get("value", "")) for tag in one.get("tags", ())),
            )


def _head(run: dict[str, Any]) -> tuple[Any, ...]:
    info = run["info"]
    return (
        info["run_id"],
        info.get("run_name", ""),
        info.get("status", "RUNNING"),
        info.get("lifecycle_stage", "active"),
        _whole(info.get("start_time")),
        _whole(info.get("end_time")),
        info.get("user_id", ""),
        info.get("artifact_uri", ""),
        str(info["experiment_id"]),
    )


def _metrics(run: dict[str, Any]) -> Iterable[tuple[Any, ...]]:
    for one in run.get("data", {}).get("metrics", ()):
        value = float(one.get("value", 0.0))
        is_nan = math.isnan(value)
        kept = 0.0 if is_nan else max(-LARGEST, min(LARGEST, value))
        yield _id(run), one["key"], kept, int(is_nan), _whole(one.get("step")) or 0, _whole(one.get("timestamp")) or 0


def _whole(value: Any) -> int | None:
    """Return a whole number, which some servers send as a text; MLflow says 0 for an end that has not come."""
    return int(value) or None if value not in (None, "") else None
