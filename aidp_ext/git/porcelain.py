"""Reads what ``git status --porcelain=v2 -z --branch`` prints."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from aidp_ext.git.models import Change
from aidp_ext.git.names import shown

MOST_CHANGES = 2000

_Kind = Literal["added", "modified", "deleted", "renamed", "copied", "type"]
_Staged = Literal["no", "yes", "partly"]


@dataclass(frozen=True)
class Entry:
    """A changed file: the change, its bytes on disk, and the blob of the last commit that it is to be compared with."""

    change: Change
    raw: bytes
    mode: bytes = b""  # of the last commit; empty where there is nothing to compare
    blob: bytes = b""


@dataclass(frozen=True)
class Status:
    """What Git knows of a working tree."""

    head: str | None
    branch: str | None
    upstream: str | None
    ahead: int
    behind: int
    entries: tuple[Entry, ...]
    more: int  # changes beyond the limit


def read_status(printed: bytes, most: int = MOST_CHANGES) -> Status:
    """Return the status that Git printed, with up to ``most`` changes."""
    headers: dict[str, str] = {}
    entries: dict[bytes, Entry] = {}
    more = 0
    tokens = iter(printed.split(b"\0"))
    for token in tokens:
        kind = token[:2]
        if kind == b"# ":
            name, _, value = token[2:].decode(errors="replace").partition(" ")
            headers[name] = value
            continue
        origin = next(tokens) if kind == b"2 " else b""
        if not token or kind == b"! ":
            continue
        if len(entries) >= most:
            more += 1
            continue
        entry = _entry(token, origin)
        before = entries.get(entry.raw)  # deleted in the index, and there again in the folder
        entries[entry.raw] = entry if before is None else _both(before)
    ahead, _, behind = headers.get("branch.ab", "+0 -0").partition(" ")
    branch, head = headers.get("branch.head"), headers.get("branch.oid")
    return Status(
        head=None if head == "(initial)" else head,
        branch=None if branch == "(detached)" else branch,
        upstream=headers.get("branch.upstream"),
        ahead=abs(int(ahead)),
        behind=abs(int(behind)),
        entries=tuple(entries.values()),
        more=more,
    )


def _entry(token: bytes, origin: bytes) -> Entry:
    if token.startswith(b"? "):
        return Entry(Change(shown(token[2:]), "untracked", "no"), token[2:])
    if token.startswith(b"u "):
        _, _, sub, *_, raw = token.split(b" ", 10)
        return Entry(Change(shown(raw), "conflict", "no", submodule=sub.startswith(b"S")), raw)
    if token.startswith(b"2 "):
        _, xy, sub, mode, _, _, blob, _, _, raw = token.split(b" ", 9)
    else:
        _, xy, sub, mode, _, _, blob, _, raw = token.split(b" ", 8)
    change = Change(
        path=shown(raw),
        kind=_kind(xy.decode()),
        staged=_staged(xy.decode()),
        old_path=shown(origin) if origin else None,
        submodule=sub.startswith(b"S"),
    )
    is_file = mode.startswith(b"100")
    return Entry(change, raw, mode if is_file else b"", blob if is_file else b"")


def _kind(xy: str) -> _Kind:
    if "R" in xy:
        return "renamed"
    if "C" in xy:
        return "copied"
    if "A" in xy:
        return "added"
    if "D" in xy:
        return "deleted"
    return "type" if "T" in xy else "modified"


def _staged(xy: str) -> _Staged:
    if xy[0] == ".":
        return "no"
    return "yes" if xy[1] == "." else "partly"


def _both(deleted: Entry) -> Entry:
    return replace(deleted, change=replace(deleted.change, kind="modified", staged="partly"))
