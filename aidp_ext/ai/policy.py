"""The routing policy: a pure function from a request, the offers and the rules to a ranked, explained decision.

No clock, no network, no state: the same arguments give the same decision, and every offer appears in it once, either
ranked or refused, each with a reason whose words are in :data:`REASONS`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Any

from aidp_ext.ai.models import (
    Budget,
    Capability,
    Choice,
    Condition,
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

#: What each reason means, in words that a user would use.
REASONS = {
    # why an offer was taken
    "asked_for": "You asked for this model.",
    "same_conversation": "This model has answered the conversation so far.",
    "local_first": "This kind of task goes to a local model first: fast, free and private.",
    "cloud_first": "This kind of task goes to a strong cloud model first.",
    "judged_easy": "The request was judged easy enough for a local model.",
    "judged_hard": "The request was judged too hard for a local model.",
    "private": "The request is private, so it stays on local models.",
    "not_redactable": "The request may leave only redacted; images, files and tokens cannot be, so it stays here.",
    "mode_local": "The mode is Local, so only local models answer.",
    "mode_offline": "The mode is Offline, so only local models answer.",
    "mode_cloud": "The mode is Cloud, so cloud models come first.",
    "over_budget": "The budget is used up, so only local models answer.",
    "soft_budget": "Most of the budget is used, so local and cheaper models come first.",
    "local_fallback": "No cloud model can take it, so a local model answers.",
    "cloud_fallback": "No local model can take it, so a cloud model answers.",
    # why an offer was refused
    "not_asked_for": "You asked for another model.",
    "typing_stays": "What is typed goes to the cloud only in the mode Cloud, or where the rules name a model for it.",
    "not_allowed": "The rules here do not allow this model.",
    "local_not_allowed": "Local models are switched off here.",
    "no_chat": "The model cannot chat.",
    "no_complete": "The model cannot complete text.",
    "no_tools": "The model cannot use tools.",
    "no_vision": "The model cannot see images.",
    "no_json": "The model cannot be held to a JSON format.",
    "no_embed": "The model makes no embeddings.",
    "context_too_long": "The text is longer than the model can read.",
    # why there is no offer at all
    "no_model": "No model answers.",
}

_HARD_NEEDS = (
    Capability.CHAT,
    Capability.COMPLETE,
    Capability.TOOLS,
    Capability.VISION,
    Capability.JSON,
    Capability.EMBED,
)
_HARD = 0.5  # a difficulty from here on belongs to a strong model
_UNKNOWN: Mapping[str, Condition] = {}
_NOTHING_KNOWN = Condition()


class Scorer:
    """Judges how hard a request is. This one does not; derive from it and set ``c.AiConfig.scorer_class``."""

    def score(self, task: Task, body: Mapping[str, Any]) -> float | None:
        """Return the difficulty of a request from 0 (any model) to 1 (only the strongest); None: no judgement.

        ``body`` is the request in the dialect that it came in. Called on the hot path: be quick, and raise nothing.
        """
        return None


def decide(
    request: RouteRequest,
    offers: Sequence[Offer],
    policy: Policy,
    budget: Budget,
    conditions: Mapping[str, Condition] = _UNKNOWN,
) -> Decision:
    """Return which offers may answer, best first, and why each other one may not.

    Hard rules (mode, privacy, allowed models, budget, abilities, length) refuse; what is left is ranked: those that
    failed lately or have no room for the answer last, the model of the same conversation first, then by where the
    task belongs, by the preferred models, by fill in the middle where the request has a suffix, by being loaded, by
    price where money is short, by size, and by how soon it has answered. ``conditions`` are by route.
    Fill in the middle only ranks: a model without it still completes from the text before the cursor.
    """
    case = _case(request, policy, budget)
    ranked: list[Offer] = []
    refused: list[Choice] = []
    is_route = "/" in request.model and any(offer.route == request.model for offer in offers)
    for offer in offers:
        is_named = offer.route == request.model if is_route else _named(request.model, offer)
        reason = _refusal(case, offer) if is_named else "not_asked_for"
        if reason is None:
            ranked.append(offer)
        else:
            refused.append(Choice(offer, reason))
    if len(ranked) > 1:
        ranked.sort(key=lambda offer: _rank(case, offer, conditions.get(offer.route, _NOTHING_KNOWN)))
    return Decision(tuple([Choice(offer, _reason(case, offer)) for offer in ranked]), tuple(refused))


@dataclass(frozen=True)
class _Case:
    """A request with what follows from it for every offer alike."""

    request: RouteRequest
    policy: Policy
    is_tight: bool  # money is short
    is_exhausted: bool  # there is none left
    closed: str | None  # why no cloud model may answer
    is_typing: bool  # and nobody allowed that to leave
    is_local_first: bool
    local_reason: str
    cloud_reason: str
    task_models: tuple[str, ...]


def _case(request: RouteRequest, policy: Policy, budget: Budget) -> _Case:
    return _Case(
        request,
        policy,
        budget.is_tight,
        budget.exhausted,
        _cloud_closed(request, policy),
        request.task is Task.COMPLETE and request.model == AUTO and policy.mode is not Mode.CLOUD,
        *_leaning(request, policy, budget),
        policy.task_models.get(request.task, ()),
    )


def matches(pattern: str, offer: Offer) -> bool:
    """Return whether a glob pattern means this model, under any of its names and whatever the case."""
    return _place((pattern,), offer.names) == 0


@functools.lru_cache(maxsize=1 << 16)
def _place(patterns: tuple[str, ...], names: tuple[str, ...]) -> int:
    """Return the place of the first pattern that means one of the names, their number where none does.

    Kept, since a decision asks this several times for each of perhaps hundreds of models, always the same.
    """
    for place, pattern in enumerate(patterns):
        found = _compiled(pattern.casefold()).match
        if any(found(name) is not None for name in names):
            return place
    return len(patterns)


def _is_among(patterns: tuple[str, ...], offer: Offer) -> bool:
    return _place(patterns, offer.names) < len(patterns)


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def _refusal(case: _Case, offer: Offer) -> str | None:
    request, policy = case.request, case.policy
    is_cloud = offer.locality is Locality.CLOUD
    if is_cloud and case.closed is not None:
        return case.closed
    if not is_cloud and not policy.allow_local:
        return "local_not_allowed"
    if policy.denied_models and _is_among(policy.denied_models, offer):
        return "not_allowed"
    for allowed in (policy.allowed_models, policy.team_allowed_models):
        if allowed and not _is_among(allowed, offer):
            return "not_allowed"
    if not request.needs <= offer.capabilities:
        for need in _HARD_NEEDS:
            if need in request.needs and need not in offer.capabilities:
                return f"no_{need}"
    if request.prompt_tokens > _context(offer, policy):
        return "context_too_long"
    if is_cloud and case.is_typing and not _is_among(policy.task_models.get(Task.COMPLETE, ()), offer):
        return "typing_stays"
    if case.is_exhausted and _costs(offer):
        return "over_budget"
    return None


def _named(model: str, offer: Offer) -> bool:
    if model == AUTO_LOCAL:
        return offer.locality is Locality.LOCAL
    if model == AUTO_CLOUD:
        return offer.locality is Locality.CLOUD
    return model in (AUTO, offer.model)


def _costs(offer: Offer) -> bool:
    return not offer.price.is_free if offer.price is not None else offer.locality is Locality.CLOUD


def _cloud_closed(request: RouteRequest, policy: Policy) -> str | None:
    """Return the reason that forbids every cloud model, or None."""
    if policy.mode is Mode.OFFLINE:
        return "mode_offline"
    if request.privacy is Privacy.LOCAL:
        return "private"
    if request.privacy is Privacy.REDACT and (Capability.VISION in request.needs or not request.is_text):
        return "not_redactable"
    if policy.mode is Mode.LOCAL:
        return "mode_local"
    return None


def _leaning(request: RouteRequest, policy: Policy, budget: Budget) -> tuple[bool, str, str]:
    """Return whether local models come first, and the reasons to give for a local and for a cloud model then."""
    if policy.mode is Mode.CLOUD:
        return False, "local_fallback", "mode_cloud"
    if budget.is_tight:
        return True, "soft_budget", "cloud_fallback"
    if request.difficulty is not None:
        is_easy = request.difficulty < _HARD
        return (True, "judged_easy", "cloud_fallback") if is_easy else (False, "local_fallback", "judged_hard")
    is_name = request.model not in (AUTO, AUTO_LOCAL, AUTO_CLOUD)  # one that several may have
    if is_name or request.task in policy.local_first:
        return True, "local_first", "cloud_fallback"
    return False, "local_fallback", "cloud_first"


def _context(offer: Offer, policy: Policy) -> int:
    return offer.context_length or policy.default_context_tokens


Rank = tuple[bool, bool, bool, int, bool, int, bool, bool, float, float, float, str]


def _rank(case: _Case, offer: Offer, condition: Condition) -> Rank:
    request, policy = case.request, case.policy
    size = offer.parameters_b if offer.parameters_b is not None else 0.0
    price = offer.price.input + offer.price.output if offer.price is not None else 0.0
    return (
        condition.is_cooling,
        request.prompt_tokens + (request.output_tokens or 0) > _context(offer, policy),  # the answer would be cut
        offer.route != request.settled_on,
        _place(case.task_models, offer.names) if case.task_models else 0,
        (offer.locality is Locality.LOCAL) != case.is_local_first,
        0 if case.is_tight else _place(policy.preferred_models, offer.names),
        Capability.FIM in request.needs and Capability.FIM not in offer.capabilities,
        offer.loaded is False,
        price if case.is_tight else 0.0,
        size if case.is_local_first else -size,  # quick ones first for completion, strong ones first otherwise
        condition.latency_ms or 0.0,
        offer.route,
    )


def _reason(case: _Case, offer: Offer) -> str:
    request = case.request
    if request.model in (offer.route, offer.model, AUTO_LOCAL, AUTO_CLOUD):
        return "asked_for"
    is_local = offer.locality is Locality.LOCAL
    if is_local and case.closed is not None:
        return case.closed
    if is_local and case.is_exhausted:
        return "over_budget"
    if offer.route == request.settled_on:
        return "same_conversation"
    return case.local_reason if is_local else case.cloud_reason
