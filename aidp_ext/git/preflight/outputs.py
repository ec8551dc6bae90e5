"""Check: notebooks' outputs, by what this repository decided about them."""

from __future__ import annotations

from aidp_ext.git.models import Fix
from aidp_ext.git.preflight.choices import OutputsPolicy
from aidp_ext.git.preflight.document import Document
from aidp_ext.git.preflight.findings import Draft, counted, size

_STRIP = Fix("strip", "Strip outputs")
_ALWAYS = Fix("always-strip", "Always strip here")
_KEEP = Fix("keep", "Keep them here")


def look(document: Document, policy: OutputsPolicy, most_bytes: int) -> tuple[Draft, ...]:
    """Return a finding for outputs that are large, or that should not be here at all. Marked cells keep theirs."""
    if document.notebook is None or policy == "keep":
        return ()
    found = document.notebook.strippable_bytes
    if not found or (policy == "ask" and found < most_bytes):
        return ()
    cells = sum(bool(cell.output_bytes) for cell in document.notebook.cells or ())
    said = f"{size(found)} of outputs are in {counted(cells, 'cell')}"
    is_unwanted = policy == "strip"
    rest = (
        "; this repository keeps none in its commits."
        if is_unwanted
        else ". Stripped from the commit, your file keeps them."
    )
    return (
        Draft(
            check="outputs",
            severity="block" if is_unwanted else "warn",
            path=document.path,
            message=said + rest,
            key="outputs",
            size=found,
            fixes=(_STRIP, _KEEP) if is_unwanted else (_STRIP, _ALWAYS, _KEEP),
        ),
    )
