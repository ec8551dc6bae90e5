"""What is done to a repository on the way to a review: stage, commit, take back, branch."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence

from aidp_ext.core.errors import (
    AidpError,
    CannotUndo,
    Conflict,
    HookChangedFiles,
    HookFailed,
    IndexChanged,
    InvalidRequest,
    NotFound,
    NothingToCommit,
    RepositoryBusy,
)
from aidp_ext.git import layout
from aidp_ext.git.command import Git
from aidp_ext.git.exchange import (
    How,
    abort,
    carry_on,
    conflicts,
    default_branch,
    fetch,
    identity,
    integrate,
    pull,
    push,
    remotes,
    upstream,
)
from aidp_ext.git.failures import failure, words
from aidp_ext.git.models import Author
from aidp_ext.git.names import checked_name, place, raw, shown
from aidp_ext.git.state import last_commit, why_not_undo

COMMIT_S = 900.0  # hooks may run a whole test suite
OLD_LOCK_S = 30.0

_BY_LIST = ("--pathspec-from-file=-", "--pathspec-file-nul")
_COMMIT_HOOKS = ("pre-commit", "prepare-commit-msg", "commit-msg", "pre-merge-commit")
_TRAILER = re.compile(r"^[A-Za-z][A-Za-z0-9-]*$")


async def stage(git: Git, files: Sequence[str], staged: bool) -> None:
    """Put files into the index as they are now, deleted ones too, or take them back to the last commit's version.

    ``files`` are paths as :class:`~aidp_ext.git.models.Change` has them; of a renamed one, the old path goes along.
    The only path ``.`` means all of them. The working files are not touched.
    Raises InvalidRequest for a path out of the repository, NotFound, Conflict for an
    ignored file or a folder with a repository of its own, RepositoryBusy, DiskFull.
    """
    if [*files] == ["."]:
        await _stage_all(git, staged)
        return
    paths = [raw(path) for path in files]
    if not paths:
        return
    async with git.alone() as held:
        if staged:
            await asyncio.to_thread(_refuse_repositories, git, files)
            args = ["--literal-pathspecs", "add", "--all", *_BY_LIST]
        else:
            if await _has_commit(git):
                paths += await _origins(git, {*paths})
                args = ["--literal-pathspecs", "reset", "--quiet", *_BY_LIST]
            else:
                args = ["--literal-pathspecs", "rm", "--cached", "--quiet", "-r", "-f", "--ignore-unmatch", *_BY_LIST]
        await held.write(*args, stdin=b"".join(path + b"\0" for path in paths), timeout_s=COMMIT_S)


async def _stage_all(git: Git, staged: bool) -> None:
    async with git.alone() as held:
        if staged:
            options = ("--others", "--directory", "--exclude-standard", "-z")
            others = (await git.read("ls-files", *options)).stdout.split(b"\0")
            await asyncio.to_thread(_refuse_repositories, git, [shown(path) for path in others if path])
            args = ["add", "--all"]
        elif await _has_commit(git):
            args = ["reset", "--quiet"]
        else:
            args = ["rm", "--cached", "--quiet", "-r", "-f", "--ignore-unmatch", "--", "."]
        await held.write(*args, timeout_s=COMMIT_S)


async def index_tree(git: Git) -> str:
    """Return the id of the tree that is staged: the same where the same files with the same contents are.

    Raises MergeConflict where conflicts are not resolved, RepositoryBusy.
    """
    return (await git.write("write-tree")).stdout.decode().strip()


async def commit(
    git: Git,
    message: str,
    *,
    trailers: Sequence[tuple[str, str]] = (),
    author: Author | None = None,
    expected_tree: str | None = None,
    sign: bool | None = None,
) -> str:
    """Commit what is staged and return the commit's id. Hooks run; ``sign`` None: as Git is configured.

    With ``expected_tree`` it is refused with IndexChanged where something else is staged by now; where a hook changes
    what is committed, the commit stays and HookChangedFiles tells its id and the files.
    Raises NothingToCommit, HookFailed, MergeConflict, IdentityUnknown, RepositoryBusy, DiskFull, InvalidRequest.
    """
    if not message.strip() or "\0" in message:
        raise InvalidRequest("A commit needs a message.", field="message", next_step="Write what was changed, and why.")
    # Whatever the user's own rule for trailers is: none of these is to be dropped, or to replace another
    args = ["-c", "trailer.ifexists=addIfDifferent", "commit", "--quiet", "--file=-", "--cleanup=whitespace"]
    args += _trailers(trailers)
    args += [] if sign is None else ["--gpg-sign" if sign else "--no-gpg-sign"]
    async with git.alone() as held:
        tree = await index_tree(held)
        if expected_tree is not None and tree != expected_tree:
            raise IndexChanged(
                "Something else is staged now than what was looked at. Nothing was committed.",
                next_step="Look at the changes again.",
                tree=tree,
            )
        if tree == await _tree_of_head(git) and git.layout.operation() != "merge":
            raise NothingToCommit("Nothing is staged.", next_step="Choose the files that the commit is to hold.")
        env = identity(author)
        done = await held.write(*args, stdin=message.encode(), check=False, timeout_s=COMMIT_S, env=env)
        if done.returncode:
            raise await _commit_failure(git, args, done.returncode, done.stderr)
        told = await git.read("rev-parse", "HEAD", "HEAD^{tree}")
    made, its_tree = told.stdout.decode().split()
    if expected_tree is not None and its_tree != expected_tree:
        files = await _differing(git, expected_tree, its_tree)
        raise HookChangedFiles(
            f"A hook changed {len(files)} file(s) while committing: the commit is not what was looked at.",
            next_step="Look at the commit before it is pushed, or take it back.",
            commit=made,
            tree=its_tree,
            files=files,
        )
    return made


async def undo_commit(git: Git) -> str:
    """Take the last commit back, keeping the index and the files; return its message.

    Raises CannotUndo where it is on a remote, joins two branches, or is none; Conflict while something is under way.
    """
    async with git.alone() as held:
        if (operation := git.layout.operation()) is not None:
            raise Conflict(f"A {operation} is under way.", next_step="Finish it, or go back to how it was before.")
        last = await last_commit(git)
        why = "There is no commit yet." if last is None else why_not_undo(last, git.layout.branch())
        if last is None or why is not None:
            raise CannotUndo(why or "", next_step="Make a new commit that changes it back.")
        old = last.commit.id
        message = (await git.read("log", "-1", "--no-show-signature", "--format=%B", old, "--")).stdout
        # Git compares: should HEAD have moved meanwhile, nothing happens
        if last.parents:
            await held.write("update-ref", "-m", "undo the last commit", "HEAD", last.parents[0], old)
        else:
            await held.write("update-ref", "-d", "HEAD", old)
    return message.decode(errors="replace").strip()


async def create_branch(git: Git, name: str, start: str | None = None) -> None:
    """Make a branch at ``start`` (HEAD without one) and go to it; what is not committed comes along.

    Raises InvalidRequest for a name that Git would not take, Conflict where there is one of this name, NotFound for a
    start that is no commit, LocalChanges.
    """
    checked_name(name, "branch")
    args = ["switch", "--no-track", "--create", name]
    if start is not None:
        told = await git.read(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{start}^{{commit}}", check=False
        )
        if told.returncode:
            raise NotFound(f"There is no commit `{start[:100]}`.")
        args.append(told.stdout.decode().strip().splitlines()[-1])
    done = await git.write(*args, check=False)
    if done.returncode and "already exists" in done.stderr:
        raise Conflict(f"There is a branch {name} already.", next_step="Choose another name.", branch=name)
    if done.returncode:
        raise failure(args, done.returncode, done.stderr)


async def staged_diff(git: Git, limit: int) -> str:
    """Return what is staged as a diff of up to ``limit`` bytes. Large and binary files are only named."""
    options = ("--no-ext-diff", "--no-textconv", "--no-color", "--find-renames", "--src-prefix=a/", "--dst-prefix=b/")
    told = await git.read(
        "-c", "core.bigFileThreshold=1m", "diff", "--cached", *options, "--no-relative", most_bytes=limit
    )
    return told.stdout.decode(errors="ignore" if told.is_cut else "replace")


async def unlock(git: Git, older_than_s: float = OLD_LOCK_S) -> None:
    """Remove an index.lock that was left behind. There may be none.

    Raises RepositoryBusy for one that is young, or where a Git command is at work in the repository.
    """
    await asyncio.to_thread(_unlock, git, older_than_s)


def _unlock(git: Git, older_than_s: float) -> None:
    lock = git.layout.lock
    try:
        found = lock.lstat()
    except FileNotFoundError:
        return
    age = layout.age_s(lock)
    users = layout.users_of(lock, git.root)
    if git.is_writing or users or age is None or age < older_than_s:
        raise RepositoryBusy(
            "A Git command is at work in this repository." if users or git.is_writing else "The lock is new.",
            next_step="Wait until it has ended." if users or git.is_writing else "Try again in half a minute.",
            file=lock.name,
            age_s=age,
            processes=users,
        )
    now = lock.lstat()
    if (now.st_ino, now.st_mtime_ns) == (found.st_ino, found.st_mtime_ns):
        lock.unlink()


def _refuse_repositories(git: Git, files: Sequence[str]) -> None:
    """A folder with a repository of its own would become a submodule that nobody else can get."""
    for path in files:
        if path.endswith(("/", '/"')) and (place(git.root, path) / ".git").exists():
            raise Conflict(
                f"`{path}` has a Git repository of its own.",
                next_step="Open that one, or add it with `git submodule add`.",
            )


def _trailers(trailers: Sequence[tuple[str, str]]) -> list[str]:
    for name, value in trailers:
        if not _TRAILER.match(name) or not value.strip() or any(ord(letter) < 32 for letter in value):
            raise InvalidRequest(f"`{name[:100]}` is no trailer of a commit.", field="trailers")
    return [f"--trailer={name}: {value}" for name, value in trailers]


async def _origins(git: Git, paths: set[bytes]) -> list[bytes]:
    """Return the old paths of those that are staged as renamed."""
    options = ("--name-status", "-z", "--diff-filter=R", "--find-renames", "--no-ext-diff", "--no-relative")
    told = await git.read("diff", "--cached", *options)
    fields = told.stdout.split(b"\0")
    return [old for old, new in zip(fields[1::3], fields[2::3], strict=False) if new in paths]


async def _has_commit(git: Git) -> bool:
    return not (await git.read("rev-parse", "--verify", "--quiet", "HEAD", check=False)).returncode


async def _tree_of_head(git: Git) -> str | None:
    told = await git.read("rev-parse", "--verify", "--quiet", "HEAD^{tree}", check=False)
    if not told.returncode:
        return told.stdout.decode().strip()
    empty = await git.read("hash-object", "-t", "tree", "--stdin", stdin=b"")
    return empty.stdout.decode().strip()


async def _differing(git: Git, one: str, other: str) -> list[str]:
    told = await git.read("diff-tree", "-r", "--name-only", "-z", one, other, "--")
    return [shown(path) for path in told.stdout.split(b"\0") if path]


async def _commit_failure(git: Git, args: Sequence[str], returncode: int, said: str) -> AidpError:
    if returncode == 1 and (hooks := await _hooks(git)):  # Git's own failures end with 128
        return HookFailed(
            f"The repository's {' or '.join(hooks)} hook stopped the commit.",
            next_step="Its words say why. Mend it, stage the files and try again.",
            output=words(said),
        )
    return failure(args, returncode, said)


async def _hooks(git: Git) -> list[str]:
    told = await git.read("rev-parse", "--git-path", "hooks")
    folder = git.root / os.fsdecode(told.stdout.rstrip(b"\n"))
    return [name for name in _COMMIT_HOOKS if os.access(folder / name, os.X_OK)]


__all__ = [
    "How",
    "abort",
    "carry_on",
    "commit",
    "conflicts",
    "create_branch",
    "default_branch",
    "fetch",
    "index_tree",
    "integrate",
    "pull",
    "push",
    "remotes",
    "stage",
    "staged_diff",
    "undo_commit",
    "unlock",
    "upstream",
]
