"""Which columns an experiment's list can show."""

# ruff: noqa: S608 - what is put into SQL are names of tables and columns of ours; values are always parameters

from __future__ import annotations

import sqlite3

from aidp_ext.experiments.index.schema import SHORT
from aidp_ext.experiments.models import LARGEST, Columns, MetricColumn, TextColumn

#: How many values of a parameter or tag are told, and among how many runs they are looked for.
_VALUES, _LOOKED_AT = 20, 20_000
#: These are told elsewhere, or are no values that one sorts by.
_HIDDEN = ("mlflow.log-model.history", "mlflow.note.content", "aidp.cell.source", "aidp.process")
_LIKE = "k.name LIKE ? ESCAPE '\\'"


def columns(connection: sqlite3.Connection, experiment: int, search: str, limit: int) -> Columns:
    """Return the most frequent metrics, parameters and tags whose names hold ``search``, in any case."""
    pattern = "%" + "".join(f"\\{sign}" if sign in "%_\\" else sign for sign in search.lower()) + "%"
    return Columns(
        metrics=_metrics(connection, experiment, pattern, limit),
        params=_texts(connection, "params", experiment, pattern, limit),
        tags=_texts(connection, "tags", experiment, pattern, limit),
    )


def _metrics(connection: sqlite3.Connection, experiment: int, pattern: str, limit: int) -> tuple[MetricColumn, ...]:
    question = """
        SELECT k.name, m.runs, m.least, m.most FROM (
          SELECT key, count(*) AS runs, min(iif(is_nan = 0 AND abs(value) < ?, value, NULL)) AS least,
            max(iif(is_nan = 0 AND abs(value) < ?, value, NULL)) AS most
          FROM metrics INDEXED BY metrics_by_value WHERE exp = ? GROUP BY key) m JOIN keys k ON k.n = m.key
        WHERE lower(k.name) LIKE ? ESCAPE '\\' ORDER BY m.runs DESC, k.name LIMIT ?
    """
    values = (LARGEST, LARGEST, experiment, pattern, limit)
    return tuple(MetricColumn(*row) for row in connection.execute(question, values))


def _texts(
    connection: sqlite3.Connection, table: str, experiment: int, pattern: str, limit: int
) -> tuple[TextColumn, ...]:
    short = f"AND length(value) <= {SHORT}" if table == "tags" else ""
    question = f"""
        SELECT k.n, k.name, t.runs FROM (
          SELECT key, count(*) AS runs FROM {table} INDEXED BY {table}_by_value WHERE exp = ? {short} GROUP BY key) t
          JOIN keys k ON k.n = t.key
        WHERE lower(k.name) LIKE ? ESCAPE '\\' ORDER BY t.runs DESC, k.name LIMIT ?
    """
    frequent = f"""
        SELECT value FROM (
          SELECT value FROM {table} INDEXED BY {table}_by_value WHERE exp = ? AND key = ? {short} LIMIT {_LOOKED_AT})
        GROUP BY value ORDER BY count(*) DESC, value LIMIT {_VALUES}
    """
    found = []
    for key, name, runs in connection.execute(question, (experiment, pattern, limit)).fetchall():
        if name in _HIDDEN:
            continue
        values = connection.execute(frequent, (experiment, key)).fetchall()
        found.append(TextColumn(name, runs, tuple(str(row[0])[:SHORT] for row in values)))
    return tuple(found)
