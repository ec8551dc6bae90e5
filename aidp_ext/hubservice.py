"""Host 2: aidp as the service of a hub (``python -m aidp_ext.hubservice``): one process, or several beside it.

It is the team's gateway: it alone has the organisation's keys. A caller is proven by a hub token and needs the scope
``custom:aidp:<action>``. Requests come through the hub's proxy below ``/services/aidp/aidp/``.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuth, HubOAuthenticated, UserNotAllowed
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.websocket import WebSocketHandler

from aidp_ext._version import __version__
from aidp_ext.ai.routes import ROUTES as AI_ROUTES
from aidp_ext.ai.service import AiService
from aidp_ext.core.audit import AuditLog
from aidp_ext.core.errors import AidpError, Forbidden, Unauthenticated, Unavailable
from aidp_ext.core.openapi import PATTERN, OpenApi
from aidp_ext.core.web import Action, Api, Route, UnknownEndpoint, bind, endpoint
from aidp_ext.gateway import KEYS_FILE, SERVICE_CONFIG, load_config, read_keys, token_cache_s
from aidp_ext.hub.token_routes import ROUTES as TOKEN_ROUTES
from aidp_ext.hub.tokens import ForgeTokens

log = logging.getLogger("aidp")

ADMIN, METRICS = "custom:aidp:admin", "custom:aidp:metrics"
#: What JupyterHub tells a service that it starts, and an admin one that runs elsewhere.
_NEEDED = ("JUPYTERHUB_API_TOKEN", "JUPYTERHUB_API_URL", "JUPYTERHUB_SERVICE_PREFIX", "JUPYTERHUB_SERVICE_URL")


class HealthSaid(TypedDict):
    """That it is there."""

    status: str
    version: str
    user: str


class Health(Api):
    """``health``: whether the service is there, and which version."""

    @endpoint("read", gives=HealthSaid)
    async def get(self) -> None:
        """Return the version and who asks."""
        self.reply({"status": "ok", "version": __version__, "user": self.who()})


class Metrics(Api):
    """``metrics``: for Prometheus."""

    scope = METRICS

    @endpoint("read", gives=str)
    async def get(self) -> None:
        """Return all metrics of this process, to who may read them: admins, and a service such as Prometheus."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(generate_latest())


#: What is served below ``aidp/``.
ROUTES: tuple[Route, ...] = (
    ("health", Health),
    ("metrics", Metrics),
    (PATTERN, OpenApi),
    *AI_ROUTES,
    *TOKEN_ROUTES,
    (r".*", UnknownEndpoint),
)


class _Identified(HubOAuthenticated):
    """Who the caller is, as the hub knows the token; nobody gets 401."""

    def who(self) -> str:
        """The caller's name. A service of the hub's is never taken for a user of that name: no user has a colon."""
        name = str(self.current_user["name"])
        return name if self.current_user.get("kind") == "user" else f"service:{name}"

    def teams(self) -> tuple[str, ...]:
        """The hub's groups that the caller is in."""
        return tuple(self.current_user.get("groups") or ())

    def sees_everybody(self) -> bool:
        """Whether the caller may see what others did.

        By the token's scope, not by who holds it: an admin's own server asks with a token that is nobody's but its
        owner's, and whatever runs there must not see more.
        """
        return bool(self.hub_auth.check_scopes({ADMIN}, self.current_user))

    async def prepare(self) -> None:
        headers = self.request.headers
        if "Authorization" not in headers and "X-Api-Key" in headers:  # as Anthropic's clients send a token
            headers["Authorization"] = f"Bearer {headers['X-Api-Key']}"
        # Set here, so that Tornado's `current_user` never asks the hub by itself: that would block the loop.
        try:
            model = await self.hub_auth.get_user(self, sync=False)
        except web.HTTPError as error:
            if error.status_code < 500:
                raise
            raise Unavailable(
                "The hub does not say at present who you are.", next_step="Try again in a moment."
            ) from error
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

    def _log(self) -> None:
        """Log what fails. Calls are in the audit record, and a line for each would cost a twentieth of a request.

        Tornado keeps this method for applications to override.
        """
        if self.get_status() >= 400:
            super()._log()


class WsBase(_Identified, WebSocketHandler):
    """The base of aidp's websockets in the hub service."""


def guard(method: Callable[..., Any], action: Action, is_websocket: bool) -> Callable[..., Any]:
    """Return ``method`` behind the hub's authentication and, inside it, the check of the scope for ``action``."""

    async def scoped(self: Any, *args: Any, **kwargs: Any) -> Any:
        needed = getattr(self, "scope", f"custom:aidp:{action}")
        if not self.hub_auth.check_scopes({needed}, self.current_user):
            raise Forbidden(f"Your account may not {action} here.", next_step="Ask the hub's admin.")
        return await method(self, *args, **kwargs)

    guarded: Callable[..., Any] = web.authenticated(scoped)
    return guarded


def make_app(prefix: str, ai: AiService, *, cache_s: int = 30, forge: ForgeTokens | None = None) -> web.Application:
    """Return the application. ``prefix`` is the service's path on the hub, with slashes at both ends.

    ``cache_s`` is how long, in seconds, a token that was revoked may still pass; ``forge`` has the users' tokens at
    the forge where the hub signs in.
    """
    # Before its cache is first used: a revoked token must not live for the default five minutes.
    HubOAuth.instance(cache_max_age=cache_s)
    handlers = [(rf"{prefix}aidp/{pattern}", handler) for pattern, handler in bind(ROUTES, HttpBase, WsBase, guard)]
    # xsrf_cookies stays off: Tornado would check before the user is known, and HubOAuth checks cookie requests itself.
    app = web.Application(handlers, cookie_secret=secrets.token_bytes(32), websocket_ping_interval=30)
    app.settings.update(aidp_ai=ai, aidp_routes=ROUTES, aidp_forge=forge)
    return app


async def serve() -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingsError, and AidpError where what is kept cannot be used."""
    env = os.environ
    prefix, address = env["JUPYTERHUB_SERVICE_PREFIX"], urlsplit(env["JUPYTERHUB_SERVICE_URL"])
    state = Path(env.get("AIDP_STATE_DIR") or ".aidp/hub") / "service"
    if keys := env.get(KEYS_FILE):
        # Now, and not by whoever started us: /proc shows what a process was started with.
        env.update(read_keys(Path(keys)))
    settings = env.get(SERVICE_CONFIG)
    config = load_config(Path(settings) if settings else None)
    ai = AiService(config, state, keeps_keys=False)
    audit = AuditLog(state / "audit.jsonl")  # the same file as that of the AI's calls: a lock orders the records
    forge = ForgeTokens(env["JUPYTERHUB_API_URL"], env["JUPYTERHUB_API_TOKEN"], audit.append)
    app = make_app(prefix, ai, cache_s=token_cache_s(env), forge=forge)
    server = HTTPServer(app, max_buffer_size=4 * config.max_prompt_bytes)
    server.listen(address.port or 0, address.hostname or "127.0.0.1")
    await ai.start()
    # What is loaded by then stays, and a collector that looks through it costs a twentieth of each request.
    ai.after_first_look(gc.freeze)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    log.info("aidp %s serves %s", __version__, prefix)
    await stop.wait()
    server.stop()
    await ai.stop()
    await forge.close()
    audit.close()
    await server.close_all_connections()


def main() -> int:
    """Run the service; return its exit status."""
    logging.basicConfig(level=logging.INFO, format="[%(levelname).1s %(asctime)s aidp] %(message)s")
    if missing := [name for name in _NEEDED if not os.environ.get(name)]:
        log.error("this is started by JupyterHub (to run a hub: aidp hub); not set: %s", ", ".join(missing))
        return 2
    try:
        asyncio.run(serve())
    except AidpError as error:
        log.error("%s: %s", error.code, error.message)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
