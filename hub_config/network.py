"""Who listens where, and where the hub keeps what outlives it."""

from __future__ import annotations

import shutil
from pathlib import Path

from traitlets.config import Config

from hub_config.settings import SECRET_VARIABLES, Settings

PROXY = "configurable-http-proxy"


def find_proxy() -> str | None:
    """The proxy's program: the one that belongs to aidp, else one on the PATH, else None."""
    ours = Path(__file__).parent / "proxy" / "node_modules" / ".bin"
    return shutil.which(PROXY, path=str(ours)) or shutil.which(PROXY)


def apply(c: Config, settings: Settings) -> None:
    """Only the proxy listens where the settings say; the hub's and the proxy's own APIs stay on loopback."""
    ports = settings.ports
    c.JupyterHub.bind_url = settings.bind_url
    c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{ports.hub}/"
    c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{ports.proxy_api}"
    # the proxy is what strangers talk to: it inherits none of the organisation's keys
    without_keys = [word for name in SECRET_VARIABLES for word in ("-u", name)]
    c.ConfigurableHTTPProxy.command = ["env", *without_keys, find_proxy() or PROXY]
    c.ConfigurableHTTPProxy.pid_file = str(proxy_pid(settings))
    c.JupyterHub.db_url = f"sqlite:///{database(settings)}"
    c.JupyterHub.upgrade_db = True  # JupyterHub copies an SQLite file before it upgrades it
    c.JupyterHub.cookie_secret_file = str(cookie_secret(settings))
    c.JupyterHub.oauth_require_pkce = True
    # local processes end with their hub; containers, which outlive it, will say otherwise
    c.JupyterHub.cleanup_servers = True
    c.JupyterHub.cleanup_proxy = True


def database(settings: Settings) -> Path:
    """The file of JupyterHub's own records."""
    return settings.state_dir / "jupyterhub.sqlite"


def cookie_secret(settings: Settings) -> Path:
    """The file of the key that signs every browser's session."""
    return settings.state_dir / "cookie-secret"


def proxy_pid(settings: Settings) -> Path:
    """The file of the proxy's process number."""
    return settings.state_dir / "proxy.pid"
