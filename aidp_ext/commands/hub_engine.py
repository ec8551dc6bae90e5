"""How users' servers run on this machine, decided and made ready before the hub starts: what `aidp hub` does first."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hub_config import gpu, live, network
from hub_config.engine import Engine, EngineFault, find_reach
from hub_config.given import is_loopback
from hub_config.profiles import offered
from hub_config.settings import Settings


@dataclass(frozen=True)
class Ready:
    """The settings with the kind of servers decided, and what the terminal says of it."""

    settings: Settings
    note: str = ""


def make_ready(settings: Settings) -> Ready:
    """Choose containers or processes, and prepare the engine for the former.

    Raises EngineFault where containers are asked for, or other machines can reach the hub, and there can be none.
    """
    if settings.containers.spawner == "local":
        return Ready(settings)
    if absent := why_none(settings):
        if settings.containers.spawner == "docker":
            raise absent
        if not is_loopback(settings.host):
            absent.message += " A hub that other machines can reach runs its users' servers in containers only."
            raise absent
        return Ready(as_spawner(settings, "local"), f"no containers: {absent.message}")
    return Ready(as_spawner(settings, "docker"), prepare(settings))


def why_none(settings: Settings) -> EngineFault | None:
    """Why this machine has no containers for users: no engine, or no image; None where it has."""
    try:
        with engine_of(settings) as engine:
            engine.image(settings.containers.image)
    except EngineFault as fault:
        return fault
    return None


def as_spawner(settings: Settings, kind: str) -> Settings:
    """The same settings with the kind of servers decided."""
    return replace(settings, containers=replace(settings.containers, spawner=kind))


def prepare(settings: Settings) -> str:
    """Make ready what containers need; return what is amiss but no reason not to start. Raises EngineFault."""
    with engine_of(settings) as engine:
        for image in images(settings):
            engine.image(image)
        address = engine.ensure_network()
        reach = find_reach(address, network.reach_file(settings))
        reach.write(network.reach_file(settings))
        for project in settings.containers.projects.values():
            if project.is_folder and not Path(project.source).is_dir():
                raise EngineFault(
                    "project_missing",
                    f"{project.source}, which AIDP_PROJECT_VOLUMES names, is no folder.",
                    "Make it, and let users' containers (user 1000, group 100) read or write it.",
                )
        engine.ensure_projects()
        notes = [ensure_guard(engine), end_strays(engine, network.database(settings))]
    return "; ".join(filter(None, notes))


def ensure_guard(engine: Engine) -> str:
    """Keep containers from metadata addresses; what the terminal says where that need not be, and is not.

    Raises EngineFault where it has to be and cannot.
    """
    if engine.settings.egress == "none":
        return ""
    try:
        engine.guard()
    except EngineFault as fault:
        if engine.settings.metadata == "guarded":
            raise
        return f"containers may reach a cloud's metadata address: {fault.message}"
    return ""


def end_strays(engine: Engine, records: Path) -> str:
    """End containers that belong to no server that the hub knows: a stop has failed. What the terminal says of it.

    Those of a user whom these records do not know are left: another hub's may have the same prefix by mistake.
    """
    if not records.is_file():
        return ""
    with closing(sqlite3.connect(records)) as database:
        try:
            users = {name for (name,) in database.execute("SELECT name FROM users")}
            rows = database.execute(
                "SELECT users.name, json_extract(spawners.state, '$.object_id') FROM spawners"
                " JOIN users ON users.id = spawners.user_id WHERE spawners.server_id IS NOT NULL"
            ).fetchall()
        except sqlite3.Error:  # records of an older release, which the hub brings up to date when it starts
            return ""
    known = {container for _, container in rows}
    starting = {user for user, container in rows if not container}  # the hub was killed, and looks for it by its name
    ended = engine.end_servers(lambda container, user: container not in known and user in users - starting)
    return f"ended {ended} container{'' if ended == 1 else 's'} whose server had been stopped" if ended else ""


def without_live(settings: Settings) -> str:
    """What the terminal says where live editing is on and users' servers have none; empty where all is well."""
    if not settings.live.is_on:
        return ""
    if settings.containers.spawner != "docker":
        absent = live.absent_here()
    else:
        with engine_of(settings) as engine:
            absent = live.absent_in((image, engine.image(image)) for image in images(settings))
    return absent.line if absent else ""


def images(settings: Settings) -> list[str]:
    """The images of the profiles that can be chosen on this machine, each once; the plain one first."""
    can_be_had = offered(settings.profiles, gpus=bool(gpu.devices(settings.gpu)))
    named = [settings.containers.image, *(settings.containers.image_of(profile) for profile in can_be_had)]
    return list(dict.fromkeys(named))


@contextmanager
def engine_of(settings: Settings) -> Iterator[Engine]:
    """The engine while the block runs; raises EngineFault where none answers."""
    engine = Engine(settings.containers)
    try:
        yield engine
    finally:
        engine.close()


def left_running(settings: Settings) -> str:
    """What the terminal says of the servers that go on without the hub; empty where there are none."""
    try:
        with engine_of(settings) as engine:
            left = engine.servers()
    except EngineFault:
        return ""
    if not left:
        return ""
    them = "it" if len(left) == 1 else "them"
    whose = "1 user's server goes on" if len(left) == 1 else f"{len(left)} users' servers go on"
    return f"{whose}; the next start finds {them}. To end {them}: docker rm -f {' '.join(left)}"
