"""Check: keys, tokens and passwords in what is staged."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from aidp_ext.git.models import Fix
from aidp_ext.git.preflight.document import Document
from aidp_ext.git.preflight.findings import UNSTAGE, Draft, an, counted, place
from aidp_ext.git.preflight.notebook import Piece
from aidp_ext.git.preflight.search import FindSecrets, Hit, secrets_in

_MOST = 50  # of one file
_STRIP = Fix("strip", "Strip outputs")
#: Kinds known by the name beside them, or by looking random: not by a form of their own.
_RANDOM = "random-string"
_PRIVATE = "private-key"  # whose body is base64
_GUESSED = (_RANDOM, "token", "password")
#: Forms so plain that base64 has them by chance.
_PLAIN = ("artifactory-token", "twilio-key")
_HASH = re.compile(r"[0-9a-fA-F]+|[0-9a-fA-F-]{36}|sha\d+-.*", re.DOTALL)


@dataclass
class _Group:
    """One secret, wherever it is in a file."""

    hit: Hit
    piece: Piece
    places: int = 1
    is_in_outputs_only: bool = True


@dataclass(frozen=True)
class SecretsRead:
    """What was found in one file; ``is_whole`` is false where parts of it were not read."""

    drafts: tuple[Draft, ...]
    is_whole: bool = True


def look(document: Document, find: FindSecrets) -> SecretsRead:
    """Return a finding for each secret of a file, at its first place."""
    groups: dict[str, _Group] = {}
    is_whole = True
    for piece in document.pieces:
        read = secrets_in(piece.text, find)
        is_whole = is_whole and read.is_whole
        for hit in read.hits:
            if not _counts(document, piece, hit):
                continue
            known = groups.get(hit.text)
            if known is None:
                known = groups[hit.text] = _Group(hit, piece)
            else:
                known.places += 1
            known.is_in_outputs_only = known.is_in_outputs_only and piece.where == "output"
    return SecretsRead(tuple(_drafts(document.path, list(groups.values()))), is_whole)


def known_before(draft: Draft, before: memoryview) -> Draft:
    """Return a finding as a warning where the last commit holds the secret already: it is out, and blocks nothing."""
    raw = draft.key.encode("utf-8", "replace")
    written = json.dumps(draft.key)[1:-1].encode()  # as a notebook's file has it
    if not re.search(re.escape(raw) + b"|" + re.escape(written), before):
        return draft
    message = f"{draft.message} It is in the last commit already: replace it where it was issued."
    return replace(draft, severity="warn", message=message)


def _counts(document: Document, piece: Piece, hit: Hit) -> bool:
    """Return whether a thing that was found is one for a person to look at."""
    if (hit.is_in_base64 and hit.kind != _PRIVATE) or (hit.is_in_run and hit.kind in _PLAIN):
        return False
    if hit.kind not in (*_GUESSED, *_PLAIN):
        return True
    if document.is_generated or (hit.is_in_long_line and not piece.is_raw):
        return False
    return hit.kind != _RANDOM or (piece.is_code and not _HASH.fullmatch(hit.text))


def _drafts(path: str, groups: list[_Group]) -> Iterator[Draft]:
    for group in groups[:_MOST]:
        others = group.places - 1
        more = f", and in {counted(others, 'more place')}" if others else ""
        in_outputs = group.is_in_outputs_only and group.piece.cell is not None
        is_guess = group.hit.kind == _RANDOM
        yield Draft(
            check="secrets",
            severity="warn" if is_guess else "block",
            path=path,
            message=f"{an(group.hit.label)} is {place(group.piece, group.hit.line)}{more}.",
            key=group.hit.text,
            line=group.hit.line if group.piece.where in ("file", "source") else None,
            cell=group.piece.cell,
            cell_id=group.piece.cell_id,
            fixes=(_STRIP, UNSTAGE) if in_outputs else (UNSTAGE,),
        )
    if rest := groups[_MOST:]:
        yield Draft(
            check="secrets",
            severity="block",
            path=path,
            message=f"{len(rest):,} more secrets are in this file, the first {place(rest[0].piece, rest[0].hit.line)}.",
            key="\0".join(sorted(group.hit.text for group in rest)),
            line=rest[0].hit.line if rest[0].piece.where in ("file", "source") else None,
            cell=rest[0].piece.cell,
            cell_id=rest[0].piece.cell_id,
            fixes=(UNSTAGE,),
        )
