"""Check: personal data in what is staged, for those who asked for it."""

from __future__ import annotations

from aidp_ext.git.preflight.document import Document
from aidp_ext.git.preflight.findings import UNSTAGE, Draft, an, place
from aidp_ext.git.preflight.notebook import Piece
from aidp_ext.git.preflight.search import FindSecrets, personal_in


def look(document: Document, find: FindSecrets) -> tuple[Draft, ...]:
    """Return a finding for each kind of personal data of a file, at its first place."""
    if document.is_generated:
        return ()
    first: dict[str, tuple[str, Piece, int]] = {}
    values: dict[str, set[str]] = {}
    for piece in document.pieces:
        if piece.where == "metadata":
            continue  # numbers of versions, and the author's own name
        read = personal_in(piece.text, find)
        for hit in read.hits:
            first.setdefault(hit.kind, (hit.label, piece, hit.line))
            values.setdefault(hit.kind, set()).add(hit.text)
    return tuple(
        Draft(
            check="personal",
            severity="warn",
            path=document.path,
            message=_message(label, piece, line, len(values[kind])),
            key=kind,  # a table gets a row more; what was accepted stays so
            line=line if piece.where in ("file", "source") else None,
            cell=piece.cell,
            cell_id=piece.cell_id,
            fixes=(UNSTAGE,),
        )
        for kind, (label, piece, line) in first.items()
    )


def _message(label: str, piece: Piece, line: int, count: int) -> str:
    where = place(piece, line)
    if count == 1:
        return f"{an(label)} is {where}."
    name, bracket, rest = label.partition(" (")
    plural = f"{name}es" if name.endswith("s") else f"{name}s"
    return f"{count:,} {plural}{bracket}{rest} are in this file, the first {where}."
