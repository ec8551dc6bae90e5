"""What a message names: ``@file:prep.py``, ``@cell:7``, ``@df:people``, ``@run:1a2b``; quoted where it has spaces."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

Kind = Literal["file", "cell", "df", "run"]

_MOST = 20
_MENTION = re.compile(r"(?<![\w@`])@(file|cell|df|run):(?:\"([^\"\n]{1,1000})\"|([^\s\"'`]{1,1000}))")
_AFTER = ".,;:!?)]}>…"  # ends a sentence or a bracket, not a name


@dataclass(frozen=True)
class Mention:
    """One thing that a message names."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


def mentions_in(text: str) -> tuple[Mention, ...]:
    """Return what a message names, each once, the first twenty."""
    found: dict[Mention, None] = {}
    for match in _MENTION.finditer(text):
        name = match[2] or match[3].rstrip(_AFTER)
        if name:
            found[Mention(cast(Kind, match[1]), name)] = None
        if len(found) == _MOST:
            break
    return tuple(found)
