"""``hub/memory``: what a user's server may use, and what it lost for want of more; in that server."""

from __future__ import annotations

from aidp_ext.core.web import Api, Route, endpoint
from aidp_ext.hub.memory import MemorySaid, look


class MemoryLook(Api):
    """``hub/memory``."""

    @endpoint("read", gives=MemorySaid)
    async def get(self) -> None:
        """Return this server's limit of memory, and how many of its processes the system has ended for want of more."""
        self.reply(look())


ROUTES: tuple[Route, ...] = ((r"hub/memory", MemoryLook),)
