"""The servers of those who have GPUs, as the hub's API tells them: whether they run, and an end to them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from aidp_ext.core.errors import AidpError, Unavailable
from aidp_ext.core.http import HttpClient

_TIMEOUT_S = 20.0
#: The hub answers by itself after 10 seconds, whether or not the server has ended by then.
_STOP_TIMEOUT_S = 60.0


class _User(msgspec.Struct):
    servers: Mapping[str, Any] = {}


class HubServers:
    """Asks the hub at ``api_url``. What it may there is the role ``aidp-gpus`` in ``hub_config/roles.py``."""

    def __init__(self, api_url: str, api_token: str) -> None:
        self._url = api_url.rstrip("/") + "/users/"
        self._headers = {"Authorization": f"Bearer {api_token}"}
        self._http = HttpClient()

    async def close(self) -> None:
        """Close the connections to the hub."""
        await self._http.close()

    async def running(self, user: str) -> set[str] | None:
        """Return the names of a user's servers that run, start or stop; None where the hub does not say."""
        try:
            status, data = await self._ask("GET", quote(user, safe=""), _TIMEOUT_S)
            if status == HTTPStatus.NOT_FOUND:  # they were deleted, and their servers with them
                return set()
            return set(msgspec.json.decode(data, type=_User).servers) if status == HTTPStatus.OK else None
        except (Unavailable, msgspec.DecodeError):
            return None

    async def stop(self, user: str, server: str) -> None:
        """Stop a server, or let it be where it has ended or ends already. Raises Unavailable."""
        which = f"servers/{quote(server, safe='')}" if server else "server"
        status, _ = await self._ask("DELETE", f"{quote(user, safe='')}/{which}", _STOP_TIMEOUT_S)
        if status not in (HTTPStatus.NO_CONTENT, HTTPStatus.ACCEPTED, HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST):
            raise Unavailable(f"The hub did not stop {user}'s server ({status}).", next_step="Look into the hub's log.")

    async def _ask(self, method: str, path: str, timeout_s: float) -> tuple[int, bytes]:
        request = self._http.request(
            method, self._url + path, server="the hub", headers=self._headers, read_timeout_s=timeout_s, direct=True
        )
        try:
            async with request as response:
                return response.status, await response.read()
        except (AidpError, aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable("The hub does not answer.", next_step="Look whether it runs.") from error
