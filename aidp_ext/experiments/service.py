"""The slice's one service: what may be seen and done, and who does it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from aidp_ext.core.errors import AidpError, Conflict, Forbidden, NotFound, Unavailable
from aidp_ext.experiments import csv, wire
from aidp_ext.experiments.artifacts import ArtifactStore, Opened, Place
from aidp_ext.experiments.compare import Facts, code_diff, compared, messages
from aidp_ext.experiments.curves import History, Shape
from aidp_ext.experiments.details import (
    NOTE,
    SYSTEM,
    Known,
    Words,
    evidence_of,
    facts_of,
    known,
    lineage,
    runs_asked,
    with_extremes,
)
from aidp_ext.experiments.index import query, rows
from aidp_ext.experiments.index.filter import parse_filter, parse_order
from aidp_ext.experiments.index.runs import RunIndex
from aidp_ext.experiments.live import Live, Reconcile
from aidp_ext.experiments.models import (
    Access,
    Artifacts,
    Caller,
    Can,
    CellsSaid,
    CodeDiff,
    Columns,
    Comparison,
    Curve,
    DoneToRuns,
    Everything,
    Experiment,
    Failure,
    LoggedModel,
    ModelOfRun,
    Preview,
    RegisteredModel,
    Right,
    RunDetail,
    RunPage,
    Stage,
    Written,
)
from aidp_ext.experiments.models_registry import Registry, Wanted
from aidp_ext.experiments.stores.mlflow import MlflowStore
from aidp_ext.experiments.upstream import TrackingState, Upstream

Explain = Callable[[Sequence[Mapping[str, Any]], tuple[str, tuple[str, ...]]], Awaitable[Words]]
Restore = Callable[..., Awaitable[Any]]

_STAGES = {"active": ("active",), "deleted": ("deleted",), "all": ("active", "deleted")}
_ID, _EXPERIMENT = re.compile(r"[A-Za-z0-9_-]{1,64}"), re.compile(r"[0-9]{1,18}")
_SHEET = 500


class ExperimentsService:
    """What the endpoints call. Values come back; errors of the tree are raised."""

    def __init__(
        self,
        upstream: Upstream,
        folder: Path,
        *,
        access: Access | None = None,
        explain: Explain | None = None,
        restore: Restore | None = None,
        reconcile: Reconcile | None = None,
    ) -> None:
        """``folder`` keeps the index. ``explain`` asks a model, ``restore`` makes the code of a run anew, and
        ``reconcile`` ends the runs whose process is gone."""
        self._upstream = upstream
        self._access = access or Everything()
        self._explain = explain
        self._restore = restore
        self._store = MlflowStore(upstream)
        self._index = RunIndex(folder / "index.db", upstream, self._store)
        self._history = History(upstream.database, self._store, lambda: self._index.reads_directly)
        self._artifacts = ArtifactStore(upstream.artifacts, self._store)
        self._registry = Registry(self._store, self._access)
        self.live = Live(self._index, self._history, self._access, upstream.state, reconcile)

    async def close(self) -> None:
        """End what is under way."""
        await self.live.close()
        await self._history.close()
        await self._index.close()

    async def written(self, written: Written) -> None:
        """Look again at the runs that a call to the tracking server changed."""
        body, answer = written.body or {}, written.answer or {}
        run = body.get("run_id") or body.get("run_uuid")
        if run is None and isinstance(answer.get("run"), dict):
            run = answer["run"].get("info", {}).get("run_id")
        # Without a run it may be an experiment, or a body too large to be looked at: the next look finds it
        self._index.touch([run] if isinstance(run, str) else ())

    async def start(self) -> TrackingState:
        """Start the tracking server, and return how it is."""
        await self._upstream.start()
        return self._upstream.state()

    # ---- rights

    async def _visible(self, caller: Caller) -> frozenset[str] | None:
        return await self._access.visible(caller)

    async def _can(self, caller: Caller, experiment: str) -> Can:
        write = await self._access.may(caller, experiment, "write")
        return Can(write, await self._access.may(caller, experiment, "manage"))

    async def _need(self, caller: Caller, experiment: str, right: Right) -> None:
        """Raise NotFound for an experiment that may not be seen, Forbidden where more is needed than there is."""
        visible = await self._visible(caller)
        if not _EXPERIMENT.fullmatch(experiment) or (visible is not None and experiment not in visible):
            raise NotFound("There is no such experiment.")
        if not await self._access.may(caller, experiment, right):
            raise Forbidden("You may look at this experiment, and not change it.")

    async def _known(self, caller: Caller, runs: Sequence[str], right: Right = "read") -> list[Known]:
        """Return what is known of runs to which the caller has a right."""
        await self._index.fresh()
        visible = await self._visible(caller)
        if not all(map(_ID.fullmatch, runs)):
            raise NotFound("There is no such run.")
        found = await self._index.read(partial(known, ids=runs, visible=visible))
        for experiment in {one.row.experiment_id for one in found} if right != "read" else ():
            await self._need(caller, experiment, right)
        return found

    async def _one(self, caller: Caller, run: str, right: Right = "read") -> Known:
        return (await self._known(caller, [run], right))[0]

    # ---- experiments

    async def experiments(self, caller: Caller) -> wire.ExperimentsSaid:
        """Return the experiments that the caller may see, the ones used last first."""
        await self._index.fresh()
        self.live.reconcile_soon()
        visible = await self._visible(caller)
        found = [
            Experiment(id, name, stage, runs, running, last, note, await self._can(caller, id))
            for id, name, stage, note, runs, running, last in await self._index.read(
                partial(rows.experiments, visible=visible)
            )
        ]
        found.sort(key=lambda one: (-(one.last_ms or 0), one.name))
        return wire.ExperimentsSaid(tuple(found), self._upstream.state())

    async def _experiment(self, caller: Caller, id: str) -> Experiment:
        await self._fed()
        said = await self.experiments(caller)
        found = next((one for one in said.experiments if one.id == id), None)
        if found is None:
            raise NotFound("There is no such experiment.")
        return found

    async def _fed(self, runs: Iterable[str] = ()) -> None:
        """See to it that the index knows what was just written."""
        self._index.touch(runs)
        await self._index.fresh(patience_s=5.0)

    async def create_experiment(self, caller: Caller, name: str) -> Experiment:
        """Make an experiment. Raises Conflict where the name is taken."""
        await self._access.check_name(caller, name)
        id = await self._store.create_experiment(name)
        await self._access.created(caller, "experiment", id)
        until = time.monotonic() + 10
        while True:  # by REST the index knows it a moment later
            with contextlib.suppress(NotFound):
                return await self._experiment(caller, id)
            if time.monotonic() > until:
                return Experiment(id, name, "active", 0, 0, None, "", await self._can(caller, id))
            await asyncio.sleep(0.2)

    async def change_experiment(self, caller: Caller, id: str, name: str | None, note: str | None) -> Experiment:
        """Give an experiment another name or note."""
        await self._need(caller, id, "write" if name is None else "manage")
        if name is not None:
            await self._access.check_name(caller, name)
            await self._store.rename_experiment(id, name)
        if note is not None:
            await self._store.tag_experiment(id, NOTE, note)
        return await self._experiment(caller, id)

    async def set_experiment_stage(self, caller: Caller, id: str, stage: Stage) -> None:
        """Put an experiment among the deleted ones, or bring it back."""
        await self._need(caller, id, "manage")
        if (await self._experiment(caller, id)).stage == stage:
            return  # MLflow would say that there is no such experiment
        await (self._store.delete_experiment(id) if stage == "deleted" else self._store.restore_experiment(id))
        await self._fed()

    # ---- runs

    async def search(self, caller: Caller, asked: wire.RunQuestion) -> RunPage:
        """Return some runs. Raises InvalidRequest for a filter or an order that is none."""
        conditions, orders = parse_filter(asked.filter), parse_order(asked.order_by)
        await self._index.fresh()
        self.live.reconcile_soon()
        found, total, version = await self._index.search(
            asked.experiments,
            await self._visible(caller),
            conditions,
            orders,
            _STAGES[asked.view],
            offset=asked.offset,
            limit=asked.limit,
            columns=asked.columns,
        )
        return RunPage(tuple(found), total, version)

    async def columns(self, caller: Caller, asked: wire.ColumnsQuery) -> Columns:
        """Return what an experiment's list can show."""
        visible = await self._visible(caller)
        if visible is not None and asked.experiment not in visible:
            raise NotFound("There is no such experiment.")
        await self._index.fresh()
        return await self._index.columns(asked.experiment, asked.search, asked.limit)

    async def curves(self, caller: Caller, asked: wire.CurvesAsked) -> tuple[Curve, ...]:
        """Return the curves that have points."""
        await self._index.fresh()
        visible = await self._visible(caller)
        found = await self._index.read(partial(runs_asked, ids=asked.runs, visible=visible))
        if not found:
            raise NotFound("There are no such runs.")
        shape = Shape(asked.axis, asked.points, asked.from_, asked.to)
        return tuple(await self._history.curves(found, list(dict.fromkeys(asked.metrics)), shape))

    async def run(self, caller: Caller, id: str) -> RunDetail:
        """Return all of a run. What only the tracking server knows is left out where it does not run."""
        one = await self._one(caller, id)
        place = await self._place(caller, one)
        models, logged, (patch, packages), extremes = await asyncio.gather(
            self._models_of(caller, one),
            self._logged_by(one),
            evidence_of(self._artifacts, place, one.tags),
            self._history.extremes(id),
        )
        head = {name: getattr(one.row, name) for name in one.row.__struct_fields__ if name != "values"}
        return RunDetail(
            **head,
            params=one.params,
            metrics=with_extremes(one.metrics, extremes),
            system_metrics=tuple(metric.key for metric in one.metrics if metric.key.startswith(SYSTEM)),
            tags=one.tags,
            note=one.tags.get(NOTE, ""),
            lineage=lineage(one.row, one.tags, patch, packages),
            inputs=one.inputs,
            models=models,
            logged_models=logged,
            artifact_root=one.artifact_uri,
            can=await self._can(caller, one.row.experiment_id),
        )

    @property
    def _answers(self) -> bool:
        """Whether the tracking server can be asked: looking at something is no reason to start it."""
        return self._upstream.state().state in ("ready", "remote")

    async def _models_of(self, caller: Caller, one: Known) -> tuple[ModelOfRun, ...]:
        with contextlib.suppress(AidpError):
            return await self._registry.of_run(caller, one.row.id) if self._answers else ()
        return ()

    async def _logged_by(self, one: Known) -> tuple[LoggedModel, ...]:
        with contextlib.suppress(AidpError):
            return await self._registry.logged(one.row.experiment_id, one.row.id) if self._answers else ()
        return ()

    async def change_run(self, caller: Caller, id: str, change: wire.RunChange) -> RunDetail:
        """Change a run's name, note and tags, or end it."""
        one = await self._one(caller, id, "write")
        if change.end is not None and one.row.status not in ("RUNNING", "SCHEDULED"):
            raise Conflict("The run has ended already.")
        if change.name is not None:
            await self._store.update_run(id, run_name=change.name)
        if change.note is not None:
            await self._store.set_tag(id, NOTE, change.note)
        for key, value in change.tags.items():
            await (self._store.delete_tag(id, key) if value is None else self._store.set_tag(id, key, value))
        if change.end is not None:
            await self._store.update_run(id, status=change.end, end_time=int(time.time() * 1000))
            await self._store.set_tag(id, rows.ENDED, f"ended by {caller.who}")
        await self._fed([id])
        return await self.run(caller, id)

    async def set_stage(self, caller: Caller, runs: Sequence[str], stage: Stage) -> DoneToRuns:
        """Put runs among the deleted ones, or bring them back."""
        done, failed = [], []
        for id in dict.fromkeys(runs):
            try:
                await self._one(caller, id, "write")
                await (self._store.delete_run(id) if stage == "deleted" else self._store.restore_run(id))
                done.append(id)
            except (Unavailable, ConnectionError):
                raise
            except AidpError as error:
                failed.append(Failure(id, error.code, error.message))
        await self._fed(done)
        return DoneToRuns(tuple(done), tuple(failed))

    async def cells(self, caller: Caller, notebook: str) -> CellsSaid:
        """Return the runs of each cell of a notebook."""
        await self._index.fresh()
        visible = await self._visible(caller)

        def work(connection: Any) -> CellsSaid:
            return CellsSaid(rows.cells(connection, notebook, query.numbers_of(connection, (), visible)))

        return await self._index.read(work)

    async def sheet(self, caller: Caller, asked: wire.RunQuestion, runs: Sequence[str]) -> AsyncGenerator[bytes, None]:
        """Yield runs as a table for spreadsheets; only some of them, where these are named."""
        chosen = frozenset(runs)
        offset = 0
        page = await self.search(caller, msgspec.structs.replace(asked, limit=_SHEET))
        yield csv.head(asked.columns)
        while page.runs:
            yield csv.lines((row for row in page.runs if not chosen or row.id in chosen), asked.columns)
            offset += len(page.runs)
            page = await self.search(caller, msgspec.structs.replace(asked, offset=offset, limit=_SHEET))

    # ---- artifacts

    async def _place(self, caller: Caller, one: Known) -> Place:
        sees_all = await self._visible(caller) is None
        return Place(one.row.id, one.row.experiment_id, one.artifact_uri, sees_all)

    async def files(self, caller: Caller, run: str, path: str) -> Artifacts:
        """Return what is in a folder of a run."""
        one = await self._one(caller, run)
        return await self._artifacts.files(await self._place(caller, one), path)

    async def preview(self, caller: Caller, run: str, path: str) -> Preview:
        """Return as much of a file as is shown."""
        one = await self._one(caller, run)
        return await self._artifacts.preview(await self._place(caller, one), path)

    @contextlib.asynccontextmanager
    async def opened(self, caller: Caller, run: str, path: str, span: str | None) -> AsyncGenerator[Opened, None]:
        """Give a file's bytes, or the part that the header ``Range`` names."""
        one = await self._one(caller, run)
        async with self._artifacts.opened(await self._place(caller, one), path, span) as file:
            yield file

    # ---- comparison

    async def _facts(self, caller: Caller, runs: Sequence[str], *, with_code: bool) -> list[Facts]:
        found = {one.row.id: one for one in await self._known(caller, list(dict.fromkeys(runs)))}
        sees_all = await self._visible(caller) is None
        return [await facts_of(self._artifacts, found[id], sees_all=sees_all, with_code=with_code) for id in runs]

    async def compare(self, caller: Caller, runs: Sequence[str]) -> Comparison:
        """Return runs side by side."""
        return compared(await self._facts(caller, runs, with_code=False))

    async def diff(self, caller: Caller, a: str, b: str) -> CodeDiff:
        """Return how the code of two runs differs."""
        first, second = await self._facts(caller, [a, b], with_code=True)
        return await asyncio.to_thread(code_diff, first, second)

    async def explain(self, caller: Caller, runs: Sequence[str]) -> Words:
        """Return a model's words on how runs differ. Raises Unavailable where nobody can be asked."""
        if self._explain is None:
            raise Unavailable("No model can be asked here.")
        facts = await self._facts(caller, runs, with_code=len(runs) == 2)
        code = await asyncio.to_thread(code_diff, *facts) if len(facts) == 2 else None
        return await self._explain(messages(compared(facts), code), (caller.who, caller.teams))

    async def restore(self, caller: Caller, run: str, into: str, path: str | None, name: str | None) -> Any:
        """Make the code of a run anew, as a notebook or a branch."""
        if self._restore is None:
            raise Unavailable("Code is restored in a user's own server.")
        if self._upstream.state().kind != "team":  # else the team's server knows the rights, and the index is there
            await self._one(caller, run)
        return await self._restore(run, into, path, name)

    # ---- the registry

    async def models(self, caller: Caller, search: str) -> tuple[RegisteredModel, ...]:
        """Return the registered models."""
        return await self._registry.models(caller, search)

    async def register(self, caller: Caller, run: str, wanted: Wanted) -> str:
        """Register what a run logged, and return the version's number."""
        one = await self._one(caller, run, "write")
        return await self._registry.register(caller, await self._place(caller, one), wanted)

    @property
    def registry(self) -> Registry:
        """The registered models."""
        return self._registry
