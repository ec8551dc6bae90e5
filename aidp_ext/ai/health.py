"""How each model has done lately: a circuit breaker and a moving average of how soon it answers.

After a few failures in a row a model is left to cool: requests that could also go elsewhere do. When the time is over,
one request tries it (half-open); its success closes the breaker, its failure doubles the rest. A request that can go
nowhere else is sent all the same: what the server itself says is worth more than our guess.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aidp_ext.ai.models import Condition

_WEIGHT = 0.3  # of the newest latency in the average
_LONGEST_S = 300.0


@dataclass
class _Breaker:
    failures: int = 0  # in a row
    opened_for_s: float = 0.0
    until: float = 0.0  # on the clock; cooling before it
    is_tried: bool = False  # half-open, and one request is out
    latency_ms: float | None = None


class Health:
    """The breakers of all models, by route."""

    def __init__(
        self, *, failures: int = 3, cooldown_s: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._failures = failures
        self._cooldown_s = cooldown_s
        self._clock = clock
        self._breakers: dict[str, _Breaker] = {}

    def conditions(self) -> Mapping[str, Condition]:
        """Return how each model that was ever asked is doing, by route."""
        now = self._clock()
        return {
            route: Condition(is_cooling=self._is_cooling(breaker, now), latency_ms=breaker.latency_ms)
            for route, breaker in self._breakers.items()
        }

    def cooling_s(self, route: str) -> float:
        """Return for how many more seconds a model cools; 0.0 where it does not."""
        breaker = self._breakers.get(route)
        return max(0.0, breaker.until - self._clock()) if breaker is not None else 0.0

    def is_failing(self, route: str) -> bool:
        """Return whether its latest call failed."""
        breaker = self._breakers.get(route)
        return breaker is not None and breaker.failures > 0

    def begin(self, route: str) -> None:
        """Note that a call goes out: after a rest it is the one that tries."""
        breaker = self._breakers.get(route)
        if breaker is not None and breaker.until and self._clock() >= breaker.until:
            breaker.is_tried = True

    def succeeded(self, route: str, latency_ms: float) -> None:
        """Close the breaker. ``latency_ms``: until the first word."""
        breaker = self._breakers.setdefault(route, _Breaker())
        average = breaker.latency_ms
        fresh = latency_ms if average is None else average + _WEIGHT * (latency_ms - average)
        self._breakers[route] = _Breaker(latency_ms=fresh)

    def failed(self, route: str, retry_after_s: float | None = None) -> None:
        """Count a failure. A server that says when to come back is left alone until then, at once."""
        breaker = self._breakers.setdefault(route, _Breaker())
        breaker.failures += 1
        was_tried, breaker.is_tried = breaker.is_tried, False
        rest_s = 0.0
        if was_tried or breaker.failures >= self._failures:
            rest_s = min(_LONGEST_S, max(self._cooldown_s, 2 * breaker.opened_for_s if was_tried else 0.0))
            breaker.opened_for_s = rest_s
        rest_s = max(rest_s, min(retry_after_s or 0.0, _LONGEST_S))
        if rest_s:
            breaker.until = max(breaker.until, self._clock() + rest_s)

    def gave_up(self, route: str) -> None:
        """Note that a call ended without telling anything about the model: its client went away."""
        breaker = self._breakers.get(route)
        if breaker is not None:
            breaker.is_tried = False

    def forget(self, provider: str) -> None:
        """Forget a provider's failures: it was set up anew, or somebody asks to look again."""
        for route in [route for route in self._breakers if route.startswith(f"{provider}/")]:
            del self._breakers[route]

    @staticmethod
    def _is_cooling(breaker: _Breaker, now: float) -> bool:
        return bool(breaker.until) and (now < breaker.until or breaker.is_tried)
