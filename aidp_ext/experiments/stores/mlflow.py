"""MLflow's REST API, typed: https://mlflow.org/docs/latest/rest-api.html. Its errors become ours here."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import quote

import aiohttp
import msgspec

from aidp_ext.core.errors import (
    AidpError,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    RateLimited,
    Unavailable,
    UpstreamInvalid,
    UpstreamRejected,
)
from aidp_ext.core.http import translated
from aidp_ext.experiments.upstream import Upstream

_API = "/api/2.0/mlflow/"
_SERVER = "MLflow"
_MOST_BYTES = 256_000_000
_ERRORS: dict[str, type[AidpError]] = {
    "RESOURCE_DOES_NOT_EXIST": NotFound,
    "NOT_FOUND": NotFound,
    "RESOURCE_ALREADY_EXISTS": Conflict,
    "INVALID_STATE": Conflict,
    "RESOURCE_CONFLICT": Conflict,
    "INVALID_PARAMETER_VALUE": InvalidRequest,
    "BAD_REQUEST": InvalidRequest,
    "PERMISSION_DENIED": Forbidden,
    "UNAUTHENTICATED": Forbidden,
    "TEMPORARILY_UNAVAILABLE": Unavailable,
    "RESOURCE_EXHAUSTED": RateLimited,
    "REQUEST_LIMIT_EXCEEDED": RateLimited,
}


class MlflowStore:
    """What is asked of a tracking server. Every method raises NotFound, Conflict, InvalidRequest, UpstreamError …"""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def _get(self, route: str, /, **params: Any) -> dict[str, Any]:
        given = {name: value for name, value in params.items() if value is not None}
        return await self._call("GET", route, params=given)

    async def _post(self, route: str, /, **body: Any) -> dict[str, Any]:
        return await self._call("POST", route, json={name: value for name, value in body.items() if value is not None})

    async def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        async with self._upstream.request(method, _API + path, timeout_s=60.0, **options) as response:
            return await read_answer(response)

    # ---- experiments

    async def experiments(self) -> list[dict[str, Any]]:
        """Return all experiments, the deleted ones too."""
        found: list[dict[str, Any]] = []
        token: str | None = None
        while True:
            page = await self._post("experiments/search", max_results=1000, view_type="ALL", page_token=token)
            found += page.get("experiments", ())
            token = page.get("next_page_token")
            if not token:
                return found

    async def create_experiment(self, name: str) -> str:
        """Make an experiment and return its id."""
        made = await self._post("experiments/create", name=name)
        return str(made["experiment_id"])

    async def rename_experiment(self, id: str, name: str) -> None:
        """Give an experiment another name."""
        await self._post("experiments/update", experiment_id=id, new_name=name)

    async def tag_experiment(self, id: str, key: str, value: str) -> None:
        """Set a tag of an experiment."""
        await self._post("experiments/set-experiment-tag", experiment_id=id, key=key, value=value)

    async def delete_experiment(self, id: str) -> None:
        """Put an experiment among the deleted ones."""
        await self._post("experiments/delete", experiment_id=id)

    async def restore_experiment(self, id: str) -> None:
        """Bring an experiment back."""
        await self._post("experiments/restore", experiment_id=id)

    # ---- runs

    async def search_runs(
        self,
        experiments: Sequence[str],
        *,
        filter: str = "",
        order_by: Sequence[str] = (),
        most: int = 500,
        token: str | None = None,
        view: str = "ALL",
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return some of the runs, and how to ask for the next ones."""
        page = await self._post(
            "runs/search",
            experiment_ids=list(experiments),
            filter=filter or None,
            order_by=list(order_by),
            max_results=most,
            page_token=token,
            run_view_type=view,
        )
        return page.get("runs", []), page.get("next_page_token") or None

    async def run(self, id: str) -> dict[str, Any]:
        """Return a run."""
        return dict((await self._get("runs/get", run_id=id))["run"])

    async def update_run(self, id: str, **changes: Any) -> None:
        """Change ``run_name``, ``status``, ``end_time`` of a run."""
        await self._post("runs/update", run_id=id, **changes)

    async def set_tag(self, id: str, key: str, value: str) -> None:
        """Set a tag of a run."""
        await self._post("runs/set-tag", run_id=id, key=key, value=value)

    async def delete_tag(self, id: str, key: str) -> None:
        """Take a tag from a run; one that it has not is no error."""
        with contextlib.suppress(NotFound):
            await self._post("runs/delete-tag", run_id=id, key=key)

    async def delete_run(self, id: str) -> None:
        """Put a run among the deleted ones."""
        await self._post("runs/delete", run_id=id)

    async def restore_run(self, id: str) -> None:
        """Bring a run back."""
        await self._post("runs/restore", run_id=id)

    async def history(self, run: str, metric: str, *, most: int = 1_000_000) -> list[dict[str, Any]]:
        """Return the points of a metric."""
        found: list[dict[str, Any]] = []
        token: str | None = None
        while len(found) < most:
            page = await self._get(
                "metrics/get-history", run_id=run, metric_key=metric, max_results=25_000, page_token=token
            )
            found += page.get("metrics", ())
            token = page.get("next_page_token")
            if not token:
                break
        return found

    # ---- artifacts

    async def artifacts(self, run: str, path: str, *, most: int) -> tuple[list[dict[str, Any]], bool]:
        """Return what is in a folder of a run, and whether there is more."""
        found: list[dict[str, Any]] = []
        token: str | None = None
        while True:
            page = await self._get("artifacts/list", run_id=run, path=path or None, page_token=token)
            found += page.get("files", ())
            token = page.get("next_page_token")
            if not token or len(found) > most:
                return found[:most], len(found) > most

    @contextlib.asynccontextmanager
    async def artifact(
        self, run: str, path: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Give the response with an artifact's bytes, not read yet."""
        params = {"run_uuid": run, "path": path}
        async with self._upstream.request(
            "GET", "/get-artifact", params=params, headers=headers, timeout_s=None
        ) as response:
            if response.status not in (200, 206):
                await _refuse(response)
            yield response

    # ---- the registry

    async def models(self, search: str) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the registered models whose names hold a text, in any case."""
        # Within its quotes MLflow takes no quotes, but a sign that stands for any
        pattern = search.replace("'", "_").replace('"', "_")
        token: str | None = None
        while True:
            page = await self._get(
                "registered-models/search",
                filter=f"name ILIKE '%{pattern}%'" if pattern else None,
                max_results=200,
                page_token=token,
            )
            for one in page.get("registered_models", ()):
                if search.lower() in str(one["name"]).lower():
                    yield one
            token = page.get("next_page_token")
            if not token:
                return

    async def versions(self, filter: str, *, most: int = 1000) -> list[dict[str, Any]]:
        """Return versions of registered models."""
        found: list[dict[str, Any]] = []
        token: str | None = None
        while len(found) < most:
            page = await self._get("model-versions/search", filter=filter, max_results=200, page_token=token)
            found += page.get("model_versions", ())
            token = page.get("next_page_token")
            if not token:
                break
        return found[:most]

    async def model(self, name: str) -> dict[str, Any]:
        """Return a registered model, with its aliases."""
        return dict((await self._get("registered-models/get", name=name))["registered_model"])

    async def create_model(self, name: str, description: str | None) -> None:
        """Register a name."""
        await self._post("registered-models/create", name=name, description=description)

    async def create_version(self, name: str, source: str, **more: Any) -> str:
        """Register a version; ``run_id``, ``model_id`` and ``description`` may be said. Return its number."""
        made = await self._post("model-versions/create", name=name, source=source, **more)
        return str(made["model_version"]["version"])

    async def version(self, name: str, version: str) -> dict[str, Any]:
        """Return a version."""
        return dict((await self._get("model-versions/get", name=name, version=version))["model_version"])

    async def set_alias(self, name: str, alias: str, version: str) -> None:
        """Let an alias name a version."""
        await self._post("registered-models/alias", name=name, alias=alias, version=version)

    async def delete_alias(self, name: str, alias: str) -> None:
        """Take an alias away."""
        await self._call("DELETE", "registered-models/alias", json={"name": name, "alias": alias})

    async def tag_version(self, name: str, version: str, key: str, value: str) -> None:
        """Set a tag of a version."""
        await self._post("model-versions/set-tag", name=name, version=version, key=key, value=value)

    async def logged_models(self, experiment: str, run: str) -> list[dict[str, Any]]:
        """Return the models that a run logged; none where MLflow knows no such things."""
        try:
            page = await self._post(
                "logged-models/search",
                experiment_ids=[experiment],
                filter=f"source_run_id = '{quote(run)}'",
                max_results=50,
            )
        except (NotFound, InvalidRequest):
            return []
        return list(page.get("models", ()))


async def read_answer(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """Return the JSON object of an answer. Raises the error that it tells."""
    if response.status >= 400:
        await _refuse(response)
    with translated(_SERVER, response.url, answering=True):
        raw = await response.content.read(_MOST_BYTES)
        while more := await response.content.read(_MOST_BYTES - len(raw)):
            raw += more
    return _object(raw)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        said = msgspec.json.decode(raw or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamInvalid("What answers is not MLflow: its answer is no JSON.", provider=_SERVER) from error
    if not isinstance(said, dict):
        raise UpstreamInvalid("What answers is not MLflow: its answer is no object.", provider=_SERVER)
    return said


async def _refuse(response: aiohttp.ClientResponse) -> NoReturn:
    """Raise what MLflow says is wrong."""
    with translated(_SERVER, response.url, answering=True):
        raw = await response.content.read(100_000)
    try:
        said = _object(raw)
    except UpstreamInvalid:
        said = {}
    code = said.get("error_code")
    words = str(said.get("message") or f"MLflow answers with the status {response.status}.").strip()
    words = words.split(" Error: (")[0].splitlines()[0][:500]  # what its database said is nobody's business
    if not words.endswith((".", "!", "?")):
        words += "."
    kind = _ERRORS.get(str(code))
    if kind is None and response.status == 404:
        kind = NotFound
    if kind is None:
        raise UpstreamRejected(words, status=response.status, provider=_SERVER)
    raise kind(words, provider=_SERVER)


async def chunks(response: aiohttp.ClientResponse, size: int = 1 << 16) -> AsyncGenerator[bytes, None]:
    """Yield the body of an answer as it comes."""
    with translated(_SERVER, response.url, answering=True):
        async for chunk in response.content.iter_chunked(size):
            yield chunk
