"""A tracking server that does what a test needs of it, and remembers what it was sent."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Got:
    """A request that came."""

    method: str
    target: str  # as it was written
    headers: dict[str, str]
    body: bytes | int  # its length, where it was not kept


@dataclass
class FakeMlflow:
    """Answers by `answer`; all it got is in `got`."""

    answer: Answer
    url: str = ""
    got: list[Got] = field(default_factory=list)
    ended_early: int = 0  # answers that nobody read to their end
    sent: int = 0  # bytes of them

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Remember a request, and answer it."""
        large = int(request.headers.get("Content-Length", "0")) > 1_000_000
        body: bytes | int = 0
        if large or "Transfer-Encoding" in request.headers:
            body = sum([len(chunk) async for chunk in request.content.iter_any()])
        else:
            body = await request.read()
        self.got.append(Got(request.method, request.raw_path, dict(request.headers), body))
        try:
            return await self.answer(request)
        except (asyncio.CancelledError, ConnectionError):
            self.ended_early += 1
            raise

    async def stream(self, request: web.Request, total: int, length: bool = True) -> web.StreamResponse:
        """Answer with so many bytes."""
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        if length:
            response.content_length = total
        await response.prepare(request)
        chunk = bytes(1 << 18)
        self.sent = 0
        while self.sent < total:
            await response.write(chunk[: total - self.sent])
            self.sent += len(chunk)
        return response


async def hello(request: web.Request) -> web.StreamResponse:
    """Answer as MLflow does to a call that it likes."""
    return web.json_response({"said": "hello"})


@contextlib.contextmanager
def fake_mlflow(prefix: str = "") -> Iterator[FakeMlflow]:
    """Run one while the block runs, in a thread."""
    fake = FakeMlflow(hello)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)

    async def serve() -> web.AppRunner:
        app = web.Application(client_max_size=1 << 40)
        app.router.add_route("*", "/{path:.*}", fake.handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, auto_decompress=False)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}{prefix}"
        return runner

    thread.start()
    runner = asyncio.run_coroutine_threadsafe(serve(), loop).result(30)
    try:
        yield fake
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
