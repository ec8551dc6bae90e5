"""The lineage of runs in a real Jupyter server: composed as `aidp lab` has it, in a notebook's own kernel."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.git.repo import Repo
from tests.support.jupyter import Server, jupyter_server
from tests.support.kernel import Kernel, call, in_terminal, kernel
from tests.support.processes import wait_until

NOTEBOOK = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("lineage")
    repo = Repo.make(folder / "work" / "proj")
    repo("config", "user.name", "Ana")
    repo("config", "user.email", "ana@example.org")
    repo.commit({"train.ipynb": json.dumps(NOTEBOOK), "helper.py": "RATE = 1\n"})
    repo.write({"helper.py": "RATE = 2\n", "script.py": "import mlflow\nwith mlflow.start_run(): pass\n"})
    with jupyter_server(folder, {"PYTHONWARNINGS": "ignore"}) as running:
        yield running


@pytest.fixture(scope="module")
def cell(server: Server) -> Iterator[Kernel]:
    with kernel(server, notebook="proj/train.ipynb") as running:
        running.run("import mlflow, random", seconds=180)
        yield running


def begin(cell: Kernel, code: str) -> str:
    """Run a cell that prints a run's id, and return that."""
    said = cell.run(code, seconds=180).text
    return re.findall(r"^[0-9a-f]{32}$", said, re.MULTILINE)[0]


def tags(server: Server, run_id: str) -> dict[str, str]:
    """Return a run's tags once its lineage is there."""

    def found() -> dict[str, str] | None:
        run = call(server, "GET", f"aidp/mlflow/api/2.0/mlflow/runs/get?run_id={run_id}")["run"]
        told = {one["key"]: one["value"] for one in run["data"]["tags"]}
        return told if "aidp.captured" in told else None

    return wait_until(found, f"the lineage of {run_id}")


RUN = "with mlflow.start_run() as run:\n    mlflow.log_metric('m', random.random())\nprint(run.info.run_id)"


def test_a_run_of_a_notebook_knows_where_it_comes_from(server: Server, cell: Kernel) -> None:
    found = tags(server, begin(cell, f"random.seed(3)\n{RUN}"))
    assert found["aidp.captured"] == "done"
    assert found["aidp.notebook"] == "proj/train.ipynb"
    assert found["aidp.cell.source"].startswith("random.seed(3)")
    assert (found["aidp.git.dirty"], found["aidp.git.root"], found["aidp.seed"]) == ("true", "proj", "3")
    assert re.fullmatch(r"[0-9a-f]{40}", found["mlflow.source.git.commit"])


def test_the_kernels_log_is_its_users_alone(server: Server, cell: Kernel) -> None:
    log = next(server.home.rglob(f"{cell.id}.jsonl"))
    assert log.stat().st_mode & 0o777 == 0o600 and log.parent.stat().st_mode & 0o777 == 0o700


def test_after_the_notebook_is_renamed_runs_have_its_new_name(server: Server, cell: Kernel) -> None:
    session = next(one for one in call(server, "GET", "api/sessions") if one["kernel"]["id"] == cell.id)
    call(server, "PATCH", f"api/sessions/{session['id']}", {"path": "proj/better.ipynb"})
    assert tags(server, begin(cell, RUN))["aidp.notebook"] == "proj/better.ipynb"
    call(server, "PATCH", f"api/sessions/{session['id']}", {"path": "proj/train.ipynb"})


def test_code_is_restored_by_the_endpoint_and_gives_the_same_metric(server: Server, cell: Kernel) -> None:
    run_id = begin(cell, f"random.seed(5)\n{RUN}")
    tags(server, run_id)
    made = call(server, "POST", f"aidp/experiments/runs/{run_id}/restore-code", {"into": "notebook"})
    document = json.loads((server.root / made["path"]).read_text())
    sources = [one["source"] for one in document["cells"] if one["cell_type"] == "code"]
    with kernel(server, notebook=made["path"]) as fresh:
        said = [fresh.run(source, seconds=180).text for source in sources]
    again = re.findall(r"^[0-9a-f]{32}$", said[-1], re.MULTILINE)[0]
    assert metric(server, again) == metric(server, run_id)
    branch = call(server, "POST", f"aidp/experiments/runs/{run_id}/restore-code", {"into": "branch"})["branch"]
    assert Repo(server.root / "proj")("show", f"{branch}:helper.py") == "RATE = 2"


def metric(server: Server, run_id: str) -> Any:
    found = call(server, "GET", f"aidp/mlflow/api/2.0/mlflow/runs/get?run_id={run_id}")["run"]["data"]
    return found["metrics"][0]["value"]


def test_a_script_in_a_terminal_has_a_lineage_too(server: Server, cell: Kernel) -> None:
    begin(cell, RUN)  # MLflow has started
    screen = in_terminal(server, f"cd proj && {sys.executable} -W ignore script.py; echo CO''DE=$?", "CODE=")
    assert "CODE=0" in screen, screen
    page = wait_until(lambda: search(server, "tags.`aidp.file` = 'proj/script.py'"), "the script's run is there")
    assert len(page) == 1
    assert tags(server, page[0]["id"])["mlflow.source.git.branch"] == "main"


def test_a_run_of_a_kernel_that_died_does_not_run_for_ever(server: Server, cell: Kernel) -> None:
    run_id = begin(cell, "run = mlflow.start_run()\nprint(run.info.run_id)")
    tags(server, run_id)
    cell.begin("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")

    def status() -> str | None:
        (row,) = search(server, f"attributes.run_id = '{run_id}'")
        return row["status"] if row["status"] != "RUNNING" else None

    assert wait_until(status, "the run has ended", 90) == "KILLED"
    assert tags(server, run_id)["aidp.ended"] in ("kernel restarted", "process gone")


def search(server: Server, wanted: str) -> list[dict[str, Any]]:
    asked = {"experiments": [], "filter": wanted, "limit": 10}
    return list(call(server, "POST", "aidp/experiments/runs/search", asked)["runs"])
