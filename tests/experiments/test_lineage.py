"""Runs of real kernels and scripts, through the real proxy into a real MLflow: what is known of them afterwards."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aidp_ext.experiment_parts import capture_for, restorer_for
from aidp_ext.experiments.lineage.capture import Capture
from tests.git.repo import Repo
from tests.support.notebook_kernel import NotebookKernel, notebook_kernel
from tests.support.processes import wait_until
from tests.support.tracking import TrackingHost

TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
KERNELSPEC = {"display_name": "My Python", "language": "python", "name": "python3"}


@dataclass
class Place:
    """A workspace with a repository, a kernel in it, and a server that keeps lineage."""

    tracking: TrackingHost
    workspace: Path
    repo: Repo
    kernel: NotebookKernel
    capture: Capture
    names: dict[str, str] = field(default_factory=dict)  # notebooks by their kernel

    def tags(self, run_id: str) -> dict[str, str]:
        self.tracking.run(self.capture.idle())
        return self.tracking.tags(run_id)

    def cells(self, run_id: str) -> list[dict[str, object]]:
        found = self.tracking.artifact(run_id, "cells.json")
        assert found is not None
        return list(json.loads(found))

    def run(self, code: str, cell_id: str | None = None) -> str:
        """Run a cell that prints runs' ids, and return them."""
        said = self.kernel.run(code, cell_id)
        return " ".join(dict.fromkeys(re.findall(r"\b[0-9a-f]{32}\b(?= *$| [0-9a-f]{32})", said, re.MULTILINE)))


@pytest.fixture(scope="module")
def place(tracking: TrackingHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("lineage")
    workspace = folder / "work"
    repo = Repo.make(workspace / "proj")
    for name, value in (("user.name", "Ana"), ("user.email", "ana@example.org")):
        repo("config", name, value)
    repo("remote", "add", "origin", f"https://ana:{TOKEN}@git.example.org/ana/proj.git")
    notebook = {"cells": [], "metadata": {"kernelspec": KERNELSPEC}, "nbformat": 4, "nbformat_minor": 5}
    repo.commit({"train.ipynb": json.dumps(notebook), "helper.py": "RATE = 1\n"})
    environment = {
        "MLFLOW_TRACKING_URI": tracking.url,
        "AIDP_NOTEBOOK": "proj/train.ipynb",
        "MLFLOW_EXPERIMENT_NAME": "lineage",
    }
    names: dict[str, str] = {}

    async def notebook_of(kernel_id: str) -> str | None:
        return names.get(kernel_id)

    with notebook_kernel(folder / "kernel", repo.root, environment) as kernel:
        names[kernel.id] = "proj/train.ipynb"

        async def begin() -> Capture:
            return capture_for(
                tracking.upstream,
                kernel.log_folder,
                folder / "spool",
                workspace,
                "ana",
                notebook_of,
                lambda kernel_id: kernel_id in names,
            )

        capture = tracking.run(begin())
        tracking.observers.append(capture.written)
        kernel.run("import mlflow, random", "imports")
        yield Place(tracking, workspace, repo, kernel, capture, names)
        tracking.observers.remove(capture.written)
        tracking.run(capture.close())


def test_a_run_knows_its_cell_its_commit_and_what_is_not_committed(place: Place) -> None:
    place.repo.write({"helper.py": f"RATE = 2\nTOKEN = '{TOKEN}'\n", "new.py": "x = 1\n"})
    place.kernel.run(f"token = '{TOKEN}'\nSEED = 7", "secret")
    place.kernel.fail("1 / 0", "broken")
    code = (
        "random.seed(SEED)\nwith mlflow.start_run() as run:\n    mlflow.log_metric('m', random.random())\n"
        "print(run.info.run_id)"
    )
    run_id = place.run(code, "train")
    tags = place.tags(run_id)
    assert tags["aidp.captured"] == "done", tags["aidp.captured"]
    assert (tags["aidp.notebook"], tags["aidp.cell.id"]) == ("proj/train.ipynb", "train")
    assert tags["aidp.cell.source"] == code
    assert tags["aidp.kernel.id"] == place.kernel.id
    assert tags["mlflow.source.git.commit"] == place.repo.head
    assert tags["mlflow.source.git.branch"] == "main"
    assert tags["mlflow.source.git.repoURL"] == "https://git.example.org/ana/proj.git"
    assert (tags["aidp.git.dirty"], tags["aidp.git.root"]) == ("true", "proj")
    assert (tags["aidp.user"], tags["aidp.seed"]) == ("ana", "7")
    assert (tags["mlflow.source.name"], tags["mlflow.source.type"]) == ("proj/train.ipynb", "NOTEBOOK")
    assert json.loads(tags["aidp.hardware"])["cores"] > 0
    assert json.loads(tags["aidp.process"])["pid"] == place.kernel.pid
    cells = place.cells(run_id)
    assert [(cell["cell_id"], cell["ok"]) for cell in cells][-3:] == [
        ("secret", True),
        ("broken", False),
        ("train", None),
    ]
    patch = place.tracking.artifact(run_id, "uncommitted.patch")
    assert patch is not None and b"+RATE = 2" in patch and b"+x = 1" in patch
    everything = json.dumps([tags, cells]) + patch.decode()
    assert TOKEN not in everything and "[" in str(cells[-3]["source"])
    requirements = place.tracking.artifact(run_id, "requirements.txt")
    assert requirements is not None and b"\nmlflow==" in requirements
    assert json.loads(place.tracking.artifact(run_id, "environment.json") or b"")["packages"]["mlflow"]


def test_the_log_of_a_kernel_is_only_its_users(place: Place) -> None:
    log = place.kernel.log_folder / f"{place.kernel.id}.jsonl"
    assert log.stat().st_mode & 0o777 == 0o600
    assert place.kernel.log_folder.stat().st_mode & 0o777 == 0o700


def test_what_a_cell_began_belongs_to_it_in_threads_executors_and_tasks(place: Place) -> None:
    place.kernel.run(
        """
import asyncio, concurrent.futures, threading
ids, go, shared = {}, threading.Event(), concurrent.futures.ThreadPoolExecutor(1)
client = mlflow.MlflowClient()
def begin(name):
    from mlflow.tracking.context.registry import resolve_tags
    tags = resolve_tags()
    ids[name] = (tags.get('aidp.cell.id'), tags.get('aidp.cell.count'))
def later(name):
    go.wait(60)
    begin(name)
def inner():
    thread = threading.Thread(target=later, args=('thread in a thread',))
    thread.start(); thread.join()
shared.submit(begin, 'warm').result()
""",
        "setup",
    )
    place.kernel.run(
        """
threads = [threading.Thread(target=later, args=('thread',)), threading.Thread(target=inner)]
for thread in threads: thread.start()
future = shared.submit(later, 'executor')
future.add_done_callback(lambda _: begin('done callback'))
async def task():
    while not go.is_set(): await asyncio.sleep(0.01)
    begin('task')
    await asyncio.to_thread(begin, 'to_thread')
    await asyncio.get_running_loop().run_in_executor(None, begin, 'run_in_executor')
running = asyncio.create_task(task())
""",
        "maker",
    )
    found = json.loads(
        place.kernel.run(
            """
import json
go.set()
for thread in threads: thread.join()
future.result(); await running
begin('here')
print(json.dumps(ids))
""",
            "other",
        )
    )
    owners = {name: owner for name, (owner, _) in found.items()}
    assert owners.pop("here") == "other"
    assert owners.pop("warm") == "setup"
    assert set(owners.values()) == {"maker"}, owners
    assert set(owners) == {
        *("thread", "thread in a thread", "executor", "done callback", "task", "to_thread", "run_in_executor")
    }


def test_a_child_process_and_a_forked_one_belong_to_the_cell(place: Place) -> None:
    place.repo.write({"child.py": "import mlflow\nwith mlflow.start_run() as run: print(run.info.run_id)\n"})
    run_id = place.run(
        "import subprocess, sys\nprint(subprocess.check_output([sys.executable, 'child.py'], text=True))",
        "spawner",
    )
    tags = place.tags(run_id)
    assert (tags["aidp.cell.id"], tags["aidp.notebook"]) == ("spawner", "proj/train.ipynb")
    assert tags["aidp.cell.source"].startswith("import subprocess")
    assert tags["aidp.file"] == "proj/child.py"
    assert json.loads(tags["aidp.process"])["pid"] != place.kernel.pid


def test_a_script_of_a_terminal_knows_its_file(place: Place) -> None:
    place.repo.write({"script.py": "import mlflow\nwith mlflow.start_run() as run: print(run.info.run_id)\n"})
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": place.tracking.url,
        "MLFLOW_EXPERIMENT_NAME": "lineage",
        "AIDP_KERNEL_LOG": str(place.kernel.log_folder),
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "script.py"],
        cwd=place.repo.root,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    tags = place.tags(done.stdout.split()[0])
    assert tags["aidp.file"] == "proj/script.py"
    assert tags["mlflow.source.git.commit"] == place.repo.head
    assert tags["aidp.captured"] == "done"
    assert "aidp.notebook" not in tags and "aidp.cell.count" not in tags


def test_a_notebook_that_was_renamed_is_known_by_its_name_of_now(place: Place) -> None:
    place.names[place.kernel.id] = "proj/renamed.ipynb"
    try:
        tags = place.tags(place.run("with mlflow.start_run() as run: print(run.info.run_id)", "c"))
    finally:
        place.names[place.kernel.id] = "proj/train.ipynb"
    assert tags["aidp.notebook"] == tags["mlflow.source.name"] == "proj/renamed.ipynb"


def test_a_parameter_called_seed_goes_before_what_the_code_says(place: Place) -> None:
    code = "random.seed(1)\nwith mlflow.start_run() as run:\n    mlflow.log_param('seed', 99)\nprint(run.info.run_id)"
    run_id = place.run(code, "c")
    wait_until(lambda: place.tags(run_id).get("aidp.seed") == "99", "the parameter is the seed")


def test_autolog_knows_its_cell_too(place: Place) -> None:
    code = (
        "from sklearn.linear_model import LogisticRegression\nmlflow.sklearn.autolog(silent=True, log_models=False)\n"
        "LogisticRegression().fit([[0.], [1.]], [0, 1])\nmlflow.sklearn.autolog(disable=True)\n"
        "print(mlflow.last_active_run().info.run_id)"
    )
    assert place.tags(place.run(code, "auto"))["aidp.cell.id"] == "auto"


def test_a_hundred_runs_of_one_cell_share_what_is_known(place: Place) -> None:
    code = """
from mlflow.tracking.context.registry import resolve_tags
client, tags = mlflow.MlflowClient(), resolve_tags()
experiment = client.get_experiment_by_name('lineage').experiment_id
made = [client.create_run(experiment, tags=tags).info.run_id for _ in range(30)]
for one in made: client.set_terminated(one)
print(' '.join(made))
"""
    runs = place.run(code, "loop").split()
    assert {place.tags(run_id)["aidp.captured"] for run_id in runs} == {"done"}
    inodes = set()
    for run_id in runs:
        uri = place.tracking.run_of(run_id)["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
        inodes.add((place.tracking.folder / "artifacts" / uri / "aidp" / "cells.json").stat().st_ino)
    assert len(inodes) <= 3, "one file with many names"


# ---- restored


def test_a_restored_notebook_gives_the_same_metric(place: Place, tmp_path: Path) -> None:
    place.kernel.run("data = [1, 2, 3]\ndef noisy(x):\n    return x * random.random()", "data")
    place.kernel.fail("data.append(undefined)", "oops")
    train = (
        "random.seed(11)\nwith mlflow.start_run(run_name='bold *one*') as run:\n"
        "    total = sum(x * random.random() for x in data)\n"
        "    mlflow.log_metric('total', total)\nprint(run.info.run_id)"
    )
    place.run(train.replace("11", "5"), "fit")
    run_id = place.run(train, "fit")
    place.kernel.run("data = []", "data")
    metric = place.tracking.run_of(run_id)["data"]["metrics"][0]["value"]
    place.tags(run_id)
    restorer = restorer_for(place.tracking.upstream, place.workspace)
    restored = place.tracking.run(restorer(run_id, "notebook"))
    assert restored.path == "proj/train-bold-one.ipynb"
    assert restored.environment == "proj/train-bold-one.requirements.txt"
    document = json.loads((place.workspace / restored.path).read_text())
    assert document["metadata"]["kernelspec"] == KERNELSPEC
    sources = [cell["source"] for cell in document["cells"]]
    assert run_id in sources[0] and place.repo.head in sources[0] and "total" in sources[0]
    assert not any("undefined" in source for source in sources)
    assert [source for source in sources if "start_run(run_name" in source] == [train], "the other try is needless"
    again = place.tracking.run(restorer(run_id, "notebook"))
    assert again.path == "proj/train-bold-one-2.ipynb", "nothing is overwritten"
    command = [sys.executable, "-m", "jupyter", "execute", "--inplace", restored.path]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": place.tracking.url, "MLFLOW_EXPERIMENT_NAME": "restored"}
    done = subprocess.run(command, cwd=place.workspace, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    experiment = place.tracking.call("GET", "experiments/get-by-name?experiment_name=restored")["experiment"]
    last = place.tracking.runs(experiment["experiment_id"])[-1]
    assert place.tracking.run_of(last)["data"]["metrics"][0]["value"] == metric


def test_a_run_is_restored_into_a_branch(place: Place) -> None:
    run_id = place.run("with mlflow.start_run(run_name='b') as run: print(run.info.run_id)", "c")
    place.tags(run_id)
    before = place.repo("status", "--porcelain")
    restored = place.tracking.run(restorer_for(place.tracking.upstream, place.workspace)(run_id, "branch"))
    assert restored.branch == f"run/b-{run_id[:8]}"
    shown = place.repo("show", f"{restored.branch}:helper.py")
    assert "RATE = 2" in shown and TOKEN not in shown
    assert f"train-{run_id[:8]}.ipynb" in place.repo("ls-tree", "--name-only", str(restored.branch))
    assert place.repo("status", "--porcelain") == before, "what lies in the folder is as it was"
    second = place.tracking.run(restorer_for(place.tracking.upstream, place.workspace)(run_id, "branch"))
    assert second.branch == f"run/b-{run_id[:8]}-2"


# ---- runs that nobody ends; the kernel is another one after these


def test_a_run_that_is_open_when_the_kernel_is_restarted_was_killed(place: Place) -> None:
    number = place.kernel.begin(
        "import time\nrun = mlflow.start_run()\nprint(run.info.run_id, flush=True)\ntime.sleep(600)"
    )
    place.kernel.wait_for_output(number)
    experiment = place.tracking.call("GET", "experiments/get-by-name?experiment_name=lineage")["experiment"]
    run_id = place.tracking.runs(experiment["experiment_id"])[-1]
    place.kernel.restart()
    found = wait_until(lambda: _ended(place, run_id), "the run has ended")
    assert found == "KILLED"
    assert place.tracking.tags(run_id)["aidp.ended"] == "kernel shut down or restarted"


def test_a_run_of_a_kernel_that_was_killed_is_ended(place: Place) -> None:
    place.kernel.run("import mlflow", "imports")
    run_id = place.run("run = mlflow.start_run()\nprint(run.info.run_id)", "open")
    rows = [(run_id, place.tags(run_id))]
    reconciler = place.capture.reconciler
    assert reconciler.ended_runs(rows) == [], "it runs"
    place.kernel.kill()
    assert reconciler.ended_runs(rows) == [(run_id, "kernel restarted")], "the server has a kernel of this id"
    assert place.tracking.run(reconciler.reconcile(rows)) == [(run_id, "kernel restarted")]
    assert place.tracking.run_of(run_id)["info"]["status"] == "KILLED"
    assert place.tracking.tags(run_id)["aidp.ended"] == "kernel restarted"
    assert place.tracking.run(reconciler.reconcile(rows)) == [], "once"
    place.names.clear()
    assert reconciler.ended_runs(rows) == [(run_id, "process gone")]


def _ended(place: Place, run_id: str) -> str | None:
    status = place.tracking.run_of(run_id)["info"]["status"]
    return status if status != "RUNNING" else None
