"""The experiments' service before a real tracking server, asked from tests that are not in its event loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from aidp_ext.experiments import wire
from aidp_ext.experiments.models import Caller, RunPage
from aidp_ext.experiments.service import ExperimentsService
from aidp_ext.experiments.upstream import TrackingState, Upstream
from tests.support.tracking import TrackingHost

T = TypeVar("T")
ANA = Caller("ana")


class ByRestOnly:
    """A tracking server whose files are not here; it counts what it is asked."""

    database: Path | None = None
    artifacts: Path | None = None

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self.asked: list[str] = []
        self.start = upstream.start

    def state(self) -> TrackingState:
        return TrackingState("remote", "remote", True)

    def request(self, method: str, path: str, **options: Any) -> Any:
        self.asked.append(path)
        return self._upstream.request(method, path, **options)

    def forward(self, method: str, target: str, **options: Any) -> Any:
        raise AssertionError("only the proxy passes requests on")

    async def close(self) -> None:
        """Leave the server to its owner."""


class Desk:
    """A service, and the server behind it."""

    def __init__(self, host: TrackingHost, folder: Path, upstream: Upstream | None = None, **options: Any) -> None:
        self.host = host
        self.folder = folder

        async def made() -> ExperimentsService:
            return ExperimentsService(upstream or host.upstream, folder, **options)

        self.service = host.run(made())
        host.observers.append(self.service.written)

    def close(self) -> None:
        self.host.observers.remove(self.service.written)
        self.host.run(self.service.close())

    def ask(self, work: Coroutine[Any, Any, T]) -> T:
        return self.host.run(work)

    def search(self, *experiments: str, caller: Caller = ANA, **asked: Any) -> RunPage:
        question = wire.RunQuestion(experiments=list(experiments), **asked)
        return self.ask(self.service.search(caller, question))

    def ids(self, *experiments: str, **asked: Any) -> list[str]:
        return [row.id for row in self.search(*experiments, **asked).runs]

    def curves(self, runs: list[str], metrics: list[str], **asked: Any) -> Any:
        return self.ask(self.service.curves(ANA, wire.CurvesAsked(runs=runs, metrics=metrics, **asked)))

    # ---- what a client logs

    def start_run(
        self, experiment: str, name: str = "", start_ms: int | None = None, tags: Mapping[str, str] | None = None
    ) -> str:
        start = int(time.time() * 1000) if start_ms is None else start_ms
        given = [{"key": key, "value": value} for key, value in (tags or {}).items()]
        made = self.host.post("runs/create", experiment_id=experiment, run_name=name, start_time=start, tags=given)
        return str(made["run"]["info"]["run_id"])

    def log(
        self, run: str, *, params: dict[str, str] | None = None, tags: dict[str, str] | None = None, **more: Any
    ) -> None:
        """Log parameters, tags and metrics; ``metrics`` maps names to values, or to lists of (step, value)."""
        now = int(time.time() * 1000)
        points = [
            {"key": key, "value": value, "timestamp": now + step, "step": step}
            for key, values in more.get("metrics", {}).items()
            for step, value in (values if isinstance(values, list) else [(0, values)])
        ]
        texts = {
            kind: [{"key": key, "value": value} for key, value in (given or {}).items()]
            for kind, given in (("params", params), ("tags", tags))
        }
        for at in range(0, max(1, len(points)), 1000):
            self.host.post("runs/log-batch", run_id=run, metrics=points[at : at + 1000], **(texts if not at else {}))

    def end(self, run: str, status: str = "FINISHED", end_ms: int | None = None) -> None:
        end = int(time.time() * 1000) if end_ms is None else end_ms
        self.host.post("runs/update", run_id=run, status=status, end_time=end)

    def until(self, holds: Callable[[], T], what: str, seconds: float = 60) -> T:
        """Wait until something holds, and return it."""
        end = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < end, f"not within {seconds} s: {what}"
            time.sleep(0.1)
        return found
