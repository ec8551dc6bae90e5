"""Who may what: every route that a user's server and the hub's service really have, asked by each kind of caller.

Nothing here names an endpoint that has to be refused: the routes are the registered ones, and what strangers may have
is named. A new endpoint is refused to strangers, or this fails.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from aidp_ext import hubservice
from aidp_ext.core.web import METHODS, WsApi
from tests.hub.browser import Browser
from tests.hub.process import Hub
from tests.support.route_list import Served, served

PREFIX = "/user/alice/"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
#: What of a user's server everybody may have, and why.
PUBLIC = {
    "api": "the version of Jupyter Server",
    "static/x": "files of the installed packages",
    "logout": "ends a session that is not there",
    "login": "leads to the hub's sign-in",
    "oauth_callback": "where the hub's sign-in leads back to; without its state it is refused",
    "favicon.ico": "a picture",
}
#: Lab leaves a stranger there without any answer, not even a refusal.
SILENT = {"lab/api/licenses/x"}
#: What MLflow has for nobody here is refused to everybody.
REFUSED_TO_ALL = "aidp/mlflow/x"
#: The first would end what the rest is asked with, the second is refused to whoever comes without the hub's state.
NOT_TRIED = {"logout", "oauth_callback", REFUSED_TO_ALL}


class Caller(NamedTuple):
    """Somebody, by their token."""

    name: str
    token: str | None


class Said(NamedTuple):
    status: int
    location: str

    @property
    def is_refused(self) -> bool:
        """Whether nothing was done: refused, or led to the sign-in or to another route, which is asked by itself."""
        return self.status in (401, 403) or (self.status == 302 and self.location.startswith(("/hub/", PREFIX)))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub whose users' servers write down what they serve."""
    state = tmp_path_factory.mktemp("matrix") / "state"
    hub = Hub(state, terminal=True, AIDP_ADMIN_USERS="ada", OLLAMA_HOST="http://127.0.0.1:9", AIDP_TOKEN_CACHE_S="1")
    try:
        hub.wait_ready()
        home = state / "homes" / "alice"
        (home / ".jupyter").mkdir(parents=True)
        # Without the check of forged requests, which would refuse before anybody asks who it is.
        listed = {
            "ServerApp": {"jpserver_extensions": {"tests.support.route_list": True}, "disable_check_xsrf": True},
        }
        (home / ".jupyter" / "jupyter_server_config.json").write_text(json.dumps(listed))
        yield hub
    finally:
        hub.close()


@pytest.fixture(scope="module")
def callers(hub: Hub) -> dict[str, Caller]:
    """The owner of a running server, another user, an admin, somebody whose token is for nothing, and nobody."""
    found = {"nobody": Caller("nobody", None)}
    passwords = {
        "alice": hub.password,
        "bob": hub.password,
        "ada": (hub.state_dir / "admin-password").read_text().strip(),
    }
    for name, password in passwords.items():
        browser = Browser(hub.url)
        browser.sign_in(name, password)
        found[name] = Caller(name, browser.api_token(name))
        if name == "alice":
            browser.start_server("alice")
            answer = browser.open(
                "hub/api/users/alice/tokens", body={"note": "little", "scopes": ["read:users:name!user"]}
            )
            assert answer.status == 201, answer.text
            found["little"] = Caller("little", answer.json()["token"])
    return found


@pytest.fixture(scope="module")
def routes(hub: Hub, callers: dict[str, Caller]) -> list[Served]:
    """Every route of Alice's server."""
    found = served(hub.state_dir / "homes" / "alice")
    assert len(found) > 100
    return [r for r in found if r.pattern.startswith(PREFIX) and r.example.removeprefix(PREFIX) not in SILENT]


def ask(hub: Hub, caller: Caller, method: str, path: str, *, is_websocket: bool = False) -> Said:
    """Send one request without a cookie, with a body that no endpoint takes; no redirect is followed."""
    parts = urlsplit(hub.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    headers = {"Content-Type": "application/json", **(UPGRADE if is_websocket else {})}
    if caller.token:
        headers["Authorization"] = f"Bearer {caller.token}"
    try:
        connection.request(method, path, None if method in ("GET", "HEAD") else b"{", headers)
        answer = connection.getresponse()
        return Said(answer.status, answer.headers.get("Location", ""))
    finally:
        connection.close()


def of_server(route: Served) -> list[tuple[str, bool]]:
    """The ways to ask a route: each method of its handler, or the upgrade of a websocket."""
    return (
        [("GET", True)] if route.is_websocket else [(method, False) for method in route.methods if method != "OPTIONS"]
    )


@pytest.mark.parametrize("who", ["nobody", "bob", "little"])
def test_a_users_server_is_closed_to_all_others(
    hub: Hub, callers: dict[str, Caller], routes: list[Served], who: str
) -> None:
    opened = {}
    for route in routes:
        path = route.example
        for method, is_websocket in of_server(route):
            said = ask(hub, callers[who], method, path, is_websocket=is_websocket)
            if not said.is_refused and said.status not in (404, 405):
                opened[path.removeprefix(PREFIX)] = (method, *said)
    assert {path: said for path, said in opened.items() if path not in PUBLIC} == {}


@pytest.mark.parametrize("who", ["alice", "ada"])
def test_its_owner_and_an_admin_are_refused_nothing(
    hub: Hub, callers: dict[str, Caller], routes: list[Served], who: str
) -> None:
    """What reads; and of ours all, with a body that is none. What writes in Jupyter's own API is not tried out."""
    refused = {}
    for route in routes:
        path = route.example
        ours = path.startswith(f"{PREFIX}aidp/")
        for method, is_websocket in of_server(route):
            if (method in ("GET", "HEAD") or ours) and path.removeprefix(PREFIX) not in NOT_TRIED:
                said = ask(hub, callers[who], method, path, is_websocket=is_websocket)
                if said.status in (401, 403):
                    refused[path.removeprefix(PREFIX)] = (method, said.status)
    assert refused == {}


def test_the_matrix_of_a_server_has_ours_jupyters_and_websockets(routes: list[Served]) -> None:
    paths = {route.example.removeprefix(PREFIX) for route in routes}
    assert {"api/contentsx", "api/kernels", "api/terminals", "lab/api/settings/x", "aidp/ai/mode"} <= paths
    assert sum(path.startswith("aidp/") for path in paths) > 50
    assert {route.example.removeprefix(PREFIX) for route in routes if route.is_websocket} >= {"api/kernels/x/channels"}


# --- the hub's service


def of_service() -> list[tuple[str, type, str, bool]]:
    """Every endpoint of the service, whatever is switched on: path, class, method, and whether it is a websocket."""
    tuples = [routes for name, routes in vars(hubservice).items() if name.endswith("ROUTES")]
    found: dict[tuple[str, str], tuple[str, type, str, bool]] = {}
    for pattern, api in (route for routes in tuples for route in routes):
        path = f"/services/aidp/aidp/{Served(pattern, [], False).example}"
        if issubclass(api, WsApi):
            found[path, "GET"] = (path, api, "GET", True)
            continue
        for method in METHODS:
            if hasattr(getattr(api, method), "__aidp_action__"):
                found[path, method] = (path, api, method.upper(), False)
    return list(found.values())


def test_the_service_answers_nobody_and_no_token_that_is_not_for_it(hub: Hub, callers: dict[str, Caller]) -> None:
    opened = {}
    count = 0
    for path, _, method, is_websocket in of_service():
        for who in ("nobody", "little"):
            count += 1
            said = ask(hub, callers[who], method, path, is_websocket=is_websocket)
            if not said.is_refused:
                opened[path, method, who] = said.status
    assert opened == {}
    assert count > 100


def test_users_of_the_service_are_refused_what_is_for_admins_alone(hub: Hub, callers: dict[str, Caller]) -> None:
    refused: dict[str, set[str]] = {"alice": set(), "bob": set(), "ada": set()}
    limited = set()
    for path, api, method, is_websocket in of_service():
        if getattr(api, "scope", None) is not None:
            limited.add(f"{method} {path}")
        for who in refused:
            said = ask(hub, callers[who], method, path, is_websocket=is_websocket)
            if said.status in (401, 403) and not path.endswith(REFUSED_TO_ALL):
                refused[who].add(f"{method} {path}")
    assert limited
    assert refused["alice"] == refused["bob"] == limited
    assert refused["ada"] == set()


def test_nothing_was_done_by_all_this(hub: Hub, callers: dict[str, Caller], routes: list[Served]) -> None:
    """The server that everybody knocked at still is there, and is Alice's."""
    assert ask(hub, callers["alice"], "GET", f"{PREFIX}api/status").status == 200
    assert Path(hub.state_dir, "homes", "alice").is_dir()
