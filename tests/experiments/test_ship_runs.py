"""Which runs go along with a commit, and that they are told of it: real Git, a real MLflow, the real index."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aidp_ext.experiment_parts import Search, ShippedRuns, search_index, search_server
from aidp_ext.experiments.service import ExperimentsService
from tests.git.repo import Repo
from tests.support.tracking import TrackingHost


@dataclass
class Place:
    tracking: TrackingHost
    repo: Repo
    experiment: str
    shipped: ShippedRuns
    prefix: str
    base_s: float = field(default_factory=time.time)

    def run(self, file: str, *, after_s: float = 0, status: str = "FINISHED") -> str:
        """Make a run of a file some seconds after the last commit."""
        tag = "aidp.notebook" if file.endswith(".ipynb") else "aidp.file"
        tags = [{"key": tag, "value": f"{self.prefix}/{file}"}]
        at_ms = int((self.base_s + after_s) * 1000)
        made = self.tracking.post("runs/create", experiment_id=self.experiment, start_time=at_ms, tags=tags)
        run_id = str(made["run"]["info"]["run_id"])
        if status != "RUNNING":
            self.tracking.post("runs/update", run_id=run_id, status=status, end_time=at_ms + 1)
        return run_id

    def of(self, *paths: str) -> list[str]:
        return self.tracking.run(self.shipped.runs_of(self.repo.root, paths, self.repo.head))


@pytest.fixture(params=["the index", "the server"])
def place(tracking: TrackingHost, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    prefix = f"p{os.urandom(4).hex()}"
    repo = Repo.make(tmp_path / prefix)
    repo("config", "user.name", "Ana")
    repo("config", "user.email", "ana@example.org")
    repo.commit({"a.ipynb": "{}", "b.ipynb": "{}", "it's.ipynb": "{}", "train.py": "", "data.csv": ""})

    async def begin() -> tuple[ExperimentsService | None, ShippedRuns]:
        service = ExperimentsService(tracking.upstream, tmp_path / "state") if request.param == "the index" else None
        search: Search = search_server(tracking.upstream)
        if service is not None:
            search = search_index(lambda: service, "ana")
        return service, ShippedRuns(tracking.upstream, search, tmp_path)

    service, shipped = tracking.run(begin())
    yield Place(tracking, repo, tracking.experiment(f"ship {prefix}"), shipped, prefix)
    tracking.run(shipped.close())
    if service is not None:
        tracking.run(service.close())


def test_the_finished_runs_of_what_is_staged_go_along(place: Place) -> None:
    place.run("a.ipynb", after_s=-3600)
    first, second = place.run("a.ipynb", after_s=5), place.run("a.ipynb", after_s=7)
    place.run("a.ipynb", after_s=6, status="FAILED")
    place.run("a.ipynb", after_s=6, status="RUNNING")
    other, script = place.run("b.ipynb", after_s=8), place.run("train.py", after_s=4)
    quoted = place.run("it's.ipynb", after_s=3)
    assert place.of("a.ipynb", "data.csv") == [second, first]
    assert place.of("a.ipynb", "b.ipynb", "train.py", "it's.ipynb") == [other, second, first, script, quoted]
    assert place.of("data.csv", "new.ipynb", "\"'.ipynb") == []


def test_ten_are_enough(place: Place) -> None:
    made = [place.run("a.ipynb", after_s=5 + number) for number in range(12)]
    assert place.of("a.ipynb") == made[:1:-1]


def test_runs_are_told_of_their_commit_and_others_are_not(place: Place) -> None:
    first, second = place.run("a.ipynb", after_s=5), place.run("a.ipynb", after_s=6)
    seen = []

    async def told(written: object) -> None:
        seen.append(written)

    place.shipped.told = told
    place.tracking.run(place.shipped.shipped([first, "0" * 32], place.repo.head))
    place.tracking.run(place.shipped.idle())
    assert place.tracking.tags(first)["aidp.git.shipped"] == place.repo.head
    assert "aidp.git.shipped" not in place.tracking.tags(second)
    assert len(seen) == 1
    json.dumps([written.body for written in seen])  # type: ignore[attr-defined]
