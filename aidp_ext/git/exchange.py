"""What a repository and its remotes exchange, and how the two sides are joined."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator
from typing import Literal

from aidp_ext.core.errors import Conflict, GitAuthenticationFailed, LocalChanges, MergeConflict, RemoteNotFound
from aidp_ext.git import stamps
from aidp_ext.git.command import Git
from aidp_ext.git.failures import failure
from aidp_ext.git.models import Author, Progress, Remote
from aidp_ext.git.names import checked_name, parse_address, redact, shown
from aidp_ext.git.progress import read_progress

How = Literal["rebase", "merge", "ff-only"]

_JOIN_S = 600.0  # hooks and filters may take their time
_REMOTES = "remotes"
_REMOTE = re.compile(r"^(?P<name>[^\t]+)\t(?P<url>.+) \(fetch\)(?: \[[^\]]*\])?$")
_STEPS = {"rebase": "rebase", "merge": "merge", "cherry-pick": "cherry-pick", "revert": "revert"}


async def remotes(git: Git) -> tuple[Remote, ...]:
    """Return the remotes, ``origin`` first. Asks Git only where the configuration was edited."""
    names = (git.layout.common_dir / "config", git.layout.git_dir / "config.worktree")
    key = stamps.stamps(names)
    known = git.memory.get(_REMOTES)
    if known is not None and known[0] == key:
        found: tuple[Remote, ...] = known[1]
        return found
    told = await git.read("remote", "-v")
    matches = (_REMOTE.match(line) for line in told.stdout.decode(errors="replace").splitlines())
    found = tuple(
        sorted((_remote(m["name"], m["url"]) for m in matches if m), key=lambda r: (r.name != "origin", r.name))
    )
    git.memory[_REMOTES] = key, found
    return found


async def default_branch(git: Git, remote: str) -> str | None:
    """Return the branch that a remote's HEAD was at when last heard of; else `main` or `master`; None for neither."""
    checked_name(remote, "remote")
    told = await git.read("symbolic-ref", "--quiet", f"refs/remotes/{remote}/HEAD", check=False)
    if not told.returncode:
        return told.stdout.decode(errors="replace").strip().removeprefix(f"refs/remotes/{remote}/")
    for name in ("main", "master"):
        reference = f"refs/remotes/{remote}/{name}"
        if not (await git.read("show-ref", "--verify", "--quiet", reference, check=False)).returncode:
            return name
    return None


async def fetch(git: Git, remote: str) -> AsyncGenerator[Progress, None]:
    """Fetch a remote's branches, yielding the progress. A token that is not taken any more is renewed once.

    Raises RemoteNotFound, GitAuthenticationFailed, NetworkFailed, DiskFull, GitError.
    """
    await _known(git, remote)
    args = ("fetch", "--progress", "--no-recurse-submodules", "--end-of-options", remote)
    for is_last in (False, True):
        try:
            async with contextlib.aclosing(git.lines(*args)) as lines:
                async for line in lines:
                    if (progress := read_progress(line)) is not None:
                        yield progress
            return
        except GitAuthenticationFailed:
            # Git told the helper to forget that token: the next try gets a new one
            if is_last:
                raise


async def push(git: Git, remote: str, branch: str, *, set_upstream: bool = False) -> AsyncGenerator[Progress, None]:
    """Push a branch to the branch of the same name, and nothing else: no tags, no force. Yields the progress.

    Raises RemoteMoved, PushRejected, RemoteNotFound, GitAuthenticationFailed, NetworkFailed, NotFound, GitError.
    Once the remote has taken it nothing is raised; one that broke off may be tried again.
    """
    checked_name(branch, "branch")
    await _known(git, remote)
    reference = f"refs/heads/{branch}"
    args = ["push", "--progress", "--no-follow-tags", "--recurse-submodules=no"]
    args += ["--set-upstream"] if set_upstream else []
    async with contextlib.aclosing(git.lines(*args, "--end-of-options", remote, f"{reference}:{reference}")) as lines:
        async for line in lines:
            if (progress := read_progress(line)) is not None:
                yield progress


async def pull(git: Git, how: How, *, author: Author | None = None) -> None:
    """Fetch what the branch follows, and join the two as :func:`integrate` does. Raises as both do."""
    await _refuse_unfinished(git)
    remote, _ = await upstream(git)
    if remote != ".":
        async for _progress in fetch(git, remote):
            pass
    await integrate(git, how, author=author)


async def integrate(git: Git, how: How, *, author: Author | None = None) -> bool:
    """Join the branch with what it follows, as last fetched; return whether there was anything to do.

    ``author`` names who makes the commits where Git does not know. Nothing is touched where there is nothing new.
    Raises MergeConflict with the files (:func:`abort` is the way back, :func:`carry_on` the way on), LocalChanges,
    RemoteMoved where ``ff-only`` cannot do it, Conflict where the branch follows nothing or something is under way.
    """
    async with git.alone() as held:
        await _refuse_unfinished(git)
        await upstream(git)
        behind = await git.read("rev-list", "--count", "HEAD..@{upstream}", "--", check=False)
        if not behind.returncode and behind.stdout.strip() == b"0":
            return False
        if how == "rebase" and not behind.returncode:
            # What is not committed is put aside and back; it stays in the stash should that fail
            args = ["rebase", "--rebase-merges", "--autostash", "@{upstream}"]
        elif how == "merge":
            args = ["merge", "--no-edit", "@{upstream}"]
        else:
            args = ["merge", "--ff-only", "@{upstream}"]
        await _join(held, args, author)
    return True


async def abort(git: Git) -> None:
    """Give up the merge, rebase, cherry-pick or revert under way: all is as it was before it. Raises Conflict."""
    async with git.alone() as held:
        operation = git.layout.operation()
        if operation not in _STEPS:
            raise Conflict("Nothing is under way that could be given up.")
        is_mail = (git.layout.git_dir / "rebase-apply" / "applying").exists()
        await held.write("am" if is_mail else _STEPS[operation], "--abort", retry=False, timeout_s=_JOIN_S)


async def carry_on(git: Git, *, author: Author | None = None) -> None:
    """Go on with the merge, rebase, cherry-pick or revert under way, after its conflicts were resolved and staged.

    Raises MergeConflict where some are left or new ones came, and Conflict where nothing is under way.
    """
    async with git.alone() as held:
        operation = git.layout.operation()
        if operation not in _STEPS:
            raise Conflict("Nothing is under way that could go on.")
        if files := await conflicts(git):
            raise _conflict(files)
        await _join(held, [_STEPS[operation], "--continue"], author)


async def conflicts(git: Git) -> list[str]:
    """Return the files with conflicts that are not resolved."""
    told = await git.read("diff", "--name-only", "-z", "--diff-filter=U", "--no-ext-diff", "--no-relative")
    return list(dict.fromkeys(shown(path) for path in told.stdout.split(b"\0") if path))


async def upstream(git: Git) -> tuple[str, str]:
    """Return the remote and the branch there that the current branch follows; "." for one of this repository.

    Raises Conflict where it follows none, or HEAD is detached.
    """
    branch = git.layout.branch()
    if branch is None:
        raise Conflict("No branch is checked out.", next_step="Create a branch for the commits first.")
    remote = await git.read("config", "--get", f"branch.{branch}.remote", check=False)
    there = await git.read("config", "--get", f"branch.{branch}.merge", check=False)
    if remote.returncode or there.returncode:
        raise Conflict(f"The branch {branch} follows no branch of a remote.", next_step="Push it first.")
    name = there.stdout.decode(errors="replace").strip().removeprefix("refs/heads/")
    return remote.stdout.decode(errors="replace").strip(), name


def identity(author: Author | None) -> dict[str, str]:
    """Return the environment that makes Git name an author, and the same one as committer."""
    if author is None:
        return {}
    kinds = ("AUTHOR", "COMMITTER")
    return {f"GIT_{kind}_NAME": author.name for kind in kinds} | {f"GIT_{kind}_EMAIL": author.email for kind in kinds}


async def _known(git: Git, remote: str) -> None:
    checked_name(remote, "remote")
    if remote not in (known.name for known in await remotes(git)):
        raise RemoteNotFound(f"There is no remote {remote}.", next_step="Publish the repository, or add a remote.")


async def _join(held: Git, args: list[str], author: Author | None) -> None:
    done = await held.write(*args, retry=False, check=False, timeout_s=_JOIN_S, env=identity(author))
    said = f"{done.stderr}\n{done.stdout.decode(errors='replace')}"
    if "autostash resulted in conflicts" in said:
        raise LocalChanges(
            "Your uncommitted changes do not fit what came from the remote; they are kept in Git's stash.",
            next_step="Bring them back with `git stash pop` and resolve the conflicts.",
            files=[],
        )
    if not done.returncode:
        return
    if held.layout.operation() is not None:
        if files := await conflicts(held):
            raise _conflict(files)
        if args[0] == "rebase" and args[-1] != "--continue":  # it stopped for another reason: all back
            await held.write("rebase", "--abort", retry=False, check=False, timeout_s=_JOIN_S)
    raise failure(args, done.returncode, said)


async def _refuse_unfinished(git: Git) -> None:
    operation = git.layout.operation()
    if operation is None:
        return
    if files := await conflicts(git):
        raise _conflict(files)
    raise Conflict(f"A {operation} is under way.", next_step="Finish it, or go back to how it was before.")


def _conflict(files: list[str]) -> MergeConflict:
    what = files[0] if len(files) == 1 else f"{len(files)} files"
    return MergeConflict(
        f"Both sides changed the same places of {what}.",
        next_step="Resolve the conflicts and stage the files, or go back to how it was.",
        files=files,
    )


def _remote(name: str, url: str) -> Remote:
    host, full_name = parse_address(url) or (None, None)
    return Remote(name, redact(url), host, full_name)
