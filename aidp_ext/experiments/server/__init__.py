"""Tracking servers: one of one's own, and those that run elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aidp_ext.core.errors import AidpError
from aidp_ext.experiments.server import schema
from aidp_ext.experiments.server.child import Setup
from aidp_ext.experiments.server.local import LocalServer, address_of
from aidp_ext.experiments.server.remote import NoServer, RemoteServer, authorization, is_here, verification
from aidp_ext.experiments.upstream import Upstream

#: Databases in which MLflow's own server can keep its runs.
_DATABASES = ("sqlite:", "postgresql", "mysql", "mssql")


def chosen(
    address: Mapping[str, str],
    *,
    is_team: bool = False,
    folder: Path,
    runtime: Path,
    artifacts: str = "",
    server_environment: Mapping[str, str],
    patience_s: float,
) -> Upstream:
    """Return the tracking server that variables name as MLflow's clients know them; none: one of one's own in a folder.

    Nothing is started, made or contacted.
    """
    uri = address.get("MLFLOW_TRACKING_URI", "").strip()
    if is_team:
        who = {"Authorization": f"token {address['MLFLOW_TRACKING_TOKEN']}"}
        return RemoteServer(uri, kind="team", headers=who)
    try:
        if uri.startswith(("http://", "https://")):
            return RemoteServer(uri, headers=authorization(address, Path.home()), verify=verification(address))
        if uri and not uri.startswith(_DATABASES):
            return _unusable(uri)
        database = uri or address_of(folder / "mlflow.db")
    except AidpError as error:
        return NoServer(error.message, error.next_step or "")
    setup = Setup(folder, runtime, database, artifacts or str(folder / "artifacts"), server_environment)
    return LocalServer(setup, patience_s=patience_s)


def _unusable(uri: str) -> NoServer:
    kind = uri.partition(":")[0] if ":" in uri else "a folder"
    step = "Set MLFLOW_TRACKING_URI to an http(s) address or an SQL database, or leave it unset for a server of aidp's."
    return NoServer(f"MLFLOW_TRACKING_URI names {kind}, which aidp cannot read.", step)


__all__ = ["LocalServer", "NoServer", "RemoteServer", "Setup", "chosen", "is_here", "schema"]
