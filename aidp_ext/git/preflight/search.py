"""Looks for what the given finder knows, in the parts of a text that are worth it.

Long texts are what training runs print and what data files hold, and reading all of them takes seconds. Most of their
lines differ in numbers only: of each such shape the first line is read. Binary data that is written as text is not.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

#: ``(text, personal)`` → ``(start, end, kind, label)`` of each secret, and with ``personal`` of personal data too.
#: It is called in threads.
FindSecrets = Callable[[str, bool], list[tuple[int, int, str, str]]]

LONG_LINE = 2_000  # characters; longer ones are written by programs
_LONG = 50_000  # characters; a shorter text is read as it is
_MOST = 1_000_000  # characters that are read of one text
_MOST_PERSONAL = 300_000
_BEFORE, _AFTER = 200, 1_200  # around a tell-tale word
_DIGITS = bytes.maketrans(b"0123456789", b"0" * 10)
# Each alternative begins with a letter as it is: others would make the look five times slower
_TELLTALE = re.compile(
    r"AKIA|ASIA|ABIA|ACCA|gh[pousr]_|github_pat_|gl[a-z]+-|sk[-_]|rk_live|hf_|AIza|GOCSPX|ya29|xox|xapp-|hooks\.slack"
    r"|PRIVATE KEY|PuTTY|SG\.|npm_|pypi-|dapi|eyJ|AccountKey|whsec_|gsk_|xai-|r8_|nvapi|pplx-|dop_v1|sq0csp"
    r"|://[^/\s]{0,80}@|Pass|pass|PASS|Pwd|pwd|PWD|Secret|secret|SECRET|Token|token|TOKEN|Api_?[Kk]ey|api_?[Kk]ey"
    r"|API_?KEY|_key|_KEY|Credential|credential|Authoriz|authoriz|AUTH|Bearer|bearer"
)
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{500,}+={0,2}")
_BASE64_LINE = re.compile(r"[A-Za-z0-9+/]{60,}={0,2}\r?")
_DATA_URI = re.compile(r";base64,[A-Za-z0-9+/=]{16,}+")


@dataclass(frozen=True)
class Hit:
    """A thing that was found, and the line of the text where it begins, from 1."""

    text: str
    kind: str
    label: str
    line: int
    is_in_long_line: bool
    is_in_base64: bool  # its line and one beside it are nothing else
    is_in_run: bool  # of more such characters


@dataclass(frozen=True)
class Read:
    """What was found in a text. ``is_whole`` is false where a part that should have been read was left out."""

    hits: tuple[Hit, ...] = ()
    is_whole: bool = True


@dataclass(frozen=True)
class _Text:
    """What is read of a text: where each of its lines begins, its number, and whether it was cut from a long one."""

    text: str
    starts: Sequence[int]
    numbers: Sequence[int]
    is_cut: Sequence[bool]

    def hit(self, start: int, end: int, kind: str, label: str) -> Hit:
        row = bisect_right(self.starts, start) - 1
        around = {self.text[max(0, start - 1) : start], self.text[end : end + 1]}
        is_base64 = self._is_base64(row) and (self._is_base64(row - 1) or self._is_base64(row + 1))
        is_long = self.is_cut[row] or len(self._line(row)) > LONG_LINE
        return Hit(self.text[start:end], kind, label, self.numbers[row], is_long, is_base64, bool({"+", "/"} & around))

    def _line(self, row: int) -> str:
        stop = self.starts[row + 1] - 1 if row + 1 < len(self.starts) else len(self.text)
        return self.text[self.starts[row] : stop]

    def _is_base64(self, row: int) -> bool:
        return 0 <= row < len(self.starts) and _BASE64_LINE.fullmatch(self._line(row)) is not None


def secrets_in(text: str, find: FindSecrets) -> Read:
    """Return the secrets of a text."""
    read = _whole(text) if len(text) <= _LONG else _shapes(text)
    if len(read.text) <= 2 * _LONG:
        return Read(tuple(read.hit(*one) for one in find(read.text, False)))
    hits: list[Hit] = []
    left = _MOST
    for start, end in _windows(read.text):
        if left <= 0:
            return Read(tuple(hits), is_whole=False)
        left -= end - start
        found = find(read.text[start:end], False)
        hits += (read.hit(start + at, start + to, kind, label) for at, to, kind, label in found)
    return Read(tuple(hits))


def personal_in(text: str, find: FindSecrets) -> Read:
    """Return the personal data of a text; of a long one, that of its beginning."""
    read = _whole(text[:_MOST_PERSONAL])
    found = find(read.text, True)
    secret = {kind for _, _, kind, _ in find(read.text, False)} if found else set()  # told by another check
    hits = tuple(read.hit(*one) for one in found if one[2] not in secret)
    return Read(hits, is_whole=len(text) <= _MOST_PERSONAL)


def _whole(text: str) -> _Text:
    lines = _without_binary(text).split("\n")
    lines = [_BASE64.sub("", line) if len(line) > LONG_LINE else line for line in lines]
    return _text(lines, range(1, len(lines) + 1), [False] * len(lines))


def _shapes(text: str) -> _Text:
    """Return the first line of each shape. Lines that are long are taken in parts, from comma to comma."""
    rows = _without_binary(text).encode("utf-8", "replace").split(b"\n")
    numbers: Sequence[int] = range(1, len(rows) + 1)
    is_cut = [len(row) > LONG_LINE for row in rows]
    if any(is_cut):
        parts = [(part, n, cut) for row, n, cut in zip(rows, numbers, is_cut, strict=True) for part in _cut(row, cut)]
        rows, numbers, is_cut = [p for p, _, _ in parts], [n for _, n, _ in parts], [c for _, _, c in parts]
    shapes = b"\n".join(rows).translate(_DIGITS)
    for many, one in ((b"0000", b"0"), (b"000", b"0"), (b"00", b"0"), (b"00", b"0"), (b"    ", b" "), (b"  ", b" ")):
        shapes = shapes.replace(many, one)
    count = len(rows)
    first = dict(zip(reversed(shapes.split(b"\n")), range(count - 1, -1, -1), strict=True))
    kept = sorted(first.values())
    lines = [rows[at].decode() for at in kept]
    lines = [_BASE64.sub("", line) if len(line) > LONG_LINE else line for line in lines]
    return _text(lines, [numbers[at] for at in kept], [is_cut[at] for at in kept])


def _cut(row: bytes, is_long: bool) -> list[bytes]:
    return row.split(b",") if is_long else [row]


def _without_binary(text: str) -> str:
    """Return a text without pictures that are written in it; its lines keep their numbers."""
    return _DATA_URI.sub(";base64,", text) if ";base64," in text else text


def _text(lines: list[str], numbers: Sequence[int], is_cut: Sequence[bool]) -> _Text:
    starts = [0] * len(lines)
    at = 0
    for row, line in enumerate(lines):
        starts[row] = at
        at += len(line) + 1
    return _Text("\n".join(lines), starts, numbers, is_cut)


def _windows(text: str) -> Iterator[tuple[int, int]]:
    """Yield what is around tell-tale words, from the end of a line where one is near; windows that touch are one."""
    start = end = -1
    for found in _TELLTALE.finditer(text):
        at = found.start()
        if start >= 0 and at - _BEFORE <= end:
            end = max(end, at + _AFTER)
            if end - start > _LONG:
                yield start, min(end, len(text))
                start = end = -1
            continue
        if start >= 0:
            yield start, min(end, len(text))
        start = max(0, at - _BEFORE)
        start = max(start, text.rfind("\n", start, at) + 1)
        end = at + _AFTER
    if start >= 0:
        yield start, min(end, len(text))
