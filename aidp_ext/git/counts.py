"""Counts the lines that changed, in the changed files only.

``git diff --numstat HEAD -- <paths>`` takes 14 s for a hundred changed files among 100,000. An index that holds nothing
but their committed versions, kept aside, answers the same in 10 ms.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from aidp_ext.git.command import Git
from aidp_ext.git.porcelain import Entry
from aidp_ext.git.stamps import Stamp, stamp

_MOST_BYTES = 5_000_000  # of a file; a larger one is not compared
_KEY = "counts"

Counts = tuple[int | None, int | None]  # lines added and removed; None for what is not text, or was not counted
_Known = dict[bytes, tuple[tuple[bytes, bytes, Stamp], Counts]]


async def counts(git: Git, entries: Sequence[Entry]) -> dict[bytes, Counts]:
    """Return what was added and removed since the last commit, by path; nothing for files that have no lines.

    What was counted before and has not changed since is not counted again.
    """
    known: _Known = git.memory.get(_KEY, {})
    keys = {entry.raw: (entry.mode, entry.blob, stamp(_place(git, entry.raw))) for entry in entries if _counts(entry)}
    found = {raw: known[raw][1] for raw, key in keys.items() if raw in known and known[raw][0] == key}
    missing = [entry for entry in entries if entry.raw in keys and entry.raw not in found]
    new = [entry.raw for entry in missing if entry.change.kind == "added"]
    found |= await asyncio.to_thread(lambda: {raw: (_lines(_place(git, raw)), 0) for raw in new})
    if compared := [entry for entry in missing if entry.change.kind != "added"]:
        found |= await _compare(git, compared)
    for raw in keys:
        found.setdefault(raw, (0, 0))  # staged, and then put back as it was
    git.memory[_KEY] = {raw: (key, found[raw]) for raw, key in keys.items()}
    return found


def _counts(entry: Entry) -> bool:
    kind = entry.change.kind
    return not entry.change.submodule and kind != "type" and (kind == "added" or bool(entry.blob))


def _place(git: Git, raw: bytes) -> bytes:
    return os.fsencode(git.root) + b"/" + raw


async def _compare(git: Git, entries: Sequence[Entry]) -> dict[bytes, Counts]:
    told = b"".join(entry.mode + b" " + entry.blob + b"\t" + entry.raw + b"\0" for entry in entries)
    with tempfile.TemporaryDirectory(prefix="aidp-git-") as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        await git.read("update-index", "-z", "--index-info", stdin=told, env=env)
        # A blob above the threshold counts as binary and is not read
        options = ("-c", f"core.bigFileThreshold={_MOST_BYTES}")
        done = await git.read(*options, "diff-files", "--numstat", "-z", "--no-ext-diff", "--no-renames", env=env)
    return dict(_read(line) for line in done.stdout.split(b"\0") if line)


def _read(line: bytes) -> tuple[bytes, Counts]:
    added, removed, raw = line.split(b"\t", 2)
    return raw, (None, None) if added == b"-" else (int(added), int(removed))


def _lines(place: bytes) -> int | None:
    """Return how many lines a new file has; None for what is not text, or large."""
    try:
        with open(place, "rb") as file:  # noqa: PTH123 - of bytes
            text = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError):
        return None
    if len(text) > _MOST_BYTES or b"\0" in text[:8000]:
        return None
    return text.count(b"\n") + (not text.endswith(b"\n") and bool(text))
