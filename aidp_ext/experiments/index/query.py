"""Which runs are meant, in which order: SQL over the index.

Three ways lead to a page. Where a condition names few runs, these are looked up by it, and all of them put in order.
Else runs are walked through in the order that is wanted, by an index, until the page is full. Where no index has that
order, all are sorted. `INDEXED BY` and `CROSS JOIN` say which way: SQLite's planner knows no statistics of a file that
grows from nothing.
"""

# ruff: noqa: S608 - what is put into SQL are names of tables and columns of ours; values are always parameters

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aidp_ext.experiments.index.filter import Condition, Identifier, Order
from aidp_ext.experiments.index.schema import SHORT

#: Up to how many runs a condition may name to lead the way.
FEW = 20_000
_SQL_OPS = {"=": "=", "!=": "<>", "LIKE": "LIKE"}
_COLUMNS = {
    "run_id": "r.run_id",
    "run_name": "r.name",
    "user_id": "r.user",
    "status": "r.status",
    "artifact_uri": "r.artifact_uri",
    "start_time": "r.start_ms",
    "end_time": "r.end_ms",
    "duration": "(coalesce(r.end_ms, strftime('%s', 'now') * 1000) - r.start_ms)",
    "diverged": "iif(r.diverged, 'true', 'false')",
}
_TABLES = {"metric": "metrics", "param": "params", "tag": "tags"}
_RUN_NAME = Identifier("tag", "mlflow.runName")


@dataclass(frozen=True)
class Search:
    """What is asked. ``experiments`` are numbers of the index, and only such as the asker may see."""

    experiments: tuple[int, ...]
    stages: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()
    orders: tuple[Order, ...] = ()


@dataclass
class _Sql:
    """A piece of SQL and its values."""

    text: str
    values: list[Any] = field(default_factory=list)

    def __add__(self, other: _Sql) -> _Sql:
        return _Sql(f"{self.text} {other.text}", [*self.values, *other.values])


def numbers_of(connection: sqlite3.Connection, wanted: Sequence[str], visible: frozenset[str] | None) -> list[int]:
    """Return the numbers of experiments, of all that are not deleted where none is named: those that may be seen."""
    sql = _Sql("SELECT n FROM experiments WHERE")
    sql += (
        _Sql("id IN (SELECT value FROM json_each(?))", [json.dumps(list(wanted))])
        if wanted
        else _Sql("stage = 'active'")
    )
    if visible is not None:
        sql += _Sql("AND id IN (SELECT value FROM json_each(?))", [json.dumps(sorted(visible))])
    return [row[0] for row in connection.execute(sql.text, sql.values)]


def page(connection: sqlite3.Connection, search: Search, offset: int, limit: int) -> tuple[list[int], int | None]:
    """Return the numbers of some runs, and where it is known by then of how many."""
    if not search.experiments:
        return [], 0
    query = _Query(connection, search)
    if (found := query.by_condition()) is not None:
        return found[offset : offset + limit], len(found)
    return query.walk(offset, limit), None


def total(connection: sqlite3.Connection, search: Search) -> int:
    """Return how many runs are meant."""
    if not search.experiments:
        return 0
    return _Query(connection, search).count()


class _Query:
    def __init__(self, connection: sqlite3.Connection, search: Search) -> None:
        self._connection = connection
        self._search = search

    def _key(self, name: str) -> int:
        """Return the number of a name; -1, which no name has, where there is none."""
        row = self._connection.execute("SELECT n FROM keys WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else -1

    def _rows(self, sql: _Sql) -> list[int]:
        return [row[0] for row in self._connection.execute(sql.text, sql.values)]

    # ---- conditions

    def _scope(self, of: str) -> _Sql:
        """Restrict to the experiments."""
        return _one_of(f"{of}.exp", self._search.experiments)

    def _stage(self) -> _Sql:
        return _one_of("r.stage", self._search.stages)

    def _all_of(self, conditions: Sequence[Condition]) -> _Sql:
        found = _Sql("")
        for condition in conditions:
            found += _Sql("AND") + self._holds(condition)
        return found

    def _holds(self, condition: Condition) -> _Sql:
        """Return the SQL for one condition of the run ``r``."""
        about = condition.about
        if about.entity == "attribute" and about.key != "run_name":
            return _compared(_COLUMNS[about.key], condition)
        if about.entity == "dataset":
            said = _compared(f"i.{about.key}", condition)
            return (
                _Sql(f"EXISTS (SELECT 1 FROM inputs i WHERE i.run = r.n AND i.{about.key} <> '' AND") + said + _Sql(")")
            )
        if about.entity == "attribute":  # MLflow looks at the tag
            about = _RUN_NAME
        there = _Sql(
            f"EXISTS (SELECT 1 FROM {_TABLES[about.entity]} c WHERE c.run = r.n AND c.key = ?", [self._key(about.key)]
        )
        if condition.op == "IS NULL":
            return _Sql("NOT") + there + _Sql(")")
        if condition.op == "IS NOT NULL":
            return there + _Sql(")")
        return there + _Sql("AND") + _value(about, condition) + _Sql(")")

    # ---- the condition that leads the way

    def by_condition(self) -> list[int] | None:
        """Return all runs that are meant, in their order, where a condition names few; else None."""
        lead = self._lead(FEW)
        if lead is None:
            return None
        condition, source = lead
        others = [one for one in self._search.conditions if one is not condition]
        joins, order = self._order()
        sql = _Sql("SELECT r.n FROM") + source[0] + _Sql("CROSS JOIN runs r ON r.n = d.run") + joins
        return self._rows(sql + _Sql("WHERE") + source[1] + _Sql("AND") + self._stage() + self._all_of(others) + order)

    def _lead(self, most: int) -> tuple[Condition, tuple[_Sql, _Sql]] | None:
        best, least = None, most + 1
        for condition in self._search.conditions:
            source = self._source(condition)
            if source is None:
                continue
            some = _Sql("SELECT count(*) FROM (SELECT 1 FROM") + source[0] + _Sql("WHERE") + source[1]
            (count,) = self._rows(some + _Sql("LIMIT ?)", [least]))
            if count < least:
                best, least = (condition, source), count
        return best

    def _source(self, condition: Condition) -> tuple[_Sql, _Sql] | None:
        """Return where an index finds what a condition names; None where none does."""
        about = condition.about
        if about == Identifier("attribute", "run_name"):
            about = _RUN_NAME
        if about.entity not in _TABLES or condition.op in ("IS NULL", "IS NOT NULL", "NOT IN", "!=", "LIKE", "ILIKE"):
            return None
        table = _TABLES[about.entity]
        where = self._scope("d") + _Sql("AND d.key = ?", [self._key(about.key)])
        if about.entity == "metric":
            where += _Sql("AND d.is_nan = 0 AND") + _compared("d.value", condition)
        else:
            where += _Sql("AND") + _compared("d.value", condition)
        if about.entity == "tag":
            values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
            if any(len(str(value)) > SHORT for value in values):
                return None
            where += _Sql(f"AND length(d.value) <= {SHORT}")
        return _Sql(f"{table} d INDEXED BY {table}_by_value"), where

    # ---- order

    def _order(self) -> tuple[_Sql, _Sql]:
        """Return the joins and the ORDER BY, as MLflow has it: what has no value comes last, NaN before that."""
        joins, terms = _Sql(""), []
        for number, order in enumerate(self._search.orders):
            way = "DESC" if order.descending else "ASC"
            if order.by.entity == "attribute":
                column = _COLUMNS[order.by.key]
                terms += [f"{column} IS NULL", f"{column} {way}"]
                continue
            of = f"o{number}"
            joins += _Sql(
                f"LEFT JOIN {_TABLES[order.by.entity]} {of} ON {of}.run = r.n AND {of}.key = ?",
                [self._key(order.by.key)],
            )
            if order.by.entity == "metric":
                terms.append(f"CASE WHEN {of}.is_nan = 1 THEN 1 WHEN {of}.value IS NULL THEN 2 ELSE 0 END")
            else:
                terms.append(f"{of}.value IS NULL")
            terms.append(f"{of}.value {way}")
        if Identifier("attribute", "start_time") not in (order.by for order in self._search.orders):
            terms.append("r.start_ms DESC")
        return joins, _Sql(f"ORDER BY {', '.join([*terms, 'r.run_id'])}")

    # ---- walking in the order that is wanted

    def walk(self, offset: int, limit: int) -> list[int]:
        """Return a page of the runs that are meant."""
        orders, one_stage = self._search.orders, len(self._search.stages) == 1
        way = "DESC"
        if len(orders) == 1 and orders[0].by == Identifier("attribute", "start_time"):
            way, orders = ("DESC" if orders[0].descending else "ASC"), ()
        if not orders and one_stage:
            return self._rows(self._by_time(way, _Sql("")) + _Sql("LIMIT ? OFFSET ?", [limit, offset]))
        if (
            len(orders) == 1
            and one_stage
            and len(self._search.experiments) == 1
            and orders[0].by.entity in ("metric", "param")
        ):
            return self._by_value(orders[0], offset, limit)
        joins, order = self._order()
        sql = _Sql("SELECT r.n FROM runs r") + joins + _Sql("WHERE") + self._scope("r") + _Sql("AND") + self._stage()
        return self._rows(
            sql + self._all_of(self._search.conditions) + order + _Sql("LIMIT ? OFFSET ?", [limit, offset])
        )

    def _by_time(self, way: str, further: _Sql) -> _Sql:
        index = "runs_by_time" if len(self._search.experiments) == 1 else "runs_by_time_of_all"
        sql = _Sql(f"SELECT r.n FROM runs r INDEXED BY {index} WHERE") + self._stage() + _Sql("AND") + self._scope("r")
        return sql + self._all_of(self._search.conditions) + further + _Sql(f"ORDER BY r.start_ms {way}, r.run_id")

    def _by_value(self, order: Order, offset: int, limit: int) -> list[int]:
        """Walk through the runs that have a value, then NaN, then those that have none."""
        key = self._key(order.by.key)
        parts = [
            self._with_value(order, key, is_nan) for is_nan in ((0, 1) if order.by.entity == "metric" else (None,))
        ]
        lacking = f"AND NOT EXISTS (SELECT 1 FROM {_TABLES[order.by.entity]} o WHERE o.run = r.n AND o.key = ?)"
        parts.append(self._by_time("DESC", _Sql(lacking, [key])))
        found: list[int] = []
        for part in parts:
            rows = self._rows(part + _Sql("LIMIT ? OFFSET ?", [limit - len(found), offset]))
            found += rows
            if len(found) == limit:
                break
            if rows:
                offset = 0
            elif offset and part is not parts[-1]:
                (count,) = self._rows(_Sql(f"SELECT count(*) FROM ({part.text})", part.values))
                offset -= count
        return found

    def _with_value(self, order: Order, key: int, is_nan: int | None) -> _Sql:
        table = _TABLES[order.by.entity]
        sql = _Sql(f"SELECT r.n FROM {table} o INDEXED BY {table}_by_value CROSS JOIN runs r ON r.n = o.run WHERE")
        sql += self._scope("o") + _Sql("AND o.key = ?", [key])
        if is_nan is not None:
            sql += _Sql(f"AND o.is_nan = {is_nan}")
        sql += _Sql("AND") + self._stage() + self._all_of(self._search.conditions)
        return sql + _Sql(f"ORDER BY o.value {'DESC' if order.descending else 'ASC'}, r.start_ms DESC, r.run_id")

    # ---- how many

    def count(self) -> int:
        """Return how many runs are meant."""
        lead = self._lead(1 << 60)
        if lead is None:
            index = "runs_by_time" if not self._search.conditions else "runs_by_time_of_all"
            sql = _Sql(f"SELECT count(*) FROM runs r INDEXED BY {index} WHERE") + self._scope("r")
            sql += _Sql("AND") + self._stage() + self._all_of(self._search.conditions)
        else:
            condition, source = lead
            others = [one for one in self._search.conditions if one is not condition]
            sql = _Sql("SELECT count(*) FROM") + source[0] + _Sql("CROSS JOIN runs r ON r.n = d.run WHERE") + source[1]
            sql += _Sql("AND") + self._stage() + self._all_of(others)
        (count,) = self._rows(sql)
        return count


def _one_of(column: str, values: Sequence[int | str]) -> _Sql:
    if len(values) == 1:
        return _Sql(f"{column} = ?", [values[0]])
    return _Sql(f"{column} IN (SELECT value FROM json_each(?))", [json.dumps(list(values))])


def _value(about: Identifier, condition: Condition) -> _Sql:
    """Compare the value of ``c``. NaN is kept as 0 and equals nothing."""
    said = _compared("c.value", condition)
    if about.entity != "metric":
        return said
    if condition.op == "!=":
        return _Sql("(") + said + _Sql("OR c.is_nan = 1)")
    return _Sql("c.is_nan = 0 AND") + said


def _compared(column: str, condition: Condition) -> _Sql:
    op = condition.op
    if op in ("IN", "NOT IN"):
        assert isinstance(condition.value, tuple)
        return _Sql(f"{column} {op} (SELECT value FROM json_each(?))", [json.dumps(condition.value)])
    if op == "ILIKE":
        return _Sql(f"lower({column}) LIKE lower(?)", [condition.value])
    return _Sql(f"{column} {_SQL_OPS.get(op, op)} ?", [condition.value])
