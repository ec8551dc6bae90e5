"""Teams, rights and the end of them, over HTTP: a real hub against GitHub's stand-in, which it asks every second."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from aidp_ext.core.audit import verify
from tests.hub.browser import Answer, Browser
from tests.hub.github import CLIENT_ID, CLIENT_SECRET, WHO, GitHubStandIn
from tests.hub.process import Hub
from tests.support.processes import wait_until

AGAIN_S = 1


@pytest.fixture(scope="module")
def github() -> Iterator[GitHubStandIn]:
    with GitHubStandIn() as github:
        yield github


@pytest.fixture(autouse=True)
def as_it_was(github: GitHubStandIn) -> Iterator[None]:
    """Nobody is a member of anything, and GitHub answers."""
    yield
    github.is_down = github.limited = False


@pytest.fixture(scope="module")
def team_hub(github: GitHubStandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(
        tmp_path_factory.mktemp("people") / "state",
        GITHUB_CLIENT_ID=CLIENT_ID,
        GITHUB_CLIENT_SECRET=CLIENT_SECRET,
        GITHUB_URL=github.url,
        GITHUB_ALLOWED_ORGANIZATIONS="analysts,makers:core",
        AIDP_ADMIN_TEAMS="Makers:Admins",
        AIDP_ALLOWED_USERS="octocat,id:77",
        AIDP_ADMIN_USERS="ada,later",
        AIDP_RECHECK_S=str(AGAIN_S),
    )
    try:
        hub.wait_ready()
        yield hub
    finally:
        hub.close()


@pytest.fixture(scope="module")
def admin(team_hub: Hub) -> Browser:
    """Ada, who is named as an administrator, with a token."""
    browser, answer = come(team_hub, "ada")
    assert answer.status == 200
    browser.token = browser.api_token("ada")
    return browser


def come(hub: Hub, login: str, to: str = "%2Fhub%2Fhome") -> tuple[Browser, Answer]:
    """A browser in which this login is signed in at GitHub, and what the hub shows it."""
    browser = Browser(hub.url)
    return browser, browser.open(f"hub/oauth_login?next={to}", more={WHO: login})


def member(hub: Hub, account: str, login: str | None = None) -> Browser:
    """Somebody who got in, with a token of their account's."""
    browser, answer = come(hub, login or account)
    assert (answer.status, answer.url) == (200, f"{hub.url}hub/home"), answer.text[-2000:]
    browser.token = browser.api_token(account)
    return browser


def eventually(what: Callable[[], bool]) -> None:
    """Wait for what the hub does by itself."""
    wait_until(what, "what the hub does by itself")


def me(browser: Browser) -> dict:
    answer = browser.open("hub/api/user")
    return answer.json() if answer.status == 200 else {}


def records(hub: Hub) -> list[dict]:
    return [msgspec.json.decode(line) for line in audit(hub).read_bytes().splitlines()]


def audit(hub: Hub) -> Path:
    return hub.state_dir / "service" / "audit.jsonl"


# teams and rights


def test_teams_of_the_named_organisations_become_groups_with_those_above_them(team_hub, github):
    github.teams = {
        **{f"analysts:t{n}": {"tess"} for n in range(3)},
        "Makers:Core": {"tess"},
        "strangers:club": {"tess"},
    }
    github.parents = {"analysts:t1": "analysts:all"}
    tess = member(team_hub, "tess")
    expected = {"analysts:t0", "analysts:t1", "analysts:t2", "analysts:all", "makers:core"}
    assert set(me(tess)["groups"]) == expected
    del github.teams["analysts:t2"]
    eventually(lambda: set(me(tess)["groups"]) == expected - {"analysts:t2"})


def test_who_is_in_a_team_below_an_allowed_one_may_enter_and_who_is_only_invited_may_not(team_hub, github):
    github.teams = {"makers:interns": {"ina"}}
    github.parents = {"makers:interns": "makers:juniors", "makers:juniors": "makers:core"}
    assert "makers:core" in me(member(team_hub, "ina"))["groups"]
    github.invited = {("makers:core", "ivo")}
    assert come(team_hub, "ivo")[1].status == 403


def test_a_teams_members_administer_the_hub_as_long_as_they_are_in_it(team_hub, github):
    github.members = {"rita"}
    github.teams = {"makers:admins": {"rita"}}
    rita = member(team_hub, "rita")
    assert rita.open("hub/api/users").status == 200
    scopes = set(me(rita)["scopes"])
    assert {"admin:servers", "custom:aidp:admin"} <= scopes
    github.teams = {}
    eventually(lambda: rita.open("hub/api/users").status == 403)
    assert me(rita)["name"] == "rita", "she is still a member"
    assert "custom:aidp:admin" not in me(rita)["scopes"]


def test_a_named_administrator_has_both_roles(admin):
    assert {"admin:users", "custom:aidp:admin"} <= set(me(admin)["scopes"])
    assert me(admin)["admin"] is True


# names that change


def test_a_renamed_login_keeps_its_account_and_its_rights_and_whoever_takes_the_name_gets_neither(
    team_hub, github, admin
):
    member(team_hub, "octocat")
    github.rename("octocat", "hexacat")
    renamed = member(team_hub, "octocat", "hexacat")
    assert me(renamed)["name"] == "octocat"
    github.take("octocat")
    assert come(team_hub, "octocat")[1].status == 403, "the list means who was there first"
    github.members = {"octocat"}
    account = f"octocat-{github.id_of('octocat')}"
    assert me(member(team_hub, account, "octocat"))["name"] == account


def test_who_takes_the_name_of_an_administrator_is_none(team_hub, github, admin):
    github.rename("ada", "countess")
    try:
        github.take("ada")
        github.members = {"ada"}
        account = f"ada-{github.id_of('ada')}"
        impostor = member(team_hub, account, "ada")
        assert me(impostor)["admin"] is False
        assert "admin:users" not in me(impostor)["scopes"]
        assert me(member(team_hub, "ada", "countess"))["admin"] is True
    finally:
        del github.ids["ada"]
        github.members.discard("ada")
        github.rename("countess", "ada")


def test_who_takes_a_name_of_the_list_later_earns_nothing_by_it_and_whoever_comes_under_it_does(team_hub, github):
    github.members = {"early"}
    early = member(team_hub, "early")
    github.rename("early", "later")
    assert me(member(team_hub, "early", "later"))["admin"] is False
    github.members = set()
    eventually(lambda: early.open("hub/api/user").status == 403)
    assert come(team_hub, "later")[1].status == 403
    github.rename("later", "early")
    github.ids["later"] = 78
    assert me(member(team_hub, "later"))["admin"] is True


def test_a_list_may_hold_an_id_whatever_its_owner_is_called(team_hub, github):
    github.ids["changeling"] = 77
    assert me(member(team_hub, "changeling"))["name"] == "changeling"
    github.ids["changeling"] = 79
    assert come(team_hub, "changeling")[1].status == 403


def test_an_account_that_an_administrator_made_is_not_whoevers_comes_under_its_name(team_hub, github, admin):
    assert admin.open("hub/api/users/prior", method="POST").status == 201
    github.members = {"prior"}
    account = f"prior-{github.id_of('prior')}"
    assert me(member(team_hub, account, "prior"))["name"] == account
    assert me(member(team_hub, account, "prior"))["name"] == account, "and so the next time"


def test_whose_an_account_is_is_kept_where_nobody_else_reads(team_hub):
    assert (team_hub.state_dir / "people.sqlite").stat().st_mode & 0o077 == 0


# the end


def test_who_leaves_while_away_has_their_server_stopped_and_no_token_left(team_hub, github, admin):
    github.members = {"leo"}
    leo = member(team_hub, "leo")
    leo.start_server("leo")
    identity = leo.open("user/leo/api/me").json()["identity"]
    assert (identity["display_name"], identity["initials"]) == ("Octo Cat", "OC")
    assert identity["avatar_url"] == f"https://avatars.example.org/u/{github.id_of('leo')}?v=4"
    github.members = set()  # and Leo sends no request any more
    eventually(lambda: admin.open("hub/api/users/leo").json()["servers"] == {})
    assert leo.open("hub/api/user").status == 403
    assert admin.open("hub/api/users/leo/tokens").json()["api_tokens"] == []
    leo.token = None
    assert "/hub/login" in leo.open("hub/home").url, "the session has ended too"
    assert come(team_hub, "leo")[1].status == 403
    assert admin.open("hub/api/users/leo/server", method="POST").status == 403, "nor does an administrator start it"
    of_leos = [(one["event"], one["actor"]) for one in records(team_hub) if "leo" in (one["actor"], one.get("user"))]
    assert {("hub.server_started", "leo"), ("hub.dismissed", "leo"), ("hub.server_stopped", "hub")} <= set(of_leos)


def test_who_asks_is_on_record_and_not_whose_it_is(team_hub, github, admin):
    github.members = {"mona"}
    mona = member(team_hub, "mona")
    answer = admin.open("hub/api/users/mona/tokens", body={"note": "from the admin"})
    assert answer.status == 201
    made = {one["token"]: (one["actor"], one["user"]) for one in records(team_hub) if one["event"] == "hub.token_made"}
    assert made[answer.json()["id"]] == ("ada", "mona")
    assert ("mona", "mona") in made.values()
    assert mona.token


@pytest.mark.parametrize("how", ["left", "suspended", "revoked"])
def test_a_token_ends_with_the_right_to_be_here(team_hub, github, how):
    login = f"w-{how}"
    github.members = {login}
    who = member(team_hub, login)
    assert me(who)["name"] == login
    if how == "left":
        github.members = set()
    elif how == "suspended":
        github.suspended = {login}
    else:
        github.revoke(login)
    eventually(lambda: who.open("hub/api/user").status == 403)
    if how == "suspended":
        answer = come(team_hub, login)[1]
        assert answer.status == 403
        assert "suspended" in answer.text


def test_whoever_comes_back_gets_in_again_with_what_was_theirs(team_hub, github):
    github.members = {"bea"}
    github.teams = {"analysts:data": {"bea"}}
    bea = member(team_hub, "bea")
    github.members, github.teams = set(), {}
    eventually(lambda: bea.open("hub/api/user").status == 403)
    github.members, github.teams = {"bea"}, {"analysts:data": {"bea"}}
    assert me(member(team_hub, "bea"))["groups"] == ["analysts:data"]


# GitHub away


@pytest.mark.parametrize("how", ["is_down", "limited"])
def test_without_github_nobody_is_locked_out_nobody_let_in_and_the_page_says_why(team_hub, github, how):
    github.members = {"inn"}
    inn = member(team_hub, "inn")
    github.members = {"inn", "gone"}
    gone = member(team_hub, "gone")
    github.members = {"inn"}
    eventually(lambda: gone.open("hub/api/user").status == 403)
    setattr(github, how, True)
    asked = len(github.asked)
    until = time.monotonic() + 3 * AGAIN_S
    while time.monotonic() < until:
        assert me(inn)["name"] == "inn"
        assert gone.open("hub/api/user").status == 403
        threading.Event().wait(0.2)
    if how == "limited":
        assert len(github.asked) > asked, "it was asked meanwhile"
    answer = come(team_hub, "inn")[1]
    if how == "limited":
        assert answer.status == 503
        assert "GitHub does not answer" in answer.text
    else:  # GitHub's own page is down too; the browser comes back with a code that cannot be exchanged
        github.is_down = False
        browser = Browser(team_hub.url)
        sent = Sent(browser, github)
        github.is_down = True
        answer = sent.back()
        assert answer.status == 503
        assert "GitHub does not answer" in answer.text
        assert "try again" in answer.text.lower()


class Sent:
    """A browser on its way back from GitHub, stopped just before it calls the hub."""

    def __init__(self, browser: Browser, github: GitHubStandIn, login: str = "inn") -> None:
        self.browser, self.address = browser, ""
        wait = threading.Event()
        github.on_code = lambda address: (setattr(self, "address", address), wait.set())[0]
        try:
            browser.open("hub/oauth_login?next=%2Fhub%2Fhome", more={WHO: login})
            assert wait.is_set()
        finally:
            github.on_code = None

    def back(self, browser: Browser | None = None) -> Answer:
        return (browser or self.browser).open(self.address)


# bad input


def test_a_code_that_was_used_and_a_state_of_another_browser_open_nothing(team_hub, github):
    github.members = {"inn", "eve"}
    browser = Browser(team_hub.url)
    sent = Sent(browser, github)
    assert sent.back(Browser(team_hub.url)).status == 400, "another browser has no such state"
    mallory = Sent(Browser(team_hub.url), github, "eve")
    assert mallory.back(browser).status == 400, "who would be signed in as somebody else without knowing"
    fresh = Sent(Browser(team_hub.url), github)
    assert fresh.back().status == 200
    assert fresh.back().status == 400, "the state was used"
    again = Sent(fresh.browser, github)
    again.address = (
        again.address.partition("code=")[0]
        + fresh.address[fresh.address.index("code=") :].split("&")[0]
        + ("&state=" + again.address.partition("state=")[2])
    )
    assert again.back().status == 403, "GitHub takes a code once"


@pytest.mark.parametrize(
    "to",
    ["https://evil.example/x", "//evil.example/x", "/%5C/evil.example", "%5C%5Cevil.example", "javascript:alert(1)"],
)
def test_a_sign_in_leads_nowhere_else(team_hub, github, to):
    github.members = {"inn"}
    _, answer = come(team_hub, "inn", to)
    assert answer.url.startswith(team_hub.url)


def test_a_hundred_who_sign_in_at_once_all_get_in_and_the_same_one_gets_one_account(team_hub, github):
    logins = [f"crowd{number}" for number in range(80)] + ["twin"] * 20
    github.members = set(logins)
    began = time.monotonic()
    with ThreadPoolExecutor(len(logins)) as pool:
        answers = list(pool.map(lambda login: come(team_hub, login)[1], logins))
    assert {answer.status for answer in answers} == {200}
    assert time.monotonic() - began < 100
    eventually(lambda: Browser(team_hub.url).open("hub/health").status == 200)
    people = [one for one in records(team_hub) if one["event"] == "hub.sign_in" and one["actor"] in logins]
    assert {one["actor"] for one in people} == set(logins)
    assert len(people) == len(logins)


# the record


def test_the_record_is_whole_and_says_who_did_what_and_no_secret(team_hub, github, admin):
    github.members = {"sol"}
    sol = member(team_hub, "sol")
    sol.token = None
    sol.open("hub/logout")
    assert come(team_hub, "mallory")[1].status == 403
    assert Browser(team_hub.url).open("hub/oauth_callback?code=x&state=" + "y" * 5000).status == 400
    assert verify(audit(team_hub)) == len(records(team_hub))
    events = {one["event"]: one for one in records(team_hub)}
    assert {
        "hub.sign_in",
        "hub.sign_in_refused",
        "hub.sign_out",
        "hub.token_made",
        "hub.group_given",
        "hub.group_taken",
        "hub.role_given",
    } <= set(events)
    assert events["hub.sign_out"]["actor"] == "sol"
    refused = [one for one in records(team_hub) if one["event"] == "hub.sign_in_refused" and one["actor"] == "mallory"]
    assert refused[-1]["id"] == str(github.id_of("mallory"))
    text = audit(team_hub).read_text()
    for secret in (CLIENT_SECRET, str(admin.token), *github.tokens):
        assert secret not in text
