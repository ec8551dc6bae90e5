"""The eye on a hub's GPUs: which there are, which work, whose servers are gone, and whose have to give way.

Whoever has to give way is told, and has some minutes before the server is stopped. A hub that does not answer, or a
driver, changes nothing: what cannot be seen is left as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from aidp_ext.core.errors import AidpError, Conflict, NotFound
from aidp_ext.hub.devices import Device
from aidp_ext.hub.leases import Leases
from aidp_ext.hub.schedule import Lease

log = logging.getLogger("aidp")

LOOK_S = 10.0
DEVICES_S = 60.0
#: A server that was to be stopped and runs on is told again after these seconds.
AGAIN_S = 120.0


class Servers(Protocol):
    """The hub's servers, by whose they are."""

    async def running(self, user: str) -> set[str] | None:
        """Return the names of a user's servers that run, start or stop; None where the hub does not say."""
        ...

    async def stop(self, user: str, server: str) -> bool:
        """Stop a server; return whether it has ended by now. Raises NotFound, Conflict and Unavailable."""
        ...


@dataclass(frozen=True)
class Ending:
    """A lease that is to end."""

    left_ms: int
    is_idle: bool


@dataclass
class _Notice:
    """Since when a lease is to end."""

    since: float
    is_idle: bool
    told: float | None = None  # when the hub was told to stop the server


class Watch:
    """Looks again and again, once started. Nothing is remembered that the database or another look does not say."""

    def __init__(
        self,
        leases: Leases,
        servers: Servers,
        devices: Callable[[], Awaitable[Sequence[Device] | None]],
        record: Callable[..., object],
        *,
        idle_s: float,
        grace_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``devices`` says what is there, None where this machine has no say.

        A GPU counts as idle after ``idle_s`` seconds, 0 for never.
        """
        self._leases = leases
        self._servers = servers
        self._devices = devices
        self._record = record
        self._idle_s, self._grace_s = idle_s, grace_s
        self._clock = clock
        self._worked: dict[tuple[str, str], float] = {}  # by device and holder: when it was last seen at work
        self._notices: dict[str, _Notice] = {}  # by holder
        self._asked: float | None = None  # when the driver was asked last
        self._task: asyncio.Task[None] | None = None
        self.problem: str | None = None
        self.has_none = False  # no GPU is there, and none was before: nobody need look for leases

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run(), name="aidp-gpus")

    async def stop(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def ending(self, holder: str) -> Ending | None:
        """Return how long a server still has its GPU, None where no end is in sight."""
        notice = self._notices.get(holder)
        if notice is None:
            return None
        left = notice.since + self._grace_s - self._clock()
        return Ending(max(0, round(left * 1000)), notice.is_idle)

    async def end(self, lease: Lease, *, why: str, actor: str | None = None) -> None:
        """Stop the server of a lease; what it has is given back when it is gone. Raises Unavailable."""
        user, _, server = lease.holder.partition("/")
        if lease.is_held:
            with contextlib.suppress(NotFound, Conflict):  # it has ended, or ends already
                await self._servers.stop(user, server)
        else:
            await self._leases.leave(lease.holder)
        self._record("gpu.ended", actor or user, device=lease.device, server=lease.holder, why=why)

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except AidpError as error:
                log.warning("GPUs: %s", error.message)
            except Exception:
                log.exception("GPUs could not be looked at")
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Look once."""
        if self._asked is None or self._clock() - self._asked >= DEVICES_S:
            await self._look_at_devices()
        if self.has_none:
            return
        seen = await self._leases.look()
        if self._idle_s > 0 and seen.waits and seen.leases:  # each of them counts now
            await self._look_at_devices()
        held = [lease for lease in seen.leases if lease.is_held]
        running = await self._running({lease.user for lease in held})
        if held and running is not None:
            for lease in await self._leases.see(running):
                log.info("%s's server is gone: its GPU is free", lease.user)
        await self._end_some()

    async def _running(self, users: set[str]) -> set[str] | None:
        """Return the servers of these users that run, None where the hub does not say it of each."""
        found: set[str] = set()
        for user in users:
            names = await self._servers.running(user)
            if names is None:
                return None
            found |= {f"{user}/{name}" for name in names}
        return found

    async def _look_at_devices(self) -> None:
        self._asked = self._clock()
        try:
            devices = await self._devices()
        except AidpError as error:
            if self.problem is None:
                log.warning("GPUs: %s %s", error.message, error.next_step or "")
            self.problem = error.message
            self._worked.clear()  # nobody knows what happened meanwhile
            return
        self.problem = None
        self.has_none = not devices and not self._leases.is_begun
        if self.has_none or devices is None:
            return
        await self._leases.found({device.id: device.kind for device in devices})
        busy = {device.id: device.busy_percent for device in devices}
        now, worked = self._clock(), {}
        for lease in (await self._leases.look()).leases:
            key = (lease.device, lease.holder)
            # one that the driver does not measure counts as at work
            worked[key] = now if busy.get(lease.device) != 0 else self._worked.get(key, now)
        self._worked = worked

    def _idle(self) -> set[str]:
        if not self._idle_s:
            return set()
        now = self._clock()
        return {device for (device, _), since in self._worked.items() if now - since >= self._idle_s}

    async def _end_some(self) -> None:
        idle = self._idle()
        over = {lease.holder: lease for lease in await self._leases.to_end(idle)}
        for holder in self._notices.keys() - over.keys():
            del self._notices[holder]
        for holder, lease in over.items():
            notice = self._notices.setdefault(holder, _Notice(self._clock(), lease.device in idle))
            now = self._clock()
            is_due = now - notice.since >= self._grace_s
            if is_due and (notice.told is None or now - notice.told >= AGAIN_S):
                await self.end(lease, why="idle" if notice.is_idle else "over")
                notice.told = now
