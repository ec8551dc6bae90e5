"""Outputs in short: what a person would read of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass

from aidp_ext.ai.context import messages
from aidp_ext.ai.context.values import ROWS, without_loose_values, without_values

#: Characters of a text at either end that are looked at; an output may have millions.
_WINDOW = 30_000
_TABLE_ROWS = 6
LEFT_OUT = "… {} lines left out …"

# CSI and OSC sequences (ECMA-48), and control characters that say nothing as text.
_ESCAPES = re.compile(r"\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]|\x1b\][^\x07\x1b]{0,1000}(?:\x07|\x1b\\)|\x1b.")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

_FRAME = re.compile(
    r"^[ \t]{0,4}(?:(?:Cell |Input )?In ?\[(?P<count>\d{1,9})\]|<ipython-input-(?P<old_count>\d{1,9})-"
    r"|File \"?(?P<file>[^\n\":,]{1,1000})\"?)"
    r"[^\n]*$",
    re.MULTILINE,
)
_LIBRARY = re.compile(r"site-packages|dist-packages|[/\\]lib[/\\]python\d|<frozen |[/\\]ipykernel_|<__array_function__")
_CALL = re.compile(r"(, in [^\s(]{1,300})\(.*")
_ARROW = re.compile(r"^\s{0,20}-{1,20}>\s{0,20}(\d{1,9})\b")
_NUMBERED = re.compile(r"^[ \t]{0,20}(?:-{1,20}>)?[ \t]{0,20}\d{1,9}\b", re.MULTILINE)
_RAISES = re.compile(r"(?:^|[\s:;])(?:raise|assert)\b")
_CHAIN = re.compile(
    r"^(?:During handling of the above exception|The above exception was the direct cause)", re.MULTILINE
)
_ERROR = re.compile(r"^(?:[A-Za-z_][\w.]{0,200})(?:: |$)", re.MULTILINE)
_NAMED = re.compile(r"[\w.]{0,200}(?:Error|Exception|Interrupt|Exit|Warning|Iteration)\b[\w.]{0,200}(?:: |$)")
_RULE = re.compile(r"^-{20,}$\n?", re.MULTILINE)
_FRAME_LINES = 5  # at either side

# What pandas, polars and numpy print.
_TABULAR = re.compile(
    r"(?<!\d)\d{1,15} rows x \d{1,15} columns|^(?:Name: .{0,200}, )?(?:Length: \d{1,15}, )?dtype: \w|^shape: \(\d"
    r"|^[┌╭+][─═┬╌+-]{3}|^\|[^\n]*\|$"
    r"|^[ \t]{0,40}(?:(?:array|tensor|Tensor|Array|matrix)\(\[|\[\[|\[ ?-?\d[\d.eE+-]*[ \t]+[-\d])",
    re.MULTILINE,
)
_SIZE = re.compile(r"(?<!\d)\d{1,15} rows x \d{1,15} columns")
_INDEXED_ROW = re.compile(r"^\S[^\n]{0,200}?[ \t]{2}[ \t]{0,200}\S", re.MULTILINE)


@dataclass(frozen=True)
class Traceback:
    """A traceback in short, and the execution counts of the cells that it goes through."""

    text: str
    error: str  # its last lines: ``KeyError: 'age'``
    counts: tuple[int, ...] = ()


def plain(text: str) -> str:
    """Return a text as a terminal would show it, without colours; of a very long one its two ends."""
    if len(text) > 2 * _WINDOW:
        text = f"{text[:_WINDOW]}\n…\n{text[-_WINDOW:]}"
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    if "\r" in text:
        lines = text.replace("\r\n", "\n").split("\n")  # of a progress bar the last state
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)
    return _CONTROLS.sub("", text).strip("\n")


def clipped(text: str, most: int, mark: str = LEFT_OUT) -> str:
    """Return a text of at most ``most`` characters: whole lines from either end, more from the beginning.

    ``mark`` stands for the lines that are left out and may name their number. Nothing is returned where not even the
    mark would fit.
    """
    if len(text) <= most:
        return text
    lines = text.count("\n") + 1
    if lines == 1:
        mark = "…"
    note = mark.format(lines)
    room = most - len(note) - 2
    if room <= 0:
        return ""
    head, tail = text[: room * 3 // 5], text[-(room - room * 3 // 5) :]
    if "\n" in head[len(head) // 2 :]:
        head = head[: head.rindex("\n")]
    if "\n" in tail[: len(tail) // 2]:
        tail = tail[tail.index("\n") + 1 :]
    left_out = lines - head.count("\n") - tail.count("\n") - 2
    return f"{head}\n{mark.format(max(1, left_out))}\n{tail}"


def is_table(text: str) -> bool:
    """Return whether a text shows data: a data frame, a series, an array. A guess by how they are printed."""
    text = text[:_WINDOW]
    if _TABULAR.search(text):
        return True
    first, _, rest = text.strip("\n").partition("\n")
    # The header of a frame stands to the right of its index, and each row begins with one
    return first.startswith("  ") and len(_INDEXED_ROW.findall(rest[:2000])) >= max(1, min(2, rest.count("\n")))


def table(text: str, most: int, *, shows_values: bool) -> str:
    """Return the first rows of a table, or its size alone: what looks like a header may be a row, or made of values."""
    lines = text.strip("\n").split("\n")
    rows = lines[: _TABLE_ROWS + 1]
    size = next((line.strip() for line in reversed(lines[-3:]) if _SIZE.search(line)), "")
    if not shows_values:
        found = _SIZE.search(size)
        return f"{ROWS} [{found[0]}]" if found else ROWS
    if len(lines) > len(rows):
        rows.append(f"… {len(lines) - len(rows)} lines left out … {size}".rstrip())
    return clipped("\n".join(rows), most)


def shown(
    text: str, most: int, *, is_data: bool, shows_values: bool, words: Callable[[], Set[str]] | None = None
) -> str:
    """Return an output in short. Without ``shows_values`` no data is in it that its form tells, or ``words``.

    These are the words of the code, of which one at least stands in each line that it prints in words of its own.
    """
    if is_data or is_table(text):
        return table(text, most, shows_values=shows_values)
    if shows_values:
        return clipped(text, most)
    text = without_values(text)
    return clipped(text if words is None else without_loose_values(text, words()), most)


def _cause(section: str) -> list[str]:
    """Return the error that led to the next one, and the words between them, where a frame is the last before these."""
    chain = _CHAIN.search(section)
    if chain is None:
        return []
    named = [line[:500] for line in section[: chain.start()].split("\n") if _NAMED.match(line)]
    words = section[chain.start() :].partition("\n")[0]
    return [*named[-1:], words]


def traceback(
    text: str, most: int, cells: Mapping[int, int], *, shows_values: bool = False, sources: Iterable[str] = ()
) -> Traceback:
    """Return a traceback in short: the error, and the frames outside of libraries with their lines.

    ``cells`` gives the number in the document for an execution count. Without ``shows_values`` no data is in it but
    what the user's own code says: that of the frames, and ``sources``.
    """
    text = _RULE.sub("", plain(text)).strip("\n")
    error = _error(text)
    rest = text[: len(text) - len(error)]
    sections: list[
        tuple[str, str, bool]
    ] = []  # a frame of the user's with its code, and whether it raises; or what else
    counts: list[int] = []
    libraries = 0
    matches = list(_FRAME.finditer(text))[:200]
    for place, match in enumerate(matches):
        end = matches[place + 1].start() if place + 1 < len(matches) else len(rest)
        section = text[match.start() : max(match.end(), end)]
        if match["file"] and _LIBRARY.search(match[0]):
            libraries += 1
            sections.append(("", section, False))
            continue
        count = int(match["count"] or match["old_count"] or 0)
        counts += [count] if count else []
        where = f"(cell {cells[count]}) " if count and count in cells else ""
        frame, raises = _frame(section.split("\n"))
        sections.append((where + frame, section, raises))
    own = (_NUMBERED.sub("", frame.partition("\n")[2]) for frame, *_ in sections)
    knows = messages.vocabulary([*sources, *own])
    frames: list[str] = []
    for frame, section, raises in sections:
        frames += filter(None, (frame,))
        cause = _cause(section)
        if cause and not shows_values:
            cause = [*(messages.without_data(line, knows, is_own=raises) for line in cause[:-1]), cause[-1]]
        frames += cause
    if not shows_values:
        error = messages.without_data(error, knows, is_own=bool(sections) and sections[-1][2])
    if not matches:
        whole = text if shows_values else f"{without_values(rest)}\n{error}".strip("\n")
        return Traceback(clipped(whole, most), clipped(error, most))
    if libraries:
        frames.append(f"… {libraries} frame{'s' if libraries > 1 else ''} in libraries …")
    error = clipped(error, most // 2)
    room = most - len(error) - 1
    return Traceback(
        "\n".join(filter(None, (clipped("\n".join(frames), room), error))), error, tuple(dict.fromkeys(counts))
    )


def _frame(lines: list[str]) -> tuple[str, bool]:
    """Return a frame's place with the lines of code around it, and whether the code itself raises there.

    What a verbose traceback has of the variables is left out.
    """
    header = _CALL.sub(r"\1", lines[0]).strip()
    arrow = next((place for place, line in enumerate(lines) if _ARROW.match(line)), None)
    if arrow is None:  # plain Python's: one line of code follows
        code = [line for line in lines[1:2] if line.strip()]
        code += [line for line in lines[2:3] if code and line.strip() and not line.strip(" ^~")]
        return "\n".join([header, *code]), any(_RAISES.search(line) for line in code[:1])
    first = last = arrow
    number = int(_ARROW.match(lines[arrow])[1])  # type: ignore[index]
    while first > 1 and _has_number(lines[first - 1], number - (arrow - first) - 1):
        first -= 1
    while last + 1 < len(lines) and _has_number(lines[last + 1], number + (last - arrow) + 1):
        last += 1
    code = lines[max(first, arrow - _FRAME_LINES) : min(last, arrow + _FRAME_LINES) + 1]
    return "\n".join([header, *code]), _RAISES.search(lines[arrow]) is not None


def _has_number(line: str, number: int) -> bool:
    """Return whether a line of code has this number."""
    text = line.lstrip()
    return text == str(number) or text.startswith(f"{number} ")


def _error(text: str) -> str:
    """Return the last lines of a traceback, from the one that names the error."""
    tail = text[-4000:]
    begins = [match.start() for match in _ERROR.finditer(tail)]
    named = [start for start in begins if _NAMED.match(tail[start : start + 500].partition("\n")[0])]
    if named:
        return tail[named[-1] :].strip("\n")
    return tail[begins[-1] :].strip("\n") if begins else tail.rpartition("\n")[2]
