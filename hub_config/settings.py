"""What the environment says about the hub, read once and checked before anything starts."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from aidp_ext.gateway import KEYS_FILE, SERVICE_CONFIG, check_file, token_cache_s
from aidp_ext.gateway import SettingsError as SettingsError
from aidp_ext.team_tracking import TrackingSettings

USER_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
"""A user name is a folder's name and a part of URLs too; GitHub's logins all fit."""

ORGANIZATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(:[A-Za-z0-9_.-]+)?")
"""``organization`` or ``organization:team``."""

GITHUB_SCOPES = "repo read:org"
"""To read and write the user's repositories, and to see who is a member."""

_GITHUB_SCOPE = re.compile(r"[a-z_]+(:[a-z_]+)?")

_AI_VARIABLES = ("AIDP_AI_MODE", "ALLOW_LOCAL_MODELS", "LOCAL_OPENAI_BASE_URL", "OLLAMA_HOST")

USER_VARIABLES = (*_AI_VARIABLES, "AIDP_FORGES", "AIDP_GIT_OWNERS", "AIDP_TRACKING", "GITHUB_DEVICE_CLIENT_ID")
"""Passed on to the users' servers: addresses, names and switches, nothing secret."""

SERVICE_VARIABLES = (
    *_AI_VARIABLES,
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
)
"""What stands in the hub's own environment and nobody else's but those whom it is for."""

_SHORTEST_TOKEN = 32
"""Characters of a token that an admin chooses."""


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
class GitHub:
    """A GitHub OAuth app, at github.com unless ``url`` names an Enterprise server."""

    client_id: str
    client_secret: str = field(repr=False)
    url: str | None = None
    callback_url: str | None = None
    organizations: frozenset[str] = frozenset()
    scopes: tuple[str, ...] = ()
    """What an OAuth app asks for; a GitHub App has permissions of its own and heeds none."""


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
    github: GitHub | None = None
    """None is the local sign-in: one generated password, this machine only."""
    allowed_users: frozenset[str] = frozenset()
    admin_users: frozenset[str] = frozenset()
    user_environment: Mapping[str, str] = field(default_factory=dict)
    service_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    gateway: Gateway | None = None
    """None: the hub runs its service itself, as one process."""
    metrics_token: str | None = field(default=None, repr=False)
    ports: Ports = field(default_factory=Ports.free)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """The settings that ``environ`` holds; an empty variable counts as one that is not set.

        Raises SettingsError, with a message that names the variable and says what to do.
        """
        env = {name: value.strip() for name, value in environ.items() if value.strip()}
        settings = cls(
            host=env.get("AIDP_HUB_HOST", cls.host),
            port=_port(env.get("AIDP_HUB_PORT", str(cls.port))),
            state_dir=Path(env.get("AIDP_STATE_DIR", cls.state_dir)).expanduser().absolute(),
            github=_github(env),
            allowed_users=_names(env, "AIDP_ALLOWED_USERS", USER_NAME, lower=True),
            admin_users=_names(env, "AIDP_ADMIN_USERS", USER_NAME, lower=True),
            user_environment=_user_environment(env),
            service_environment=_service_environment(env),
            gateway=_gateway(env),
            metrics_token=_token(env, "AIDP_METRICS_TOKEN"),
        )
        _check_who_may_enter(settings)
        return settings

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
        if self.github and self.github.callback_url:
            return self.github.callback_url.removesuffix("hub/oauth_callback")
        return self.local_url

    @property
    def service_url(self) -> str:
        """Where users' servers find the hub's service, through the proxy."""
        return f"{self.local_url}services/aidp/"


def _in_url(host: str) -> str:
    """The host as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _port(text: str) -> int:
    """The port that ``text`` names, or SettingsError."""
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise SettingsError(f"AIDP_HUB_PORT is {text!r}; it takes a number from 1 to 65535.")


def _user_environment(env: Mapping[str, str]) -> dict[str, str]:
    """What users' servers are told. A model server that wants a key is reached through the gateway, which has it."""
    told = {name: env[name] for name in USER_VARIABLES if name in env}
    if (github := _github(env)) is not None:
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


def _token(env: Mapping[str, str], variable: str) -> str | None:
    """The token in a variable, None where it is not set, or SettingsError where it could be guessed."""
    token = env.get(variable)
    if token is not None and len(token) < _SHORTEST_TOKEN:
        raise SettingsError(
            f"{variable} is too short for a token; make one of {_SHORTEST_TOKEN} characters or more:"
            " openssl rand -hex 32"
        )
    return token


def _gateway(env: Mapping[str, str]) -> Gateway | None:
    """Where the service runs that the hub does not run itself, None where it does, or SettingsError."""
    url, token = _url(env, "AIDP_GATEWAY_URL"), _token(env, "AIDP_GATEWAY_TOKEN")
    if url is None and token is None:
        return None
    if url is None or token is None:
        raise SettingsError(
            "AIDP_GATEWAY_URL and AIDP_GATEWAY_TOKEN go together: where the gateway's processes answer, and the"
            " JUPYTERHUB_API_TOKEN that they have."
        )
    return Gateway(url, token)


def _names(env: Mapping[str, str], variable: str, form: re.Pattern[str], *, lower: bool = False) -> frozenset[str]:
    """The comma-separated names in a variable, each checked against ``form``, or SettingsError."""
    names = {name.strip() for name in env.get(variable, "").split(",")} - {""}
    for name in names:
        if not form.fullmatch(name.lower() if lower else name):
            raise SettingsError(f"{variable} holds {name!r}, which is no valid name; it takes names between commas.")
    return frozenset(name.lower() for name in names) if lower else frozenset(names)


def _url(env: Mapping[str, str], variable: str) -> str | None:
    """The URL in a variable, without a slash at its end, None where it is not set, or SettingsError."""
    text = env.get(variable)
    if text is None:
        return None
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{variable} is {text!r}; it takes a full URL such as https://github.example.org.")
    return text.rstrip("/")


def _github(env: Mapping[str, str]) -> GitHub | None:
    """The GitHub app in the environment, None where there is none, or SettingsError."""
    client_id = env.get("GITHUB_CLIENT_ID") or env.get("GITHUB_ID")
    client_secret = env.get("GITHUB_CLIENT_SECRET") or env.get("GITHUB_SECRET")
    if not client_id and not client_secret:
        return None
    if not client_id or not client_secret:
        given, missing = ("ID", "SECRET") if client_id else ("SECRET", "ID")
        raise SettingsError(
            f"GITHUB_CLIENT_{given} is set but GITHUB_CLIENT_{missing} is not; GitHub sign-in needs both, "
            "and without both the hub offers its local sign-in."
        )
    callback_url = _url(env, "OAUTH_CALLBACK_URL")
    if callback_url and not callback_url.endswith("/hub/oauth_callback"):
        raise SettingsError(f"OAUTH_CALLBACK_URL is {callback_url!r}; it has to end in /hub/oauth_callback.")
    return GitHub(
        client_id=client_id,
        client_secret=client_secret,
        url=_url(env, "GITHUB_URL"),
        callback_url=callback_url,
        organizations=_names(env, "GITHUB_ALLOWED_ORGANIZATIONS", ORGANIZATION),
        scopes=_scopes(env),
    )


def _scopes(env: Mapping[str, str]) -> tuple[str, ...]:
    """What is asked of GitHub at the sign-in, or SettingsError."""
    scopes = tuple(dict.fromkeys(env.get("AIDP_GITHUB_SCOPES", GITHUB_SCOPES).replace(",", " ").split()))
    for scope in scopes:
        if not _GITHUB_SCOPE.fullmatch(scope):
            raise SettingsError(
                f"AIDP_GITHUB_SCOPES holds {scope!r}, which is no scope of GitHub's; the usual are: {GITHUB_SCOPES}."
            )
    return scopes


def _is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_who_may_enter(settings: Settings) -> None:
    """Raise SettingsError for a hub that nobody could enter, or that too many could."""
    if settings.github is None:
        if not _is_loopback(settings.host):
            raise SettingsError(
                f"AIDP_HUB_HOST is {settings.host!r}, but the local sign-in is for this machine only; set "
                "GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET to open the hub to others, or leave AIDP_HUB_HOST out."
            )
    elif not (settings.github.organizations or settings.allowed_users or settings.admin_users):
        raise SettingsError(
            "GitHub sign-in is on, but nobody is allowed in; name them in GITHUB_ALLOWED_ORGANIZATIONS, "
            "AIDP_ALLOWED_USERS or AIDP_ADMIN_USERS."
        )
