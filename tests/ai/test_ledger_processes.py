"""Several processes on one ledger, one of them killed: the limit holds at every moment, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from aidp_ext.ai.ledger import Ledger
from aidp_ext.ai.ledger_store import MIGRATIONS, VERSION_TABLE
from aidp_ext.core.db import migrate, open_engine
from tests.ai.ledgers import limit, rows
from tests.support.postgresql import PostgreSql, postgresql
from tests.support.processes import REPO, wait_until

LIMIT_USD = 0.6  # about half of what the calls would cost
LIMIT = 600_000_000

# The database itself notes each sum that goes beyond its limit, whenever it is written.
WATCH_SQLITE = f"""
CREATE TABLE beyond (bucket TEXT);
CREATE TRIGGER watch_insert AFTER INSERT ON ai_spend WHEN NEW.spent + NEW.reserved > {LIMIT}
BEGIN INSERT INTO beyond VALUES (NEW.bucket); END;
CREATE TRIGGER watch_update AFTER UPDATE ON ai_spend WHEN NEW.spent + NEW.reserved > {LIMIT}
BEGIN INSERT INTO beyond VALUES (NEW.bucket); END;
"""
WATCH_POSTGRESQL = f"""
CREATE TABLE beyond (bucket TEXT);
CREATE FUNCTION watch() RETURNS trigger AS $$ BEGIN INSERT INTO beyond VALUES (NEW.bucket); RETURN NEW; END $$
LANGUAGE plpgsql;
CREATE TRIGGER watch AFTER INSERT OR UPDATE ON ai_spend FOR EACH ROW
WHEN (NEW.spent + NEW.reserved > {LIMIT}) EXECUTE FUNCTION watch();
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with postgresql() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    database: str = request.getfixturevalue("server").database()
    return database


def watch(url: str) -> None:
    engine = open_engine(url)
    migrate(engine, MIGRATIONS, VERSION_TABLE)
    engine.dispose()
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.executescript(WATCH_SQLITE)
        connection.close()
    else:
        with psycopg.connect(url) as other:
            other.execute(WATCH_POSTGRESQL)


def spender(url: str, name: str, calls: int) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "tests.support.spender", url, name, str(calls), str(LIMIT_USD)]
    return subprocess.Popen(argv, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> dict[str, int]:
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert errors == ""
    found: dict[str, int] = json.loads(out)
    return found


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)


def is_whole(url: str) -> None:
    """What is spent is what the calls cost; what is reserved is what the reservations hold."""
    ((spent, reserved),) = rows(url, "SELECT spent, reserved FROM ai_spend WHERE bucket LIKE '____-__/deployment/'")
    assert [(spent,)] == rows(url, "SELECT sum(cost) FROM ai_call")
    assert [(reserved,)] == rows(url, "SELECT coalesce(sum(nano), 0) FROM ai_reservation")
    assert [(spent,)] == rows(url, "SELECT sum(cost) FROM ai_usage")
    assert rows(url, "SELECT count(*) FROM ai_call") == rows(url, "SELECT sum(calls) FROM ai_usage")
    if url.startswith("sqlite"):
        assert rows(url, "PRAGMA integrity_check") == [("ok",)]


async def test_two_hundred_calls_and_a_death_stay_within_the_limit(url: str) -> None:
    watch(url)
    victim = spender(url, "victim", 0)
    wait_until(lambda: rows(url, "SELECT id FROM ai_call WHERE outcome = 'ok'"), "the victim has spent something")
    others = [spender(url, name, 100) for name in ("ana", "bo")]
    wait_until(lambda: rows(url, "SELECT id FROM ai_call WHERE id NOT LIKE 'victim%'"), "the others spend too")
    kill(victim)
    done = [finished(other) for other in others]
    assert sum(one["ok"] + one["failed"] + one["refused"] for one in done) == 200
    assert sum(one["refused"] for one in done) > 0, "the limit was never reached: this test shows nothing"

    assert rows(url, "SELECT * FROM beyond") == []
    is_whole(url)
    spent = rows(url, "SELECT coalesce(sum(cost), 0) FROM ai_call WHERE id NOT LIKE 'victim%'")
    assert spent == [(sum(one["spent"] for one in done),)]

    left = rows(url, "SELECT id FROM ai_reservation")
    assert len(left) >= 5
    assert all(name.startswith("victim") for (name,) in left)
    survivor = Ledger(url, lease_s=0.3)
    await survivor.start()
    while rows(url, "SELECT id FROM ai_reservation"):
        await survivor.flush()
        await asyncio.sleep(0.02)
    await survivor.close()
    lost = {name for (name,) in rows(url, "SELECT id FROM ai_call WHERE outcome = 'lost'")}
    assert lost == {name.rsplit(".", 1)[0] for (name,) in left}
    assert rows(url, "SELECT * FROM ai_spend WHERE reserved <> 0") == []
    is_whole(url)


def test_a_kill_at_any_moment_leaves_the_ledger_whole(url: str) -> None:
    watch(url)
    for round_number in range(5):
        written = rows(url, "SELECT count(*) FROM ai_call")[0][0]
        process = spender(url, f"victim{round_number}", 0)
        enough = written + 1 + 7 * round_number
        wait_until(
            lambda enough=enough: rows(url, "SELECT count(*) FROM ai_call")[0][0] >= enough or _is_spent(url),
            "it writes",
        )
        kill(process)
        is_whole(url)
    assert rows(url, "SELECT * FROM beyond") == []


def _is_spent(url: str) -> bool:
    """Whether so little is left that no call may be made any more."""
    found = rows(url, f"SELECT 1 FROM ai_spend WHERE spent + reserved > {LIMIT} * 0.7")
    return bool(found)


def test_processes_that_all_come_first_make_one_database(url: str) -> None:
    processes = [spender(url, name, 3) for name in ("ana", "bo", "cy", "di")]
    assert [sum(finished(one).values()) > 0 for one in processes] == [True] * 4
    assert rows(url, "SELECT count(*) FROM ai_call") == [(12,)]
    is_whole(url)


async def test_a_living_process_keeps_what_it_holds(tmp_path: Path) -> None:
    """With a real clock: the thread beats by itself, though nobody calls its ledger."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    holder, other = Ledger(url, lease_s=0.6), Ledger(url, lease_s=0.6)
    for one in (holder, other):
        await one.start()
    held = await holder.reserve("a", "ana", [limit(1)], 1)
    while rows(url, "SELECT beat FROM ai_reservation")[0][0] < 8:
        await other.flush()
        await asyncio.sleep(0.02)
    assert rows(url, "SELECT id FROM ai_reservation") == [(held.id,)]
    for one in (holder, other):
        await one.close()
