"""The values that the AI router's parts hand to each other. All frozen; none knows a service or a web framework."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Task(StrEnum):
    """What an answer is for; the ``X-AIDP-Task`` header."""

    CHAT = "chat"
    COMPLETE = "complete"
    EXPLAIN = "explain"
    FIX = "fix"
    TESTS = "tests"
    DOCS = "docs"
    REFACTOR = "refactor"
    REVIEW = "review"
    COMMIT_MESSAGE = "commit-message"
    AGENT = "agent"
    EMBED = "embed"


class Privacy(StrEnum):
    """How far a request's text may travel; the ``X-AIDP-Privacy`` header."""

    LOCAL = "local"
    REDACT = "redact"
    CLOUD = "cloud"


class Mode(StrEnum):
    """What the user, or the admin, allows the router."""

    HYBRID = "hybrid"
    LOCAL = "local"
    OFFLINE = "offline"
    CLOUD = "cloud"


class Locality(StrEnum):
    """Where a model runs. What a local server forwards elsewhere is cloud."""

    LOCAL = "local"
    CLOUD = "cloud"


class Capability(StrEnum):
    """What a model can do."""

    CHAT = "chat"
    COMPLETE = "complete"
    FIM = "fim"
    TOOLS = "tools"
    VISION = "vision"
    JSON = "json"
    EMBED = "embed"


class Dialect(StrEnum):
    """In which API a request came, and its answer goes back."""

    CHAT = "chat"  # OpenAI's chat/completions
    COMPLETIONS = "completions"  # OpenAI's completions, with fill in the middle
    EMBEDDINGS = "embeddings"  # OpenAI's embeddings
    MESSAGES = "messages"  # Anthropic's messages


@dataclass(frozen=True)
class Price:
    """What a model costs, in US dollars per 10⁶ tokens."""

    input: float = 0.0
    output: float = 0.0
    cached_input: float | None = None  # read from the provider's prompt cache; as `input` where None
    cache_write: float | None = None  # written to it; as `input` where None
    is_estimated: bool = False  # the model is not in the price list: a careful guess

    @property
    def is_free(self) -> bool:
        """True for a model that costs nothing a call."""
        return not (self.input or self.output or self.cache_write)

    def cost_usd(self, usage: Usage) -> float:
        """Return the dollars that these tokens cost.

        ``prompt_tokens`` holds all of the prompt, cached tokens included; ``completion_tokens`` the reasoning too.
        """
        prompt, cached, written = usage.prompt_tokens or 0, usage.cached_tokens or 0, usage.cache_write_tokens or 0
        plain = max(0, prompt - cached - written)
        dollars = plain * self.input + (usage.completion_tokens or 0) * self.output
        dollars += cached * (self.input if self.cached_input is None else self.cached_input)
        dollars += written * (self.input if self.cache_write is None else self.cache_write)
        return dollars / 1e6


FREE = Price()


@dataclass(frozen=True)
class Offer:
    """One model of one provider, as it can be had now."""

    provider: str
    model: str
    locality: Locality
    capabilities: frozenset[Capability]
    label: str = ""  # short name for people; the model's id where empty
    context_length: int | None = None  # tokens
    parameters_b: float | None = None  # size in 10⁹ parameters
    loaded: bool | None = None  # in memory now; None where the server does not say
    price: Price | None = None  # None: not known; local models are FREE
    max_output_tokens: int | None = None

    @functools.cached_property
    def route(self) -> str:
        """The name to ask for it by: ``<provider>/<model>``."""
        return f"{self.provider}/{self.model}"

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Every name that a pattern may mean it by, in one case."""
        names = (self.route, self.model, self.model.rsplit("/", 1)[-1], self.label)
        return tuple(dict.fromkeys(name.casefold() for name in names if name))

    @property
    def display(self) -> str:
        """The name to show."""
        return self.label or self.model


@dataclass(frozen=True)
class RouteRequest:
    """What the policy needs to know of a request; never its text."""

    task: Task = Task.CHAT
    model: str = "auto"
    privacy: Privacy | None = None
    needs: frozenset[Capability] = frozenset({Capability.CHAT})
    prompt_tokens: int = 0  # estimated, unless counted
    is_counted: bool = False  # the model's own tokenizer counted them
    output_tokens: int | None = None  # the most that the answer may have; None where the request does not say
    paths: tuple[str, ...] = ()  # the files that its text comes from, relative to the workspace
    is_text: bool = True  # all that it says can be read; tokens, sound and files cannot be redacted
    conversation: str | None = None  # requests of one conversation stay with one model
    settled_on: str | None = None  # the route that answered this conversation so far
    difficulty: float | None = None  # 0 to 1, of a scorer; None where nobody judged


@dataclass(frozen=True)
class Budget:
    """The money of this month: what is allowed (None: no limit) and what is spent, in US dollars."""

    limit_usd: float | None = None
    spent_usd: float = 0.0
    soft_usd: float | None = None

    @property
    def exhausted(self) -> bool:
        """True where nothing more may be spent."""
        return self.limit_usd is not None and self.spent_usd >= self.limit_usd

    @property
    def is_tight(self) -> bool:
        """True beyond the soft limit: cheaper and local models come first."""
        return self.soft_usd is not None and self.spent_usd >= self.soft_usd


@dataclass(frozen=True)
class Condition:
    """How a model has done lately."""

    is_cooling: bool = False  # it failed; others come first until it has had a rest
    latency_ms: float | None = None  # until its first word: a moving average


@dataclass(frozen=True)
class Policy:
    """The rules that hold for everybody here."""

    mode: Mode = Mode.HYBRID
    allow_local: bool = True
    allowed_models: tuple[str, ...] = ()  # glob patterns; where there are any, nothing else answers
    team_allowed_models: tuple[str, ...] = ()  # of the caller's teams; what both lists allow is allowed
    denied_models: tuple[str, ...] = ()  # glob patterns; stronger than those allowed
    preferred_models: tuple[str, ...] = ()  # glob patterns over routes and model ids, best first
    task_models: Mapping[Task, tuple[str, ...]] = field(default_factory=dict)  # the same, before those, by task
    local_first: frozenset[Task] = frozenset({Task.COMPLETE, Task.DOCS, Task.COMMIT_MESSAGE, Task.EMBED})
    default_context_tokens: int = 131_072  # for models whose server does not say


@dataclass(frozen=True)
class Choice:
    """An offer with the code of the reason why it was taken, or refused."""

    offer: Offer
    reason: str


@dataclass(frozen=True)
class Decision:
    """The policy's answer: the allowed offers, best first, and the refused ones."""

    ranked: tuple[Choice, ...]
    refused: tuple[Choice, ...] = ()

    @property
    def best(self) -> Choice | None:
        """The first choice, or None where nothing is allowed."""
        return self.ranked[0] if self.ranked else None


class State(StrEnum):
    """How a provider is."""

    READY = "ready"
    UNREACHABLE = "unreachable"
    ERROR = "error"
    UNCONFIGURED = "unconfigured"
    DISABLED = "disabled"


@dataclass(frozen=True)
class ProviderStatus:
    """A provider as the last probe found it."""

    name: str
    label: str
    url: str
    locality: Locality
    state: State
    message: str
    next_step: str | None = None
    checked_at: datetime | None = None
    offers: tuple[Offer, ...] = ()


@dataclass(frozen=True)
class Usage:
    """Tokens that the provider reported, or None."""

    prompt_tokens: int | None = None  # all of the prompt, cached tokens included
    completion_tokens: int | None = None  # all of the answer, reasoning included
    cached_tokens: int | None = None  # of the prompt: read from the provider's cache
    cache_write_tokens: int | None = None  # of the prompt: written to it
    reasoning_tokens: int | None = None  # of the answer


NO_USAGE = Usage()


class Events(Protocol):
    """Server-sent events under way. Closing them ends the work upstream."""

    on_end: Callable[[str], None] | None

    @property
    def received(self) -> int:
        """How many bytes have come from the server so far."""

    @property
    def usage(self) -> Usage:
        """What the server has reported so far."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None:
        """End it."""

    def abort(self) -> None:
        """Cut the connection; who reads gets UpstreamIncomplete."""


@dataclass(frozen=True)
class Answer:
    """A model's answer under way: a JSON document, or events to be streamed.

    Exactly one of ``document`` and ``events`` is set. Events are whole server-sent events, and the first has already
    arrived, so that a server that fails before it could still be replaced by another.
    """

    document: bytes | None = None
    events: Events | None = None
    usage: Usage = Usage()  # of a document; events know their own
    notes: tuple[str, ...] = ()
    route: str = ""
    locality: Locality = Locality.LOCAL
    reason: str = ""
    attempts: int = 1
    call_id: str = ""
    privacy: Privacy | None = None  # the class that held
    redactions: int = 0  # values that were replaced before the request left
    cost_usd: float | None = None  # of a whole answer

    @property
    def headers(self) -> Mapping[str, str]:
        """The response headers that say who answers and why."""
        said = {
            "X-AIDP-Route": _in_a_header(self.route),
            "X-AIDP-Reason": self.reason,
            "X-AIDP-Attempts": str(self.attempts),
            "X-AIDP-Locality": str(self.locality),
        }
        if self.call_id:
            said["X-AIDP-Call"] = self.call_id
        if self.privacy is not None:
            said["X-AIDP-Privacy"] = str(self.privacy)
        if self.redactions:
            said["X-AIDP-Redactions"] = str(self.redactions)
        if self.cost_usd is not None:
            said["X-AIDP-Cost-USD"] = f"{self.cost_usd:.6f}"
        if self.notes:
            said["X-AIDP-Notes"] = ", ".join(self.notes)
        return said


def _in_a_header(text: str) -> str:
    if text.isascii() and text.isprintable():  # nearly always
        return text
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)


@dataclass(frozen=True)
class Caller:
    """Who asks, and the headers that a gateway further on must see too."""

    name: str
    headers: Mapping[str, str] = field(default_factory=dict)
    teams: tuple[str, ...] = ()
