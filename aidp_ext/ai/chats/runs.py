"""A run of the tracking server in short, by MLflow's REST API (``2.0/mlflow/runs/get``)."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import msgspec

from aidp_ext.core.errors import InvalidRequest, NotFound, Unavailable, UpstreamInvalid
from aidp_ext.core.http import HttpClient, origin, shown

_MOST_BYTES = 4_000_000
_MOST_VALUES = 60  # of each kind
_SECONDS = 5.0
_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SERVER = "the tracking server"


class OwnServer(Protocol):
    """A tracking server of this machine that is not at an address; it is started where needed."""

    @property
    def database(self) -> Path | None:
        """The file where it keeps its runs, if in one."""

    def request(
        self, method: str, path: str, *, params: Mapping[str, Any] | None = None, timeout_s: float | None = 30.0
    ) -> AbstractAsyncContextManager[Any]:
        """Send one request and give the response, as aiohttp has it. Raises Unavailable and UpstreamError."""


class TrackingServer:
    """Reads runs. Nothing is contacted before the first one is asked for."""

    def __init__(
        self,
        environment: Mapping[str, str],
        is_closed: Callable[[], bool],
        own: Callable[[], OwnServer] | None = None,
    ) -> None:
        """``environment`` names the server as MLflow's clients know it; ``is_closed``: nothing leaves the machine.

        ``own`` is asked where the environment names none: to it nothing leaves.
        """
        self._own = own
        self._uri = environment.get("MLFLOW_TRACKING_URI", "").strip().rstrip("/")
        self._headers = _authorization(environment)
        self._is_closed = is_closed
        self._http = HttpClient(connect_timeout_s=_SECONDS, allows=self._may_contact)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    async def run(self, run_id: str) -> str:
        """Return a run's name, state, parameters, metrics and notes in some lines.

        Raises Unavailable without a server, InvalidRequest, NotFound, PolicyRefused, UpstreamError.
        """
        if not _RUN_ID.fullmatch(run_id):
            raise InvalidRequest(f"{run_id[:80]!r} is not the id of a run.")
        if self._has_nothing():
            raise NotFound(f"The tracking server knows no run {run_id}.")
        async with self._asked(run_id) as response:
            data = await response.content.read(_MOST_BYTES)
            while len(data) < _MOST_BYTES and (more := await response.content.read(_MOST_BYTES - len(data))):
                data += more
        if response.status == 404:
            raise NotFound(f"The tracking server knows no run {run_id}.")
        if response.status != 200:
            where = f" at {shown(self._uri)}" if self._is_at_an_address() else ""
            raise UpstreamInvalid(f"The tracking server{where} answered {response.status}.")
        try:
            return _told(_ANSWER.decode(data).run)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamInvalid("What the tracking server says of the run cannot be understood.") from error

    def _has_nothing(self) -> bool:
        """Return whether our own server has never kept a run: it need not be started to know."""
        if self._own is None or self._is_at_an_address():
            return False
        database = self._own().database
        return database is not None and not database.exists()

    @contextlib.asynccontextmanager
    async def _asked(self, run_id: str) -> AsyncIterator[Any]:
        path = "/api/2.0/mlflow/runs/get"
        if self._is_at_an_address():
            url = f"{self._uri}{path}?run_id={quote(run_id)}"
            async with self._http.request(
                "GET", url, server=_SERVER, headers=self._headers, total_timeout_s=_SECONDS, direct=self._is_here()
            ) as response:
                yield response
        elif self._own is not None:
            async with self._own().request("GET", path, params={"run_id": run_id}, timeout_s=_SECONDS) as response:
                yield response
        else:
            raise Unavailable(
                "Runs cannot be read: MLFLOW_TRACKING_URI names no tracking server.",
                next_step="Set it to an http(s) address and restart.",
            )

    def _is_at_an_address(self) -> bool:
        return self._uri.startswith(("http://", "https://"))

    def _may_contact(self, url: str) -> bool:
        return origin(url) == origin(self._uri) and (not self._is_closed() or self._is_here())

    def _is_here(self) -> bool:
        host = urlsplit(self._uri).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def _authorization(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the header that MLflow's own clients send: by a token, or by a user's name and password."""
    if token := environment.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    user, password = environment.get("MLFLOW_TRACKING_USERNAME"), environment.get("MLFLOW_TRACKING_PASSWORD")
    if user and password:
        return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}
    return {}


class _Pair(msgspec.Struct):
    key: str
    value: Any = ""


class _Info(msgspec.Struct):
    run_id: str = ""
    run_name: str = ""
    status: str = ""


class _Data(msgspec.Struct):
    params: list[_Pair] = msgspec.field(default_factory=list)
    metrics: list[_Pair] = msgspec.field(default_factory=list)
    tags: list[_Pair] = msgspec.field(default_factory=list)


class _Run(msgspec.Struct):
    info: _Info
    data: _Data = msgspec.field(default_factory=_Data)


class _Answer(msgspec.Struct):
    run: _Run


_ANSWER = msgspec.json.Decoder(_Answer)


def _told(run: _Run) -> str:
    lines = [f"run {run.info.run_id}: {run.info.run_name}, {run.info.status}".strip(": ,")]
    data = run.data
    for title, pairs in (("parameters", data.params), ("metrics, last values", data.metrics), ("tags", data.tags)):
        values = [f"  {_line(one.key, 200)} = {_line(one.value, 500)}" for one in pairs]
        if values:
            lines += [f"{title}:", *values[:_MOST_VALUES]]
        if len(values) > _MOST_VALUES:
            lines.append(f"  … {len(values) - _MOST_VALUES} more")
    return "\n".join(lines)


def _line(value: object, most: int) -> str:
    return " ".join(str(value).split())[:most]
