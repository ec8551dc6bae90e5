"""Prometheus metrics of the hub: its servers, its GPUs and who waits for one.

They are what the hub and the database say when Prometheus asks, the same from each process of the service. Labels have
few values: profiles and kinds of GPUs, never users or devices.
"""

from __future__ import annotations

from collections import Counter

from prometheus_client import Gauge

from aidp_ext.core.errors import AidpError
from aidp_ext.hub.leases import Leases, Overview
from aidp_ext.hub.roster import Roster

SERVERS = Gauge("aidp_hub_servers", "Users' servers that are not stopped", ("profile", "state"))
REACHABLE = Gauge("aidp_hub_reachable", "Whether a part answered when it was asked last: 1 or 0", ("part",))
DEVICES = Gauge(
    "aidp_gpu_devices", "GPUs by state: free, offered, held, or over (held beyond its lease)", ("kind", "state")
)
WAITING = Gauge("aidp_gpu_waiting", "Servers that wait for a GPU; the kind is empty where any will do", ("kind",))
LONGEST_WAIT = Gauge("aidp_gpu_longest_wait_seconds", "How long the one has waited who has waited longest")

#: Kinds of GPUs that are told apart; a machine has one or two.
_MOST_KINDS = 20


class HubMetrics:
    """Brings the metrics up to date. A part that cannot be reached has none, rather than old ones."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster

    async def refresh(self, leases: Leases | None) -> None:
        """Ask the hub, half a minute ago at the most, and the leases, None where there are none. Raises nothing."""
        try:
            servers = await self._roster.count()
            REACHABLE.labels("hub").set(1)
        except AidpError:
            servers = {}
            REACHABLE.labels("hub").set(0)
        SERVERS.clear()
        for labels, number in servers.items():
            SERVERS.labels(*labels).set(number)
        if leases is None:
            return
        try:
            look = await leases.look()
            REACHABLE.labels("leases").set(1)
        except AidpError:
            look = None
            REACHABLE.labels("leases").set(0)
        _show(look)


def _show(look: Overview | None) -> None:
    DEVICES.clear()
    WAITING.clear()
    if look is None:
        LONGEST_WAIT.set(float("nan"))
        return
    known = dict.fromkeys(sorted(set(look.devices.values()))[:_MOST_KINDS])
    leases = {lease.device: lease for lease in look.leases}
    devices: Counter[tuple[str, str]] = Counter()
    for device, kind in look.devices.items():
        lease = leases.get(device)
        if lease is None:
            state = "free"
        elif not lease.is_held:
            state = "offered"
        else:
            state = "over" if lease.until_ms < look.now_ms else "held"
        devices[kind if kind in known else "other", state] += 1
    for labels, number in devices.items():
        DEVICES.labels(*labels).set(number)
    waiting = Counter(wait.kind if wait.kind in known or not wait.kind else "other" for wait in look.waits)
    for kind, number in waiting.items():
        WAITING.labels(kind).set(number)
    LONGEST_WAIT.set(max((look.now_ms - wait.since_ms for wait in look.waits), default=0) / 1000)
