"""Whatever order things happen in: spent and reserved stay within the limit, and every sum is what it sums up."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from aidp_ext.ai.budgets import nano
from aidp_ext.ai.ledger import Reservation
from aidp_ext.core.errors import BudgetExhausted
from tests.ai.ledgers import MONTH, Clock, call, limit

LEASE_S = 900.0
CENTS = st.integers(0, 300)
WHO = st.integers(0, 1)


class Spending(RuleBasedStateMachine):
    """Two ledgers as of two processes, on one file, in a time that is set by hand."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "ledger.db"
        self.clock = Clock()
        self.runner = asyncio.Runner()
        self.ledgers = [self.clock.ledger(f"sqlite:///{self.path}") for _ in range(2)]
        self.spent = {"ana": 0, "bo": 0}
        self.count = 0
        self.came_late = False
        for ledger in self.ledgers:
            self.runner.run(ledger.start())
            self.runner.run(ledger.flush())

    def teardown(self) -> None:
        for ledger in self.ledgers:
            self.runner.run(ledger.close())
        self.runner.close()
        self.folder.cleanup()

    def rows(self, query: str) -> list[Any]:
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    @rule(target=held, who=WHO, user=st.sampled_from(["ana", "bo"]), cents=CENTS)
    def reserve(self, who: int, user: str, cents: int) -> tuple[int, str, str, Reservation | None]:
        self.count += 1
        name = f"c{self.count}"
        limits = [limit(10), limit(4, "user", user)]
        try:
            reservation = self.runner.run(self.ledgers[who].reserve(name, user, limits, cents / 100))
        except BudgetExhausted:
            sums = dict(self.rows("SELECT bucket, spent + reserved FROM ai_spend"))
            left = [
                10_000_000_000 - sums.get(f"{MONTH}/deployment/", 0),
                4_000_000_000 - sums.get(f"{MONTH}/user/{user}", 0),
            ]
            assert nano(cents / 100) > min(left), "refused although it would have fitted"
            return who, user, name, None
        return who, user, name, reservation

    @rule(one=consumes(held), share=st.floats(0, 1))
    def settle(self, one: tuple[int, str, str, Reservation | None], share: float) -> None:
        who, user, name, reservation = one
        if reservation is None:
            return
        is_there = self.rows(f"SELECT 1 FROM ai_reservation WHERE id = '{reservation.id}'")
        cost = share * reservation.usd
        self.came_late |= not is_there and cost > 0
        self.ledgers[who].settle(reservation, call(name, cost, user=user))
        self.spent[user] += nano(cost)
        self.runner.run(self.ledgers[who].flush())

    @rule(one=consumes(held))
    def give_back(self, one: tuple[int, str, str, Reservation | None]) -> None:
        self.ledgers[one[0]].give_back(one[3])
        self.runner.run(self.ledgers[one[0]].flush())

    @rule(one=consumes(held))
    def forget(self, one: tuple[int, str, str, Reservation | None]) -> None:
        """Drop it, as a handler does that crashed."""

    @rule(who=WHO)
    def spend_without_a_reservation(self, who: int) -> None:
        self.count += 1
        self.ledgers[who].settle(None, call(f"c{self.count}", 0.0))
        self.runner.run(self.ledgers[who].flush())

    @rule(who=WHO, seconds=st.sampled_from([1.0, LEASE_S / 3, 10 * LEASE_S]))
    def time_goes_by(self, who: int, seconds: float) -> None:
        self.clock.advance(seconds)
        self.runner.run(self.ledgers[who].flush())

    @invariant()
    def the_limits_hold(self) -> None:
        for bucket, spent, reserved in self.rows("SELECT bucket, spent, reserved FROM ai_spend"):
            assert spent >= 0
            assert reserved >= 0
            if bucket.startswith(f"{MONTH}/") and not self.came_late:
                assert spent + reserved <= (10 if "deployment" in bucket else 4) * 1_000_000_000

    @invariant()
    def every_sum_is_what_it_sums_up(self) -> None:
        sums = {bucket: (spent, reserved) for bucket, spent, reserved in self.rows("SELECT * FROM ai_spend")}
        spent, reserved = sums.get(f"{MONTH}/deployment/", (0, 0))
        assert spent == sum(self.spent.values())
        assert [(reserved,)] == self.rows("SELECT coalesce(sum(nano), 0) FROM ai_reservation")
        for user, known in self.spent.items():
            assert sums.get(f"{MONTH}/user/{user}", (0, 0))[0] == known
        assert [(spent,)] == self.rows("SELECT coalesce(sum(cost), 0) FROM ai_call")
        assert self.rows("SELECT coalesce(sum(calls), 0), coalesce(sum(errors), 0) FROM ai_usage") == self.rows(
            "SELECT count(*), coalesce(sum(outcome <> 'ok'), 0) FROM ai_call"
        )


TestSpending = Spending.TestCase
TestSpending.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
