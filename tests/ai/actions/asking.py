"""For the tests of actions: what a front end asks, and what comes of a model's answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from aidp_ext.ai.actions.files import Files
from aidp_ext.ai.actions.job import Job, prepared
from aidp_ext.ai.actions.proposals import proposed
from aidp_ext.ai.actions.wire import ActionAsked, Proposal


def job(action: str, *sources: str, active: int = 0, path: str = "analysis.ipynb", **more: Any) -> Job:
    """Return a job for one of these cells; ids are ``c1``, ``c2`` …"""
    kind = "notebook" if path.endswith(".ipynb") else "file"
    types, outputs = more.pop("types", {}), more.pop("outputs", [])
    cells = [
        {"id": f"c{number}", "source": source, "type": types.get(number, "code")}
        for number, source in enumerate(sources, 1)
    ]
    cells[active]["outputs"] = outputs
    document = {"path": path, "kind": kind, "cells": cells, "active": f"c{active + 1}"}
    document["language"] = more.pop("language", "python")
    body = {"action": action, "context": {"document": document}, **more}
    return prepared(msgspec.convert(body, ActionAsked))


def proposal(action: str, answer: str, *sources: str, root: Path | None = None, **more: Any) -> Proposal:
    """Return what is proposed for an answer."""
    return proposed(job(action, *sources, **more), answer, Files(root))


def new_source(action: str, answer: str, *sources: str, **more: Any) -> str:
    """Return the new source of the one cell that changes."""
    (change,) = proposal(action, answer, *sources, **more).changes
    return change.source
