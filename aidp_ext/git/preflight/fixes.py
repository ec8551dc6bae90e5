"""What a finding's buttons do. The working file is never changed."""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING

from aidp_ext.core.errors import Conflict, InvalidRequest, NotFound, ProcessError, StorageError
from aidp_ext.git.models import Finding
from aidp_ext.git.names import argument, raw
from aidp_ext.git.preflight.blobs import Staged, staged_entries
from aidp_ext.git.preflight.choices import decide_outputs
from aidp_ext.git.preflight.notebook import NotANotebook
from aidp_ext.git.preflight.strip import stripped

if TYPE_CHECKING:
    from aidp_ext.git.command import Git


async def apply_fix(git: Git, finding: Finding, fix: str) -> None:
    """Do what a finding's fix is.

    ``strip`` takes the outputs out of what is staged, ``always-strip`` also decides so for the repository, ``keep``
    decides to keep them; ``lfs``, ``ignore``, ``unstage``; ``stage`` takes what a hook has changed. Raises
    InvalidRequest where the finding has no such fix, NotFound where its file is not staged any more, Conflict where
    it cannot be done, StorageError, and GitError.
    """
    if fix not in {one.name for one in finding.fixes}:
        raise InvalidRequest(f"This finding has no fix {fix[:50]!r}.", field="fix")
    if fix == "keep":
        await decide_outputs(git, "keep")
        return
    if fix == "stage":
        await git.write("update-index", "-z", "--stdin", stdin=raw(finding.path) + b"\0")
        return
    entry = await _entry(git, finding.path)
    if fix == "strip":
        await strip(git, entry)
    elif fix == "always-strip":
        await strip(git, entry)
        await decide_outputs(git, "strip")
    elif fix == "unstage":
        await _unstage(git, entry)
    elif fix == "ignore":
        await asyncio.to_thread(_ignore, git, entry.path)
        await _unstage(git, entry)
    elif fix == "lfs":
        await _to_lfs(git, entry)


async def strip(git: Git, entry: Staged) -> None:
    """Put a notebook without its outputs into the index. Raises Conflict where it is no notebook, and GitError."""
    data = (await git.read("cat-file", "blob", entry.blob)).stdout
    try:
        clean = await asyncio.to_thread(stripped, data)
    except NotANotebook as error:
        raise Conflict(f"The outputs cannot be removed: {error.why}.") from error
    if clean == data:
        return
    # --no-filters is what a blob from standard input gets without --path: it is already as git keeps it
    blob = (await git.write("hash-object", "-w", "--stdin", stdin=clean)).stdout.decode().strip()
    await _set(git, entry.path, entry.mode, blob)


async def _entry(git: Git, path: str) -> Staged:
    for entry in await staged_entries(git):
        if entry.path == path:
            if entry.status == "U":
                raise Conflict("This file is in conflict: choose what to keep first.")
            return entry
    raise NotFound("This file is not staged any more.")


async def _unstage(git: Git, entry: Staged) -> None:
    if entry.before is None or entry.before_mode is None:
        await _set(git, entry.path, "0", "0" * len(entry.blob))
    else:
        await _set(git, entry.path, entry.before_mode, entry.before)


async def _set(git: Git, path: str, mode: str, blob: str) -> None:
    """Change one entry of the index. By standard input, so that any name of a file is taken as it is."""
    said = f"{mode} {blob}\t".encode() + raw(path) + b"\0"
    await git.write("update-index", "-z", "--index-info", stdin=said)


def _ignore(git: Git, path: str) -> None:
    """Add a file to the .gitignore at the top. What a pattern cannot say of its name, a wildcard stands for."""
    name = re.sub(r"([\\*?\[])", r"\\\1", argument(path))
    name = "".join("?" if c in "\r\n" else c for c in name)
    name = re.sub(r" +$", lambda found: "\\ " * len(found[0]), name)
    place = git.root / ".gitignore"
    try:
        if place.is_symlink():
            raise Conflict(".gitignore is a link: add the file to it yourself.")
        old = place.read_bytes() if place.exists() else b""
        line = b"/" + os.fsencode(name)
        if line in old.split(b"\n"):
            return
        end = b"\r\n" if b"\r\n" in old else b"\n"
        begin = b"" if not old or old.endswith(b"\n") else end
        with place.open("ab") as file:
            file.write(begin + line + end)
    except OSError as error:
        raise StorageError(f".gitignore cannot be written: {error.strerror}.") from error


async def _to_lfs(git: Git, entry: Staged) -> None:
    has_filter = not (await git.read("config", "--get", "filter.lfs.clean", check=False)).returncode
    try:
        # Both set the hook that uploads before a push: without it only the pointer would arrive
        await git.write(*(("lfs", "update") if has_filter else ("lfs", "install", "--local")))
        await git.write("lfs", "track", "--filename", "--", argument(entry.path))
    except ProcessError as error:
        said = str(error.details.get("output", ""))
        if "Hook already exists" in said:
            raise Conflict(
                "The repository has a hook of its own where Git LFS needs one, so it was not set up.",
                next_step="`git lfs update --manual` says in a terminal what to add to the hook.",
            ) from error
        raise Conflict(f"Git LFS did not take the file: {error.message}") from error
    names = b".gitattributes\0" + raw(entry.path) + b"\0"
    # --really-refresh would not read the content again: taken out of the index and put in, the filter sees it
    await _set(git, entry.path, "0", "0" * len(entry.blob))
    await git.write("update-index", "--add", "-z", "--stdin", stdin=names)
