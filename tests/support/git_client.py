"""A user of the Git endpoints of a real server: JSON and server-sent events, and a memory of all that was answered."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tests.support.git_http import GitHttpServer
from tests.support.github_api import GithubApi
from tests.support.jupyter import Server
from tests.support.processes import wait_until


class Stream:
    """Server-sent events as they come. `close` is what a closed tab does."""

    def __init__(self, client: GitClient, path: str, body: Mapping[str, Any]) -> None:
        self._client = client
        self._connection = client.connection()
        self._connection.request("POST", client.target(path), json.dumps(body), client.headers)
        self._response = self._connection.getresponse()
        self.status = self._response.status

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while line := self._response.readline():
            self._client.heard.append(line)
            said = line.strip().removeprefix(b"data: ")
            if said == b"[DONE]":
                return
            if said:
                yield json.loads(said)

    def close(self) -> None:
        """Hang up."""
        self._response.close()
        self._connection.close()


@dataclass
class GitClient:
    """Ana, at her server. ``heard`` is every body that came back."""

    server: Server
    heard: list[bytes] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        return {**self.server.headers, "Content-Type": "application/json"}

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.server.url).netloc, timeout=60)

    def target(self, path: str, /, **query: Any) -> str:
        below = urlsplit(self.server.url).path
        return f"{below}aidp/git/{path}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")

    def call(self, method: str, path: str, /, body: Any = None, **query: Any) -> tuple[int, Any]:
        """Ask an endpoint below ``aidp/git/`` and return status and JSON."""
        connection = self.connection()
        with contextlib.closing(connection):
            data = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
            connection.request(method, self.target(path, **query), data, self.headers)
            response = connection.getresponse()
            raw = response.read()
        self.heard.append(raw)
        assert response.headers.get_content_type() == "application/json", raw
        return response.status, json.loads(raw)

    def get(self, path: str, /, **query: Any) -> Any:
        """Return what an endpoint gives; fail where it refuses."""
        status, said = self.call("GET", path, **query)
        assert status == 200, said
        return said

    def post(self, path: str, /, **body: Any) -> Any:
        """Return what an endpoint answers; fail where it refuses."""
        status, said = self.call("POST", path, body)
        assert status == 200, said
        return said

    def refused(self, method: str, path: str, /, body: Any = None, **query: Any) -> tuple[int, dict[str, Any]]:
        """Return the status and the error of a call that must be refused, with the one body that all errors have."""
        status, said = self.call(method, path, body, **query)
        assert status >= 400, said
        return status, error_of(said)

    def stream(self, path: str, /, **body: Any) -> Stream:
        """Return the events of an endpoint as they come."""
        return Stream(self, path, body)

    def events(self, path: str, /, **body: Any) -> list[dict[str, Any]]:
        """Return all events of an endpoint."""
        stream = self.stream(path, **body)
        try:
            assert stream.status == 200, stream.status
            return list(stream)
        finally:
            stream.close()

    # ---- what is done again and again

    def clone(self, forge: Forge, name: str) -> Path:
        """Bring a repository of the forge's here, and return where it is."""
        done = self.events("clone", url=forge.address(name))[-1]
        assert done.get("kind") == "done", done
        return self.server.root / str(done["path"])

    def stage_all(self, path: str) -> Any:
        return self.post("stage", path=path, files=["."], staged=True)

    def ship(self, path: str, message: str = "Change", **asked: Any) -> dict[str, Any]:
        """Ship and return the job as it ended."""
        return dict(self.events("ship", path=path, message=message, **asked)[-1]["job"])

    def job(self, path: str) -> dict[str, Any] | None:
        job: dict[str, Any] | None = self.get("ship", path=path)["job"]
        return job

    def job_in(self, path: str, *states: str) -> dict[str, Any]:
        """Wait until a job stands so, and return it."""

        def found() -> dict[str, Any] | None:
            job = self.job(path)
            return job if job is not None and job["state"] in states else None

        return wait_until(found, f"the job of {path} is {states}")


@dataclass
class Forge:
    """A forge with one user of it, who has a token."""

    git: GitHttpServer
    api: GithubApi
    token: str
    login: str = "ana"

    @property
    def host(self) -> str:
        return self.git.url.removeprefix("http://")

    def address(self, name: str) -> str:
        return f"{self.git.url}/{self.login}/{name}.git"

    def full(self, name: str) -> str:
        return f"{self.login}/{name}"

    def add(self, name: str, **files: str | bytes) -> None:
        """Add a private repository."""
        files_ = files or {"README.md": "# Read me\n"}
        self.git.add_repository(self.full(name), files=files_, members=[self.login])

    def branches(self, name: str) -> dict[str, str]:
        return self.git.branches(self.full(name))


@contextlib.contextmanager
def forge(folder: Path) -> Iterator[Forge]:
    """Run a forge while the block runs."""
    with GitHttpServer(folder) as git:
        api = GithubApi(git)
        yield Forge(git, api, api.add_user("ana"))


def error_of(said: Any) -> dict[str, Any]:
    """Return the error of an answer, which has the one form that all have."""
    assert set(said) == {"error"}, said
    error = dict(said["error"])
    assert isinstance(error["code"], str) and isinstance(error["message"], str) and error["message"], error
    assert isinstance(error.get("details", {}), dict)
    return error


def steps(job: Mapping[str, Any]) -> dict[str, str]:
    return {step["name"]: step["state"] for step in job["steps"]}


def failed(job: Mapping[str, Any]) -> str:
    """Return the code of the error of the step that failed."""
    return next(str(step["error"]["code"]) for step in job["steps"] if step["error"] is not None)
