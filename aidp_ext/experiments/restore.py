"""Makes the code of a run anew: as a notebook beside the one it came from, or as a branch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct

from aidp_ext.core.errors import (
    AidpError,
    Conflict,
    InvalidRequest,
    NotFound,
    StorageError,
    UpstreamRejected,
)
from aidp_ext.experiments.lineage.document import RestoredRun, about_code, document, kernel_of, plain
from aidp_ext.experiments.lineage.log import CellRun
from aidp_ext.experiments.lineage.replay import Replay, cells_of, replay
from aidp_ext.experiments.lineage.send import call
from aidp_ext.experiments.upstream import Upstream

_FILES = "/api/2.0/mlflow-artifacts/artifacts"
_MOST_BYTES = 64_000_000
_NAMES = 1000  # tried for a file or branch that is free


class NotRestorable(NotFound):
    """What would be needed to restore a run's code was not kept, or is not here."""

    code = "not_restorable"


class Restored(Struct, frozen=True):
    """What was made: paths in the workspace, or a branch and its commit; and what is to be known of it."""

    path: str | None
    branch: str | None
    commit: str | None
    environment: str | None
    notes: tuple[str, ...]


class MakeBranch(Protocol):
    """Makes a branch of a commit, a patch and files, as the Git slice does it; returns the commit."""

    async def __call__(
        self, root: Path, name: str, commit: str, patch: bytes | None, files: Mapping[str, bytes], *, message: str
    ) -> str:
        """Raises an AidpError with the code ``patch_fails`` for a patch that does not fit."""


class Restorer:
    """Restores runs into one workspace."""

    def __init__(
        self,
        upstream: Upstream,
        workspace: Path | None,
        make_branch: MakeBranch | None = None,
        is_branch_taken: Callable[[AidpError], bool] = lambda _: False,
        link: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        """``link`` gives the address of a run's page, for people; ``is_branch_taken`` knows one error of Git's."""
        self._upstream = upstream
        self._workspace = workspace
        self._make_branch = make_branch
        self._is_branch_taken = is_branch_taken
        self._link = link

    async def __call__(
        self, run_id: str, into: Literal["notebook", "branch"], path: str | None = None, name: str | None = None
    ) -> Restored:
        """Restore a run: into a notebook at ``path`` (a free name is found without one), or a branch ``name``.

        Nothing that is there is overwritten. Raises NotRestorable with the reason, InvalidRequest, Conflict,
        StorageError, what the Git slice raises for a branch, and UpstreamError.
        """
        if self._workspace is None:
            raise NotRestorable("This server has no workspace to restore code into.")
        run = await self._run(run_id)
        if into == "branch":
            return await self._into_branch(run, self._workspace, name)
        return await self._into_notebook(run, self._workspace, path)

    # ---- into a notebook

    async def _into_notebook(self, run: RestoredRun, workspace: Path, path: str | None) -> Restored:
        chosen = await self._chosen(run)
        requirements = await self._artifact(run, "requirements.txt")
        target = _target(workspace, run, path)

        def write() -> tuple[Path, Path | None]:
            target.parent.mkdir(parents=True, exist_ok=True)
            _refuse_outside(workspace, target.parent)
            kept = _named(target, is_given=path is not None)
            environment = None
            with kept.open("r+b") as file:
                if requirements is not None:
                    environment = _named(kept.with_name(f"{kept.stem}.requirements.txt"), is_given=False)
                    environment.write_bytes(requirements)
                there = environment.name if environment is not None else None
                file.write(document(run, chosen, there, self._link(run.id), kernel_of(workspace, run)))
            return kept, environment

        try:
            kept, environment = await asyncio.to_thread(write)
        except FileExistsError as error:
            raise Conflict(f"There is a file {path} already.", next_step="Choose another name.") from error
        except OSError as error:
            raise StorageError(f"The notebook cannot be written: {error.strerror}.") from error
        notes = (*chosen.notes, *about_code(run), *(() if environment else ("the environment was not kept",)))
        paths = [one.relative_to(workspace).as_posix() if one is not None else None for one in (kept, environment)]
        return Restored(paths[0], None, run.tags.get("mlflow.source.git.commit"), paths[1], notes)

    async def _chosen(self, run: RestoredRun) -> Replay:
        """Return the cells to run. Raises NotRestorable where there is no code at all."""
        data = await self._artifact(run, "cells.json")
        count = run.tags.get("aidp.cell.count", "")
        if data is not None:
            try:
                return replay(cells_of(json.loads(data)), int(count) if count.isdecimal() else None)
            except (ValueError, RecursionError):
                pass
        source = run.tags.get("aidp.cell.source")
        if source:
            cell = CellRun(int(count) if count.isdecimal() else 1, run.tags.get("aidp.cell.id"), source, True)
            note = "only the run's own cell was kept: what ran before it in the notebook is missing"
            return Replay((cell,), (note,))
        if file := run.tags.get("aidp.file"):
            step = "Restore it into a branch."
            raise NotRestorable(f"The run was made by a script, {file}, not by a notebook.", next_step=step)
        why = run.tags.get("aidp.captured", "").removeprefix("partly: ")
        if not any(name.startswith("aidp.") for name in run.tags):
            why = "it was not made in a kernel of this server"
        raise NotRestorable(f"The code of the run was not kept{': ' + why if why not in ('', 'done') else ''}.")

    # ---- into a branch

    async def _into_branch(self, run: RestoredRun, workspace: Path, name: str | None) -> Restored:
        commit, top = run.tags.get("mlflow.source.git.commit"), run.tags.get("aidp.git.root")
        if self._make_branch is None or not commit or top is None:
            step = "Restore it into a notebook." if run.notebook else None
            raise NotRestorable("The run's code was in no commit of a Git repository.", next_step=step)
        root = workspace / top
        if not await asyncio.to_thread(_is_ours, root, workspace):
            raise NotRestorable(f"Its repository {top} is not here any more.", next_step="Clone it there again.")
        notes = [*about_code(run)]
        files: dict[str, bytes] = {}
        requirements = await self._artifact(run, "requirements.txt")
        notebook = _in_repository(run, workspace, root)
        if notebook is not None:
            name_of_file = f"{notebook.stem}-{run.id[:8]}"
            try:
                chosen = await self._chosen(run)
                environment = f"{name_of_file}.requirements.txt" if requirements is not None else None
                metadata = await asyncio.to_thread(kernel_of, workspace, run)
                whole = document(run, chosen, environment, self._link(run.id), metadata)
                files[str(notebook.with_name(f"{name_of_file}.ipynb"))] = whole
                notes += chosen.notes
            except NotRestorable as error:
                notes.append(error.message)
        if requirements is not None:
            stem = notebook.with_name(f"{notebook.stem}-{run.id[:8]}") if notebook else PurePosixPath(run.id[:8])
            files[f"{stem}.requirements.txt"] = requirements
        patch = await self._artifact(run, "uncommitted.patch")
        made, branch = await self._branch(run, root, commit, patch, files, name, notes)
        environment = next((file for file in files if file.endswith(".requirements.txt")), None)
        return Restored(None, branch, made, environment, tuple(notes))

    async def _branch(
        self,
        run: RestoredRun,
        root: Path,
        commit: str,
        patch: bytes | None,
        files: Mapping[str, bytes],
        name: str | None,
        notes: list[str],
    ) -> tuple[str, str]:
        assert self._make_branch is not None
        first = name or f"run/{plain(run.name) or 'unnamed'}-{run.id[:8]}"
        message = f"Code of run {run.id}"
        for number in range(1, _NAMES):
            branch = first if number == 1 else f"{first}-{number}"
            try:
                made = await self._make_branch(root, branch, commit, patch, files, message=message)
            except AidpError as error:
                if self._is_branch_taken(error) and name is None:
                    continue
                if error.code == "patch_fails" and patch is not None:
                    notes.append("the uncommitted changes do not fit the commit, so they are in a file of their own")
                    return await self._branch(
                        run, root, commit, None, {**files, f"{run.id[:8]}.patch": patch}, name, notes
                    )
                raise
            return made, branch
        raise Conflict(f"There are too many branches {first}.", next_step="Choose a name.")

    # ---- what was kept

    async def _run(self, run_id: str) -> RestoredRun:
        answer = await call(self._upstream, "runs/get", {"run_id": run_id}, method="GET")
        info, data = answer["run"]["info"], answer["run"].get("data", {})
        return RestoredRun(
            run_id,
            str(info.get("run_name") or run_id),
            int(info.get("start_time") or 0),
            str(info.get("artifact_uri") or ""),
            {one["key"]: one["value"] for one in data.get("tags", [])},
            {one["key"]: one["value"] for one in data.get("metrics", [])},
        )

    async def _artifact(self, run: RestoredRun, name: str) -> bytes | None:
        """Return a file of those that were captured; None where there is none."""
        parts = urlsplit(run.artifact_uri)
        place = PurePosixPath(unquote(parts.path).lstrip("/")) / "aidp" / name
        if parts.scheme != "mlflow-artifacts" or ".." in place.parts:
            return None
        if self._upstream.artifacts is not None:
            return await asyncio.to_thread(_read, self._upstream.artifacts / place)
        async with self._upstream.request("GET", f"{_FILES}/{quote(str(place))}", timeout_s=120.0) as response:
            if response.status == 404:
                return None
            if response.status != 200:
                raise UpstreamRejected("The run's files cannot be read.", status=response.status)
            parts_read = bytearray()
            async for chunk in response.content.iter_chunked(1 << 20):
                parts_read += chunk
                if len(parts_read) > _MOST_BYTES:
                    return None
            return bytes(parts_read)


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes() if file.stat().st_size <= _MOST_BYTES else None
    except OSError:
        return None


# ---- where it goes


def _target(workspace: Path, run: RestoredRun, path: str | None) -> Path:
    """Return where the notebook is to be: where it was asked for, or beside the run's own, as far as that is there."""
    if path is not None:
        asked = PurePosixPath(path)
        if asked.is_absolute() or ".." in asked.parts or asked.suffix != ".ipynb" or "\0" in path:
            raise InvalidRequest(f"{path[:100]!r} cannot be the path of a notebook in the workspace.", field="path")
        return workspace / asked
    notebook = run.notebook or PurePosixPath("run.ipynb")
    folder = workspace / notebook.parent
    if not folder.is_dir():
        folder = workspace
    return folder / f"{notebook.stem}-{plain(run.name) or run.id[:8]}.ipynb"


def _refuse_outside(workspace: Path, folder: Path) -> None:
    if not folder.resolve().is_relative_to(workspace.resolve()):
        raise InvalidRequest("That folder leads out of the workspace.", field="path")


def _named(target: Path, *, is_given: bool) -> Path:
    """Make an empty file of this name and return it; of another name where that is taken and nobody asked for it."""
    for number in range(1, _NAMES):
        stem, suffix = target.name.removesuffix(".ipynb"), ".ipynb"
        if not target.name.endswith(".ipynb"):
            stem, suffix = target.name.removesuffix(".requirements.txt"), ".requirements.txt"
        tried = target if number == 1 else target.with_name(f"{stem}-{number}{suffix}")
        try:
            tried.touch(exist_ok=False)
        except FileExistsError:
            if is_given:
                raise
            continue
        return tried
    raise FileExistsError(target)


def _is_ours(root: Path, workspace: Path) -> bool:
    """Return whether a repository is there, in the workspace or around it: a run's word leads to no other place."""
    top, work = root.resolve(), workspace.resolve()
    return (root / ".git").exists() and (top.is_relative_to(work) or work.is_relative_to(top))


def _in_repository(run: RestoredRun, workspace: Path, root: Path) -> PurePosixPath | None:
    """Return where the run's notebook is in its repository; None where it is outside or there is none."""
    if run.notebook is None:
        return None
    try:
        return PurePosixPath((workspace / run.notebook).relative_to(root).as_posix())
    except ValueError:
        return None


#: How the endpoint is given it.
Restore = Callable[[str, Literal["notebook", "branch"], str | None, str | None], Awaitable[Restored]]
