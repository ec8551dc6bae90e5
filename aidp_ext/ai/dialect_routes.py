"""The endpoints that speak OpenAI's dialect, and Anthropic's: what a client of theirs is pointed at."""

from __future__ import annotations

from typing import Any

import msgspec

from aidp_ext.ai import contract, dialect, views
from aidp_ext.ai.base_routes import ANSWERING, CHAT, NO_MODEL, AiApi
from aidp_ext.ai.models import Dialect, RouteRequest, Task
from aidp_ext.core.errors import AidpError
from aidp_ext.core.web import endpoint, error_body


class ChatCompletions(AiApi):
    """``v1/chat/completions``."""

    for_kernels = True

    @endpoint(
        "execute",
        takes=dialect.ChatRequest,
        example=CHAT,
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
        example=CHAT,
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

    @endpoint("read", gives=contract.ModelSaid, raises=NO_MODEL)
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
