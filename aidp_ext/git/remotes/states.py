"""What the checks of a commit come to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from aidp_ext.git.models import Check
from aidp_ext.git.names import redact


def overall(checks: Iterable[Check]) -> Literal["pending", "success", "failure", "none"]:
    """Return ``failure`` if one failed, ``pending`` while one runs, ``none`` where there are none."""
    states = {check.state for check in checks}
    if not states:
        return "none"
    return "failure" if "failure" in states else "pending" if "pending" in states else "success"


def summary_of(text: Any) -> str | None:
    """Return what a check says of itself, in short, or None."""
    return redact(" ".join(text.split()))[:300] or None if isinstance(text, str) else None
