"""The way a request takes: route classes written once, bound to a Jupyter server or to the hub service.

A slice's ``routes.py`` derives from :class:`Api` and marks its methods with :func:`endpoint`. A host calls
:func:`bind` with its own base classes and its guard. Here, and only here, an :class:`~aidp_ext.core.errors.AidpError`
becomes an HTTP status; the body is the same for every error of every endpoint::

    {"error": {"code": "...", "message": "...", "type": "...", "details": {...}}}
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, cast

import msgspec
from tornado import web
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketHandler

from aidp_ext.core import errors

log = logging.getLogger("aidp")

Action = Literal["read", "write", "execute"]
Guard = Callable[[Callable[..., Any], Action, bool], Callable[..., Any]]
Route = tuple[str, "type[Api] | type[WsApi]"]
T = TypeVar("T")


class EventSource(Protocol):
    """What can be streamed: an async generator of bytes, or what looks like one."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None:
        """End it."""


METHODS = ("get", "post", "put", "patch", "delete")

# The nearest class in an error's family tree decides.
_STATUS: dict[type[errors.AidpError], int] = {
    errors.AidpError: 500,
    errors.InvalidRequest: 400,
    errors.Unauthenticated: 401,
    errors.BudgetExhausted: 402,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
    errors.StorageError: 507,
    errors.ProcessError: 500,
    errors.UpstreamError: 502,
    errors.UpstreamTimeout: 504,
}
_CODES = {
    400: "invalid_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    500: "internal",
}
# The names that the OpenAI and Anthropic clients know.
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
}


def status_of(error: errors.AidpError) -> int:
    """Return the HTTP status for an error. A rejection by an upstream keeps the upstream's own 4xx where it fits."""
    if isinstance(error, errors.UpstreamRejected):
        is_another_aidps = error.code != errors.UpstreamRejected.code  # it has weighed the status as we do
        if is_another_aidps or error.status in (400, 404, 413, 422, 429):
            return error.status
    return next(_STATUS[cls] for cls in type(error).__mro__ if cls in _STATUS)


def error_body(error: errors.AidpError) -> dict[str, Any]:
    """Return the one error body for an error."""
    return _body(error.code, error.message, status_of(error), error.details)


def _body(code: str, message: str, status: int, details: Mapping[str, Any]) -> dict[str, Any]:
    kind = _TYPES.get(status, "api_error")
    return {"error": {"code": code, "message": message, "type": kind, "details": dict(details)}}


def error_event(error: errors.AidpError) -> bytes:
    """Return an error as a server-sent event, for a stream whose status has already gone out."""
    return b"data: " + msgspec.json.encode(error_body(error)) + b"\n\n"


@dataclass(frozen=True)
class Operation:
    """What :func:`endpoint` says of a method. Types are such as msgspec knows; core/openapi.py describes them."""

    action: Action
    takes: Any = None  # the JSON body
    example: Any = None  # of the JSON body
    query: type[msgspec.Struct] | None = None
    request_headers: type[msgspec.Struct] | None = None
    gives: Any = None  # the JSON answer; `str` for plain text
    media: str = "text/plain"  # of a text that is not plain
    streams: Any = None  # the data of an event, where the answer may be, or without ``gives`` is, server-sent events
    answer_headers: type[msgspec.Struct] | None = None
    raises: tuple[type[errors.AidpError], ...] = ()  # besides those of who may not, and of what does not fit
    statuses: tuple[int, ...] = ()  # other refusals


def endpoint(action: Action, **said: Any) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., Awaitable[None]]]:
    """Mark a method of an :class:`Api` as an endpoint that needs ``action`` of the caller. Returns the decorator.

    ``said`` are the further fields of :class:`Operation`.
    """

    def mark(method: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        method.__aidp_action__ = action  # type: ignore[attr-defined]
        method.__aidp_operation__ = Operation(action, **said)  # type: ignore[attr-defined]
        return method

    return mark


def _for_the_log(error: errors.AidpError) -> str:
    """Return an error in a few words. What another server says may repeat the request, which is nobody's business."""
    if isinstance(error, errors.UpstreamError):
        return f"{error.code} ({error.details.get('provider', 'a server')})"
    return f"{error.code}: {error.message}"


class _Errors(web.RequestHandler):
    """Turns errors into the one body, for HTTP and for refused websockets alike."""

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Send an error; an AidpError brings its own status."""
        error = _exception(kwargs)
        super().send_error(status_of(error) if isinstance(error, errors.AidpError) else status_code, **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write the one error body. Nothing of an unexpected exception is shown; it is in the log."""
        error = _exception(kwargs)
        wait_s = error.details.get("retry_after_s") if isinstance(error, errors.AidpError) else None
        if wait_s is not None:
            self.set_header("Retry-After", str(math.ceil(wait_s)))
        if status_code == 405:
            taken = [name for name in METHODS if getattr(type(self), name) is not getattr(web.RequestHandler, name)]
            self.set_header("Allow", ", ".join(taken).upper())
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(self.error_document(error, status_code)))

    def error_document(self, error: BaseException | None, status: int) -> dict[str, Any]:
        """Return the body for an error; some dialects have a form of their own around it."""
        if isinstance(error, errors.AidpError):
            return error_body(error)
        said = error.get_message() if isinstance(error, web.HTTPError) and status < 500 else None
        return _body(_CODES.get(status, f"http_{status}"), said or self._reason, status, {})

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log an expected error in one line, an unexpected one with its traceback."""
        if isinstance(value, errors.AidpError):
            log.info("%s %s: %s", self.request.method, self.request.path, _for_the_log(value))
        else:
            super().log_exception(typ, value, tb)


class Api(_Errors):
    """The base of every route class. Knows Tornado, no host; the host's base class adds who the caller is."""

    _work: asyncio.Task[Any] | None = None
    _client_gone = False
    for_kernels = False  # whether the token that a Jupyter server gives to its kernels passes here

    # The host's base class answers these. Here they are only named: a method would come before the host's.
    who: Callable[[], str]  # the caller's name for the audit record
    teams: Callable[[], tuple[str, ...]]  # those that the caller is in
    sees_everybody: Callable[[], bool]  # whether the caller may see what others did

    @classmethod
    def bound(cls, work: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """Return what a host puts behind its guard for an endpoint's work."""
        return work

    def body(self, kind: type[T]) -> T:
        """Return the JSON body as ``kind`` (a msgspec Struct or ``dict``).

        Raises InvalidJson where it is no JSON, and InvalidRequest naming the field where it does not fit.
        """
        return self.fit(self.document(), kind)

    def document(self) -> Any:
        """Return the JSON body as it is, fields that nobody knows included. Raises InvalidJson."""
        if not self.request.body:
            raise errors.InvalidJson("The request has no body; a JSON object is expected.")
        try:
            return _JSON.decode(self.request.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise errors.InvalidJson(f"The body is not valid JSON: {error}.") from error
        except RecursionError as error:
            raise errors.InvalidJson("The body is nested too deeply.") from error

    def query(self, kind: type[T]) -> T:
        """Return the query's parameters as ``kind``, the last of those given twice. Raises InvalidRequest."""
        given = {name: self.get_query_argument(name, strip=False) for name in self.request.query_arguments}
        return self.fit(given, kind, strict=False)

    def fit(self, document: Any, kind: type[T], *, strict: bool = True) -> T:
        """Return a JSON value as ``kind``; texts may stand for numbers unless ``strict``. Raises InvalidRequest."""
        try:
            return msgspec.convert(document, kind, strict=strict)
        except msgspec.ValidationError as error:
            raise _invalid_field(error) from error

    def reply(self, value: Any, *, headers: Mapping[str, str] | None = None) -> None:
        """Finish with ``value`` as JSON; bytes are taken as JSON already encoded."""
        self._set_headers(headers)
        self.set_header("Content-Type", "application/json")
        self.finish(value if isinstance(value, bytes) else msgspec.json.encode(value))

    async def stream(self, events: EventSource, *, headers: Mapping[str, str] | None = None) -> None:
        """Send server-sent events, each flushed as it comes; awaiting the socket gives back-pressure.

        ``events`` is closed at the end, however that comes. The status has gone out before the first event, so a
        failure in the middle becomes an error event.
        """
        try:
            self._set_headers(headers)
            self.set_header("Content-Type", "text/event-stream")
            self.set_header("Cache-Control", "no-cache")
            self.set_header("X-Accel-Buffering", "no")  # nginx would collect the events otherwise
            await self._pass_on(events)
        finally:
            await events.aclose()
        self.finish()

    async def _pass_on(self, events: EventSource) -> None:
        try:
            # Else the kernel may hold events back until what went before is acknowledged: 40 ms on a kept connection.
            # Tornado sets the socket back at the end of the response.
            cast(HTTP1Connection, self.request.connection).stream.set_nodelay(True)
            await self.flush()
            async for event in events:
                self.write(event)
                await self.flush()
        except errors.AidpError as error:
            log.info("stream ended: %s", _for_the_log(error))
            self.write(self.error_event(error))
        except StreamClosedError:
            raise
        except Exception:
            log.exception("stream failed")
            self.write(self.error_event(errors.AidpError("The server failed in the middle of the answer.")))

    def error_event(self, error: errors.AidpError) -> bytes:
        """Return an error as an event; some dialects have a form of their own."""
        return error_event(error)

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None, **options: Any) -> asyncio.Future[None]:
        """Finish the response; Jupyter's own ``finish`` would call every body JSON unless told its type."""
        if getattr(self, "finish_takes_content_type", False):  # the host's base class says so
            options["set_content_type"] = self._headers.get("Content-Type", "application/json")
        return super().finish(chunk, **options)

    def _set_headers(self, headers: Mapping[str, str] | None) -> None:
        for name, value in (headers or {}).items():
            self.set_header(name, value)

    def check_etag_header(self) -> bool:
        """Return False: API answers are not cached."""
        return False

    def compute_etag(self) -> None:
        """Return None: no hash of each answer is made."""

    def on_connection_close(self) -> None:
        """Cancel the work when the client goes away, so that its upstream request and its children end too."""
        self._client_gone = True
        if self._work is not None:
            self._work.cancel()
        super().on_connection_close()


class WsApi(_Errors, WebSocketHandler):
    """The base of websocket routes: the upgrade request is guarded like an endpoint with ``action``."""

    action: Action = "execute"

    who: Callable[[], str]


class UnknownEndpoint(Api):
    """What answers below ``aidp/`` where nothing else does: a JSON 404, and only to callers who may read."""

    async def _refuse(self, *_: str) -> None:
        raise errors.NotFound(f"There is no endpoint {self.request.path}.")

    get = endpoint("read")(_refuse)
    post = endpoint("read")(_refuse)
    put = endpoint("read")(_refuse)
    patch = endpoint("read")(_refuse)
    delete = endpoint("read")(_refuse)


def bind(routes: Iterable[Route], http_base: type, ws_base: type, guard: Guard) -> list[tuple[str, type]]:
    """Join route classes to a host's base classes and return ``(pattern, handler class)`` pairs.

    ``guard(method, action, is_websocket)`` is the host's authentication around its authorisation. Raises TypeError
    for an HTTP method without :func:`endpoint`: nothing gets in unguarded by an oversight.
    """
    bound: list[tuple[str, type]] = []
    for pattern, cls in routes:
        if issubclass(cls, WsApi):
            members = {"get": guard(_upgrade(ws_base), cls.action, True)}
            bound.append((pattern, type(cls.__name__, (cls, ws_base), members)))
            continue
        members = {}
        for name in METHODS:
            method = getattr(cls, name)
            action = getattr(method, "__aidp_action__", None)
            if action is not None:
                members[name] = guard(cls.bound(_cancellable(method)), action, False)
            elif method is not getattr(web.RequestHandler, name):
                raise TypeError(f"{cls.__name__}.{name} is no @endpoint")
        bound.append((pattern, type(cls.__name__, (cls, http_base), members)))
    return bound


def _upgrade(ws_base: type) -> Callable[..., Awaitable[None]]:
    async def get(self: Any, *args: Any, **kwargs: Any) -> None:
        await ws_base.get(self, *args, **kwargs)  # type: ignore[attr-defined]

    return get


def _cancellable(method: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Let a lost client cancel the endpoint: Tornado runs each request as a task of its own."""

    def was_left(self: Api) -> bool:
        return self._client_gone

    @functools.wraps(method)
    async def run(self: Api, *args: Any, **kwargs: Any) -> None:
        if was_left(self):  # while the caller was being identified
            return
        self._work = task = cast("asyncio.Task[Any]", asyncio.current_task())
        try:
            await method(self, *args, **kwargs)
        except asyncio.CancelledError:
            if not was_left(self):
                raise
            task.uncancel()  # the request ends here, and its task in good order
        except StreamClosedError:
            pass
        finally:
            self._work = None

    return run


def _number(text: str) -> int | float:
    """Return a number of JSON that is written with a point or an exponent; 16.0 is the whole number 16 all the same."""
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is out of range")
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


_JSON = msgspec.json.Decoder(float_hook=_number)


def _exception(kwargs: Mapping[str, Any]) -> BaseException | None:
    return (kwargs.get("exc_info") or (None, None, None))[1]


def _invalid_field(error: msgspec.ValidationError) -> errors.InvalidRequest:
    """Translate msgspec's "Expected `float` <= 2.0 - at `$.temperature`"."""
    what, _, path = str(error).partition(" - at ")
    field = path.strip("`").removeprefix("$").removeprefix(".")
    if missing := re.search(r"missing required field `(\w+)`", what):
        field = f"{field}.{missing[1]}" if field else missing[1]
    where = f"`{field}`" if field else "The body"
    return errors.InvalidRequest(f"{where}: {what[:1].lower()}{what[1:]}.", field=field or None)
