"""Each user's server in a container: a root that cannot be written, no rights, limits, one volume as home."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import requests
from docker.errors import APIError, DockerException, NotFound
from docker.types import DeviceRequest, LogConfig
from dockerspawner import DockerSpawner
from jupyterhub.spawner import SpawnException
from traitlets import Instance

from hub_config import failures
from hub_config.container_settings import HOME, HUB_LABEL, USER, USER_LABEL, folder_of
from hub_config.container_settings import ContainerSettings as ContainerSettings
from hub_config.profiles import Profile

#: Calls to the engine at a time: a container that takes long to stop must not hold up everybody.
WORKERS = 8
#: What is left of a start's time to say why it took so long, before JupyterHub itself gives up.
MARGIN_S = 5.0
#: Seconds that the engine has to finish a removal that it says is under way.
REMOVAL_S = 30.0


class Containers(DockerSpawner):
    """DockerSpawner, hardened, that says in plain words why a server could not start or has ended."""

    settings = Instance(ContainerSettings, (), help="How containers are run.").tag(config=True)
    #: What the user has chosen; hub_config.profiles sets it before each start.
    profile: Profile | None = None
    #: The GPU that the user holds, by its id, set before each start.
    gpu: str | None = None
    #: Why the last server ended by itself, for the user; empty where it did not.
    ended: str = ""

    _executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="engine")

    async def start(self) -> tuple[str, int]:
        """Start the container and wait until the server in it listens; returns where.

        Raises SpawnException, whose text the user sees.
        """
        self.ended = ""
        if self.profile is None:
            raise SpawnException("No profile was chosen.", reason="unknown-profile")
        self.image = self.settings.image_of(self.profile)
        self.mem_limit, self.cpu_limit = self.profile.memory, self.profile.cpus
        self.volumes, self.read_only_volumes = self._volumes()
        try:
            async with asyncio.timeout(max(1.0, self.start_timeout - MARGIN_S)):
                ip, port = await super().start()
                await self._until_listening(ip, port)
        except Exception as error:
            raise failures.explain(error, self) from error
        return ip, port

    async def _until_listening(self, ip: str, port: int) -> None:
        """Return once the server takes connections; raises SpawnException where its container ends before."""
        while True:
            found = await self.docker("inspect_container", self.object_id)
            if not found["State"]["Running"]:
                log = await self.docker("logs", self.object_id, tail=20)
                raise failures.ended_at_start(found, log.decode(errors="replace"), self)
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    _, writer = await asyncio.open_connection(ip, port)
                writer.close()
                return
            await asyncio.sleep(0.2)

    async def get_object(self) -> dict[str, Any] | None:
        """What the engine knows of the container; None where it is gone, and only then.

        One of that name that is not this hub's is somebody else's: it is neither asked nor removed. Raises what
        docker-py raises where the engine does not say; DockerSpawner takes an error 500 for a container that is gone.
        """
        try:
            found: dict[str, Any] = await self.docker("inspect_container", self.object_name)
        except NotFound:
            self.object_id = ""
            return None
        labels = found["Config"].get("Labels") or {}
        if found["Id"] != self.object_id and labels.get(HUB_LABEL) != self.settings.prefix:
            self.object_id = ""
            return None
        self.object_id = found["Id"]
        return found

    async def remove_object(self) -> None:
        """Remove the container, even one that runs; return once it is gone. Raises APIError.

        DockerSpawner removes only what has stopped, and takes the refusal for a removal that is under way: the name
        would stay taken, and no start would succeed any more.
        """
        end = time.monotonic() + REMOVAL_S
        while True:
            try:
                await self.docker("remove_container", self.object_id, v=True, force=True)
            except NotFound:
                return
            except APIError as error:
                if error.status_code != 409 or time.monotonic() > end:  # 409: another removal is under way
                    raise
                await asyncio.sleep(0.2)
            else:
                return

    async def stop_object(self) -> None:
        """Ask the server to end; whatever comes of that, the removal ends it."""
        try:
            await super().stop_object()
        except Exception as error:
            self.log.warning("%s does not stop (%s); it is removed by force", self.object_name, error)

    async def stop(self, now: bool = False) -> None:
        """Stop and remove the container, where one was made."""
        if self.object_id:
            await super().stop(now)

    async def poll(self) -> str | int | None:
        """None while the container runs; else how it ended, which is kept in ``ended`` for the user."""
        try:
            status: str | int | None = await super().poll()
        except Exception as error:
            # An engine that restarts or fails says nothing of the containers: they are no less there.
            self.log.warning("The engine does not say how %s is (%s); it is taken to run on", self.object_name, error)
            return None
        if isinstance(status, str) and not self._start_pending:
            await self._bury()
        return status

    async def _bury(self) -> None:
        """Keep why the container ended, and remove it."""
        with suppress(DockerException, requests.exceptions.RequestException):
            found = await self.docker("inspect_container", self.object_id)
            self.ended = failures.ended(found)
            self.log.warning("%s: %s", self.object_name, self.ended)
            await self.remove_object()

    def get_env(self) -> dict[str, str]:
        """What the server is told: nothing of the hub's own environment."""
        env: dict[str, str] = super().get_env()
        if not self.gpu:
            # an image made for GPUs asks for all of them by itself, where the engine's runtime is NVIDIA's
            env["NVIDIA_VISIBLE_DEVICES"] = "void"
        return env

    def _volumes(self) -> tuple[dict[str, str], dict[str, str]]:
        """The home, and what the user's groups share: to write, and to read only."""
        groups = {group.name for group in self.user.groups} | {"*"}
        mine: dict[str, str] = {f"{self.settings.prefix}-home-{{username}}": HOME}
        read_only: dict[str, str] = {}
        for group, project in self.settings.projects.items():
            if group in groups:
                (read_only if project.read_only else mine)[project.source] = f"{HOME}/projects/{folder_of(group)}"
        return mine, read_only


def create_options(spawner: Containers) -> dict[str, Any]:
    """Who runs in the container, whatever its image says, and whose it is."""
    return {"user": USER, "labels": {HUB_LABEL: spawner.settings.prefix, USER_LABEL: spawner.user.name}}


def host_options(spawner: Containers) -> dict[str, Any]:
    """What the container may: as little as JupyterLab and its kernels need."""
    assert spawner.profile is not None
    memory = spawner.profile.memory
    options: dict[str, Any] = {
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],  # seccomp and AppArmor stay as the engine has them
        "pids_limit": 1024,
        "memswap_limit": memory,  # no swap beyond it
        "shm_size": memory // 2,
        # programs are built in /tmp, so they may run from there
        "tmpfs": {"/tmp": f"rw,nosuid,nodev,exec,mode=1777,size={memory // 2}", "/run": "rw,nosuid,nodev,size=64m"},  # noqa: S108
        "init": True,
        "auto_remove": False,  # how it ended is looked at first
        "log_config": LogConfig(type="json-file", config={"max-size": "5m", "max-file": "2"}),
    }
    if spawner.gpu:
        options["device_requests"] = [
            DeviceRequest(driver="nvidia", device_ids=[spawner.gpu], capabilities=[["gpu"]]),
        ]
    return options
