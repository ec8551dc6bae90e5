"""Budgets: which limits bind a caller, what a call can cost at the most, and when a period ends. Pure functions.

Money is counted in whole nano-dollars, so that no sum is ever off by a rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from aidp_ext.ai.models import Caller, Price
from aidp_ext.ai.prices import parts_of

Body = dict[str, Any]

EVERYBODY = "*"  # the team's name in the rules that stands for each team without an entry of its own

_NANO = 1_000_000_000
MOST_USD = 1e9 - 1  # as nano-dollars it still fits a database's whole number
_MOST_ANSWERS = 1 << 31
#: What providers add to a prompt by themselves: their own system prompt for tools (Anthropic states up to 530 tokens,
#: https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview#pricing), marks between messages.
_ADDED_TOKENS = 2048
_ADDED_PER_MESSAGE = 16
_ADDED_PER_TOOL = 64
#: The dearest image known: 8 tiles of 5,667 tokens and 2,833 more on gpt-4o-mini
#: (https://platform.openai.com/docs/guides/images-vision, "Calculating costs").
_IMAGE_TOKENS = 48_169
#: What a model can read at the most, where nobody says: twice the longest context sold for general use.
_LONGEST_CONTEXT = 2_097_152
#: How often tools that run at the provider may call the model anew within one request
#: (https://platform.claude.com/docs/en/agents-and-tools/tool-use/server-tools: 10 by default), and once to begin.
_SERVER_ROUNDS = 11
_IMAGES = frozenset({"image_url", "image"})
_BY_REFERENCE = frozenset({"file", "document", "video_url", "video", "container_upload"})
_CLIENT_TOOLS = ("function", "custom", "bash_", "text_editor_", "computer_", "memory_")


@dataclass(frozen=True)
class Limit:
    """So much money for one user, one team, or everybody together, in a day or a month of UTC."""

    scope: str  # "user", "team" or "deployment"
    name: str  # of the user or the team; empty for the deployment
    period: str  # "month" or "day"
    limit_usd: float
    soft_usd: float | None = None  # from here on front ends warn


@dataclass(frozen=True)
class BudgetState:
    """A limit, and where it stands."""

    limit: Limit
    spent_usd: float
    reserved_usd: float  # by calls under way, at the most that they can cost
    resets_at: datetime

    @property
    def state(self) -> str:
        """Return ``hard`` where everything is spent, ``soft`` from the soft limit on, else ``ok``."""
        if self.spent_usd >= self.limit.limit_usd:
            return "hard"
        return "soft" if self.limit.soft_usd is not None and self.spent_usd >= self.limit.soft_usd else "ok"

    @property
    def left_usd(self) -> float:
        """Return what can still be spent, never below 0."""
        return max(0.0, self.limit.limit_usd - self.spent_usd - self.reserved_usd)


@dataclass(frozen=True)
class BudgetRules:
    """What the admin allows, in US dollars; None is no limit, 0 forbids everything that costs."""

    deployment_monthly_usd: float | None = None
    deployment_daily_usd: float | None = None
    user_monthly_usd: float | None = None  # of each user
    user_daily_usd: float | None = None
    team_monthly_usd: Mapping[str, float] = field(default_factory=dict)  # by team; "*" for all that are not named
    team_daily_usd: Mapping[str, float] = field(default_factory=dict)
    soft_share: float | None = 0.8  # of a limit, from where front ends warn


def limits_for(caller: Caller, rules: BudgetRules) -> tuple[Limit, ...]:
    """Return every limit that binds a caller: the deployment's, those of all teams that it is in, and its own."""

    def limit(scope: str, name: str, period: str, usd: float | None) -> list[Limit]:
        if usd is None:
            return []
        return [Limit(scope, name, period, usd, None if rules.soft_share is None else usd * rules.soft_share)]

    found = limit("deployment", "", "month", rules.deployment_monthly_usd)
    found += limit("deployment", "", "day", rules.deployment_daily_usd)
    for team in dict.fromkeys(caller.teams):
        for period, by_team in (("month", rules.team_monthly_usd), ("day", rules.team_daily_usd)):
            found += limit("team", team, period, by_team.get(team, by_team.get(EVERYBODY)))
    found += limit("user", caller.name, "month", rules.user_monthly_usd)
    found += limit("user", caller.name, "day", rules.user_daily_usd)
    return tuple(found)


def tightest(states: tuple[BudgetState, ...]) -> BudgetState | None:
    """Return the budget with the least left, the one that resets last among equals; None where none binds."""
    least_usd = min([state.left_usd for state in states], default=0.0)
    tied = [state for state in states if state.left_usd == least_usd]
    return max(tied, key=lambda state: state.resets_at) if len(tied) > 1 else next(iter(tied), None)


def prompt_bound(body: Body, context_tokens: int | None = None) -> int:
    """Return the most tokens that a request's prompt can be billed as.

    No tokenizer makes more tokens than a text has bytes in UTF-8 (byte-level BPE and byte fallback end at single
    bytes; those that first expand compatibility characters such as U+FDFA are the exception that is accepted here),
    and the request as JSON has at least the bytes of all its texts. On top come what providers add by themselves, and
    an allowance for each image instead of its encoded bytes. What a request only refers to (files, videos, tools that
    run at the provider and read the web) is bounded by what the model can read: ``context_tokens``, or the longest
    context sold where that is not known. A prompt that is longer than the context is refused, so it is the bound of
    everything; tools at the provider may have the model read it several times.
    """
    parts = parts_of(body)
    context = (context_tokens or _LONGEST_CONTEXT) * _prompts_in(body)
    if (rounds := _rounds(body)) > 1 or any(part.get("type") in _BY_REFERENCE for part in parts):
        return context * rounds
    size = len(msgspec.json.encode(body)) + _ADDED_TOKENS
    size += len(body.get("messages") or ()) * _ADDED_PER_MESSAGE + len(body.get("tools") or ()) * _ADDED_PER_TOOL
    size += sum(_IMAGE_TOKENS - _encoded_image(part) for part in parts if part.get("type") in _IMAGES)
    return size if context_tokens is None else min(size, context)


def worst_case_usd(price: Price, body: Body, output_tokens: int, *, context_tokens: int | None = None) -> float:
    """Return the dollars that a call cannot exceed: the prompt's bound and the longest answers, at the dearest price.

    ``output_tokens`` is the most that one answer may have, reasoning included; ``price`` the one for a prompt of
    `prompt_bound` tokens. Each answer counts (``n``, ``best_of``, lists of prompts), and what OpenAI's ``prediction``
    holds, which is billed as an answer where it was wrong. Not in it: fees that are no tokens, such as those per web
    search. At most `MOST_USD`, which no budget allows.
    """
    read = prompt_bound(body, context_tokens) * max(price.input, price.cache_write or 0.0, price.cached_input or 0.0)
    answers = _prompts_in(body) * max(_count(body.get("n")), _count(body.get("best_of"))) * _rounds(body)
    predicted = len(msgspec.json.encode(body["prediction"])) if body.get("prediction") else 0
    return min(MOST_USD, (read + answers * (output_tokens + predicted) * price.output) / 1e6)


def period_of(period: str, at: datetime) -> str:
    """Return the name of the period that a moment lies in, in UTC: ``2026-03`` or ``2026-03-07``."""
    return at.astimezone(UTC).strftime("%Y-%m" if period == "month" else "%Y-%m-%d")


def resets_at(period: str, now: datetime) -> datetime:
    """Return when the period that ``now`` lies in ends: the next midnight, or the next month's first, in UTC."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return midnight + timedelta(days=1)
    return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)


def nano(usd: float) -> int:
    """Return dollars as whole nano-dollars, rounded up. Raises ValueError for what is no amount."""
    if not 0 <= usd < 1e9:
        raise ValueError(f"{usd!r} is no amount of dollars.")
    # The thousandths are the noise of binary fractions, such as 0.1 + 0.2.
    return math.ceil(round(usd * _NANO, 3))


def dollars(amount: int) -> float:
    """Return nano-dollars as dollars."""
    return amount / _NANO


def _encoded_image(part: dict[str, Any]) -> int:
    """Return the length of an image that is written into the request, which counts by its area and not its bytes."""
    if part.get("type") not in _IMAGES:
        return 0
    url, source = part.get("image_url"), part.get("source")
    held = url.get("url") if isinstance(url, dict) else url
    if isinstance(source, dict):
        held = source.get("data")
    return len(held) if isinstance(held, str) and held.isascii() else 0


def _prompts_in(body: Body) -> int:
    """Return how many prompts a request holds: completions and embeddings take a list of texts, or of tokens."""
    lists = [given for given in (body.get("prompt"), body.get("input")) if isinstance(given, list) and given]
    return max([1 if isinstance(given[0], int) else len(given) for given in lists], default=1)  # or the tokens of one


def _rounds(body: Body) -> int:
    """Return how often the model may be called within one request: several times where the provider runs tools."""
    tools = [tool for tool in body.get("tools") or () if isinstance(tool, dict)]
    runs_tools = any(not str(tool.get("type") or "function").startswith(_CLIENT_TOOLS) for tool in tools)
    return _SERVER_ROUNDS if runs_tools or "web_search_options" in body or body.get("mcp_servers") else 1


def _count(value: Any) -> int:
    return min(value, _MOST_ANSWERS) if isinstance(value, int) and value > 0 else 1
