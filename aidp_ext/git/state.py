"""A repository at a glance, at about the cost of ``git status``, and whether it is worth another look."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any

from aidp_ext.git import stamps
from aidp_ext.git.command import Git
from aidp_ext.git.counts import counts
from aidp_ext.git.exchange import remotes
from aidp_ext.git.failures import failure
from aidp_ext.git.models import Change, Commit, RepositoryState
from aidp_ext.git.porcelain import Entry, Status, read_status

_STATUS_S = 120.0
_UNBORN = re.compile(r"bad revision 'HEAD'|does not have any commits")
_SEEN, _LAST = "seen", "last"


@dataclass(frozen=True)
class Last:
    """The last commit, and whether it may be taken back."""

    commit: Commit
    parents: tuple[str, ...]
    is_published: bool  # it is on a remote, as far as is known here


async def state(git: Git) -> RepositoryState:
    """Return the state of a repository: its branch, what differs from the last commit, what is going on.

    It asks Git once, and beyond that only about what has changed since the last time: the lines of files that were
    edited, the last commit after HEAD or a remote moved, the remotes after the configuration was edited.
    Up to 2000 changes are listed. Raises NotARepository and GitError.
    """
    began = time.monotonic()
    seen, last, remote_list = await together(status(git), last_commit(git), remotes(git))
    changes = await _changes(git, seen)
    operation = git.layout.operation()
    shown = RepositoryState(
        path=git.path,
        name=git.root.name,
        branch=seen.branch,
        head=seen.head,
        upstream=seen.upstream,
        ahead=seen.ahead,
        behind=seen.behind,
        operation=operation,
        changes=changes,
        more=seen.more,
        remotes=remote_list,
        last=last.commit if last is not None else None,
        can_undo=last is not None and operation is None and why_not_undo(last, seen.branch) is None,
        lock_age_s=git.layout.lock_age_s(),
        fingerprint="",
    )
    told = stamps.digest([replace(shown, lock_age_s=None)])
    git.memory[_SEEN] = stamps.Seen(tuple(entry.raw for entry in seen.entries), told, began)
    return replace(shown, fingerprint=await fingerprint(git))


async def fingerprint(git: Git) -> str:
    """Return a text that is the same as that of the last :func:`state` as long as nothing seems to have changed.

    It starts no process. What it cannot see, an edit of a file that was as committed in a folder where nothing is
    new, it catches by growing old: a minute after the last look it is another one.
    """
    return await asyncio.to_thread(stamps.fingerprint, git.layout, git.memory.get(_SEEN))


async def last_commit(git: Git) -> Last | None:
    """Return the last commit, None before the first. Asks Git only where HEAD or a branch has moved.

    Raises NotARepository and GitError for one that is damaged.
    """
    key = await asyncio.to_thread(stamps.references, git.layout)
    known = git.memory.get(_LAST)
    if known is not None and known[0] == key:
        found: Last | None = known[1]
        return found
    form = "--format=%H%x00%P%x00%s%x00%an%x00%aI"
    told, new = await together(
        git.read("log", "-1", "--no-show-signature", "--no-color", form, "HEAD", "--", check=False),
        git.read("rev-list", "--max-count=1", "HEAD", "--not", "--remotes", "--", check=False),
    )
    found = None
    if told.returncode:
        if _UNBORN.search(told.stderr) is None:
            raise failure(("log",), told.returncode, told.stderr)
    else:
        id_, parents, subject, author, at = told.stdout.decode(errors="replace").rstrip("\n").split("\0")
        is_published = not new.returncode and not new.stdout.strip()
        found = Last(Commit(id_, subject, author, at), tuple(parents.split()), is_published)
    git.memory[_LAST] = key, found
    return found


def why_not_undo(last: Last, branch: str | None) -> str | None:
    """Return why the last commit cannot be taken back, in words; None where it can."""
    if last.is_published:
        return "The last commit is on a remote already."
    if len(last.parents) > 1:
        return "The last commit joins two branches."
    if not last.parents and branch is None:
        return "The first commit can be taken back only on a branch."
    return None


async def status(git: Git) -> Status:
    """Return what Git knows of a working tree, for one ``git status``. Raises NotARepository and GitError."""
    done = await git.read(
        "status", "--porcelain=v2", "-z", "--branch", "--untracked-files=all", "--ahead-behind", timeout_s=_STATUS_S
    )
    return await asyncio.to_thread(read_status, done.stdout)


async def _changes(git: Git, status: Status) -> tuple[Change, ...]:
    counted = await counts(
        git, [entry for entry in status.entries if entry.change.kind not in ("untracked", "conflict")]
    )
    sizes = await asyncio.to_thread(_sizes, git, status.entries)
    found = []
    for entry in status.entries:
        added, removed = counted.get(entry.raw, (None, None))
        found.append(replace(entry.change, added=added, removed=removed, size=sizes.get(entry.raw)))
    return tuple(found)


def _sizes(git: Git, entries: tuple[Entry, ...]) -> dict[bytes, int]:
    folder, found = bytes(git.root), {}
    for entry in entries:
        with contextlib.suppress(OSError):
            if not entry.change.submodule and not entry.raw.endswith(b"/"):
                found[entry.raw] = os.lstat(folder + b"/" + entry.raw).st_size
    return found


async def together(*work: Coroutine[Any, Any, Any]) -> tuple[Any, ...]:
    """Do several things at once and return what each gave; where one fails the others end, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return tuple(task.result() for task in tasks)
