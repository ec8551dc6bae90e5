"""What each step of Ship does. Each looks first at how things stand, so that it can be taken again at any time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

from aidp_ext.core.errors import (
    AidpError,
    Conflict,
    GitAuthenticationFailed,
    HookChangedFiles,
    IndexChanged,
    NothingToCommit,
    RemoteMoved,
    Unavailable,
)
from aidp_ext.git import work
from aidp_ext.git.command import Git
from aidp_ext.git.models import Author, CheckResult, Checks, NewPullRequest, Remote
from aidp_ext.git.remotes import Forge
from aidp_ext.git.ship import look
from aidp_ext.git.ship import runs as run_names
from aidp_ext.git.ship.job import ShipJob, StepName
from aidp_ext.git.ship.runs import TRAILER, Runs

_TRIES = 3  # to push, where others push meanwhile
_NO_REMOTE = "this repository has no remote"
_FIRST_LOOK_S, _LAST_LOOK_S = 3.0, 30.0  # between two looks at the checks


class ChecksFound(Conflict):
    """The checks before a commit found something that stops it; ``details["findings"]`` are its ids."""

    code = "checks_found"


class ChecksFailed(Conflict):
    """The forge's checks of what was pushed failed."""

    code = "checks_failed"


@dataclass(frozen=True)
class Surroundings:
    """What the steps need of the outside."""

    preflight: Callable[[Git], AsyncIterator[CheckResult]]
    author: Callable[[Remote | None], Awaitable[Author | None]]
    forge: Callable[[Remote], Awaitable[Forge | None]]
    checks_wait_s: float = 900.0
    runs: Runs = field(default_factory=Runs)


Say = Callable[[ShipJob], Awaitable[None]]


class Run:
    """One run through the steps of a job. ``say`` keeps and tells each change of it."""

    def __init__(self, git: Git, job: ShipJob, around: Surroundings, say: Say) -> None:
        self._git = git
        self.job = job
        self._around = around
        self._say = say

    async def all(self) -> None:
        """Take every step that is not done. Raises the error of the one that fails, after it was told."""
        steps: dict[StepName, Callable[[], Awaitable[tuple[bool, str]]]] = {
            "preflight": self._preflight,
            "commit": self._commit,
            "fetch": self._fetch,
            "integrate": self._integrate,
            "push": self._push,
            "pull-request": self._pull_request,
            "checks": self._checks,
        }
        for name, step in steps.items():
            if self.job.step(name).state in ("done", "skipped"):
                continue
            await self._take(name, step)

    async def _take(self, name: StepName, step: Callable[[], Awaitable[tuple[bool, str]]]) -> None:
        await self._tell(self.job.with_step(name, "running", ""))
        try:
            is_done, text = await step()
        except AidpError as error:
            await self._tell(self.job.with_step(name, "failed", "", error))
            raise
        await self._tell(self.job.with_step(name, "done" if is_done else "skipped", text))

    async def _tell(self, job: ShipJob) -> None:
        self.job = job
        await self._say(job)

    async def _preflight(self) -> tuple[bool, str]:
        """Check what is staged, and keep which tree that was."""
        if self.job.commit is not None or await self._is_committed():
            return False, "already committed"
        tree = await work.index_tree(self._git)
        asked = self.job.asked
        if asked.tree is not None and tree != asked.tree:
            raise IndexChanged(
                "What is staged has changed since it was checked.", next_step="Look at the changes and ship again."
            )
        stops, looked_at = [], 0
        async for result in self._around.preflight(self._git):
            looked_at += result.skipped is None
            stops += [one for one in result.findings if one.severity == "block" and one.id not in asked.acknowledge]
        if stops:
            raise ChecksFound(
                stops[0].message if len(stops) == 1 else f"{stops[0].message} And {len(stops) - 1} more.",
                next_step="Mend it, or record why it may stay, and go on.",
                findings=[one.id for one in stops],
            )
        head = await look.head(self._git)
        await self._tell(replace(self.job, tree=tree, parent=head.commit if head else ""))
        return True, f"{looked_at} checks"

    async def _commit(self) -> tuple[bool, str]:
        """Commit what was checked, unless there is nothing to commit or it was done before a crash."""
        operation = self._git.layout.operation()
        if operation not in (None, "merge"):
            raise Conflict(
                f"A {operation} is under way in this repository.", next_step="Finish it or take it back, then ship."
            )
        if self.job.asked.branch:
            await look.switch(self._git, self.job.asked.branch)
        branch = self._git.layout.branch()
        if branch is None:
            raise Conflict(
                "No branch is checked out, so there is nothing to push to.",
                next_step="Name a branch to commit on.",
            )
        await self._tell(replace(self.job, branch=branch))
        if self.job.commit is not None or await self._is_committed():
            head = await look.head(self._git)
            assert head is not None, "it was committed"
            await self._tell(replace(self.job, commit=self.job.commit or head.commit))
            return True, _joined(f"{head.commit[:8]} is there", await self._tell_runs())
        if not await look.has_staged(self._git):
            head = await look.head(self._git)
            if head is None:
                raise NothingToCommit(
                    "There is nothing to ship yet.", next_step="Stage some changes and write a message."
                )
            await self._tell(replace(self.job, commit=head.commit))
            return False, "nothing staged"
        runs, note = await self._around.runs.of(self._git) if self.job.asked.with_runs else ((), "")
        await self._tell(replace(self.job, runs=run_names.all_of(self.job.message, runs)))
        known = run_names.named_in(self.job.message)
        try:
            commit = await work.commit(
                self._git,
                self.job.message,
                trailers=[(TRAILER, run) for run in self.job.runs if run not in known],
                author=await self._author(),
                expected_tree=self.job.tree,
            )
        except HookChangedFiles as error:
            # It is made, and whoever goes on has looked at it
            await self._tell(replace(self.job, commit=error.details["commit"]))
            raise
        await self._tell(replace(self.job, commit=commit))
        return True, _joined(commit[:8], run_names.said(self.job.runs), note, await self._tell_runs())

    async def _tell_runs(self) -> str:
        """Tell the runs of the commit; return a note where that failed."""
        return await self._around.runs.tell(self.job.runs, self.job.commit) if self.job.commit else ""

    async def _is_committed(self) -> bool:
        """Return whether the commit was made although nobody could say so: HEAD is what was to become of its parent."""
        if self.job.tree is None or self.job.parent is None:
            return False
        found = await look.head(self._git)
        return found is not None and found.tree == self.job.tree and (found.parent or "") == self.job.parent

    async def _fetch(self) -> tuple[bool, str]:
        remote = await look.remote(self._git)
        if remote is None:
            return False, _NO_REMOTE
        await self._fetch_from(remote.name)
        return True, remote.name

    async def _fetch_from(self, remote: str) -> None:
        async with contextlib.aclosing(work.fetch(self._git, remote)) as progress:
            async for one in progress:
                now = next(step.name for step in self.job.steps if step.state == "running")
                await self._tell(self.job.with_step(now, "running", one.text))

    async def _integrate(self) -> tuple[bool, str]:
        """Take in what others pushed; a conflict is left as git leaves it, for whoever resolves it."""
        if await look.remote(self._git) is None:
            return False, _NO_REMOTE
        is_rebase = self._git.layout.operation() == "rebase" or self.job.asked.how == "rebase"
        if self._git.layout.operation() is not None:
            await work.carry_on(self._git, author=await self._author())
        elif not await look.is_behind(self._git):
            return False, "nothing new"
        else:
            await work.integrate(self._git, self.job.asked.how, author=await self._author())
        head = await look.head(self._git)
        await self._tell(replace(self.job, commit=head.commit if head else None))
        note = await self._tell_runs() if is_rebase else ""  # a merge leaves the commit that it joins as it is
        return True, _joined("took in what others pushed", note)

    async def _author(self) -> Author | None:
        """Whom commits name where git knows nobody."""
        if not (await self._git.read("config", "--get", "user.email", check=False)).returncode:
            return None
        return await self._around.author(await look.remote(self._git))

    async def _push(self) -> tuple[bool, str]:
        remote = await look.remote(self._git)
        branch = self.job.branch
        assert branch is not None, "it was committed on one"
        if remote is None:
            return False, _NO_REMOTE
        moved, may_renew = 0, True
        while True:
            try:
                async with contextlib.aclosing(
                    work.push(self._git, remote.name, branch, set_upstream=True)
                ) as progress:
                    async for one in progress:
                        await self._tell(self.job.with_step("push", "running", one.text))
                return True, f"{remote.name}/{branch}"
            except RemoteMoved:
                moved += 1
                if moved == _TRIES:
                    raise
                await self._fetch_from(remote.name)
                await self._integrate()
            except GitAuthenticationFailed as error:
                # Git told the helper to forget that token: should it have been renewed meanwhile, the next try gets the
                # new one. What the account may not do, another token of it may not either.
                if not may_renew or "output" in error.details:
                    raise
                may_renew = False

    async def _pull_request(self) -> tuple[bool, str]:
        opened = self.job.asked.open
        remote = await look.remote(self._git)
        if opened is None or remote is None:
            return False, "not asked for"
        forge = await self._around.forge(remote)
        if forge is None or remote.full_name is None:
            raise Unavailable(
                "Nobody is signed in where this repository lies, so no pull request can be opened.",
                next_step="Add an account, then go on; what was pushed is there.",
            )
        branch = self.job.branch or ""
        base = opened.base or (await forge.repository(remote.full_name)).default_branch or "main"
        if base == branch:
            return False, f"{branch} is the branch that it would go to"
        found = await forge.find_pull_request(remote.full_name, branch)
        if found is None:
            title = opened.title.strip() or self.job.message.strip().split("\n", 1)[0] or branch
            new = NewPullRequest(title, opened.body, branch, base, opened.draft, opened.reviewers, opened.labels)
            found = await forge.create_pull_request(remote.full_name, new)
        await self._tell(replace(self.job, pull_request=found))
        return True, f"#{found.number}"

    async def _checks(self) -> tuple[bool, str]:
        """Follow the forge's checks until they are over, or for as long as one waits."""
        remote, commit = await look.remote(self._git), self.job.commit
        forge = await self._around.forge(remote) if remote is not None else None
        if forge is None or remote is None or remote.full_name is None or commit is None:
            return False, "not followed"
        pause, waited, looks = _FIRST_LOOK_S, 0.0, 0
        while True:
            checks = await forge.checks(remote.full_name, commit)
            looks += 1
            await self._tell(self.job.with_step("checks", "running", _in_words(checks)))
            if checks.state == "failure":
                failed = [check.name for check in checks.checks if check.state == "failure"]
                raise ChecksFailed(
                    f"{', '.join(failed[:3])} failed.", next_step="Read its log, mend it and ship again.", checks=failed
                )
            if checks.state == "success" or (checks.state == "none" and looks > 1):
                return checks.state == "success", _in_words(checks)
            if waited >= self._around.checks_wait_s:
                return False, f"{_in_words(checks)}; not followed further"
            await asyncio.sleep(min(pause, max(0.05, self._around.checks_wait_s - waited)))
            waited += pause
            pause = min(_LAST_LOOK_S, pause * 1.5)


def _joined(*parts: str) -> str:
    return " · ".join(filter(None, parts))


def _in_words(checks: Checks) -> str:
    if checks.state == "none":
        return "no checks"
    over = sum(check.state != "pending" for check in checks.checks)
    return f"{over} of {len(checks.checks)} checks done"
