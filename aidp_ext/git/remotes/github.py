"""GitHub, and GitHub Enterprise by its address."""

from __future__ import annotations

import asyncio
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

_VERSION = "2022-11-28"
_JOB = re.compile(r"/job/(\d+)")
_TEMPLATE = re.compile(r"pull_request_template(\.md|\.txt)?", re.IGNORECASE)
_QUERY_CHARACTERS = 256  # that GitHub's search takes
_LOGS = 3  # of failed checks that are fetched
#: As GitHub's own programs see them; what is not here has not ended.
_CONCLUSIONS: Mapping[str, Literal["success", "failure", "neutral"]] = {
    "success": "success",
    "neutral": "neutral",
    "skipped": "neutral",
    **dict.fromkeys(("failure", "timed_out", "cancelled", "action_required", "startup_failure"), "failure"),
}
_STATES: Mapping[str, Literal["success", "failure"]] = {"success": "success", "failure": "failure", "error": "failure"}


class GitHub:
    """A forge of this kind; ``url`` is the address of its pages. The calls are those of `Forge`."""

    kind = "github"

    def __init__(self, url: str, http: HttpClient, tokens: Tokens, *, api: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.host = urlsplit(self.url).netloc.lower()
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": _VERSION, "User-Agent": "aidp"}
        self._ask = Caller(http, tokens, host=self.host, base=api or api_of(self.url), headers=headers)
        self._me: ForgeUser | None = None

    async def user(self) -> ForgeUser:
        """Return who the user is; the e-mail is the public one or the no-reply one."""
        said = (await self._ask.get("/user")).object()
        login, number = str(said.get("login")), int(said.get("id") or 0)
        email = optional(said.get("email")) or f"{number}+{login}@users.noreply.{self.host.partition(':')[0]}"
        self._me = ForgeUser(login, number, optional(said.get("name")), email)
        return self._me

    async def repositories(self, *, query: str = "", page: int = 1) -> RepositoryPage:
        """Return the repositories that the user owns or works with, the ones pushed to last first."""
        query = " ".join(query.replace('"', " ").replace(":", " ").split())
        if not query:
            return await self._recent(page, PAGE_SIZE)
        direct = await self._exactly(query) if page == 1 else None
        found = await self._search(query.rpartition("/")[2], page)
        if page > 1:
            return found
        # The search knows owners only: what others shared with the user is among those used last.
        wanted = query.lower()
        recent = [one for one in (await self._recent(1, 100)).repositories if wanted in one.full_name.lower()]
        all_of = [*([direct] if direct else []), *recent, *found.repositories]
        return RepositoryPage(tuple({one.full_name: one for one in all_of}.values()), found.next_page)

    async def _recent(self, page: int, size: int) -> RepositoryPage:
        affiliation = "owner,collaborator,organization_member"
        answer = await self._ask.get(
            "/user/repos", affiliation=affiliation, sort="pushed", direction="desc", per_page=size, page=page
        )
        return RepositoryPage(tuple(map(_repository, answer.items())), next_page(answer))

    async def _exactly(self, query: str) -> RemoteRepository | None:
        parts = query.split("/")
        if len(parts) != 2 or not all(re.fullmatch(r"[\w.-]+", part) and part.strip(".") for part in parts):
            return None
        answer = await self._ask.get(f"/repos/{query}", accept=(403, 404, 451))
        return _repository(answer.object()) if answer.status == 200 else None

    async def _search(self, query: str, page: int) -> RepositoryPage:
        """Ask the search among what the user and their organisations own."""
        orgs = await self._ask.get("/user/orgs", per_page=100, accept=(403, 404))
        names = [str(org.get("login")) for org in orgs.items()] if orgs.status == 200 else []
        asked = f"{query} in:name fork:true user:@me"
        for name in names:
            if len(asked) + len(name) + 5 <= _QUERY_CHARACTERS:
                asked += f" org:{name}"
        answer = await self._ask.get(
            "/search/repositories", q=asked, sort="updated", per_page=PAGE_SIZE, page=page, accept=(422,)
        )
        if answer.status == 422:
            return RepositoryPage(())
        items = Answer(answer.status, {}, answer.object().get("items")).items()
        return RepositoryPage(tuple(map(_repository, items)), next_page(answer))

    async def repository(self, full_name: str) -> RemoteRepository:
        """Return one repository, also by a name that it had before."""
        return _repository((await self._ask.get(_path(full_name))).object())

    async def find_pull_request(self, full_name: str, head: str, base: str | None = None) -> PullRequest | None:
        """Return the open pull request of a branch, or None."""
        label = head if ":" in head else f"{full_name.split('/')[0]}:{head}"
        answer = await self._ask.get(f"{_path(full_name)}/pulls", head=label, base=base, state="open", per_page=10)
        # A head that GitHub cannot read would list all of them.
        mine = [one for one in answer.items() if str((one.get("head") or {}).get("label")).lower() == label.lower()]
        return _pull_request(mine[0]) if mine else None

    async def create_pull_request(self, full_name: str, new: NewPullRequest) -> PullRequest:
        """Open a pull request, or take the open one of the same branches; ask its reviewers and set its labels."""
        body: dict[str, Any] = {"title": new.title, "body": new.body, "head": new.head, "base": new.base}
        path, notes = f"{_path(full_name)}/pulls", []
        answer = await self._ask.call("POST", path, body={**body, "draft": new.draft}, accept=(422,))
        if answer.status == 422 and new.draft and "raft pull requests are not supported" in answer.said():
            notes.append("This repository has no drafts; it is an ordinary pull request.")
            answer = await self._ask.call("POST", path, body=body, accept=(422,))
        if answer.status == 422:
            there = await self.find_pull_request(full_name, new.head, new.base)
            if there is None or "already exists" not in answer.said():
                raise self._not_opened(answer, new)
            notes.append("There was a pull request of this branch already; its title and text stay as they are.")
            opened = there
        else:
            opened = _pull_request(answer.object())
        notes += await self._ask_reviewers(full_name, opened.number, new.reviewers)
        notes += await self._set_labels(full_name, opened.number, new.labels)
        return replace(opened, notes=tuple(notes))

    def _not_opened(self, answer: Answer, new: NewPullRequest) -> UpstreamRejected:
        said = answer.said()
        steps = {
            "head: invalid": f"Push the branch {new.head} first.",
            "base: invalid": f"Choose another branch to merge into: {new.base} is not there.",
            "No commits between": f"Commit something that {new.base} does not have yet.",
        }
        step = next((step for words, step in steps.items() if words in said), None)
        words = f"{self.host} does not open a pull request: {said or 'no reason given'}."
        return UpstreamRejected(words.replace("..", "."), status=422, next_step=step, provider=self.host)

    async def _ask_reviewers(self, full_name: str, number: int, reviewers: Sequence[str]) -> list[str]:
        """Ask for reviews and return what did not work: all at once, then each alone, so that one stops no other."""
        path = f"{_path(full_name)}/pulls/{number}/requested_reviewers"
        groups = [list(reviewers)] if reviewers else []
        notes = []
        for group in groups:
            teams = [one.rpartition("/")[2] for one in group if "/" in one]
            body = {"reviewers": [one for one in group if "/" not in one], "team_reviewers": teams}
            refused = await self._tried(path, body)
            if refused and len(group) > 1:
                groups += [[one] for one in group]
            elif refused:
                notes.append(f"{group[0]} was not asked for a review: {refused}")
        return notes

    async def _set_labels(self, full_name: str, number: int, labels: Sequence[str]) -> list[str]:
        if not labels:
            return []
        refused = await self._tried(f"{_path(full_name)}/issues/{number}/labels", {"labels": list(labels)})
        return [f"The labels were not set: {refused}"] if refused else []

    async def _tried(self, path: str, body: Mapping[str, Any]) -> str | None:
        """Return why a call for what is beside the point failed, or None: the pull request is there all the same."""
        try:
            answer = await self._ask.call("POST", path, body=body, accept=(422,))
        except SignedOutOfForge:
            raise
        except AidpError as error:
            return error.message
        return None if answer.status != 422 else answer.said() or "the forge does not say why."

    async def template(self, full_name: str, ref: str) -> str | None:
        """Return the pull request template: of the repository, or else of its owner's `.github`."""
        owner = checked_name(full_name).split("/")[0]
        for name, at in ((full_name, ref), (f"{owner}/.github", None)):
            folders = (".github", "", "docs")
            listed = await asyncio.gather(*(self._listed(name, folder, at) for folder in folders))
            for path in (one for files in listed for one in files if _TEMPLATE.fullmatch(one.rpartition("/")[2])):
                raw = {"Accept": "application/vnd.github.raw+json"}
                where = f"{_path(name)}/contents/{'/'.join(map(escaped, path.split('/')))}"
                answer = await self._ask.call("GET", where, query={"ref": at}, headers=raw, accept=(403, 404))
                if answer.status == 200:
                    return answer.raw[:TEMPLATE_BYTES].decode(errors="replace").replace("\r\n", "\n") or None
        return None

    async def _listed(self, full_name: str, folder: str, ref: str | None) -> list[str]:
        path = f"{_path(full_name)}/contents" + (f"/{folder}" if folder else "")
        answer = await self._ask.get(path, ref=ref, accept=(403, 404))
        items = answer.data if isinstance(answer.data, list) else []
        return [str(one["path"]) for one in items if isinstance(one, dict) and one.get("type") == "file"]

    async def checks(self, full_name: str, sha: str) -> Checks:
        """Return check runs and statuses of a commit; a kind that the token may not see is left out."""
        path = f"{_path(full_name)}/commits/{escaped(sha)}"
        runs, statuses = await asyncio.gather(
            self._kind(f"{path}/check-runs", "check_runs"), self._kind(f"{path}/status", "statuses")
        )
        if isinstance(runs, Forbidden) and isinstance(statuses, Forbidden):
            raise runs
        found, logs = [], 0
        for run in runs if isinstance(runs, list) else []:
            check = _check_run(run)
            job = _job(run)
            if check.state == "failure" and job is not None and logs < _LOGS:
                logs += 1
                check = replace(check, log_tail=await self._log(full_name, job))
            found.append(check)
        found += map(_status, statuses if isinstance(statuses, list) else ())
        return Checks(overall(found), tuple(found))

    async def _kind(self, path: str, key: str) -> list[dict[str, Any]] | Forbidden:
        try:
            return await self._ask.pages(path, key=key)
        except Forbidden as error:
            return error
        except (NotFound, UpstreamRejected) as error:
            # GitHub has not taken in yet what was pushed a moment ago
            if isinstance(error, UpstreamRejected) and error.status != 422:
                raise
            return []

    async def _log(self, full_name: str, job: str) -> str | None:
        try:
            text = await self._ask.log_end(f"{_path(full_name)}/actions/jobs/{job}/logs")
        except AidpError:
            return None
        return log_tail(text) if text else None

    async def reviewers(self, full_name: str) -> list[str]:
        """Return who can be asked for a review, without the user."""
        path = _path(full_name)
        try:
            people = await self._ask.pages(f"{path}/collaborators", most=2)
        except (Forbidden, NotFound):
            people = await self._ask.pages(f"{path}/assignees", most=2)
        me = self._me or await self.user()
        return [str(one["login"]) for one in people if one.get("login") not in (None, me.login)]

    async def labels(self, full_name: str) -> list[str]:
        """Return the labels of the repository."""
        return [str(one["name"]) for one in await self._ask.pages(f"{_path(full_name)}/labels") if one.get("name")]


def api_of(url: str) -> str:
    """Return the address of the API that belongs to the address of GitHub's pages."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if host == "github.com" or host.endswith(".ghe.com"):
        return f"https://api.{host}"
    return f"{url}/api/v3"


def _path(full_name: str) -> str:
    return "/repos/" + "/".join(map(escaped, checked_name(full_name).split("/")))


def _repository(said: Mapping[str, Any]) -> RemoteRepository:
    size = said.get("size")
    return RemoteRepository(
        full_name=str(said.get("full_name")),
        owner=str((said.get("owner") or {}).get("login")),
        name=str(said.get("name")),
        description=optional(said.get("description")),
        private=bool(said.get("private")),
        fork=bool(said.get("fork")),
        archived=bool(said.get("archived")),
        clone_url=str(said.get("clone_url")),
        web_url=web_link(said.get("html_url")) or "",
        default_branch=optional(said.get("default_branch")),
        updated_at=optional(said.get("pushed_at")) or optional(said.get("updated_at")),
        size_kb=size if isinstance(size, int) else None,
    )


def _pull_request(said: Mapping[str, Any]) -> PullRequest:
    ended: Literal["closed", "merged"] = "merged" if said.get("merged_at") else "closed"
    return PullRequest(
        number=int(said.get("number") or 0),
        title=str(said.get("title")),
        url=web_link(said.get("html_url")) or "",
        state="open" if said.get("state") == "open" else ended,
        draft=bool(said.get("draft")),
        head=str((said.get("head") or {}).get("ref")),
        base=str((said.get("base") or {}).get("ref")),
    )


def _check_run(said: Mapping[str, Any]) -> Check:
    over = said.get("status") == "completed"
    output = said.get("output") or {}
    return Check(
        name=str(said.get("name")),
        state=_CONCLUSIONS.get(str(said.get("conclusion")), "pending") if over else "pending",
        url=web_link(said.get("html_url")) or web_link(said.get("details_url")),
        summary=summary_of(output.get("title") or output.get("summary")),
    )


def _job(said: Mapping[str, Any]) -> str | None:
    """Return the job of GitHub Actions that a check is of, or None: only these have logs here."""
    if (said.get("app") or {}).get("slug") != "github-actions":
        return None
    match = _JOB.search(str(said.get("details_url")))
    return match[1] if match else str(said.get("id"))


def _status(said: Mapping[str, Any]) -> Check:
    return Check(
        name=str(said.get("context")),
        state=_STATES.get(str(said.get("state")), "pending"),
        url=web_link(said.get("target_url")),
        summary=summary_of(said.get("description")),
    )
