"""A model server that misbehaves on request: the model's name says how. It checks nothing and remembers everything.

Raw sockets, so that it can do what no proper server would: stop in the middle of a header, reset, send half an event.
Runs in a thread of its own, so that synchronous and asynchronous tests can share it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

KEY = "sk-test-0123456789abcdefSECRET"
CHUNK = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "stub"}
WORDS = ("Pen", "guins", " are", " birds", ".")
USAGE = {"prompt_tokens": 7, "completion_tokens": len(WORDS), "total_tokens": 7 + len(WORDS)}


@dataclass
class Request:
    """What the router sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> str:
        return str(self.body.get("model", ""))


Behaviour = Callable[["Reply"], Awaitable[None]]


class Reply:
    """The raw socket of one request."""

    def __init__(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event
    ) -> None:
        self.request = request
        self.gate = gate  # open when a test has read what came so far, see `Upstream.go_on`
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def whole(
        self, body: bytes, *, status: str = "200 OK", kind: str = "application/json", more: str = ""
    ) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}"
        await self.send(head.encode() + b"Connection: close\r\n\r\n" + body)

    async def json(self, value: Any, **options: str) -> None:
        await self.whole(json.dumps(value).encode(), **options)

    async def stream_head(self) -> None:
        await self.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def event(delta: str | None, *, finish: str | None = None, **more: Any) -> bytes:
    """Return one event of a chat."""
    choice = {"index": 0, "delta": {"content": delta} if delta is not None else {}, "finish_reason": finish}
    return b"data: " + json.dumps({**CHUNK, "choices": [choice], **more}).encode() + b"\n\n"


TICK = b'data: {"object": "text_completion", "choices": [{"index": 0, "text": "tick ", "finish_reason": null}]}\n\n'
ANSWER = b"".join(event(word) for word in WORDS) + event(None, finish="stop", usage=USAGE) + b"data: [DONE]\n\n"


async def drip(reply: Reply) -> None:
    """Never silent for long, never done."""
    await reply.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n")
    while True:
        await reply.send(b" ")
        await asyncio.sleep(0.1)


async def policy_refused(reply: Reply) -> None:
    """As another aidp refuses."""
    error = {"code": "policy_refused", "message": "Not here.", "type": "x", "details": {"next_step": "Ask Ben."}}
    await reply.json({"error": error}, status="403 Forbidden")


async def good(reply: Reply) -> None:
    if reply.request.body.get("stream"):
        await reply.stream_head()
        await reply.send(ANSWER)
        return
    message = {"role": "assistant", "content": "".join(WORDS)}
    choices = [{"index": 0, "message": message, "text": "".join(WORDS), "finish_reason": "stop"}]
    await reply.json(
        {"id": "c1", "object": "chat.completion", "created": 1, "model": "stub", "choices": choices, "usage": USAGE}
    )


async def split(reply: Reply) -> None:
    await reply.stream_head()
    for start in range(0, len(ANSWER), 7):
        await reply.send(ANSWER[start : start + 7])
        await asyncio.sleep(0)


async def crlf(reply: Reply) -> None:
    await reply.stream_head()
    await reply.send(ANSWER.replace(b"\n", b"\r\n"))


async def no_done(reply: Reply) -> None:
    await reply.stream_head()
    await reply.send(ANSWER.removesuffix(b"data: [DONE]\n\n"))


async def half_event(reply: Reply) -> None:
    await reply.stream_head()
    await reply.send(event("Pen") + event("guins")[:40])


async def cut(reply: Reply) -> None:
    await reply.stream_head()
    await reply.send(event("Pen"))


async def stall(reply: Reply) -> None:
    await reply.stream_head()
    await reply.send(event("Pen"))
    await reply.reader.read()


async def empty_stream(reply: Reply) -> None:
    await reply.stream_head()


async def reset_midway(reply: Reply) -> None:
    await reply.stream_head()
    await reply.send(event("Pen"))
    await asyncio.sleep(0.2)
    reply.reset()


async def error_event(reply: Reply) -> None:
    await reply.stream_head()
    await reply.send(event("Pen") + b'data: {"error": {"message": "out of memory", "code": 500}}\n\n')


async def html(reply: Reply) -> None:
    await reply.whole(b"<!doctype html><title>Sign in</title>", kind="text/html")


async def truncated_json(reply: Reply) -> None:
    await reply.send(
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"choices": [{"mess'
    )


async def reset(reply: Reply) -> None:
    reply.reset()


async def garbage(reply: Reply) -> None:
    await reply.send(b"\x00\x01\x02 this is not HTTP\r\n\r\n")


async def hang(reply: Reply) -> None:
    await reply.reader.read()


async def redirect(reply: Reply) -> None:
    await reply.json({}, status="302 Found", more="Location: http://192.0.2.1/elsewhere\r\n")


async def unauthorized(reply: Reply) -> None:
    await reply.json({"error": {"message": f"Incorrect API key provided: {KEY}"}}, status="401 Unauthorized")


async def overloaded(reply: Reply) -> None:
    await reply.json({"error": {"message": "slow down"}}, status="429 Too Many Requests", more="Retry-After: 7\r\n")


async def broken(reply: Reply) -> None:
    await reply.json({"error": {"message": "cuda died"}}, status="500 Internal Server Error")


async def bad_request(reply: Reply) -> None:
    await reply.json({"error": {"message": "unknown parameter: frobnicate"}}, status="400 Bad Request")


async def error_first(reply: Reply) -> None:
    """A refusal after a 200, as vLLM sends it."""
    await reply.stream_head()
    await reply.send(b'data: {"error": {"message": "no such adapter", "code": 404}}\n\ndata: [DONE]\n\n')


async def not_utf8(reply: Reply) -> None:
    if reply.request.body.get("stream"):
        await reply.stream_head()
        await reply.send(ANSWER.replace(b"Pen", b"P\xff\xfen"))
    else:
        await reply.whole(b'{"choices": [{"message": {"content": "P\xff\xfen"}, "text": ""}]}')


async def not_utf8_midway(reply: Reply) -> None:
    await reply.stream_head()
    await reply.send(event("Pen"))
    await reply.gate.wait()
    await reply.send(event("guins").replace(b"guins", b"g\xff\xfens"))


async def huge_event(reply: Reply) -> None:
    await reply.stream_head()
    await reply.send(event("x" * 10_000_000))


async def huge_midway(reply: Reply) -> None:
    await reply.stream_head()
    await reply.send(event("Pen"))
    await reply.gate.wait()
    await reply.send(event("x" * 10_000_000))


async def plain_text(reply: Reply) -> None:
    await reply.whole(b"Penguins are birds.", kind="text/plain")


async def slow_head(reply: Reply) -> None:
    """A header that never ends, one byte after the other."""
    await reply.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        await reply.send(b"x")
        await asyncio.sleep(0.02)


async def slow_body(reply: Reply) -> None:
    """An answer that never ends, one byte after the other; of a stream, a part of an event."""
    streams = reply.request.body.get("stream")
    kind = b"text/event-stream" if streams else b"application/json\r\nContent-Length: 99999"
    await reply.send(b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\n\r\ndata: ")
    while True:
        await reply.send(b"x")
        await asyncio.sleep(0.02)


async def absurd_usage(reply: Reply) -> None:
    """An answer that says it had used more tokens than there are."""
    usage = {"prompt_tokens": 10**30, "completion_tokens": -5, "total_tokens": 1}
    if reply.request.body.get("stream"):
        await reply.stream_head()
        await reply.send(event("Pen") + event(None, finish="stop", usage=usage) + b"data: [DONE]\n\n")
        return
    choices = [{"index": 0, "message": {"role": "assistant", "content": "Pen"}, "finish_reason": "stop"}]
    await reply.json({"id": "c1", "object": "chat.completion", "model": "stub", "choices": choices, "usage": usage})


async def prompt_usage(reply: Reply) -> None:
    """An answer that counts the prompt alone."""
    choices = [{"index": 0, "message": {"role": "assistant", "content": "Penguins are birds."}}]
    await reply.json({"id": "c1", "object": "chat.completion", "choices": choices, "usage": {"prompt_tokens": 7}})


#: What ``status-<number>`` answers; ``-soon`` and ``-later`` say when to come back.
STATUSES = (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 501, 502, 503, 504, 529)
_WAITS = {"": "", "-soon": "retry-after-ms: 1\r\n", "-later": "Retry-After: 7\r\n"}


def _refusing(status: int, wait: str) -> Behaviour:
    async def refuse(reply: Reply) -> None:
        said = {"error": {"message": f"because of {status}", "code": status}}
        await reply.json(said, status=f"{status} No", more=_WAITS[wait])

    return refuse


async def busy_once(reply: Reply) -> None:
    """Refuse the first request, answer the second."""
    upstream_busy = reply.request.headers.get("x-attempt-of-this-model") == "1"
    await (_refusing(429, "")(reply) if upstream_busy else good(reply))


GATEWAY_MODELS = [
    *({"id": name, "object": "model", "owned_by": "aidp"} for name in ("auto", "auto:local", "auto:cloud")),
    {"id": "local/coder", "aidp": {"locality": "local", "capabilities": ["chat", "complete", "fim", "levitate"]}},
    {"id": "openai/gpt", "aidp": {"capabilities": ["chat"]}},
]
BEHAVIOURS: dict[str, Behaviour] = {
    f.__name__.replace("_", "-"): f
    for f in (
        *(good, split, crlf, no_done, half_event, cut, empty_stream, reset_midway, error_event, html, truncated_json),
        *(reset, garbage, hang, redirect, unauthorized, overloaded, broken, bad_request, policy_refused, stall),
        *(error_first, not_utf8, not_utf8_midway, huge_event, huge_midway, plain_text, slow_head, slow_body),
        *(absurd_usage, prompt_usage, busy_once),
    )
} | {f"status-{status}{wait}": _refusing(status, wait) for status in STATUSES for wait in _WAITS}


class Upstream:
    """The server. ``/v1`` is OpenAI's dialect, ``/ollama`` an Ollama with three models, one of them forwarded."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.aborted: list[float] = []  # time.monotonic() at which a client left a "forever" answer
        self.down = False
        self.list_hangs = False
        self._gate = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self.ollama_models = ["qwen2.5-coder:1.5b", "llama3.2:3b", "gpt-oss:120b-cloud", "nomic-embed-text:latest"]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def clear(self) -> None:
        self.requests.clear()
        self.aborted.clear()
        self.down = False
        self.list_hangs = False
        self._loop.call_soon_threadsafe(self._gate.clear)

    def go_on(self) -> None:
        """Let the answers that wait in the middle go on: their beginning has been read."""
        self._loop.call_soon_threadsafe(self._gate.set)

    def stop(self) -> None:
        """Go down as a killed process does: reset what is open, answer nobody."""
        self.down = True

        def cut() -> None:
            for writer in self._writers:
                writer.transport.abort()

        self._loop.call_soon_threadsafe(cut)

    def start(self) -> None:
        """Come up again."""
        self.down = False

    @property
    def busy(self) -> int:
        """How many connections are open."""
        return len(self._writers)

    def posts(self) -> list[Request]:
        """The questions for an answer, without those about the server itself."""
        return [r for r in self.requests if r.method == "POST" and not r.path.endswith("/api/show")]

    def close(self) -> None:
        async def end() -> None:
            self._server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._connected, "127.0.0.1", 0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            request = await _read_request(reader)
            if request is None or self.down:
                return
            self.requests.append(request)
            same = sum(other.model == request.model for other in self.posts())
            request.headers["x-attempt-of-this-model"] = str(same)
            await self._answer(Reply(request, reader, writer, self._gate))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, reply: Reply) -> None:
        request = reply.request
        if request.path == "/v1/models" and self.list_hangs:
            await hang(reply)
        elif request.path == "/v1/models":
            names = [*BEHAVIOURS, "forever", "text-embedding-3-small", "whisper-1"]
            await reply.json({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})
        elif request.path == "/drip/v1/models":
            await drip(reply)
        elif request.path == "/forwarding/v1/models":
            names = ("gpt-oss:120b-cloud", "kimi-k2:cloud", "llama3.2:3b", "ollama/llama3.2:3b")
            await reply.json({"object": "list", "data": [{"id": name} for name in names]})
        elif request.path == "/aliased/v1/models":
            owners = {"mine": "library", "llama3.2:3b": "library", "ana/theirs": "ana"}
            await reply.json({"object": "list", "data": [{"id": n, "owned_by": o} for n, o in owners.items()]})
        elif request.path == "/aliased/api/tags":
            tags: list[dict[str, str]] = [{"model": "mine", "remote_host": "https://ollama.com:443"}]
            tags += [{"model": "llama3.2:3b"}, {"model": "ana/theirs", "remote_model": "gpt-oss:120b"}]
            await reply.json({"models": tags})
        elif request.path == "/library/v1/models":
            await reply.json({"object": "list", "data": [{"id": "mine", "owned_by": "library"}, {"id": "other"}]})
        elif request.path == "/library/api/tags":
            await reply.json({"error": "gone"}, status="500 Internal Server Error")
        elif request.path == "/slow/v1/models":
            await reply.json({"object": "list", "data": [{"id": "forever", "object": "model"}]})
        elif request.path == "/gw/aidp/ai/v1/models":
            await reply.json({"object": "list", "data": GATEWAY_MODELS})
        elif request.path in ("/ollama/api/generate", "/ollama/api/chat"):
            what = {"response": "".join(WORDS)} if request.path.endswith("generate") else {"message": {"content": "x"}}
            await reply.json({**what, "done": True, "done_reason": "stop", "prompt_eval_count": 7, "eval_count": 5})
        elif request.path.startswith("/ollama/api/"):
            await reply.json(self._ollama(request))
        elif request.model == "forever":
            await self._forever(reply)
        else:
            await BEHAVIOURS.get(request.model, good)(reply)

    async def _forever(self, reply: Reply) -> None:
        await reply.stream_head()
        left = asyncio.ensure_future(reply.reader.read())
        left.add_done_callback(lambda done: done.cancelled() or done.exception())  # a client may also be killed
        while not left.done():
            await reply.send(event("tick ") if "messages" in reply.request.body else TICK)
            await asyncio.wait([left], timeout=0.01 if "messages" in reply.request.body else 0.2)
        self.aborted.append(time.monotonic())

    def _ollama(self, request: Request) -> dict[str, Any]:
        if request.path.endswith("/tags"):
            return {"models": [_ollama_entry(name) for name in self.ollama_models]}
        if request.path.endswith("/ps"):
            return {"models": [{"model": "llama3.2:3b", "context_length": 4096}]}
        name = request.model
        if "coder" in name:
            return {"capabilities": ["completion", "insert"], "model_info": {"qwen2.context_length": 32768}}
        if "embed" in name:
            return {"capabilities": ["embedding"], "model_info": {}}
        return {"capabilities": ["completion", "tools"], "model_info": {"llama.context_length": 131072}}


def _ollama_entry(name: str) -> dict[str, Any]:
    entry = {
        "name": name,
        "model": name,
        "digest": name,
        "details": {"parameter_size": f"{name.rsplit(':')[-1].upper()}"},
    }
    return {**entry, "remote_host": "https://ollama.com:443"} if name.endswith("-cloud") else entry


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
    }
    raw = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, json.loads(raw) if raw else {})
