"""What the hub was told, read once and checked before anything starts."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from aidp_ext.gateway import KEYS_FILE, SERVICE_CONFIG, check_file, token_cache_s
from aidp_ext.team_gpus import VARIABLES as GPU_VARIABLES
from aidp_ext.team_gpus import GpuSettings
from aidp_ext.team_tracking import TrackingSettings
from hub_config import providers
from hub_config.container_settings import SPAWNER, ContainerSettings
from hub_config.given import SettingsError as SettingsError
from hub_config.given import called, given, is_loopback, one_of, url, whole_number
from hub_config.idle import IdleSettings
from hub_config.live import LiveSettings
from hub_config.profiles import Profile
from hub_config.profiles import from_env as profiles_from_env
from hub_config.providers import GitHub, Oidc

_AI_VARIABLES = ("AIDP_AI_MODE", "ALLOW_LOCAL_MODELS", "LOCAL_OPENAI_BASE_URL", "OLLAMA_HOST")

USER_VARIABLES = (*_AI_VARIABLES, "AIDP_FORGES", "AIDP_GIT_OWNERS", "AIDP_TRACKING", "GITHUB_DEVICE_CLIENT_ID")
"""Passed on to the users' servers: addresses, names and switches, nothing secret."""

SERVICE_VARIABLES = (
    *_AI_VARIABLES,
    *GPU_VARIABLES,
    "AIDP_AI_DAILY_BUDGET_USD",
    "AIDP_AI_MONTHLY_BUDGET_USD",
    "AIDP_AI_USER_DAILY_BUDGET_USD",
    "AIDP_AI_USER_MONTHLY_BUDGET_USD",
    "AIDP_DATABASE_URL",
    "AIDP_KEYS_FILE",
    "AIDP_SERVICE_CONFIG",
    "AIDP_TOKEN_CACHE_S",
    "AIDP_TRACKING",
    "AIDP_TRACKING_TEAM_ROLE",
    "AIDP_TRACKING_TOKEN",
    "AIDP_TRACKING_URI",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "GEMINI_API_KEY",
    "GEMINI_BASE_URL",
    "HOME",
    "LOCAL_OPENAI_API_KEY",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
)
"""Passed on to the hub's own service, which alone holds the organisation's keys."""

CRYPT_KEY = "JUPYTERHUB_CRYPT_KEY"
"""What JupyterHub itself reads the key from that it encrypts users' tokens with."""

SECRET_VARIABLES = (
    *(name for name in SERVICE_VARIABLES if name.endswith("_KEY")),
    "AIDP_DATABASE_URL",
    "AIDP_GATEWAY_TOKEN",
    "AIDP_METRICS_TOKEN",
    "AIDP_TRACKING_TOKEN",
    "AIDP_TRACKING_URI",
    CRYPT_KEY,
    "GITHUB_CLIENT_SECRET",
    "GITHUB_SECRET",
    "OIDC_CLIENT_SECRET",
)
"""What stands in the hub's own environment and nobody else's but those whom it is for."""

RECHECK_S = 240
"""Seconds after which it is asked again whether somebody may still be in."""

USER_DOMAINS = "AIDP_USER_DOMAINS"

_NAME_HERE = "hub.localhost"
"""What a hub on loopback is called where it needs a name: browsers look up whatever ends so on their own machine."""

MOST_RECHECK_S = 360
"""So that it takes ten minutes at most: whoever was asked about half this time ago is left out of one look around."""


@dataclass(frozen=True)
class Ports:
    """The loopback ports that only the hub's own parts talk to."""

    hub: int
    proxy_api: int
    service: int

    @classmethod
    def free(cls) -> Ports:
        """Ports that nothing listens on now, so that two hubs on one machine never meet."""
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            return cls(*(each.getsockname()[1] for each in sockets))


@dataclass(frozen=True)
class Gateway:
    """Processes of the hub's service that somebody else runs, at ``url``, known to the hub by ``token``."""

    url: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class Settings:
    """Everything that the hub's configuration is made from."""

    host: str = "127.0.0.1"
    port: int = 8000
    state_dir: Path = Path(".aidp/hub")
    user_domains: bool = False
    """Whether each user's server, and the hub's service, is at a domain of its own below the hub's."""
    github: GitHub | None = None
    oidc: Oidc | None = None
    """Neither of them is the local sign-in: one generated password, this machine only."""
    recheck_s: int = RECHECK_S
    crypt_key: str | None = field(default=None, repr=False)
    """What users' tokens are kept under, where the file says it; JupyterHub reads the environment itself."""
    allowed_users: frozenset[str] = frozenset()
    admin_users: frozenset[str] = frozenset()
    user_environment: Mapping[str, str] = field(default_factory=dict)
    service_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    gateway: Gateway | None = None
    """None: the hub runs its service itself, as one process."""
    gpu: GpuSettings = field(default_factory=lambda: GpuSettings("off"))
    idle: IdleSettings = field(default_factory=lambda: IdleSettings(minutes=0))
    live: LiveSettings = field(default_factory=lambda: LiveSettings(is_on=False))
    containers: ContainerSettings = field(default_factory=lambda: ContainerSettings(spawner="local"))
    profiles: tuple[Profile, ...] = (Profile("cpu", "Notebooks"),)
    """What users may choose at the start of a server; the first is what they get who choose nothing."""
    metrics_token: str | None = field(default=None, repr=False)
    ports: Ports = field(default_factory=Ports.free)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """The settings in ``environ`` and, for what is not in it, in ``aidp.toml``.

        An empty variable counts as one that is not set. Raises SettingsError, with a message that names the setting
        and says what to do.
        """
        env = given(environ)
        settings = cls(
            host=env.get("AIDP_HUB_HOST", cls.host),
            port=whole_number(env, "AIDP_HUB_PORT", cls.port, 1, 65535),
            state_dir=Path(env.get("AIDP_STATE_DIR", cls.state_dir)).expanduser().absolute(),
            user_domains=one_of(env, USER_DOMAINS, ("off", "on")) == "on",
            github=providers.github(env),
            oidc=providers.oidc(env),
            recheck_s=whole_number(env, "AIDP_RECHECK_S", RECHECK_S, 1, MOST_RECHECK_S),
            crypt_key=_crypt_key(env, environ),
            allowed_users=providers.people(env, "AIDP_ALLOWED_USERS"),
            admin_users=providers.people(env, "AIDP_ADMIN_USERS"),
            user_environment=_user_environment(env),
            service_environment=_service_environment(env),
            gateway=_gateway(env),
            gpu=GpuSettings.from_env(env),
            idle=IdleSettings.from_env(env),
            live=LiveSettings.from_env(env),
            containers=ContainerSettings.from_env(env),
            profiles=profiles_from_env(env),
            metrics_token=env.get("AIDP_METRICS_TOKEN"),
        )
        _check_who_may_enter(settings)
        _check_domains(settings)
        if settings.containers.spawner == "local" and not is_loopback(settings.host):
            raise SettingsError(
                f"{called(SPAWNER)} is local, but AIDP_HUB_HOST is {settings.host!r}: processes of one account keep"
                " nobody apart, so a hub that other machines can reach runs containers, or listens on loopback only."
            )
        return settings

    @property
    def is_local(self) -> bool:
        """Whether the sign-in is this machine's own password."""
        return self.github is None and self.oidc is None

    @property
    def provider(self) -> str:
        """What the sign-in is called."""
        return "GitHub" if self.github else self.oidc.preset.title if self.oidc else "this machine"

    @property
    def who_may_enter(self) -> list[str]:
        """Who may sign in, in a line for the terminal: names, organisations, teams, groups and domains."""
        app = self.github, self.oidc
        lists = [self.allowed_users, self.admin_users]
        lists += [app[0].organizations, app[0].admin_teams] if app[0] else []
        lists += [app[1].groups, app[1].admin_groups, app[1].domains] if app[1] else []
        return sorted(set().union(*lists))

    @property
    def local_url(self) -> str:
        """Where the hub answers for programs on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return f"http://{_in_url(host)}:{self.port}/"

    @property
    def bind_url(self) -> str:
        """Where the proxy listens: the only part that anything outside this machine may reach."""
        return f"http://{_in_url(self.host)}:{self.port}/"

    @property
    def public_url(self) -> str:
        """Where people open the hub."""
        app = self.github or self.oidc
        if app and app.callback_url:
            return app.callback_url.removesuffix("hub/oauth_callback")
        return f"http://{_NAME_HERE}:{self.port}/" if self.user_domains else self.local_url

    @property
    def service_url(self) -> str:
        """Where users' servers find the hub's service, through the proxy."""
        return f"{self.local_url}services/aidp/"


def _check_domains(settings: Settings) -> None:
    """Raise SettingsError where no user's domain could be below the hub's."""
    if not settings.user_domains:
        return
    host = urlsplit(settings.public_url).hostname or ""
    if not is_loopback(settings.host) and host == _NAME_HERE:
        raise SettingsError(
            f"{called(USER_DOMAINS)} is on, but nothing says the hub's name: set OAUTH_CALLBACK_URL to its public"
            " address with /hub/oauth_callback."
        )
    if _is_address(host) or "." not in host:
        raise SettingsError(
            f"{called(USER_DOMAINS)} is on, but no name can be below {host}, where OAUTH_CALLBACK_URL says that the hub"
            " is; give the hub a name such as hub.example.org, and DNS a record for *.hub.example.org."
        )
    there = urlsplit(settings.gateway.url).hostname if settings.gateway else None
    if there and is_loopback(there) and settings.containers.spawner != "local":
        raise SettingsError(
            f"{called(USER_DOMAINS)} is on, and containers do not reach AIDP_GATEWAY_URL on loopback; let the gateway"
            " listen where they do, and name that address."
        )


def _is_address(host: str) -> bool:
    """Whether a host is an IP address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _in_url(host: str) -> str:
    """The host as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _user_environment(env: Mapping[str, str]) -> dict[str, str]:
    """What users' servers are told. A model server that wants a key is reached through the gateway, which has it."""
    told = {name: env[name] for name in USER_VARIABLES if name in env}
    if (github := providers.github(env)) is not None:
        told["AIDP_FORGE_URL"] = github.url or "https://github.com"  # where the hub's sign-in has tokens for
    if "LOCAL_OPENAI_API_KEY" in env:
        told.pop("LOCAL_OPENAI_BASE_URL", None)
    return told


def _service_environment(env: Mapping[str, str]) -> dict[str, str]:
    """What the hub's own service is told, with whole paths, or SettingsError. The files themselves are its to read."""
    told = {name: env[name] for name in SERVICE_VARIABLES if name in env}
    for variable in (KEYS_FILE, SERVICE_CONFIG):
        if variable in told:
            path = Path(told[variable]).expanduser().absolute()
            check_file(variable, path, is_secret=variable == KEYS_FILE)
            told[variable] = str(path)
    token_cache_s(told)
    TrackingSettings.from_env(told)
    return told


def _crypt_key(env: Mapping[str, str], environ: Mapping[str, str]) -> str | None:
    """The key for users' tokens where the file says it, None where the environment does or nobody, or SettingsError."""
    keys = env.get(CRYPT_KEY, "")
    for key in filter(None, keys.split(";")):
        is_hex = len(key) == 64 and all(letter in "0123456789abcdefABCDEF" for letter in key)
        if not is_hex and len(key) not in (32, 44):
            raise SettingsError(f"{called(CRYPT_KEY)} is no key; make one: openssl rand -hex 32")
    return None if not keys or environ.get(CRYPT_KEY, "").strip() else keys


def _gateway(env: Mapping[str, str]) -> Gateway | None:
    """Where the service runs that the hub does not run itself, None where it does, or SettingsError."""
    where, token = url(env, "AIDP_GATEWAY_URL"), env.get("AIDP_GATEWAY_TOKEN")
    if where is None and token is None:
        return None
    if where is None or token is None:
        raise SettingsError(
            "AIDP_GATEWAY_URL and AIDP_GATEWAY_TOKEN go together: where the gateway's processes answer, and the"
            " JUPYTERHUB_API_TOKEN that they have."
        )
    return Gateway(where, token)


def _check_who_may_enter(settings: Settings) -> None:
    """Raise SettingsError for a hub that nobody could enter, or that too many could."""
    if settings.is_local:
        if not is_loopback(settings.host):
            raise SettingsError(
                f"{called('AIDP_HUB_HOST')} is {settings.host!r}, but the local sign-in is for this machine only; set"
                " GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET (or AIDP_SIGN_IN for another) to open the hub to others, or"
                " leave AIDP_HUB_HOST out."
            )
    elif not settings.who_may_enter:
        places = "GITHUB_ALLOWED_ORGANIZATIONS" if settings.github else "AIDP_ALLOWED_GROUPS, AIDP_ALLOWED_DOMAINS"
        raise SettingsError(
            f"The sign-in with {settings.provider} is on, but nobody is allowed in; name them in {places},"
            " AIDP_ALLOWED_USERS or AIDP_ADMIN_USERS."
        )
