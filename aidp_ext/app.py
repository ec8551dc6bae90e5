"""Host 1: aidp in a Jupyter server. Builds the services, binds their routes, starts and stops them."""

from __future__ import annotations

import gc
import getpass
import logging
import os
from collections.abc import Callable
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, TypedDict

from jupyter_core.paths import jupyter_data_dir
from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.auth.identity import IdentityProvider, PasswordIdentityProvider, User
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.extension.handler import ExtensionHandlerMixin
from jupyter_server.prometheus.log_functions import prometheus_log_method
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.websocket import WebSocketHandler
from traitlets import Bool, List, Unicode, default

from aidp_ext import live
from aidp_ext._version import __version__
from aidp_ext.ai.actions.routes import ROUTES as ACTION_ROUTES
from aidp_ext.ai.actions.service import ActionService
from aidp_ext.ai.catalog import CLOSED
from aidp_ext.ai.chats.routes import ROUTES as CHAT_ROUTES
from aidp_ext.ai.chats.runs import TrackingServer
from aidp_ext.ai.chats.service import ChatService
from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.context.routes import ROUTES as CONTEXT_ROUTES
from aidp_ext.ai.context.service import ContextService
from aidp_ext.ai.routes import ROUTES as AI_ROUTES
from aidp_ext.ai.routes import USER_ROUTES as AI_USER_ROUTES
from aidp_ext.ai.service import AiService
from aidp_ext.busy import Busy
from aidp_ext.core.audit import AuditLog
from aidp_ext.core.errors import Forbidden, StorageError, Unauthenticated
from aidp_ext.core.openapi import PATTERN, OpenApi
from aidp_ext.core.web import Action, Api, Route, UnknownEndpoint, bind, endpoint
from aidp_ext.experiments.config import ExperimentsConfig
from aidp_ext.experiments.proxy.routes import ROUTES as MLFLOW_ROUTES
from aidp_ext.experiments.routes import ROUTES as EXPERIMENT_ROUTES
from aidp_ext.git.config import GitConfig
from aidp_ext.git.credentials import Credentials, HubSignIn
from aidp_ext.git.routes import ROUTES as GIT_ROUTES
from aidp_ext.hub.lease_routes import USER_ROUTES as GPU_ROUTES
from aidp_ext.hub.link import HubGpus
from aidp_ext.hub.memory_routes import ROUTES as MEMORY_ROUTES
from aidp_ext.kernels import HIDDEN, KernelAuthorizer, KernelIdentity, Kernels, bears, owner_of
from aidp_ext.personas import Personas
from aidp_ext.tracking import Host, Tracking, for_team, team_uri

if TYPE_CHECKING:
    from aidp_ext.git.service import GitService


def _owner_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without an entry
        return "owner"


OWNER = _owner_name()


class HealthSaid(TypedDict):
    """That it is there."""

    status: str
    version: str


class Health(Api):
    """``health``: whether the extension is there, and which version."""

    @endpoint("read", gives=HealthSaid)
    async def get(self) -> None:
        """Return the version."""
        self.reply({"status": "ok", "version": __version__})


#: What is served below ``aidp/``.
ROUTES: tuple[Route, ...] = (
    ("health", Health),
    (PATTERN, OpenApi),
    *AI_ROUTES,
    *AI_USER_ROUTES,
    *CONTEXT_ROUTES,
    *ACTION_ROUTES,
    *CHAT_ROUTES,
    *GIT_ROUTES,
    *GPU_ROUTES,
    *MEMORY_ROUTES,
    *EXPERIMENT_ROUTES,
    *MLFLOW_ROUTES,
    (r".*", UnknownEndpoint),
)


class _Owner:
    """The server's identity provider, for a request that bears the server's own token.

    Jupyter would invent an anonymous user for each such request and sign a login cookie for it. Programs keep no
    cookies, and the audit record wants a name: whoever has the token acts for the owner of the server.
    """

    def __init__(self, provider: IdentityProvider) -> None:
        self._provider = provider

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    def get_user(self, handler: Any) -> User:
        handler._token_authenticated = True  # as Jupyter's own provider says it
        return User(OWNER)


class _Identified:
    """Who the caller is, from Jupyter's identity provider; nobody gets 401 for every method, also unknown ones."""

    auth_resource = "aidp"
    current_user: Any
    request: Any
    settings: dict[str, Any]
    for_kernels = False  # an Api's own word comes before this
    _bearer: _Owner | KernelIdentity | None = None

    def who(self) -> str:
        """The caller's name for the audit record: one person's server knows only its owner."""
        return OWNER if self._has_one_user(super().identity_provider) else str(self.current_user.username)  # type: ignore[misc]

    def teams(self) -> tuple[str, ...]:
        """No teams: this is one person's server."""
        return ()

    def sees_everybody(self) -> bool:
        """Yes: there are no others."""
        return True

    @property
    def identity_provider(self) -> Any:
        """Jupyter's own, unless this request bears the server's token or, where it may, the kernels'."""
        if self._bearer is not None:
            return self._bearer
        provider = super().identity_provider  # type: ignore[misc]
        if self.for_kernels and bears(self.request.headers, self.settings["aidp_kernel_token"]):
            self._bearer = KernelIdentity(provider, owner_of(OWNER))
        elif self._has_one_user(provider) and bears(self.request.headers, provider.token):
            self._bearer = _Owner(provider)
        return self._bearer or provider

    @property
    def authorizer(self) -> Any:
        """Jupyter's own, unless this request bears the kernels' token, which passes here and nowhere else."""
        return KernelAuthorizer() if isinstance(self._bearer, KernelIdentity) else super().authorizer  # type: ignore[misc]

    @staticmethod
    def _has_one_user(provider: Any) -> bool:
        return type(provider) in (IdentityProvider, PasswordIdentityProvider)

    async def prepare(self) -> None:
        if self.for_kernels and "Authorization" not in self.request.headers and "X-Api-Key" in self.request.headers:
            # The way in which Anthropic's clients send a token; the hub's identity provider knows the other only.
            self.request.headers["Authorization"] = f"Bearer {self.request.headers['X-Api-Key']}"
        try:
            await super().prepare()  # type: ignore[misc]
        except web.HTTPError as error:
            # With allow_unauthenticated_access off, Jupyter refuses by itself, with a 403.
            if error.status_code == 403 and self.current_user is None:
                raise _unauthenticated() from error
            raise
        self._refuse_nobody()

    def check_xsrf_cookie(self) -> None:
        # Tornado calls this before the user is known, Jupyter again afterwards.
        if hasattr(self, "_jupyter_current_user"):
            self._refuse_nobody()
        try:
            super().check_xsrf_cookie()  # type: ignore[misc]
        except web.HTTPError as error:
            # A wrong token beside a browser's cookie: "_xsrf argument missing" would help nobody.
            if "Authorization" in self.request.headers:
                raise _unauthenticated() from error
            raise

    def _refuse_nobody(self) -> None:
        if self.current_user is None:
            if bears(self.request.headers, self.settings["aidp_kernel_token"]):
                step = "Do it in Lab, or with the server's own token."
                raise Forbidden(
                    "The token that kernels have is for asking models and logging runs, and for nothing else.",
                    next_step=step,
                )
            raise _unauthenticated()


def _unauthenticated() -> Unauthenticated:
    step = "Open Lab with the link that the server printed, or send the token as `Authorization: Bearer …`."
    return Unauthenticated("A valid token is needed.", next_step=step)


class HttpBase(_Identified, ExtensionHandlerMixin, APIHandler):  # type: ignore[misc]
    """The base of aidp's HTTP handlers in a Jupyter server."""

    finish_takes_content_type = True

    def _log(self) -> None:
        """Spare a success the debug line that Jupyter would format for it and then drop; its metrics stay.

        Tornado keeps this method for applications to override. The line costs a tenth of a request.
        """
        if self.get_status() >= 300 or self.serverapp.log_level in (logging.DEBUG, "DEBUG"):
            super()._log()
        elif self.serverapp.record_http_request_metrics:
            prometheus_log_method(self)


class WsBase(_Identified, ExtensionHandlerMixin, WebSocketMixin, WebSocketHandler, JupyterHandler):  # type: ignore[misc]
    """The base of aidp's websockets in a Jupyter server."""

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Upgrade the connection."""
        await WebSocketHandler.get(self, *args, **kwargs)


def guard(method: Callable[..., Any], action: Action, is_websocket: bool) -> Callable[..., Any]:
    """Return ``method`` behind Jupyter's authentication and, inside it, authorisation for ``action`` on ``aidp``."""
    allowed: Callable[..., Any] = authorized(action)(method)
    guarded: Callable[..., Any] = (ws_authenticated if is_websocket else web.authenticated)(allowed)
    return guarded


class AidpApp(ExtensionApp):
    """The server extension."""

    name = "aidp_ext"
    classes = [AiConfig, ExperimentsConfig, GitConfig]
    kernels: Kernels | None = None
    busy: Busy | None = None

    state_dir = Unicode(
        help="Where the mode and the audit record are kept. Default: aidp/ in Jupyter's data folder."
    ).tag(config=True)

    govern_kernels = Bool(
        True,
        help="Whether kernels and terminals get OPENAI_BASE_URL, ANTHROPIC_BASE_URL and a token for the AI endpoints in"
        " place of the server's own keys, and Python kernels of the server's environment the %%ai magic.",
    ).tag(config=True)
    hidden_from_kernels = List(
        Unicode(),
        default_value=list(HIDDEN),
        help="Patterns over the names of variables that kernels and terminals do not get from the server. A notebook"
        " that needs one of them needs the list without it.",
    ).tag(config=True)

    allow_workspace_personas = Bool(
        False,
        help="Whether jupyter-ai may run the Python files in a workspace's .jupyter/personas inside the server, and"
        " heed its .jupyter/mcp_settings.json. Whoever can write there, a cloned repository too, then runs code here.",
    ).tag(config=True)

    @default("state_dir")
    def _default_state_dir(self) -> str:
        return str(Path(jupyter_data_dir()) / "aidp")

    def initialize_settings(self) -> None:
        """Build the services; nothing is started or contacted yet."""
        assert self.serverapp is not None
        workspace = Path(self.serverapp.root_dir).absolute() if self.serverapp.root_dir else None
        self.ai = AiService(AiConfig(parent=self), Path(self.state_dir), workspace=workspace)
        self.settings["aidp_ai"] = self.ai
        self.context = ContextService(workspace, self.ai.rules)
        self.settings["aidp_context"] = self.context
        self.settings["aidp_actions"] = ActionService(self.ai, self.context, workspace, self.hidden_from_kernels)
        self.settings["aidp_kernel_token"] = token_urlsafe(32) if self.govern_kernels else ""
        self._initialize_experiments(workspace)
        self.settings["aidp_chat"] = ChatService(self.ai, self.context, workspace, self.tracking.run)
        self.settings["aidp_chat_user"] = self._name_of_sender
        self._initialize_git(workspace)
        self.gpus = HubGpus.from_env(os.environ)
        self.settings["aidp_gpus"] = self.gpus
        self.personas.confine(allow_workspace=self.allow_workspace_personas)
        self.settings["aidp_routes"] = ROUTES
        # Each load of Lab's page would run Node twice, to look for extensions in source that wait to be built: they
        # come built since Lab 3. Whoever has one asks for the check in labconfig/page_config.json, which comes before.
        self.settings.setdefault("page_config_data", {}).setdefault("buildCheck", False)

    def _initialize_git(self, workspace: Path | None) -> None:
        config = GitConfig(parent=self)
        folder = Path(self.state_dir) / "git"
        self.audit = AuditLog(Path(self.state_dir) / "audit.jsonl")  # the AI's too: a lock orders the records
        self.credentials = Credentials(
            folder,
            lambda event, **fields: self.audit.append(event, OWNER, **fields),
            forges=config.forges,
            hub=HubSignIn.from_env(os.environ),
            owners=frozenset(config.allowed_owners),
            device_client_id=config.device_client_id,
        )
        self.git: GitService | None = None

        def git() -> GitService:
            if self.git is None:
                from aidp_ext.git.service import GitService
                from aidp_ext.git_parts import ask_with, find_secrets

                self.git = GitService(
                    workspace,
                    folder,
                    config,
                    accounts=self.credentials.accounts,
                    find=find_secrets,
                    ask=ask_with(self.ai),
                    runs_of=self.experiments.runs_of,
                    shipped=self.experiments.shipped,
                )
            return self.git

        self.settings["aidp_git"] = git

    def _initialize_experiments(self, workspace: Path | None) -> None:
        token = self.settings["aidp_kernel_token"]
        host = Host(self.serverapp, Path(self.state_dir), workspace, owner_of(OWNER), self.ai, token)
        self.experiments = Tracking(ExperimentsConfig(parent=self), host)
        self.settings["aidp_mlflow"] = self.experiments.proxy
        self.settings["aidp_experiments"] = self.experiments.service
        self.settings["aidp_team"] = self.experiments.team
        self.tracking = TrackingServer(
            self.experiments.address(), lambda: self.ai.mode in CLOSED, own=self.experiments.upstream
        )

    def _name_of_sender(self, sender: str) -> str:
        """Return who sent a message of a chat, for the record: as `_Identified.who` names those who call."""
        assert self.serverapp is not None
        return OWNER if not sender or _Identified._has_one_user(self.serverapp.identity_provider) else sender

    def initialize_handlers(self) -> None:
        """Bind the routes of every slice."""
        routes = for_team(ROUTES) if team_uri(ExperimentsConfig(parent=self)) else ROUTES
        self.handlers.extend(
            (rf"/aidp/{pattern}", handler) for pattern, handler in bind(routes, HttpBase, WsBase, guard)
        )

    def _link_jupyter_server_extension(self, serverapp: Any) -> None:
        self.personas = Personas(serverapp)
        super()._link_jupyter_server_extension(serverapp)

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        logging.getLogger("aidp").parent = self.log
        self._start_kernels(serverapp)  # before anything is awaited: no kernel may come first
        live.save_at_the_end(serverapp)
        await self._start_credentials()
        await self.ai.start()
        self.experiments.look_back()
        self.busy = Busy(serverapp)
        self.busy.start()
        # What is loaded by then stays, and a collector that looks through it costs a twentieth of each request.
        self.ai.after_first_look(gc.freeze)

    async def _start_credentials(self) -> None:
        """Tell every git of this server, of its kernels and its terminals where to ask for a token: no secret in it."""
        try:
            await self.credentials.start()
        except StorageError as error:
            self.log.warning("git gets no tokens: %s", error.message)
        os.environ.update(self.credentials.environment())

    def _start_kernels(self, serverapp: Any) -> None:
        if self.govern_kernels:
            routes = [
                (url_path_join(serverapp.base_url, pattern), handler, {"name": self.name})
                for pattern, handler, *_ in self.handlers
                if getattr(handler, "for_kernels", False)
            ]
            self.kernels = Kernels(
                serverapp,
                self.settings["aidp_kernel_token"],
                routes,
                hidden=self.hidden_from_kernels,
                more=self.experiments.variables,
            )
            self.kernels.start()

    async def stop_extension(self) -> None:
        """End what is under way."""
        if self.busy is not None:
            await self.busy.stop()
        if self.kernels is not None:
            await self.kernels.stop()
        self.context.close()
        await self.tracking.close()
        if self.git is not None:
            await self.git.close()
        await self.experiments.close()
        await self.credentials.stop()
        if self.gpus is not None:
            await self.gpus.close()
        self.audit.close()
        await self.ai.stop()
