"""HTTP to a tracking server, by a socket of this machine or over the network; foreign errors are told as ours."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any

import aiohttp
from yarl import URL

from aidp_ext.core.http import translated

_CONNECT_S = 5.0
_SILENCE_S = 120.0
# Less than the 5 s after which uvicorn leaves an idle connection.
_KEEPALIVE_S = 4.0


class Wire:
    """A session with one server. Make it anywhere; it opens on first use, inside a running loop."""

    def __init__(
        self,
        base: str,
        *,
        server: str,
        socket: str | None = None,
        headers: Mapping[str, str] | None = None,
        ssl: Any = True,
        proxy: str | None = None,
    ) -> None:
        """``base`` is the address before MLflow's own paths; ``server`` the name in messages."""
        self.base = base.rstrip("/")
        self.server = server
        self._socket = socket
        self._headers = dict(headers or {})
        self._ssl = ssl
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @contextlib.asynccontextmanager
    async def send(
        self,
        method: str,
        target: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        raw: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request and give the response; ``raw``: the target is encoded already, the answer left as it is.

        Raises UpstreamUnreachable, UpstreamTimeout and UpstreamInvalid.
        """
        url = URL(self.base + target, encoded=raw)
        options = {
            "params": params,
            "json": json,
            "data": data,
            "headers": {**(headers or {}), **self._headers},
            "timeout": aiohttp.ClientTimeout(
                total=timeout_s, connect=_CONNECT_S, sock_connect=_CONNECT_S, sock_read=_SILENCE_S
            ),
            "proxy": self._proxy,
            "auto_decompress": not raw,
            "skip_auto_headers": ("Content-Type", "Accept-Encoding") if raw else (),
        }
        with translated(self.server, self.base):
            response = await self._send(method, url, options)
        try:
            yield response
        finally:
            # Closing, not releasing: an answer that was not read to its end must stop being produced.
            if response.connection is not None:
                response.close()

    async def _send(self, method: str, url: URL, options: dict[str, Any]) -> aiohttp.ClientResponse:
        for attempt in (1, 2):
            connection = SimpleNamespace(reused=False)
            try:
                return await self._open().request(
                    method, url, allow_redirects=False, trace_request_ctx=connection, **options
                )
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # A pooled connection that the server had closed meanwhile; a body that streams is spent by now.
                can_repeat = options["data"] is None or isinstance(options["data"], bytes)
                if attempt == 2 or not connection.reused or not can_repeat:
                    raise
        raise AssertionError("unreachable")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            connector: aiohttp.BaseConnector
            if self._socket is not None:
                # Nothing is kept: a new connection costs nothing here, and none is ever met closed.
                connector = aiohttp.UnixConnector(self._socket, limit=0, force_close=True)
            else:
                connector = aiohttp.TCPConnector(
                    limit=0, keepalive_timeout=_KEEPALIVE_S, resolver=aiohttp.ThreadedResolver(), ssl=self._ssl
                )
            traces = aiohttp.TraceConfig()
            traces.on_connection_reuseconn.append(_note_reuse)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[traces],
                headers={"User-Agent": "aidp"},
            )
        return self._session


async def _note_reuse(_: aiohttp.ClientSession, trace: SimpleNamespace, __: object) -> None:
    trace.trace_request_ctx.reused = True
