"""Budgets: which bind, when they reset, and a bound that no call exceeds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_ext.ai.budgets import (
    BudgetRules,
    BudgetState,
    Limit,
    dollars,
    limits_for,
    nano,
    period_of,
    prompt_bound,
    resets_at,
    tightest,
    worst_case_usd,
)
from aidp_ext.ai.models import Caller, Price, Usage

PRICE = Price(input=1.0, output=1000.0)  # a dollar for 10⁶ tokens read, 10³ written


def asked(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


def test_every_limit_that_names_a_caller_binds_it() -> None:
    rules = BudgetRules(
        deployment_monthly_usd=100,
        deployment_daily_usd=0,
        user_monthly_usd=10,
        user_daily_usd=1,
        team_monthly_usd={"ml": 50, "*": 5},
        team_daily_usd={"ml": 2},
        soft_share=0.5,
    )
    assert limits_for(Caller("ana", teams=("ml", "ops", "ml")), rules) == (
        Limit("deployment", "", "month", 100, 50),
        Limit("deployment", "", "day", 0, 0),
        Limit("team", "ml", "month", 50, 25),
        Limit("team", "ml", "day", 2, 1),
        Limit("team", "ops", "month", 5, 2.5),
        Limit("user", "ana", "month", 10, 5),
        Limit("user", "ana", "day", 1, 0.5),
    )
    assert limits_for(Caller("ana", teams=("ml",)), BudgetRules()) == ()
    (bare,) = limits_for(Caller("ana"), BudgetRules(user_daily_usd=3, soft_share=None))
    assert bare == Limit("user", "ana", "day", 3)


@pytest.mark.parametrize(
    ("spent", "state"), [(0, "ok"), (7.99, "ok"), (8, "soft"), (9.99, "soft"), (10, "hard"), (11, "hard")]
)
def test_a_budget_says_how_it_stands(spent: float, state: str) -> None:
    found = BudgetState(Limit("user", "ana", "day", 10, 8), spent, 1.5, datetime.now(UTC))
    assert found.state == state
    assert found.left_usd == max(0, 8.5 - spent)


def test_the_tightest_budget_has_the_least_left_and_lasts_longest() -> None:
    now = datetime(2026, 3, 7, tzinfo=UTC)
    day = BudgetState(Limit("user", "ana", "day", 2), 1, 0, now + timedelta(days=1))
    month = BudgetState(Limit("user", "ana", "month", 9), 8, 0, now + timedelta(days=24))
    wide = BudgetState(Limit("deployment", "", "month", 90), 8, 0, now + timedelta(days=24))
    assert tightest((day, month, wide)) is month
    assert tightest(()) is None


@pytest.mark.parametrize(
    ("now", "day", "month"),
    [
        ("2026-03-07T12:00:00+00:00", "2026-03-08", "2026-04-01"),
        ("2026-12-31T23:59:59+00:00", "2027-01-01", "2027-01-01"),
        ("2028-02-28T00:00:00+00:00", "2028-02-29", "2028-03-01"),
        ("2026-01-31T00:00:00+00:00", "2026-02-01", "2026-02-01"),
        ("2026-03-01T01:00:00+02:00", "2026-03-01", "2026-03-01"),  # February still, in UTC
    ],
)
def test_periods_end_at_midnight_utc(now: str, day: str, month: str) -> None:
    at = datetime.fromisoformat(now)
    assert resets_at("day", at) == datetime.fromisoformat(f"{day}T00:00:00+00:00")
    assert resets_at("month", at) == datetime.fromisoformat(f"{month}T00:00:00+00:00")


@given(st.integers(0, 2**32), st.integers(-12, 14), st.sampled_from(["day", "month"]))
def test_a_period_has_one_name_until_it_resets(seconds: int, hours: int, period: str) -> None:
    at = datetime.fromtimestamp(seconds, timezone(timedelta(hours=hours)))
    end = resets_at(period, at)
    assert at < end
    assert period_of(period, end - timedelta(microseconds=1)) == period_of(period, at)
    assert period_of(period, end) != period_of(period, at)


@given(st.floats(0, 1e6))
def test_money_is_rounded_up_to_the_nano_dollar(usd: float) -> None:
    amount = nano(usd)
    assert dollars(amount) >= usd * (1 - 1e-12) - 1e-12
    assert amount - usd * 1e9 <= 1 + usd * 1e-3


def test_money_that_fits_is_not_rounded() -> None:
    assert [nano(usd) for usd in (0, 0.1, 0.29, 0.1 + 0.2, 2.675, 1e-9, 1e-10)] == [
        *(0, 100_000_000, 290_000_000, 300_000_000, 2_675_000_000, 1, 1)
    ]


@pytest.mark.parametrize("usd", [-0.01, float("nan"), float("inf"), 1e10])
def test_what_is_no_money_is_refused(usd: float) -> None:
    with pytest.raises(ValueError, match="no amount"):
        nano(usd)


TEXTS = st.text(max_size=200)
TOOL = st.fixed_dictionaries({"type": st.just("function"), "function": st.dictionaries(TEXTS, TEXTS)})
CONTENT = st.one_of(TEXTS, st.lists(st.builds(lambda text: {"type": "text", "text": text}, TEXTS), max_size=4))


@given(
    st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": CONTENT}), max_size=5),
    st.lists(
        st.fixed_dictionaries({"type": st.just("function"), "function": st.dictionaries(TEXTS, TEXTS)}), max_size=2
    ),
)
def test_no_byte_of_a_text_is_left_out_of_the_bound(
    messages: list[dict[str, Any]], tools: list[dict[str, Any]]
) -> None:
    texts = [str(message["content"]) for message in messages if isinstance(message["content"], str)]
    texts += [part["text"] for m in messages if isinstance(m["content"], list) for part in m["content"]]
    texts += [text for tool in tools for pair in tool["function"].items() for text in pair]
    bound = prompt_bound({"messages": messages, "tools": tools})
    assert bound >= sum(len(text.encode("utf-8", "replace")) for text in texts)


def test_the_context_bounds_what_a_prompt_can_cost() -> None:
    long = asked("x" * 100_000)
    assert prompt_bound(long) > 100_000
    assert prompt_bound(long, 8000) == 8000
    assert worst_case_usd(PRICE, long, 0, context_tokens=8000) == pytest.approx(0.008)


def test_an_image_counts_by_its_kind_and_not_by_its_bytes() -> None:
    data = "data:image/png;base64," + "A" * 3_000_000
    for part in (
        {"type": "image_url", "image_url": {"url": data}},
        {"type": "image_url", "image_url": data},
        {"type": "image", "source": {"type": "base64", "data": "A" * 3_000_000}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    ):
        one = prompt_bound({"messages": [{"role": "user", "content": [part]}]})
        assert 48_169 <= one < 60_000
        inside = {"type": "tool_result", "content": [part, part]}
        assert prompt_bound({"messages": [{"role": "user", "content": [inside]}]}) >= 2 * 48_169


def test_a_sound_counts_by_its_bytes() -> None:
    part = {"type": "input_audio", "input_audio": {"data": "A" * 90_000}}
    assert prompt_bound({"messages": [{"role": "user", "content": [part]}]}) > 90_000


@pytest.mark.parametrize("kind", ["file", "document", "video_url"])
def test_what_is_only_referred_to_counts_as_all_that_the_model_can_read(kind: str) -> None:
    body = {"messages": [{"role": "user", "content": [{"type": kind, "file": {"file_id": "f"}}]}]}
    assert prompt_bound(body, 200_000) == 200_000
    assert prompt_bound(body) >= 2_000_000


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"web_search_options": {}},
        {"mcp_servers": [{"url": "https://example.org"}]},
    ],
)
def test_tools_at_the_provider_let_the_model_read_again_and_again(more: dict[str, Any]) -> None:
    assert prompt_bound(asked(**more), 1000) == 11_000
    assert worst_case_usd(PRICE, asked(**more), 100, context_tokens=1000) == pytest.approx(0.011 + 1.1)


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": {}},
        {"name": "f", "input_schema": {}},
        {"type": "custom", "name": "f"},
        {"type": "bash_20250124", "name": "bash"},
    ],
)
def test_tools_of_the_caller_are_only_read(tool: dict[str, Any]) -> None:
    assert prompt_bound(asked(tools=[tool]), 10**9) < 4000


@pytest.mark.parametrize(
    ("body", "answers"),
    [
        (asked(), 1),
        (asked(n=3), 3),
        ({"prompt": "x", "n": 2, "best_of": 5}, 5),
        ({"prompt": ["x", "y"], "n": 3}, 6),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1, 2], [3]]}, 2),
        ({"prompt": []}, 1),
        (asked(n="many"), 1),
    ],
)
def test_every_answer_counts(body: dict[str, Any], answers: int) -> None:
    free_to_read = Price(output=1000.0)
    assert worst_case_usd(free_to_read, body, 50) == pytest.approx(answers * 0.05)


def test_a_prediction_that_is_wrong_is_billed_as_an_answer() -> None:
    body = asked(prediction={"type": "content", "content": "x" * 1000})
    assert worst_case_usd(Price(output=1000.0), body, 50) > (50 + 1000) / 1000


def test_the_dearest_way_to_read_counts() -> None:
    body = asked("x" * 10_000)
    plain = worst_case_usd(Price(input=2.0), body, 0)
    assert worst_case_usd(Price(input=2.0, cached_input=0.2, cache_write=4.0), body, 0) == pytest.approx(2 * plain)


@pytest.mark.parametrize("absurd", [{"n": 10**30}, {"best_of": 10**400}, {}])
def test_an_absurd_request_costs_more_than_any_budget_and_can_still_be_counted(absurd: dict[str, int]) -> None:
    usd = worst_case_usd(PRICE, asked(**absurd), 2**53 - 1)
    assert 10**8 < usd < 10**9
    assert nano(usd) < 2**63


@given(st.integers(0, 10**5), st.integers(0, 10**5), st.floats(0, 100), st.floats(0, 100))
def test_what_a_provider_bills_within_the_bounds_never_exceeds_the_worst_case(
    prompt: int, answer: int, read: float, write: float
) -> None:
    price = Price(input=read, output=write, cached_input=read / 10, cache_write=read * 1.25)
    body = asked("ä" * 500)
    prompt = min(prompt, len(json.dumps(body, ensure_ascii=False).encode()))
    for cached, written in ((0, 0), (prompt, 0), (0, prompt), (prompt // 2, prompt // 3)):
        usage = Usage(prompt, answer, cached_tokens=cached, cache_write_tokens=written)
        assert nano(price.cost_usd(usage)) <= nano(worst_case_usd(price, body, answer)) + 1
