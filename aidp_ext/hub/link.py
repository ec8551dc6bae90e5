"""A user's server asks the hub's service for its GPU: with the server's own token, which no page and no kernel sees."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from aidp_ext.core.errors import AidpError, Conflict, NotFound, Unavailable
from aidp_ext.core.http import HttpClient
from aidp_ext.hub.gpus import GpusSaid
from aidp_ext.hub.schedule import ANY

_NEXT_STEP = "Try again in a moment; where it lasts, tell the hub's admin. Notebooks and kernels go on running."
_TIMEOUT_S = 20.0


class HubGpus:
    """The hub's GPUs, as one server of a user's sees them. Nothing is contacted before it is asked."""

    def __init__(self, service_url: str, token: str, server: str) -> None:
        """``server`` is the server's name in the hub: whatever a page says, it asks for itself alone."""
        self._url = service_url.rstrip("/") + "/aidp/hub/gpus"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._server = server
        self._http = HttpClient()

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> HubGpus | None:
        """Return what the hub told its user's server, None where there is no hub."""
        url, token = (environ.get(name, "").strip() for name in ("AIDP_SERVICE_URL", "JUPYTERHUB_API_TOKEN"))
        return cls(url, token, environ.get("JUPYTERHUB_SERVER_NAME", "")) if url and token else None

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    async def look(self, user: str, server: str) -> GpusSaid:
        """Return what there is. Raises Unavailable."""
        return await self._ask("GET", f"?server={quote(self._server)}")

    async def wait(self, user: str, server: str, kind: str = ANY) -> GpusSaid:
        """Put this server on the waiting list. Raises Conflict, NotFound and Unavailable."""
        return await self._ask("POST", "/wait", {"server": self._server, "kind": kind})

    async def leave(self, user: str, server: str) -> GpusSaid:
        """Take it off the list. Raises Conflict, NotFound and Unavailable."""
        return await self._ask("DELETE", f"/wait?server={quote(self._server)}")

    async def extend(self, user: str, server: str) -> GpusSaid:
        """Let its lease last anew. Raises Conflict, NotFound and Unavailable."""
        return await self._ask("POST", "/extend", {"server": self._server})

    async def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> GpusSaid:
        request = self._http.request(
            method,
            self._url + path,
            server="the hub's service",
            body=None if body is None else msgspec.json.encode(body),
            headers=self._headers,
            read_timeout_s=_TIMEOUT_S,
            direct=urlsplit(self._url).hostname in ("127.0.0.1", "localhost", "::1"),
        )
        try:
            async with request as response:
                status, data = response.status, await response.read()
            if status == HTTPStatus.OK:
                return msgspec.json.decode(data, type=GpusSaid)
        except (AidpError, aiohttp.ClientError, TimeoutError, msgspec.DecodeError) as error:
            raise Unavailable("The hub does not answer.", next_step=_NEXT_STEP) from error
        raise _refusal(status, data)


def _refusal(status: int, data: bytes) -> AidpError:
    try:
        error = msgspec.json.decode(data, type=dict[str, Any]).get("error")
    except msgspec.DecodeError:
        error = None
    if isinstance(error, dict) and status in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
        details = error.get("details")
        step = details.get("next_step") if isinstance(details, dict) else None
        kind = Conflict if status == HTTPStatus.CONFLICT else NotFound
        return kind(str(error.get("message")), next_step=str(step) if step else None)
    return Unavailable(f"The hub does not tell of its GPUs ({status}).", next_step=_NEXT_STEP)
