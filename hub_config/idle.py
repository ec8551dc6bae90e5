"""When a server that nobody uses is stopped: how soon, by whom, and what counts as use.

``jupyterhub-idle-culler`` asks the hub when each server was last active, which the server itself reports
(``aidp_ext/busy.py``: a kernel or a job that works is activity, however silent), and stops it after a while.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from traitlets.config import Config

from hub_config.given import SettingsError

IDLE = "AIDP_IDLE_MINUTES"
CULLER = "aidp-idle-culler"
"""The service that stops idle servers, as the hub knows it."""

CULLER_SCOPES = ("list:users", "read:servers", "delete:servers")

_USUAL_MINUTES = 120.0
"""Longer than a meal or a meeting, and short enough that what is left open in the evening is gone at night."""
_LEAST_MINUTES, _MOST_MINUTES = 0.1, 60 * 24 * 30
_REPORT_S = 300
"""How often a server reports at the least; JupyterHub's own default."""


@dataclass(frozen=True)
class IdleSettings:
    """After how many minutes without use a server is stopped; 0 is never."""

    minutes: float = _USUAL_MINUTES

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> IdleSettings:
        """The settings in ``env``, or SettingsError."""
        text = env.get(IDLE)
        if text is None:
            return cls()
        try:
            minutes = float(text)
        except ValueError:
            minutes = math.nan
        if minutes == 0 or _LEAST_MINUTES <= minutes <= _MOST_MINUTES:
            return cls(minutes)
        raise SettingsError(
            f"{IDLE} is {text[:20]!r}; it takes the minutes after which an idle server is stopped, a number from"
            f" {_LEAST_MINUTES:g} to {_MOST_MINUTES}, or 0 for never."
        )

    @property
    def is_on(self) -> bool:
        """Whether idle servers are stopped at all."""
        return self.minutes > 0

    @property
    def seconds(self) -> int:
        """After how many seconds a server is idle."""
        return math.ceil(self.minutes * 60)

    @property
    def report_s(self) -> int:
        """How often a server reports when it was last used: often enough that no report comes too late."""
        return max(1, min(_REPORT_S, self.seconds // 4))


def apply(c: Config, idle: IdleSettings) -> None:
    """Run what stops idle servers, and let servers report in time and end idle kernels by themselves.

    It adds to what the spawner and the services are configured with already.
    """
    if not idle.is_on:
        return
    every = idle.report_s
    c.JupyterHub.services.append(
        {
            "name": CULLER,
            "command": [
                sys.executable,
                "-P",
                "-m",
                "jupyterhub_idle_culler",
                f"--timeout={idle.seconds}",
                f"--cull-every={every}",
                "--api-page-size=200",
                "--config=",  # else it takes a file of the folder that the hub was started in
            ],
        }
    )
    c.Spawner.environment.update({"JUPYTERHUB_ACTIVITY_INTERVAL": str(every)})
    # Kernels that are busy, or that somebody is connected to, stay: these are Jupyter's defaults, said here since a
    # lost kernel is lost work.
    c.Spawner.args.extend(
        [
            f"--MappingKernelManager.cull_idle_timeout={idle.seconds}",
            f"--MappingKernelManager.cull_interval={every}",
            "--MappingKernelManager.cull_busy=False",
            "--MappingKernelManager.cull_connected=False",
        ]
    )
