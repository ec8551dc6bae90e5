"""Who may use a local model server now: it works on a few requests at once, the others wait here.

Completion goes ahead of chat, since somebody is typing. Of one conversation's completions only the newest waits: by
the time an older one got its turn, the text would have moved on.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from aidp_ext.core.errors import Superseded, Unavailable

_MOST_WAITING = 1000


@dataclass(order=True)
class _Waiter:
    rank: int
    number: int
    turn: asyncio.Future[None] = field(compare=False)
    key: str | None = field(compare=False)


class Slots:
    """The places of one server. ``limit`` None: as many as come."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._busy = 0
        self._waiting: list[_Waiter] = []
        self._by_key: dict[str, _Waiter] = {}
        self._numbers = itertools.count()

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return sum(not waiter.turn.done() for waiter in self._waiting)

    @property
    def busy(self) -> int:
        """How many are being worked on."""
        return self._busy

    async def acquire(self, *, is_urgent: bool = False, key: str | None = None) -> Callable[[], None]:
        """Wait for a place and return the function that gives it back (calling it again does nothing).

        ``is_urgent`` goes ahead of those that are not. A waiting request with the same ``key`` gives way: it raises
        Superseded. Raises Unavailable where too many wait already.
        """
        if self.limit is None or (self._busy < self.limit and not self.waiting):
            self._busy += 1
            return self._release_once()
        if self.waiting >= _MOST_WAITING:
            raise Unavailable("Too many requests wait for this model server.", next_step="Try again in a moment.")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(0 if is_urgent else 1, next(self._numbers), turn, key)
        if key is not None:
            older = self._by_key.get(key)
            if older is not None and not older.turn.done():
                older.turn.set_exception(Superseded("A later completion took this one's place."))
            self._by_key[key] = waiter
        heapq.heappush(self._waiting, waiter)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:  # given at the very moment
                self._release()
            raise
        finally:
            if key is not None and self._by_key.get(key) is waiter:
                del self._by_key[key]
        return self._release_once()

    def _release_once(self) -> Callable[[], None]:
        is_held = True

        def release() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                self._release()

        return release

    def _release(self) -> None:
        self._busy -= 1
        while self._waiting and (self.limit is None or self._busy < self.limit):
            waiter = heapq.heappop(self._waiting)
            if not waiter.turn.done():
                self._busy += 1
                waiter.turn.set_result(None)
