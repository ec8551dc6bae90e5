"""Host 2: the same routes in the hub service, with a stand-in for the hub's API that checks what it is asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from jupyterhub.services.auth import HubOAuth
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from traitlets.config import Config

from aidp_ext import hubservice
from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.routes import ROUTES
from aidp_ext.ai.service import AiService
from aidp_ext.core.web import METHODS, WsApi, bind
from tests.support.upstream import KEY, Upstream

PREFIX = "/services/aidp/"
READ, WRITE, EXECUTE = ("custom:aidp:read", "custom:aidp:write", "custom:aidp:execute")
USERS = {
    "ana-token": {"name": "ana", "scopes": ["access:services!service=aidp", READ, WRITE, EXECUTE]},
    "viewer-token": {"name": "vic", "scopes": ["access:services!service=aidp", READ]},
    "outsider-token": {"name": "out", "scopes": []},
}
PATHS = ["health", *(pattern.replace("(.+)", "some/model") for pattern, _ in ROUTES), "no/such"]


class Hub(web.RequestHandler):
    """``GET /hub/api/user``: who holds the token in the header."""

    def get(self) -> None:
        token = self.request.headers.get("Authorization", "").removeprefix("token ").removeprefix("Bearer ")
        user = USERS.get(token)
        if user is None:
            raise web.HTTPError(403)
        self.write({**user, "kind": "user", "admin": False, "groups": []})


class EchoSocket(WsApi):
    def on_message(self, message: str | bytes) -> None:
        self.write_message(f"{self.who()}: {message!r}")


@pytest.fixture
def _hub_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    sock, port = bind_unused_port()
    sock.close()
    for name, value in {
        "JUPYTERHUB_API_TOKEN": "service-token",
        "JUPYTERHUB_API_URL": f"http://127.0.0.1:{port}/hub/api",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
        "JUPYTERHUB_SERVICE_NAME": "aidp",
        "JUPYTERHUB_CLIENT_ID": "service-aidp",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": json.dumps(["access:services!service=aidp"]),
    }.items():
        monkeypatch.setenv(name, value)
    HubOAuth.clear_instance()
    yield port
    HubOAuth.clear_instance()


@pytest.fixture
async def service(_hub_environment: int, tmp_path: Path, upstream: Upstream) -> AsyncIterator[str]:
    """The base URL of the service's aidp routes."""
    hub = HTTPServer(web.Application([("/hub/api/user", Hub)]))
    hub.listen(_hub_environment, "127.0.0.1")
    traits = {"openai_base_url": f"{upstream.url}/v1", "openai_api_key": KEY, "ollama_host": ":9", "gateway_url": ""}
    ai = AiService(AiConfig(config=Config({"AiConfig": traits})), tmp_path, keeps_keys=False)
    application = hubservice.make_app(PREFIX, ai)
    sockets = bind([(f"{PREFIX}test/ws", EchoSocket)], hubservice.HttpBase, hubservice.WsBase, hubservice.guard)
    application.add_handlers(".*", sockets)
    sock, port = bind_unused_port()
    server = HTTPServer(application)
    server.add_socket(sock)
    yield f"http://127.0.0.1:{port}{PREFIX}"
    for running in (server, hub):
        running.stop()
        await running.close_all_connections()
    await ai.stop()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("credentials", [{}, bearer("wrong")])
async def test_no_endpoint_answers_without_a_token(service: str, method: str, credentials: dict[str, str]) -> None:
    async with aiohttp.ClientSession(headers=credentials) as nobody:
        for path in PATHS:
            async with nobody.request(method, f"{service}aidp/{path}", json={}, allow_redirects=False) as response:
                assert response.status in (401, 403), path
                assert (await response.json())["error"]["code"] in ("unauthenticated", "forbidden")


async def test_no_websocket_opens_without_a_token_or_the_scope(service: str) -> None:
    for headers in ({}, bearer("wrong"), bearer("viewer-token"), bearer("outsider-token")):
        async with aiohttp.ClientSession() as nobody:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await nobody.ws_connect(f"{service}test/ws", headers=headers)
        assert refused.value.status in (401, 403)
    async with (
        aiohttp.ClientSession(headers=bearer("ana-token")) as session,
        session.ws_connect(f"{service}test/ws") as socket,
    ):
        await socket.send_str("hello")
        assert await socket.receive_str() == "ana: 'hello'"


async def test_scopes_decide_who_may_do_what(service: str, upstream: Upstream) -> None:
    async def chat(token: str) -> tuple[int, Any]:
        async with (
            aiohttp.ClientSession(headers=bearer(token)) as session,
            session.post(
                f"{service}aidp/ai/v1/chat/completions",
                json={"model": "openai/good", "messages": [{"role": "user", "content": "x"}]},
            ) as response,
        ):
            return response.status, await response.json()

    status, said = await chat("ana-token")
    assert (status, said["choices"][0]["message"]["content"]) == (200, "Penguins are birds.")
    assert (await chat("viewer-token"))[0] == 403
    assert (await chat("outsider-token"))[0] in (401, 403)
    assert len(upstream.posts()) == 1
    async with (
        aiohttp.ClientSession(headers=bearer("viewer-token")) as session,
        session.get(f"{service}aidp/ai/v1/models") as response,
    ):
        assert response.status == 200


async def test_a_users_mode_is_not_the_teams(service: str) -> None:
    async with (
        aiohttp.ClientSession(headers=bearer("ana-token")) as session,
        session.put(f"{service}aidp/ai/mode", json={"mode": "cloud"}) as response,
    ):
        assert response.status == 404


async def test_health_tells_version_and_user(service: str) -> None:
    async with (
        aiohttp.ClientSession(headers=bearer("ana-token")) as session,
        session.get(f"{service}aidp/health") as response,
    ):
        assert (await response.json())["user"] == "ana"
