"""The ledger's tables. Imported on first use only: SQLAlchemy costs a server's start too much.

Money is in whole nano-dollars, moments are milliseconds since 1970 in UTC, days their ISO dates. ``migrations/`` makes
what is stated here; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, MetaData, String, Table, Text

metadata = MetaData()


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


#: Every call, until it is older than what is kept.
calls = Table(
    "ai_call",
    metadata,
    Column("id", String, primary_key=True),
    Column("at", BigInteger, nullable=False),
    *(
        Column(name, String, nullable=False)
        for name in (
            *("user", "team", "task", "dialect", "route", "provider", "model", "locality"),
            *("reason", "privacy", "privacy_reason", "outcome"),
        )
    ),
    Column("attempts", BigInteger, nullable=False),
    *(
        Column(name, BigInteger)
        for name in ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "first_ms")
    ),
    *(Column(name, BigInteger, nullable=False) for name in ("cost", "saved", "ms", "sent_bytes")),
    Column("redactions", Text, nullable=False),  # JSON
    Column("notes", Text, nullable=False),  # JSON
    Index("ai_call_at", "at"),
    Index("ai_call_user_at", "user", "at"),
)

#: What the calls of a day add up to: what reports read, and what stays when the calls themselves are deleted.
usage = Table(
    "ai_usage",
    metadata,
    *(Column(name, String, primary_key=True) for name in ("day", "user", "team", "route", "task")),
    *(
        _number(name)
        for name in (
            *("calls", "errors", "prompt_tokens", "completion_tokens", "cost", "saved"),
            *("local_calls", "ms", "timed", "accepted", "rejected"),
        )
    ),
    Index("ai_usage_user_day", "user", "day"),
)

#: What is spent of, and reserved from, each sum that a limit may hold for: ``<period>/<scope>/<name>``.
spend = Table(
    "ai_spend",
    metadata,
    Column("bucket", String, primary_key=True),
    _number("spent"),
    _number("reserved"),
)

#: Money held for calls under way. The process that holds it raises ``beat`` again and again.
reservations = Table(
    "ai_reservation",
    metadata,
    Column("id", String, primary_key=True),
    Column("beat", BigInteger, nullable=False),
    Column("nano", BigInteger, nullable=False),
    Column("buckets", Text, nullable=False),  # JSON
    Column("call", Text, nullable=False),  # JSON: the row that is written where its process dies
)
