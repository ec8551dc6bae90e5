"""A chat with the router from inside the server: the answer as pieces of text, and what it took."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import quote

import msgspec

from aidp_ext.ai.calls import Call
from aidp_ext.ai.dialect import ChatRequest
from aidp_ext.ai.models import Answer, Caller, Dialect, RouteRequest
from aidp_ext.core.errors import AidpError, UpstreamIncomplete

#: A message as the chat endpoint takes it; further keys (``tool_calls``, ``tool_call_id``) pass through.
Message = Mapping[str, Any]

_DATA = b"data: "


class Router(Protocol):
    """What is needed of the AI service."""

    async def answer(
        self, dialect: Dialect, request: RouteRequest, body: dict[str, Any], caller: Caller, size: int = 0
    ) -> Answer:
        """Answer a request; raises as AiService.answer does."""

    async def call(self, call_id: str, user: str) -> Call | None:
        """Return a call of the user's that has ended."""


@dataclass
class Talk:
    """An answer under way. Iterate it once for its text; ``aclose`` ends the work upstream."""

    answer: Answer  # its headers say who answers and why
    finish_reason: str = ""  # known at the end: ``stop``, ``length``, ``content_filter`` …
    _pieces: AsyncGenerator[str, None] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._pieces = self._read()

    def __aiter__(self) -> AsyncGenerator[str, None]:
        return self._pieces

    async def aclose(self) -> None:
        """End it, read to its end or not."""
        await self._pieces.aclose()
        if self.answer.events is not None:  # nothing was read: the generator has not begun
            await self.answer.events.aclose()

    async def _read(self) -> AsyncGenerator[str, None]:
        events = self.answer.events
        assert events is not None
        is_whole = False
        try:
            async for event in events:
                for data in _data_of(event):
                    if data == b"[DONE]":
                        is_whole = True
                        continue
                    said = msgspec.json.decode(data)
                    if error := said.get("error"):
                        raise AidpError(str(error.get("message") or "The model failed in the middle of its answer."))
                    for choice in said.get("choices") or ():
                        self.finish_reason = choice.get("finish_reason") or self.finish_reason
                        if text := (choice.get("delta") or {}).get("content"):
                            yield text
            if not is_whole:
                raise UpstreamIncomplete("The answer broke off.")
        finally:
            await events.aclose()


async def talk(
    ai: Router,
    messages: Sequence[Message],
    request: RouteRequest,
    caller: Caller,
    *,
    max_tokens: int | None = None,
    temperature: float | None = None,
) -> Talk:
    """Ask for an answer to ``messages`` and return it under way, its first event already there.

    ``request`` names model, task, privacy class and paths; its tokens are estimated here. Raises what
    ``AiService.answer`` raises.
    """
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [dict(message) for message in messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    if temperature is not None:
        body["temperature"] = temperature
    asked = msgspec.convert(body, ChatRequest)
    request = replace(request, needs=asked.needs(), prompt_tokens=asked.tokens(), output_tokens=asked.output_tokens())
    # What a gateway further on must see, as if the request had come by HTTP.
    said = {"X-AIDP-Task": str(request.task), **caller.headers}
    if request.privacy is not None:
        said["X-AIDP-Privacy"] = str(request.privacy)
    if request.paths:
        said["X-AIDP-Path"] = ",".join(quote(path) for path in request.paths)
    if request.conversation:
        said["X-AIDP-Conversation"] = request.conversation
    size = len(msgspec.json.encode(body))
    answer = await ai.answer(Dialect.CHAT, request, body, replace(caller, headers=said), size)
    return Talk(answer)


def _data_of(event: bytes) -> list[bytes]:
    return [line[len(_DATA) :] for line in event.splitlines() if line.startswith(_DATA)]
