"""Chooses what a model is told beside the question."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from aidp_ext.ai import find_secrets
from aidp_ext.ai.context.choose import choose
from aidp_ext.ai.context.elsewhere import Elsewhere
from aidp_ext.ai.context.gather import MOST_SOURCE, Gathering, Knowledge
from aidp_ext.ai.context.index import WorkspaceIndex
from aidp_ext.ai.context.kept import Kept
from aidp_ext.ai.context.models import Chosen
from aidp_ext.ai.context.wire import ContextQuestion
from aidp_ext.ai.rules import Rules

#: Characters that were not seen before, up to which the work is done at once: some milliseconds.
_AT_ONCE = 30_000
_MOST_CELLS = 1000


class ContextService:
    """Knows the workspace, its rules and its index. ``choose`` may be called in any thread."""

    def __init__(self, workspace: Path | None, rules: Rules) -> None:
        self._workspace = workspace
        self._rules = rules
        self._knowledge = Knowledge()
        self._kept = Kept()
        self.index = WorkspaceIndex(workspace)
        self._elsewhere = Elsewhere(self.index)

    def choose(self, question: ContextQuestion, *, owner: str) -> Chosen:
        """Return what a model is told; keeps the question for ``owner`` where it asks for that.

        Takes some milliseconds for what was seen before. Where it was not, :meth:`chosen` spares the event loop.
        """
        self.index.refresh_soon()
        gathering = Gathering(question, self._knowledge, self._rules, self._workspace, self._elsewhere)
        found = choose(gathering.work())
        name = self.keep(question, owner) if question.keep else None
        return replace(found, withheld=tuple(dict.fromkeys(gathering.withheld)), id=name)

    async def chosen(self, question: ContextQuestion, *, owner: str) -> Chosen:
        """Return the same as :meth:`choose`, by a thread where it may take long."""
        if self._is_quick(question):
            return self.choose(question, owner=owner)
        return await asyncio.to_thread(self.choose, question, owner=owner)

    def keep(self, question: ContextQuestion, owner: str) -> str:
        """Keep a question for half an hour and return its id."""
        return self._kept.keep(question, owner)

    def kept(self, name: str, owner: str) -> ContextQuestion | None:
        """Return a question that was kept for ``owner``; None where it is gone or somebody else's."""
        return self._kept.get(name, owner)

    def close(self) -> None:
        """End what is under way."""
        self.index.close()

    def _is_quick(self, question: ContextQuestion) -> bool:
        if not find_secrets.is_ready():  # it is yet to be imported
            return False
        if any(mention.startswith("file:") for mention in question.mentions):  # a disk may be slow
            return False
        cells = question.document.cells if question.document else []
        if len(cells) > _MOST_CELLS:
            return False
        left = _AT_ONCE - len(question.query)
        for cell in cells:
            if left < 0:
                return False
            if not self._knowledge.knows(cell.source):
                left -= min(len(cell.source), 2 * MOST_SOURCE)
        unknown = sum(len(file.text) for file in question.open if not self._elsewhere.knows(file))
        return left >= unknown
