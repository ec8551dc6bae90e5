"""The requests that the endpoints take: OpenAI's dialect, as far as aidp must understand it to judge and route it.

Fields that are not named here pass through untouched; those that are must fit, or the request is refused with the
field's name before any model sees it.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct

from aidp_ext.ai.models import Capability, Dialect, Mode, Privacy, RouteRequest, Task
from aidp_ext.ai.providers.ollama_pull import NAME as PULLED_NAME
from aidp_ext.core.errors import InvalidRequest
from aidp_ext.core.keys import KEY

_BYTES_PER_TOKEN = 4  # a rule of thumb for English and code; providers count for themselves
_IMAGE_TOKENS = 1000
_TEXTS = ("text", "refusal")  # the parts of a chat's message that say what they say in words

Temperature = Annotated[float, Meta(ge=0, le=2)]
Share = Annotated[float, Meta(ge=0, le=1)]
_MOST = 2**53 - 1  # every reader of JSON has whole numbers up to here (RFC 7493)
Count = Annotated[int, Meta(ge=1, le=_MOST)]
Length = Annotated[int, Meta(ge=0, le=_MOST)]  # OpenAI's description of its API allows 0; whoever answers judges it
Penalty = Annotated[float, Meta(ge=-2, le=2)]
ModelName = Annotated[str, Meta(min_length=1, max_length=500)]
PathName = Annotated[str, Meta(max_length=4096)]
# Exceptions, which begin with "!", are refused with an explanation by the rules themselves.
PathPattern = Annotated[str, Meta(min_length=1, max_length=500, extra_json_schema={"not": {"pattern": r"^\s*!"}})]


_TEXT = {"type": "string", "minLength": 1}
_TOKENS = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": _MOST}, "minItems": 1}
#: The forms in which several texts may come: texts, the tokens of one, the tokens of several.
_LISTS = ({"type": "array", "items": {"type": "string"}, "minItems": 1}, _TOKENS, {**_TOKENS, "items": _TOKENS})


class Sampling(Struct, kw_only=True):
    """What chat and completion have in common."""

    model: ModelName = "auto"
    stream: bool | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    max_tokens: Length | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | list[str] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Annotated[int, Meta(ge=-_MOST, le=_MOST)] | None = None


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
    max_completion_tokens: Length | None = None
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
        """Return the most tokens that the answer may have, None where the request does not say.

        Servers differ in which of the two names they heed.
        """
        return max(self.max_completion_tokens or 0, self.max_tokens or 0) or None

    def is_text(self) -> bool:
        """Return whether all that it says can be read, and redacted."""
        contents = [message.content for message in self.messages]
        return all(part.type in _TEXTS for parts in contents if isinstance(parts, list) for part in parts)


class CompletionRequest(Sampling, kw_only=True):
    """``POST v1/completions``."""

    prompt: Annotated[str | list[Any], Meta(extra_json_schema={"oneOf": [{"type": "string"}, *_LISTS]})]
    suffix: str | None = None

    __json_schema__: ClassVar[dict[str, Any]] = {
        "not": {"required": ["prompt", "suffix"], "properties": {"prompt": {"type": "array"}, "suffix": _TEXT}}
    }

    def __post_init__(self) -> None:
        if isinstance(self.prompt, list) and self.suffix:
            raise ValueError("`prompt` as a list goes with no `suffix`")
        if isinstance(self.prompt, list) and not _are_texts_or_tokens(self.prompt):
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
        return self.max_tokens or None

    def is_text(self) -> bool:
        """Return whether all that it says can be read, and redacted: tokens cannot."""
        return _is_text(self.prompt)


class EmbeddingsRequest(Struct, kw_only=True):
    """``POST v1/embeddings``."""

    input: Annotated[str | list[Any], Meta(extra_json_schema={"oneOf": [_TEXT, *_LISTS]})]
    model: ModelName = "auto"
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Count | None = None

    def __post_init__(self) -> None:
        if self.input == "":
            raise ValueError("`input` is empty")
        if isinstance(self.input, list) and not _are_texts_or_tokens(self.input):
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

    def is_text(self) -> bool:
        """Return whether all that it says can be read, and redacted: tokens cannot."""
        return _is_text(self.input)


def _is_text(given: str | list[Any]) -> bool:
    return isinstance(given, str) or all(isinstance(item, str) for item in given)


def _are_texts_or_tokens(items: list[Any]) -> bool:
    return bool(items) and (
        all(isinstance(item, str) for item in items)
        or _are_tokens(items)
        or all(isinstance(item, list) and _are_tokens(item) for item in items)
    )


def _are_tokens(items: list[Any]) -> bool:
    return bool(items) and all(map(_is_token, items))


def _is_token(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool) and 0 <= item <= _MOST


class RouteQuestion(Struct, kw_only=True):
    """``POST route``: what would answer this?"""

    task: Task = Task.CHAT
    model: ModelName = "auto"
    privacy: Privacy | None = None
    prompt_tokens: Annotated[int, Meta(ge=0, le=10**9)] = 0
    paths: Annotated[list[PathName], Meta(max_length=1000)] = []


class KeyChange(Struct, kw_only=True):
    """``PUT keys/<provider>``."""

    key: Annotated[str, Meta(extra_json_schema={"pattern": f"^{KEY}$"})]  # whoever keeps it refuses any other


class PullRequest(Struct, kw_only=True):
    """``POST pull``."""

    model: Annotated[str, Meta(max_length=300, extra_json_schema={"pattern": f"^{PULLED_NAME}$"})]
    provider: Annotated[str, Meta(min_length=1, max_length=50)] = "ollama"


class RulesChange(Struct, kw_only=True):
    """``PUT rules``."""

    never_leave: Annotated[list[PathPattern], Meta(max_length=500)]
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


# Whoever answers judges the rest of a block.
Block = Annotated[
    dict[str, Any], Meta(extra_json_schema={"required": ["type"], "properties": {"type": {"type": "string"}}})
]


class Turn(Struct):
    """One turn of a Messages request. Of its blocks only the type is sure; whoever speaks the dialect checks them."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class MessagesRequest(Struct, kw_only=True):
    """``POST v1/messages``: Anthropic's dialect."""

    messages: Annotated[list[Turn], Meta(min_length=1)]
    max_tokens: Count
    model: ModelName = "auto"
    stream: bool | None = None
    system: str | list[Block] | None = None
    temperature: Share | None = None
    top_p: Share | None = None
    top_k: Length | None = None
    stop_sequences: list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    output_format: dict[str, Any] | None = None  # the older name of output_config.format
    metadata: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for content in (self.system, *(turn.content for turn in self.messages)):
            if isinstance(content, list) and not all(isinstance(block.get("type"), str) for block in content):
                raise ValueError("every block has a `type`")

    def needs(self) -> frozenset[Capability]:
        """Return what a model must be able to do."""
        needs = {Capability.CHAT}
        if self.tools:
            needs.add(Capability.TOOLS)
        if any(_has_picture(turn.content) for turn in self.messages):
            needs.add(Capability.VISION)
        if self.output_format or (self.output_config or {}).get("format"):
            needs.add(Capability.JSON)
        return frozenset(needs)

    def tokens(self) -> int:
        """Return about how many tokens the prompt has."""
        return sum(map(_tokens_of, (self.system, self.tools, *(turn.content for turn in self.messages))))

    def output_tokens(self) -> int | None:
        """Return the most tokens that the answer may have."""
        return self.max_tokens

    def is_text(self) -> bool:
        """Return whether all that it says can be read, and redacted; pictures and files are what it `needs` say."""
        return not any(_is_by_reference(turn.content) for turn in self.messages)


Request = ChatRequest | CompletionRequest | EmbeddingsRequest | MessagesRequest

_PREVIEWED: tuple[tuple[str, Dialect, type[Request], Task], ...] = (
    ("prompt", Dialect.COMPLETIONS, CompletionRequest, Task.COMPLETE),
    ("input", Dialect.EMBEDDINGS, EmbeddingsRequest, Task.EMBED),
    ("messages", Dialect.CHAT, ChatRequest, Task.CHAT),
)
_ANTHROPICS = ("system", "stop_sequences", "thinking", "output_config", "output_format")
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


def _is_by_reference(content: Any) -> bool:
    return isinstance(content, list) and any(
        isinstance(block, dict) and (block.get("type") == "container_upload" or _is_by_reference(block.get("content")))
        for block in content
    )


def _has_picture(content: Any) -> bool:
    """Return whether blocks, or the results of tools among them, hold an image or a document to be looked at."""
    return isinstance(content, list) and any(
        isinstance(block, dict)
        and (
            block.get("type") == "image"
            or (block.get("type") == "document" and _kind_of(block.get("source")) not in ("text", "content"))
            or _has_picture(block.get("content"))
            or _has_picture(_as_source(block.get("source")).get("content"))
        )
        for block in content
    )


def _kind_of(source: Any) -> Any:
    return _as_source(source).get("type")


def _as_source(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


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
