"""What an admin sees of the hub: users and servers, GPUs and who waits for one, spending, the audit record.

Each part comes from somewhere else, and what cannot be reached hides no other part.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from aidp_ext.core.errors import AidpError
from aidp_ext.hub.leases import Leases, Overview
from aidp_ext.hub.record import Record, RecordLook
from aidp_ext.hub.roster import Page, Roster, Shown

T = TypeVar("T")

#: What the audit record calls a server that an admin stopped.
STOPPED = "hub.stopped_by_admin"


@dataclass(frozen=True)
class Asked:
    """Which users: those whose name holds ``name``, from the ``offset``-th on."""

    name: str = ""
    shown: Shown = "all"
    offset: int = 0
    limit: int = 50


@dataclass(frozen=True)
class Limit:
    """A budget, and what of it is spent."""

    period: str  # "day" or "month"
    limit_usd: float
    spent_usd: float
    state: str  # "ok", "soft" or "hard"


@dataclass(frozen=True)
class Spender:
    """What a user's calls add up to this month."""

    name: str
    calls: int
    tokens: int
    cost_usd: float
    budgets: tuple[Limit, ...]


@dataclass(frozen=True)
class Spend:
    """This month's calls to models, the dearest users first; ``more`` are left out."""

    since: datetime
    calls: int
    cost_usd: float
    budgets: tuple[Limit, ...]  # of everybody together
    users: tuple[Spender, ...]
    more: int


@dataclass(frozen=True)
class Problem:
    """A part that is missing, and why."""

    part: str
    error: AidpError


@dataclass(frozen=True)
class HubOverview:
    """Everything that could be found; a part that is None is named in ``problems``, or not there at all."""

    at: datetime
    users: Page | None
    running: int | None
    gpus: Overview | None
    spend: Spend | None
    audit: Record | None
    problems: tuple[Problem, ...]


class Admin:
    """Looks into everything, and stops servers.

    ``record(event, actor, **fields)`` is told of each server that is stopped; ``spend`` says what was spent.
    """

    def __init__(
        self,
        roster: Roster,
        audit: Path,
        record: Callable[..., object],
        spend: Callable[[], Awaitable[Spend]],
    ) -> None:
        self.roster = roster
        self._audit = RecordLook(audit)
        self._record = record
        self._spend = spend

    async def close(self) -> None:
        """Close the connections to the hub."""
        await self.roster.close()

    async def overview(self, asked: Asked, leases: Leases | None) -> HubOverview:
        """Return what there is; ``leases`` is None where the hub has no GPUs to lend. Raises nothing of a part's."""
        problems: list[Problem] = []

        async def part(name: str, work: Awaitable[T]) -> T | None:
            try:
                return await work
            except AidpError as error:
                problems.append(Problem(name, error))
                return None

        async def running() -> int:
            return sum((await self.roster.count()).values())

        users, number, gpus, spend, audit = await asyncio.gather(
            part("users", self.roster.page(asked.shown, asked.name, asked.offset, asked.limit)),
            part("servers", running()),
            part("gpus", leases.look()) if leases is not None else _nothing(),
            part("spend", self._spend()),
            part("audit", self._audit.look()),
        )
        if users is None:  # the count asks the same hub: one word of it is enough, and an old count is none
            problems, number = [problem for problem in problems if problem.part != "servers"], None
        ordered = tuple(sorted(problems, key=lambda problem: problem.part))
        return HubOverview(datetime.now(UTC), users, number, gpus, spend, audit, ordered)

    async def stop(self, who: str, user: str, server: str) -> bool:
        """Stop a user's server; return True where it has ended, False where that goes on.

        Raises NotFound, Conflict and Unavailable.
        """
        outcome = "failed"
        try:
            is_over = await self.roster.stop(user, server)
            outcome = "stopped" if is_over else "stopping"
        except AidpError as error:
            outcome = error.code
            raise
        finally:
            self._record(STOPPED, who, user=user, server=server, outcome=outcome)
        return is_over


async def _nothing() -> None:
    return None
