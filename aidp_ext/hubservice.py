"""Host 2: aidp as the hub's one managed service. The hub starts it (``python -m aidp_ext.hubservice``).

It is the team's gateway: it alone has the organisation's keys. A caller is proven by a hub token and needs the scope
``custom:aidp:<action>``. Requests come through the hub's proxy below ``/services/aidp/aidp/``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuth, HubOAuthenticated, UserNotAllowed
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.websocket import WebSocketHandler
from traitlets.config import Config

from aidp_ext._version import __version__
from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.routes import ROUTES as AI_ROUTES
from aidp_ext.ai.service import AiService
from aidp_ext.core.errors import Forbidden, Unauthenticated
from aidp_ext.core.web import Action, Api, Route, UnknownEndpoint, bind, endpoint

log = logging.getLogger("aidp")

CACHE_S = 30  # how long a revoked token may still pass


class Health(Api):
    """``health``: whether the service is there, and which version."""

    @endpoint("read")
    async def get(self) -> None:
        """Return the version and who asks."""
        self.reply({"status": "ok", "version": __version__, "user": self.who()})


class Metrics(Api):
    """``metrics``: for Prometheus."""

    @endpoint("read")
    async def get(self) -> None:
        """Return all metrics of the service, to the hub's admins and services."""
        if not self.sees_everybody():
            raise Forbidden("Metrics are for the hub's admins.", next_step="Ask the hub's admin.")
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(generate_latest())


class _Identified(HubOAuthenticated):
    """Who the caller is, as the hub knows the token; nobody gets 401."""

    def who(self) -> str:
        return str(self.current_user["name"])

    def teams(self) -> tuple[str, ...]:
        """The hub's groups that the caller is in."""
        return tuple(self.current_user.get("groups") or ())

    def sees_everybody(self) -> bool:
        """Whether the caller may see what others did: the hub's admins."""
        return bool(self.current_user.get("admin"))

    async def prepare(self) -> None:
        headers = self.request.headers
        if "Authorization" not in headers and "X-Api-Key" in headers:  # as Anthropic's clients send a token
            headers["Authorization"] = f"Bearer {headers['X-Api-Key']}"
        # Set here, so that Tornado's `current_user` never asks the hub by itself: that would block the loop.
        model = await self.hub_auth.get_user(self, sync=False)
        if model is None:
            raise Unauthenticated("A valid hub token is needed.", next_step="Send it as `Authorization: Bearer …`.")
        try:
            self.current_user = self.check_hub_user(model)
        except UserNotAllowed as error:
            raise Forbidden("Your account may not use this service.", next_step="Ask the hub's admin.") from error
        result = super().prepare()
        if result is not None:
            await result


class HttpBase(_Identified, web.RequestHandler):
    """The base of aidp's HTTP handlers in the hub service."""

    def set_default_headers(self) -> None:
        """Keep browsers from guessing types and from caching."""
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")


class WsBase(_Identified, WebSocketHandler):
    """The base of aidp's websockets in the hub service."""


def guard(method: Callable[..., Any], action: Action, is_websocket: bool) -> Callable[..., Any]:
    """Return ``method`` behind the hub's authentication and, inside it, the check of the scope for ``action``."""

    async def scoped(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.hub_auth.check_scopes({f"custom:aidp:{action}"}, self.current_user):
            raise Forbidden(f"Your account may not {action} here.", next_step="Ask the hub's admin.")
        return await method(self, *args, **kwargs)

    guarded: Callable[..., Any] = web.authenticated(scoped)
    return guarded


def make_app(prefix: str, ai: AiService) -> web.Application:
    """Return the application. ``prefix`` is the service's path on the hub, with slashes at both ends."""
    # Before its cache is first used: a revoked token must not live for the default five minutes.
    HubOAuth.instance(cache_max_age=CACHE_S)
    routes: list[Route] = [("health", Health), ("metrics", Metrics), *AI_ROUTES, (r".*", UnknownEndpoint)]
    handlers = [(rf"{prefix}aidp/{pattern}", handler) for pattern, handler in bind(routes, HttpBase, WsBase, guard)]
    # xsrf_cookies stays off: Tornado would check before the user is known, and HubOAuth checks cookie requests itself.
    return web.Application(handlers, aidp_ai=ai, cookie_secret=secrets.token_bytes(32), websocket_ping_interval=30)


async def serve() -> None:
    """Serve until SIGTERM or SIGINT. Reads the address and the prefix from what JupyterHub sets."""
    prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
    address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    state = Path(os.environ.get("AIDP_STATE_DIR") or ".aidp/hub") / "service"
    # The gateway is nobody's gateway but its own; the token in its environment is for asking the hub.
    config = AiConfig(config=Config({"AiConfig": {"gateway_url": ""}}))
    ai = AiService(config, state, keeps_keys=False)
    server = HTTPServer(make_app(prefix, ai), max_buffer_size=4 * config.max_prompt_bytes)
    server.listen(address.port or 0, address.hostname or "127.0.0.1")
    await ai.start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    log.info("aidp %s serves %s", __version__, prefix)
    await stop.wait()
    server.stop()
    await ai.stop()
    await server.close_all_connections()


def main() -> int:
    """Run the service; return its exit status."""
    logging.basicConfig(level=logging.INFO, format="[%(levelname).1s %(asctime)s aidp] %(message)s")
    if "JUPYTERHUB_SERVICE_PREFIX" not in os.environ:
        log.error("this is started by JupyterHub; to run a hub: aidp hub")
        return 2
    asyncio.run(serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
