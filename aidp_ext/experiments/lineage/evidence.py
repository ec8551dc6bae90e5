"""Gathers in the server what is to be known of a run, at once when it has begun: the cells, Git, the environment.

What belongs to many runs, a loop in one cell, is gathered once and shared.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aidp_ext.core.errors import AidpError
from aidp_ext.experiments.lineage import environment, log, process
from aidp_ext.experiments.lineage.hardware import hardware
from aidp_ext.experiments.lineage.secrets import FindSecrets, patch_without_secrets, without_secrets

FRESH_S = 30.0  # how long one look at a repository serves the runs of one cell
MOST_SOURCE = 5000  # characters in a tag; all of it is in cells.json
MOST_PATCH = 20_000_000
_ENVIRONMENT_S = 10.0
_KEPT = 8  # gatherings, beside those that wait to be sent


@dataclass(frozen=True)
class GitState:
    """A repository as it is: ``patch`` makes of ``commit`` what lies in the folder, up to a size."""

    root: Path
    commit: str | None  # None before the first
    branch: str | None  # None: detached
    remote: str | None
    dirty: bool
    patch: bytes = b""
    is_cut: bool = False
    notes: tuple[str, ...] = ()


#: The state of the repository that a file or folder is in; None where there is none.
Snapshot = Callable[[Path, int], Awaitable[GitState | None]]


@dataclass(frozen=True)
class Surroundings:
    """What gathering needs of its host."""

    log_folder: Path  # where kernels note their cells
    spool: Path  # where files wait until they are sent
    workspace: Path | None
    user: str
    find: FindSecrets
    snapshot: Snapshot | None
    notebook_of: Callable[[str], Awaitable[str | None]]  # of a kernel, as it is called now
    has_kernel: Callable[[str], bool]


@dataclass(frozen=True)
class RunStarted:
    """A run that has begun, as its client told the tracking server."""

    run_id: str
    experiment_id: str
    artifact_uri: str
    tags: Mapping[str, str]

    @property
    def process(self) -> dict[str, Any]:
        """The process that began it; empty where it does not say."""
        return process_of(self.tags)

    @property
    def count(self) -> int | None:
        """The number of its cell."""
        said = self.tags.get("aidp.cell.count", "")
        return int(said) if said.isdecimal() and len(said) < 10 else None


def process_of(tags: Mapping[str, str]) -> dict[str, Any]:
    """Return the process that a run's tags name; empty where they do not."""
    try:
        found = json.loads(tags.get("aidp.process", ""))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@dataclass
class Evidence:
    """What is known of one or more runs: tags, files below ``aidp/`` of their artifacts, and what is missing."""

    folder: Path
    tags: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def write(self, name: str, data: bytes) -> None:
        """Keep a file until it is sent. Blocks."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        target = self.folder / name
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(data)
        self.files.append(name)


@dataclass
class Gathering:
    """Evidence under way, for the runs that share it; its files are removed after the last one."""

    evidence: Evidence
    task: asyncio.Task[Evidence]
    at: float
    users: int = 1  # who keeps it for further runs, and the runs

    def release(self) -> None:
        """One less needs it."""
        self.users -= 1
        if self.users <= 0:
            self.task.cancel()
            shutil.rmtree(self.evidence.folder, ignore_errors=True)


class Gatherer:
    """Gathers evidence, and shares it among the runs to which it belongs."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._kept: dict[tuple[Any, ...], Gathering] = {}
        self._looking = asyncio.Semaphore(2)
        self._number = 0
        self._hardware: asyncio.Task[dict[str, Any]] | None = None
        self._clean: dict[str, tuple[str, int]] = {}  # sources without their secrets
        self._without_environment: dict[str, float] = {}

    async def close(self) -> None:
        """End what is under way, its programs too, and remove what waits."""
        tasks = [*(kept.task for kept in self._kept.values()), *([self._hardware] if self._hardware else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._kept.clear()
        shutil.rmtree(self._around.spool, ignore_errors=True)

    def begin(self, run: RunStarted) -> Gathering:
        """Have what belongs to a run gathered, or take what was for another one of the same cell and state.

        Whoever asks releases it.
        """
        key = self._key(run)
        kept = self._kept.get(key)
        if kept is None or time.monotonic() - kept.at > FRESH_S:
            self._drop(key)
            while len(self._kept) >= _KEPT:
                self._drop(next(iter(self._kept)))
            self._number += 1
            evidence = Evidence(self._around.spool / f"{os.getpid()}-{self._number}")
            task = asyncio.create_task(self._gather(run, evidence))
            task.add_done_callback(_noticed)
            kept = self._kept[key] = Gathering(evidence, task, time.monotonic())
        kept.users += 1
        return kept

    def _drop(self, key: tuple[Any, ...]) -> None:
        if (kept := self._kept.pop(key, None)) is not None:
            kept.release()

    def _key(self, run: RunStarted) -> tuple[Any, ...]:
        tags, told = run.tags, run.process
        file = log.file_of(self._around.log_folder, tags.get("aidp.kernel.id", ""))
        try:
            size = file.stat().st_size if file is not None else 0
        except OSError:
            size = 0
        names = ("aidp.kernel.id", "aidp.cell.count", "aidp.notebook", "aidp.file", "aidp.environment", "aidp.job.id")
        return told.get("pid"), told.get("start"), told.get("host"), size, *(tags.get(name) for name in names)

    async def _gather(self, run: RunStarted, evidence: Evidence) -> Evidence:
        evidence.tags["aidp.user"] = self._around.user
        told, here = run.process, process.place()
        if told.get("host") != here["host"] or told.get("ns") != here["ns"]:
            evidence.missing.append("it ran on another machine or in another container")
            return evidence
        notebook = await self._notebook(run, evidence)
        script = run.tags.get("aidp.file")
        where = Path(notebook or script or str(told.get("cwd") or "."))
        if self._around.workspace is not None:
            where = self._around.workspace / where
        # Git first: it is what changes
        await self._git(where, evidence)
        await self._cells(run, evidence)
        if script:
            evidence.tags["aidp.file"] = self._in_workspace(Path(script))
        evidence.tags["aidp.hardware"] = json.dumps(await self._machine(), separators=(",", ":"))
        await self._packages(run, evidence)
        return evidence

    async def _notebook(self, run: RunStarted, evidence: Evidence) -> str | None:
        """Return the notebook as it is called now: kernels know only the name that it had at their start."""
        known = run.tags.get("aidp.notebook")
        kernel_id = run.tags.get("aidp.kernel.id")
        found = await self._around.notebook_of(kernel_id) if kernel_id else None
        if found and found != known:
            evidence.tags["aidp.notebook"] = found
            if run.tags.get("mlflow.source.name") == known:
                evidence.tags["mlflow.source.name"] = found
        return found or known

    async def _git(self, where: Path, evidence: Evidence) -> None:
        if self._around.snapshot is None:
            return
        try:
            async with self._looking:
                state = await self._around.snapshot(where, MOST_PATCH)
        except AidpError as error:
            evidence.missing.append(f"Git: {error.message}")
            return
        if state is None:
            return
        given = {
            "aidp.git.root": self._in_workspace(state.root),
            "aidp.git.dirty": "true" if state.dirty else "false",
            "mlflow.source.git.commit": state.commit,
            "mlflow.source.git.branch": state.branch,
            "mlflow.source.git.repoURL": state.remote,
        }
        evidence.tags |= {name: value for name, value in given.items() if value}
        evidence.missing += state.notes
        if state.is_cut or len(state.patch) > MOST_PATCH:
            most = f"{MOST_PATCH // 1_000_000} MB"
            evidence.missing.append(f"of the uncommitted changes at most {most} are kept, and none of very large files")
        if state.patch:
            patch, secrets = await patch_without_secrets(state.patch[:MOST_PATCH], self._around.find)
            if secrets:
                evidence.tags["aidp.redacted"] = "true"
            await asyncio.to_thread(evidence.write, "uncommitted.patch", patch)

    async def _cells(self, run: RunStarted, evidence: Evidence) -> None:
        kernel_id = run.tags.get("aidp.kernel.id")
        if not kernel_id:
            return
        is_kernel = "aidp.file" not in run.tags  # else a child of it, with a process of its own
        told = run.process if is_kernel else None
        cells = await asyncio.to_thread(log.read_cells, self._around.log_folder, kernel_id, told)
        if cells is None:
            evidence.missing.append("the kernel's record of its cells is not there")
            return
        own = log.cell_of(cells, run.count)
        clean: list[dict[str, Any]] = []
        for cell in cells:
            source, secrets = await self._cleaned(cell.source)
            more: dict[str, Any] = {"is_cut": True} if cell.is_cut else {}
            if secrets:
                more["redacted"] = secrets
                evidence.tags["aidp.redacted"] = "true"
            clean.append({"count": cell.count, "cell_id": cell.cell_id, "source": source, "ok": cell.ok, **more})
            if cell is own:
                evidence.tags["aidp.cell.source"] = source[:MOST_SOURCE]
                evidence.tags |= {"aidp.cell.id": cell.cell_id} if cell.cell_id else {}
        if seed := await asyncio.to_thread(log.seed_of, [cell.source for cell in cells]):
            evidence.tags["aidp.seed"] = seed[:500]
        await asyncio.to_thread(evidence.write, "cells.json", json.dumps(clean, indent=1, ensure_ascii=False).encode())

    async def _cleaned(self, source: str) -> tuple[str, int]:
        found = self._clean.get(source)
        if found is None:
            if sum(map(len, self._clean)) > 4_000_000:
                self._clean.clear()
            found = self._clean[source] = await without_secrets(source, self._around.find)
        return found

    async def _machine(self) -> dict[str, Any]:
        if self._hardware is None:
            self._hardware = asyncio.create_task(hardware())
        return await asyncio.shield(self._hardware)

    async def _packages(self, run: RunStarted, evidence: Evidence) -> None:
        key = run.tags.get("aidp.environment", "")
        if not key:
            return
        found = await self._environment(key)
        if found is None:
            evidence.missing.append("the packages of the environment were not listed in time")
            return
        await asyncio.to_thread(evidence.write, "environment.json", json.dumps(found, indent=1).encode())
        await asyncio.to_thread(evidence.write, "requirements.txt", environment.requirements(found).encode())

    async def _environment(self, key: str) -> dict[str, Any] | None:
        """Return an environment's packages; a thread of the kernel is listing them where they are new."""
        end = time.monotonic() + _ENVIRONMENT_S
        if time.monotonic() < self._without_environment.get(key, 0.0):
            end = time.monotonic()
        while (found := await asyncio.to_thread(environment.read, self._around.log_folder, key)) is None:
            if time.monotonic() >= end:
                self._without_environment[key] = time.monotonic() + FRESH_S
                return None
            await asyncio.sleep(0.25)
        return found

    def _in_workspace(self, path: Path) -> str:
        """Return a path relative to the workspace; of one outside, all of it."""
        if self._around.workspace is None:
            return str(path)
        for base in (self._around.workspace, self._around.workspace.resolve()):
            if path.is_relative_to(base):
                return path.relative_to(base).as_posix()
        return str(path)


def _noticed(task: asyncio.Task[Evidence]) -> None:
    if not task.cancelled():
        task.exception()  # who waits for it is told; nobody may
