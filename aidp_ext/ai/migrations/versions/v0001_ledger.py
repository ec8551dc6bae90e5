"""The ledger: calls, their daily sums, what is spent, and what is reserved."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _texts(*names: str, key: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String, nullable=False, primary_key=key) for name in names]


def _sums(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in names]


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "ai_call",
        *_texts("id", key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        *_texts("user", "team", "task", "dialect", "route", "provider", "model", "locality"),
        *_texts("reason", "privacy", "privacy_reason", "outcome"),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        *(
            sa.Column(name, sa.BigInteger)
            for name in ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "first_ms")
        ),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("cost", "saved", "ms", "sent_bytes")),
        sa.Column("redactions", sa.Text, nullable=False),
        sa.Column("notes", sa.Text, nullable=False),
    )
    op.create_index("ai_call_at", "ai_call", ["at"])
    op.create_index("ai_call_user_at", "ai_call", ["user", "at"])
    op.create_table(
        "ai_usage",
        *_texts("day", "user", "team", "route", "task", key=True),
        *_sums("calls", "errors", "prompt_tokens", "completion_tokens", "cost", "saved"),
        *_sums("local_calls", "ms", "timed", "accepted", "rejected"),
    )
    op.create_index("ai_usage_user_day", "ai_usage", ["user", "day"])
    op.create_table("ai_spend", *_texts("bucket", key=True), *_sums("spent", "reserved"))
    op.create_table(
        "ai_reservation",
        *_texts("id", key=True),
        sa.Column("beat", sa.BigInteger, nullable=False),
        sa.Column("nano", sa.BigInteger, nullable=False),
        sa.Column("buckets", sa.Text, nullable=False),
        sa.Column("call", sa.Text, nullable=False),
    )
