"""Answers of Anthropic's Messages API as OpenAI's, whole and event by event."""

from __future__ import annotations

from typing import Any

from aidp_ext.ai.models import Usage
from aidp_ext.ai.providers.anthropic_dialect import Block, Event, Message, Spent, fault, read
from aidp_ext.ai.providers.openai_dialect import Writer, wants_usage
from aidp_ext.core.errors import UpstreamIncomplete, UpstreamInvalid

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def to_completion(document: bytes, label: str) -> bytes:
    """Return an answer of the Messages API as OpenAI's. Raises UpstreamInvalid where it is none."""
    said = read(document, Message, label)
    if said.stop_reason is None:
        raise UpstreamInvalid(f"{label} answered with something that is no message.")
    text, thought, calls = [], [], []
    for block in said.content:
        if block.type == "text":
            text.append(block.text)
        elif block.type == "thinking":
            thought.append(block.thinking)
        elif block.type == "tool_use":
            calls.append(_call(block, bytes(block.input).decode()))
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(text) if text or not calls else None,
        "refusal": said.stop_details.explanation if said.stop_details else None,
    }
    if any(thought):
        message["reasoning_content"] = "".join(thought)
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(said.stop_reason)}
    return Writer(said.model).document([choice], said.usage.usage)


def _call(block: Block, arguments: str) -> dict[str, Any]:
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}}


def _finish(stop_reason: str) -> str:
    return _FINISH.get(stop_reason, "stop")


class ToChunks:
    """A translator of the Messages API's events into OpenAI's chunks.

    Nothing is written before the first block of content: a server that is overloaded says so before it, and another
    can still answer then.
    """

    def __init__(self, label: str, model: str, body: dict[str, Any]) -> None:
        self._label = label
        self._write = Writer(model, usage=wants_usage(body))
        self._spent = Spent()
        self._has_begun = False
        self._finish: str | None = None
        self._has_finished = False
        self._calls = 0
        self._is_call = False  # the block under way
        self._has_arguments = False

    @property
    def usage(self) -> Usage:
        """What the server has reported so far."""
        return self._spent.usage

    def feed(self, data: bytes) -> bytes:
        """Return the chunks that one event becomes; none for what a chat does not show."""
        event = read(data, Event, self._label)
        match event.type:
            case "content_block_delta":
                return self._added(event)
            case "content_block_start":
                return self._begun(event.content_block or Block(""))
            case "content_block_stop":
                return self._ended()
            case "message_start":
                self._spent = event.message.usage if event.message else Spent()
            case "message_delta":
                return self._turned(event)
            case "message_stop":
                return self._closed()
            case "error":
                raise fault(event.error, self._label)
        return b""  # pings, and what is yet to be invented

    def end(self) -> bytes:
        """Return nothing, where the stream has ended properly."""
        if not self._has_finished:
            raise UpstreamIncomplete(f"{self._label} broke off in the middle of its answer.")
        return b""

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        if not self._has_begun:
            self._has_begun = True
            delta = {"role": "assistant", "content": "", **delta}
        return self._write.event(0, delta, finish)

    def _begun(self, block: Block) -> bytes:
        self._is_call = block.type == "tool_use"
        if not self._is_call:
            shown = {"content": block.text} if block.text else {}
            return self._chunk(shown) if shown or not self._has_begun else b""
        arguments = bytes(block.input).decode()
        self._has_arguments = arguments != "{}"  # elsewhere the whole input comes at once
        call = _call(block, arguments if self._has_arguments else "")
        self._calls += 1
        return self._chunk({"tool_calls": [{"index": self._calls - 1, **call}]})

    def _added(self, event: Event) -> bytes:
        delta = event.delta
        if delta is None:
            return b""
        match delta.type:
            case "text_delta":
                return self._chunk({"content": delta.text})
            case "thinking_delta":
                return self._chunk({"reasoning_content": delta.thinking})
            case "input_json_delta" if delta.partial_json and self._is_call:
                self._has_arguments = True
                return self._arguments(delta.partial_json)
        return b""  # signatures, citations

    def _arguments(self, part: str) -> bytes:
        return self._chunk({"tool_calls": [{"index": self._calls - 1, "function": {"arguments": part}}]})

    def _ended(self) -> bytes:
        if not self._is_call:
            return b""
        self._is_call = False
        return b"" if self._has_arguments else self._arguments("{}")  # a call without arguments is still JSON

    def _turned(self, event: Event) -> bytes:
        self._spent = self._spent.updated(event.usage)
        delta = event.delta
        if delta is None or delta.stop_reason is None or self._finish is not None:
            return b""
        self._finish = _finish(delta.stop_reason)
        why = delta.stop_details.explanation if delta.stop_details else None
        return self._chunk({"refusal": why} if why else {}, self._finish)

    def _closed(self) -> bytes:
        self._has_finished = True
        last = b"" if self._finish else self._chunk({}, "stop")
        return last + self._write.usage_event(self.usage) + b"data: [DONE]\n\n"
