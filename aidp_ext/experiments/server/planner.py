"""What MLflow does not do for its SQLite file: statistics for the planner, and a log that lets readers and writers be.

Without statistics a search by a metric takes a time that grows with the square of the runs. MLflow's own process is
not asked: these are connections of ours, which wait for nobody.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

_TABLES = ("runs", "latest_metrics", "params", "tags", "metrics")
_ENOUGH = 50  # runs
_FAR = ("nfs", "cifs", "smb", "9p", "fuse", "lustre", "ceph", "gpfs", "beegfs", "afs", "ncp")
_ROWS = 1000  # of each index that are looked at: some milliseconds, however large the table


def is_due(database: Path) -> bool:
    """Return whether there are many more runs than when the statistics were made. Raises sqlite3.Error."""
    with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=0.2)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "runs" not in tables:
            return False
        (now,) = connection.execute("SELECT coalesce(max(rowid), 0) FROM runs").fetchone()
        if now < _ENOUGH:
            return False
        if "sqlite_stat1" not in tables:
            return True
        said = connection.execute("SELECT stat FROM sqlite_stat1 WHERE tbl = 'runs' LIMIT 1").fetchone()
    return said is None or now >= 2 * int(said[0].split()[0])


def analyze(database: Path) -> bool:
    """Make the statistics; return False where the database is locked, which is nothing to worry about.

    Raises sqlite3.Error for anything else.
    """
    connection = sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=0.5, isolation_level=None)
    with contextlib.closing(connection):
        try:
            connection.execute(f"PRAGMA analysis_limit = {_ROWS}")
            connection.execute("BEGIN IMMEDIATE")
            there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            for table in _TABLES:
                if table in there:
                    connection.execute(f"ANALYZE {table}")
            # Connections read the statistics with the schema: a change of it makes MLflow's read both anew.
            connection.execute("CREATE TABLE aidp_analyzed (at INTEGER)")
            connection.execute("DROP TABLE aidp_analyzed")
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                return False
            raise
    return True


def write_ahead(database: Path) -> bool:
    """Let readers of a database and its writer not wait for each other; return whether it is so.

    It stays so in the file. Only on disks of this machine: elsewhere SQLite cannot do it, and would do damage.
    Raises sqlite3.Error.
    """
    if not database.exists() or _is_far(database):
        return False
    with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=0.5)) as connection:
        try:
            return bool(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal")
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                return False
            raise


def _is_far(path: Path) -> bool:
    """Return whether a path is on a file system of another machine, as far as this can be seen."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return False
    kinds: dict[Path, str] = {}
    for line in lines:
        left, _, right = line.partition(" - ")
        mount = left.split()[4].encode().decode("unicode_escape")  # spaces are written as \\040
        kinds[Path(mount)] = right.split()[0]
    real = path.resolve()
    return next((kinds[p] for p in (real, *real.parents) if p in kinds), "").startswith(_FAR)
