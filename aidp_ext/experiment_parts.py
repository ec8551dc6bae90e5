"""What the experiments slice needs of the AI and Git slices, and they of it: slices never know each other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aidp_ext.ai.models import Caller, RouteRequest, Task
from aidp_ext.ai.talk import Router, Talk, talk
from aidp_ext.core.errors import AidpError, NotFound
from aidp_ext.experiments.lineage.capture import Capture
from aidp_ext.experiments.lineage.evidence import GitState, Surroundings
from aidp_ext.experiments.lineage.send import call, tag
from aidp_ext.experiments.models import Caller as RunCaller
from aidp_ext.experiments.models import RunHead, Written
from aidp_ext.experiments.restore import Restorer
from aidp_ext.experiments.upstream import Upstream
from aidp_ext.experiments.wire import RunQuestion
from aidp_ext.git.command import Git, Locks
from aidp_ext.git.snapshot import BranchTaken, root_of, snapshot, snapshot_branch
from aidp_ext.git_parts import find_secrets

if TYPE_CHECKING:
    from aidp_ext.experiments.service import ExperimentsService

_MOST_TOKENS = 1500
_MOST_PATHS, _MOST_RUNS = 20, 10  # as many as a commit's message names

_log = logging.getLogger("aidp.experiments")


# ---- lineage


async def git_state(path: Path, most_bytes: int) -> GitState | None:
    """Return how the repository around a file or folder stands; None where there is none. Raises GitError."""
    root = await asyncio.to_thread(_root, path)
    if root is None:
        return None
    found = await snapshot(root, most_bytes=most_bytes)
    return GitState(
        root=root,
        commit=found.commit,
        branch=found.branch,
        remote=found.remote,
        dirty=found.dirty,
        patch=found.patch or b"",
        is_cut=found.truncated,
    )


def _root(path: Path) -> Path | None:
    return root_of(path if path.is_dir() else path.parent)


def capture_for(
    upstream: Upstream,
    log_folder: Path,
    spool: Path,
    workspace: Path | None,
    user: str,
    notebook_of: Callable[[str], Awaitable[str | None]],
    has_kernel: Callable[[str], bool],
) -> Capture:
    """Return what keeps the lineage of runs. ``notebook_of`` gives a kernel's notebook as it is called now."""
    around = Surroundings(log_folder, spool, workspace, user, find_secrets, git_state, notebook_of, has_kernel)
    return Capture(upstream, around)


def restorer_for(upstream: Upstream, workspace: Path | None) -> Restorer:
    """Return what makes the code of a run anew."""
    return Restorer(upstream, workspace, snapshot_branch, _is_branch_taken)


def _is_branch_taken(error: AidpError) -> bool:
    return isinstance(error, BranchTaken)


# ---- ship


#: The runs that a filter in MLflow's syntax finds, at most so many, the newest first.
Search = Callable[[str, int], Awaitable[Sequence[RunHead]]]


def search_index(service: Callable[[], ExperimentsService], user: str) -> Search:
    """Return what searches the index beside this server, which needs no tracking server to run."""

    async def search(wanted: str, most: int) -> Sequence[RunHead]:
        asked = RunQuestion(filter=wanted, order_by=["attributes.start_time DESC"], limit=most)
        return (await service().search(RunCaller(user, is_admin=True), asked)).runs

    return search


def search_server(upstream: Upstream) -> Search:
    """Return what searches the tracking server itself: a team's runs are in no index of a user's server."""

    async def search(wanted: str, most: int) -> Sequence[RunHead]:
        listed = await call(upstream, "experiments/search", {"max_results": 1000})
        ids = [one["experiment_id"] for one in listed.get("experiments", [])]
        if not ids:
            return []
        order = ["attributes.start_time DESC"]
        asked = {"experiment_ids": ids, "filter": wanted, "order_by": order, "max_results": most}
        found = (await call(upstream, "runs/search", asked)).get("runs", [])
        return [_head(run["info"]) for run in found]

    return search


def _head(info: Mapping[str, Any]) -> RunHead:
    return RunHead(
        id=str(info["run_id"]),
        name=str(info.get("run_name", "")),
        experiment_id=str(info["experiment_id"]),
        status=info["status"],
        stage="active",
        start_ms=int(info.get("start_time") or 0),
        end_ms=None,
        user="",
        cell=None,
        commit=None,
        dirty=None,
        diverged=False,
        ended=None,
    )


class ShippedRuns:
    """Which runs go along with a commit, and their tag that says so: what the Git slice asks for, and tells."""

    def __init__(self, upstream: Upstream, search: Search, workspace: Path | None) -> None:
        self._upstream = upstream
        self._search = search
        self._workspace = workspace
        #: Who wants to know of what is changed here, beside the proxy.
        self.told: Callable[[Written], Awaitable[None]] | None = None
        self._telling: set[asyncio.Task[None]] = set()

    async def runs_of(self, root: Path, paths: Sequence[str], head: str | None) -> list[str]:
        """Return the finished runs of the notebooks and scripts among ``paths`` since each was last committed.

        ``root`` is the top of the repository, to which the paths are relative. At most ten, the newest first.
        """
        if self._workspace is None:
            return []
        code = [path for path in paths if path.endswith((".ipynb", ".py"))][:_MOST_PATHS]
        found: dict[str, RunHead] = {}
        for path in code:
            known = self._known_as(root, path)
            if known is None:
                continue
            since = await _committed_ms(root, path) if head is not None else 0
            name = "aidp.notebook" if path.endswith(".ipynb") else "aidp.file"
            wanted = f"tags.`{name}` = {known} AND attributes.status = 'FINISHED' AND attributes.start_time > {since}"
            found |= {run.id: run for run in await self._search(wanted, _MOST_RUNS)}
        newest = sorted(found.values(), key=lambda run: run.start_ms or 0, reverse=True)
        return [run.id for run in newest[:_MOST_RUNS]]

    def _known_as(self, root: Path, path: str) -> str | None:
        """Return a path as the runs' tags have it, quoted for a filter; None where it cannot be written in one."""
        assert self._workspace is not None
        place = root / path
        for base in (self._workspace, self._workspace.resolve()):
            if place.is_relative_to(base):
                known = place.relative_to(base).as_posix()
                mark = next((mark for mark in "'\"" if mark not in known), None)
                return f"{mark}{known}{mark}" if mark is not None else None
        return None

    async def shipped(self, run_ids: Sequence[str], commit: str) -> None:
        """Note the commit that holds these runs' code, soon: the tracking server may have to start first."""
        task = asyncio.create_task(self._tell(tuple(run_ids), commit))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, run_ids: Sequence[str], commit: str) -> None:
        for run_id in run_ids:
            try:
                await tag(self._upstream, run_id, {"aidp.git.shipped": commit})
            except NotFound:
                continue
            except AidpError as error:
                _log.warning("runs were not told of their commit %s: %s", commit[:8], error.message)
                return
            if self.told is not None:
                body = {"run_id": run_id, "tags": [{"key": "aidp.git.shipped", "value": commit}]}
                await self.told(Written("POST", "/api/2.0/mlflow/runs/log-batch", body, {}, 200, ""))

    async def idle(self) -> None:
        """Return when all are told."""
        await asyncio.gather(*self._telling)

    async def close(self) -> None:
        """End what is under way."""
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)


async def _committed_ms(root: Path, path: str) -> int:
    """Return when a file was last committed; 0 for one that never was."""
    told = await Git(root, Locks()).read("log", "-1", "--format=%ct", "--", f":(literal){path}", check=False)
    said = told.stdout.decode(errors="replace").strip()
    return int(said) * 1000 if told.returncode == 0 and said.isdecimal() else 0


# ---- words of a model


Explain = Callable[[Sequence[Mapping[str, Any]], tuple[str, tuple[str, ...]]], Awaitable["Explanation"]]


def explain_with(ai: Router) -> Explain:
    """Return what asks a model about runs through the router, as the task ``explain``; caller: name and teams."""

    async def explain(messages: Sequence[Mapping[str, Any]], caller: tuple[str, tuple[str, ...]]) -> Explanation:
        who, teams = caller
        request = RouteRequest(task=Task.EXPLAIN)
        return Explanation(await talk(ai, messages, request, Caller(who, {}, teams), max_tokens=_MOST_TOKENS))

    return explain


class Explanation:
    """A model's words, with who says them and why it was asked."""

    def __init__(self, answer: Talk) -> None:
        self._talk = answer
        self.route = answer.answer.route
        self.reason = str(answer.answer.reason)
        self.locality = str(answer.answer.locality)

    def __aiter__(self) -> AsyncGenerator[str, None]:
        return self._talk.__aiter__()

    async def aclose(self) -> None:
        """End it, upstream too."""
        await self._talk.aclose()
