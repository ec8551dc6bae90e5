"""What the hub's slice needs of the AI slice, as a narrow callable: slices never know each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime

from aidp_ext.ai.budgets import BudgetState
from aidp_ext.ai.models import Caller
from aidp_ext.ai.service import AiService
from aidp_ext.core.errors import StorageError
from aidp_ext.hub.admin import Limit, Spend, Spender

#: Users on an admin's page, the dearest first.
_MOST_SPENDERS = 50


def spend_of(ai: AiService) -> Callable[[], Awaitable[Spend]]:
    """Return what tells of this month's calls (of UTC, as budgets are). It raises StorageError."""

    async def spend() -> Spend:
        report = await ai.usage(datetime.now(UTC).day, None)
        groups = report.by.get("user", ())
        users = []
        for group in groups[:_MOST_SPENDERS]:
            budgets = _limits(await _budgets(ai, group.key), "user")
            tokens = group.prompt_tokens + group.completion_tokens
            users.append(Spender(group.key, group.calls, tokens, group.cost_usd, budgets))
        everybody = _limits(await _budgets(ai, ""), "deployment")
        total, more = report.total, max(0, len(groups) - _MOST_SPENDERS)
        return Spend(report.since, total.calls, total.cost_usd, everybody, tuple(users), more)

    return spend


async def _budgets(ai: AiService, user: str) -> tuple[BudgetState, ...]:
    try:
        return await ai.budgets(Caller(user, {}, ()))
    except StorageError:  # the sums are worth telling without
        return ()


def _limits(states: Iterable[BudgetState], scope: str) -> tuple[Limit, ...]:
    return tuple(
        Limit(state.limit.period, state.limit.limit_usd, state.spent_usd, state.state)
        for state in states
        if state.limit.scope == scope
    )
