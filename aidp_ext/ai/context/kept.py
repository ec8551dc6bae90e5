"""Questions that are kept for a while, for a chat message that names them: a chat is a file, and they are not in it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_urlsafe

import msgspec

from aidp_ext.ai.context.wire import ContextQuestion

LIFETIME_S = 30 * 60
MOST = 200
MOST_CHARACTERS = 24_000_000
_MOST_OUTPUT = 50_000  # characters of one output at either end: no more of it is ever looked at


@dataclass(frozen=True)
class _Entry:
    owner: str
    question: ContextQuestion
    characters: int
    ends_at: float


class Kept:
    """Keeps questions, each for its owner; the oldest go first where they are too many or too long."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._characters = 0

    def keep(self, question: ContextQuestion, owner: str) -> str:
        """Keep a question and return its id, which nobody can guess."""
        question = _shortened(question)
        name = token_urlsafe(18)
        entry = _Entry(owner, question, _characters(question), self._now() + LIFETIME_S)
        self._entries[name] = entry
        self._characters += entry.characters
        while self._entries and self._is_too_much():
            self._forget(next(iter(self._entries)))
        return name

    def get(self, name: str, owner: str) -> ContextQuestion | None:
        """Return a question; None where there is none, its time is over, or it is somebody else's."""
        entry = self._entries.get(name)
        if entry is None or entry.owner != owner or entry.ends_at <= self._now():
            return None
        return entry.question

    def _is_too_much(self) -> bool:
        oldest = next(iter(self._entries.values()))
        return len(self._entries) > MOST or self._characters > MOST_CHARACTERS or oldest.ends_at <= self._now()

    def _forget(self, name: str) -> None:
        self._characters -= self._entries.pop(name).characters


def _shortened(question: ContextQuestion) -> ContextQuestion:
    """Return a question without what nobody would look at: the middle of very long outputs."""
    document = question.document
    if document is None or all(
        len(output.text) <= 2 * _MOST_OUTPUT for cell in document.cells for output in cell.outputs
    ):
        return question
    cells = []
    for cell in document.cells:
        outputs = [
            msgspec.structs.replace(output, text=f"{output.text[:_MOST_OUTPUT]}\n…\n{output.text[-_MOST_OUTPUT:]}")
            if len(output.text) > 2 * _MOST_OUTPUT
            else output
            for output in cell.outputs
        ]
        cells.append(msgspec.structs.replace(cell, outputs=outputs))
    return msgspec.structs.replace(question, document=msgspec.structs.replace(document, cells=cells))


def _characters(question: ContextQuestion) -> int:
    """Return about how many characters a question holds, a small part for each thing in it."""
    count = 1000 + len(question.query) + sum(len(file.text) + 500 for file in question.open)
    for cell in question.document.cells if question.document else ():
        count += 500 + len(cell.source) + sum(200 + len(output.text) for output in cell.outputs)
    for variable in question.kernel.variables if question.kernel else ():
        count += 500 + 200 * len(variable.columns or ()) + len(variable.value or "")
    return count
