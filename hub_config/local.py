"""Each user's server as a process of the hub's own account: for one person's machine, with no wall between users."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

from jupyterhub.spawner import SimpleLocalProcessSpawner, SpawnException

from hub_config.profiles import Profile

EXAMPLES = Path(__file__).resolve().parents[1] / "aidp_ext" / "examples"


class Processes(SimpleLocalProcessSpawner):
    """JupyterHub's local processes, with a profile; limits are the operating system's affair."""

    #: What the user has chosen; hub_config.profiles sets it before each start.
    profile: Profile | None = None
    #: The GPU that the user holds, by its id, set before each start.
    gpu: str | None = None

    def get_env(self) -> dict[str, str]:
        """What the server is told: its GPU, or none where GPUs are leased."""
        env: dict[str, str] = super().get_env()
        if self.gpu or getattr(self, "leases_gpus", False):
            env["CUDA_VISIBLE_DEVICES"] = self.gpu or ""
        return env

    async def _signal(self, sig: int) -> bool:
        """Ask a server to end as it does in good order.

        SIGINT, with which JupyterHub begins, breaks a server off that has no terminal: nothing is saved, and it hangs.
        """
        sent: bool = await super()._signal(signal.SIGTERM if sig == signal.SIGINT else sig)
        return sent


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
