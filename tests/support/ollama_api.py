"""A double of Ollama, as the real one where it hurts: it cuts prompts without a word, and loads models anew.

Its native calls refuse unknown fields, although the real ones ignore them: what is sent in vain is a mistake of ours.
Source: Ollama's server/routes.go, api/types.go, server/prompt.go and server/sched.go.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any, Literal

import msgspec
from aiohttp import web

from tests.support.wire import streamed

DEFAULT_WINDOW = 4096
NS = 1_000_000

MODELS: dict[str, dict[str, Any]] = {
    "qwen2.5-coder:1.5b": {
        "capabilities": ["completion", "insert", "tools"],
        "model_info": {"qwen2.context_length": 32768},
    },
    "llama3.2:3b": {"capabilities": ["completion", "tools"], "model_info": {"llama.context_length": 16384}},
    "wide:1b": {
        "capabilities": ["completion"],
        "model_info": {"llama.context_length": 65536},
        "parameters": 'stop                           "<|im_end|>"\nnum_ctx                        8192',
    },
    "thinker:8b": {
        "capabilities": ["completion", "thinking", "vision"],
        "model_info": {"qwen3.context_length": 40960},
    },
    "nomic-embed-text:latest": {"capabilities": ["embedding"], "model_info": {"nomic-bert.context_length": 8192}},
    "gpt-oss:120b-cloud": {"capabilities": ["completion", "thinking"], "remote_host": "https://ollama.com:443"},
}


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Options(_Strict):
    num_ctx: int | None = None
    num_predict: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: list[str] | None = None


class _Function(_Strict):
    name: str
    arguments: dict[str, Any]  # an object, where OpenAI has a text
    index: int = 0


class _Call(_Strict):
    function: _Function
    id: str = ""


class _Message(_Strict):
    role: Literal["system", "user", "assistant", "tool"]
    content: str
    images: list[str] | None = None
    tool_calls: list[_Call] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    thinking: str | None = None


class _Common(_Strict):
    model: str
    stream: bool = True
    options: _Options = msgspec.field(default_factory=_Options)
    keep_alive: str | int | None = None
    truncate: bool = True
    shift: bool = True
    format: Literal["json"] | dict[str, Any] | None = None
    think: bool | Literal["low", "medium", "high", "max"] | None = None
    logprobs: bool = False
    top_logprobs: int = 0


class _Chat(_Common):
    messages: list[_Message] = []
    tools: list[dict[str, Any]] | None = None


class _Generate(_Common):
    prompt: str = ""
    suffix: str = ""


class _Embed(_Strict):
    model: str
    input: list[str]
    truncate: bool = True
    dimensions: int | None = None
    keep_alive: str | int | None = None
    options: _Options = msgspec.field(default_factory=_Options)


class OllamaApi:
    """The double; give ``handle`` to a server."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] | None = None  # what a chat or a completion says, instead of the usual
        self.pull: list[dict[str, Any]] = []
        self.pull_status = 200
        self.pulling = asyncio.Event()  # a pull has begun that goes on until its client leaves
        self.left = asyncio.Event()
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.windows: dict[str, int] = {}  # of the models that are loaded
        self.loads = 0
        self.cut: list[str] = []  # models that were asked with more than their window holds, and not told so

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        path = request.path
        if request.method == "GET":
            return self._get(path)
        body = await request.json()
        if path == "/api/show":
            found = MODELS.get(body["model"])
            return web.json_response(found) if found else _error(404, f"model '{body['model']}' not found")
        self.paths.append(path)
        self.bodies.append(body)
        if path == "/api/pull":
            return await self._pull(request, body)
        if body["model"] not in MODELS:
            return _error(404, f"model '{body['model']}' not found")
        try:
            return await self._answer(request, path, body)
        except (AssertionError, msgspec.ValidationError, ValueError) as error:
            return _error(400, str(error))

    def _get(self, path: str) -> web.Response:
        if path == "/api/tags":
            listed = [{"name": n, "model": n, "digest": n, "details": {"parameter_size": "1.5B"}} for n in MODELS]
            for entry in listed:
                entry |= {k: v for k, v in MODELS[str(entry["name"])].items() if k == "remote_host"}
            return web.json_response({"models": listed})
        if path == "/api/ps":
            return web.json_response({"models": [{"model": n, "context_length": w} for n, w in self.windows.items()]})
        return _error(404, "404 page not found")

    async def _answer(self, request: web.Request, path: str, body: dict[str, Any]) -> web.StreamResponse:
        if path.startswith("/v1/"):
            return await self._openai(request, path, body)
        if path == "/api/embed":
            return self._embed(msgspec.convert(body, _Embed))
        assert path in ("/api/chat", "/api/generate")
        is_chat = path == "/api/chat"
        asked: _Chat | _Generate = msgspec.convert(body, _Chat if is_chat else _Generate)
        abilities = MODELS[asked.model]["capabilities"]
        assert not asked.think or "thinking" in abilities, f'"{asked.model}" does not support thinking'
        text = asked.prompt + asked.suffix if isinstance(asked, _Generate) else _text(asked, abilities)
        if isinstance(asked, _Generate):
            assert not asked.suffix or "insert" in abilities, f"{asked.model} does not support insert"
            if not asked.prompt:
                return web.json_response({"model": asked.model, "response": "", "done": True, "done_reason": "load"})
        error = self._load(asked.model, asked.options.num_ctx, text, truncate=asked.truncate)
        if error is not None:
            return error
        lines = self.lines or _lines(asked.model, is_chat, len(text) // 4)
        if not asked.stream:
            return web.json_response(lines[-1] if len(lines) == 1 else _joined(lines))
        return await streamed(request, "application/x-ndjson", [json.dumps(line).encode() + b"\n" for line in lines])

    async def _openai(self, request: web.Request, path: str, body: dict[str, Any]) -> web.StreamResponse:
        """Its OpenAI dialect: no window can be asked for, and what is too long is cut."""
        assert isinstance(body.get("prompt", ""), str), "cannot unmarshal array into Go struct field prompt"
        text = json.dumps(body.get("messages") or body["prompt"])
        self._load(body["model"], None, text, truncate=True)
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            message = {"role": "assistant", "content": "Penguins"}
            choice = {"index": 0, "message": message, "text": "Penguins", "finish_reason": "stop"}
            return web.json_response({**head, "choices": [choice], "usage": usage})
        head["object"] = "chat.completion.chunk"
        events = [{**head, "choices": [{"index": 0, "delta": {"content": "Penguins"}, "finish_reason": "stop"}]}]
        if (body.get("stream_options") or {}).get("include_usage"):
            events.append({**head, "choices": [], "usage": usage})
        pieces = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events] + [b"data: [DONE]\n\n"]
        return await streamed(request, "text/event-stream", pieces)

    def _load(self, model: str, window: int | None, text: str, *, truncate: bool) -> web.Response | None:
        """Load the model anew where another window is wanted, and cut what does not fit, or refuse it."""
        usual = DEFAULT_WINDOW if "parameters" not in MODELS[model] else 8192
        wanted = window or usual
        if self.windows.get(model) != wanted:
            self.loads += 1
            self.windows[model] = wanted
        if len(text) // 4 > wanted:
            if not truncate:
                return _error(400, "the input length exceeds the context length")
            self.cut.append(model)
        return None

    def _embed(self, asked: _Embed) -> web.Response:
        window = asked.options.num_ctx or DEFAULT_WINDOW
        if any(len(text) // 4 > window for text in asked.input):
            if not asked.truncate:
                return _error(400, "the input length exceeds the context length")
            self.cut.append(asked.model)
        vectors = [[float(len(text)), 0.25, -1.0][: asked.dimensions or 3] for text in asked.input]
        return web.json_response({"model": asked.model, "embeddings": vectors, "prompt_eval_count": 11})

    async def _pull(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        assert body == {"model": body["model"], "stream": True, "insecure": False}, "nothing else is wanted of it"
        if self.pull_status != 200:
            headers = {"Location": "http://192.0.2.1/"} if self.pull_status == 302 else None
            return web.json_response(self.pull[0], status=self.pull_status, headers=headers)
        if self.pull:
            return await streamed(
                request, "application/x-ndjson", [json.dumps(line).encode() + b"\n" for line in self.pull]
            )
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        self.pulling.set()
        try:
            while True:
                await response.write(b'{"status":"pulling","digest":"sha256:1","total":100,"completed":1}\n')
                await asyncio.sleep(0.01)
        except (ConnectionError, asyncio.CancelledError):
            self.left.set()
            raise


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


def _text(asked: _Chat, abilities: list[str]) -> str:
    assert not asked.tools or "tools" in abilities, f"{asked.model} does not support tools"
    for message in asked.messages:
        assert message.role != "tool" or message.tool_name, "a result without the name of its tool"
        for image in message.images or []:
            assert "vision" in abilities
            base64.b64decode(image, validate=True)
    return "".join(message.content for message in asked.messages)


def _lines(model: str, is_chat: bool, tokens: int) -> list[dict[str, Any]]:
    def line(text: str, **more: Any) -> dict[str, Any]:
        what = {"message": {"role": "assistant", "content": text}} if is_chat else {"response": text}
        return {"model": model, "created_at": "2026-01-01T00:00:00Z", **what, "done": False, **more}

    counts = {"prompt_eval_count": tokens, "eval_count": 2, "load_duration": 1500 * NS, "total_duration": 2000 * NS}
    return [line("Pen"), line("guins"), line("", **{"done": True, "done_reason": "stop", **counts})]


def _joined(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the lines of a stream as the one answer of a call without."""
    joined = dict(lines[-1])
    if "message" in joined:
        joined["message"] = {"role": "assistant"}
        for line in lines:
            for key, value in line["message"].items():
                if key != "role":
                    joined["message"][key] = joined["message"].get(key, type(value)()) + value
    else:
        joined["response"] = "".join(line["response"] for line in lines)
    return joined
