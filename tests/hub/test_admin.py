"""The admin's page: what it shows with 500 users, what it says when a part is away, and who may stop whose server."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs

import aiohttp
import pytest
from jupyterhub.services.auth import HubOAuth
from playwright.sync_api import Browser as ChromeBrowser
from playwright.sync_api import Page, expect
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from traitlets.config import Config

from aidp_ext import hubservice
from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.service import AiService
from aidp_ext.core.audit import AuditLog, verify
from aidp_ext.core.errors import StorageError
from aidp_ext.hub.admin import Admin, Limit, Spend, Spender
from aidp_ext.hub.leases import Leases
from aidp_ext.hub.roster import Roster
from aidp_ext.hub_parts import spend_of
from tests.e2e.axe import violations
from tests.hub.browser import Browser
from tests.hub.process import Hub
from tests.support.processes import wait_until
from tests.support.upstream import KEY, Upstream

PREFIX = "/services/aidp/"
ACCESS = "access:services!service=aidp"
ADMIN = "custom:aidp:admin"
CALLERS = {
    "admin-token": {"name": "ada", "scopes": [ACCESS, ADMIN, "custom:aidp:read", "custom:aidp:write"]},
    "ana-token": {"name": "ana", "scopes": [ACCESS, "custom:aidp:read", "custom:aidp:execute"]},
    "metrics-token": {"kind": "service", "name": "aidp-metrics", "scopes": [ACCESS, "custom:aidp:metrics"]},
}
EVIL = '<script>alert("x")</script>'


def server(name: str, **more: Any) -> dict[str, Any]:
    started = "2026-03-02T08:00:00.000000Z"
    known = {"name": name, "started": started, "last_activity": started, "ready": True, "pending": None}
    return {**known, "user_options": {"profile": "cpu"}, **more}


class HubApi:
    """The parts of JupyterHub's API that the service asks, as JupyterHub 6 answers them, for users that are made up."""

    def __init__(self) -> None:
        self.people: dict[str, dict[str, dict[str, Any]]] = {}
        self.is_down = False
        self.asked: list[dict[str, list[str]]] = []
        self.stopped: list[str] = []
        self.stops_with = 204

    def page(self, query: dict[str, list[str]]) -> dict[str, Any]:
        offset, limit = int(query["offset"][0]), min(int(query["limit"][0]), 200)
        part = query.get("name_filter", [""])[0].lower()
        names = sorted(name for name in self.people if part in name.lower())
        if query.get("state") == ["active"]:
            names = [name for name in names if self.people[name]]
        items = [{"kind": "user", "name": name, "servers": self.people[name]} for name in names]
        return {
            "items": items[offset : offset + limit],
            "_pagination": {"offset": offset, "limit": limit, "total": len(items), "next": None},
        }


class _Handler(web.RequestHandler):
    def prepare(self) -> None:
        if self.settings["api"].is_down:
            raise web.HTTPError(503)


class WhoIs(_Handler):
    def get(self) -> None:
        token = self.request.headers.get("Authorization", "").split()[-1]
        if token not in CALLERS:
            raise web.HTTPError(403)
        self.write({"kind": "user", "admin": False, "groups": [], **CALLERS[token]})


class Users(_Handler):
    def get(self) -> None:
        assert self.request.headers["Authorization"] == "Bearer service-token"
        assert self.request.headers["Accept"] == "application/jupyterhub-pagination+json"
        query = parse_qs(self.request.query)
        assert query["sort"] == ["name"]
        self.settings["api"].asked.append(query)
        self.write(self.settings["api"].page(query))


class OneServer(_Handler):
    def delete(self, path: str) -> None:
        assert self.request.headers["Authorization"] == "Bearer service-token"
        api = self.settings["api"]
        if path.split("/")[0] not in api.people:
            raise web.HTTPError(404)
        api.stopped.append(self.request.path.removeprefix("/hub/api/users/"))
        self.set_status(api.stops_with)


class Site:
    """The service under test, with what is around it."""

    def __init__(self, url: str, api: HubApi, application: web.Application, audit: Path) -> None:
        self.url, self.api, self.application, self.audit = url, api, application, audit

    async def ask(
        self, path: str, token: str = "admin-token", method: str = "GET", **more: Any
    ) -> tuple[int, str, Any]:
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})} if token else more.pop("headers", {})
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, f"{self.url}aidp/{path}", allow_redirects=False, **more) as response,
        ):
            return response.status, await response.text(), response.headers

    async def overview(self, query: str = "") -> Any:
        status, text, _ = await self.ask(f"hub/overview{query}")
        assert status == 200, text
        return json.loads(text)

    async def page(self, query: str = "") -> str:
        status, text, _ = await self.ask(f"hub/admin{query}")
        assert status == 200, text
        return text


@pytest.fixture
async def start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: Upstream
) -> AsyncIterator[Callable[..., Awaitable[Site]]]:
    """Starts the service; `spend` takes the place of the ledger."""
    sock, hub_port = bind_unused_port()
    for name, value in {
        "JUPYTERHUB_API_TOKEN": "service-token",
        "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub_port}/hub/api",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
        "JUPYTERHUB_SERVICE_NAME": "aidp",
        "JUPYTERHUB_CLIENT_ID": "service-aidp",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": json.dumps([ACCESS]),
    }.items():
        monkeypatch.setenv(name, value)
    HubOAuth.clear_instance()
    api, audit = HubApi(), AuditLog(tmp_path / "audit.jsonl")
    routes = [("/hub/api/user", WhoIs), ("/hub/api/users", Users), ("/hub/api/users/(.+)", OneServer)]
    hub = HTTPServer(web.Application(routes, api=api))
    hub.add_socket(sock)
    traits = {"openai_base_url": f"{upstream.url}/v1", "openai_api_key": KEY, "ollama_host": ":9", "gateway_url": ""}
    budget = {"user_monthly_budget_usd": 20.0, "monthly_budget_usd": 100.0}
    ai = AiService(AiConfig(config=Config({"AiConfig": {**traits, **budget}})), tmp_path, keeps_keys=False)
    await ai.start()
    admin = Admin(
        Roster(f"http://127.0.0.1:{hub_port}/hub/api", "service-token"), audit.path, audit.append, spend_of(ai)
    )
    running = []

    async def run(spend: Callable[[], Awaitable[Spend]] | None = None) -> Site:
        if spend is not None:
            admin._spend = spend
        application = hubservice.make_app(PREFIX, ai, admin=admin)
        sock, port = bind_unused_port()
        made = HTTPServer(application)
        made.add_socket(sock)
        running.append(made)
        return Site(f"http://127.0.0.1:{port}{PREFIX}", api, application, audit.path)

    yield run
    for each in (*running, hub):
        each.stop()
        await each.close_all_connections()
    await admin.close()
    await ai.stop()
    audit.close()
    HubOAuth.clear_instance()


@pytest.fixture
async def site(start: Callable[..., Awaitable[Site]]) -> Site:
    return await start()


@pytest.fixture
async def leases(tmp_path: Path) -> AsyncIterator[Leases]:
    made = Leases(f"sqlite:///{tmp_path}/leases.sqlite", lambda *_, **__: None)
    yield made
    await made.close()


def rows(page: str, table: str) -> list[str]:
    """The text of each row of a table."""
    found = re.search(rf'<table[^>]*id="{table}".*?</table>', page, re.DOTALL)
    assert found, f"no table {table}"
    body = found[0].partition("<tbody>")[2]
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in re.findall(r"<tr>.*?</tr>", body, re.DOTALL)]


async def test_500_users_are_there_page_by_page_and_each_of_them_once(site: Site) -> None:
    site.api.people = {f"user-{n:03}": {"": server("")} if n % 5 == 0 else {} for n in range(500)}
    seen: list[str] = []
    query = "?limit=90"
    while query:
        page = await site.page(query)
        seen += [row.split()[0] for row in rows(page, "users")]
        onward = re.search(r'rel="next" href="admin([^"]+)"', page)
        query = onward[1].replace("&amp;", "&") if onward else ""
    assert seen == sorted(site.api.people)
    found = await site.overview("?offset=480")
    assert (found["users"]["total"], found["running"], len(found["users"]["users"])) == (500, 100, 20)
    assert 'rel="prev"' in await site.page("?offset=480")
    assert all(int(query["limit"][0]) <= 200 for query in site.api.asked)


async def test_users_are_found_by_a_part_of_their_name_and_by_having_a_server(site: Site) -> None:
    site.api.people = {"ana": {"": server("")}, "anatol": {}, "ben": {"big": server("big", pending="spawn")}}
    names = lambda found: [user["name"] for user in found["users"]["users"]]  # noqa: E731
    assert names(await site.overview("?name=AN")) == ["ana", "anatol"]
    found = await site.overview("?shown=running")
    assert names(found) == ["ana", "ben"]
    assert found["users"]["users"][1]["servers"][0] == {
        "name": "big",
        "state": "starting",
        "profile": "cpu",
        "started": "2026-03-02T08:00:00.000000Z",
        "last_activity": "2026-03-02T08:00:00.000000Z",
    }
    page = await site.page("?name=nobody-like-this")
    assert "Nobody fits" in page
    assert 'value="nobody-like-this"' in page
    for bad in ("?limit=201", "?offset=-1", "?shown=some", f"?name={'x' * 256}"):
        assert (await site.ask(f"hub/overview{bad}"))[0] == 400, bad


async def test_an_empty_hub_says_what_would_be_there(site: Site) -> None:
    page = await site.page()
    for text in ("Nobody has signed in yet", "lends no GPUs", "Nobody has asked a model", "Nothing has been recorded"):
        assert text in page
    assert 'role="alert"' not in page


async def test_names_that_hold_html_are_text_and_the_page_runs_no_script_but_its_own(site: Site) -> None:
    site.api.people = {EVIL: {EVIL: server(EVIL, user_options={"profile": EVIL})}}
    AuditLog(site.audit).append(EVIL, EVIL)
    status, page, headers = await site.ask(f"hub/admin?name={EVIL[:8]}")
    assert status == 200
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") >= 4
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    (nonce,) = re.findall(r"^'nonce-([\w-]{16,})'$", policy["script-src"])
    assert all(f'nonce="{nonce}"' in tag for tag in re.findall(r"<script[^>]*>", page))
    assert " style=" not in page
    assert not re.search(r"\son\w+=", page)
    again = (await site.ask("hub/admin"))[2]["Content-Security-Policy"]
    assert nonce not in again


async def test_who_is_no_admin_sees_and_stops_nothing(site: Site) -> None:
    site.api.people = {"ana": {"": server("")}}
    for path, method in (
        ("hub/overview", "GET"),
        ("hub/admin", "GET"),
        ("hub/admin/admin.js", "GET"),
        ("hub/servers/stop", "POST"),
    ):
        for token in ("ana-token", "metrics-token", "wrong", ""):
            status, text, _ = await site.ask(path, token, method, json={"user": "ana"})
            assert status in (401, 403), (path, token)
            assert "GPU" not in text
            assert "data-user" not in text
    assert site.api.stopped == []


async def test_a_person_is_led_to_the_sign_in_and_told_in_a_page_what_they_may_not(site: Site) -> None:
    html = {"Accept": "text/html"}
    status, _, headers = await site.ask("hub/admin", "", headers={**html, "Sec-Fetch-Mode": "navigate"})
    assert (status, "/hub/api/oauth2/authorize" in headers["Location"]) == (302, True)
    status, text, headers = await site.ask("hub/admin", "ana-token", headers=html)
    assert (status, headers["Content-Type"]) == (403, "text/html; charset=UTF-8")
    assert "may not read here" in text
    assert "default-src 'none'" in headers["Content-Security-Policy"]


async def test_what_cannot_be_reached_is_said_and_the_rest_is_shown(
    start: Callable[..., Awaitable[Site]], leases: Leases
) -> None:
    async def broken() -> Spend:
        raise StorageError("The ledger's database does not answer in time.", next_step="Look after the database.")

    site = await start(broken)
    await leases.found({"GPU-1": "NVIDIA A100"})
    site.application.settings["aidp_leases"] = leases
    AuditLog(site.audit).append("ai.call", "ana")
    assert (await site.ask("health"))[0] == 200  # who asks is known from here on
    site.api.is_down = True
    found = await site.overview()
    assert (found["users"], found["running"], found["spend"]) == (None, None, None)
    assert {one["part"]: one["message"] for one in found["problems"]} == {
        "spend": "The ledger's database does not answer in time.",
        "users": "The hub does not list its users (503).",
    }
    assert [one["state"] for one in found["gpus"]["devices"]] == ["free"]
    assert found["audit"]["records"] == 1
    page = await site.page()
    assert re.findall(r'data-part="(\w+)"', page) == ["spend", "users"]
    assert rows(page, "gpus")
    assert rows(page, "audit")


async def test_leases_that_cannot_be_read_hide_nothing_else(site: Site, tmp_path: Path) -> None:
    (tmp_path / "no-database").mkdir()
    leases = Leases(f"sqlite:///{tmp_path}/no-database", lambda *_, **__: None)
    site.application.settings["aidp_leases"] = leases
    site.api.people = {"ana": {}}
    found = await site.overview()
    assert [one["part"] for one in found["problems"]] == ["gpus"]
    assert found["users"]["total"] == 1
    text = (await site.ask("metrics", "metrics-token"))[1]
    assert 'aidp_hub_reachable{part="leases"} 0.0' in text
    await leases.close()


async def test_gpus_are_shown_with_who_has_them_and_who_waits(site: Site, leases: Leases) -> None:
    site.application.settings["aidp_leases"] = leases
    await leases.found({"GPU-1": "NVIDIA A100", "GPU-2": "NVIDIA A100"})
    await leases.ask("ana/", "ana")
    await leases.take("ana/")
    await leases.ask("ben/", "ben")
    for name in ("eve", "bo"):
        await leases.ask(f"{name}/big", name, "NVIDIA A100")
    site.api.people = {"ana": {"": server("")}}
    found = (await site.overview())["gpus"]
    assert [(one["state"], one["user"]) for one in found["devices"]] == [("held", "ana"), ("offered", "ben")]
    assert [(one["position"], one["user"], one["server"]) for one in found["waiting"]] == [
        (1, "eve", "big"),
        (2, "bo", "big"),
    ]
    page = await site.page()
    assert "2 of 2" in page
    assert rows(page, "gpus")[0].startswith("NVIDIA A100 GPU-1 in use ana now in 7 h")
    assert rows(page, "waiting")[0].startswith("1 eve / big NVIDIA A100 now in")
    assert "running cpu" in rows(page, "users")[0]
    assert "NVIDIA A100" in rows(page, "users")[0]


async def test_this_months_spending_stands_beside_each_users_budget(site: Site) -> None:
    body = {"model": "openai/good", "messages": [{"role": "user", "content": "x"}]}
    status, text, _ = await site.ask("ai/v1/chat/completions", "ana-token", "POST", json=body)
    assert status == 200, text
    found = (await site.overview())["spend"]
    (ana,) = found["users"]
    assert (ana["name"], ana["calls"]) == ("ana", 1)
    assert ana["tokens"] > 0
    assert [(one["period"], one["limit_usd"]) for one in ana["budgets"]] == [("month", 20.0)]
    assert [(one["period"], one["limit_usd"]) for one in found["budgets"]] == [("month", 100.0)]
    assert found["since"].endswith("-01T00:00:00Z")
    assert "of $20.00 this month" in rows(await site.page(), "spend")[0]


async def test_a_budget_that_is_used_up_is_said_in_words(start: Callable[..., Awaitable[Site]]) -> None:
    async def spend() -> Spend:
        over, near = Limit("month", 5.0, 5.2, "hard"), Limit("month", 5.0, 4.4, "soft")
        users = (Spender("ana", 9, 1234567, 5.2, (over,)), Spender("ben", 1, 10, 0.00421, (near,)))
        return Spend(datetime(2026, 3, 1, tzinfo=UTC), 10, 5.20421, (), users, 7)

    page = await (await start(spend)).page()
    first, second = rows(page, "spend")
    assert first == "ana 9 1,234,567 $5.20 $5.20 of $5.00 this month used up"
    assert second == "ben 1 10 $0.0042 $4.40 of $5.00 this month nearly"
    assert "and 7 more, who spent less" in page


async def test_a_record_that_was_changed_is_called_broken(site: Site) -> None:
    log = AuditLog(site.audit)
    for number in range(30):
        log.append("ai.call" if number % 2 else "git.token", "ana", number=number)
    found = (await site.overview())["audit"]
    assert (found["state"], found["records"]) == ("whole", 30)
    assert [one["seq"] for one in found["latest"]] == list(range(30, 10, -1))
    assert found["latest"][0]["event"] == "ai.call"
    site.audit.write_text(site.audit.read_text().replace('"number":7', '"number":8'))
    found = (await site.overview())["audit"]
    assert (found["state"], found["records"]) == ("broken", None)
    assert "line 8" in found["problem"]
    assert "Broken." in await site.page()


async def test_stopping_is_written_down_with_who_did_it_and_what_came_of_it(site: Site) -> None:
    site.api.people = {"ana": {"": server(""), "big": server("big")}}

    async def stop(**body: str) -> tuple[int, Any]:
        status, text, _ = await site.ask("hub/servers/stop", method="POST", json=body)
        return status, json.loads(text)

    assert await stop(user="ana") == (200, {"user": "ana", "server": "", "is_over": True})
    site.api.stops_with = 202
    assert (await stop(user="ana", server="big"))[1]["is_over"] is False
    site.api.stops_with = 400
    assert (await stop(user="ana"))[0] == 409
    assert (await stop(user="../ana"))[0] == 404
    assert (await stop(server="x"))[0] == 400
    site.api.is_down = True
    assert (await stop(user="ana"))[0] == 503
    assert site.api.stopped == ["ana/server", "ana/servers/big", "ana/server"]
    records = [json.loads(line) for line in site.audit.read_text().splitlines()]
    assert [(one["event"], one["actor"], one["user"], one["server"], one["outcome"]) for one in records] == [
        ("hub.stopped_by_admin", "ada", "ana", "", "stopped"),
        ("hub.stopped_by_admin", "ada", "ana", "big", "stopping"),
        ("hub.stopped_by_admin", "ada", "ana", "", "conflict"),
        ("hub.stopped_by_admin", "ada", "../ana", "", "not_found"),
        ("hub.stopped_by_admin", "ada", "ana", "", "unavailable"),
    ]
    assert verify(site.audit) == 5


async def test_metrics_count_servers_gpus_and_the_line_and_have_few_labels(site: Site, leases: Leases) -> None:
    site.application.settings["aidp_leases"] = leases
    await leases.found({f"GPU-{number}": f"kind-{number:02}" for number in range(40)})
    await leases.ask("ana/", "ana", "kind-00")
    await leases.take("ana/")
    await leases.ask("ben/", "ben", "kind-00")
    site.api.people = {
        f"user-{number:03}": {"": server("", user_options={"profile": f"p-{number // 5}"})} for number in range(500)
    }
    status, text, _ = await site.ask("metrics", "metrics-token")
    assert status == 200
    assert 'aidp_gpu_devices{kind="kind-00",state="held"} 1.0' in text
    assert 'aidp_gpu_devices{kind="other",state="free"} 20.0' in text
    assert 'aidp_gpu_waiting{kind="kind-00"} 1.0' in text
    assert re.search(r"aidp_gpu_longest_wait_seconds \d", text)
    assert 'aidp_hub_servers{profile="other",state="running"} 400.0' in text
    assert len(re.findall(r"^aidp_hub_servers{", text, re.MULTILINE)) == 21
    assert 'aidp_hub_reachable{part="hub"} 1.0' in text
    assert "aidp_ai_calls_total" in text
    assert "user-001" not in text
    asked = len(site.api.asked)
    await site.ask("metrics", "metrics-token")
    assert len(site.api.asked) == asked == 3, "the hub is not asked for each scrape"


async def test_a_hub_that_is_away_has_no_servers_in_the_metrics_and_does_not_break_them(site: Site) -> None:
    assert (await site.ask("health"))[0] == 200
    assert (await site.ask("metrics", "metrics-token"))[0] == 200
    site.application.settings["aidp_admin"].roster._counted = None
    site.api.is_down = True
    status, text, _ = await site.ask("metrics", "metrics-token")
    assert (status, 'aidp_hub_reachable{part="hub"} 0.0' in text) == (200, True)
    assert "aidp_hub_servers{" not in text


# --- on a real hub


@pytest.fixture(scope="module")
def ada(hub: Hub) -> Browser:
    """The administrator, signed in with a session and no token."""
    browser = Browser(hub.url)
    browser.sign_in("ada", (hub.state_dir / "admin-password").read_text().strip())
    return browser


def meta(page: str, name: str) -> str:
    found = re.search(rf'<meta name="{name}" content="([^"]+)">', page)
    assert found, page[:500]
    return found[1]


PAGE = "services/aidp/aidp/hub/admin"
STOP = "services/aidp/aidp/hub/servers/stop"


def test_only_admins_are_shown_the_way_to_the_page(hub: Hub, ada: Browser, alice: Browser) -> None:
    assert f'href="/{PAGE}"' in ada.open("hub/home").text
    assert PAGE not in alice.open("hub/home").text
    answer = alice.open(PAGE, more={"Accept": "text/html"})
    assert (answer.status, "Users and servers" in answer.text) == (403, False)


def test_the_page_shows_the_hubs_real_users_and_which_of_them_have_a_server(
    hub: Hub, ada: Browser, alice: Browser
) -> None:
    Browser(hub.url).sign_in("bert", hub.password)
    answer = ada.open(f"{PAGE}?limit=200", more={"Accept": "text/html"})
    assert answer.status == 200
    assert answer.url == f"{hub.url}{PAGE}?limit=200", "the sign-in leads back to the page that was asked for"
    shown = {row.split()[0]: row for row in rows(answer.text, "users")}
    assert {"ada", "alice", "bert"} <= shown.keys()
    assert " running " in shown["alice"]
    assert "no server" in shown["bert"]
    running = rows(ada.open(f"{PAGE}?shown=running").text, "users")
    assert [row.split()[0] for row in running].count("alice") == 1
    assert not [row for row in running if row.startswith("bert ")]


def test_a_session_stops_nothing_without_what_only_the_page_was_given(hub: Hub, ada: Browser) -> None:
    page = ada.open(PAGE).text
    xsrf, token = {"X-XSRFToken": meta(page, "xsrf")}, {"X-AIDP-Page": meta(page, "page")}
    body = {"user": "nobody-of-this-name"}

    def stop(**headers: str) -> int:
        return ada.open(STOP, body=body, more={name.replace("_", "-"): value for name, value in headers.items()}).status

    assert stop(**xsrf, **token) == 404, "with both it is done"
    assert stop(**xsrf) == 403
    assert stop(**{"X-XSRFToken": "x"}, **token) in (401, 403)
    assert stop(**xsrf, **{"X-AIDP-Page": "0" * 64}) == 403
    assert stop(**xsrf, **token, **{"Sec-Fetch-Site": "same-site"}) == 403
    fetched = ada.open(PAGE, more={**xsrf, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"})
    assert (fetched.status, "X-AIDP-Page" in fetched.text) == (403, False)
    assert meta(page, "page") not in fetched.text


def test_an_admins_session_sees_what_others_did_on_that_page_only(hub: Hub, ada: Browser, alice: Browser) -> None:
    asked = {"model": "ollama/none", "messages": [{"role": "user", "content": "x"}]}
    server = Browser(hub.url, alice.api_token("alice"))
    assert server.open("services/aidp/aidp/ai/v1/chat/completions", body=asked).status >= 400
    ada.open(PAGE)

    def seen(**more: Any) -> list[str]:
        return [one["key"] for one in ada.open("services/aidp/aidp/ai/usage", **more).json()["by"]["user"]]

    by_session = seen(more={"Sec-Fetch-Mode": "navigate"})
    ada.token = ada.api_token("ada")
    by_token, ada.token = seen(), None
    assert (by_session, "alice" in by_token) == ([], True)


def test_the_services_own_token_may_look_at_users_and_stop_servers_and_no_more(hub: Hub) -> None:
    token = hub.find("aidp_ext.hubservice").environ()["JUPYTERHUB_API_TOKEN"]
    service = Browser(hub.url, token)
    known = set(service.open("hub/api/user").json()["scopes"])
    hubs_own = {scope for scope in known if not scope.startswith(("custom:", "access:"))}
    assert hubs_own <= {"list:users", "read:users:name", "read:servers", "delete:servers", "read:services:name"}
    assert service.open("hub/api/users/alice/server", method="POST").status in (403, 404)
    assert service.open("hub/api/users/alice", method="DELETE").status in (403, 404)


def sign_in(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}hub/login?next=%2Fhub%2Fhome")
    page.fill("#username_input", "ada")
    page.fill("#password_input", (hub.state_dir / "admin-password").read_text().strip())
    page.click("#login_submit")
    page.wait_for_url("**/hub/home")


@pytest.mark.e2e
def test_in_a_browser_an_admin_stops_a_server_by_keyboard_after_one_question(hub: Hub, chrome: ChromeBrowser) -> None:
    dora = Browser(hub.url)
    dora.sign_in("dora", hub.password)
    dora.start_server("dora")
    page = chrome.new_context().new_page()
    errors: list[str] = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    sign_in(page, hub)
    page.get_by_role("link", name="aidp", exact=True).click()
    page.get_by_role("heading", name="This hub now").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("dora")
    page.keyboard.press("Enter")
    expect(page.locator("#users tbody tr")).to_have_count(1)
    button = page.get_by_role("button", name="Stop dora")
    button.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("Stop the server of dora?")
    page.keyboard.press("Escape")
    expect(button).to_be_visible()
    assert dora.open("user/dora/api").status == 200
    button.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text(re.compile("The server of dora is stop(ped|ping)"))).to_be_visible(timeout=60_000)
    wait_until(lambda: dora.open("user/dora/api").status != 200, "dora's server is stopped")
    page.get_by_role("link", name="Refresh").click()
    expect(page.locator("#users")).to_contain_text("no server")
    expect(page.locator("#audit")).to_contain_text("hub.stopped_by_admin")
    records = [json.loads(line) for line in (hub.state_dir / "service" / "audit.jsonl").read_text().splitlines()]
    assert [(one["actor"], one["user"]) for one in records if one["event"] == "hub.stopped_by_admin"][-1] == (
        "ada",
        "dora",
    )
    stopped = next(one for one in reversed(records) if one["event"] == "hub.server_stopped")
    assert (stopped["actor"], stopped["user"]) == ("service:aidp", "dora")
    assert errors == []
    page.context.close()


@pytest.mark.e2e
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 360)])
def test_the_page_can_be_read_in_light_and_dark_and_on_a_phone(
    hub: Hub, alice: Browser, chrome: ChromeBrowser, scheme: Literal["light", "dark"], width: int
) -> None:
    # what axe plants to prove that it sees has a style of its own, which the page's policy forbids
    context = chrome.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True)
    page = context.new_page()
    sign_in(page, hub)
    page.goto(f"{hub.url}{PAGE}")
    page.locator("#users").wait_for()
    assert page.evaluate("document.documentElement.getAttribute('data-bs-theme')") == scheme
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page, "main") == []
    context.close()
