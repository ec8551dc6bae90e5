"""The requests that the endpoints take: OpenAI's dialect, as far as aidp must understand it to judge and route it.

Fields that are not named here pass through untouched; those that are must fit, or the request is refused with the
field's name before any model sees it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from aidp_ext.ai.models import Capability, Mode, Privacy, RouteRequest, Task
from aidp_ext.core.errors import InvalidRequest

_BYTES_PER_TOKEN = 4  # a rule of thumb for English and code; providers count for themselves
_IMAGE_TOKENS = 1000

Temperature = Annotated[float, Meta(ge=0, le=2)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
ModelName = Annotated[str, Meta(min_length=1, max_length=500)]


class Sampling(Struct, kw_only=True):
    """What chat and completion have in common."""

    model: ModelName = "auto"
    stream: bool | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    max_tokens: Count | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | list[str] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: int | None = None


class Part(Struct):
    """One part of a message."""

    type: str
    text: str | None = None


class Message(Struct):
    """One message of a chat."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    tool_calls: list[dict[str, Any]] | None = None


class ChatRequest(Sampling, kw_only=True):
    """``POST v1/chat/completions``."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: Count | None = None
    tools: list[dict[str, Any]] | None = None

    def needs(self) -> frozenset[Capability]:
        """Return what a model must be able to do."""
        needs = {Capability.CHAT}
        if self.tools:
            needs.add(Capability.TOOLS)
        if any(_has_image(message.content) for message in self.messages):
            needs.add(Capability.VISION)
        return frozenset(needs)

    def tokens(self) -> int:
        """Return about how many tokens the prompt has."""
        return sum(_tokens_in(message.content) for message in self.messages)


class CompletionRequest(Sampling, kw_only=True):
    """``POST v1/completions``."""

    prompt: str | list[Any]
    suffix: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.prompt, list) and self.suffix:
            raise ValueError("`prompt` as a list goes with no `suffix`")
        if isinstance(self.prompt, list) and not all(isinstance(item, str | int | list) for item in self.prompt):
            raise ValueError("`prompt` is a text, texts, or tokens")

    def needs(self) -> frozenset[Capability]:
        """Return what a model must, and with a suffix should, be able to do."""
        return frozenset({Capability.COMPLETE, Capability.FIM} if self.suffix else {Capability.COMPLETE})

    def tokens(self) -> int:
        """Return about how many tokens the prompt has."""
        if isinstance(self.prompt, list):  # texts, or tokens already
            return sum(
                _tokens_in(i) if isinstance(i, str) else len(i) if isinstance(i, list) else 1 for i in self.prompt
            )
        return _tokens_in(self.prompt) + _tokens_in(self.suffix)


class RouteQuestion(Struct, kw_only=True):
    """``POST route``: what would answer this?"""

    task: Task = Task.CHAT
    model: ModelName = "auto"
    privacy: Privacy | None = None
    prompt_tokens: Annotated[int, Meta(ge=0)] = 0


class ModeChange(Struct, kw_only=True):
    """``PUT mode``."""

    mode: Mode


_NEEDS = {Task.COMPLETE: Capability.COMPLETE, Task.EMBED: Capability.EMBED}


def route_request(question: RouteQuestion) -> RouteRequest:
    """Return the policy's view of a question about a route."""
    needs = {_NEEDS.get(question.task, Capability.CHAT)}
    if question.task is Task.COMPLETE:
        needs.add(Capability.FIM)
    return RouteRequest(question.task, question.model, question.privacy, frozenset(needs), question.prompt_tokens)


def header(kind: type[Task] | type[Privacy], name: str, value: str | None) -> Any:
    """Return a request header as its enumeration, None where it is absent. Raises InvalidRequest naming it."""
    if value is None:
        return None
    try:
        return kind(value.strip().lower())
    except ValueError as error:
        raise InvalidRequest(f"`{name}`: expected one of {', '.join(kind)}.", field=name) from error


def _tokens_in(content: str | list[Part] | None) -> int:
    if content is None:
        return 0
    if isinstance(content, str):
        # Counting characters is enough here, and far cheaper than encoding; other scripts take more per character.
        return (
            len(content) // _BYTES_PER_TOKEN + 1 if content.isascii() else len(content.encode()) // _BYTES_PER_TOKEN + 1
        )
    return sum(_IMAGE_TOKENS if part.text is None else _tokens_in(part.text) for part in content)


def _has_image(content: str | list[Part] | None) -> bool:
    return isinstance(content, list) and any(part.type == "image_url" for part in content)
