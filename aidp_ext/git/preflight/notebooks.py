"""Check: notebooks that nobody could open."""

from __future__ import annotations

from aidp_ext.git.preflight.document import Document
from aidp_ext.git.preflight.findings import UNSTAGE, Draft


def look(document: Document) -> tuple[Draft, ...]:
    """Return a finding for what is named a notebook and is none."""
    if document.problem is None:
        return ()
    line = document.problem.line
    where = f" (line {line})" if line else ""
    return (
        Draft(
            check="notebooks",
            severity="block",
            path=document.path,
            message=f"This notebook cannot be opened: {document.problem.why}{where}.",
            key=document.staged.blob,
            line=line,
            fixes=(UNSTAGE,),
        ),
    )
