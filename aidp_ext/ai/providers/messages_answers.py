"""Answers to chats in OpenAI's dialect as answers of Anthropic's Messages API, whole and event by event.

Sources: https://docs.anthropic.com/en/api/messages and .../messages-streaming.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import msgspec

from aidp_ext.ai.models import Events, Usage
from aidp_ext.ai.providers.answers import data_in, decode, understood, usage_of
from aidp_ext.ai.providers.anthropic_dialect import as_object
from aidp_ext.core.errors import AidpError, UpstreamError, UpstreamIncomplete, UpstreamInvalid

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)


class _Said(msgspec.Struct):
    """A message, or what an event adds to one. Servers disagree on the name of the reasoning."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None

    @property
    def thought(self) -> str:
        return self.reasoning_content or self.reasoning or ""

    @property
    def text(self) -> str:
        return (self.content or "") + (self.refusal or "")


class _Choice(msgspec.Struct):
    index: int = 0
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    id: str = ""
    model: str = ""
    choices: list[_Choice] = []
    usage: Any = None
    error: Any = None


def _read(document: bytes, label: str) -> _Answer:
    try:
        said = msgspec.json.decode(document, type=_Answer)
    except msgspec.ValidationError as error:
        raise UpstreamInvalid(f"{label} answered in a way that cannot be translated: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decode(document, label)  # says what it is
        raise
    if said.error is not None:
        message = said.error.get("message") if isinstance(said.error, dict) else said.error
        raise UpstreamError(f"{label} broke off: {str(message)[:500]}")
    return said


def _stop_reason(finish: str | None, has_calls: bool, has_refused: bool) -> str:
    if has_refused:
        return "refusal"
    if has_calls and finish in (None, "stop"):  # some servers say so after a call too
        return "tool_use"
    return _STOP_REASONS.get(finish or "", "end_turn")


def _spent(usage: Usage) -> dict[str, int]:
    cached, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    return {
        "input_tokens": max(0, (usage.prompt_tokens or 0) - cached - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.completion_tokens or 0,
    }


def _message(said: _Answer, content: list[dict[str, Any]], stop_reason: str | None, usage: Usage) -> dict[str, Any]:
    return {
        "id": f"msg_{said.id or uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": said.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "stop_details": None,
        "usage": _spent(usage),
    }


def _call_id(given: str | None) -> str:
    return given or f"toolu_{uuid.uuid4().hex}"


def from_chat(document: bytes, label: str = "The model") -> bytes:
    """Return a chat completion as an answer of the Messages API. Raises UpstreamInvalid where it is none."""
    said = _read(document, label)
    choice = said.choices[0] if said.choices else _Choice()
    message = choice.message
    if message is None:
        raise UpstreamInvalid(f"{label} answered with something that is no chat completion.")
    content: list[dict[str, Any]] = []
    if message.thought:
        content.append({"type": "thinking", "thinking": message.thought, "signature": ""})
    if message.text:
        content.append({"type": "text", "text": message.text})
    for call in message.tool_calls or []:
        given, _ = as_object(call.function.arguments or "")
        content.append({"type": "tool_use", "id": _call_id(call.id), "name": call.function.name or "", "input": given})
    stop_reason = _stop_reason(choice.finish_reason, bool(message.tool_calls), bool(message.refusal))
    return msgspec.json.encode(_message(said, content, stop_reason, usage_of(document, label)))


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, **fields}))


class ChatToMessages:
    """A translator of a chat's chunks into the Messages API's named events."""

    def __init__(self, label: str = "The model") -> None:
        self._label = label
        self.usage = Usage()
        self._has_begun = False
        self._finish: str | None = None
        self._has_refused = False
        self._block = -1  # the number of the block under way, or of the last one
        self._open = ""  # its kind: text, thinking, or tool_use; empty between blocks
        self._call = -1  # the number of the tool call under way, or of the last one
        self._call_id: str | None = None

    def feed(self, data: bytes) -> bytes:
        """Return the events that one chunk becomes. Raises UpstreamError for an error that the server reports."""
        said = _read(data, self._label)
        made = []
        if said.usage is not None:
            self.usage = usage_of(data, self._label)
        if not self._has_begun:
            self._has_begun = True
            made.append(_event("message_start", message=_message(said, [], None, self.usage)))
        for choice in said.choices:
            if choice.index != 0:
                continue
            if (delta := choice.delta) is not None:
                if thought := delta.thought:
                    made.append(self._added("thinking", {"thinking": "", "signature": ""}, {"thinking": thought}))
                if text := delta.text:
                    made.append(self._added("text", {"text": ""}, {"text": text}))
                made += map(self._called, delta.tool_calls or ())
                self._has_refused = self._has_refused or bool(delta.refusal)
            self._finish = choice.finish_reason or self._finish
        return b"".join(made)

    def end(self) -> bytes:
        """Return what closes the message. Raises UpstreamIncomplete where none was begun."""
        if not self._has_begun:
            raise UpstreamIncomplete(f"{self._label} broke off in the middle of its answer.")
        stop_reason = _stop_reason(self._finish, self._call >= 0, self._has_refused)
        delta = {"stop_reason": stop_reason, "stop_sequence": None, "stop_details": None}
        ended = _event("message_delta", delta=delta, usage=_spent(self.usage))
        return self._closed() + ended + _event("message_stop")

    def _added(self, kind: str, empty: dict[str, Any], delta: dict[str, Any]) -> bytes:
        start = b"" if self._open == kind else self._started({"type": kind, **empty})
        return start + self._delta({"type": f"{kind}_delta", **delta})

    def _started(self, block: dict[str, Any]) -> bytes:
        closed = self._closed()
        self._open = block["type"]
        self._block += 1
        return closed + _event("content_block_start", index=self._block, content_block=block)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=self._block, delta=delta)

    def _closed(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        return _event("content_block_stop", index=self._block)

    def _called(self, call: _Call) -> bytes:
        made = b""
        if self._is_new(call):
            self._call = self._call + 1 if call.index is None else call.index
            self._call_id = call.id
            block = {"type": "tool_use", "id": _call_id(call.id), "name": call.function.name or "", "input": {}}
            made = self._started(block)
        elif self._open != "tool_use" or call.index not in (None, self._call):
            raise UpstreamInvalid(f"{self._label} went back to an earlier tool call, which cannot be translated.")
        if call.function.arguments:
            made += self._delta({"type": "input_json_delta", "partial_json": call.function.arguments})
        return made

    def _is_new(self, call: _Call) -> bool:
        if call.index is None:  # some servers count on the ids
            return self._call < 0 or (call.id is not None and call.id != self._call_id)
        return call.index > self._call


class MessagesEvents:
    """A chat's events as the Messages API's. What they need of the server, they have of the events below them."""

    def __init__(self, chat: Events, label: str) -> None:
        self.on_end: Callable[[str], None] | None = None
        self.received = 0  # bytes of the chat's events
        self._chat = chat
        self._label = label
        self._translator = ChatToMessages(label)
        self._first: bytes | None = None
        self._has_ended = False
        self._source = self._translated()

    @property
    def usage(self) -> Usage:
        """What the server has reported so far."""
        return self._chat.usage

    async def wait_for_first(self) -> None:
        """Wait for the first event; what fails before it can still be answered by another server."""
        try:
            self._first = await anext(self._source)
        except BaseException:
            await self.aclose()
            raise

    def __aiter__(self) -> MessagesEvents:
        return self

    def __anext__(self) -> Awaitable[bytes]:
        return self._source.__anext__() if self._first is None else self._take_first()

    async def _take_first(self) -> bytes:
        first, self._first = self._first, None
        assert first is not None
        return first

    async def aclose(self) -> None:
        """Close the connection. Calling it again does nothing."""
        await self._source.aclose()
        await self._end("cancelled")

    def abort(self) -> None:
        """Cut the connection; who reads gets UpstreamIncomplete."""
        self._chat.abort()

    async def _translated(self) -> AsyncGenerator[bytes, None]:
        outcome = "cancelled"
        try:
            async for events in self._chat:
                self.received += len(events)
                made, failure = self._all_of(events)
                if made:
                    yield made
                if failure is not None:
                    raise failure
            yield self._translator.end()
            outcome = "ok"
        except AidpError as error:
            outcome = error.code
            raise
        finally:
            await self._end(outcome)

    def _all_of(self, events: bytes) -> tuple[bytes, UpstreamError | None]:
        """Return what the events become, and the error among them: what came before it is not lost."""
        made: list[bytes] = []
        try:
            with understood(self._label):
                for data in data_in(events):
                    made.append(self._translator.feed(data))
        except UpstreamError as error:
            return b"".join(made), error
        return b"".join(made), None

    async def _end(self, outcome: str) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        with contextlib.suppress(UpstreamError):
            await self._chat.aclose()
        if self.on_end is not None:
            self.on_end(outcome)
