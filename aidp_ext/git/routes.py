"""The slice's endpoints: parse, call the service, emit."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from aidp_ext.core.errors import (
    Conflict,
    InvalidRequest,
    NotARepository,
    NotFound,
    ProcessError,
    RateLimited,
    StorageError,
    Unavailable,
    UpstreamError,
)
from aidp_ext.core.web import Api, Route, endpoint
from aidp_ext.git import wire
from aidp_ext.git.models import Account, CheckResult, RepositoryPage, RepositoryState
from aidp_ext.git.ship.job import ShipAsked, ShipJob

if TYPE_CHECKING:
    from aidp_ext.git.messages import Words
    from aidp_ext.git.service import GitService

#: What git may answer.
_GIT = (NotFound, Conflict, ProcessError, StorageError, UpstreamError)
#: What a forge may answer.
_FORGE = (*_GIT, RateLimited, Unavailable)
_HERE = {"path": "analysis"}


class GitApi(Api):
    """What the endpoints have in common."""

    @property
    def git(self) -> GitService:
        """The host's service, made when the first one asks: a server of which nobody does need not load it."""
        service: GitService = self.settings["aidp_git"]()
        return service

    async def send(self, events: AsyncGenerator[Any, None]) -> None:
        """Send values as server-sent events."""
        await self.stream(_Events(events))


class _Events:
    """Values as server-sent events."""

    def __init__(self, source: AsyncGenerator[Any, None]) -> None:
        self._source = source
        self._made = self._encoded()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._made

    async def aclose(self) -> None:
        """End the source."""
        await self._made.aclose()
        await self._source.aclose()

    async def _encoded(self) -> AsyncGenerator[bytes, None]:
        async for event in self._source:
            yield b"data: " + msgspec.json.encode(event) + b"\n\n"
        yield b"data: [DONE]\n\n"


# ---- a repository


class State(GitApi):
    """``git/state``."""

    @endpoint("read", query=wire.StateQuery, gives=RepositoryState | wire.Unchanged | wire.Nowhere, raises=_GIT)
    async def get(self) -> None:
        """Return how a repository stands, that it stands as it did, or that there is none."""
        asked = self.query(wire.StateQuery)
        try:
            found = await self.git.state(asked.path, asked.known)
        except NotARepository as error:
            self.reply(wire.Nowhere(error.message, error.next_step))
            return
        self.reply(wire.Unchanged(asked.known) if found is None else found)


class Stage(GitApi):
    """``git/stage``."""

    @endpoint(
        "write",
        takes=wire.StageAsked,
        example={**_HERE, "files": ["prep.py"], "staged": True},
        gives=RepositoryState,
        raises=_GIT,
    )
    async def post(self) -> None:
        """Stage files whole, or take them out of what is staged; the files themselves stay as they are."""
        asked = self.body(wire.StageAsked)
        self.reply(await self.git.stage(asked.path, asked.files, asked.staged))


class Pull(GitApi):
    """``git/pull``."""

    @endpoint("execute", takes=wire.PullAsked, example=_HERE, gives=RepositoryState, raises=_FORGE)
    async def post(self) -> None:
        """Take in what others pushed; a conflict is left for the user to resolve, or to take back."""
        asked = self.body(wire.PullAsked)
        self.reply(await self.git.pull(asked.path, asked.how))


class Branch(GitApi):
    """``git/branch``."""

    @endpoint(
        "write", takes=wire.BranchAsked, example={**_HERE, "name": "feature/age"}, gives=RepositoryState, raises=_GIT
    )
    async def post(self) -> None:
        """Check out a branch, made from here where there is none."""
        asked = self.body(wire.BranchAsked)
        self.reply(await self.git.branch(asked.path, asked.name))


def _simple(name: str, action: Callable[[GitService, str], Any], doc: str) -> type[GitApi]:
    """Return a route that does one thing to a repository and answers how it stands then."""

    @endpoint("write", takes=wire.PathAsked, example=_HERE, gives=RepositoryState, raises=_GIT)
    async def post(self: GitApi) -> None:
        self.reply(await action(self.git, self.body(wire.PathAsked).path))

    post.__doc__ = doc
    return type(name, (GitApi,), {"post": post, "__doc__": f"``git/{name.lower()}``."})


class Undo(GitApi):
    """``git/undo``."""

    @endpoint("write", takes=wire.PathAsked, example=_HERE, gives=wire.UndoneSaid, raises=_GIT)
    async def post(self) -> None:
        """Take back the last commit, which is on no remote; its changes stay staged, its message is returned."""
        self.reply(wire.UndoneSaid(*await self.git.undo(self.body(wire.PathAsked).path)))


Continue = _simple(
    "Continue",
    lambda git, path: git.carry_on(path),
    "Go on with the merge or rebase that is under way, once its conflicts are resolved.",
)
Abort = _simple("Abort", lambda git, path: git.abort(path), "Take back the merge or rebase that is under way.")
Unlock = _simple(
    "Unlock", lambda git, path: git.unlock(path), "Remove the index.lock that a git left behind which is gone."
)
Init = _simple("Init", lambda git, path: git.init(path), "Make a repository of a folder of the workspace.")


# ---- checks and words


class Preflight(GitApi):
    """``git/preflight``."""

    @endpoint("execute", takes=wire.PathAsked, example=_HERE, streams=wire.PreflightEvent, raises=_GIT)
    async def post(self) -> None:
        """Check what is staged, and stream what each check finds; nothing is changed."""
        await self.send(self._events(self.body(wire.PathAsked).path))

    async def _events(self, path: str) -> AsyncGenerator[wire.PreflightEvent, None]:
        async for result in self.git.preflight(path):
            if isinstance(result, CheckResult):
                yield wire.CheckEvent(result)
            else:
                yield wire.CheckedEvent(*result)


class Fix(GitApi):
    """``git/fix``."""

    @endpoint(
        "write",
        takes=wire.FixAsked,
        example={**_HERE, "finding": "outputs-1", "fix": "strip"},
        gives=RepositoryState,
        raises=_GIT,
    )
    async def post(self) -> None:
        """Do about a finding what its fix says. Outputs are stripped from what is staged, never from the file."""
        asked = self.body(wire.FixAsked)
        self.reply(await self.git.fix(asked.path, asked.finding, asked.fix))


class Waive(GitApi):
    """``git/waive``."""

    @endpoint(
        "write",
        takes=wire.WaiveAsked,
        example={**_HERE, "finding": "secrets-1", "reason": "a key of the documentation"},
        gives=RepositoryState,
        raises=_GIT,
    )
    async def post(self) -> None:
        """Record in the repository why a finding may stay, by whom and when."""
        asked = self.body(wire.WaiveAsked)
        self.reply(await self.git.waive(asked.path, asked.finding, asked.reason, self.who()))


class Message(GitApi):
    """``git/message``."""

    @endpoint("execute", takes=wire.MessageAsked, example=_HERE, streams=wire.MessageEvent, raises=_FORGE)
    async def post(self) -> None:
        """Ask a model for a commit's message or a pull request's text, and stream it; secrets stop it before."""
        asked = self.body(wire.MessageAsked)
        caller = (self.who(), self.teams())
        words = await self.git.message(asked.path, asked.what, asked.base, caller)
        await self.send(_written(words))


async def _written(words: Words) -> AsyncGenerator[wire.MessageEvent, None]:
    from aidp_ext.git.messages import tidied

    said: list[str] = []
    try:
        async for text in words:
            said.append(text)
            yield wire.TextEvent(text)
        yield wire.WrittenEvent(tidied("".join(said)), words.route, words.locality)
    finally:
        await words.aclose()


# ---- ship


class Ship(GitApi):
    """``git/ship``."""

    @endpoint("read", query=wire.PathAsked, gives=wire.JobSaid, raises=_GIT)
    async def get(self) -> None:
        """Return the last job of a repository."""
        self.reply(wire.JobSaid(await self.git.job(self.query(wire.PathAsked).path)))

    @endpoint(
        "execute",
        takes=wire.ShipQuestion,
        example={**_HERE, "message": "Impute age by title", "open": {"title": "Impute age by title"}},
        streams=wire.JobEvent,
        raises=_FORGE,
    )
    async def post(self) -> None:
        """Check, commit, push and open a pull request, and stream how it stands.

        The job goes on when the connection is closed; `git/ship/cancel` stops it.
        """
        asked = self.body(wire.ShipQuestion)
        opened = asked.open.value() if asked.open is not None else None
        value = ShipAsked(
            message=asked.message,
            tree=asked.tree,
            branch=asked.branch or None,
            open=opened,
            how=asked.how or self.git.pull_how,
            acknowledge=tuple(asked.acknowledge),
            with_runs=asked.with_runs,
        )
        await self.send(_jobs(await self.git.ship(asked.path, value)))

    @endpoint("write", query=wire.PathAsked, gives=wire.JobSaid, raises=_GIT)
    async def delete(self) -> None:
        """Forget the job of a repository, which is over."""
        await self.git.forget(self.query(wire.PathAsked).path)
        self.reply(wire.JobSaid(None))


async def _jobs(jobs: AsyncGenerator[ShipJob, None]) -> AsyncGenerator[wire.JobEvent, None]:
    try:
        async for job in jobs:
            yield wire.JobEvent(job)
    finally:
        await jobs.aclose()


class ShipResume(GitApi):
    """``git/ship/resume``."""

    @endpoint("execute", takes=wire.PathAsked, example=_HERE, streams=wire.JobEvent, raises=_FORGE)
    async def post(self) -> None:
        """Go on with a job that failed, was stopped or interrupted, and stream how it stands."""
        await self.send(_jobs(await self.git.resume(self.body(wire.PathAsked).path)))


class ShipCancel(GitApi):
    """``git/ship/cancel``."""

    @endpoint("execute", takes=wire.PathAsked, example=_HERE, gives=wire.JobSaid, raises=_GIT)
    async def post(self) -> None:
        """Stop the job of a repository; what it has done stays."""
        self.reply(wire.JobSaid(await self.git.cancel(self.body(wire.PathAsked).path)))


class Runs(GitApi):
    """``git/runs``."""

    @endpoint("read", query=wire.PathAsked, gives=wire.RunsSaid, raises=_GIT)
    async def get(self) -> None:
        """Return the runs of experiments that a commit of what is staged will name."""
        self.reply(wire.RunsSaid(*await self.git.runs(self.query(wire.PathAsked).path)))


class Request(GitApi):
    """``git/pull-request``."""

    @endpoint("read", query=wire.PathAsked, gives=wire.RequestSaid, raises=_FORGE)
    async def get(self) -> None:
        """Return the pull request of the branch, and how the checks of its last commit stand."""
        self.reply(wire.RequestSaid(*await self.git.request(self.query(wire.PathAsked).path)))


class Suggestions(GitApi):
    """``git/suggestions``."""

    @endpoint("read", query=wire.PathAsked, gives=wire.SuggestionsSaid, raises=_FORGE)
    async def get(self) -> None:
        """Return what a pull request could say: title, base, reviewers, labels, template."""
        title, base, bases, reviewers, labels, template = await self.git.suggestions(self.query(wire.PathAsked).path)
        self.reply(wire.SuggestionsSaid(title, base, tuple(bases), tuple(reviewers), tuple(labels), template))


# ---- import and accounts


class Repositories(GitApi):
    """``git/repositories``."""

    @endpoint("read", query=wire.RepositoriesQuery, gives=RepositoryPage, raises=_FORGE)
    async def get(self) -> None:
        """Return some of the user's repositories on a forge, the ones used last first."""
        asked = self.query(wire.RepositoriesQuery)
        self.reply(await self.git.repositories(asked.host, asked.q, asked.page))


class Clone(GitApi):
    """``git/clone``."""

    @endpoint(
        "execute",
        takes=wire.CloneAsked,
        example={"url": "https://github.com/ana/titanic", "mode": "auto"},
        streams=wire.CloneEvent,
        raises=_FORGE,
    )
    async def post(self) -> None:
        """Clone into the workspace, and stream how far it is; closing the connection stops it and leaves nothing."""
        await self.send(self._events(self.body(wire.CloneAsked)))

    async def _events(self, asked: wire.CloneAsked) -> AsyncGenerator[wire.CloneEvent, None]:
        notes: list[str] = []
        async for progress in self.git.clone(asked.url, asked.folder, asked.name, asked.mode):
            if progress.phase == "note":
                notes.append(progress.text)
            yield wire.ProgressEvent(progress.phase, progress.percent, progress.text)
        yield wire.ClonedEvent(*self.git.cloned(asked.url, asked.folder, asked.name), tuple(notes))


class Accounts(GitApi):
    """``git/accounts``."""

    @endpoint("read", gives=wire.AccountsSaid)
    async def get(self) -> None:
        """Return who the user is on each forge. No token is told."""
        self.reply(wire.AccountsSaid(tuple(await self.git.accounts.list())))

    @endpoint(
        "write",
        takes=wire.AccountAsked,
        example={"host": "gitlab.com", "token": "a-personal-access-token", "kind": "gitlab"},
        gives=Account,
        raises=_FORGE,
    )
    async def post(self) -> None:
        """Keep a token for a forge, once the forge has said whose it is."""
        asked = self.body(wire.AccountAsked)
        accounts = self.git.accounts
        if asked.url is None and not asked.host:
            raise InvalidRequest("Say for which forge this token is.", field="host")
        if asked.url is None:
            self.reply(await accounts.add(asked.host, asked.token, asked.kind))
        elif asked.kind is None:
            raise InvalidRequest("Say what this server is: github or gitlab.", field="kind")
        else:
            self.reply(await accounts.add_at(asked.url, asked.token, asked.kind))


class AccountAt(GitApi):
    """``git/accounts/<host>``."""

    @endpoint("write", gives=wire.AccountsSaid, raises=(NotFound, Conflict, StorageError))
    async def delete(self, host: str) -> None:
        """Forget the token for a forge."""
        await self.git.accounts.remove(host)
        self.reply(wire.AccountsSaid(tuple(await self.git.accounts.list())))


class Device(GitApi):
    """``git/accounts/device``."""

    @endpoint("write", takes=wire.HostAsked, example={"host": "github.com"}, gives=wire.DeviceCodeSaid, raises=_FORGE)
    async def post(self) -> None:
        """Return a code that signs in when it is entered on the forge's page."""
        begun = await self.git.accounts.begin_device(self.body(wire.HostAsked).host)
        self.reply(
            wire.DeviceCodeSaid(begun.id, begun.user_code, begun.verification_uri, begun.interval_s, begun.expires_in_s)
        )


class DeviceAt(GitApi):
    """``git/accounts/device/<id>``."""

    @endpoint("write", gives=wire.DeviceSaid, raises=_FORGE)
    async def post(self, id: str) -> None:
        """Ask whether the code was entered; when it was, the token is kept."""
        self.reply(wire.DeviceSaid(*await self.git.accounts.poll_device(id)))


ROUTES: tuple[Route, ...] = (
    (r"git/state", State),
    (r"git/stage", Stage),
    (r"git/pull", Pull),
    (r"git/branch", Branch),
    (r"git/undo", Undo),
    (r"git/continue", Continue),
    (r"git/abort", Abort),
    (r"git/unlock", Unlock),
    (r"git/init", Init),
    (r"git/preflight", Preflight),
    (r"git/fix", Fix),
    (r"git/waive", Waive),
    (r"git/message", Message),
    (r"git/ship", Ship),
    (r"git/ship/resume", ShipResume),
    (r"git/ship/cancel", ShipCancel),
    (r"git/runs", Runs),
    (r"git/pull-request", Request),
    (r"git/suggestions", Suggestions),
    (r"git/repositories", Repositories),
    (r"git/clone", Clone),
    (r"git/accounts", Accounts),
    (r"git/accounts/device", Device),
    (r"git/accounts/device/([^/]+)", DeviceAt),
    (r"git/accounts/([^/]+)", AccountAt),
)
