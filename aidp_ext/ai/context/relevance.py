"""Which cells matter for a cell: a pure judgement by what they define and use."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from aidp_ext.ai.context.clean import Clean
from aidp_ext.ai.context.code import Code
from aidp_ext.ai.context.wire import CellSaid

MOST_DEPTH = 12
_NEAR = 6  # code cells before
_NEARNESS = 4.0
_HEADING = re.compile(r"^(#{1,6})\s+\S[^\n]*", re.MULTILINE)
_MOST_HEADING_CELLS = 400


class Cell(NamedTuple):
    """A cell with what is known of its source."""

    number: int  # from 1
    said: CellSaid
    code: Code
    source: Clean


@dataclass(frozen=True)
class Reason:
    """Why a cell matters: the lower its rank the more."""

    rank: float
    why: str
    names: frozenset[str] = frozenset()  # that it defines for the active cell


@dataclass(frozen=True)
class Focus:
    """What it is about."""

    active: int | None  # place of the cell
    uses: frozenset[str]  # names
    words: frozenset[str]
    mentioned: tuple[int, ...] = ()
    failing: tuple[int, ...] = ()  # cells that the traceback goes through
    is_writing: bool = False  # the cell is being written: neither prose nor what comes below is of use


@dataclass
class _Reasons:
    """The best reason for each cell."""

    found: dict[int, Reason] = field(default_factory=dict)

    def add(self, place: int, rank: float, why: str, names: Iterable[str] = ()) -> None:
        known = self.found.get(place)
        if known is None:
            self.found[place] = Reason(rank, why, frozenset(names))
        else:
            best = (rank, why) if rank < known.rank else (known.rank, known.why)
            self.found[place] = Reason(*best, known.names | set(names))


def reasons(cells: Sequence[Cell], focus: Focus) -> dict[int, Reason]:
    """Return for each place of a cell that matters why it does. Linear in the number of cells."""
    made = _Reasons()
    for place in focus.mentioned:
        made.add(place, 0, "you mentioned it")
    if focus.active is not None:
        made.add(focus.active, 1, "the cell that it is about")
    for place in focus.failing:
        made.add(place, 3, "the error goes through it")
    here = len(cells) if focus.active is None else focus.active
    _add_definitions(made, cells, focus, here)
    if not focus.is_writing:
        _add_users(made, cells, here)
    _add_near(made, cells, focus, here)
    return made.found


def _add_definitions(made: _Reasons, cells: Sequence[Cell], focus: Focus, here: int) -> None:
    """Add the cells that define what is used, and what these use, the latest definition before its use."""
    definers: dict[str, list[int]] = {}
    for place, cell in enumerate(cells):
        for name in cell.code.defines:
            definers.setdefault(name, []).append(place)
    todo = [(name, here, 0) for name in sorted(focus.uses)]
    for place in (*focus.mentioned, *focus.failing):
        todo += [(name, place, 1) for name in sorted(cells[place].code.uses)]
    seen: set[tuple[str, int]] = set()
    while todo:
        following = []
        for name, before, depth in todo:
            places = definers.get(name)
            if not places or (name, before) in seen:
                continue
            seen.add((name, before))
            found = bisect_left(places, before)
            place = places[found - 1] if found else places[0]
            if place == before or (place > before and depth):  # later cells only for what is asked for itself
                continue
            made.add(place, 10 + depth, f"defines {name}", (name,))
            if depth < MOST_DEPTH:
                following += [(used, place, depth + 1) for used in sorted(cells[place].code.uses)]
        todo = following


def _add_users(made: _Reasons, cells: Sequence[Cell], here: int) -> None:
    """Add the cells below that use what the active cell defines."""
    defined = cells[here].code.defines if here < len(cells) else frozenset()
    if not defined:
        return
    for place in range(here + 1, len(cells)):
        if used := defined & cells[place].code.uses:
            made.add(place, 27 + min(2.9, 0.1 * (place - here)), f"uses {min(used)}")


def _add_near(made: _Reasons, cells: Sequence[Cell], focus: Focus, here: int) -> None:
    """Add the cells above that are near, or share words: a word that few cells have weighs more."""
    shared = [focus.words & cell.code.words for cell in cells[:here]]
    common: dict[str, int] = {}
    for found in shared:
        for word in found:
            common[word] = common.get(word, 0) + 1
    weights = {word: math.log(1 + len(cells) / count) for word, count in common.items()}
    distance = 0
    for place in range(here - 1, -1, -1):
        cell = cells[place]
        is_code = cell.said.type == "code"
        if not (is_code or (not focus.is_writing and cell.said.type == "markdown")) or cell.source.is_blank:
            continue
        distance += is_code
        score = sum(weights[word] for word in shared[place])
        is_near = distance <= _NEAR and (is_code or distance <= 2)
        if is_near or score > 0:
            nearness = _NEARNESS / max(1, distance)
            names = sorted(shared[place], key=lambda word: (-weights[word], word))[:2]
            why = "near" if nearness > score or not names else f"has {' and '.join(names)} too"
            made.add(place, 26 - min(6.0, score / 3 + nearness), why)


def headings(cells: Sequence[Cell], here: int) -> Mapping[int, str]:
    """Return the headings above a place, from the nearest up to its highest: the cell's place and its line."""
    found: dict[int, str] = {}
    level = 7
    looked = 0
    for place in range(min(here, len(cells)) - 1, -1, -1):
        if cells[place].said.type != "markdown":
            continue
        looked += 1
        lines: list[str] = []
        for match in reversed(list(_HEADING.finditer(cells[place].source.text))):
            if len(match[1]) < level:
                level = len(match[1])
                lines.insert(0, match[0][:200])
        if lines:
            found[place] = "\n".join(lines)
        if level == 1 or looked > _MOST_HEADING_CELLS:
            break
    return found
