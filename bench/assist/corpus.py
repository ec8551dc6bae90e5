"""Places in notebooks at which a line is held out, and what a completion there would be told.

The notebooks were written for this benchmark and run once, so that their outputs are real ones (digits.ipynb was not
run: it would fetch its data). A notebook is cut off after the cell that is being written, as if it were written from
top to bottom.
"""

from __future__ import annotations

import io
import keyword
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).parent / "notebooks"
FIRST_CELL = 2  # the code cell from which on there is something to know about
SHORTEST = 8  # characters: shorter lines are brackets and `return x`
# After an assignment, an opening bracket or a dot: where one pauses within a line.
_PAUSE = re.compile(r"(?<=[^=!<>]= )(?=\S)|(?<=\w\()|(?<=\w\.)(?=[a-z])")


@dataclass(frozen=True)
class Place:
    """A cursor in a notebook, and the text that was there."""

    notebook: str
    cell: int  # in ``cells``; the last one
    cells: tuple[nbformat.NotebookNode, ...]
    prefix: str  # of the cell, up to the cursor
    truth: str  # the rest of the line
    suffix: str  # of the cell, from the end of that line
    in_line: bool  # whether the line had begun

    @property
    def source(self) -> str:
        """The cell as it is while it is being written."""
        return self.prefix + self.suffix


def places(each: int) -> list[Place]:
    """Return ``each`` places in every notebook, spread over it; every second one within a line."""
    found = []
    for file in sorted(NOTEBOOKS.glob("*.ipynb")):
        candidates = list(_candidates(file))
        starts = [place for place in candidates if not place.in_line]
        pauses = [place for place in candidates if place.in_line]
        found += _spread(starts, each - each // 2) + _spread(pauses, each // 2)
    return found


def identifiers(code: str) -> set[str]:
    """Return the names in a piece of code, whole or not; keywords are none."""
    names = set()
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
                names.add(token.string)
    except (tokenize.TokenError, SyntaxError):
        pass  # the end of a piece may be open
    return names


def _spread(candidates: list[Place], count: int) -> list[Place]:
    step = len(candidates) / count if count else 0
    return [candidates[int((number + 0.5) * step)] for number in range(min(count, len(candidates)))]


def _candidates(file: Path) -> Iterator[Place]:
    notebook = nbformat.read(file, as_version=4)
    code = [number for number, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    for number in code[FIRST_CELL:]:
        lines = notebook.cells[number].source.split("\n")
        for at, line in enumerate(lines):
            if not _is_telling(line):
                continue
            before = "".join(f"{one}\n" for one in lines[:at])
            after = "".join(f"\n{one}" for one in lines[at + 1 :])
            indent = line[: len(line) - len(line.lstrip())]
            cuts = [(len(indent), False)] if at else []
            pause = _PAUSE.search(line)
            if pause and len(line) - pause.start() >= SHORTEST:
                cuts.append((pause.start(), True))
            for cut, in_line in cuts:
                cells = tuple(notebook.cells[: number + 1])
                yield Place(file.stem, number, cells, before + line[:cut], line[cut:], after, in_line)


def _is_telling(line: str) -> bool:
    text = line.strip()
    return len(text) >= SHORTEST and not text.startswith(("#", '"""', "@")) and any(identifiers(text))
