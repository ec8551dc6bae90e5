"""Notices in the server that a run has begun, and adds to it what its client cannot know, in the background.

What is to be known is gathered at once; it is sent in the order of the runs, and where the tracking server is away it
is sent later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from aidp_ext.core.errors import AidpError, NotFound
from aidp_ext.experiments.lineage.evidence import Gatherer, Gathering, RunStarted, Surroundings
from aidp_ext.experiments.lineage.log import SEED_NAMES
from aidp_ext.experiments.lineage.reconcile import Reconciler
from aidp_ext.experiments.lineage.send import is_passing, send_files, tag, untag
from aidp_ext.experiments.models import Written
from aidp_ext.experiments.upstream import Upstream

MOST_WAITING = 2000
_PAUSES_S = (0.5, 1, 2, 5, 10, 30)  # between tries; the last one again and again
_TRIES = 60  # half an hour
_ENDED = ("FINISHED", "FAILED", "KILLED")
_CLOSING_S = 3.0
WATCH_S = 10.0

_log = logging.getLogger("aidp.experiments")


@dataclass
class _Waiting:
    run: RunStarted
    gathering: Gathering


class Capture:
    """What the proxy tells of each change; see :meth:`written`."""

    def __init__(self, upstream: Upstream, around: Surroundings) -> None:
        self._upstream = upstream
        self._gatherer = Gatherer(around)
        self._user = around.user
        self.reconciler = Reconciler(upstream, around.has_kernel)
        #: Who wants to know of what is changed here, beside the proxy.
        self.told: Callable[[Written], Awaitable[None]] | None = None
        self._waiting: deque[_Waiting] = deque()
        self._something = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._worker: asyncio.Task[None] | None = None
        self._lost = 0
        self._more: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None

    def look_back(self) -> None:
        """Begin to end what an earlier server of this name left running. For a server of a hub, where it starts."""
        self._watch(is_first=True)

    async def written(self, written: Written) -> None:
        """Take note of a call that changed something. Returns at once and raises nothing."""
        if written.status != 200 or written.body is None:
            return
        path = written.path.partition("/mlflow/")[2]
        if path == "runs/create":
            if (run := _run_of(written)) is not None:
                self._begin(run)
        elif path == "runs/update":
            run_id = str(written.body.get("run_id") or written.body.get("run_uuid") or "")
            if written.body.get("status") in _ENDED:
                self.reconciler.ended(run_id)
            elif written.body.get("status") == "RUNNING" and run_id:
                self.reconciler.ended(run_id)
                self._later(self._go_on(run_id))
        elif path in ("runs/log-parameter", "runs/log-batch"):
            self._look_for_seed(written.body)

    def _begin(self, run: RunStarted) -> None:
        self.reconciler.began(run.run_id, run.tags)
        if len(self._waiting) >= MOST_WAITING:
            self._lost += 1
            if self._lost == 1:
                _log.warning("runs begin faster than their lineage can be kept; some have only their cell's number")
            return
        self._waiting.append(_Waiting(run, self._gatherer.begin(run)))
        self._idle.clear()
        self._something.set()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        self._watch(is_first=False)

    async def idle(self) -> None:
        """Return when nothing waits to be sent."""
        await self._idle.wait()
        await asyncio.gather(*self._more)

    async def close(self) -> None:
        """Send what is ready, for some seconds, and end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_S):
                await self.idle()
        tasks = [*self._more, *(task for task in (self._worker, self._watching) if task is not None)]
        gathered = [waiting.gathering.task for waiting in self._waiting]
        for task in (*tasks, *gathered):
            task.cancel()
        await asyncio.gather(*tasks, *gathered, return_exceptions=True)
        self._waiting.clear()
        await self._gatherer.close()

    # ---- runs whose process goes

    def _watch(self, *, is_first: bool) -> None:
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._keep_watching(is_first))

    async def _keep_watching(self, is_first: bool) -> None:
        if is_first:
            await self.reconciler.look_back(self._user)
        while self.reconciler.running:
            await asyncio.sleep(WATCH_S)
            for run_id, _ in await self.reconciler.reconcile(self.reconciler.running):
                await self._tell("runs/update", {"run_id": run_id, "status": "KILLED"})

    # ---- sending

    async def _work(self) -> None:
        while True:
            self._something.clear()
            while self._waiting:
                await self._keep_trying(self._waiting[0])
                self._waiting.popleft().gathering.release()
            self._idle.set()
            await self._something.wait()

    async def _keep_trying(self, waiting: _Waiting) -> None:
        for number in range(_TRIES):
            try:
                await self._send(waiting)
                return
            except NotFound:  # deleted since
                return
            except AidpError as error:
                if not is_passing(error):
                    _log.warning("the lineage of run %s was refused: %s", waiting.run.run_id, error.message)
                    return
                _log.info("the lineage of run %s waits: %s", waiting.run.run_id, error.message)
            except Exception:
                _log.exception("the lineage of run %s is lost", waiting.run.run_id)
                return
            await asyncio.sleep(_PAUSES_S[min(number, len(_PAUSES_S) - 1)])
        _log.warning("the lineage of run %s is lost: the tracking server did not come back", waiting.run.run_id)

    async def _send(self, waiting: _Waiting) -> None:
        run, evidence = waiting.run, await asyncio.shield(waiting.gathering.task)
        missing = [*evidence.missing]
        if evidence.files:
            missing += await send_files(self._upstream, run.artifact_uri, evidence)
        captured = f"partly: {'; '.join(missing)}" if missing else "done"
        # What the code that began the run says of itself goes before what we know: a job names its own user.
        tags = {name: value for name, value in evidence.tags.items() if name not in _own_words(run)}
        await self._tag(run.run_id, {**tags, "aidp.captured": captured})

    async def _tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        await tag(self._upstream, run_id, tags)
        listed = [{"key": name, "value": value} for name, value in tags.items()]
        await self._tell("runs/log-batch", {"run_id": run_id, "tags": listed})

    async def _tell(self, path: str, body: dict[str, Any]) -> None:
        if self.told is not None:
            await self.told(Written("POST", f"/api/2.0/mlflow/{path}", body, {}, 200, ""))

    # ---- the seed, as a parameter

    def _look_for_seed(self, body: Mapping[str, Any]) -> None:
        """A parameter that is called a seed is one, and says more than the code."""
        run_id = str(body.get("run_id") or body.get("run_uuid") or "")
        pairs = body.get("params") if "params" in body else [body]
        for pair in pairs if isinstance(pairs, list) and run_id else ():
            if isinstance(pair, dict) and pair.get("key") in SEED_NAMES and pair.get("value") not in (None, "", "None"):
                self._later(self._keep_seed(run_id, str(pair["value"])[:500]))
                return

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._more.add(task)
        task.add_done_callback(self._more.discard)

    async def _go_on(self, run_id: str) -> None:
        """Forget the process of a run that another one goes on with: its end would not be the run's."""
        try:
            await self._tag(run_id, {"aidp.process": "{}"})
            await untag(self._upstream, run_id, "aidp.ended")
            await self._tell("runs/delete-tag", {"run_id": run_id, "key": "aidp.ended"})
        except AidpError as error:
            _log.info("run %s goes on, and is not told: %s", run_id, error.message)

    async def _keep_seed(self, run_id: str, seed: str) -> None:
        await self._sent(run_id)
        try:
            await self._tag(run_id, {"aidp.seed": seed})
        except AidpError as error:
            _log.info("the seed of run %s was not kept: %s", run_id, error.message)

    async def _sent(self, run_id: str) -> None:
        """Wait until what was gathered of a run is sent: its code's seed is not to come after the parameter's."""
        while any(waiting.run.run_id == run_id for waiting in self._waiting):
            await asyncio.sleep(0.1)


def _own_words(run: RunStarted) -> set[str]:
    """Return the tags that the run's client gave by itself and that stay; what it cannot know is set in any case."""
    return {name for name in ("aidp.user", "aidp.seed") if run.tags.get(name)}


def _run_of(written: Written) -> RunStarted | None:
    """Return the run that a call has created; None where it is not of a process that aidp started."""
    info = ((written.answer or {}).get("run") or {}).get("info") or {}
    said = (written.body or {}).get("tags") or []
    tags = {str(one.get("key")): str(one.get("value")) for one in said if isinstance(one, dict)}
    if not info.get("run_id") or not (tags.get("aidp.process") or tags.get("aidp.kernel.id")):
        return None
    experiment, uri = str(info.get("experiment_id", "")), str(info.get("artifact_uri", ""))
    return RunStarted(str(info["run_id"]), experiment, uri, tags)
