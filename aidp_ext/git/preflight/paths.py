"""Check: paths that exist for one person only."""

from __future__ import annotations

import re

from aidp_ext.git.preflight.document import Document
from aidp_ext.git.preflight.findings import Draft, counted, line_of, place
from aidp_ext.git.preflight.notebook import Piece

_HOME = re.compile(
    r"(?<![\w.:/~*-])(?:/home/|/Users/)[A-Za-z_][\w.-]{0,63}(?=/)"
    r"|\b[A-Za-z]:(?:\\{1,2}|/)Users(?:\\{1,2}|/)[\w. -]{1,63}(?=[\\/])"
)
#: The same for everybody, or nobody's.
_NOBODY = frozenset(
    ("jovyan", "shared", "public", "default", "user", "username", "you", "yourname", "your_name", "me", "runner")
)
_MOST = 5  # of one file


def look(document: Document) -> tuple[Draft, ...]:
    """Return a finding for each home folder that is written into code."""
    first: dict[str, tuple[Piece, int]] = {}
    count: dict[str, int] = {}
    if document.is_generated:
        return ()
    for piece in document.pieces:
        if not piece.is_code or not ("/home/" in piece.text or "Users" in piece.text):
            continue
        for found in _HOME.finditer(piece.text):
            home = re.sub(r"\\+", "/", found[0])
            if home.rsplit("/", 1)[-1].lower() in _NOBODY:
                continue
            first.setdefault(home, (piece, line_of(piece.text, found.start())))
            count[home] = count.get(home, 0) + 1
    return tuple(
        Draft(
            check="paths",
            severity="warn",
            path=document.path,
            message=_message(home, piece, line, count[home] - 1),
            key=home,
            line=line,
            cell=piece.cell,
            cell_id=piece.cell_id,
        )
        for home, (piece, line) in list(first.items())[:_MOST]
    )


def _message(home: str, piece: Piece, line: int, others: int) -> str:
    more = f", and in {counted(others, 'more place')}" if others else ""
    return f"A path below {home} is {place(piece, line)}{more}: it will not be there for others."
