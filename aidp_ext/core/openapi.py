"""The OpenAPI document, made from the routes: their marks (`core.web.Operation`), their types and their docstrings.

OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1), whose schemas are JSON Schema 2020-12, as msgspec writes them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Any, get_args

import msgspec

from aidp_ext._version import __version__
from aidp_ext.core import errors
from aidp_ext.core.web import METHODS, Api, Operation, Route, UnknownEndpoint, endpoint, status_of

PATTERN = "openapi.json"

_REF = "#/components/schemas/{name}"
_GROUP = re.compile(r"\([^)]*\)")
#: What may happen to every request.
_ALWAYS: tuple[type[errors.AidpError], ...] = (
    errors.Unauthenticated,
    errors.Forbidden,
    errors.Unavailable,  # of the hub, that knows the callers
    errors.AidpError,
)
_WORDS = {413: "The request is too large."}
_REJECTED = (400, 404, 413, 422, 429)  # statuses of a model server that are passed on, see `web.status_of`
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The server's token, or in the hub a hub token."},
    "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "The same, as Anthropic's SDK does."},
}


class ErrorDetails(msgspec.Struct, omit_defaults=True):
    """More for programs; what is in it depends on the code."""

    next_step: str | msgspec.UnsetType = msgspec.UNSET
    call: str | msgspec.UnsetType = msgspec.UNSET
    attempts: int | msgspec.UnsetType = msgspec.UNSET


class ErrorSaid(msgspec.Struct):
    """What went wrong: ``code`` never changes, ``message`` is for people."""

    code: str
    message: str
    type: str
    details: ErrorDetails


class Error(msgspec.Struct):
    """The one body of every error."""

    error: ErrorSaid


class OpenApi(Api):
    """``openapi.json``."""

    @endpoint("read", gives=dict[str, Any])
    async def get(self) -> None:
        """Return this document: every endpoint of this server as OpenAPI describes them."""
        server = self.request.path.removesuffix(f"/{PATTERN}")
        self.reply(document(self.settings["aidp_routes"], server))


def document(routes: Iterable[Route], server: str) -> dict[str, Any]:
    """Return the OpenAPI document of ``routes``, which lie below the path ``server``.

    Raises TypeError for an endpoint whose docstring or types are missing: nothing goes undescribed by an oversight.
    """
    found = list(_operations(routes))
    types = [kind for _, _, _, operation in found for kind in _types_of(operation)]
    alternatives = {kind: get_args(kind) if isinstance(kind, UnionType) else (kind,) for kind in [Error, *types]}
    kinds = list(dict.fromkeys(one for several in alternatives.values() for one in several))
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    for kind in kinds:
        components.get(getattr(kind, "__name__", ""), {}).update(getattr(kind, "__json_schema__", {}))
    made = dict(zip(kinds, schemas, strict=True))
    known = {
        kind: {"anyOf": [made[one] for one in several]} if len(several) > 1 else made[kind]
        for kind, several in alternatives.items()
    }
    paths: dict[str, dict[str, Any]] = {}
    for path, method, cls, operation in found:
        paths.setdefault(path, {})[method] = _described(path, method, cls, operation, known)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "aidp",
            "version": __version__,
            "summary": "The AI router of a Jupyter server or a hub.",
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "servers": [{"url": server}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SECURITY},
    }


def _operations(routes: Iterable[Route]) -> Iterator[tuple[str, str, type[Api], Operation]]:
    for pattern, cls in routes:
        if not issubclass(cls, Api) or issubclass(cls, UnknownEndpoint):  # OpenAPI knows no websockets
            continue
        for method in METHODS:
            function = getattr(cls, method)
            operation: Operation | None = getattr(function, "__aidp_operation__", None)
            if operation is None:
                continue
            if not inspect.getdoc(function) or (operation.gives is None and operation.streams is None):
                raise TypeError(f"{cls.__name__}.{method} does not say what it does and what it gives")
            names = iter(list(inspect.signature(function).parameters)[1:])
            yield "/" + _GROUP.sub(lambda _, names=names: f"{{{next(names)}}}", pattern), method, cls, operation  # type: ignore[misc]


def _types_of(operation: Operation) -> list[Any]:
    return [kind for kind in (operation.takes, operation.gives, operation.streams) if kind not in (None, str)]


def _described(path: str, method: str, cls: type[Api], operation: Operation, known: dict[Any, Any]) -> dict[str, Any]:
    summary, _, more = (inspect.getdoc(getattr(cls, method)) or "").partition("\n\n")
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", path)
    ]
    for place, kind in (("query", operation.query), ("header", operation.request_headers)):
        parameters += [{**field, "in": place} for field in fields(kind)]
    described: dict[str, Any] = {
        "operationId": f"{cls.__name__}_{method}",
        "tags": [path.split("/")[1]],
        "summary": _plain(summary),
        "x-aidp-action": operation.action,
        "security": [{name: []} for name in (("bearer", "key") if cls.for_kernels else ("bearer",))],
        "parameters": parameters,
        "responses": _responses(operation, known, takes_input=bool(parameters or operation.takes)),
    }
    if more:
        described["description"] = _plain(more)
    if operation.takes is not None:
        content: dict[str, Any] = {"schema": known[operation.takes]}
        if operation.example is not None:
            content["example"] = operation.example
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    return described


def fields(kind: type[msgspec.Struct] | None) -> list[dict[str, Any]]:
    """Return a Struct's fields as parameters of OpenAPI, their descriptions beside the schemas; none for None."""
    if kind is None:
        return []
    (_,), components = msgspec.json.schema_components([kind])
    made = components[kind.__name__]
    found = []
    for name, schema in made["properties"].items():
        # An absent parameter is no null
        given = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
        (inner,) = given
        inner = {**components[inner["$ref"].rsplit("/", 1)[-1]]} if "$ref" in inner else {**inner}
        says = schema.get("description") or inner.pop("description", "")
        inner.pop("description", None)
        if schema.get("default") is not None:
            inner["default"] = schema["default"]
        required = name in made.get("required", ())
        found.append({"name": name, "required": required, "description": _plain(says), "schema": inner})
    return found


def _responses(operation: Operation, known: dict[Any, Any], *, takes_input: bool) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if operation.gives is str:
        content[operation.media] = {"schema": {"type": "string"}}
    elif operation.gives is not None:
        content["application/json"] = {"schema": known[operation.gives]}
    if operation.streams is not None:
        content["text/event-stream"] = {"schema": _event(known[operation.streams], known[Error])}
    done: dict[str, Any] = {"description": "Done.", "content": content}
    if operation.answer_headers is not None:
        done["headers"] = {
            field["name"]: {key: value for key, value in field.items() if key != "name"}
            for field in fields(operation.answer_headers)
        }
    responses = {"200": done}
    refusal = {"application/json": {"schema": known[Error]}}
    for status, words in sorted(_refusals(operation, takes_input).items()):
        responses[str(status)] = {"description": " ".join(words), "content": refusal}
        if status == 429:
            responses["429"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return responses


def _event(*kinds: Any) -> dict[str, Any]:
    """Return the schema of one event; before OpenAPI 3.2 brought `itemSchema`, there was no other place for it."""
    document = {"type": "string", "contentMediaType": "application/json", "contentSchema": {"anyOf": list(kinds)}}
    return {
        "type": "object",
        "description": "Each of the server-sent events. An Error comes last, where there is one.",
        "properties": {"event": {"type": "string"}, "data": {"anyOf": [{"const": "[DONE]"}, document]}},
        "required": ["data"],
    }


def _refusals(operation: Operation, takes_input: bool) -> dict[int, list[str]]:
    """Return the statuses other than 200, each with what it means."""
    kinds = [*_ALWAYS, *operation.raises]
    if takes_input:
        kinds.insert(0, errors.InvalidRequest)
    found: dict[int, list[str]] = {}
    for kind in dict.fromkeys(kinds):
        rejected = kind is errors.UpstreamRejected
        says = "aidp itself failed." if kind is errors.AidpError else _plain(inspect.getdoc(kind) or "")
        for status in _REJECTED if rejected else (status_of(kind("")),):
            found.setdefault(status, []).append(f"`{kind.code}`: {says}")
    for status in operation.statuses:
        found.setdefault(status, []).append(_WORDS[status])
    return found


def _plain(text: str) -> str:
    """Return a docstring as Markdown."""
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text.replace("``", "`")).replace("\n", " ").strip()
