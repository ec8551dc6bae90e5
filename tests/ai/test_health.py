"""The circuit breaker of a model."""

from __future__ import annotations

import pytest

from aidp_ext.ai.health import Health

ROUTE = "openai/gpt"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(failures=3, cooldown_s=10.0, clock=clock)


def is_cooling(health: Health) -> bool:
    return health.conditions()[ROUTE].is_cooling


def test_it_opens_after_failures_in_a_row_and_not_before(health: Health) -> None:
    for _ in range(2):
        health.failed(ROUTE)
    health.succeeded(ROUTE, 5.0)
    for expected in (False, False, True):
        health.failed(ROUTE)
        assert is_cooling(health) is expected
    assert health.cooling_s(ROUTE) == 10.0


def test_half_open_lets_one_request_try_and_its_outcome_decides(health: Health, clock: Clock) -> None:
    for _ in range(3):
        health.failed(ROUTE)
    clock.now += 10
    assert not is_cooling(health), "the rest is over: one may try"
    health.begin(ROUTE)
    assert is_cooling(health), "and only one"
    health.failed(ROUTE)
    assert health.cooling_s(ROUTE) == 20.0, "the second rest is longer"
    clock.now += 20
    health.begin(ROUTE)
    health.succeeded(ROUTE, 5.0)
    assert not is_cooling(health)
    health.failed(ROUTE)
    assert not is_cooling(health), "it counts from nothing again"


def test_a_client_that_leaves_the_trial_says_nothing_about_the_model(health: Health, clock: Clock) -> None:
    for _ in range(3):
        health.failed(ROUTE)
    clock.now += 10
    health.begin(ROUTE)
    health.gave_up(ROUTE)
    assert not is_cooling(health), "the next one may try"


def test_a_server_that_says_when_to_come_back_is_left_alone_until_then(health: Health, clock: Clock) -> None:
    health.failed(ROUTE, retry_after_s=7)
    assert is_cooling(health)
    clock.now += 7
    assert not is_cooling(health)
    health.failed(ROUTE, retry_after_s=10_000)
    assert health.cooling_s(ROUTE) <= 300


def test_the_latency_is_an_average_that_moves(health: Health) -> None:
    for latency in (100.0, 200.0):
        health.succeeded(ROUTE, latency)
    assert health.conditions()[ROUTE].latency_ms == pytest.approx(130.0)


def test_a_provider_set_up_anew_starts_well(health: Health) -> None:
    for _ in range(3):
        health.failed(ROUTE)
    health.forget("openai")
    assert ROUTE not in health.conditions()
    assert health.cooling_s(ROUTE) == 0.0
