"""What a Jupyter server gives its kernels and terminals: the AI routes and the tracking server, and a token for them.

Code in a notebook then reaches models by ``openai.OpenAI()`` or ``anthropic.Anthropic()`` without a key of a provider,
under the server's rules, and ``mlflow.start_run()`` logs without anything to set up. The token is good for nothing
else. The server's own secrets are not handed on. That is hygiene and no boundary: code that runs as the same user can
read the server's memory and files.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from hmac import compare_digest
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, NoSuchKernel
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_core.utils import ensure_async
from jupyter_server.auth.identity import User
from jupyter_server.utils import url_path_join
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from aidp_ext import live

#: Names of variables that stay in the server: keys that aidp reads, and what opens Jupyter and the hub.
HIDDEN = (
    *("ANTHROPIC_*TOKEN", "GEMINI_API_KEY", "LOCAL_OPENAI_API_KEY"),
    *("JUPYTER*_TOKEN", "JUPYTER*_SECRET", "JPY_*TOKEN", "GITHUB_*SECRET"),
    *("AIDP_*_TOKEN", "AIDP_*_KEY", "AIDP_*_SECRET", "AIDP_*_PASSWORD", "AIDP_*DATABASE_URL"),
)
_LOOPBACK = "127.0.0.1"
_EVERYWHERE = ("", "*", "0.0.0.0")  # noqa: S104 - recognised, not bound
_EXTENSION = "--InteractiveShellApp.extra_extensions=aidp_ext"


# --- who bears the token ---


class KernelIdentity:
    """The server's identity provider, for a request that bears the kernels' token: it comes from the server's owner."""

    def __init__(self, provider: Any, owner: str) -> None:
        self._provider = provider
        self._owner = owner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    def get_user(self, handler: Any) -> User:
        """Return the owner of the server."""
        handler._token_authenticated = True  # where JupyterHub looks, which replaces Jupyter's check against forgery
        return User(self._owner)

    def is_token_authenticated(self, handler: Any) -> bool:
        """Return True: no cookie is involved, so nothing can be forged from another site."""
        return True

    def should_check_origin(self, handler: Any) -> bool:
        """Return False, as for any token."""
        return False


class KernelAuthorizer:
    """Allows what a route that is open to kernels does. The server's own may know only its own kind of user."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        """Return True: the token was good for this route, and for no other."""
        return True


def bears(headers: Mapping[str, str], token: str) -> bool:
    """Return whether a request's Authorization header holds this token; an empty one is borne by nobody."""
    kind, _, given = headers.get("Authorization", "").partition(" ")
    # as bytes: compare_digest takes no text beyond ASCII
    if kind.lower() == "basic":
        # MLflow's clients send a password that they find in the user's home in place of any token.
        with contextlib.suppress(ValueError):
            kind, given = "token", base64.b64decode(given, validate=True).decode(errors="replace").partition(":")[2]
    return (
        bool(token) and kind.lower() in ("bearer", "token") and compare_digest(given.strip().encode(), token.encode())
    )


def owner_of(server_user: str) -> str:
    """Return whose server this is: the hub's user, or alone the account that it runs as."""
    return os.environ.get("JUPYTERHUB_USER") or server_user


# --- what a child's environment is ---


def changes(current: Mapping[str, str], url: str, token: str, hidden: Sequence[str]) -> dict[str, str | None]:
    """Return the variables that a kernel or terminal gets, with None for those that it must not see.

    ``current`` is the environment that it would have; ``url`` the address of the AI routes, ending in ``/aidp/ai``.
    """
    lost = {name: None for name in current if any(fnmatchcase(name, pattern) for pattern in hidden)}
    given = {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": token,
        "ANTHROPIC_BASE_URL": url,  # its SDK adds /v1/messages
        "ANTHROPIC_API_KEY": token,
        # for %%ai and aidp_ext.ai, which go on working in a notebook that sets the four above to something else
        "AIDP_AI_URL": url,
        "AIDP_AI_TOKEN": token,
    }
    return {**lost, **given, **live.without(current), **_without_proxy(current, url)}


def tracking(
    current: Mapping[str, str], url: str, token: str, *, system_metrics: bool = False, experiment: str | None = None
) -> dict[str, str | None]:
    """Return what kernels and terminals get to log runs by; ``url`` is the address of the routes, ending in ``/aidp``.

    ``experiment`` is where runs go that name none.
    """
    # Else a user and a password from ~/.mlflow/credentials, meant for another server, come in the token's place.
    given: dict[str, str | None] = dict.fromkeys(_OF_ANOTHER_SERVER)
    if (Path.home() / ".mlflow" / "credentials").exists():
        given |= {"MLFLOW_TRACKING_USERNAME": "aidp", "MLFLOW_TRACKING_PASSWORD": token}
    given |= {"MLFLOW_TRACKING_URI": f"{url}/mlflow", "MLFLOW_TRACKING_TOKEN": token}
    if system_metrics:
        given["MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"] = current.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    if experiment and not {"MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"} & set(current):
        given["MLFLOW_EXPERIMENT_NAME"] = experiment
    return given


#: How MLflow's clients would make themselves known to a server that they reach directly.
_OF_ANOTHER_SERVER = (
    *("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4"),
    *("MLFLOW_TRACKING_CLIENT_CERT_PATH", "MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_INSECURE_TLS"),
)


def _without_proxy(current: Mapping[str, str], url: str) -> dict[str, str]:
    """Return NO_PROXY so that it covers the server, where there is a proxy: the SDKs' HTTP clients obey both.

    Without a proxy nothing is set: on macOS a lone NO_PROXY would switch the system's own settings off.
    """
    if not any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name, value in current.items() if value):
        return {}
    listed = ",".join(value for name, value in current.items() if name.lower() == "no_proxy" and value)
    hosts = list(dict.fromkeys(host for part in listed.split(",") if (host := part.strip())))
    if "*" in hosts:
        return {}
    server = url.split("://", 1)[1].split("/", 1)[0].rsplit(":", 1)[0].strip("[]")
    merged = ",".join(dict.fromkeys([*hosts, _LOOPBACK, "localhost", "::1", server]))
    return {"NO_PROXY": merged, "no_proxy": merged}


def is_local(spec: KernelSpec) -> bool:
    """Return whether kernels of this kind run as processes of this machine, started by Jupyter itself."""
    stanza = spec.metadata.get("kernel_provisioner") or {}
    name = stanza.get("provisioner_name") or KernelProvisionerFactory.instance().default_provisioner_name
    return bool(name == "local-provisioner")


def can_load_magics(argv: Sequence[str]) -> bool:
    """Return whether this command starts ipykernel in the server's own environment, where aidp_ext can be imported."""
    if not argv or not {"ipykernel_launcher", "ipykernel"} & set(argv):
        return False
    major, minor = sys.version_info[:2]
    if argv[0] in ("python", f"python{major}", f"python{major}.{minor}"):
        return True  # jupyter_client puts sys.executable in its place
    own, program = Path(sys.executable), Path(shutil.which(argv[0]) or argv[0])
    # The folder too: the pythons of all virtual environments lead to one file.
    return program.parent.resolve() == own.parent.resolve() and program.resolve() == own.resolve()


# --- the server that starts them ---


class Kernels:
    """Governs what one server starts. `start` before the first request is answered, `stop` at the end."""

    def __init__(
        self,
        serverapp: Any,
        token: str,
        routes: Sequence[tuple[str, type, dict[str, Any]]],
        hidden: Sequence[str] = HIDDEN,
        more: Callable[[Mapping[str, str], str], Mapping[str, str | None]] | None = None,
    ) -> None:
        """``routes`` are the ones open to kernels, with their whole paths, for where they need a door of their own.

        ``more(current, url)`` says what else children get, of the environment that they would have and the address of
        aidp's routes, which ends in ``/aidp``.
        """
        self._serverapp = serverapp
        self._token = token
        self._routes = routes
        self._hidden = hidden
        self._more = more
        self._door: HTTPServer | None = None
        self.url = ""  # of the AI routes, ending in /aidp/ai

    def start(self) -> None:
        """Take hold of the kernels and terminals that start from now on. The server's port must be bound."""
        app = self._serverapp
        self.url = url_path_join(self._origin(), app.base_url, "aidp/ai")
        if not app.gateway_config.gateway_enabled:  # else kernels run on the gateway's machine
            app.kernel_manager.start_kernel = self._governed(app.kernel_manager, app.kernel_manager.start_kernel)
        terminals = app.web_app.settings.get("terminal_manager")
        if terminals is not None:
            ours = self._changes(os.environ)
            terminals.extra_env = {**(terminals.extra_env or {}), **ours}

    async def stop(self) -> None:
        """Close the door of its own, where there is one."""
        if self._door is not None:
            self._door.stop()
            await self._door.close_all_connections()
            self._door = None

    def _origin(self) -> str:
        """Return scheme, host and port at which a child process reaches the AI routes."""
        app = self._serverapp
        if app.sock or app.certfile or app.ssl_options:
            return f"http://{_LOOPBACK}:{self._open_door()}"
        if app.ip in _EVERYWHERE:
            return f"http://{_LOOPBACK}:{app.port}"
        host = "[::1]" if app.ip == "::" else f"[{app.ip}]" if ":" in app.ip else app.ip
        return f"http://{host}:{app.port}"

    def _open_door(self) -> int:
        """Serve the routes for kernels, and nothing else, on a loopback port; return the port.

        The SDKs cannot speak to a unix socket, and would not trust a certificate that was made for another name.
        """
        app = self._serverapp
        application = Application(list(self._routes))
        application.settings = app.web_app.settings  # one and the same: identity, services, log
        self._door = HTTPServer(application, max_body_size=app.max_body_size, max_buffer_size=app.max_buffer_size)
        (socket,) = bind_sockets(0, _LOOPBACK)
        self._door.add_socket(socket)
        return int(socket.getsockname()[1])

    def _governed(self, manager: Any, start: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        async def start_kernel(*args: Any, **kwargs: Any) -> Any:
            spec = _spec_of(manager, kwargs.get("kernel_name"))
            if spec is not None and is_local(spec):
                kwargs["env"] = self._environment({**os.environ, **(kwargs.get("env") or {})})
                if can_load_magics(spec.argv):
                    kwargs["extra_arguments"] = [*(kwargs.get("extra_arguments") or ()), _EXTENSION]
            return await ensure_async(start(*args, **kwargs))

        return start_kernel

    def _changes(self, current: Mapping[str, str]) -> dict[str, str | None]:
        more = self._more(current, self.url.removesuffix("/ai")) if self._more is not None else {}
        return {**changes(current, self.url, self._token, self._hidden), **more}

    def _environment(self, current: Mapping[str, str]) -> dict[str, str]:
        merged = {**current, **self._changes(current)}
        merged.setdefault("GIT_TERMINAL_PROMPT", "0")  # nobody could answer a question of `!git` in a cell
        if notebook := _notebook(current.get("JPY_SESSION_NAME"), self._serverapp.root_dir):
            merged["AIDP_NOTEBOOK"] = notebook
        return {name: value for name, value in merged.items() if value is not None}


def _spec_of(manager: Any, name: str | None) -> KernelSpec | None:
    try:
        spec: KernelSpec = manager.kernel_spec_manager.get_kernel_spec(name or manager.default_kernel_name)
    except NoSuchKernel:  # the manager itself says so to whoever asked
        return None
    return spec


def _notebook(path: str | None, root: str) -> str | None:
    """Return the notebook's path relative to the workspace, or None for a kernel without one there."""
    if not path:
        return None
    relative = os.path.relpath(path, root)
    return None if relative.startswith("..") else Path(relative).as_posix()
