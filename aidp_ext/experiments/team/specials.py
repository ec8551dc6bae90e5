"""What a rule cannot say in a line: calls that make something, name several things, or say where something lies."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from aidp_ext.core.errors import Conflict, Forbidden, InvalidRequest
from aidp_ext.experiments.models import Caller, Right
from aidp_ext.experiments.team import graphql, spans
from aidp_ext.experiments.team.fields import (
    Fields,
    Input,
    answer_of,
    check_id,
    inner,
    objects,
    one,
    one_of_query,
)
from aidp_ext.experiments.team.judge import Judge
from aidp_ext.experiments.team.paths import EXPERIMENT_ID, artifact_path, inner_path

#: Given MLflow's status and body, returns those that are sent on.
Answer = Callable[[int, bytes], Awaitable[tuple[int, bytes]]]

#: An experiment with this tag is for one of its maker's teams.
TEAM_TAG = "aidp.team"
#: MLflow reads a trace's spans from where this tag says; MLflow itself sets it.
_LOCATION_TAG = "mlflow.artifactLocation"
#: Who made it is what the hub says, and no one else.
_FIXED_TAGS = frozenset({_LOCATION_TAG, "mlflow.user", "aidp.user"})
_USER_TAGS = ("mlflow.user", "aidp.user")
_PROMPT_SOURCE = "prompt-template"
_PATHS = ("path", "artifact_path", "artifact_file_path", "artifact_directory_path")


class Request(Struct):
    """A request on its way; specials may change its input and what is done with the answer."""

    caller: Caller
    method: str
    input: Input
    raw: bytes
    headers: dict[str, str]  # as they came, by lower-case names
    added: dict[str, str]  # that MLflow gets

    @property
    def body(self) -> Fields:
        """The JSON body."""
        assert self.input.body is not None
        return self.input.body


class Specials:
    """The checks by the names that the table has for them. Each returns what is done with the answer, or None."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._permissions = judge.permissions

    async def check(self, name: str, request: Request) -> Answer | None:
        """Do the check of this name. Raises AidpError where the request does not pass."""
        method: Callable[[Request], Awaitable[Answer | None]] = getattr(self, f"_{name}")
        return await method(request)

    # --- MLflow's own pages

    async def _models_to_try(self, request: Request) -> Answer | None:
        """Say that there are none: a page that is refused the question greets everybody with a warning."""
        if one_of_query(request.input.query, "gateway_path") != "api/2.0/endpoints/":
            raise Forbidden("Models are asked through aidp, under its rules: this part of MLflow is closed.")

        async def none(status: int, raw: bytes) -> tuple[int, bytes]:
            return HTTPStatus.OK, b'{"endpoints": []}'

        return none

    # --- experiments and runs

    async def _create_experiment(self, request: Request) -> Answer | None:
        name = one(request.body, "name")
        await self._permissions.check_name(request.caller, name)
        if one(request.body, "artifact_location"):
            raise InvalidRequest("Where artifacts lie is the team's to say.", field="artifact_location")
        tags = _tags(request)
        team = tags.get(TEAM_TAG)
        if team is not None and team not in request.caller.teams:
            raise InvalidRequest(f"You are in no team {team[:40]!r}.", field="tags")

        async def made(status: int, raw: bytes) -> tuple[int, bytes]:
            answer = answer_of(raw)
            if status == HTTPStatus.OK and answer and isinstance(answer.get("experiment_id"), str):
                await self._permissions.created(request.caller, "experiment", answer["experiment_id"], team)
            return status, raw

        return made

    async def _rename_experiment(self, request: Request) -> Answer | None:
        await self._permissions.check_name(request.caller, one(request.body, "new_name"))
        return None

    async def _create_run(self, request: Request) -> Answer | None:
        """Let the run be by whoever the hub says it is."""
        body, who = request.body, request.caller.who
        one(body, "user_id")
        body["user_id"] = who
        kept = [tag for tag in objects(body, "tags") if one(tag, "key") not in _USER_TAGS]
        body["tags"] = [*kept, *({"key": key, "value": who} for key in _USER_TAGS)]
        _tags(request, but=_USER_TAGS)
        experiment = one(body, "experiment_id")

        async def made(status: int, raw: bytes) -> tuple[int, bytes]:
            answer = answer_of(raw) or {}
            run = (answer.get("run") or {}).get("info", {}).get("run_id") if status == HTTPStatus.OK else None
            if isinstance(run, str):
                self._judge.lookup.keep("run", run, experiment)
            return status, raw

        return made

    async def _models_of_metrics(self, request: Request) -> Answer | None:
        """A metric may be one of a logged model's, of another experiment too."""
        body = request.body
        for metric in (body, *objects(body, "metrics")):
            if model := one(metric, "model_id"):
                await self._require(request, "logged_model", model, "write")
            if (run := one(metric, "run_id")) and run != body.get("run_id"):
                raise InvalidRequest("A metric is of another run than the one that is written to.", field="metrics")
        _tags(request)
        return None

    async def _models_of_run(self, request: Request) -> Answer | None:
        for model in objects(request.body, "models"):
            if id_ := one(model, "model_id"):
                await self._require(request, "logged_model", id_, "write")
        return None

    async def _create_logged_model(self, request: Request) -> Answer | None:
        if run := one(request.body, "source_run_id"):
            await self._require(request, "run", run, "read")
        _tags(request)
        return None

    # --- tags

    async def _tag(self, request: Request) -> Answer | None:
        """A tag that is set or taken away, named in the path, the query or the body."""
        names = [request.input.captured.get("tag_key", "")]
        if request.input.body is not None:
            names.append(one(request.body, "key"))
            _tags(request)
        for name in names:
            _check_tag(name)
        return None

    async def _tags(self, request: Request) -> Answer | None:
        _tags(request)
        return None

    # --- artifacts

    async def _inner_path(self, request: Request) -> Answer | None:
        for name in _PATHS:
            inner_path(one_of_query(request.input.query, name))
        return None

    async def _artifact_of_query(self, request: Request) -> Answer | None:
        parts = artifact_path(one_of_query(request.input.query, "path"))
        await self._require(request, "experiment", parts[0], "read")
        return None

    async def _artifact_read(self, request: Request) -> Answer | None:
        parts = artifact_path(request.input.captured["artifact_path"])
        await self._require(request, "experiment", parts[0], "read")
        return None

    async def _artifact_write(self, request: Request) -> Answer | None:
        parts = artifact_path(request.input.captured["artifact_path"])
        # <experiment>/<run>/artifacts, <experiment>/models/<model>, <experiment>/traces/<trace>: not all at once
        if len(parts) < 3:
            raise InvalidRequest("This is the folder of a whole run or experiment.", field="path")
        await self._require(request, "experiment", parts[0], "write")
        return None

    # --- the registry

    async def _create_model(self, request: Request) -> Answer | None:
        name = one(request.body, "name")
        _tags(request)
        if await self._permissions.knows("model", name):
            if await self._judge.lookup.has_model(name):
                raise Conflict(f"There is a registered model {name[:80]!r} already.", next_step="Choose another name.")
            await self._permissions.gone("model", name)  # it was deleted without us

        async def made(status: int, raw: bytes) -> tuple[int, bytes]:
            if status == HTTPStatus.OK:
                await self._permissions.created(request.caller, "model", name)
            return status, raw

        return made

    async def _rename_model(self, request: Request) -> Answer | None:
        old, new = one(request.body, "name"), one(request.body, "new_name")

        async def renamed(status: int, raw: bytes) -> tuple[int, bytes]:
            if status == HTTPStatus.OK and old != new:
                await self._permissions.renamed("model", old, new)
            return status, raw

        return renamed

    async def _delete_model(self, request: Request) -> Answer | None:
        name = one(request.body, "name")

        async def deleted(status: int, raw: bytes) -> tuple[int, bytes]:
            if status == HTTPStatus.OK:
                await self._permissions.gone("model", name)
            return status, raw

        return deleted

    async def _create_version(self, request: Request) -> Answer | None:
        """A version shows its source's files to all who see the model: so its maker has to see them, too."""
        body = request.body
        run, model, source = (one(body, name) for name in ("run_id", "model_id", "source"))
        if run:
            await self._require(request, "run", run, "read")
        if model:
            await self._require(request, "logged_model", model, "read")
        await self._source(request, source, bool(run or model))
        _tags(request)
        return None

    async def _source(self, request: Request, source: str, has_origin: bool) -> None:
        address = urlsplit(source)
        path = unquote(address.path)
        if unquote(path) != path or "\\" in path or ".." in path.split("/") or address.query or address.fragment:
            raise InvalidRequest("This source could be read in more than one way.", field="source")
        if source == _PROMPT_SOURCE:
            return
        if address.netloc or address.scheme not in ("runs", "models", "mlflow-artifacts"):
            raise InvalidRequest(
                "A version's source is a model of a run: runs:/…, models:/… or mlflow-artifacts:/….", field="source"
            )
        first, *rest = [part for part in path.split("/") if part] or [""]
        if address.scheme == "runs":
            await self._require(request, "run", check_id(first, "source"), "read")
        elif address.scheme == "models":
            await self._model_source(request, first, rest)
        elif not has_origin or not EXPERIMENT_ID.fullmatch(first):
            raise InvalidRequest("This source needs the run or the model that it is of.", field="source")
        else:
            await self._require(request, "experiment", first, "read")

    async def _model_source(self, request: Request, first: str, rest: list[str]) -> None:
        if re.fullmatch(r"m-[A-Za-z0-9]+", first) and not rest:
            await self._require(request, "logged_model", first, "read")
            return
        name = first.partition("@")[0]
        # A logged model's files, or a registered one's: MLflow itself goes by the form; both have to be readable.
        if re.fullmatch(r"m-[A-Za-z0-9]+", first):
            await self._require(request, "logged_model", first, "read")
        else:
            await self._require(request, "model", name, "read")

    # --- traces

    async def _start_trace(self, request: Request) -> Answer | None:
        info = inner(inner(request.body, "trace"), "trace_info")
        location = inner(info, "trace_location")
        experiment = one(inner(location, "mlflow_experiment"), "experiment_id")
        if not EXPERIMENT_ID.fullmatch(experiment):
            raise InvalidRequest("A trace belongs to an experiment of MLflow's.", field="experiment_id")
        await self._require(request, "experiment", experiment, "write")
        await self._no_other_trace(request, one(info, "trace_id"), experiment)
        for name in inner(info, "tags"):
            _check_tag(name)
        return None

    async def _search_traces(self, request: Request) -> Answer | None:
        places = objects(request.body, "locations")
        if not places:
            raise InvalidRequest("A search of traces names its experiments.", field="locations")
        for place in places:
            experiment = one(inner(place, "mlflow_experiment"), "experiment_id")
            if inner(place, "inference_table"):
                raise InvalidRequest("Only traces of experiments can be searched.", field="locations")
            await self._require(request, "experiment", check_id(experiment, "experiment_id"), "read")
        return None

    async def _assessment(self, request: Request) -> Answer | None:
        trace = request.input.captured["trace_id"]
        said = inner(request.body, "assessment")
        if one(said, "trace_id") not in ("", trace):
            raise InvalidRequest("The assessment is of another trace.", field="trace_id")
        said["trace_id"] = trace
        return None

    async def _prompts(self, request: Request) -> Answer | None:
        for prompt in objects(request.body, "prompt_versions"):
            await self._require(request, "model", one(prompt, "name"), "read")
        return None

    async def _spans(self, request: Request) -> Answer | None:
        """Spans as OpenTelemetry sends them: all of traces of the one experiment that the header names."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        experiment = request.headers.get("x-mlflow-experiment-id", "")
        if kind != "application/x-protobuf" or request.headers.get("content-encoding"):
            raise InvalidRequest("Spans are taken as protobuf that is not compressed.", field="content-type")
        await self._require(request, "experiment", check_id(experiment, "X-Mlflow-Experiment-Id"), "write")
        request.added |= {"Content-Type": kind, "X-Mlflow-Experiment-Id": experiment}
        if run := request.headers.get("x-mlflow-run-id", ""):
            if await self._require(request, "run", check_id(run, "X-Mlflow-Run-Id"), "write") != experiment:
                raise InvalidRequest("The run is of another experiment.", field="X-Mlflow-Run-Id")
            request.added["X-Mlflow-Run-Id"] = run
        if _LOCATION_TAG.encode() in request.raw:
            raise Forbidden(f"{_LOCATION_TAG} is MLflow's own to set.")
        for trace in spans.traces_of(request.raw):
            await self._no_other_trace(request, trace, experiment)
        return None

    # --- pages

    async def _graphql(self, request: Request) -> Answer | None:
        """MLflow's page of a run asks by GraphQL."""
        for kind, id_ in graphql.named(request.body):
            await self._require(request, kind, id_, "read")
        visible = await self._permissions.visible_models(request.caller)

        async def shown(status: int, raw: bytes) -> tuple[int, bytes]:
            answer = answer_of(raw)
            if visible is None or answer is None:
                return status, raw if visible is None else b"{}"
            return status, json.dumps(graphql.without_versions(answer, visible)).encode()

        return shown

    async def _no_other_trace(self, request: Request, trace: str, experiment: str) -> None:
        """A trace's id is its maker's to choose, and must not be that of another experiment's trace."""
        if trace and await self._judge.lookup.experiment_of("trace", check_id(trace, "trace_id")) not in (
            None,
            experiment,
        ):
            raise Forbidden("There is a trace of this id in another experiment.")

    async def _require(self, request: Request, kind: str, id_: str, right: Right) -> str:
        if kind != "model":
            check_id(id_, kind)
        return await self._judge.require(request.caller, kind, id_, right)


def _tags(request: Request, but: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the tags in a body after a look at their names. Raises Forbidden for one that is not theirs to set."""
    found = {one(tag, "key"): one(tag, "value") for tag in objects(request.body, "tags")}
    for name in found:
        if name not in but:
            _check_tag(name)
    return found


def _check_tag(name: str) -> None:
    if name in _FIXED_TAGS:
        raise Forbidden(f"The tag {name} is set by the server, and stays.")
