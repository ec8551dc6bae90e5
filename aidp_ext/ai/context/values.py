"""Takes data out of printed text: rows, arrays, lists and records, however they were printed.

A guess by form, and a strict one: a log line in columns goes too. What code prints one by one, in words of its own,
has no form to tell it by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set

ROWS = "… rows not shown …"
_HIDDEN = "…"

#: Characters of a remark in round brackets: what is longer counts as data.
_LONGEST_REMARK = 300
_BRACKET = re.compile(r"[\[\]{}(]")
_ROUND = re.compile(r"[()]")
#: Inside of brackets; a text that is not closed goes to the end.
_PART = re.compile(r"""[\[\]{}]|'(?:[^'\\]|\\.)*+(?:'|\Z)|"(?:[^"\\]|\\.)*+(?:"|\Z)""", re.DOTALL)
_TELLING = re.compile(r"""['"=\[{]""")
_SHAPE = re.compile(r"\d{0,15}(?:, ?\d{1,15}){0,7},?")
_SIZE = re.compile(r"\[[\d, ]{0,100}\]")  # ``torch.Size([10, 5])``
_WORD = re.compile(r"[A-Za-z_][\w.-]{0,40}")

#: A line of a table: in columns, between rules, as HTML, XML or TeX.
_COLUMNS = re.compile(
    r"\S(?: {2,}|\t)[ \t]*\S|^[ \t]*[|│║┆┌├└╞╘╭╰╒┬═─]|^[ \t]*\+[-=+]{2}|^[ \t]*[-=]{2,}(?: +[-=]{2,})+[ \t]*$"
    r"|</?t(?:able|body|head|[rdh])\b|<([\w.-]+)>[^<]*</|\\\\[ \t]*$"
)
_QUOTED = re.compile(r"""^[ \t]*(?:\w{0,2}(['"]).*\1|["'][^"']*["']:.*)[ \t]*,?$""")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_LETTERS = re.compile(r"[^\W\d_]\w+")
_DIGITS = re.compile(r"(?<![\w.])[-+]?\d[\d.,]*")
_WARNING = re.compile(r"\w(?:Warning|Error): ")
_SEPARATOR = re.compile(r"[,;|](?=\S)")


def without_values(text: str) -> str:
    """Return a text in which ROWS stands for lines of data, and ``[…]`` for what stands in brackets.

    Linear in its length. Shapes such as ``(891, 12)`` stay.
    """
    lines = without_groups(text).split("\n")
    separated = [len(_SEPARATOR.findall(_THOUSANDS.sub("", line))) for line in lines]
    aligned = _aligned(lines)
    is_data: list[bool] = []
    for place, line in enumerate(lines):
        beside = separated[max(0, place - 1) : place + 2]
        is_separated = separated[place] > 1 or (separated[place] == 1 and sum(map(bool, beside)) > 1)
        is_data.append(aligned[place] or is_separated or _is_row(line))
    for place in range(len(lines) - 2, -1, -1):  # the header above, which may have a single column
        is_data[place] |= is_data[place + 1] and lines[place].startswith("  ")
    return "\n".join(_shown(lines, is_data)).strip("\n")


def without_loose_values(text: str, words: Set[str]) -> str:
    """Return a text with ROWS for lines that say nothing in the words of the code that printed them.

    ``Braund 7.25`` of a loop has no form to tell it by, but what code prints in words of its own stands in it.
    ``words`` are those of the code, in small letters. A number alone stays, but not three of them below each other.
    """
    lines = text.split("\n")
    is_data: list[bool] = []
    numbers = 0
    for place, line in enumerate(lines):
        said = _LETTERS.findall(line)
        if line == ROWS:
            hides = True
        elif not line.strip() or _HIDDEN in line or _WARNING.search(line):
            hides = False
        elif said:
            hides = not any(word.casefold() in words for word in said)
        else:
            hides = len(_DIGITS.findall(line)) > 1
        is_data.append(hides)
        numbers = numbers + 1 if not said and not hides and _DIGITS.search(line) else 0
        if numbers > 2:
            is_data[place - numbers + 1 :] = [True] * numbers
    return "\n".join(_shown(lines, is_data)).strip("\n")


def _aligned(lines: list[str]) -> list[bool]:
    """Return for each line whether it is one of several of the same width, the first or another of them filled up."""
    found = [False] * len(lines)
    start = 0
    for end in range(1, len(lines) + 1):
        if end == len(lines) or len(lines[end]) != len(lines[start]):
            is_filled = len({len(line) - len(line.lstrip(" ")) for line in lines[start:end]}) > 1
            found[start:end] = [is_filled] * (end - start)
            start = end
    return found


def _is_row(line: str) -> bool:
    return bool(_COLUMNS.search(line) or _QUOTED.match(line))


def _shown(lines: list[str], is_data: list[bool]) -> Iterator[str]:
    was_data = False
    for line, hides in zip(lines, is_data, strict=True):
        if hides and not was_data:
            yield ROWS
        elif not hides:
            yield line
        was_data = hides or (was_data and not line.strip())


def without_groups(text: str) -> str:
    """Return a text with ``…`` in the place of what brackets hold, where that may be data; over lines, too."""
    parts: list[str] = []
    done = place = 0
    round_ends = _round_ends(text)
    while (found := _BRACKET.search(text, place)) is not None:
        start, place = found.span()
        end: int | None
        match found[0]:
            case "(":
                end = round_ends.get(start)
                if end is not None and text.endswith("Size", 0, start) and _SIZE.fullmatch(text, place, end):
                    place = end
                    continue
                if not _is_record(text[start + 1 : min(start + _LONGEST_REMARK, len(text) if end is None else end)]):
                    continue
            case "[" | "{":
                end = _end(text, start)
                if end is not None and _WORD.fullmatch(text, start + 1, end):  # ``[INFO]``
                    place = end + 1
                    continue
            case _:  # closed, and not opened: the text was cut
                parts.clear()
                start, end = -1, start
                done = 0
        parts += text[done : start + 1], _HIDDEN
        done = place = len(text) if end is None else end
        place += end is not None
    return "".join((*parts, text[done:]))


def _end(text: str, start: int) -> int | None:
    """Return where the bracket is closed that opens at a place; None where it is not: the text was cut."""
    depth = 0
    for part in _PART.finditer(text, start):
        if part[0] in "[{":
            depth += 1
        elif part[0] in "]}":
            depth -= 1
            if not depth:
                return part.start()
    return None


def _round_ends(text: str) -> dict[int, int]:
    """Return where the round brackets are closed, by where they open."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for match in _ROUND.finditer(text):
        if match[0] == "(":
            opened.append(match.start())
        elif opened:
            found[opened.pop()] = match.start()
    return found


def _is_record(inside: str) -> bool:
    """Return whether round brackets hold data: a record, a tuple, an array; no shape, and no short remark."""
    if _SHAPE.fullmatch(inside):
        return False
    is_long = len(inside) > _LONGEST_REMARK - 2
    return is_long or bool(_TELLING.search(inside)) or ("," in inside and any(c.isdigit() for c in inside))
