"""What the hub itself runs or knows: the service that holds the organisation's keys, and who reads its metrics."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.services.service import Service
from jupyterhub.utils import subdomain_hook_idna
from traitlets.config import Config

from hub_config import idle
from hub_config.network import reach_of
from hub_config.settings import Settings

SERVICE_ACCESS = "access:services!service=aidp"

METRICS_SERVICE = "aidp-metrics"
"""Prometheus, as the hub knows it by its token."""


TEMPLATES = Path(__file__).parent / "templates"
"""Pages of the hub's that are changed a little; each extends JupyterHub's own."""


def apply(c: Config, settings: Settings) -> None:
    """Run ``aidp_ext.hubservice`` behind the proxy at ``/services/aidp/``, or lead there to where it runs already."""
    # JupyterHub would write a service's environment, and with it every key, into its database
    Service.class_traits()["environment"].tag(in_db=False)
    c.JupyterHub.template_paths = [str(TEMPLATES)]
    c.JupyterHub.template_vars = {"aidp_admin_page": f"{page(settings)}aidp/hub/admin"}
    c.JupyterHub.services = [
        {
            "name": "aidp",
            "oauth_no_confirm": True,  # it is a part of the hub, not a third party
            # What a page of its in a browser may do for whoever is signed in: no more than their own server may.
            # The admin's page needs more; the service itself lets no other page have that (hubservice.py).
            "oauth_client_allowed_scopes": [SERVICE_ACCESS, "custom:aidp:execute", "custom:aidp:admin"],
            "display": False,  # its own address shows nothing; the admin's page has a link of its own
            **(_process(settings) if settings.gateway is None else _elsewhere(settings)),
        }
    ]
    if settings.metrics_token:
        c.JupyterHub.services.append({"name": METRICS_SERVICE, "api_token": settings.metrics_token})
    idle.apply(c, settings.idle)


def page(settings: Settings) -> str:
    """Where browsers find the service: a path, or a whole address where it has a domain of its own."""
    if not settings.user_domains:
        return "/services/aidp/"
    hub = urlsplit(settings.public_url)
    domain = subdomain_hook_idna("aidp", hub.hostname, "service")
    return f"{hub.scheme}://{domain}{f':{hub.port}' if hub.port else ''}/services/aidp/"


def _process(settings: Settings) -> dict[str, Any]:
    """The service as one process of the hub's own."""
    reach = reach_of(settings)
    return {
        "command": [sys.executable, "-P", "-m", "aidp_ext.hubservice"],
        "url": f"http://{reach.address}:{reach.service}",
        "environment": {**settings.service_environment, "AIDP_STATE_DIR": str(settings.state_dir)},
    }


def _elsewhere(settings: Settings) -> dict[str, Any]:
    """The service as somebody else runs it: as many processes as there are behind the address."""
    assert settings.gateway is not None
    return {"url": settings.gateway.url, "api_token": settings.gateway.token}
