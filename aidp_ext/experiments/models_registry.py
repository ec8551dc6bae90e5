"""Registered models: versions of what runs logged, their aliases and tags."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aidp_ext.core.errors import Conflict, Forbidden, InvalidRequest, NotFound
from aidp_ext.experiments.artifacts import Place, checked
from aidp_ext.experiments.models import (
    Access,
    Caller,
    LoggedModel,
    ModelOfRun,
    ModelVersion,
    RegisteredModel,
    Right,
)
from aidp_ext.experiments.stores.mlflow import MlflowStore

#: The tag that stands for a stage, since MLflow's own stages are going.
STAGE = "stage"
_MODELS, _VERSIONS, _NAMES = 200, 50, 10
_AT_ONCE = 4


class Wanted(NamedTuple):
    """What is to be registered."""

    name: str
    artifact: str | None
    model_id: str | None
    alias: str | None
    description: str | None


class Registry:
    """The registry. Everything raises NotFound, Forbidden, Conflict, InvalidRequest and UpstreamError."""

    def __init__(self, store: MlflowStore, access: Access) -> None:
        self._store = store
        self._access = access

    async def models(self, caller: Caller, search: str) -> tuple[RegisteredModel, ...]:
        """Return the models that the caller may see, each with its latest versions."""
        visible = await self._access.visible_models(caller)
        known: dict[str, dict[str, Any]] = {}
        async with contextlib.aclosing(self._store.models(search)) as found:
            async for one in found:
                if visible is None or one["name"] in visible:
                    known[str(one["name"])] = one
                if len(known) == _MODELS:
                    break
        few = asyncio.Semaphore(_AT_ONCE)

        async def versions(name: str) -> list[dict[str, Any]]:
            async with few:
                return await self._store.versions(f"name = {_quoted(name)}", most=_VERSIONS)

        lists = await asyncio.gather(*map(versions, known))
        return tuple(_model(one, some) for one, some in zip(known.values(), lists, strict=True))

    async def of_run(self, caller: Caller, run: str) -> tuple[ModelOfRun, ...]:
        """Return the registered versions that a run made, of models that the caller may see."""
        visible = await self._access.visible_models(caller)
        found = [
            (str(one["name"]), str(one["version"]))
            for one in await self._store.versions(f"run_id = '{run}'", most=_VERSIONS)
            if visible is None or one["name"] in visible
        ]
        # A search for versions says nothing of their aliases
        names = list(dict.fromkeys(name for name, _ in found))[:_NAMES]
        models = await asyncio.gather(*map(self._store.model, names))
        aliases = [
            (name, str(one["version"]), str(one["alias"]))
            for name, model in zip(names, models, strict=True)
            for one in model.get("aliases", ())
        ]
        return tuple(
            ModelOfRun(name, version, tuple(sorted(alias for *at, alias in aliases if at == [name, version])))
            for name, version in found
        )

    async def logged(self, experiment: str, run: str) -> tuple[LoggedModel, ...]:
        """Return the models among what a run logged."""
        found = await self._store.logged_models(experiment, run)
        return tuple(
            LoggedModel(str(info.get("model_id", "")), str(info.get("name", "")), str(info.get("artifact_uri", "")))
            for info in (one.get("info", {}) for one in found)
        )

    async def register(self, caller: Caller, place: Place, wanted: Wanted) -> str:
        """Register a version of a name, which is made where there is none, and return its number."""
        source = await self._source(place, wanted)
        try:
            await self._store.create_model(wanted.name, None)
        except Conflict:
            await self._need(caller, wanted.name, "write")
        else:
            await self._access.created(caller, "model", wanted.name)
        version = await self._store.create_version(
            wanted.name, source, run_id=place.run, model_id=wanted.model_id, description=wanted.description
        )
        if wanted.alias:
            await self._store.set_alias(wanted.name, wanted.alias, version)
        return version

    async def _source(self, place: Place, wanted: Wanted) -> str:
        """Return where the model is: among what this run logged, and nowhere else."""
        if wanted.model_id:
            if wanted.model_id not in {one.id for one in await self.logged(place.experiment, place.run)}:
                raise NotFound("The run logged no such model.")
            return f"models:/{wanted.model_id}"
        path = checked(wanted.artifact or "")
        if not path:
            raise InvalidRequest("It is not said which of the run's files is the model.", field="artifact")
        return f"{place.uri.rstrip('/')}/{path}"

    async def set_alias(self, caller: Caller, name: str, alias: str, version: str) -> None:
        """Let an alias name a version."""
        await self._need(caller, name, "write")
        await self._store.set_alias(name, alias, version)

    async def delete_alias(self, caller: Caller, name: str, alias: str) -> None:
        """Take an alias away."""
        await self._need(caller, name, "write")
        await self._store.delete_alias(name, alias)

    async def tag(self, caller: Caller, name: str, version: str, key: str, value: str) -> None:
        """Set a tag of a version."""
        await self._need(caller, name, "write")
        await self._store.tag_version(name, version, key, value)

    async def _need(self, caller: Caller, name: str, right: Right) -> None:
        if not await self._access.may_model(caller, name, "read"):
            raise NotFound("There is no such model.")
        if not await self._access.may_model(caller, name, right):
            raise Forbidden("You may look at this model, and not change it.")


def _model(model: Mapping[str, Any], versions: Sequence[Mapping[str, Any]]) -> RegisteredModel:
    aliases = {str(one["alias"]): str(one["version"]) for one in model.get("aliases", ())}
    made = sorted(map(_version, versions), key=lambda one: int(one.version), reverse=True)
    latest = made[0].version if made else None
    return RegisteredModel(str(model["name"]), str(model.get("description", "")), latest, aliases, tuple(made))


def _version(version: Mapping[str, Any]) -> ModelVersion:
    tags = {str(one["key"]): str(one.get("value", "")) for one in version.get("tags", ())}
    return ModelVersion(
        version=str(version["version"]),
        run_id=version.get("run_id") or None,
        stage_tag=tags.get(STAGE),
        created_ms=int(version.get("creation_timestamp", 0)),
        status=str(version.get("status", "READY")),
    )


def _quoted(text: str) -> str:
    """Return a text in MLflow's quotes, of which it takes two kinds, and neither within itself."""
    return f'"{text}"' if "'" in text else f"'{text}'"
