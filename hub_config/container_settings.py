"""How users' servers run in containers: what the environment says of it, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hub_config.given import SettingsError, called, one_of
from hub_config.profiles import Profile

SPAWNER, IMAGE, GPU_IMAGE = "AIDP_SPAWNER", "AIDP_LAB_IMAGE", "AIDP_LAB_GPU_IMAGE"
NETWORK, PREFIX, EGRESS, PROJECTS = "AIDP_DOCKER_NETWORK", "AIDP_DOCKER_PREFIX", "AIDP_EGRESS", "AIDP_PROJECT_VOLUMES"
METADATA = "AIDP_METADATA"

HOME = "/home/jovyan"
USER = "1000:100"
#: How the engine's objects say which hub they belong to, and whose they are.
HUB_LABEL, USER_LABEL = "org.aidp.hub", "org.aidp.user"

_ENGINE_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,62}")
_IMAGE_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.:/@-]{0,254}")
_ENGINE_SOCKET = Path("/var/run/docker.sock")


@dataclass(frozen=True)
class Project:
    """What the members of a group share: a volume's name or a folder of the host's."""

    source: str
    read_only: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of the host's, which aidp leaves as it is."""
        return self.source.startswith("/")


@dataclass(frozen=True)
class ContainerSettings:
    """How users' servers run in containers, and whether they do."""

    spawner: str = "auto"
    image: str = "aidp-lab"
    gpu_image: str = "aidp-lab-gpu"
    network: str = "aidp-users"
    prefix: str = "aidp"
    """What the names of containers and volumes begin with: two hubs that share an engine need two of them."""
    egress: str = "open"
    metadata: str = "guarded"
    """Whether the hub starts only where containers can be kept from a cloud's metadata addresses."""
    projects: Mapping[str, Project] = field(default_factory=dict)
    """By the group's name; ``*`` is everybody."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> ContainerSettings:
        """The settings in ``env``; raises SettingsError, which names the variable and says what it takes."""
        prefix = _name(env, PREFIX, cls.prefix, _ENGINE_NAME)
        return cls(
            spawner=one_of(env, SPAWNER, ("auto", "docker", "local")),
            image=_name(env, IMAGE, cls.image, _IMAGE_NAME),
            gpu_image=_name(env, GPU_IMAGE, cls.gpu_image, _IMAGE_NAME),
            network=_name(env, NETWORK, cls.network, _ENGINE_NAME),
            prefix=prefix,
            egress=one_of(env, EGRESS, ("open", "none")),
            metadata=one_of(env, METADATA, ("guarded", "unguarded")),
            projects=_projects(env, prefix),
        )

    def image_of(self, profile: Profile) -> str:
        """The image that a profile runs in."""
        return profile.image or (self.gpu_image if profile.gpu else self.image)


def _name(env: Mapping[str, str], variable: str, default: str, form: re.Pattern[str]) -> str:
    value = env.get(variable, default)
    if not form.fullmatch(value):
        raise SettingsError(f"{called(variable)} is {value[:80]!r}, which the engine takes for no name.")
    return value


def _projects(env: Mapping[str, str], prefix: str) -> dict[str, Project]:
    """``group``, ``group=volume``, ``group=/folder`` or ``*=…``, each with ``:ro`` or without, between commas.

    Raises SettingsError, also where two groups would have one folder: one would see the other's.
    """
    found: dict[str, Project] = {}
    folders: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in env.get(PROJECTS, "").split(","))):
        group, _, source = entry.partition("=")
        read_only = source.endswith(":ro")
        source = source.removesuffix(":ro").removesuffix(":rw") or f"{prefix}-project-{folder_of(group)}"
        is_good = _is_shareable(Path(source)) if source.startswith("/") else _ENGINE_NAME.fullmatch(source)
        if not group or not is_good:
            raise SettingsError(
                f"{called(PROJECTS)} holds {entry[:80]!r}; it takes a group, or group=volume, or group=/folder (none"
                " with the engine's socket in it), each with :ro for reading only, between commas."
            )
        if (other := folders.setdefault(folder_of(group), group)) != group or group in found:
            raise SettingsError(
                f"{called(PROJECTS)}: {other[:80]!r} and {group[:80]!r} would share the folder"
                f" projects/{folder_of(group)[:80]}. Name each group once, and give one of them another name."
            )
        found[group] = Project(source, read_only)
    return found


def _is_shareable(folder: Path) -> bool:
    """Whether a folder of the host's may go into containers: not one that leads to the engine."""
    return not any(socket.is_relative_to(folder.resolve()) for socket in (_ENGINE_SOCKET, _ENGINE_SOCKET.resolve()))


def folder_of(group: str) -> str:
    """A group's name as a folder: ``acme:ml`` is ``acme-ml``, and ``*`` is ``shared``."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", group).strip("-.") or "shared"
