"""The routing policy: a pure function from a request, the offers and the rules to a ranked, explained decision.

No clock, no network, no state: the same arguments give the same decision, and every offer appears in it once, either
ranked or refused, each with a reason whose words are in :data:`REASONS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from aidp_ext.ai.models import (
    Budget,
    Capability,
    Choice,
    Decision,
    Locality,
    Mode,
    Offer,
    Policy,
    Privacy,
    RouteRequest,
    Task,
)

AUTO = "auto"
AUTO_LOCAL = "auto:local"
AUTO_CLOUD = "auto:cloud"

#: Tasks that a small model does well and that come often: the local models first.
LOCAL_FIRST = frozenset({Task.COMPLETE, Task.DOCS, Task.COMMIT_MESSAGE, Task.EMBED})

#: What each reason means, in words that a user would use.
REASONS = {
    # why an offer was taken
    "asked_for": "You asked for this model.",
    "local_first": "This kind of task goes to a local model first: fast, free and private.",
    "cloud_first": "This kind of task goes to a strong cloud model first.",
    "private": "The request is private, so it stays on local models.",
    "not_redacted": "Only redacted text may leave, and this version cannot redact yet, so it stays on local models.",
    "mode_local": "The mode is Local, so only local models answer.",
    "mode_offline": "The mode is Offline, so only local models answer.",
    "mode_cloud": "The mode is Cloud, so cloud models come first.",
    "over_budget": "This month's budget is used up, so only local models answer.",
    "local_fallback": "No cloud model can take it, so a local model answers.",
    "cloud_fallback": "No local model can take it, so a cloud model answers.",
    # why an offer was refused
    "not_asked_for": "You asked for another model.",
    "local_not_allowed": "Local models are switched off here.",
    "no_chat": "The model cannot chat.",
    "no_complete": "The model cannot complete text.",
    "no_tools": "The model cannot use tools.",
    "no_vision": "The model cannot see images.",
    "no_embed": "The model makes no embeddings.",
    "context_too_long": "The text is longer than the model can read.",
    # why there is no offer at all
    "no_model": "No model answers.",
}

_HARD_NEEDS = (Capability.CHAT, Capability.COMPLETE, Capability.TOOLS, Capability.VISION, Capability.EMBED)


def decide(request: RouteRequest, offers: Sequence[Offer], policy: Policy, budget: Budget) -> Decision:
    """Return which offers may answer, best first, and why each other one may not.

    Hard rules (mode, privacy, budget, abilities, length) refuse; what is left is ranked by where the task belongs,
    by the preferred models, by fill in the middle where the request has a suffix, by being loaded, and by size.
    Fill in the middle only ranks: a model without it still completes from the text before the cursor.
    """
    ranked: list[Offer] = []
    refused: list[Choice] = []
    is_route = any(offer.route == request.model for offer in offers)
    for offer in offers:
        is_named = offer.route == request.model if is_route else _named(request.model, offer)
        reason = _refusal(request, offer, policy, budget) if is_named else "not_asked_for"
        if reason is None:
            ranked.append(offer)
        else:
            refused.append(Choice(offer, reason))
    if len(ranked) > 1:
        ranked.sort(key=lambda offer: _rank(request, offer, policy))
    return Decision(tuple(Choice(o, _reason(request, o, policy, budget)) for o in ranked), tuple(refused))


def _refusal(request: RouteRequest, offer: Offer, policy: Policy, budget: Budget) -> str | None:
    if offer.locality is Locality.CLOUD:
        closed = _cloud_closed(request, policy, budget)
        if closed is not None:
            return closed
    elif not policy.allow_local:
        return "local_not_allowed"
    for need in _HARD_NEEDS:
        if need in request.needs and need not in offer.capabilities:
            return f"no_{need}"
    if request.prompt_tokens > (offer.context_length or policy.default_context_tokens):
        return "context_too_long"
    return None


def _named(model: str, offer: Offer) -> bool:
    if model == AUTO_LOCAL:
        return offer.locality is Locality.LOCAL
    if model == AUTO_CLOUD:
        return offer.locality is Locality.CLOUD
    return model in (AUTO, offer.model)


def _cloud_closed(request: RouteRequest, policy: Policy, budget: Budget) -> str | None:
    """Return the reason that forbids every cloud model, or None."""
    if policy.mode is Mode.OFFLINE:
        return "mode_offline"
    if request.privacy is Privacy.LOCAL:
        return "private"
    if request.privacy is Privacy.REDACT:
        return "not_redacted"
    if policy.mode is Mode.LOCAL:
        return "mode_local"
    if budget.exhausted:
        return "over_budget"
    return None


def _prefers_local(request: RouteRequest, policy: Policy) -> bool:
    is_named = request.model not in (AUTO, AUTO_LOCAL, AUTO_CLOUD)  # by a name that several may have
    return policy.mode is not Mode.CLOUD and (is_named or request.task in LOCAL_FIRST)


def _rank(request: RouteRequest, offer: Offer, policy: Policy) -> tuple[bool, int, bool, bool, float, str]:
    local_first = _prefers_local(request, policy)
    preferred = next(
        (
            place
            for place, pattern in enumerate(policy.preferred_models)
            if fnmatchcase(offer.route, pattern) or fnmatchcase(offer.model, pattern)
        ),
        len(policy.preferred_models),
    )
    size = offer.parameters_b if offer.parameters_b is not None else 0.0
    return (
        (offer.locality is Locality.LOCAL) != local_first,
        preferred,
        Capability.FIM in request.needs and Capability.FIM not in offer.capabilities,
        offer.loaded is False,
        size if local_first else -size,  # quick ones first for completion, strong ones first otherwise
        offer.route,
    )


def _reason(request: RouteRequest, offer: Offer, policy: Policy, budget: Budget) -> str:
    if request.model in (offer.route, offer.model, AUTO_LOCAL, AUTO_CLOUD):
        return "asked_for"
    if offer.locality is Locality.LOCAL:
        closed = _cloud_closed(request, policy, budget)
        if closed is not None:
            return closed
        return "local_first" if _prefers_local(request, policy) else "local_fallback"
    if policy.mode is Mode.CLOUD:
        return "mode_cloud"
    return "cloud_fallback" if _prefers_local(request, policy) else "cloud_first"
