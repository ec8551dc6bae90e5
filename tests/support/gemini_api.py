"""A double of Google's Gemini API, as strict about what it is sent: unknown fields, empty texts, lost signatures.

It answers with what a test has put into ``answers``, one after another. Rules from Google's reference (the pages that
aidp_ext/ai/providers/gemini.py names); the models are some of the real ones' kinds.
"""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any, Literal

import msgspec
from aiohttp import web

from tests.support.wire import streamed

KEY = "AIzaSyTEST0123456789abcdefSECRET"

MODELS = [
    {
        "name": "models/gemini-2.5-flash",
        "displayName": "Gemini 2.5 Flash",
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "thinking": True,
    },
    {"name": "models/gemini-2.5-pro", "supportedGenerationMethods": ["generateContent"], "thinking": True},
    {"name": "models/gemini-2.0-flash", "supportedGenerationMethods": ["generateContent"], "thinking": False},
    {"name": "models/gemini-3-pro-preview", "supportedGenerationMethods": ["generateContent"], "thinking": True},
    {"name": "models/gemma-3-27b-it", "supportedGenerationMethods": ["generateContent"]},
    {"name": "models/gemini-2.5-flash-preview-tts", "supportedGenerationMethods": ["generateContent"]},
    {"name": "models/imagen-4.0", "supportedGenerationMethods": ["predict"]},
    {"name": "models/gemini-embedding-001", "supportedGenerationMethods": ["embedContent"], "inputTokenLimit": 2048},
    {"name": "tunedModels/birds-1", "supportedGenerationMethods": ["generateContent"]},
    {"name": 17},
]


class _Strict(msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    pass


class _Call(_Strict):
    name: str
    args: dict[str, Any]
    id: str | None = None


class _Result(_Strict):
    name: str
    response: dict[str, Any]
    id: str | None = None


class _Blob(_Strict):
    mime_type: str
    data: str


class _Part(_Strict):
    text: str | None = None
    inline_data: _Blob | None = None
    function_call: _Call | None = None
    function_response: _Result | None = None
    thought_signature: str | None = None


class _Content(_Strict):
    parts: list[_Part]
    role: Literal["user", "model"] | None = None


class _Declaration(_Strict):
    name: str
    description: str | None = None
    parameters_json_schema: Any = None


class _Tool(_Strict):
    function_declarations: list[_Declaration]


class _Calling(_Strict):
    mode: Literal["AUTO", "ANY", "NONE", "VALIDATED"]
    allowed_function_names: list[str] | None = None


class _ToolConfig(_Strict):
    function_calling_config: _Calling


class _Thinking(_Strict):
    thinking_budget: int | None = None
    thinking_level: Literal["MINIMAL", "LOW", "MEDIUM", "HIGH"] | None = None
    include_thoughts: bool | None = None


class _Config(_Strict):
    stop_sequences: list[str] | None = None
    response_mime_type: Literal["text/plain", "application/json"] | None = None
    response_json_schema: dict[str, Any] | None = None
    candidate_count: int | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    thinking_config: _Thinking | None = None


class _Generate(_Strict):
    contents: list[_Content]
    system_instruction: _Content | None = None
    tools: list[_Tool] | None = None
    tool_config: _ToolConfig | None = None
    generation_config: _Config | None = None
    model: str | None = None


class _Count(_Strict):
    generate_content_request: _Generate


class _Embed(_Strict):
    model: str
    content: _Content
    output_dimensionality: int | None = None


class _Batch(_Strict):
    requests: list[_Embed]


class GeminiApi:
    """The double; give ``handle`` to a server."""

    def __init__(self) -> None:
        self.answers: list[Any] = []  # a document; a list of them for a stream; an exact response
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.paths.append(request.path)
        if "key" in request.query or "Authorization" in request.headers:
            return refusal(400, "the key belongs into x-goog-api-key")
        if request.headers.get("x-goog-api-key") != KEY:
            details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
            return refusal(400, "API key not valid. Please pass a valid API key.", details)
        if request.path == "/v1beta/models" and request.method == "GET":
            return self._list(request)
        name, _, call = request.path.removeprefix("/v1beta/").rpartition(":")
        if name not in [model["name"] for model in MODELS]:
            return refusal(404, f"{name} is not found for API version v1beta")
        body = await request.json()
        self.bodies.append(body)
        try:
            return await self._called(request, name, call, body)
        except (AssertionError, msgspec.ValidationError, ValueError) as error:
            return refusal(400, f"Invalid value: {error}")

    def _list(self, request: web.Request) -> web.Response:
        """Two pages, however many fit."""
        half = len(MODELS) // 2
        if request.query.get("pageToken") == "second":
            return web.json_response({"models": MODELS[half:]})
        return web.json_response({"models": MODELS[:half], "nextPageToken": "second"})

    async def _called(self, request: web.Request, name: str, call: str, body: Any) -> web.StreamResponse:
        if call in ("embedContent", "batchEmbedContents"):
            asked = (
                [msgspec.convert(body, _Embed)] if call == "embedContent" else msgspec.convert(body, _Batch).requests
            )
            assert len(asked) <= 100, "at most 100 requests can be in one batch"
            vectors = [_vector(one, name) for one in asked]
            return web.json_response({"embedding": vectors[0]} if call == "embedContent" else {"embeddings": vectors})
        if call == "countTokens":
            _check(counted := msgspec.convert(body, _Count).generate_content_request, name)
            assert counted.model == name
            return web.json_response({"totalTokens": 42})
        _check(msgspec.convert(body, _Generate), name)
        answer = self.answers.pop(0)
        if isinstance(answer, web.Response):
            return answer
        if call == "generateContent":
            return web.json_response(answer)
        assert call == "streamGenerateContent"
        assert request.query.get("alt") == "sse"
        pieces = [b"data: " + json.dumps(one).encode() + b"\r\n\r\n" for one in answer]
        return await streamed(request, "text/event-stream", pieces)


def refusal(status: int, message: str, details: list[Any] | None = None, headers: Any = None) -> web.Response:
    """Return an error as Google writes it."""
    error = {"code": status, "message": message, "status": "INVALID_ARGUMENT", "details": details or []}
    return web.json_response({"error": error}, status=status, headers=headers)


def _vector(asked: _Embed, name: str) -> dict[str, Any]:
    assert asked.model == name
    text = asked.content.parts[0].text
    assert text, "empty content"
    return {"values": [float(len(text)), 0.5, -0.25][: asked.output_dimensionality or 3]}


def _check(asked: _Generate, name: str) -> None:
    """Raise AssertionError for what the real API refuses."""
    assert asked.contents, "contents is not specified"
    for content in asked.contents:
        assert content.parts, "contents.parts must not be empty"
        for part in content.parts:
            _check_part(part)
    turns = [content.role for content in asked.contents]
    assert turns[0] == "user", "the first turn is the user's"
    assert all(a != b for a, b in itertools.pairwise(turns)), "roles take turns"
    _check_calls(asked.contents, needs_signature=name.startswith("models/gemini-3"))
    is_gemma = name.startswith("models/gemma")
    assert not (is_gemma and asked.system_instruction), "Developer instruction is not enabled"
    assert not (is_gemma and asked.tools), "Function calling is not enabled"
    assert asked.tool_config is None or asked.tools
    for tool in asked.tools or []:
        for declared in tool.function_declarations:
            assert "$schema" not in (declared.parameters_json_schema or {})
    _check_config(asked.generation_config or _Config(), name)


def _check_part(part: _Part) -> None:
    given = [part.text, part.inline_data, part.function_call, part.function_response]
    assert sum(one is not None for one in given) == 1, "a part holds one thing"
    assert part.text != "", "empty text parameter"
    if part.inline_data is not None:
        base64.b64decode(part.inline_data.data, validate=True)
        assert "/" in part.inline_data.mime_type


def _check_calls(contents: list[_Content], *, needs_signature: bool) -> None:
    for turn, content in enumerate(contents):
        calls = [part for part in content.parts if part.function_call]
        if not calls:
            continue
        assert content.role == "model"
        if needs_signature:
            assert calls[0].thought_signature, "Function call is missing a thought_signature"
        results = [part.function_response for part in contents[turn + 1].parts if part.function_response]
        asked = [(part.function_call.name, part.function_call.id) for part in calls if part.function_call]
        assert [(one.name, one.id) for one in results] == asked, "as many function responses as calls"


def _check_config(config: _Config, name: str) -> None:
    assert config.stop_sequences is None or 1 <= len(config.stop_sequences) <= 5
    assert config.response_json_schema is None or config.response_mime_type == "application/json"
    assert config.logprobs is None or config.response_logprobs
    thinking = config.thinking_config
    if thinking is None:
        return
    assert any(model["name"] == name and model.get("thinking") for model in MODELS), "Thinking is not supported"
    assert (thinking.thinking_budget is None) != (thinking.thinking_level is None)
    if name.startswith("models/gemini-2.5"):
        assert thinking.thinking_level is None, "thinking level is not supported"
        least = 128 if "pro" in name else 0
        assert least <= (thinking.thinking_budget or 0) <= 24576
    else:
        assert thinking.thinking_level != "MINIMAL" or "pro" not in name
