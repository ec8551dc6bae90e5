"""The two ways to ask a tracking server, by the one way in which a kind of server sends."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp


class Sending(ABC):
    """What `Upstream` says of requests, for a server that knows how to send one."""

    @abstractmethod
    def _sent(
        self, method: str, target: str, options: dict[str, Any]
    ) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send one request with the options of `Wire.send`."""

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = 30.0,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request, as `Upstream` says it."""
        sent = {"params": params, "json": json, "data": data, "headers": headers, "timeout_s": timeout_s}
        async with self._sent(method, path, sent) as response:
            yield response

    @contextlib.asynccontextmanager
    async def forward(
        self, method: str, target: str, *, headers: Mapping[str, str], data: Any = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request on as it is, as `Upstream` says it."""
        async with self._sent(method, target, {"headers": headers, "data": data, "raw": True}) as response:
            yield response
