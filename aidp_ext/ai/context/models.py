"""What was chosen for a model to be told, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What an item is."""

    IMPORTS = "imports"
    CELL = "cell"
    OUTPUT = "output"
    TRACEBACK = "traceback"
    MARKDOWN = "markdown"
    VARIABLE = "variable"
    FILE = "file"
    RUN = "run"


@dataclass(frozen=True)
class Item:
    """One thing that was chosen, or left out: by a cell's id, a path, a variable's name."""

    kind: Kind
    id: str
    label: str  # for people: ``cell 4``, ``df: 891 x 12``, ``prep.py``
    characters: int = 0
    why: str = ""  # it was chosen, or withheld


@dataclass(frozen=True)
class Chosen:
    """What a model is told beside the question."""

    text: str = ""
    items: tuple[Item, ...] = ()
    summary: str = ""  # ``4 cells, 2 dataframes``
    withheld: tuple[Item, ...] = ()
    #: Where the text comes from, for RouteRequest.paths: files, and ``outputs`` where outputs are in it.
    paths: tuple[str, ...] = ()
    secrets: int = 0  # how many were replaced in the text
    id: str | None = None  # names the question where it was kept
