"""What the tests of the ledger share: clocks that are set by hand, calls, and a look into its tables."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from aidp_ext.ai.budgets import Limit
from aidp_ext.ai.ledger import Call, Ledger

MONTH = "2026-03"
DAY = "2026-03-07"
NOON = datetime(2026, 3, 7, 12, tzinfo=UTC).timestamp()


@dataclass
class Clock:
    """Wall clock and monotonic clock, in seconds."""

    wall: float = NOON
    passed: float = 1000.0

    def advance(self, seconds: float) -> None:
        """Let time go by, as it does."""
        self.wall += seconds
        self.passed += seconds

    def ledger(self, url: str, **options: Any) -> Ledger:
        """Return a ledger that lives in this time."""
        return Ledger(url, clock=lambda: self.wall, monotonic=lambda: self.passed, **{"patience_s": 0.3, **options})


def limit(usd: float, scope: str = "deployment", name: str = "", period: str = "month") -> Limit:
    """Return a limit."""
    return Limit(scope, name, period, usd)


def call(name: str, usd: float = 0.0, **fields: Any) -> Call:
    """Return a call of ana at noon."""
    return Call(**{"id": name, "at": datetime.fromtimestamp(NOON, UTC), "user": "ana", "cost_usd": usd, **fields})


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """Return what the database itself says."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()
    with psycopg.connect(url) as other:
        return other.execute(query).fetchall()


def sums(url: str, bucket: str = f"{MONTH}/deployment/") -> tuple[int, int]:
    """Return what is spent and reserved, in nano-dollars."""
    found = rows(url, f"SELECT spent, reserved FROM ai_spend WHERE bucket = '{bucket}'")
    return found[0] if found else (0, 0)
