"""The AI router's own endpoints, and the tables of all: parse, call the service, emit."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

import msgspec

from aidp_ext.ai import contract, dialect, views
from aidp_ext.ai.base_routes import CHAT, AiApi, not_too_deep
from aidp_ext.ai.dialect_routes import ChatCompletions, Completions, Embeddings, Messages, ModelByName, Models
from aidp_ext.ai.rules import WorkspaceRules
from aidp_ext.ai.service import Progress
from aidp_ext.core.errors import (
    Conflict,
    NotFound,
    PolicyRefused,
    StorageError,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
)
from aidp_ext.core.web import Route, endpoint


class RouteDecision(AiApi):
    """``route``: the decision without the call."""

    for_kernels = True

    @endpoint(
        "read",
        takes=dialect.RouteQuestion,
        example={"task": "complete", "prompt_tokens": 900, "paths": ["data/people.csv"]},
        gives=contract.RouteSaid,
        raises=(StorageError,),
    )
    async def post(self) -> None:
        """Say which model would answer, and why each other one would not."""
        request = dialect.route_request(self.body(dialect.RouteQuestion))
        decision = await self.ai.route(request, self.caller())
        error = None
        if decision.best is None:
            error = await self.ai.explain_none(request, decision, self.caller())
            error.suggest(self.ai.next_step())
        self.reply(views.route(decision, request.task, self.ai, error))


class PreviewRequest(AiApi):
    """``preview``: what would leave, exactly."""

    for_kernels = True

    @endpoint(
        "read",
        takes=dialect.Request,
        example=CHAT,
        gives=contract.PreviewSaid,
        request_headers=contract.RequestHeaders,
        raises=(StorageError,),
        statuses=(413,),
    )
    async def post(self) -> None:
        """Show what a request would send and to whom; nothing is sent. The body is a request of any dialect."""
        self.check_size()
        body = self.document()
        kind, form, usual = dialect.dialect_of(body)
        with not_too_deep():
            request = self.routed(self.fit(body, form), usual)
            caller = self.caller(request.task)
            shown = await self.ai.preview(kind, request, body, caller, len(self.request.body))
        self.reply(views.preview(shown))


class Providers(AiApi):
    """``providers``."""

    @endpoint("read", query=contract.ProvidersQuery, gives=contract.ProvidersSaid, raises=(StorageError,))
    async def get(self) -> None:
        """List the model servers with their state and models; ``?refresh=1`` asks each of them again."""
        statuses = await self.ai.providers(refresh=self.query(contract.ProvidersQuery).refresh)
        key_store = await self.ai.key_store()
        self.reply(
            {
                "mode": self.ai.mode,
                "keys_allowed": key_store is not None,
                "key_store": key_store,
                "providers": [views.provider(status, self.ai) for status in statuses],
            }
        )


class ProviderTrial(AiApi):
    """``providers/<name>/test``."""

    @endpoint("execute", gives=contract.TrialSaid, raises=(NotFound,))
    async def post(self, name: str) -> None:
        """Ask a provider anew and make one tiny call."""
        self.reply(views.trial(await self.ai.try_out(name, self.caller())))


class Keys(AiApi):
    """``keys/<provider>``: a key goes in and never comes out."""

    @endpoint(
        "write",
        takes=dialect.KeyChange,
        example={"key": "sk-…"},
        gives=contract.KeyChanged,
        raises=(NotFound, StorageError),
    )
    async def put(self, provider: str) -> None:
        """Keep a provider's key."""
        await self.ai.set_key(provider, self.body(dialect.KeyChange).key, self.caller())
        self.reply({"provider": provider, "source": self.ai.key_source(provider)})

    @endpoint("write", gives=contract.KeyChanged, raises=(NotFound, StorageError))
    async def delete(self, provider: str) -> None:
        """Forget a provider's key."""
        await self.ai.set_key(provider, None, self.caller())
        self.reply({"provider": provider, "source": self.ai.key_source(provider)})


class Pull(AiApi):
    """``pull``."""

    @endpoint(
        "execute",
        takes=dialect.PullRequest,
        example={"model": "qwen2.5-coder:1.5b"},
        streams=contract.PullReport,
        raises=(NotFound, Conflict, PolicyRefused, StorageError, UpstreamError, UpstreamTimeout, UpstreamRejected),
    )
    async def post(self) -> None:
        """Download a model, reporting as events; closing the connection stops it."""
        wanted = self.body(dialect.PullRequest)
        reports = self.ai.pull(wanted.provider, wanted.model, self.caller())
        first = await anext(reports, None)  # what fails at once is an error, not a stream
        await self.stream(_as_events(first, reports))


class UsageReport(AiApi):
    """``usage``."""

    @endpoint("read", query=contract.UsageQuery, gives=contract.UsageSaid, raises=(StorageError,))
    async def get(self) -> None:
        """Return calls, tokens and money by day, user, team, model and task, and the budgets."""
        days = self.query(contract.UsageQuery).days
        caller = self.caller()
        report = await self.ai.usage(days, None if self.sees_everybody() else caller.name)
        try:
            budgets = await self.ai.budgets(caller)
        except StorageError:
            budgets = ()
        self.reply(views.usage(report, budgets))


class Calls(AiApi):
    """``calls``."""

    for_kernels = True

    @endpoint("read", query=contract.CallsQuery, gives=contract.CallsSaid, raises=(StorageError,))
    async def get(self) -> None:
        """Return the latest calls with their routes and reasons, newest first."""
        limit = self.query(contract.CallsQuery).limit
        user = None if self.sees_everybody() else self.who()
        self.reply({"calls": [views.call(call) for call in await self.ai.recent(limit, user)]})


class PrivacyRules(AiApi):
    """``rules``: the workspace's."""

    @endpoint("read", gives=contract.RulesSaid)
    async def get(self) -> None:
        """Return what never leaves, by the workspace's and the admin's rules."""
        self.reply(views.rules(self.ai))

    @endpoint(
        "write",
        takes=dialect.RulesChange,
        example={"never_leave": ["data/raw/", "*.csv"], "privacy": "redact"},
        gives=contract.RulesSaid,
        raises=(Conflict, StorageError),
    )
    async def put(self) -> None:
        """Write the workspace's rules into its aidp.toml."""
        wanted = self.body(dialect.RulesChange)
        self.ai.set_rules(WorkspaceRules(tuple(wanted.never_leave), wanted.privacy), self.caller())
        self.reply(views.rules(self.ai))


class FeedbackCounts(AiApi):
    """``feedback``."""

    @endpoint(
        "execute",
        takes=dialect.Feedback,
        example={"route": "ollama/qwen2.5-coder:1.5b", "accepted": 1},
        gives=contract.Nothing,
    )
    async def post(self) -> None:
        """Count suggestions that were taken over and dropped, for the model that made them."""
        said = self.body(dialect.Feedback)
        self.ai.feedback(self.caller(), said.route, said.task, said.accepted, said.rejected)
        self.reply({})


class CurrentMode(AiApi):
    """``mode``."""

    @endpoint("read", gives=contract.ModesSaid)
    async def get(self) -> None:
        """Return the mode and the ones to choose from."""
        self.reply(views.modes(self.ai.mode))

    @endpoint(
        "write", takes=dialect.ModeChange, example={"mode": "local"}, gives=contract.ModesSaid, raises=(StorageError,)
    )
    async def put(self) -> None:
        """Take another mode; it is kept over restarts."""
        self.ai.set_mode(self.body(dialect.ModeChange).mode, self.caller())
        self.reply(views.modes(self.ai.mode))


#: What every host serves.
ROUTES: tuple[Route, ...] = (
    (r"ai/v1/chat/completions", ChatCompletions),
    (r"ai/v1/completions", Completions),
    (r"ai/v1/embeddings", Embeddings),
    (r"ai/v1/messages", Messages),
    (r"ai/v1/models", Models),
    (r"ai/v1/models/(.+)", ModelByName),
    (r"ai/route", RouteDecision),
    (r"ai/preview", PreviewRequest),
    (r"ai/providers", Providers),
    (r"ai/usage", UsageReport),
    (r"ai/calls", Calls),
    (r"ai/feedback", FeedbackCounts),
)
#: What only a user's own server serves: in the hub mode, keys and rules are the admin's.
USER_ROUTES: tuple[Route, ...] = (
    (r"ai/mode", CurrentMode),
    (r"ai/providers/([^/]+)/test", ProviderTrial),
    (r"ai/keys/([^/]+)", Keys),
    (r"ai/pull", Pull),
    (r"ai/rules", PrivacyRules),
)


async def _as_events(first: Progress | None, reports: AsyncIterator[Progress]) -> AsyncGenerator[bytes, None]:
    try:
        if first is not None:
            yield _event(first)
        async for report in reports:
            yield _event(report)
        yield b"data: [DONE]\n\n"
    finally:
        if isinstance(reports, AsyncGenerator):
            await reports.aclose()


def _event(report: Progress) -> bytes:
    return b"data: " + msgspec.json.encode(views.progress(report)) + b"\n\n"
