"""What cannot be restored, or only in part, and where restored code may go. Real kernels are in test_lineage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aidp_ext.core.errors import Conflict, InvalidRequest, NotFound
from aidp_ext.experiment_parts import restorer_for
from aidp_ext.experiments.restore import NotRestorable, Restored
from tests.git.repo import Repo
from tests.support.tracking import TrackingHost

CELLS = [{"count": n, "cell_id": f"c{n}", "source": f"x{n} = {n}", "ok": True} for n in (1, 2, 3)]
OWN = {"aidp.notebook": "deep/n.ipynb", "aidp.cell.count": "2", "aidp.captured": "done"}


class Place:
    def __init__(self, tracking: TrackingHost, workspace: Path) -> None:
        self.tracking = tracking
        self.workspace = workspace
        self.experiment = tracking.experiment(f"restore {workspace}")
        self._restorer = restorer_for(tracking.upstream, workspace)

    def run(self, tags: Mapping[str, str], files: Mapping[str, str | bytes] = {}, name: str = "bold") -> str:
        listed = [{"key": key, "value": value} for key, value in tags.items()]
        made = self.tracking.post("runs/create", experiment_id=self.experiment, run_name=name, tags=listed)
        info = made["run"]["info"]
        folder = self.tracking.folder / "artifacts" / info["artifact_uri"].removeprefix("mlflow-artifacts:/") / "aidp"
        folder.mkdir(parents=True)
        for file, data in files.items():
            (folder / file).write_bytes(data.encode() if isinstance(data, str) else data)
        return str(info["run_id"])

    def restore(self, run_id: str, into: Any = "notebook", **options: Any) -> Restored:
        return self.tracking.run(self._restorer(run_id, into, **options))

    def sources(self, path: str | None) -> list[str]:
        assert path is not None
        return [cell["source"] for cell in json.loads((self.workspace / path).read_text())["cells"]]


@pytest.fixture
def place(tracking: TrackingHost, tmp_path: Path) -> Place:
    (tmp_path / "deep").mkdir()
    return Place(tracking, tmp_path)


def test_the_notebook_is_beside_the_runs_own(place: Place) -> None:
    run_id = place.run(OWN, {"cells.json": json.dumps(CELLS), "requirements.txt": "msgspec==1\n"})
    made = place.restore(run_id)
    assert (made.path, made.environment) == ("deep/n-bold.ipynb", "deep/n-bold.requirements.txt")
    assert place.sources(made.path)[1:] == ["x1 = 1", "x2 = 2"]
    assert (place.workspace / str(made.environment)).read_text() == "msgspec==1\n"


def test_where_its_folder_is_gone_it_is_at_the_top(place: Place) -> None:
    run_id = place.run({**OWN, "aidp.notebook": "gone/n.ipynb"}, {"cells.json": json.dumps(CELLS)})
    made = place.restore(run_id)
    assert made.path == "n-bold.ipynb"
    assert "the environment was not kept" in made.notes


@pytest.mark.parametrize("notebook", ["../../outside.ipynb", "/etc/n.ipynb", "deep/../../x.ipynb"])
def test_a_runs_word_for_its_notebook_leads_nowhere_else(place: Place, notebook: str) -> None:
    run_id = place.run({**OWN, "aidp.notebook": notebook}, {"cells.json": json.dumps(CELLS)})
    assert place.restore(run_id).path == "run-bold.ipynb"


@pytest.mark.parametrize("path", ["../n.ipynb", "/tmp/n.ipynb", "deep/n.py", "n.ipynb\0"])
def test_a_path_out_of_the_workspace_is_refused(place: Place, path: str) -> None:
    run_id = place.run(OWN, {"cells.json": json.dumps(CELLS)})
    with pytest.raises(InvalidRequest):
        place.restore(run_id, path=path)


def test_a_folder_that_leads_out_of_the_workspace_is_refused(place: Place, tmp_path_factory: Any) -> None:
    (place.workspace / "link").symlink_to(tmp_path_factory.mktemp("outside"))
    run_id = place.run(OWN, {"cells.json": json.dumps(CELLS)})
    with pytest.raises(InvalidRequest, match="leads out"):
        place.restore(run_id, path="link/n.ipynb")


def test_a_name_that_is_taken_is_refused_where_it_was_asked_for(place: Place) -> None:
    (place.workspace / "mine.ipynb").write_text("mine")
    run_id = place.run(OWN, {"cells.json": json.dumps(CELLS)})
    with pytest.raises(Conflict, match=r"mine\.ipynb"):
        place.restore(run_id, path="mine.ipynb")
    assert (place.workspace / "mine.ipynb").read_text() == "mine"


@pytest.mark.parametrize("cells", [None, "", "{", "[1]", "{}", "[" * 100_000])
def test_without_the_record_the_runs_own_cell_is_restored_and_it_is_said(place: Place, cells: str | None) -> None:
    files = {} if cells is None else {"cells.json": cells}
    made = place.restore(place.run({**OWN, "aidp.cell.source": "fit()"}, files))
    assert place.sources(made.path)[1:] == ["fit()"]
    assert any("only the run's own cell was kept" in note for note in made.notes)


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({}, "was not kept: it was not made in a kernel of this server"),
        ({"aidp.captured": "partly: it ran on another machine"}, "was not kept: it ran on another machine"),
        ({"aidp.file": "train.py"}, "by a script, train.py"),
    ],
)
def test_where_nothing_was_kept_it_is_said_why(place: Place, tags: dict[str, str], says: str) -> None:
    with pytest.raises(NotRestorable, match=says) as caught:
        place.restore(place.run(tags))
    assert caught.value.code == "not_restorable"


def test_there_is_no_such_run(place: Place) -> None:
    with pytest.raises(NotFound):
        place.restore("0" * 32)


def test_names_are_shown_as_they_are_and_make_no_links(place: Place) -> None:
    run_id = place.run(OWN, {"cells.json": json.dumps(CELLS)}, name="<img src=x> [a](http://x) `b`\n# c")
    made = place.restore(run_id)
    assert made.path == "deep/n-img-src-x-a-http-x-b-c.ipynb"
    assert "\\<img src=x\\> \\[a\\](http://x)" in place.sources(made.path)[0]


# ---- branches


@pytest.fixture
def repo(place: Place) -> Repo:
    made = Repo.make(place.workspace / "proj")
    made("config", "user.name", "Ana")
    made("config", "user.email", "ana@example.org")
    made.commit({"a.py": "x = 1\n"})
    return made


def of(repo: Repo, **more: str) -> dict[str, str]:
    return {
        "aidp.notebook": "proj/n.ipynb",
        "aidp.git.root": "proj",
        "mlflow.source.git.commit": repo.head,
        "aidp.cell.count": "3",
        **more,
    }


def test_a_script_is_restored_into_a_branch(place: Place, repo: Repo) -> None:
    patch = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
    tags = {**of(repo), "aidp.file": "proj/a.py", "aidp.notebook": ""}
    made = place.restore(place.run({k: v for k, v in tags.items() if v}, {"uncommitted.patch": patch}), "branch")
    assert repo("show", f"{made.branch}:a.py") == "x = 2"


def test_a_patch_that_does_not_fit_goes_along_as_a_file(place: Place, repo: Repo) -> None:
    patch = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-y = 1\n+y = 2\n"
    run_id = place.run(of(repo), {"uncommitted.patch": patch, "cells.json": json.dumps(CELLS)})
    made = place.restore(run_id, "branch", name="mine")
    assert made.branch == "mine"
    assert any("do not fit" in note for note in made.notes)
    assert repo("show", f"mine:{run_id[:8]}.patch") + "\n" == patch


def test_a_branch_that_is_there_is_refused_where_it_was_asked_for(place: Place, repo: Repo) -> None:
    run_id = place.run(of(repo), {"cells.json": json.dumps(CELLS)})
    with pytest.raises(Conflict, match="main"):
        place.restore(run_id, "branch", name="main")


def test_without_a_commit_or_its_repository_there_is_no_branch(place: Place, repo: Repo) -> None:
    with pytest.raises(NotRestorable, match="in no commit"):
        place.restore(place.run(OWN), "branch")
    with pytest.raises(NotRestorable, match="not here any more"):
        place.restore(place.run(of(repo, **{"aidp.git.root": "gone"})), "branch")
    with pytest.raises(NotRestorable, match="not here any more"):
        place.restore(place.run(of(repo, **{"aidp.git.root": "../.."})), "branch")
    with pytest.raises(NotFound):
        place.restore(place.run(of(repo, **{"mlflow.source.git.commit": "a" * 40})), "branch")
