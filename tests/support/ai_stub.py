"""A stand-in for a server with aidp, at the wire: it checks the token and remembers what it is sent."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "kernel-token"
ABOUT = {
    "X-AIDP-Route": "anthropic/claude-sonnet",
    "X-AIDP-Locality": "cloud",
    "X-AIDP-Reason": "cloud_first",
    "X-AIDP-Notes": "seed, top_k",
    "X-AIDP-Redactions": "2",
    "X-AIDP-Call": "c-7",
}
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
WORDS = ("Pen", "guins", " are", " birds", ".")


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Stub:
    """The stand-in. ``answers`` holds what to do for a path below the AI routes."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    left: threading.Event = field(default_factory=threading.Event)  # a client went away from an endless answer


def whole(
    body: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer with one body: JSON, or bytes as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {**ABOUT, "Content-Length": str(len(data)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def chat(text: str, **more: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer a chat at once."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return whole({"choices": [choice], "usage": USAGE}, headers=more)


def event(value: Any) -> bytes:
    """Return one event."""
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def piece(text: str, finish: str | None = None) -> bytes:
    """Return the event for a piece of an answer."""
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


def stream(*events: bytes, **more: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer with these events, in chunks as the real server does, and close."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        _begin(handler, more)
        for one in events:
            _chunk(handler, one)
        _chunk(handler, b"")

    return answer


def birds(*, finish: str = "stop", **more: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer with a sentence, word by word, with usage at the end."""
    end = event({"choices": [], "usage": USAGE}) + event(b"[DONE]")
    return stream(b": a comment\n\n", *map(piece, WORDS), piece("", finish), end, **more)


def endless(stub: Stub) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer with words until the client goes away."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        _begin(handler, {})
        try:
            while True:
                _chunk(handler, piece("tick "))
        except OSError:
            stub.left.set()

    return answer


def _begin(handler: BaseHTTPRequestHandler, more: dict[str, str]) -> None:
    handler.send_response(200)
    for name, value in {**ABOUT, "Content-Type": "text/event-stream", "Transfer-Encoding": "chunked", **more}.items():
        handler.send_header(name, value)
    handler.end_headers()


def _chunk(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


@contextlib.contextmanager
def ai_stub() -> Iterator[Stub]:
    """Run one while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            stub.asked.append(Asked(self.command, self.path, headers, json.loads(raw) if raw else None))
            self.close_connection = True
            if headers.get("authorization") != f"Bearer {TOKEN}":
                error = {"code": "unauthenticated", "message": "A valid token is needed.", "details": {}}
                whole({"error": error}, 401)(self)
                return
            stub.answers.get(self.path.removeprefix("/x/aidp/ai/"), whole({"error": {}}, 404))(self)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub = Stub(f"http://127.0.0.1:{server.server_address[1]}/x/aidp/ai")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
