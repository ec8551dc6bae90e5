"""GitLab, as its stand-in answers, through the same calls as GitHub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from aidp_ext.core.errors import Forbidden, NotFound, RateLimited, SignedOutOfForge, UpstreamRejected
from aidp_ext.core.http import HttpClient
from aidp_ext.git.models import NewPullRequest
from aidp_ext.git.remotes import Forge, forge_for
from tests.support.forge_api import user_id
from tests.support.git_http import GitHttpServer
from tests.support.gitlab_api import GitlabApi

NAME = "lab/birds/penguins"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[GitlabApi]:
    with GitHttpServer(tmp_path) as git:
        api = GitlabApi(git)
        api.add_user("ben")
        members = {"ana": "write", "ben": "write", "dora": "read"}
        git.add_repository(NAME, files={"README.md": "# Penguins\n"}, members=members, labels=["bug"])
        git.commit(NAME, {"a.py": "1"}, branch="topic", start="main", message="Topic")
        yield api


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient(connect_timeout_s=2)
    yield client
    await client.close()


@pytest.fixture
def token(api: GitlabApi) -> str:
    return api.add_user("ana", name="Ana")


@pytest.fixture
def forge(api: GitlabApi, http: HttpClient, token: str) -> Forge:
    async def tokens(fresh: bool) -> str:
        return token

    return forge_for("gitlab", api.url, http, tokens)


def new(**more: object) -> NewPullRequest:
    return NewPullRequest(**{"title": "T", "body": "B", "head": "topic", "base": "main", **more})  # type: ignore[arg-type]


async def test_who_the_user_is_with_the_address_they_chose(api: GitlabApi, forge: Forge) -> None:
    ana = await forge.user()
    assert (ana.login, ana.name, ana.id) == ("ana", "Ana", user_id("ana"))
    assert ana.email == f"{ana.id}-ana@users.noreply.127.0.0.1"  # never the private one
    api.people["ana"]["public_email"] = "ana@public.example.org"
    assert (await forge.user()).email == "ana@public.example.org"
    api.people["ana"]["commit_email"] = "ana@commits.example.org"
    assert (await forge.user()).email == "ana@commits.example.org"


async def test_projects_come_in_pages_with_groups_in_groups(api: GitlabApi, forge: Forge) -> None:
    for number in range(55):
        when = f"2023-01-01T00:{number:02}:00Z"
        api.git.add_repository(f"ana/r{number:02}", last_activity_at=when, members=[])
    api.git.add_repository("cleo/hers", members=[], private=False)
    first = await forge.repositories(query="", page=1)
    penguins = first.repositories[0]
    assert (penguins.full_name, penguins.owner, penguins.name) == (NAME, "lab/birds", "penguins")
    assert penguins.clone_url == f"{api.url}/{NAME}.git"
    assert (len(first.repositories), first.next_page) == (50, 2)
    second = await forge.repositories(query="", page=2)
    assert (len(second.repositories), second.next_page) == (6, None)
    assert [one.name for one in (await forge.repositories(query="r07", page=1)).repositories] == ["r07"]
    assert [one.name for one in (await forge.repositories(query="birds/peng", page=1)).repositories] == ["penguins"]


async def test_one_project_with_its_size(api: GitlabApi, forge: Forge) -> None:
    one = await forge.repository(NAME)
    assert (one.full_name, one.private, one.size_kb, one.description) == (NAME, True, 3072, None)
    with pytest.raises(NotFound):
        await forge.repository("cleo/hers")


async def test_a_merge_request_is_opened_as_a_draft_with_reviewer_and_labels(api: GitlabApi, forge: Forge) -> None:
    assert await forge.find_pull_request(NAME, "topic") is None
    opened = await forge.create_pull_request(NAME, new(draft=True, reviewers=("ben",), labels=("bug", "data")))
    assert (opened.number, opened.state, opened.draft, opened.notes) == (1, "open", True, ())
    assert (opened.title, opened.url) == ("Draft: T", f"{api.url}/{NAME}/-/merge_requests/1")
    request = api.merge_requests[NAME][0]
    assert ([one["username"] for one in request["reviewers"]], request["labels"]) == (["ben"], ["bug", "data"])
    found = await forge.find_pull_request(NAME, "topic", "main")
    assert found is not None and found.number == 1
    assert await forge.find_pull_request(NAME, "topic", "other") is None
    request["state"] = "merged"
    assert await forge.find_pull_request(NAME, "topic") is None


async def test_a_duplicate_gives_the_one_that_is_there_and_completes_it(api: GitlabApi, forge: Forge) -> None:
    await forge.create_pull_request(NAME, new())
    again = await forge.create_pull_request(NAME, new(title="Other", reviewers=("ben",), labels=("data",)))
    assert (again.number, again.title) == (1, "T")
    assert again.notes == ("There was a merge request of this branch already; its title and text stay as they are.",)
    request = api.merge_requests[NAME][0]
    assert ([one["username"] for one in request["reviewers"]], request["labels"]) == (["ben"], ["data"])
    assert len(api.merge_requests[NAME]) == 1
    api.fail("PUT", "/merge_requests/1", 403, {"message": "403 Forbidden"})
    assert "were not set" in (await forge.create_pull_request(NAME, new(labels=("x",)))).notes[1]


async def test_reviewers_that_were_dropped_or_are_nobody_are_notes(api: GitlabApi, forge: Forge) -> None:
    api.add_user("cleo")
    opened = await forge.create_pull_request(NAME, new(reviewers=("ben", "nobody", "cleo")))
    assert opened.notes == (
        f"nobody was not asked for a review: {api.git.host} knows nobody of this name.",
        "cleo was not asked for a review.",
    )


async def test_a_forks_branch(api: GitlabApi, forge: Forge) -> None:
    api.git.add_repository("ana/penguins", fork=True)
    api.git.run("-C", str(api.git.path("ana/penguins")), "fetch", str(api.git.path(NAME)), "topic:fix")
    opened = await forge.create_pull_request(NAME, new(head="ana/penguins:fix"))
    found = await forge.find_pull_request(NAME, "ana/penguins:fix")
    assert found is not None and found.number == opened.number
    assert api.merge_requests[NAME][0]["source_project_id"] == user_id("ana/penguins")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"head": "none"}, 'source_branch: "none" does not exist'),
        ({"base": "none"}, 'target_branch: "none" does not exist'),
        ({"title": ""}, "title is missing"),
    ],
)
async def test_a_merge_request_that_cannot_be_says_why(forge: Forge, more: dict[str, str], words: str) -> None:
    with pytest.raises(UpstreamRejected, match=words) as refused:
        await forge.create_pull_request(NAME, new(**more))
    assert refused.value.status == 422


async def test_who_may_only_read_opens_nothing(api: GitlabApi, http: HttpClient) -> None:
    async def tokens(fresh: bool) -> str:
        return reader

    reader = api.add_user("dora")
    with pytest.raises(Forbidden):
        await forge_for("gitlab", api.url, http, tokens).create_pull_request(NAME, new())


async def test_the_default_template(api: GitlabApi, forge: Forge) -> None:
    assert await forge.template(NAME, "main") is None
    api.git.repositories[NAME].about["merge_requests_template"] = "From the settings"
    assert await forge.template(NAME, "main") == "From the settings"
    folder = ".gitlab/merge_request_templates"
    api.git.commit(NAME, {f"{folder}/Other.md": "No", f"{folder}/default.md": "## What\n"})
    assert await forge.template(NAME, "main") == "## What\n"


async def test_whom_to_ask_and_which_labels(forge: Forge) -> None:
    assert await forge.reviewers(NAME) == ["ben"]
    assert await forge.labels(NAME) == ["bug"]


TRACE = (
    "\x1b[0KRunning with gitlab-runner\x1b[0;m\n"
    "section_start:1714557600:step_script\r\x1b[0K\x1b[36;1m$ pytest\x1b[0;m\n"
    "FAILED test_x.py glpat-0123456789abcdefghij\n"
    "\x1b[31;1mERROR: Job failed: exit code 1\n\x1b[0;m\n"
)


async def test_a_commit_without_pipelines(api: GitlabApi, forge: Forge) -> None:
    assert (await forge.checks(NAME, api.git.branches(NAME)["topic"])).state == "none"
    assert (await forge.checks(NAME, "0" * 40)).state == "none"
    with pytest.raises(NotFound):
        await forge.checks("cleo/hers", "0" * 40)


@pytest.mark.parametrize("redirects", [False, True])
async def test_jobs_with_the_end_of_a_failed_ones_trace(
    api: GitlabApi, forge: Forge, token: str, redirects: bool
) -> None:
    api.trace_redirects = redirects
    sha = api.git.branches(NAME)["topic"]
    api.add_pipeline(sha, "running")
    api.add_job(sha, "lint", "success")
    api.add_job(sha, "flaky", "failed", allow_failure=True, trace=TRACE)
    api.add_job(sha, "deploy", "manual")
    api.add_job(sha, "slow", "running")
    assert (await forge.checks(NAME, sha)).state == "pending"
    api.add_job(sha, "tests", "failed", trace=TRACE)
    checks = await forge.checks(NAME, sha)
    assert checks.state == "failure"
    assert [(one.name, one.state) for one in checks.checks] == [
        *(("lint", "success"), ("flaky", "neutral"), ("deploy", "neutral"), ("slow", "pending"), ("tests", "failure"))
    ]
    tail = checks.checks[-1].log_tail
    assert tail is not None
    assert tail.splitlines() == [
        *("Running with gitlab-runner", "$ pytest", "FAILED test_x.py …", "ERROR: Job failed: exit code 1")
    ]
    assert all("authorization" not in headers for headers in api.trace_requests)
    assert token not in repr(api.requests)


async def test_a_pipeline_that_came_to_no_job_is_a_check(api: GitlabApi, forge: Forge) -> None:
    sha = api.git.branches(NAME)["topic"]
    api.add_pipeline(sha, "failed")
    checks = await forge.checks(NAME, sha)
    assert checks.state == "failure"
    assert (checks.checks[0].name, checks.checks[0].url) == ("Pipeline 1", f"{api.url}/x/y/-/pipelines/1")


async def test_a_sign_in_that_ended_and_a_limit(api: GitlabApi, forge: Forge, token: str) -> None:
    api.limited, api.retry_after_s = "yes", 30
    with pytest.raises(RateLimited) as limited:
        await forge.user()
    assert limited.value.details["retry_after_s"] == 30
    api.limited = None
    api.fail("GET", "/user", 403, {"error": "insufficient_scope", "error_description": "More scope is needed."})
    with pytest.raises(Forbidden, match="More scope is needed"):
        await forge.user()
    api.git.revoke(token)
    with pytest.raises(SignedOutOfForge):
        await forge.user()
