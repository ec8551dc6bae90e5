"""Asks a model to do something with a cell, a selection or a file, and reads the changes that it proposes."""

from __future__ import annotations

from aidp_ext.ai.context.service import ContextService
from aidp_ext.ai.talk import Router


class ActionService:
    """Knows the router and what is to be told beside the question."""

    def __init__(self, ai: Router, context: ContextService) -> None:
        self._ai = ai
        self._context = context
