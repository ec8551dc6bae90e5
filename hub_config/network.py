"""Who listens where, and where the hub keeps what outlives it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from traitlets.config import Config

from hub_config.given import is_loopback
from hub_config.settings import SECRET_VARIABLES, Settings, SettingsError

PROXY = "configurable-http-proxy"


@dataclass(frozen=True)
class Reach:
    """Where users' servers reach the hub and its service; kept, since containers outlive the hub."""

    address: str
    hub: int
    service: int

    @classmethod
    def read(cls, path: Path) -> Reach | None:
        """What was kept, None where nothing is, or nothing that makes sense."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Keep it; raises OSError."""
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(path)


def find_proxy() -> str | None:
    """The proxy's program: the one that belongs to aidp, else one on the PATH, else None."""
    ours = Path(__file__).parent / "proxy" / "node_modules" / ".bin"
    return shutil.which(PROXY, path=str(ours)) or shutil.which(PROXY)


def apply(c: Config, settings: Settings) -> None:
    """Only the proxy listens where the settings say.

    The proxy's own API stays on loopback; the hub's is there too, or at the host's address in the containers' network.
    """
    reach, has_containers = reach_of(settings), settings.containers.spawner == "docker"
    c.JupyterHub.bind_url = settings.bind_url
    if settings.user_domains:
        c.JupyterHub.subdomain_host = settings.public_url.rstrip("/")
    c.JupyterHub.hub_bind_url = f"http://{reach.address}:{reach.hub}/"
    c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{settings.ports.proxy_api}"
    # the proxy is what strangers talk to: it inherits none of the organisation's keys
    without_keys = [word for name in SECRET_VARIABLES for word in ("-u", name)]
    c.ConfigurableHTTPProxy.command = ["env", *without_keys, find_proxy() or PROXY]
    c.ConfigurableHTTPProxy.pid_file = str(proxy_pid(settings))
    c.JupyterHub.db_url = f"sqlite:///{database(settings)}"
    c.JupyterHub.upgrade_db = True  # JupyterHub copies an SQLite file before it upgrades it
    c.JupyterHub.cookie_secret_file = str(cookie_secret(settings))
    c.JupyterHub.oauth_require_pkce = True
    # local processes end with their hub; containers outlive it, and it finds them again
    c.JupyterHub.cleanup_servers = not has_containers
    c.JupyterHub.cleanup_proxy = True


def reach_of(settings: Settings) -> Reach:
    """Where users' servers reach the hub and its service; raises SettingsError where that has not been made ready."""
    if settings.containers.spawner != "docker":
        return Reach("127.0.0.1", settings.ports.hub, settings.ports.service)
    reach = Reach.read(reach_file(settings))
    if reach is None:
        raise SettingsError("The network of the users' containers is not ready; start with `aidp hub`.")
    return reach


def service_url(settings: Settings) -> str:
    """Where users' servers find the hub's service.

    Processes go through the proxy. Containers, which do not reach that on loopback, go to the service itself; to one
    that somebody else runs on this machine's loopback, through a proxy that listens on more. A proxy that goes by
    domains is left out: the service's need not be known here.
    """
    is_process = settings.containers.spawner != "docker"
    if is_process and not settings.user_domains:
        return settings.service_url
    reach = reach_of(settings)
    if settings.gateway is None:
        return f"http://{reach.address}:{reach.service}/services/aidp/"
    if not is_process and is_loopback(urlsplit(settings.gateway.url).hostname or ""):
        return f"http://{reach.address}:{settings.port}/services/aidp/"
    return f"{settings.gateway.url}/services/aidp/"


def reach_file(settings: Settings) -> Path:
    """The file that says where users' containers find the hub."""
    return settings.state_dir / "containers.json"


def database(settings: Settings) -> Path:
    """The file of JupyterHub's own records."""
    return settings.state_dir / "jupyterhub.sqlite"


def cookie_secret(settings: Settings) -> Path:
    """The file of the key that signs every browser's session."""
    return settings.state_dir / "cookie-secret"


def proxy_pid(settings: Settings) -> Path:
    """The file of the proxy's process number."""
    return settings.state_dir / "proxy.pid"
