"""What `aidp hub check` looks at in the container engine: from outside, and from inside a container like a user's."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

from docker.types import DeviceRequest

from aidp_ext.commands.hub_check import Line, Mark, live_editing
from aidp_ext.commands.hub_engine import engine_of, images
from aidp_ext.core.errors import AidpError
from hub_config import gpu, live, network
from hub_config.engine import PROBE, Engine, EngineFault, find_reach
from hub_config.settings import Settings

METADATA = "169.254.169.254:80"
#: What listens on these is never meant for users: the engine over TCP.
ENGINE_PORTS = (2375, 2376)
_VERSION = "from importlib.metadata import version; print(version('jupyterhub'))"


def check(settings: Settings, *, is_running: bool) -> Iterator[Line]:
    """Look at the engine, the images, the network and what can be reached from it. Never raises AidpError."""
    try:
        with engine_of(settings) as engine:
            yield Line("engine", "ok", f"Docker {engine.version()}")
            for image in images(settings):
                engine.image(image)
                yield Line("image", "ok", image)
            absent = live.absent_in((image, engine.image(image)) for image in images(settings))
            yield live_editing(settings, absent)
            yield from _network(engine, settings, is_running=is_running)
            yield from _volumes(settings)
    except AidpError as fault:
        yield Line(_thing(fault), "fail", fault.message, fault.next_step or "")


def _thing(fault: AidpError) -> str:
    return fault.code.removeprefix("no_").split("_")[0]


def _network(engine: Engine, settings: Settings, *, is_running: bool) -> Iterator[Line]:
    """The network as the hub's start leaves it: made, guarded, tried; one that was made for this is removed again."""
    was_there = engine.network() is not None
    address = engine.ensure_network()
    try:
        yield Line("network", "ok", f"{engine.settings.network}, the host is {address} in it")
        if not is_running:
            find_reach(address, network.reach_file(settings))
        yield _versions(engine.run(_VERSION), settings)
        if settings.containers.egress == "open":
            yield from guarded(engine)
        yield from _reached(engine, address)
        yield from _gpu_runtime(engine, settings)
    finally:
        if not was_there:
            engine.remove_network()


def guarded(engine: Engine) -> Iterator[Line]:
    """Add the guard as the hub's start does; a line where that cannot be."""
    try:
        engine.guard()
    except EngineFault as fault:
        mark: Mark = "fail" if engine.settings.metadata == "guarded" else "warn"
        yield Line("guard", mark, fault.message, fault.next_step or "")


def _versions(said: str, settings: Settings) -> Line:
    from importlib.metadata import version

    ours, theirs = version("jupyterhub"), said.strip()
    if ours.split(".")[:2] != theirs.split(".")[:2]:
        step = "Build the image again from the release that the hub is of."
        return Line("version", "warn", f"{settings.containers.image} has JupyterHub {theirs}, the hub {ours}", step)
    return Line("version", "ok", f"JupyterHub {theirs}, as the hub's")


def _reached(engine: Engine, address: str) -> Iterator[Line]:
    """What a user's container reaches: the hub, and not its neighbour, the engine or a cloud's metadata."""
    with engine.started(PROBE.read_text(), ("listen",)) as neighbour, socket.create_server((address, 0)) as hub:
        next_door = f"{engine.address_of(neighbour)}:8888"
        ours = f"{address}:{hub.getsockname()[1]}"
        ports = [f"{address}:{port}" for port in ENGINE_PORTS]
        found = json.loads(engine.run(PROBE.read_text(), (next_door, METADATA, ours, *ports)))
    if found[next_door] == "open":
        step = "Load Linux's br_netfilter (`modprobe br_netfilter`): without it a bridge passes everything on."
        yield Line("isolation", "fail", "a container reaches another user's", step)
    else:
        yield Line("isolation", "ok", "a container reaches no other")
    if found[METADATA] == "open":
        step = (
            f"Refuse it on the host: ip rule add iif {engine.bridge} to 169.254.0.0/16 prohibit; or AIDP_EGRESS=none."
        )
        yield Line("metadata", "fail", "a container reaches a cloud's metadata address", step)
    else:
        yield Line("metadata", "ok", f"{METADATA.split(':')[0]} cannot be reached from containers")
    if any(found[port] == "open" for port in ports):
        step = "Let Docker listen on its socket only, or on an address that containers do not reach."
        yield Line("engine", "fail", "a container reaches the engine over TCP", step)
    if found[ours] != "open":
        step = f"Let what comes in on {engine.bridge} through this machine's firewall."
        yield Line("hub", "fail", f"a container does not reach this machine at {address}", step)
    else:
        yield Line("hub", "ok", "a container reaches it")


def _gpu_runtime(engine: Engine, settings: Settings) -> Iterator[Line]:
    devices = gpu.devices(settings.gpu)
    if not devices:
        return
    request = DeviceRequest(driver="nvidia", device_ids=[devices[0].id], capabilities=[["gpu"]])
    try:
        engine.run("pass", host={"device_requests": [request]})
    except EngineFault as fault:
        yield Line("GPU runtime", "fail", fault.message, fault.next_step or "")
    else:
        yield Line("GPU runtime", "ok", "gives out GPUs")


def _volumes(settings: Settings) -> Iterator[Line]:
    for group, project in settings.containers.projects.items():
        if project.is_folder and not Path(project.source).is_dir():
            step = "Make it, and let users' containers (user 1000, group 100) read or write it."
            yield Line("projects", "fail", f"{project.source}, which {group} shares, is no folder", step)
        else:
            yield Line("projects", "ok", f"{group}: {project.source}{' (read only)' if project.read_only else ''}")
