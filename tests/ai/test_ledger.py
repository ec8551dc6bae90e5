"""The ledger, on real SQLite files and a real PostgreSQL: money held and spent, rows, faults, clocks."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aidp_ext.ai import ledger_writer
from aidp_ext.ai.budgets import Limit
from aidp_ext.ai.ledger import Call, Ledger, Reservation
from aidp_ext.ai.ledger_store import MIGRATIONS, VERSION_TABLE
from aidp_ext.core.db import migrate, open_engine
from aidp_ext.core.errors import BudgetExhausted, StorageError
from tests.ai.ledgers import DAY, MONTH, NOON, Clock, call, limit, rows, sums
from tests.support.postgresql import PostgreSql, postgresql

LEASE_S = 900.0
DOLLAR = 1_000_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with postgresql() as found:
        yield found


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state/ledger.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, file_url: str) -> str:
    if request.param == "sqlite":
        return file_url
    database: str = request.getfixturevalue("server").database()
    return database


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextlib.asynccontextmanager
async def opened(ledger: Ledger) -> AsyncIterator[Ledger]:
    await ledger.start()
    try:
        yield ledger
    finally:
        await ledger.close()


@pytest.fixture
async def ledger(url: str, clock: Clock) -> AsyncIterator[Ledger]:
    async with opened(clock.ledger(url)) as found:
        yield found


async def test_what_is_held_becomes_what_it_cost(ledger: Ledger, url: str) -> None:
    reservation = await ledger.reserve("a", "ana", [limit(10)], 2.5)
    assert reservation.usd == 2.5
    assert sums(url) == (0, 2.5 * DOLLAR)
    ledger.settle(reservation, call("a", 0.75))
    await ledger.flush()
    assert sums(url) == (0.75 * DOLLAR, 0)
    assert rows(url, "SELECT count(*) FROM ai_reservation") == [(0,)]


async def test_a_row_comes_back_as_it_was_written(ledger: Ledger) -> None:
    whole = Call(
        id="a",
        at=datetime(2026, 3, 7, 11, 59, 58, 123000, tzinfo=UTC),
        user="änä",
        team="ml",
        task="chat",
        dialect="messages",
        route="openai/gpt-5",
        provider="openai",
        model="gpt-5",
        locality="cloud",
        reason="asked_for",
        privacy="redact",
        privacy_reason="rule",
        outcome="upstream_timeout",
        attempts=3,
        prompt_tokens=11,
        completion_tokens=12,
        cached_tokens=13,
        reasoning_tokens=14,
        cost_usd=0.000015001,
        saved_usd=0.25,
        ms=16,
        first_ms=17,
        sent_bytes=18,
        redactions={"email": 2},
        notes=("suffix_ignored", "fell_back"),
    )
    bare = Call("b", whole.at + timedelta(seconds=1), "änä")
    ledger.settle(None, whole)
    ledger.settle(None, bare)
    assert await ledger.recent(10, "änä") == (bare, whole)


async def test_more_than_is_left_is_refused_and_nothing_is_held(ledger: Ledger, url: str) -> None:
    held = await ledger.reserve("a", "ana", [limit(10)], 8)
    with pytest.raises(BudgetExhausted) as refused:
        await ledger.reserve("b", "ana", [limit(10)], 2.000000001)
    assert refused.value.details.items() >= {
        ("scope", "deployment"),
        ("period", "month"),
        ("limit_usd", 10),
        ("spent_usd", 0),
        ("reserved_usd", 8),
        ("left_usd", 2),
        ("resets_at", "2026-04-01T00:00:00+00:00"),
    }
    assert "resets on 1 April 2026" in refused.value.message
    assert refused.value.next_step
    assert sums(url) == (0, 8 * DOLLAR)
    exact = await ledger.reserve("c", "ana", [limit(10)], 2)
    ledger.settle(held, call("a", 8))
    ledger.settle(exact, call("c", 2))
    with pytest.raises(BudgetExhausted, match="is used up"):
        await ledger.reserve("d", "ana", [limit(10)], 0.000001)


async def test_every_limit_must_hold_or_nothing_is_held(ledger: Ledger, url: str) -> None:
    wide, team, narrow = limit(100), limit(50, "team", "ml"), limit(1, "user", "ana", "day")
    with pytest.raises(BudgetExhausted) as refused:
        await ledger.reserve("a", "ana", [wide, team, narrow], 2)
    assert refused.value.details["scope"] == "user"
    assert refused.value.details["resets_at"] == "2026-03-08T00:00:00+00:00"
    assert rows(url, "SELECT * FROM ai_spend WHERE reserved > 0") == []
    held = await ledger.reserve("b", "ana", [wide, team, narrow], 0.5)
    for bucket in (f"{MONTH}/deployment/", f"{DAY}/team/ml", f"{MONTH}/team/ml", f"{DAY}/user/ana"):
        assert sums(url, bucket) == (0, held.nano)


async def test_a_limit_that_is_set_later_knows_what_was_spent_before(ledger: Ledger) -> None:
    unlimited = await ledger.reserve("a", "ana", [], 5)
    ledger.settle(unlimited, call("a", 5, team="ml"))
    ledger.settle(None, call("b", 1, team="ml"))
    await ledger.flush()
    for scope, name in (("deployment", ""), ("user", "ana"), ("team", "ml")):
        for period in ("month", "day"):
            (state,) = await ledger.budgets([limit(20, scope, name, period)])
            assert state.spent_usd == 6


async def test_one_users_money_is_not_anothers(ledger: Ledger) -> None:
    await ledger.reserve("a", "ana", [limit(1, "user", "ana")], 1)
    await ledger.reserve("b", "bo", [limit(1, "user", "bo")], 1)
    with pytest.raises(BudgetExhausted):
        await ledger.reserve("c", "bo", [limit(1, "user", "bo")], 1)


async def test_many_at_once_get_exactly_what_there_is(ledger: Ledger, url: str) -> None:
    asked = [ledger.reserve(f"c{n}", "ana", [limit(10)], 1) for n in range(100)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(answer, Reservation) for answer in answers) == 10
    assert sum(isinstance(answer, BudgetExhausted) for answer in answers) == 90
    assert sums(url) == (0, 10 * DOLLAR)


async def test_a_failed_call_gives_back_what_it_held(ledger: Ledger, url: str) -> None:
    first = await ledger.reserve("a", "ana", [limit(1)], 1)
    ledger.give_back(first)
    ledger.give_back(first)
    ledger.give_back(None)
    second = await ledger.reserve("a", "ana", [limit(1)], 1)
    ledger.settle(second, call("a", 0, outcome="upstream_error"))
    third = await ledger.reserve("b", "ana", [limit(1)], 1)
    assert sums(url) == (0, third.nano)
    assert [(c.id, c.outcome) for c in await ledger.recent(9, None)] == [("a", "upstream_error")]


async def test_a_cost_above_the_reservation_is_written_as_it_is(ledger: Ledger, url: str) -> None:
    reservation = await ledger.reserve("a", "ana", [limit(1)], 0.5)
    ledger.settle(reservation, call("a", 3))
    await ledger.flush()
    assert sums(url) == (3 * DOLLAR, 0)
    (state,) = await ledger.budgets([limit(1)])
    assert (state.state, state.left_usd) == ("hard", 0)


async def test_cost_is_rounded_up_to_the_nano_dollar(ledger: Ledger, url: str) -> None:
    for number in range(3):
        ledger.settle(None, call(f"c{number}", 0.00000000010))
    await ledger.flush()
    assert sums(url) == (3, 0)


async def test_what_is_no_amount_is_refused(ledger: Ledger) -> None:
    for amount in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="no amount"):
            ledger.settle(None, call("a", amount))
        with pytest.raises(ValueError, match="no amount"):
            await ledger.reserve("a", "ana", [limit(1)], amount)


async def test_a_call_counts_in_the_period_in_which_it_was_reserved(ledger: Ledger, url: str, clock: Clock) -> None:
    clock.wall = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC).timestamp()
    limits = [limit(1), limit(1, period="day")]
    before = await ledger.reserve("a", "ana", limits, 1)
    clock.advance(2)
    after = await ledger.reserve("b", "ana", limits, 1)  # a new day and a new month
    ledger.settle(before, call("a", 0.9))
    ledger.settle(after, call("b", 0.4))
    await ledger.flush()
    assert sums(url, "2026-03/deployment/") == sums(url, "2026-03-31/deployment/") == (0.9 * DOLLAR, 0)
    assert sums(url, "2026-04/deployment/") == sums(url, "2026-04-01/deployment/") == (0.4 * DOLLAR, 0)


async def pass_time(clock: Clock, *ledgers: Ledger, lease_shares: int = 4) -> None:
    """Let more than a lease go by, in which these ledgers are alive."""
    for _ in range(lease_shares):
        clock.advance(LEASE_S / 3)
        for one in ledgers:
            await one.flush()


async def test_a_dead_processs_money_comes_free_and_its_call_is_written_down(url: str, clock: Clock) -> None:
    async with opened(clock.ledger(url)) as dead, opened(clock.ledger(url)) as living:
        draft = call("a", task="chat", team="ml", route="openai/gpt-5", prompt_tokens=7)
        held = await dead.reserve("a", "ana", [limit(1)], 1, draft=draft)
        await pass_time(clock, living, lease_shares=3)
        with pytest.raises(BudgetExhausted):
            await living.reserve("b", "ana", [limit(1)], 1)
        await pass_time(clock, living, lease_shares=1)
        assert sums(url) == (0, 0)
        (lost,) = await living.recent(9, None)
        assert (lost.id, lost.outcome, lost.task, lost.route, lost.cost_usd) == ("a", "lost", "chat", draft.route, 0)

        dead.settle(held, replace(draft, cost_usd=0.75))  # it had only been stopped
        await dead.flush()
        assert sums(url) == (0.75 * DOLLAR, 0)
        (true,) = await living.recent(9, None)
        assert (true.outcome, true.cost_usd) == ("ok", 0.75)
        total = (await living.usage(since=datetime.fromtimestamp(clock.wall, UTC))).total
        assert (total.calls, total.errors, total.prompt_tokens, total.cost_usd) == (1, 0, 7, 0.75)


async def test_the_money_of_a_living_process_stays_held(url: str, clock: Clock) -> None:
    async with opened(clock.ledger(url)) as one, opened(clock.ledger(url)) as other:
        held = await one.reserve("a", "ana", [limit(1)], 1)
        await pass_time(clock, one, other, lease_shares=12)
        assert sums(url) == (0, held.nano)


@pytest.mark.parametrize("jump_s", [3600.0, 400 * 86_400.0, -3600.0])
async def test_a_clock_that_jumps_takes_no_money_from_the_living(file_url: str, jump_s: float) -> None:
    ours, theirs = Clock(), Clock()
    async with opened(ours.ledger(file_url)) as one, opened(theirs.ledger(file_url)) as other:
        held = await one.reserve("a", "ana", [limit(1, period="day")], 1)
        for clock, ledger in ((theirs, other), (ours, one), (theirs, other)):
            clock.wall += jump_s
            clock.passed += max(0.0, jump_s)  # a machine that slept
            await ledger.flush()
            await ledger.flush()
        assert sums(file_url, f"{DAY}/deployment/") == (0, held.nano)
        one.settle(held, call("a", 0.25))
        await one.flush()
        assert sums(file_url, f"{DAY}/deployment/") == (0.25 * DOLLAR, 0)


async def test_looks_that_cannot_be_written_do_not_count(file_url: str, clock: Clock) -> None:
    async with opened(clock.ledger(file_url)) as one, opened(clock.ledger(file_url)) as other:
        held = await one.reserve("a", "ana", [limit(1)], 1)
        await other.flush()
        clock.advance(LEASE_S / 3)
        with locked(file_url):
            for _ in range(4):
                with pytest.raises(StorageError):
                    await other.flush()
        await other.flush()
        assert sums(file_url) == (0, held.nano)


async def test_a_reservation_that_nobody_can_settle_any_more_comes_free(ledger: Ledger, url: str, clock: Clock) -> None:
    await ledger.reserve("a", "ana", [limit(1)], 1)
    await asyncio.sleep(0)  # the step of the task in which it came still holds it
    gc.collect()
    clock.advance(LEASE_S / 3)
    await ledger.flush()
    assert sums(url) == (0, 0)
    assert [c.outcome for c in await ledger.recent(9, None)] == ["lost"]


async def test_who_goes_while_waiting_leaves_nothing_held(ledger: Ledger, url: str) -> None:
    await ledger.flush()
    waiting = [asyncio.ensure_future(ledger.reserve(f"c{n}", "ana", [limit(50)], 1)) for n in range(50)]
    await asyncio.sleep(0)
    for one in waiting[::2]:
        one.cancel()
    kept = [r for r in await asyncio.gather(*waiting, return_exceptions=True) if isinstance(r, Reservation)]
    await ledger.flush()
    await ledger.flush()  # those that were decided for nobody were given back after the first
    assert sums(url) == (0, len(kept) * DOLLAR)
    assert len(kept) == 25


async def test_what_is_decided_for_somebody_who_has_gone_is_given_back(file_url: str, clock: Clock) -> None:
    async with opened(clock.ledger(file_url, patience_s=5)) as ledger:
        await ledger.flush()
        with locked(file_url):
            waiting = asyncio.create_task(ledger.reserve("a", "ana", [limit(1)], 1))
            await asyncio.sleep(0.2)  # the writer has it in its hands now
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await ledger.flush()
        await ledger.flush()
        assert sums(file_url) == (0, 0)
        assert await ledger.recent(9, None) == ()


async def test_a_call_is_counted_once_however_often_it_is_settled(ledger: Ledger, url: str) -> None:
    reservation = await ledger.reserve("a", "ana", [limit(10)], 2)
    ledger.settle(reservation, call("a", 1))
    ledger.settle(reservation, call("a", 1))
    await ledger.flush()
    ledger.settle(reservation, call("a", 1))
    await ledger.flush()
    assert sums(url) == (1 * DOLLAR, 0)
    assert (await ledger.usage(since=datetime.fromtimestamp(NOON, UTC))).total.calls == 1


async def test_texts_that_no_database_takes_keep_nothing_from_being_written(ledger: Ledger) -> None:
    bad = call("a", user="an\ud800a", model="x\0y" * 1000, notes=("\udfff",), redactions={"\ud800": 1})
    held = await ledger.reserve("a", "an\ud800a", [limit(1, "user", "an\ud800a")], 1, draft=bad)
    ledger.settle(held, replace(bad, prompt_tokens=2**80, ms=-5, cost_usd=0.5))
    (row,) = await ledger.recent(9, "an\ud800a")
    assert (row.user, row.ms, row.notes, row.cost_usd) == ("an?a", 0, ("?",), 0.5)
    assert "\0" not in row.model


async def test_usage_adds_up_by_day_user_team_model_and_task(ledger: Ledger, clock: Clock) -> None:
    cloud = {"locality": "cloud", "route": "openai/gpt-5", "task": "chat", "prompt_tokens": 100}
    local = {"locality": "local", "route": "ollama/q", "task": "complete", "completion_tokens": 10, "saved_usd": 0.5}
    day = timedelta(days=1)
    at = datetime.fromtimestamp(NOON, UTC)
    ledger.settle(None, call("a", 2, **cloud, team="ml", ms=300))
    ledger.settle(None, call("b", 0, **local, ms=100))
    ledger.settle(None, call("c", 0, **local, outcome="cancelled", ms=9999))
    ledger.settle(None, call("d", 0, **cloud, user="bo", outcome="upstream_error", ms=9999))
    ledger.settle(None, call("e", 1, **cloud, at=at - day, ms=200))
    ledger.settle(None, call("f", 9, **cloud, at=at - 3 * day))
    ledger.feedback("ana", "ollama/q", "complete", 3, 1)
    report = await ledger.usage(since=at - day)
    assert report.since == datetime(2026, 3, 6, tzinfo=UTC)
    total = report.total
    assert (total.calls, total.errors, total.cost_usd, total.saved_usd) == (5, 1, 3, 1)
    assert (total.prompt_tokens, total.completion_tokens, total.local_share) == (300, 20, 0.4)
    assert (total.latency_ms, total.accepted, total.rejected) == (200, 3, 1)
    assert (report.today.calls, report.today.cost_usd) == (4, 2)
    assert [(g.key, g.calls) for g in report.by["day"]] == [("2026-03-06", 1), ("2026-03-07", 4)]
    assert [(g.key, g.calls) for g in report.by["user"]] == [("ana", 4), ("bo", 1)]
    assert [(g.key, g.cost_usd) for g in report.by["team"]] == [("ml", 2), ("", 1)]
    assert [(g.key, g.calls) for g in report.by["model"]] == [("openai/gpt-5", 3), ("ollama/q", 2)]
    assert [(g.key, g.accepted) for g in report.by["task"]] == [("chat", 0), ("complete", 3)]


async def test_nobody_sees_anothers_calls(ledger: Ledger) -> None:
    for number in range(6):
        ledger.settle(None, call(f"c{number}", 1, user=("ana", "bo")[number % 2]))
    since = datetime.fromtimestamp(NOON, UTC)
    assert {c.user for c in await ledger.recent(50, "bo")} == {"bo"}
    mine = await ledger.usage(since=since, user="bo")
    assert (mine.total.calls, mine.total.cost_usd, [g.key for g in mine.by["user"]]) == (3, 3, ["bo"])
    assert await ledger.recent(50, "b") == ()
    assert len(await ledger.recent(4, None)) == 4
    empty = await ledger.usage(since=since, user="nobody")
    assert (empty.total.calls, empty.total.local_share, empty.total.latency_ms) == (0, None, None)


async def test_budgets_are_at_most_a_second_old(ledger: Ledger, clock: Clock) -> None:
    limits = [Limit("deployment", "", "month", 10, 5), limit(4, "user", "ana", "day")]
    assert await ledger.budgets([]) == ()
    month, day = await ledger.budgets(limits)
    assert (month.spent_usd, month.state, month.resets_at) == (0, "ok", datetime(2026, 4, 1, tzinfo=UTC))
    assert day.resets_at == datetime(2026, 3, 8, tzinfo=UTC)
    held = await ledger.reserve("a", "ana", limits, 3)
    ledger.settle(None, call("b", 5.5, user="bo"))
    await ledger.flush()
    assert (await ledger.budgets(limits))[0].spent_usd == 0
    clock.advance(1)
    month, day = await ledger.budgets(limits)
    assert (month.spent_usd, month.reserved_usd, month.left_usd, month.state) == (5.5, 3, 1.5, "soft")
    assert (day.spent_usd, day.reserved_usd) == (0, held.usd)


async def test_old_rows_are_deleted_and_their_sums_stay(
    url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(clock.ledger(url, keep_days=30)) as ledger:
        at = datetime.fromtimestamp(NOON, UTC)
        for number in range(2500):  # more than one transaction deletes
            ledger.settle(None, call(f"old{number}", 0.5, at=at - timedelta(days=31)))
        ledger.settle(None, call("new", 0.5, at=at - timedelta(days=29)))
        await ledger.flush()
        clock.advance(86_400)
        await ledger.flush()
        await ledger.flush()
        assert [c.id for c in await ledger.recent(9999, None)] == ["new"]
        assert (await ledger.usage(since=at - timedelta(days=40))).total.calls == 2501
        assert sums(url, "2026-02/deployment/") == (1250.5 * DOLLAR, 0)


async def test_closing_writes_what_waits(url: str, clock: Clock) -> None:
    ledger = clock.ledger(url)
    await ledger.start()
    ledger.settle(None, call("a"))
    await ledger.close()
    assert rows(url, "SELECT id FROM ai_call") == [("a",)]
    with pytest.raises(StorageError, match="closed"):
        await ledger.reserve("b", "ana", [limit(1)], 1)


# Faults.


@contextlib.contextmanager
def locked(url: str) -> Iterator[None]:
    """Keep everybody else from writing."""
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def fails_closed(ledger: Ledger, match: str) -> None:
    """A reservation fails, and a free call is taken."""
    with pytest.raises(StorageError, match=match) as refused:
        await ledger.reserve("refused", "ana", [limit(10)], 1)
    assert refused.value.next_step
    ledger.settle(None, call("free"))


async def test_a_locked_database_refuses_money_and_takes_rows_later(file_url: str, clock: Clock) -> None:
    async with opened(clock.ledger(file_url, patience_s=1)) as ledger:
        held = await ledger.reserve("paid", "ana", [limit(10)], 1)
        with locked(file_url):
            refused = asyncio.create_task(fails_closed(ledger, "locked"))
            await asyncio.sleep(0.05)
            assert not refused.done(), "the loop stood still while the database was locked"
            assert [state.reserved_usd for state in await ledger.budgets([limit(10)])] == [1]  # reading goes on
            await refused
            ledger.settle(held, call("paid", 1))
        await ledger.flush()
        assert {c.id for c in await ledger.recent(9, None)} == {"paid", "free"}
        assert sums(file_url) == (1 * DOLLAR, 0)


async def test_a_file_that_is_gone_refuses_money_until_it_is_back(file_url: str, tmp_path: Path, clock: Clock) -> None:
    async with opened(clock.ledger(file_url)) as ledger:
        ledger.settle(None, call("before", 9))
        await ledger.flush()
        (tmp_path / "state").rename(tmp_path / "elsewhere")
        await fails_closed(ledger, "gone")
        with pytest.raises(StorageError, match="gone"):
            await ledger.budgets([limit(10)])
        assert not (tmp_path / "state").exists()
        (tmp_path / "elsewhere").rename(tmp_path / "state")
        await ledger.flush()
        with pytest.raises(BudgetExhausted):
            await ledger.reserve("b", "ana", [limit(10)], 2)
        assert {c.id for c in await ledger.recent(9, None)} == {"before", "free"}


async def test_another_file_in_its_place_is_taken(file_url: str, tmp_path: Path, clock: Clock) -> None:
    async with opened(clock.ledger(file_url)) as ledger:
        ledger.settle(None, call("a", 9))
        await ledger.flush()
        await ledger.budgets([limit(10)])
        shutil.rmtree(tmp_path / "state")
        async with opened(clock.ledger(file_url)) as other:
            other.settle(None, call("b", 2))
        clock.advance(1)
        ledger.settle(None, call("c", 3))
        await ledger.flush()
        assert (await ledger.budgets([limit(10)]))[0].spent_usd == 5


async def test_a_database_that_may_only_be_read_refuses_money(file_url: str, clock: Clock) -> None:
    async with opened(clock.ledger(file_url)) as ledger:
        await ledger.flush()
    path = file_url.removeprefix("sqlite:///")
    async with opened(clock.ledger(f"sqlite:///file:{path}?mode=ro&uri=true")) as ledger:
        await fails_closed(ledger, "readonly")


async def test_a_place_where_no_database_can_be_refuses_money(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "folder").mkdir()
    for url in (f"sqlite:///{tmp_path}/folder", "nonsense", "postgresql://localhost:1/none"):
        async with opened(clock.ledger(url)) as ledger:
            with pytest.raises(StorageError):
                await ledger.budgets([limit(1)])
            await fails_closed(ledger, "opened|written")


FULL_DISK = """
import asyncio, resource, sys
from datetime import UTC, datetime
from aidp_ext.ai.ledger import Call, Ledger
from aidp_ext.ai.budgets import Limit
from aidp_ext.core.errors import StorageError

async def main():
    ledger = Ledger(sys.argv[1], patience_s=0.3)
    await ledger.start()
    limits = [Limit("deployment", "", "month", 1000)]
    held = await ledger.reserve("held", "ana", limits, 1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    try:
        for number in range(2000):
            ledger.settle(None, Call(f"c{number}", datetime.now(UTC), "ana", notes=("x" * 400,)))
            await ledger.reserve(f"r{number}", "ana", limits, 0.001)
    except StorageError as error:
        print("refused:", error.message)
    ledger.settle(held, Call("held", datetime.now(UTC), "ana", cost_usd=1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await ledger.flush()
    print("written:", any(call.id == "held" for call in await ledger.recent(9999, None)))
    await ledger.close()

asyncio.run(main())
"""


def test_a_full_disk_refuses_money_and_loses_none(file_url: str) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, file_url], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "refused: The ledger of the budgets cannot be written" in done.stdout
    assert "written: True" in done.stdout
    assert rows(file_url, "PRAGMA integrity_check") == [("ok",)]


async def test_only_free_rows_are_dropped_and_it_is_said_once(
    file_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ledger_writer, "_MAX_WAITING", 5)
    async with opened(clock.ledger(file_url)) as ledger:
        held = [await ledger.reserve(f"paid{n}", "ana", [limit(100)], 1) for n in range(10)]
        with locked(file_url), caplog.at_level(logging.WARNING, "aidp"):
            for number, one in enumerate(held):
                ledger.settle(one, call(f"paid{number}", 1))
            with pytest.raises(StorageError):
                await ledger.flush()
            for number in range(20):
                ledger.settle(None, call(f"free{number}"))
        await ledger.flush()
        found = {c.id for c in await ledger.recent(99, None)}
    assert {name for name in found if name.startswith("paid")} == {f"paid{n}" for n in range(10)}
    assert {name for name in found if name.startswith("free")} == {f"free{n}" for n in range(15, 20)}
    assert len([record for record in caplog.records if "dropping the oldest" in record.message]) == 1


async def test_a_server_that_goes_and_comes_back_loses_no_money(server: PostgreSql, clock: Clock) -> None:
    url = server.database()
    async with opened(clock.ledger(url)) as ledger:
        held = await ledger.reserve("paid", "ana", [limit(10)], 4)
        server.stop()
        try:
            await fails_closed(ledger, "cannot be")
            with pytest.raises(StorageError):
                await ledger.budgets([limit(10)])
            ledger.settle(held, call("paid", 3))
        finally:
            server.start()
        await ledger.flush()
        assert sums(url) == (3 * DOLLAR, 0)
        assert {c.id for c in await ledger.recent(9, None)} == {"paid", "free"}
        again = await ledger.reserve("b", "ana", [limit(10)], 7)
        assert sums(url) == (3 * DOLLAR, again.nano)


# The database itself.


def test_migrations_make_what_the_tables_state(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from aidp_ext.ai.tables import metadata

    engine = open_engine(url)
    migrate(engine, MIGRATIONS, VERSION_TABLE)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


async def test_the_file_is_its_owners_alone(file_url: str, tmp_path: Path, clock: Clock) -> None:
    async with opened(clock.ledger(file_url)) as ledger:
        await ledger.reserve("a", "ana", [limit(1)], 1)
        assert {oct(p.stat().st_mode & 0o777) for p in (tmp_path / "state").iterdir()} == {"0o600"}
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
        assert rows(file_url, "PRAGMA journal_mode") == [("wal",)]


async def test_a_ledger_of_a_newer_version_is_left_alone(file_url: str, clock: Clock) -> None:
    async with opened(clock.ledger(file_url)) as ledger:
        await ledger.flush()
    with contextlib.closing(sqlite3.connect(file_url.removeprefix("sqlite:///"))) as other:
        other.execute("UPDATE ai_version SET version_num = '9999'")
        other.commit()
    async with opened(clock.ledger(file_url)) as ledger:
        await fails_closed(ledger, "newer version")


NOTHING_IMPORTED = """
import asyncio, sys
from datetime import UTC, datetime
from aidp_ext.ai.ledger import Call, Ledger

async def main():
    ledger = Ledger("sqlite:///" + sys.argv[1])
    await ledger.start()
    await ledger.reserve("a", "ana", [], 1)
    assert not await ledger.budgets([])
    found = {"sqlalchemy", "alembic", "genai_prices"} & sys.modules.keys()
    await ledger.close()
    return found

sys.exit(f"imported: {found}" if (found := asyncio.run(main())) else 0)
"""


def test_a_server_that_makes_no_call_pays_nothing_for_it(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", NOTHING_IMPORTED, tmp_path / "ledger.db"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
