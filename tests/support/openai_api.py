"""A double of OpenAI's API: it refuses what the real one refuses, and reports usage in streams only when asked.

Sources: OpenAI's API reference, and the words of its refusals. The models are some of the real ones' kinds.
"""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

from aiohttp import web

from tests.support.wire import streamed

KEY = "sk-test-0123456789abcdefSECRET"
MODELS = (
    *("gpt-5", "gpt-5-chat-latest", "o3", "o3-mini", "o1-mini", "gpt-4.1-2025-04-14", "gpt-4o", "gpt-4"),
    *("gpt-3.5-turbo-instruct", "babbage-002", "text-embedding-3-small", "gpt-4o-audio-preview", "whisper-1"),
    *("gpt-4o-search-preview", "dall-e-3", "gpt-9-surprise", "somebody-elses"),
)
_USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 12,
    "total_tokens": 21,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 7},
}


class OpenAIApi:
    """The double; give ``handle`` to a server."""

    models: tuple[str, ...] = MODELS

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return _error(401, f"Incorrect API key provided: {request.headers.get('Authorization')}")
        if request.path == "/v1/models":
            listed = [{"id": name, "object": "model", "created": 1, "owned_by": "system"} for name in self.models]
            return web.json_response({"object": "list", "data": listed})
        body = await request.json()
        self.bodies.append(body)
        self.paths.append(request.path)
        if body.get("model") not in self.models:
            return _error(404, f"The model `{body.get('model')}` does not exist", code="model_not_found")
        if "stream_options" in body and not body.get("stream"):
            return _error(400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
        if request.path == "/v1/embeddings":
            return _embeddings(body)
        if request.path == "/v1/completions":
            return await self._complete(request, body)
        return _refused(body) or await self._chat(request, body)

    async def _chat(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            message = {"role": "assistant", "content": "Penguins", "refusal": None}
            choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
            return web.json_response({**head, "object": "chat.completion", "choices": [choice], "usage": _USAGE})

        def event(delta: Any, finish: str | None = None) -> dict[str, Any]:
            return {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

        said = [event({"role": "assistant", "content": ""}), event({"content": "Penguins"}), event({}, "stop")]
        return await self._stream(request, body, {**head, "object": "chat.completion.chunk"}, said)

    async def _complete(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if body.get("suffix") and body["model"] != "gpt-3.5-turbo-instruct":
            return _error(400, "Unsupported parameter: 'suffix' is not supported with this model.", "suffix")
        head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": body["model"]}
        choice = {"index": 0, "text": "Penguins", "logprobs": None, "finish_reason": "stop"}
        if not body.get("stream"):
            return web.json_response({**head, "choices": [choice], "usage": _USAGE})
        return await self._stream(request, body, head, [{"choices": [choice]}])

    async def _stream(
        self, request: web.Request, body: dict[str, Any], head: dict[str, Any], said: list[dict[str, Any]]
    ) -> web.StreamResponse:
        options = body.get("stream_options") or {}
        asked = options.get("include_usage")
        events = [{**head, **one, **({"usage": None} if asked else {})} for one in said]
        if asked:
            events.append({**head, "choices": [], "usage": _USAGE})
        pieces = [b"data: " + json.dumps(one, separators=(",", ":")).encode() + b"\n\n" for one in events]
        return await streamed(request, "text/event-stream", [*pieces, b"data: [DONE]\n\n"])


def _refused(body: dict[str, Any]) -> web.Response | None:
    """Return what models that reason, and those yet unknown, refuse."""
    model = body["model"]
    if model.startswith(("o1", "o3", "gpt-5", "gpt-9")) and "chat" not in model:
        if "max_tokens" in body:
            words = "is not supported with this model. Use 'max_completion_tokens' instead."
            return _error(400, f"Unsupported parameter: 'max_tokens' {words}", "max_tokens", "unsupported_parameter")
        if body.get("temperature", 1) != 1:
            words = f"does not support {body['temperature']} with this model. Only the default (1) value is supported."
            return _error(400, f"Unsupported value: 'temperature' {words}", "temperature", "unsupported_value")
        for name in ("top_p", "stop"):
            if name in body:
                words = "is not supported with this model."
                return _error(400, f"Unsupported parameter: '{name}' {words}", name, "unsupported_parameter")
    return None


def _embeddings(body: dict[str, Any]) -> web.Response:
    given = body["input"] if isinstance(body["input"], list) else [body["input"]]
    vectors = [[float(len(one)), 0.5] for one in given]
    if body.get("encoding_format") == "base64":
        written: list[Any] = [base64.b64encode(struct.pack("<2f", *vector)).decode() for vector in vectors]
    else:
        written = vectors
    data = [{"object": "embedding", "index": i, "embedding": one} for i, one in enumerate(written)]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    return web.json_response({"object": "list", "data": data, "model": body["model"], "usage": usage})


def _error(status: int, message: str, param: str | None = None, code: str | None = None) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return web.json_response({"error": error}, status=status)
