"""The page that starts a server: a card for each profile, with what is free now, and the line for a GPU.

The page fetches itself every few seconds and shows what has changed; without scripts it reloads as a whole. Each time
keeps its reader's place in line, so that whoever closes it waits no more after a while.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape
from jupyterhub.spawner import SpawnException
from markupsafe import Markup
from traitlets.config import Config

from aidp_ext.core.errors import AidpError
from aidp_ext.hub.gpus import GpuSaid, GpusSaid
from aidp_ext.hub.schedule import ANY, fits
from hub_config.gpu_words import in_line, used
from hub_config.profiles import Profile, spoken

TEMPLATES = Path(__file__).parent / "templates"
#: Seconds until the page looks again: while somebody waits, and else.
WAITING_S, LOOKING_S = 5, 20


@dataclass(frozen=True)
class Card:
    """A profile as the page shows it."""

    profile: Profile
    memory: str
    cpus: str
    gpu: str  # the kind, empty for none
    state: Markup  # what is free
    is_free: bool
    is_chosen: bool


@dataclass(frozen=True)
class Page:
    """Everything that the page says."""

    cards: tuple[Card, ...]
    line: Markup  # where its reader stands, empty where they do not wait
    is_offered: bool  # a GPU is kept for them
    offered_for: str  # the profile that takes it
    without: str  # a profile without a GPU, empty where there is none
    again_s: int  # 0: nothing changes


def apply(c: Config, profiles: Sequence[Profile]) -> None:
    """Let people choose where there is a choice, and tell them on JupyterHub's pages why a server did not start."""
    if len(profiles) > 1:
        c.Spawner.options_form = form(profiles)
    # JupyterHub shows the text of an exception under this name, and has none for its own (6.1)
    SpawnException.jupyterhub_message = property(lambda error: error.message)


def form(profiles: Sequence[Profile]) -> Callable[[Any], Awaitable[str]]:
    """Return what JupyterHub calls for its form: a function of a spawner that gives the cards in HTML."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=select_autoescape(default=True))
    template = environment.get_template("profiles.html")

    async def render(spawner: Any) -> str:
        last = (spawner.orm_spawner.user_options or {}).get("profile") if spawner.orm_spawner else None
        return template.render(page=page_of(profiles, last, await _look(spawner)))

    return render


async def _look(spawner: Any) -> GpusSaid | None:
    """Return the GPUs, None where there are none or nobody can say: the page is good for the other profiles then."""
    pool = getattr(spawner, "pool", None)
    if pool is None:
        return None
    try:
        found: GpusSaid = await pool().look(spawner.user.name, spawner.name)
    except AidpError as error:
        spawner.log.warning("leases: %s", error.message)
        return None
    return found


def page_of(profiles: Sequence[Profile], last: object, now: GpusSaid | None) -> Page:
    """Return the page; ``last`` is the profile that was chosen last, ``now`` the GPUs."""
    chosen = next((each for each in profiles if each.name == last), profiles[0])
    lease = now.lease if now is not None else None
    is_offered = lease is not None
    waits = now is not None and now.place is not None
    with_gpu = [chosen, *profiles] if chosen.gpu else list(profiles)
    changes = any(profile.gpu for profile in profiles) and now is not None
    return Page(
        cards=tuple(_card(profile, profile is chosen, now) for profile in profiles),
        line=in_line(now) if now is not None else Markup(),
        is_offered=is_offered,
        offered_for=next((each.name for each in with_gpu if each.gpu), "") if is_offered else "",
        without=next((each.name for each in profiles if not each.gpu), ""),
        again_s=0 if not changes else WAITING_S if waits or is_offered else LOOKING_S,
    )


def _card(profile: Profile, is_chosen: bool, now: GpusSaid | None) -> Card:
    memory, cpus = f"{spoken(profile.memory)} memory", f"{profile.cpus:g} CPU{'' if profile.cpus == 1 else 's'}"
    if not profile.gpu:
        return Card(profile, memory, cpus, "", Markup(), True, is_chosen)
    if now is None:
        return Card(profile, memory, cpus, "GPU", Markup("Not known at present"), False, is_chosen)
    kind = profile.gpu if isinstance(profile.gpu, str) else ANY
    fitting = [gpu for gpu in now.gpus if fits(kind, gpu.kind)]
    mine = now.lease is not None and fits(kind, now.lease.kind)
    is_free = mine or any(gpu.is_free for gpu in fitting)
    state = Markup("Kept for you") if mine else used(fitting, now.now_ms)
    return Card(profile, memory, cpus, _kinds(fitting), state, is_free, is_chosen)


def _kinds(gpus: Sequence[GpuSaid]) -> str:
    names = sorted({gpu.kind for gpu in gpus})
    return "GPU" if not names or len(names) > 2 else " or ".join(names)
