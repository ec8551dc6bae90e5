"""Looks at what is staged before it is committed: secrets, outputs, large files, and what would fail or embarrass."""

from __future__ import annotations

from aidp_ext.git.preflight.choices import FILE, Choices, OutputsPolicy, Waiver, decide_outputs, load, waive
from aidp_ext.git.preflight.fixes import apply_fix
from aidp_ext.git.preflight.hooks import run_hooks
from aidp_ext.git.preflight.run import preflight
from aidp_ext.git.preflight.search import FindSecrets

__all__ = [
    "FILE",
    "Choices",
    "FindSecrets",
    "OutputsPolicy",
    "Waiver",
    "apply_fix",
    "decide_outputs",
    "load",
    "preflight",
    "run_hooks",
    "waive",
]
