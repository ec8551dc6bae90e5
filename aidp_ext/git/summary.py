"""What changed in notebooks, in words: "3 cells changed, 1 added, outputs 4.2 MB"."""

from __future__ import annotations

import asyncio
import difflib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aidp_ext.core.errors import InvalidRequest
from aidp_ext.git.models import Change
from aidp_ext.git.names import place, raw, shown
from aidp_ext.git.preflight.blobs import contents, sizes, staged_entries
from aidp_ext.git.preflight.findings import counted, size
from aidp_ext.git.preflight.notebook import Cell, NotANotebook, Notebook, is_notebook, parse

if TYPE_CHECKING:
    from aidp_ext.git.command import Git

_MOST_BYTES = 20_000_000  # of a notebook that is read
_MOST_IN_ALL = 100_000_000  # of one call
_MOST_NOTEBOOKS = 200
_WORTH_SAYING = 1_000  # bytes of outputs
_MOST_ALIGNED = 1_000  # cells without ids that are compared in their order


@dataclass(frozen=True)
class NotebookSummary:
    """What changed in a notebook. ``output_bytes`` is what its outputs take now."""

    changed: int = 0  # cells whose source changed
    added: int = 0
    removed: int = 0
    outputs_changed: int = 0  # cells of which only outputs or execution counts did
    moved: bool = False
    output_bytes: int = 0
    is_new: bool = False

    def __str__(self) -> str:
        """Return it in words."""
        said: list[str] = []
        if self.is_new:
            said.append(counted(self.added, "cell"))
        else:
            for count, what in ((self.changed, "changed"), (self.added, "added"), (self.removed, "removed")):
                if count:
                    said.append(f"{count:,} {what}" if said else f"{counted(count, 'cell')} {what}")
            if self.moved:
                said.append("cells moved")
            if self.outputs_changed and not said:
                said.append(f"only outputs of {counted(self.outputs_changed, 'cell')} changed")
        if self.output_bytes >= _WORTH_SAYING:
            said.append(f"outputs {size(self.output_bytes)}")
        return ", ".join(said) or "only metadata changed"


@dataclass(frozen=True)
class TextSummary:
    """What there is to say of a notebook that was not compared."""

    text: str

    def __str__(self) -> str:
        """Return it in words."""
        return self.text


Summary = NotebookSummary | TextSummary


async def summaries(git: Git, changes: Sequence[Change], *, staged: bool) -> dict[str, Summary]:
    """Return what changed in each notebook among ``changes``, by its path.

    With ``staged`` the index is compared with the last commit, without it the working file is. Notebooks that are too
    large to be read at a glance, and what is no notebook, are summed up in a few words. Raises GitError.
    """
    wanted = [one for one in changes if is_notebook(one.path) and one.kind not in ("deleted", "conflict")]
    wanted = [one for one in wanted if not one.submodule][:_MOST_NOTEBOOKS]
    if not wanted:
        return {}
    if staged:
        before, after = await _in_index(git, wanted)
        return await _compared(git, {path: (before.get(path), blob) for path, blob in after.items()}, {})
    before = await _in_head(git, wanted)
    files = await asyncio.to_thread(_measured, git.root, [one.path for one in wanted])
    marks = {path: (before.get(path), *mark) for path, mark in files.items()}
    kept: dict[str, tuple[object, Summary]] = git.memory.setdefault("summaries", {})
    done = {path: kept[path][1] for path, mark in marks.items() if path in kept and kept[path][0] == mark}
    new = {path: (before.get(path), None) for path in marks if path not in done}
    found = {**done, **await _compared(git, new, {path: files[path][0] for path in new})}
    git.memory["summaries"] = {path: (marks[path], said) for path, said in found.items()}
    return found


async def _in_index(git: Git, wanted: Sequence[Change]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the blobs of the last commit and of the index, by path; of a renamed notebook what it was before."""
    entries = {entry.path: entry for entry in await staged_entries(git)}
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    for one in wanted:
        entry = entries.get(one.path)
        if entry is None or not entry.is_file:
            continue
        after[one.path] = entry.blob
        old = entries.get(one.old_path) if one.old_path else entry
        if old is not None and old.before:
            before[one.path] = old.before
    return before, after


async def _in_head(git: Git, wanted: Sequence[Change]) -> dict[str, str]:
    """Return the blobs of the last commit by the paths that they have now."""
    old = {one.old_path or one.path: one.path for one in wanted if one.kind != "untracked"}
    if not old:
        return {}
    names = [os.fsdecode(raw(path)) for path in old]
    # a repository without a commit has no HEAD
    out = await git.read("--literal-pathspecs", "ls-tree", "-z", "HEAD", "--", *names, check=False)
    found: dict[str, str] = {}
    for line in out.stdout.split(b"\0"):
        said, tab, name = line.partition(b"\t")
        if tab and (path := old.get(shown(name))) and said.split(b" ")[1] == b"blob":
            found[path] = said.split(b" ")[2].decode()
    return found


def _measured(root: Path, paths: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return the size of each working file and when it was written; what is no file is left out."""
    found: dict[str, tuple[int, int]] = {}
    for path in paths:
        try:
            seen = place(root, path).lstat()
        except (OSError, InvalidRequest):
            continue
        if stat.S_ISREG(seen.st_mode):
            found[path] = (seen.st_size, seen.st_mtime_ns)
    return found


# ---- reading


async def _compared(
    git: Git, pairs: Mapping[str, tuple[str | None, str | None]], working: Mapping[str, int]
) -> dict[str, Summary]:
    """Return what changed between two blobs; where the second is None, between a blob and the working file."""
    blobs = {blob for pair in pairs.values() for blob in pair if blob}
    size_of = await sizes(git, blobs)
    found: dict[str, Summary] = {}
    small: list[str] = []
    left = _MOST_IN_ALL
    for path, (before, after) in pairs.items():
        now = size_of.get(after, 0) if after else working.get(path, 0)
        largest = max(now, size_of.get(before or "", 0))
        left -= largest
        if largest > _MOST_BYTES or left < 0:
            found[path] = TextSummary(f"outputs {size(now)}" if now > _MOST_BYTES else size(now))
        else:
            small.append(path)
    wanted = {blob for path in small for blob in pairs[path] if blob and blob in size_of}
    read: dict[str, Notebook | None] = {}
    async for group in contents(git, {blob: size_of[blob] for blob in wanted}):
        read |= await asyncio.to_thread(_parsed_all, group)
    for path in small:
        before, after = pairs[path]
        seen = read.get(after) if after else await asyncio.to_thread(_parsed_file, git.root, path)
        was = read.get(before) if before else None
        found[path] = await asyncio.to_thread(_summary, was, seen, bool(before))
    return found


def _parsed_all(group: Mapping[str, memoryview]) -> dict[str, Notebook | None]:
    return {blob: _parsed(data) for blob, data in group.items()}


def _parsed(data: bytes | memoryview) -> Notebook | None:
    try:
        return parse(data)
    except NotANotebook:
        return None


def _parsed_file(root: Path, path: str) -> Notebook | None:
    try:
        # no pipe is waited for, and no link followed
        handle = os.open(place(root, path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(handle, "rb") as file:
            return _parsed(file.read(_MOST_BYTES + 1))
    except OSError:
        return None


# ---- comparing


def _summary(before: Notebook | None, after: Notebook | None, was_there: bool) -> Summary:
    if after is None:
        return TextSummary("not a notebook that can be read")
    if after.cells is None:
        return TextSummary("a notebook of an old format")
    total = after.output_bytes
    if not was_there:
        return NotebookSummary(added=len(after.cells), output_bytes=total, is_new=True)
    if before is None or before.cells is None:
        return TextSummary(f"{counted(len(after.cells), 'cell')}; the last commit has no notebook that can be read")
    pairs, added, removed, moved = _pairs(before.cells, after.cells)
    changed = sum(old.text != new.text or old.cell_type != new.cell_type for old, new in pairs)
    outputs = sum(
        old.text == new.text and old.cell_type == new.cell_type and _ran(old) != _ran(new) for old, new in pairs
    )
    return NotebookSummary(changed, added, removed, outputs, moved, total)


def _ran(cell: Cell) -> tuple[bytes, object]:
    return bytes(cell.outputs), cell.execution_count


_Pairs = tuple[list[tuple[Cell, Cell]], int, int, bool]


def _pairs(before: list[Cell], after: list[Cell]) -> _Pairs:
    """Return the cells that belong together, how many are new, how many are gone, and whether some changed places."""
    old = {cell.name: cell for cell in before if cell.name}
    new = {cell.name: cell for cell in after if cell.name}
    common = [name for name in new if name in old]
    # Ids that are missing, or were made anew when the notebook was saved, say nothing
    if len(old) == len(before) and len(new) == len(after) and 2 * len(common) >= min(len(old), len(new)):
        moved = common != [name for name in old if name in new]
        pairs = [(old[name], new[name]) for name in common]
        return pairs, len(new) - len(common), len(old) - len(common), moved
    return _pairs_by_content(before, after)


def _pairs_by_content(before: list[Cell], after: list[Cell]) -> _Pairs:
    if max(len(before), len(after)) > _MOST_ALIGNED:
        pairs = list(zip(before, after, strict=False))
        return pairs, max(0, len(after) - len(before)), max(0, len(before) - len(after)), False
    pairs = []
    added = removed = 0
    matcher = difflib.SequenceMatcher(None, [c.text for c in before], [c.text for c in after], autojunk=False)
    for _, start, end, start_now, end_now in matcher.get_opcodes():
        both = min(end - start, end_now - start_now)
        pairs += zip(before[start : start + both], after[start_now : start_now + both], strict=True)
        added += end_now - start_now - both
        removed += end - start - both
    return pairs, added, removed, False
