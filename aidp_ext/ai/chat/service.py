"""Answers a message of a chat."""

from __future__ import annotations

from pathlib import Path

from aidp_ext.ai.context.service import ContextService
from aidp_ext.ai.talk import Router


class ChatService:
    """Knows the router and what is to be told beside the question."""

    def __init__(self, ai: Router, context: ContextService, workspace: Path | None) -> None:
        self._ai = ai
        self._context = context
        self._workspace = workspace
