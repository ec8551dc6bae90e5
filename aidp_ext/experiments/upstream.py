"""What the slice asks of a tracking server, wherever it runs. Its API is MLflow's REST API."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Literal, Protocol

import aiohttp
from msgspec import Struct


class TrackingState(Struct, frozen=True):
    """How a tracking server is, and what can be done about it."""

    state: Literal["off", "starting", "ready", "failed", "remote"]
    kind: Literal["local", "remote", "team"]
    ui: bool  # whether MLflow's own pages can be opened
    message: str = ""
    next_step: str | None = None
    progress: str = ""


class Upstream(Protocol):
    """A tracking server."""

    @property
    def database(self) -> Path | None:
        """MLflow's SQLite file, where it may be read directly; it may not be there yet."""

    @property
    def artifacts(self) -> Path | None:
        """The root of the artifacts, where it may be read directly; it may not be there yet."""

    def state(self) -> TrackingState:
        """Return how it is. Starts and contacts nothing."""

    async def start(self) -> None:
        """Start it, and return when it answers; many may ask at once. Raises Unavailable with a next step."""

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = 30.0,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send one request and give the response, whose body is not read yet; starts the server where needed.

        ``path`` begins with ``/api/2.0/``. ``timeout_s`` bounds the whole of it, None only each silence of 120 s.
        Redirects are not followed. Raises Unavailable, UpstreamUnreachable, UpstreamTimeout and UpstreamInvalid.
        """

    def forward(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str],
        data: Any = None,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send a request of somebody else on as it is: ``target`` is its path and query as they came, still encoded.

        The answer is not decompressed, and may take its time. Raises as :meth:`request` does.
        """

    async def close(self) -> None:
        """Close what is open, and stop the server where it is ours and nobody else uses it."""
