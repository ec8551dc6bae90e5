"""A team's experiments through a real hub: each sees what the team allows, whatever way they take."""

import asyncio
import contextlib
import http.client
import itertools
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import psutil
import pytest
from jupyter_client.blocking import BlockingKernelClient

from aidp_ext.core.audit import verify
from tests.hub.browser import Answer, Browser
from tests.hub.process import Hub
from tests.support.processes import wait_until

SERVICE = "services/aidp/aidp/"
MLFLOW = f"{SERVICE}mlflow/api/2.0/mlflow/"
QUERY = "query GetRun($data: MlflowGetRunInput!) { mlflowGetRun(input: $data) { run { info { runName } } } }"
#: Ana and Ben are birds, Eve is a fish, and Bo is both.
TEAMS = {"birds": ["ana", "ben", "bo"], "fish": ["eve", "bo"]}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(
        tmp_path_factory.mktemp("tracking") / "state",
        AIDP_ADMIN_USERS="ada",
        AIDP_TOKEN_CACHE_S="1",
        OLLAMA_HOST="http://127.0.0.1:9",
        OPENAI_API_KEY="sk-the-organisations-own",
    )
    try:
        hub.wait_ready()
        yield hub
    finally:
        hub.close()


def signed_in(hub: Hub, name: str) -> Browser:
    """Somebody with a token of their own."""
    browser = Browser(hub.url)
    file = "admin-password" if name == "ada" else "password"
    browser.sign_in(name, (hub.state_dir / file).read_text().strip())
    browser.token = browser.api_token(name)
    return browser


@pytest.fixture(scope="module")
def people(hub: Hub) -> dict[str, Browser]:
    """Everybody, each in their teams, with a tracking server that runs."""
    found = {name: signed_in(hub, name) for name in ("ada", "ana", "ben", "eve", "bo")}
    for team, members in TEAMS.items():
        assert found["ada"].open(f"hub/api/groups/{team}", method="POST").status == 201
        assert found["ada"].open(f"hub/api/groups/{team}/users", body={"users": members}).status == 200

    def is_up() -> bool:
        try:
            return found["ada"].open(f"{MLFLOW}experiments/search?max_results=1").status == 200
        except TimeoutError:  # a busy machine takes more than a minute to start it
            return False

    wait_until(is_up, "MLflow answers", 300)
    return found


def call(who: Browser, path: str, body: Any = None, **query: str) -> Answer:
    """Call MLflow's API by POST with a body, by GET with a query."""
    return who.open(f"{MLFLOW}{path}{'?' + urlencode(query) if query else ''}", body=body)


def made(who: Browser, name: str) -> tuple[str, str]:
    """A new experiment with a run in it, with a parameter and an artifact."""
    answer = call(who, "experiments/create", {"name": name})
    assert answer.status == 200, answer.text
    experiment = answer.json()["experiment_id"]
    answer = call(who, "runs/create", {"experiment_id": experiment, "run_name": name, "user_id": "somebody"})
    assert answer.status == 200, answer.text
    run = answer.json()["run"]["info"]["run_id"]
    assert call(who, "runs/log-parameter", {"run_id": run, "key": "secret", "value": name}).status == 200
    artifact = f"services/aidp/aidp/mlflow/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/a.json"
    assert who.open(artifact, body={"secret": name}, method="PUT").status == 200
    return experiment, run


@pytest.fixture(scope="module")
def anas(people: dict[str, Browser]) -> tuple[str, str]:
    """An experiment of Ana's, and its run."""
    return made(people["ana"], "birds of ana")


@pytest.fixture(scope="module")
def eves(people: dict[str, Browser]) -> tuple[str, str]:
    return made(people["eve"], "fish of eve")


def rows(who: Browser, base: str = SERVICE, **asked: Any) -> list[dict[str, Any]]:
    """The runs that somebody finds by our own search."""
    answer = who.open(f"{base}experiments/runs/search", body={"limit": 500, "columns": ["params.secret"], **asked})
    assert answer.status == 200, answer.text
    return answer.json()["runs"]


def reads(who: Browser, experiment: str, run: str) -> set[str]:
    """By which ways somebody reaches a run."""
    artifact = f"{experiment}/{run}/artifacts/a.json"
    ways = {
        "run": call(who, "runs/get", run_id=run),
        "experiment": call(who, "experiments/get", experiment_id=experiment),
        "search": call(who, "runs/search", {"experiment_ids": [experiment]}),
        "artifacts": call(who, "artifacts/list", run_id=run),
        "artifact": who.open(f"{SERVICE}mlflow/get-artifact?run_id={run}&path=a.json"),
        "proxied artifact": who.open(f"{SERVICE}mlflow/api/2.0/mlflow-artifacts/artifacts/{artifact}"),
        "page's artifact": who.open(f"{SERVICE}mlflow/ajax-api/2.0/mlflow-artifacts/artifacts/{artifact}"),
        "access": who.open(f"{SERVICE}experiments/{experiment}/access"),
        "page": who.open(f"{SERVICE}mlflow/graphql", body={"query": QUERY, "variables": {"data": {"runId": run}}}),
        "our run": who.open(f"{SERVICE}experiments/runs/{run}"),
        "our artifacts": who.open(f"{SERVICE}experiments/runs/{run}/artifacts?path="),
        "our artifact": who.open(f"{SERVICE}experiments/runs/{run}/raw?path=a.json"),
        "our preview": who.open(f"{SERVICE}experiments/runs/{run}/preview?path=a.json"),
    }
    assert {answer.status for answer in ways.values()} <= {200, 404}
    listed = call(who, "experiments/search", {"max_results": 1000}).json().get("experiments", [])
    found = {way for way, answer in ways.items() if answer.status == 200}
    ours = who.open(f"{SERVICE}experiments").json()["experiments"]
    lists = {
        "list": [one["experiment_id"] for one in listed],
        "our list": [one["id"] for one in ours],
        "our search": [one["experiment_id"] for one in rows(who)],
        "our filter": [one["experiment_id"] for one in rows(who, filter="attributes.status = 'RUNNING'")],
        "our search of it": [one["experiment_id"] for one in rows(who, experiments=[experiment])],
    }
    return found | {way for way, ids in lists.items() if experiment in ids}


#: All ways; an experiment is reached by all of them or by none.
ALL = {
    *(
        "page",
        "run",
        "experiment",
        "search",
        "artifacts",
        "artifact",
        "proxied artifact",
        "page's artifact",
        "access",
        "list",
    ),
    *("our run", "our artifacts", "our artifact", "our preview", "our list", "our search", "our filter"),
    "our search of it",
}


def test_each_sees_what_their_teams_allow_by_every_way(people, anas, eves):
    seen = {name: (reads(who, *anas), reads(who, *eves)) for name, who in people.items()}
    assert seen == {
        "ada": (ALL, ALL),
        "ana": (ALL, set()),
        "ben": (ALL, set()),
        "eve": (set(), ALL),
        "bo": (ALL, ALL),
    }


def test_who_may_only_read_changes_nothing(people, anas):
    experiment, run = anas
    for name, status in (("ben", 403), ("bo", 403), ("eve", 404)):
        who = people[name]
        assert call(who, "runs/log-metric", {"run_id": run, "key": "x", "value": 1, "timestamp": 1}).status == status
        assert call(who, "runs/delete", {"run_id": run}).status == status
        assert call(who, "experiments/delete", {"experiment_id": experiment}).status == status
        path = f"{SERVICE}mlflow/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/a.json"
        assert who.open(path, body={}, method="PUT").status == status
        assert who.open(path, method="DELETE").status == status
    answer = people["ben"].open(
        f"{SERVICE}mlflow/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/a.json"
    )
    assert answer.json() == {"secret": "birds of ana"}


def test_our_own_endpoints_say_and_keep_who_may_what(people, anas):
    experiment, run = anas
    for name, can in (("ana", True), ("ben", False)):
        (found,) = [
            one for one in people[name].open(f"{SERVICE}experiments").json()["experiments"] if one["id"] == experiment
        ]
        assert found["can"] == {"write": can, "manage": can}
    for name, status in (("ben", 403), ("eve", 404)):
        who = people[name]
        assert who.open(f"{SERVICE}experiments/runs/{run}", body={"note": "x"}, method="PATCH").status == status
        assert who.open(f"{SERVICE}experiments/{experiment}", body={"name": "x"}, method="PATCH").status == status
        assert who.open(f"{SERVICE}experiments/{experiment}/delete", body={}).status == status
        asked = {"runs": [run], "metrics": ["loss"]}
        assert who.open(f"{SERVICE}experiments/curves", body=asked).status == (200 if name == "ben" else 404)
    answer = people["ben"].open(f"{SERVICE}experiments", body={"name": "~ana"})
    assert (answer.status, answer.json()["error"]["code"]) == (403, "forbidden")
    answer = people["ben"].open(f"{SERVICE}experiments", body={"name": "of ben"})
    assert answer.status == 200, answer.text
    made_ = answer.json()["id"]
    assert people["ana"].open(f"{SERVICE}experiments/{made_}/access").json()["owner"] == "ben"
    assert people["eve"].open(f"{SERVICE}experiments/{made_}/access").status == 404


def test_the_code_of_a_run_is_not_made_anew_in_the_service(people, anas):
    path = f"{SERVICE}experiments/runs/{anas[1]}/restore-code"
    assert people["ana"].open(path, body={"into": "notebook"}).status == 404


async def heard(hub: Hub, token: str, experiment: str, run: str, change: Callable[[], Any], base: str = SERVICE) -> str:
    """What a websocket says of a run that somebody watches and somebody else changes."""
    said = ""
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.ws_connect(f"{hub.url}{base}experiments/live") as live,
    ):
        await live.send_json({"watch": {"experiments": [experiment], "runs": [run], "columns": ["metrics.seen"]}})
        await asyncio.sleep(1)  # it is told who watches
        await asyncio.to_thread(change)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(8):
                async for message in live:
                    said += str(message.data)
                    if '"seen"' in said or '"metrics.seen"' in said:
                        break
    return said


async def test_a_websocket_tells_nobody_of_what_they_may_not_see(hub, people, anas):
    experiment, run = anas
    steps = itertools.count(1)

    def log() -> None:
        body = {
            "run_id": run,
            "key": "seen",
            "value": 4711.5,
            "timestamp": int(time.time() * 1000),
            "step": next(steps),
        }
        assert call(people["ana"], "runs/log-metric", body).status == 200

    assert "4711.5" in await heard(hub, people["ben"].token, experiment, run, log)
    said = await heard(hub, people["eve"].token, experiment, run, log)
    assert "4711.5" not in said
    assert run not in said
    async with aiohttp.ClientSession() as nobody:
        for headers in ({}, {"Authorization": "Bearer nonsense"}, {"X-Forwarded-User": "ana"}):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await nobody.ws_connect(f"{hub.url}{SERVICE}experiments/live", headers=headers)
            assert refused.value.status in (401, 403)


async def test_a_websocket_ends_with_the_rights_of_whoever_holds_it(hub, people):
    token = people["ana"].open("hub/api/users/ana/tokens", body={"note": "short"}).json()
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token['token']}"}) as session,
        session.ws_connect(f"{hub.url}{SERVICE}experiments/live") as live,
    ):
        await asyncio.to_thread(people["ana"].open, f"hub/api/users/ana/tokens/{token['id']}", method="DELETE")
        async with asyncio.timeout(20):
            async for _ in live:
                pass
        assert live.close_code == 4001


def test_a_refusal_speaks_mlflows_language_too(people, anas):
    said = call(people["ben"], "runs/delete", {"run_id": anas[1]}).json()
    assert said["error_code"] == "PERMISSION_DENIED"
    assert said["error"]["code"] == "forbidden"
    assert "ana" in said["error"]["details"]["next_step"]
    assert call(people["eve"], "runs/get", run_id=anas[1]).json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"


def test_a_run_is_by_whoever_the_hub_says(people, anas):
    run = call(people["ana"], "runs/get", run_id=anas[1]).json()["run"]
    assert run["info"]["user_id"] == "ana"
    assert {tag["key"]: tag["value"] for tag in run["data"]["tags"]}["mlflow.user"] == "ana"


def test_sharing_holds_at_once_and_is_on_record(hub, people):
    experiment, run = made(people["ana"], "to be shared")
    path = f"{SERVICE}experiments/{experiment}/access"
    for name, status in (("ben", 403), ("eve", 404)):
        assert people[name].open(path, body={"teams": {}, "users": {}}, method="PUT").status == status
    shared = {"teams": {"fish": "write"}, "users": {}}
    answer = people["ana"].open(path, body=shared, method="PUT")
    assert (answer.status, answer.json()) == (200, {"owner": "ana", **shared})
    assert reads(people["eve"], experiment, run) == ALL
    assert reads(people["ben"], experiment, run) == set()
    assert call(people["eve"], "runs/set-tag", {"run_id": run, "key": "a", "value": "b"}).status == 200
    assert people["eve"].open(path, body=shared, method="PUT").status == 403
    assert people["ana"].open(path, body={"teams": {}, "users": {}}, method="PUT").status == 200
    assert reads(people["eve"], experiment, run) == set()
    verify(hub.state_dir / "service" / "audit.jsonl")
    lines = (hub.state_dir / "service" / "audit.jsonl").read_text().splitlines()
    records = [record for line in lines if (record := json.loads(line))["event"] == "experiments.shared"]
    assert [(one["actor"], one["experiment"], one["access"]["teams"]) for one in records[-2:]] == [
        ("ana", experiment, {"fish": "write"}),
        ("ana", experiment, {}),
    ]


def test_who_leaves_a_team_loses_its_experiments(people, eves):
    ada, bo = people["ada"], people["bo"]
    assert ada.open("hub/api/groups/fish/users", body={"users": ["bo"]}, method="DELETE").status == 200
    try:
        wait_until(lambda: reads(bo, *eves) == set(), "the change holds")
    finally:
        assert ada.open("hub/api/groups/fish/users", body={"users": ["bo"]}).status == 200
    wait_until(lambda: reads(bo, *eves) == ALL, "that change holds too")


def test_a_token_that_was_taken_back_reaches_nothing(hub, people, anas):
    answer = people["ana"].open("hub/api/users/ana/tokens", body={"note": "short"})
    token = answer.json()
    who = Browser(hub.url, token["token"])
    assert call(who, "runs/get", run_id=anas[1]).status == 200
    assert people["ana"].open(f"hub/api/users/ana/tokens/{token['id']}", method="DELETE").status == 204
    wait_until(lambda: call(who, "runs/get", run_id=anas[1]).status == 401, "it is known no more")
    for nobody in (Browser(hub.url), Browser(hub.url, "nonsense")):
        assert call(nobody, "runs/get", run_id=anas[1]).status == 401
        assert nobody.open(f"{SERVICE}mlflow/").status in (200, 401), "a person gets to the hub's sign-in"
        assert nobody.open(f"{SERVICE}experiments/{anas[0]}/access").status == 401


def raw(hub: Hub, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, bytes]:
    """Send a request exactly as written."""
    address = urlsplit(hub.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_headers_that_name_somebody_else_name_nobody(hub, people, anas):
    forged = {
        "Authorization": f"Bearer {people['eve'].token}",
        "X-Forwarded-User": "ana",
        "X-Remote-User": "ana",
        "Remote-User": "ana",
        "X-Mlflow-User": "ana",
        "X-HTTP-Method-Override": "GET",
        "Content-Type": "application/json",
    }
    status, said = raw(hub, "GET", f"/{MLFLOW}runs/get?run_id={anas[1]}", forged)
    assert status == 404, said
    body = json.dumps({"experiment_id": anas[0], "user_id": "ana"}).encode()
    assert raw(hub, "POST", f"/{MLFLOW}runs/create", forged, body)[0] == 404


@pytest.mark.parametrize(
    "target",
    [
        "//api/2.0/mlflow/runs/get?run_id={run}",
        "/api/2.0/mlflow/experiments/../runs/get?run_id={run}",
        "/api/2.0/mlflow/experiments/%2e%2e/runs/get?run_id={run}",
        "/api/2.0/mlflow/runs%2fget?run_id={run}",
        "/API/2.0/mlflow/runs/get?run_id={run}",
        "/api/2.0/mlflow/runs/get/?run_id={run}",
        "/api/2.0/mlflow/runs/get?run_id={own}&run_id={run}",
        "/api/2.0/mlflow/runs/get?run_id={own}&run_uuid={run}",
        "/get-artifact?run_id={run}&path=a.json",
        "/get-artifact?run_id={own}&path=../../../{experiment}/{run}/artifacts/a.json",
        "/static-files/../get-artifact?run_id={run}&path=a.json",
        "/api/2.0/mlflow-artifacts/artifacts/{mine}/../{experiment}/{run}/artifacts/a.json",
        "/api/2.0/mlflow-artifacts/artifacts/{mine}/%2e%2e/{experiment}/{run}/artifacts/a.json",
        "/api/2.0/mlflow-artifacts/artifacts/{mine}/%252e%252e/{experiment}/{run}/artifacts/a.json",
        "/api/2.0/mlflow-artifacts/artifacts?path={mine}/../{experiment}/{run}/artifacts",
        "/ajax-api/3.0/mlflow/assistant/config",
        "/gateway/mlflow/v1/models",
        "/api/2.0/mlflow/webhooks",
    ],
)
def test_no_way_of_writing_a_path_leads_to_what_is_anothers(hub, people, anas, eves, target):
    headers = {"Authorization": f"Bearer {people['eve'].token}"}
    filled = target.format(experiment=anas[0], run=anas[1], mine=eves[0], own=eves[1])
    for method in ("GET", "POST", "HEAD", "OPTIONS"):
        status, said = raw(hub, method, f"/{SERVICE}mlflow{filled}", headers)
        assert status in (400, 403, 404, 405), (method, status, said)
        assert b"birds of ana" not in said


def test_mlflow_itself_cannot_be_reached_around_the_service(hub, people):
    """No port, and a socket in a folder that nobody else can enter."""
    mlflow = [
        p for p in hub.processes() if "mlflow" in " ".join(p.cmdline()) and "hubservice" not in " ".join(p.cmdline())
    ]
    assert mlflow
    for process in mlflow:
        listening = [c for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert listening == []
        environment = process.environ()
        assert not [name for name in environment if name.startswith("JUPYTERHUB") or name.endswith("_API_KEY")]
    sockets = [
        Path(connection.laddr)
        for process in mlflow
        for connection in process.net_connections("unix")
        if connection.laddr and str(connection.laddr).endswith(".sock")
    ]
    assert sockets
    for path in sockets:
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert path.parent.stat().st_uid == os.geteuid()
    folder = hub.state_dir / "service" / "tracking"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_mlflows_pages_open_in_a_browser_after_the_hubs_sign_in(hub, people, anas):
    browser = Browser(hub.url)
    browser._opener.addheaders = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")]
    assert "login" in browser.open(f"{SERVICE}mlflow/").url
    browser.sign_in("ben", hub.password)
    answer = browser.open(f"{SERVICE}mlflow/")
    assert (answer.status, urlsplit(answer.url).path) == (200, f"/{SERVICE}mlflow/")
    assert "<title>MLflow" in answer.text
    # What the page asks by script carries the token that is in the page; another page's script has none.
    address = f"{SERVICE}mlflow/ajax-api/2.0/mlflow/experiments/search?max_results=100"
    browser._opener.addheaders = [("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Site", "same-origin")]
    assert browser.open(address).status == 401
    token = browser.cookie("_xsrf", "/services/aidp/")
    browser._opener.addheaders += [("X-XSRFToken", token)]
    listed = browser.open(address)
    assert listed.status == 200, listed.text
    assert anas[0] in [one["experiment_id"] for one in listed.json()["experiments"]]


def test_a_cross_site_post_with_cookies_changes_nothing(hub, people):
    browser = Browser(hub.url)
    browser._opener.addheaders = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")]
    browser.sign_in("ana", hub.password)
    assert browser.open(f"{SERVICE}mlflow/").status == 200
    for mode, site in (
        ("no-cors", "cross-site"),
        ("cors", "cross-site"),
        ("navigate", "cross-site"),
        ("cors", "same-site"),
    ):
        browser._opener.addheaders = [
            ("Sec-Fetch-Mode", mode),
            ("Sec-Fetch-Site", site),
            ("Origin", "http://evil.test"),
        ]
        answer = browser.open(f"{MLFLOW}experiments/create", body={"name": f"forged {mode} {site}"})
        assert answer.status in (401, 403), (mode, site, answer.text)


# --- a user's server


@pytest.fixture(scope="module")
def kernel(hub: Hub, people: dict[str, Browser]) -> Iterator[psutil.Process]:
    """A kernel of Ana's, in her own server."""
    people["ana"].start_server("ana")
    answer = people["ana"].open("user/ana/api/kernels", body={"name": "python3"})
    assert answer.status == 201, answer.text
    process = hub.find("ipykernel_launcher")
    # Before it listens, a client would take it for dead.
    wait_until(lambda: [c for c in process.net_connections() if c.status == psutil.CONN_LISTEN], "it listens", 60)
    yield process
    people["ana"].open(f"user/ana/api/kernels/{answer.json()['id']}", method="DELETE")


def run(kernel: psutil.Process, code: str) -> str:
    """What a cell of the kernel prints."""
    line = kernel.cmdline()
    client = BlockingKernelClient(connection_file=line[line.index("-f") + 1])
    client.load_connection_file()
    client.hb_channel.time_to_dead = 30.0  # a second is little on a machine that is busy
    client.start_channels()
    printed: list[str] = []

    def note(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            printed.append(message["content"]["text"])

    try:
        client.wait_for_ready(timeout=60)
        reply = client.execute_interactive(code, timeout=240, output_hook=note)
    finally:
        client.stop_channels()
    assert reply["content"]["status"] == "ok", reply["content"]
    return "".join(printed)


CELL = """
import os, tempfile, mlflow
with mlflow.start_run() as made:
    mlflow.log_param("a", 1)
    mlflow.log_metric("loss", 0.5)
    mlflow.log_text("hello", "notes/a.txt")
client = mlflow.MlflowClient()
run = client.get_run(made.info.run_id)
name = client.get_experiment(run.info.experiment_id).name
text = mlflow.artifacts.load_text(run.info.artifact_uri + "/notes/a.txt")
names = sorted(one.name for one in client.search_experiments())
tags, metrics = run.data.tags, run.data.metrics
print(run.info.run_id, run.info.experiment_id, name, tags["mlflow.user"], metrics["loss"], text, sep="|")
print(names)
print("JUPYTERHUB_API_TOKEN" in os.environ)
"""


def test_mlflow_in_a_kernel_logs_to_the_team_with_nothing_set_up(people, anas, eves, kernel):
    first, names, has_token = run(kernel, CELL).splitlines()
    id_, experiment, name, user, loss, text = first.split("|")
    assert (name, user, loss, text) == ("~ana", "ana", "0.5", "hello")
    assert "birds of ana" in names
    assert "fish of eve" not in names
    assert has_token == "False", "the kernel asks its own server"
    for who, found in (("ana", 200), ("ben", 200), ("eve", 404)):
        assert call(people[who], "runs/get", run_id=id_).status == found
    assert people["ben"].open(f"{SERVICE}experiments/{experiment}/access").json()["owner"] == "ana"


def test_a_team_is_told_what_to_do_with_the_default_experiment(people):
    answer = call(people["eve"], "runs/create", {"experiment_id": "0"})
    assert answer.status == 403
    assert "~eve" in answer.json()["error"]["details"]["next_step"]


def test_a_name_of_anothers_own_cannot_be_taken(people):
    assert call(people["eve"], "experiments/create", {"name": "~ben"}).status == 403


def test_a_users_server_shows_the_teams_experiments(people, anas, eves, kernel):
    """Lab asks its own server, which asks the hub's service as its user."""
    base = "user/ana/aidp/"
    said = people["ana"].open(f"{base}experiments").json()
    assert said["tracking"]["kind"] == "team"
    listed = {one["id"] for one in said["experiments"]}
    assert anas[0] in listed
    assert eves[0] not in listed
    assert {one["experiment_id"] for one in rows(people["ana"], base)} <= listed
    assert people["ana"].open(f"{base}experiments/runs/{anas[1]}/raw?path=a.json").json() == {"secret": "birds of ana"}
    assert people["ana"].open(f"{base}experiments/runs/{eves[1]}").status == 404
    assert people["ana"].open(f"{base}experiments/{anas[0]}/access").json()["owner"] == "ana"
    answer = people["ana"].open(f"{base}experiments/runs/search", body={"filter": "not a filter", "limit": 5})
    assert (answer.status, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert people["ana"].open(f"{base}mlflow/").status == 200
    assert people["eve"].open(f"{base}experiments").status in (401, 403), "it is Ana's server"


async def test_a_users_server_passes_the_websocket_on(hub, people, anas, kernel):
    def log() -> None:
        body = {"run_id": anas[1], "key": "seen", "value": 815.25, "timestamp": int(time.time() * 1000), "step": 99}
        assert call(people["ana"], "runs/log-metric", body).status == 200

    assert "815.25" in await heard(hub, people["ana"].token, *anas, log, base="user/ana/aidp/")


def test_a_service_that_is_gone_is_said_so_and_found_again(hub, people, anas, kernel):
    """The last test: with the service goes its MLflow, and JupyterHub starts both anew."""

    def asked() -> Answer:
        return people["ana"].open("user/ana/aidp/experiments")

    service = hub.find("aidp_ext.hubservice")
    service.kill()
    wait_until(lambda: not service.is_running() or service.status() == psutil.STATUS_ZOMBIE, "it is gone")
    answer = asked()
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (503, "unavailable"), error
    assert "admin" in error["details"]["next_step"]
    said = people["ana"].open(f"user/ana/aidp/mlflow/api/2.0/mlflow/runs/get?run_id={anas[1]}").json()
    assert said["error_code"] == "TEMPORARILY_UNAVAILABLE", said
    wait_until(lambda: asked().status == 200, "the service answers again", 120)

    def is_up() -> bool:
        try:
            return people["ana"].open(f"user/ana/aidp/mlflow/api/2.0/mlflow/runs/get?run_id={anas[1]}").status == 200
        except TimeoutError:
            return False

    wait_until(is_up, "MLflow answers again", 300)
    assert reads(people["ben"], *anas) == ALL
    assert reads(people["eve"], *anas) == set(), "who may what outlives the service"
