"""Put the originals back into an answer, whole or streamed, where the model used their placeholders."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

from aidp_ext.ai.models import Events, Usage
from aidp_ext.core.errors import UpstreamError

#: What placeholders begin with.
WORDS = ("EMAIL", "PHONE", "CARD", "IBAN", "IP", "NAME", "SECRET")
_NAME = rf"(?:{'|'.join(WORDS)})_[0-9]{{1,9}}"
#: As models write them: in any case, and with both brackets escaped as in Markdown.
_PLACEHOLDER = re.compile(rf"\\\[({_NAME})\\\]|\[({_NAME})\]", re.IGNORECASE | re.ASCII)
#: Fields whose text is JSON: an original is escaped as a part of a JSON string there.
_JSON_FIELDS = frozenset({"arguments", "partial_json"})
#: Fields of a delta that come whole.
_WHOLE_FIELDS = frozenset({"id", "name", "object", "role", "signature", "type"})

_Path = tuple[str | int, ...]


class Restorer:
    """The originals of one request's placeholders. It belongs to that request alone."""

    def __init__(self, originals: Mapping[str, str], *, is_structured: bool = False) -> None:
        """Keep ``originals`` by placeholder; ``is_structured`` where the request asks for an answer that is JSON."""
        self._originals = {placeholder.strip("[]").lower(): original for placeholder, original in originals.items()}
        self._is_structured = is_structured
        self._needs_escape = any(msgspec.json.encode(value)[1:-1] != value.encode() for value in originals.values())
        plain = [placeholder.lower() for placeholder in originals]
        forms = [*plain, *(form.replace("[", "\\[").replace("]", "\\]") for form in plain)]
        self._beginnings = frozenset(form[:length] for form in forms for length in range(1, len(form)))

    def text(self, text: str) -> str:
        """Return a whole text with the originals put back; as parts of JSON strings where the text is JSON."""
        if "[" not in text:
            return text
        return self.put_back(text, is_json=self._needs_escape and is_json(text))

    def document(self, data: bytes) -> bytes:
        """Return a whole JSON answer with the originals put back; the same bytes where there is nothing to do."""
        try:
            document = msgspec.json.decode(data)
            restored = self.value(document)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return data
        return data if restored is document else msgspec.json.encode(restored)

    def events(self, events: Events) -> Events:
        """Return a stream with the originals put back, also where a placeholder comes in pieces."""
        return _RestoredEvents(events, self)

    def put_back(self, text: str, *, is_json: bool) -> str:
        """Return a text with the originals put back, escaped as parts of JSON strings where ``is_json``."""

        def original(found: re.Match[str]) -> str:
            value = self._originals.get((found[1] or found[2]).lower())
            if value is None:
                return found[0]
            return msgspec.json.encode(value)[1:-1].decode() if is_json else value

        return _PLACEHOLDER.sub(original, text)

    def value(self, value: Any, field: str = "") -> Any:
        """Return a JSON value with the originals put back in each string and key; itself where nothing changes."""
        if isinstance(value, str):
            restored = self.put_back(value, is_json=True) if field in _JSON_FIELDS else self.text(value)
            return value if restored == value else restored
        if isinstance(value, dict):
            made = {self.text(key): self.value(item, key) for key, item in value.items()}
            same = all(map(_is_same, made.values(), value.values())) and made.keys() == value.keys()
            return value if same else made
        if isinstance(value, list):
            items = [self.value(item, field) for item in value]
            return value if all(map(_is_same, items, value)) else items
        return value

    def is_json_field(self, field: str) -> bool:
        """Return whether a streamed field's text is JSON."""
        return field in _JSON_FIELDS or (self._is_structured and field in ("content", "text"))

    def length_held(self, text: str) -> int:
        """Return how many characters at the end of ``text`` may be the beginning of a placeholder."""
        start = text.rfind("[")
        if start > 0 and text[start - 1 :].lower() in self._beginnings:  # with the backslash before it
            return len(text) - start + 1
        if start >= 0 and text[start:].lower() in self._beginnings:
            return len(text) - start
        return int(text.endswith("\\"))


def is_json(text: str) -> bool:
    """Return whether a text is a JSON object or array."""
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def _is_same(a: object, b: object) -> bool:
    return a is b


class _Channel:
    """One text that comes in pieces: a choice's content, a tool call's arguments, a block's text."""

    def __init__(self) -> None:
        self.held = ""
        self.event: dict[str, Any] = {}  # the last that had a piece of it
        self.head = b""


_EVENT = re.compile(rb".+?(?:\r?\n\r?\n|\Z)", re.DOTALL)


class _RestoredEvents:
    """Events with the originals put back.

    The end of a text that may be the beginning of a placeholder is held back until more of the same text comes, or its
    end: the choice's finish, the block's stop, the end of the stream. What is held then goes out as an event of its
    own.
    """

    def __init__(self, events: Events, restorer: Restorer) -> None:
        self._events = events
        self._source: AsyncIterator[bytes] | None = None
        self._restorer = restorer
        self._channels: dict[_Path, _Channel] = {}
        self._error: UpstreamError | None = None

    @property
    def on_end(self) -> Callable[[str], None] | None:
        """Called once with how the stream ended."""
        return self._events.on_end

    @on_end.setter
    def on_end(self, call: Callable[[str], None] | None) -> None:
        self._events.on_end = call

    @property
    def usage(self) -> Usage:
        """What the server has reported so far."""
        return self._events.usage

    @property
    def received(self) -> int:
        """How many bytes have come from the server so far."""
        return self._events.received

    async def aclose(self) -> None:
        """End it."""
        await self._events.aclose()

    def abort(self) -> None:
        """Cut the connection; who reads gets UpstreamIncomplete."""
        self._events.abort()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._error is not None:
            raise self._error
        if self._source is None:
            self._source = aiter(self._events)
        try:
            data = await anext(self._source)
        except StopAsyncIteration:
            if rest := self._flushed():
                return rest
            raise
        except UpstreamError as error:
            if rest := self._flushed():  # what has come is the reader's, before the error is
                self._error = error
                return rest
            raise
        return b"".join(self._restored(event[0]) for event in _EVENT.finditer(data))

    def _restored(self, event: bytes) -> bytes:
        """Return one event with the originals put back, and before it what its coming sets free."""
        head, data = _parsed(event)
        if data == b"[DONE]":
            return self._flushed() + event
        try:
            found = msgspec.json.decode(data)
            if not isinstance(found, dict):
                return event
            if isinstance(choices := found.get("choices"), list):
                before, made = self._choices(found, choices, head)
            else:
                before, made = self._block(found, head)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return event
        if made is found:
            return before + event
        return before + _written(head, made, event)

    def _choices(self, event: dict[str, Any], choices: list[Any], head: bytes) -> tuple[bytes, dict[str, Any]]:
        """Return what goes before an event in OpenAI's dialect, and the event."""
        before, made = b"", []
        for choice in choices:
            if not isinstance(choice, dict):
                made.append(choice)
                continue
            index = _index(choice, 0)
            is_last = choice.get("finish_reason") is not None
            seen: set[_Path] = set()
            new = dict(choice)
            for field in ("delta", "text"):
                if field in choice:
                    new[field] = self._piece(choice[field], (index, field), event, head, seen, is_last)
            if is_last:
                before += self._flushed(lambda path, i=index, s=seen: path[0] == i and path not in s)  # type: ignore[misc]
            made.append(choice if all(map(_is_same, new.values(), choice.values())) else new)
        rest = {key: self._restorer.value(value, key) for key, value in event.items() if key != "choices"}
        is_same = all(map(_is_same, made, choices)) and all(rest[key] is event[key] for key in rest)
        return before, event if is_same else {**event, **rest, "choices": made}

    def _block(self, event: dict[str, Any], head: bytes) -> tuple[bytes, dict[str, Any]]:
        """Return what goes before an event in Anthropic's dialect (or an error in any), and the event."""
        kind, index = event.get("type"), _index(event, 0)
        if kind == "content_block_delta" and isinstance(event.get("delta"), dict):
            delta = self._piece(event["delta"], (index, "delta"), event, head, set(), False)
            return b"", event if delta is event["delta"] else {**event, "delta": delta}
        before = b""
        if kind == "content_block_stop":
            before = self._flushed(lambda path: path[0] == index)
        elif kind not in ("ping", "content_block_start", "message_start"):
            before = self._flushed()
        return before, self._restorer.value(event)

    def _piece(self, value: Any, path: _Path, event: dict[str, Any], head: bytes, seen: set[_Path], last: bool) -> Any:
        """Return a piece of a delta with what may go out now; ``seen`` collects its channels."""
        if isinstance(value, str):
            if path[-1] in _WHOLE_FIELDS:
                return value
            seen.add(path)
            channel = self._channels.get(path)
            whole = channel.held + value if channel else value
            length = 0 if last else self._restorer.length_held(whole)
            if length or channel:
                channel = channel or self._channels.setdefault(path, _Channel())
                channel.held, channel.event, channel.head = whole[len(whole) - length :], event, head
                whole = whole[: len(whole) - length]
            made = whole
            if "[" in whole:
                made = self._restorer.put_back(whole, is_json=self._restorer.is_json_field(str(path[-1])))
            return value if made == value else made
        if isinstance(value, dict):
            new = {k: self._piece(item, (*path, k), event, head, seen, last) for k, item in value.items()}
            return value if all(map(_is_same, new.values(), value.values())) else new
        if isinstance(value, list):
            items = [
                self._piece(item, (*path, _index(item, place)), event, head, seen, last)
                if isinstance(item, dict)
                else self._restorer.value(item)
                for place, item in enumerate(value)
            ]
            return value if all(map(_is_same, items, value)) else items
        return value

    def _flushed(self, is_meant: Callable[[_Path], bool] = lambda _: True) -> bytes:
        """Return events with the texts that the channels (those that are meant) hold back, and forget them."""
        made = b""
        for path in [path for path, channel in self._channels.items() if channel.held and is_meant(path)]:
            channel = self._channels.pop(path)
            made += _written(channel.head, _alone(channel.event, path, channel.held), b"\n")
        return made


def _index(item: object, default: int) -> int:
    """Return the number by which pieces of one text know each other."""
    index = item.get("index", default) if isinstance(item, dict) else default
    return index if isinstance(index, int) else default


def _alone(event: dict[str, Any], path: _Path, text: str) -> dict[str, Any]:
    """Return an event like ``event`` that has nothing but ``text`` at ``path``.

    Ids and names of a tool call are left out: readers put the pieces of all events together.
    """
    value: Any = text
    for place in reversed(path[1:]):
        value = [{"index": place, **value}] if isinstance(place, int) else {place: value}
    if "choices" in event:
        scalars = {key: item for key, item in event.items() if not isinstance(item, dict | list)}
        return {**scalars, "choices": [{"index": path[0], **value, "finish_reason": None}]}
    delta_type = event["delta"].get("type")
    return {**event, "delta": {"type": delta_type, **value["delta"]}}


def _parsed(event: bytes) -> tuple[bytes, bytes]:
    """Return an event's other lines and its data."""
    head, data = [], []
    for line in event.splitlines():
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif line:
            head.append(line + b"\n")
    return b"".join(head), b"\n".join(data)


def _written(head: bytes, value: dict[str, Any], like: bytes) -> bytes:
    """Return an event with these other lines and this data, its lines ending as those of ``like``."""
    made = head + b"data: " + msgspec.json.encode(value) + b"\n\n"
    return made.replace(b"\n", b"\r\n") if b"\r\n" in like else made
