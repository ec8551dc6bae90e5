"""How host 2 puts a team's experiments together: a tracking server, who may see what, and the gate before it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from msgspec import Struct

from aidp_ext.gateway import SettingsError

if TYPE_CHECKING:
    from aidp_ext.experiments.proxy.forward import Proxy
    from aidp_ext.experiments.service import ExperimentsService, Explain
    from aidp_ext.experiments.team.permissions import Permissions, Role
    from aidp_ext.experiments.upstream import Upstream

SWITCH = "AIDP_TRACKING"
URI = "AIDP_TRACKING_URI"
TOKEN = "AIDP_TRACKING_TOKEN"  # noqa: S105 - a variable's name
TEAM_ROLE = "AIDP_TRACKING_TEAM_ROLE"
DATABASE = "AIDP_DATABASE_URL"

_ROLES = ("none", "read", "write", "manage")
_DATABASES = ("sqlite:///", "postgresql://", "postgresql+psycopg://")
_HEADER = re.compile(r"[\x21-\x7e]+")


class TrackingSettings(Struct, frozen=True):
    """What an admin says of the team's tracking server."""

    is_on: bool = True
    uri: str = ""  # of a server that runs elsewhere, or of the database of our own; empty: SQLite
    token: str = ""  # for a server that runs elsewhere
    team_role: str = "read"

    def __repr__(self) -> str:
        """Return it without what may hold a password."""
        return f"TrackingSettings(is_on={self.is_on}, team_role={self.team_role!r})"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> TrackingSettings:
        """Return the settings in ``environ``. Raises SettingsError, which names the variable and shows no secret."""
        env = {name: environ.get(name, "").strip() for name in (SWITCH, URI, TOKEN, TEAM_ROLE)}
        role, switch = env[TEAM_ROLE] or "read", env[SWITCH] or "on"
        if role not in _ROLES:
            raise SettingsError(f"{TEAM_ROLE} is {role[:20]!r}; it takes one of: {', '.join(_ROLES)}.")
        if switch not in ("on", "off"):
            raise SettingsError(f"{SWITCH} is {switch[:20]!r}; it takes on or off.")
        uri = env[URI]
        if uri and not uri.startswith(_DATABASES) and not _is_http(uri):
            raise SettingsError(
                f"{URI} takes the address of an MLflow server, such as https://mlflow.example.org, or of a database,"
                " such as postgresql://aidp@db.example.org/mlflow."
            )
        if env[TOKEN] and not (_is_http(uri) and _HEADER.fullmatch(env[TOKEN])):
            raise SettingsError(f"{TOKEN} is the token for a server at {URI}, in characters of ASCII.")
        return cls(switch == "on", uri, env[TOKEN], role)


def _is_http(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
    except ValueError:
        return False


class TeamTracking:
    """The experiments of a hub's service. Everything is loaded when it is first asked for."""

    def __init__(
        self,
        settings: TrackingSettings,
        folder: Path,
        record: Callable[..., object],
        *,
        database_url: str = "",
        explain: Explain | None = None,
    ) -> None:
        """``folder`` is the service's state; ``database_url`` of the permissions, SQLite there where it is empty.

        ``explain`` asks a model.
        """
        self._settings = settings
        self._folder = folder.absolute() / "tracking"
        self._record = record
        self._database_url = database_url
        self._explain = explain
        self._upstream: Upstream | None = None
        self._permissions: Permissions | None = None
        self._proxy: Proxy | None = None
        self._service: ExperimentsService | None = None

    def settings(self) -> dict[str, Any]:
        """Return what the routes find in the application's settings."""
        return {
            "aidp_mlflow": self.proxy,
            "aidp_permissions": self.permissions,
            "aidp_experiments": self.service,
        }

    def upstream(self) -> Upstream:
        """Return the tracking server; it is started when it is first sent something."""
        if self._upstream is None:
            from aidp_ext.experiments.server import LocalServer, RemoteServer, Setup
            from aidp_ext.experiments.server.local import address_of

            uri, folder = self._settings.uri, self._folder
            if _is_http(uri):
                who = {"Authorization": f"Bearer {self._settings.token}"} if self._settings.token else {}
                self._upstream = RemoteServer(uri, kind="team", headers=who)
            else:
                database = uri.replace("postgresql://", "postgresql+psycopg://", 1) or address_of(folder / "mlflow.db")
                setup = Setup(folder, folder / "run", database, str(folder / "artifacts"))
                self._upstream = LocalServer(setup, kind="team")
        return self._upstream

    def permissions(self) -> Permissions:
        """Return who may see and change what."""
        if self._permissions is None:
            from aidp_ext.experiments.team.permissions import Permissions
            from aidp_ext.experiments.team.store import Store

            url = self._database_url or f"sqlite:///{self._folder}/permissions.sqlite"
            role = self._settings.team_role
            self._permissions = Permissions(Store(url), self._record, None if role == "none" else cast("Role", role))
        return self._permissions

    def proxy(self) -> Proxy:
        """Return what passes requests on to the tracking server, through the team's gate."""
        if self._proxy is None:
            from aidp_ext.experiments.proxy.forward import Proxy
            from aidp_ext.experiments.team.gate import TeamGate
            from aidp_ext.experiments.team.judge import Judge
            from aidp_ext.experiments.team.lookup import Lookup

            judge = Judge(self.permissions(), Lookup(self.upstream()))
            self._proxy = Proxy(self.upstream(), TeamGate(judge), self.service().written)
        return self._proxy

    def service(self) -> ExperimentsService:
        """Return what lists, compares and changes runs, for each caller those that they may see."""
        if self._service is None:
            from aidp_ext.experiments.service import ExperimentsService

            self._service = ExperimentsService(
                self.upstream(), self._folder / "index", access=self.permissions(), explain=self._explain
            )
        return self._service

    async def close(self) -> None:
        """End what was begun, and stop the tracking server where it is ours."""
        if self._service is not None:
            await self._service.close()
        if self._upstream is not None:
            await self._upstream.close()
        if self._permissions is not None:
            await self._permissions.close()


def team_tracking(folder: Path, record: Callable[..., object], explain: Explain | None = None) -> TeamTracking | None:
    """Return the experiments as the environment says, None where they are off. Raises SettingsError."""
    settings = TrackingSettings.from_env(os.environ)
    if not settings.is_on:
        return None
    return TeamTracking(settings, folder, record, database_url=os.environ.get(DATABASE, ""), explain=explain)
