"""The database: SQLAlchemy 2, asynchronous, SQLite unless a URL names another; Alembic brings it up to date.

SQLAlchemy and Alembic cost a third of a second and 30 MB to import, so that is done on first use, never at a
server's start. Slices keep their tables and their ``migrations/`` folder; a composition root hands them a Database.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aidp_ext.core.errors import StorageError

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

_BUSY_MS = 10_000


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


def _with_async_driver(url: str) -> str:
    for plain, driver in (("sqlite://", "sqlite+aiosqlite://"), ("postgresql://", "postgresql+psycopg://")):
        if url.startswith(plain):
            return driver + url.removeprefix(plain)
    return url


def _make_engine(url: str) -> AsyncEngine:
    from sqlalchemy import event, make_url
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.ext.asyncio import create_async_engine

    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database and parsed.database != ":memory:":
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        engine = create_async_engine(parsed)
    except (SQLAlchemyError, OSError, ImportError) as error:
        raise StorageError(f"The database cannot be opened: {_short(error)}.") from error
    if parsed.get_backend_name() == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    """A wait instead of "database is locked", foreign keys that hold, and a journal that survives a crash."""
    connection.isolation_level = None  # SQLAlchemy says BEGIN itself, see _begin_sqlite
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", f"busy_timeout={_BUSY_MS}", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at the start: a transaction that reads and then writes would fail under concurrency."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _upgrade(connection: Connection, migrations: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == script.get_current_head():
        return
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StorageError(
            "The database was written by a newer version of aidp.", next_step="Update aidp, or restore a backup."
        ) from error


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:200]
