"""Feed the index from MLflow's own SQLite file, which is attached and only read.

What is new is found by row numbers (of runs, points, parameters, tags and inputs), what changed in place by comparing
the runs that are under way; runs that were over and changed all the same by what passed through the proxy, and by a
look at everything from time to time. While nobody writes, one number of the file is read and nothing else.
"""

# ruff: noqa: S608 - what is put into SQL are names of tables and columns of ours; values are always parameters

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from aidp_ext.experiments.index import sync

#: For how long one look may bring in what has piled up.
SLICE_S = 0.5
#: How often everything is compared, where something was written meanwhile: runs, and what they hold.
RUNS_S, ALL_S = 60.0, 600.0
REFUSED_S = 20.0
#: Which column of a table names the run.
_COLUMNS = {**dict.fromkeys(("runs", "metrics", "params", "tags"), "run_uuid"), "inputs": "destination_id"}
_MISSING = """
SELECT s.run_uuid FROM src.runs s LEFT JOIN main.runs r ON r.run_id = s.run_uuid
WHERE r.n IS NULL OR s.status <> r.status OR s.lifecycle_stage <> r.stage OR s.end_time IS NOT r.end_ms
  OR nullif(s.name, '') <> r.name ORDER BY s.start_time DESC
"""
_GONE = "SELECT r.run_id FROM main.runs r WHERE NOT EXISTS (SELECT 1 FROM src.runs s WHERE s.run_uuid = r.run_id)"
_ALIVE = "SELECT run_id FROM main.runs WHERE status IN ('RUNNING', 'SCHEDULED')"


class NotReadable(Exception):
    """MLflow's file is not there, or is none that is understood: REST remains."""


class DirectFeed:
    """What a feed remembers between two looks; used in one thread."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._file: tuple[int, int] | None = None  # which file is attached
        self._version = -1  # SQLite's own, of what others wrote
        self._backlog: deque[str] = deque()
        self._compared = self._compared_all = 0.0
        self._refused_until = 0.0
        self._is_dirty = True  # something was written since everything was compared

    @property
    def backlog(self) -> int:
        """How many runs are still to be brought in."""
        return len(self._backlog)

    def may_be_there(self) -> bool:
        """Return whether there is a file that was not found unreadable a moment ago: MLflow may be at work on it."""
        return time.monotonic() >= self._refused_until and self._database.exists()

    def forget(self) -> None:
        """Note that the index was made anew, or that its connection was."""
        self._file = None
        self._version = -1
        self._backlog.clear()
        self._compared = self._compared_all = 0.0
        self._is_dirty = True

    def look(self, connection: sqlite3.Connection, touched: Iterable[str]) -> bool:
        """Bring in what changed; ``touched`` are runs that surely did. Returns whether anything was brought in.

        Raises NotReadable, and sqlite3.OperationalError where one of the files stays locked.
        """
        self._attach(connection)
        (version,) = connection.execute("PRAGMA src.data_version").fetchone()
        is_new = version != self._version
        touched = list(touched)
        if not is_new and not touched and not self._backlog:
            return False
        self._is_dirty |= is_new
        has_changed = False
        if is_new or touched:
            has_changed = sync.experiments(connection)
            self._find(connection, touched)
        self._version = version
        has_changed |= self._work_off(connection)
        return self._compare(connection) | has_changed

    def _attach(self, connection: sqlite3.Connection) -> None:
        try:
            stat = self._database.stat()
        except OSError as error:
            raise NotReadable(f"{self._database.name} is not there") from error
        file = (stat.st_dev, stat.st_ino)
        if self._file == file and _is_attached(connection):
            return
        self.forget()
        if _is_attached(connection):
            connection.execute("DETACH src")
        try:
            connection.execute("ATTACH ? AS src", (f"{self._database.absolute().as_uri()}?mode=ro",))
            if lacking := sync.lacks(connection):
                connection.execute("DETACH src")
                self._refused_until = time.monotonic() + REFUSED_S
                raise NotReadable(f"it lacks {', '.join(sorted(lacking)[:3])}")
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            raise NotReadable(str(error)) from error
        sync.prepare(connection)
        self._file = file

    def _find(self, connection: sqlite3.Connection, touched: list[str]) -> None:
        """Note which runs are to be brought in."""
        marks = _marks(connection)
        tops = {table: _top(connection, table) for table in _COLUMNS}
        if not marks or any(tops[table] < marks.get(table, 0) for table in tops):  # the first look, or some are gone
            self._compared = 0.0
        if marks:
            found = dict.fromkeys(touched)
            for table, column in _COLUMNS.items():
                found |= dict.fromkeys(_written(connection, table, column, marks.get(table, 0), tops[table]))
            alive = [row[0] for row in connection.execute(_ALIVE) if row[0] not in found]
            found |= dict.fromkeys(sync.differing(connection, alive))
            self._backlog.extendleft(found)  # what is newest comes first
        if tops != marks:
            with sync.transaction(connection):
                connection.executemany(
                    "INSERT OR REPLACE INTO main.meta VALUES(?, ?)",
                    ((f"top.{name}", top) for name, top in tops.items()),
                )

    def _work_off(self, connection: sqlite3.Connection) -> bool:
        """Bring in what has piled up, for as long as one look may take."""
        until = time.monotonic() + SLICE_S
        has_any = False
        while self._backlog and (not has_any or time.monotonic() < until):
            some = [self._backlog.popleft() for _ in range(min(sync.BATCH, len(self._backlog)))]
            try:
                sync.bring(connection, some)
            except BaseException:
                self._backlog.extendleft(reversed(some))
                raise
            has_any = True
        return has_any

    def _compare(self, connection: sqlite3.Connection) -> bool:
        """Compare all runs, and more rarely all that they hold."""
        now = time.monotonic()
        if not self._is_dirty or self._backlog or (self._compared and now - self._compared < RUNS_S):
            return False
        gone = [row[0] for row in connection.execute(_GONE)]
        sync.remove(connection, gone)
        self._backlog.extend(row[0] for row in connection.execute(_MISSING))
        is_first, self._compared = not self._compared, now
        if not is_first and now - self._compared_all >= ALL_S:
            ids = [row[0] for row in connection.execute("SELECT run_id FROM main.runs ORDER BY n DESC")]
            self._backlog.extend(sync.differing(connection, ids))
            self._compared_all, self._is_dirty = now, False
        if is_first:
            self._compared_all = now
        return self._work_off(connection) or bool(gone)


def _is_attached(connection: sqlite3.Connection) -> bool:
    return any(row[1] == "src" for row in connection.execute("PRAGMA database_list"))


def _marks(connection: sqlite3.Connection) -> dict[str, int]:
    rows = connection.execute("SELECT name, value FROM main.meta WHERE name LIKE 'top.%'")
    return {name.removeprefix("top."): value for name, value in rows}


def _top(connection: sqlite3.Connection, table: str) -> int:
    (top,) = connection.execute(f"SELECT coalesce(max(rowid), 0) FROM src.{table}").fetchone()
    return int(top)


def _written(connection: sqlite3.Connection, table: str, column: str, above: int, top: int) -> list[str]:
    if top <= above:
        return []
    question = f"SELECT DISTINCT {column} FROM src.{table} WHERE rowid > ? AND rowid <= ?"
    return [row[0] for row in connection.execute(question, (above, top))]
