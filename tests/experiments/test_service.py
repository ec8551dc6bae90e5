"""What is done to experiments, runs and models, before a real tracking server; comparison and tables."""

from __future__ import annotations

import csv as reader
import io
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from aidp_ext.core.errors import AidpError, Conflict, NotFound, Unavailable, UpstreamUnreachable
from aidp_ext.experiments import compare, csv, wire
from aidp_ext.experiments.models import CellRef, Row, Stage
from aidp_ext.experiments.models_registry import Wanted
from aidp_ext.experiments.upstream import TrackingState
from tests.support.desk import ANA, ByRestOnly, Desk
from tests.support.tracking import TrackingHost


def test_an_experiment_is_made_renamed_noted_deleted_and_brought_back(desk: Desk) -> None:
    made = desk.ask(desk.service.create_experiment(ANA, "new/🐧"))
    assert (made.name, made.runs, made.stage, made.can.manage) == ("new/🐧", 0, "active", True)
    with pytest.raises(Conflict) as caught:
        desk.ask(desk.service.create_experiment(ANA, "new/🐧"))
    assert "sqlite" not in caught.value.message
    changed = desk.ask(desk.service.change_experiment(ANA, made.id, "newer", "why"))
    assert (changed.name, changed.note) == ("newer", "why")
    run = desk.start_run(made.id)
    stages: tuple[Stage, ...] = ("deleted", "active")
    for stage in stages:
        desk.ask(desk.service.set_experiment_stage(ANA, made.id, stage))
        said = desk.ask(desk.service.experiments(ANA)).experiments
        assert next(one.stage for one in said if one.id == made.id) == stage
    assert desk.ids(made.id) == [run]
    for id in ("nope", "../1", "1 OR 1=1"):
        with pytest.raises(NotFound):
            desk.ask(desk.service.change_experiment(ANA, id, None, "x"))


def test_a_run_is_changed_ended_deleted_and_brought_back(desk: Desk) -> None:
    experiment = desk.host.experiment("changing")
    run = desk.start_run(experiment, tags={"a": "1", "b": "2"})
    desk.log(run, metrics={"loss": [(0, 2.0), (1, 1.0)], "system/cpu": 5.0}, params={"lr": "0.1"})
    desk.until(lambda: desk.search(experiment).total, "the run is known")
    change = wire.RunChange(name="n" * 200 + "🐧", note="# why", tags={"a": None, "c": "3"}, end="KILLED")
    detail = desk.ask(desk.service.change_run(ANA, run, change))
    assert (detail.name, detail.note, detail.status) == ("n" * 200 + "🐧", "# why", "KILLED")
    assert "a" not in detail.tags and (detail.tags["b"], detail.tags["c"]) == ("2", "3")
    assert detail.ended == "ended by ana" and detail.system_metrics == ("system/cpu",)
    loss = next(one for one in detail.metrics if one.key == "loss")
    assert (loss.value, loss.min, loss.max, loss.step) == (1.0, 1.0, 2.0, 1)
    with pytest.raises(Conflict):
        desk.ask(desk.service.change_run(ANA, run, wire.RunChange(end="KILLED")))
    done = desk.ask(desk.service.set_stage(ANA, [run, "nope"], "deleted"))
    assert (done.done, done.failed[0].run, done.failed[0].code) == ((run,), "nope", "not_found")
    assert desk.ids(experiment) == [] and desk.ids(experiment, view="deleted") == [run]
    desk.ask(desk.service.set_stage(ANA, [run], "active"))
    assert desk.ids(experiment) == [run]


def test_what_a_run_logged_is_registered(desk: Desk) -> None:
    run = desk.start_run(desk.host.experiment("registry"))
    name = "modèle d'été 🐧"
    desk.until(lambda: desk.search(filter=f"run_id = '{run}'").total, "the run is known")
    for version in ("1", "2"):
        wanted = Wanted(name, "model", None, "champion", "good")
        assert desk.ask(desk.service.register(ANA, run, wanted)) == version
    registry = desk.service.registry
    desk.ask(registry.tag(ANA, name, "2", "stage", "production"))
    desk.ask(registry.set_alias(ANA, name, "old", "1"))
    (model,) = desk.ask(desk.service.models(ANA, name))
    assert (model.latest, model.aliases) == ("2", {"champion": "2", "old": "1"})
    assert [(one.version, one.run_id, one.stage_tag) for one in model.versions] == [
        ("2", run, "production"),
        ("1", run, None),
    ]
    desk.ask(registry.delete_alias(ANA, name, "old"))
    detail = desk.ask(desk.service.run(ANA, run))
    assert {(one.version, one.aliases) for one in detail.models} == {("1", ()), ("2", ("champion",))}
    with pytest.raises(AidpError):
        desk.ask(registry.set_alias(ANA, "no such model", "a", "1"))
    assert desk.ask(desk.service.models(ANA, "' OR name != '")) == ()


def test_lists_are_served_while_the_tracking_server_is_away(tracking: TrackingHost, tmp_path: Path, desk: Desk) -> None:
    run = desk.start_run(tracking.experiment("away"))

    class Away(ByRestOnly):
        is_away = False

        def state(self) -> TrackingState:
            if self.is_away:
                return TrackingState("failed", "remote", True, "It is away.", "Wait.")
            return super().state()

        def request(self, method: str, path: str, **options: Any) -> Any:
            if self.is_away:
                raise UpstreamUnreachable("It is away.", provider="MLflow")
            return super().request(method, path, **options)

    upstream = Away(tracking.upstream)
    away = Desk(tracking, tmp_path, upstream)
    try:
        away.until(lambda: away.search(filter=f"run_id = '{run}'").total, "the run is known by REST")
        upstream.is_away = True
        assert away.ids(filter=f"run_id = '{run}'") == [run]
        said = away.ask(away.service.experiments(ANA))
        assert (said.tracking.state, said.tracking.next_step) == ("failed", "Wait.") and said.experiments
        assert away.ask(away.service.run(ANA, run)).id == run
        with pytest.raises(UpstreamUnreachable):
            away.ask(away.service.create_experiment(ANA, "x"))
        upstream.is_away = False
        another = away.start_run(tracking.experiment("back"))
        away.until(lambda: away.search(filter=f"run_id = '{another}'").total, "the server is there again")
    finally:
        away.close()


# --- comparison


def row(**more: Any) -> Row:
    told: dict[str, Any] = {"id": "r", "name": "run", "experiment_id": "0", "status": "FINISHED", "stage": "active"}
    told |= {"start_ms": 0, "end_ms": None, "user": "", "cell": None, "commit": None, "dirty": None}
    return Row(**(told | {"diverged": False, "ended": None, "values": {}} | more))


def test_runs_side_by_side_show_what_differs_first() -> None:
    tags = {"aidp.hardware": '{"gpu": null, "cores": 4}', "aidp.git.dirty": "true", "own": "1"}
    a = compare.Facts(row(id="a"), {"lr": "1", "same": "x"}, {"loss": "NaN", "acc": 1.0}, tags, {"numpy": "1.0"})
    b = compare.Facts(row(id="b"), {"lr": "2", "same": "x", "more": "y"}, {"loss": 0.5, "acc": 1.0}, {}, {})
    made = compare.compared([a, b])
    assert [(one.key, one.values, one.differs) for one in made.params] == [
        ("lr", ("1", "2"), True),
        ("more", (None, "y"), True),
        ("same", ("x", "x"), False),
    ]
    assert [(one.key, one.values) for one in made.metrics] == [("loss", ("NaN", 0.5)), ("acc", (1.0, 1.0))]
    assert [one.key for one in made.tags] == ["own"]
    assert made.packages[0].values == ("1.0", None)
    assert {one.key: one.values[0] for one in made.environment}["hardware: cores"] == "4"


def test_the_code_of_two_runs_is_told_by_its_cells() -> None:
    cells = [[("x", "a\nb"), ("y", "1"), ("z", "z")], [("x", "a\nc"), ("y", "1"), ("w", "w")]]
    a, b = (
        compare.Facts(row(), {}, {}, {}, cells=tuple(some), patch=text) for some, text in zip(cells, "pq", strict=True)
    )
    made = compare.code_diff(a, b)
    assert {one.cell_id: one.state for one in made.cells} == {
        "x": "changed",
        "y": "same",
        "z": "only_a",
        "w": "only_b",
    }
    assert "-b\n+c" in made.cells[0].diff and made.patch_diff.endswith("-p\n+q")
    said = json.dumps([{"count": 1, "cell_id": "c", "source": "old"}, {"count": 2, "cell_id": "c", "source": "new"}, 7])
    assert compare.cells_in(said) == (("c", "new"),)
    assert compare.cells_in("{") == compare.cells_in(None) == compare.cells_in('{"a": 1}') == ()


def test_packages_are_read_whatever_their_line_says() -> None:
    text = "# x\nNumPy==1.0\ntorch==2.1+cpu ; extra\nmy_pkg @ git+https://x/y@abc\n-e .\n\nodd line\n"
    assert compare.packages_in(text) == {"numpy": "1.0", "torch": "2.1+cpu", "my-pkg": "git+https://x/y@abc"}


def test_a_model_is_told_of_what_differs_and_of_nothing_else(desk: Desk, tmp_path: Path) -> None:
    asked: list[Any] = []

    class Said:
        route, reason = "local/m", "local_first"

        async def __aiter__(self) -> AsyncGenerator[str, None]:
            yield "because"

        async def aclose(self) -> None: ...

    async def explain(messages: Any, caller: Any) -> Said:
        asked.append((messages, caller))
        return Said()

    experiment = desk.host.experiment("explained")
    runs = [desk.start_run(experiment, f"r{n}") for n in range(2)]
    for n, run in enumerate(runs):
        desk.log(run, params={"lr": str(n), "same": "unmoved"}, metrics={"loss": float(n)}, tags={"hidden": str(n)})
    other = Desk(desk.host, tmp_path, explain=explain)
    try:
        other.until(lambda: other.search(experiment).total == 2, "both are known")
        words = other.ask(other.service.explain(ANA, runs))
        assert (words.route, words.reason) == ("local/m", "local_first")
        [(messages, caller)] = asked
        text = messages[1]["content"]
        assert "- lr: 0 | 1" in text and "- loss: 0.0 | 1.0" in text
        assert "unmoved" not in text and "hidden" not in text and caller == ("ana", ())
    finally:
        other.close()
    with pytest.raises(Unavailable):
        desk.ask(desk.service.explain(ANA, runs))


# --- tables


def test_no_cell_of_a_table_is_a_formula() -> None:
    columns = ["params.=x", "params.a", "metrics.b", "params.c"]
    values = {"params.=x": "=1+1", "params.a": "@SUM(A1)", "metrics.b": -0.5, "params.c": "-1e-3"}
    made = csv.head(columns) + csv.lines([row(name="+x", values=values, cell=CellRef("-n.ipynb", None, None))], columns)
    head, line = reader.reader(io.StringIO(made.decode("utf-8-sig")))
    assert head[-4:] == columns  # none of them begins so: each has its kind before it
    assert line[-4:] == ["'=1+1", "'@SUM(A1)", "-0.5", "-1e-3"]
    assert (line[1], line[7]) == ("'+x", "'-n.ipynb")
    assert csv.harmless("\t=x") == "'\t=x" and csv.harmless("-x") == "'-x"


def test_a_table_has_all_runs_that_are_found_or_those_that_are_named(desk: Desk) -> None:
    experiment = desk.host.experiment("table")
    runs = [desk.start_run(experiment, f"r{n}") for n in range(3)]
    desk.until(lambda: desk.search(experiment).total == 3, "all are known")

    async def sheet(*chosen: str) -> list[list[str]]:
        asked = wire.RunQuestion(experiments=[experiment], order_by=["attributes.run_name"], columns=["params.x"])
        parts = [part async for part in desk.service.sheet(ANA, asked, chosen)]
        return list(reader.reader(io.StringIO(b"".join(parts).decode("utf-8-sig"))))

    assert [line[1] for line in desk.ask(sheet())] == ["name", "r0", "r1", "r2"]
    assert [line[0] for line in desk.ask(sheet(runs[1]))] == ["run", runs[1]]
