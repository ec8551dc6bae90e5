"""The rate limit of each user, in a time that is set by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_ext.ai.limits import RateLimiter
from aidp_ext.core.errors import RateLimited


class Time:
    def __init__(self) -> None:
        self.now = 500.0

    def __call__(self) -> float:
        return self.now


def allowed(limiter: RateLimiter, user: str = "ana") -> bool:
    try:
        limiter.check(user)
    except RateLimited:
        return False
    return True


def test_a_burst_passes_and_then_the_rate() -> None:
    time = Time()
    limiter = RateLimiter(60, 5, clock=time)
    assert [allowed(limiter) for _ in range(7)] == [True] * 5 + [False] * 2
    time.now += 1
    assert [allowed(limiter) for _ in range(2)] == [True, False]
    time.now += 3600
    assert [allowed(limiter) for _ in range(7)] == [True] * 5 + [False] * 2


def test_it_says_how_long_to_wait_and_that_is_enough() -> None:
    time = Time()
    limiter = RateLimiter(7, 1, clock=time)
    limiter.check("ana")
    with pytest.raises(RateLimited) as refused:
        limiter.check("ana")
    assert refused.value.details["retry_after_s"] == 9
    assert "9 seconds" in str(refused.value.next_step)
    time.now += 9
    limiter.check("ana")


def test_users_do_not_wait_for_each_other() -> None:
    limiter = RateLimiter(1, 1, clock=Time())
    assert [allowed(limiter, user) for user in ("ana", "bo", "ana")] == [True, True, False]


def test_without_a_rate_everything_passes() -> None:
    limiter = RateLimiter(0, 1, clock=Time())
    assert all(allowed(limiter) for _ in range(1000))


def test_refused_requests_do_not_postpone_the_next_that_passes() -> None:
    time = Time()
    limiter = RateLimiter(60, 1, clock=time)
    assert allowed(limiter)
    for _ in range(9):
        time.now += 0.1
        assert not allowed(limiter)
    time.now += 0.1
    assert allowed(limiter)


def test_memory_is_bounded_and_those_who_ask_stay_known() -> None:
    limiter = RateLimiter(1, 30, max_users=100, clock=Time())
    for number in range(1000):
        assert allowed(limiter, f"user{number}")
        if number % 50 == 0:
            assert allowed(limiter, "busy")
    assert len(limiter._full_at) == 100
    assert [allowed(limiter, "busy") for _ in range(11)] == [True] * 10 + [False]


@given(st.floats(1, 600), st.integers(1, 20), st.lists(st.floats(0, 5), min_size=1, max_size=200))
def test_never_more_than_the_burst_and_the_rate_together(rate: float, burst: int, pauses: list[float]) -> None:
    time = Time()
    limiter = RateLimiter(rate, burst, clock=time)
    begin, passed = time.now, 0
    for pause in pauses:
        time.now += pause
        passed += allowed(limiter)
        assert passed <= burst + (time.now - begin) * rate / 60 + 1e-6
