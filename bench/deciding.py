"""What a decision costs: 40 offers of four providers, with rules, budgets and the models' health."""

from __future__ import annotations

import time

from aidp_ext.ai.models import (
    FREE,
    Budget,
    Capability,
    Condition,
    Locality,
    Offer,
    Policy,
    Price,
    Privacy,
    RouteRequest,
    Task,
)
from aidp_ext.ai.policy import decide
from bench.figures import Figure, Section
from bench.measure import middle

ROUNDS, TIMES = 5, 1000
LIMIT_MS = 0.1
CHATS = frozenset({Capability.CHAT, Capability.COMPLETE, Capability.TOOLS})
FAMILIES = (("ollama", "qwen3"), ("local", "llama"), ("openai", "gpt-4o"), ("anthropic", "claude-sonnet"))
POLICY = Policy(
    allowed_models=("qwen*", "llama*", "gpt-4*", "claude-*"),
    denied_models=("*-9", "o1*"),
    preferred_models=("claude-opus*", "claude-sonnet*", "gpt-5*", "gpt-4.1*", "gpt-4o*", "gemini-*-pro*"),
    task_models={Task.REVIEW: ("claude-*",)},
)
BUDGET = Budget(limit_usd=100.0, spent_usd=10.0, soft_usd=80.0)
SHORT_OF_MONEY = Budget(limit_usd=100.0, spent_usd=90.0, soft_usd=80.0)
REQUESTS = {
    "chat": (RouteRequest(prompt_tokens=800), BUDGET),
    "completion": (RouteRequest(task=Task.COMPLETE, needs=CHATS, prompt_tokens=300), BUDGET),
    "private chat": (RouteRequest(privacy=Privacy.LOCAL, prompt_tokens=800), BUDGET),
    "chat, short of money": (RouteRequest(prompt_tokens=800), SHORT_OF_MONEY),
}


def _offers() -> list[Offer]:
    made = []
    for provider, family in FAMILIES:
        is_local = provider in ("ollama", "local")
        for number in range(10):
            made.append(
                Offer(
                    provider,
                    f"{family}-{number}",
                    Locality.LOCAL if is_local else Locality.CLOUD,
                    CHATS,
                    label=f"{family} {number}",
                    context_length=32_768,
                    parameters_b=1.0 + number,
                    loaded=number % 2 == 0 if is_local else None,
                    price=FREE if is_local else Price(1.0 + number, 4.0 + number),
                )
            )
    return made


def run() -> Section:
    """Measure."""
    section = Section("A decision")
    offers = _offers()
    conditions = {offer.route: Condition(latency_ms=100.0 + place) for place, offer in enumerate(offers)}
    for name, (request, budget) in REQUESTS.items():
        found = []
        for number in range(ROUNDS + 1):  # the first one warms up
            before = time.process_time()
            for _ in range(TIMES):
                decision = decide(request, offers, POLICY, budget, conditions)
            if number:
                found.append((time.process_time() - before) / TIMES * 1000)
        assert decision.best is not None and len(decision.ranked) + len(decision.refused) == len(offers)
        value, spread = middle(found)
        section.figures.append(
            Figure(f"decide, {len(offers)} offers, {name}: CPU", value, "ms", LIMIT_MS, spread=spread)
        )
    section.notes = ["Allowed, denied and preferred models by pattern, a budget, and each model's latency."]
    return section
