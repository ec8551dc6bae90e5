"""What may pass to the tracking server, and how it is changed on the way."""

from __future__ import annotations

import posixpath
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol
from urllib.parse import unquote

from msgspec import Struct, field

from aidp_ext.core.errors import Forbidden
from aidp_ext.experiments.models import Caller


class Asked(Struct, frozen=True):
    """A request for the tracking server."""

    caller: Caller
    method: str
    path: str  # below the proxy's own, as it came: begins with "/" and is still encoded
    query: str  # as it came
    headers: Mapping[str, str]


class Passage(Struct, frozen=True):
    """How a request goes on."""

    path: str
    query: str
    body: bytes | None = None  # JSON to send in place of what came; None: what comes is passed on
    headers: Mapping[str, str] = field(default_factory=dict)  # to be added
    #: Given the status and the whole answer, returns those that the caller gets; None: it is passed on as it comes.
    answer: Callable[[int, bytes], Awaitable[tuple[int, bytes]]] | None = None


class Gate(Protocol):
    """Decides on each request before anything of it is sent."""

    def reads_body(self, method: str, path: str) -> bool:
        """Return whether it has to see the whole body; else ``check`` gets none."""

    async def check(self, asked: Asked, body: bytes) -> Passage:
        """Return how it goes on. Raises Forbidden, InvalidRequest and NotFound."""


#: What runs programs on the server's machine, or asks models around the server's own rules.
_CLOSED = {
    "ajax-api/3.0/mlflow/assistant": "MLflow's assistant would run programs of this machine for every caller",
    "ajax-api/3.0/jobs": "Jobs run in the tracking server itself",
    "gateway": "Models are asked through aidp, under its rules",
    "ajax-api/2.0/mlflow/gateway-proxy": "Models are asked through aidp, under its rules",
}


#: The question of MLflow's own page for models to try: refusing it would greet everybody with a warning.
_LISTS_MODELS = ("GET", "/ajax-api/2.0/mlflow/gateway-proxy", "api/2.0/endpoints/")


class OpenGate:
    """Lets one user do all with the runs, and nothing that is not about runs."""

    def reads_body(self, method: str, path: str) -> bool:
        """Return False."""
        return False

    async def check(self, asked: Asked, body: bytes) -> Passage:
        """Return the request as it is. Raises Forbidden."""
        if (asked.method, asked.path, unquote(asked.query.removeprefix("gateway_path="))) != _LISTS_MODELS:
            refuse_closed(asked.path)
        own = {name: value for name, value in asked.headers.items() if name.lower().startswith("x-mlflow-")}
        return Passage(asked.path, asked.query, headers=own)


def refuse_closed(path: str) -> None:
    """Raise Forbidden for the parts of MLflow that are closed, however their path is written."""
    plain = path
    while (decoded := unquote(plain)) != plain:
        plain = decoded
    plain = posixpath.normpath(plain.replace("\\", "/")).strip("/").casefold()
    for closed, why in _CLOSED.items():
        if plain == closed or plain.startswith(f"{closed}/"):
            raise Forbidden(f"{why}: this part of MLflow is closed.")
