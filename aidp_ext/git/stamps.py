"""Whether a repository may have changed, told from the times of its files: no process, no look into them."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aidp_ext.git.layout import Layout

#: After this time a repository counts as changed, whatever its files say: an edit of a file that was as committed
#: shows in no file of Git's.
STALE_S = 60.0

_MOST_FILES = 500
_MOST_FOLDERS = 500
_OWN = (
    "HEAD", "index", "index.lock", "config.worktree", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_LOG",
    "rebase-merge", "rebase-apply",
)  # fmt: skip
_SHARED = ("config", "packed-refs", "info/exclude", "reftable/tables.list", "shallow")

Stamp = tuple[int, int, int] | None


@dataclass(frozen=True)
class Seen:
    """What a look at the repository found: which files differed, a digest of all that was told of them, and when."""

    paths: tuple[bytes, ...]
    digest: str
    at: float


def fingerprint(layout: Layout, seen: Seen | None) -> str:
    """Return a short text that is another one when the repository may have changed since it was ``seen``."""
    parts: list[object] = [git_files(layout)]
    if seen is None:
        parts.append("never seen")
    else:
        folder = os.fsencode(layout.top)
        files = [os.path.join(folder, path) for path in seen.paths[:_MOST_FILES]]  # noqa: PTH118 - of bytes
        folders = {os.path.dirname(file.rstrip(b"/")) for file in files} | {folder}  # noqa: PTH120
        parts += [seen.digest, stamps((*files, *sorted(folders), layout.top / ".gitignore"))]
        if time.monotonic() - seen.at > STALE_S:
            parts.append(f"not seen since {seen.at}")
    return digest(parts)


def git_files(layout: Layout) -> tuple[object, ...]:
    """Return the times of the files in which Git keeps the index, the branches and what is going on."""
    own = stamps(layout.git_dir / name for name in _OWN)
    return (*own, *stamps(layout.common_dir / name for name in _SHARED), *references(layout))


def references(layout: Layout) -> tuple[object, ...]:
    """Return the times of what HEAD, the branches and the remotes' branches are kept in."""
    branch = layout.branch()
    files = [layout.git_dir / "HEAD", layout.common_dir / "packed-refs", layout.common_dir / "reftable/tables.list"]
    if branch is not None:
        files.append(layout.common_dir / "refs/heads" / branch)
    # Git replaces a branch's file, which its folder's time tells
    return branch, *stamps((*files, *_folders(layout.common_dir / "refs")))


def stamps(paths: Iterable[Path | bytes]) -> tuple[Stamp, ...]:
    """Return a time, a size and an identity for each file; None for one that is not there."""
    return tuple(stamp(path) for path in paths)


def stamp(path: Path | bytes) -> Stamp:
    """Return the time, the size and the identity of a file; None where it is not there."""
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def digest(parts: Sequence[object]) -> str:
    """Return a short text for values that are alike only where they are the same."""
    return hashlib.blake2b(repr(parts).encode(errors="surrogateescape"), digest_size=12).hexdigest()


def _folders(refs: Path) -> Iterator[Path]:
    waiting = [refs]
    for _ in range(_MOST_FOLDERS):
        if not waiting:
            return
        folder = waiting.pop()
        yield folder
        try:
            with os.scandir(folder) as entries:
                found = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except OSError:
            continue
        waiting += [folder / name for name in found if folder != refs or name in ("heads", "remotes")]
