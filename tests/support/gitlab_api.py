"""A stand-in for GitLab's REST on the Git server of the tests: the calls that aidp makes, refused in GitLab's words.

Sources: GitLab's API reference (v4).
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from tests.support.forge_api import Call, ForgeApi, Refused, Route, user_id
from tests.support.git_http import GitHttpServer, Repository

_ID = r"/projects/([^/]+)"
_TEMPLATES = ".gitlab/merge_request_templates/"


class GitlabApi(ForgeApi):
    """The stand-in; ``api`` is its base. ``merge_requests`` are those of each project.

    ``most_reviewers``: how many a merge request may have; on the free tier it is one, and the others are dropped.
    """

    prefix = "/api/v4"
    page_size = 20

    def __init__(self, git: GitHttpServer) -> None:
        self.merge_requests: dict[str, list[dict[str, Any]]] = {}
        self.most_reviewers = 1
        self.traces: dict[int, str] = {}
        self.trace_redirects = False
        self.trace_requests: list[dict[str, str]] = []
        self._statuses: dict[str, list[dict[str, Any]]] = {}
        self._pipelines: list[dict[str, Any]] = []
        super().__init__(git)

    def routes(self) -> list[Route]:
        table = [
            ("GET", "/user", self._user),
            ("GET", "/users", self._users),
            ("GET", "/projects", self._projects),
            ("GET", _ID, self._project),
            ("GET", _ID + "/merge_requests", self._list),
            ("POST", _ID + "/merge_requests", self._create),
            ("PUT", _ID + r"/merge_requests/(\d+)", self._update),
            ("GET", _ID + "/pipelines", self._pipelines_of),
            ("GET", _ID + "/repository/commits/([^/]+)/statuses", self._statuses_of),
            ("GET", _ID + r"/jobs/(\d+)/trace", self._trace),
            ("GET", _ID + "/labels", self._labels),
            ("GET", _ID + "/members/all", self._members),
            ("GET", _ID + "/templates/merge_requests", self._templates),
            ("GET", _ID + "/templates/merge_requests/([^/]+)", self._template),
        ]
        routes = [(method, re.compile(re.escape(self.prefix) + path), function) for method, path, function in table]
        return [*routes, ("GET", re.compile(r"/_traces/(\d+)"), self._stored)]

    # ---- what tests say

    def add_pipeline(self, sha: str, status: str) -> int:
        """Add a pipeline of a commit, with no jobs yet, and return its number."""
        number = len(self._pipelines) + 1
        page = f"{self.url}/x/y/-/pipelines/{number}"
        self._pipelines.append({"id": number, "sha": sha, "status": status, "web_url": page})
        return number

    def add_job(self, sha: str, name: str, status: str, *, trace: str | None = None, **more: Any) -> int:
        """Add a job of a commit's last pipeline and return its number."""
        number = sum(map(len, self._statuses.values())) + 201
        if trace is not None:
            self.traces[number] = trace
        mine = [one["id"] for one in self._pipelines if one["sha"] == sha]
        job = {
            "id": number,
            "name": name,
            "status": status,
            "sha": sha,
            "target_url": f"{self.url}/x/y/-/jobs/{number}",
            "description": None,
            "allow_failure": False,
            "pipeline_id": mine[-1] if mine else self.add_pipeline(sha, status),
            **more,
        }
        self._statuses.setdefault(sha, []).append(job)
        return number

    # ---- who is let in

    def check(self, call: Call) -> None:
        if call.path.startswith("/_traces/"):
            return
        if self.limited:
            raise Refused(429, b"Retry later\n", {"Retry-After": str(self.retry_after_s), "RateLimit-Remaining": "0"})
        if call.login is None:
            sent = "authorization" in call.headers
            words = {"error": "invalid_token", "error_description": "Token was revoked. You have to re-authorize."}
            raise Refused(401, words if sent else {"message": "401 Unauthorized"})

    def _known(self, call: Call, project: str, *, write: bool = False) -> Repository:
        name = unquote(project)
        if name.isdecimal():
            name = next((one for one in self.git.repositories if user_id(one) == int(name)), name)
        repository = self.readable(name, call.login)
        if repository is None:
            raise Refused(404, {"message": "404 Project Not Found"})
        if write and not repository.may(call.login, "write"):
            raise Refused(403, {"message": "403 Forbidden"})
        return repository

    # ---- users and projects

    def _person(self, login: str) -> dict[str, Any]:
        about = {"name": login.title(), **self.people.get(login, {})}
        return {"id": user_id(login), "username": login, "state": "active", **about}

    def _user(self, call: Call) -> Any:
        person = self._person(str(call.login))
        return {"commit_email": None, "public_email": "", "email": f"{call.login}@private.example.org", **person}

    def _users(self, call: Call) -> Any:
        known = {*self.people, *self.git.tokens.values()}
        return [self._person(login) for login in known if login == call.query.get("username")]

    def _about(self, call: Call, repository: Repository) -> dict[str, Any]:
        name = repository.full_name
        statistics = {"statistics": {"repository_size": 3 * 1024 * 1024}} if "statistics" in call.query else {}
        about = {"description": "", "archived": False, "last_activity_at": "2024-05-01T10:00:00.000Z"}
        about |= {key: value for key, value in repository.about.items() if key in (*about, "merge_requests_template")}
        return {
            "id": user_id(name),
            "path": name.rpartition("/")[2],
            "path_with_namespace": name,
            "namespace": {"full_path": name.rpartition("/")[0]},
            "visibility": "private" if repository.private else "public",
            "http_url_to_repo": f"{self.url}/{name}.git",
            "web_url": f"{self.url}/{name}",
            "default_branch": self.git.default_branch(name),
            **({"forked_from_project": {"id": 1}} if repository.about.get("fork") else {}),
            **statistics,
            **about,
        }

    def _projects(self, call: Call) -> Any:
        login, search = str(call.login), call.query.get("search", "").lower()
        whole = call.query.get("search_namespaces") == "true"
        found = []
        for name, one in self.git.repositories.items():
            member = one.members is None or login in one.members or name.split("/")[0] == login
            if not one.may(login, "read") or (call.query.get("membership") == "true" and not member):
                continue
            if search in (name if whole else name.rpartition("/")[2]).lower():
                found.append(self._about(call, one))
        found.sort(key=lambda one: str(one["last_activity_at"]), reverse=call.query.get("sort", "desc") == "desc")
        return self.page(call, found)

    def _project(self, call: Call, project: str) -> Any:
        return self._about(call, self._known(call, project))

    def _labels(self, call: Call, project: str) -> Any:
        return self.page(call, [{"name": name} for name in self._known(call, project).about.get("labels", [])])

    def _members(self, call: Call, project: str) -> Any:
        members = self._known(call, project).members or {}
        levels = {"write": 30, "read": 20}
        return self.page(call, [{**self._person(one), "access_level": levels[right]} for one, right in members.items()])

    def _templates(self, call: Call, project: str) -> Any:
        repository = self._known(call, project)
        files = self.git.files(repository.full_name, "HEAD") or []
        names = [file[len(_TEMPLATES) : -len(".md")] for file in files if file.startswith(_TEMPLATES)]
        return self.page(call, [{"key": name, "name": name} for name in names])

    def _template(self, call: Call, project: str, name: str) -> Any:
        content = self.git.read(self._known(call, project).full_name, f"{_TEMPLATES}{name}.md")
        if content is None:
            raise Refused(404, {"message": "404 Template Not Found"})
        return {"name": name, "content": content.decode()}

    # ---- merge requests

    def _list(self, call: Call, project: str) -> Any:
        name = self._known(call, project).full_name
        query = call.query
        found = [
            one
            for one in reversed(self.merge_requests.get(name, []))
            if query.get("state", "all") in ("all", one["state"])
            and query.get("source_branch") in (None, one["source_branch"])
            and query.get("target_branch") in (None, one["target_branch"])
            and query.get("source_project_id") in (None, str(one["source_project_id"]))
        ]
        return self.page(call, found)

    def _create(self, call: Call, project: str) -> Any:
        source = self._known(call, project, write=True)
        target = self._known(call, str(call["target_project_id"])) if call["target_project_id"] else source
        missing = [name for name in ("title", "source_branch", "target_branch") if not call[name]]
        if missing:
            raise Refused(400, {"error": f"{missing[0]} is missing"})
        branch, base = str(call["source_branch"]), str(call["target_branch"])
        if branch not in self.git.branches(source.full_name):
            raise Refused(400, {"message": {"source_branch": [f'"{branch}" does not exist']}})
        if base not in self.git.branches(target.full_name):
            raise Refused(400, {"message": {"target_branch": [f'"{base}" does not exist']}})
        requests = self.merge_requests.setdefault(target.full_name, [])
        for one in requests:
            if (one["source_branch"], one["target_branch"], one["state"]) == (branch, base, "opened"):
                words = f"Another open merge request already exists for this source branch: !{one['iid']}"
                raise Refused(409, {"message": [words]})
        number = len(requests) + 1
        request = {
            "iid": number,
            "title": call["title"],
            "description": call["description"],
            "state": "opened",
            "draft": str(call["title"]).startswith("Draft:"),
            "source_branch": branch,
            "target_branch": base,
            "source_project_id": user_id(source.full_name),
            "web_url": f"{self.url}/{target.full_name}/-/merge_requests/{number}",
            "labels": [name for name in str(call["labels"] or "").split(",") if name],
            "reviewers": self._reviewers(call),
        }
        requests.append(request)
        call.status = 201
        return request

    def _update(self, call: Call, project: str, number: str) -> Any:
        name = self._known(call, project, write=True).full_name
        for one in self.merge_requests.get(name, []):
            if one["iid"] == int(number):
                one["labels"] += [label for label in str(call["add_labels"] or "").split(",") if label]
                one["reviewers"] = self._reviewers(call) or one["reviewers"]
                return one
        raise Refused(404, {"message": "404 Not found"})

    def _reviewers(self, call: Call) -> list[dict[str, Any]]:
        known = {user_id(login): login for login in {*self.people, *self.git.tokens.values()}}
        asked = [self._person(known[one]) for one in call["reviewer_ids"] or () if one in known]
        return asked[: self.most_reviewers]

    # ---- checks

    def _pipelines_of(self, call: Call, project: str) -> Any:
        self._known(call, project)
        found = [one for one in reversed(self._pipelines) if call.query.get("sha") in (None, one["sha"])]
        return self.page(call, found)

    def _statuses_of(self, call: Call, project: str, sha: str) -> Any:
        if self.git.files(self._known(call, project).full_name, sha) is None:
            raise Refused(404, {"message": "404 Commit Not Found"})
        return self.page(call, self._statuses.get(sha, []))

    def _trace(self, call: Call, project: str, number: str) -> Any:
        self._known(call, project)
        if int(number) not in self.traces:
            raise Refused(404, {"message": "404 Not Found"})
        if self.trace_redirects:
            raise Refused(302, None, {"Location": f"{self.url}/_traces/{number}"})
        return self.traces[int(number)].encode()

    def _stored(self, call: Call, number: str) -> Any:
        self.trace_requests.append(call.headers)
        return self.traces[int(number)].encode()
