"""What comes back from a model server: a document, or events that pass through as they come."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import aiohttp
import msgspec

from aidp_ext.ai.models import Usage
from aidp_ext.ai.providers.rejections import error_in
from aidp_ext.core.errors import UpstreamError, UpstreamIncomplete, UpstreamInvalid, UpstreamTimeout
from aidp_ext.core.http import translated

_MAX_EVENT = 4 * 1024 * 1024  # bytes of one event
_KEPT_TAIL = 4096
_DONE = b"data: [DONE]\n\n"
_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"')
_EVENT = re.compile(rb".*?\n\r?\n", re.DOTALL)
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')

# msgspec's errors are ValueErrors; RecursionError is for what is nested too deeply
_CONFUSION = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


def decode(document: bytes, label: str) -> Any:
    """Return a server's JSON document; raise UpstreamInvalid where it is none."""
    try:
        return msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what = "a web page" if document.lstrip()[:1] == b"<" else "something that is not JSON"
        raise UpstreamInvalid(
            f"{label} answered with {what}.", next_step="Check that its address is that of a model server."
        ) from error


def check_text(data: bytes, label: str) -> None:
    """Raise UpstreamInvalid where ``data`` is no UTF-8: whoever reads what we pass on could not read it."""
    if data.isascii():  # nearly always, and far cheaper than decoding
        return
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise UpstreamInvalid(f"{label} sent text that is not UTF-8.") from error


class understood:
    """Raise UpstreamInvalid where the code inside cannot make sense of what a server said.

    A server may answer anything, also JSON of quite another shape than its documentation promises.
    """

    def __init__(self, label: str) -> None:
        self._label = label

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, _CONFUSION):
            raise UpstreamInvalid(f"{self._label} answered in a way that aidp does not understand.") from error


class Translator(Protocol):
    """Turns one stream's events, in a server's own dialect, into server-sent events of another. Keeps its state."""

    @property
    def usage(self) -> Usage:
        """What the server has reported so far."""

    def feed(self, data: bytes) -> bytes:
        """Return the whole events, none or several, that one event's data (or one line of JSON) becomes.

        Raises UpstreamInvalid for what is not the server's dialect, UpstreamError for an error that it reports.
        """

    def end(self) -> bytes:
        """Return what closes a stream that ended properly; raise UpstreamIncomplete where its end mark is missing."""


class EventStream:
    r"""A server's events as they come: one or several at a time, never a part of one.

    Without a ``translator`` the bytes pass unchanged. A stream that ends before its own end mark raises
    UpstreamIncomplete; one that ends properly without ``[DONE]`` gets it added. Closing it closes the connection, at
    whatever point, so that the server stops working. ``on_end`` is called once, with how it ended: ``ok``,
    ``cancelled`` or an error's code. ``is_lines`` is for servers that stream lines of JSON instead of events.
    ``hides_usage`` keeps back the event that only reports the usage: we asked for it, not the caller. ``is_whole`` is
    for a ``translator`` that takes whole events as they came, names included, one or several at a time.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        label: str,
        connection: AsyncExitStack,
        translator: Translator | None = None,
        silence_s: float = 120.0,
        is_lines: bool = False,
        hides_usage: bool = False,
        is_whole: bool = False,
    ) -> None:
        self.on_end: Callable[[str], None] | None = None
        self.received = 0
        self._response = response
        self._label = label
        self._connection = connection
        self._translator = translator
        self._parts_of = _whole if is_whole else data_in
        self._failure: UpstreamError | None = None
        self._hides_usage = hides_usage
        self._end_of_last = _end_of_last_line if is_lines else end_of_last_event
        self._tail = b""
        self._first: bytes | None = None
        self._ended = False
        self._source = self._read()
        self._silence_s = silence_s
        self._loop = asyncio.get_running_loop()
        self._waiting_since: float | None = None  # loop time; None while the reader has us wait
        self._fell_silent = False
        self._watch = self._loop.call_later(silence_s, self._check_silence)

    async def wait_for_first(self) -> None:
        """Wait for the first event; what fails before it can still be answered by another server."""
        self._first = await anext(self._source)

    def __aiter__(self) -> EventStream:
        return self

    def __anext__(self) -> Awaitable[bytes]:
        # No coroutine of its own: this is the hot path, once an event.
        return self._source.__anext__() if self._first is None else self._take_first()

    async def _take_first(self) -> bytes:
        first, self._first = self._first, None
        assert first is not None
        return first

    async def aclose(self) -> None:
        """Close the connection. Calling it again does nothing."""
        await self._source.aclose()
        await self._end("cancelled")  # a generator that was never begun runs nothing when it is closed

    def abort(self) -> None:
        """Cut the connection; who reads gets UpstreamIncomplete."""
        self._response.close()

    def _check_silence(self) -> None:
        """Cut the connection after too long a silence.

        One timer a stream that looks back, since one that is set anew at each event costs a tenth of it.
        """
        now = self._loop.time()
        silent_s = now - self._waiting_since if self._waiting_since is not None else 0.0
        if silent_s >= self._silence_s:
            self._fell_silent = True
            self._response.close()
        else:
            self._watch = self._loop.call_later(self._silence_s - silent_s, self._check_silence)

    async def _end(self, outcome: str) -> None:
        if self._ended:
            return
        self._ended = True
        self._watch.cancel()
        try:
            await self._connection.aclose()
        finally:  # what is held for the call must come free, however the connection ends
            if self.on_end is not None:
                self.on_end(outcome)

    @property
    def usage(self) -> Usage:
        """The tokens that the server reported in its last events, if it did."""
        if self._translator is not None:
            return self._translator.usage
        for line in reversed(self._tail.splitlines()):
            if line.startswith(b"data:") and b'"usage"' in line:
                with contextlib.suppress(UpstreamInvalid):
                    return usage_of(line[5:], self._label)
        return Usage()

    async def _read(self) -> AsyncGenerator[bytes, None]:
        outcome = "cancelled"
        try:
            pending = b""
            content = self._response.content
            self._waiting_since = self._loop.time()
            with translated(self._label, self._response.url, answering=True):
                while chunk := await content.readany():
                    known = max(0, len(pending) - 3)  # what has no end in it is not looked through again
                    pending += chunk
                    end = self._end_of_last(pending[known:] if known else pending)
                    end += known if end else 0
                    if end == 0:
                        if len(pending) > _MAX_EVENT:
                            raise UpstreamInvalid(f"{self._label} sent an event of more than {_MAX_EVENT} bytes.")
                        continue  # a part of an event ends no silence: it could drip for ever
                    events, pending = pending[:end], pending[end:]
                    self.received += end
                    if self._translator is not None:
                        events = self._translated(self._translator, events)
                    else:
                        check_text(events, self._label)
                        events = self._up_to_error(events)
                        self._tail = (self._tail + events)[-_KEPT_TAIL:]
                        if self._hides_usage and b'"usage"' in events and _NO_CHOICES.search(events):
                            events = _without_usage(events)
                    if not events:
                        self._waiting_since = self._loop.time()
                        continue
                    self._waiting_since = None
                    yield events
                    if self._failure is not None:
                        raise self._failure
                    self._waiting_since = self._loop.time()
            for missing in self._missing_end(pending.strip()):
                yield missing
            outcome = "ok"
        except UpstreamError as error:
            if self._fell_silent:
                outcome = UpstreamTimeout.code
                raise UpstreamTimeout(f"{self._label} fell silent in the middle of its answer.") from error
            outcome = error.code
            raise
        finally:
            await self._end(outcome)

    def _up_to_error(self, events: bytes) -> bytes:
        """Return the events before one that reports an error, which is raised when they have been read."""
        if b'"error"' not in events:  # inside a text the quotes would be escaped
            return events
        for event in _EVENT.finditer(events):
            for data in data_in(event[0]):
                error = error_in(data, self._label)
                if error is not None:
                    if event.start() == 0:
                        raise error
                    self._failure = error
                    return events[: event.start()]
        return events

    def _translated(self, translator: Translator, events: bytes) -> bytes:
        """Return what the events become. An error among them waits until what came before it has been read."""
        made: list[bytes] = []
        try:
            with understood(self._label):
                for part in self._parts_of(events):
                    made.append(translator.feed(part))
        except UpstreamError as error:
            if not any(made):
                raise
            self._failure = error
        return b"".join(made)

    def _missing_end(self, pending: bytes) -> list[bytes]:
        """Return what a proper end lacks; raise UpstreamIncomplete where this is no end."""
        if self._translator is not None:
            try:
                last = self._translated(self._translator, pending)
            except UpstreamInvalid as error:  # half an event
                raise UpstreamIncomplete(f"{self._label} broke off in the middle of its answer.") from error
            return [end for end in (last + self._translator.end(),) if end]
        last = self._tail.rstrip().rsplit(b"data:", 1)[-1]
        if pending == b"data: [DONE]":
            return [_DONE]
        if not pending and last.strip() == b"[DONE]":
            return []
        if not pending and _FINISHED.search(self._tail):
            return [_DONE]
        raise UpstreamIncomplete(f"{self._label} broke off in the middle of its answer.")


def usage_of(document: bytes, label: str) -> Usage:
    """Return the tokens that an answer reports. Raises UpstreamInvalid where it is no JSON object: not half a one."""
    try:
        found = msgspec.json.decode(document, type=_HasUsage).usage
    except msgspec.ValidationError:
        if not isinstance(decode(document, label), dict):
            raise UpstreamInvalid(f"{label} answered with something that is no object.") from None
        return Usage()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decode(document, label)  # says what it is
        return Usage()
    if found is None:
        return Usage()
    prompt, completion = found.prompt_tokens_details, found.completion_tokens_details
    return Usage(
        found.prompt_tokens,
        found.completion_tokens,
        cached_tokens=prompt.cached_tokens if prompt else None,
        cache_write_tokens=prompt.cache_write_tokens if prompt else None,
        reasoning_tokens=completion.reasoning_tokens if completion else None,
    )


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _HasUsage(msgspec.Struct):
    usage: _Usage | None = None


def end_of_last_event(data: bytes) -> int:
    r"""Return the index behind the last blank line (``\n\n`` or ``\r\n\r\n``), or 0."""
    if data.endswith(b"\n\n"):  # by far the most frequent
        return len(data)
    plain = data.rfind(b"\n\n")
    crlf = data.rfind(b"\n\r\n")
    return max(plain + 2 if plain >= 0 else 0, crlf + 3 if crlf >= 0 else 0)


def _end_of_last_line(data: bytes) -> int:
    """Return the index behind the last line break, or 0."""
    return data.rfind(b"\n") + 1


def data_in(events: bytes) -> list[bytes]:
    """Return the data of each event, or each line of JSON; names, comments and ``[DONE]`` left out."""
    found = []
    for line in events.splitlines():
        data = line[5:].strip() if line.startswith(b"data:") else line if line.startswith(b"{") else b""
        if data and data != b"[DONE]":
            found.append(data)
    return found


def _whole(events: bytes) -> list[bytes]:
    return [events] if events else []


def _without_usage(events: bytes) -> bytes:
    """Return the events without those that only report the usage (no choices). Others stay as they are."""
    kept = []
    for event in _EVENT.findall(events):
        data = data_in(event)
        if len(data) == 1 and b'"usage"' in data[0]:
            with contextlib.suppress(UpstreamInvalid):
                said = decode(data[0], "")
                if isinstance(said, dict) and said.get("choices") == [] and isinstance(said.get("usage"), dict):
                    continue
        kept.append(event)
    return b"".join(kept)


class EachAlone:
    """A translator for dialects whose events become ours one by one, ``[DONE]`` at the end."""

    def __init__(self, label: str, translate: Callable[[bytes], bytes]) -> None:
        self._label = label
        self._translate = translate
        self._has_finished = False
        self.usage = Usage()

    def feed(self, data: bytes) -> bytes:
        """Return the one event."""
        made = self._translate(data)
        if b'"usage"' in made:
            self.usage = usage_of(made, self._label)
        self._has_finished = self._has_finished or _FINISHED.search(made) is not None or b'"error"' in made[:20]
        return b"data: " + made + b"\n\n"

    def end(self) -> bytes:
        """Return the end mark, where the answer has finished."""
        if not self._has_finished:
            raise UpstreamIncomplete(f"{self._label} broke off in the middle of its answer.")
        return _DONE
