"""All that is known of one run, put together from the index, MLflow's points and the tracking server."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from aidp_ext.core.errors import AidpError, NotFound
from aidp_ext.experiments.artifacts import ArtifactStore, Place
from aidp_ext.experiments.compare import Facts, cells_in, packages_in
from aidp_ext.experiments.curves import RunAsked
from aidp_ext.experiments.index import rows
from aidp_ext.experiments.models import InputOfRun, Lineage, MetricNow, Row

NOTE = "mlflow.note.content"
SYSTEM = "system/"
_PACKAGES, _CELLS, _PATCH = "aidp/requirements.txt", "aidp/cells.json", "aidp/uncommitted.patch"
_MOST_TEXT = 8_000_000


class Known(NamedTuple):
    """What the index knows of a run."""

    n: int
    row: Row
    params: dict[str, str]
    metrics: list[MetricNow]
    tags: dict[str, str]
    inputs: tuple[InputOfRun, ...]
    artifact_uri: str
    seq: int


class Words(Protocol):
    """A model's words as they come, and who says them."""

    route: str
    reason: str

    def __aiter__(self) -> AsyncGenerator[str, None]: ...

    async def aclose(self) -> None:
        """End it."""


def known(
    connection: sqlite3.Connection, ids: Sequence[str], visible: frozenset[str] | None, columns: Sequence[str] = ()
) -> list[Known]:
    """Return what is known of runs. Raises NotFound where one is not there, or may not be seen."""
    numbers = rows.numbers(connection, ids, visible)
    if any(id not in numbers for id in ids):
        raise NotFound("There is no such run." if len(ids) == 1 else "One of these runs is not there.")
    ns = [numbers[id] for id in ids]
    seqs = rows.seqs(connection, ns)
    return [
        Known(
            n=n,
            row=row,
            params=rows.texts_of(connection, "params", n),
            metrics=rows.metrics_of(connection, n),
            tags=rows.texts_of(connection, "tags", n),
            inputs=tuple(InputOfRun(*one) for one in rows.inputs_of(connection, n)),
            artifact_uri=rows.artifact_uri(connection, n),
            seq=seqs.get(n, 0),
        )
        for n, row in zip(ns, rows.rows(connection, ns, columns), strict=True)
    ]


def lineage(row: Row, tags: Mapping[str, str], patch_bytes: int | None, packages: int | None) -> Lineage:
    """Return where a run comes from, as its tags say it."""
    hardware: object = {}
    with contextlib.suppress(ValueError):
        hardware = json.loads(tags.get("aidp.hardware", "{}"))
    return Lineage(
        notebook=tags.get(rows.NOTEBOOK),
        cell_id=tags.get(rows.CELL_ID),
        count=row.cell.count if row.cell else None,
        source=tags.get("aidp.cell.source"),
        commit=row.commit,
        branch=tags.get("mlflow.source.git.branch"),
        remote=tags.get("mlflow.source.git.repoURL"),
        dirty=row.dirty,
        shipped=tags.get("aidp.git.shipped"),
        patch_bytes=patch_bytes,
        python=tags.get("aidp.python"),
        packages=packages,
        hardware=hardware if isinstance(hardware, dict) else {},
        user=tags.get(rows.USER) or tags.get("mlflow.user"),
        job=tags.get("aidp.job.id"),
        seed=tags.get("aidp.seed"),
        captured=tags.get("aidp.captured"),
    )


def with_extremes(metrics: Sequence[MetricNow], known: Mapping[str, tuple[float, float]]) -> tuple[MetricNow, ...]:
    """Return the metrics with between which values they were."""
    return tuple(
        msgspec.structs.replace(one, min=known[one.key][0], max=known[one.key][1]) if one.key in known else one
        for one in metrics
    )


def runs_asked(connection: sqlite3.Connection, ids: Sequence[str], visible: frozenset[str] | None) -> list[RunAsked]:
    """Return those of the runs that are there and may be seen, as curves ask for them."""
    numbers = rows.numbers(connection, ids, visible)
    ns = [numbers[id] for id in dict.fromkeys(ids) if id in numbers]
    seqs = rows.seqs(connection, ns)
    return [RunAsked(row.id, row.start_ms, seqs[n]) for n, row in zip(ns, rows.rows(connection, ns), strict=True)]


async def evidence_of(artifacts: ArtifactStore, place: Place, tags: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Return the bytes of the diff that was not committed, and how many packages are recorded; None where none are."""
    if "aidp.captured" not in tags:
        return None, None
    with contextlib.suppress(AidpError):
        patch = await artifacts.size(place, _PATCH)
        text = await artifacts.text(place, _PACKAGES, _MOST_TEXT)
        return patch, len(packages_in(text)) if text is not None else None
    return None, None


async def facts_of(artifacts: ArtifactStore, one: Known, *, sees_all: bool, with_code: bool) -> Facts:
    """Return what of a run is compared; what cannot be read is left out."""
    place = Place(one.row.id, one.row.experiment_id, one.artifact_uri, sees_all)

    async def text(path: str) -> str | None:
        with contextlib.suppress(AidpError):
            return await artifacts.text(place, path, _MOST_TEXT)
        return None

    return Facts(
        row=one.row,
        params=one.params,
        metrics={metric.key: metric.value for metric in one.metrics if not metric.key.startswith(SYSTEM)},
        tags=one.tags,
        packages=packages_in(await text(_PACKAGES)),
        cells=cells_in(await text(_CELLS)) if with_code else (),
        patch=(await text(_PATCH) or "") if with_code else "",
    )
