"""Chooses what a model is told beside the question."""

from __future__ import annotations

from pathlib import Path

from aidp_ext.ai.rules import Rules


class ContextService:
    """Knows the workspace and its rules."""

    def __init__(self, workspace: Path | None, rules: Rules) -> None:
        self._workspace = workspace
        self._rules = rules
