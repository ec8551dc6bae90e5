"""The least that a proxy in Tornado can do, for orientation: ``python -m bench.bare PORT UPSTREAM``.

It checks a token and passes bytes on, in and out. It knows no models, no policy, no money and no record.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from tornado import web
from tornado.http1connection import HTTP1Connection

from tests.support.processes import free_port, running, wait_for_http

TOKEN = "token"


class Chat(web.RequestHandler):
    """``POST /v1/chat/completions``."""

    def initialize(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def post(self) -> None:
        if self.request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise web.HTTPError(401)
        headers = {"Content-Type": "application/json"}
        async with self.session.post(self.url, data=self.request.body, headers=headers) as answer:
            self.set_header("Content-Type", answer.content_type)
            if answer.content_type != "text/event-stream":
                self.finish(await answer.read())
                return
            connection = self.request.connection
            assert isinstance(connection, HTTP1Connection)
            connection.stream.set_nodelay(True)
            async for chunk in answer.content.iter_any():
                self.write(chunk)
                await self.flush()

    def compute_etag(self) -> None:
        """No hash of each answer."""


async def serve(port: int, upstream: str) -> None:
    """Serve for ever."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        more = {"url": f"{upstream}/v1/chat/completions", "session": session}
        app = web.Application([("/v1/chat/completions", Chat, more)], log_function=lambda _: None)
        app.listen(port, "127.0.0.1")
        await asyncio.Event().wait()


@contextlib.contextmanager
def bare_proxy(folder: Path, upstream: str) -> Iterator[tuple[str, int]]:
    """Run it while the block runs; give its OpenAI base URL and its process id."""
    port = free_port()
    argv = [sys.executable, "-m", "bench.bare", str(port), upstream]
    with running(argv, log=folder / "bare.log") as process:
        wait_for_http(f"http://127.0.0.1:{port}/", process)
        yield f"http://127.0.0.1:{port}/v1", process.pid


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
