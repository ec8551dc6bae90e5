"""A real PostgreSQL server in a temporary folder."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg

from tests.support.processes import wait_until


class PostgreSql:
    """The server; each `database` is a fresh one."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where there is no runtime directory, /tmp does
            from pgserver.postgres_server import PostgresServer

        self._server = PostgresServer(folder, cleanup_mode="stop")
        self._numbers = itertools.count()

    def database(self) -> str:
        """Return the URL of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self._server.get_uri(name)

    def stop(self) -> None:
        """End the server, and with it all connections."""
        pid = self._server.get_pid()
        assert pid is not None
        os.kill(pid, signal.SIGINT)
        wait_until(lambda: not _lives(pid), "PostgreSQL has ended")

    def start(self) -> None:
        """Start it again."""
        with contextlib.suppress(subprocess.TimeoutExpired):  # it has only 10 s, and goes on nevertheless
            self._server.ensure_postgres_running()
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """End it for good."""
        self._server.cleanup()


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@contextlib.contextmanager
def postgresql() -> Iterator[PostgreSql]:
    """Give a running server."""
    # Not in pytest's folder: it is closed to others, and PostgreSQL never runs as root.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        server = PostgreSql(Path(name))
        try:
            yield server
        finally:
            server.close()
