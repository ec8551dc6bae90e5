"""Reads a model's answer, as it comes and at its end: what of it is prose, and what is code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

import msgspec

from aidp_ext.ai.actions.python import Broken, parse

#: How long a line may grow before it is shown without knowing whether it is a fence.
_LONGEST_FENCE = 300
#: How much of the first line tells whether it is code.
_TELLING = 40
_MOST_BLOCKS = 60
_LONGEST_BARE = 100_000  # characters of an answer that is searched for code without a fence
_FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<mark>`{3,}|~{3,})[ \t]*(?P<info>[^`]*?)[ \t]*$")
_OPENS_THINKING = re.compile(r"\s*<think(?:ing)?>", re.IGNORECASE)
_CLOSES_THINKING = re.compile(r"</think(?:ing)?>\s*", re.IGNORECASE)
_CHAT_MARKS = re.compile(r"<\|[\w ]{1,40}\|>|</?s>|\[/?INST\]")
_ATTRIBUTE = re.compile(r"\b(cell|file|path|filename)\s*[=:]\s*(?:\"([^\"]*)\"|'([^']*)'|(\S+))", re.IGNORECASE)
_CODE_LINE = re.compile(
    r"\s*(?:(?:import|from)\s+[\w.]+|(?:async\s+)?def\s+\w+\s*\(|class\s+\w+\s*[:(]|@[\w.]+|[%!]{1,2}\w+"
    r"|(?:if|for|while|with|try|except|else|elif|finally|return|raise|assert|del|global|async|await|match)\b.*[:)\]\w]$"
    r"|[\w.\[\]'\"]+(?:\s*,\s*[\w.]+)*\s*(?::\s*[\w\[\], .|]+)?\s*[-+*/|&%]?=\s*\S"
    r"|[\w.]+(?:\[[^\]]*\])*\(.*|#\s*%%|[)\]}])"
)
_NO_CHANGE = re.compile(
    r"\bno (?:code )?changes? (?:is|are|was|were)?\s*(?:needed|required|necessary|to make)|\bnothing to (?:change|fix)"
    r"|\b(?:is|looks|already|code is) (?:already )?(?:correct|fine|good as it is)\b"
    r"|\bdoes(?: not|n't) need (?:any )?changes?",
    re.IGNORECASE,
)
_OUTPUTS = frozenset({"text", "output", "bash", "sh", "shell", "console", "txt", "traceback", "pytb", "stdout", "log"})
_CODE_KEYS = ("new_source", "source", "code", "fixed_code", "new_code", "content", "python")
_WHY_KEYS = ("why", "explanation", "reason", "comment", "description")


@dataclass(frozen=True)
class Piece:
    """A part of an answer as it comes."""

    kind: Literal["text", "code"]
    text: str


@dataclass(frozen=True)
class Block:
    """A part of an answer that is code."""

    text: str
    language: str = ""
    cell: str = ""  # the cell that the model says it is for
    file: str = ""  # the file that the model says it is for: a mark, never a path to be written
    before: str = ""  # the prose between the block before and this one
    is_closed: bool = True

    @property
    def is_output(self) -> bool:
        """Whether it shows what is printed or typed, and is nobody's new source."""
        return self.language in _OUTPUTS and not (self.cell or self.file)


@dataclass(frozen=True)
class Read:
    """An answer at its end."""

    prose: str  # without the blocks
    blocks: tuple[Block, ...] = ()

    @property
    def says_no_change(self) -> bool:
        """Whether it says that all is well as it is."""
        return bool(_NO_CHANGE.search(self.prose))


@dataclass
class Splitter:
    """Splits an answer into prose and code while it comes. What it says is for the eye; :func:`read` decides."""

    code_without_fence: bool = False  # whether code is expected also without a fence
    is_prose: bool = False  # whether all of it is prose, code in fences too
    _line: str = ""  # of the current line: what is held back, because it may be a fence or a mark
    _is_shown: bool = False  # whether the beginning of the current line has gone out
    _fence: str = ""
    _indent: str = ""
    _is_thinking: bool = False
    _has_begun: bool = False
    _is_bare: bool = field(default=False)

    def feed(self, text: str) -> Iterator[Piece]:
        """Take the next piece of the answer and yield what can be shown."""
        for part in re.split(r"(?<=\n)", text.replace("\r\n", "\n")):
            if not part:
                continue
            self._line += part
            if part.endswith("\n") or self._is_shown or not self._may_be_mark():
                yield from self._show(ends=part.endswith("\n"))

    def end(self) -> Iterator[Piece]:
        """Yield what was held back."""
        if self._line:
            yield from self._show(ends=True)

    def _may_be_mark(self) -> bool:
        head = self._line.lstrip()
        if len(self._line) > _LONGEST_FENCE:
            return False
        if self._is_thinking or (not self._has_begun and head[:1] in ("", "<")):
            return True
        if head[:1] in ("", "`", "~"):
            return not self.is_prose
        return self.code_without_fence and not self._has_begun and len(head) < _TELLING

    def _show(self, *, ends: bool) -> Iterator[Piece]:
        line, self._line = self._line, ""
        starts_line, self._is_shown = not self._is_shown, not ends
        if self._is_thinking or (not self._has_begun and _OPENS_THINKING.match(line)):
            rest = _CLOSES_THINKING.split(line, maxsplit=1)
            self._is_thinking = len(rest) == 1
            line, starts_line = ("", False) if self._is_thinking else (rest[1], True)
            self._is_shown = False
        if not line:
            return
        if not self._has_begun and line.strip():
            self._has_begun = True
            self._is_bare = self.code_without_fence and bool(_CODE_LINE.match(line[:_LONGEST_FENCE]))
        fence = _FENCE.match(line.rstrip("\n")) if starts_line and not self.is_prose else None
        if fence and not self._fence:
            self._fence, self._is_bare = fence["mark"], False
            return
        if fence and not fence["info"] and fence["mark"].startswith(self._fence):
            self._fence = ""
            return
        yield Piece("code" if self._fence or self._is_bare else "text", line)


def read(answer: str, *, expects_python: bool = True) -> Read:
    """Return what an answer says. Never raises; where there is no code in it, there are no blocks."""
    text = _CHAT_MARKS.sub("", _without_thinking(answer.replace("\r\n", "\n").replace("\r", "\n")))
    prose, blocks = _fenced(text, expects_python)
    if not blocks:
        found = _json(text) or (_bare(text) if expects_python else None)
        return found or Read(text.strip())
    unwrapped = [_unwrapped(block) for block in blocks]
    return Read(prose, tuple(block for block in unwrapped if not (expects_python and _is_words(block))))


def _is_words(block: Block) -> bool:
    """Return whether a block holds words where code belongs, as small models repeat what they were asked for."""
    if block.is_output or not isinstance(parse(block.text), Broken):
        return False
    # A line of a diff is one behind its sign
    lines = (line[:_LONGEST_FENCE].lstrip("+- ") for line in block.text.split("\n"))
    return not any(_CODE_LINE.match(line) for line in lines)


def without_fence(answer: str) -> str:
    """Return Markdown that a model has put into a fence as a whole without that fence, else as it is."""
    text = _CHAT_MARKS.sub("", _without_thinking(answer.replace("\r\n", "\n").replace("\r", "\n"))).strip()
    lines = text.split("\n")
    opened = _FENCE.match(lines[0])
    if not opened or opened["info"].lower() not in ("", "markdown", "md"):
        return text
    closes = [number for number, line in enumerate(lines) if number and _closes(line, opened["mark"])]
    if not closes:
        return "\n".join(lines[1:]).strip()
    rest = "\n".join(lines[closes[-1] + 1 :]).strip()
    return text if len(rest) > 200 else "\n".join(lines[1 : closes[-1]]).strip()


def _without_thinking(text: str) -> str:
    if _OPENS_THINKING.match(text):
        closed = _CLOSES_THINKING.search(text)
        return text[closed.end() :] if closed else ""
    return text


def _closes(line: str, mark: str) -> bool:
    found = _FENCE.match(line)
    return bool(found and not found["info"] and found["mark"].startswith(mark))


def _fenced(text: str, expects_python: bool) -> tuple[str, list[Block]]:
    lines = text.split("\n")
    prose: list[str] = []
    before: list[str] = []
    blocks: list[Block] = []
    place = 0
    while place < len(lines):
        fence = _FENCE.match(lines[place]) if len(blocks) < _MOST_BLOCKS else None
        if not fence:
            prose.append(lines[place])
            before.append(lines[place])
            place += 1
            continue
        end = _end_of(lines, place, fence["mark"], expects_python)
        inside = [_outdented(line, fence["indent"]) for line in lines[place + 1 : end]]
        info = fence["info"]
        blocks.append(
            Block(
                "\n".join(inside),
                language=re.split(r"[\s,{:=]", info.lstrip("{. "), maxsplit=1)[0].lower(),
                cell=_attribute(info, "cell"),
                file=_attribute(info, "file", "path", "filename") or _file_in(info),
                before="\n".join(before).strip(),
                is_closed=end < len(lines),
            )
        )
        before = []
        place = end + 1
    return "\n".join(prose).strip(), [block for block in blocks if block.text.strip()]


def _end_of(lines: list[str], start: int, mark: str, expects_python: bool) -> int:
    """Return where the block that begins at ``start`` is closed, or behind the last line.

    A docstring may have fences of its own: where the code up to a fence is no Python, and up to a later one is, the
    later one closes.
    """
    closing = list(islice((n for n in range(start + 1, len(lines)) if _closes(lines[n], mark)), 6))
    if not closing:
        return len(lines)
    if expects_python:
        for number in closing:
            inside = "\n".join(lines[start + 1 : number])
            if inside.count('"""') % 2 == 0 and inside.count("'''") % 2 == 0:
                return number
    return closing[0]


def _outdented(line: str, indent: str) -> str:
    return line[len(indent) :] if indent and line.startswith(indent) else line


def _attribute(info: str, *names: str) -> str:
    for found in _ATTRIBUTE.finditer(info):
        if found[1].lower() in names:
            return (found[2] or found[3] or found[4] or "").strip("{}<>,")
    return ""


def _file_in(info: str) -> str:
    """Return the file in ``python tests/test_x.py`` or ``python:prep.py``."""
    found = re.search(r"(?:^|[\s:])([\w./-]+\.(?:py|md|ipynb))$", info)
    return found[1] if found else ""


def _unwrapped(block: Block) -> Block:
    """Return a block of JSON that holds the code as the code."""
    if block.language in ("json", ""):
        found = _json(block.text)
        if found is not None:
            return replace(found.blocks[0], before=block.before or found.prose, is_closed=block.is_closed)
    return block


def _json(text: str) -> Read | None:
    """Return what a JSON object with the code as one of its texts says; None where it is no such object."""
    text = text.strip()
    if not text.startswith("{"):
        return None
    try:
        found: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    code = next((found[key] for key in _CODE_KEYS if isinstance(found.get(key), str)), None)
    if code is None or not code.strip():
        return None
    why = next((found[key] for key in _WHY_KEYS if isinstance(found.get(key), str)), "")
    inner = _fenced(code, expects_python=True)[1] if "```" in code else []
    cell = found.get("cell")
    block = inner[0] if inner else Block(code.replace("\r\n", "\n"), language="python")
    return Read(why, (replace(block, cell=str(cell) if isinstance(cell, str | int) else ""),))


def _bare(text: str) -> Read | None:
    """Return the code of an answer without fences: the lines between the first and the last that look like code.

    Prose around it is none of it. None where what is left is no Python.
    """
    lines = text.split("\n")
    if len(text) > _LONGEST_BARE:
        return None
    if _looks_like_diff(lines):
        first = next(number for number, line in enumerate(lines) if line.startswith(("--- ", "@@")))
        return Read("\n".join(lines[:first]).strip(), (Block("\n".join(lines[first:]), language="diff"),))
    # Of a line only its beginning: the expression takes time by the square of it
    is_code = [bool(_CODE_LINE.match(line[:_LONGEST_FENCE])) for line in lines]
    if not any(is_code):
        return None
    first = next(number for number, line in enumerate(lines) if is_code[number] or line.startswith("#"))
    for end in _ends(lines, first):
        code = "\n".join(lines[first:end]).strip("\n")
        if code.strip() and not isinstance(parse(code), Broken):
            prose = "\n".join([*lines[:first], *lines[end:]]).strip()
            return Read(prose, (Block(code, language="python"),))
    return None


def _ends(lines: list[str], first: int) -> Iterator[int]:
    """Yield where code that begins at ``first`` may end: at the end, else before a paragraph, the last one first."""
    yield len(lines)
    gaps = [number for number in range(first + 1, len(lines)) if not lines[number].strip()]
    yield from list(reversed(gaps))[:20]


def _looks_like_diff(lines: list[str]) -> bool:
    return any(line.startswith("@@") for line in lines) and any(line.startswith(("+", "-")) for line in lines)
