"""The admin's overview as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypedDict

from aidp_ext.hub.admin import HubOverview, Limit
from aidp_ext.hub.leases import Overview
from aidp_ext.hub.record import Record


class ServerSaid(TypedDict):
    """A server that runs, starts or stops; ``name`` is empty for a user's usual one."""

    name: str
    state: str
    profile: str
    started: str | None
    last_activity: str | None


class UserSaid(TypedDict):
    """A user, with their servers that are not stopped."""

    name: str
    servers: list[ServerSaid]


class UsersSaid(TypedDict):
    """Those who were asked for, out of ``total``."""

    total: int
    offset: int
    users: list[UserSaid]


class DeviceSaid(TypedDict):
    """A GPU; ``state`` is ``free``, ``offered``, ``held`` or ``over``, which is held longer than its lease."""

    id: str
    kind: str
    state: str
    user: str | None
    server: str | None
    since: datetime | None
    until: datetime | None


class WaitSaid(TypedDict):
    """A server that waits for a GPU; ``turn`` is when it gets one at the latest, as far as can be said."""

    position: int
    user: str
    server: str
    kind: str
    since: datetime
    turn: datetime | None


class GpusSaid(TypedDict):
    """The GPUs, and who waits for one, in the order of their turns."""

    devices: list[DeviceSaid]
    waiting: list[WaitSaid]


class LimitSaid(TypedDict):
    """A budget, and what of it is spent."""

    period: str
    limit_usd: float
    spent_usd: float
    state: str


class SpenderSaid(TypedDict):
    """What a user's calls to models add up to this month."""

    name: str
    calls: int
    tokens: int
    cost_usd: float
    budgets: list[LimitSaid]


class SpendSaid(TypedDict):
    """This month's calls, the dearest users first; ``more`` users are left out."""

    since: datetime
    calls: int
    cost_usd: float
    budgets: list[LimitSaid]
    users: list[SpenderSaid]
    more: int


class EventSaid(TypedDict):
    """A line of the audit record, in short."""

    seq: int
    at: str
    event: str
    actor: str


class AuditSaid(TypedDict):
    """The audit record: ``whole``, ``broken``, ``empty``, or ``unchecked`` where it is too large for a page."""

    state: str
    records: int | None
    size_bytes: int
    problem: str | None
    latest: list[EventSaid]


class ProblemSaid(TypedDict):
    """A part that is missing, and why."""

    part: str
    code: str
    message: str
    next_step: str | None


class OverviewSaid(TypedDict):
    """Everything that could be found. A part is null where ``problems`` names it; GPUs too where none are lent."""

    at: datetime
    running: int | None
    users: UsersSaid | None
    gpus: GpusSaid | None
    spend: SpendSaid | None
    audit: AuditSaid | None
    problems: list[ProblemSaid]


def overview(found: HubOverview, offset: int) -> OverviewSaid:
    """Return the whole."""
    users = found.users
    return {
        "at": found.at,
        "running": found.running,
        "users": None
        if users is None
        else {
            "total": users.total,
            "offset": offset,
            "users": [
                {
                    "name": person.name,
                    "servers": [
                        {
                            "name": server.name,
                            "state": server.state,
                            "profile": server.profile,
                            "started": server.started,
                            "last_activity": server.last_activity,
                        }
                        for server in person.servers.values()
                    ],
                }
                for person in users.items
            ],
        },
        "gpus": None if found.gpus is None else gpus(found.gpus, found.at),
        "spend": _spend(found),
        "audit": None if found.audit is None else _audit(found.audit),
        "problems": [
            {
                "part": one.part,
                "code": one.error.code,
                "message": one.error.message,
                "next_step": one.error.next_step,
            }
            for one in found.problems
        ],
    }


def gpus(look: Overview, at: datetime) -> GpusSaid:
    """Return the GPUs, the busy ones first, and those who wait by their turn."""
    held = {lease.device: lease for lease in look.leases}
    devices: list[DeviceSaid] = []
    for device, kind in look.devices.items():
        lease = held.get(device)
        until = _moment(lease.until_ms) if lease is not None else None
        devices.append(
            {
                "id": device,
                "kind": kind,
                "state": _state(lease is not None, lease is not None and lease.is_held, until, at),
                "user": lease.user if lease is not None else None,
                "server": _server(lease.holder) if lease is not None else None,
                "since": _moment(lease.since_ms) if lease is not None else None,
                "until": until,
            }
        )
    waiting: list[WaitSaid] = []
    for wait in look.waits:
        place = look.places.get(wait.holder)
        turn = place.turn_ms if place is not None else None
        waiting.append(
            {
                "position": place.position if place is not None else 0,
                "user": wait.user,
                "server": _server(wait.holder),
                "kind": wait.kind,
                "since": _moment(wait.since_ms),
                "turn": _moment(turn) if turn is not None else None,
            }
        )
    devices.sort(key=lambda one: (one["state"] == "free", one["kind"], one["id"]))
    waiting.sort(key=lambda one: one["position"])
    return {"devices": devices, "waiting": waiting}


def _state(is_leased: bool, is_held: bool, until: datetime | None, at: datetime) -> str:
    if not is_leased:
        return "free"
    if not is_held:
        return "offered"
    return "over" if until is not None and until < at else "held"


def _server(holder: str) -> str:
    """Return the server's name: a holder is ``user/server``."""
    return holder.partition("/")[2]


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _spend(found: HubOverview) -> SpendSaid | None:
    spend = found.spend
    if spend is None:
        return None
    return {
        "since": spend.since,
        "calls": spend.calls,
        "cost_usd": spend.cost_usd,
        "budgets": _limits(spend.budgets),
        "users": [
            {
                "name": one.name,
                "calls": one.calls,
                "tokens": one.tokens,
                "cost_usd": one.cost_usd,
                "budgets": _limits(one.budgets),
            }
            for one in spend.users
        ],
        "more": spend.more,
    }


def _limits(limits: tuple[Limit, ...]) -> list[LimitSaid]:
    return [
        {"period": one.period, "limit_usd": one.limit_usd, "spent_usd": one.spent_usd, "state": one.state}
        for one in limits
    ]


def _audit(record: Record) -> AuditSaid:
    return {
        "state": record.state,
        "records": record.records,
        "size_bytes": record.size_bytes,
        "problem": record.problem,
        "latest": [{"seq": one.seq, "at": one.at, "event": one.event, "actor": one.actor} for one in record.latest],
    }
