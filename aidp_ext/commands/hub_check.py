"""`aidp hub check`: everything that the hub needs, looked at before it starts; each line says what to do."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal
from urllib.parse import urlsplit

import aiohttp

from aidp_ext._version import __version__
from aidp_ext.commands import hub
from aidp_ext.core.errors import AidpError
from hub_config import live
from hub_config.given import is_loopback
from hub_config.settings import Settings

Mark = Literal["ok", "warn", "fail"]
_MARKS: dict[Mark, str] = {"ok": "✔", "warn": "⚠", "fail": "✖"}
_PATIENCE = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True)
class Line:
    """What was looked at, how it is, what was found, and what to do about it."""

    what: str
    mark: Mark
    found: str
    next_step: str = ""


def run(args: argparse.Namespace) -> int:
    """Print a line for each thing; return 1 where something keeps the hub from starting or users apart, else 0."""
    environ = dict(os.environ)
    if args.port is not None:
        environ["AIDP_HUB_PORT"] = str(args.port)
    lines = []
    for line in check(environ):
        lines.append(line)
        if not args.json:
            hub.say(shown(line))
    failed = sum(line.mark == "fail" for line in lines)
    if args.json:
        hub.say(json.dumps([asdict(line) for line in lines], indent=2))
    elif failed:
        hub.say(f"\n{failed} thing{'s' if failed > 1 else ''} to put right before the hub can start.")
    else:
        hub.say("\nThe hub can start: aidp hub")
    return int(failed > 0)


def shown(line: Line) -> str:
    """A line as the terminal shows it; the next step on a line of its own."""
    step = f"\n   {'':<12} → {line.next_step}" if line.next_step else ""
    return f" {_MARKS[line.mark]} {line.what:<12} {line.found}{step}"


def check(environ: dict[str, str]) -> Iterator[Line]:
    """Look at one thing after another, each as soon as it is known; nothing is started, and nothing left behind."""
    yield Line("aidp", "ok", __version__)
    try:
        settings = Settings.from_env(environ)
    except AidpError as error:
        # what comes next depends on them
        yield Line("settings", "fail", error.message, error.next_step or "")
        return
    yield Line("settings", "ok", f"the hub at {settings.public_url}")
    is_running = False
    for line in _machine(settings):
        is_running |= line.what == "state" and line.mark == "warn"
        yield line
    yield from _port(settings, is_running=is_running)
    yield from asyncio.run(_sign_in(settings))
    yield from origin(settings)
    yield from _gateway(settings)
    yield from _gpus(settings)
    yield from _servers(settings, is_running=is_running)


def _try(what: str, found: str, look: Callable[[], object]) -> Line:
    try:
        look()
    except AidpError as error:
        return Line(what, "fail", error.message, error.next_step or "")
    return Line(what, "ok", found)


def _machine(settings: Settings) -> Iterator[Line]:
    yield _try("packages", "all there", lambda: hub.check_packages(settings))
    yield _try("node", "new enough for the proxy", hub.check_node)
    yield _try("proxy", "there", hub.check_proxy)
    state = _try("state", f"kept in {settings.state_dir}", lambda: hub.check_state_dir(settings.state_dir))
    if state.mark == "ok":
        try:
            hub.hold_state(settings).close()
        except AidpError:
            state = Line("state", "warn", f"a hub runs with {settings.state_dir}", "Its ports and network are in use.")
    yield state


def _port(settings: Settings, *, is_running: bool) -> Iterator[Line]:
    if is_running:
        yield Line("port", "ok", f"{settings.host}:{settings.port}, of the hub that runs")
        return
    line = _try("port", f"{settings.host}:{settings.port} is free", lambda: hub.check_port(settings))
    public = urlsplit(settings.public_url)
    if line.mark == "ok" and not is_loopback(settings.host) and public.scheme != "https":
        step = "Put a web server with a certificate before it, and set OAUTH_CALLBACK_URL to its https address."
        line = Line("port", "warn", f"{line.found}, but speaks plain HTTP to other machines", step)
    yield line


# who signs in


async def _sign_in(settings: Settings) -> list[Line]:
    if settings.is_local:
        return [Line("sign-in", "ok", "with a generated password, on this machine only")]
    lines = [Line("sign-in", "ok", f"with {settings.provider}: {', '.join(settings.who_may_enter)}")]
    lines += _callback(settings)
    try:
        async with aiohttp.ClientSession(timeout=_PATIENCE, trust_env=True) as http:
            lines.append(await (_github(settings, http) if settings.github else _oidc(settings, http)))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        why = str(error) or type(error).__name__
        step = "Nobody can sign in until it does; look at this machine's network and its proxy settings."
        lines.append(Line("provider", "warn", f"{settings.provider} does not answer: {why[:200]}", step))
    return lines


def _callback(settings: Settings) -> list[Line]:
    app = settings.github or settings.oidc
    assert app is not None
    if not app.callback_url:
        if is_loopback(settings.host):
            return [Line("callback", "ok", f"{settings.public_url}hub/oauth_callback, as browsers here open the hub")]
        step = (
            "Set OAUTH_CALLBACK_URL to the hub's public address with /hub/oauth_callback, as the provider's app has it."
        )
        return [Line("callback", "warn", "taken from the address that each browser uses", step)]
    return [Line("callback", "ok", f"{app.callback_url}; the provider's app has to have exactly this one")]


async def _github(settings: Settings, http: aiohttp.ClientSession) -> Line:
    """Whether GitHub knows the app: a code that nobody has is refused for itself, the secret or the callback."""
    assert settings.github is not None
    url = settings.github.url or "https://github.com"
    form = {"client_id": settings.github.client_id, "client_secret": settings.github.client_secret, "code": "0" * 20}
    if settings.github.callback_url:
        form["redirect_uri"] = settings.github.callback_url
    headers = {"Accept": "application/json"}
    async with http.post(f"{url}/login/oauth/access_token", data=form, headers=headers) as response:
        said = (await response.json(content_type=None)).get("error")
    if said == "incorrect_client_credentials":
        step = "Copy both again from the app's page: GITHUB_CLIENT_ID, and a new GITHUB_CLIENT_SECRET."
        return Line("provider", "fail", f"{url} does not know this client id with this secret", step)
    if said == "redirect_uri_mismatch":
        step = f"Set the app's callback to {settings.github.callback_url}, or OAUTH_CALLBACK_URL to the app's."
        return Line("provider", "fail", f"{url} has another callback for this app", step)
    return Line("provider", "ok", f"{url} knows the app")


async def _oidc(settings: Settings, http: aiohttp.ClientSession) -> Line:
    """Whether the provider says where to sign in, and is who it is taken for."""
    assert settings.oidc is not None
    issuer = settings.oidc.issuer.rstrip("/")
    async with http.get(f"{issuer}/.well-known/openid-configuration") as response:
        said = await response.json(content_type=None) if response.status == 200 else {}
    if str(said.get("issuer", "")).rstrip("/") != issuer:
        step = "Set OIDC_ISSUER_URL to what the provider's discovery document calls `issuer`."
        return Line("provider", "fail", f"{issuer} is no issuer of OpenID Connect", step)
    return Line("provider", "ok", f"{issuer} answers")


def origin(settings: Settings) -> Iterator[Line]:
    """Whether a page in one user's server could act in the hub, or in another's server."""
    if not settings.user_domains:
        if not settings.is_local:
            yield Line(
                "origin",
                "warn",
                "users' servers and the hub share one address: to open a page that somebody made in their server is to"
                " let it act in the hub as oneself",
                "Set AIDP_USER_DOMAINS=on, with a wildcard in DNS and in the certificate. See docs/security.md.",
            )
        return
    host = urlsplit(settings.public_url).hostname or ""
    # the service's, and one that nobody has thought of; browsers look up *.localhost by themselves
    asked = [] if host.endswith(".localhost") else [f"aidp--service.{host}", f"aidp-hub-check.{host}"]
    if unknown := [name for name in asked if not _is_known(name)]:
        step = f"Make a record for *.{host} in DNS that leads where {host} does."
        yield Line("origin", "fail", f"{' and '.join(unknown)} lead nowhere", step)
    else:
        yield Line("origin", "ok", f"each user's server has a domain of its own below {host}")


def _is_known(name: str) -> bool:
    """Whether DNS has an address for a name."""
    try:
        return bool(socket.getaddrinfo(name, None))
    except OSError:
        return False


def _gateway(settings: Settings) -> Iterator[Line]:
    if settings.gateway is None:
        yield Line("gateway", "ok", "the hub runs it")
        return
    here = is_loopback(urlsplit(settings.gateway.url).hostname or "") and is_loopback(settings.host)
    if here and settings.containers.spawner != "local":
        step = "Let the gateway listen where containers reach it, and name that address in AIDP_GATEWAY_URL."
        yield Line("gateway", "warn", f"runs at {settings.gateway.url}, where users' containers do not reach it", step)
    else:
        yield Line("gateway", "ok", f"runs at {settings.gateway.url}")


# users' servers


def _gpus(settings: Settings) -> Iterator[Line]:
    from hub_config import gpu

    if not settings.gpu.is_on:
        yield Line("GPUs", "ok", "not used (AIDP_GPU=off)")
        return
    try:
        found = gpu.devices(settings.gpu)
    except AidpError as error:
        yield Line("GPUs", "fail", error.message, error.next_step or "")
    else:
        yield Line("GPUs", "ok", ", ".join(device.kind for device in found) or "none on this machine")


def _servers(settings: Settings, *, is_running: bool) -> Iterator[Line]:
    from aidp_ext.commands import check_engine, hub_engine

    kind = settings.containers.spawner
    if kind == "auto" and is_loopback(settings.host) and (absent := hub_engine.why_none(settings)):
        yield Line("containers", "warn", absent.message, absent.next_step or "")
        kind = "local"
    if kind == "local":
        yield _processes(settings)
        yield live_editing(settings, live.absent_here())
        return
    yield from check_engine.check(settings, is_running=is_running)


def live_editing(settings: Settings, absent: live.Absent | None) -> Line:
    """Whether users' servers have live editing; ``absent`` says why they would not."""
    if not settings.live.is_on:
        return Line("live editing", "ok", "not used (AIDP_LIVE_EDITING=off)")
    if absent:
        return Line("live editing", "warn", absent.found, absent.next_step)
    return Line("live editing", "ok", "whoever may open a server edits its notebooks with its owner")


def _processes(settings: Settings) -> Line:
    public = urlsplit(settings.public_url).hostname or ""
    found = "processes of this account, on this machine only; nothing keeps users apart"
    if not is_loopback(public):
        return Line("servers", "warn", f"{found}, but the hub is at {public}", "Use containers: AIDP_SPAWNER=docker.")
    return Line("servers", "ok", found)
