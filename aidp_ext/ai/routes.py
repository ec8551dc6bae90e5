"""The AI router's endpoints: parse, call the service, emit."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any
from urllib.parse import unquote

import msgspec
from tornado import web

from aidp_ext.ai import contract, dialect, views
from aidp_ext.ai.dialect import Request
from aidp_ext.ai.models import Answer, Caller, Dialect, Privacy, RouteRequest, Task
from aidp_ext.ai.rules import WorkspaceRules
from aidp_ext.ai.service import AiService, Progress
from aidp_ext.core.errors import (
    AidpError,
    BudgetExhausted,
    Conflict,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    NoModelAvailable,
    NotFound,
    PolicyRefused,
    RateLimited,
    StorageError,
    Superseded,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
)
from aidp_ext.core.web import Api, Route, endpoint, error_body

_FORWARDED = ("X-AIDP-Task", "X-AIDP-Privacy", "X-AIDP-Path", "X-AIDP-Conversation")
_CONVERSATION = re.compile(contract.CONVERSATION)
_MOST_PATHS = 1000
_CHAT = {"messages": [{"role": "user", "content": "What does df.explode do?"}], "max_tokens": 200}
_NO_MODEL = (ModelNotFound, PolicyRefused, NoModelAvailable, BudgetExhausted, StorageError, UpstreamError)
#: What a request for an answer may raise.
ANSWERING = (*_NO_MODEL, ContextTooLong, RateLimited, Superseded, UpstreamTimeout, UpstreamRejected)


class AiApi(Api):
    """What the AI endpoints have in common."""

    @property
    def ai(self) -> AiService:
        """The host's router."""
        service: AiService = self.settings["aidp_ai"]
        return service

    def caller(self, task: Task | None = None) -> Caller:
        """Return who asks, with the headers that a gateway must see."""
        given = {name: self.request.headers[name] for name in _FORWARDED if name in self.request.headers}
        if "anthropic-beta" in self.request.headers:  # what a client of Anthropic's opts in to
            given["anthropic-beta"] = self.request.headers["anthropic-beta"]
        headers = given if task is None else {**given, "X-AIDP-Task": str(task)}
        return Caller(self.who(), headers, self.teams())

    def check_size(self) -> None:
        """Refuse a body that is too large before any time goes into reading it."""
        limit = self.ai.config.max_prompt_bytes
        if len(self.request.body) > limit:
            raise web.HTTPError(413, f"The request is larger than {limit:,} bytes.")

    def routed(self, parsed: Request, usual: Task) -> RouteRequest:
        """Return the policy's view of the request: its body's, with the headers'."""
        headers = self.request.headers
        return RouteRequest(
            task=dialect.header(Task, "X-AIDP-Task", headers.get("X-AIDP-Task")) or usual,
            model=parsed.model,
            privacy=dialect.header(Privacy, "X-AIDP-Privacy", headers.get("X-AIDP-Privacy")),
            needs=parsed.needs(),
            prompt_tokens=parsed.tokens(),
            output_tokens=parsed.output_tokens(),
            paths=_paths(headers.get("X-AIDP-Path")),
            is_text=parsed.is_text(),
            conversation=_conversation(headers.get("X-AIDP-Conversation")),
        )

    async def answer(self, kind: Dialect, form: type[Request], usual: Task) -> None:
        """Answer the request in its dialect."""
        self.check_size()
        body = self.document()
        with _not_too_deep():
            request = self.routed(self.fit(body, form), usual)
            answer = await self.ai.answer(kind, request, body, self.caller(request.task), len(self.request.body))
        await self.emit(answer)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write the one error body; an error of a call says which, and how many models were asked for it."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        if isinstance(error, AidpError) and "attempts" in error.details:
            self.set_header("X-AIDP-Attempts", str(error.details["attempts"]))
            self.set_header("X-AIDP-Call", error.details["call"])
        super().write_error(status_code, **kwargs)

    async def emit(self, answer: Answer) -> None:
        """Send an answer in the form that it has."""
        if answer.events is not None:
            await self.stream(answer.events, headers=answer.headers)
        else:
            self.reply(answer.document, headers=answer.headers)


class ChatCompletions(AiApi):
    """``v1/chat/completions``."""

    for_kernels = True

    @endpoint(
        "execute",
        takes=dialect.ChatRequest,
        example=_CHAT,
        gives=contract.ChatAnswer,
        streams=contract.ChatChunk,
        request_headers=contract.RequestHeaders,
        answer_headers=contract.AnswerHeaders,
        raises=ANSWERING,
        statuses=(413,),
    )
    async def post(self) -> None:
        """Answer a chat."""
        await self.answer(Dialect.CHAT, dialect.ChatRequest, Task.CHAT)


class Completions(AiApi):
    """``v1/completions``, with ``suffix`` for fill in the middle."""

    for_kernels = True

    @endpoint(
        "execute",
        takes=dialect.CompletionRequest,
        example={"prompt": "def add(a, b):", "suffix": "\n\nadd(1, 2)", "max_tokens": 64},
        gives=contract.CompletionAnswer,
        streams=contract.ChatChunk,
        request_headers=contract.RequestHeaders,
        answer_headers=contract.AnswerHeaders,
        raises=ANSWERING,
        statuses=(413,),
    )
    async def post(self) -> None:
        """Complete a text."""
        await self.answer(Dialect.COMPLETIONS, dialect.CompletionRequest, Task.COMPLETE)


class Embeddings(AiApi):
    """``v1/embeddings``."""

    for_kernels = True

    @endpoint(
        "execute",
        takes=dialect.EmbeddingsRequest,
        example={"input": ["a penguin", "a notebook"]},
        gives=contract.EmbeddingsAnswer,
        request_headers=contract.RequestHeaders,
        answer_headers=contract.AnswerHeaders,
        raises=ANSWERING,
        statuses=(413,),
    )
    async def post(self) -> None:
        """Make embeddings."""
        await self.answer(Dialect.EMBEDDINGS, dialect.EmbeddingsRequest, Task.EMBED)


class Messages(AiApi):
    """``v1/messages``: Anthropic's dialect."""

    for_kernels = True

    @endpoint(
        "execute",
        takes=dialect.MessagesRequest,
        example=_CHAT,
        gives=contract.MessagesAnswer,
        streams=contract.MessagesEvent,
        request_headers=contract.RequestHeaders,
        answer_headers=contract.AnswerHeaders,
        raises=ANSWERING,
        statuses=(413,),
    )
    async def post(self) -> None:
        """Answer a chat in Anthropic's dialect."""
        await self.answer(Dialect.MESSAGES, dialect.MessagesRequest, Task.CHAT)

    def error_document(self, error: BaseException | None, status: int) -> dict[str, Any]:
        """Return an error as Anthropic's clients know it: the one body, marked as an error."""
        return {"type": "error", **super().error_document(error, status)}

    def error_event(self, error: AidpError) -> bytes:
        """Return an error in mid-stream as Anthropic's clients know it."""
        return b"event: error\ndata: " + msgspec.json.encode({"type": "error", **error_body(error)}) + b"\n\n"


class Models(AiApi):
    """``v1/models``."""

    for_kernels = True

    @endpoint("read", gives=contract.ModelList)
    async def get(self) -> None:
        """List the models that may be used now, the automatic choices first."""
        offers = await self.ai.models(self.caller())
        automatic = [views.automatic_model(name) for name in views.automatic(offers)]
        self.reply({"object": "list", "data": automatic + [views.model(offer) for offer in offers]})


class ModelByName(AiApi):
    """``v1/models/<route>``."""

    for_kernels = True

    @endpoint("read", gives=contract.ModelSaid, raises=_NO_MODEL)
    async def get(self, name: str) -> None:
        """Return one model."""
        offers = await self.ai.models(self.caller())
        for offer in offers:
            if name in (offer.route, offer.model):
                return self.reply(views.model(offer))
        if name in views.automatic(offers):
            return self.reply(views.automatic_model(name))
        request = RouteRequest(model=name)
        decision = await self.ai.route(request, self.caller())
        raise await self.ai.explain_none(request, decision, self.caller())


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
        example=_CHAT,
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
        with _not_too_deep():
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


@contextlib.contextmanager
def _not_too_deep() -> Iterator[None]:
    """Refuse what could be parsed and is yet too deep to be looked at, or to be written again."""
    try:
        yield
    except RecursionError as error:
        raise InvalidRequest("The request is nested too deeply.") from error


def _paths(header: str | None) -> tuple[str, ...]:
    """Return the paths of an ``X-AIDP-Path`` header: percent-encoded, between commas."""
    if not header:
        return ()
    paths = tuple(unquote(part.strip()) for part in header.split(",") if part.strip())
    if len(paths) > _MOST_PATHS:
        raise InvalidRequest(f"`X-AIDP-Path`: at most {_MOST_PATHS} paths.", field="X-AIDP-Path")
    return paths


def _conversation(header: str | None) -> str | None:
    if header is None or not header.strip():
        return None
    if not _CONVERSATION.fullmatch(header.strip()):
        raise InvalidRequest(
            "`X-AIDP-Conversation`: expected up to 200 visible ASCII characters.", field="X-AIDP-Conversation"
        )
    return header.strip()


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
