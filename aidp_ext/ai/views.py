"""The router's values as its endpoints say them: plain dictionaries, typed in contract.py."""

from __future__ import annotations

from collections.abc import Sequence

from aidp_ext.ai import contract
from aidp_ext.ai.budgets import BudgetState, tightest
from aidp_ext.ai.calls import Call, UsageGroup, UsageReport
from aidp_ext.ai.models import Choice, Decision, Locality, Mode, Offer, Price, ProviderStatus, Task
from aidp_ext.ai.policy import REASONS
from aidp_ext.ai.rules import FILE_NAME
from aidp_ext.ai.service import AiService, Preview, Progress, Trial
from aidp_ext.core.errors import AidpError

_MODES = {
    Mode.HYBRID: ("Hybrid", "Completion and small edits on local models, hard reasoning in the cloud."),
    Mode.LOCAL: ("Local", "Only models on your own machines answer."),
    Mode.OFFLINE: ("Offline", "As Local, and no connection to anything else is opened."),
    Mode.CLOUD: ("Cloud", "Cloud models first; private requests still stay local."),
}
#: Why a request has the privacy class that it has.
PRIVACY_REASONS = {
    "asked": "The request asks for it.",
    "default": "It is the usual class here.",
    "workspace": f"The workspace's {FILE_NAME} says so.",
    "never_leave": "The text comes from a place of which nothing leaves.",
    "outside": "The text comes from a file outside the workspace.",
    "broken_rules": f"The rules ({FILE_NAME}) cannot be understood, so nothing leaves.",
    "admin": "The admin's rules say so.",
    "detected": "Secrets or personal data were found in it.",
}


def modes(current: Mode) -> contract.ModesSaid:
    """Return the mode and the ones to choose from."""
    choices: list[contract.ModeSaid] = [
        {"mode": mode, "label": label, "description": text} for mode, (label, text) in _MODES.items()
    ]
    return {"mode": current, "modes": choices}


def automatic(offers: tuple[Offer, ...]) -> list[str]:
    """Return the names that leave the choice to the policy, those that some model stands behind."""
    if not offers:
        return []
    return ["auto", *(f"auto:{locality}" for locality in sorted({offer.locality for offer in offers}, reverse=True))]


def automatic_model(name: str) -> contract.ModelSaid:
    """Return such a name as a model of OpenAI's list."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "aidp"}


def model(offer: Offer) -> contract.ModelSaid:
    """Return a model as an entry of OpenAI's list, with what aidp knows of it."""
    return {
        "id": offer.route,
        "object": "model",
        "created": 0,
        "owned_by": offer.provider,
        "aidp": {
            "locality": offer.locality,
            "label": offer.display,
            "capabilities": sorted(offer.capabilities),
            "context_length": offer.context_length,
            "max_output_tokens": offer.max_output_tokens,
            "loaded": offer.loaded,
            "price": price(offer.price),
        },
    }


def price(known: Price | None) -> contract.PriceSaid | None:
    """Return a price in US dollars per million tokens."""
    if known is None:
        return None
    return {
        "input": known.input,
        "output": known.output,
        "cached_input": known.cached_input,
        "cache_write": known.cache_write,
        "is_estimated": known.is_estimated,
    }


def choice(chosen: Choice) -> contract.ChoiceSaid:
    """Return a model that was weighed, with its reason in code and words."""
    offer = chosen.offer
    return {
        "route": offer.route,
        "provider": offer.provider,
        "model": offer.model,
        "label": offer.display,
        "locality": offer.locality,
        "reason": chosen.reason,
        "message": REASONS[chosen.reason],
    }


def route(made: Decision, task: Task, ai: AiService, error: AidpError | None) -> contract.RouteSaid:
    """Return a decision: the models that may answer, best first, and the refused ones; ``error`` where none may."""
    best = made.best
    return {
        "mode": ai.mode,
        "task": task,
        **chosen(best, error, "no_model"),
        "loaded": best.offer.loaded if best is not None else None,
        "loading_since": ai.loading_since(best.offer.route) if best is not None else None,
        "from_gateway": ai.has_gateway,
        "offers": [choice(c) for c in made.ranked],
        "refused": [choice(c) for c in made.refused],
    }


def chosen(best: Choice | None, error: AidpError | None, code: str | None = None) -> contract.Chosen:
    """Return the model that would answer; without one, or where it would refuse, the error, by ``code`` if given."""
    said: contract.Chosen = {
        "route": None,
        "provider": None,
        "model": None,
        "label": None,
        "locality": None,
        "reason": "",
        "message": "",
        "next_step": None,
    }
    if best is not None:
        said = {**choice(best), "next_step": None}
    if error is not None:
        said |= {"reason": code or error.code, "message": error.message, "next_step": error.next_step}
    return said


def preview(shown: Preview) -> contract.PreviewSaid:
    """Return what a request would send."""
    return {
        **chosen(shown.decision.best, shown.error),
        "privacy": shown.privacy,
        "privacy_reason": shown.privacy_reason,
        "privacy_message": PRIVACY_REASONS.get(shown.privacy_reason, ""),
        "privacy_detail": shown.privacy_detail,
        "leaves": shown.url is not None,
        "url": shown.url,
        "bytes": shown.size,
        "body": shown.body,
        "findings": [
            {"kind": f.kind, "label": f.label, "placeholder": f.placeholder, "count": f.count} for f in shown.findings
        ],
        "notes": list(shown.notes),
    }


def provider(status: ProviderStatus, ai: AiService) -> contract.ProviderSaid:
    """Return a provider as the last look found it."""
    source = ai.key_source(status.name)
    return {
        "name": status.name,
        "label": status.label,
        "url": status.url,
        "locality": status.locality,
        "state": status.state,
        "message": status.message,
        "next_step": status.next_step,
        "checked_at": status.checked_at,
        "key": {"source": source, "editable": ai.takes_keys and source not in ("environment", "not_needed")},
        "can_pull": ai.can_pull(status.name),
        "models": [_provider_model(offer, ai) for offer in status.offers],
    }


def _provider_model(offer: Offer, ai: AiService) -> contract.ProviderModel:
    since = ai.loading_since(offer.route)
    health, until, latency_ms = ai.condition(offer.route)
    state = "available" if offer.loaded is None else "loaded" if offer.loaded else "installed"
    return {
        "id": offer.model,
        "route": offer.route,
        "label": offer.display,
        "locality": offer.locality,
        "capabilities": sorted(offer.capabilities),
        "context_length": offer.context_length,
        "loaded": offer.loaded,
        "state": "loading" if since is not None else state,
        "loading_since": since,
        "price": price(offer.price),
        "health": health,
        "health_until": until,
        "latency_ms": latency_ms,
    }


def usage(report: UsageReport, budgets: Sequence[BudgetState]) -> contract.UsageSaid:
    """Return what calls add up to, and the budgets that bind the caller, the tightest one first."""
    binding = tightest(tuple(budgets))
    return {
        "from": report.since,
        "to": report.until,
        "budget": _budget(binding) if binding is not None else None,
        "budgets": [_budget(state) for state in budgets],
        "total": _group(report.total),
        "today": _group(report.today),
        "by": {name: [_group(group) for group in groups] for name, groups in report.by.items()},
    }


def _budget(state: BudgetState) -> contract.BudgetSaid:
    limit = state.limit
    return {
        "scope": limit.scope,
        "name": limit.name,
        "period": limit.period,
        "limit_usd": limit.limit_usd,
        "soft_limit_usd": limit.soft_usd,
        "spent_usd": state.spent_usd,
        "reserved_usd": state.reserved_usd,
        "resets_at": state.resets_at,
        "state": state.state,
    }


def _group(group: UsageGroup) -> contract.GroupSaid:
    return {
        "key": group.key,
        "calls": group.calls,
        "errors": group.errors,
        "prompt_tokens": group.prompt_tokens,
        "completion_tokens": group.completion_tokens,
        "cost_usd": group.cost_usd,
        "saved_usd": group.saved_usd,
        "local_calls": group.local_calls,
        "local_share": group.local_share,
        "latency_ms": group.latency_ms,
        "accepted": group.accepted,
        "rejected": group.rejected,
    }


def call(done: Call) -> contract.CallSaid:
    """Return one call, without its content."""
    return {
        "id": done.id,
        "at": done.at,
        "user": done.user,
        "task": done.task,
        "dialect": done.dialect,
        "route": done.route,
        "label": done.model.rsplit("/", 1)[-1],
        "locality": Locality(done.locality) if done.locality else None,
        "reason": done.reason,
        "message": REASONS.get(done.reason, ""),
        "outcome": done.outcome,
        "cost_usd": done.cost_usd,
        "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.completion_tokens,
        "ms": done.ms,
        "first_ms": done.first_ms,
        "attempts": done.attempts,
        "privacy": done.privacy,
        "privacy_reason": done.privacy_reason,
        "privacy_message": PRIVACY_REASONS.get(done.privacy_reason, ""),
        "redactions": dict(done.redactions),
        "sent_bytes": done.sent_bytes,
        "notes": list(done.notes),
    }


def rules(ai: AiService) -> contract.RulesSaid:
    """Return what never leaves."""
    own = ai.rules.read()
    return {
        "file": FILE_NAME,
        "exists": ai.rules.exists,
        "never_leave": list(own.never_leave),
        "privacy": own.privacy,
        "problem": own.problem or None,
        "admin": {"never_leave": list(ai.config.never_leave), "privacy": ai.config.privacy},
    }


def trial(made: Trial) -> contract.TrialSaid:
    """Return how a provider did."""
    return {
        "ok": made.ok,
        "ms": made.ms,
        "route": made.route,
        "message": made.message,
        "next_step": made.next_step,
    }


def progress(report: Progress) -> contract.PullReport:
    """Return how far a download is."""
    return {"status": report.status, "completed": report.completed, "total": report.total}
