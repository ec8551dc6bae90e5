"""What is told as it happens: to whom, how soon, and at what cost."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aidp_ext.experiments.models import Caller, Everything
from aidp_ext.experiments.watchers import Watcher
from aidp_ext.experiments.wire import Watch
from tests.support.desk import ANA, ByRestOnly, Desk
from tests.support.tracking import TrackingHost


class Page:
    """Somebody who watches."""

    def __init__(self, desk: Desk, caller: Caller = ANA, *, is_stuck: bool = False, **wish: Any) -> None:
        self.news: list[dict[str, Any]] = []
        self._desk = desk
        self._is_stuck = is_stuck
        self.read = asyncio.Event()

        async def joined() -> Watcher:
            return desk.service.live.join(caller, self._hear)

        self.watcher = desk.ask(joined())
        self.wish(**wish)

    async def _hear(self, message: bytes) -> None:
        self.news.append(json.loads(message))
        if self._is_stuck:
            await self.read.wait()

    def wish(self, **wish: Any) -> None:
        self._desk.ask(self._desk.service.live.watch(self.watcher, Watch(**wish)))

    def heard(self, kind: str, holds: Callable[[dict[str, Any]], Any] = lambda _: True) -> dict[str, Any]:
        """Wait for news of a kind of which something holds, and return them."""

        def found() -> dict[str, Any] | None:
            return next((one for one in list(self.news) if one["kind"] == kind and holds(one)), None)

        said = self._desk.until(found, f"{kind}; there were {self.news[-5:]}")
        assert said is not None
        return said

    def has(self, run: str, **fields: Any) -> dict[str, Any]:
        """Wait for a row of a run with these fields, and return it."""

        def row(news: dict[str, Any]) -> Any:
            rows = [one for one in news["rows"] if one["id"] == run]
            return rows and all(rows[0][name] == value for name, value in fields.items())

        return next(one for one in self.heard("runs", row)["rows"] if one["id"] == run)

    def leave(self) -> None:
        self._desk.ask(self._desk.service.live.leave(self.watcher))


@pytest.fixture
def experiment(desk: Desk, request: pytest.FixtureRequest) -> str:
    return desk.host.experiment(f"live: {request.node.name}")


@pytest.fixture
def page(desk: Desk, experiment: str) -> Iterator[Page]:
    made = Page(desk, experiments=[experiment], columns=["metrics.loss", "params.lr"])
    made.heard("runs")
    yield made
    made.leave()


def test_a_run_is_told_from_its_start_to_its_end(desk: Desk, experiment: str, page: Page) -> None:
    assert page.heard("tracking")["state"]["state"] == "ready"
    run = desk.start_run(experiment, "first")
    row = page.has(run, status="RUNNING")
    assert (row["name"], row["values"]) == ("first", {"metrics.loss": None, "params.lr": None})
    desk.log(run, metrics={"loss": 0.5}, params={"lr": "0.1"})
    page.has(run, values={"metrics.loss": 0.5, "params.lr": "0.1"})
    desk.end(run)
    page.has(run, status="FINISHED")
    assert page.heard("ended")["row"]["id"] == run
    desk.host.post("runs/delete", run_id=run)
    page.has(run, stage="deleted")


def test_a_run_that_is_over_before_anybody_looked_is_told_to_have_ended(
    desk: Desk, experiment: str, page: Page
) -> None:
    run = desk.start_run(experiment)
    desk.end(run, "FAILED")
    assert page.heard("ended", lambda news: news["row"]["id"] == run)["row"]["status"] == "FAILED"


def test_a_run_that_diverges_is_told_once(desk: Desk, experiment: str, page: Page) -> None:
    run = desk.start_run(experiment)
    page.has(run, status="RUNNING")
    desk.log(run, metrics={"loss": "NaN"})
    assert page.heard("ended")["row"]["diverged"] is True
    desk.log(run, metrics={"other": 1.0})
    page.has(run, diverged=True)
    assert len([one for one in page.news if one["kind"] == "ended"]) == 1


def test_points_are_told_to_who_watches_the_run_within_three_seconds(desk: Desk, experiment: str) -> None:
    run, other = desk.start_run(experiment), desk.start_run(experiment)
    page, elsewhere = Page(desk, runs=[run]), Page(desk, runs=[other])
    desk.until(lambda: desk.search(experiment).total == 2, "both are known")
    page.heard("tracking")
    desk.log(run, metrics={"loss": [(0, 1.0), (1, "NaN"), (2, 1e300)]})
    before = time.monotonic()
    desk.log(run, metrics={"loss": [(n, float(n)) for n in range(3, 900)]})
    told: dict[int, Any] = {}

    def all_are_there() -> bool:
        for news in list(page.news):
            if news["kind"] == "points":
                assert len(news["x"]) <= 320 and news["run"] == run
                told.update(zip(news["x"], news["y"], strict=True))
        return 899 in told

    desk.until(all_are_there, "the last point")
    assert time.monotonic() - before < 30  # the bench says how long, on a machine with nothing else to do
    assert told[899] == 899.0 and told.get(1) is None
    assert not [one for one in elsewhere.news if one["kind"] == "points"]
    page.leave()
    elsewhere.leave()


def test_who_looks_at_a_notebook_hears_of_its_cells(desk: Desk, experiment: str) -> None:
    tags = {"aidp.notebook": "deep/ä.ipynb", "aidp.cell.id": "c1", "aidp.cell.count": "4"}
    page = Page(desk, cells=["other.ipynb", "deep/ä.ipynb"])
    page.heard("tracking")
    desk.until(lambda: desk.service.live._generation, "it looks")
    run = desk.start_run(experiment, tags=tags)
    assert page.has(run)["cell"] == {"notebook": "deep/ä.ipynb", "cell_id": "c1", "count": 4}
    said = desk.ask(desk.service.cells(ANA, "deep/ä.ipynb")).cells
    assert (said["c1"].runs, said["c1"].running, said["c1"].last.id) == (1, 1, run)
    page.leave()


def test_nobody_hears_of_what_they_may_not_see(tracking: TrackingHost, tmp_path: Path) -> None:
    class Some(Everything):
        async def visible(self, caller: Caller) -> frozenset[str] | None:
            return frozenset([open_]) if caller.who == "bob" else None

    open_, hidden = tracking.experiment("open"), tracking.experiment("hidden")
    desk = Desk(tracking, tmp_path, access=Some())
    try:
        secret = desk.start_run(hidden, tags={"aidp.notebook": "a.ipynb"})
        bob = Page(desk, Caller("bob"), experiments=[open_, hidden], runs=[secret], cells="a.ipynb")
        ana = Page(desk, experiments=[open_, hidden], runs=[secret])
        desk.until(lambda: desk.service.live._generation, "it looks")
        desk.log(secret, metrics={"loss": [(0, 1.0)]})
        seen = desk.start_run(open_)
        ana.heard("points")
        ana.has(secret)
        bob.has(seen)
        assert secret not in json.dumps(bob.news) and hidden not in {one.get("experiment") for one in bob.news}
    finally:
        desk.close()


def test_fifty_pages_cost_one_look(tracking: TrackingHost, tmp_path: Path) -> None:
    upstream = ByRestOnly(tracking.upstream)
    desk = Desk(tracking, tmp_path, upstream)
    try:
        experiment = tracking.experiment("fifty")

        def questions_in(seconds: float) -> tuple[int, int]:
            asked, looks = len(upstream.asked), desk.service._index.looks
            time.sleep(seconds)
            return len(upstream.asked) - asked, desk.service._index.looks - looks

        pages = [Page(desk, experiments=[experiment], columns=[f"metrics.m{n % 3}"]) for n in range(50)]
        desk.until(lambda: not desk.service._index._has_backlog and desk.service.live._generation, "it is fed", 120)
        asked, looks = questions_in(6)
        assert 1 <= looks <= 4 and asked <= 4 * looks, f"{asked} questions, {looks} looks"
        run = desk.start_run(experiment)
        for page in pages:
            page.has(run)
        for page in pages:
            page.leave()
        assert questions_in(3) == (0, 0)  # nobody watches
    finally:
        desk.close()


def test_what_waits_for_a_page_that_does_not_read_is_bounded(desk: Desk, experiment: str) -> None:
    run = desk.start_run(experiment)
    page = Page(desk, is_stuck=True, experiments=[experiment], runs=[run])
    desk.until(lambda: desk.search(experiment).total == 1 and page.news, "the run is known")
    watcher = page.watcher
    from aidp_ext.experiments.stores.sqlite import NewPoint

    row = desk.search(experiment).runs[0]

    async def very_much() -> None:
        import msgspec

        for n in range(100):
            watcher.tell_points(NewPoint(run, "loss", n * 100 + k, 0, 1.0) for k in range(100))
            watcher.tell_runs(experiment, [row], [], f"x.{n}")
        assert sum(map(len, watcher._points.values())) <= 1300
        assert sum(map(len, watcher._rows.values())) == 1
        many = [msgspec.structs.replace(row, id=f"r{n}") for n in range(5000)]
        watcher.tell_runs(experiment, many, [], "x.y")
        assert not watcher._rows and watcher._resync

    desk.ask(very_much())
    desk.host.loop.call_soon_threadsafe(page.read.set)
    page.heard("resync")
    page.leave()


def test_a_run_whose_process_is_gone_is_handed_to_who_can_end_it(tracking: TrackingHost, tmp_path: Path) -> None:
    seen: list[tuple[str, dict[str, str]]] = []

    async def reconcile(rows: Any) -> list[tuple[str, str]]:
        seen.extend((run, dict(tags)) for run, tags in rows)
        return []

    desk = Desk(tracking, tmp_path, reconcile=reconcile)
    try:
        run = desk.start_run(tracking.experiment("left behind"), tags={"aidp.process": "{}", "other": "x"})
        desk.until(lambda: desk.search(filter=f"run_id = '{run}'").total, "the run is known")
        desk.service.live._reconciled = 0.0
        desk.search()
        desk.until(lambda: run in dict(seen), "it was handed over")
        assert dict(seen)[run] == {"aidp.process": "{}"}
    finally:
        desk.close()
