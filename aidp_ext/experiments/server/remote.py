"""A tracking server that runs elsewhere: the admin's, or the team's behind the hub's service."""

from __future__ import annotations

import base64
import configparser
import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp

from aidp_ext.core.errors import StorageError, Unavailable, UpstreamError
from aidp_ext.core.http import proxy_for, shown
from aidp_ext.experiments.server.sending import Sending
from aidp_ext.experiments.server.wire import Wire
from aidp_ext.experiments.upstream import TrackingState

_SERVER = "the tracking server"


class RemoteServer(Sending):
    """The server at an address. Nothing is contacted before it is asked."""

    database: Path | None = None
    artifacts: Path | None = None

    def __init__(
        self,
        uri: str,
        *,
        kind: Literal["remote", "team"] = "remote",
        headers: Mapping[str, str] | None = None,
        verify: Any = True,
    ) -> None:
        """``headers`` say who we are; ``verify`` is how its certificate is checked, as aiohttp takes it."""
        self._uri = uri.rstrip("/")
        self._kind: Literal["remote", "team"] = kind
        proxy = None if is_here(self._uri) else proxy_for(self._uri)
        self._wire = Wire(self._uri, server=_SERVER, headers=headers, ssl=verify, proxy=proxy)
        self._error: UpstreamError | None = None

    def state(self) -> TrackingState:
        """Return where it is, and what the last call said of it."""
        if self._error is not None:
            return TrackingState("failed", self._kind, True, self._error.message, self._error.next_step)
        return TrackingState("remote", self._kind, True, message=f"Runs are kept at {shown(self._uri)}.")

    async def start(self) -> None:
        """Look whether it answers. Raises UpstreamUnreachable, UpstreamTimeout and UpstreamInvalid."""
        async with self.request("GET", "/health", timeout_s=10.0):
            pass

    @contextlib.asynccontextmanager
    async def _sent(self, method: str, target: str, options: dict[str, Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        async with contextlib.AsyncExitStack() as stack:
            try:
                response = await stack.enter_async_context(self._wire.send(method, target, **options))
            except UpstreamError as error:
                error.suggest(f"Look whether {shown(self._uri)} runs and can be reached from this machine.")
                self._error = error
                raise
            self._error = None
            yield response

    async def close(self) -> None:
        """Close all connections."""
        await self._wire.close()


class NoServer:
    """In place of a server where the one that was named cannot be used."""

    database: Path | None = None
    artifacts: Path | None = None

    def __init__(self, message: str, next_step: str) -> None:
        self._message = message
        self._next_step = next_step

    def state(self) -> TrackingState:
        """Return why there is none."""
        return TrackingState("off", "remote", False, self._message, self._next_step)

    async def start(self) -> None:
        """Raise Unavailable."""
        raise Unavailable(self._message, next_step=self._next_step)

    def request(self, method: str, path: str, **options: Any) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Raise Unavailable."""
        raise Unavailable(self._message, next_step=self._next_step)

    def forward(self, method: str, target: str, **options: Any) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Raise Unavailable."""
        raise Unavailable(self._message, next_step=self._next_step)

    async def close(self) -> None:
        """Nothing is open."""


def is_here(uri: str) -> bool:
    """Return whether an address is of this machine."""
    host = urlsplit(uri).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def authorization(environment: Mapping[str, str], home: Path | None = None) -> dict[str, str]:
    """Return the header that MLflow's own clients send: from the environment, else from ``~/.mlflow/credentials``."""
    kept = _kept(home)
    user = environment.get("MLFLOW_TRACKING_USERNAME") or kept.get("mlflow_tracking_username")
    password = environment.get("MLFLOW_TRACKING_PASSWORD") or kept.get("mlflow_tracking_password")
    if user and password:  # MLflow's clients take them first, too
        return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}
    token = environment.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _kept(home: Path | None) -> Mapping[str, str]:
    if home is None:
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(OSError, UnicodeDecodeError, configparser.Error):
        parser.read(home / ".mlflow" / "credentials")
    return dict(parser["mlflow"]) if parser.has_section("mlflow") else {}


def verification(environment: Mapping[str, str]) -> Any:
    """Return how a server's certificate is checked, as MLflow's clients are told. Raises StorageError."""
    insecure = environment.get("MLFLOW_TRACKING_INSECURE_TLS", "").strip().lower() in ("true", "1")
    authority = environment.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or environment.get("REQUESTS_CA_BUNDLE")
    own = environment.get("MLFLOW_TRACKING_CLIENT_CERT_PATH")
    if not own and not (authority and not insecure):
        return not insecure
    try:
        is_folder = bool(authority) and Path(str(authority)).is_dir()
        context = ssl.create_default_context(
            cafile=authority if authority and not is_folder else None, capath=authority if is_folder else None
        )
        if own:
            context.load_cert_chain(own)
    except (OSError, ssl.SSLError) as error:
        step = "Look at MLFLOW_TRACKING_SERVER_CERT_PATH and MLFLOW_TRACKING_CLIENT_CERT_PATH."
        raise StorageError(f"A certificate cannot be read: {error}.", next_step=step) from error
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
