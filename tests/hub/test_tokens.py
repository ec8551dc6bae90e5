"""From the sign-in to a token for git: a real hub with its service, users' servers, a GitHub that rotates tokens."""

import json
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from aidp_ext.core.audit import verify
from aidp_ext.core.errors import SignedOutOfForge, Unavailable
from aidp_ext.core.http import HttpClient
from aidp_ext.git.credentials import HubTokenSource
from hub_config.forge import digest
from tests.hub.browser import Answer, Browser
from tests.hub.github import CLIENT_ID, CLIENT_SECRET, GitHubStandIn
from tests.hub.process import Hub
from tests.support.processes import wait_until

EIGHT_HOURS_S = 8 * 3600


@pytest.fixture(scope="module")
def github() -> Iterator[GitHubStandIn]:
    with GitHubStandIn() as github:
        github.lasts_s = EIGHT_HOURS_S
        yield github


@pytest.fixture(scope="module")
def hub(github: GitHubStandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(
        tmp_path_factory.mktemp("tokens") / "state",
        GITHUB_CLIENT_ID=CLIENT_ID,
        GITHUB_CLIENT_SECRET=CLIENT_SECRET,
        GITHUB_URL=github.url,
        AIDP_ALLOWED_USERS="ada,bob,carol",
        AIDP_TOKEN_CACHE_S="1",
        OLLAMA_HOST="http://127.0.0.1:9",
    )
    try:
        hub.wait_ready()
        yield hub
    finally:
        hub.close()


def signed_in(hub: Hub, github: GitHubStandIn, login: str) -> Browser:
    github.login = login
    browser = Browser(hub.url)
    answer = browser.open("hub/oauth_login?next=%2Fhub%2Fhome")
    assert (answer.status, answer.url) == (200, f"{hub.url}hub/home")
    return browser


@pytest.fixture(scope="module")
def ada(hub: Hub, github: GitHubStandIn) -> Browser:
    """Ada, signed in, with her server up."""
    browser = signed_in(hub, github, "ada")
    browser.start_server("ada")
    return browser


@pytest.fixture(scope="module")
def server(hub: Hub, ada: Browser) -> psutil.Process:
    """Ada's server."""
    return hub.find("jupyterhub.singleuser")


@pytest.fixture(scope="module")
def adas(hub: Hub, server: psutil.Process) -> Browser:
    """What Ada's server has: its own token."""
    return Browser(hub.url, server.environ()["JUPYTERHUB_API_TOKEN"])


@pytest.fixture(scope="module")
def bobs(hub: Hub, github: GitHubStandIn) -> Browser:
    """A token of Bob's own, who is signed in too."""
    browser = signed_in(hub, github, "bob")
    return Browser(hub.url, browser.api_token("bob"))


def ask(who: Browser, github: GitHubStandIn, refused: str | None = None, host: str | None = None) -> Answer:
    body = {"host": host or github.url.removeprefix("http://"), **({"refused": digest(refused)} if refused else {})}
    return who.open("services/aidp/aidp/git/token", body=body)


def test_a_users_server_gets_the_token_of_the_sign_in(github, adas):
    answer = ask(adas, github)
    assert answer.status == 200, answer.text
    said = answer.json()
    assert github.tokens[said["token"]] == "ada"
    assert set(said) == {"host", "token", "expires_at"}
    assert answer.headers["Cache-Control"] == "no-store"


def test_it_is_told_who_its_user_is_there(github, adas):
    said = adas.open("services/aidp/aidp/git/account").json()
    assert said["host"] == github.url.removeprefix("http://")
    assert (said["kind"], said["url"], said["login"], said["name"]) == ("github", github.url, "ada", "Octo Cat")
    assert said["is_signed_in"] is True
    assert not [word for word in ("ghu_", "ghr_") if word in json.dumps(said)]


def test_everybody_gets_their_own_alone(github, adas, bobs):
    for who, login in ((adas, "ada"), (bobs, "bob")):
        assert github.tokens[ask(who, github).json()["token"]] == login


def test_no_user_reaches_what_the_service_asks(hub, github, adas, bobs):
    body = {"host": github.url.removeprefix("http://")}
    for who in (adas, bobs):
        for name in ("ada", "bob", "nobody"):
            assert who.open(f"hub/api/aidp/forge/{name}", body=body).status == 403
            assert who.open(f"hub/api/aidp/forge/{name}").status == 403
    assert Browser(hub.url).open("hub/api/aidp/forge/ada", body=body).status == 403
    assert "auth_state" not in adas.open("hub/api/user").json()


def test_a_page_in_a_browser_gets_no_token(hub, github, ada):
    """Not even with the cookies of somebody who is signed in, of the service too, beside a token that is made up."""
    asked = {"host": github.url.removeprefix("http://")}
    ada.open("services/aidp/aidp/mlflow/", more={"Accept": "text/html", "Sec-Fetch-Mode": "navigate"})  # signs in there
    xsrf = {"X-XSRFToken": ada.cookie("_xsrf", "/services/aidp/")}
    assert ada.open("services/aidp/aidp/git/account").status == 200, "the cookies are good"
    for header in ({}, {"Authorization": "Bearer x"}, {"Authorization": ""}, {"Authorization": "Basic YTpi"}):
        answer = ada.open("services/aidp/aidp/git/token", body=asked, more={**xsrf, **header})
        assert answer.status in (401, 403), (header, answer.text)
    assert ask(Browser(hub.url), github).status in (401, 403)
    assert ask(Browser(hub.url, "nonsense"), github).status == 401


def test_another_forge_has_no_token(github, adas):
    for host in ("gitlab.com", "127.0.0.1", github.url.removeprefix("http://") + "0"):
        answer = ask(adas, github, host=host)
        assert (answer.status, answer.json()["error"]["code"]) == (404, "no_forge")


def test_twenty_who_ask_for_an_ended_token_cause_one_renewal(github, adas):
    dead = ask(adas, github).json()["token"]
    del github.tokens[dead]  # GitHub ended it before its time
    before = github.renewals
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: ask(adas, github, refused=dead), range(20)))
    assert {answer.status for answer in answers} == {200}
    (token,) = {answer.json()["token"] for answer in answers}
    assert github.tokens[token] == "ada"
    assert github.renewals == before + 1
    assert ask(adas, github, refused=dead).json()["token"] == token, "a late one does not kill what others were given"
    assert github.renewals == before + 1


def test_a_token_that_is_about_to_end_is_renewed_before_it_is_given(hub, github):
    github.lasts_s = 60
    try:
        browser = signed_in(hub, github, "carol")
    finally:
        github.lasts_s = EIGHT_HOURS_S
    (short,) = github.tokens_of("carol")
    carols = Browser(hub.url, browser.api_token("carol"))
    with ThreadPoolExecutor(20) as threads:
        given = {answer.json()["token"] for answer in threads.map(lambda _: ask(carols, github), range(20))}
    assert given == set(github.tokens_of("carol"))
    assert short not in given


def test_a_github_that_is_away_is_said_so_and_locks_nobody_out(github, adas, ada):
    token = ask(adas, github).json()["token"]
    github.is_down = True
    try:
        assert ask(adas, github).json()["token"] == token, "it is still good"
        answer = ask(adas, github, refused=token)
        assert (answer.status, answer.json()["error"]["code"]) == (503, "unavailable")
        assert ada.open("hub/home").status == 200
    finally:
        github.is_down = False
    assert ask(adas, github).status == 200


def test_who_was_signed_out_at_github_is_told_what_to_do(hub, github, bobs):
    token = ask(bobs, github).json()["token"]
    github.revoke("bob")
    answer = ask(bobs, github, refused=token)
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (409, "signed_out_of_forge")
    assert error["details"]["next_step"] == "Sign out of the hub and in again."
    signed_in(hub, github, "bob")
    assert github.tokens[ask(bobs, github, refused=token).json()["token"]] == "bob"


async def test_a_server_takes_them_through_its_source(hub, github, adas, bobs):
    """What a user's server does with the service, and what it makes of its answers."""
    host, http = github.url.removeprefix("http://"), HttpClient()

    def source(who: Browser, forge: str = github.url) -> HubTokenSource:
        return HubTokenSource(f"{hub.url}services/aidp/", str(who.token), http, forge=forge)

    try:
        ours = source(adas)
        token = await ours.token(host)
        assert token is not None
        assert github.tokens[token.value] == "ada"
        assert token.expires_at is not None
        account = await ours.account(host)
        assert account is not None
        assert (account.login, account.source, account.url, account.problem) == ("ada", "hub", github.url, None)
        assert account.email == f"{github.id_of('ada')}+ada@users.noreply.127.0.0.1"
        github.tokens.pop(token.value)
        fresh = await ours.token(host, fresh=True)
        assert fresh is not None
        assert github.tokens[fresh.value] == "ada"
        assert await ours.token("gitlab.com") is None
        assert await source(adas, "https://github.com").token("github.com") is None, "the hub signs in elsewhere"
        with pytest.raises(Unavailable, match="gives no token"):
            await source(Browser(hub.url, "nonsense")).token(host)
        theirs = source(bobs)
        await theirs.token(host)
        github.revoke("bob")
        with pytest.raises(SignedOutOfForge) as caught:
            await theirs.token(host, fresh=True)
        assert caught.value.next_step == "Sign out of the hub and in again."
        known = await theirs.account(host)
        assert known is not None
        assert known.problem is not None
        assert "in again" in known.problem
    finally:
        await http.close()
        signed_in(hub, github, "bob")


def test_an_oauth_apps_token_is_handed_out_as_it_is_until_it_is_taken_back(hub, github):
    github.lasts_s = None
    try:
        browser = signed_in(hub, github, "carol")
    finally:
        github.lasts_s = EIGHT_HOURS_S
    carols = Browser(hub.url, browser.api_token("carol"))
    said = ask(carols, github).json()
    assert said["expires_at"] is None
    assert ask(carols, github, refused=said["token"]).json()["token"] == said["token"], "GitHub still takes it"
    github.revoke("carol")
    assert ask(carols, github, refused=said["token"]).json()["error"]["code"] == "signed_out_of_forge"


def test_no_token_is_where_a_user_or_a_reader_of_files_sees_it(hub, github, ada, adas, server):
    """In no process's environment or arguments, the kernel's included, in no log, and in the records only sealed."""
    token = ada.api_token("ada")
    kernels = Browser(hub.url, token)
    answer = kernels.open("user/ada/api/kernels", body={"name": "python3"})
    assert answer.status == 201, answer.text
    kernel = hub.find("ipykernel_launcher")
    secrets = [ask(adas, github).json()["token"], *github.tokens, *github.refresh_tokens]
    key = (hub.state_dir / "auth-state-key").read_text().strip()
    for process in {kernel, server, *server.children(recursive=True), *hub.processes()}:
        folder = Path("/proc", str(process.pid))
        seen = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
        assert not [word for word in (*secrets, key) if word.encode() in seen], process
    assert "JUPYTERHUB_API_TOKEN" not in kernel.environ()
    files = [path for path in hub.state_dir.rglob("*") if path.is_file()]
    assert {"hub.log", "jupyterhub.sqlite", "audit.jsonl"} <= {path.name for path in files}
    for path in [*files, hub.errors]:
        content = path.read_bytes()
        assert not [word for word in secrets if word.encode() in content], path
        assert key.encode() not in content or path.name == "auth-state-key", path
    assert stat.S_IMODE((hub.state_dir / "auth-state-key").stat().st_mode) == 0o600
    assert "JUPYTERHUB_CRYPT_KEY" not in os.environ


def test_each_token_handed_out_is_on_record(hub, github, adas):
    path = hub.state_dir / "service" / "audit.jsonl"
    ask(adas, github)
    verify(path)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    last = [record for record in records if record["event"] == "git.token"][-1]
    assert (last["actor"], last["host"]) == ("ada", github.url.removeprefix("http://"))


def test_the_tokens_outlive_a_restart_of_the_hub(start_hub, github, tmp_path):
    """What a renewal gave is kept, or everybody would be signed out: the pair before it is dead."""
    env = {
        "GITHUB_CLIENT_ID": CLIENT_ID,
        "GITHUB_CLIENT_SECRET": CLIENT_SECRET,
        "GITHUB_URL": github.url,
        "AIDP_ALLOWED_USERS": "dora",
    }
    first = start_hub(**env)
    dora = Browser(first.url, signed_in(first, github, "dora").api_token("dora"))
    old = ask(dora, github).json()["token"]
    new = ask(dora, github, refused=old).json()["token"]
    assert new != old
    first.close()
    second = start_hub(**env)
    dora = Browser(second.url, dora.token)
    wait_until(lambda: ask(dora, github).status == 200, "the service answers")
    assert ask(dora, github).json()["token"] == new
    assert github.tokens_of("dora") == [new]
