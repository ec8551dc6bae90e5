"""The shapes of Anthropic's Messages API that more than one part must read, and the passage of its streams.

Source: the API reference at https://docs.anthropic.com/en/api/messages and .../messages-streaming, version 2023-06-01.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from aidp_ext.ai.models import Usage
from aidp_ext.ai.providers.answers import data_in, decode, end_of_last_event
from aidp_ext.core.errors import (
    InvalidRequest,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamInvalid,
    UpstreamRejected,
    UpstreamTimeout,
)

# https://docs.anthropic.com/en/api/errors
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "overloaded_error": 529,
}
# Inside a JSON string these quotes would be escaped, so this finds keys and values only.
_WORTH_READING = re.compile(rb'"(?:message_start|message_delta|message_stop|error)"')
_NOTED_NAME = re.compile(r"[^A-Za-z0-9_.-]")
_MAX_NOTES = 32

T = TypeVar("T")


def with_current_names(body: dict[str, Any]) -> dict[str, Any]:
    """Return a Messages request with ``output_format`` under its present name, ``output_config.format``.

    Clients such as LiteLLM still send the older one, of the beta ``structured-outputs-2025-11-13``.
    Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs
    """
    if body.get("output_format") is None:
        return body
    config = {"format": body["output_format"], **(body.get("output_config") or {})}
    return {key: value for key, value in body.items() if key != "output_format"} | {"output_config": config}


class OutputDetails(msgspec.Struct):
    """What the answer's tokens were spent on."""

    thinking_tokens: int | None = None


class Spent(msgspec.Struct):
    """``usage``: in a stream its numbers are running totals, and a later event repeats only some of them."""

    input_tokens: int | None = None  # neither read from the cache nor written to it
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: OutputDetails | None = None

    def updated(self, later: Spent | None) -> Spent:
        """Return these numbers with those that ``later`` has in their place."""
        if later is None:
            return self
        return Spent(
            *(
                mine if newer is None else newer
                for mine, newer in zip(msgspec.structs.astuple(self), msgspec.structs.astuple(later), strict=True)
            )
        )

    @property
    def usage(self) -> Usage:
        """The same in aidp's terms, where the prompt's tokens hold the cached ones."""
        read, written = self.cache_read_input_tokens, self.cache_creation_input_tokens
        details = self.output_tokens_details
        return Usage(
            prompt_tokens=None if self.input_tokens is None else self.input_tokens + (read or 0) + (written or 0),
            completion_tokens=self.output_tokens,
            cached_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=details.thinking_tokens if details else None,
        )


class Block(msgspec.Struct):
    """A block of an answer's content, as far as a chat can hold it."""

    type: str
    text: str = ""
    thinking: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")  # the model's own spelling is kept


class StopDetails(msgspec.Struct):
    """Why a model refused."""

    explanation: str | None = None


class Message(msgspec.Struct):
    """An answer."""

    id: str = ""
    model: str = ""
    content: list[Block] = []
    stop_reason: str | None = None
    stop_details: StopDetails | None = None
    usage: Spent = msgspec.field(default_factory=Spent)


class Delta(msgspec.Struct):
    """What an event adds to a block, or to the message."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    stop_reason: str | None = None
    stop_details: StopDetails | None = None


class Fault(msgspec.Struct):
    """An error as the API says it."""

    type: str = "api_error"
    message: str = ""


class Event(msgspec.Struct):
    """One event of a stream; which fields it has depends on its type."""

    type: str
    index: int = 0
    message: Message | None = None
    content_block: Block | None = None
    delta: Delta | None = None
    usage: Spent | None = None
    error: Fault | None = None


def read(document: bytes, kind: type[T], label: str) -> T:
    """Return a server's JSON as ``kind``. Raises UpstreamInvalid where it is something else."""
    try:
        return msgspec.json.decode(document, type=kind)
    except msgspec.ValidationError as error:
        raise UpstreamInvalid(f"{label} answered with JSON that is not Anthropic's dialect: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decode(document, label)  # says what it is
        raise


def fault(error: Fault | None, label: str) -> UpstreamError:
    """Return the error of our tree for one that came inside a stream."""
    error = error or Fault()
    said = error.message[:500] or "it gave no reason"
    if error.type == "timeout_error":
        return UpstreamTimeout(f"{label} timed out: {said}")
    status = _STATUSES.get(error.type, 500)
    next_step = "Try again in a moment." if status in (429, 529) else None
    return UpstreamRejected(f"{label} broke off ({error.type}): {said}", status=status, next_step=next_step)


def usage_of_message(document: bytes, label: str) -> Usage:
    """Return the tokens that an answer reports. Raises UpstreamInvalid where it is no answer."""
    return read(document, Message, label).usage.usage


class Passage:
    """Looks on while a stream in this dialect passes, names of events and all; a translator of whole events."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._spent = Spent()
        self._has_finished = False
        self._failure: UpstreamError | None = None

    @property
    def usage(self) -> Usage:
        """What the server has reported so far."""
        return self._spent.usage

    def feed(self, data: bytes) -> bytes:
        """Return the events unchanged, up to an error. Raises UpstreamError for the error."""
        if self._failure is not None:
            raise self._failure
        if _WORTH_READING.search(data) is not None:
            data = self._look(data)
        if data.endswith(b"\n"):
            return data
        # what was left when the connection closed: the last event without its blank line, or half an event
        return data + b"\n\n" if self._has_finished else b""

    def _look(self, events: bytes) -> bytes:
        for data in data_in(events):
            event = read(data, Event, self._label)
            if event.type == "message_start" and event.message is not None:
                self._spent = event.message.usage
            elif event.type == "message_delta":
                self._spent = self._spent.updated(event.usage)
            elif event.type == "message_stop":
                self._has_finished = True
            elif event.type == "error":
                self._failure = fault(event.error, self._label)
                before = events[: end_of_last_event(events[: events.index(data)])]
                if not before:
                    raise self._failure
                return before
        return events

    def end(self) -> bytes:
        """Return nothing, where the stream has ended properly."""
        if self._failure is not None:
            raise self._failure
        if not self._has_finished:
            raise UpstreamIncomplete(f"{self._label} broke off in the middle of its answer.")
        return b""


class Notes:
    """What could not be done as asked, in codes for the ``X-AIDP-Notes`` header."""

    def __init__(self) -> None:
        self._found: dict[str, None] = {}

    def add(self, note: str) -> None:
        """Keep a code; once is enough."""
        if len(self._found) < _MAX_NOTES:
            self._found[note] = None

    def ignored(self, name: str) -> None:
        """Keep that a field goes unheeded. The name may be anybody's: it is made fit for a header."""
        self.add(f"{_NOTED_NAME.sub('?', name)[:64]}_ignored")

    def unknown(self, given: Mapping[str, Any], known: Container[str]) -> None:
        """Keep every field that has a value and is none of ``known``."""
        for name, value in given.items():
            if name not in known and value is not None and value != [] and value != {}:
                self.ignored(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)


def wanted(given: Any, key: str, kind: type[T], where: str) -> T:
    """Return ``given[key]``, which must be there. Raises InvalidRequest naming the field."""
    value = given.get(key) if isinstance(given, dict) else None
    if not isinstance(value, kind):
        raise refused(f"{where}.{key}" if where else key, f"expected {_NAMES.get(kind, kind.__name__)}")
    return value


def as_object(arguments: str) -> tuple[dict[str, Any], bool]:
    """Return a tool call's arguments as an object, and whether they were one.

    Models do write arguments that are none; a conversation must be able to go on after it, so they are wrapped.
    """
    try:
        given = msgspec.json.decode(arguments) if arguments.strip() else {}
    except (ValueError, RecursionError):
        given = None
    return (given, True) if isinstance(given, dict) else ({"arguments": arguments}, False)


def refused(field: str, why: str, next_step: str | None = None) -> InvalidRequest:
    """Return the error for a request that cannot be answered as it is meant."""
    return InvalidRequest(f"`{field}`: {why}.", next_step=next_step, field=field)


_NAMES: dict[type, str] = {str: "a text", list: "a list", dict: "an object", int: "a whole number"}
