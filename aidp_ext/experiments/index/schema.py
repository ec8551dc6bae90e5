"""The index's tables. There are no migrations: a file of another version is made anew from the tracking server."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import uuid
from pathlib import Path

log = logging.getLogger("aidp")

VERSION = 1
#: A tag's longer values are not in the index by value: equality to a shorter text never means them.
SHORT = 250

_TABLES = f"""
CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE keys(n INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE experiments(
  n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, stage TEXT NOT NULL, note TEXT NOT NULL);
CREATE TABLE runs(
  n INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, exp INTEGER NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL,
  stage TEXT NOT NULL, start_ms INTEGER, end_ms INTEGER, user TEXT, artifact_uri TEXT,
  diverged INTEGER NOT NULL DEFAULT 0, seq INTEGER NOT NULL);
CREATE INDEX runs_by_time ON runs(exp, stage, start_ms DESC, run_id);
CREATE INDEX runs_by_time_of_all ON runs(stage, start_ms DESC, run_id, exp);
CREATE INDEX runs_by_seq ON runs(seq);
CREATE INDEX runs_alive ON runs(exp) WHERE status IN ('RUNNING', 'SCHEDULED');
CREATE TABLE gone(seq INTEGER NOT NULL, run_id TEXT NOT NULL, exp INTEGER NOT NULL);
CREATE TABLE metrics(
  run INTEGER NOT NULL, key INTEGER NOT NULL, exp INTEGER NOT NULL, is_nan INTEGER NOT NULL, value REAL NOT NULL,
  step INTEGER NOT NULL, time_ms INTEGER NOT NULL, PRIMARY KEY(run, key)) WITHOUT ROWID;
CREATE INDEX metrics_by_value ON metrics(exp, key, is_nan, value, run);
CREATE TABLE params(
  run INTEGER NOT NULL, key INTEGER NOT NULL, exp INTEGER NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY(run, key)) WITHOUT ROWID;
CREATE INDEX params_by_value ON params(exp, key, value, run);
CREATE TABLE tags(
  run INTEGER NOT NULL, key INTEGER NOT NULL, exp INTEGER NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY(run, key)) WITHOUT ROWID;
CREATE INDEX tags_by_value ON tags(exp, key, value, run) WHERE length(value) <= {SHORT};
CREATE TABLE inputs(
  run INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, context TEXT NOT NULL,
  PRIMARY KEY(run, name, digest, context)) WITHOUT ROWID;
"""


def open_to_write(path: Path) -> sqlite3.Connection:
    """Return a connection to the index, made anew where it is missing, damaged or of another version.

    Raises sqlite3.Error and OSError where neither works.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        return _opened(path)
    except sqlite3.OperationalError:
        raise  # locked, or a disk that is full: nothing is wrong with the file
    except sqlite3.DatabaseError as error:
        log.warning("the index of runs is made anew: %s", error)
        discard(path)
        return _opened(path)


def _opened(path: Path) -> sqlite3.Connection:
    connection = connect(path)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            _make(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _make(connection: sqlite3.Connection) -> None:
    """Make the tables, in place of those of another version."""
    names = "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite@_%' ESCAPE '@'"
    for (name,) in connection.execute(names).fetchall():
        connection.execute(f'DROP TABLE "{name}"')
    for statement in filter(str.strip, _TABLES.split(";")):
        connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES('generation', ?), ('seq', 0)", (uuid.uuid4().hex[:8],))
    connection.execute(f"PRAGMA user_version={VERSION}")


def open_to_read(path: Path) -> sqlite3.Connection:
    """Return a connection that cannot write. Raises sqlite3.Error."""
    connection = connect(path)
    connection.execute("PRAGMA query_only=1")
    return connection


def connect(path: Path | str) -> sqlite3.Connection:
    """Return a connection whose LIKE minds the case, as MLflow's does, and that begins no transaction by itself."""
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False, uri=True)
    connection.execute("PRAGMA case_sensitive_like=1")
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.execute("PRAGMA cache_size=-32000")
    return connection


def discard(path: Path) -> None:
    """Remove the file and its journal."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
