"""Paths of MLflow's API, read once and in one way: what could be read in two ways is refused.

MLflow's own server decodes, joins and normalises in several places, each a little differently. A path gets through here
only where none of them could make anything else of it, and is then written anew.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from aidp_ext.core.errors import InvalidRequest

#: Of runs, experiments, traces and logged models; letters, digits and a few more, so never a path of its own.
ID = re.compile(r"[A-Za-z0-9_-]{1,250}")
EXPERIMENT_ID = re.compile(r"[0-9]{1,30}")

_VERSIONED = re.compile(r"/(?:api|ajax-api)/([23]\.0)/(.+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MOST_DECODINGS = 5


def segments_of(raw: str) -> list[str]:
    """Return the decoded segments of a path that begins with a slash. Raises InvalidRequest where one is ambiguous.

    There are no empty segments, no dots that lead elsewhere, nothing encoded twice in a way that matters, and no slash
    inside a segment.
    """
    if not raw.startswith("/"):
        raise _ambiguous()
    if raw == "/":
        return []
    return [_segment(part) for part in raw[1:].split("/")]


def api_of(raw: str) -> tuple[str, list[str]]:
    """Return the version of the API, ``""`` outside it, and the decoded segments that follow."""
    if match := _VERSIONED.fullmatch(raw):
        return match[1], segments_of(f"/{match[2]}")
    return "", segments_of(raw)


def artifact_path(text: str) -> list[str]:
    """Return the segments of an artifact's path below the root, as given in a path or a query, decoded once.

    MLflow decodes it again before it uses it, so it has to mean the same however often that is done. Raises
    InvalidRequest.
    """
    if not text or "\\" in text or "#" in text or _CONTROL.search(text):
        raise _ambiguous()
    parts = text.split("/")
    for part in parts:
        _check(part)
        decoded = part
        for _ in range(_MOST_DECODINGS):
            again = unquote(decoded)
            if again == decoded:
                break
            decoded = again
            _check(decoded)
        else:
            raise _ambiguous()
    if not EXPERIMENT_ID.fullmatch(parts[0]):
        raise InvalidRequest("An artifact's path begins with its experiment's id.", field="path")
    if len(parts) > 1 and not ID.fullmatch(parts[1]):
        raise _ambiguous()
    return parts


def inner_path(text: str) -> str:
    """Return a path inside a run's or a model's artifacts as it is. Raises InvalidRequest where it leads out."""
    for part in text.split("/") if text else ():
        decoded = part
        for _ in range(_MOST_DECODINGS):
            if decoded == ".." or "\\" in decoded or _CONTROL.search(decoded) or ("/" in decoded):
                raise _ambiguous()
            again = unquote(decoded)
            if again == decoded:
                break
            decoded = again
        else:
            raise _ambiguous()
    if text.startswith("/"):
        raise _ambiguous()
    return text


def _segment(part: str) -> str:
    try:
        decoded = unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise _ambiguous() from None
    _check(decoded)
    return decoded


def _check(part: str) -> None:
    if part in ("", ".", "..") or "/" in part or "\\" in part or _CONTROL.search(part):
        raise _ambiguous()


def _ambiguous() -> InvalidRequest:
    return InvalidRequest(
        "This path could be read in more than one way, so it is not passed on.",
        next_step="Leave out empty parts, dots, backslashes and characters that are encoded twice.",
        field="path",
    )
