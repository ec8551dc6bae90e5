"""The values of the slice. They go over the wire under the same names; times are milliseconds since the epoch."""

from __future__ import annotations

import math
from typing import Any, Literal, Protocol

from msgspec import Struct

#: A metric's value: JSON has no word for those that are not finite.
Value = float | Literal["NaN", "Infinity", "-Infinity"]
Status = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
Stage = Literal["active", "deleted"]
Right = Literal["read", "write", "manage"]
Kind = Literal["experiment", "model"]

#: What MLflow's SQL stores write for an infinite number.
LARGEST = 1.7976931348623157e308


def value_of(number: float, is_nan: bool = False) -> Value:
    """Return a metric's value as it goes over the wire."""
    if is_nan or math.isnan(number):
        return "NaN"
    if abs(number) >= LARGEST:
        return "Infinity" if number > 0 else "-Infinity"
    return number


# ---- who asks


class Caller(Struct, frozen=True):
    """Who asks."""

    who: str
    teams: tuple[str, ...] = ()
    is_admin: bool = False


class Access(Protocol):
    """What callers may see and do. A host with one user has :class:`Everything`, a team has a table."""

    async def visible(self, caller: Caller) -> frozenset[str] | None:
        """Return the ids of the experiments that the caller may read; None for all."""

    async def may(self, caller: Caller, experiment_id: str, right: Right) -> bool:
        """Return whether the caller has this right to an experiment."""

    async def visible_models(self, caller: Caller) -> frozenset[str] | None:
        """Return the names of the registered models that the caller may read; None for all."""

    async def may_model(self, caller: Caller, name: str, right: Right) -> bool:
        """Return whether the caller has this right to a registered model."""

    async def check_name(self, caller: Caller, name: str) -> None:
        """Raise Forbidden where the caller may not give an experiment this name."""

    async def created(self, caller: Caller, kind: Kind, name: str) -> None:
        """Note that the caller made an experiment, by its id, or a registered model, by its name."""

    async def gone(self, kind: Kind, name: str) -> None:
        """Note that it was removed."""


class Everything:
    """The rights in a server of one user."""

    async def visible(self, caller: Caller) -> frozenset[str] | None:
        """Return None: all."""
        return None

    async def may(self, caller: Caller, experiment_id: str, right: Right) -> bool:
        """Return True."""
        return True

    async def visible_models(self, caller: Caller) -> frozenset[str] | None:
        """Return None: all."""
        return None

    async def may_model(self, caller: Caller, name: str, right: Right) -> bool:
        """Return True."""
        return True

    async def check_name(self, caller: Caller, name: str) -> None:
        """Do nothing: every name will do."""

    async def created(self, caller: Caller, kind: Kind, name: str) -> None:
        """Do nothing."""

    async def gone(self, kind: Kind, name: str) -> None:
        """Do nothing."""


class Written(Struct, frozen=True):
    """A call that passed through the proxy and changed something in the tracking server."""

    method: str
    path: str  # begins with /api/2.0/ or /ajax-api/2.0/
    body: dict[str, Any] | None  # None: no JSON object, or too large to be looked at
    answer: dict[str, Any] | None
    status: int
    who: str


class Can(Struct, frozen=True):
    """What the caller may do to it."""

    write: bool
    manage: bool


# ---- experiments and runs


class Experiment(Struct, frozen=True):
    """An experiment at a glance."""

    id: str
    name: str
    stage: Stage
    runs: int  # that are not deleted
    running: int
    last_ms: int | None  # when its latest run started
    note: str
    can: Can


class CellRef(Struct, frozen=True):
    """The cell that started a run."""

    notebook: str  # relative to the workspace
    cell_id: str | None
    count: int | None


class RunHead(Struct, frozen=True):
    """What lists and pages of runs have in common."""

    id: str
    name: str
    experiment_id: str
    status: Status
    stage: Stage
    start_ms: int  # 0 where nobody said
    end_ms: int | None
    user: str
    cell: CellRef | None
    commit: str | None
    dirty: bool | None
    diverged: bool  # a metric is not a finite number
    ended: str | None  # why, where it did not end by itself


class Row(RunHead, frozen=True):
    """A run in a list, with the columns that were asked for."""

    values: dict[str, float | str | None]


class RunPage(Struct, frozen=True):
    """Some of the runs that were found; ``version`` changes when the index does."""

    runs: tuple[Row, ...]
    total: int
    version: str


class MetricColumn(Struct, frozen=True):
    """A metric of an experiment: in how many runs, and between which finite values."""

    key: str
    runs: int
    min: float | None
    max: float | None


class TextColumn(Struct, frozen=True):
    """A parameter or tag of an experiment, with its most frequent values."""

    key: str
    runs: int
    values: tuple[str, ...]


class Columns(Struct, frozen=True):
    """What an experiment's list can show, most frequent first."""

    metrics: tuple[MetricColumn, ...]
    params: tuple[TextColumn, ...]
    tags: tuple[TextColumn, ...]


class Curve(Struct, frozen=True):
    """A metric's history in buckets: the last value of each, and between which the others lie."""

    run: str
    metric: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]  # None where nothing in the bucket is finite
    min: tuple[float | None, ...]
    max: tuple[float | None, ...]
    step: tuple[int, ...]
    time_ms: tuple[int, ...]
    total: int  # points that were logged
    not_finite: int


class MetricNow(Struct, frozen=True):
    """A metric's last value, and between which finite values it was."""

    key: str
    value: Value
    step: int
    time_ms: int
    min: float | None
    max: float | None


class Lineage(Struct, frozen=True):
    """Where a run comes from."""

    notebook: str | None
    cell_id: str | None
    count: int | None
    source: str | None
    commit: str | None
    branch: str | None
    remote: str | None
    dirty: bool | None
    shipped: str | None  # the commit that holds it since
    patch_bytes: int | None
    python: str | None
    packages: int | None
    hardware: dict[str, Any]
    user: str | None
    job: str | None
    seed: str | None
    captured: str | None  # "done", or what is missing


class InputOfRun(Struct, frozen=True):
    """A data set that a run read."""

    name: str
    digest: str
    context: str


class ModelOfRun(Struct, frozen=True):
    """A registered version that a run made."""

    name: str
    version: str
    aliases: tuple[str, ...]


class LoggedModel(Struct, frozen=True):
    """A model among what a run logged."""

    id: str
    name: str
    path: str


class RunDetail(RunHead, frozen=True):
    """All of a run."""

    params: dict[str, str]
    metrics: tuple[MetricNow, ...]
    system_metrics: tuple[str, ...]
    tags: dict[str, str]
    note: str
    lineage: Lineage
    inputs: tuple[InputOfRun, ...]
    models: tuple[ModelOfRun, ...]
    logged_models: tuple[LoggedModel, ...]
    artifact_root: str
    can: Can


class Failure(Struct, frozen=True):
    """A run to which it could not be done."""

    run: str
    code: str
    message: str


class DoneToRuns(Struct, frozen=True):
    """To which runs it was done, and to which not."""

    done: tuple[str, ...]
    failed: tuple[Failure, ...]


class CellRuns(Struct, frozen=True):
    """The runs of a cell."""

    runs: int
    running: int
    last: Row


class CellsSaid(Struct, frozen=True):
    """The cells of a notebook that have runs."""

    cells: dict[str, CellRuns]


# ---- artifacts


class Artifact(Struct, frozen=True):
    """A file or folder that a run logged."""

    path: str
    name: str
    is_dir: bool
    bytes: int | None


class Artifacts(Struct, frozen=True):
    """What is in a folder of a run."""

    files: tuple[Artifact, ...]
    is_cut: bool


class Preview(Struct, frozen=True):
    """As much of an artifact as is shown. Pictures, sound and pages are fetched from ``raw``."""

    kind: Literal["image", "table", "text", "json", "html", "notebook", "audio", "video", "none"]
    path: str
    bytes: int | None
    mime: str
    text: str | None = None
    columns: tuple[str, ...] | None = None
    rows: tuple[tuple[str, ...], ...] | None = None
    total_rows: int | None = None
    is_cut: bool = False
    why: str | None = None  # it is not shown


# ---- comparison


class ComparedTexts(Struct, frozen=True):
    """One parameter, tag or fact of each run, in the order in which the runs were named."""

    key: str
    values: tuple[str | None, ...]
    differs: bool


class ComparedNumbers(Struct, frozen=True):
    """One metric of each run."""

    key: str
    values: tuple[Value | None, ...]
    differs: bool


class ComparedPackage(Struct, frozen=True):
    """One package's version of each run."""

    name: str
    values: tuple[str | None, ...]
    differs: bool


class Comparison(Struct, frozen=True):
    """Runs side by side."""

    runs: tuple[Row, ...]
    params: tuple[ComparedTexts, ...]
    metrics: tuple[ComparedNumbers, ...]
    tags: tuple[ComparedTexts, ...]
    packages: tuple[ComparedPackage, ...]
    environment: tuple[ComparedTexts, ...]


class CellDiff(Struct, frozen=True):
    """A cell of two runs; ``diff`` is a unified one."""

    cell_id: str
    state: Literal["same", "changed", "only_a", "only_b"]
    diff: str


class CodeDiff(Struct, frozen=True):
    """How the code of two runs differs."""

    cells: tuple[CellDiff, ...]
    commit_a: str | None
    commit_b: str | None
    patch_diff: str


# ---- the registry


class ModelVersion(Struct, frozen=True):
    """A version of a registered model."""

    version: str
    run_id: str | None
    stage_tag: str | None
    created_ms: int
    status: str


class RegisteredModel(Struct, frozen=True):
    """A registered model."""

    name: str
    description: str
    latest: str | None
    aliases: dict[str, str]  # to its version
    versions: tuple[ModelVersion, ...]
