"""The slice's one service: finds the repository that is meant, and puts its parts together."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from aidp_ext.core.errors import AidpError, Conflict, InvalidRequest, NotFound
from aidp_ext.core.http import HttpClient
from aidp_ext.git import clone, messages, state, summary, work
from aidp_ext.git.command import Git, Locks
from aidp_ext.git.config import GitConfig
from aidp_ext.git.credentials import Accounts
from aidp_ext.git.models import (
    Author,
    CheckResult,
    Checks,
    Finding,
    PreflightOptions,
    Progress,
    PullRequest,
    Remote,
    RepositoryPage,
    RepositoryState,
)
from aidp_ext.git.names import checked_name, name_of, parse_address
from aidp_ext.git.preflight import FindSecrets, apply_fix, preflight, waive
from aidp_ext.git.remotes import Forge, forge_for
from aidp_ext.git.repositories import Repositories
from aidp_ext.git.ship import look
from aidp_ext.git.ship.job import ShipAsked, ShipJob
from aidp_ext.git.ship.runs import Runs, RunsOf, Shipped, without_runs
from aidp_ext.git.ship.service import ShipService
from aidp_ext.git.ship.steps import Surroundings

_FULL_LOOK_S = 60.0
_SIZE_S = 5.0


class FindingGone(NotFound):
    """The finding is not among those of the last checks."""

    code = "finding_gone"


class GitService:
    """What the endpoints call. Values come back; errors of the tree are raised."""

    def __init__(
        self,
        workspace: Path | None,
        folder: Path,
        config: GitConfig,
        *,
        accounts: Accounts,
        find: FindSecrets,
        ask: messages.Ask,
        runs_of: RunsOf | None = None,
        shipped: Shipped | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """``folder`` keeps jobs; ``find`` looks for secrets in a text; ``ask`` asks a model.

        ``runs_of`` and ``shipped`` know of the runs of experiments: see :mod:`aidp_ext.git.ship.runs`.
        """
        self._workspace = workspace
        self._config = config
        self._accounts = accounts
        self._find = find
        self._ask = ask
        self._runs = Runs(runs_of, shipped)
        self._env = dict(env or {})
        self._locks = Locks()
        self._repositories = Repositories(workspace, self._locks, self._env) if workspace is not None else None
        self._ship = ShipService(folder / "ship")
        self._http = HttpClient()
        self._found: dict[Path, dict[str, Finding]] = {}  # by the last checks
        self._looked_at: dict[Path, float] = {}

    @property
    def accounts(self) -> Accounts:
        """The forges where the user is signed in."""
        return self._accounts

    @property
    def pull_how(self) -> Literal["rebase", "merge"]:
        """How what others pushed is taken in, unless somebody says."""
        return "merge" if self._config.pull_how == "merge" else "rebase"

    async def close(self) -> None:
        """End what is under way."""
        await self._ship.close()
        await self._http.close()

    # ---- a repository

    async def git(self, path: str) -> Git:
        """Return the repository of a path in the workspace. Raises NotARepository, InvalidRequest."""
        if self._repositories is None:
            raise NotFound("This server has no workspace.")
        return await self._repositories.at(path)

    async def state(self, path: str, known: str = "") -> RepositoryState | None:
        """Return how a repository stands; None where that has the fingerprint ``known``.

        The fingerprint knows nothing of files that are edited, and looking at all of them is what costs: who edits
        outside of Lab is noticed within a minute.
        """
        git = await self.git(path)
        is_fresh = time.monotonic() - self._looked_at.get(git.root, -_FULL_LOOK_S) < _FULL_LOOK_S
        if known and is_fresh and await state.fingerprint(git) == known:
            return None
        return await self._state(git)

    async def _state(self, git: Git) -> RepositoryState:
        self._looked_at[git.root] = time.monotonic()
        seen = await state.state(git)
        said = await summary.summaries(git, seen.changes, staged=False)
        changes = tuple(
            replace(change, summary=str(said[change.path])) if change.path in said else change
            for change in seen.changes
        )
        return replace(seen, changes=changes)

    async def stage(self, path: str, files: Sequence[str], staged: bool) -> RepositoryState:
        """Stage files, or take them out of what is staged, and return how it stands then."""
        git = await self.git(path)
        await work.stage(git, files, staged)
        return await self._state(git)

    async def pull(self, path: str, how: work.How | None) -> RepositoryState:
        """Take in what others pushed. Raises MergeConflict, and leaves the conflicts to be resolved."""
        git = await self.git(path)
        await work.pull(git, how or self.pull_how)
        return await self._state(git)

    async def undo(self, path: str) -> tuple[RepositoryState, str]:
        """Take back the last commit, which is on no remote; return the state and its message.

        Its changes are staged again, and the runs that it named will be named anew.
        """
        git = await self.git(path)
        message = await work.undo_commit(git)
        return await self._state(git), without_runs(message)

    async def abort(self, path: str) -> RepositoryState:
        """Take back the merge or rebase that is under way."""
        git = await self.git(path)
        await work.abort(git)
        return await self._state(git)

    async def carry_on(self, path: str) -> RepositoryState:
        """Go on with the merge or rebase under way. Raises MergeConflict where conflicts are left, or new ones came."""
        git = await self.git(path)
        known = not (await git.read("config", "--get", "user.email", check=False)).returncode
        await work.carry_on(git, author=None if known else await self._author(await look.remote(git)))
        return await self._state(git)

    async def branch(self, path: str, name: str) -> RepositoryState:
        """Check out a branch, made from here where there is none."""
        git = await self.git(path)
        await look.switch(git, name)
        return await self._state(git)

    async def unlock(self, path: str) -> RepositoryState:
        """Remove the lock that a git left behind which is gone."""
        git = await self.git(path)
        await work.unlock(git)
        return await self._state(git)

    async def init(self, path: str) -> RepositoryState:
        """Make a repository of a folder of the workspace."""
        await clone.init(self._folder(path), self._locks, env=self._env)
        return await self._state(await self.git(path))

    # ---- the checks before a commit

    async def preflight(self, path: str) -> AsyncGenerator[CheckResult | tuple[str, int], None]:
        """Yield what each check finds in what is staged; at last its tree and how many findings stop it."""
        git = await self.git(path)
        tree = await work.index_tree(git)
        blocking = 0
        async for result in self._checked(git):
            blocking += sum(finding.severity == "block" for finding in result.findings)
            yield result
        yield tree, blocking

    async def _checked(self, git: Git) -> AsyncIterator[CheckResult]:
        found: dict[str, Finding] = {}
        async for result in preflight(git, self._options(), self._find):
            found |= {finding.id: finding for finding in result.findings}
            yield result
        self._found[git.root] = found

    def _options(self) -> PreflightOptions:
        config = self._config
        return PreflightOptions(
            personal=config.find_personal_data, large_bytes=config.large_bytes, hooks=config.run_hooks
        )

    async def fix(self, path: str, finding: str, fix: str) -> RepositoryState:
        """Do about a finding what its fix says. Raises FindingGone, InvalidRequest."""
        git = await self.git(path)
        found = self._finding(git, finding)
        if fix not in (one.name for one in found.fixes):
            raise InvalidRequest(f"{fix[:50]!r} is none of what can be done about this.", field="fix")
        await apply_fix(git, found, fix)
        return await self._state(git)

    async def waive(self, path: str, finding: str, reason: str, who: str) -> RepositoryState:
        """Record why a finding may stay. Raises FindingGone, and Conflict for one that may not."""
        git = await self.git(path)
        found = self._finding(git, finding)
        if not found.can_waive:
            raise Conflict("This cannot stay as it is.", next_step="Mend it.")
        await waive(git, found, reason, who)
        return await self._state(git)

    def _finding(self, git: Git, finding: str) -> Finding:
        found = self._found.get(git.root, {}).get(finding)
        if found is None:
            raise FindingGone("That is not among what the last checks found.", next_step="Check again.")
        return found

    # ---- words

    async def message(self, path: str, what: str, base: str | None, caller: Any) -> messages.Words:
        """Return a model's words about what is staged, or for a pull request. Raises SecretsStaged."""
        git = await self.git(path)
        seen = await self._state(git)
        paths = [change.path for change in seen.changes if change.staged != "no"]
        if what == "commit":
            await self._refuse_secrets(git)
            return await self._ask(
                await messages.of_commit(git, seen.changes, conventional=self._config.conventional_commits),
                [self._in_workspace(seen, one) for one in paths],
                caller,
            )
        remote = await self._remote(git)
        onto = await self._base(git, remote, base)
        template = None
        if remote is not None and (forge := await self.forge(remote)) is not None and remote.full_name:
            template = await forge.template(remote.full_name, onto)
        start = await look.commit_of(git, f"{remote.name}/{onto}" if remote is not None else onto)
        if start is None or await look.head(git) is None:
            raise Conflict(f"There is nothing that {onto} could be compared with yet.", next_step="Commit something.")
        question, files = await messages.of_request(git, start, template)
        question[-1]["content"] = await asyncio.to_thread(self._without_secrets, question[-1]["content"])
        return await self._ask(question, [self._in_workspace(seen, one) for one in files], caller)

    def _without_secrets(self, text: str) -> str:
        """Return a text in which each secret is named, not told: it may be long committed, so it stops nobody."""
        parts: list[str] = []
        done = 0
        for start, end, _, label in self._find(text, self._config.find_personal_data):
            parts += text[done:start], f"[{label}]"
            done = end
        return "".join((*parts, text[done:]))

    async def _refuse_secrets(self, git: Git) -> None:
        options = replace(self._options(), hooks=False)
        async with contextlib.aclosing(preflight(git, options, self._find)) as results:
            async for result in results:
                if result.name == "secrets" and result.findings:
                    raise messages.SecretsStaged(
                        f"{result.findings[0].message}. No model is told of it.",
                        next_step="Take it out, or record why it may stay.",
                        findings=[finding.id for finding in result.findings],
                    )

    @staticmethod
    def _in_workspace(seen: RepositoryState, path: str) -> str:
        return f"{seen.path}/{path}" if seen.path else path

    # ---- ship

    async def ship(self, path: str, asked: ShipAsked) -> AsyncGenerator[ShipJob, None]:
        """Begin a job and yield it as it changes. Whoever stops watching does not stop it."""
        git = await self.git(path)
        await self._ship.start(git, path, asked, self._around())
        return self._ship.watch(git)

    async def resume(self, path: str) -> AsyncGenerator[ShipJob, None]:
        """Go on with a job and yield it as it changes."""
        git = await self.git(path)
        await self._ship.resume(git, self._around())
        return self._ship.watch(git)

    async def runs(self, path: str) -> tuple[tuple[str, ...], str]:
        """Return the runs of experiments that what is staged made, and a note where they could not be asked."""
        return await self._runs.of(await self.git(path))

    async def job(self, path: str) -> ShipJob | None:
        """Return the last job of a repository."""
        return await self._ship.job(await self.git(path))

    async def cancel(self, path: str) -> ShipJob | None:
        """Stop the job of a repository and return it."""
        return await self._ship.cancel(await self.git(path))

    async def forget(self, path: str) -> None:
        """Forget the job of a repository, which is over."""
        await self._ship.forget(await self.git(path))

    def _around(self) -> Surroundings:
        return Surroundings(self._checked, self._author, self.forge, self._config.checks_wait_s, self._runs)

    async def _author(self, remote: Remote | None) -> Author | None:
        """Return whom a commit names where git itself does not know: who is signed in where it goes."""
        hosts = [remote.host] if remote is not None and remote.host else []
        for account in await self._accounts.list():
            if account.login and (not hosts or account.host in hosts):
                name, email = account.name or account.login, account.email
                return Author(name, email) if email else None
        return None

    # ---- forges

    async def forge(self, remote: Remote) -> Forge | None:
        """Return the forge of a remote; None where it is unknown or nobody is signed in."""
        return None if remote.host is None else await self.forge_at(remote.host)

    async def forge_at(self, host: str) -> Forge | None:
        """Return the forge at a host, in the name of who is signed in there."""
        account = await self._accounts.get(host)
        if account is None or account.source == "none":
            return None
        return forge_for(account.kind, account.url, self._http, self._accounts.tokens(host))

    async def repositories(self, host: str, query: str, page: int) -> RepositoryPage:
        """Return some of the user's repositories on a forge. Raises Conflict where nobody is signed in."""
        forge = await self.forge_at(host)
        if forge is None:
            raise Conflict(f"Nobody is signed in at {host[:100]}.", next_step="Add an account.")
        return await forge.repositories(query=query, page=page)

    async def request(self, path: str) -> tuple[PullRequest | None, Checks | None]:
        """Return the pull request of the branch and the checks of its last commit, where there are any."""
        git = await self.git(path)
        remote, branch, head = await self._remote(git), git.layout.branch(), await look.head(git)
        if remote is None or remote.full_name is None or branch is None or head is None:
            return None, None
        forge = await self.forge(remote)
        if forge is None or not await look.is_pushed(git, remote.name, branch):
            return None, None
        found = await forge.find_pull_request(remote.full_name, branch)
        return found, await forge.checks(remote.full_name, head.commit)

    async def suggestions(self, path: str) -> tuple[str, str, list[str], list[str], list[str], str | None]:
        """Return title, base, bases, reviewers, labels and template for a pull request; what fails is left out."""
        git = await self.git(path)
        remote = await self._remote(git)
        base = await self._base(git, remote, None)
        subject = await git.read("log", "-1", "--format=%s", "--", check=False)
        title = subject.stdout.decode(errors="replace").strip() if subject.returncode == 0 else ""
        bases = await look.remote_branches(git, remote.name) if remote is not None else []
        forge = await self.forge(remote) if remote is not None else None
        if forge is None or remote is None or remote.full_name is None:
            return title, base, bases, [], [], None
        reviewers, labels, template = [], [], None
        try:
            reviewers = await forge.reviewers(remote.full_name)
            labels = await forge.labels(remote.full_name)
            template = await forge.template(remote.full_name, base)
        except AidpError:  # a token that may not read all of it: a pull request can be opened without
            pass
        return title, base, bases, reviewers, labels, template

    async def _remote(self, git: Git) -> Remote | None:
        return await look.remote(git)

    async def _base(self, git: Git, remote: Remote | None, base: str | None) -> str:
        if base is not None:
            return checked_name(base, "base")
        found = await work.default_branch(git, remote.name) if remote is not None else None
        return found or "main"

    # ---- import

    async def clone(self, url: str, folder: str, name: str | None, mode: clone.Mode) -> AsyncGenerator[Progress, None]:
        """Clone into a folder of the workspace; yields how far it is."""
        target = self._folder(folder) / _name(url, name)
        size_kb = await self._size(url) if mode == "auto" else None
        cloning = clone.clone(url, target, mode=mode, env=self._env, size_kb=size_kb)
        async with contextlib.aclosing(cloning) as progress:
            async for one in progress:
                yield one

    async def _size(self, url: str) -> int | None:
        """Return a repository's size in kB, where its forge says so in good time: it only chooses how to clone."""
        host, full_name = parse_address(url) or (None, None)
        if host is None or full_name is None or (forge := await self.forge_at(host)) is None:
            return None
        try:
            async with asyncio.timeout(_SIZE_S):
                return (await forge.repository(full_name)).size_kb
        except (AidpError, TimeoutError):
            return None

    def cloned(self, url: str, folder: str, name: str | None) -> tuple[str, str | None]:
        """Return where a clone lies in the workspace, and what one would look at first in it."""
        target = self._folder(folder) / _name(url, name)
        assert self._workspace is not None, "it was cloned into"
        first = clone.first_to_open(target)
        path = target.relative_to(self._workspace.resolve()).as_posix()
        return path, None if first is None else f"{path}/{first}"

    def _folder(self, path: str) -> Path:
        """Return a folder of the workspace. Raises InvalidRequest for one outside."""
        if self._repositories is None:
            raise NotFound("This server has no workspace.")
        return self._repositories.folder(path)


def _name(url: str, name: str | None) -> str:
    """Return the name of a clone's folder. Raises InvalidRequest for one that leads elsewhere."""
    chosen = (name or "").strip() or name_of(url)
    if chosen in (".", "..") or "/" in chosen or "\\" in chosen or "\0" in chosen:
        raise InvalidRequest(f"{chosen[:80]!r} cannot be the name of a folder.", field="name")
    return chosen
