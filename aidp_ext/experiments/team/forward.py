"""A user's server asks the team's for experiments: requests and websockets go on to the hub's service, with its token.

The token is the server's own. What runs in the user's browser or kernels never sees it, and the service answers as it
would to the user: it alone decides who sees what.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import aiohttp
from yarl import URL

from aidp_ext.core.errors import AidpError, Forbidden, Unavailable, UpstreamError
from aidp_ext.core.http import translated
from aidp_ext.experiments.server.wire import Wire

_SERVER = "the hub's service"
_CONNECT_S = 10.0
_HEARTBEAT_S = 30.0
_MOST_BYTES = 16_000_000  # of a message
_REQUEST = {"accept", "accept-encoding", "content-type", "content-length", "range", "if-none-match", "if-range"}
#: The service's own headers that a page may have; it says who may frame it, and what may run in it.
_ANSWER = {
    *("content-type", "content-length", "content-encoding", "content-disposition", "content-range", "accept-ranges"),
    *("content-security-policy", "x-content-type-options", "cache-control", "retry-after", "etag", "last-modified"),
}
_NEXT_STEP = "Try again in a moment; where it lasts, tell the hub's admin. Notebooks and kernels go on running."


class ServiceLink:
    """The hub's service, as one server of a user's reaches it. Nothing is contacted before it is asked."""

    def __init__(self, service_url: str, token: str) -> None:
        """``service_url`` ends where the service's own paths begin, as ``AIDP_SERVICE_URL`` does."""
        self._base = f"{service_url.rstrip('/')}/aidp"
        self._headers = {"Authorization": f"token {token}"}
        self._wire = Wire(self._base, server=_SERVER, headers=self._headers)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        await self._wire.close()
        if self._session is not None:
            await self._session.close()
            self._session = None

    @contextlib.asynccontextmanager
    async def passing(
        self, method: str, target: str, headers: Mapping[str, str], data: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request on and give the answer; ``target`` is its path below ``aidp`` and its query, still encoded.

        Raises Unavailable where the service does not answer, and Forbidden where it does not know this server.
        """
        sent = {name: value for name, value in headers.items() if name.lower() in _REQUEST}
        async with contextlib.AsyncExitStack() as stack:
            try:
                response = await stack.enter_async_context(
                    self._wire.send(method, target, headers=sent, data=data, raw=True)
                )
            except UpstreamError as error:
                raise _away() from error
            if refusal := refusal_of(response.status, response.headers.get("Content-Type", "")):
                raise refusal
            yield response

    async def talk(
        self, target: str, incoming: asyncio.Queue[str | bytes | None], send: Callable[[str | bytes], Awaitable[None]]
    ) -> int:
        """Pass messages both ways until one side ends; None in ``incoming`` ends it. Return the service's close code.

        Raises Unavailable or Forbidden where no connection comes about.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        try:
            with translated(_SERVER, self._base):
                socket = await self._session.ws_connect(
                    URL(self._base + target, encoded=True),
                    headers=self._headers,
                    heartbeat=_HEARTBEAT_S,
                    max_msg_size=_MOST_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CONNECT_S),
                )
        except aiohttp.WSServerHandshakeError as error:
            raise refusal_of(error.status, "") or _away() from error
        except UpstreamError as error:
            cause = error.__cause__
            status = cause.status if isinstance(cause, aiohttp.WSServerHandshakeError) else 502
            raise refusal_of(status, "") or _away() from error
        async with socket:
            await _both_ways(socket, incoming, send)
            return socket.close_code or 1000


async def _both_ways(
    socket: aiohttp.ClientWebSocketResponse,
    incoming: asyncio.Queue[str | bytes | None],
    send: Callable[[str | bytes], Awaitable[None]],
) -> None:
    async def out() -> None:
        while (message := await incoming.get()) is not None:
            await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))

    async def back() -> None:
        async for message in socket:
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                await send(message.data)

    tasks = {asyncio.ensure_future(out()), asyncio.ensure_future(back())}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def headers_of(response: aiohttp.ClientResponse) -> list[tuple[str, str]]:
    """Return the headers of an answer that the caller gets."""
    return [(name, value) for name, value in response.headers.items() if name.lower() in _ANSWER]


def refusal_of(status: int, kind: str) -> AidpError | None:
    """Return what an answer means that is not the service's own to our caller, None for any other.

    The hub's proxy answers with a page of its own where the service is away; the service answers with JSON.
    """
    if status == 401 or (300 <= status < 400):
        return Forbidden(
            "The team's tracking server does not know this server any more.",
            next_step="Stop your server in the hub and start it again.",
        )
    if status in (502, 503, 504) and not kind.startswith("application/json"):
        return _away()
    if status == 403 and not kind:
        return Forbidden("Your account may not see this.", next_step="Ask the hub's admin.")
    return None


def _away() -> Unavailable:
    return Unavailable("The team's tracking server does not answer.", next_step=_NEXT_STEP)
