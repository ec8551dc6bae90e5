"""aidp's own tracking server: a real MLflow as a child, started once, found again, mended and stopped."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec import structs

from aidp_ext.core.errors import DiskFull, StorageError, Unavailable
from aidp_ext.experiments.server import child, schema
from aidp_ext.experiments.server import record as records
from aidp_ext.experiments.server.child import Setup
from aidp_ext.experiments.server.local import LocalServer, address_of
from aidp_ext.experiments.server.record import Record

psutil: Any = importlib.import_module("psutil")  # it has no types

SEARCH = "/api/2.0/mlflow/experiments/search"
OLDER = "cfd24bdc0731"  # a revision of MLflow 1

Make = Callable[[], LocalServer]


def setup_of(folder: Path) -> Setup:
    return Setup(folder, folder / "run", address_of(folder / "mlflow.db"), str(folder / "artifacts"))


def found(folder: Path) -> Record:
    record = records.read(folder / "server.json")
    assert record is not None
    return record


async def ask(server: LocalServer) -> int:
    async with server.request("GET", SEARCH, params={"max_results": 3}) as response:
        await response.read()
        return response.status


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where one MLflow runs from test to test: each takes it over, and leaves it as a server that crashed does."""
    folder = tmp_path_factory.mktemp("state")
    yield folder
    record = records.read(folder / "server.json")
    if record is not None:
        records.end(record)


def abandon(server: LocalServer) -> None:
    """Let a server be gone as by a crash: its locks end, and its child goes on."""
    if server._users is not None:
        server._users.release()
    child.leave_running(server._process)


@pytest.fixture
async def make(folder: Path) -> AsyncIterator[Make]:
    made: list[LocalServer] = []

    def one() -> LocalServer:
        made.append(LocalServer(setup_of(folder)))
        return made[-1]

    yield one
    for server in made:
        abandon(server)
        await server._forget()


async def test_many_who_ask_at_once_start_it_once_and_see_how_far_it_is(make: Make, folder: Path) -> None:
    server = make()
    assert server.state().state == "off"
    assert not (folder / "mlflow.db").exists()
    asking = [asyncio.create_task(ask(server)) for _ in range(5)]
    while server.state().state != "starting":
        await asyncio.sleep(0.01)
    assert "so far" in server.state().progress
    leaves = asyncio.create_task(server.start())
    await asyncio.sleep(0)
    leaves.cancel()  # one of them goes, the others still want it
    assert await asyncio.gather(*asking) == [200] * 5
    assert server.state().state == "ready"
    assert server.database == folder / "mlflow.db"
    assert server.database.exists()


async def test_only_this_user_can_reach_it_and_it_knows_no_secret(
    make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(make())
    record = found(folder)
    socket = Path(record.socket)
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "mlflow.db").stat().st_mode) == 0o600
    process = psutil.Process(record.pid)
    every = [process, *process.children(recursive=True)]
    assert len(every) == 1, "the command stays beside its server"
    assert not [c for p in every for c in p.net_connections("inet")]
    environment = child.environment(setup_of(folder))
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-SECRET")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    assert not {"OPENAI_API_KEY", "MLFLOW_TRACKING_URI"} & set(child.environment(setup_of(folder)))


async def test_its_own_guards_are_on(make: Make, folder: Path) -> None:
    await ask(make())
    connector = aiohttp.UnixConnector(found(folder).socket)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.get(f"http://evil.example{SEARCH}?max_results=1") as response:
            assert response.status == 403
        foreign = {"Origin": "http://evil.example"}
        async with session.post("http://localhost/api/2.0/mlflow/runs/search", json={}, headers=foreign) as response:
            assert response.status == 403


async def test_a_server_that_starts_after_a_crash_takes_it_over(make: Make, folder: Path) -> None:
    first = make()
    await ask(first)
    before = found(folder)
    abandon(first)
    second = make()
    assert await ask(second) == 200
    assert found(folder) == before
    assert second._process is None, "it started another"


async def test_one_of_another_version_is_replaced(make: Make, folder: Path) -> None:
    first = make()
    await ask(first)
    before = found(folder)
    abandon(first)
    records.write(folder / "server.json", structs.replace(before, version="2.0.0"))
    assert await ask(make()) == 200
    assert found(folder).version == schema.installed()
    assert not records.is_alive(before)


async def test_one_that_was_killed_is_started_anew_by_the_next_request(make: Make, folder: Path) -> None:
    server = make()
    await ask(server)
    before = found(folder)
    os.kill(before.pid, signal.SIGKILL)
    assert await ask(server) == 200
    assert found(folder).pid != before.pid
    with sqlite3.connect(folder / "mlflow.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_two_servers_share_it_and_the_last_one_stops_it(tmp_path: Path, make: Make, folder: Path) -> None:
    first, second = make(), make()
    await asyncio.gather(ask(first), ask(second))
    record = found(folder)
    await first.close()
    assert records.is_alive(record), "the first one to leave stopped it"
    assert await ask(second) == 200
    await second.close()
    assert not records.is_alive(record)
    assert not Path(record.socket).exists()
    assert not (folder / "server.json").exists()


async def test_a_database_of_an_older_version_is_brought_up_to_date_and_a_copy_is_kept(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    make_older = """import sys, sqlalchemy
from alembic import command
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base
Base.metadata.create_all(sqlalchemy.create_engine(sys.argv[1]))
command.upgrade(_get_alembic_config(sys.argv[1]), sys.argv[2])"""
    subprocess.run([sys.executable, "-c", make_older, address_of(database), OLDER], check=True, capture_output=True)
    assert schema.age(database) == "older"
    await LocalServer(setup_of(tmp_path))._check_database()
    assert schema.age(database) == "same"
    assert schema.age(tmp_path / f"mlflow.db.before-upgrade-{OLDER}") == "older"


# --- what goes wrong, without MLflow itself ---


def fake(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(child, "_command", lambda setup, socket: [sys.executable, "-c", code])


async def test_why_it_did_not_start_is_said_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(monkeypatch, "print('first'); raise SystemExit('boom: the port is haunted')")
    server = LocalServer(setup_of(tmp_path))
    with pytest.raises(Unavailable, match="boom: the port is haunted") as failed:
        await server.start()
    assert str(tmp_path / "mlflow.log") in str(failed.value.next_step)
    assert server.state().state == "failed"
    assert "boom" in server.state().message
    assert not (tmp_path / "server.json").exists()


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ("OSError: [Errno 28] No space left on device", DiskFull, "no space"),
        ("sqlite3.OperationalError: database or disk is full", DiskFull, "no space"),
        ("sqlite3.OperationalError: database is locked", Unavailable, "another program holds"),
        ("ModuleNotFoundError: No module named 'flask'", Unavailable, "a part of it is missing"),
    ],
)
async def test_known_reasons_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, error: type[Exception], words: str
) -> None:
    fake(monkeypatch, f"raise SystemExit({said!r})")
    with pytest.raises(error, match=words):
        await LocalServer(setup_of(tmp_path)).start()


async def test_one_that_never_answers_is_ended_with_all_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)']);"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid)); time.sleep(99)"
    )
    fake(monkeypatch, code)
    server = LocalServer(setup_of(tmp_path), patience_s=2)
    with pytest.raises(Unavailable, match="did not answer in time"):
        await server.start()
    grandchild = int((tmp_path / "pid").read_text())
    while records.started(grandchild) is not None:  # its new parent has to reap it
        await asyncio.sleep(0.02)


async def test_who_asks_again_and_again_does_not_start_it_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(monkeypatch, "raise SystemExit('no')")
    server = LocalServer(setup_of(tmp_path))
    starts: list[str] = []
    spawn = child.spawn

    def counted(setup: Setup, version: str) -> Any:
        starts.append(version)
        return spawn(setup, version)

    monkeypatch.setattr(child, "spawn", counted)
    for _ in range(5):
        with pytest.raises(Unavailable):
            await ask(server)
    assert len(starts) == 1
    with pytest.raises(Unavailable):
        await server.start()  # by a press of the user's
    assert len(starts) == 2


async def test_a_start_that_is_under_way_ends_with_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, "import time; time.sleep(99)")
    server = LocalServer(setup_of(tmp_path))
    asking = asyncio.create_task(ask(server))
    while not (tmp_path / "server.json").exists():
        await asyncio.sleep(0.01)
    record = found(tmp_path)
    await server.close()
    with pytest.raises((Unavailable, asyncio.CancelledError)):
        await asking
    assert not records.is_alive(record)
    with pytest.raises(Unavailable, match="about to end"):
        await ask(server)


async def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('ffffffffffff')")
    before = (tmp_path / "mlflow.db").read_bytes()
    with pytest.raises(Unavailable, match="newer MLflow"):
        await LocalServer(setup_of(tmp_path)).start()
    assert (tmp_path / "mlflow.db").read_bytes() == before


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"a letter to my grandmother" * 100)
    with pytest.raises(StorageError, match="cannot be read"):
        await LocalServer(setup_of(tmp_path)).start()


async def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be used"):
        await LocalServer(setup_of(tmp_path / "file" / "state")).start()


def test_a_folder_with_a_long_path_gets_a_socket_elsewhere(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 90)
    socket = Path(child.place_of_socket(long))
    assert len(os.fsencode(socket)) <= 104
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    socket.parent.rmdir()


def test_a_path_that_mlflow_cannot_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="because of its name"):
        address_of(tmp_path / "what?" / "mlflow.db")


def test_a_process_that_got_the_number_of_another_is_not_taken_for_it(tmp_path: Path) -> None:
    record = Record("a", os.getpid(), "1", records.boot(), records.host(), "s", "x", "3")
    assert not records.is_alive(record)
    records.end(record)  # else this test would end here
    assert records.is_alive(structs.replace(record, started=str(records.started(os.getpid()))))
    assert not records.is_alive(structs.replace(record, started=str(records.started(os.getpid())), boot="another"))
