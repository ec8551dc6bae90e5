"""Attached files and notebooks as a model is told them: the chosen cells and lines, not raw JSON; inside the workspace.

The wire form is jupyterlab-chat's (``FileAttachment``, ``NotebookAttachment``); whatever else comes is no attachment.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from aidp_ext.ai.context import code, outputs
from aidp_ext.ai.context.clean import clean
from aidp_ext.ai.context.wire import CellSaid, ContextQuestion, OutputSaid
from aidp_ext.ai.rules import OUTPUTS

_MOST_FILE_BYTES = 2_000_000
_MOST_NOTEBOOK_BYTES = 128 * 1024 * 1024
_MOST_OUTPUT_BYTES = 200_000  # of one cell, as JSON
_OUTPUT_CHARACTERS = 1_000  # of one output that is told
_LINES_AROUND = 5
_MOST = 20
_Place = tuple[int, int]  # line and column, both from 0


@dataclass(frozen=True)
class Selection:
    """A selected range. ``content`` is what it held when it was attached."""

    start: _Place
    end: _Place
    content: str = ""


@dataclass(frozen=True)
class AttachedCell:
    """A cell of an attached notebook."""

    id: str
    selection: Selection | None = None


@dataclass(frozen=True)
class Attached:
    """An attached file, or a notebook with the cells that are meant; None: all of them."""

    path: str
    is_notebook: bool = False
    selection: Selection | None = None
    cells: tuple[AttachedCell, ...] | None = None


@dataclass(frozen=True)
class Section:
    """A piece of what a model is told beside the question."""

    source: str  # what it is, for the model and the user
    text: str
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Told:
    """What there is to tell, and sentences for the user about what is not told."""

    sections: tuple[Section, ...] = ()
    notes: tuple[str, ...] = ()


def attached(raw: object) -> Attached | None:
    """Return an attachment of a chat as a value; None for what is none. Any JSON may come."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get("value"), str) or not raw["value"]:
        return None
    path = raw["value"][:4096]
    is_notebook = raw.get("type") == "notebook" or path.endswith(".ipynb")
    cells = raw.get("cells")
    chosen = None
    if is_notebook and isinstance(cells, Sequence) and not isinstance(cells, str) and cells:
        chosen = tuple(
            AttachedCell(cell["id"], _selection(cell.get("selection")))
            for cell in cells[:1000]
            if isinstance(cell, Mapping) and isinstance(cell.get("id"), str)
        )
    return Attached(path, is_notebook, _selection(raw.get("selection")), chosen)


def _selection(raw: object) -> Selection | None:
    if not isinstance(raw, Mapping):
        return None
    start, end, content = _place(raw.get("start")), _place(raw.get("end")), raw.get("content")
    if start is None or end is None:
        return None
    return Selection(min(start, end), max(start, end), content if isinstance(content, str) else "")


def _place(raw: object) -> _Place | None:
    if isinstance(raw, Sequence) and not isinstance(raw, str) and len(raw) == 2:
        line, column = raw
        if type(line) is int and type(column) is int and line >= 0 and column >= 0:
            return line, column
    return None


class AttachmentReader:
    """Reads attachments from the workspace, or from what the editor holds of the same documents, which is newer."""

    def __init__(self, workspace: Path | None) -> None:
        self._workspace = workspace

    def read(self, wanted: Iterable[Attached], live: ContextQuestion | None, characters: int) -> Told:
        """Return what to tell of these attachments within a number of characters. Reads files: call it in a thread."""
        sections: list[Section] = []
        notes: list[str] = []
        every = list(dict.fromkeys(wanted))
        if len(every) > _MOST:
            notes.append(f"Only the first {_MOST} of {len(every)} attachments were read.")
        every = every[:_MOST]
        for number, one in enumerate(every):
            share = max(0, characters) // (len(every) - number)
            try:
                section, note = self._section(one, live, share)
            except _Unreadable as error:
                notes.append(f"{_plain(one.path)} was not read: {error}.")
                continue
            sections.append(section)
            characters -= len(section.text)
            if note:
                notes.append(note)
        return Told(tuple(sections), tuple(notes))

    def _section(self, one: Attached, live: ContextQuestion | None, characters: int) -> tuple[Section, str]:
        path = inside(one.path)
        if path is None:
            raise _Unreadable("it is not a path inside the workspace")
        if one.is_notebook:
            cells = _live_cells(live, path)
            shows_values = live is not None and live.kernel is not None and live.kernel.allows_values
            cells = self._cells(path) if cells is None else cells
            return _notebook(path, one, cells, characters, shows_values=shows_values)
        text = _live_text(live, path)
        return _file(path, one.selection, self._text(path) if text is None else text, characters)

    def _text(self, path: str) -> str:
        data = self._bytes(path, _MOST_FILE_BYTES)
        if b"\0" in data[:8192]:
            raise _Unreadable("it is not text")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _Unreadable("it is not text in UTF-8") from error

    def _cells(self, path: str) -> list[CellSaid]:
        data = self._bytes(path, _MOST_NOTEBOOK_BYTES)
        try:
            notebook = _NOTEBOOK.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _Unreadable("it is not a notebook that can be understood") from error
        return [cell.said(number) for number, cell in enumerate(notebook.cells)]

    def _bytes(self, path: str, limit: int) -> bytes:
        if self._workspace is None:
            raise _Unreadable("this server has no workspace")
        try:
            root = self._workspace.resolve()
            place = (root / path).resolve()
            if not place.is_relative_to(root):
                raise _Unreadable("a link leads out of the workspace")
            # no pipe is waited for, and what became a link meanwhile is not followed
            handle = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
            with os.fdopen(handle, "rb") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise _Unreadable("it is not a file")
                if found.st_size > limit:
                    raise _Unreadable(f"it is larger than {limit // 1_000_000} MB; select the part that is meant")
                return file.read(limit)
        except FileNotFoundError as error:
            raise _Unreadable("there is no such file") from error
        except (OSError, ValueError, RuntimeError) as error:
            raise _Unreadable("it cannot be read") from error


class _Unreadable(Exception):
    """Why an attachment is not told."""


def inside(path: str) -> str | None:
    """Return a path relative to the workspace in its plain form; None for one that leads out or to hidden files."""
    plain = re.sub(r"^RTC:", "", path).replace("\\", "/")  # the drive of live collaboration
    if plain.startswith("/") or "\0" in plain or re.match(r"[A-Za-z]:/", plain):
        return None
    parts = [part for part in plain.split("/") if part not in ("", ".")]
    if not parts or any(part.startswith(".") for part in parts):
        return None
    return "/".join(parts)


# ---- files


def _file(path: str, selection: Selection | None, text: str, characters: int) -> tuple[Section, str]:
    if selection is None:
        shown, note = _cut(text, characters, path)
        return Section(path, shown, (path,)), note
    shown, where, note = _selected(text, selection, path)
    shown, cut = _cut(shown, characters, path)
    return Section(f"{path}, {where}", shown, (path,)), note or cut


def _selected(text: str, selection: Selection, name: str) -> tuple[str, str, str]:
    """Return the selected lines with some around, marked; where they are; and a note where the text has changed."""
    lines = text.split("\n")
    first, last = selection.start[0], selection.end[0]
    if last > first and selection.end[1] == 0:
        last -= 1  # nothing of that line is in it
    content = selection.content.strip("\n")
    note = ""
    if content and content not in "\n".join(lines[first : last + 1]):
        start = text.find(content)
        if start < 0:
            return content, "a selection", f"{_plain(name)} has changed; the selection is told as it was."
        first = text.count("\n", 0, start)
        last = first + content.count("\n")
    if first >= len(lines):
        return text, "whole", f"{_plain(name)} has become shorter than the selection; all of it is told."
    last = min(last, len(lines) - 1)
    before, after = lines[max(0, first - _LINES_AROUND) : first], lines[last + 1 : last + 1 + _LINES_AROUND]
    marked = [*before, "[selection begins]", *lines[first : last + 1], "[selection ends]", *after]
    return "\n".join(marked), f"lines {first + 1} to {last + 1} selected", note


def _cut(text: str, characters: int, name: str) -> tuple[str, str]:
    """Return a text without its secrets, shortened in its middle where it is too long, and a note about that."""
    text = clean(text).text
    if len(text) <= characters:
        return text, ""
    return outputs.clipped(text, characters), f"{_plain(name)} is long; it was told in part."


def _plain(name: str) -> str:
    """Return a file's name as text in a sentence."""
    return "".join(c if c.isprintable() else " " for c in name)[:200]


# ---- notebooks


class _Cell(msgspec.Struct):
    """What is read of a cell of a notebook file. Its outputs stay raw until they are wanted."""

    id: str = ""
    cell_type: str = "code"
    source: str | list[str] = ""
    execution_count: int | None = None
    outputs: msgspec.Raw = msgspec.Raw(b"[]")

    def said(self, number: int) -> CellSaid:
        """Return it as a front end would say it."""
        source = self.source if isinstance(self.source, str) else "".join(self.source)
        kind: Any = self.cell_type if self.cell_type in ("code", "markdown", "raw") else "raw"
        return CellSaid(
            id=self.id or f"#{number + 1}",
            type=kind,
            source=source,
            count=self.execution_count,
            outputs=_outputs(self.outputs),
        )


class _Notebook(msgspec.Struct):
    cells: list[_Cell] = msgspec.field(default_factory=list)


_NOTEBOOK = msgspec.json.Decoder(_Notebook)


def _outputs(raw: msgspec.Raw) -> list[OutputSaid]:
    if len(memoryview(raw)) > _MOST_OUTPUT_BYTES:
        return [OutputSaid(kind="other", text="(an output too large to be told)")]
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return []
    outputs = found if isinstance(found, list) else []
    return [said for output in outputs if isinstance(output, dict) and (said := _output(output)) is not None]


def _output(output: dict[str, Any]) -> OutputSaid | None:
    if output.get("output_type") == "error":
        trace = _joined(output.get("traceback"), "\n")
        return OutputSaid(kind="error", text=trace or f"{output.get('ename')}: {output.get('evalue')}")
    if output.get("output_type") == "stream":
        return OutputSaid(kind="text", text=_joined(output.get("text")))
    data = output.get("data")
    if not isinstance(data, dict):
        return None
    is_table = "<table" in _joined(data.get("text/html")).lower() or "application/vnd.dataresource+json" in data
    if text := _joined(data.get("text/plain")):
        return OutputSaid(kind="table" if is_table else "text", text=text)
    return OutputSaid(kind="other", text=f"({', '.join(map(str, data))[:100]})")


def _joined(value: object, by: str = "") -> str:
    if isinstance(value, list):
        return by.join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def _notebook(
    path: str, one: Attached, cells: Sequence[CellSaid], characters: int, *, shows_values: bool
) -> tuple[Section, str]:
    numbers = {cell.id: number for number, cell in enumerate(cells, 1)}
    wanted = {cell.id: cell.selection for cell in one.cells} if one.cells is not None else dict.fromkeys(numbers)
    gone = [id for id in wanted if id not in numbers]
    chosen = [cell for cell in cells if cell.id in wanted]
    if not chosen and one.cells is not None:
        raise _Unreadable("the attached cells are not in it any more")
    written = _Written([cell.source for cell in cells])
    texts = [_cell(cell, numbers[cell.id], wanted[cell.id], shows_values, written) for cell in chosen]
    shown, note = _cut("\n\n".join(texts), characters, path)
    if gone:
        note = f"{len(gone)} of the attached cells are not in {_plain(path)} any more."
    paths = (path, OUTPUTS) if any(cell.outputs for cell in chosen) else (path,)
    whole = one.cells is None
    return Section(path if whole else f"{path}, {len(chosen)} of its {len(cells)} cells", shown, paths), note


@dataclass(frozen=True)
class _Written:
    """What the notebook's own code says."""

    sources: Sequence[str]

    @cached_property
    def words(self) -> frozenset[str]:
        """Its words, and those of the language."""
        return code.vocabulary(code.words(source) | code.names(source) for source in self.sources)


def _cell(cell: CellSaid, number: int, selection: Selection | None, shows_values: bool, written: _Written) -> str:
    count = "" if cell.count is None else f", execution count {cell.count}"
    source = cell.source
    if selection is not None:
        source, where, _ = _selected(source, selection, "the cell")
        count += f", {where}"
    parts = [f"[cell {number}: {cell.type}{count}]", source]
    parts += [f"[output]\n{_short(output, shows_values, written)}" for output in cell.outputs[:10] if output.text]
    return "\n".join(parts)


def _short(output: OutputSaid, shows_values: bool, written: _Written) -> str:
    """Return an output in short; of data its shape alone, unless the user allows values."""
    if output.kind == "error":
        found = outputs.traceback(
            output.text, _OUTPUT_CHARACTERS, {}, shows_values=shows_values, sources=written.sources
        )
        return found.text
    text = outputs.plain(output.text)
    is_data = output.kind == "table"
    words = (lambda: written.words) if output.kind == "text" else None
    return outputs.shown(text, _OUTPUT_CHARACTERS, is_data=is_data, shows_values=shows_values, words=words)


# ---- what the editor holds


def _live_cells(live: ContextQuestion | None, path: str) -> list[CellSaid] | None:
    document = live.document if live is not None else None
    if document is None or document.kind != "notebook" or inside(document.path) != path:
        return None
    return document.cells


def _live_text(live: ContextQuestion | None, path: str) -> str | None:
    if live is None:
        return None
    document = live.document
    if document is not None and document.kind == "file" and inside(document.path) == path and document.cells:
        return document.cells[0].source
    return next((file.text for file in live.open if inside(file.path) == path), None)
