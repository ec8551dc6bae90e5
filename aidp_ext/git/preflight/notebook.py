"""A notebook as it lies in git: its cells with their outputs left raw until somebody wants to see them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

_BOM = b"\xef\xbb\xbf"
_EMPTY = msgspec.Raw(b"[]")
_NONE = msgspec.Raw(b"{}")
_NOTHING = msgspec.Raw(b"")
Where = Literal["source", "text", "output", "metadata", "file"]


class NotANotebook(Exception):
    """Why a file cannot be read as a notebook, in words that end a sentence; ``line`` from 1 where it is known."""

    def __init__(self, why: str, line: int | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.line = line


class Cell(msgspec.Struct):
    """What is read of a cell."""

    id: Any = None
    cell_type: str = "code"
    source: str | list[str] = ""
    execution_count: Any = None
    outputs: msgspec.Raw = _EMPTY
    metadata: msgspec.Raw = _NONE

    @property
    def text(self) -> str:
        """Its source in one piece."""
        return self.source if isinstance(self.source, str) else "".join(self.source)

    @property
    def name(self) -> str | None:
        """Its id, or None in notebooks of before nbformat 4.5."""
        return self.id if isinstance(self.id, str) and self.id else None

    @property
    def output_bytes(self) -> int:
        """The size of its outputs in the file; 0 where it has none."""
        size = memoryview(self.outputs).nbytes
        return size if size > 2 and msgspec.json.decode(self.outputs, type=list[msgspec.Raw]) else 0

    @property
    def keeps_outputs(self) -> bool:
        """True where the author marked it so (``keep_output`` in its metadata or tags, as nbstripout reads it)."""
        if b"keep_output" not in bytes(self.metadata):
            return False
        said = msgspec.json.decode(self.metadata)
        if not isinstance(said, dict):
            return False
        tags = said.get("tags")
        return said.get("keep_output") is True or (isinstance(tags, list) and "keep_output" in tags)


class Notebook(msgspec.Struct):
    """What is read of a notebook. One of before nbformat 4 has ``worksheets`` and no cells."""

    cells: list[Cell] | None = None
    worksheets: msgspec.Raw = _NOTHING
    metadata: msgspec.Raw = _NONE

    @property
    def strippable_bytes(self) -> int:
        """The size of all outputs that nobody marked to be kept."""
        sized = ((cell, cell.output_bytes) for cell in self.cells or ())
        return sum(size for cell, size in sized if size and not cell.keeps_outputs)

    @property
    def output_bytes(self) -> int:
        """The size of all outputs."""
        return sum(cell.output_bytes for cell in self.cells or ())


_NOTEBOOK = msgspec.json.Decoder(Notebook)


def is_notebook(path: str) -> bool:
    """Return whether a path is that of a notebook."""
    return path.lower().endswith(".ipynb")


def parse(data: bytes | memoryview) -> Notebook:
    """Return a notebook. Raises NotANotebook."""
    if not bytes(data[:64]).strip():
        raise NotANotebook("it is empty")
    if bytes(data[:3]) == _BOM:
        data = data[3:]
    try:
        found = _NOTEBOOK.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        found = _leniently(data, error)
    if found.cells is None and not memoryview(found.worksheets):
        raise NotANotebook("it has no cells")
    return found


def _leniently(data: bytes | memoryview, why: Exception) -> Notebook:
    """Return what Python's own reader makes of it: it allows NaN, which Python writes into notebooks."""
    try:
        found = json.loads(bytes(data))
    except json.JSONDecodeError as error:
        if re.search(rb"^(?:<{7} |={7}$|>{7} )", data, re.MULTILINE):
            raise NotANotebook("a merge left conflict markers in it", error.lineno) from error
        raise NotANotebook("it is not JSON", error.lineno) from error
    except (ValueError, RecursionError) as error:
        raise NotANotebook("it is not JSON in UTF-8") from error
    if not isinstance(found, dict):
        raise NotANotebook("it holds no notebook") from why
    try:
        return _NOTEBOOK.decode(msgspec.json.encode(found))
    except (msgspec.DecodeError, msgspec.EncodeError, UnicodeEncodeError, RecursionError) as error:
        raise NotANotebook("its cells are not what a notebook's cells are") from error


# ---- its texts


@dataclass(frozen=True)
class Piece:
    """A text in a file, and where it is. ``is_raw`` is true of JSON that was left as it is."""

    text: str
    where: Where
    cell: int | None = None  # from 1
    cell_id: str | None = None
    is_code: bool = False
    is_raw: bool = False


def pieces(notebook: Notebook) -> Iterator[Piece]:
    """Yield every text of a notebook: sources, outputs that are text, metadata. No image, no id of a cell."""
    if memoryview(notebook.worksheets):
        yield Piece(_decoded(notebook.worksheets), "source", is_raw=True)
    for number, cell in enumerate(notebook.cells or (), 1):
        is_code = cell.cell_type == "code"
        if text := cell.text:
            yield Piece(text, "source" if is_code else "text", number, cell.name, is_code)
        for text, is_raw in _texts(cell.outputs):
            yield Piece(text, "output", number, cell.name, is_raw=is_raw)
        if memoryview(cell.metadata).nbytes > 2:
            yield Piece(_decoded(cell.metadata), "metadata", number, cell.name, is_raw=True)
    if memoryview(notebook.metadata).nbytes > 2:
        yield Piece(_decoded(notebook.metadata), "metadata", is_raw=True)


class _Output(msgspec.Struct):
    text: str | list[str] = ""
    data: dict[str, msgspec.Raw] | None = None
    traceback: list[str] | None = None
    evalue: Any = None


_OUTPUTS = msgspec.json.Decoder(list[_Output])
_ANSI = re.compile(r"\x1b\[[0-9;?]{0,32}[ -/]?[@-~]")
#: Texts of no one: ids of widgets, and a picture's lines.
_NOT_READ = ("application/vnd.jupyter.widget-view+json", "image/svg+xml", "application/pdf")


def _texts(raw: msgspec.Raw) -> Iterator[tuple[str, bool]]:
    """Yield the texts of a cell's outputs, and whether each is JSON."""
    if memoryview(raw).nbytes <= 2:
        return
    try:
        outputs = _OUTPUTS.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        yield _decoded(raw), True
        return
    for output in outputs:
        trace = "\n".join(output.traceback or ()) or (output.evalue if isinstance(output.evalue, str) else "")
        for text in ("".join(output.text), trace):
            if text:
                yield without_colours(text), False
        for mime, value in (output.data or {}).items():
            if mime in _NOT_READ:
                continue
            if mime.startswith("text/") or mime in ("application/javascript", "application/x-latex"):
                yield _joined(value), False
            elif mime.endswith("json"):
                yield _decoded(value), True


def without_colours(text: str) -> str:
    """Return a text without a terminal's colours."""
    return _ANSI.sub("", text) if "\x1b" in text else text


def _joined(raw: msgspec.Raw) -> str:
    value = msgspec.json.decode(raw)
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def _decoded(raw: msgspec.Raw) -> str:
    return str(memoryview(raw), "utf-8", "replace")
