"""GitLab, gitlab.com and others by their address."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import urlsplit

from aidp_ext.core.errors import AidpError, Forbidden, NotFound, SignedOutOfForge, UpstreamRejected
from aidp_ext.core.http import HttpClient
from aidp_ext.git.models import (
    Check,
    Checks,
    ForgeUser,
    NewPullRequest,
    PullRequest,
    RemoteRepository,
    RepositoryPage,
)
from aidp_ext.git.remotes.base import (
    PAGE_SIZE,
    TEMPLATE_BYTES,
    Answer,
    Caller,
    Tokens,
    checked_name,
    escaped,
    next_page,
    optional,
    web_link,
)
from aidp_ext.git.remotes.logs import log_tail
from aidp_ext.git.remotes.states import overall, summary_of

_JOB = re.compile(r"/-/jobs/(\d+)")
_DEVELOPER = 30  # the least role that reviews
_LOGS = 3
_STATES: Mapping[str, Literal["success", "failure", "neutral"]] = {
    "success": "success",
    "failed": "failure",
    **dict.fromkeys(("canceled", "canceling"), "failure"),
    **dict.fromkeys(("skipped", "manual"), "neutral"),
}


class GitLab:
    """A forge of this kind; ``url`` is the address of its pages. The calls are those of `Forge`."""

    kind = "gitlab"

    def __init__(self, url: str, http: HttpClient, tokens: Tokens, *, api: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.host = urlsplit(self.url).netloc.lower()
        headers = {"Accept": "application/json", "User-Agent": "aidp"}
        self._ask = Caller(http, tokens, host=self.host, base=api or f"{self.url}/api/v4", headers=headers)
        self._me: ForgeUser | None = None

    async def user(self) -> ForgeUser:
        """Return who the user is; the e-mail is the one they chose for commits, the public or the no-reply one."""
        said = (await self._ask.get("/user")).object()
        login, number = str(said.get("username")), int(said.get("id") or 0)
        chosen = optional(said.get("commit_email")) or optional(said.get("public_email"))
        email = chosen or f"{number}-{login}@users.noreply.{self.host.partition(':')[0]}"
        self._me = ForgeUser(login, number, optional(said.get("name")), email)
        return self._me

    async def repositories(self, *, query: str = "", page: int = 1) -> RepositoryPage:
        """Return the projects that the user is a member of, the ones with activity last first."""
        search = " ".join(query.split())
        answer = await self._ask.get(
            "/projects",
            membership="true",
            order_by="last_activity_at",
            sort="desc",
            per_page=PAGE_SIZE,
            page=page,
            search=search or None,
            search_namespaces="true" if "/" in search else None,
        )
        return RepositoryPage(tuple(map(_repository, answer.items())), next_page(answer))

    async def repository(self, full_name: str) -> RemoteRepository:
        """Return one project."""
        return _repository((await self._ask.get(_path(full_name), statistics="true")).object())

    async def find_pull_request(self, full_name: str, head: str, base: str | None = None) -> PullRequest | None:
        """Return the open merge request of a branch, or None; a fork's branch is ``group/fork:branch``."""
        source, _, branch = head.rpartition(":")
        project = await self._number(source) if source else None
        answer = await self._ask.get(
            f"{_path(full_name)}/merge_requests",
            source_branch=branch,
            source_project_id=project,
            target_branch=base,
            state="opened",
        )
        mine = [one for one in answer.items() if one.get("source_branch") == branch]
        return _merge_request(mine[0]) if mine else None

    async def create_pull_request(self, full_name: str, new: NewPullRequest) -> PullRequest:
        """Open a merge request, or take the open one of the same branches; with its reviewers and labels."""
        source, _, branch = new.head.rpartition(":")
        reviewers, notes = await self._people(new.reviewers)
        body: dict[str, Any] = {
            "source_branch": branch,
            "target_branch": new.base,
            "title": f"Draft: {new.title}" if new.draft and not new.title.startswith("Draft:") else new.title,
            "description": new.body,
            **({"target_project_id": await self._number(full_name)} if source else {}),
            **({"labels": ",".join(new.labels)} if new.labels else {}),
            **({"reviewer_ids": list(reviewers.values())} if reviewers else {}),
        }
        path = f"{_path(source or full_name)}/merge_requests"
        answer = await self._ask.call("POST", path, body=body, accept=(400, 409, 422))
        if answer.status >= 400:
            there = await self.find_pull_request(full_name, new.head, new.base) if answer.status == 409 else None
            if there is None:
                raise self._not_opened(answer)
            notes.append("There was a merge request of this branch already; its title and text stay as they are.")
            said, lost = await self._changed(full_name, there.number, new.labels, list(reviewers.values()))
            notes += lost
            answer = said or answer
            opened = there
        else:
            opened = _merge_request(answer.object())
        asked = {one.get("username") for one in (answer.object().get("reviewers") or ()) if isinstance(one, dict)}
        if answer.status < 400:
            notes += [f"{login} was not asked for a review." for login in reviewers if login not in asked]
        return replace(opened, notes=tuple(notes))

    async def _changed(
        self, full_name: str, number: int, labels: Sequence[str], reviewers: Sequence[int]
    ) -> tuple[Answer | None, list[str]]:
        """Give a merge request that is there labels and reviewers; return the answer, and what did not work."""
        body = {
            **({"add_labels": ",".join(labels)} if labels else {}),
            **({"reviewer_ids": list(reviewers)} if reviewers else {}),
        }
        if not body:
            return None, []
        try:
            return await self._ask.call("PUT", f"{_path(full_name)}/merge_requests/{number}", body=body), []
        except SignedOutOfForge:
            raise
        except AidpError as error:
            return None, [f"Reviewers and labels were not set: {error.message}"]

    def _not_opened(self, answer: Answer) -> UpstreamRejected:
        said = answer.said()
        step = "Push the branch first." if "source_branch" in said or "Source branch" in said else None
        words = f"{self.host} does not open a merge request: {said or 'no reason given'}."
        return UpstreamRejected(words.replace("..", "."), status=422, next_step=step, provider=self.host)

    async def _people(self, logins: Sequence[str]) -> tuple[dict[str, int], list[str]]:
        """Return the numbers of users, and a note on each one that is not found."""
        found: dict[str, int] = {}
        notes = []
        for login in logins:
            answer = await self._ask.get("/users", username=login, accept=(403, 404))
            people = [one for one in answer.items() if isinstance(one.get("id"), int)] if answer.status == 200 else []
            if people:
                found[login] = people[0]["id"]
            else:
                notes.append(f"{login} was not asked for a review: {self.host} knows nobody of this name.")
        return found, notes

    async def _number(self, full_name: str) -> int:
        return int((await self._ask.get(_path(full_name))).object().get("id") or 0)

    async def template(self, full_name: str, ref: str) -> str | None:
        """Return the project's default template for merge requests, or None; it is the default branch's."""
        path = f"{_path(full_name)}/templates/merge_requests"
        answer = await self._ask.get(path, per_page=100, accept=(403, 404))
        items = answer.items() if answer.status == 200 else []
        for name in (str(one.get("key") or one.get("name")) for one in items):
            if name.lower() == "default":
                said = await self._ask.get(f"{path}/{escaped(name)}", accept=(403, 404))
                text = optional(said.object().get("content")) if said.status == 200 else None
                if text:
                    return text[:TEMPLATE_BYTES]
        project = await self._ask.get(_path(full_name))
        return optional(project.object().get("merge_requests_template"))

    async def checks(self, full_name: str, sha: str) -> Checks:
        """Return the newest jobs and other statuses of a commit, and pipelines that came to no job."""
        path = _path(full_name)
        try:
            statuses = await self._ask.pages(f"{path}/repository/commits/{escaped(sha)}/statuses")
            pipelines = await self._ask.get(f"{path}/pipelines", sha=sha, per_page=20)
        except NotFound:  # it has not taken in yet what was pushed a moment ago; or has no pipelines at all
            await self.repository(full_name)
            return Checks("none")
        found, logs = [], 0
        for status in statuses:
            check = _status(status)
            job = _JOB.search(str(status.get("target_url")))
            if check.state == "failure" and job is not None and logs < _LOGS:
                logs += 1
                check = replace(check, log_tail=await self._log(full_name, job[1]))
            found.append(check)
        found += _without_jobs(pipelines.items(), statuses)
        return Checks(overall(found), tuple(found))

    async def _log(self, full_name: str, job: str) -> str | None:
        try:
            text = await self._ask.log_end(f"{_path(full_name)}/jobs/{job}/trace")
        except AidpError:
            return None
        return log_tail(text) if text else None

    async def reviewers(self, full_name: str) -> list[str]:
        """Return the members who can review, without the user."""
        people = await self._ask.pages(f"{_path(full_name)}/members/all", most=2)
        me = self._me or await self.user()
        return [
            str(one["username"])
            for one in people
            if one.get("state", "active") == "active"
            and int(one.get("access_level") or 0) >= _DEVELOPER
            and one.get("username") not in (None, me.login)
        ]

    async def labels(self, full_name: str) -> list[str]:
        """Return the labels of the project and its groups."""
        try:
            labels = await self._ask.pages(f"{_path(full_name)}/labels")
        except Forbidden:
            return []
        return [str(one["name"]) for one in labels if one.get("name")]


def _path(full_name: str) -> str:
    return f"/projects/{escaped(checked_name(full_name))}"


def _repository(said: Mapping[str, Any]) -> RemoteRepository:
    full_name = str(said.get("path_with_namespace"))
    size = (said.get("statistics") or {}).get("repository_size")
    return RemoteRepository(
        full_name=full_name,
        owner=full_name.rpartition("/")[0],
        name=str(said.get("path")),
        description=optional(said.get("description")),
        private=said.get("visibility") != "public",
        fork=bool(said.get("forked_from_project")),
        archived=bool(said.get("archived")),
        clone_url=str(said.get("http_url_to_repo")),
        web_url=web_link(said.get("web_url")) or "",
        default_branch=optional(said.get("default_branch")),
        updated_at=optional(said.get("last_activity_at")),
        size_kb=size // 1024 if isinstance(size, int) else None,
    )


def _merge_request(said: Mapping[str, Any]) -> PullRequest:
    states: Mapping[str, Literal["open", "closed", "merged"]] = {"merged": "merged", "closed": "closed"}
    return PullRequest(
        number=int(said.get("iid") or 0),
        title=str(said.get("title")),
        url=web_link(said.get("web_url")) or "",
        state=states.get(str(said.get("state")), "open"),
        draft=bool(said.get("draft")),
        head=str(said.get("source_branch")),
        base=str(said.get("target_branch")),
    )


def _status(said: Mapping[str, Any]) -> Check:
    state: Literal["pending", "success", "failure", "neutral"] = _STATES.get(str(said.get("status")), "pending")
    if state == "failure" and said.get("allow_failure"):
        state = "neutral"
    return Check(
        name=str(said.get("name")),
        state=state,
        url=web_link(said.get("target_url")),
        summary=summary_of(said.get("description")),
    )


def _without_jobs(pipelines: Sequence[Mapping[str, Any]], statuses: Sequence[Mapping[str, Any]]) -> list[Check]:
    """Return the newest pipeline as a check where it has no job: its configuration is wrong, or it has just begun."""
    if not pipelines:
        return []
    newest = max(pipelines, key=lambda one: int(one.get("id") or 0))
    listed = any(one.get("pipeline_id", newest.get("id")) == newest.get("id") for one in statuses)
    if listed:
        return []
    number, url = newest.get("id"), web_link(newest.get("web_url"))
    return [Check(f"Pipeline {number}", _STATES.get(str(newest.get("status")), "pending"), url)]
