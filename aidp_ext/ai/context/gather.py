"""From what a front end says to all that may be told: cleaned of secrets, and without what the rules forbid."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from aidp_ext.ai.context import code, files, kernel, outputs
from aidp_ext.ai.context.choose import Told, Variable, Work
from aidp_ext.ai.context.clean import PLACEHOLDER, Clean, Cleaner, Echoes
from aidp_ext.ai.context.code import Code
from aidp_ext.ai.context.elsewhere import Elsewhere
from aidp_ext.ai.context.files import OUTSIDE
from aidp_ext.ai.context.memory import Memory
from aidp_ext.ai.context.models import Item, Kind
from aidp_ext.ai.context.parts import DATA, ending, language, open_text
from aidp_ext.ai.context.relevance import Cell, Focus
from aidp_ext.ai.context.render import one_line
from aidp_ext.ai.context.values import without_values
from aidp_ext.ai.context.wire import CellSaid, ContextQuestion, DocumentSaid, OutputSaid, VariableSaid
from aidp_ext.ai.models import Privacy, Task
from aidp_ext.ai.rules import OUTPUTS, Rules, Verdict

#: Characters of a cell or a file at either end that are looked at.
MOST_SOURCE = 100_000
_MOST_WRITTEN = 10_000  # of the source that is being written, at either end
_MOST_QUERY = 20_000
_MOST_OUTPUT = 1500
_MOST_TRACEBACK = 4000
_MOST_OUTPUTS = 6  # of one cell
_MOST_MENTIONS = 50
_MOST_VARIABLES = 300
_MOST_VALUE = 400
_PYTHON = frozenset(("python", "python3", "ipython", ""))
#: Tasks for which the outputs of the active cell are told, beside its traceback.
_WITH_OUTPUTS = frozenset((Task.CHAT, Task.EXPLAIN, Task.FIX, Task.AGENT))
#: Endings of files that hold words as well as tables.
_MAY_BE_DATA = frozenset(("txt", "sql"))

#: Cells that other programs print in, in words of their own.
_SHELL = re.compile(r"^\s*(?:!|%%?(?:pip|conda|mamba|uv|bash|sh|script|system|sx)\b)", re.MULTILINE)

_VALUES_NEED = "rows are told only where you allow values, in the settings"


class Knowledge:
    """What was learned of texts, shared by all questions. Any thread may use it."""

    def __init__(self) -> None:
        self.clean = Cleaner()
        self._python = self._learned(code.read)
        self._other = self._learned(lambda source: code.read(source, "other"))
        self._prose = self._learned(lambda source: Code(words=frozenset(code.words(source))))

    def cell(self, number: int, said: CellSaid, *, is_python: bool) -> Cell:
        """Return a cell with what its source tells."""
        memory = self._prose if said.type != "code" else self._python if is_python else self._other
        return Cell(number, said, *memory(said.source))

    def knows(self, text: str) -> bool:
        """Return whether nothing is left to learn of a text."""
        return any(memory.knows(text) for memory in (self._python, self._other, self._prose))

    def _learned(self, read: Callable[[str], Code]) -> Memory[tuple[Code, Clean]]:
        def learn(text: str) -> tuple[Code, Clean]:
            source = self.clean.ends(text, MOST_SOURCE)
            return read(source.text), source

        return Memory(learn)


@dataclass(frozen=True)
class Mentions:
    """What the user has named: ``file:prep.py``, ``cell:4``, ``df:people``. A ``run:…`` is for the chat to look up."""

    files: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    variables: frozenset[str] = frozenset()

    @classmethod
    def of(cls, said: Sequence[str]) -> Mentions:
        """Return them sorted out; what has an unknown kind is none."""
        found: dict[str, dict[str, None]] = {"file": {}, "cell": {}, "df": {}}
        for mention in said[:_MOST_MENTIONS]:
            kind, _, name = mention.partition(":")
            name = name.strip()
            if kind in found and name:
                found[kind][posixpath.normpath(name) if kind == "file" else name] = None
        return cls(tuple(found["file"]), tuple(found["cell"]), frozenset(found["df"]))


class Gate:
    """Says of paths whether the automatic choice may take from there."""

    def __init__(self, rules: Rules, workspace: Path | None) -> None:
        self._rules = rules
        self._workspace = workspace
        self._known: dict[str, Verdict] = {}

    def why_not(self, path: str) -> str:
        """Return why nothing may be taken from a path, in words; empty where it may."""
        verdict = self._verdict(path)
        return {
            "never_leave": f"a rule says that {verdict.detail} never leaves",
            "outside": OUTSIDE,
            "broken_rules": f"the rules cannot be understood ({verdict.detail})",
        }.get(verdict.reason, "")

    def is_outside(self, path: str) -> bool:
        """Return whether a path leads out of the workspace."""
        return self._verdict(path).reason == "outside"

    def _verdict(self, path: str) -> Verdict:
        if path not in self._known:
            verdict = self._rules.judge(None, (path,))
            # Where there are no patterns, the rules need not know where links lead
            if self._workspace is not None and path != OUTPUTS and files.inside(self._workspace, path) is None:
                verdict = Verdict(Privacy.LOCAL, "outside")
            self._known[path] = verdict
        return self._known[path]


class Gathering:
    """Gathers for one question."""

    def __init__(
        self,
        question: ContextQuestion,
        knowledge: Knowledge,
        rules: Rules,
        workspace: Path | None,
        elsewhere: Elsewhere,
    ) -> None:
        self._question = question
        self._knowledge = knowledge
        self._gate = Gate(rules, workspace)
        self._workspace = workspace
        self._elsewhere = elsewhere
        self._mentions = Mentions.of(question.mentions)
        self._query = question.query[-_MOST_QUERY:]
        self._secrets: list[str] = []
        self._words: Callable[[], frozenset[str]] = frozenset
        self.withheld: list[Item] = []
        self._document = self._without_data(question.document or DocumentSaid())

    def work(self) -> Work:
        """Return all that may be told; ``withheld`` then has what may not."""
        document = self._document
        is_python = document.language.lower() in _PYTHON
        active = self._active()
        cells = [self._cell(place, said, active, is_python=is_python) for place, said in enumerate(document.cells)]
        for cell in cells:
            if cell.source.secrets:
                self._secrets += cell.source.secrets
        mentioned = tuple(self._mentioned_cells())
        self._words = cache(lambda: code.vocabulary(said for one in cells for said in one.code.said))
        told, failing = self._outputs(active, mentioned)
        focus = self._focus(cells, active, mentioned, failing, is_python=is_python)
        told = [*self._mentioned_files(), *self._snippets(cells, focus), *told]
        variables = self._variables(focus)
        said = self._question.kernel
        return Work(
            task=self._question.task,
            path=document.path,
            kind=document.kind,
            language=document.language,
            cells=cells,
            focus=focus,
            variables=variables,
            told=told,
            echoes=Echoes(self._secrets),
            budget=self._question.budget,
            excluded=frozenset(self._question.exclude),
            kernel=(("kernel", said.state),) if said and said.state != "idle" else (),
        )

    # ---- the document

    def _without_data(self, said: DocumentSaid) -> DocumentSaid:
        """Return a document; of a file of data, as CSV, only the name, unless the user names it or allows values."""
        is_data = said.kind == "file" and ending(said.path) in DATA
        if not is_data or self._shows_values or posixpath.normpath(said.path) in self._mentions.files:
            return said
        self._withhold(Kind.FILE, said.path, said.path, "it holds data: mention it, or allow values in the settings")
        return msgspec.structs.replace(said, cells=[msgspec.structs.replace(one, source="") for one in said.cells])

    def _active(self) -> int | None:
        document = self._document
        if document.active:
            for place, cell in enumerate(document.cells):
                if cell.id == document.active:
                    return place
        return 0 if len(document.cells) == 1 else None

    def _cell(self, place: int, said: CellSaid, active: int | None, *, is_python: bool) -> Cell:
        if place == active and self._question.task == Task.COMPLETE:
            # It is new with each key and is not told: what it uses is all that counts
            source = said.source
            if len(source) > 2 * _MOST_WRITTEN:
                source = f"{source[:_MOST_WRITTEN]}\n{self._query[-_MOST_WRITTEN:] or source[-_MOST_WRITTEN:]}"
            return Cell(place + 1, said, code.read(source, "python" if is_python else "other"), Clean(source))
        return self._knowledge.cell(place + 1, said, is_python=is_python)

    def _mentioned_cells(self) -> Iterator[int]:
        cells = self._document.cells
        by_id = {cell.id: place for place, cell in reversed(list(enumerate(cells))) if cell.id}
        for name in self._mentions.cells:
            place = by_id.get(name)
            if place is None and re.fullmatch(r"[0-9]{1,6}", name) and 0 < int(name) <= len(cells):
                place = int(name) - 1
            if place is None:
                self._withhold(Kind.CELL, name, f"cell {name}", "there is no such cell")
            else:
                yield place

    def _focus(
        self,
        cells: Sequence[Cell],
        active: int | None,
        mentioned: tuple[int, ...],
        failing: tuple[int, ...],
        *,
        is_python: bool,
    ) -> Focus:
        asked = code.names(self._query)
        uses, words = set(asked), code.words(self._query)
        if self._question.task == Task.COMPLETE:
            uses = set(code.read(self._query, "python" if is_python else "other").uses)
        if active is not None:
            uses |= cells[active].code.uses
            words |= cells[active].code.words
        is_writing = self._question.task == Task.COMPLETE
        return Focus(
            active, frozenset(uses | self._mentions.variables), frozenset(words), mentioned, failing, is_writing
        )

    # ---- outputs

    def _outputs(self, active: int | None, mentioned: Sequence[int]) -> tuple[list[Told], tuple[int, ...]]:
        """Return the outputs that may be told, and the cells that the active cell's traceback goes through."""
        cells = self._document.cells
        told: list[Told] = []
        failing: list[int] = []
        forbidden = self._gate.why_not(OUTPUTS) if any(cell.outputs for cell in cells) else ""
        by_count = {cell.count: place for place, cell in enumerate(cells) if cell.count is not None}
        task = self._question.task
        for place in dict.fromkeys([*([] if active is None else [active]), *mentioned]):
            is_mentioned = place in mentioned
            wants_all = task != Task.COMPLETE and (is_mentioned or task in _WITH_OUTPUTS)
            for output in cells[place].outputs[-_MOST_OUTPUTS:]:
                is_error = output.kind == "error"
                label = f"{'error' if is_error else 'output'} of cell {place + 1}"
                if not is_error and not wants_all:
                    continue
                if forbidden:
                    kind = Kind.TRACEBACK if is_error else Kind.OUTPUT
                    self._withhold(kind, cells[place].id, label, forbidden)
                elif is_error:
                    error, counts = self._traceback(place, output, label, by_count, is_active=place == active)
                    told.append(error)
                    failing += [by_count[count] for count in counts if place == active and count in by_count]
                elif made := self._output(place, output, label, is_mentioned=is_mentioned):
                    told.append(made)
        return told, tuple(place for place in failing if place != active)

    def _traceback(
        self, place: int, said: OutputSaid, label: str, by_count: dict[int, int], *, is_active: bool
    ) -> tuple[Told, tuple[int, ...]]:
        source = self._knowledge.clean.ends(outputs.plain(said.text), 2 * _MOST_TRACEBACK)
        self._secrets += source.secrets
        numbers = {count: found + 1 for count, found in by_count.items()}
        most = min(_MOST_TRACEBACK, max(300, self._question.budget // 4))
        sources = [cell.source for cell in self._document.cells]
        short = outputs.traceback(source.text, most, numbers, shows_values=self._shows_values, sources=sources)
        told = Told(
            kind=Kind.TRACEBACK,
            id=self._document.cells[place].id,
            label=label,
            text=short.text,
            why=one_line(short.error, 120) or "the error",
            rank=2 if is_active else 0.5,
            place=place,
            attributes=(("cell", str(place + 1)), ("kind", "error")),
            most=most,
            is_code=False,
        )
        return told, short.counts

    @property
    def _shows_values(self) -> bool:
        return self._question.kernel is not None and self._question.kernel.allows_values

    def _output(self, place: int, said: OutputSaid, label: str, *, is_mentioned: bool) -> Told | None:
        source = self._knowledge.clean.ends(outputs.plain(said.text), _MOST_OUTPUT)
        self._secrets += source.secrets
        cell = self._document.cells[place]
        is_data = said.kind == "table"
        text = whole = outputs.shown(source.text, _MOST_OUTPUT, is_data=is_data, shows_values=True)
        if not self._shows_values:
            is_foreign = said.kind != "text" or _SHELL.search(cell.source) is not None
            words = None if is_foreign else self._words
            text = outputs.shown(source.text, _MOST_OUTPUT, is_data=is_data, shows_values=False, words=words)
        if text != whole:
            self._withhold(Kind.OUTPUT, cell.id, f"rows of the {label}", _VALUES_NEED)
        if not text.strip():
            return None
        return Told(
            kind=Kind.OUTPUT,
            id=cell.id,
            label=label,
            text=text,
            why="you mentioned its cell" if is_mentioned else "the cell that it is about",
            rank=0.5 if is_mentioned else 9,
            place=place,
            attributes=(("cell", str(place + 1)), ("kind", said.kind)),
            most=_MOST_OUTPUT,
            is_code=False,
        )

    # ---- the kernel

    def _variables(self, focus: Focus) -> list[Variable]:
        said = kernel.variables(self._question.kernel)
        known = {variable.name for variable in said}
        for name in sorted(self._mentions.variables - known):
            why = "nothing is known of it; variables are told only where you allow it, in the settings"
            self._withhold(Kind.VARIABLE, name, name, why)
        wanted = focus.uses | focus.words
        order = sorted(range(len(said)), key=lambda number: (_importance(said[number], self._mentions, wanted), number))
        made = {number: self._variable(said[number], wanted) for number in order[:_MOST_VARIABLES]}
        return [made[number] for number in sorted(made)]  # the kernel's own order: it stays while a cell is written

    def _variable(self, said: VariableSaid, wanted: frozenset[str]) -> Variable:
        assert self._question.kernel is not None
        allows_values = self._question.kernel.allows_values
        clean = self._knowledge.clean
        if said.value is not None:
            value = said.value.strip("'\"")
            if clean.named(said.name, value):
                self._secrets.append(value)  # which then stands nowhere else either
                value = PLACEHOLDER
            told = clean.ends(value, _MOST_VALUE)
            self._secrets += told.secrets
            said = msgspec.structs.replace(said, value=told.text if allows_values else None)
        line = clean(kernel.described(said, allows_values=allows_values))
        self._secrets += line.secrets
        rank = _importance(said, self._mentions, wanted)
        why = "you mentioned it" if rank < 1 else "the code uses it" if rank < 10 else "the kernel has it"
        size = kernel.shape(said)
        label = f"{said.name}: {size}" if size else f"{said.name}: {said.type}"
        return Variable(said.name, one_line(label, 120), line.text, rank, why, said.columns is not None)

    # ---- files

    def _mentioned_files(self) -> Iterator[Told]:
        is_open = {file.path: file.text for file in self._question.open}
        names = [name for name in self._mentions.files if name != self._document.path]
        most = max(1000, self._question.budget * 2 // 5 // max(1, len(names)))
        for path in names:
            why_not = self._gate.why_not(path)
            if self._gate.is_outside(path):
                found = files.Found(problem=OUTSIDE)
            elif path in is_open:
                found = files.Found(open_text(path, is_open[path]))
            else:
                found = files.read(self._workspace, path)
            if found.problem:
                self._withhold(Kind.FILE, path, path, found.problem)
                continue
            source = self._knowledge.clean.ends(found.text, max(most, MOST_SOURCE))
            self._secrets += source.secrets
            yield Told(
                kind=Kind.FILE,
                id=path,
                label=path,
                text=source.text.strip("\n"),
                why="you mentioned it" + (f"; it stays on local models ({why_not})" if why_not else ""),
                rank=0.2,
                attributes=(("path", path),),
                most=most,
                is_code=self._is_own_language(path),
            )

    def _snippets(self, cells: Sequence[Cell], focus: Focus) -> Iterator[Told]:
        except_for = {self._document.path, *self._mentions.files}
        for snippet in self._elsewhere.snippets(self._question, self._query, cells, focus, except_for):
            hit = snippet.hit
            label = f"{hit.part.name} in {hit.path}"
            if hit.path != self._document.path and (why_not := self._gate.why_not(hit.path)):
                self._withhold(Kind.FILE, hit.path, label, why_not)
                continue
            text = hit.part.text
            if not hit.part.is_definition and ending(hit.path) in _MAY_BE_DATA and not self._shows_values:
                text = without_values(text)
            source = self._knowledge.clean(text)
            self._secrets += source.secrets
            yield Told(
                kind=Kind.FILE,
                id=hit.path,
                label=label,
                text=source.text,
                why=snippet.why,
                rank=snippet.rank,
                attributes=(("path", hit.path), ("line", str(hit.part.line))),
                is_code=self._is_own_language(hit.path),
            )

    def _is_own_language(self, path: str) -> bool:
        own = self._document.language.lower()
        return language(path) == ("python" if own in _PYTHON else own)

    def _withhold(self, kind: Kind, name: str, label: str, why: str) -> None:
        self.withheld.append(Item(kind, one_line(name), one_line(label), 0, one_line(why)))


def _importance(said: VariableSaid, mentions: Mentions, wanted: frozenset[str]) -> float:
    """Return the rank of a variable: mentioned, used, a data frame, any other."""
    if said.name in mentions.variables:
        return 0.6
    if said.name in wanted:
        return 8
    return 32 if said.columns is not None else 34
