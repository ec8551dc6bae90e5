"""A stand-in for GitHub's REST on the Git server of the tests: it refuses what GitHub refuses, in its words.

Sources: GitHub's REST reference of version 2022-11-28 and the messages that users quote in issues.
"""

from __future__ import annotations

import re
import time
from typing import Any, ClassVar
from urllib.parse import quote

from tests.support.forge_api import Call, ForgeApi, Refused, Route, user_id
from tests.support.git_http import GitHttpServer, Repository

_NAME = r"/repos/([^/]+/[^/]+)"
_ACCEPTED = ("application/vnd.github", "application/json", "*/*")


class GithubApi(ForgeApi):
    """The stand-in; ``api`` is its base, as of a GitHub Enterprise at ``url``.

    ``pulls`` are the pull requests of each repository, ``organizations`` the logins of each one's members; ``limited``
    may be "primary" or "secondary". Tests add checks with `add_check` and `add_status`.
    """

    prefix = "/api/v3"
    versions: ClassVar[set[str]] = {"2022-11-28"}

    def __init__(self, git: GitHttpServer) -> None:
        self.pulls: dict[str, list[dict[str, Any]]] = {}
        self.organizations: dict[str, set[str]] = {}
        self.logs: dict[int, str] = {}
        self.log_requests: list[dict[str, str]] = []  # the headers that the storage of the logs was sent
        self.drafts = True
        self._check_runs: dict[str, list[dict[str, Any]]] = {}
        self._statuses: dict[str, list[dict[str, Any]]] = {}
        super().__init__(git)

    def routes(self) -> list[Route]:
        table = [
            ("GET", "/user", self._user),
            ("GET", "/user/emails", self._emails),
            ("GET", "/user/repos", self._own),
            ("GET", "/user/orgs", self._orgs),
            ("GET", "/search/repositories", self._search),
            ("GET", _NAME, self._repository),
            ("GET", _NAME + "/pulls", self._list_pulls),
            ("POST", _NAME + "/pulls", self._create_pull),
            ("POST", _NAME + r"/pulls/(\d+)/requested_reviewers", self._ask_reviewers),
            ("POST", _NAME + r"/issues/(\d+)/labels", self._set_labels),
            ("GET", _NAME + "/labels", self._labels),
            ("GET", _NAME + "/collaborators", self._collaborators),
            ("GET", _NAME + "/assignees", self._assignees),
            ("GET", _NAME + "/contents/?(.*)", self._contents),
            ("GET", _NAME + "/commits/([^/]+)/check-runs", self._checks_of),
            ("GET", _NAME + "/commits/([^/]+)/status", self._status_of),
            ("GET", _NAME + r"/actions/jobs/(\d+)/logs", self._log),
        ]
        routes = [(method, re.compile(re.escape(self.prefix) + path), function) for method, path, function in table]
        return [*routes, ("GET", re.compile(r"/_storage/(\d+)"), self._stored)]

    # ---- what tests say

    def add_check(self, sha: str, name: str, conclusion: str | None, *, log: str | None = None, **more: Any) -> int:
        """Add a check of a commit; no conclusion: it is still running. With a log it is a job of GitHub Actions."""
        number = len(self.logs) + sum(map(len, self._check_runs.values())) + 101
        actions = log is not None
        if log is not None:
            self.logs[number] = log
        page = f"{self.url}/x/y/actions/runs/7/job/{number}" if actions else "https://ci.example.org/1"
        run = {
            "id": number if actions else number + 5000,
            "name": name,
            "status": "completed" if conclusion else "in_progress",
            "conclusion": conclusion,
            "html_url": page,
            "details_url": page,
            "output": {"title": None, "summary": None},
            "app": {"slug": "github-actions" if actions else "other-ci"},
            **more,
        }
        runs = self._check_runs.setdefault(sha, [])
        runs[:] = [one for one in runs if one["name"] != name] + [run]
        return number

    def add_status(self, sha: str, context: str, state: str, description: str | None = None) -> None:
        """Add a status of a commit, as older services do."""
        status = {
            "context": context,
            "state": state,
            "description": description,
            "target_url": "https://ci.example.org/2",
        }
        self._statuses.setdefault(sha, []).append(status)

    # ---- who is let in

    def check(self, call: Call) -> None:
        if call.path.startswith("/_storage/"):
            return
        if not call.headers.get("user-agent"):
            raise Refused(
                403,
                b"Request forbidden by administrative rules. Please make sure your request has a User-Agent header.",
            )
        version = call.headers.get("x-github-api-version", "")
        if version not in self.versions:
            raise Refused(400, {"message": f"The given API version '{version}' is not supported.", "status": "400"})
        if not call.headers.get("accept", "").startswith(_ACCEPTED):
            words = "Unsupported 'Accept' header: Must accept 'application/json'."
            raise Refused(415, {"message": words, "status": "415"})
        if call.login is None:
            raise Refused(
                401,
                {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest", "status": "401"},
            )
        call.out |= {"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "4999", "x-ratelimit-resource": "core"}
        if self.limited == "primary":
            ends = str(int(time.time()) + self.retry_after_s)
            headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": ends}
            raise Refused(403, {"message": f"API rate limit exceeded for user ID {user_id(call.login)}."}, headers)
        if self.limited == "secondary":
            words = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
            raise Refused(403, {"message": words}, {"Retry-After": str(self.retry_after_s)})

    def _known(self, call: Call, full_name: str, *, write: bool = False) -> Repository:
        repository = self.readable(full_name, call.login)
        if repository is None:
            raise Refused(
                404, {"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"}
            )
        if write and not repository.may(call.login, "write"):
            raise Refused(403, {"message": "Must have admin rights to Repository.", "status": "403"})
        return repository

    # ---- users and repositories

    def _person(self, login: str) -> dict[str, Any]:
        about = {"name": None, "email": None, **self.people.get(login, {})}
        kind = "Organization" if login in self.organizations else "User"
        return {"login": login, "id": user_id(login), "type": kind, "html_url": f"{self.url}/{login}", **about}

    def _user(self, call: Call) -> Any:
        return self._person(str(call.login))

    def _emails(self, call: Call) -> Any:
        address = f"{user_id(str(call.login))}+{call.login}@users.noreply.github.com"
        return [{"email": address, "primary": True, "verified": True, "visibility": None}]

    def _orgs(self, call: Call) -> Any:
        return self.page(
            call, [self._person(org) for org, logins in self.organizations.items() if call.login in logins]
        )

    def _about(self, repository: Repository, login: str | None) -> dict[str, Any]:
        owner, name = repository.full_name.split("/")
        about = {"description": None, "fork": False, "archived": False, "size": 12, "pushed_at": "2024-05-01T10:00:00Z"}
        about |= {key: value for key, value in repository.about.items() if key in (*about, "clone_url")}
        write = repository.may(login, "write")
        return {
            "id": user_id(repository.full_name),
            "name": name,
            "full_name": repository.full_name,
            "owner": {"login": owner, "type": self._person(owner)["type"]},
            "private": repository.private,
            "html_url": f"{self.url}/{repository.full_name}",
            "clone_url": f"{self.url}/{repository.full_name}.git",
            "default_branch": self.git.default_branch(repository.full_name),
            "updated_at": about["pushed_at"],
            "permissions": {"admin": False, "push": write, "pull": True},
            **about,
        }

    def _kinds(self, repository: Repository, login: str) -> set[str]:
        """Return why a repository is listed as one of the user's."""
        owner = repository.full_name.split("/")[0]
        if owner == login:
            return {"owner"}
        found = {"organization_member"} if login in self.organizations.get(owner, ()) else set()
        return found | ({"collaborator"} if login in (repository.members or {}) else set())

    def _own(self, call: Call) -> Any:
        login = str(call.login)
        wanted = set(call.query.get("affiliation", "owner,collaborator,organization_member").split(","))
        mine = [one for one in self.git.repositories.values() if self._kinds(one, login) & wanted]
        shown = [self._about(one, login) for one in mine if one.may(login, "read")]
        key = {"pushed": "pushed_at", "updated": "updated_at"}.get(call.query.get("sort", "full_name"), "full_name")
        shown.sort(key=lambda one: str(one[key]), reverse=key != "full_name")
        return self.page(call, shown)

    def _search(self, call: Call) -> Any:
        words, owners, forks = [], set(), False
        for part in call.query.get("q", "").split():
            name, colon, value = part.partition(":")
            if name in ("user", "org") and colon:
                owners.add(str(call.login) if value == "@me" else value)
            elif name == "fork":
                forks = value == "true"
            elif not colon:
                words.append(part.lower())
        known = {*self.people, *self.organizations, *self.git.tokens.values()}
        if len(call.query.get("q", "")) > 256 or (owners and not owners & known):
            words_ = "The listed users and repositories cannot be searched either because the resources do not exist"
            raise Refused(422, {"message": "Validation Failed", "errors": [{"message": words_, "code": "invalid"}]})
        found = [
            self._about(one, call.login)
            for name, one in self.git.repositories.items()
            if one.may(call.login, "read")
            and (not owners or name.split("/")[0] in owners)
            and all(word in name.split("/")[1].lower() for word in words)
            and (forks or not one.about.get("fork"))
        ]
        return {"total_count": len(found), "incomplete_results": False, "items": self.page(call, found)}

    def _repository(self, call: Call, full_name: str) -> Any:
        repository = self._known(call, full_name)
        if moved := repository.about.get("moved_to"):
            raise Refused(301, {"message": "Moved Permanently"}, {"Location": f"{self.api}/repos/{moved}"})
        return self._about(repository, call.login)

    def _contents(self, call: Call, full_name: str, path: str) -> Any:
        ref = call.query.get("ref") or "HEAD"
        self._known(call, full_name)
        files = self.git.files(full_name, ref)
        if files is None:
            raise Refused(404, {"message": f"No commit found for the ref {ref}", "status": "404"})
        if path in files:
            call.out["Content-Type"] = "application/vnd.github.raw+json; charset=utf-8"
            return self.git.read(full_name, path, ref)
        under = [file for file in files if file.startswith(f"{path}/" if path else "")]
        if not under:
            raise Refused(404, {"message": "Not Found", "status": "404"})
        top = len(path) + 1 if path else 0
        names = dict.fromkeys((file[top:].split("/")[0], "/" in file[top:]) for file in under)
        return [
            {"name": name, "path": f"{path}/{name}".lstrip("/"), "type": "dir" if folder else "file"}
            for name, folder in names
        ]

    def _collaborators(self, call: Call, full_name: str) -> Any:
        if not self._known(call, full_name).may(call.login, "write"):
            raise Refused(403, {"message": "Must have push access to view repository collaborators.", "status": "403"})
        return self.page(call, [self._person(login) for login in self._may_review(full_name)])

    def _assignees(self, call: Call, full_name: str) -> Any:
        self._known(call, full_name)
        return self.page(call, [self._person(login) for login in self._may_review(full_name)])

    def _may_review(self, full_name: str) -> list[str]:
        members = self.git.repositories[full_name].members
        everybody = set(self.git.tokens.values()) if members is None else set(members)
        return sorted(everybody | {full_name.split("/")[0]} - set(self.organizations))

    def _labels(self, call: Call, full_name: str) -> Any:
        names = self._known(call, full_name).about.get("labels", [])
        return self.page(call, [{"name": name, "color": "ededed"} for name in names])

    # ---- pull requests

    def _list_pulls(self, call: Call, full_name: str) -> Any:
        self._known(call, full_name)
        state, head, base = call.query.get("state", "open"), call.query.get("head"), call.query.get("base")
        found = [
            one
            for one in reversed(self.pulls.get(full_name, []))
            if state in ("all", one["state"])
            and (not head or ":" not in head or one["head"]["label"] == head)
            and base in (None, one["base"]["ref"])
        ]
        return self.page(call, found)

    def _create_pull(self, call: Call, full_name: str) -> Any:
        repository = self._known(call, full_name)
        head, base = str(call["head"] or ""), str(call["base"] or "")
        owner, _, branch = head.rpartition(":")
        owner = owner or full_name.split("/")[0]
        source = f"{owner}/{full_name.split('/')[1]}"
        if not call["title"]:
            raise _invalid({"resource": "PullRequest", "code": "missing_field", "field": "title"})
        tips = self.git.branches(source) if self.readable(source, call.login) else {}
        for name, known, field in ((branch, tips, "head"), (base, self.git.branches(full_name), "base")):
            if name not in known:
                raise _invalid({"resource": "PullRequest", "field": field, "code": "invalid"})
        pulls = self.pulls.setdefault(full_name, [])
        same = [one for one in pulls if (one["head"]["label"], one["base"]["ref"]) == (f"{owner}:{branch}", base)]
        if any(one["state"] == "open" for one in same):
            raise _custom(f"A pull request already exists for {owner}:{branch}.")
        if source == full_name and self.git.is_ancestor(full_name, tips[branch], base):
            raise _custom(f"No commits between {base} and {branch}")
        if call["draft"] and not self.drafts:
            raise Refused(
                422, {"message": "Draft pull requests are not supported in this repository.", "status": "422"}
            )
        number = len(pulls) + 1
        pull = {
            "number": number,
            "state": "open",
            "merged_at": None,
            "draft": bool(call["draft"]),
            "title": call["title"],
            "body": call["body"],
            "html_url": f"{self.url}/{full_name}/pull/{number}",
            "user": {"login": call.login},
            "head": {"ref": branch, "label": f"{owner}:{branch}", "sha": tips[branch], "repo": {"full_name": source}},
            "base": {
                "ref": base,
                "label": f"{full_name.split('/')[0]}:{base}",
                "repo": {"full_name": repository.full_name},
            },
            "labels": [],
            "requested_reviewers": [],
            "requested_teams": [],
        }
        pulls.append(pull)
        call.status = 201
        return pull

    def _pull(self, call: Call, full_name: str, number: str) -> dict[str, Any]:
        self._known(call, full_name, write=True)
        for pull in self.pulls.get(full_name, []):
            if pull["number"] == int(number):
                return pull
        raise Refused(404, {"message": "Not Found", "status": "404"})

    def _ask_reviewers(self, call: Call, full_name: str, number: str) -> Any:
        pull = self._pull(call, full_name, number)
        asked, teams = list(call["reviewers"] or ()), list(call["team_reviewers"] or ())
        if pull["user"]["login"] in asked:
            raise Refused(422, {"message": "Review cannot be requested from pull request author.", "status": "422"})
        known = set(self._may_review(full_name))
        if not set(asked) <= known or not set(teams) <= set(self.git.repositories[full_name].about.get("teams", [])):
            words = "Reviews may only be requested from collaborators. One or more of the users or teams you specified "
            words += f"is not a collaborator of the {full_name} repository."
            raise Refused(422, {"message": words, "status": "422"})
        there = [one["login"] for one in pull["requested_reviewers"]]
        pull["requested_reviewers"] += [{"login": one} for one in asked if one not in there]
        pull["requested_teams"] += [{"slug": one} for one in teams]
        call.status = 201
        return pull

    def _set_labels(self, call: Call, full_name: str, number: str) -> Any:
        pull = self._pull(call, full_name, number)
        there = [one["name"] for one in pull["labels"]]
        pull["labels"] += [{"name": name} for name in call["labels"] or () if name not in there]
        return pull["labels"]

    # ---- checks

    def _checks_of(self, call: Call, full_name: str, sha: str) -> Any:
        self._commit(call, full_name, sha)
        runs = self._check_runs.get(sha, [])
        return {"total_count": len(runs), "check_runs": self.page(call, runs)}

    def _status_of(self, call: Call, full_name: str, sha: str) -> Any:
        self._commit(call, full_name, sha)
        statuses = self._statuses.get(sha, [])
        states = {one["state"] for one in statuses}
        bad = "failure" if states & {"failure", "error"} else "pending"
        state = "success" if states == {"success"} else bad  # without any it is pending too
        return {"state": state, "total_count": len(statuses), "sha": sha, "statuses": self.page(call, statuses)}

    def _commit(self, call: Call, full_name: str, sha: str) -> None:
        self._known(call, full_name)
        if self.git.files(full_name, sha) is None:
            raise Refused(422, {"message": f"No commit found for SHA: {sha}", "status": "422"})

    def _log(self, call: Call, full_name: str, number: str) -> Any:
        self._known(call, full_name)
        if int(number) not in self.logs:
            raise Refused(404, {"message": "Not Found", "status": "404"})
        raise Refused(302, None, {"Location": f"{self.url}/_storage/{number}?sig={quote('s+g/n=')}"})

    def _stored(self, call: Call, number: str) -> Any:
        self.log_requests.append(call.headers)
        if "authorization" in call.headers:
            raise Refused(403, b"<Error>AuthenticationFailed</Error>")
        if call.query.get("sig") != "s+g/n=":
            raise Refused(403, b"<Error>SignatureDoesNotMatch</Error>")
        return self.logs[int(number)].encode()


def _invalid(error: dict[str, str]) -> Refused:
    return Refused(422, {"message": "Validation Failed", "errors": [error], "status": "422"})


def _custom(message: str) -> Refused:
    return _invalid({"resource": "PullRequest", "code": "custom", "message": message})
