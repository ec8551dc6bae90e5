"""What the endpoints take and give beside the values of models.py."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from aidp_ext.experiments.models import Curve, Experiment, RegisteredModel, Row
from aidp_ext.experiments.upstream import TrackingState

Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Name = Annotated[str, Meta(min_length=1, max_length=500)]
Note = Annotated[str, Meta(max_length=8000)]
Key = Annotated[str, Meta(min_length=1, max_length=250)]
Column = Annotated[str, Meta(min_length=1, max_length=270, description="`metrics.loss`, `params.lr`, `tags.x`.")]
Order = Annotated[str, Meta(min_length=1, max_length=400, description="As MLflow takes it: metrics.`loss` DESC.")]
Filter = Annotated[str, Meta(max_length=10_000, description="In MLflow's search syntax.")]
Notebook = Annotated[str, Meta(max_length=4096, description="Its path in the workspace.")]
ArtifactPath = Annotated[str, Meta(max_length=4096, description="Below the run's artifacts; empty for all of them.")]
Runs = Annotated[list[Id], Meta(min_length=1, max_length=1000)]
View = Literal["active", "deleted", "all"]
Axis = Literal["step", "time", "relative"]


class ExperimentsSaid(Struct):
    """All experiments that the caller may see, and how the tracking server is."""

    experiments: tuple[Experiment, ...]
    tracking: TrackingState


class ExperimentAsked(Struct):
    """A new experiment."""

    name: Name


class ExperimentChange(Struct):
    """What is to change about an experiment."""

    name: Name | None = None
    note: Note | None = None


class Nothing(Struct):
    """Nothing needs to be said."""


class DoneSaid(Struct):
    """It is done."""

    done: bool = True


class RunQuestion(Struct):
    """Which runs, in which order, and what is wanted of them; no experiments means all."""

    experiments: Annotated[list[Id], Meta(max_length=1000)] = []
    filter: Filter = ""
    order_by: Annotated[list[Order], Meta(max_length=10)] = []
    view: View = "active"
    offset: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100
    columns: Annotated[list[Column], Meta(max_length=200)] = []


class ColumnsQuery(Struct):
    """Which columns of which experiment."""

    experiment: Id
    search: Annotated[str, Meta(max_length=250)] = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class CurvesAsked(Struct, rename={"from_": "from"}):
    """Which metrics of which runs, and along which axis; `from` and `to` are in the axis' own unit."""

    runs: Annotated[list[Id], Meta(min_length=1, max_length=100)]
    metrics: Annotated[list[Key], Meta(min_length=1, max_length=20)]
    points: Annotated[int, Meta(ge=2, le=2000)] = 320
    axis: Axis = "step"
    from_: float | None = None
    to: float | None = None


class CurvesSaid(Struct):
    """The curves that have points."""

    curves: tuple[Curve, ...]


class RunChange(Struct):
    """What is to change about a run; a tag of null is taken away."""

    name: Annotated[str, Meta(max_length=500)] | None = None
    note: Note | None = None
    tags: Annotated[dict[Key, Annotated[str, Meta(max_length=8000)] | None], Meta(max_length=100)] = {}
    end: Literal["KILLED"] | None = None


class RunsAsked(Struct):
    """Some runs."""

    runs: Runs


class ComparedAsked(Struct):
    """Runs to be compared."""

    runs: Annotated[list[Id], Meta(min_length=2, max_length=50)]


class ArtifactQuery(Struct):
    """A file or folder that a run logged."""

    path: ArtifactPath = ""


class RawQuery(Struct):
    """A file that a run logged, and whether it is to be kept."""

    path: ArtifactPath
    download: Literal["0", "1"] = "0"


class DiffQuery(Struct):
    """Two runs."""

    a: Id
    b: Id


class RouteEvent(Struct, tag="route", tag_field="kind"):
    """Which model answers, and why that one."""

    route: str
    reason: str


class TextEvent(Struct, tag="text", tag_field="kind"):
    """Some of its words."""

    text: str


ExplainEvent = RouteEvent | TextEvent


class RestoreAsked(Struct):
    """Where the code of a run is to go."""

    into: Literal["notebook", "branch"]
    path: Annotated[str, Meta(max_length=4096)] | None = None
    name: Annotated[str, Meta(max_length=250)] | None = None


class Restored(Struct):
    """Where the code of a run went, and what is to be known of it."""

    path: str | None
    branch: str | None
    commit: str | None
    environment: str | None  # the file with the packages
    notes: tuple[str, ...]


class SearchQuery(Struct):
    """What a name is to hold."""

    search: Annotated[str, Meta(max_length=250)] = ""


class ModelsSaid(Struct):
    """The registered models."""

    models: tuple[RegisteredModel, ...]


class RegisterAsked(Struct):
    """Under which name an artifact, or a logged model, of a run is to be registered."""

    name: Name
    artifact: ArtifactPath | None = None
    model_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    alias: Annotated[str, Meta(min_length=1, max_length=250)] | None = None
    description: Annotated[str, Meta(max_length=5000)] | None = None


class Registered(Struct):
    """The version that was made."""

    name: str
    version: str


class AliasAsked(Struct):
    """An alias of a version of a registered model."""

    name: Name
    alias: Annotated[str, Meta(min_length=1, max_length=250)]
    version: Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,8}$")]


class ModelTagAsked(Struct):
    """A tag of a version of a registered model."""

    name: Name
    version: Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,8}$")]
    key: Key
    value: Annotated[str, Meta(max_length=5000)]


class CsvQuery(Struct):
    """Which runs, and what of them; names that are said again and again are lists."""

    experiment: Id | None = None
    filter: Filter = ""
    order_by: Order | None = None
    columns: Column | None = None
    runs: Id | None = None
    view: View = "active"


class CellsQuery(Struct):
    """A notebook."""

    notebook: Notebook


# ---- the websocket


class Watch(Struct):
    """What a page wants to be told of; it takes the place of what it wanted before."""

    experiments: Annotated[list[Id], Meta(max_length=1000)] = []
    runs: Annotated[list[Id], Meta(max_length=200)] = []
    cells: Annotated[list[Notebook], Meta(max_length=100)] | Notebook | None = None
    columns: Annotated[list[Column], Meta(max_length=200)] = []


class WatchAsked(Struct):
    """What a page sends."""

    watch: Watch


class RunsNews(Struct, tag="runs", tag_field="kind"):
    """Runs of an experiment that changed or are new, and such as are gone."""

    experiment: str
    rows: tuple[Row, ...]
    removed: tuple[str, ...]
    version: str


class PointsNews(Struct, tag="points", tag_field="kind"):
    """New points of a metric of a watched run."""

    run: str
    metric: str
    x: tuple[int, ...]  # steps
    time_ms: tuple[int, ...]
    y: tuple[float | None, ...]


class EndedNews(Struct, tag="ended", tag_field="kind"):
    """A run ended, or diverged."""

    row: Row


class TrackingNews(Struct, tag="tracking", tag_field="kind"):
    """How the tracking server is now."""

    state: TrackingState


class Resync(Struct, tag="resync", tag_field="kind"):
    """More happened than is told: ask anew."""


News = RunsNews | PointsNews | EndedNews | TrackingNews | Resync
