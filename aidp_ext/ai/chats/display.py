"""A model's answer as it may be shown: Markdown that loads nothing from elsewhere, however it comes in pieces.

Outside of code, images become links, HTML becomes text, and the TeX macros that take styles are taken apart; code
stays as it is. What counts as code errs to the safe side: where renderers could disagree, it is text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCE = re.compile(r"( {0,3})(`{3,}(?=[^`]*$)|~{3,})")
_IMAGE = re.compile(r"!+(?=\[)")
# <https://…> stays; so does what tables need, where it cannot begin a block of HTML
_TAG = re.compile(r"<(?=[A-Za-z/!?])(?!https?://[^\s<>`]*>)")
_PLAIN_TAG = re.compile(r"(?<=\S)&lt;(br ?/?|/?su[bp])>")
# MathJax takes CSS, with addresses in it, by these macros; see its html, bbox and mmlToken packages.
_MACRO = re.compile(r"\\(?=(?:style|bbox|cssId|class|href|require|mmlToken|data|includegraphics)(?![A-Za-z]))")
_TICKS = re.compile(r"`+")
_BEFORE_CODE = re.compile(r"(?:^|\s)[(\[*_\"']*$")


@dataclass(frozen=True)
class _Fence:
    mark: str
    indent: int


class Display:
    """Grows by pieces; ``text`` is what may be shown of all that came. Linear in the answer's length."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._paragraph: list[str] = []  # lines that are not yet followed by an empty one
        self._line = ""  # the last one, not yet ended
        self._fence: _Fence | None = None
        self._has_code = True  # False: after what is ambiguous, nothing counts as code
        self.received = 0  # characters

    def add(self, piece: str) -> None:
        """Take some more text."""
        self.received += len(piece)
        *lines, self._line = (self._line + piece.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
        for line in lines:
            self._take(f"{line}\n")

    @property
    def text(self) -> str:
        """What may be shown now. The end of it may still change as more comes."""
        open_end = [*self._paragraph, self._line]
        if self._fence is not None and not self._leaves(self._fence, self._line):
            return "".join((*self._done, *open_end))
        return "".join((*self._done, _safe("".join(open_end), self._has_code)))

    def close(self) -> None:
        """End an open block of code, so that what follows is text."""
        if self._fence is not None:
            self.add(f"\n{' ' * self._fence.indent}{self._fence.mark}\n" if self._line else f"{self._fence.mark}\n")

    def _take(self, line: str) -> None:
        if self._fence is not None:
            if not self._leaves(self._fence, line):
                self._done.append(line)
                if _closes(self._fence, line):
                    self._fence = None
                return
            # the end of a list item or so: nobody can tell what a fence further on would open or close
            self._fence, self._has_code = None, False
        found = _FENCE.match(line.rstrip("\n")) if self._has_code else None
        if found is not None:
            self._end_paragraph()
            self._done.append(_safe(line, False))
            self._fence = _Fence(found[2], len(found[1]))
        elif line.strip():
            self._paragraph.append(line)
        else:
            self._end_paragraph()
            self._done.append(line)

    def _end_paragraph(self) -> None:
        self._done.append(_safe("".join(self._paragraph), self._has_code))
        self._paragraph.clear()

    @staticmethod
    def _leaves(fence: _Fence, line: str) -> bool:
        return bool(line.strip()) and len(line) - len(line.lstrip(" ")) < fence.indent


def shown(text: str) -> str:
    """Return a whole text as it may be shown."""
    display = Display()
    display.add(text)
    return display.text


def _closes(fence: _Fence, line: str) -> bool:
    mark = line.strip()
    return len(mark) >= len(fence.mark) and set(mark) == {fence.mark[0]} and len(line) - len(line.lstrip(" ")) <= 3


def _safe(paragraph: str, has_code: bool) -> str:
    if not _needs_care(paragraph):
        return paragraph
    parts: list[str] = []
    done = 0
    for start, end in _code_spans(paragraph) if has_code else ():
        parts += _without_loads(paragraph[done:start]), paragraph[start:end]
        done = end
    return "".join((*parts, _without_loads(paragraph[done:])))


def _needs_care(text: str) -> bool:
    return "![" in text or "<" in text or "\\" in text


def _without_loads(text: str) -> str:
    text = _TAG.sub("&lt;", _IMAGE.sub("", text))
    return _MACRO.sub(r"\\ ", _PLAIN_TAG.sub(r"<\1>", text))


def _code_spans(paragraph: str) -> list[tuple[int, int]]:
    """Return where inline code is for sure: as its line alone says, and as the whole paragraph says."""
    if "\\`" in paragraph:
        return []
    by_paragraph = set(_pairs(paragraph, 0))
    spans: list[tuple[int, int]] = []
    start = 0
    for line in paragraph.splitlines(keepends=True):
        for span in _pairs(line, start):
            code = paragraph[slice(*span)]
            if span in by_paragraph and "|" not in code and _begins_a_word(paragraph, start, span[0]):
                spans.append(span)
        start += len(line)
    return spans


def _begins_a_word(text: str, line: int, place: int) -> bool:
    """Return whether only brackets and the like stand between a place and the space before it: no address does."""
    window = text[max(line, place - 50) : place]
    return _BEFORE_CODE.search(window if place - line <= 50 else f"x{window}") is not None


def _pairs(text: str, offset: int) -> list[tuple[int, int]]:
    """Return the spans between runs of backticks of the same length, as CommonMark 0.31 pairs them."""
    runs = [(found.start(), found.end()) for found in _TICKS.finditer(text)]
    pairs: list[tuple[int, int]] = []
    last: dict[int, list[int]] = {}
    for number, (begin, end) in enumerate(runs):
        last.setdefault(end - begin, []).append(number)
    number = 0
    while number < len(runs):
        length = runs[number][1] - runs[number][0]
        same = last[length]
        while same and same[0] <= number:
            same.pop(0)
        if same:
            pairs.append((runs[number][0] + offset, runs[same[0]][1] + offset))
            number = same[0]
        number += 1
    return pairs
