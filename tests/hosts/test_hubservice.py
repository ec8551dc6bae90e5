"""Host 2: the same routes in the hub service, with a stand-in for the hub's API that checks what it is asked."""

from __future__ import annotations

import json
import re
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
from aidp_ext.ai.actions.routes import ROUTES as ACTION_ROUTES
from aidp_ext.ai.chats.routes import ROUTES as CHAT_ROUTES
from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.context.routes import ROUTES as CONTEXT_ROUTES
from aidp_ext.ai.routes import ROUTES
from aidp_ext.ai.service import AiService
from aidp_ext.core.web import METHODS, WsApi, bind
from aidp_ext.hub.admin import Admin
from aidp_ext.hub.roster import Roster
from aidp_ext.hub_parts import spend_of
from aidp_ext.team_tracking import TeamTracking, TrackingSettings
from tests.support.upstream import KEY, Upstream

PREFIX = "/services/aidp/"
READ, WRITE, EXECUTE = ("custom:aidp:read", "custom:aidp:write", "custom:aidp:execute")
ADMIN, METRICS = ("custom:aidp:admin", "custom:aidp:metrics")
USERS = {
    "ana-token": {"name": "ana", "scopes": ["access:services!service=aidp", READ, WRITE, EXECUTE]},
    "viewer-token": {"name": "vic", "scopes": ["access:services!service=aidp", READ]},
    "outsider-token": {"name": "out", "scopes": []},
    "intern-token": {
        "name": "ina",
        "scopes": ["access:services!service=aidp", READ, WRITE, EXECUTE],
        "groups": ["interns"],
    },
    # what the role aidp-admin gives, and an admin's own server, whose token has no more than everybody's
    "admin-token": {"name": "ada", "admin": True, "scopes": ["access:services!service=aidp", ADMIN, METRICS, READ]},
    "server-token": {"name": "ada", "admin": True, "scopes": ["access:services!service=aidp", READ, WRITE, EXECUTE]},
    "prometheus-token": {"kind": "service", "name": "ana", "scopes": ["access:services!service=aidp", METRICS]},
}
TRACKED = [
    re.sub(r"\([^)]*\)", "x", pattern) for pattern, route in hubservice.TRACKING_ROUTES if not issubclass(route, WsApi)
]
PATHS = ["health", "metrics", *(pattern.replace("(.+)", "some/model") for pattern, _ in ROUTES), *TRACKED, "no/such"]
ASSISTING = [pattern for pattern, _ in (*CONTEXT_ROUTES, *ACTION_ROUTES, *CHAT_ROUTES)]


class Hub(web.RequestHandler):
    """``GET /hub/api/user``: who holds the token in the header."""

    is_down = False

    def get(self) -> None:
        if Hub.is_down:
            raise web.HTTPError(503)
        token = self.request.headers.get("Authorization", "").removeprefix("token ").removeprefix("Bearer ")
        user = USERS.get(token)
        if user is None:
            raise web.HTTPError(403)
        self.write({"kind": "user", "admin": False, "groups": [], **user})


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
    traits = {
        "openai_base_url": f"{upstream.url}/v1",
        "openai_api_key": KEY,
        "ollama_host": ":9",
        "gateway_url": "",
        "team_models": {"interns": {"denied": ["openai/overloaded", "text-embedding-*"]}},
        "team_monthly_budgets_usd": {"broke": 0},
        "preferred_models": ["overloaded", "good"],
    }
    ai = AiService(AiConfig(config=Config({"AiConfig": traits})), tmp_path, keeps_keys=False)
    tracking = TeamTracking(TrackingSettings(), tmp_path, lambda *_, **__: None)
    roster = Roster(f"http://127.0.0.1:{_hub_environment}/hub/api", "service-token")
    admin = Admin(roster, tmp_path / "audit.jsonl", lambda *_, **__: None, spend_of(ai))
    application = hubservice.make_app(PREFIX, ai, tracking=tracking, admin=admin)
    await ai.start()
    sockets = bind([(f"{PREFIX}test/ws", EchoSocket)], hubservice.HttpBase, hubservice.WsBase, hubservice.guard)
    application.add_handlers(".*", sockets)
    sock, port = bind_unused_port()
    server = HTTPServer(application)
    server.add_socket(sock)
    yield f"http://127.0.0.1:{port}{PREFIX}"
    for running in (server, hub):
        running.stop()
        await running.close_all_connections()
    await tracking.close()
    await admin.close()
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


@pytest.mark.parametrize("method", METHODS)
async def test_what_belongs_to_one_persons_work_is_not_there(service: str, method: str) -> None:
    """A service for a whole hub has no workspace: it chooses no context, changes no cell and runs no tests."""
    async with aiohttp.ClientSession(headers=bearer("ana-token")) as session:
        for path in ASSISTING:
            async with session.request(method, f"{service}aidp/{path}", json={}) as response:
                assert response.status == 404, path


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


async def test_who_may_only_look_changes_no_experiment(service: str) -> None:
    for method, path in (("POST", "experiments"), ("PUT", "experiments/1/access"), ("POST", "experiments/start")):
        async with (
            aiohttp.ClientSession(headers=bearer("viewer-token")) as session,
            session.request(method, f"{service}aidp/{path}", json={"name": "x"}) as response,
        ):
            assert response.status == 403, path
    status, text = await get(service, "experiments", "viewer-token")
    assert (status, json.loads(text)["experiments"]) == (200, [])
    assert json.loads(text)["tracking"]["kind"] == "team"
    assert (await get(service, "experiments/1/access", "ana-token"))[0] == 404
    assert (await get(service, "experiments", "outsider-token"))[0] == 403


async def test_a_person_is_led_to_the_sign_in_and_a_program_is_not(service: str) -> None:
    async def opened(path: str, **headers: str) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{service}aidp/{path}", headers=headers, allow_redirects=False) as response,
        ):
            return response.status, response.headers.get("Location", "")

    page = {"Accept": "text/html,*/*"}
    status, location = await opened("mlflow/", **page, **{"Sec-Fetch-Mode": "navigate"})
    assert status == 302
    assert "/hub/api/oauth2/authorize" in location
    for headers in ({}, {**page, "Sec-Fetch-Mode": "cors"}, {**page, "Authorization": "Bearer wrong"}):
        assert (await opened("mlflow/", **headers))[0] == 401
    assert (await opened("mlflow/api/2.0/mlflow/experiments/search", **page))[0] == 401
    assert (await opened("health", **page))[0] == 401


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


async def get(service: str, path: str, token: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession(headers=bearer(token)) as session,
        session.get(f"{service}aidp/{path}") as response,
    ):
        return response.status, await response.text()


async def post(service: str, path: str, token: str, body: dict[str, Any]) -> tuple[int, Any, Any]:
    async with (
        aiohttp.ClientSession(headers=bearer(token)) as session,
        session.post(f"{service}aidp/{path}", json=body) as response,
    ):
        return response.status, await response.json(), response.headers


CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}]}
INGRESSES: list[tuple[str, dict[str, Any]]] = [
    ("ai/v1/chat/completions", CHAT),
    ("ai/v1/messages", {**CHAT, "max_tokens": 9}),
    ("ai/v1/completions", {"prompt": "x"}),
]


@pytest.mark.parametrize(("path", "body"), INGRESSES)
async def test_a_teams_rules_bind_its_members_by_every_way_in(
    service: str, upstream: Upstream, path: str, body: dict[str, Any]
) -> None:
    status, said, _ = await post(service, path, "intern-token", {**body, "model": "openai/overloaded"})
    assert (status, said["error"]["code"]) == (403, "policy_refused")
    assert said["error"]["message"]
    assert upstream.posts() == []


async def test_a_teams_rules_bind_embeddings_automatic_names_lists_and_previews_too(
    service: str, upstream: Upstream
) -> None:
    embedding = {"model": "openai/text-embedding-3-small", "input": "x"}
    assert (await post(service, "ai/v1/embeddings", "intern-token", embedding))[0] == 403
    for name in ("ai/route", "ai/preview"):
        model = {"model": "openai/overloaded"}
        body = {**model, **(CHAT if name.endswith("preview") else {})}
        _, free, _ = await post(service, name, "ana-token", body)
        assert free["route"] == "openai/overloaded"
        _, bound, _ = await post(service, name, "intern-token", body)
        assert bound["route"] is None
    assert upstream.posts() == []
    assert "openai/overloaded" in (await get(service, "ai/v1/models", "ana-token"))[1]
    assert "openai/overloaded" not in (await get(service, "ai/v1/models", "intern-token"))[1]
    assert (await get(service, "ai/v1/models/openai/overloaded", "intern-token"))[0] == 403
    status, _, headers = await post(service, "ai/v1/chat/completions", "intern-token", {**CHAT, "model": "auto"})
    assert (status, headers["X-AIDP-Route"]) == (200, "openai/good")
    assert {one.model for one in upstream.posts()} == {"good"}


async def test_a_teams_budget_binds_its_members_and_hides_no_model(
    service: str, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(USERS["intern-token"], "groups", ["broke", "others"])
    for model in ("openai/good", "auto", "auto:cloud"):
        status, said, _ = await post(service, "ai/v1/chat/completions", "intern-token", {**CHAT, "model": model})
        assert (status, said["error"]["code"]) == (402, "budget_exhausted"), model
        assert "broke" in said["error"]["message"]
        assert "resets on" in said["error"]["message"]
        assert said["error"]["details"]["resets_at"]
    assert upstream.posts() == []
    assert "openai/good" in (await get(service, "ai/v1/models", "intern-token"))[1]


async def test_only_the_admins_scope_shows_what_others_did(service: str) -> None:
    await post(service, "ai/v1/chat/completions", "ana-token", {**CHAT, "model": "openai/good"})

    async def seen(token: str) -> tuple[set[str], int]:
        usage = json.loads((await get(service, "ai/usage", token))[1])
        calls = json.loads((await get(service, "ai/calls", token))[1])
        return {group["key"] for group in usage["by"]["user"]}, len(calls["calls"])

    assert await seen("admin-token") == ({"ana"}, 1)
    assert await seen("ana-token") == ({"ana"}, 1)
    assert await seen("intern-token") == (set(), 0)
    assert await seen("server-token") == (set(), 0), "an admin's own server is not the admin"


async def test_metrics_are_for_admins_and_for_who_collects_them(service: str) -> None:
    await post(service, "ai/v1/chat/completions", "ana-token", {**CHAT, "model": "openai/good"})
    for token in ("admin-token", "prometheus-token"):
        status, text = await get(service, "metrics", token)
        assert (status, "aidp_ai_calls_total" in text) == (200, True)
    for token in ("ana-token", "server-token", "outsider-token"):
        assert (await get(service, "metrics", token))[0] == 403
    assert (await get(service, "ai/calls", "prometheus-token"))[0] == 403


async def test_a_service_is_not_taken_for_a_user_of_its_name(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(USERS["prometheus-token"], "scopes", USERS["ana-token"]["scopes"])
    assert json.loads((await get(service, "health", "prometheus-token"))[1])["user"] == "service:ana"


async def test_a_hub_that_does_not_answer_is_said_so(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hub, "is_down", True)
    status, text = await get(service, "health", "ana-token")
    error = json.loads(text)["error"]
    assert (status, error["code"]) == (503, "unavailable")
    assert "hub" in error["message"]
    monkeypatch.setattr(Hub, "is_down", False)
    assert (await get(service, "health", "ana-token"))[0] == 200


async def test_a_revoked_token_passes_no_longer_than_the_setting_says(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("jupyterhub.services.auth.time.monotonic", lambda: clock[0])
    assert (await get(service, "health", "ana-token"))[0] == 200
    monkeypatch.delitem(USERS, "ana-token")
    clock[0] += 29
    assert (await get(service, "health", "ana-token"))[0] == 200, "the hub is not asked each time"
    clock[0] += 2
    assert (await get(service, "health", "ana-token"))[0] == 401
