"""The requests that the endpoints take: OpenAI's dialect, as far as aidp must understand it to judge and route it.

Fields that are not named here pass through untouched; those that are must fit, or the request is refused with the
field's name before any model sees it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from aidp_ext.ai.models import Capability, Dialect, Mode, Privacy, RouteRequest, Task
from aidp_ext.core.errors import InvalidRequest

_BYTES_PER_TOKEN = 4  # a rule of thumb for English and code; providers count for themselves
_IMAGE_TOKENS = 1000

Temperature = Annotated[float, Meta(ge=0, le=2)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
ModelName = Annotated[str, Meta(min_length=1, max_length=500)]
PathName = Annotated[str, Meta(max_length=4096)]


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
    response_format: dict[str, Any] | None = None
    stream_options: dict[str, Any] | None = None

    def needs(self) -> frozenset[Capability]:
        """Return what a model must be able to do."""
        needs = {Capability.CHAT}
        if self.tools:
            needs.add(Capability.TOOLS)
        if any(_has_image(message.content) for message in self.messages):
            needs.add(Capability.VISION)
        if self.response_format and self.response_format.get("type") in ("json_object", "json_schema"):
            needs.add(Capability.JSON)
        return frozenset(needs)

    def tokens(self) -> int:
        """Return about how many tokens the prompt has."""
        return sum(_tokens_in(m.content) + _tokens_of(m.tool_calls) for m in self.messages) + _tokens_of(self.tools)

    def output_tokens(self) -> int | None:
        """Return the most tokens that the answer may have, None where the request does not say."""
        return self.max_completion_tokens or self.max_tokens


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

    def output_tokens(self) -> int | None:
        """Return the most tokens that the answer may have, None where the request does not say."""
        return self.max_tokens


class EmbeddingsRequest(Struct, kw_only=True):
    """``POST v1/embeddings``."""

    input: str | list[Any]
    model: ModelName = "auto"
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Count | None = None

    def __post_init__(self) -> None:
        if not self.input:
            raise ValueError("`input` is empty")
        if isinstance(self.input, list):
            texts = all(isinstance(item, str) for item in self.input)
            tokens = all(_is_token(item) for item in self.input)
            lists = all(isinstance(item, list) and item and all(map(_is_token, item)) for item in self.input)
            if not (texts or tokens or lists):
                raise ValueError("`input` is a text, texts, or tokens")

    def needs(self) -> frozenset[Capability]:
        """Return what a model must be able to do."""
        return frozenset({Capability.EMBED})

    def tokens(self) -> int:
        """Return about how many tokens the longest text has: each is read on its own."""
        if isinstance(self.input, str):
            return _tokens_in(self.input)
        return max(
            _tokens_in(i) if isinstance(i, str) else len(i) if isinstance(i, list) else len(self.input)
            for i in self.input
        )

    def output_tokens(self) -> int | None:
        """Return None: embeddings have no tokens."""
        return None


def _is_token(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool) and item >= 0


class RouteQuestion(Struct, kw_only=True):
    """``POST route``: what would answer this?"""

    task: Task = Task.CHAT
    model: ModelName = "auto"
    privacy: Privacy | None = None
    prompt_tokens: Annotated[int, Meta(ge=0, le=10**9)] = 0
    paths: Annotated[list[PathName], Meta(max_length=1000)] = []


class KeyChange(Struct, kw_only=True):
    """``PUT keys/<provider>``."""

    key: Annotated[str, Meta(min_length=1, max_length=4096)]


class PullRequest(Struct, kw_only=True):
    """``POST pull``."""

    model: Annotated[str, Meta(min_length=1, max_length=300)]
    provider: Annotated[str, Meta(min_length=1, max_length=50)] = "ollama"


class RulesChange(Struct, kw_only=True):
    """``PUT rules``."""

    never_leave: Annotated[list[Annotated[str, Meta(min_length=1, max_length=500)]], Meta(max_length=500)]
    privacy: Privacy | None = None


class Feedback(Struct, kw_only=True):
    """``POST feedback``: what became of a model's suggestions."""

    route: ModelName
    task: Task = Task.COMPLETE
    accepted: Annotated[int, Meta(ge=0, le=100_000)] = 0
    rejected: Annotated[int, Meta(ge=0, le=100_000)] = 0


class ModeChange(Struct, kw_only=True):
    """``PUT mode``."""

    mode: Mode


_NEEDS = {Task.COMPLETE: Capability.COMPLETE, Task.EMBED: Capability.EMBED}


def route_request(question: RouteQuestion) -> RouteRequest:
    """Return the policy's view of a question about a route."""
    needs = {_NEEDS.get(question.task, Capability.CHAT)}
    if question.task is Task.COMPLETE:
        needs.add(Capability.FIM)
    return RouteRequest(
        question.task,
        question.model,
        question.privacy,
        frozenset(needs),
        question.prompt_tokens,
        paths=tuple(question.paths),
    )


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


class Turn(Struct):
    """One turn of a Messages request. Of its blocks only the type is sure; whoever speaks the dialect checks them."""

    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]


class MessagesRequest(Struct, kw_only=True):
    """``POST v1/messages``: Anthropic's dialect."""

    messages: Annotated[list[Turn], Meta(min_length=1)]
    max_tokens: Count
    model: ModelName = "auto"
    stream: bool | None = None
    system: str | list[dict[str, Any]] | None = None
    temperature: Share | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    stop_sequences: list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None

    def needs(self) -> frozenset[Capability]:
        """Return what a model must be able to do."""
        needs = {Capability.CHAT}
        if self.tools:
            needs.add(Capability.TOOLS)
        if any(_has_picture(turn.content) for turn in self.messages):
            needs.add(Capability.VISION)
        if (self.output_config or {}).get("format"):
            needs.add(Capability.JSON)
        return frozenset(needs)

    def tokens(self) -> int:
        """Return about how many tokens the prompt has."""
        return _tokens_of(self.system) + sum(_tokens_of(turn.content) for turn in self.messages)

    def output_tokens(self) -> int | None:
        """Return the most tokens that the answer may have."""
        return self.max_tokens


Request = ChatRequest | CompletionRequest | EmbeddingsRequest | MessagesRequest

_PREVIEWED: tuple[tuple[str, Dialect, type[Request], Task], ...] = (
    ("prompt", Dialect.COMPLETIONS, CompletionRequest, Task.COMPLETE),
    ("input", Dialect.EMBEDDINGS, EmbeddingsRequest, Task.EMBED),
    ("messages", Dialect.CHAT, ChatRequest, Task.CHAT),
)
_ANTHROPICS = ("system", "stop_sequences", "thinking", "output_config")
_ANTHROPICS_BLOCKS = ("tool_use", "tool_result", "image", "document", "thinking")


def dialect_of(body: Any) -> tuple[Dialect, type[Request], Task]:
    """Return the dialect of a request by its fields, the type it must fit, and its usual task.

    Anthropic's differs from OpenAI's chat by its own fields, its blocks and its form of tools. Raises InvalidRequest.
    """
    if not isinstance(body, dict):
        raise InvalidRequest("The body: expected an object.")
    for name, dialect, kind, task in _PREVIEWED:
        if name in body:
            if dialect is Dialect.CHAT and _is_anthropics(body):
                return Dialect.MESSAGES, MessagesRequest, Task.CHAT
            return dialect, kind, task
    raise InvalidRequest("A request has `messages`, `prompt` or `input`.", field="messages")


def _is_anthropics(body: dict[str, Any]) -> bool:
    messages = body["messages"] if isinstance(body["messages"], list) else []
    contents = [m["content"] for m in messages if isinstance(m, dict) and isinstance(m.get("content"), list)]
    blocks = [block for content in contents for block in content if isinstance(block, dict)]
    tools = body["tools"] if isinstance(body.get("tools"), list) else []
    return (
        any(name in body for name in _ANTHROPICS)
        or any(block.get("type") in _ANTHROPICS_BLOCKS for block in blocks)
        or any(isinstance(tool, dict) and "input_schema" in tool for tool in tools)
    )


def _has_picture(content: Any) -> bool:
    """Return whether blocks, or the results of tools among them, hold an image or a document to be looked at."""
    return isinstance(content, list) and any(
        isinstance(block, dict)
        and (
            block.get("type") == "image"
            or (block.get("type") == "document" and _kind_of(block.get("source")) not in ("text", "content"))
            or _has_picture(block.get("content"))
        )
        for block in content
    )


def _kind_of(source: Any) -> Any:
    return source.get("type") if isinstance(source, dict) else None


def _tokens_of(value: Any) -> int:
    """Return about how many tokens a block, or blocks, or anything in one has; images and files count as one image."""
    if isinstance(value, str):
        return _tokens_in(value)
    if isinstance(value, list):
        return sum(map(_tokens_of, value))
    if not isinstance(value, dict):
        return 0
    if _kind_of(value) in ("base64", "url", "file"):  # the source of an image or a document
        return _IMAGE_TOKENS
    return sum(_tokens_of(inner) for name, inner in value.items() if name not in _NOT_READ)


_NOT_READ = ("type", "id", "tool_use_id", "cache_control", "signature")
