"""The container engine, as the hub makes it ready before it starts: the network, its guard, volumes, and what is there.

Everything here waits for the engine and is for the command, not for the hub's loop.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import LogConfig

from aidp_ext.core.errors import AidpError
from hub_config.container_settings import HUB_LABEL, USER, USER_LABEL, ContainerSettings
from hub_config.network import Reach

GUARD = Path(__file__).with_name("guard.py")
PROBE = Path(__file__).with_name("probe.py")
#: Seconds that the engine has for one answer; a start on a busy machine takes a few.
PATIENCE_S = 60
_BRIDGE, _ICC = "com.docker.network.bridge.name", "com.docker.network.bridge.enable_icc"


class EngineFault(AidpError):
    """What has to be put right before containers can run; ``code`` says what, ``next_step`` how."""

    def __init__(self, code: str, message: str, next_step: str) -> None:
        super().__init__(message, next_step=next_step)
        self.code = code


class Engine:
    """The engine that DOCKER_HOST names, or this machine's own. Every method raises EngineFault."""

    def __init__(self, settings: ContainerSettings) -> None:
        self.settings = settings
        try:
            _knock()
            self.api = docker.APIClient(version=_common_version(), timeout=PATIENCE_S, **docker.utils.kwargs_from_env())
        except (OSError, DockerException, requests.exceptions.RequestException) as error:
            raise _no_engine(error) from error

    def close(self) -> None:
        """Let go of the connection."""
        self.api.close()

    def version(self) -> str:
        """Return the engine's version."""
        with translated():
            return str(self.api.version()["Version"])

    def image(self, name: str) -> Mapping[str, Any]:
        """Return what the engine knows of an image."""
        try:
            with translated():
                found: Mapping[str, Any] = self.api.inspect_image(name)
                return found
        except ImageNotFound as error:
            raise EngineFault(
                "image_missing",
                f"The image {name} is not on this machine.",
                f"Build it from a checkout (docs: Run a hub for a team), or `docker pull {name}`.",
            ) from error

    # the network

    @property
    def bridge(self) -> str:
        """The name of the network's interface: known before it is there, and short enough for Linux."""
        return "aidp-" + hashlib.sha256(self.settings.network.encode()).hexdigest()[:8]

    def network(self) -> Mapping[str, Any] | None:
        """Return what the engine knows of the users' network, None where it is missing."""
        try:
            with translated():
                found: Mapping[str, Any] = self.api.inspect_network(self.settings.network)
                return found
        except NotFound:
            return None

    def ensure_network(self) -> str:
        """Make the users' network where it is missing or is another; return the host's address in it."""
        found = self.network()
        if found is not None and (wrong := self.wrong_with(found)):
            if found["Containers"] or found["Labels"].get(HUB_LABEL) is None:
                raise EngineFault(
                    "network_differs",
                    f"The network {self.settings.network} {wrong}.",
                    "Stop the containers in it and remove it (`docker network rm`), or name another in"
                    " AIDP_DOCKER_NETWORK; the hub makes one that is right.",
                )
            with translated():
                self.api.remove_network(self.settings.network)
            found = None
        if found is None:
            with translated():
                self.api.create_network(
                    self.settings.network,
                    driver="bridge",
                    internal=self.settings.egress == "none",
                    options={_BRIDGE: self.bridge, _ICC: "false"},
                    labels={HUB_LABEL: self.settings.prefix},
                    check_duplicate=True,
                )
            found = self.network()
            if found is not None and (wrong := self.wrong_with(found)):
                raise EngineFault(
                    "network_differs",
                    f"The engine makes networks such that {self.settings.network} {wrong}.",
                    "Look at `default-network-opts` and `ipv6` in the engine's daemon.json.",
                )
        return gateway_of(found or {})

    def remove_network(self) -> None:
        """Remove the users' network, with its guard, unless somebody uses it."""
        with suppress(APIError):
            self.api.remove_network(self.settings.network)
            self.guard("remove")

    def wrong_with(self, network: Mapping[str, Any]) -> str:
        """Say what a network lacks for users to be kept apart in it; empty where nothing."""
        if network["Driver"] != "bridge":
            return f"is of the kind {network['Driver']}, not a bridge"
        if network["Options"].get(_ICC) != "false":
            return "lets containers reach one another"
        if network["Internal"] != (self.settings.egress == "none"):
            return "leads to the internet, but AIDP_EGRESS is none" if not network["Internal"] else "leads nowhere"
        if network.get("EnableIPv6"):
            return "has IPv6, for which nothing keeps users from a cloud's metadata addresses"
        return ""

    def guard(self, what: str = "add") -> int:
        """Refuse metadata addresses to the users' network (``remove``: no more); return how many rules that took.

        It takes the right to set the host's routing, which the engine can give where the hub itself has none.
        """
        host = {"network_mode": "host", "cap_add": ["NET_ADMIN"]}
        try:
            return int(self.run(GUARD.read_text(), (what, self.bridge), user="0", host=host))
        except EngineFault as fault:
            if fault.code not in ("probe_failed", "engine_refused"):
                raise
            raise EngineFault(
                "metadata_unguarded",
                f"Users' containers cannot be kept from a cloud's metadata addresses: {fault.message}",
                "Where this machine is in no cloud, or they are refused otherwise: AIDP_METADATA=unguarded. Else"
                " AIDP_EGRESS=none.",
            ) from fault

    # containers

    def run(self, program: str, words: tuple[str, ...] = (), *, user: str = USER, host: Mapping[str, Any] = {}) -> str:
        """Run a program in Python in a container of its own, with no more rights than a user's; return what it says."""
        with self.started(program, words, user=user, host=host) as container:
            with translated():
                status = self.api.wait(container, timeout=PATIENCE_S)["StatusCode"]
                said = self.api.logs(container).decode(errors="replace").strip()
            if status:
                raise EngineFault(
                    "probe_failed", f"A test container ended with {status}: {said[-300:]}", "See Docker's log."
                )
            return str(said)

    @contextmanager
    def started(
        self,
        program: str,
        words: tuple[str, ...] = (),
        *,
        user: str = USER,
        host: Mapping[str, Any] = {},
    ) -> Iterator[str]:
        """A container that runs a program in Python while the block runs, by its id."""
        options = {
            "network_mode": self.settings.network,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "read_only": True,
            "pids_limit": 64,
            "mem_limit": 256 * 1024**2,
            "log_config": LogConfig(type="json-file", config={"max-size": "1m"}),
            **host,
        }
        container = ""
        try:
            with translated():
                container = self.api.create_container(
                    self.settings.image,
                    ["python3", "-I", "-c", program, *words],
                    entrypoint="",
                    user=user,
                    labels={HUB_LABEL: self.settings.prefix + "-probe"},
                    host_config=self.api.create_host_config(**options),
                )["Id"]
                self.api.start(container)
            yield container
        finally:
            if container:
                with suppress(APIError):
                    self.api.remove_container(container, force=True, v=True)

    def address_of(self, container: str) -> str:
        """Return a container's address in the users' network."""
        with translated():
            return str(
                self.api.inspect_container(container)["NetworkSettings"]["Networks"][self.settings.network]["IPAddress"]
            )

    def servers(self) -> list[str]:
        """Return the names of the users' containers that run."""
        with translated():
            found = self.api.containers(filters={"label": f"{HUB_LABEL}={self.settings.prefix}"})
        return sorted(each["Names"][0].lstrip("/") for each in found)

    def end_servers(self, is_meant: Callable[[str, str], bool] = lambda container, user: True) -> int:
        """End and remove users' containers of this hub, all or those that are meant; how many. Their volumes stay.

        ``is_meant`` is asked with a container's id and its user's name.
        """
        ended = 0
        with translated():
            for each in self.api.containers(all=True, filters={"label": f"{HUB_LABEL}={self.settings.prefix}"}):
                if is_meant(each["Id"], (each.get("Labels") or {}).get(USER_LABEL, "")):
                    with suppress(NotFound):
                        self.api.remove_container(each["Id"], force=True, v=True)
                    ended += 1
        return ended

    def runtimes(self) -> set[str]:
        """Return the names of the runtimes that the engine has."""
        with translated():
            return set(self.api.info().get("Runtimes") or {})

    # volumes

    def ensure_projects(self) -> None:
        """Make the volumes of projects that are missing, so that users may write to them.

        A new volume takes its owner from the folder of the image that it is first mounted on: no process has to run.
        """
        for project in self.settings.projects.values():
            if project.is_folder:
                continue
            with suppress(NotFound), translated():
                self.api.inspect_volume(project.source)
                continue
            with translated():
                self.api.create_volume(project.source, labels={HUB_LABEL: self.settings.prefix})
                bind = {project.source: {"bind": "/srv/project", "mode": "rw"}}
                container = self.api.create_container(
                    self.settings.image,
                    ["true"],
                    volumes=["/srv/project"],
                    host_config=self.api.create_host_config(binds=bind),
                )["Id"]
                self.api.remove_container(container)


def _knock() -> None:
    """Raise OSError where nobody listens at the engine's socket: docker-py would leave one of its own open."""
    where = urlsplit(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
    if where.scheme == "unix":
        with closing(socket.socket(socket.AF_UNIX)) as probe:
            probe.settimeout(PATIENCE_S)
            probe.connect(where.path)


def _common_version() -> str:
    """The newest version of the API that both sides know, asked by a client that is closed whatever the answer."""
    ours = str(docker.constants.DEFAULT_DOCKER_API_VERSION)
    with closing(docker.APIClient(version=ours, timeout=PATIENCE_S, **docker.utils.kwargs_from_env())) as asking:
        theirs = str(asking.version(api_version=False)["ApiVersion"])
    return min(ours, theirs, key=lambda version: [int(part) for part in version.split(".")])


@contextmanager
def translated() -> Iterator[None]:
    """What the engine says is raised as EngineFault; what is missing, as docker-py says it."""
    try:
        yield
    except (ImageNotFound, NotFound):
        raise
    except APIError as error:
        said = str(error.explanation or error).strip()
        if "could not select device driver" in said or "nvidia" in said.lower():
            raise no_gpu_runtime(said) from error
        if "no space left on device" in said:
            step = "Free some: `docker system df` shows what takes it."
            raise EngineFault("disk_full", "The engine's disk is full.", step) from error
        raise EngineFault("engine_refused", f"The engine refused: {said[:300]}", "See Docker's log.") from error
    except (DockerException, requests.exceptions.RequestException) as error:
        raise _no_engine(error) from error


def no_gpu_runtime(said: str) -> EngineFault:
    """The fault of an engine that cannot give out GPUs."""
    return EngineFault(
        "no_gpu_runtime",
        f"The engine cannot give out GPUs ({said[:120]}).",
        "Install NVIDIA's container toolkit, then `nvidia-ctk runtime configure` and restart Docker; or AIDP_GPU=off.",
    )


def _no_engine(error: Exception) -> EngineFault:
    where = os.environ.get("DOCKER_HOST") or "/var/run/docker.sock"
    if "Permission denied" in str(error):
        return EngineFault(
            "engine_not_allowed",
            f"This account may not use the container engine at {where}.",
            "Add it to the group docker (which makes it as powerful as root), or run a rootless Docker.",
        )
    return EngineFault(
        "no_engine",
        f"No container engine answers at {where}.",
        "Start Docker or install it; AIDP_SPAWNER=local runs servers as processes, for one person's machine.",
    )


def gateway_of(network: Mapping[str, Any]) -> str:
    """The host's own address in a network; raises EngineFault where it has none."""
    for part in (network.get("IPAM") or {}).get("Config") or []:
        if gateway := part.get("Gateway"):
            return str(gateway).split("/")[0]
    raise EngineFault(
        "network_differs", "The users' network has no gateway.", "Remove it (`docker network rm`), and start again."
    )


def find_reach(address: str, path: Path) -> Reach:
    """Where the hub and its service listen for containers: as kept, else on ports that are free now.

    Raises EngineFault where the address is not this machine's, or a port that servers know is taken.
    """
    kept = Reach.read(path)
    if kept is not None and kept.address == address:
        for port in (kept.hub, kept.service):
            with closing(socket.socket()) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                _bind(probe, address, port)
        return kept
    with closing(socket.socket()) as first, closing(socket.socket()) as second:
        _bind(first, address, 0)
        _bind(second, address, 0)
        return Reach(address, first.getsockname()[1], second.getsockname()[1])


def _bind(probe: socket.socket, address: str, port: int) -> None:
    try:
        probe.bind((address, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise EngineFault(
                "port_in_use",
                f"Another program listens on {address}:{port}, where users' servers look for the hub.",
                "Stop it. Where that cannot be, end all servers and remove containers.json from the state folder.",
            ) from error
        raise EngineFault(
            "no_bridge",
            f"This machine does not have the address {address} of the users' network.",
            "The hub has to run where the engine does, on Linux; in a container, with --network host.",
        ) from error
