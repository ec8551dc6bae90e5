"""Take secrets and personal data out of a request before it leaves, and put them back into its answer.

Each value becomes a placeholder such as ``[EMAIL_1]``: the same value the same one, numbered as they first appear, so
that the unchanged beginning of a conversation stays the same text (and in a provider's cache) from turn to turn.
Every string of a request is looked at, keys and fields that nobody has heard of included, except for the protocol's own
words. Nothing is shared between requests but where in a text, known by its keyed hash, something was found.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from aidp_ext.ai import detect, find_secrets
from aidp_ext.ai.detect import DEFAULT_KINDS, LABELS, SECRET_KINDS, Match
from aidp_ext.ai.find_named import kind_of
from aidp_ext.ai.find_personal import is_card
from aidp_ext.ai.restore import Restorer, is_json
from aidp_ext.core.errors import InvalidRequest

Body = dict[str, Any]
Span = tuple[int, int, str]  # start, end, kind

_INLINE = 32 * 1024  # characters; longer requests are looked at in a thread
_CACHED = 4096  # texts
_WORTH_CACHING = 256  # characters; shorter texts are looked at faster than hashed


@dataclass(frozen=True)
class Finding:
    """A value that was taken out, by what stands for it; never the value."""

    kind: str
    label: str
    placeholder: str
    count: int


@dataclass(frozen=True)
class Redacted:
    """A request that may leave. Where nothing was found, ``body`` is the very one and ``restorer`` is None."""

    body: Body
    findings: tuple[Finding, ...] = ()
    restorer: Restorer | None = None


class Redactor:
    """Redacts requests; ``names`` are looked for in addition to ``kinds``."""

    def __init__(self, kinds: frozenset[str] = DEFAULT_KINDS, names: Sequence[str] = ()) -> None:
        self._names = detect.names_pattern(names)
        self._kinds = kinds | {"name"} if self._names else kinds - {"name"}
        self._seen: OrderedDict[bytes, tuple[Match, ...]] = OrderedDict()
        self._key = secrets.token_bytes(32)  # a kept hash must not tell a short text

    async def redact(self, body: Body) -> Redacted:
        """Return the request with placeholders; ``body`` itself is never changed.

        Raises InvalidRequest for a body that is nested too deeply to be looked at.
        """
        if find_secrets.is_ready() and _is_small(body):
            return self._redact(body)
        return await asyncio.to_thread(self._redact, body)

    def find(self, text: str) -> tuple[Match, ...]:
        """Return what is found in a text, from memory where it was looked at before."""
        if len(text) < _WORTH_CACHING:
            return tuple(detect.find(text, self._kinds, self._names))
        digest = hashlib.blake2b(text.encode(errors="surrogatepass"), key=self._key, digest_size=16).digest()
        known = self._seen.get(digest)
        if known is None:
            known = self._seen[digest] = tuple(detect.find(text, self._kinds, self._names))
            if len(self._seen) > _CACHED:
                self._seen.popitem(last=False)
        return known

    def named(self, name: str, value: str) -> str | None:
        """Return the kind of secret that a value is because of its name, None where it is none."""
        kind = kind_of(name, value) if 4 <= len(name) <= 64 else None
        return kind if kind in self._kinds else None

    def is_card(self, digits: str) -> bool:
        """Return whether a number is a payment card's, and those are looked for."""
        return "card" in self._kinds and is_card(digits)

    def is_plain_key(self, key: str) -> bool:
        """Return whether a key is too short, and too much of a word, to hold anything."""
        return self._names is None and len(key) < 16 and key.isidentifier()

    def _redact(self, body: Body) -> Redacted:
        try:
            values = _Values(_reserved(body))
            redacted = _Redaction(self, values).body(body)
            if not values.placeholders:
                return Redacted(body)
            if echoes := values.echoes():
                redacted = _Echoes(self, values, echoes).body(redacted)
        except RecursionError as error:
            raise InvalidRequest("The request is nested too deeply.") from error
        originals = {placeholder: value for value, placeholder in values.placeholders.items()}
        return Redacted(redacted, values.findings(), Restorer(originals, is_structured=_is_structured(body)))


class _Values:
    """What was taken out of one request."""

    def __init__(self, reserved: frozenset[str]) -> None:
        self._reserved = reserved
        self.placeholders: dict[str, str] = {}  # by value
        self._kinds: dict[str, str] = {}  # by placeholder, as the next two
        self._counts: dict[str, int] = {}
        self._last: dict[str, int] = {}  # number, by word

    def placeholder(self, value: str, kind: str) -> str:
        """Return what stands for a value, a new placeholder for a new one; counts it."""
        made = self.placeholders.get(value)
        if made is None:
            word = "SECRET" if kind in SECRET_KINDS else kind.upper()
            number = self._last.get(word, 0) + 1
            while f"{word}_{number}" in self._reserved:
                number += 1
            self._last[word] = number
            made = self.placeholders[value] = f"[{word}_{number}]"
            self._kinds[made], self._counts[made] = kind, 0
        self._counts[made] += 1
        return made

    def findings(self) -> tuple[Finding, ...]:
        """Return one finding a placeholder, as they first appear."""
        return tuple(
            Finding(kind, LABELS[kind], placeholder, self._counts[placeholder])
            for placeholder, kind in self._kinds.items()
        )

    def echoes(self) -> list[tuple[str, str]]:
        """Return the secrets to look for everywhere, longest first, with their kinds.

        What is a secret because of its surroundings (``password = …``) is one without them too. Words and short
        values are left out, and all but the first fifty: each costs a pass over the text.
        """
        found = []
        for value, placeholder in self.placeholders.items():
            is_telling = len(value) >= 6 and re.search(r"[^A-Za-z\s]", value) and not value.isdigit()
            is_confusing = "[" in value or "]" in value or any(value.lower() in other.lower() for other in self._kinds)
            if self._kinds[placeholder] in SECRET_KINDS and (is_telling or len(value) >= 12) and not is_confusing:
                found.append((value, self._kinds[placeholder]))
        return sorted(found[:50], key=lambda one: len(one[0]), reverse=True)


#: Fields below which the protocol goes on. What is below any other is somebody's data.
_STRUCTURE = frozenset(
    {"messages", "content", "tool_calls", "function", "function_call", "functions", "tools", "tool_choice", "custom"}
    | {"response_format", "system", "source", "image_url", "input_audio", "file", "cache_control", "stream_options"}
)
#: The protocol's own words, where they are texts.
_PROTOCOL = frozenset({"model", "role", "type", "id", "tool_call_id", "tool_use_id", "media_type"})
#: Their names speak of keys, their values are none.
_IDENTIFIERS = frozenset({"prompt_cache_key", "safety_identifier"})
_DATA_URL = re.compile(r"data:[\w/+.;=-]{0,128};base64,[A-Za-z0-9+/=_-]*+", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/=_-]*+", re.ASCII)
#: Below these keys a value goes by the name of what it belongs to: {"password": {"default": …}}.
_NAMELESS = frozenset({"value", "default", "const", "enum", "example", "examples"})


class _Walk:
    """Goes through a request and makes a new one where texts change; the old one stays as it is."""

    def __init__(self, redactor: Redactor, values: _Values) -> None:
        self._redactor = redactor
        self._values = values

    def body(self, body: Body) -> Body:
        """Return the whole request, changed or itself."""
        # The conversation last: what is the same in all its turns gets the first numbers
        order = sorted(body, key=lambda key: key in ("messages", "prompt", "suffix", "input"))
        joined = _across([body.get("prompt"), body.get("suffix")], self._redactor)
        extra = dict(zip(("prompt", "suffix"), joined, strict=True)) if joined else {}
        return self._object(body, order, "", False, extra)

    def text(self, text: str, name: str, extra: Sequence[Span]) -> str:
        """Return a text, changed or itself."""
        raise NotImplementedError

    def _value(self, value: Any, name: str, is_data: bool, extra: Sequence[Span] = ()) -> Any:
        if isinstance(value, str):
            is_nothing = (len(value) < 4 and not extra) or _DATA_URL.fullmatch(value)
            return value if is_nothing else self.text(value, name, extra)
        if isinstance(value, dict):
            return self._object(value, value, name, is_data, {})
        if isinstance(value, list):
            return self._list(value, name, is_data)
        if is_data and isinstance(value, int) and value > 999_999:
            made = self.number(str(value), name)
            return value if made is None else made
        return value

    def number(self, digits: str, name: str) -> str | None:
        """Return what stands for a number, None where it stays."""
        return None

    def _object(
        self, value: dict[str, Any], order: Sequence[str] | dict[str, Any], name: str, is_data: bool, extra: Any
    ) -> dict[str, Any]:
        made: dict[str, Any] = {}
        named = value.get("name") or value.get("key")
        for key in order:
            item = value[key]
            if not is_data and isinstance(item, str) and _is_protocol(value, key, item):
                made[key] = item
                continue
            child = "" if key in _IDENTIFIERS else key
            if key in _NAMELESS:
                child = named if key == "value" and isinstance(named, str) else name
            below = is_data or (key not in _STRUCTURE and isinstance(item, dict | list))
            made[key] = self._value(item, child, below, extra.get(key, ()))
        keys = {key: key if self._redactor.is_plain_key(key) else self.text(key, "", ()) for key in value}
        if all(made[key] is value[key] and keys[key] is key for key in value):
            return value
        return {keys[key]: made[key] for key in value}

    def _list(self, value: list[Any], name: str, is_data: bool) -> list[Any]:
        joined = _across([item.get("text") if isinstance(item, dict) else None for item in value], self._redactor)
        made = [
            self._object(item, item, name, is_data, {"text": joined[place]})
            if joined and isinstance(item, dict)
            else self._value(item, name, is_data)
            for place, item in enumerate(value)
        ]
        return value if all(new is old for new, old in zip(made, value, strict=True)) else made


class _Redaction(_Walk):
    """Puts placeholders in the place of what is found."""

    def text(self, text: str, name: str, extra: Sequence[Span]) -> str:
        """Return a text with placeholders; a text that is JSON stays JSON, and is looked at as its parts."""
        if kind := self._redactor.named(name, text):
            return self._values.placeholder(text, kind)
        found = [(match.start, match.end, match.kind) for match in self._redactor.find(text)]
        if name and len(text) <= 64:  # {"phone": "5551234567"}
            shift = len(name) + 2
            with_name = self._redactor.find(f"{name}: {text}")
            found += [(m.start - shift, m.end - shift, m.kind) for m in with_name if m.start >= shift]
        if (found or "\\" in text) and is_json(text):
            return self._json(text)
        found += extra
        return self._replaced(text, detect.merged(found)) if found else text

    def number(self, digits: str, name: str) -> str | None:
        """Return what stands for a number that is a card's, or a telephone's by its name."""
        if self._redactor.is_card(digits):
            return self._values.placeholder(digits, "card")
        shift = len(name) + 2
        for match in self._redactor.find(f"{name}: {digits}") if name else ():
            if match.start == shift and match.end == shift + len(digits):
                return self._values.placeholder(digits, match.kind)
        return None

    def _replaced(self, text: str, matches: Sequence[Match]) -> str:
        parts: list[str] = []
        done = 0
        for match in matches:
            parts += text[done : match.start], self._values.placeholder(text[match.start : match.end], match.kind)
            done = match.end
        return "".join((*parts, text[done:]))

    def _json(self, text: str) -> str:
        """Return a JSON text with placeholders in its strings, and for its numbers; the rest as it is written."""
        name = ""

        def part(found: re.Match[str]) -> str:
            nonlocal name
            raw = found[1]
            if raw is None:
                made = self.number(found[0], name)
                return found[0] if made is None else f'"{made}"'
            plain = msgspec.json.decode(f'"{raw}"') if "\\" in raw else raw
            is_key = found[2] is not None
            new = self._value(plain, "" if is_key else name, True)
            if is_key:
                name = plain
            return found[0] if new == plain else msgspec.json.encode(new).decode() + (found[2] or "")

        return _JSON_PART.sub(part, text)


_JSON_PART = re.compile(r'"((?:[^"\\]|\\.)*+)"(\s*+:)?|(?<![\w.+-])[0-9]{7,19}(?![\w.])')


class _Echoes(_Walk):
    """Replaces known secrets wherever else they stand."""

    def __init__(self, redactor: Redactor, values: _Values, echoes: Sequence[tuple[str, str]]) -> None:
        super().__init__(redactor, values)
        self._echoes = echoes

    def text(self, text: str, name: str, extra: Sequence[Span]) -> str:
        """Return a text without the known secrets."""
        for value, kind in self._echoes:
            if value in text:
                first, *rest = text.split(value)
                text = first + "".join(self._values.placeholder(value, kind) + part for part in rest)
        return text


def _across(texts: Sequence[object], redactor: Redactor) -> list[list[Span]]:
    """Return for each of several texts what is found when adjacent ones are read as one; empty where there are none.

    A secret that is cut by the border of two parts, or by the cursor between prompt and suffix, is found in neither.
    Each piece of it becomes a placeholder of its own.
    """
    found: list[list[Span]] = [[] for _ in texts]
    is_any = False
    for run in _runs(texts):
        is_any = True
        starts, length = [], 0
        for place in run:
            starts.append(length)
            length += len(str(texts[place]))
        for match in redactor.find("".join(str(texts[place]) for place in run)):
            for place, start in zip(run, starts, strict=True):
                size = len(str(texts[place]))
                begin, end = max(0, match.start - start), min(size, match.end - start)
                if begin < end:
                    found[place].append((begin, end, match.kind))
    return found if is_any else []


def _runs(texts: Sequence[object]) -> Iterator[list[int]]:
    """Yield the places of two and more texts in a row."""
    run: list[int] = []
    for place, text in enumerate((*texts, None)):
        if isinstance(text, str):
            run.append(place)
        else:
            if len(run) > 1:
                yield run
            run = []


def _is_protocol(owner: dict[str, Any], key: str, value: str) -> bool:
    """Return whether a text is the protocol's: its words, ids, names of tools, and what is no text but data."""
    if key in _PROTOCOL:
        return True
    if key == "name":  # a tool's; a person's has a role beside it
        return owner.get("role") in (None, "tool", "function")
    if key == "data" and (owner.get("type") == "base64" or "format" in owner):
        return _BASE64.fullmatch(value) is not None
    return False


_RESERVED = re.compile(rb"(?:\[|u005b)([a-z]{2,6}_[0-9]{1,9})", re.IGNORECASE)


def _reserved(body: Body) -> frozenset[str]:
    """Return the placeholders that the request itself has, which must come back unchanged."""
    return frozenset(found.decode().upper() for found in _RESERVED.findall(msgspec.json.encode(body)))


def _is_structured(body: Body) -> bool:
    """Return whether the answer's text is to be JSON."""
    wanted = body.get("response_format") or body.get("output_format") or body.get("output_config")
    if isinstance(wanted, dict) and isinstance(wanted.get("format"), dict):
        wanted = wanted["format"]
    return isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema")


def _is_small(body: Body) -> bool:
    """Return whether a request is soon looked at."""
    left = _INLINE
    open_values: list[Any] = [body]
    while open_values and left > 0:
        value = open_values.pop()
        left -= 8
        if isinstance(value, str):
            left -= len(value)
        elif isinstance(value, dict):
            open_values += value.values()
        elif isinstance(value, list):
            open_values += value
    return left > 0
