"""What the hub itself runs: the one service that holds the organisation's keys."""

from __future__ import annotations

import sys

from jupyterhub.services.service import Service
from traitlets.config import Config

from hub_config.settings import Settings


def apply(c: Config, settings: Settings) -> None:
    """Run ``aidp_ext.hubservice`` behind the proxy at ``/services/aidp/``."""
    # JupyterHub would write a service's environment, and with it every key, into its database
    Service.class_traits()["environment"].tag(in_db=False)
    c.JupyterHub.services = [
        {
            "name": "aidp",
            "command": [sys.executable, "-P", "-m", "aidp_ext.hubservice"],
            "url": f"http://127.0.0.1:{settings.ports.service}",
            "environment": {**settings.service_environment, "AIDP_STATE_DIR": str(settings.state_dir)},
            "oauth_no_confirm": True,  # it is a part of the hub, not a third party
        }
    ]
