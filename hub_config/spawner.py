"""How a user's server runs: today as a process on this machine, chosen here and nowhere else."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from jupyterhub.spawner import SpawnException
from traitlets.config import Config

from hub_config.roles import CACHE_MAX_AGE_S
from hub_config.settings import Settings

EXAMPLES = Path(__file__).resolve().parents[1] / "aidp_ext" / "examples"


def apply(c: Config, settings: Settings) -> None:
    """A local process per user, in a home of its own below the state folder, that opens Lab."""
    homes = str(settings.state_dir / "homes").replace("{", "{{").replace("}", "}}")
    c.JupyterHub.spawner_class = "simple"
    c.SimpleLocalProcessSpawner.home_dir_template = homes + "/{username}"
    c.Spawner.pre_spawn_hook = prepare_home
    # -P: a file of the user's that is named like a module of Python's must not be taken for it
    c.Spawner.cmd = [sys.executable, "-P", "-m", "jupyterhub.singleuser"]
    c.Spawner.args = [f"--HubOAuth.cache_max_age={CACHE_MAX_AGE_S}", *(["--allow-root"] if os.geteuid() == 0 else [])]
    c.Spawner.default_url = "/lab"
    c.Spawner.environment = {**settings.user_environment, "AIDP_SERVICE_URL": settings.service_url}
    # Lab takes 20 s to start on a small, busy machine; stopping a kernel takes a few
    c.Spawner.start_timeout = 120
    c.Spawner.http_timeout = 120
    c.LocalProcessSpawner.interrupt_timeout = 10
    c.LocalProcessSpawner.term_timeout = 5


def prepare_home(spawner: Any) -> None:
    """Make the user's home with the examples in it, before their first start.

    Raises SpawnException, whose text the user sees.
    """
    try:
        make_home(Path(spawner.home_dir), EXAMPLES)
    except OSError as error:
        raise SpawnException(
            f"Your home folder could not be made: {error.strerror or error}. Ask whoever runs this hub to look "
            "at the folder where it keeps its state.",
            reason="home-not-writable",
            log_message=f"home {spawner.home_dir}: {error}",
            status_code=500,
        ) from error


def make_home(home: Path, examples: Path) -> None:
    """Make ``home``, complete or not at all, unless it is there; raises OSError."""
    if home.is_dir():
        return
    fresh = home.with_name(f".{home.name}.new")  # no user name starts with a dot
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700, parents=True)
    shutil.copytree(examples, fresh / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    fresh.rename(home)
