"""The index against a real MLflow: the same runs in the same order, and what may go wrong with its file."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from aidp_ext.core.errors import Unavailable
from aidp_ext.experiments.index import schema
from aidp_ext.experiments.index.workers import Worker
from aidp_ext.experiments.models import Caller, Can, Everything
from aidp_ext.experiments.wire import RunChange
from tests.support.desk import ANA, Desk
from tests.support.tracking import TrackingHost

FILTERS = [
    "",
    "metrics.loss > 0.1",
    "metrics.loss != 0.1",
    "metrics.loss >= -1e308",
    "metrics.`val/acc: ä` <= 0.5 AND params.lr = '0.1'",
    "params.opt LIKE 'a%'",
    "params.opt ILIKE 'a%'",
    "params.opt != 'adam'",
    "params.opt IS NULL",
    "tags.fam = 'a' and metrics.loss < 1e3",
    "tags.\"t.x\" IS NOT NULL AND tags.`t.x` != '5'",
    "attributes.status = 'FAILED'",
    "status != 'RUNNING'",
    "attributes.start_time > 1010 and attr.end_time <= 2020",
    "run_name = 'run 3'",
    "attributes.run_name ILIKE 'RUN 4'",
    "datasets.name = 'ds0'",
    "dataset.name LIKE 'ds%' AND dataset.context = 'train'",
    "params.nope IS NULL AND metrics.nope > 1",
    "tags.long LIKE 'xxx%'",
]
ORDERS: list[list[str]] = [
    [],
    ["metrics.loss DESC"],
    ["metrics.loss"],
    ["params.lr", "metrics.loss DESC"],
    ["params.opt DESC"],
    ["tags.fam", "attributes.start_time ASC"],
    ["attributes.end_time DESC"],
    ["attributes.run_name"],
]
LOSSES = [0.1, 0.2, "NaN", "Infinity", "-Infinity", -3.5, 0.1, 1e300]


@pytest.fixture(scope="module")
def filled(desk: Desk) -> tuple[str, str]:
    """Two experiments with all that is odd; the second has a few runs."""
    first, second = desk.host.experiment("filled/ä 🐧"), desk.host.experiment("few")
    for n in range(24):
        run = desk.start_run(second if n % 6 == 5 else first, f"run {n % 5}", 1000 + n // 2, {"fam": "abc"[n % 3]})
        metrics: dict[str, Any] = {"loss": LOSSES[n % 8]} if n % 4 else {}
        if n % 3:
            metrics["val/acc: ä"] = n / 24
        params = {"lr": ["0.1", "0.01"][n % 2]} | ({"opt": ["adam", "Adam", "sgd"][n % 3]} if n % 5 else {})
        tags = {"t.x": str(n)} if n % 2 else {"long": "x" * (300 + n)}
        desk.log(run, metrics=metrics, params=params, tags=tags)
        if n % 7 == 0:
            source = {"source_type": "local", "source": "s"}
            context = [{"key": "mlflow.data.context", "value": "train"}]
            data = {"tags": context, "dataset": {"name": f"ds{n % 2}", "digest": "d", **source}}
            desk.host.post("runs/log-inputs", run_id=run, datasets=[data])
        if n % 6:
            desk.end(run, "FAILED" if n % 8 == 1 else "FINISHED", 2000 + n)
        if n % 11 == 10:
            desk.host.post("runs/delete", run_id=run)
    return first, second


def theirs(host: TrackingHost, experiments: list[str], filter: str, order: list[str], view: str) -> list[str]:
    said = host.post(
        "runs/search", experiment_ids=experiments, filter=filter, order_by=order, run_view_type=view, max_results=1000
    )
    return [run["info"]["run_id"] for run in said.get("runs", [])]


@pytest.mark.parametrize("filter", FILTERS)
def test_it_finds_what_mlflow_finds_in_mlflows_order(desk: Desk, filled: tuple[str, str], filter: str) -> None:
    number = FILTERS.index(filter)
    for experiments in (list(filled), [filled[0]]):
        for order in [[], ORDERS[1 + number % 7], ORDERS[1 + (number * 3 + 2) % 7]]:
            expected = theirs(desk.host, experiments, filter, order, "ACTIVE_ONLY")
            page = desk.search(*experiments, filter=filter, order_by=order)
            assert ([run.id for run in page.runs], page.total) == (expected, len(expected)), order
            parts = [
                desk.ids(*experiments, filter=filter, order_by=order, offset=at, limit=3) for at in range(0, 27, 3)
            ]
            assert [id for part in parts for id in part] == expected, f"in pages: {order}"


@pytest.mark.parametrize("order", ORDERS)
def test_it_knows_the_order_of_deleted_runs_too(desk: Desk, filled: tuple[str, str], order: list[str]) -> None:
    for view, name in (("deleted", "DELETED_ONLY"), ("all", "ALL")):
        expected = theirs(desk.host, list(filled), "metrics.loss != 7", order, name)
        assert desk.ids(*filled, filter="metrics.loss != 7", order_by=order, view=view) == expected


@pytest.mark.parametrize("filter", [*FILTERS[:6], "datasets.name = 'ds0'"])
def test_it_is_the_same_where_only_the_rest_api_is_there(far: Desk, filled: tuple[str, str], filter: str) -> None:
    def is_known() -> bool:
        return far.search(*filled, view="all").total == 24

    far.until(is_known, "all runs are known by REST")
    for order in ORDERS[:4]:
        assert far.ids(*filled, filter=filter, order_by=order) == theirs(
            far.host, list(filled), filter, order, "ACTIVE_ONLY"
        )


def test_a_row_tells_what_was_asked_of_it(desk: Desk, filled: tuple[str, str]) -> None:
    columns = ["metrics.loss", "params.lr", "tags.fam", "metrics.nope", "nonsense", "colours.red"]
    rows = desk.search(filled[0], order_by=["attributes.start_time"], columns=columns).runs
    assert {row.values["metrics.loss"] for row in rows} >= {"NaN", "Infinity", 0.1, 1e300, None}
    assert set(rows[0].values) == set(columns)
    assert {row.values["metrics.nope"] for row in rows} == {row.values["nonsense"] for row in rows} == {None}
    assert all(row.diverged == (row.values["metrics.loss"] in ("NaN", "Infinity", "-Infinity")) for row in rows)
    diverged = desk.ids(filled[0], filter="attributes.diverged = 'true'")
    assert set(diverged) == {row.id for row in rows if row.diverged} and diverged
    times = [
        (row.end_ms or 10**15) - row.start_ms for row in desk.search(filled[0], order_by=["attributes.duration"]).runs
    ]
    assert times == sorted(times)


def test_the_columns_of_an_experiment_are_told(desk: Desk, filled: tuple[str, str]) -> None:
    from aidp_ext.experiments.wire import ColumnsQuery

    said = desk.ask(desk.service.columns(ANA, ColumnsQuery(experiment=filled[0])))
    loss = next(one for one in said.metrics if one.key == "loss")
    assert (loss.min, loss.max) == (-3.5, 1e300)
    assert next(set(one.values) for one in said.params if one.key == "lr") == {"0.1", "0.01"}
    some = desk.ask(desk.service.columns(ANA, ColumnsQuery(experiment=filled[0], search="ACC: ä")))
    assert ([one.key for one in some.metrics], some.params) == (["val/acc: ä"], ())
    nothing = desk.ask(desk.service.columns(ANA, ColumnsQuery(experiment=filled[0], search="%")))
    assert nothing.metrics == ()


class OnlySome(Everything):
    """Rights to one experiment."""

    def __init__(self) -> None:
        self.ids: frozenset[str] = frozenset()

    async def visible(self, caller: Caller) -> frozenset[str] | None:
        return self.ids if caller.who == "bob" else None

    async def may(self, caller: Caller, experiment_id: str, right: str) -> bool:
        return caller.who == "ana" or (experiment_id in self.ids and right == "read")


def test_nobody_finds_runs_that_they_may_not_see(
    tracking: TrackingHost, filled: tuple[str, str], tmp_path: Path
) -> None:
    access = OnlySome()
    desk = Desk(tracking, tmp_path, access=access)
    try:
        access.ids, bob = frozenset([filled[1]]), Caller("bob")
        everything = desk.search(*filled, view="all")
        hidden = next(row.id for row in everything.runs if row.experiment_id == filled[0])
        for asked in (filled, (), (filled[0],)):
            page = desk.search(*asked, view="all", caller=bob, filter="attributes.run_id != 'x'")
            assert {row.experiment_id for row in page.runs} <= {filled[1]}
            assert page.total == len(page.runs)
        said = desk.ask(desk.service.experiments(bob))
        assert [(one.id, one.can) for one in said.experiments] == [(filled[1], Can(write=False, manage=False))]
        for work in (
            lambda: desk.service.run(bob, hidden),
            lambda: desk.service.files(bob, hidden, ""),
            lambda: desk.service.compare(bob, [hidden, hidden]),
        ):
            with pytest.raises(Exception, match="no such run"):
                desk.ask(work())
        with pytest.raises(Exception, match="not change it"):
            desk.ask(desk.service.change_experiment(bob, filled[1], None, "mine"))
        assert desk.ask(desk.service.set_stage(bob, [hidden], "deleted")).failed[0].code == "not_found"
    finally:
        desk.close()


# --- its file


def test_an_index_that_is_damaged_or_of_another_version_is_made_anew(
    tracking: TrackingHost, filled: tuple[str, str], tmp_path: Path
) -> None:
    def total() -> int:
        desk = Desk(tracking, tmp_path)
        try:
            desk.until(lambda: desk.search(*filled, view="all").total == 24, "all runs are known")
            return desk.search(*filled, view="all").total
        finally:
            desk.close()

    assert total() == 24
    with sqlite3.connect(tmp_path / "index.db") as connection:
        connection.execute("PRAGMA user_version=99")
        connection.execute("CREATE TABLE other(x)")
    connection.close()
    assert total() == 24
    (tmp_path / "index.db").write_bytes(b"this is no database" * 1000)
    assert total() == 24
    whole = (tmp_path / "index.db").read_bytes()
    (tmp_path / "index.db").write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    assert total() == 24
    assert (tmp_path / "index.db").stat().st_mode & 0o777 == 0o600


def test_an_index_that_is_removed_while_in_use_is_made_anew(
    tracking: TrackingHost, filled: tuple[str, str], tmp_path: Path
) -> None:
    desk = Desk(tracking, tmp_path)
    try:
        desk.until(lambda: desk.search(*filled, view="all").total == 24, "all runs are known")
        before = desk.search(*filled).version
        schema.discard(tmp_path / "index.db")
        (tmp_path / "index.db").unlink()
        desk.until(lambda: desk.search(*filled).version.split(".")[0] != before.split(".")[0], "it is another one")
        desk.until(lambda: desk.search(*filled, view="all").total == 24, "all runs are known again")
    finally:
        desk.close()


def test_lists_are_served_while_the_index_is_locked_by_another_program(
    tracking: TrackingHost, filled: tuple[str, str], tmp_path: Path
) -> None:
    desk = Desk(tracking, tmp_path)
    try:
        desk.until(lambda: desk.search(*filled, view="all").total == 24, "all runs are known")
        other = sqlite3.connect(tmp_path / "index.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        new = desk.start_run(filled[1], "while it is locked")
        assert desk.search(*filled, view="all").total == 24
        other.execute("ROLLBACK")
        other.close()
        desk.until(lambda: new in desk.ids(*filled), "the new run is known")
        desk.host.post("runs/delete", run_id=new)
    finally:
        desk.close()


def test_runs_that_are_gone_from_mlflows_database_go_from_the_index(desk: Desk) -> None:
    experiment = desk.host.experiment("gone")
    runs = [desk.start_run(experiment, str(n)) for n in range(3)]
    desk.until(lambda: len(desk.ids(experiment)) == 3, "three runs")
    database = desk.host.upstream.database
    assert database is not None
    with sqlite3.connect(database, timeout=30) as connection:  # as `mlflow gc` does it
        for table in ("tags", "params", "metrics", "latest_metrics", "runs"):
            connection.execute(f"DELETE FROM {table} WHERE run_uuid = ?", (runs[-1],))
    connection.close()
    desk.service._index._direct._compared = -1e9  # type: ignore[union-attr]  # a minute later
    desk.until(lambda: len(desk.ids(experiment)) == 2, "one is gone")
    another = desk.start_run(experiment, "with the number of the one before")
    desk.until(lambda: another in desk.ids(experiment), "a run whose row number was used before")


def test_what_was_changed_past_the_proxy_is_found_in_the_end(desk: Desk) -> None:
    experiment = desk.host.experiment("past the proxy")
    run = desk.start_run(experiment, "before")
    desk.end(run)
    desk.until(lambda: desk.search(experiment, filter="status = 'FINISHED'").total, "it has ended")
    database = desk.host.upstream.database
    assert database is not None
    with sqlite3.connect(database, timeout=30) as connection:
        connection.execute("UPDATE runs SET name = 'after' WHERE run_uuid = ?", (run,))
    connection.close()
    desk.service._index._direct._compared = -1e9  # type: ignore[union-attr]
    desk.until(lambda: desk.search(experiment).runs[0].name == "after", "the new name")


def test_a_tag_that_was_written_last_goes_when_it_is_taken_away(desk: Desk) -> None:
    run = desk.start_run(desk.host.experiment("a tag less"))
    desk.end(run)
    tags = ("kept", "gone")
    for name in tags:
        detail = desk.ask(desk.service.change_run(ANA, run, RunChange(tags={name: "yes"})))
    assert set(tags) < set(detail.tags)
    detail = desk.ask(desk.service.change_run(ANA, run, RunChange(tags={"gone": None})))
    assert "kept" in detail.tags and "gone" not in detail.tags


def test_two_users_who_log_to_one_run_lose_nothing(desk: Desk) -> None:
    run = desk.start_run(desk.host.experiment("two users"))

    def log(who: str) -> None:
        for n in range(8):
            desk.log(run, metrics={f"{who}/{n}": n, "shared": [(n, n)]}, params={f"{who}{n}": who}, tags={"last": who})

    threads = [threading.Thread(target=log, args=(who,)) for who in ("ana", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    desk.until(lambda: len(desk.ask(desk.service.run(ANA, run)).params) == 16, "all parameters")
    detail = desk.ask(desk.service.run(ANA, run))
    assert len(detail.metrics) == 17 and detail.tags["last"] in ("ana", "bob")


def test_names_of_all_kinds_and_thousands_of_columns(desk: Desk) -> None:
    experiment = desk.host.experiment("x" * 240 + "/ä 🐧")
    run = desk.start_run(experiment, "name/🐧 " + "n" * 240)
    long = "k/" + "ä" * 240
    desk.log(run, metrics={long: 1e300, "tiny": 5e-324}, params={long: "v" * 500, "one": "=cmd|' /C calc'!A0"})
    for at in range(0, 5000, 1000):
        desk.log(run, metrics={f"m{at + n:04}": float(n) for n in range(1000)})
    desk.until(lambda: len(desk.ask(desk.service.run(ANA, run)).metrics) == 5002, "all metrics")
    key = f"metrics.`{long}`"
    assert desk.ids(experiment, filter=f"{key} > 1e299", order_by=[f"{key} DESC"]) == [run]
    row = desk.search(experiment, columns=[f"metrics.{long}", "metrics.tiny", f"params.{long}"]).runs[0]
    assert row.values == {f"metrics.{long}": 1e300, "metrics.tiny": 5e-324, f"params.{long}": "v" * 500}
    assert not row.diverged
    from aidp_ext.experiments.wire import ColumnsQuery

    said = desk.ask(desk.service.columns(ANA, ColumnsQuery(experiment=experiment, search="m49", limit=1000)))
    assert len(said.metrics) == 100


def test_a_question_that_is_taken_back_is_interrupted(tracking: TrackingHost, tmp_path: Path) -> None:
    import asyncio

    async def work() -> float:
        worker = Worker("slow", lambda: sqlite3.connect(tmp_path / "x.db", check_same_thread=False))
        endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
        asked = asyncio.create_task(worker.run(lambda connection: connection.execute(endless).fetchone()))
        await asyncio.sleep(0.2)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        answer = await asyncio.wait_for(worker.run(lambda connection: connection.execute("SELECT 7").fetchone()), 30)
        await worker.close()
        return float(answer[0])

    assert tracking.run(work()) == 7


def test_a_database_that_stays_locked_is_said_to_be(tmp_path: Path, tracking: TrackingHost) -> None:
    def locked(_: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("database is locked")

    async def work() -> None:
        worker = Worker("locked", lambda: sqlite3.connect(tmp_path / "x.db", check_same_thread=False))
        try:
            await worker.run(locked)
        finally:
            await worker.close()

    with pytest.raises(Unavailable):
        tracking.run(work())


def test_clocks_that_are_far_off_do_no_harm(desk: Desk) -> None:
    experiment = desk.host.experiment("clocks")
    runs = [desk.start_run(experiment, "", start) for start in (0, 1, 2**52, 4_102_444_800_000)]
    for run in runs:
        desk.end(run, end_ms=1)
    desk.until(lambda: desk.search(experiment, filter="status = 'FINISHED'").total == 4, "all have ended")
    assert desk.ids(experiment) == [runs[2], runs[3], runs[1], runs[0]]
    assert math.isfinite(desk.search(experiment).runs[0].start_ms)
