"""A process that spends: ``python -m tests.support.spender URL NAME CALLS LIMIT_USD``.

Where CALLS is 0 it spends without end, and holds the money of five more calls that never end either.
Each of its calls reserves up to two cents, takes a moment, and costs part of that, or fails. It prints what it spent in
nano-dollars, and how many calls went well, failed and were refused.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
from dataclasses import replace
from datetime import UTC, datetime

from aidp_ext.ai.budgets import Limit, nano
from aidp_ext.ai.ledger import Call, Ledger
from aidp_ext.core.errors import BudgetExhausted


async def spend(url: str, name: str, calls: int, limit_usd: float) -> dict[str, int]:
    """Make the calls, all at once, or 20 at a time without end."""
    chance = random.Random(name)
    ledger = Ledger(url, patience_s=8)
    await ledger.start()
    limits = [
        Limit("deployment", "", "month", limit_usd),
        Limit("team", "ml", "day", limit_usd),
        Limit("user", name, "month", limit_usd * 0.75),
    ]
    done = {"spent": 0, "ok": 0, "failed": 0, "refused": 0}

    async def one(number: int) -> None:
        usd = chance.uniform(0.001, 0.02)
        call = Call(f"{name}-{number}", datetime.now(UTC), name, team="ml")
        try:
            reservation = await ledger.reserve(call.id, name, limits, usd, draft=call)
        except BudgetExhausted:
            done["refused"] += 1
            return
        await asyncio.sleep(chance.uniform(0, 0.05))
        is_ok = chance.random() > 0.3
        cost = usd * chance.random() if is_ok else 0.0
        outcome = "ok" if is_ok else "upstream_error"
        ledger.settle(reservation, replace(call, cost_usd=cost, outcome=outcome))
        done["spent"] += nano(cost)
        done["ok" if is_ok else "failed"] += 1

    if calls:
        await asyncio.gather(*(one(number) for number in range(calls)))
    else:
        endless = [await ledger.reserve(f"{name}-endless{n}", name, limits, 0.001) for n in range(5)]
        numbers = itertools.count()
        while endless:
            await asyncio.gather(*(one(next(numbers)) for _ in range(20)))
    await ledger.close()
    return done


if __name__ == "__main__":
    print(json.dumps(asyncio.run(spend(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))))
