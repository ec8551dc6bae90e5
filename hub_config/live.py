"""Live editing: whoever may open a server edits its notebooks together with its owner, and each sees the other.

jupyter-collaboration switches itself on in every Lab that finds it. So it lies in a folder of its own, which only the
servers find that this hub tells of it: ``live`` in the hub's own environment, and one in the images of users'
containers. Variables lead a server there; what it starts does not get them (aidp_ext/live.py).
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traitlets.config import Config

from aidp_ext import live
from hub_config.given import SettingsError, called

LIVE_EDITING = "AIDP_LIVE_EDITING"

PACKAGES = Path(__file__).with_name("live.txt")
"""What belongs into such a folder, in the versions that were tried with Lab and aidp."""

IN_IMAGE = "/opt/aidp-live"
"""Where it is in the images of users' containers, whose ``start-lab`` sets the variables."""

LABEL = "org.aidp.live"
"""How an image says that it has it, and where."""

STORE = ".jupyter_ystore.db"
"""The file with the history of each document, in the user's home, where their server starts. A server that has lost it
would take what a browser still holds for new, and every cell would be there twice."""

_SIGN = "etc/jupyter/jupyter_server_config.d/jupyter_collaboration.json"


@dataclass(frozen=True)
class LiveSettings:
    """Whether users' servers have live editing."""

    is_on: bool = True

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> LiveSettings:
        """The settings in ``env``, or SettingsError."""
        value = env.get(LIVE_EDITING, "on").lower()
        if value not in ("on", "off"):
            raise SettingsError(f"{called(LIVE_EDITING)} is {value[:20]!r}; it takes on or off.")
        return cls(value == "on")


@dataclass(frozen=True)
class Absent:
    """Why there is no live editing although it is on, and what to do."""

    found: str
    next_step: str

    @property
    def line(self) -> str:
        """Both in a line."""
        return f"no live editing: {self.found}. {self.next_step}"


def folder() -> Path:
    """Where it is on this machine, or would be."""
    return Path(sys.prefix) / "live"


def absent_here() -> Absent | None:
    """Why servers that are processes of this machine lack it; None where none does."""
    if (folder() / _SIGN).is_file():
        return None
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(folder()), "-r", str(PACKAGES)]
    step = f"Put it there ({shlex.join(install)}), or set {LIVE_EDITING}=off."
    return Absent(f"jupyter-collaboration is not in {folder()}", step)


def absent_in(images: Iterable[tuple[str, Mapping[str, Any]]]) -> Absent | None:
    """Why servers in some of these images, of which the engine knows this, lack it; None where none does."""
    lacking = [name for name, known in images if not ((known.get("Config") or {}).get("Labels") or {}).get(LABEL)]
    if not lacking:
        return None
    return Absent(
        f"{', '.join(lacking)} {'has' if len(lacking) == 1 else 'have'} no {IN_IMAGE}",
        f"Build on aidp's images of this release, or set {LIVE_EDITING}=off.",
    )


def apply(c: Config, settings: LiveSettings, *, in_containers: bool) -> None:
    """Tell users' servers where live editing is, in addition to what the spawner is configured with already.

    Where it is not on this machine they go on without.
    """
    if not settings.is_on:
        return
    if in_containers:
        c.Spawner.environment.update({live.FOLDER: IN_IMAGE})
    elif absent_here() is None:
        # a process would have the hub's own PYTHONPATH, which this replaces
        current = {"PYTHONPATH": os.environ.get("PYTHONPATH", ""), **c.Spawner.environment}
        c.Spawner.environment.update(live.variables(folder(), current))
