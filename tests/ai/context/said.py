"""Short ways to say what a front end says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aidp_ext.ai.context.models import Chosen
from aidp_ext.ai.context.service import ContextService
from aidp_ext.ai.context.wire import (
    CellSaid,
    ColumnSaid,
    ContextQuestion,
    DocumentSaid,
    KernelSaid,
    OutputSaid,
    VariableSaid,
)
from aidp_ext.ai.models import Task
from aidp_ext.ai.rules import Rules


def cell(name: str, source: str, **more: Any) -> CellSaid:
    return CellSaid(id=name, source=source, **more)


def prose(name: str, source: str) -> CellSaid:
    return CellSaid(id=name, source=source, type="markdown")


def failed(text: str) -> OutputSaid:
    return OutputSaid(kind="error", text=text)


def printed(text: str) -> OutputSaid:
    return OutputSaid(kind="text", text=text)


def frame(name: str, columns: str = "age:float64 sex:object", **more: Any) -> VariableSaid:
    pairs = [ColumnSaid(name=part.split(":")[0], dtype=part.split(":")[1]) for part in columns.split()]
    return VariableSaid(name=name, type="DataFrame", shape=[891, len(pairs)], columns=pairs, **more)


def kernel(*variables: VariableSaid, **more: Any) -> KernelSaid:
    return KernelSaid(variables=list(variables), **more)


def question(cells: Sequence[CellSaid], active: str = "", task: Task = Task.CHAT, **more: Any) -> ContextQuestion:
    document = DocumentSaid(path="work.ipynb", cells=list(cells), active=active)
    return ContextQuestion(task=task, document=document, **more)


def service(folder: Path | None = None, rules: str = "", never_leave: Sequence[str] = ()) -> ContextService:
    """Return a service whose index is as the folder is now."""
    if folder is not None and rules:
        (folder / "aidp.toml").write_text(rules)
    made = ContextService(folder, Rules(folder, never_leave))
    made.index.refresh()
    return made


def choose(asked: ContextQuestion, folder: Path | None = None, **more: Any) -> Chosen:
    return service(folder, **more).choose(asked, owner="ana")


def told(chosen: Chosen, kind: str) -> list[str]:
    """Return the ids of the chosen items of a kind."""
    return [item.id for item in chosen.items if item.kind == kind]
