"""The policy: pure, total, explained."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from aidp_ext.ai.models import (
    Budget,
    Capability,
    Condition,
    Decision,
    Locality,
    Mode,
    Offer,
    Policy,
    Price,
    Privacy,
    RouteRequest,
    Task,
)
from aidp_ext.ai.policy import REASONS, decide

CHAT = frozenset({Capability.CHAT})
TEXT = frozenset({Capability.CHAT, Capability.COMPLETE})
FIM = TEXT | {Capability.FIM}


def offer(route: str, **more: object) -> Offer:
    provider, model = route.split("/")
    is_local = provider in ("ollama", "local")
    given = {"locality": Locality.LOCAL if is_local else Locality.CLOUD, "capabilities": TEXT if is_local else CHAT}
    return Offer(provider, model, **{**given, **more})  # type: ignore[arg-type]


SMALL = offer("ollama/small", capabilities=FIM, parameters_b=1.5, context_length=8192)
LARGE = offer("ollama/large", parameters_b=70.0, context_length=131072)
FORWARDED = offer("ollama/big-cloud", locality=Locality.CLOUD)
SONNET = offer("anthropic/claude-sonnet-5")
MINI = offer("openai/gpt-mini")
ALL = (SMALL, LARGE, FORWARDED, SONNET, MINI)
HYBRID = Policy(preferred_models=("claude-*",))
FREE = Budget()


def routes(decision: Decision) -> list[str]:
    return [choice.offer.route for choice in decision.ranked]


def first(request: RouteRequest, policy: Policy = HYBRID, budget: Budget = FREE) -> tuple[str, str]:
    best = decide(request, ALL, policy, budget).best
    assert best is not None
    return best.offer.route, best.reason


COMPLETE = RouteRequest(task=Task.COMPLETE, needs=frozenset({Capability.COMPLETE, Capability.FIM}))


def test_completion_goes_to_the_quick_local_model_that_fills_in() -> None:
    assert first(COMPLETE) == ("ollama/small", "local_first")


def test_hard_reasoning_goes_to_the_preferred_cloud_model() -> None:
    assert first(RouteRequest(task=Task.REVIEW)) == ("anthropic/claude-sonnet-5", "cloud_first")


def test_local_models_are_the_fallback_for_reasoning_the_strongest_first() -> None:
    decision = decide(RouteRequest(), ALL, HYBRID, FREE)
    assert routes(decision)[-2:] == ["ollama/large", "ollama/small"]
    assert {c.reason for c in decision.ranked[-2:]} == {"local_fallback"}


def test_a_model_in_memory_comes_before_one_that_must_be_loaded() -> None:
    cold, warm = offer("ollama/a", loaded=False), offer("ollama/b", loaded=True)
    assert routes(decide(COMPLETE, (cold, warm), HYBRID, FREE)) == ["ollama/b", "ollama/a"]


@pytest.mark.parametrize(
    ("request_", "policy", "budget", "reason"),
    [
        (RouteRequest(), Policy(mode=Mode.OFFLINE), FREE, "mode_offline"),
        (RouteRequest(), Policy(mode=Mode.LOCAL), FREE, "mode_local"),
        (RouteRequest(privacy=Privacy.LOCAL), Policy(), FREE, "private"),
        (RouteRequest(privacy=Privacy.LOCAL), Policy(mode=Mode.CLOUD), FREE, "private"),
        (RouteRequest(privacy=Privacy.REDACT, needs=CHAT | {Capability.VISION}), Policy(), FREE, "not_redactable"),
        (RouteRequest(), Policy(), Budget(10, 10), "over_budget"),
        (RouteRequest(), Policy(mode=Mode.CLOUD), Budget(0), "over_budget"),
    ],
)
@pytest.mark.parametrize("model", ["auto", "auto:cloud", "openai/gpt-mini", "gpt-mini", "ollama/big-cloud"])
def test_what_closes_the_cloud_closes_it_for_every_name(
    request_: RouteRequest, policy: Policy, budget: Budget, reason: str, model: str
) -> None:
    asked = replace(request_, model=model)
    decision = decide(asked, ALL, policy, budget)
    assert all(choice.offer.locality is Locality.LOCAL for choice in decision.ranked)
    assert reason in {choice.reason for choice in decision.refused}


def test_cloud_mode_prefers_the_cloud_even_for_completion() -> None:
    completes = offer("gateway/code", capabilities=FIM)
    decision = decide(COMPLETE, (SMALL, completes), Policy(mode=Mode.CLOUD), FREE)
    assert [(c.offer.route, c.reason) for c in decision.ranked] == [
        ("gateway/code", "mode_cloud"),
        ("ollama/small", "local_fallback"),
    ]


def test_local_models_can_be_switched_off() -> None:
    decision = decide(RouteRequest(model="auto:local"), ALL, Policy(allow_local=False), FREE)
    assert not decision.ranked
    assert {c.reason for c in decision.refused if c.offer.locality is Locality.LOCAL} == {"local_not_allowed"}


def test_a_long_prompt_is_refused_where_it_does_not_fit() -> None:
    decision = decide(RouteRequest(model="auto:local", prompt_tokens=50_000), ALL, HYBRID, FREE)
    assert routes(decision) == ["ollama/large"]
    assert ("ollama/small", "context_too_long") in {(c.offer.route, c.reason) for c in decision.refused}


def test_missing_abilities_refuse_but_fill_in_the_middle_only_ranks() -> None:
    tools = RouteRequest(needs=CHAT | {Capability.TOOLS})
    assert {c.reason for c in decide(tools, ALL, HYBRID, FREE).refused} == {"no_tools"}
    assert "ollama/large" in routes(decide(COMPLETE, ALL, HYBRID, FREE))


def test_an_explicit_model_is_the_only_choice() -> None:
    for name in ("ollama/large", "large"):
        decision = decide(RouteRequest(model=name), ALL, HYBRID, FREE)
        assert [(c.offer.route, c.reason) for c in decision.ranked] == [("ollama/large", "asked_for")]


def test_every_offer_appears_once_with_a_reason_in_words_whatever_is_asked() -> None:
    """Total and deterministic: nothing is lost, nothing raises, and the order of the offers does not matter."""
    needs = (CHAT, frozenset({Capability.COMPLETE, Capability.FIM}), frozenset({Capability.EMBED}))
    combinations = itertools.product(
        Task, Mode, (None, *Privacy), ("auto", "auto:local", "auto:cloud", "none/such", "small"), needs, (0, 10**6)
    )
    for task, mode, privacy, model, need, tokens in combinations:
        request = RouteRequest(task, model, privacy, need, tokens)
        policy = Policy(mode=mode)
        decision = decide(request, ALL, policy, FREE)
        choices = decision.ranked + decision.refused
        assert sorted(c.offer.route for c in choices) == sorted(o.route for o in ALL)
        assert all(c.reason in REASONS for c in choices)
        assert routes(decide(request, ALL[::-1], policy, FREE)) == routes(decision)
        if mode in (Mode.OFFLINE, Mode.LOCAL) or privacy is Privacy.LOCAL:
            assert all(c.offer.locality is Locality.LOCAL for c in decision.ranked)


def test_small_tasks_are_the_local_ones() -> None:
    assert Task.COMPLETE in Policy().local_first
    assert not Policy().local_first & {Task.CHAT, Task.REVIEW, Task.REFACTOR, Task.AGENT}


@pytest.mark.parametrize("name", ["openai/gpt-mini", "gpt-mini", "auto", "auto:cloud"])
@pytest.mark.parametrize(
    "pattern", ["gpt-*", "GPT-Mini", "openai/*", "gateway/openai/*"], ids=["model", "case", "provider", "gateway"]
)
def test_a_denied_model_is_denied_under_each_of_its_names(name: str, pattern: str) -> None:
    behind = replace(offer("gateway/x"), model="openai/gpt-mini")
    decision = decide(RouteRequest(model=name), (MINI, behind, SONNET), Policy(denied_models=(pattern,)), FREE)
    denied = behind if pattern.startswith("gateway") else MINI
    assert denied.route not in routes(decision)
    assert {c.reason for c in decision.refused if c.offer is denied} <= {"not_allowed", "not_asked_for"}


def test_where_models_are_allowed_by_name_no_other_answers_and_denial_is_stronger() -> None:
    policy = Policy(allowed_models=("claude-*", "ollama/*"), denied_models=("*large*",))
    assert set(routes(decide(RouteRequest(), ALL, policy, FREE))) == {
        SONNET.route,
        SMALL.route,
        FORWARDED.route,
    }
    assert not decide(RouteRequest(model="openai/gpt-mini"), ALL, policy, FREE).ranked


def test_a_conversation_stays_with_its_model_while_that_is_allowed_and_well() -> None:
    going_on = RouteRequest(settled_on="openai/gpt-mini")
    assert first(going_on) == ("openai/gpt-mini", "same_conversation")
    assert first(replace(going_on, privacy=Privacy.LOCAL))[0] == "ollama/large"
    ill = {"openai/gpt-mini": Condition(is_cooling=True)}
    assert routes(decide(going_on, ALL, HYBRID, FREE, ill))[-1] == "openai/gpt-mini", "asked only when no other is left"


def test_between_equals_the_one_that_answers_sooner_comes_first() -> None:
    a, b = offer("ollama/a"), offer("ollama/b")
    conditions = {"ollama/a": Condition(latency_ms=900.0), "ollama/b": Condition(latency_ms=80.0)}
    assert routes(decide(COMPLETE, (a, b), HYBRID, FREE, conditions)) == ["ollama/b", "ollama/a"]


def test_near_the_budget_local_and_then_cheaper_models_come_first() -> None:
    dear, cheap = replace(SONNET, price=Price(3, 15)), replace(MINI, price=Price(0.4, 1.6))
    tight = Budget(limit_usd=10, spent_usd=9, soft_usd=8)
    decision = decide(RouteRequest(), (dear, cheap, LARGE), HYBRID, tight)
    assert [(c.offer.route, c.reason) for c in decision.ranked] == [
        ("ollama/large", "soft_budget"),
        ("openai/gpt-mini", "cloud_fallback"),
        ("anthropic/claude-sonnet-5", "cloud_fallback"),
    ]


def test_what_is_free_is_answered_even_when_the_budget_is_used_up() -> None:
    free = replace(MINI, price=Price())
    assert routes(decide(RouteRequest(), (free, SONNET), HYBRID, Budget(1, 1))) == ["openai/gpt-mini"]


def test_rules_of_a_task_come_before_everything_but_health() -> None:
    policy = Policy(preferred_models=("claude-*",), task_models={Task.REVIEW: ("ollama/large",)})
    assert decide(RouteRequest(task=Task.REVIEW), ALL, policy, FREE).ranked[0].offer is LARGE
    assert decide(RouteRequest(task=Task.CHAT), ALL, policy, FREE).ranked[0].offer is SONNET


def test_a_judged_request_goes_where_its_difficulty_belongs() -> None:
    assert first(RouteRequest(difficulty=0.1))[1] == "judged_easy"
    assert first(RouteRequest(task=Task.COMMIT_MESSAGE, difficulty=0.9)) == ("anthropic/claude-sonnet-5", "judged_hard")


def test_a_model_with_room_for_the_answer_comes_before_one_that_would_cut_it() -> None:
    request = RouteRequest(model="auto:local", prompt_tokens=8000, output_tokens=4000, task=Task.DOCS)
    assert routes(decide(request, ALL, HYBRID, FREE)) == ["ollama/large", "ollama/small"]
