"""The doubles of all providers, in a thread of their own: they check what they are sent, remember it to the last byte,
and answer what they were asked.

To a chat they say what they were told; with tools they call the first one, and then say what it gave; where JSON is
wanted they give some. The checks are those of each provider's own double.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support import anthropic_api, gemini_api, openai_api
from tests.support.anthropic_api import Anthropic
from tests.support.gemini_api import GeminiApi
from tests.support.ollama_api import OllamaApi
from tests.support.openai_api import OpenAIApi
from tests.support.wire import streamed

NAMES = ("openai", "anthropic", "gemini", "ollama")
CITY = {"city": "Köln"}
BIRD = '{"bird": "penguin"}'
_START_S = 30


@dataclass(frozen=True)
class Received:
    """A request to a double, as it came over the wire."""

    path: str
    head: bytes
    body: bytes

    @property
    def raw(self) -> bytes:
        """All that came."""
        return self.path.encode() + b"\r\n" + self.head + b"\r\n" + self.body


@dataclass(frozen=True)
class Reply:
    """What a model answers: a text, or a call of a tool."""

    text: str = ""
    tool: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """What the tool is called with."""
        return CITY if self.tool == "weather" else dict(json.loads(BIRD))

    @classmethod
    def to(cls, said: str, tools: list[str], result: str | None, *, wants_json: bool) -> Reply:
        """Return the answer to what was said, with these tools, after this result of one."""
        if result is not None:
            return cls(f"The tool gave: {result}")
        if tools:
            return cls(tool=tools[0])
        return cls(BIRD if wants_json else f"You said: {said}")


def texts_in(value: Any) -> str:
    """Return the texts of a message's content, in any provider's form, one after another."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, map(texts_in, value)))
    if isinstance(value, dict):
        return texts_in(value.get("text") or value.get("content") or value.get("parts"))
    return ""


class _OpenAI(OpenAIApi):
    models = (*openai_api.MODELS, "gpt-6-astra")  # the one that the SDK's own tests ask

    async def _chat(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        for part in (p for m in body["messages"] if isinstance(m.get("content"), list) for p in m["content"]):
            if part["type"] == "image_url" and not part["image_url"]["url"].startswith(("https://", "data:image/")):
                return openai_api._error(400, "Invalid image URL", "messages")
        last = body["messages"][-1]
        tools = [tool["function"]["name"] for tool in body.get("tools") or []]
        if body.get("tool_choice") == "none":
            tools = []
        kind = (body.get("response_format") or {}).get("type")
        if kind == "json_object" and "json" not in json.dumps(body["messages"]).lower():
            return openai_api._error(400, "'messages' must contain the word 'json' in some form", "messages")
        result = texts_in(last["content"]) if last["role"] == "tool" else None
        reply = Reply.to(texts_in(last["content"]), tools, result, wants_json=kind in ("json_object", "json_schema"))
        call = None
        if reply.tool:
            written = {"name": reply.tool, "arguments": json.dumps(reply.arguments, ensure_ascii=False)}
            call = [{"id": "call_1", "type": "function", "function": written}]
        finish = "tool_calls" if call else "stop"
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            message = {"role": "assistant", "content": reply.text or None, "refusal": None}
            message |= {"tool_calls": call} if call else {}
            choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
            whole = {**head, "object": "chat.completion", "choices": [choice], "usage": openai_api._USAGE}
            return web.json_response(whole)

        def event(delta: Any, finish: str | None = None) -> dict[str, Any]:
            return {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

        said = [event({"role": "assistant", "content": ""})]
        if call:
            said.append(event({"tool_calls": [{"index": 0, **call[0]}]}))
        # short pieces: what was replaced in the request is torn apart in the answer
        said += [event({"content": reply.text[start : start + 3]}) for start in range(0, len(reply.text), 3)]
        head["object"] = "chat.completion.chunk"
        return await self._stream(request, body, head, [*said, event({}, finish)])

    async def _complete(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if body["model"] != "gpt-3.5-turbo-instruct" or not isinstance(body["prompt"], str):
            return await super()._complete(request, body)
        head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": body["model"]}
        suffix = body.get("suffix")
        text = f"between {body['prompt']} and {suffix}" if suffix else f"after {body['prompt']}"
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": "stop"}
        if not body.get("stream"):
            return web.json_response({**head, "choices": [choice], "usage": openai_api._USAGE})
        return await self._stream(request, body, head, [{"choices": [choice]}])


class _Anthropic(Anthropic):
    def contents(self, body: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
        last = body["messages"][-1]["content"]
        blocks = last if isinstance(last, list) else []
        results = [block for block in blocks if block["type"] == "tool_result"]
        tools = [tool["name"] for tool in body.get("tools") or []]
        if (body.get("tool_choice") or {}).get("type") == "none":
            tools = []
        wants_json = "format" in body.get("output_config", {}) or "JSON" in texts_in(body.get("system"))
        result = texts_in(results) if results else None
        reply = Reply.to(texts_in(last), tools, result, wants_json=wants_json)
        if reply.tool:
            return [{"type": "tool_use", "id": "toolu_1", "name": reply.tool, "input": reply.arguments}], "tool_use"
        return [{"type": "text", "text": reply.text}], "end_turn"


class _Gemini(GeminiApi):
    async def _called(self, request: web.Request, name: str, call: str, body: Any) -> web.StreamResponse:
        if "contents" in body:
            self.answers[:] = [self._answer(body, in_pieces=call == "streamGenerateContent")]
        return await super()._called(request, name, call, body)

    def _answer(self, body: dict[str, Any], *, in_pieces: bool) -> Any:
        last = body["contents"][-1]["parts"]
        results = [part["functionResponse"]["response"] for part in last if "functionResponse" in part]
        tools = [one["name"] for tool in body.get("tools") or [] for one in tool["functionDeclarations"]]
        if body.get("toolConfig", {}).get("functionCallingConfig", {}).get("mode") == "NONE":
            tools = []
        wants_json = body.get("generationConfig", {}).get("responseMimeType") == "application/json"
        result = json.dumps(results[0], ensure_ascii=False) if results else None
        reply = Reply.to(texts_in(last), tools, result, wants_json=wants_json)
        parts = [{"text": reply.text[start : start + 3]} for start in range(0, len(reply.text), 3)]
        if reply.tool:
            parts = [{"functionCall": {"name": reply.tool, "args": reply.arguments}, "thoughtSignature": "c2ln"}]  # type: ignore[dict-item]
        usage = {"promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 14}

        def response(parts: list[Any], finish: str | None) -> dict[str, Any]:
            candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
            candidate |= {"finishReason": finish} if finish else {}
            return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "x", "responseId": "r1"}

        if not in_pieces:
            return response(parts, "STOP")
        return [*(response([part], None) for part in parts[:-1]), response(parts[-1:], "STOP")]


class _Ollama(OllamaApi):
    async def _answer(self, request: web.Request, path: str, body: dict[str, Any]) -> web.StreamResponse:
        if path == "/api/chat":
            self.lines = self._lines(body, self._reply(body, wants_json=body.get("format") is not None))
        else:
            self.lines = None
        return await super()._answer(request, path, body)

    @staticmethod
    def _reply(body: dict[str, Any], *, wants_json: bool) -> Reply:
        last = body["messages"][-1]
        tools = [tool["function"]["name"] for tool in body.get("tools") or []]
        result = texts_in(last["content"]) if last["role"] == "tool" else None
        return Reply.to(texts_in(last["content"]), tools, result, wants_json=wants_json)

    @staticmethod
    def _lines(body: dict[str, Any], reply: Reply) -> list[dict[str, Any]]:
        head = {"model": body["model"], "created_at": "2026-01-01T00:00:00Z"}
        messages: list[dict[str, Any]] = [
            {"content": reply.text[start : start + 3]} for start in range(0, len(reply.text), 3)
        ]
        if reply.tool:
            messages = [
                {"content": "", "tool_calls": [{"function": {"name": reply.tool, "arguments": reply.arguments}}]}
            ]
        lines = [{**head, "message": {"role": "assistant", **message}, "done": False} for message in messages]
        end = {"done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 5}
        return [*lines, {**head, "message": {"role": "assistant", "content": ""}, **end}]

    async def _openai(self, request: web.Request, path: str, body: dict[str, Any]) -> web.StreamResponse:
        if path == "/v1/completions" and body.get("stream"):
            event = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": body["model"]}
            event["choices"] = [{"index": 0, "text": "Penguins", "finish_reason": "stop"}]
            return await streamed(
                request, "text/event-stream", [b"data: " + json.dumps(event).encode() + b"\n\ndata: [DONE]\n\n"]
            )
        if path != "/v1/chat/completions":
            return await super()._openai(request, path, body)
        reply = self._reply(body, wants_json=False)
        call = {"id": "call_1", "type": "function"}
        call |= {"function": {"name": reply.tool, "arguments": json.dumps(reply.arguments, ensure_ascii=False)}}  # type: ignore[dict-item]
        said = {"tool_calls": [{"index": 0, **call}]} if reply.tool else {"content": reply.text}
        finish = "tool_calls" if reply.tool else "stop"
        usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": "", **said}, "finish_reason": finish}
            return web.json_response({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
        head["object"] = "chat.completion.chunk"
        choice = {"index": 0, "delta": {"role": "assistant", **said}, "finish_reason": finish}
        events: list[Any] = [{**head, "choices": [choice]}]
        if (body.get("stream_options") or {}).get("include_usage"):
            events.append({**head, "choices": [], "usage": usage})
        pieces = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events] + [b"data: [DONE]\n\n"]
        return await streamed(request, "text/event-stream", pieces)


@dataclass
class Doubles:
    """The running doubles: the address of each, and what each was sent."""

    urls: dict[str, str] = field(default_factory=dict)
    received: dict[str, list[Received]] = field(default_factory=lambda: {name: [] for name in NAMES})
    ollama: OllamaApi = field(default_factory=_Ollama)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point a server at all of them, with the keys that they take."""
        return {
            "OPENAI_BASE_URL": f"{self.urls['openai']}/v1",
            "OPENAI_API_KEY": openai_api.KEY,
            "ANTHROPIC_BASE_URL": self.urls["anthropic"],
            "ANTHROPIC_API_KEY": anthropic_api.KEY,
            "GEMINI_BASE_URL": self.urls["gemini"],
            "GEMINI_API_KEY": gemini_api.KEY,
            "OLLAMA_HOST": self.urls["ollama"],
        }

    @property
    def cloud(self) -> list[Received]:
        """All that came to the hosted ones."""
        return [one for name in ("openai", "anthropic", "gemini") for one in self.received[name]]

    def were_sent(self, name: str, text: str) -> bool:
        """Return whether a provider was sent this text."""
        return any(text.encode() in one.body for one in self.received[name])

    def forget(self) -> None:
        """Forget what came."""
        for came in self.received.values():
            came.clear()

    def recorded(self, name: str, handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.Application:
        """Return an application that writes down what comes, and hands it on."""

        async def record(request: web.Request) -> web.StreamResponse:
            head = b"\r\n".join(key + b": " + value for key, value in request.raw_headers)
            self.received[name].append(Received(request.raw_path, head, await request.read()))
            return await handle(request)

        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", record)
        return app


async def _serve(doubles: Doubles, started: Callable[[], None], stop: asyncio.Event) -> None:
    handlers = {
        "openai": _OpenAI().handle,
        "anthropic": _Anthropic().handle,
        "gemini": _Gemini().handle,
        "ollama": doubles.ollama.handle,
    }
    runners = []
    try:
        for name, handle in handlers.items():
            runner = web.AppRunner(doubles.recorded(name, handle), access_log=None, shutdown_timeout=0.1)
            runners.append(runner)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            doubles.urls[name] = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started()
        await stop.wait()
    finally:
        for runner in runners:
            await runner.cleanup()


@contextmanager
def all_doubles() -> Iterator[Doubles]:
    """Run the doubles while the block runs."""
    doubles, is_up = Doubles(), threading.Event()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(_serve(doubles, is_up.set, stop))

    thread = threading.Thread(target=run, name="doubles", daemon=True)
    thread.start()
    try:
        assert is_up.wait(_START_S), "the doubles did not start"
        yield doubles
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
