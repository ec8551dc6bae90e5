"""A model server that costs as little as possible, in a process of its own: ``python -m bench.upstream PORT``.

It speaks OpenAI's dialect. What it does is chosen by the name of the model:

- ``stub``: a JSON answer, or a stream of 67 events written one by one, back to back;
- ``paced``: the same with a pause after each event, as a real model makes: none can be read together with the next;
- ``endless``: a stream that goes on for ever, with an event every 10 ms;
- ``slow``: the same with an event every half second, for very many streams at once;
- ``silent``: a stream that says one word and then nothing more, for ever.

``GET /ended`` says when (``time.monotonic``, one clock for all processes) each endless or silent stream was aborted,
by the ``user`` of its request.

It also stands in for the hub: ``GET /hub/api/user`` says who holds HUB_TOKEN.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from aiohttp import web

from tests.support.processes import free_port, running, wait_for_http

PAUSES_S = {"endless": 0.010, "slow": 0.5, "silent": 3600.0}  # of the streams that go on for ever
MODELS = ("stub", "paced", *PAUSES_S)
TOKENS = 64
PACE_S = 0.002
HUB_TOKEN = "token-of-ana"
SERVICE = "access:services!service=aidp"
HUB_USER = {
    "name": "ana",
    "kind": "user",
    "admin": False,
    "groups": ["research"],
    "scopes": [SERVICE, "custom:aidp:read", "custom:aidp:write", "custom:aidp:execute"],
}
USAGE = {"prompt_tokens": 40, "completion_tokens": TOKENS, "total_tokens": 40 + TOKENS}


def _document() -> bytes:
    message = {"role": "assistant", "content": " word" * TOKENS}
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "stub",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": USAGE,
        }
    ).encode()


def _chunk(choices: list[dict[str, object]], **more: object) -> bytes:
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "stub", "choices": choices}
    return b"data: " + json.dumps({**chunk, **more}).encode() + b"\n\n"


DOCUMENT = _document()
EVENTS = [
    *(_chunk([{"index": 0, "delta": {"content": " word"}, "finish_reason": None}]) for _ in range(TOKENS)),
    _chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}]),
    _chunk([], usage=USAGE),
    b"data: [DONE]\n\n",
]
ended: dict[str, float] = {}


async def chat(request: web.Request) -> web.StreamResponse:
    """``POST /v1/chat/completions``."""
    asked = await request.json()
    if not asked.get("stream"):
        return web.Response(body=DOCUMENT, content_type="application/json")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    if asked["model"] in PAUSES_S:
        await _for_ever(response, asked["user"], PAUSES_S[asked["model"]])
    for event in EVENTS:
        await response.write(event)
        if asked["model"] == "paced":
            await asyncio.sleep(PACE_S)
    return response


async def _for_ever(response: web.StreamResponse, user: str, pause_s: float) -> None:
    try:
        await response.write(EVENTS[0])
        while True:
            await asyncio.sleep(pause_s)
            await response.write(EVENTS[0])
    finally:  # aiohttp cancels the handler at once when the connection is lost
        ended[user] = time.monotonic()


async def models(_: web.Request) -> web.Response:
    """``GET /v1/models``."""
    return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]})


async def hub_user(request: web.Request) -> web.Response:
    """``GET /hub/api/user``."""
    given = request.headers.get("Authorization", "").split(" ")[-1]
    return web.json_response(HUB_USER) if given == HUB_TOKEN else web.json_response({}, status=403)


async def when_ended(_: web.Request) -> web.Response:
    """``GET /ended``."""
    return web.json_response(ended)


@contextlib.contextmanager
def upstream(folder: Path) -> Iterator[tuple[str, int]]:
    """Run it while the block runs; give its address (no slash at the end) and its process id."""
    port = free_port()
    argv = [sys.executable, "-m", "bench.upstream", str(port)]
    with running(argv, log=folder / "upstream.log") as process:
        wait_for_http(f"http://127.0.0.1:{port}/v1/models", process)
        yield f"http://127.0.0.1:{port}", process.pid


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/ended", when_ended)
    app.router.add_get("/hub/api/user", hub_user)
    web.run_app(
        app, host="127.0.0.1", port=int(sys.argv[1]), handler_cancellation=True, access_log=None, shutdown_timeout=0.1
    )
