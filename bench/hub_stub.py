"""A spawner that starts nothing: one small server answers for all users, so that the hub alone is measured."""

from __future__ import annotations

import os
from typing import Any

from jupyterhub.spawner import Spawner

from hub_config.gpu import LeasedGpu

PORT = "AIDP_BENCH_PORT"


class Stub(Spawner):
    """Says where the small server answers."""

    _runs = False

    async def start(self) -> tuple[str, int]:
        """Return the address."""
        self._runs = True
        return "127.0.0.1", int(os.environ[PORT])

    async def stop(self, now: bool = False) -> None:
        """Have nothing to end."""
        self._runs = False

    async def poll(self) -> int | None:
        """Return None while it is taken to run."""
        return None if self._runs else 0

    def get_state(self) -> dict[str, Any]:
        """Keep that it runs."""
        return {**super().get_state(), "runs": self._runs}

    def load_state(self, state: dict[str, Any]) -> None:
        """Know again that it runs."""
        super().load_state(state)
        self._runs = bool(state.get("runs"))


class LeasedStub(LeasedGpu, Stub):
    """The same, with what aidp does around each start and end."""
