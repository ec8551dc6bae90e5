"""What a front end says of the user's work, and hears: the bodies of ``context`` and ``actions``.

All texts are as they are now, saved or not. The front end's twin: ``labextension/src/ai/context/wire.ts``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from aidp_ext.ai.context.models import Kind
from aidp_ext.ai.models import Task

Characters = Annotated[int, Meta(ge=0)]
Path = Annotated[str, Meta(max_length=4096)]
Name = Annotated[str, Meta(max_length=1000)]


class OutputSaid(Struct, kw_only=True):
    """One output of a cell, in text; images and the like are named, not sent."""

    kind: Literal["text", "error", "table", "image", "other"]
    text: str = ""


class CellSaid(Struct, kw_only=True):
    """One cell. A file and a console's input are one code cell."""

    id: Name = ""
    type: Literal["code", "markdown", "raw"] = "code"
    source: str = ""
    count: int | None = None  # its execution count
    outputs: list[OutputSaid] = field(default_factory=list)


class DocumentSaid(Struct, kw_only=True):
    """The document that is worked on."""

    path: Path = ""  # below the server's root; empty where there is none
    kind: Literal["notebook", "file", "console"] = "notebook"
    language: Name = "python"
    cells: Annotated[list[CellSaid], Meta(max_length=100_000)] = field(default_factory=list)
    active: Name = ""  # the id of the cell that it is about


class ColumnSaid(Struct, kw_only=True):
    """A column of a data frame."""

    name: Name
    dtype: Name = ""


class VariableSaid(Struct, kw_only=True):
    """A variable of the kernel. ``value`` is there only where the user allows values."""

    name: Name
    type: Name
    shape: list[int] | None = None
    columns: list[ColumnSaid] | None = None
    more_columns: int = 0  # how many are not listed
    dtype: Name | None = None
    length: int | None = None
    signature: Name | None = None
    value: str | None = None


class KernelSaid(Struct, kw_only=True):
    """What the kernel holds, as of ``taken_at``; the user has allowed that it is told."""

    language: Name = "python"
    state: Literal["idle", "busy", "dead", "none"] = "idle"
    taken_at: Name | None = None  # ISO 8601
    variables: list[VariableSaid] = field(default_factory=list)
    allows_values: bool = False


class OpenFileSaid(Struct, kw_only=True):
    """Another document that is open in the editor."""

    path: Path
    text: str
    language: Name = ""


class ContextQuestion(Struct, kw_only=True):
    """What is worked on, and what the context is for."""

    task: Task = Task.CHAT
    document: DocumentSaid | None = None
    kernel: KernelSaid | None = None
    open: list[OpenFileSaid] = field(default_factory=list)
    query: str = ""  # the user's words, or the text around the cursor
    mentions: list[Name] = field(default_factory=list)  # "file:prep.py", "cell:<id>", "df:people", "run:<id>"
    exclude: list[Name] = field(default_factory=list)  # items that the user took out, as "kind:id"
    budget: Annotated[int, Meta(ge=0, le=400_000)] = 12_000  # the most characters
    keep: bool = False  # keep the question for a chat message that names it


class ItemSaid(Struct):
    """One thing that was chosen, or left out."""

    kind: Kind
    id: str  # a cell's id, a path, a variable's name
    label: str
    characters: int
    why: str


class ContextSaid(Struct, kw_only=True):
    """What was chosen."""

    text: str
    items: list[ItemSaid]
    summary: str
    withheld: list[ItemSaid]
    paths: list[str]
    secrets: int  # how many were replaced in the text
    id: str | None  # of the kept question
