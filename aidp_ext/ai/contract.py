"""What the endpoints answer, and the queries and headers that they know, as types: the document of OpenAPI says these.

The bodies that they take are in dialect.py.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta, Struct, field

from aidp_ext.ai.models import Capability, Locality, Mode, Privacy, State, Task

Time = Annotated[datetime, Meta(tz=True)]  # UTC
Dollars = Annotated[float, Meta(ge=0)]
Whole = Annotated[int, Meta(ge=0)]
Milliseconds = Annotated[float, Meta(ge=0)]


def _one_of(*words: str) -> Meta:
    return Meta(extra_json_schema={"enum": list(words)})


KeySource = Annotated[str, _one_of("environment", "keyring", "file", "none", "not_needed")]

# --- headers and queries

#: What a conversation's name may be; none where it is empty.
CONVERSATION = r"^[!-~]{0,200}$"


class RequestHeaders(Struct, kw_only=True):
    """What a request for an answer may say of itself."""

    task: Annotated[Task | None, Meta(description="What the answer is for; the choice of a model depends on it.")] = (
        field(default=None, name="X-AIDP-Task")
    )
    privacy: Annotated[Privacy | None, Meta(description="How far the text may travel.")] = field(
        default=None, name="X-AIDP-Privacy"
    )
    path: Annotated[
        str | None,
        Meta(
            description="The files that the text comes from: percent-encoded paths relative to the workspace's root,"
            " at most 1000, between commas; `outputs` where the outputs of cells are in it."
        ),
    ] = field(default=None, name="X-AIDP-Path")
    conversation: Annotated[
        Annotated[str, Meta(pattern=CONVERSATION)] | None,
        Meta(
            description="A name for the conversation: its requests stay with one model, and a newer completion takes"
            " the place of an older one that still waits."
        ),
    ] = field(default=None, name="X-AIDP-Conversation")


class AnswerHeaders(Struct, kw_only=True):
    """What an answer says of itself."""

    route: Annotated[str, Meta(description="The model that answered, `<provider>/<model>`.")] = field(
        name="X-AIDP-Route"
    )
    locality: Annotated[Locality, Meta(description="Where it runs.")] = field(name="X-AIDP-Locality")
    reason: Annotated[str, Meta(description="Why it was chosen: a code.")] = field(name="X-AIDP-Reason")
    attempts: Annotated[int, Meta(ge=1, description="How many models were called; more than 1 after a fallback.")] = (
        field(name="X-AIDP-Attempts")
    )
    call: Annotated[str | None, Meta(description="The call's id in `ai/calls`.")] = field(
        default=None, name="X-AIDP-Call"
    )
    privacy: Annotated[Privacy | None, Meta(description="The privacy class that held.")] = field(
        default=None, name="X-AIDP-Privacy"
    )
    redactions: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="How many values were replaced before the text left.")
    ] = field(default=None, name="X-AIDP-Redactions")
    cost_usd: Annotated[Dollars | None, Meta(description="What the answer cost, in US dollars; not of a stream.")] = (
        field(default=None, name="X-AIDP-Cost-USD")
    )
    notes: Annotated[str | None, Meta(description="What was changed or left out of the request, between commas.")] = (
        field(default=None, name="X-AIDP-Notes")
    )


class ProvidersQuery(Struct):
    """Of ``providers``."""

    refresh: Annotated[bool, Meta(description="Ask each provider again.")] = False


class UsageQuery(Struct):
    """Of ``usage``."""

    days: Annotated[int, Meta(ge=1, le=3660, description="How many days of UTC, today included.")] = 30


class CallsQuery(Struct):
    """Of ``calls``."""

    limit: Annotated[int, Meta(ge=1, le=1000, description="At most so many.")] = 50


# --- answers of models; further fields are passed on as the model server sent them


class ChatAnswer(TypedDict):
    """A chat's answer in OpenAI's dialect."""

    choices: list[dict[str, Any]]
    id: NotRequired[str]
    object: NotRequired[str]
    created: NotRequired[int]
    model: NotRequired[str]
    usage: NotRequired[dict[str, Any] | None]


class CompletionAnswer(ChatAnswer):
    """A completion in OpenAI's dialect."""


class ChatChunk(TypedDict):
    """A part of an answer in OpenAI's dialect."""

    choices: list[dict[str, Any]]
    id: NotRequired[str]
    object: NotRequired[str]
    created: NotRequired[int]
    model: NotRequired[str]
    usage: NotRequired[dict[str, Any] | None]


class EmbeddingsAnswer(TypedDict):
    """Embeddings in OpenAI's dialect."""

    data: list[dict[str, Any]]
    object: NotRequired[str]
    model: NotRequired[str]
    usage: NotRequired[dict[str, Any] | None]


class MessagesAnswer(TypedDict):
    """A message in Anthropic's dialect."""

    type: Literal["message"]
    role: Literal["assistant"]
    content: list[dict[str, Any]]
    id: NotRequired[str]
    model: NotRequired[str]
    stop_reason: NotRequired[str | None]
    stop_sequence: NotRequired[str | None]
    usage: NotRequired[dict[str, Any]]


class MessagesEvent(TypedDict):
    """A part of a message in Anthropic's dialect."""

    type: str


# --- models and decisions


class PriceSaid(TypedDict):
    """US dollars per million tokens."""

    input: Dollars
    output: Dollars
    cached_input: Dollars | None
    cache_write: Dollars | None
    is_estimated: bool


class ModelFacts(TypedDict):
    """What aidp knows of a model."""

    locality: Locality
    label: str
    capabilities: list[Capability]
    context_length: int | None
    max_output_tokens: int | None
    loaded: bool | None
    price: PriceSaid | None


class ModelSaid(TypedDict):
    """A model in OpenAI's list."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    aidp: NotRequired[ModelFacts]


class ModelList(TypedDict):
    """OpenAI's list of models."""

    object: Literal["list"]
    data: list[ModelSaid]


class ChoiceSaid(TypedDict):
    """A model that was weighed, with its reason in code and words."""

    route: str
    provider: str
    model: str
    label: str
    locality: Locality
    reason: str
    message: str


class Chosen(TypedDict):
    """The model that would answer, or nulls and why none would."""

    route: str | None
    provider: str | None
    model: str | None
    label: str | None
    locality: Locality | None
    reason: str
    message: str
    next_step: str | None


class RouteSaid(Chosen):
    """A decision."""

    mode: Mode
    task: Task
    loaded: bool | None
    loading_since: Time | None
    from_gateway: bool
    """Whether the models are those of a hub's gateway, where only its admin adds one."""
    offers: list[ChoiceSaid]
    refused: list[ChoiceSaid]


class FindingSaid(TypedDict):
    """A value that would be replaced."""

    kind: str
    label: str
    placeholder: str
    count: int


class PreviewSaid(Chosen):
    """What a request would send."""

    privacy: Privacy
    privacy_reason: str
    privacy_message: str
    privacy_detail: str
    leaves: bool
    url: str | None
    bytes: Whole
    body: Any
    findings: list[FindingSaid]
    notes: list[str]


# --- providers


class KeySaid(TypedDict):
    """Where a provider's key comes from."""

    source: KeySource
    editable: bool


class KeyChanged(TypedDict):
    """Where a provider's key comes from now."""

    provider: str
    source: KeySource


class ProviderModel(TypedDict):
    """A model of a provider, and how it is."""

    id: str
    route: str
    label: str
    locality: Locality
    capabilities: list[Capability]
    context_length: int | None
    loaded: bool | None
    state: Annotated[str, _one_of("loaded", "installed", "loading", "available")]
    loading_since: Time | None
    price: PriceSaid | None
    health: Annotated[str, _one_of("ok", "failing", "cooling")]
    health_until: Time | None
    latency_ms: Milliseconds | None


class ProviderSaid(TypedDict):
    """A provider as the last look found it."""

    name: str
    label: str
    url: str
    locality: Locality
    state: State
    message: str
    next_step: str | None
    checked_at: Time | None
    key: KeySaid
    can_pull: bool
    models: list[ProviderModel]


class ProvidersSaid(TypedDict):
    """The model servers."""

    mode: Mode
    keys_allowed: bool
    key_store: Annotated[str, _one_of("keyring", "file")] | None
    providers: list[ProviderSaid]


class TrialSaid(TypedDict):
    """How a provider did."""

    ok: bool
    ms: Milliseconds
    route: str | None
    message: str
    next_step: str | None


class PullReport(TypedDict):
    """How far a download is, in bytes."""

    status: str
    completed: int | None
    total: int | None


# --- usage


class BudgetSaid(TypedDict):
    """A limit, and where it stands."""

    scope: Annotated[str, _one_of("user", "team", "deployment")]
    name: str
    period: Annotated[str, _one_of("day", "month")]
    limit_usd: Dollars
    soft_limit_usd: Dollars | None
    spent_usd: Dollars
    reserved_usd: Dollars
    resets_at: Time
    state: Annotated[str, _one_of("ok", "soft", "hard")]


class GroupSaid(TypedDict):
    """What the calls with one key add up to."""

    key: str
    calls: Whole
    errors: Whole
    prompt_tokens: Whole
    completion_tokens: Whole
    cost_usd: Dollars
    saved_usd: Dollars
    local_calls: Whole
    local_share: Annotated[float, Meta(ge=0, le=1)] | None
    latency_ms: Milliseconds | None
    accepted: Whole
    rejected: Whole


UsageSaid = TypedDict(  # `from` is no name of Python's
    "UsageSaid",
    {
        "from": Time,
        "to": Time,
        "budget": BudgetSaid | None,
        "budgets": list[BudgetSaid],
        "total": GroupSaid,
        "today": GroupSaid,
        "by": dict[Annotated[str, _one_of("day", "user", "team", "model", "task")], list[GroupSaid]],
    },
)
UsageSaid.__doc__ = "What calls add up to, and the budgets that bind the caller; `budget` is the tightest one."


class CallSaid(TypedDict):
    """One call, without its content. Its outcome is ``ok``, ``running``, ``cancelled``, ``lost`` or an error's code."""

    id: str
    at: Time
    user: str
    task: str
    dialect: str
    route: str
    label: str
    locality: Locality | None
    reason: str
    message: str
    outcome: str
    cost_usd: Dollars
    prompt_tokens: int | None
    completion_tokens: int | None
    ms: Milliseconds
    first_ms: Milliseconds | None
    attempts: Whole
    privacy: str
    privacy_reason: str
    privacy_message: str
    redactions: dict[str, int]
    sent_bytes: Whole
    notes: list[str]


class CallsSaid(TypedDict):
    """The latest calls."""

    calls: list[CallSaid]


# --- rules and the mode


class AdminRules(TypedDict):
    """The admin's rules."""

    never_leave: list[str]
    privacy: Privacy | None


class RulesSaid(TypedDict):
    """What never leaves; ``problem`` says why the file cannot be understood."""

    file: str
    exists: bool
    never_leave: list[str]
    privacy: Privacy | None
    problem: str | None
    admin: AdminRules


class ModeSaid(TypedDict):
    """A mode, in words."""

    mode: Mode
    label: str
    description: str


class ModesSaid(TypedDict):
    """The mode in force, and those to choose from."""

    mode: Mode
    modes: list[ModeSaid]


class Nothing(TypedDict):
    """An empty object."""
