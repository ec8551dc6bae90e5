"""What checks say, before it is known what was waived; and words that all of them use."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from aidp_ext.git.models import CheckName, Finding, Fix, Severity
from aidp_ext.git.preflight.choices import Choices
from aidp_ext.git.preflight.notebook import Piece

UNSTAGE = Fix("unstage", "Leave this file out")


@dataclass(frozen=True)
class Draft:
    """A finding to be. ``key`` tells it from others of the same check and path, and may be the secret itself."""

    check: CheckName
    severity: Severity
    path: str
    message: str
    key: str = field(repr=False)
    line: int | None = None
    cell: int | None = None
    cell_id: str | None = None
    size: int | None = None
    fixes: tuple[Fix, ...] = ()
    can_waive: bool = True
    output: str | None = None


def fingerprint(salt: str, check: str, path: str, key: str) -> str:
    """Return what a finding is known by: the same for the same content, and without the salt nothing can be tried."""
    said = "\0".join((salt, check, path, key)).encode("utf-8", "surrogateescape")
    return hashlib.sha256(said).hexdigest()[:40]


def finding(draft: Draft, choices: Choices) -> Finding | None:
    """Return a draft as a finding; None where somebody waived it."""
    name = fingerprint(choices.salt, draft.check, draft.path, draft.key)
    if draft.can_waive and name in choices.waived:
        return None
    return Finding(
        id=name,
        check=draft.check,
        severity=draft.severity,
        path=draft.path,
        message=draft.message,
        line=draft.line,
        cell=draft.cell,
        cell_id=draft.cell_id,
        size=draft.size,
        fixes=draft.fixes,
        can_waive=draft.can_waive,
        output=draft.output,
    )


# ---- words


def an(label: str) -> str:
    """Return a label behind its article, at the beginning of a sentence.

    >>> an("npm token"), an("URL")
    ('An npm token', 'A URL')
    """
    is_vowel = label[:1].lower() in "aeio" or label.startswith(("npm", "u"))
    return f"{'An' if is_vowel else 'A'} {label}"


def place(piece: Piece, line: int) -> str:
    """Return where something is, for a sentence: "in cell 5 (output)"."""
    if piece.where == "file":
        return f"in line {line}"
    if piece.cell is None:
        return "in the notebook's metadata" if piece.where == "metadata" else "in the notebook"
    if piece.where == "source":
        return f"in cell {piece.cell}, line {line}"
    what = {"output": "output", "metadata": "metadata"}.get(piece.where, "text")
    return f"in cell {piece.cell} ({what})"


def line_of(text: str, at: int) -> int:
    """Return the line of a place in a text, from 1."""
    return text.count("\n", 0, at) + 1


def size(count: int) -> str:
    """Return a number of bytes as people read it.

    >>> size(4_200_000), size(999)
    ('4.2 MB', '999 bytes')
    """
    for unit, worth in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= worth:
            return f"{re.sub(r'[.]0$', '', f'{count / worth:.1f}')} {unit}"
    return f"{count} bytes"


def counted(count: int, what: str) -> str:
    """Return a number of things: "1 cell", "2 cells"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
