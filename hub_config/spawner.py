"""How a user's server runs: in a container, or as a process on this machine. Chosen here and nowhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from traitlets.config import Config

from hub_config import gpu, live, network, spawn_page
from hub_config.containers import Containers, create_options, host_options
from hub_config.given import is_loopback
from hub_config.gpu import LeasedGpu
from hub_config.local import Processes, prepare_home
from hub_config.profiles import choice_of, offered, options_from_form, refuse_early
from hub_config.roles import CACHE_MAX_AGE_S
from hub_config.settings import Settings

#: Seconds that a server has to start, and then to answer: Lab takes 20 s on a small, busy machine.
START_S = 120


class AidpContainers(LeasedGpu, Containers):
    """A container for each server, with a leased GPU where the profile asks for one."""


class AidpProcesses(LeasedGpu, Processes):
    """A process for each server, which sees a GPU only where it has leased it."""


def apply(c: Config, settings: Settings) -> None:
    """Lab in a container or in a process, as the settings say; what the user may choose is the same."""
    c.Spawner.default_url = "/lab"
    c.Spawner.args = [f"--HubOAuth.cache_max_age={CACHE_MAX_AGE_S}"]
    c.Spawner.environment = {**settings.user_environment, "AIDP_SERVICE_URL": network.service_url(settings)}
    c.Spawner.start_timeout = START_S
    c.Spawner.http_timeout = START_S
    c.Spawner.options_from_form = options_from_form
    choices = offered(settings.profiles, gpus=bool(gpu.devices(settings.gpu)))
    c.Spawner.apply_user_options = choice_of(choices)
    refuse_early(choices)
    spawn_page.apply(c, choices)
    if settings.containers.spawner == "docker":
        _containers(c, settings)
    else:
        _processes(c, settings)
    live.apply(c, settings.live, in_containers=settings.containers.spawner == "docker")


def _containers(c: Config, settings: Settings) -> None:
    """A container per server; the image's own command starts it."""
    c.JupyterHub.spawner_class = AidpContainers
    c.Spawner.environment = _reachable(c.Spawner.environment)
    c.Containers.settings = settings.containers
    c.DockerSpawner.network_name = settings.containers.network
    c.DockerSpawner.use_internal_ip = True
    c.DockerSpawner.pull_policy = "never"  # a pull takes minutes: the admin's to do, and `aidp hub check` says so
    c.DockerSpawner.remove = True
    c.DockerSpawner.prefix = settings.containers.prefix
    # two dashes: an escaped name has a letter or a digit after each, so no two servers share a name
    c.DockerSpawner.name_template = "{prefix}-{username}--{servername}"
    c.DockerSpawner.extra_create_kwargs = create_options
    c.DockerSpawner.extra_host_config = host_options


def _reachable(told: Mapping[str, str]) -> dict[str, str]:
    """Without addresses on loopback: in a container that is the container, and the gateway leads there."""
    return {name: value for name, value in told.items() if not is_loopback(urlsplit(value).hostname or "")}


def _processes(c: Config, settings: Settings) -> None:
    """A local process per user, in a home of its own below the state folder, that opens Lab."""
    homes = str(settings.state_dir / "homes").replace("{", "{{").replace("}", "}}")
    c.JupyterHub.spawner_class = AidpProcesses
    c.SimpleLocalProcessSpawner.home_dir_template = homes + "/{username}"
    c.Spawner.pre_spawn_hook = prepare_home
    # -P: a file of the user's that is named like a module of Python's must not be taken for it
    c.Spawner.cmd = [sys.executable, "-P", "-m", "jupyterhub.singleuser"]
    c.Spawner.args = [*c.Spawner.args, *(["--allow-root"] if os.geteuid() == 0 else [])]
    c.LocalProcessSpawner.interrupt_timeout = 10
    c.LocalProcessSpawner.term_timeout = 5
