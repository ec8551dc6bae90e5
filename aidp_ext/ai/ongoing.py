"""A call under way."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aidp_ext.ai.calls import Reservation
from aidp_ext.ai.models import NO_USAGE, Caller, Choice, Dialect, RouteRequest, Usage
from aidp_ext.ai.providers.base import Body
from aidp_ext.ai.redact import Redacted
from aidp_ext.ai.rules import Verdict


@dataclass
class Ongoing:
    """A call under way, and in the end what is recorded of it."""

    dialect: Dialect
    request: RouteRequest
    body: Body
    caller: Caller
    verdict: Verdict
    size: int  # bytes of the request
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = field(default_factory=time.monotonic)
    choice: Choice | None = None
    attempts: int = 0
    attempt_started: float = 0.0
    redacted: Redacted | None = None
    held: Reservation | None = None  # of a model that was asked, and whose answer nobody waited for
    notes: list[str] = field(default_factory=list)
    sent_bytes: int = 0  # that left this machine
    first_ms: float | None = None
    usage: Usage = NO_USAGE
    cost_usd: float = 0.0
    saved_usd: float = 0.0
    outcome: str = "running"

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the request came in."""
        return (time.monotonic() - self.started) * 1000

    @property
    def attempt_ms(self) -> float:
        """Milliseconds since the model at hand was asked."""
        return (time.monotonic() - self.attempt_started) * 1000

    @property
    def redactions(self) -> dict[str, int]:
        """How many values of each kind were replaced in what left."""
        counts: dict[str, int] = {}
        if self.sent_bytes and self.redacted is not None:
            for finding in self.redacted.findings:
                counts[finding.kind] = counts.get(finding.kind, 0) + finding.count
        return counts
