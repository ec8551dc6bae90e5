"""Which repository a path of the workspace is in."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from aidp_ext.core.errors import Forbidden, InvalidRequest, NotARepository
from aidp_ext.git import layout
from aidp_ext.git.command import Git, Locks

_NEXT = "Import one, or start one in this folder."
_CHECKPOINTS = b".ipynb_checkpoints"


class Repositories:
    """The repositories of a workspace. Each is known by one Git, which keeps what it has found out."""

    def __init__(self, workspace: Path, locks: Locks, env: Mapping[str, str]) -> None:
        self.workspace = workspace.resolve()
        self.locks = locks
        self.env = env
        self._known: dict[Path, tuple[tuple[int, int], Git]] = {}

    async def at(self, path: str) -> Git:
        """Return Git for the innermost repository around a file or folder of the workspace, there or not any more.

        Its top may be above the workspace where the workspace lies in a repository. After the first time no process
        is started. Raises Forbidden for a path that leads out of the workspace, and NotARepository.
        """
        found = layout.find(await asyncio.to_thread(self.folder, path))
        if found is None:
            raise NotARepository("There is no Git repository here.", next_step=_NEXT)
        identity = _identity(found.top / ".git")
        known = self._known.get(found.top)
        if known is not None and known[0] == identity:
            return known[1]
        git = Git(found.top, self.locks, env=self.env, path=self._shown(found.top))
        told = await git.read("rev-parse", "--show-toplevel")
        if not _is_same(told.stdout.rstrip(b"\n"), found.top):
            raise NotARepository("The repository's files are not where it is.", next_step=_NEXT)
        await asyncio.to_thread(_exclude_checkpoints, git.layout.common_dir)
        self._known[found.top] = identity, git
        return git

    def folder(self, path: str) -> Path:
        """Return the folder that a path of the workspace is, or is in, with links followed.

        Raises Forbidden where it leads out of the workspace, InvalidRequest where it is no path, and NotARepository
        for one in Git's own folders.
        """
        if "\0" in path:
            raise InvalidRequest("A path has no zero bytes.", field="path")
        try:
            place = (self.workspace / path.lstrip("/")).resolve()
            if place != self.workspace and self.workspace not in place.parents:
                raise Forbidden(f"`{path[:200]}` leads out of the workspace.")
            while not place.is_dir():  # a file, or what has been deleted
                place = place.parent
        except (OSError, RuntimeError) as error:  # a name that is too long, links in a circle
            raise NotARepository("There is no such folder.", next_step=_NEXT) from error
        if any(part == ".git" for part in place.relative_to(self.workspace).parts) or (
            layout.is_bare(place) and not (place / ".git").exists()
        ):
            raise NotARepository("This is a repository's own folder, without working files.", next_step=_NEXT)
        return place

    def _shown(self, top: Path) -> str:
        path = os.path.relpath(top, self.workspace)
        return "" if path == "." else path


def _exclude_checkpoints(common_dir: Path) -> None:
    """Tell Git, here only, that what Jupyter keeps beside a file, or writes before it is one, is nothing to commit."""
    place = common_dir / "info" / "exclude"
    try:
        told = place.read_bytes() if place.exists() else b""
        if _CHECKPOINTS in told:
            return
        place.parent.mkdir(exist_ok=True)
        with place.open("ab") as file:
            file.write((b"" if not told or told.endswith(b"\n") else b"\n") + _CHECKPOINTS + b"/\n.~*\n")
    except OSError:  # a repository that may only be read
        return


def _is_same(told: bytes, top: Path) -> bool:
    return os.path.realpath(os.fsdecode(told)) == str(top)


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
