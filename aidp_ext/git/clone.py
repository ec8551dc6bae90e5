"""Brings a repository here, or starts one. What is not finished is never seen under the name it was to have."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import re
import secrets
import shutil
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from aidp_ext.core import proc
from aidp_ext.core.errors import Conflict, GitAuthenticationFailed, InvalidRequest, NotFound, StorageError
from aidp_ext.git.command import NETWORK_S, Git, Locks, environment, network_environment, network_options, talk
from aidp_ext.git.failures import failure
from aidp_ext.git.models import Progress
from aidp_ext.git.progress import read_progress

Mode = Literal["auto", "full", "shallow", "partial"]

LARGE_KB = 500_000  # from here on "auto" leaves old versions at the remote until they are needed
SHALLOW_COMMITS = 50
NOTE = "note"  # the phase of a Progress that is a remark for the user

_SCP = re.compile(
    r"^(?:[A-Za-z0-9_.][A-Za-z0-9_.-]*@)?(?P<host>[A-Za-z0-9_.][A-Za-z0-9_.-]*):(?!/)(?P<path>[^\s-]\S*)$"
)
_HALF = re.compile(r"^\..*\.aidp-clone-(?P<pid>\d+)-[0-9a-f]+$")
_LARGE_FILES = re.compile(rb"^(?!\s*#)[^\n]*\sfilter=lfs\b", re.MULTILINE)
_ATTRIBUTES = ":(top,glob)**/.gitattributes"
_MOST_ATTRIBUTES = 200  # files
_WITHOUT_LFS = ("-c", "filter.lfs.required=false", "-c", "filter.lfs.smudge=", "-c", "filter.lfs.process=")


def check_address(url: str, *, allow_file: bool = False) -> None:
    """Raise InvalidRequest for an address that is not to be cloned from.

    Good are https without a user in it, http to this machine only, and SSH; ``allow_file`` is for tests.
    """
    if not url or url.startswith("-") or any(ord(letter) < 33 or ord(letter) == 127 for letter in url):
        raise _refused("This is no address of a repository.", "Copy it from the repository's page.")
    if "://" not in url:
        if not _SCP.match(url) and not (allow_file and url.startswith("/")):
            raise _refused("This is no address of a repository.", "Use one that begins with https://.")
        return
    try:
        parts = urlsplit(url)
        host, has_secret = parts.hostname or "", parts.password is not None
    except ValueError as error:
        raise _refused("This is no address of a repository.", "Copy it from the repository's page.") from error
    if has_secret or (parts.scheme in ("http", "https") and parts.username is not None):
        raise _refused("The address holds a user or a password.", "Leave them out: your sign-in is used.")
    if parts.scheme == "file" and allow_file:
        return
    if not host or host.startswith("-") or (parts.username or "").startswith("-"):
        raise _refused("The address names no server.", "Copy it from the repository's page.")
    if not (parts.scheme in ("https", "ssh") or (parts.scheme == "http" and _is_here(host))):
        raise _refused(f"`{parts.scheme}` is no safe way to get a repository.", "Use its https:// address.")


async def clone(
    url: str,
    target: Path,
    *,
    mode: Mode = "auto",
    env: Mapping[str, str] = {},
    size_kb: int | None = None,
    allow_file: bool = False,
    timeout_s: float = NETWORK_S,
) -> AsyncGenerator[Progress, None]:
    """Clone into a folder that is not there yet, yielding the progress and, with phase ``note``, what to know of it.

    Closing the generator, cancellation and failure leave nothing behind. ``size_kb`` lets "auto" choose.
    Raises InvalidRequest for an address that is refused, Conflict where ``target`` exists, NotFound where its parent
    does not, RemoteNotFound, GitAuthenticationFailed, NetworkFailed, DiskFull, GitError.
    """
    check_address(url, allow_file=allow_file)
    _check_target(target)
    await asyncio.to_thread(_sweep, target.parent)
    half = target.parent / f".{target.name}.aidp-clone-{os.getpid()}-{secrets.token_hex(4)}"
    has_lfs = shutil.which("git-lfs") is not None
    kind = _kind(mode, size_kb)
    args = ("clone", "--progress", "--no-recurse-submodules", *_OPTIONS[kind], "--end-of-options", url, str(half))
    whole = environment({**env, **(await _ssh(target.parent, env))})
    plain = {**whole, "GIT_LFS_SKIP_SMUDGE": "1"}  # the large files come afterwards, and may fail without the rest
    argv = ["git", "--no-pager", *network_options(), *(() if has_lfs else _WITHOUT_LFS), *args]
    try:
        for is_last in (False, True):
            try:
                async with contextlib.aclosing(talk(argv, args, target.parent, plain, timeout_s)) as lines:
                    async for line in lines:
                        if (progress := read_progress(line)) is not None:
                            yield progress
                break
            except GitAuthenticationFailed:
                # Git told the helper to forget that token, and took the half clone away: the next try gets a new one
                if is_last:
                    raise
        notes: list[str | None] = [_NOTES.get(kind)]
        if await _uses_lfs(half, whole):
            if has_lfs:
                yield Progress("Fetching large files", None, "Fetching large files (Git LFS)")
            notes.append(await _large_files(half, has_lfs, whole, timeout_s))
        if (half / ".gitmodules").is_file():
            notes.append("It has submodules: `git submodule update --init` gets them.")
        _move(half, target)
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, half, ignore_errors=True))
    for note in filter(None, notes):
        yield Progress(NOTE, None, note)


async def init(path: Path, locks: Locks, *, env: Mapping[str, str] = {}) -> Git:
    """Start a repository in a folder, with the branch ``main``, and return Git for it; the files stay as they are.

    Raises Conflict where there is one, NotFound where there is no such folder, DiskFull, GitError.
    """
    _check_empty(path)
    args = ("init", "--quiet", "--initial-branch=main")
    done = await proc.output(["git", *args], cwd=path, env=environment(dict(env)))
    if done.returncode:
        raise failure(args, done.returncode, done.stderr)
    return Git(path, locks, env=env)


def first_to_open(root: Path) -> str | None:
    """Return what to open first of a repository, relative to it: the README, else the first notebook, else None."""
    names = sorted(entry.name for entry in root.iterdir() if entry.is_file() and not entry.is_symlink())
    readmes = [name for name in names if name.lower() == "readme" or name.lower().startswith("readme.")]
    readmes.sort(key=lambda name: (not name.lower().endswith(".md"), name.lower()))
    notebooks = [name for name in names if name.endswith(".ipynb")]
    if readmes or notebooks:
        return (readmes or notebooks)[0]
    folders = sorted(e.name for e in root.iterdir() if e.is_dir() and not e.is_symlink() and not e.name.startswith("."))
    below = (f"{folder}/{file.name}" for folder in folders for file in sorted((root / folder).glob("*.ipynb")))
    return next(below, None)


_OPTIONS: dict[str, tuple[str, ...]] = {
    "full": (),
    "shallow": (f"--depth={SHALLOW_COMMITS}", "--no-single-branch"),
    "partial": ("--filter=blob:none",),
}
_NOTES = {
    "shallow": f"Only the last {SHALLOW_COMMITS} commits are here; `git fetch --unshallow` gets the others.",
    "partial": "Old versions of files stay at the remote until they are needed.",
}


def _kind(mode: Mode, size_kb: int | None) -> str:
    if mode != "auto":
        return mode
    return "partial" if size_kb is not None and size_kb >= LARGE_KB else "full"


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refused(message: str, next_step: str) -> InvalidRequest:
    return InvalidRequest(message, field="url", next_step=next_step)


def _check_target(target: Path) -> None:
    if not target.parent.is_dir():
        raise NotFound(f"There is no folder {target.parent.name}.")
    if os.path.lexists(target):
        raise Conflict(f"There is a file or folder {target.name} already.", next_step="Choose another name.")


def _check_empty(path: Path) -> None:
    if not path.is_dir():
        raise NotFound(f"There is no folder {path.name}.")
    if (path / ".git").exists():
        raise Conflict("There is a repository in this folder already.", next_step="Open it.")


def _move(half: Path, target: Path) -> None:
    try:
        if os.path.lexists(target):
            raise FileExistsError(target)
        half.rename(target)
    except FileExistsError as error:
        raise Conflict(f"{target.name} came into being meanwhile.", next_step="Choose another name.") from error
    except OSError as error:
        raise StorageError(f"The repository cannot be put in place: {error.strerror}.") from error


def _sweep(folder: Path) -> None:
    """Remove what clones of servers that were killed have left."""
    for entry in folder.iterdir():
        match = _HALF.match(entry.name)
        if match is not None and not Path(f"/proc/{match['pid']}").exists() and Path("/proc/self").exists():
            shutil.rmtree(entry, ignore_errors=True)


async def _ssh(cwd: Path, env: Mapping[str, str]) -> dict[str, str]:
    told = await proc.output(["git", "config", "--get", "core.sshCommand"], cwd=cwd, env=environment(env))
    return network_environment(is_ssh_configured=not told.returncode)


async def _uses_lfs(root: Path, env: Mapping[str, str | None]) -> bool:
    told = await proc.output(["git", "ls-files", "-z", "--", _ATTRIBUTES], cwd=root, env=env)
    return await asyncio.to_thread(_name_lfs, root, told.stdout.split(b"\0")[:_MOST_ATTRIBUTES])


def _name_lfs(root: Path, files: Sequence[bytes]) -> bool:
    for name in filter(None, files):
        with contextlib.suppress(OSError):
            if _LARGE_FILES.search((root / os.fsdecode(name)).read_bytes()):
                return True
    return False


async def _large_files(root: Path, has_lfs: bool, env: Mapping[str, str | None], timeout_s: float) -> str | None:
    if not has_lfs:
        return "Its large files are kept with Git LFS, which is not installed here: they are only placeholders."
    for args in (("lfs", "install", "--local"), ("lfs", "pull")):
        done = await proc.output(["git", *args], cwd=root, env=env, timeout_s=timeout_s)
        if done.returncode:
            return "Its large files (Git LFS) could not be fetched; `git lfs pull` tries again."
    return None
