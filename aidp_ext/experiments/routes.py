"""The slice's endpoints: parse, call the service, emit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from tornado.websocket import WebSocketClosedError

from aidp_ext.core.errors import AidpError, UpstreamError, UpstreamTimeout
from aidp_ext.core.web import Route, WsApi, endpoint, error_body
from aidp_ext.experiments import wire
from aidp_ext.experiments.base_routes import INDEX_ERRORS, SERVER_ERRORS, ExperimentsApi
from aidp_ext.experiments.file_routes import ROUTES as FILE_ROUTES
from aidp_ext.experiments.model_routes import ROUTES as MODEL_ROUTES
from aidp_ext.experiments.models import (
    Caller,
    CellsSaid,
    CodeDiff,
    Columns,
    Comparison,
    DoneToRuns,
    Experiment,
    RunDetail,
    RunPage,
)
from aidp_ext.experiments.upstream import TrackingState

if TYPE_CHECKING:
    from aidp_ext.experiments.service import ExperimentsService
    from aidp_ext.experiments.watchers import Watcher

_RUN = "0123456789abcdef0123456789abcdef"
_OTHER = "fedcba9876543210fedcba9876543210"
_LONGEST_MESSAGE = 200_000


# ---- experiments


class Experiments(ExperimentsApi):
    """``experiments``."""

    @endpoint("read", gives=wire.ExperimentsSaid, raises=INDEX_ERRORS)
    async def get(self) -> None:
        """Return the experiments, the ones used last first, and how the tracking server is. It is not started."""
        self.reply(await self.service.experiments(self.caller))

    @endpoint("write", takes=wire.ExperimentAsked, example={"name": "titanic"}, gives=Experiment, raises=SERVER_ERRORS)
    async def post(self) -> None:
        """Make an experiment."""
        self.reply(await self.service.create_experiment(self.caller, self.body(wire.ExperimentAsked).name))


class ExperimentAt(ExperimentsApi):
    """``experiments/<id>``."""

    @endpoint(
        "write", takes=wire.ExperimentChange, example={"note": "Who survives?"}, gives=Experiment, raises=SERVER_ERRORS
    )
    async def patch(self, id: str) -> None:
        """Give an experiment another name or note."""
        asked = self.body(wire.ExperimentChange)
        self.reply(await self.service.change_experiment(self.caller, id, asked.name, asked.note))


class ExperimentDelete(ExperimentsApi):
    """``experiments/<id>/delete``."""

    @endpoint("write", gives=wire.DoneSaid, raises=SERVER_ERRORS)
    async def post(self, id: str) -> None:
        """Put an experiment among the deleted ones, with its runs."""
        await self.service.set_experiment_stage(self.caller, id, "deleted")
        self.reply(wire.DoneSaid())


class ExperimentRestore(ExperimentsApi):
    """``experiments/<id>/restore``."""

    @endpoint("write", gives=wire.DoneSaid, raises=SERVER_ERRORS)
    async def post(self, id: str) -> None:
        """Bring an experiment back from among the deleted ones."""
        await self.service.set_experiment_stage(self.caller, id, "active")
        self.reply(wire.DoneSaid())


class Start(ExperimentsApi):
    """``experiments/start``."""

    @endpoint("execute", gives=TrackingState, raises=SERVER_ERRORS)
    async def post(self) -> None:
        """Start the tracking server, and return how it is once it answers."""
        self.reply(await self.service.start())


# ---- runs


class RunSearch(ExperimentsApi):
    """``experiments/runs/search``."""

    @endpoint(
        "read",
        takes=wire.RunQuestion,
        example={"experiments": ["0"], "filter": "metrics.loss < 1", "order_by": ["metrics.loss"]},
        gives=RunPage,
        raises=INDEX_ERRORS,
    )
    async def post(self) -> None:
        """Return some runs, found and put in order as MLflow's search does it.

        A filter that is none is refused with `invalid_request`; `details.position` is the place in it.
        """
        self.reply(await self.service.search(self.caller, self.body(wire.RunQuestion)))


class ColumnsOf(ExperimentsApi):
    """``experiments/columns``."""

    @endpoint("read", query=wire.ColumnsQuery, gives=Columns, raises=INDEX_ERRORS)
    async def get(self) -> None:
        """Return the metrics, parameters and tags of an experiment, the most frequent ones first."""
        self.reply(await self.service.columns(self.caller, self.query(wire.ColumnsQuery)))


class Curves(ExperimentsApi):
    """``experiments/curves``."""

    @endpoint(
        "read",
        takes=wire.CurvesAsked,
        example={"runs": [_RUN], "metrics": ["loss"]},
        gives=wire.CurvesSaid,
        raises=(*INDEX_ERRORS, UpstreamError, UpstreamTimeout),
    )
    async def post(self) -> None:
        """Return how metrics went, thinned out to so many points, each with the least and the greatest around it."""
        self.reply(wire.CurvesSaid(await self.service.curves(self.caller, self.body(wire.CurvesAsked))))


class RunAt(ExperimentsApi):
    """``experiments/runs/<id>``."""

    @endpoint("read", gives=RunDetail, raises=INDEX_ERRORS)
    async def get(self, id: str) -> None:
        """Return all of a run."""
        self.reply(await self.service.run(self.caller, id))

    @endpoint("write", takes=wire.RunChange, example={"tags": {"kept": "yes"}}, gives=RunDetail, raises=SERVER_ERRORS)
    async def patch(self, id: str) -> None:
        """Change a run's name, note and tags, or end one that is under way."""
        self.reply(await self.service.change_run(self.caller, id, self.body(wire.RunChange)))


class RunsDelete(ExperimentsApi):
    """``experiments/runs/delete``."""

    @endpoint("write", takes=wire.RunsAsked, example={"runs": [_RUN]}, gives=DoneToRuns, raises=SERVER_ERRORS)
    async def post(self) -> None:
        """Put runs among the deleted ones."""
        self.reply(await self.service.set_stage(self.caller, self.body(wire.RunsAsked).runs, "deleted"))


class RunsUndelete(ExperimentsApi):
    """``experiments/runs/undelete``."""

    @endpoint("write", takes=wire.RunsAsked, example={"runs": [_RUN]}, gives=DoneToRuns, raises=SERVER_ERRORS)
    async def post(self) -> None:
        """Bring runs back from among the deleted ones."""
        self.reply(await self.service.set_stage(self.caller, self.body(wire.RunsAsked).runs, "active"))


class Cells(ExperimentsApi):
    """``experiments/cells``."""

    @endpoint("read", query=wire.CellsQuery, gives=CellsSaid, raises=INDEX_ERRORS)
    async def get(self) -> None:
        """Return which cells of a notebook started runs, and the latest one of each."""
        self.reply(await self.service.cells(self.caller, self.query(wire.CellsQuery).notebook))


# ---- comparison


class Compare(ExperimentsApi):
    """``experiments/compare``."""

    @endpoint("read", takes=wire.ComparedAsked, example={"runs": [_RUN, _OTHER]}, gives=Comparison, raises=INDEX_ERRORS)
    async def post(self) -> None:
        """Return runs side by side: parameters, last metrics, tags, packages and environment."""
        self.reply(await self.service.compare(self.caller, self.body(wire.ComparedAsked).runs))


class Diff(ExperimentsApi):
    """``experiments/diff``."""

    @endpoint("read", query=wire.DiffQuery, gives=CodeDiff, raises=INDEX_ERRORS)
    async def get(self) -> None:
        """Return how the code of two runs differs: the cells that ran, and the changes that were not committed."""
        asked = self.query(wire.DiffQuery)
        self.reply(await self.service.diff(self.caller, asked.a, asked.b))


class Explain(ExperimentsApi):
    """``experiments/explain``."""

    @endpoint(
        "execute",
        takes=wire.ComparedAsked,
        example={"runs": [_RUN, _OTHER]},
        streams=wire.ExplainEvent,
        raises=SERVER_ERRORS,
    )
    async def post(self) -> None:
        """Have a model say why the metrics of runs differ, and stream its words. It is told of differences only."""
        words = await self.service.explain(self.caller, self.body(wire.ComparedAsked).runs)
        await self.stream(_Spoken(words))


class _Spoken:
    """A model's words as server-sent events."""

    def __init__(self, words: Any) -> None:
        self._words = words
        self._made = self._encoded()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._made

    async def aclose(self) -> None:
        """End it, upstream too."""
        await self._made.aclose()
        await self._words.aclose()

    async def _encoded(self) -> AsyncGenerator[bytes, None]:
        yield _event(wire.RouteEvent(self._words.route, self._words.reason))
        async for text in self._words:
            yield _event(wire.TextEvent(text))
        yield b"data: [DONE]\n\n"


def _event(value: Any) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


class RestoreCode(ExperimentsApi):
    """``experiments/runs/<id>/restore-code``."""

    @endpoint("write", takes=wire.RestoreAsked, example={"into": "notebook"}, gives=wire.Restored, raises=SERVER_ERRORS)
    async def post(self, id: str) -> None:
        """Make the code of a run anew, as a notebook or a branch of the workspace, with a file of its packages."""
        asked = self.body(wire.RestoreAsked)
        self.reply(await self.service.restore(self.caller, id, asked.into, asked.path, asked.name))


# ---- live


class LiveSocket(WsApi):
    """``experiments/live``: what happens to runs, as it happens. Pages say ``{"watch": {…}}`` as often as they like."""

    action = "read"
    teams: Callable[[], tuple[str, ...]]
    sees_everybody: Callable[[], bool]
    _watcher: Watcher | None = None
    _wish: asyncio.Task[None] | None = None

    @property
    def _service(self) -> ExperimentsService:
        service: ExperimentsService = self.settings["aidp_experiments"]()
        return service

    def open(self, *_: str) -> None:
        """Begin to watch."""
        self._watcher = self._service.live.join(
            Caller(self.who(), tuple(self.teams()), self.sees_everybody()), self._send
        )

    async def _send(self, message: bytes) -> None:
        with contextlib.suppress(WebSocketClosedError):
            await self.write_message(message.decode())

    async def on_message(self, message: str | bytes) -> None:
        """Take what the page wants to be told of."""
        assert self._watcher is not None
        try:
            if len(message) > _LONGEST_MESSAGE:
                raise msgspec.DecodeError("it is too long")
            asked = msgspec.json.decode(message, type=wire.WatchAsked)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.close(1007, f"not understood: {error}"[:120])
            return
        try:
            await self._service.live.watch(self._watcher, asked.watch)
        except AidpError as error:
            await self._send(msgspec.json.encode({"kind": "error", **error_body(error)}))

    def on_close(self) -> None:
        """Watch no more."""
        if self._watcher is not None:
            self._wish = asyncio.create_task(self._service.live.leave(self._watcher))


ROUTES: tuple[Route, ...] = (
    (r"experiments", Experiments),
    (r"experiments/start", Start),
    (r"experiments/columns", ColumnsOf),
    (r"experiments/curves", Curves),
    (r"experiments/cells", Cells),
    (r"experiments/compare", Compare),
    (r"experiments/diff", Diff),
    (r"experiments/explain", Explain),
    (r"experiments/live", LiveSocket),
    (r"experiments/runs/search", RunSearch),
    (r"experiments/runs/delete", RunsDelete),
    (r"experiments/runs/undelete", RunsUndelete),
    *FILE_ROUTES,
    *MODEL_ROUTES,
    (r"experiments/runs/([^/]+)/restore-code", RestoreCode),
    (r"experiments/runs/([^/]+)", RunAt),
    (r"experiments/([^/]+)/delete", ExperimentDelete),
    (r"experiments/([^/]+)/restore", ExperimentRestore),
    (r"experiments/([^/]+)", ExperimentAt),
)
