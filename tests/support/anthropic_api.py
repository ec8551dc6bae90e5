"""A double of Anthropic's Messages API: as strict with what it is sent as the real one, and answering as it does.

Where the real API is known to refuse something with a 400, so does this one; `Anthropic.behaviour` says what it answers
with. Sources: the API reference and the pages on thinking, tool use, structured outputs and errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEY = "sk-ant-test-0123456789abcdefSECRET"
USAGE = {"input_tokens": 11, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 5, "output_tokens": 9}

NEW, MIDDLE, OLD = "claude-opus-5-5", "claude-haiku-4-5-20251001", "claude-3-haiku-20240307"


def _can(**names: bool) -> dict[str, Any]:
    return {name: {"supported": supported} for name, supported in names.items()}


MODELS: list[dict[str, Any]] = [
    {
        "id": NEW,
        "type": "model",
        "display_name": "Claude Opus 5.5",
        "created_at": "2026-09-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 1_000_000,
        "max_tokens": 128_000,
        "capabilities": {
            **_can(image_input=True, structured_outputs=True),
            "effort": {"supported": True, **_can(low=True, medium=True, high=True, xhigh=False, max=True)},
            "thinking": {"supported": True, "types": _can(adaptive=True, enabled=False, disabled=False)},
        },
    },
    {
        "id": MIDDLE,
        "type": "model",
        "display_name": "Claude Haiku 4.5",
        "created_at": "2025-10-01T00:00:00Z",
        "lifecycle": "deprecated",
        "max_input_tokens": None,
        "max_tokens": None,
        "capabilities": None,
    },
    {
        "id": OLD,
        "type": "model",
        "display_name": "Claude Haiku 3",
        "created_at": "2024-03-07T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 4096,
        "capabilities": {
            **_can(image_input=False, structured_outputs=False),
            "effort": {"supported": False, **_can(low=False, medium=False, high=False, max=False)},
            "thinking": {"supported": False, "types": _can(adaptive=False, enabled=False, disabled=True)},
        },
    },
]
_THINKING = {NEW: {"adaptive"}, MIDDLE: {"enabled", "disabled"}, OLD: {"disabled"}}
_EFFORTS = {NEW: {"low", "medium", "high", "max"}, MIDDLE: set(), OLD: set()}
_MAX_TOKENS = {NEW: 128_000, MIDDLE: 64_000, OLD: 4096}

_FIELDS = {
    *("model", "messages", "max_tokens", "system", "stream", "temperature", "top_p", "top_k", "stop_sequences"),
    *("tools", "tool_choice", "thinking", "output_config", "metadata", "cache_control", "service_tier"),
}
_SCHEMA_WORDS = {
    *("type", "title", "description", "enum", "const", "default", "required", "properties", "items", "$ref", "$defs"),
    *("anyOf", "allOf", "additionalProperties", "format", "minItems"),
}


class Refused(Exception):
    """What the API would answer with an error status."""

    def __init__(self, message: str, kind: str = "invalid_request_error", status: int = 400) -> None:
        super().__init__(message)
        self.body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
        self.status = status


def _need(holds: object, message: str) -> None:
    if not holds:
        raise Refused(message)


def _fields(given: Any, known: set[str], where: str) -> None:
    _need(isinstance(given, dict), f"{where}: Input should be a valid dictionary")
    for name in given:
        _need(name in known, f"{where}.{name}: Extra inputs are not permitted")
    if "cache_control" in given:
        mark = given["cache_control"]
        _need(mark.get("type") == "ephemeral" and set(mark) <= {"type", "ttl"}, f"{where}.cache_control: invalid")


def check(body: dict[str, Any], *, counts: bool = False) -> None:
    """Raise Refused for what the real API refuses."""
    _fields(body, _FIELDS - ({"max_tokens", "stream"} if counts else set()), "body")
    model = body.get("model")
    if model not in _MAX_TOKENS:
        raise Refused(f"model: {model}", "not_found_error", 404)
    if not counts:
        limit = body.get("max_tokens")
        _need(isinstance(limit, int), "max_tokens: Field required")
        _need(1 <= limit <= _MAX_TOKENS[model], f"max_tokens: {limit} > {_MAX_TOKENS[model]}")
    if "system" in body and not isinstance(body["system"], str):
        _need(body["system"], "system: empty")
        for block in body["system"]:
            _block(block, {"text"}, "system")
    if "metadata" in body:
        _fields(body["metadata"], {"user_id"}, "metadata")
        _need(isinstance(body["metadata"]["user_id"], str), "metadata.user_id: Input should be a valid string")
    for stop in body.get("stop_sequences", ()):
        _need(stop.strip(), "stop_sequences: each stop sequence must contain non-whitespace")
    _check_tools(body)
    _check_thinking(body, model)
    _check_messages(body)
    _check_output(body, model)


def _check_tools(body: dict[str, Any]) -> None:
    for tool in body.get("tools", ()):
        _fields(tool, {"name", "description", "input_schema", "strict", "cache_control", "type"}, "tools")
        _need(re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", tool["name"]), "tools.name: invalid")
        _need(tool["input_schema"].get("type") == "object", "tools.input_schema.type: Field required")
        if tool.get("strict"):
            _check_schema(tool["input_schema"])
    if "tools" in body:
        _need(body["tools"], "tools: empty")
    if "tool_choice" in body:
        choice = body["tool_choice"]
        _need(body.get("tools"), "tool_choice may only be specified while providing tools")
        known = {"auto": set(), "any": set(), "tool": {"name"}, "none": set()}[choice["type"]]
        parallel = set() if choice["type"] == "none" else {"disable_parallel_tool_use"}
        _fields(choice, {"type"} | known | parallel, "tool_choice")
        if choice["type"] == "tool":
            _need(choice["name"] in {tool["name"] for tool in body["tools"]}, "tool_choice.name: not among the tools")


def _check_thinking(body: dict[str, Any], model: str) -> None:
    temperature = body.get("temperature")
    thinking = body.get("thinking") or {}
    kind = thinking.get("type", "adaptive" if model == NEW else "disabled")
    if thinking:
        _need(kind in _THINKING[model], f'"thinking.type.{kind}" is not supported for this model')
    if kind == "enabled":
        _fields(thinking, {"type", "budget_tokens", "display"}, "thinking")
        _need(thinking["budget_tokens"] >= 1024, "thinking.budget_tokens: should be greater than or equal to 1024")
        _need(thinking["budget_tokens"] < body["max_tokens"], "max_tokens must be greater than thinking.budget_tokens")
    if temperature is not None:
        _need(isinstance(temperature, int | float) and 0 <= temperature <= 1, "temperature: range: 0..1")
    if model == NEW:
        _need(temperature in (None, 1), "`temperature` is deprecated for this model.")
        _need("top_p" not in body and "top_k" not in body, "`top_p` is deprecated for this model.")
    if model != OLD:
        _need(not {"temperature", "top_p"} <= set(body), "`temperature` and `top_p` cannot both be specified")
    if thinking and kind in ("enabled", "adaptive"):
        _need(temperature in (None, 1) and "top_k" not in body, "temperature may only be set to 1 when thinking is on")
        _need(body.get("top_p", 1) >= 0.95, "top_p must be greater than or equal to 0.95 when thinking is on")
        forced = body.get("tool_choice", {}).get("type") in ("any", "tool")
        _need(not forced, "Thinking may not be enabled when tool_choice forces tool use.")


def _check_messages(body: dict[str, Any]) -> None:
    messages = body.get("messages")
    _need(isinstance(messages, list) and messages, "messages: at least one message is required")
    assert messages is not None
    asked: list[str] = []
    thinks = (body.get("thinking") or {}).get("type") == "enabled"
    seen: set[str] = set()
    for place, message in enumerate(messages):
        where = f"messages.{place}"
        _fields(message, {"role", "content"}, where)
        # the real API joins turns of one role; nothing of ours may rely on that
        _need(message["role"] == ("user", "assistant")[place % 2], f"{where}: roles must alternate")
        content = message["content"]
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        _need(content, f"{where}: all messages must have non-empty content")
        ours = message["role"] == "user"
        known = {"text", "image", "document", "tool_result"} if ours else {"text", "thinking", "tool_use"}
        for block in content:
            _block(block, known, f"{where}.content")
        if ours:
            answered = [block["tool_use_id"] for block in content if block["type"] == "tool_result"]
            kinds = [block["type"] == "tool_result" for block in content]
            _need(kinds == sorted(kinds, reverse=True), f"{where}: tool_result blocks must come first")
            _need(set(answered) <= set(asked), f"{where}: unexpected `tool_use_id` found in `tool_result` blocks")
            _need(set(asked) <= set(answered), f"{where}: `tool_use` ids without `tool_result` blocks: {asked}")
            asked = []
        else:
            asked = [block["id"] for block in content if block["type"] == "tool_use"]
            _need(not seen & set(asked) and len(set(asked)) == len(asked), f"{where}: `tool_use` ids must be unique")
            seen |= set(asked)
            if asked and thinks and place == len(messages) - 2:
                _need(
                    content[0]["type"] == "thinking", f"{where}: Expected `thinking`, but found `{content[0]['type']}`"
                )
    _need(not asked, "`tool_use` ids were found without `tool_result` blocks immediately after")


def _block(block: dict[str, Any], kinds: set[str], where: str) -> None:
    kind = block.get("type")
    _need(kind in kinds, f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags")
    if kind == "text":
        _fields(block, {"type", "text", "cache_control"}, where)
        _need(block["text"].strip(), f"{where}: text content blocks must contain non-whitespace text")
    elif kind in ("image", "document"):
        _fields(block, {"type", "source", "cache_control", *(("title",) if kind == "document" else ())}, where)
        source = block["source"]
        if source["type"] == "url":
            _fields(source, {"type", "url"}, where)
            _need(source["url"].startswith("https://"), f"{where}.source.url: Only HTTPS URLs are supported.")
        elif source["type"] == "text" and kind == "document":
            _fields(source, {"type", "media_type", "data"}, where)
            _need(source["media_type"] == "text/plain" and source["data"], f"{where}.source: invalid")
        else:
            _fields(source, {"type", "media_type", "data"}, where)
            _need(source["type"] == "base64", f"{where}.source.type: invalid")
            types = {"image/jpeg", "image/png", "image/gif", "image/webp"} if kind == "image" else {"application/pdf"}
            _need(source["media_type"] in types, f"{where}.source.media_type: invalid")
    elif kind == "tool_use":
        _fields(block, {"type", "id", "name", "input", "cache_control"}, where)
        _need(re.fullmatch(r"[a-zA-Z0-9_-]+", block["id"]), f"{where}.id: String should match pattern")
        _need(isinstance(block["input"], dict), f"{where}.input: Input should be a valid dictionary")
    elif kind == "tool_result":
        _fields(block, {"type", "tool_use_id", "content", "is_error", "cache_control"}, where)
        if not isinstance(block.get("content", ""), str):
            for inner in block["content"]:
                _block(inner, {"text", "image", "document"}, where)


def _check_output(body: dict[str, Any], model: str) -> None:
    config = body.get("output_config", {})
    _fields(config, {"effort", "format"}, "output_config")
    if "effort" in config:
        _need(config["effort"] in _EFFORTS[model], "output_config.effort: not supported for this model")
    if "format" in config:
        _need(model != OLD, "output_config.format: not supported for this model")
        _fields(config["format"], {"type", "schema"}, "output_config.format")
        _need(config["format"]["type"] == "json_schema", "output_config.format.type: invalid")
        _check_schema(config["format"]["schema"])


def _check_schema(schema: dict[str, Any]) -> None:
    for word in schema:
        _need(word in _SCHEMA_WORDS, f"output_config.format.schema: property '{word}' is not supported")
    _need(schema.get("minItems", 0) in (0, 1), "output_config.format.schema: minItems must be 0 or 1")
    if schema.get("type") == "object":
        closed = schema.get("additionalProperties") is False
        _need(closed, "output_config.format.schema: 'additionalProperties' must be explicitly set to false")
    for inner in (*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()):
        _check_schema(inner)
    for inner in (
        *schema.get("anyOf", ()),
        *schema.get("allOf", ()),
        *([schema["items"]] if "items" in schema else ()),
    ):
        _check_schema(inner)


CONTENTS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "text": ([{"type": "text", "text": "Pinguine sind Vögel. 🐧\n\nevent: error"}], "end_turn"),
    "long": ([{"type": "text", "text": "Pen"}], "max_tokens"),
    "stopped": ([{"type": "text", "text": "Pen"}], "stop_sequence"),
    "empty": ([], "end_turn"),
    "refusal": ([], "refusal"),
    "tools": (
        [
            {"type": "thinking", "thinking": "Two cities. I look both up.", "signature": "c2ln"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln", "days": [1, 2]}},
            {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
        ],
        "tool_use",
    ),
}
STATUSES = {
    "invalid": Refused("temperature: something is wrong"),
    "poor": Refused("Your credit balance is too low to access the Anthropic API."),
    "unauthorized": Refused(f"invalid x-api-key {KEY}", "authentication_error", 401),
    "forbidden": Refused("not for you", "permission_error", 403),
    "missing": Refused("model: gone", "not_found_error", 404),
    "too-large": Refused("Request exceeds the maximum size", "request_too_large", 413),
    "rate-limited": Refused("slow down", "rate_limit_error", 429),
    "broken": Refused("Internal server error", "api_error", 500),
    "overloaded": Refused("Overloaded", "overloaded_error", 529),
}
MIDWAY = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


Content = tuple[list[dict[str, Any]], str]


def message(behaviour: str, model: str, said: Content | None = None) -> dict[str, Any]:
    """Return an answer as the API gives it whole; ``said`` instead of what the behaviour says."""
    content, stop_reason = said or CONTENTS[behaviour]
    refusal = {"type": "refusal", "category": "bio", "explanation": "Not this."} if stop_reason == "refusal" else None
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": "END" if stop_reason == "stop_sequence" else None,
        "stop_details": refusal,
        "usage": {**USAGE, "output_tokens_details": {"thinking_tokens": 3}, "service_tier": "standard"},
    }


def events(behaviour: str, model: str, said: Content | None = None) -> Iterator[dict[str, Any]]:
    """Yield the same answer as the API streams it."""
    whole = message(behaviour, model, said)
    begun = {**whole, "content": [], "stop_reason": None, "stop_details": None}
    yield {"type": "message_start", "message": {**begun, "usage": {**USAGE, "output_tokens": 1}}}
    yield {"type": "ping"}
    for index, block in enumerate(whole["content"]):
        kind = block["type"]
        empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}[kind]
        yield {"type": "content_block_start", "index": index, "content_block": {**block, **empty}}
        for delta in _deltas(block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ended = {key: whole[key] for key in ("stop_reason", "stop_sequence", "stop_details")}
    spent = {"output_tokens": USAGE["output_tokens"], "output_tokens_details": {"thinking_tokens": 3}}
    yield {"type": "message_delta", "delta": ended, "usage": spent}
    yield {"type": "message_stop"}


def _deltas(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if block["type"] == "tool_use":
        yield {"type": "input_json_delta", "partial_json": ""}
        written = json.dumps(block["input"], ensure_ascii=False) if block["input"] else ""
        for start in range(0, len(written), 7):
            yield {"type": "input_json_delta", "partial_json": written[start : start + 7]}
        return
    kind = block["type"]
    for start in range(0, len(block[kind]), 5):
        yield {"type": f"{kind}_delta", kind: block[kind][start : start + 5]}
    if kind == "thinking":
        yield {"type": "signature_delta", "signature": block["signature"]}


def sse(event: dict[str, Any]) -> bytes:
    """Return an event on the wire."""
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def stream(behaviour: str, model: str = NEW) -> bytes:
    """Return a whole stream on the wire."""
    return b"".join(map(sse, events(behaviour, model)))


@dataclass
class Anthropic:
    """The double; `behaviour` is one of CONTENTS, STATUSES, or ``cut``, ``half`` and ``error`` (in the middle)."""

    behaviour: str = "text"
    url: str = ""
    requests: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)

    @property
    def sent(self) -> dict[str, Any]:
        """The body of the last request."""
        return self.requests[-1][1]

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the last request, their names in small letters."""
        return self.requests[-1][0]

    def _check_headers(self, request: web.Request) -> None:
        if request.headers.get("x-api-key") != KEY or "Authorization" in request.headers:
            raise Refused("invalid x-api-key", "authentication_error", 401)
        _need(request.headers.get("anthropic-version") == "2023-06-01", "anthropic-version: header is required")

    async def _models(self, request: web.Request) -> web.Response:
        self._check_headers(request)
        _need(
            set(request.query) <= {"limit", "after_id"} and 1 <= int(request.query["limit"]) <= 1000, "query: invalid"
        )
        ids = [model["id"] for model in MODELS]
        start = ids.index(request.query["after_id"]) + 1 if "after_id" in request.query else 0
        page = MODELS[start : start + 2]
        more = {"has_more": start + 2 < len(MODELS), "first_id": page[0]["id"], "last_id": page[-1]["id"]}
        return web.json_response({"data": page, **more})

    async def _body(self, request: web.Request) -> dict[str, Any]:
        self._check_headers(request)
        _need(request.content_type == "application/json", "content-type: must be application/json")
        body: dict[str, Any] = await request.json()
        self.requests.append(({name.lower(): value for name, value in request.headers.items()}, body))
        return body

    async def _count(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        if self.behaviour in STATUSES:
            raise STATUSES[self.behaviour]
        check(body, counts=True)
        return web.json_response({"input_tokens": 42})

    def contents(self, body: dict[str, Any]) -> Content | None:
        """Return what to answer to this request, None for what the behaviour says."""
        return None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        method = {
            ("GET", "/v1/models"): self._models,
            ("POST", "/v1/messages"): self._messages,
            ("POST", "/v1/messages/count_tokens"): self._count,
        }.get((request.method, request.path))
        if method is None:
            raise web.HTTPNotFound
        return await _as_errors(request, method)

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        check(body)
        if self.behaviour in STATUSES:
            raise STATUSES[self.behaviour]
        if not body.get("stream"):
            return web.json_response(message(self.behaviour, body["model"], self.contents(body)))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        behaviour = self.behaviour if self.behaviour in CONTENTS else "text"
        whole = list(map(sse, events(behaviour, body["model"], self.contents(body))))
        if self.behaviour == "cut":
            whole = whole[:5]
        elif self.behaviour == "half":
            whole = [*whole[:5], whole[5][:70]]
        elif self.behaviour == "error":
            whole = [*whole[:5], sse(MIDWAY)]
        elif self.behaviour == "error-first":
            whole = [*whole[:2], sse(MIDWAY)]
        await response.write(b"".join(whole))
        return response


async def _as_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        answer: web.StreamResponse = await handler(request)
    except Refused as refused:
        more = {"Retry-After": "7"} if refused.status == 429 else {}
        return web.json_response(refused.body, status=refused.status, headers=more)
    return answer


@asynccontextmanager
async def anthropic_api() -> AsyncIterator[Anthropic]:
    """Run the double on a port of its own, in this loop."""
    api = Anthropic()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    api.url = f"http://{host}:{port}"
    try:
        yield api
    finally:
        await runner.cleanup()
