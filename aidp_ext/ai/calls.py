"""What the ledger keeps and tells: calls, money that is held for them, and what they add up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

LOST = "lost"  # the outcome of a call whose process died before it could say one


@dataclass(frozen=True)
class Call:
    """One request to the router and how it ended: a row of the ledger. Money in US dollars, tokens as reported."""

    id: str
    at: datetime  # when the request came in; with its time zone
    user: str
    team: str = ""
    task: str = ""
    dialect: str = ""
    route: str = ""
    provider: str = ""
    model: str = ""
    locality: str = ""
    reason: str = ""
    privacy: str = ""
    privacy_reason: str = ""
    outcome: str = "ok"  # "cancelled", or the code of an error
    attempts: int = 1
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float = 0.0
    saved_usd: float = 0.0
    ms: int = 0
    first_ms: int | None = None
    sent_bytes: int = 0
    redactions: Mapping[str, int] = field(default_factory=dict)  # how many of each kind
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Reservation:
    """Money that is held for a call under way.

    It stays held as long as this object lives: whoever drops it without settling or releasing it gives the money back.
    """

    id: str  # empty where no limit binds: then nothing is held
    nano: int  # nano-dollars
    buckets: tuple[str, ...]  # the sums that it is held in, and its cost is added to
    at: datetime  # its day and month are the cost's

    @property
    def usd(self) -> float:
        """Return what is held, in US dollars."""
        return self.nano / 1e9


@dataclass(frozen=True)
class UsageGroup:
    """What the calls with one ``key`` add up to."""

    key: str
    calls: int = 0
    errors: int = 0  # every outcome but "ok" and "cancelled"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    saved_usd: float = 0.0
    local_calls: int = 0
    latency_ms: float | None = None  # mean of the calls that went well; None without one
    accepted: int = 0  # suggestions that were taken over
    rejected: int = 0

    @property
    def local_share(self) -> float | None:
        """Return the share of local calls, 0 to 1; None without calls."""
        return self.local_calls / self.calls if self.calls else None


@dataclass(frozen=True)
class UsageReport:
    """Usage from the beginning of a day of UTC on; groups by day in their order, the others dearest first."""

    since: datetime
    until: datetime
    total: UsageGroup
    today: UsageGroup
    by: Mapping[str, tuple[UsageGroup, ...]]  # "day", "user", "team", "model" (routes), "task"
