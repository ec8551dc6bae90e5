"""An action that is asked for, made ready: the cell, the part that may change, what to call it."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from aidp_ext.ai.actions import python
from aidp_ext.ai.actions.merge import Target
from aidp_ext.ai.actions.veil import Veil
from aidp_ext.ai.actions.wire import Action, ActionAsked
from aidp_ext.ai.context.wire import CellSaid, DocumentSaid
from aidp_ext.ai.models import Task
from aidp_ext.core.errors import Conflict, NotFound

TASKS = {
    Action.EXPLAIN: Task.EXPLAIN,
    Action.FIX: Task.FIX,
    Action.TESTS: Task.TESTS,
    Action.DOCS: Task.DOCS,
    Action.OPTIMIZE: Task.REFACTOR,
    Action.REVIEW: Task.REVIEW,
    Action.CONVERT: Task.REFACTOR,
    Action.GENERATE: Task.CHAT,
    Action.SUMMARY: Task.DOCS,
    Action.EDIT: Task.CHAT,
}
#: Answered in prose; nothing changes.
PROSE = frozenset({Action.EXPLAIN, Action.REVIEW})
_OF_PYTHON = frozenset({Action.TESTS, Action.CONVERT})
_ERROR_NAME = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Warning|Interrupt|Exit|Iteration))\b", re.MULTILINE)
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Job:
    """What is to be done to what. Sources are veiled: without their secrets."""

    action: Action
    document: DocumentSaid
    cell: CellSaid  # as it came, with its secrets
    target: Target
    veil: Veil
    instruction: str = ""
    new_file: str = ""

    @property
    def language(self) -> str:
        """What the target is written in."""
        return self.target.language

    @property
    def where(self) -> str:
        """The target's name for people."""
        place = self.label(self.cell)
        return f"the selection in {place}" if self.target.is_part else place

    @property
    def file_name(self) -> str:
        """The document's name, without its folder."""
        return posixpath.basename(self.document.path) or self.document.kind

    @property
    def place(self) -> str:
        """The document's path below the workspace, without Jupyter's drive; empty for one that is not there."""
        path = posixpath.normpath(self.document.path.replace("\\", "/").split(":", 1)[-1].strip("/"))
        return "" if path == "." or path == ".." or path.startswith("../") else path

    def label(self, cell: CellSaid) -> str:
        """Return what a cell is called: by its place, as the context names it; a file by its name."""
        return f"cell {self.number(cell)}" if self.document.kind == "notebook" else self.file_name

    def number(self, cell: CellSaid) -> int:
        """Return a cell's place in the document, counted from 1."""
        return next((n for n, one in enumerate(self.document.cells, 1) if one is cell), 0)

    def named(self, name: str) -> CellSaid | None:
        """Return the cell that a model means by an id or by a place; None where there is none, or it is not code."""
        name = name.strip().strip("`#")
        number = re.fullmatch(r"(?:cell)?[\s_-]*\[?(\d{1,6})\]?", name)
        by_id = next((cell for cell in self.document.cells if cell.id and cell.id == name), None)
        if by_id is None and number and 0 < int(number[1]) <= len(self.document.cells):
            by_id = self.document.cells[int(number[1]) - 1]
        return by_id if by_id is not None and by_id.type == "code" else None

    @property
    def error(self) -> str:
        """The name of the error that the target ended with, or an empty text."""
        text = "\n".join(_ANSI.sub("", output.text) for output in self.cell.outputs if output.kind == "error")
        names = _ERROR_NAME.findall(text)
        return str(names[-1]).rpartition(".")[2] if names else ""


def prepared(asked: ActionAsked) -> Job:
    """Return the job that is asked for.

    Raises NotFound where there is no such cell, and Conflict where the selection is not in it or the action is not
    one for what is there.
    """
    document = asked.context.document
    if document is None or not document.cells:
        raise NotFound("There is no cell or file to work on.", next_step="Open one, and put the cursor into it.")
    cell = _active(document, asked.action)
    veil = Veil.over([asked.instruction, *(one.source for one in document.cells)])
    language = document.language if cell.type == "code" else "markdown" if cell.type == "markdown" else "text"
    start, end = (asked.selection.start, asked.selection.end) if asked.selection else (0, len(cell.source))
    if start > end or end > len(cell.source):
        raise Conflict("The selection is not in the text.", next_step="Select again; the text has changed since.")
    if start == end:
        start, end = 0, len(cell.source)
    before, inside, after = veil.parts(cell.source, start, end)
    target = Target(before + inside + after, len(before), len(before) + len(inside), language)
    if asked.action in _OF_PYTHON and not python.is_python(cell.source, language):
        what = "Tests" if asked.action is Action.TESTS else "Functions"
        raise Conflict(f"{what} are made for Python only, and this is {language}.")
    name = posixpath.splitext(posixpath.basename(asked.path_for_new_file))[0]
    if asked.path_for_new_file and not name.isidentifier():
        raise Conflict(f"{name}.py could not be imported.", next_step="Choose a name of letters, digits and _.")
    return Job(asked.action, document, cell, target, veil, asked.instruction.strip(), asked.path_for_new_file)


def _active(document: DocumentSaid, action: Action) -> CellSaid:
    if action is Action.SUMMARY or (document.kind != "notebook" and not document.active):
        return document.cells[0]
    found = next((cell for cell in document.cells if cell.id == document.active), None)
    if found is None:
        raise NotFound("The cell is not there any more.", next_step="Choose a cell and ask again.")
    return found
