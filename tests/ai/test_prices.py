"""Prices: the admin's own, the list that the package carries, and guesses that are never too low for their family."""

from __future__ import annotations

import subprocess
import sys

import pytest
from genai_prices import calc_price
from genai_prices.types import Usage as ListedUsage

from aidp_ext.ai.models import Usage
from aidp_ext.ai.prices import UNKNOWN, Prices


@pytest.fixture(scope="module")
def prices() -> Prices:
    return Prices()


@pytest.mark.parametrize(
    ("provider", "theirs", "model"),
    [
        ("openai", "openai", "gpt-4o"),
        ("openai", "openai", "gpt-5-mini"),
        ("openai", "openai", "text-embedding-3-small"),
        ("anthropic", "anthropic", "claude-sonnet-4-5"),
        ("gemini", "google", "gemini-2.5-pro"),
        ("gemini", "google", "gemini-2.5-flash"),
    ],
)
@pytest.mark.parametrize(("prompt", "cached", "answer"), [(1000, 0, 500), (150_000, 20_000, 10), (250_000, 0, 4000)])
def test_costs_are_what_the_list_itself_makes_of_them(
    prices: Prices, provider: str, theirs: str, model: str, prompt: int, cached: int, answer: int
) -> None:
    price = prices.of(provider, model, prompt_tokens=prompt)
    listed = calc_price(
        ListedUsage(input_tokens=prompt, cache_read_tokens=cached, output_tokens=answer), model, provider_id=theirs
    )
    ours = price.cost_usd(Usage(prompt_tokens=prompt, completion_tokens=answer, cached_tokens=cached))
    assert ours == pytest.approx(float(listed.total_price), rel=1e-9)
    assert not price.is_estimated


def test_what_is_written_to_the_cache_for_an_hour_costs_more(prices: Prices) -> None:
    five_minutes = prices.of("anthropic", "claude-opus-4-1")
    marked = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    for body in (
        {"messages": [{"role": "user", "content": [marked]}]},
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [marked]}]}]},
        {"messages": [], "system": [marked]},
        {"messages": [], "tools": [{"name": "f", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
    ):
        hour = prices.of("anthropic", "claude-opus-4-1", body=body)
        assert five_minutes.cache_write is not None
        assert hour.cache_write == 2 * hour.input > five_minutes.cache_write
    short = {"messages": [{"role": "user", "content": [{**marked, "cache_control": {"type": "ephemeral"}}]}]}
    assert prices.of("anthropic", "claude-opus-4-1", body=short) == five_minutes


def test_another_service_tier_costs_what_is_asked_for_and_never_less(prices: Prices) -> None:
    plain = prices.of("openai", "gpt-5")
    priority = prices.of("openai", "gpt-5", body={"service_tier": "priority"})
    assert (priority.input, priority.output) == (2 * plain.input, 2 * plain.output)
    assert prices.of("openai", "gpt-5", body={"service_tier": "flex"}) == plain
    assert prices.of("openai", "gpt-5", body={"service_tier": ["odd"]}) == plain


@pytest.mark.parametrize("part", ["input_audio", "image_url"])
def test_media_count_at_the_dearest_kind_of_token(prices: Prices, part: str) -> None:
    body = {"messages": [{"role": "user", "content": [{"type": part}]}]}
    assert prices.of("gemini", "gemini-2.5-flash", body=body).input == 1.0  # what it asks for sound
    assert prices.of("gemini", "gemini-2.5-flash").input == 0.3


@pytest.mark.parametrize(
    ("provider", "model", "above"),
    [
        ("openai", "gpt-99-turbo", "gpt-4"),
        ("anthropic", "claude-haiku-99", "claude-opus-4-1"),
        ("gemini", "gemini-99", "gemini-2.5-pro"),
    ],
)
def test_an_unknown_model_costs_as_much_as_the_dearest_of_its_family(
    prices: Prices, provider: str, model: str, above: str
) -> None:
    guess, known = prices.of(provider, model), prices.of(provider, above)
    assert guess.is_estimated
    assert guess.input >= known.input
    assert guess.output >= known.output
    assert prices.known(provider, model) is None
    assert prices.known(provider, above) == known


@pytest.mark.parametrize("route", ["nobody/model", "ollama/gpt-oss:120b-cloud", "nobody/", "/x", "nobody/a/b/c"])
def test_an_unknown_provider_is_never_free(prices: Prices, route: str) -> None:
    provider, _, model = route.partition("/")
    assert prices.of(provider, model) == UNKNOWN
    assert not UNKNOWN.is_free


@pytest.mark.parametrize("model", ["whisper-1", "moderation", "gemma-3"])
def test_a_model_without_a_price_for_tokens_is_not_free(prices: Prices, model: str) -> None:
    price = prices.of("gemini" if model == "gemma-3" else "openai", model)
    assert price.is_estimated
    assert price.input > 0


def test_what_is_resold_is_taken_for_what_its_maker_asks(prices: Prices) -> None:
    resold = prices.of("reseller", "anthropic/claude-opus-4-1")
    assert (resold.input, resold.is_estimated) == (prices.of("anthropic", "claude-opus-4-1").input, True)


def test_the_admins_prices_come_first() -> None:
    prices = Prices(
        {
            "openai/gpt-4o": {"input": 1.0, "output": 2.0},
            "openai/gpt-4*": {"output": 3.0},
            "ollama/*": {"input": 0.0, "output": 0.0},
            "anthropic/*": {"cached_input": 0.5},
        }
    )
    own = prices.of("openai", "gpt-4o", prompt_tokens=10**6)
    assert (own.input, own.output, own.is_estimated) == (1.0, 2.0, False)
    part = prices.of("openai", "gpt-4.1")
    assert (part.input, part.output) == (Prices().of("openai", "gpt-4.1").input, 3.0)
    assert prices.of("ollama", "gpt-oss:120b-cloud").is_free
    assert prices.of("anthropic", "claude-sonnet-4-5").cached_input == 0.5
    assert prices.of("anthropic", "claude-sonnet-4-5", prompt_tokens=250_000).input == 6.0
    assert prices.of("gemini", "gemini-2.5-pro") == Prices().of("gemini", "gemini-2.5-pro")


@pytest.mark.parametrize(
    ("fields", "match"),
    [({"inputs": 1.0}, "'inputs' is none of"), ({"input": -1.0}, "no amount"), ({"output": float("nan")}, "no amount")],
)
def test_a_price_that_is_none_is_told(fields: dict[str, float], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Prices({"openai/*": fields})


async def test_the_list_is_read_on_request() -> None:
    prices = Prices()
    await prices.load()
    assert prices.of("openai", "gpt-4o").input == 2.5


def test_it_costs_a_server_nothing_and_never_asks_the_network() -> None:
    code = """
import socket, sys
from aidp_ext.ai.prices import Prices
prices = Prices({"a/*": {"input": 1.0, "output": 1.0}})
prices.of("a", "b")
assert "genai_prices" not in sys.modules
def refuse(*_): raise AssertionError("the network was asked")
socket.socket.connect = socket.getaddrinfo = refuse
assert prices.of("openai", "gpt-4o").input == 2.5
assert prices.of("openai", "gpt-99").is_estimated
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
