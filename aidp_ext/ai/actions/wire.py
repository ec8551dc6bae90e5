"""The bodies of ``actions``: what is asked, and the events that answer it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct

from aidp_ext.ai.context.wire import Characters, ContextQuestion, Path
from aidp_ext.ai.models import Privacy

#: A path below the workspace that ends in ``.py``, or none: no part of it is ``..`` or hidden.
NEW_FILE = r"^(?:[^/\\.\x00-\x1f][^/\\\x00-\x1f]{0,200}/){0,20}[^/\\.\x00-\x1f][^/\\\x00-\x1f]{0,200}\.py$|^$"


class Action(StrEnum):
    """What is to be done with a cell, a selection, a file or a notebook."""

    EXPLAIN = "explain"
    FIX = "fix"
    TESTS = "tests"
    DOCS = "docs"
    OPTIMIZE = "optimize"
    REVIEW = "review"
    CONVERT = "convert"
    GENERATE = "generate"
    SUMMARY = "summary"
    EDIT = "edit"


class Selection(Struct, kw_only=True):
    """A part of the target's source, in Unicode code points from its beginning; ``end`` is not in it."""

    start: Characters
    end: Characters


class ActionAsked(Struct, kw_only=True):
    """What is asked. The target is the active cell of the context's document."""

    action: Action
    context: ContextQuestion
    selection: Selection | None = None
    instruction: Annotated[str, Meta(max_length=20_000)] = ""
    model: Annotated[str, Meta(max_length=500)] = "auto"
    privacy: Privacy | None = None
    path_for_new_file: Annotated[str, Meta(max_length=4096, pattern=NEW_FILE)] = ""
    max_tokens: Annotated[int, Meta(ge=1, le=100_000)] | None = None


class ContextChosen(Struct, kw_only=True, tag_field="type", tag="context"):
    """What the model is told beside the target: the first event."""

    summary: str
    items: list[dict[str, str | int]]
    withheld: list[dict[str, str | int]]


class TextPiece(Struct, kw_only=True, tag_field="type", tag="text"):
    """A piece of prose, as it comes: Markdown."""

    text: str


class CodePiece(Struct, kw_only=True, tag_field="type", tag="code"):
    """A piece of what will be proposed, as it comes: for progress only."""

    text: str


class Change(Struct, kw_only=True, frozen=True):
    """One change that is proposed, in whole sources. Nothing of it is done by the server."""

    kind: Literal["replace", "insert_below", "insert_above", "create_file"]
    source: str
    original: str = ""  # what is there now; also of a file that would be overwritten
    cell: str = ""  # the id of the cell that is replaced, or beside which it is inserted
    path: str = ""  # the document, or the new file
    cell_type: Literal["code", "markdown"] = "code"
    why: str = ""


class Runnable(Struct, kw_only=True, frozen=True):
    """What can be run once the proposal is accepted."""

    path: Path
    kind: Literal["tests"] = "tests"


class Proposal(Struct, kw_only=True, tag_field="type", tag="proposal"):
    """What the model proposes."""

    title: str
    why: str
    changes: list[Change]
    run: Runnable | None = None


class Done(Struct, kw_only=True, tag_field="type", tag="done"):
    """How it was made: the last event of an answer that went well."""

    call: str
    route: str
    locality: str
    reason: str
    cost_usd: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


Event = ContextChosen | TextPiece | CodePiece | Proposal | Done


class RunAsked(Struct, kw_only=True):
    """A file of tests in the workspace."""

    path: Path


class Line(Struct, kw_only=True, tag_field="type", tag="line"):
    """A line that the tests' run printed."""

    text: str


class Ended(Struct, kw_only=True, tag_field="type", tag="ended"):
    """How the tests' run ended. ``exit`` is pytest's status, 124 where it was stopped for its time."""

    passed: bool
    exit: int
    summary: str


RunEvent = Line | Ended
