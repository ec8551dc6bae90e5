"""The one HTTP client: a pooled aiohttp session that never follows redirects and tells foreign errors as ours.

aiohttp because it pools, streams, and closes the upstream connection at once when its task is cancelled.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import logging
import os
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import SimpleNamespace
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from aidp_ext.core.errors import (
    AidpError,
    PolicyRefused,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamInvalid,
    UpstreamTimeout,
    UpstreamUnreachable,
)

log = logging.getLogger("aidp")

# llama.cpp and uvicorn drop an idle connection after 5 s: leave before, or the next request meets a closed door.
_KEEPALIVE_S = 4.0


class Rehearsed(Exception):
    """Raised instead of sending, inside `rehearsal`: the request as it would have left."""

    def __init__(self, method: str, url: str, body: bytes | None) -> None:
        super().__init__(f"{method} {shown(url)}")
        self.url = url
        self.body = body


_rehearses: contextvars.ContextVar[bool] = contextvars.ContextVar("aidp_rehearses", default=False)


@contextlib.contextmanager
def rehearsal() -> Iterator[None]:
    """Let requests of this block raise `Rehearsed` and open no connection: to show what would leave, exactly."""
    before = _rehearses.set(True)
    try:
        yield
    finally:
        _rehearses.reset(before)


class HttpClient:
    """A pooled session. Make it anywhere; it opens on first use, inside a running loop, and ends with `close`.

    ``allows(url)`` is asked before each request; what it forbids raises PolicyRefused and opens no connection.
    """

    def __init__(self, *, connect_timeout_s: float = 5.0, allows: Callable[[str], bool] | None = None) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._allows = allows
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        server: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        read_timeout_s: float | None = 120.0,
        total_timeout_s: float | None = None,
        direct: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request and give the response, whose body is not read yet.

        ``server`` is the name for messages. ``direct`` keeps it from any proxy of the environment: what is local
        must not take a way over other machines. ``read_timeout_s`` bounds each silence, ``total_timeout_s`` everything.
        Redirects are not followed: a local server could send private text elsewhere by one.
        Raises UpstreamUnreachable, UpstreamTimeout, UpstreamInvalid or PolicyRefused.
        """
        if _rehearses.get():
            raise Rehearsed(method, url, body)
        if self._allows is not None and not self._allows(url):
            raise PolicyRefused(f"The mode does not allow a connection to {origin(url)}.")
        timeout = _timeout(self._connect_timeout_s, read_timeout_s, total_timeout_s)
        sent = {"Content-Type": "application/json", **(headers or {})} if body is not None else dict(headers or {})
        proxy = None if direct else proxy_for(url)
        with translated(server, url):
            response = await self._send(method, url, data=body, headers=sent, timeout=timeout, proxy=proxy)
        try:
            yield response
        finally:
            # Closing, not releasing: an answer that was not read to its end must stop being produced.
            if response.connection is not None:
                response.close()

    async def _send(
        self,
        method: str,
        url: str,
        *,
        data: bytes | None,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,
        proxy: str | None,
    ) -> aiohttp.ClientResponse:
        for attempt in (1, 2):
            connection = SimpleNamespace(reused=False)
            try:
                return await self._open_session().request(
                    method,
                    url,
                    data=data,
                    headers=headers,
                    timeout=timeout,
                    proxy=proxy,
                    allow_redirects=False,
                    trace_request_ctx=connection,
                )
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # A pooled connection that the server had closed meanwhile; nothing was answered on it. On a fresh one
                # the server has had the request, and asking again could cost twice.
                if attempt == 2 or not connection.reused:
                    raise
        raise AssertionError("unreachable")

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            traces = aiohttp.TraceConfig()
            traces.on_connection_reuseconn.append(_note_reuse)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,
                    keepalive_timeout=_KEEPALIVE_S,
                    resolver=aiohttp.ThreadedResolver(),  # the system's own: hosts file, mDNS, VPN
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[traces],
                headers={"User-Agent": "aidp"},
            )
        return self._session


@functools.cache
def _timeout(connect_s: float, read_s: float | None, total_s: float | None) -> aiohttp.ClientTimeout:
    # `connect` bounds the look-up of the name too
    return aiohttp.ClientTimeout(total=total_s, connect=connect_s, sock_connect=connect_s, sock_read=read_s)


async def _note_reuse(_: aiohttp.ClientSession, trace: SimpleNamespace, __: object) -> None:
    trace.trace_request_ctx.reused = True


class translated:
    """Raise aiohttp's errors as ours; ``answering`` where the server had already begun its answer.

    A class and no generator: it is entered several times a request, and works only when something failed.
    """

    def __init__(self, server: str, url: object, *, answering: bool = False) -> None:
        self._server = server
        self._url = url
        self._answering = answering

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, AidpError):
            ours = _ours(error, self._server, origin(str(self._url)), self._answering)
            if ours is not None:
                raise ours from error


def _ours(error: Exception, server: str, where: str, answering: bool) -> UpstreamError | None:
    """Return the error of our tree for one of aiohttp's, or None for any other."""
    match error:
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError() | aiohttp.ClientProxyConnectionError():
            return UpstreamUnreachable(f"{server} does not answer at {where}.", provider=server)
        case TimeoutError():  # aiohttp's other time-outs derive from it
            return UpstreamTimeout(f"{server} took the request and then stayed silent.", provider=server)
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return UpstreamUnreachable(f"{where} is not an address of a server.", provider=server)
        case aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError() | ConnectionError():
            if answering:
                return UpstreamIncomplete(f"{server} broke off in the middle of its answer.", provider=server)
            return UpstreamUnreachable(f"{server} closed the connection without an answer.", provider=server)
        case aiohttp.ClientError() | ValueError():
            return UpstreamInvalid(f"What answers at {where} does not speak HTTP as expected.", provider=server)
    return None


def shown(url: str) -> str:
    """Return a URL as it may be logged and shown: without user, password, query and fragment."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if ":" in host:
            host = f"[{host}]"
        netloc = f"{host}:{parts.port}" if parts.port else host
    except ValueError:
        return "(an address that cannot be read)"
    return urlunsplit((parts.scheme, netloc, parts.path, "", ""))


def origin(url: str) -> str:
    """Return scheme, host and port of a URL, as it may be shown: which server, not which of its calls."""
    try:
        return urlunsplit((*urlsplit(shown(url))[:2], "", "", ""))
    except ValueError:
        return shown(url)


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for this URL (HTTPS_PROXY, NO_PROXY …), or None.

    Looked up anew when such a variable changes, and each minute: on macOS the system's settings count too.
    """
    parts = urlsplit(url)
    said = tuple(map(os.environ.get, _PROXY_VARIABLES.get(parts.scheme, ())))
    return _proxy(parts.scheme, parts.hostname or "", said, time.monotonic() // 60)


#: What urllib heeds; reading them all from the environment, as it does, takes a tenth of a request's time.
_PROXY_VARIABLES = {
    scheme: tuple(case for name in (f"{scheme}_proxy", "no_proxy") for case in (name, name.upper()))
    for scheme in ("http", "https")
}


@functools.lru_cache(maxsize=256)
def _proxy(scheme: str, host: str, said: tuple[str | None, ...], minute: float) -> str | None:
    if urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(scheme)
