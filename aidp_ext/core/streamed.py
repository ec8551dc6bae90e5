"""Requests whose bodies are too large to be kept: they are read while they come."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

from tornado.http1connection import HTTP1Connection

from aidp_ext.core.web import Api

_MOST_BYTES = 1 << 40  # of a body that is not kept


class StreamedApi(Api):
    """An Api whose methods run while the request's body is still coming, however large it is.

    They read it by :meth:`chunks`; there is no ``body`` and no ``document``.
    """

    _stream_request_body = True  # Tornado's mark, which its decorator sets
    _answering: asyncio.Task[None] | None = None

    @classmethod
    def bound(cls, work: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """Return the work so that it begins with the request, and Tornado's own call of it waits for its end."""
        return _begun_early(work)

    @property
    def has_body(self) -> bool:
        """Return whether a body comes."""
        sent = self.request.headers
        return sent.get("Content-Length", "0") != "0" or "Transfer-Encoding" in sent

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; who is slow to take it slows its sender down."""
        while (chunk := await self._chunks.get()) is not None:
            yield chunk

    async def prepare(self) -> None:
        """Let the host say who calls, and start the method."""
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=4)
        said = super().prepare()
        if said is not None:
            await said
        if self._finished:
            return
        # Not before it is known who calls: nobody else's bytes are taken beyond the server's usual limit.
        cast(HTTP1Connection, self.request.connection).set_max_body_size(_MOST_BYTES)
        method = getattr(self, str(self.request.method).lower())
        if not getattr(method, "__aidp_begins_early__", False):  # a host's own, such as OPTIONS
            return
        self._answering = asyncio.create_task(self._begin(method))
        self._answering.add_done_callback(
            lambda task: task.cancelled() or task.exception()
        )  # nobody may be left to ask

    async def data_received(self, chunk: bytes) -> None:
        """Take a part of the body, unless nobody wants it any more."""
        await self._put(chunk)

    async def _put(self, chunk: bytes | None) -> None:
        if self._answering is None:
            return
        put = asyncio.ensure_future(self._chunks.put(chunk))
        await asyncio.wait({put, self._answering}, return_when=asyncio.FIRST_COMPLETED)
        put.cancel()

    def flush(self, include_footers: bool = False) -> asyncio.Future[None]:
        """Send what was written; where the request has not been read to its end, say that the connection ends.

        Tornado closes it then, and a proxy that is not told would send its next request on it.
        """
        if not self._headers_written and not getattr(self.request.connection, "_read_finished", True):
            self.set_header("Connection", "close")
        return super().flush(include_footers)

    async def _begin(self, method: Callable[..., Any]) -> None:
        begun = method(*self.path_args, **self.path_kwargs)
        if begun is not None:
            await begun

    async def _see_to_its_end(self, work: Callable[[], Awaitable[None]]) -> None:
        """Answer, in the task that :meth:`prepare` made; or, when Tornado has the whole body, wait for that."""
        if asyncio.current_task() is self._answering:
            await work()
        else:
            await self._put(None)
            await cast("asyncio.Task[None]", self._answering)


def _begun_early(work: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(work)
    async def run(self: StreamedApi, *args: Any, **kwargs: Any) -> None:
        await self._see_to_its_end(functools.partial(work, self, *args, **kwargs))

    run.__aidp_begins_early__ = True  # type: ignore[attr-defined]
    return run
