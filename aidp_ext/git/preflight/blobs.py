"""What is staged, and the contents of git's objects: read from the index, never from the working tree."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aidp_ext.git.names import shown

if TYPE_CHECKING:
    from aidp_ext.git.command import Git

_MOST_AT_ONCE = 32_000_000  # bytes of objects that are held at a time
_TIMEOUT_S = 120.0
SYMLINK, SUBMODULE = "120000", "160000"


@dataclass(frozen=True)
class Staged:
    """A path whose entry in the index differs from the last commit."""

    path: str  # as names.shown gives it
    mode: str  # as git writes it: 100644, 100755, 120000 (a link), 160000 (a submodule)
    blob: str
    status: Literal["A", "M", "D", "T", "U"]
    before: str | None = None  # the blob in the last commit
    before_mode: str | None = None

    @property
    def is_file(self) -> bool:
        """True where there is a content to look at."""
        return self.status in ("A", "M", "T") and self.mode not in (SYMLINK, SUBMODULE)


async def staged_entries(git: Git) -> list[Staged]:
    """Return what is staged, in git's order. A repository without a commit has everything in it. Raises GitError."""
    out = await git.read("diff", "--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "--no-ext-diff")
    fields = out.stdout.split(b"\0")
    found: dict[str, Staged] = {}
    for said, name in zip(fields[::2], fields[1::2], strict=False):
        old_mode, mode, old, new, status = said.decode().lstrip(":").split(" ")
        path = shown(name)
        was = old if old.strip("0") else None
        kind = status[0]
        if kind in ("A", "M", "D", "T", "U") and (path not in found or kind == "U"):
            found[path] = Staged(path, mode, new, kind, was, old_mode if was else None)  # type: ignore[arg-type]
    return list(found.values())


async def sizes(git: Git, names: Iterable[str]) -> dict[str, int]:
    """Return the size in bytes of each object that is there, by its id. Raises GitError."""
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return {}
    asked = b"".join(name.encode() + b"\n" for name in wanted)
    out = await git.read("cat-file", "--batch-check=%(objecttype) %(objectsize)", stdin=asked, timeout_s=_TIMEOUT_S)
    found: dict[str, int] = {}
    for name, line in zip(wanted, out.stdout.split(b"\n"), strict=False):
        kind, _, size = line.partition(b" ")
        if kind == b"blob":
            found[name] = int(size)
    return found


async def contents(git: Git, size_of: Mapping[str, int]) -> AsyncIterator[dict[str, memoryview]]:
    """Yield the contents of objects in groups, so that no more than some megabytes are held at a time.

    A group is forgotten with the next one unless the caller keeps it. Raises GitError.
    """
    for group in _groups(size_of):
        asked = b"".join(name.encode() + b"\n" for name in group)
        out = await git.read("cat-file", "--batch", stdin=asked, timeout_s=_TIMEOUT_S)
        yield _cut(out.stdout, group)


def _groups(size_of: Mapping[str, int]) -> Iterable[list[str]]:
    group: list[str] = []
    held = 0
    for name, size in size_of.items():
        if group and held + size > _MOST_AT_ONCE:
            yield group
            group, held = [], 0
        group.append(name)
        held += size
    if group:
        yield group


def _cut(data: bytes, names: Sequence[str]) -> dict[str, memoryview]:
    """Return each content as a view of the one answer: nothing is copied."""
    whole = memoryview(data)
    found: dict[str, memoryview] = {}
    at = 0
    for name in names:
        end = data.index(b"\n", at)
        said = data[at:end].split(b" ")
        at = end + 1
        if said[-1] in (b"missing", b"ambiguous"):
            continue
        size = int(said[2])
        found[name] = whole[at : at + size]
        at += size + 1
    return found
