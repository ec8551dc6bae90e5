"""Check: what a merge left behind."""

from __future__ import annotations

import re

from aidp_ext.git.preflight.blobs import Staged
from aidp_ext.git.preflight.document import Document
from aidp_ext.git.preflight.findings import UNSTAGE, Draft, line_of, place

_MARKERS = re.compile(r"^(<{7}(?= )|={7}(?=\r?$)|>{7}(?= ))", re.MULTILINE)


def look(document: Document) -> tuple[Draft, ...]:
    """Return a finding for the first conflict of a file."""
    for piece in document.pieces:
        if (
            piece.where not in ("file", "source", "text")
            or "<<<<<<< " not in piece.text
            or ">>>>>>> " not in piece.text
        ):
            continue
        at = _conflict(piece.text)
        if at is not None:
            line = line_of(piece.text, at)
            return (
                Draft(
                    check="conflicts",
                    severity="block",
                    path=document.path,
                    message=f"A merge left its conflict markers {place(piece, line)}.",
                    key="markers",
                    line=line if piece.where in ("file", "source") else None,
                    cell=piece.cell,
                    cell_id=piece.cell_id,
                    fixes=(UNSTAGE,),
                ),
            )
    return ()


def unmerged(entry: Staged) -> Draft:
    """Return the finding for a file whose two sides are not put together yet."""
    return Draft(
        check="conflicts",
        severity="block",
        path=entry.path,
        message="This file is in conflict: choose what to keep, then stage it.",
        key="unmerged",
        can_waive=False,
    )


def _conflict(text: str) -> int | None:
    """Return where a conflict begins: with all three markers, as a row of equals signs may underline a heading."""
    start: int | None = None
    has_middle = False
    for found in _MARKERS.finditer(text):
        marker = found[1][0]
        if marker == "<":
            start, has_middle = found.start(), False
        elif marker == "=":
            has_middle = start is not None
        elif has_middle:
            return start
    return None
