"""What all endpoints of the AI router have in common: who asks, and a request as the policy sees it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from tornado import web

from aidp_ext.ai import contract, dialect
from aidp_ext.ai.dialect import Request
from aidp_ext.ai.models import Answer, Caller, Dialect, Privacy, RouteRequest, Task
from aidp_ext.ai.service import AiService
from aidp_ext.core.errors import (
    AidpError,
    BudgetExhausted,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    NoModelAvailable,
    PolicyRefused,
    RateLimited,
    StorageError,
    Superseded,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
)
from aidp_ext.core.web import Api

_FORWARDED = ("X-AIDP-Task", "X-AIDP-Privacy", "X-AIDP-Path", "X-AIDP-Conversation")
_CONVERSATION = re.compile(contract.CONVERSATION)
_MOST_PATHS = 1000
#: A question, as an example in the reference.
CHAT = {"messages": [{"role": "user", "content": "What does df.explode do?"}], "max_tokens": 200}
#: What asking for a model by its name may raise.
NO_MODEL = (ModelNotFound, PolicyRefused, NoModelAvailable, BudgetExhausted, StorageError, UpstreamError)
#: What a request for an answer may raise.
ANSWERING = (*NO_MODEL, ContextTooLong, RateLimited, Superseded, UpstreamTimeout, UpstreamRejected)


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
        with not_too_deep():
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


@contextlib.contextmanager
def not_too_deep() -> Iterator[None]:
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
