"""A forge and the whole slice around it, as a Jupyter server puts them together: broker, accounts, service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aidp_ext.git.config import GitConfig
from aidp_ext.git.credentials import Credentials
from aidp_ext.git.models import CheckResult, Finding, RepositoryState
from aidp_ext.git.service import GitService
from aidp_ext.git.ship import steps as shipping
from aidp_ext.git.ship.job import Open, ShipAsked, ShipJob
from aidp_ext.git_parts import find_secrets
from tests.support.git_http import GitHttpServer
from tests.support.github_api import GithubApi

NAME = "ana/titanic"


class Written:
    """A model's words."""

    route, locality = "local/double", "local"

    def __init__(self, said: str) -> None:
        self._said = said
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[str]:
        for word in self._said.split(" "):
            yield f"{word} "

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class Model:
    """Remembers what it was asked, and says what it is told to."""

    says: str = "Impute age by title"
    asked: list[tuple[Sequence[Any], Sequence[str], Any]] = field(default_factory=list)

    async def __call__(self, messages: Sequence[Any], paths: Sequence[str], caller: Any) -> Written:
        self.asked.append((messages, paths, caller))
        return Written(self.says)


@dataclass
class Experiments:
    """Knows which runs made what, as it is told to, and remembers what it is told."""

    runs: list[str] = field(default_factory=list)
    fails: Exception | None = None
    hangs: bool = False
    asked: list[tuple[Path, Sequence[str], str | None]] = field(default_factory=list)
    shipped: list[tuple[Sequence[str], str]] = field(default_factory=list)

    async def runs_of(self, root: Path, staged: Sequence[str], since: str | None) -> list[str]:
        self.asked.append((root, staged, since))
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails
        return self.runs

    async def tell(self, runs: Sequence[str], commit: str) -> None:
        if self.fails is not None:
            raise self.fails
        self.shipped.append((runs, commit))


@dataclass
class Desk:
    """A workspace with a user who is signed in."""

    root: Path
    folder: Path
    server: GitHttpServer
    api: GithubApi
    service: GitService
    credentials: Credentials
    model: Model
    token: str
    lab: Experiments

    @property
    def host(self) -> str:
        return self.server.url.removeprefix("http://")

    @property
    def address(self) -> str:
        return f"{self.server.url}/{NAME}.git"

    async def clone(self) -> Path:
        """Clone the repository into the workspace and return where it is."""
        async for _ in self.service.clone(self.address, "", None, "auto"):
            pass
        return self.root / "titanic"

    async def stage_all(self) -> RepositoryState:
        state = await self.service.state("titanic")
        assert state is not None
        return await self.service.stage("titanic", [change.path for change in state.changes], True)

    async def check(self) -> dict[str, list[Finding]]:
        """Return what each check finds."""
        results = [one async for one in self.service.preflight("titanic")]
        return {one.name: list(one.findings) for one in results if isinstance(one, CheckResult)}

    async def ship(self, message: str = "Change", **asked: Any) -> ShipJob:
        """Ship and return how it ended."""
        opened = asked.pop("open", Open())
        jobs = await self.service.ship("titanic", ShipAsked(message, open=opened, **asked))
        return [job async for job in jobs][-1]

    async def resume(self) -> ShipJob:
        return [job async for job in await self.service.resume("titanic")][-1]


@contextlib.asynccontextmanager
async def desk(tmp_path: Path, monkeypatch: Any, **files: str) -> AsyncIterator[Desk]:
    """A forge with a private repository, and a server's slice whose user Ana is signed in there by a token."""
    with GitHttpServer(tmp_path / "forge") as server:
        api = GithubApi(server)
        token = api.add_user("ana")
        server.add_repository(NAME, files=files or {"README.md": "# Titanic\n"}, members=["ana"], labels=["data"])
        root, folder = tmp_path / "work", tmp_path / "state"
        root.mkdir()
        credentials = Credentials(folder, lambda event, **said: None, forges={server.url: "github"})
        monkeypatch.setattr(shipping, "_FIRST_LOOK_S", 0.05)
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
        await credentials.start()
        for name, value in credentials.environment().items():
            monkeypatch.setenv(name, value)
        model = Model()
        config = GitConfig(checks_wait_s=5)
        lab = Experiments()
        service = GitService(
            root,
            folder,
            config,
            accounts=credentials.accounts,
            find=find_secrets,
            ask=model,
            runs_of=lab.runs_of,
            shipped=lab.tell,
        )
        made = Desk(root, folder, server, api, service, credentials, model, token, lab)
        await credentials.accounts.add(made.host, token)
        try:
            yield made
        finally:
            await service.close()
            await credentials.stop()


def steps(job: ShipJob) -> dict[str, str]:
    return {step.name: step.state for step in job.steps}


def failed(job: ShipJob) -> str:
    """Return the code of the error of the step that failed."""
    return next(step.error.code for step in job.steps if step.error is not None)


async def until(true: Any) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.01)
