"""What is told of runs, read from the index."""

# ruff: noqa: S608 - what is put into SQL are names of tables and columns of ours; values are always parameters

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence

from aidp_ext.experiments.models import CellRef, CellRuns, MetricNow, Row, value_of

NOTEBOOK, CELL_ID, CELL_COUNT = "aidp.notebook", "aidp.cell.id", "aidp.cell.count"
DIRTY, ENDED, USER, COMMIT = "aidp.git.dirty", "aidp.ended", "aidp.user", "mlflow.source.git.commit"
_LINEAGE = (NOTEBOOK, CELL_ID, CELL_COUNT, DIRTY, ENDED, USER, COMMIT, "mlflow.user")
_HEADS = """
SELECT r.n, r.run_id, e.id, r.name, r.status, r.stage, coalesce(r.start_ms, 0), r.end_ms, coalesce(r.user, ''),
  r.diverged
FROM runs r JOIN experiments e ON e.n = r.exp WHERE r.n IN (SELECT value FROM json_each(?))
"""
_EXPERIMENTS = """
SELECT e.id, e.name, e.stage, e.note,
  (SELECT count(*) FROM runs r INDEXED BY runs_by_time WHERE r.exp = e.n AND r.stage = 'active'),
  (SELECT count(*) FROM runs r INDEXED BY runs_alive
    WHERE r.exp = e.n AND r.status IN ('RUNNING', 'SCHEDULED') AND r.status = 'RUNNING' AND r.stage = 'active'),
  (SELECT r.start_ms FROM runs r INDEXED BY runs_by_time WHERE r.exp = e.n AND r.stage = 'active'
    ORDER BY r.start_ms DESC LIMIT 1)
FROM experiments e WHERE ? IS NULL OR e.id IN (SELECT value FROM json_each(?))
"""


def experiments(connection: sqlite3.Connection, visible: frozenset[str] | None) -> list[tuple]:  # type: ignore[type-arg]
    """Return id, name, stage, note, runs, running and last start of each experiment that may be seen."""
    ids = None if visible is None else json.dumps(sorted(visible))
    return connection.execute(_EXPERIMENTS, (ids, ids)).fetchall()


def version(connection: sqlite3.Connection) -> tuple[str, int]:
    """Return which index this is, and the number of its last change."""
    said = dict(connection.execute("SELECT name, value FROM meta WHERE name IN ('generation', 'seq')"))
    return str(said["generation"]), int(said["seq"])


def numbers(connection: sqlite3.Connection, ids: Sequence[str], visible: frozenset[str] | None) -> dict[str, int]:
    """Return the number of each run that is there and may be seen."""
    seen = None if visible is None else json.dumps(sorted(visible))
    rows = connection.execute(
        "SELECT r.run_id, r.n FROM runs r JOIN experiments e ON e.n = r.exp"
        " WHERE r.run_id IN (SELECT value FROM json_each(?))"
        " AND (? IS NULL OR e.id IN (SELECT value FROM json_each(?)))",
        (json.dumps(list(ids)), seen, seen),
    )
    return dict(rows.fetchall())


def rows(connection: sqlite3.Connection, ns: Sequence[int], columns: Iterable[str] = ()) -> list[Row]:
    """Return runs as a list shows them, in the order of their numbers; one that is gone is left out."""
    if not ns:
        return []
    named = json.dumps(list(ns))
    heads = {row[0]: row[1:] for row in connection.execute(_HEADS, (named,))}
    tags = _texts(connection, "tags", named, _LINEAGE)
    values = _values(connection, named, tuple(dict.fromkeys(columns)))
    return [_row(heads[n], tags.get(n, {}), values(n)) for n in ns if n in heads]


def _row(head: tuple, tags: dict[str, str], values: dict[str, float | str | None]) -> Row:  # type: ignore[type-arg]
    id, experiment, name, status, stage, start, end, user, diverged = head
    cell = None
    if NOTEBOOK in tags:
        count = tags.get(CELL_COUNT, "")
        cell = CellRef(tags[NOTEBOOK], tags.get(CELL_ID), int(count) if count.isdecimal() else None)
    return Row(
        id=id,
        name=name,
        experiment_id=experiment,
        status=status,
        stage=stage,
        start_ms=start,
        end_ms=end,
        user=tags.get(USER) or tags.get("mlflow.user") or user,
        cell=cell,
        commit=tags.get(COMMIT),
        dirty=tags[DIRTY] == "true" if DIRTY in tags else None,
        diverged=bool(diverged),
        ended=tags.get(ENDED),
        values=values,
    )


def _keys(connection: sqlite3.Connection, names: Iterable[str]) -> dict[int, str]:
    rows = connection.execute(
        "SELECT n, name FROM keys WHERE name IN (SELECT value FROM json_each(?))", (json.dumps(list(names)),)
    )
    return dict(rows.fetchall())


def _texts(connection: sqlite3.Connection, table: str, named: str, names: Iterable[str]) -> dict[int, dict[str, str]]:
    keys = _keys(connection, names)
    found: dict[int, dict[str, str]] = {}
    question = (
        f"SELECT run, key, value FROM {table} WHERE run IN (SELECT value FROM json_each(?))"
        " AND key IN (SELECT value FROM json_each(?))"
    )
    for run, key, value in connection.execute(question, (named, json.dumps(list(keys)))):
        found.setdefault(run, {})[keys[key]] = value
    return found


class _values:
    """The values of columns, by the number of a run."""

    def __init__(self, connection: sqlite3.Connection, named: str, columns: tuple[str, ...]) -> None:
        self._columns = [(column, *column.split(".", 1)) for column in columns if "." in column]
        self._nothing: dict[str, float | str | None] = dict.fromkeys(columns)
        self._found: dict[str, dict[int, dict[str, float | str]]] = {"metrics": {}, "params": {}, "tags": {}}
        wanted = {kind: [key for _, its, key in self._columns if its == kind] for kind in self._found}
        if wanted["metrics"]:
            self._found["metrics"] = _numbers(connection, named, wanted["metrics"])
        for table in ("params", "tags"):
            if wanted[table]:
                self._found[table] = _texts(connection, table, named, wanted[table])  # type: ignore[assignment]

    def __call__(self, run: int) -> dict[str, float | str | None]:
        values = dict(self._nothing)
        for column, kind, key in self._columns:
            if kind in self._found:
                values[column] = self._found[kind].get(run, {}).get(key)
        return values


def _numbers(connection: sqlite3.Connection, named: str, names: list[str]) -> dict[int, dict[str, float | str]]:
    keys = _keys(connection, names)
    found: dict[int, dict[str, float | str]] = {}
    question = (
        "SELECT run, key, value, is_nan FROM metrics WHERE run IN (SELECT value FROM json_each(?))"
        " AND key IN (SELECT value FROM json_each(?))"
    )
    for run, key, value, is_nan in connection.execute(question, (named, json.dumps(list(keys)))):
        found.setdefault(run, {})[keys[key]] = value_of(value, bool(is_nan))
    return found


def texts_of(connection: sqlite3.Connection, table: str, n: int) -> dict[str, str]:
    """Return all parameters or tags of a run, by name."""
    question = f"SELECT k.name, t.value FROM {table} t JOIN keys k ON k.n = t.key WHERE t.run = ? ORDER BY k.name"
    return dict(connection.execute(question, (n,)).fetchall())


def metrics_of(connection: sqlite3.Connection, n: int) -> list[MetricNow]:
    """Return the last values of all metrics of a run, by name."""
    question = (
        "SELECT k.name, m.value, m.is_nan, m.step, m.time_ms FROM metrics m JOIN keys k ON k.n = m.key"
        " WHERE m.run = ? ORDER BY k.name"
    )
    return [
        MetricNow(key, value_of(value, bool(is_nan)), step, time_ms, None, None)
        for key, value, is_nan, step, time_ms in connection.execute(question, (n,))
    ]


def inputs_of(connection: sqlite3.Connection, n: int) -> list[tuple[str, str, str]]:
    """Return name, digest and context of the data sets that a run read."""
    return connection.execute("SELECT name, digest, context FROM inputs WHERE run = ?", (n,)).fetchall()


def artifact_uri(connection: sqlite3.Connection, n: int) -> str:
    """Return where a run's artifacts are, as the tracking server says it."""
    row = connection.execute("SELECT coalesce(artifact_uri, '') FROM runs WHERE n = ?", (n,)).fetchone()
    return str(row[0]) if row else ""


def seqs(connection: sqlite3.Connection, ns: Sequence[int]) -> dict[int, int]:
    """Return the number of the last change of each run."""
    question = "SELECT n, seq FROM runs WHERE n IN (SELECT value FROM json_each(?))"
    return dict(connection.execute(question, (json.dumps(list(ns)),)).fetchall())


def alive_with_tags(connection: sqlite3.Connection) -> list[tuple[str, dict[str, str]]]:
    """Return the runs that are under way, each with the tags of its lineage."""
    found: dict[str, dict[str, str]] = {}
    question = """
        SELECT r.run_id, k.name, t.value FROM runs r CROSS JOIN tags t ON t.run = r.n CROSS JOIN keys k ON k.n = t.key
        WHERE r.status IN ('RUNNING', 'SCHEDULED') AND r.stage = 'active' AND k.name LIKE 'aidp.%'
    """
    for run, name, value in connection.execute(question):
        found.setdefault(run, {})[name] = value
    return list(found.items())


def cells(connection: sqlite3.Connection, notebook: str, experiments: Sequence[int]) -> dict[str, CellRuns]:
    """Return the runs of each cell of a notebook, as numbers and the latest one."""
    keys = {name: n for n, name in _keys(connection, (NOTEBOOK, CELL_ID)).items()}
    if NOTEBOOK not in keys or CELL_ID not in keys or not experiments:
        return {}
    question = """
        SELECT c.value, count(*), sum(r.status = 'RUNNING'), max(coalesce(r.start_ms, 0)), r.n
        FROM tags t INDEXED BY tags_by_value CROSS JOIN runs r ON r.n = t.run
          CROSS JOIN tags c ON c.run = r.n AND c.key = ?
        WHERE t.exp IN (SELECT value FROM json_each(?)) AND t.key = ? AND t.value = ? AND length(t.value) <= 250
          AND r.stage = 'active'
        GROUP BY c.value
    """
    if len(notebook) > 250:
        question = question.replace("INDEXED BY tags_by_value", "").replace("AND length(t.value) <= 250", "")
    values = (keys[CELL_ID], json.dumps(list(experiments)), keys[NOTEBOOK], notebook)
    found = connection.execute(question, values).fetchall()
    last = {row.id: row for row in rows(connection, [one[4] for one in found])}
    ids = dict(
        connection.execute(
            "SELECT n, run_id FROM runs WHERE n IN (SELECT value FROM json_each(?))",
            (json.dumps([one[4] for one in found]),),
        ).fetchall()
    )
    return {cell: CellRuns(runs, running, last[ids[n]]) for cell, runs, running, _, n in found if n in ids}
