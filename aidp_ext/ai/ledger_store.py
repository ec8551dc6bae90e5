"""The ledger's connection. Synchronous: one thread owns a Store."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from aidp_ext.ai.ledger_sql import Sql
from aidp_ext.ai.ledger_transaction import Transaction, Work
from aidp_ext.core.db import migrated_engine
from aidp_ext.core.errors import StorageError

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine.interfaces import DBAPICursor, PoolProxiedConnection

log = logging.getLogger("aidp")

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "ai_version"
#: A reservation whose beat stands still over so many looks in a row is a dead process's.
LOOKS = 3


class Store:
    """One database. ``open`` makes it ready; every method raises StorageError where it fails."""

    def __init__(self, url: str, patience_s: float) -> None:
        self._url = url
        self._patience_s = patience_s
        self._engine: Engine | None = None
        self._raw: PoolProxiedConnection | None = None
        self._path: Path | None = None
        self._identity: tuple[int, int] | None = None
        self._seen: dict[str, tuple[int, int]] = {}  # beat and number of looks at which it stood still
        self._sql: Sql

    def open(self) -> None:
        """Connect, and bring the database up to date. Does nothing where that is done."""
        if self.check() != self._identity:
            log.warning("another file has taken the place of the ledger's, %s: taking it", self._path)
            self.close()
        if self._raw is not None:
            return
        engine = self._engine
        if engine is None:
            engine = migrated_engine(self._url, MIGRATIONS, VERSION_TABLE, patience_s=self._patience_s)
            self._sql = Sql(engine.dialect)
            self._engine = engine
            name = engine.url.database or ""
            if self._sql.is_sqlite and name and name != ":memory:" and not name.startswith("file:"):
                self._path = Path(name)
                self._identity = _identity(self._path)
        try:
            self._raw = engine.raw_connection()
            if not self._sql.is_sqlite:
                self._prepare_postgresql(self._raw)
        except self._errors(engine) as error:
            self.close()
            raise _refused(error) from error

    def check(self) -> tuple[int, int] | None:
        """Return which file the ledger's name leads to, None for a server database. May be called from any thread.

        Raises StorageError where it led to one before and now to none: money spent would be forgotten with it.
        """
        if self._path is None or self._identity is None:
            return None
        try:
            return _identity(self._path)
        except OSError as error:
            raise StorageError(
                f"The ledger's file {self._path.name} is gone.",
                next_step="Put it back, or restart the server to begin a new one.",
            ) from error

    def close(self) -> None:
        """Close the connection. A later call opens it again."""
        raw, self._raw = self._raw, None
        if raw is not None:
            try:
                raw.invalidate()  # closes it, and never gives it to the pool again
                raw.close()
            except Exception as error:
                log.debug("closing the ledger's connection failed: %s", type(error).__name__)
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def write(self, work: Work) -> bool:
        """Do the work in one transaction and decide the asks; nothing of it holds where this raises StorageError.

        Return whether there is more to delete.
        """
        self.open()
        assert self._raw is not None and self._engine is not None
        cursor = self._raw.cursor()
        try:
            cursor.execute(self._sql.begin)
            transaction = Transaction(cursor, self._sql)
            if work.beating:
                cursor.execute(self._sql.beat, (self._sql.names(work.beating),))
            transaction.settle(work.settlements)
            transaction.give_back(work.returned)
            transaction.add(work.feedback)
            seen = self._look(cursor) if work.looks else self._seen
            dead = [name for name, (_, looks) in seen.items() if looks >= LOOKS]
            transaction.lose([*work.dropped, *dead])
            transaction.reserve(work.asks)
            transaction.write_sums()
            more = work.delete_before is not None and transaction.delete(work.delete_before)
            cursor.execute("COMMIT")
            # Only now: where nothing can be written, others cannot beat either, and a look counts for nothing.
            self._seen = {name: stood for name, stood in seen.items() if name not in dead}
        except self._errors(self._engine) as error:
            self.close()
            raise _refused(error) from error
        except BaseException:
            self.close()  # rolls back
            raise
        finally:
            _close_cursor(cursor)
        return more

    def _look(self, cursor: DBAPICursor) -> dict[str, tuple[int, int]]:
        """Return the reservations with their beats, and over how many looks in a row each has stood still.

        No clock is compared with another's: a process that was stopped, or whose clock jumped, has looked only once.
        """
        cursor.execute(self._sql.beats)
        seen = {}
        for name, beat in cursor.fetchall():
            before, looks = self._seen.get(name, (beat, -1))
            seen[name] = (beat, looks + 1 if before == beat else 0)
        return seen

    def _prepare_postgresql(self, raw: PoolProxiedConnection) -> None:
        raw.dbapi_connection.autocommit = True  # type: ignore[union-attr]
        milliseconds = round(self._patience_s * 1000)
        cursor = raw.cursor()
        for setting in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            cursor.execute(f"SET {setting} = {milliseconds}")
        cursor.close()

    @staticmethod
    def _errors(engine: Engine) -> tuple[type[Exception], ...]:
        from sqlalchemy.exc import SQLAlchemyError

        return (engine.dialect.loaded_dbapi.Error, SQLAlchemyError)


def _identity(path: Path) -> tuple[int, int]:
    there = path.stat()
    return there.st_dev, there.st_ino


def _close_cursor(cursor: DBAPICursor) -> None:
    try:
        cursor.close()
    except Exception as error:  # of a connection that broke
        log.debug("closing a cursor failed: %s", type(error).__name__)


def _refused(error: Exception) -> StorageError:
    first = (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
    return StorageError(f"The ledger of the budgets cannot be written: {first}.")
