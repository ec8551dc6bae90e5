"""What the ledger tells: queries through SQLAlchemy, on connections of their own, so that no writer waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from aidp_ext.ai.budgets import dollars
from aidp_ext.ai.calls import Call, UsageGroup, UsageReport
from aidp_ext.ai.ledger_sql import as_text
from aidp_ext.ai.ledger_store import Store
from aidp_ext.ai.ledger_transaction import day_of
from aidp_ext.core.db import open_engine
from aidp_ext.core.errors import StorageError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Row

T = TypeVar("T")

_GROUPS = {"day": "day", "user": "user", "team": "team", "model": "route", "task": "task"}
_SUMS = (
    *("calls", "errors", "prompt_tokens", "completion_tokens", "cost", "saved"),
    *("local_calls", "ms", "timed", "accepted", "rejected"),
)


class Reader:
    """Reads the database of a store that is open. Its methods block, and may be called from several threads."""

    def __init__(self, url: str, store: Store, patience_s: float) -> None:
        self._url = url
        self._store = store
        self._patience_s = patience_s
        self._engine: Engine | None = None
        self._identity: tuple[int, int] | None = None
        self._opening = threading.Lock()

    def query(self, ask: Callable[[Connection], T]) -> T:
        """Return what ``ask`` finds, in one transaction. Raises StorageError."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._open().begin() as connection:
                return ask(connection)
        except SQLAlchemyError as error:
            raise StorageError(f"The ledger cannot be read: {str(error).splitlines()[0][:200]}.") from error

    def close(self) -> None:
        """Close all connections."""
        with self._opening:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    def _open(self) -> Engine:
        identity = self._store.check()
        with self._opening:
            if self._engine is not None and identity != self._identity:
                self._engine.dispose()
                self._engine = None
            if self._engine is None:
                self._engine = open_engine(self._url, patience_s=self._patience_s, may_write=False)
                self._identity = identity
            return self._engine


def sums_of(connection: Connection, buckets: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return what is spent of, and reserved from, each of these sums, in nano-dollars."""
    from sqlalchemy import select

    from aidp_ext.ai.tables import spend

    found = connection.execute(select(spend).where(spend.c.bucket.in_(buckets)))
    return {row.bucket: (row.spent, row.reserved) for row in found}


def usage_of(connection: Connection, since: datetime, now: datetime, user: str | None) -> UsageReport:
    """Return the usage from the beginning of the day of ``since`` on; of everybody where ``user`` is None."""
    groups = {name: _grouped(connection, column, since, user) for name, column in _GROUPS.items()}
    days = groups["day"]
    today = [group for group in days if group["key"] == day_of(now)]
    midnight = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return UsageReport(
        since=midnight,
        until=now,
        total=_added("total", days),
        today=_added("today", today),
        by={
            name: tuple(_added(group["key"], [group]) for group in (found if name == "day" else _dearest(found)))
            for name, found in groups.items()
        },
    )


def recent_calls(connection: Connection, limit: int, user: str | None) -> tuple[Call, ...]:
    """Return the latest calls, newest first; of everybody where ``user`` is None."""
    from sqlalchemy import select

    from aidp_ext.ai.tables import calls

    query = select(calls).order_by(calls.c.at.desc(), calls.c.id.desc()).limit(limit)
    if user is not None:
        query = query.where(calls.c.user == as_text(user))
    return tuple(_call(row) for row in connection.execute(query))


def _grouped(connection: Connection, column: str, since: datetime, user: str | None) -> list[dict[str, Any]]:
    from sqlalchemy import func, select

    from aidp_ext.ai.tables import usage

    key = usage.c[column]
    query = select(key, *(func.sum(usage.c[name]) for name in _SUMS)).where(usage.c.day >= day_of(since))
    if user is not None:
        query = query.where(usage.c.user == as_text(user))
    rows = connection.execute(query.group_by(key).order_by(key))
    return [{"key": row[0], **{name: int(row[place]) for place, name in enumerate(_SUMS, start=1)}} for row in rows]


def _dearest(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(groups, key=lambda group: (-group["cost"], -group["calls"], group["key"]))


def _added(key: str, groups: Sequence[Mapping[str, Any]]) -> UsageGroup:
    total = {name: sum(group[name] for group in groups) for name in _SUMS}
    return UsageGroup(
        key=key,
        calls=total["calls"],
        errors=total["errors"],
        prompt_tokens=total["prompt_tokens"],
        completion_tokens=total["completion_tokens"],
        cost_usd=dollars(total["cost"]),
        saved_usd=dollars(total["saved"]),
        local_calls=total["local_calls"],
        latency_ms=total["ms"] / total["timed"] if total["timed"] else None,
        accepted=total["accepted"],
        rejected=total["rejected"],
    )


def _call(row: Row[Any]) -> Call:
    fields = dict(row._mapping)
    cost, saved, at = fields.pop("cost"), fields.pop("saved"), fields.pop("at")
    redactions, notes = fields.pop("redactions"), fields.pop("notes")
    return Call(
        **fields,
        at=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at),
        cost_usd=dollars(cost),
        saved_usd=dollars(saved),
        redactions=msgspec.json.decode(redactions, type=dict[str, int]),
        notes=msgspec.json.decode(notes, type=tuple[str, ...]),
    )
