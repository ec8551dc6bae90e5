"""GPUs in plain words: who has them until when, and where somebody stands in line.

Times are ``<time>`` elements, which a page shows by the clock of whoever reads it; in plain text they are the hub's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from markupsafe import Markup

from aidp_ext.hub.gpus import GpuSaid, GpusSaid


def busy(now: GpusSaid, user: str) -> str:
    """Return why a server gets no GPU at present, who is before it, and when its turn comes, as text."""
    own = any(gpu.user == user for gpu in now.gpus)
    if own and any(gpu.is_free for gpu in now.gpus):
        why = "You have a GPU already, in another server of yours: stop that one first."
    else:
        why = f"{used(now.gpus, now.now_ms).striptags()}."
    return f"{why} {in_line(now).striptags()} Wait, or start without a GPU.".replace("  ", " ")


def used(gpus: Sequence[GpuSaid], now_ms: int) -> Markup:
    """Return how many are in use, by whom and until when, or that some are free."""
    total, taken = len(gpus), [gpu for gpu in gpus if not gpu.is_free]
    if not total:
        return Markup("No GPU is there at present")
    if len(taken) < total:
        return Markup("{} of {} free").format(total - len(taken), total)
    noun = "GPU" if total == 1 else "GPUs"
    first = min((gpu.until_ms for gpu in taken if gpu.until_ms is not None), default=None)
    until = _when(first, now_ms, Markup(" until ") if total == 1 else Markup(", the first until "))
    return Markup("{} of {} {} in use{}{}").format(total, total, noun, _by(taken), until)


def in_line(now: GpusSaid) -> Markup:
    """Return where the server stands, empty where it does not wait."""
    if now.place is None:
        return Markup()
    until = _when(now.place.turn_ms, now.now_ms, Markup("; your turn comes "))
    return Markup("You are {} in line{}.").format(ordinal(now.place.position), until)


def ordinal(number: int) -> str:
    """Return "1st", "2nd", …."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _by(taken: Sequence[GpuSaid]) -> Markup:
    names = sorted({gpu.user for gpu in taken if gpu.user})
    if not names or len(names) > 3:
        return Markup()
    if len(names) == 1:
        return Markup(" by {}").format(names[0])
    return Markup(" by {} and {}").format(", ".join(names[:-1]), names[-1])


def _when(time_ms: int | None, now_ms: int, before: Markup) -> Markup:
    """Return a time with ``before`` in front; nothing where it is unknown or over."""
    if time_ms is None or time_ms <= now_ms:
        return Markup()
    then, today = time.localtime(time_ms / 1000), time.localtime(now_ms / 1000)
    day = "" if then[:3] == today[:3] else time.strftime("%a ", then)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_ms / 1000))
    shown = f"{day}{time.strftime('%H:%M', then)}"
    return Markup('{}about <time datetime="{}">{}</time>').format(before, stamp, shown)
