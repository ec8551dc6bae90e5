"""Why no model answers, in words: the error for a decision that leaves nothing over."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from aidp_ext.ai.budgets import BudgetState
from aidp_ext.ai.catalog import CLOSED
from aidp_ext.ai.models import Capability, Decision, Locality, Policy, RouteRequest
from aidp_ext.ai.policy import AUTO, AUTO_CLOUD, AUTO_LOCAL, REASONS
from aidp_ext.ai.providers.base import Provider
from aidp_ext.core.errors import (
    AidpError,
    BudgetExhausted,
    ContextTooLong,
    ModelNotFound,
    NoModelAvailable,
    PolicyRefused,
    UpstreamUnreachable,
)

# Short enough for Lab's notifications, which cut at 140 characters.
NEXT_STEP = (
    "Start Ollama (`ollama serve`), or put LOCAL_OPENAI_BASE_URL or a key such as OPENAI_API_KEY into .env and restart."
)
# The hosted APIs only chat: another key would give no ghost text.
NEXT_STEP_LOCAL = "Start Ollama (`ollama serve`), or point LOCAL_OPENAI_BASE_URL at a model server and restart."
# A user of a hub has no part in what its gateway can ask.
NEXT_STEP_ON_A_HUB = "Ask your hub's admin to give its gateway a model server or a key, or choose another mode."
_ANOTHER = "Choose another model, or another mode in the status bar."


def explain_none(
    request: RouteRequest,
    decision: Decision,
    policy: Policy,
    providers: Mapping[str, Provider],
    budget: BudgetState | None = None,
) -> AidpError:
    """Return the error that says why no model may, or can, answer this request. ``budget`` is the tightest one."""
    asked = request.model not in (AUTO, AUTO_LOCAL, AUTO_CLOUD)
    refused = [c for c in decision.refused if c.reason != "not_asked_for"]
    details: dict[str, Any] = {"refused": [{"route": c.offer.route, "reason": c.reason} for c in refused]}
    if asked and not refused:
        return _unknown(request.model, decision, policy, providers)
    reasons = {choice.reason for choice in refused}
    if "context_too_long" in reasons:
        longest = max(
            c.offer.context_length or policy.default_context_tokens for c in refused if c.reason == "context_too_long"
        )
        about = "" if request.is_counted else "about "
        return ContextTooLong(
            f"The prompt needs {about}{request.prompt_tokens:,} tokens; the models allowed here hold {longest:,}.",
            next_step="Send less, or use a model with a longer context.",
            **details,
        )
    if "over_budget" in reasons:
        return exhausted(budget, **details)
    if reasons and all(not reason.startswith("no_") for reason in reasons):
        words = " ".join(REASONS[reason] for reason in sorted(reasons))
        kind = PolicyRefused if asked or request.model == AUTO_CLOUD else NoModelAvailable
        step = next_step(providers) if kind is NoModelAvailable else _ANOTHER
        return kind(f"No allowed model can answer. {words}", next_step=step, **details)
    if asked:
        return PolicyRefused(" ".join(REASONS[reason] for reason in sorted(reasons)), **details)
    what = f"No model here can do this ({request.task})." if reasons else "No model answers."
    needs_local = reasons <= {"no_complete"} and Capability.COMPLETE in request.needs and bool(reasons)
    return NoModelAvailable(what, next_step=next_step(providers, is_local=needs_local), **details)


def next_step(providers: Mapping[str, Provider], *, is_local: bool = False) -> str:
    """Return what somebody can do where no model answers; ``is_local``: only a model that runs here would do."""
    if "gateway" in providers:
        return NEXT_STEP_ON_A_HUB
    return NEXT_STEP_LOCAL if is_local else NEXT_STEP


def exhausted(budget: BudgetState | None, **details: Any) -> BudgetExhausted:
    """Return the error for a budget that is used up; None where its state is not known here."""
    if budget is None:
        return BudgetExhausted("The budget is used up.", next_step="Use a local model.", **details)
    whose = {"user": "Your", "team": f"The {budget.limit.name} team's", "deployment": "The"}[budget.limit.scope]
    period = {"day": "daily", "month": "monthly"}[budget.limit.period]
    return BudgetExhausted(
        f"{whose} {period} budget of ${budget.limit.limit_usd:,.2f} is used up; it resets on"
        f" {budget.resets_at:%-d %B %Y, %H:%M} UTC.",
        next_step="Use a local model until then, or ask for a larger budget.",
        scope=budget.limit.scope,
        period=budget.limit.period,
        limit_usd=budget.limit.limit_usd,
        spent_usd=budget.spent_usd,
        resets_at=budget.resets_at.isoformat(),
        **details,
    )


def _unknown(model: str, decision: Decision, policy: Policy, providers: Mapping[str, Provider]) -> AidpError:
    names = [choice.offer.route for choice in decision.refused]
    close = difflib.get_close_matches(model, names, n=1) or difflib.get_close_matches(
        model, [name.split("/", 1)[1] for name in names], n=1
    )
    provider = providers.get(model.split("/", 1)[0])
    if provider is not None and provider.locality is Locality.CLOUD and policy.mode in CLOSED:
        return PolicyRefused(REASONS[f"mode_{policy.mode}"], next_step=_ANOTHER)
    if provider is not None and not any(name.startswith(f"{provider.name}/") for name in names):
        return UpstreamUnreachable(
            f"{provider.label} offers no model at present, so {model[:200]!r} cannot be had.",
            next_step=provider.next_step,
            provider=provider.name,
        )
    step = f"Did you mean {close[0]}?" if close else "GET v1/models lists the models; `auto` chooses one."
    return ModelNotFound(f"There is no model {model[:200]!r}.", next_step=step)
