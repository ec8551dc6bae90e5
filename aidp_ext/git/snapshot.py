"""What a working tree holds beyond its last commit, kept as a patch; and a branch made of a commit and such a patch.

Neither touches the working tree or the user's index.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from aidp_ext.core.errors import Conflict, InvalidRequest, NotFound, ProgramNotFound, StorageError
from aidp_ext.git import layout
from aidp_ext.git.command import Git, Locks
from aidp_ext.git.exchange import identity, remotes
from aidp_ext.git.failures import failure, words
from aidp_ext.git.models import Author, Remote
from aidp_ext.git.names import checked_name, raw
from aidp_ext.git.porcelain import Entry, Status
from aidp_ext.git.state import status

MOST_BYTES = 20_000_000  # of a patch
_MOST_OF_ONE = 10_000_000  # bytes of a changed file: Git reads the whole of it before it says anything
_MOST_UNTRACKED = 1_000_000  # bytes of a file that Git does not know yet
_MOST_LEFT_OUT = 500  # large files, each an argument
_CHECKPOINTS = b".ipynb_checkpoints"  # Jupyter's copies of what is there anyway
_DIFF_S = 60.0
_HEADER = b"diff --git "
_PLAIN = re.compile(rb"[A-Za-z0-9._+@/-]+")
_NOBODY = Author("aidp", "aidp@localhost")  # where Git knows no user: the commit is a program's


class BranchTaken(Conflict):
    """There is a branch of this name, or one that it would lie in."""

    code = "branch_taken"


class CommitUnknown(NotFound):
    """The repository has no such commit."""

    code = "commit_unknown"


class PatchFails(Conflict):
    """A patch does not fit its commit; ``details["output"]`` is what Git says of it."""

    code = "patch_fails"


class Snapshot(NamedTuple):
    """How the code stands: its commit, and what is not committed.

    ``patch`` applies to ``commit`` (to an empty tree where that is None), new text files included; None where nothing
    differs or nothing of it fits. ``truncated``: not all of it is there, since it is large. A new file that is no
    text, or of more than a megabyte, counts as data: it is no part of this at all.
    """

    commit: str | None = None
    branch: str | None = None
    remote: str | None = None  # its address, without credentials
    dirty: bool = False
    patch: bytes | None = None
    truncated: bool = False


def root_of(path: Path) -> Path | None:
    """Return the top of the repository that a folder is in, None for none. No process is started."""
    found = layout.find(path.resolve())
    return None if found is None else found.top


async def snapshot(root: Path, *, most_bytes: int = MOST_BYTES, env: Mapping[str, str] = {}) -> Snapshot:
    """Return how the code of the repository around a folder stands; an empty answer where there is none, or no Git.

    Costs about one ``git status``, and a diff where something differs; never more than ``most_bytes`` of one are held.
    Raises GitError for a damaged repository, ProcessTimeout.
    """
    top = await asyncio.to_thread(root_of, root)
    if top is None:
        return Snapshot()
    git = Git(top, Locks(), env=env)
    try:
        seen = await status(git)
        address = _address(await remotes(git))
    except ProgramNotFound:
        return Snapshot()
    tracked = [entry for entry in seen.entries if entry.change.kind != "untracked"]
    others = [one for one in seen.entries if one.change.kind == "untracked" and _CHECKPOINTS not in one.raw.split(b"/")]
    patch, is_cut = await _of_tracked(git, seen, tracked, most_bytes) if tracked else (b"", False)
    more, is_short = await asyncio.to_thread(_of_others, bytes(top), others, most_bytes - len(patch))
    whole = patch + more
    return Snapshot(
        commit=seen.head,
        branch=seen.branch,
        remote=address,
        dirty=bool(tracked or seen.more or more),
        patch=whole or None,
        truncated=is_cut or is_short or seen.more > 0,
    )


async def snapshot_branch(
    root: Path,
    name: str,
    commit: str,
    patch: bytes | None,
    files: Mapping[str, bytes],
    *,
    message: str = "Snapshot",
    env: Mapping[str, str] = {},
) -> str:
    """Make a branch at ``commit`` with a patch applied and ``files`` written, as one commit, and return its id.

    Where neither changes anything the branch is at ``commit`` itself. Names of ``files`` are relative to the
    repository's top. The branch is not checked out; the working tree, the index and HEAD stay as they are.
    Raises NotARepository, InvalidRequest for a name that Git would not take, BranchTaken, CommitUnknown, PatchFails,
    StorageError, GitError.
    """
    checked_name(name, "branch")
    places = {raw(path): data for path, data in files.items()}
    git = Git(root, Locks(), env=env)
    start = await _commit(git, commit)
    await _refuse_taken(git, name)
    try:
        place = await asyncio.to_thread(tempfile.mkdtemp, prefix="aidp-", dir=git.layout.git_dir)
    except OSError as error:
        raise StorageError(f"Nothing can be written into the repository: {error.strerror}.") from error
    try:
        made = await _committed(git, {"GIT_INDEX_FILE": f"{place}/index"}, start, patch, places, message)
    finally:
        await asyncio.shield(asyncio.to_thread(_remove, Path(place)))
    # Only where there is none yet: Git compares
    args = ("update-ref", "--create-reflog", "-m", f"aidp: {message}", f"refs/heads/{name}", made, "0" * len(made))
    done = await git.write(*args, check=False)
    if done.returncode:
        await _refuse_taken(git, name)
        raise failure(args, done.returncode, done.stderr)
    return made


# ---- a patch of what is not committed


async def _of_tracked(git: Git, seen: Status, entries: Sequence[Entry], most: int) -> tuple[bytes, bool]:
    """Return the patch of the files that Git knows, and whether something is left out."""
    large = await asyncio.to_thread(_large, bytes(git.root), entries)
    if len(large) > _MOST_LEFT_OUT:
        return b"", True
    since = seen.head or await _empty_tree(git)
    options = ("--binary", "--full-index", "--no-renames", "--no-color", "--no-ext-diff", "--no-textconv")
    ways = ("--no-relative", "--src-prefix=a/", "--dst-prefix=b/", "--ignore-submodules=dirty", "-U3")
    without = [f":(top,exclude,literal){os.fsdecode(path)}" for path in large]
    args = ("diff", *options, *ways, since, "--", ":(top)", *without)
    told = await git.read(*args, most_bytes=most, timeout_s=_DIFF_S)
    patch = _whole_files(told.stdout) if told.is_cut else told.stdout
    return patch, told.is_cut or bool(large)


def _whole_files(patch: bytes) -> bytes:
    """Return a patch that was cut off without its last file, so that it can be applied."""
    # Each line of a file's content has a sign before it: this is where the next file begins, and nothing else
    end = patch.rfind(b"\n" + _HEADER)
    return patch[: end + 1]


def _large(top: bytes, entries: Iterable[Entry]) -> list[bytes]:
    found = []
    for entry in entries:
        with contextlib.suppress(OSError):
            if os.lstat(os.path.join(top, entry.raw)).st_size > _MOST_OF_ONE:  # noqa: PTH118 - of bytes
                found.append(entry.raw)
    return found


def _of_others(top: bytes, entries: Sequence[Entry], most: int) -> tuple[bytes, bool]:
    """Return the patch that adds text files which Git does not know, and whether something is left out."""
    parts: list[bytes] = []
    left, is_short = most, False
    for entry in entries:
        if left <= 0:
            return b"".join(parts), True
        part = _new_file(top, entry.raw)
        if len(part) > left:
            is_short = True
            continue
        parts.append(part)
        left -= len(part)
    return b"".join(parts), is_short


def _new_file(top: bytes, path: bytes) -> bytes:
    """Return the patch that adds a file; nothing for what is large, no text, or no plain file."""
    place = os.path.join(top, path)  # noqa: PTH118 - of bytes
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_UNTRACKED:
                return b""
            data = file.read(_MOST_UNTRACKED + 1)
    except OSError:
        return b""
    if b"\0" in data or len(data) > _MOST_UNTRACKED:
        return b""
    mode = b"100755" if found.st_mode & 0o100 else b"100644"
    old, new = _quoted(b"a/" + path), _quoted(b"b/" + path)
    head = _HEADER + old + b" " + new + b"\nnew file mode " + mode + b"\n"
    if not data:
        return head
    lines = data.split(b"\n")
    ending = b"" if lines[-1] == b"" else b"\n\\ No newline at end of file\n"
    lines = lines[:-1] if lines[-1] == b"" else lines
    body = b"\n".join(b"+" + line for line in lines) + (ending or b"\n")
    return head + b"--- /dev/null\n+++ " + new + b"\n@@ -0,0 +1,%d @@\n" % len(lines) + body


def _quoted(path: bytes) -> bytes:
    """Return a path as patches have it: in quotes, with octal escapes, unless it is plain."""
    if _PLAIN.fullmatch(path):
        return path
    return b'"' + b"".join(b"\\%03o" % b if b in b'"\\' or not 32 <= b < 127 else bytes((b,)) for b in path) + b'"'


def _address(known: Sequence[Remote]) -> str | None:
    return known[0].url if known else None


# ---- a branch of a patch


async def _committed(
    git: Git, index: Mapping[str, str], start: str, patch: bytes | None, files: Mapping[bytes, bytes], message: str
) -> str:
    """Return a commit on ``start`` made in an index of its own; ``start`` itself where it would hold the same."""
    await git.read("read-tree", start, env=index)
    if patch:
        applied = await git.read(
            "apply", "--cached", "--whitespace=nowarn", "-", stdin=patch, env=index, check=False, timeout_s=_DIFF_S
        )
        if applied.returncode:
            raise PatchFails(
                "What was not committed does not fit the commit.",
                next_step="Make the branch without it, and apply the kept patch by hand.",
                output=words(applied.stderr),
            )
    if files:
        listed = [b"100644 %s\t%s\0" % (await _blob(git, data), path) for path, data in files.items()]
        await git.read("update-index", "--replace", "-z", "--index-info", stdin=b"".join(listed), env=index)
    tree = (await git.read("write-tree", env=index)).stdout.decode().strip()
    if tree == (await git.read("rev-parse", f"{start}^{{tree}}")).stdout.decode().strip():
        return start
    is_known = not (await git.read("config", "--get", "user.email", check=False)).returncode
    who = {} if is_known else identity(_NOBODY)
    done = await git.read("commit-tree", tree, "-p", start, "-F", "-", stdin=message.encode(), env=who)
    return done.stdout.decode().strip()


async def _blob(git: Git, data: bytes) -> bytes:
    return (await git.read("hash-object", "-w", "--stdin", stdin=data)).stdout.strip()


async def _commit(git: Git, name: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{7,64}", name):
        raise InvalidRequest(f"`{name[:100]}` is no commit's id.", field="commit")
    told = await git.read("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", check=False)
    if told.returncode:
        raise CommitUnknown(
            f"The repository has no commit {name[:12]}.",
            next_step="It may be on a remote, or in another clone: fetch, then try again.",
            commit=name,
        )
    return told.stdout.decode().split()[-1]


async def _refuse_taken(git: Git, name: str) -> None:
    """Raise BranchTaken where there is this branch, or one that is a folder of it, or in it."""
    parts = name.split("/")
    above = [f"refs/heads/{'/'.join(parts[:count])}" for count in range(1, len(parts) + 1)]
    told = await git.read("for-each-ref", "--format=%(refname)", *above)
    taken = told.stdout.decode(errors="replace").splitlines()
    if found := [one for one in taken if one in above or one.startswith(f"refs/heads/{name}/")]:
        other = found[0].removeprefix("refs/heads/")
        raise BranchTaken(f"There is a branch {other} already.", next_step="Choose another name.", branch=other)


async def _empty_tree(git: Git) -> str:
    return (await git.read("hash-object", "-t", "tree", "--stdin", stdin=b"")).stdout.decode().strip()


def _remove(folder: Path) -> None:
    for entry in folder.iterdir():
        entry.unlink(missing_ok=True)
    folder.rmdir()
