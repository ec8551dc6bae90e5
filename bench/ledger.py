"""What the ledger costs a call: CPU of this process, the writer's thread included, on a SQLite file."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert

from aidp_ext.ai.budgets import Limit
from aidp_ext.ai.ledger import Call, Ledger
from aidp_ext.ai.ledger_transaction import day_of
from aidp_ext.ai.tables import calls, usage
from aidp_ext.core.db import open_engine
from bench.figures import Figure, Section
from bench.measure import cost_of, middle

ROUNDS = 5
PAID, FREE, ROWS = 1500, 10_000, 1_000_000
ALONE_MS, TOGETHER_MS, FREE_MS, USAGE_MS = 0.4, 0.15, 0.03, 500.0
ANSWER_S = 0.002  # what a call takes in between: long enough for the settlement to be a transaction of its own
LIMITS = (
    Limit("deployment", "", "month", 1e6),
    Limit("user", "ana", "month", 1e6),
    Limit("user", "ana", "day", 1e6),
)
NUMBERS = itertools.count()


def _call(name: str, cost_usd: float = 0.0) -> Call:
    return Call(
        id=name,
        at=datetime.now(UTC),
        user="ana",
        team="ml",
        task="chat",
        dialect="chat",
        route="openai/gpt-5",
        provider="openai",
        model="gpt-5",
        locality="cloud" if cost_usd else "local",
        reason="asked_for",
        privacy="cloud",
        prompt_tokens=812,
        completion_tokens=203,
        cost_usd=cost_usd,
        ms=1800,
    )


async def _paid(ledger: Ledger) -> None:
    name = f"paid{next(NUMBERS)}"
    reservation = await ledger.reserve(name, "ana", LIMITS, 0.02)
    await asyncio.sleep(ANSWER_S)
    ledger.settle(reservation, _call(name, 0.003))


async def _free(ledger: Ledger) -> None:
    ledger.settle(None, _call(f"free{next(NUMBERS)}"))
    if next(NUMBERS) % 100 == 0:
        await asyncio.sleep(0)  # as between requests


async def _nothing() -> None:
    await asyncio.sleep(ANSWER_S)


async def _cost_ms(work: Callable[[], Awaitable[None]], count: int, concurrency: int, ledger: Ledger) -> float:
    before = time.process_time()
    await cost_of(os.getpid(), work, count, concurrency)
    await ledger.flush()
    return (time.process_time() - before) / count * 1000


async def _calls(url: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"one at a time": [], "32 at a time": [], "free": []}
    ledger = Ledger(url)
    await ledger.start()
    for number in range(ROUNDS + 1):  # the first one warms up
        round_ = {}
        for name, concurrency in (("one at a time", 1), ("32 at a time", 32)):
            with_ledger = await _cost_ms(lambda: _paid(ledger), PAID, concurrency, ledger)
            without = await _cost_ms(_nothing, PAID, concurrency, ledger)
            round_[name] = with_ledger - without
        round_["free"] = await _cost_ms(lambda: _free(ledger), FREE, 1, ledger)
        for name, value in round_.items() if number else ():
            found[name].append(value)
    await ledger.close()
    return found


def _fill(url: str) -> None:
    """Write a million calls of 50 users in 90 days, with their daily sums, as the ledger would."""
    chance = random.Random(1)
    now = datetime.now(UTC)
    routes = [f"provider/model{n}" for n in range(6)]
    sums: dict[tuple[str, ...], int] = {}
    engine = open_engine(url)
    with engine.begin() as connection:
        for start in range(0, ROWS, 10_000):
            rows = []
            for number in range(start, start + 10_000):
                at = now - timedelta(seconds=chance.uniform(0, 90 * 86_400))
                user, route, task = (
                    f"user{chance.randrange(50)}",
                    chance.choice(routes),
                    chance.choice(("chat", "complete")),
                )
                key = (day_of(at), user, "ml", route, task)
                sums[key] = sums.get(key, 0) + 1
                rows.append(_row(number, at, user, route, task))
            connection.execute(insert(calls), rows)
        names = ("day", "user", "team", "route", "task")
        connection.execute(
            insert(usage),
            [{**dict(zip(names, key, strict=True)), "calls": n, "cost": n * 10**6, "ms": n} for key, n in sums.items()],
        )
    engine.dispose()


def _row(number: int, at: datetime, user: str, route: str, task: str) -> dict[str, object]:
    texts = ("dialect", "provider", "model", "locality", "reason", "privacy", "privacy_reason", "outcome")
    return {
        **dict.fromkeys(texts, "ok"),
        **dict.fromkeys(("attempts", "cost", "saved", "ms", "sent_bytes"), 1),
        "id": f"old{number}",
        "at": int(at.timestamp() * 1000),
        "user": user,
        "team": "ml",
        "route": route,
        "task": task,
        "redactions": "{}",
        "notes": "[]",
    }


async def _reports(url: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"usage": [], "recent": [], "user": [], "full": []}
    ledger = Ledger(url)
    await ledger.start()
    await ledger.flush()
    _fill(url)
    since = datetime.now(UTC) - timedelta(days=30)
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "usage": lambda: ledger.usage(since=since),
        "user": lambda: ledger.usage(since=since, user="user7"),
        "recent": lambda: ledger.recent(50, "user7"),
    }
    for _ in range(ROUNDS):
        for name, ask in asked.items():
            before = time.process_time()
            await ask()
            found[name].append((time.process_time() - before) * 1000)
        found["full"].append(await _cost_ms(lambda: _paid(ledger), PAID, 1, ledger))
    await ledger.close()
    return found


def run() -> Section:
    """Measure."""
    section = Section("What the ledger costs")
    with tempfile.TemporaryDirectory() as name:
        paid = asyncio.run(_calls(f"sqlite:///{Path(name) / 'calls.db'}"))
        reports = asyncio.run(_reports(f"sqlite:///{Path(name) / 'full.db'}"))
    for what, values, limit in (
        ("reserve and settle, one at a time", paid["one at a time"], ALONE_MS),
        ("reserve and settle, 32 at a time", paid["32 at a time"], TOGETHER_MS),
        ("the row of a free call", paid["free"], FREE_MS),
        ("reserve and settle beside 10⁶ rows", reports["full"], None),
        ("usage of 30 days, of everybody, 10⁶ rows", reports["usage"], USAGE_MS),
        ("usage of 30 days, of one of 50 users", reports["user"], None),
        ("the latest 50 calls of one user", reports["recent"], None),
    ):
        value, spread = middle(values)
        section.figures.append(Figure(f"ledger, CPU: {what}", value, "ms", limit, spread=spread))
    section.notes = [
        f"SQLite, three limits. Medians of {ROUNDS} rounds; from paid calls the same loop without a ledger is"
        " subtracted (not beside 10⁶ rows)."
    ]
    section.about_packages("sqlalchemy", "msgspec")
    return section
