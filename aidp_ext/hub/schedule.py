"""Who gets which GPU, and when: rules alone, without a clock, a database or a hub.

A server that wants a GPU gets one that is free, or waits. Those who have none yet come before those who have one, and
else whoever asked first. A turn that comes is an *offer*: it lapses where it is not taken within a while, so that
nobody who has gone home keeps the others waiting; who waits says so again and again, for the same reason. A lease lasts
for a time; when that is over, or its device does nothing, it goes on until somebody waits. Its server is to be stopped
then: a device is given on only when the server that has it is gone.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

#: Any device will do.
ANY = ""
#: What stands before a slice's profile in its kind: "NVIDIA A100-SXM4-40GB MIG 1g.5gb".
SLICE = " MIG "


def fits(wanted: str, kind: str) -> bool:
    """Return whether a device of a kind will do: any, one whose name has the words, or a slice whose profile has them.

    Who asks for an A100 gets a whole one; "mig" is any slice.
    """
    name, _, profile = kind.partition(SLICE)
    words = wanted.casefold()
    return wanted in (ANY, kind) or words in (profile or name).casefold() or (bool(profile) and words == "mig")


@dataclass(frozen=True)
class Rules:
    """How long things last, in milliseconds, and how many GPUs one person may have."""

    lease_ms: int = 8 * 3600 * 1000
    offer_ms: int = 5 * 60 * 1000
    #: How long somebody who waits may be silent. A browser lets a page that is not seen speak once a minute.
    silence_ms: int = 5 * 60 * 1000
    per_user: int = 1
    #: How many looks in a row a holder's server may be missing before its GPU is taken back.
    patience: int = 2


@dataclass(frozen=True)
class Lease:
    """A device that somebody has, or is offered."""

    device: str
    holder: str
    user: str
    is_held: bool  # else offered
    since_ms: int
    until_ms: int  # of an offer: when it lapses
    missed: int = 0


@dataclass(frozen=True)
class Wait:
    """A server that waits for a device."""

    holder: str
    user: str
    kind: str
    number: int
    since_ms: int
    seen_ms: int  # when it asked last


@dataclass(frozen=True)
class Place:
    """Where somebody stands on the waiting list, and when their turn comes at the latest that can be said."""

    position: int  # from 1
    turn_ms: int | None  # None: no device of this kind is there


@dataclass
class State:
    """All of it. ``devices`` are those that are there, with their kinds."""

    devices: dict[str, str] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)  # by device
    waits: dict[str, Wait] = field(default_factory=dict)  # by holder
    number: int = 0

    def lease_of(self, holder: str) -> Lease | None:
        """Return the lease of a holder."""
        return next((lease for lease in self.leases.values() if lease.holder == holder), None)


def ask(state: State, rules: Rules, holder: str, user: str, kind: str, now_ms: int) -> None:
    """Let a server have a device, or wait for one. Who asks again keeps their place, and what they have.

    What is offered is of the kind that was asked for: who wants another now lets go of it.
    """
    lease, wait = state.lease_of(holder), state.waits.get(holder)
    if lease is not None and not lease.is_held and not fits(kind, state.devices.get(lease.device, "")):
        del state.leases[lease.device]
        lease = None
    if wait is not None:
        state.waits[holder] = replace(wait, kind=kind, seen_ms=now_ms)
    elif lease is None:
        state.number += 1
        state.waits[holder] = Wait(holder, user, kind, state.number, now_ms, now_ms)
    advance(state, rules, now_ms)


def take(state: State, rules: Rules, holder: str, now_ms: int) -> Lease | None:
    """Turn an offer into a lease and return it; None where there is no offer any more."""
    advance(state, rules, now_ms)
    lease = state.lease_of(holder)
    if lease is not None and not lease.is_held:
        lease = replace(lease, is_held=True, since_ms=now_ms, until_ms=now_ms + rules.lease_ms)
        state.leases[lease.device] = lease
    return lease


def give_back(state: State, rules: Rules, holder: str, now_ms: int) -> None:
    """Let go of what a server has, is offered or waits for."""
    state.waits.pop(holder, None)
    lease = state.lease_of(holder)
    if lease is not None:
        del state.leases[lease.device]
    advance(state, rules, now_ms)


def extend(state: State, rules: Rules, holder: str, now_ms: int) -> Lease | None:
    """Return a lease that lasts anew from now; None where there is none, or where somebody waits for its device."""
    advance(state, rules, now_ms)
    lease = state.lease_of(holder)
    if lease is None or not lease.is_held or is_wanted(state, lease):
        return None
    state.leases[lease.device] = longer = replace(lease, until_ms=max(lease.until_ms, now_ms + rules.lease_ms))
    return longer


def see(state: State, rules: Rules, running: Iterable[str], now_ms: int) -> list[Lease]:
    """Compare the leases with the servers that run, and return those that are taken back.

    One that is missing once may just be starting, or the hub has not found it again yet. Those who wait do not run.
    """
    there, lost = set(running), []
    for lease in list(state.leases.values()):
        if not lease.is_held:
            continue
        missed = 0 if lease.holder in there else lease.missed + 1
        if missed >= rules.patience:
            del state.leases[lease.device]
            lost.append(lease)
        elif missed != lease.missed:
            state.leases[lease.device] = replace(lease, missed=missed)
    advance(state, rules, now_ms)
    return lost


def found(state: State, rules: Rules, devices: Mapping[str, str], now_ms: int) -> list[Lease]:
    """Take note of the devices that are there, and return the leases of those that are not any more."""
    lost = [lease for device, lease in state.leases.items() if device not in devices]
    for lease in lost:
        del state.leases[lease.device]
    state.devices = dict(devices)
    advance(state, rules, now_ms)
    return lost


def advance(state: State, rules: Rules, now_ms: int) -> None:
    """Let offers go that have lapsed and those who wait no more, and offer what is free to whoever is next."""
    for lease in list(state.leases.values()):
        if not lease.is_held and now_ms >= lease.until_ms:
            del state.leases[lease.device]
    for wait in list(state.waits.values()):
        if now_ms - wait.seen_ms >= rules.silence_ms:
            del state.waits[wait.holder]
    for wait in _in_order(state):
        if _held_by(state, wait.user) >= rules.per_user:
            continue
        device = _free(state, wait.kind)
        if device is None:
            continue
        del state.waits[wait.holder]
        state.leases[device] = Lease(device, wait.holder, wait.user, False, now_ms, now_ms + rules.offer_ms)


def to_end(state: State, rules: Rules, now_ms: int, idle: Collection[str] = ()) -> list[Lease]:
    """Return the leases whose servers are to be stopped: those that are over for which somebody waits.

    One counts as over too whose device is ``idle``. As many as are waited for and no more, the one that is over for
    longest first: nobody loses one for nothing.
    """
    over = sorted(
        (one for one in state.leases.values() if one.is_held and (now_ms >= one.until_ms or one.device in idle)),
        key=lambda lease: (lease.until_ms, lease.device),
    )
    chosen: list[Lease] = []
    for wait in _in_order(state):
        if _held_by(state, wait.user) >= rules.per_user:
            continue
        fitting = (one for one in over if fits(wait.kind, state.devices.get(one.device, "")) and one not in chosen)
        if (lease := next(fitting, None)) is not None:
            chosen.append(lease)
    return chosen


def places(state: State, rules: Rules, now_ms: int) -> dict[str, Place]:
    """Return where everybody stands who waits, and when their turn comes if all before them keep theirs to the end."""
    ends: dict[str, list[int]] = {}
    for device, kind in state.devices.items():
        lease = state.leases.get(device)
        end = now_ms if lease is None else max(now_ms, lease.until_ms + (0 if lease.is_held else rules.lease_ms))
        ends.setdefault(kind, []).append(end)
    for heap in ends.values():
        heapq.heapify(heap)
    said = {}
    for position, wait in enumerate(_in_order(state), start=1):
        fitting = [heap for kind, heap in ends.items() if fits(wait.kind, kind)]
        if not fitting:
            said[wait.holder] = Place(position, None)
            continue
        heap = min(fitting, key=lambda heap: heap[0])
        turn = heapq.heapreplace(heap, heap[0] + rules.lease_ms)
        said[wait.holder] = Place(position, turn)
    return said


def is_wanted(state: State, lease: Lease) -> bool:
    """Return whether somebody waits for the device of a lease."""
    kind = state.devices.get(lease.device, "")
    return any(fits(wait.kind, kind) for wait in state.waits.values())


def _in_order(state: State) -> list[Wait]:
    return sorted(state.waits.values(), key=lambda wait: (_held_by(state, wait.user), wait.number))


def _held_by(state: State, user: str) -> int:
    return sum(lease.user == user for lease in state.leases.values())


def _free(state: State, kind: str) -> str | None:
    fitting = (device for device, its in state.devices.items() if fits(kind, its) and device not in state.leases)
    return min(fitting, default=None)
