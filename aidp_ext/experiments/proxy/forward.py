"""A request on its way to the tracking server and back. Knows HTTP, and no web framework."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from aidp_ext.core.errors import AidpError, InvalidRequest, UpstreamIncomplete, UpstreamInvalid, UpstreamRejected
from aidp_ext.core.http import origin, translated
from aidp_ext.experiments.models import Written
from aidp_ext.experiments.proxy.gate import Asked, Gate, Passage
from aidp_ext.experiments.upstream import Upstream

Observe = Callable[[Written], Awaitable[None]]

#: All that goes on of a request. Not who asks: cookies, tokens and what other proxies say of it.
_REQUEST = {
    *("accept", "accept-language", "accept-encoding", "content-type", "content-encoding", "user-agent", "range"),
    *("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"),
}
_DROPPED = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"),
    *("upgrade", "server", "date", "set-cookie", "www-authenticate", "content-security-policy", "location"),
    *("access-control-allow-origin", "access-control-allow-credentials", "strict-transport-security"),
}
_CHUNK = 1 << 18
_LOOKED_AT = 1_000_000  # bytes of a body or an answer that observers see
_READ_WHOLE = 64_000_000  # bytes of an answer that the gate changes
#: MLflow's own pages. All else is data, and must not run as a page of this server's.
_PAGES = ("static-files/",)
_OF_ITSELF = "frame-ancestors 'self'"
_DATA = f"sandbox; default-src 'none'; {_OF_ITSELF}"
_READS = ("search", "get", "list", "query", "batch-get", "find", "calculate", "graphql")


@dataclass
class Answer:
    """What the tracking server answered; ``chunks`` are read once, inside the block that gave it."""

    status: int
    headers: list[tuple[str, str]]
    chunks: AsyncIterator[bytes]
    is_page: bool = False


@dataclass
class Copy:
    """The first bytes of what passes, for those who look at it."""

    wanted: bool
    data: bytearray = field(default_factory=bytearray)

    def add(self, chunk: bytes) -> None:
        """Keep it, unless there is too much of it."""
        if self.wanted:
            self.data += chunk
            if len(self.data) > _LOOKED_AT:
                self.wanted = False
                self.data.clear()

    def object(self) -> dict[str, Any] | None:
        """Return the JSON object that it is, or None."""
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = msgspec.json.decode(bytes(self.data)) if self.wanted and self.data else None
            return found if isinstance(found, dict) else None
        return None


class Proxy:
    """Passes requests to a tracking server, through a gate, and tells what was written."""

    def __init__(self, upstream: Upstream, gate: Gate, observe: Observe | None = None) -> None:
        self.upstream = upstream
        self.gate = gate
        self._observe = observe

    @contextlib.asynccontextmanager
    async def passing(
        self, asked: Asked, body: AsyncIterator[bytes] | bytes | None, *, prefix: str
    ) -> AsyncIterator[Answer]:
        """Send a request on and give the answer. ``body`` is whole where the gate reads it, else a stream or None.

        Raises what the gate raises, Unavailable, UpstreamError and its kinds. Nothing was sent where the gate did.
        """
        whole = body if isinstance(body, bytes) else b""
        passage = await self.gate.check(asked, whole)
        sent, seen = Copy(self._is_write(asked)), Copy(self._is_write(asked))
        headers = request_headers(asked, passage)
        data: Any = passage.body
        if data is None and body is not None:
            data = _watched(_streamed(body), sent)
        elif data is not None:
            sent.add(data)
        target = f"{passage.path}?{passage.query}" if passage.query else passage.path
        async with self.upstream.forward(asked.method, target, headers=headers, data=data) as response:
            yield await self._answer(response, passage, asked, prefix, seen)
            status = response.status
        if self._observe is not None and self._is_write(asked) and status < 300:
            written = Written(asked.method, asked.path, sent.object(), seen.object(), status, asked.caller.who)
            await self._observe(written)

    def _is_write(self, asked: Asked) -> bool:
        return self._observe is not None and asked.method != "GET" and is_write(asked.path)

    async def _answer(
        self, response: aiohttp.ClientResponse, passage: Passage, asked: Asked, prefix: str, seen: Copy
    ) -> Answer:
        status = response.status
        state = self.upstream.state()
        # In the place of a team's server that runs elsewhere the hub may answer: 304 and 308 are MLflow's own.
        if (state.kind, state.state) == ("team", "remote") and status not in (304, 308):
            from aidp_ext.experiments.team.forward import refusal_of

            if (refusal := refusal_of(status, response.headers.get("Content-Type", ""))) is not None:
                raise refusal
        if status == 401:
            raise _refused_us(response)
        headers = response_headers(response.headers, asked.path, _location(response, passage, prefix))
        chunks = _watched(_chunks(response), seen)
        if passage.answer is not None:
            whole = await _whole(chunks)
            status, changed = await passage.answer(status, whole)
            headers = [(n, v) for n, v in headers if n.lower() not in ("content-length", "content-encoding", "etag")]
            headers.append(("Content-Length", str(len(changed))))
            chunks = _streamed(changed)
        is_page = asked.path == "/" and response.headers.get("Content-Type", "").startswith("text/html")
        return Answer(status, headers, chunks, is_page)


def is_write(path: str) -> bool:
    """Return whether a call that is no GET changes something; MLflow searches by POST too."""
    last = path.rstrip("/").rpartition("/")[2]
    return not last.startswith(_READS) and not last.endswith("search")


def request_headers(asked: Asked, passage: Passage) -> dict[str, str]:
    """Return the headers that go on. Raises InvalidRequest for a body that the gate could not read."""
    headers = {name: value for name, value in asked.headers.items() if name.lower() in _REQUEST}
    known = {name.lower(): name for name in headers}
    if "accept-encoding" not in known or passage.answer is not None or asked.path == "/":
        headers[known.get("accept-encoding", "Accept-Encoding")] = "identity"
    if passage.body is not None:
        if "content-encoding" in known:
            raise InvalidRequest("A compressed body is not taken here.", field="Content-Encoding")
        headers[known.get("content-type", "Content-Type")] = "application/json"
    elif length := next((v for n, v in asked.headers.items() if n.lower() == "content-length"), None):
        headers["Content-Length"] = length
    return {**headers, **passage.headers}


def response_headers(given: Mapping[str, str], path: str, location: str | None) -> list[tuple[str, str]]:
    """Return the headers of an answer as the caller gets them."""
    pairs: Iterable[tuple[str, str]] = given.items()
    kept = [(name, value) for name, value in pairs if name.lower() not in _DROPPED]
    if location is not None:
        kept.append(("Location", location))
    is_ours = path == "/" or path.lstrip("/").startswith(_PAGES)
    kept.append(("Content-Security-Policy", _OF_ITSELF if is_ours else _DATA))
    return kept


def _location(response: aiohttp.ClientResponse, passage: Passage, prefix: str) -> str | None:
    """Return where a redirect leads, seen from outside. Raises UpstreamInvalid where it leads to another server."""
    given = response.headers.get("Location")
    if given is None or not 300 <= response.status < 400:
        return None
    base = response.url.raw_path.removesuffix(passage.path)
    target = urlsplit(given)
    if target.netloc and origin(given) != origin(str(response.url)):
        step = "Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, for this server."
        raise UpstreamInvalid(f"The tracking server sends callers on to {origin(given)}.", next_step=step)
    path = target.path.removeprefix(base)
    return f"{prefix}{path}{'?' + target.query if target.query else ''}"


def _refused_us(response: aiohttp.ClientResponse) -> AidpError:
    step = "Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, for this server."
    where = origin(str(response.url))
    return UpstreamRejected(
        f"The tracking server at {where} does not know this server.", status=response.status, next_step=step
    )


async def _streamed(body: AsyncIterator[bytes] | bytes) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    async for chunk in body:
        yield chunk


async def _watched(chunks: AsyncIterator[bytes], copy: Copy) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        copy.add(chunk)
        yield chunk


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    with translated("The tracking server", response.url, answering=True):
        async for chunk in response.content.iter_chunked(_CHUNK):
            yield chunk


async def _whole(chunks: AsyncIterator[bytes]) -> bytes:
    data = bytearray()
    async for chunk in chunks:
        data += chunk
        if len(data) > _READ_WHOLE:
            raise UpstreamIncomplete("The tracking server's answer is too long.")
    return bytes(data)


#: Put at the head of MLflow's page: what it asks of this server carries the token against forgery, as Lab's calls do.
_SCRIPT = """<script>(function(){var token=%s;
function own(u){try{return new URL(u,location.href).origin===location.origin}catch(e){return false}}
var ask=window.fetch;window.fetch=function(what,how){var r=new Request(what,how);
if(own(r.url))r.headers.set("X-XSRFToken",token);return ask.call(window,r)};
var x=XMLHttpRequest.prototype,open=x.open,send=x.send;
x.open=function(m,u){this.aidpOwn=own(u);return open.apply(this,arguments)};
x.send=function(){if(this.aidpOwn)this.setRequestHeader("X-XSRFToken",token);return send.apply(this,arguments)};
})()</script>"""


def with_token(page: bytes, token: str) -> bytes:
    """Return MLflow's page so that its calls carry this token."""
    script = (_SCRIPT % json.dumps(token).replace("<", "\\u003c")).encode()
    head = page.find(b"<head>")
    return page[: head + 6] + script + page[head + 6 :] if head >= 0 else script + page
