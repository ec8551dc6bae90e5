"""What people are told of a hub's GPUs and may ask for: a turn, a longer lease, an end of both."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from aidp_ext.core.errors import Conflict, Forbidden, NotFound
from aidp_ext.hub.leases import Leases, Overview
from aidp_ext.hub.schedule import ANY, fits
from aidp_ext.hub.watch import Watch

#: Of one person's servers, how many may wait at a time.
MOST_WAITS = 5


class GpuSaid(Struct, frozen=True):
    """A GPU, or a slice of one."""

    kind: str
    is_free: bool
    user: str | None = None  # who has it, or is offered it
    until_ms: int | None = None


class LeaseSaid(Struct, frozen=True):
    """What the server has, or is offered."""

    kind: str
    is_held: bool  # else offered: it is taken by starting the server with a GPU
    since_ms: int
    until_ms: int  # of an offer: when it lapses
    is_wanted: bool  # somebody waits for it
    ends_ms: int | None = None  # when the server is stopped, where that is settled
    is_idle: bool = False  # because the GPU does nothing


class PlaceSaid(Struct, frozen=True):
    """Where the server stands on the waiting list."""

    position: int
    turn_ms: int | None  # at the latest; None: no GPU of this kind is there


class GpusSaid(Struct, frozen=True):
    """All of it, for one server."""

    is_on: bool
    now_ms: int = 0  # by the hub's clock, as all other times
    gpus: list[GpuSaid] = []
    waiting: int = 0
    lease: LeaseSaid | None = None
    place: PlaceSaid | None = None
    problem: str | None = None  # where the driver does not say which GPUs there are

    @property
    def free(self) -> int:
        """How many are free."""
        return sum(gpu.is_free for gpu in self.gpus)


class Gpus(Protocol):
    """Whom the endpoints ask: the leases themselves, or in a user's server the hub's service."""

    async def look(self, user: str, server: str) -> GpusSaid:
        """Return what there is, and keep the server's place where it waits."""
        ...

    async def wait(self, user: str, server: str, kind: str) -> GpusSaid:
        """Put a server on the waiting list, or make it an offer."""
        ...

    async def leave(self, user: str, server: str) -> GpusSaid:
        """Take a server off the waiting list, and decline what it is offered."""
        ...

    async def extend(self, user: str, server: str) -> GpusSaid:
        """Let the server's lease last anew from now."""
        ...


class TeamGpus:
    """The leases of a hub, as its people see them."""

    def __init__(self, leases: Leases, watch: Watch) -> None:
        self._leases = leases
        self._watch = watch

    async def look(self, user: str, server: str) -> GpusSaid:
        """Return what there is. Whoever looks still waits."""
        if self._watch.has_none:
            return GpusSaid(is_on=False, problem=self._watch.problem)
        holder = holder_of(user, server)
        seen = await self._leases.look()
        waits = next((wait for wait in seen.waits if wait.holder == holder), None)
        if waits is not None:
            await self._leases.ask(holder, user, waits.kind)
        return said(seen, holder, self._watch)

    async def wait(self, user: str, server: str, kind: str = ANY) -> GpusSaid:
        """Let a server wait. Raises Conflict where too many of the user's do, or none of that kind is there."""
        holder = _of_a_person(user, server)
        if self._watch.has_none:
            raise Conflict("This hub has no GPU.")
        seen = await self._leases.look()
        if not any(fits(kind, its) for its in seen.devices.values()):
            raise Conflict("There is no such GPU on this hub.", next_step="Ask for any.")
        if sum(wait.user == user and wait.holder != holder for wait in seen.waits) >= MOST_WAITS:
            raise Conflict(f"{MOST_WAITS} of your servers wait already.", next_step="Let one of them leave the line.")
        await self._leases.ask(holder, user, kind)
        return said(await self._leases.look(), holder, self._watch)

    async def leave(self, user: str, server: str) -> GpusSaid:
        """Take a server off the waiting list. Raises Conflict where it has its GPU already."""
        holder = _of_a_person(user, server)
        await self._leases.leave(holder)
        return said(await self._leases.look(), holder, self._watch)

    async def extend(self, user: str, server: str) -> GpusSaid:
        """Let a lease last anew from now. Raises Conflict where somebody waits, NotFound where there is none."""
        holder = _of_a_person(user, server)
        await self._leases.extend(holder)
        return said(await self._leases.look(), holder, self._watch)

    async def release(self, admin: str, user: str, server: str) -> None:
        """Stop the server that has a GPU, for an admin. Raises NotFound where it has none."""
        holder = holder_of(user, server)
        lease = next((one for one in (await self._leases.look()).leases if one.holder == holder), None)
        if lease is None:
            raise NotFound(f"{user}'s server has no GPU.")
        await self._watch.end(lease, why="admin", actor=admin)


def holder_of(user: str, server: str) -> str:
    """Return what a server is called in the leases."""
    return f"{user}/{server}"


def _of_a_person(user: str, server: str) -> str:
    if user.startswith("service:"):
        raise Forbidden("Only people's servers get GPUs.")
    return holder_of(user, server)


def said(seen: Overview, holder: str, watch: Watch | None = None) -> GpusSaid:
    """Return an overview as one server's owner sees it; ``watch`` knows which leases are about to end."""
    leases = {lease.device: lease for lease in seen.leases}
    gpus = []
    for device, kind in sorted(seen.devices.items()):
        lease = leases.get(device)
        if lease is None:
            gpus.append(GpuSaid(kind, True))
        else:
            gpus.append(GpuSaid(kind, False, lease.user, lease.until_ms if lease.is_held else None))
    place = seen.places.get(holder)
    return GpusSaid(
        is_on=bool(seen.devices),
        now_ms=seen.now_ms,
        gpus=gpus,
        waiting=len(seen.waits),
        lease=_lease(seen, holder, watch),
        place=PlaceSaid(place.position, place.turn_ms) if place else None,
        problem=watch.problem if watch is not None else None,
    )


def _lease(seen: Overview, holder: str, watch: Watch | None) -> LeaseSaid | None:
    mine = next((lease for lease in seen.leases if lease.holder == holder), None)
    if mine is None:
        return None
    ending = watch.ending(holder) if watch is not None else None
    return LeaseSaid(
        kind=seen.devices.get(mine.device, ""),
        is_held=mine.is_held,
        since_ms=mine.since_ms,
        until_ms=mine.until_ms,
        is_wanted=seen.is_wanted(mine),
        ends_ms=None if ending is None else seen.now_ms + ending.left_ms,
        is_idle=ending is not None and ending.is_idle,
    )
