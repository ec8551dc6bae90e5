"""GitHub sign-in from end to end, over HTTP, against a stand-in that checks what it is sent."""

from collections.abc import Iterator

import pytest

from tests.hub.browser import Browser
from tests.hub.github import CLIENT_ID, CLIENT_SECRET, GitHubStandIn
from tests.hub.process import Hub


@pytest.fixture(scope="module")
def github() -> Iterator[GitHubStandIn]:
    with GitHubStandIn() as github:
        github.members = {"grace"}
        yield github


@pytest.fixture(scope="module")
def github_hub(github: GitHubStandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(
        tmp_path_factory.mktemp("github") / "state",
        GITHUB_CLIENT_ID=CLIENT_ID,
        GITHUB_CLIENT_SECRET=CLIENT_SECRET,
        GITHUB_URL=github.url,
        GITHUB_ALLOWED_ORGANIZATIONS="analysts",
        AIDP_ALLOWED_USERS="octocat",
        AIDP_ADMIN_USERS="ada",
    )
    try:
        hub.wait_ready()
        yield hub
    finally:
        hub.close()


def sign_in(hub: Hub, github: GitHubStandIn, login: str) -> tuple[Browser, int, str]:
    """A browser in which ``login`` is signed in at GitHub, and what the hub then shows."""
    github.login = login
    browser = Browser(hub.url)
    answer = browser.open("hub/oauth_login?next=%2Fhub%2Fhome")
    return browser, answer.status, answer.url


@pytest.mark.parametrize("login", ["octocat", "grace", "ada"])
def test_people_who_are_named_and_members_get_in(github_hub, github, login):
    browser, status, url = sign_in(github_hub, github, login)
    assert (status, url) == (200, f"{github_hub.url}hub/home")
    browser.token = browser.api_token(login)
    me = browser.open("hub/api/user").json()
    assert (me["name"], me["admin"]) == (login, login == "ada")


def test_github_is_sent_what_it_needs_to_know(github_hub, github):
    github.requests.clear()
    sign_in(github_hub, github, "octocat")
    (path, asked), (_, exchanged) = github.requests
    assert path == "/login/oauth/authorize"
    assert asked["client_id"] == CLIENT_ID
    assert asked["scope"] == "repo read:org"
    assert asked["redirect_uri"] == f"{github_hub.url}hub/oauth_callback"
    assert asked["code_challenge_method"] == "S256"
    assert asked["state"]
    assert CLIENT_SECRET not in asked.values()
    assert exchanged["client_secret"] == CLIENT_SECRET
    assert exchanged["code_verifier"]


def test_a_stranger_is_refused(github_hub, github):
    _, status, _ = sign_in(github_hub, github, "mallory")
    assert status == 403


def test_a_forged_state_is_refused(github_hub, github):
    browser = Browser(github_hub.url)
    assert browser.open("hub/oauth_callback?code=abc&state=forged").status == 400


def test_the_local_form_is_not_offered(github_hub):
    browser = Browser(github_hub.url)
    assert browser.sign_in("octocat", "anything").status == 400
    assert "/hub/login" in browser.open("hub/home").url
    assert not (github_hub.state_dir / "password").exists()


def test_the_terminal_says_who_may_sign_in(github_hub):
    assert "with GitHub: ada, analysts, octocat" in github_hub.printed


def test_no_secret_of_githubs_is_in_the_log(github_hub, github):
    sign_in(github_hub, github, "octocat")
    assert github.tokens
    for secret in (CLIENT_SECRET, *github.tokens):
        assert secret not in github_hub.log
