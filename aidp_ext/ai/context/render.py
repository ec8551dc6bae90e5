"""How what was chosen is written: as code before code, or as marked sections of data."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from aidp_ext.ai.context.models import Kind
from aidp_ext.ai.context.outputs import LEFT_OUT

#: A tag of ours, in any case, also one that is only begun: it must not end or begin a section from the inside.
_OURS = re.compile(r"<(?=[\s/]{0,40}(?:document|cell|output|variables|file)\b)", re.IGNORECASE)
#: What servers of models take for the end of a message, or the beginning of another one's, wherever it stands.
CONTROL = re.compile(
    r"[<\[](?=[|\uff5c][^\s<>]{1,40}[|\uff5c]>|/?s>|(?:start|end)_of_turn>|/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|TOOL_RESULTS"
    r"|AVAILABLE_TOOLS)\])"
)
_SURROGATES = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"[\s\x00-\x1f\x7f\u2028\u2029]+")
_SLASHES = frozenset(
    ("c", "c++", "cpp", "csharp", "dart", "go", "groovy", "java", "javascript", "kotlin", "php", "rust", "scala")
) | {"swift", "typescript"}
_DASHES = frozenset(("sql", "lua", "haskell", "elm", "ada"))


class Group(IntEnum):
    """The parts of the text, in their order: what changes least comes first, so that prompt caches serve longest."""

    FILES = 0
    CELLS = 1
    VARIABLES = 2


@dataclass(frozen=True)
class Piece:
    """Something that may be put into the text."""

    rank: float  # the lowest come first where there is not room for all
    group: Group
    place: tuple[int, int]  # in its group; of two pieces with the same place the later one replaces the other
    kind: Kind
    id: str
    label: str
    body: str
    why: str
    attributes: tuple[tuple[str, str], ...] = ()
    most: int = 0  # characters of the body; 0: whole or not at all
    is_code: bool = True  # in the document's own language
    counts: bool = True  # as an item of its own


class Style(Protocol):
    """A way to write."""

    mark: str  # of lines of code that are left out

    def piece(self, piece: Piece, body: str) -> str:
        """Return a piece with this body."""

    def around(self, group: Group) -> tuple[str, str]:
        """Return what stands before and after a group's pieces, where it has any."""


class Code:
    """As code in the document's language, all else as comments. What is being written can follow directly."""

    def __init__(self, language: str) -> None:
        language = language.lower()
        self._comment = "// " if language in _SLASHES else "-- " if language in _DASHES else "# "
        self.mark = f"{self._comment}{LEFT_OUT}"

    def piece(self, piece: Piece, body: str) -> str:
        """Return a piece with this body."""
        if piece.kind is Kind.VARIABLE:
            return f"{self._comment}{body}\n"
        if not piece.is_code:
            body = self._commented(body)
        if piece.kind is Kind.FILE:
            body = f"{self._comment}{one_line(piece.id)}\n{body}"
        return f"{body}\n\n"

    def around(self, group: Group) -> tuple[str, str]:
        """Return what stands before and after a group's pieces."""
        return ("", "\n") if group is Group.VARIABLES else ("", "")

    def _commented(self, body: str) -> str:
        return "\n".join((self._comment + line).rstrip() for line in body.splitlines())


class Sections:
    """As sections between tags. What is inside cannot end its section, nor begin another one."""

    def __init__(self, header: Sequence[tuple[str, str]], kernel: Sequence[tuple[str, str]] = ()) -> None:
        """Take what is said of the document, and of the kernel."""
        self.mark = LEFT_OUT
        self._header = f"<document{_attributes(header)}>\n"
        self._variables = f"<variables{_attributes(kernel)}>\n"

    def piece(self, piece: Piece, body: str) -> str:
        """Return a piece with this body."""
        body = inert(_OURS.sub("&lt;", body))
        if piece.kind is Kind.VARIABLE:
            return f"{body}\n"
        name = _TAGS[piece.kind]
        return f"<{name}{_attributes(piece.attributes)}>\n{body}\n</{name}>\n"

    def around(self, group: Group) -> tuple[str, str]:
        """Return what stands before and after a group's pieces."""
        if group is Group.VARIABLES:
            return self._variables, "</variables>\n"
        return (self._header, "</document>\n") if group is Group.CELLS else ("", "")


_TAGS = {
    Kind.CELL: "cell",
    Kind.MARKDOWN: "cell",
    Kind.IMPORTS: "cell",
    Kind.OUTPUT: "output",
    Kind.TRACEBACK: "output",
    Kind.FILE: "file",
}


def inert(text: str) -> str:
    """Return a text in which nothing is a control token of a model: no document ends a message or begins one."""
    return CONTROL.sub(lambda found: "&lt;" if found[0] == "<" else "&#91;", text)


def one_line(text: str, most: int = 300) -> str:
    """Return a text in one line, of at most ``most`` characters."""
    if len(text) <= most and text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    return sound(_SPACE.sub(" ", text[:most])).strip()


def sound(text: str) -> str:
    """Return a text that can be written as UTF-8: half characters, as JSON may have them, become U+FFFD."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def _attributes(pairs: Sequence[tuple[str, str]]) -> str:
    return "".join(f' {name}="{html.escape(one_line(value))}"' for name, value in pairs if value)
