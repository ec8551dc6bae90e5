"""The ledger's statements and rows: how calls look to the database.

What is written for every call goes straight to the driver's cursor, as SQL that SQLAlchemy compiled once from the
tables; building statements anew for each call would cost several times as much as running them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from aidp_ext.ai.calls import Call

if TYPE_CHECKING:
    from sqlalchemy import ClauseElement, Column, ColumnElement, Table
    from sqlalchemy.engine import Dialect

MAX_NUMBER = 2**62
DELETED_AT_ONCE = 2000  # rows; a longer transaction would keep others waiting

_WRITING = 4_027_302  # PostgreSQL's advisory lock: one writer at a time, as on SQLite
_MAX_TEXT = 500


class KnownCall(NamedTuple):
    """A row of a call that is there already."""

    id: str
    outcome: str
    at: int
    user: str
    team: str
    route: str
    task: str
    locality: str


class Sql:
    """The statements, compiled for one dialect with parameters by position."""

    def __init__(self, dialect: Dialect) -> None:
        from sqlalchemy import ARRAY, Text, any_, bindparam, delete, func, insert, literal_column, select, update
        from sqlalchemy.dialects import postgresql, sqlite

        from aidp_ext.ai.tables import calls, reservations, spend, usage

        self.is_sqlite = dialect.name == "sqlite"
        # Type checkers know the two only as different things, though they do the same here.
        upsert: Any = sqlite.insert if self.is_sqlite else postgresql.insert
        positional = type(dialect)(paramstyle="qmark" if self.is_sqlite else "format")  # type: ignore[call-arg]

        def compiled(statement: ClauseElement) -> str:
            return str(statement.compile(dialect=positional))

        def among(column: Column[str]) -> ColumnElement[bool]:
            """A list as one parameter, so that a statement is the same for every length."""
            if self.is_sqlite:
                each = func.json_each(bindparam("names", type_=Text)).table_valued("value")
                return column.in_(select(each.c.value))
            return column == any_(bindparam("names", type_=ARRAY(Text)))

        def adding(table: Table) -> str:
            statement = upsert(table)
            own = {c.name: c + statement.excluded[c.name] for c in table.columns if not c.primary_key}
            return compiled(statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=own))

        self.begin = "BEGIN IMMEDIATE" if self.is_sqlite else f"BEGIN; SELECT pg_advisory_xact_lock({_WRITING})"
        self.insert_call = compiled(insert(calls))
        self.insert_reservation = compiled(insert(reservations))
        self.add_spend, self.add_usage = adding(spend), adding(usage)
        self.known = compiled(select(*(calls.c[name] for name in KnownCall._fields)).where(among(calls.c.id)))
        self.sums = compiled(select(spend).where(among(spend.c.bucket)))
        columns = reservations.c
        self.beats = compiled(select(columns.id, columns.beat))
        self.beat = compiled(
            update(reservations).values(beat=columns.beat + literal_column("1")).where(among(columns.id))
        )
        self.reserved = compiled(
            select(columns.id, columns.nano, columns.buckets, columns.call).where(among(columns.id))
        )
        self.delete_reservations = compiled(delete(reservations).where(among(columns.id)))
        self.delete_calls = compiled(delete(calls).where(among(calls.c.id)))
        old = (
            select(calls.c.id)
            .where(calls.c.at < bindparam("before"))
            .order_by(calls.c.at)
            .suffix_with(f"LIMIT {DELETED_AT_ONCE}")
        )
        self.delete_old = compiled(delete(calls).where(calls.c.id.in_(old)))

    def names(self, names: Sequence[str]) -> Any:
        """Return a list of names as the parameter of a statement."""
        return msgspec.json.encode(names).decode() if self.is_sqlite else list(names)


def row_of(call: Call, cost: int, saved: int) -> tuple[Any, ...]:
    """Return a call's row, in the order of the table's columns."""
    return (
        as_text(call.id),
        milliseconds(call.at),
        as_text(call.user),
        as_text(call.team),
        as_text(call.task),
        as_text(call.dialect),
        as_text(call.route),
        as_text(call.provider),
        as_text(call.model),
        as_text(call.locality),
        as_text(call.reason),
        as_text(call.privacy),
        as_text(call.privacy_reason),
        as_text(call.outcome),
        as_number(call.attempts),
        _optional(call.prompt_tokens),
        _optional(call.completion_tokens),
        _optional(call.cached_tokens),
        _optional(call.reasoning_tokens),
        _optional(call.first_ms),
        cost,
        saved,
        as_number(call.ms),
        as_number(call.sent_bytes),
        _json(call.redactions) if call.redactions else "{}",
        _json(call.notes) if call.notes else "[]",
    )


def as_text(value: str) -> str:
    """Return a text as every database takes it: a single bad one must not keep all others from being written."""
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode()
    return value[:_MAX_TEXT].replace("\0", "") if "\0" in value or len(value) > _MAX_TEXT else value


def _json(value: Any) -> str:
    if isinstance(value, Mapping):
        return msgspec.json.encode({as_text(str(kind)): as_number(count) for kind, count in value.items()}).decode()
    return msgspec.json.encode([as_text(str(one)) for one in value]).decode()


def as_number(value: int | None) -> int:
    """Return a count as every database holds it; 0 for None."""
    return 0 if value is None else min(max(int(value), 0), MAX_NUMBER)


def _optional(value: int | None) -> int | None:
    return None if value is None else as_number(value)


def milliseconds(at: datetime) -> int:
    """Return a moment as the tables hold it."""
    return int(at.timestamp() * 1000)


def draft_of(call: Call) -> str:
    """Return a call as JSON, to be made a row by another process where this one dies."""
    try:
        return msgspec.json.encode(call).decode()
    except UnicodeEncodeError:  # half a character, as JSON from outside may hold
        return msgspec.json.encode(Call(as_text(call.id), call.at, as_text(call.user))).decode()
