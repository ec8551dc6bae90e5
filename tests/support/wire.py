"""For doubles of model servers: a real HTTP server in the test's own loop, and OpenAI's SDK as judge of the answers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from aidp_ext.ai.models import Answer, Caller

ANA = Caller("ana")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Give the base URL of a server whose every request goes to ``handler``."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def streamed(request: web.Request, kind: str, pieces: list[bytes]) -> web.StreamResponse:
    """Answer with these pieces, each sent on its own."""
    response = web.StreamResponse(headers={"Content-Type": kind})
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
    await response.write_eof()
    return response


async def received(answer: Answer) -> bytes:
    """Return all that a stream's reader gets."""
    assert answer.events is not None
    return b"".join([chunk async for chunk in answer.events])


def data_in(events: bytes) -> list[Any]:
    """Return the JSON of each event; the end mark must be there, once, at the end."""
    lines = [line[6:] for line in events.decode().splitlines() if line.startswith("data: ")]
    assert lines.count("[DONE]") == 1
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def chat_of(answer: Answer) -> ChatCompletion:
    """Return a whole answer as OpenAI's SDK reads it."""
    assert answer.document is not None
    return ChatCompletion.model_validate(json.loads(answer.document), strict=True)


async def streamed_chat(answer: Answer) -> tuple[Any, list[ChatCompletionChunk]]:
    """Return what OpenAI's SDK puts together of a stream, and its chunks."""
    chunks = [ChatCompletionChunk.model_validate(one, strict=True) for one in data_in(await received(answer))]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1, "one answer, one id"
    state = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(chunk)
    return state.current_completion_snapshot, chunks  # the final one raises for an answer that was cut by its length


async def streamed_text(answer: Answer) -> tuple[str, str | None, list[Completion]]:
    """Return the text of a completion's stream, its finish reason, and its events as OpenAI's SDK reads them."""
    parts = [Completion.model_validate(fill(one)) for one in data_in(await received(answer))]
    choices = [part.choices[0] for part in parts if part.choices]
    return "".join(choice.text for choice in choices), choices[-1].finish_reason, parts


def fill(event: dict[str, Any]) -> dict[str, Any]:
    """Return a completion's event as the SDK's type wants it, which has no word for «not yet finished»."""
    choices = [{**choice, "finish_reason": choice["finish_reason"] or "stop"} for choice in event["choices"]]
    return {**event, "choices": choices}


def embeddings_of(answer: Answer) -> CreateEmbeddingResponse:
    """Return embeddings as OpenAI's SDK reads them."""
    assert answer.document is not None
    return CreateEmbeddingResponse.model_validate(json.loads(answer.document), strict=True)
