"""To which experiment a run, a model, a trace or a data set belongs: asked of MLflow, and kept where it stays."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from aidp_ext.core.errors import UpstreamInvalid, UpstreamRejected
from aidp_ext.experiments.team.fields import answer_of
from aidp_ext.experiments.upstream import Upstream

_MOST_KEPT = 100_000
_MLFLOW = "MLflow"

#: Where each is asked for, and where in the answer its experiment is. They never move to another experiment.
_PLACES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "run": ("/api/2.0/mlflow/runs/get?run_id={}", ("run", "info", "experiment_id")),
    "logged_model": ("/api/2.0/mlflow/logged-models/{}", ("model", "info", "experiment_id")),
    "trace": (
        "/api/3.0/mlflow/traces/{}",
        ("trace", "trace_info", "trace_location", "mlflow_experiment", "experiment_id"),
    ),
}


class Lookup:
    """Asks one tracking server."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._kept: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def experiment_of(self, kind: str, id_: str) -> str | None:
        """Return the experiment of a ``run``, ``logged_model`` or ``trace``; None where there is no such thing.

        Raises an UpstreamError or Unavailable where MLflow does not say.
        """
        key = (kind, id_)
        if (kept := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return kept
        path, place = _PLACES[kind]
        found: Any = await self.ask(path.format(quote(id_, safe="")))
        if found is None:
            return None
        for name in place:
            found = found.get(name) if isinstance(found, dict) else None
        if not isinstance(found, str) or not found:
            raise UpstreamInvalid(f"MLflow does not say to which experiment this {kind} belongs.", provider=_MLFLOW)
        self.keep(kind, id_, found)
        return found

    def keep(self, kind: str, id_: str, experiment_id: str) -> None:
        """Note to which experiment something belongs that MLflow has just made."""
        self._kept[kind, id_] = experiment_id
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)

    async def experiments_of_dataset(self, id_: str) -> list[str] | None:
        """Return the experiments that an evaluation data set is for now, None where there is no such set."""
        found = await self.ask(f"/api/3.0/mlflow/datasets/{quote(id_, safe='')}/experiment-ids")
        return None if found is None else [str(one) for one in found.get("experiment_ids", [])]

    async def has_model(self, name: str) -> bool:
        """Return whether MLflow has a registered model of this name."""
        return await self.ask(f"/api/2.0/mlflow/registered-models/get?name={quote(name, safe='')}") is not None

    async def ask(self, target: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Return MLflow's JSON answer to a GET, or to a POST of ``body``; None where it has no such thing."""
        path, _, query = target.partition("?")
        asked = self._upstream.request(
            "GET" if body is None else "POST",
            f"{path}?{query}" if query else path,
            json=body,
        )
        async with asked as response:
            raw = await response.read()
            answer = answer_of(raw)
            if response.status == HTTPStatus.OK and answer is not None:
                return answer
            code = answer.get("error_code") if answer else None
            if response.status == HTTPStatus.NOT_FOUND and code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
                return None
            if response.status == HTTPStatus.BAD_REQUEST and code == "INVALID_PARAMETER_VALUE":
                return None  # what MLflow takes for no id at all
            raise UpstreamRejected(
                f"MLflow answered with status {response.status}.", status=response.status, provider=_MLFLOW
            )
