"""The database: SQLAlchemy 2, asynchronous, SQLite unless a URL names another; Alembic brings it up to date.

SQLAlchemy and Alembic cost a third of a second and 30 MB to import, so that is done on first use, never at a
server's start. Slices keep their tables and their ``migrations/`` folder; a composition root hands them a Database.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aidp_ext.core.errors import StorageError

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

_PATIENCE_S = 10.0  # how long one waits for another's write to end
_MIGRATING = 4_027_301  # PostgreSQL's advisory locks are numbers; any that nobody else uses

_ALEMBIC = threading.Lock()
"""What a migration calls (``op``, ``context``) is one for the whole process: two at a time would meet each other's."""


class Database:
    """One database, opened on first use.

    ``url`` is SQLAlchemy's (``sqlite:///…`` and ``postgresql://…`` get their asynchronous driver by themselves),
    ``migrations`` a folder in Alembic's layout whose ``versions/`` are applied before the first session.
    """

    def __init__(self, url: str, migrations: Path | None = None) -> None:
        self._url = _with_async_driver(url)
        self._migrations = migrations
        self._engine: AsyncEngine | None = None
        self._ready = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """Give a session in one transaction: committed at the end of the block, rolled back on any error.

        Raises StorageError where the database cannot be opened, or is newer than this program.
        """
        from sqlalchemy.exc import DBAPIError
        from sqlalchemy.ext.asyncio import AsyncSession

        engine = await self._open()
        try:
            async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
                yield session
        except DBAPIError as error:
            raise StorageError(f"The database refused: {type(error.orig).__name__}.") from error

    async def close(self) -> None:
        """Close all connections."""
        async with self._ready:
            if self._engine is not None:
                await self._engine.dispose()
                self._engine = None

    async def _open(self) -> AsyncEngine:
        async with self._ready:
            if self._engine is None:
                engine = await asyncio.to_thread(_make_engine, self._url)
                try:
                    await self._migrate(engine)
                except BaseException:
                    await engine.dispose()
                    raise
                self._engine = engine
            return self._engine

    async def _migrate(self, engine: AsyncEngine) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        if self._migrations is None:
            return
        try:
            async with engine.begin() as connection:
                await connection.run_sync(_upgrade, self._migrations)
        except SQLAlchemyError as error:
            raise StorageError(f"The database cannot be opened: {_short(error)}.") from error


def open_engine(url: str, *, patience_s: float = _PATIENCE_S, may_write: bool = True) -> Engine:
    """Return an engine that works in the calling thread, for those who have a thread of their own.

    ``patience_s`` bounds the wait for a lock and for a connection. Without ``may_write`` a transaction takes no write
    lock on SQLite, and a file that is not there is not made. Connections are opened on first use. Raises StorageError
    for what is no URL of a database.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    try:
        parsed = _prepared(url, may_write)
        waits = {"connect_timeout": max(2, round(patience_s))} if parsed.get_backend_name() == "postgresql" else {}
        engine = create_engine(parsed, pool_size=1, max_overflow=1, connect_args=waits, pool_pre_ping=not may_write)
    except (SQLAlchemyError, OSError, ImportError, TypeError) as error:
        raise StorageError(f"The database cannot be opened: {_short(error)}.") from error
    _listen(engine, patience_s, may_write)
    return engine


def migrate(engine: Engine, migrations: Path, version_table: str = "alembic_version") -> None:
    """Apply what is missing of a folder in Alembic's layout, one process at a time.

    ``version_table`` is what ``env.py`` finds in ``config.attributes``: slices that share a database have one each.
    Raises StorageError.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with engine.begin() as connection:
            _upgrade(connection, migrations, version_table)
    except SQLAlchemyError as error:
        raise StorageError(f"The database cannot be opened: {_short(error)}.") from error


def migrated_engine(url: str, migrations: Path, version_table: str, *, patience_s: float = _PATIENCE_S) -> Engine:
    """Return an engine as :func:`open_engine` does, of a database that is up to date. Raises StorageError."""
    engine = open_engine(url, patience_s=patience_s)
    try:
        migrate(engine, migrations, version_table)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _with_async_driver(url: str) -> str:
    for plain, driver in (("sqlite://", "sqlite+aiosqlite://"), ("postgresql://", "postgresql+psycopg://")):
        if url.startswith(plain):
            return driver + url.removeprefix(plain)
    return url


def _prepared(url: str, may_write: bool = True) -> URL:
    """Return the parsed URL; the folder and the file of an SQLite database are made where only their owner reads."""
    from sqlalchemy import make_url

    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    name = parsed.database
    if parsed.get_backend_name() == "sqlite" and name and name != ":memory:" and not name.startswith("file:"):
        if not may_write:
            return parsed.set(database=f"file:{quote(str(Path(name).absolute()))}", query={"mode": "rw", "uri": "true"})
        Path(name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The journal takes over its mode. A file that is there must not be opened and closed here: that would end the
        # locks of all connections that this process has to it (https://sqlite.org/howtocorrupt.html, 2.2).
        with contextlib.suppress(FileExistsError):
            os.close(os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return parsed


def _make_engine(url: str) -> AsyncEngine:
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.ext.asyncio import create_async_engine

    try:
        engine = create_async_engine(_prepared(url))
    except (SQLAlchemyError, OSError, ImportError) as error:
        raise StorageError(f"The database cannot be opened: {_short(error)}.") from error
    _listen(engine.sync_engine, _PATIENCE_S, may_write=True)
    return engine


def _listen(engine: Engine, patience_s: float, may_write: bool) -> None:
    from sqlalchemy import event

    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", partial(_prepare_sqlite, round(patience_s * 1000)))
        event.listen(engine, "begin", _begin_sqlite if may_write else _begin_sqlite_to_read)


def _prepare_sqlite(busy_ms: int, connection: Any, _: Any) -> None:
    """A wait instead of "database is locked", foreign keys that hold, and a journal that survives a crash."""
    connection.isolation_level = None  # SQLAlchemy says BEGIN itself, see _begin_sqlite
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={busy_ms}", "journal_mode=WAL", "foreign_keys=ON", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at the start: a transaction that reads and then writes would fail under concurrency."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_sqlite_to_read(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _upgrade(connection: Connection, migrations: Path, version_table: str = "alembic_version") -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = version_table
    if connection.dialect.name == "postgresql":  # until the end of the transaction; SQLite's has its lock already
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
    script = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection, opts={"version_table": version_table}).get_current_revision()
    if current == script.get_current_head():
        return
    try:
        with _ALEMBIC:
            command.upgrade(config, "head")
    except CommandError as error:
        raise StorageError(
            "The database was written by a newer version of aidp.", next_step="Update aidp, or restore a backup."
        ) from error


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:200]
