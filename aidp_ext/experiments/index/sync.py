"""Bring runs from a source into the index, in SQL.

The source is a schema ``src`` with MLflow's own tables: its file, attached; or tables in memory, filled from REST. The
runs that are meant are in ``temp.batch``. One statement does one table, so that Python's lock is free meanwhile.
"""

# ruff: noqa: S608 - what is put into SQL are names of tables and columns of ours; values are always parameters

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from aidp_ext.experiments.models import LARGEST

#: How many runs are brought in at once: the source is locked as long as that takes.
BATCH = 1000

SHAPE = """
CREATE TABLE src.experiments(experiment_id TEXT PRIMARY KEY, name TEXT, lifecycle_stage TEXT);
CREATE TABLE src.experiment_tags(experiment_id TEXT, key TEXT, value TEXT);
CREATE TABLE src.runs(
  run_uuid TEXT PRIMARY KEY, name TEXT, status TEXT, lifecycle_stage TEXT, start_time INTEGER, end_time INTEGER,
  user_id TEXT, artifact_uri TEXT, experiment_id TEXT);
CREATE TABLE src.latest_metrics(
  run_uuid TEXT, key TEXT, value REAL, is_nan INTEGER, step INTEGER, timestamp INTEGER, PRIMARY KEY(run_uuid, key));
CREATE TABLE src.params(run_uuid TEXT, key TEXT, value TEXT, PRIMARY KEY(run_uuid, key));
CREATE TABLE src.tags(run_uuid TEXT, key TEXT, value TEXT, PRIMARY KEY(run_uuid, key));
CREATE TABLE src.datasets(dataset_uuid TEXT PRIMARY KEY, name TEXT, digest TEXT);
CREATE TABLE src.inputs(input_uuid TEXT, source_id TEXT, destination_type TEXT, destination_id TEXT);
CREATE INDEX src.inputs_of_run ON inputs(destination_id);
CREATE TABLE src.input_tags(input_uuid TEXT, name TEXT, value TEXT, PRIMARY KEY(input_uuid, name));
"""
#: What must be in a source; MLflow of another version may have other tables.
NEEDED = {
    "experiments": {"experiment_id", "name", "lifecycle_stage"},
    "experiment_tags": {"experiment_id", "key", "value"},
    "runs": {
        *("run_uuid", "name", "status", "lifecycle_stage", "start_time", "end_time", "user_id", "artifact_uri"),
        "experiment_id",
    },
    "latest_metrics": {"run_uuid", "key", "value", "is_nan", "step", "timestamp"},
    "metrics": {"run_uuid", "key", "value", "is_nan", "step", "timestamp"},
    "params": {"run_uuid", "key", "value"},
    "tags": {"run_uuid", "key", "value"},
    "datasets": {"dataset_uuid", "name", "digest"},
    "inputs": {"input_uuid", "source_id", "destination_type", "destination_id"},
    "input_tags": {"input_uuid", "name", "value"},
}

_NOTE = "mlflow.note.content"
_EXPERIMENTS = """
SELECT CAST(e.experiment_id AS TEXT) AS id, e.name, e.lifecycle_stage,
  coalesce((SELECT t.value FROM src.experiment_tags t WHERE t.experiment_id = e.experiment_id AND t.key = ?), '')
FROM src.experiments e
"""
_KEYS = """
INSERT OR IGNORE INTO main.keys(name)
  SELECT DISTINCT s.key FROM temp.batch b CROSS JOIN src.{source} s ON s.run_uuid = b.run_id
"""
_RUNS = """
INSERT INTO main.runs(run_id, exp, name, status, stage, start_ms, end_ms, user, artifact_uri, seq)
  SELECT s.run_uuid, e.n, coalesce(nullif(s.name, ''),
      (SELECT t.value FROM src.tags t WHERE t.run_uuid = s.run_uuid AND t.key = 'mlflow.runName'), ''),
    s.status, s.lifecycle_stage, s.start_time, s.end_time, s.user_id, s.artifact_uri, :seq
  FROM temp.batch b CROSS JOIN src.runs s ON s.run_uuid = b.run_id
    CROSS JOIN main.experiments e ON e.id = CAST(s.experiment_id AS TEXT)
  WHERE true
  ON CONFLICT(run_id) DO UPDATE SET exp = excluded.exp, name = excluded.name, status = excluded.status,
    stage = excluded.stage, start_ms = excluded.start_ms, end_ms = excluded.end_ms, user = excluded.user,
    artifact_uri = excluded.artifact_uri, seq = excluded.seq
"""
_METRICS = """
INSERT INTO main.metrics(run, key, exp, is_nan, value, step, time_ms)
  SELECT r.n, k.n, r.exp, s.is_nan, s.value, s.step, coalesce(s.timestamp, 0)
  FROM temp.batch b CROSS JOIN main.runs r ON r.run_id = b.run_id
    CROSS JOIN src.latest_metrics s ON s.run_uuid = b.run_id CROSS JOIN main.keys k ON k.name = s.key
  WHERE true
  ON CONFLICT(run, key) DO UPDATE SET is_nan = excluded.is_nan, value = excluded.value, step = excluded.step,
    time_ms = excluded.time_ms
  WHERE is_nan <> excluded.is_nan OR value <> excluded.value OR step <> excluded.step OR time_ms <> excluded.time_ms
"""
_TEXTS = """
INSERT INTO main.{table}(run, key, exp, value)
  SELECT r.n, k.n, r.exp, coalesce(s.value, '')
  FROM temp.batch b CROSS JOIN main.runs r ON r.run_id = b.run_id
    CROSS JOIN src.{table} s ON s.run_uuid = b.run_id CROSS JOIN main.keys k ON k.name = s.key
  WHERE true
  ON CONFLICT(run, key) DO UPDATE SET value = excluded.value WHERE value <> excluded.value
"""
_TAGS_GONE = """
DELETE FROM main.tags WHERE run IN (SELECT r.n FROM temp.batch b CROSS JOIN main.runs r ON r.run_id = b.run_id)
  AND NOT EXISTS (SELECT 1 FROM src.tags s
    WHERE s.run_uuid = (SELECT r.run_id FROM main.runs r WHERE r.n = main.tags.run)
      AND s.key = (SELECT k.name FROM main.keys k WHERE k.n = main.tags.key))
"""
_INPUTS = """
INSERT OR IGNORE INTO main.inputs(run, name, digest, context)
  SELECT r.n, d.name, d.digest, coalesce((SELECT t.value FROM src.input_tags t
      WHERE t.input_uuid = i.input_uuid AND t.name = 'mlflow.data.context'), '')
  FROM temp.batch b CROSS JOIN main.runs r ON r.run_id = b.run_id
    CROSS JOIN src.inputs i ON i.destination_id = b.run_id AND i.destination_type = 'RUN'
    CROSS JOIN src.datasets d ON d.dataset_uuid = i.source_id
"""
_DIVERGED = f"""
UPDATE main.runs SET diverged = EXISTS (SELECT 1 FROM main.metrics m
    WHERE m.run = main.runs.n AND (m.is_nan = 1 OR abs(m.value) >= {LARGEST!r}))
  WHERE run_id IN (SELECT run_id FROM temp.batch)
"""
#: Of the runs of the batch, those that are not in the index as they are in the source.
_DIFFERING = """
SELECT b.run_id FROM temp.batch b CROSS JOIN src.runs s ON s.run_uuid = b.run_id
  LEFT JOIN main.runs r ON r.run_id = b.run_id
WHERE r.n IS NULL OR s.status <> r.status OR s.lifecycle_stage <> r.stage OR s.end_time IS NOT r.end_ms
  OR s.start_time IS NOT r.start_ms OR nullif(s.name, '') <> r.name
  OR EXISTS (SELECT 1 FROM src.latest_metrics m
    LEFT JOIN main.metrics i ON i.run = r.n AND i.key = (SELECT k.n FROM main.keys k WHERE k.name = m.key)
    WHERE m.run_uuid = b.run_id AND (i.value IS NOT m.value OR i.step IS NOT m.step OR i.is_nan IS NOT m.is_nan
      OR i.time_ms IS NOT m.timestamp))
  OR EXISTS (SELECT 1 FROM src.params m
    LEFT JOIN main.params i ON i.run = r.n AND i.key = (SELECT k.n FROM main.keys k WHERE k.name = m.key)
    WHERE m.run_uuid = b.run_id AND i.value IS NOT m.value)
  OR EXISTS (SELECT 1 FROM src.tags m
    LEFT JOIN main.tags i ON i.run = r.n AND i.key = (SELECT k.n FROM main.keys k WHERE k.name = m.key)
    WHERE m.run_uuid = b.run_id AND i.value IS NOT coalesce(m.value, ''))
  OR (SELECT count(*) FROM src.tags m WHERE m.run_uuid = b.run_id) <>
    (SELECT count(*) FROM main.tags i WHERE i.run = r.n)
  OR (SELECT count(*) FROM src.inputs m WHERE m.destination_id = b.run_id AND m.destination_type = 'RUN') >
    (SELECT count(*) FROM main.inputs i WHERE i.run = r.n)
"""


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables of this connection that name the runs that are meant."""
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS batch(run_id TEXT PRIMARY KEY) WITHOUT ROWID")


def lacks(connection: sqlite3.Connection) -> set[str]:
    """Return what the schema ``src`` lacks of what is needed."""
    lacking = set()
    for table, columns in NEEDED.items():
        there = {row[1] for row in connection.execute(f"PRAGMA src.table_info({table})")}
        lacking |= {f"{table}.{column}" for column in columns - there}
    return lacking


def name_batch(connection: sqlite3.Connection, ids: Iterable[str]) -> None:
    """Say which runs are meant."""
    connection.execute("DELETE FROM temp.batch")
    connection.executemany("INSERT OR IGNORE INTO temp.batch VALUES(?)", ((one,) for one in ids))


def differing(connection: sqlite3.Connection, ids: Sequence[str]) -> list[str]:
    """Return those of the runs that are not in the index as they are in the source."""
    found: list[str] = []
    for some in batched_ids(ids):
        name_batch(connection, some)
        found += [row[0] for row in connection.execute(_DIFFERING)]
    return found


def batched_ids(ids: Sequence[str], size: int = BATCH) -> Iterable[Sequence[str]]:
    """Yield the ids in batches."""
    return (ids[at : at + size] for at in range(0, len(ids), size))


def experiments(connection: sqlite3.Connection) -> bool:
    """Bring in the experiments, and return whether any changed. Those that are gone take their runs along."""
    found = connection.execute(_EXPERIMENTS, (_NOTE,)).fetchall()
    known = {row[0]: row[1:] for row in connection.execute("SELECT id, name, stage, note FROM main.experiments")}
    changed = [row for row in found if known.get(row[0]) != row[1:]]
    gone = known.keys() - {row[0] for row in found}
    if not changed and not gone:
        return False
    with transaction(connection):
        connection.executemany(
            "INSERT INTO main.experiments(id, name, stage, note) VALUES(?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET"
            " name = excluded.name, stage = excluded.stage, note = excluded.note",
            changed,
        )
        seq = next_seq(connection)
        for id in gone:
            ids = "SELECT r.run_id FROM main.runs r JOIN main.experiments e ON e.n = r.exp WHERE e.id = ?"
            _remove(connection, [row[0] for row in connection.execute(ids, (id,))], seq)
            connection.execute("DELETE FROM main.experiments WHERE id = ?", (id,))
    return True


def bring(connection: sqlite3.Connection, ids: Sequence[str]) -> None:
    """Bring these runs into the index as they are in the source; one transaction."""
    with transaction(connection):
        seq = next_seq(connection)
        name_batch(connection, ids)
        for source in ("latest_metrics", "params", "tags"):
            connection.execute(_KEYS.format(source=source))
        connection.execute(_RUNS, {"seq": seq})
        connection.execute(_METRICS)
        for table in ("params", "tags"):
            connection.execute(_TEXTS.format(table=table))
        connection.execute(_TAGS_GONE)
        connection.execute(_INPUTS)
        connection.execute(_DIVERGED)


def remove(connection: sqlite3.Connection, ids: Sequence[str]) -> None:
    """Take runs out of the index that the source has no more."""
    for some in batched_ids(ids):
        with transaction(connection):
            _remove(connection, some, next_seq(connection))


def _remove(connection: sqlite3.Connection, ids: Sequence[str], seq: int) -> None:
    name_batch(connection, ids)
    of_batch = "SELECT r.n FROM temp.batch b CROSS JOIN main.runs r ON r.run_id = b.run_id"
    connection.execute(
        "INSERT INTO main.gone SELECT ?, r.run_id, r.exp FROM temp.batch b CROSS JOIN main.runs r"
        " ON r.run_id = b.run_id",
        (seq,),
    )
    for table in ("metrics", "params", "tags", "inputs"):
        connection.execute(f"DELETE FROM main.{table} WHERE run IN ({of_batch})")
    connection.execute("DELETE FROM main.runs WHERE run_id IN (SELECT run_id FROM temp.batch)")
    connection.execute("DELETE FROM main.gone WHERE seq < ?", (seq - 10_000,))


def next_seq(connection: sqlite3.Connection) -> int:
    """Return the number of a change; inside of a transaction."""
    connection.execute("UPDATE main.meta SET value = value + 1 WHERE name = 'seq'")
    (seq,) = connection.execute("SELECT value FROM main.meta WHERE name = 'seq'").fetchone()
    return int(seq)


class transaction:
    """A transaction that takes the write lock at its start, and that is taken back where anything is raised."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._connection.execute("COMMIT")
        elif self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
