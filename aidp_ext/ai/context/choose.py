"""The choice: of all that is known, what a model is told within a budget. Pure: the same work, the same text."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from aidp_ext.ai.context import outputs
from aidp_ext.ai.context.clean import PLACEHOLDER, Echoes
from aidp_ext.ai.context.models import Chosen, Item, Kind
from aidp_ext.ai.context.relevance import Cell, Focus, Reason, headings, reasons
from aidp_ext.ai.context.render import Code, Group, Piece, Sections, Style, one_line, sound
from aidp_ext.ai.models import Task
from aidp_ext.ai.rules import OUTPUTS

_MOST_MARKDOWN = 1500
_MOST_HEADINGS = 600
_MOST_CONSIDERED = 100  # pieces for which there is no room, before it ends
_LEAST_ROOM = 40
_LEAST_CLIPPED = 200
_LEAST_IMPORTS = 800
_LEAST_CELLS = 100  # the best ones of very many are weighed further: there is no room for more,
_SHORT_CELL = 80  # if their length in characters is at least this
_CELL_KINDS = (Kind.CELL, Kind.MARKDOWN, Kind.IMPORTS)


@dataclass(frozen=True)
class Told:
    """An output or a file's part that may be told, clean and in short."""

    kind: Kind
    id: str  # a cell's id, a path
    label: str
    text: str
    why: str
    rank: float
    place: int = -1  # of its cell
    attributes: tuple[tuple[str, str], ...] = ()
    most: int = 0
    is_code: bool = True


@dataclass(frozen=True)
class Variable:
    """A line about a variable."""

    name: str
    label: str
    line: str
    rank: float
    why: str
    is_frame: bool


@dataclass(frozen=True)
class Work:
    """All that may be told."""

    task: Task
    path: str
    kind: str
    language: str
    cells: Sequence[Cell]
    focus: Focus
    variables: Sequence[Variable]
    told: Sequence[Told]
    echoes: Echoes
    budget: int
    excluded: frozenset[str] = frozenset()  # items that the user took out, as ``kind:id``
    kernel: tuple[tuple[str, str], ...] = ()  # what is said of the kernel's state


def choose(work: Work) -> Chosen:
    """Return what is told; what is withheld is not this function's to say."""
    is_code = work.task == Task.COMPLETE
    header = (("path", work.path), ("kind", work.kind), ("language", work.language), ("cells", str(len(work.cells))))
    style: Style = Code(work.language) if is_code else Sections(header, work.kernel)
    filling = _Filling(style, work.echoes, work.budget)
    considered = 0
    wanted = (piece for piece in _pieces(work) if not _is_excluded(piece, work.excluded))
    for piece in sorted(wanted, key=lambda piece: (piece.rank, piece.group, piece.place)):
        if filling.room < _LEAST_ROOM or considered > _MOST_CONSIDERED:
            break
        considered += not filling.add(piece)
    text, pieces = filling.text()
    sources = [piece.id for piece in pieces if piece.kind is Kind.FILE]
    if any(piece.kind in (Kind.OUTPUT, Kind.TRACEBACK) for piece in pieces):
        sources.append(OUTPUTS)
    return Chosen(
        text=text,
        items=tuple(_items(pieces)),
        summary=_summary(pieces, work.variables),
        paths=tuple(dict.fromkeys(sound(path) for path in ([work.path] if work.path else []) + sources)),
        secrets=text.count(PLACEHOLDER),
    )


def _is_excluded(piece: Piece, excluded: frozenset[str]) -> bool:
    """Return whether the user took a piece out; who takes out a cell takes out its imports and headings too."""
    if not excluded:
        return False
    kinds = _CELL_KINDS if piece.kind in _CELL_KINDS else (piece.kind,)
    return any(f"{kind}:{one_line(piece.id)}" in excluded for kind in kinds)


class _Filling:
    """Takes pieces as long as there is room."""

    def __init__(self, style: Style, echoes: Echoes, budget: int) -> None:
        self._style = style
        self._echoes = echoes
        self._budget = budget
        self._spent = {Group.FILES: 0, Group.VARIABLES: 0, Group.CELLS: 0}
        self._taken: dict[tuple[Group, tuple[int, int]], tuple[Piece, str]] = {}
        self.room = budget

    def add(self, piece: Piece) -> bool:
        """Take a piece, in short where it may be cut; return whether it was taken."""
        key = (piece.group, piece.place)
        known = self._taken.get(key)
        if known is not None and (known[0].kind is not Kind.IMPORTS or piece.kind is Kind.IMPORTS):
            return True  # the whole cell is there
        room = self.room + (len(known[1]) if known else 0)
        if not self._spent[piece.group]:
            room -= sum(map(len, self._style.around(piece.group)))
        room = min(room, self._share(piece))
        text = self._written(piece, room)
        if not text:
            return False
        before = self._spent[piece.group]
        self._spent[piece.group] += len(text) - (len(known[1]) if known else 0)
        self.room -= self._spent[piece.group] - before
        if not before:
            self.room -= sum(map(len, self._style.around(piece.group)))
        self._taken[key] = (replace(piece, body=text), text)
        return True

    def text(self) -> tuple[str, list[Piece]]:
        """Return the whole text and the pieces in it, in their order."""
        parts: list[str] = []
        pieces: list[Piece] = []
        for group in Group:
            taken = [self._taken[key] for key in sorted(key for key in self._taken if key[0] is group)]
            if taken:
                before, after = self._style.around(group)
                parts += before, *(text for _, text in taken), after
                pieces += [piece for piece, _ in taken]
        return "".join(parts), pieces

    def _share(self, piece: Piece) -> int:
        """Return the most characters that a piece's group may still take: cells come before all else."""
        if piece.group is Group.CELLS or piece.rank < 1:
            return self._budget
        return self._budget // 4 - self._spent[piece.group]

    def _written(self, piece: Piece, room: int) -> str:
        body = sound(self._echoes.replaced(piece.body)[0])
        mark = self._style.mark if piece.is_code else outputs.LEFT_OUT
        if piece.most:
            body = outputs.clipped(body, piece.most, mark)
        text = self._style.piece(piece, body)
        if len(text) > room and piece.most:
            for _ in range(2):  # what is written may be longer than its body: comments, escaped tags
                body = outputs.clipped(body, len(body) - (len(text) - room), mark)
                if len(body) < _LEAST_CLIPPED:
                    return ""
                text = self._style.piece(piece, body)
                if len(text) <= room:
                    break
        return text if 0 < len(text) <= room else ""


def _pieces(work: Work) -> Iterator[Piece]:
    found = reasons(work.cells, work.focus)
    most = max(_LEAST_CELLS, work.budget // _SHORT_CELL)
    for place, reason in heapq.nsmallest(most, found.items(), key=lambda one: (one[1].rank, one[0])):
        if piece := _cell(work, place, reason):
            yield piece
    yield from _surroundings(work)
    for number, told in enumerate(work.told):
        group = Group.FILES if told.kind is Kind.FILE else Group.CELLS
        yield Piece(
            rank=told.rank,
            group=group,
            place=(told.place, 1 + number),
            kind=told.kind,
            id=told.id,
            label=told.label,
            body=told.text,
            why=told.why,
            attributes=told.attributes,
            most=told.most,
            is_code=told.is_code,
        )
    for number, variable in enumerate(work.variables):
        yield Piece(
            rank=variable.rank,
            group=Group.VARIABLES,
            place=(number, 0),
            kind=Kind.VARIABLE,
            id=variable.name,
            label=variable.label,
            body=variable.line,
            why=variable.why,
        )


def _cell(work: Work, place: int, reason: Reason) -> Piece | None:
    cell = work.cells[place]
    is_active = place == work.focus.active
    if cell.source.is_blank or (is_active and work.task == Task.COMPLETE):
        return None
    is_markdown = cell.said.type != "code"
    shares = {0: 2 / 5, 1: 3 / 5} if reason.rank < 2 else {}
    most = max(_LEAST_CLIPPED, int(work.budget * shares.get(int(reason.rank), 1 / 5)))
    return Piece(
        rank=reason.rank,
        group=Group.CELLS,
        place=(place, 0),
        kind=Kind.MARKDOWN if is_markdown else Kind.CELL,
        id=cell.said.id,
        label=f"cell {cell.number}" if work.kind != "file" else one_line(work.path, 100) or "this file",
        body=cell.source.text.strip("\n"),
        why=reason.why,
        attributes=_attributes(cell, is_active=is_active),
        most=min(most, _MOST_MARKDOWN) if is_markdown and reason.rank > 1 else most,
        is_code=not is_markdown,
    )


def _surroundings(work: Work) -> Iterator[Piece]:
    """Yield the imports above, the headings above, and the markdown right before."""
    here = len(work.cells) if work.focus.active is None else work.focus.active
    for place, cell in enumerate(work.cells[:here]):
        if cell.code.imports and cell.said.type == "code":
            whole = cell.source.text.strip("\n")
            yield Piece(
                rank=4,
                group=Group.CELLS,
                place=(place, 0),
                kind=Kind.IMPORTS if cell.code.has_more else Kind.CELL,
                id=cell.said.id,
                label=f"imports of cell {cell.number}" if cell.code.has_more else f"cell {cell.number}",
                body=cell.code.imports if cell.code.has_more else whole,
                why="imports",
                attributes=_attributes(cell, is_part=cell.code.has_more),
                most=max(_LEAST_IMPORTS, work.budget // 4),
            )
    if here and work.cells[here - 1].said.type == "markdown" and not work.cells[here - 1].source.is_blank:
        cell = work.cells[here - 1]
        yield Piece(
            rank=5,
            group=Group.CELLS,
            place=(here - 1, 0),
            kind=Kind.MARKDOWN,
            id=cell.said.id,
            label=f"cell {cell.number}",
            body=cell.source.text.strip(),
            why="the text right before",
            attributes=_attributes(cell),
            most=_MOST_MARKDOWN,
            is_code=False,
        )
    for place, line in headings(work.cells, here).items():
        cell = work.cells[place]
        yield Piece(
            rank=6,
            group=Group.CELLS,
            place=(place, 0),
            kind=Kind.MARKDOWN,
            id=cell.said.id,
            label=f"heading of cell {cell.number}",
            body=line,
            why="the heading above",
            attributes=_attributes(cell, is_part=True),
            most=_MOST_HEADINGS,
            is_code=False,
        )


def _attributes(cell: Cell, *, is_active: bool = False, is_part: bool = False) -> tuple[tuple[str, str], ...]:
    return (
        ("n", str(cell.number)),
        ("id", cell.said.id),
        ("type", "" if cell.said.type == "code" else cell.said.type),
        ("count", "" if cell.said.count is None else str(cell.said.count)),
        ("current", "true" if is_active else ""),
        ("part", "true" if is_part else ""),
    )


def _items(pieces: Sequence[Piece]) -> Iterator[Item]:
    for piece in pieces:
        yield Item(piece.kind, one_line(piece.id), one_line(piece.label), len(piece.body), one_line(piece.why))


def _summary(pieces: Sequence[Piece], variables: Sequence[Variable]) -> str:
    """Return the items in a few words: ``4 cells, 2 dataframes``."""
    frames = {variable.name for variable in variables if variable.is_frame}
    counts = {
        "cell": len({piece.place for piece in pieces if piece.kind in (Kind.CELL, Kind.MARKDOWN)}),
        "traceback": sum(piece.kind is Kind.TRACEBACK for piece in pieces),
        "output": sum(piece.kind is Kind.OUTPUT for piece in pieces),
        "dataframe": sum(piece.kind is Kind.VARIABLE and piece.id in frames for piece in pieces),
        "variable": sum(piece.kind is Kind.VARIABLE and piece.id not in frames for piece in pieces),
        "file": len({piece.id for piece in pieces if piece.kind is Kind.FILE}),
    }
    return ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items() if count)
