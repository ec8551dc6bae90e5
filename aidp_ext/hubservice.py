"""Host 2: aidp as the service of a hub (``python -m aidp_ext.hubservice``): one process, or several beside it.

It is the team's gateway: it alone has the organisation's keys. A caller is proven by a hub token and needs the scope
``custom:aidp:<action>``. Requests come through the hub's proxy below ``/services/aidp/aidp/``.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import hmac
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler, HubOAuthenticated, UserNotAllowed
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
from aidp_ext.experiment_parts import explain_with
from aidp_ext.experiments.proxy.routes import ROUTES as MLFLOW_ROUTES
from aidp_ext.experiments.routes import ROUTES as EXPERIMENT_ROUTES
from aidp_ext.experiments.team.routes import ROUTES as ACCESS_ROUTES
from aidp_ext.gateway import KEYS_FILE, SERVICE_CONFIG, load_config, read_keys, token_cache_s
from aidp_ext.hub.admin import Admin
from aidp_ext.hub.admin_routes import ROUTES as ADMIN_ROUTES
from aidp_ext.hub.lease_routes import ROUTES as LEASE_ROUTES
from aidp_ext.hub.metrics import HubMetrics
from aidp_ext.hub.roster import Roster
from aidp_ext.hub.token_routes import ROUTES as TOKEN_ROUTES
from aidp_ext.hub.tokens import ForgeTokens
from aidp_ext.hub_parts import spend_of
from aidp_ext.team_gpus import ServiceGpus, service_gpus
from aidp_ext.team_tracking import TeamTracking, team_tracking

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

        hub: HubMetrics | None = self.settings.get("aidp_hub_metrics")
        if hub is not None:
            await hub.refresh(self.settings.get("aidp_leases"))
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(generate_latest())


#: What is served below ``aidp/``.
ROUTES: tuple[Route, ...] = (
    ("health", Health),
    ("metrics", Metrics),
    (PATTERN, OpenApi),
    *AI_ROUTES,
    *TOKEN_ROUTES,
    *ADMIN_ROUTES,
    *LEASE_ROUTES,
    (r".*", UnknownEndpoint),
)

#: What is served there beside it where the hub keeps the team's runs.
TRACKING_ROUTES: tuple[Route, ...] = (
    *ACCESS_ROUTES,
    # The code of a run is made anew in a workspace, and there is none here: that is for a user's server to do.
    *((pattern, route) for pattern, route in EXPERIMENT_ROUTES if not pattern.endswith("/restore-code")),
    *MLFLOW_ROUTES,
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
        owner's, and whatever runs there must not see more. Nor must a page of MLflow's that an admin has opened, whose
        content others made: their browser's session is for the admin's page alone.
        """
        return self.is_program() and bool(self.hub_auth.check_scopes({ADMIN}, self.current_user))

    def is_program(self) -> bool:
        """Whether a token in the request says who calls; else it is a cookie, which a browser sends by itself."""
        return bool(getattr(self, "_token_authenticated", False))  # JupyterHub's mark

    def page_token(self) -> str:
        """What the admin's page is given for this session, and no other page can find out."""
        known = f"admin's page:{self.who()}:{self.xsrf_token.decode()}"
        return hmac.new(self.hub_auth.api_token.encode(), known.encode(), "sha256").hexdigest()

    def hub_address(self) -> str:
        """Where the hub's own pages are: a path, or a whole address where each user has a domain."""
        return str(self.hub_auth.hub_host + self.hub_auth.hub_prefix)

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
            if self._is_page():
                self.redirect(self.get_login_url())
                return
            raise Unauthenticated("A valid hub token is needed.", next_step="Send it as `Authorization: Bearer …`.")
        try:
            self.current_user = self.check_hub_user(model)
        except UserNotAllowed as error:
            raise Forbidden("Your account may not use this service.", next_step="Ask the hub's admin.") from error
        result = super().prepare()
        if result is not None:
            await result

    def _is_page(self) -> bool:
        """Whether a person has opened a page in a browser: they are led to the hub's sign-in, programs are not."""
        headers = self.request.headers
        return (
            self.request.method == "GET"
            and self.request.path.endswith(("/mlflow/", "/hub/admin"))
            and "Authorization" not in headers
            and headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
            and "text/html" in headers.get("Accept", "")
        )


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
    """The base of aidp's websockets in the hub service.

    They stay open for hours, so who holds one is asked again and again: rights that are taken back end it.
    """

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Upgrade the connection; this returns when it is closed."""
        watch = asyncio.create_task(self._watch_caller())
        try:
            await super().get(*args, **kwargs)
        finally:
            watch.cancel()

    async def _watch_caller(self) -> None:
        known = self._rights(self.current_user)
        while True:
            await asyncio.sleep(self.hub_auth.cache_max_age)
            self.__dict__.pop("_cached_hub_user", None)  # where JupyterHub keeps the answer for the handler's life
            try:
                model = await self.hub_auth.get_user(self, sync=False)
            except web.HTTPError:  # the hub is away; its answer counts when it is back
                continue
            if model is None or self._rights(model) != known:
                self.close(4001, "your rights have changed")
                return

    @staticmethod
    def _rights(model: Any) -> tuple[Any, ...]:
        return model["name"], sorted(model.get("groups") or ()), sorted(model.get("scopes") or ())


def guard(method: Callable[..., Any], action: Action, is_websocket: bool) -> Callable[..., Any]:
    """Return ``method`` behind the hub's authentication and, inside it, the check of the scope for ``action``."""

    @functools.wraps(method)
    async def scoped(self: Any, *args: Any, **kwargs: Any) -> Any:
        needed = getattr(self, "scope", f"custom:aidp:{action}")
        if not self.hub_auth.check_scopes({needed}, self.current_user):
            raise Forbidden(f"Your account may not {action} here.", next_step="Ask the hub's admin.")
        return await method(self, *args, **kwargs)

    guarded: Callable[..., Any] = web.authenticated(scoped)
    return guarded


class Callback(HubOAuthCallbackHandler):
    """``oauth_callback``: where the hub's sign-in leads back to, for the admin's page and MLflow's in a browser."""


def make_app(
    prefix: str,
    ai: AiService,
    *,
    cache_s: int = 30,
    forge: ForgeTokens | None = None,
    tracking: TeamTracking | None = None,
    admin: Admin | None = None,
    gpus: ServiceGpus | None = None,
) -> web.Application:
    """Return the application. ``prefix`` is the service's path on the hub, with slashes at both ends.

    ``cache_s`` is how long, in seconds, a token that was revoked may still pass; ``forge`` has the users' tokens at
    the forge where the hub signs in; ``tracking`` has the team's runs; ``admin`` knows the hub's users;
    ``gpus`` are what it leases to them.
    """
    # Before its cache is first used: a revoked token must not live for the default five minutes.
    HubOAuth.instance(cache_max_age=cache_s)
    routes = (*TRACKING_ROUTES, *ROUTES) if tracking is not None else ROUTES
    bound = [(rf"{prefix}aidp/{pattern}", handler) for pattern, handler in bind(routes, HttpBase, WsBase, guard)]
    handlers: list[Any] = [(rf"{prefix}oauth_callback", Callback), *bound]
    # xsrf_cookies stays off: Tornado would check before the user is known, and HubOAuth checks cookie requests itself.
    app = web.Application(handlers, cookie_secret=secrets.token_bytes(32), websocket_ping_interval=30)
    app.settings.update(aidp_ai=ai, aidp_routes=routes, aidp_forge=forge, aidp_admin=admin)
    if admin is not None:
        app.settings["aidp_hub_metrics"] = HubMetrics(admin.roster)
    if tracking is not None:
        app.settings.update(tracking.settings())
    if gpus is not None:
        app.settings.update(gpus.settings())
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
    tracking = team_tracking(state, audit.append, explain_with(ai))
    roster = Roster(env["JUPYTERHUB_API_URL"], env["JUPYTERHUB_API_TOKEN"])
    admin = Admin(roster, audit.path, audit.append, spend_of(ai))
    gpus = service_gpus(env, state, audit.append, roster)
    app = make_app(prefix, ai, cache_s=token_cache_s(env), forge=forge, tracking=tracking, admin=admin, gpus=gpus)
    server = HTTPServer(app, max_buffer_size=4 * config.max_prompt_bytes)
    server.listen(address.port or 0, address.hostname or "127.0.0.1")
    await ai.start()
    if gpus is not None:
        gpus.start()
    # What is loaded by then stays, and a collector that looks through it costs a twentieth of each request.
    ai.after_first_look(gc.freeze)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    log.info("aidp %s serves %s", __version__, prefix)
    await stop.wait()
    server.stop()
    if gpus is not None:
        await gpus.close()
    if tracking is not None:
        await tracking.close()
    await ai.stop()
    await forge.close()
    await admin.close()
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
