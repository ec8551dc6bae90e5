"""Where Git keeps what: read from its files, without starting it."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Operation = Literal["merge", "rebase", "cherry-pick", "revert", "bisect"]

_SMALL = 65536  # bytes; HEAD, gitdir and the like are a line
_MARKS: tuple[tuple[str, Operation], ...] = (
    ("rebase-merge", "rebase"),
    ("rebase-apply", "rebase"),
    ("MERGE_HEAD", "merge"),
    ("CHERRY_PICK_HEAD", "cherry-pick"),
    ("REVERT_HEAD", "revert"),
    ("BISECT_LOG", "bisect"),
)


@dataclass(frozen=True)
class Layout:
    """The folders of a repository: its working files, what is this worktree's own, and what all its worktrees share."""

    top: Path
    git_dir: Path
    common_dir: Path

    @property
    def lock(self) -> Path:
        """The lock of the index."""
        return self.git_dir / "index.lock"

    def operation(self) -> Operation | None:
        """Return what is going on and has not been finished: a rebase that stopped at a conflict, a merge …"""
        return next((name for mark, name in _MARKS if (self.git_dir / mark).exists()), None)

    def branch(self) -> str | None:
        """Return the branch that HEAD names, also where it has no commit yet; None: detached, or HEAD is damaged."""
        head = small_text(self.git_dir / "HEAD")
        prefix = "ref: refs/heads/"
        return head.removeprefix(prefix) if head is not None and head.startswith(prefix) else None

    def lock_age_s(self) -> float | None:
        """Return how old the lock of the index is; None where there is none."""
        return age_s(self.lock)


def find(start: Path) -> Layout | None:
    """Return the repository that a folder is in, None for none. A damaged ``.git`` counts as one; Git will tell."""
    for folder in (start, *start.parents):
        if (layout := at(folder)) is not None:
            return layout
    return None


def at(top: Path) -> Layout | None:
    """Return the repository whose working files begin at ``top``, None for none."""
    link = top / ".git"
    try:
        mode = link.stat().st_mode
    except OSError:
        return None
    git_dir = link
    if stat.S_ISREG(mode):  # of a worktree or a submodule
        told = small_text(link) or ""
        if not told.startswith("gitdir: "):
            return None
        git_dir = Path(os.path.normpath(top / told.removeprefix("gitdir: ")))
    shared = small_text(git_dir / "commondir")
    return Layout(top, git_dir, Path(os.path.normpath(git_dir / shared)) if shared else git_dir)


def is_bare(folder: Path) -> bool:
    """Whether a folder looks like a repository without working files."""
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()


def small_text(path: Path) -> str | None:
    """Return the first line of a small file; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_SMALL).decode(errors="replace").split("\n", 1)[0].strip()
    except OSError:
        return None


def age_s(path: Path) -> float | None:
    """Return for how many seconds a file has been as it is; None where there is none."""
    try:
        return max(0.0, time.time() - path.lstat().st_mtime)
    except OSError:
        return None


def users_of(path: Path, top: Path) -> list[int]:
    """Return the processes that have ``path`` open, and the Git ones that work in ``top``.

    Git closes its lock while it waits for a hook, so an open file alone would not tell. Only Linux says who they are;
    elsewhere, and of other users' processes, nothing is known.
    """
    found: list[int] = []
    with contextlib.suppress(OSError):
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and _uses(entry, path, top):
                found.append(int(entry.name))
    return found


def _uses(process: Path, path: Path, top: Path) -> bool:
    with contextlib.suppress(OSError):
        if (process / "comm").read_text().startswith("git"):
            folder = (process / "cwd").readlink()
            if folder == top or top in folder.parents:
                return True
        return any(_is_link_to(link, path) for link in (process / "fd").iterdir())
    return False


def _is_link_to(link: Path, path: Path) -> bool:
    with contextlib.suppress(OSError):
        return link.readlink() == path
    return False
