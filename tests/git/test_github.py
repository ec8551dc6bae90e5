"""GitHub, as its stand-in answers: what is asked, what is made of it, and how each refusal is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from aidp_ext.core.errors import (
    Forbidden,
    InvalidRequest,
    NotFound,
    RateLimited,
    SignedOutOfForge,
    UpstreamInvalid,
    UpstreamRejected,
    UpstreamUnreachable,
)
from aidp_ext.core.http import HttpClient
from aidp_ext.git.models import NewPullRequest
from aidp_ext.git.remotes import Forge, forge_for
from aidp_ext.git.remotes.github import api_of
from tests.support.git_http import GitHttpServer
from tests.support.github_api import GithubApi

NAME = "ana/penguins"


class Signed:
    """Gives out a token, and after a refusal the next one."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.asked: list[bool] = []

    async def __call__(self, fresh: bool) -> str:
        self.asked.append(fresh)
        if fresh and len(self.tokens) > 1:
            self.tokens.pop(0)
        return self.tokens[0]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[GithubApi]:
    with GitHttpServer(tmp_path) as git:
        api = GithubApi(git)
        api.add_user("ben")
        git.add_repository(NAME, files={"README.md": "# Penguins\n"}, members=["ben"], labels=["bug", "data"])
        git.commit(NAME, {"a.py": "1"}, branch="topic", start="main", message="Topic")
        yield api


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient(connect_timeout_s=2)
    yield client
    await client.close()


@pytest.fixture
def signed(api: GithubApi) -> Signed:
    return Signed(api.add_user("ana", name="Ana", email=None))


@pytest.fixture
def forge(api: GithubApi, http: HttpClient, signed: Signed) -> Forge:
    return forge_for("github", api.url, http, signed)


def new(**more: object) -> NewPullRequest:
    return NewPullRequest(**{"title": "T", "body": "B", "head": "topic", "base": "main", **more})  # type: ignore[arg-type]


# ---- who and what


async def test_who_the_user_is_with_an_address_to_commit_with(api: GithubApi, forge: Forge) -> None:
    ana = await forge.user()
    assert (ana.login, ana.name) == ("ana", "Ana")
    assert ana.email == f"{ana.id}+ana@users.noreply.127.0.0.1"
    api.people["ana"]["email"] = "ana@example.org"
    assert (await forge.user()).email == "ana@example.org"


async def test_the_address_of_the_api_follows_from_the_one_of_the_pages(http: HttpClient, signed: Signed) -> None:
    assert api_of("https://github.com") == "https://api.github.com"
    assert api_of("https://acme.ghe.com") == "https://api.acme.ghe.com"
    assert api_of("https://git.example.org:8443") == "https://git.example.org:8443/api/v3"
    assert forge_for("github", "GitHub.com", http, signed).host == "github.com"
    for kind, where in (("bitbucket", "bitbucket.org"), ("github", "ftp://x.org"), ("github", "https://a:b@x.org")):
        with pytest.raises(InvalidRequest):
            forge_for(kind, where, http, signed)


async def test_repositories_come_in_pages_the_last_used_first(api: GithubApi, forge: Forge) -> None:
    for number in range(60):
        api.git.add_repository(f"ana/r{number:02}", pushed_at=f"2023-01-01T00:{number:02}:00Z")
    api.git.add_repository("lab/shared", members=["ana"], pushed_at="2025-01-01T00:00:00Z", archived=True, size=2048)
    api.git.add_repository("cleo/hers", members=[])
    first = await forge.repositories(query="", page=1)
    shared = first.repositories[0]
    assert (shared.full_name, shared.owner, shared.name) == ("lab/shared", "lab", "shared")
    assert (shared.private, shared.archived, shared.size_kb, shared.default_branch) == (True, True, 2048, "main")
    assert shared.clone_url == f"{api.url}/lab/shared.git"
    assert [one.name for one in first.repositories[1:4]] == ["penguins", "r59", "r58"]
    assert (len(first.repositories), first.next_page) == (50, 2)
    second = await forge.repositories(query="", page=2)
    assert (len(second.repositories), second.next_page) == (12, None)
    assert not {one.full_name for one in first.repositories} & {one.full_name for one in second.repositories}


async def test_a_search_finds_what_is_owned_shared_or_of_an_organisation(api: GithubApi, forge: Forge) -> None:
    api.organizations["lab"] = {"ana"}
    api.git.add_repository("lab/penguin-models", members={"ana": "read"})
    api.git.add_repository("ana/penguin-fork", fork=True)
    api.git.add_repository("ben/penguin-notes", members=["ana"])
    api.git.add_repository("cleo/penguin-secret", members=[])
    found = await forge.repositories(query='Penguin user:cleo "', page=1)
    assert not found.repositories
    found = await forge.repositories(query=" penguin ", page=1)
    assert sorted(one.full_name for one in found.repositories) == [
        *("ana/penguin-fork", "ana/penguins", "ben/penguin-notes", "lab/penguin-models")
    ]
    asked = api.asked("GET", "/search/")[-1].query["q"]
    assert asked == "penguin in:name fork:true user:@me org:lab"


async def test_a_whole_name_finds_that_repository_first(api: GithubApi, forge: Forge) -> None:
    api.git.add_repository("cleo/open", private=False, members=[])
    assert [one.full_name for one in (await forge.repositories(query="cleo/open", page=1)).repositories] == [
        "cleo/open"
    ]
    assert not (await forge.repositories(query="cleo/none", page=1)).repositories


async def test_a_search_that_github_refuses_still_gives_what_was_used_last(api: GithubApi, forge: Forge) -> None:
    api.fail("GET", "/search/", 422, {"message": "Validation Failed"})
    assert [one.name for one in (await forge.repositories(query="peng", page=1)).repositories] == ["penguins"]


async def test_a_renamed_repository_is_followed_on_the_same_server_only(api: GithubApi, forge: Forge) -> None:
    api.git.add_repository("ana/old", moved_to=NAME)
    assert (await forge.repository("ana/old")).full_name == NAME
    api.fail("GET", "/repos/", 301, {}, {"Location": "http://127.0.0.2:9/api/v3/user"})
    with pytest.raises(UpstreamRejected) as refused:
        await forge.repository(NAME)
    assert refused.value.status == 301
    api.fail("GET", "/repos/", 301, {}, {"Location": f"{api.api}/repos/{NAME}"}, times=None)
    with pytest.raises(UpstreamInvalid, match="from one place to another"):
        await forge.repository(NAME)


@pytest.mark.parametrize("name", ["penguins", "ana/../x", "ana/pen guins", "ana/x?y=1", "-x/y", ""])
async def test_what_is_no_name_of_a_repository_is_not_asked_for(api: GithubApi, forge: Forge, name: str) -> None:
    with pytest.raises(InvalidRequest):
        await forge.repository(name)
    assert not api.requests


# ---- pull requests


async def test_a_pull_request_is_opened_with_reviewers_and_labels(api: GithubApi, forge: Forge) -> None:
    assert await forge.find_pull_request(NAME, "topic") is None
    opened = await forge.create_pull_request(NAME, new(draft=True, reviewers=("ben",), labels=("bug", "new one")))
    assert (opened.number, opened.state, opened.draft, opened.notes) == (1, "open", True, ())
    assert (opened.head, opened.base, opened.url) == ("topic", "main", f"{api.url}/{NAME}/pull/1")
    pull = api.pulls[NAME][0]
    assert pull["head"]["sha"] == api.git.branches(NAME)["topic"]
    assert pull["requested_reviewers"] == [{"login": "ben"}]
    assert [one["name"] for one in pull["labels"]] == ["bug", "new one"]
    assert await forge.find_pull_request(NAME, "topic", "main") == opened
    assert await forge.find_pull_request(NAME, "topic", "other") is None
    pull["state"] = "closed"
    assert await forge.find_pull_request(NAME, "topic") is None


async def test_a_duplicate_gives_the_one_that_is_there_and_completes_it(api: GithubApi, forge: Forge) -> None:
    first = await forge.create_pull_request(NAME, new())
    again = await forge.create_pull_request(NAME, new(title="Other", reviewers=("ben",), labels=("data",)))
    assert (again.number, again.title) == (first.number, "T")
    assert again.notes == ("There was a pull request of this branch already; its title and text stay as they are.",)
    assert api.pulls[NAME][0]["requested_reviewers"] == [{"login": "ben"}]
    assert len(api.pulls[NAME]) == 1


async def test_who_cannot_review_is_a_note_and_stops_nobody_else(api: GithubApi, forge: Forge) -> None:
    opened = await forge.create_pull_request(NAME, new(reviewers=("ben", "nobody", "ana", "lab/team")))
    assert api.pulls[NAME][0]["requested_reviewers"] == [{"login": "ben"}]
    nobody, ana, team = opened.notes
    assert "nobody was not asked for a review: Reviews may only be requested from collaborators" in nobody
    assert ana == "ana was not asked for a review: Review cannot be requested from pull request author."
    assert team.startswith("lab/team was not asked")


async def test_a_team_is_asked_as_one(api: GithubApi, forge: Forge) -> None:
    api.git.repositories[NAME].about["teams"] = ["crew"]
    opened = await forge.create_pull_request(NAME, new(reviewers=("ana-lab/crew", "ben")))
    assert not opened.notes
    assert api.pulls[NAME][0]["requested_teams"] == [{"slug": "crew"}]


async def test_labels_that_fail_are_a_note(api: GithubApi, forge: Forge) -> None:
    api.fail("POST", "/labels", 503, {"message": "Unavailable"})
    opened = await forge.create_pull_request(NAME, new(labels=("bug",)))
    assert opened.number == 1
    assert "The labels were not set" in opened.notes[0]


async def test_where_there_are_no_drafts_it_is_an_ordinary_one(api: GithubApi, forge: Forge) -> None:
    api.drafts = False
    opened = await forge.create_pull_request(NAME, new(draft=True))
    assert not opened.draft
    assert "no drafts" in opened.notes[0]


async def test_a_forks_branch(api: GithubApi, forge: Forge) -> None:
    api.git.add_repository("ben/penguins", fork=True, members=["ana"])
    api.git.run("-C", str(api.git.path("ben/penguins")), "fetch", str(api.git.path(NAME)), "topic:fix")
    opened = await forge.create_pull_request(NAME, new(head="ben:fix"))
    assert opened.head == "fix"
    found = await forge.find_pull_request(NAME, "ben:fix")
    assert found is not None and found.number == opened.number
    assert await forge.find_pull_request(NAME, "fix") is None


@pytest.mark.parametrize(
    ("more", "words", "step"),
    [
        ({"head": "none"}, "Validation Failed; head: invalid", "Push the branch none first."),
        ({"base": "none"}, "base: invalid", "none is not there"),
        ({"head": "main"}, "No commits between main and main", "Commit something"),
        ({"title": ""}, "title: missing field", None),
    ],
)
async def test_a_pull_request_that_cannot_be_says_why(
    forge: Forge, more: dict[str, str], words: str, step: str | None
) -> None:
    with pytest.raises(UpstreamRejected, match=words) as refused:
        await forge.create_pull_request(NAME, new(**more))
    assert refused.value.status == 422
    assert (step or "") in (refused.value.next_step or "")


async def test_who_may_only_read_cannot_be_helped(api: GithubApi, http: HttpClient) -> None:
    api.git.add_repository("lab/open", files={"a": "1"}, private=False, members=[])
    forge = forge_for("github", api.url, http, Signed(api.add_user("dora")))
    assert (await forge.repository("lab/open")).private is False
    with pytest.raises(NotFound):
        await forge.repository(NAME)


@pytest.mark.parametrize(
    "path",
    [".github/pull_request_template.md", "PULL_REQUEST_TEMPLATE.md", "docs/Pull_Request_Template.md"],
)
async def test_a_template_is_found_wherever_github_looks(api: GithubApi, forge: Forge, path: str) -> None:
    assert await forge.template(NAME, "main") is None
    api.git.commit(NAME, {path: "## What\r\n"}, branch="main")
    assert await forge.template(NAME, "main") == "## What\n"
    assert await forge.template(NAME, "topic") is None
    assert await forge.template(NAME, "no-such-branch") is None


async def test_a_template_of_the_owner(api: GithubApi, forge: Forge) -> None:
    api.git.add_repository("ana/.github", files={"pull_request_template.md": "Of all"}, private=False)
    assert await forge.template(NAME, "main") == "Of all"


async def test_whom_to_ask_and_which_labels(api: GithubApi, forge: Forge, http: HttpClient) -> None:
    assert await forge.reviewers(NAME) == ["ben"]
    assert await forge.labels(NAME) == ["bug", "data"]
    api.git.repositories[NAME].about["labels"] = [f"l{number}" for number in range(150)]
    assert len(await forge.labels(NAME)) == 150
    api.git.repositories[NAME].members = {"ben": "write", "dora": "read"}
    reader = forge_for("github", api.url, http, Signed(api.add_user("dora")))
    assert await reader.reviewers(NAME) == ["ana", "ben"]  # who may not list the collaborators asks for assignees


# ---- checks

LOG = (
    "\ufeff2024-05-01T10:00:00.1234567Z ##[group]Run pytest\n"
    "2024-05-01T10:00:01.1234567Z \x1b[31mFAILED\x1b[0m test_x.py token ghp_0123456789abcdefghij\n"
    "2024-05-01T10:00:02.1234567Z ##[error]Process completed with exit code 1.\n"
    "2024-05-01T10:00:03.1234567Z Post job cleanup.\n"
)


async def test_a_commit_without_checks(api: GithubApi, forge: Forge) -> None:
    checks = await forge.checks(NAME, api.git.branches(NAME)["topic"])
    assert (checks.state, checks.checks) == ("none", ())
    assert (await forge.checks(NAME, "0" * 40)).state == "none"  # pushed a moment ago


async def test_checks_of_both_kinds_come_together(api: GithubApi, forge: Forge) -> None:
    sha = api.git.branches(NAME)["topic"]
    api.add_check(sha, "tests", "success", log="")
    api.add_check(sha, "lint", "skipped", log="")
    assert (await forge.checks(NAME, sha)).state == "success"
    api.add_check(sha, "slow", None, log="")
    api.add_status(sha, "deploy", "pending", "Waiting")
    checks = await forge.checks(NAME, sha)
    assert checks.state == "pending"
    assert [(one.name, one.state) for one in checks.checks] == [
        *(("tests", "success"), ("lint", "neutral"), ("slow", "pending"), ("deploy", "pending"))
    ]
    assert checks.checks[-1].summary == "Waiting"
    api.add_status(sha, "old", "error")
    assert (await forge.checks(NAME, sha)).state == "failure"


async def test_the_end_of_a_failed_jobs_log_comes_from_the_store_without_the_token(
    api: GithubApi, forge: Forge
) -> None:
    sha = api.git.branches(NAME)["topic"]
    api.add_check(sha, "tests", "failure", log=LOG)
    api.add_check(sha, "other", "timed_out", output={"title": "Too slow", "summary": None})
    checks = await forge.checks(NAME, sha)
    tests, other = checks.checks
    assert tests.log_tail == "Run pytest\nFAILED test_x.py token …\nError: Process completed with exit code 1."
    assert (other.state, other.log_tail, other.summary) == ("failure", None, "Too slow")
    assert [headers.get("authorization") for headers in api.log_requests] == [None]


async def test_a_log_that_cannot_be_had_is_left_out(api: GithubApi, forge: Forge) -> None:
    sha = api.git.branches(NAME)["topic"]
    number = api.add_check(sha, "tests", "failure", log=LOG)
    for status, headers in ((404, {}), (302, {"Location": "http://192.0.2.1/x"}), (302, {}), (500, {})):
        api.fail("GET", f"/jobs/{number}/logs", status, None, headers)
        checks = await forge.checks(NAME, sha)
        assert (checks.state, checks.checks[0].log_tail) == ("failure", None)


async def test_a_token_that_may_not_see_check_runs_still_sees_statuses(api: GithubApi, forge: Forge) -> None:
    sha = api.git.branches(NAME)["topic"]
    api.add_status(sha, "ci", "success")
    refusal = {"message": "Resource not accessible by personal access token"}
    api.fail("GET", "/check-runs", 403, refusal, times=None)
    assert (await forge.checks(NAME, sha)).state == "success"
    api.fail("GET", "/status", 403, refusal)
    with pytest.raises(Forbidden, match="Resource not accessible"):
        await forge.checks(NAME, sha)


# ---- refusals


async def test_after_a_refusal_it_is_asked_once_more_with_a_fresh_token(api: GithubApi, http: HttpClient) -> None:
    signed = Signed("ghu_gone", api.add_user("ana"))
    assert (await forge_for("github", api.url, http, signed).user()).login == "ana"
    assert signed.asked == [False, True]


async def test_a_sign_in_that_ended_says_to_sign_in(api: GithubApi, forge: Forge, signed: Signed) -> None:
    api.git.revoke(signed.tokens[0])
    with pytest.raises(SignedOutOfForge) as ended:
        await forge.user()
    assert ended.value.next_step == f"Sign in to {api.git.host} again."
    assert ended.value.details["host"] == api.git.host
    assert signed.tokens[0] not in str(ended.value.details) + ended.value.message
    assert signed.asked == [False, True]


async def test_a_limit_says_how_long_to_wait(api: GithubApi, forge: Forge) -> None:
    api.limited = "primary"
    api.retry_after_s = 1800
    with pytest.raises(RateLimited) as primary:
        await forge.user()
    assert 1700 < primary.value.details["retry_after_s"] <= 1800
    assert "30 minutes" in str(primary.value.next_step)
    api.limited, api.retry_after_s = "secondary", 42
    with pytest.raises(RateLimited) as secondary:
        await forge.user()
    assert secondary.value.details["retry_after_s"] == 42
    api.limited = None
    for headers, wait in (({}, 60), ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, 1)):
        api.fail("GET", "/user", 429, {"message": "slow"}, headers)
        with pytest.raises(RateLimited) as limited:
            await forge.user()
        assert limited.value.details["retry_after_s"] == wait


async def test_an_organisations_own_sign_on_is_pointed_to(api: GithubApi, forge: Forge) -> None:
    where = "https://github.example.org/orgs/lab/sso?authorization_request=x"
    words = {"message": "Resource protected by organization SAML enforcement."}
    api.fail("GET", "/user", 403, words, {"X-GitHub-SSO": f"required; url={where}"})
    with pytest.raises(Forbidden, match="SAML") as refused:
        await forge.user()
    assert where in str(refused.value.next_step)


@pytest.mark.parametrize(
    ("status", "payload", "error"),
    [
        (500, {"message": "Server Error"}, UpstreamRejected),
        (502, b"<html>Unicorn</html>", UpstreamRejected),
        (200, b"<html>Sign in</html>", UpstreamInvalid),
        (200, [], UpstreamInvalid),
        (404, {"message": "Not Found"}, NotFound),
        (451, {"message": "Repository access blocked"}, UpstreamRejected),
    ],
)
async def test_other_refusals_are_errors_of_the_tree(
    api: GithubApi, forge: Forge, status: int, payload: object, error: type[Exception]
) -> None:
    headers = {"Content-Type": "text/html"} if isinstance(payload, bytes) else {}
    api.fail("GET", "/user", status, payload, headers)
    with pytest.raises(error):
        await forge.user()


async def test_half_a_document_is_told(api: GithubApi, forge: Forge) -> None:
    api.fail("GET", "/user", 200, b'{"login": "an', {"Content-Type": "application/json"})
    with pytest.raises(UpstreamInvalid, match="half a JSON document"):
        await forge.user()


async def test_words_of_the_forge_hold_no_credentials(api: GithubApi, forge: Forge) -> None:
    api.fail("GET", "/user", 400, {"message": "bad token ghp_0123456789abcdefghij in https://a:b@x.org/"})
    with pytest.raises(UpstreamRejected) as refused:
        await forge.user()
    assert "ghp_" not in refused.value.message and "a:b" not in refused.value.message


async def test_a_forge_that_is_down(api: GithubApi, forge: Forge) -> None:
    api.git.down = True
    with pytest.raises(UpstreamUnreachable):
        await forge.user()


async def test_the_stand_in_refuses_what_github_refuses(api: GithubApi, http: HttpClient, signed: Signed) -> None:
    base = {"Authorization": f"Bearer {signed.tokens[0]}", "X-GitHub-Api-Version": "2022-11-28", "Accept": "*/*"}
    for changed, status in (
        ({"User-Agent": ""}, 403),
        ({"X-GitHub-Api-Version": "1999-01-01"}, 400),
        ({"Accept": "text/html"}, 415),
        ({"Authorization": "Bearer nobody"}, 401),
        ({}, 200),
    ):
        async with http.request("GET", f"{api.api}/user", server="It", headers={**base, **changed}) as response:
            assert response.status == status
    assert signed.tokens[0] not in repr(api.requests)
