"""How much memory this server may have, and how often the system ended one of its processes for want of it.

Linux says so in the server's control group, https://docs.kernel.org/admin-guide/cgroup-v2.html#memory and
https://docs.kernel.org/admin-guide/cgroup-v1/memory.html, which a container sees as the root of a file system.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

GROUP = Path("/sys/fs/cgroup")
#: What version 1 says where there is no limit: the most pages that there can be.
_UNLIMITED = 1 << 60


class MemorySaid(Struct, frozen=True):
    """What the server may use, and what it lost."""

    limit: int | None  # in bytes; None where there is none, or the system does not say
    ended: int  # how many processes the system has ended for want of memory since the server started


def look(group: Path = GROUP) -> MemorySaid:
    """Return how things stand. Without a control group of its own, as on a laptop, there is no limit."""
    if (group / "memory.max").is_file():
        limit, events = "memory.max", "memory.events"
    else:
        group, limit, events = group / "memory", "memory.limit_in_bytes", "memory.oom_control"
    most = _number(_read(group / limit))
    return MemorySaid(
        limit=most if most is not None and most < _UNLIMITED else None,
        ended=_ended(_read(group / events)),
    )


def _ended(events: str) -> int:
    found = dict(line.split(maxsplit=1) for line in events.splitlines() if len(line.split()) == 2)
    return _number(found.get("oom_kill", "")) or 0


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() else None  # "max"


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
