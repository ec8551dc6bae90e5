"""How many requests a minute one user may make: a token bucket for each, in memory.

Each process counts for itself: behind two gateways a user gets twice as much.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from aidp_ext.core.errors import RateLimited


class RateLimiter:
    """Lets each user make ``burst`` requests at once, and ``per_minute`` in the long run; 0 lets everything pass.

    A bucket is one number, the moment at which it is full again (the generic cell rate algorithm, ITU-T I.371). At
    most ``max_users`` are kept, those who asked last: who asked longest ago is the likeliest to have a full bucket.
    """

    def __init__(
        self,
        per_minute: float,
        burst: int = 10,
        *,
        max_users: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval_s = 60 / per_minute if per_minute > 0 else 0.0
        self._burst_s = max(1, burst) * self._interval_s
        self._max_users = max_users
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def check(self, user: str) -> None:
        """Count one request. Raises RateLimited, with the whole seconds to wait in ``details["retry_after_s"]``.

        A refused request is not counted, so that a client that asks again and again is let in as early as one that
        waits.
        """
        if not self._interval_s:
            return
        now = self._clock()
        full_at = max(now, self._full_at.get(user, now)) + self._interval_s
        too_early_s = full_at - now - self._burst_s
        if too_early_s > 1e-9:  # the noise of the additions
            wait_s = math.ceil(too_early_s)
            raise RateLimited(
                "Too many requests in a short time.",
                next_step=f"Wait {wait_s} second{'s' if wait_s > 1 else ''} and ask again.",
                retry_after_s=wait_s,
            )
        self._full_at.pop(user, None)  # to the end of the order
        self._full_at[user] = full_at
        if len(self._full_at) > self._max_users:
            del self._full_at[next(iter(self._full_at))]
