"""How host 1 puts the experiments together: a tracking server, the proxy before it, and who looks at what passes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aidp_ext.core.web import Route
from aidp_ext.experiments.config import ExperimentsConfig
from aidp_ext.kernels import tracking

if TYPE_CHECKING:
    from aidp_ext.experiment_parts import ShippedRuns
    from aidp_ext.experiments.lineage.capture import Capture
    from aidp_ext.experiments.models import Written
    from aidp_ext.experiments.proxy.forward import Proxy
    from aidp_ext.experiments.service import ExperimentsService
    from aidp_ext.experiments.team.forward import ServiceLink
    from aidp_ext.experiments.upstream import Upstream


@dataclass(frozen=True)
class Host:
    """The server around the experiments."""

    serverapp: Any  # Jupyter's
    state_dir: Path
    workspace: Path | None
    user: str
    ai: Any  # the router, which explains
    token: str  # that kernels have

    @property
    def runtime(self) -> Path:
        """Return a folder for sockets and the like, for this user only."""
        return Path(self.serverapp.runtime_dir) / "aidp"

    async def notebook_of(self, kernel_id: str) -> str | None:
        """Return the notebook that a kernel belongs to, as it is called now."""
        for session in await self.serverapp.session_manager.list_sessions():
            if session["kernel"]["id"] == kernel_id and session["type"] == "notebook":
                return str(session["path"])
        return None

    def has_kernel(self, kernel_id: str) -> bool:
        """Return whether a kernel of this server's has this id."""
        return kernel_id in self.serverapp.kernel_manager


def team_uri(config: ExperimentsConfig) -> str:
    """Return the address of the team's tracking server, where the hub has one and no other was named; else nothing."""
    url = os.environ.get("AIDP_SERVICE_URL", "") if os.environ.get("AIDP_TRACKING") != "off" else ""
    has_token = bool(os.environ.get("JUPYTERHUB_API_TOKEN"))
    return f"{url.rstrip('/')}/aidp/mlflow" if url and has_token and not config.tracking_uri else ""


def for_team(routes: Sequence[Route]) -> Sequence[Route]:
    """Return the routes where a team's server answers for the runs; not for what is done to files of this machine."""
    from aidp_ext.experiments.team.routes import SERVER_ROUTES

    own = {pattern: cls for pattern, cls in routes if pattern.startswith("experiments")}
    here = [(pattern, own[pattern]) for pattern in own if pattern.endswith("/restore-code")]
    return (*here, *SERVER_ROUTES, *(route for route in routes if route[0] not in own))


class Tracking:
    """The experiments of one Jupyter server. Everything is loaded when it is first asked for."""

    def __init__(self, config: ExperimentsConfig, host: Host) -> None:
        self.config = config
        self.folder = Path(config.folder or host.state_dir / "experiments").absolute()
        self.kernel_log = host.runtime / "kernels"
        self._host = host
        self._upstream: Upstream | None = None
        self._proxy: Proxy | None = None
        self._capture: Capture | None = None
        self._service: ExperimentsService | None = None
        self._team: ServiceLink | None = None
        self._shipped: ShippedRuns | None = None

    @property
    def team_uri(self) -> str:
        """The address of the team's tracking server, where the hub has one and no other was named."""
        return team_uri(self.config)

    def address(self) -> Mapping[str, str]:
        """Return the server's address, and who we are there, in the variables that MLflow's clients know."""
        if self.team_uri:
            token = os.environ["JUPYTERHUB_API_TOKEN"]
            return {"MLFLOW_TRACKING_URI": self.team_uri, "MLFLOW_TRACKING_TOKEN": token}
        return {**os.environ, "MLFLOW_TRACKING_URI": self.config.tracking_uri}

    def upstream(self) -> Upstream:
        """Return the tracking server; it is started when it is first sent something."""
        if self._upstream is None:
            from aidp_ext.experiments.server import chosen

            self._upstream = chosen(
                self.address(),
                is_team=bool(self.team_uri),
                folder=self.folder,
                runtime=self._host.runtime,
                artifacts=self.config.artifacts,
                server_environment=self.config.server_environment,
                patience_s=self.config.start_timeout_s,
            )
        return self._upstream

    def proxy(self) -> Proxy:
        """Return what passes requests on to the tracking server."""
        if self._proxy is None:
            from aidp_ext.experiments.proxy.forward import Proxy
            from aidp_ext.experiments.proxy.gate import OpenGate

            self._proxy = Proxy(self.upstream(), OpenGate(), self._written)
        return self._proxy

    def capture(self) -> Capture:
        """Return what keeps the lineage of runs."""
        if self._capture is None:
            from aidp_ext.experiment_parts import capture_for

            host = self._host
            self._capture = capture_for(
                self.upstream(),
                self.kernel_log,
                self.folder / "captures",
                host.workspace,
                host.user,
                host.notebook_of,
                host.has_kernel,
            )
            self._capture.told = self._tell_service
        return self._capture

    def service(self) -> ExperimentsService:
        """Return the lists, curves and comparisons."""
        if self._service is None:
            from aidp_ext.experiment_parts import explain_with, restorer_for
            from aidp_ext.experiments.service import ExperimentsService

            self._service = ExperimentsService(
                self.upstream(),
                self.folder,
                explain=explain_with(self._host.ai),
                restore=restorer_for(self.upstream(), self._host.workspace),
                reconcile=self.capture().reconciler.reconcile,
            )
        return self._service

    def team(self) -> ServiceLink:
        """Return the way to the team's lists, curves and comparisons."""
        if self._team is None:
            from aidp_ext.experiments.team.forward import ServiceLink

            self._team = ServiceLink(os.environ["AIDP_SERVICE_URL"], os.environ["JUPYTERHUB_API_TOKEN"])
        return self._team

    async def runs_of(self, root: Path, paths: Sequence[str], head: str | None) -> list[str]:
        """Return the runs that a commit of these files names, see `ShippedRuns.runs_of`."""
        database = self.upstream().database
        if database is not None and not database.exists():
            return []  # nothing was ever logged, and nothing needs to be loaded to know it
        return await self._shipped_runs().runs_of(root, paths, head)

    async def shipped(self, run_ids: Sequence[str], commit: str) -> None:
        """Tell runs of the commit that holds their code."""
        await self._shipped_runs().shipped(run_ids, commit)

    def _shipped_runs(self) -> ShippedRuns:
        if self._shipped is None:
            from aidp_ext.experiment_parts import ShippedRuns, search_index, search_server

            host, upstream = self._host, self.upstream()
            search = search_server(upstream) if self.team_uri else search_index(self.service, host.user)
            self._shipped = ShippedRuns(upstream, search, host.workspace)
            self._shipped.told = self._tell_service
        return self._shipped

    async def _written(self, written: Written) -> None:
        await self.capture().written(written)
        await self._tell_service(written)

    async def _tell_service(self, written: Written) -> None:
        if self._service is not None:  # else it catches up when it is first asked
            await self._service.written(written)

    def look_back(self) -> None:
        """Begin to end the runs that an earlier container of this user left running in the team's server."""
        if self.team_uri:
            self.capture().look_back()

    def variables(self, current: Mapping[str, str], url: str) -> Mapping[str, str | None]:
        """Return what a kernel or terminal gets, of the environment that it would have; ``url`` ends in ``/aidp``."""
        state = self.upstream().state()
        if not self.config.govern_kernels or (state.state == "off" and not state.ui):
            return {}  # there is nothing to log to: it keeps what it had
        user = os.environ.get("JUPYTERHUB_USER", "")
        given = tracking(
            current,
            url,
            self._host.token,
            system_metrics=self.config.system_metrics,
            experiment=f"~{user}" if self.team_uri and user else None,  # in a team the default belongs to nobody
        )
        if user:  # MLflow prints addresses of its pages that only this machine knows
            given["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
        return {**given, "AIDP_KERNEL_LOG": str(self.kernel_log)}

    async def close(self) -> None:
        """End what was begun, and stop the tracking server where nobody else uses it."""
        for part in (self._team, self._shipped, self._service, self._capture, self._upstream):
            if part is not None:
                await part.close()
