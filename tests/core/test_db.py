"""The database, with real SQLite files and real migrations."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from aidp_ext.core.db import Database, migrate, open_engine
from aidp_ext.core.errors import StorageError

ENV = """
from alembic import context
connection = context.config.attributes["connection"]
context.configure(connection=connection)
with context.begin_transaction():
    context.run_migrations()
"""
FIRST = """
from alembic import op
import sqlalchemy as sa
revision, down_revision = "0001", None
def upgrade():
    op.create_table("note", sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.String, unique=True))
"""
SECOND = """
from alembic import op
import sqlalchemy as sa
revision, down_revision = "0002", "0001"
def upgrade():
    op.add_column("note", sa.Column("author", sa.String))
"""


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text(ENV)
    (folder / "versions" / "0001_note.py").write_text(FIRST)
    return folder


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state/aidp.db"


async def add(database: Database, note: str) -> None:
    async with database.session() as session:
        await session.execute(text("insert into note (text) values (:t)"), {"t": note})


async def notes(database: Database) -> list[str]:
    async with database.session() as session:
        return [row[0] for row in await session.execute(text("select text from note order by id"))]


async def test_it_is_made_brought_up_to_date_and_kept(url: str, migrations: Path) -> None:
    database = Database(url, migrations)
    await add(database, "one")
    await database.close()
    (migrations / "versions" / "0002_author.py").write_text(SECOND)
    database = Database(url, migrations)
    async with database.session() as session:
        assert (await session.execute(text("select text, author from note"))).all() == [("one", None)]
    await database.close()


async def test_an_error_rolls_everything_back(url: str, migrations: Path) -> None:
    database = Database(url, migrations)
    with pytest.raises(ZeroDivisionError):
        async with database.session() as session:
            await session.execute(text("insert into note (text) values ('lost')"))
            raise ZeroDivisionError
    await add(database, "kept")
    with pytest.raises(StorageError, match="IntegrityError"):
        await add(database, "kept")
    assert await notes(database) == ["kept"]
    await database.close()


async def test_writers_wait_for_each_other(url: str, migrations: Path) -> None:
    """Read, then write, many at a time, over two pools: without the lock at BEGIN, "database is locked"."""
    databases = [Database(url, migrations), Database(url, migrations)]

    async def count_up(database: Database, number: int) -> None:
        async with database.session() as session:
            seen = (await session.execute(text("select count(*) from note"))).scalar_one()
            await asyncio.sleep(0.001)
            await session.execute(text("insert into note (text) values (:t)"), {"t": f"{seen}"})

    await asyncio.gather(*(count_up(databases[n % 2], n) for n in range(20)))
    assert await notes(databases[0]) == [str(n) for n in range(20)]
    for database in databases:
        await database.close()


async def test_a_database_of_a_newer_version_is_left_alone(url: str, migrations: Path) -> None:
    later = migrations / "versions" / "0002_author.py"
    later.write_text(SECOND)
    database = Database(url, migrations)
    await add(database, "one")
    await database.close()
    later.unlink()
    with pytest.raises(StorageError, match="newer version"):
        await notes(Database(url, migrations))


async def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, migrations: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be opened"):
        await notes(Database(f"sqlite:///{tmp_path}/file/aidp.db", migrations))
    with pytest.raises(StorageError, match="cannot be opened"):
        await notes(Database("nonsense", migrations))


def test_a_thread_of_its_own_needs_no_loop(url: str, tmp_path: Path, migrations: Path) -> None:
    engine = open_engine(url)
    migrate(engine, migrations)
    with engine.begin() as connection:
        connection.execute(text("insert into note (text) values ('one')"))
    with engine.begin() as connection:
        assert connection.execute(text("select text from note")).all() == [("one",)]
    engine.dispose()
    assert (tmp_path / "state" / "aidp.db").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_who_only_reads_waits_for_no_writer_and_makes_no_file(url: str, tmp_path: Path, migrations: Path) -> None:
    reader = open_engine(url, may_write=False)
    with pytest.raises(OperationalError), reader.begin():
        pass
    assert list(tmp_path.glob("state/*")) == []
    writer = open_engine(url)
    migrate(writer, migrations)
    with writer.begin() as writing, reader.begin() as reading:
        writing.execute(text("insert into note (text) values ('one')"))
        assert reading.execute(text("select count(*) from note")).scalar_one() == 0
    reader.dispose()
    writer.dispose()


def test_waiting_for_another_writer_has_an_end(url: str, migrations: Path) -> None:
    one, other = open_engine(url), open_engine(url, patience_s=0.1)
    migrate(one, migrations)
    with one.begin(), pytest.raises(OperationalError, match="locked"), other.begin():
        pass
    for engine in (one, other):
        engine.dispose()


def test_slices_in_one_database_have_versions_of_their_own(url: str, migrations: Path) -> None:
    (migrations / "env.py").write_text(
        ENV.replace("(connection=connection)", "(connection=connection, version_table=TABLE)").replace(
            "context.configure", 'TABLE = context.config.attributes["version_table"]\ncontext.configure'
        )
    )
    engine = open_engine(url)
    migrate(engine, migrations, "one_version")
    (migrations / "versions" / "0001_note.py").write_text(FIRST.replace('"note"', '"other"'))
    migrate(engine, migrations, "other_version")
    migrate(engine, migrations, "other_version")
    with engine.begin() as connection:
        for table in ("note", "other"):
            assert connection.execute(text(f"select count(*) from {table}")).scalar_one() == 0
    engine.dispose()


def test_slices_that_open_their_databases_at_the_same_time_do_not_meet_each_others_migrations(
    tmp_path: Path, migrations: Path
) -> None:
    """The first migration is as long as it takes the other thread to get into its own."""
    meeting = "import time\nop.get_bind().exec_driver_sql('SELECT 1')\ntime.sleep(0.05)\n"
    first = migrations / "versions" / "0001_note.py"
    first.write_text(
        FIRST.replace("def upgrade():\n", f"def upgrade():\n    {meeting.replace(chr(10), chr(10) + '    ')}\n")
    )
    engines = [open_engine(f"sqlite:///{tmp_path}/{number}.db") for number in range(4)]
    with ThreadPoolExecutor(len(engines)) as threads:
        for done in [threads.submit(migrate, engine, migrations) for engine in engines]:
            done.result()
    for engine in engines:
        with engine.begin() as connection:
            assert connection.execute(text("select count(*) from note")).scalar_one() == 0
        engine.dispose()


def test_importing_it_costs_a_server_nothing() -> None:
    code = "import sys, aidp_ext.core.db; sys.exit(any(m in sys.modules for m in ('sqlalchemy', 'alembic')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_opening_a_database_once_more_ends_no_lock_on_it(tmp_path: Path) -> None:
    """Closing any handle of a file ends the process's locks on it: another process would take its journal away."""
    file = tmp_path / "one.db"
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("CREATE TABLE note (id)")
    holder.execute("BEGIN EXCLUSIVE")
    open_engine(f"sqlite:///{file}").dispose()
    program = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('INSERT INTO note VALUES (1)')"
    other = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True)
    holder.close()
    assert "database is locked" in other.stderr
