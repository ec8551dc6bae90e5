"""A job of Ship as a value, and where it is kept between two steps."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from aidp_ext.core.errors import AidpError, StorageError
from aidp_ext.git.models import PullRequest

StepName = Literal["preflight", "commit", "fetch", "integrate", "push", "pull-request", "checks"]
StepState = Literal["waiting", "running", "done", "failed", "skipped"]
JobState = Literal["running", "failed", "done", "cancelled", "interrupted"]
STEPS: tuple[StepName, ...] = ("preflight", "commit", "fetch", "integrate", "push", "pull-request", "checks")


@dataclass(frozen=True)
class StepError:
    """Why a step failed, as every error goes over the wire."""

    code: str
    message: str
    details: dict[str, Any]


@dataclass(frozen=True)
class Step:
    """A step and how it stands; ``text`` says what it did, or what it is doing."""

    name: StepName
    state: StepState = "waiting"
    text: str = ""
    error: StepError | None = None


@dataclass(frozen=True)
class Open:
    """The pull or merge request to be opened."""

    title: str = ""
    body: str = ""
    draft: bool = False
    reviewers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    base: str | None = None


@dataclass(frozen=True)
class ShipAsked:
    """What the user wants shipped, and how."""

    message: str = ""
    tree: str | None = None  # of the index, as it was checked
    branch: str | None = None  # to commit on; made where there is none
    open: Open | None = None
    how: Literal["rebase", "merge"] = "rebase"
    acknowledge: tuple[str, ...] = ()  # findings that need not stop it
    with_runs: bool = True  # the commit names the runs of experiments that its changes made


@dataclass(frozen=True)
class ShipJob:
    """A job: what was asked, and how far it is."""

    id: str
    path: str  # of the repository, relative to the workspace
    state: JobState
    steps: tuple[Step, ...]
    asked: ShipAsked
    started_at: str
    updated_at: str
    message: str = ""
    branch: str | None = None
    parent: str | None = None  # HEAD before the commit; "" where there was none
    tree: str | None = None  # what is to be committed
    commit: str | None = None
    runs: tuple[str, ...] = ()  # of experiments, that the commit names
    pull_request: PullRequest | None = None

    def step(self, name: StepName) -> Step:
        """Return a step of this job."""
        return next(step for step in self.steps if step.name == name)

    def with_step(
        self, name: StepName, state: StepState, text: str | None = None, error: AidpError | None = None
    ) -> ShipJob:
        """Return the job with a step that stands differently."""
        said = None if error is None else StepError(error.code, error.message, dict(error.details))
        steps = tuple(
            Step(name, state, step.text if text is None else text, said) if step.name == name else step
            for step in self.steps
        )
        return replace(self, steps=steps, updated_at=_now())


def new_job(path: str, asked: ShipAsked) -> ShipJob:
    """Return a job of which nothing is done yet."""
    steps = tuple(map(Step, STEPS))
    return ShipJob(secrets.token_hex(8), path, "running", steps, asked, _now(), _now(), message=asked.message)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class JobStore:
    """Keeps the last job of each repository, one file each, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, root: Path) -> ShipJob | None:
        """Return the job of the repository with this top folder; None where there is none that can be read."""
        try:
            return msgspec.json.decode(self._file(root).read_bytes(), type=ShipJob)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        except OSError as error:
            raise StorageError(f"The state of Ship cannot be read: {error.strerror}.") from error

    def save(self, root: Path, job: ShipJob) -> None:
        """Keep a job. Raises StorageError."""
        file = self._file(root)
        new = file.with_suffix(f".{os.getpid()}.new")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(new, "wb", opener=_private) as out:
                out.write(msgspec.json.encode(job))
                out.flush()
                os.fsync(out.fileno())
            new.replace(file)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink()
            raise StorageError(
                f"The state of Ship cannot be written: {error.strerror}.", next_step="Free some space and try again."
            ) from error

    def forget(self, root: Path) -> None:
        """Forget the job of a repository."""
        self._file(root).unlink(missing_ok=True)

    def _file(self, root: Path) -> Path:
        return self._folder / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:32]}.json"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
