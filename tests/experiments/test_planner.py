"""What is done for MLflow's SQLite file."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from aidp_ext.experiments.server import planner

BY_METRIC = (
    "SELECT r.run_uuid FROM runs r LEFT JOIN (SELECT run_uuid, value FROM latest_metrics WHERE key = 'm') x"
    " ON r.run_uuid = x.run_uuid WHERE r.experiment_id = 1 ORDER BY x.value LIMIT 10"
)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Runs in tables like MLflow's."""
    path = tmp_path / "mlflow.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE runs (run_uuid TEXT PRIMARY KEY, experiment_id INTEGER)")
        connection.execute(
            "CREATE TABLE latest_metrics (key TEXT, value REAL, run_uuid TEXT, PRIMARY KEY (key, run_uuid))"
        )
    return path


def add(database: Path, runs: range) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany("INSERT INTO runs VALUES (?, 1)", ((str(n),) for n in runs))
        connection.executemany("INSERT INTO latest_metrics VALUES ('m', ?, ?)", ((n, str(n)) for n in runs))


@pytest.fixture
def mlflows(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection that is open all the time, as those of MLflow's server are."""
    connection = sqlite3.connect(database)
    connection.execute("SELECT count(*) FROM runs").fetchone()
    yield connection
    connection.close()


def test_statistics_are_made_once_there_are_runs_and_again_when_there_are_many_more(database: Path) -> None:
    assert not planner.is_due(database)
    add(database, range(49))
    assert not planner.is_due(database)
    add(database, range(49, 60))
    assert planner.is_due(database)
    assert planner.analyze(database)
    assert not planner.is_due(database)
    add(database, range(60, 119))
    assert not planner.is_due(database)
    add(database, range(119, 120))
    assert planner.is_due(database)


def test_connections_that_are_open_already_use_them(database: Path, mlflows: sqlite3.Connection) -> None:
    add(database, range(100))
    planner.analyze(database)  # the table for them is new, which all notice
    add(database, range(100, 3000))
    known = mlflows.execute("SELECT count(*) FROM sqlite_stat1").fetchone()
    assert known > (0,)
    version = mlflows.execute("PRAGMA schema_version").fetchone()
    assert planner.analyze(database)
    assert mlflows.execute("PRAGMA schema_version").fetchone() > version
    names = {name for (name,) in mlflows.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names == {"runs", "latest_metrics", "sqlite_stat1"}
    assert mlflows.execute(BY_METRIC).fetchone() == ("0",)


def test_a_locked_database_is_left_for_later(database: Path, mlflows: sqlite3.Connection) -> None:
    add(database, range(60))
    mlflows.execute("BEGIN IMMEDIATE")
    assert not planner.analyze(database)
    assert not planner.write_ahead(database)
    mlflows.execute("ROLLBACK")
    assert planner.analyze(database)


def test_readers_and_the_writer_do_not_wait_for_each_other(database: Path) -> None:
    assert planner.write_ahead(database)
    with (
        contextlib.closing(sqlite3.connect(database, timeout=0)) as reader,
        contextlib.closing(sqlite3.connect(database, timeout=0)) as writer,
    ):
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM runs").fetchall()
        writer.execute("INSERT INTO runs VALUES ('a', 1)")
        writer.commit()


def test_a_database_on_a_disk_of_another_machine_stays_as_it_is(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "_is_far", lambda path: True)
    assert not planner.write_ahead(database)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert not planner.write_ahead(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()
