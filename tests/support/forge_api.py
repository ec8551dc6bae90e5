"""What the stand-ins for the forges' REST share: routes, pages, refusals, faults on request and a record.

They are mounted on the Git server of the tests, so that users, tokens and repositories are the same ones, and so that
both have one address, as on a GitHub Enterprise or a GitLab of one's own.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode

from tests.support.exchange import Asked, Exchange
from tests.support.git_http import GitHttpServer, Repository


class Refused(Exception):
    """An error status with its body."""

    def __init__(self, status: int, payload: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {payload}")
        self.status, self.payload, self.headers = status, payload, headers or {}


@dataclass
class Call:
    """One request as a route sees it."""

    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any]
    headers: dict[str, str]
    login: str | None
    out: dict[str, str] = field(default_factory=dict)  # headers of the answer
    status: int = 200

    def __getitem__(self, name: str) -> Any:
        return self.body.get(name)


@dataclass
class _Fault:
    method: str
    pattern: str
    refusal: Refused
    times: int | None


Route = tuple[str, re.Pattern[str], Callable[..., Any]]


def user_id(login: str) -> int:
    """Return the number of a user, always the same one."""
    return zlib.crc32(login.encode()) % 1_000_000


class ForgeApi:
    """The base: ``requests`` are those of the API alone; ``fail`` makes calls fail."""

    prefix = ""
    page_size = 30

    def __init__(self, git: GitHttpServer) -> None:
        self.git = git
        self.url = git.url
        self.api = git.url + self.prefix
        self.requests: list[Asked] = []
        self.people: dict[str, dict[str, Any]] = {}
        self.limited: str | None = None
        self.retry_after_s = 60
        self._faults: list[_Fault] = []
        self._routes: list[Route] = self.routes()
        git.mount(self._answer)

    def routes(self) -> list[Route]:
        """Return method, path below ``prefix`` and what answers; the path's groups are its arguments."""
        raise NotImplementedError

    def check(self, call: Call) -> None:
        """Raise Refused for a request that no proper client sends, or one that is not let in."""

    def fail(
        self,
        method: str,
        pattern: str,
        status: int,
        payload: Any = None,
        headers: dict[str, str] | None = None,
        *,
        times: int | None = 1,
    ) -> None:
        """Answer the next calls whose path matches with this; ``times`` None: from now on."""
        self._faults.append(_Fault(method, pattern, Refused(status, payload, headers), times))

    def add_user(self, login: str, **about: Any) -> str:
        """Add a user with what they are said to be, and return a token of theirs."""
        self.people[login] = about
        return self.git.issue(login)

    def asked(self, method: str, pattern: str) -> list[Asked]:
        """Return the calls whose path matches."""
        return [one for one in self.requests if one.method == method and re.search(pattern, one.path)]

    def readable(self, full_name: str, login: str | None) -> Repository | None:
        """Return a repository if the user may see it."""
        known = self.git.repositories.get(full_name)
        return known if known is not None and known.may(login, "read") else None

    def page(self, call: Call, items: Sequence[Any]) -> list[Any]:
        """Return one page, and say in the answer's headers where the others are."""
        size = max(1, min(int(call.query.get("per_page", self.page_size)), 100))
        number, last = int(call.query.get("page", 1)), max(1, -(-len(items) // size))
        pages = {"prev": number - 1} if number > 1 else {}
        pages |= {"next": number + 1, "last": last} if number < last else {}
        links = [
            f'<{self.url}{call.path}?{urlencode({**call.query, "page": str(at)})}>; rel="{name}"'
            for name, at in pages.items()
        ]
        if links:
            call.out["Link"] = ", ".join(links)
        call.out["X-Next-Page"] = str(number + 1) if number < last else ""
        return list(items[(number - 1) * size : number * size])

    def _answer(self, exchange: Exchange) -> bool:
        path = exchange.location
        for method, pattern, function in self._routes:
            match = pattern.fullmatch(path)
            if match and method == exchange.command:
                self._call(exchange, function, [unquote(group or "") for group in match.groups()])
                return True
        if self.prefix and path.startswith(self.prefix + "/"):
            self._call(exchange, _unknown, [])
            return True
        return False

    def _call(self, exchange: Exchange, function: Callable[..., Any], groups: list[str]) -> None:
        headers = {name.lower(): value for name, value in exchange.headers.items()}
        raw = exchange.body()
        call = Call(
            exchange.command,
            exchange.location,
            exchange.query,
            _parsed(raw, headers.get("content-type", "")),
            headers,
            self.git.login_of(exchange.token()),
        )
        try:
            self._fail_as_told(call)
            self.check(call)
            answer = function(call, *groups)
        except Refused as refused:
            call.status, answer = refused.status, refused.payload
            call.out.update(refused.headers)
        kept = {name: value for name, value in headers.items() if name != "authorization"}
        self.requests.append(
            Asked(call.method, call.path, call.query, call.login, call.status, _without_secrets(call.body), kept)
        )
        if isinstance(answer, bytes):
            exchange.send(call.status, answer, call.out.pop("Content-Type", "text/plain; charset=utf-8"), call.out)
        else:
            body = b"" if answer is None else json.dumps(answer).encode()
            exchange.send(call.status, body, "application/json; charset=utf-8", call.out)

    def _fail_as_told(self, call: Call) -> None:
        for fault in self._faults:
            if fault.method == call.method and re.search(fault.pattern, call.path):
                if fault.times is not None:
                    fault.times -= 1
                    if not fault.times:
                        self._faults.remove(fault)
                raise fault.refusal


def _unknown(call: Call) -> Any:
    raise Refused(404, {"message": "Not Found"})


def _parsed(raw: bytes, kind: str) -> dict[str, Any]:
    if not raw:
        return {}
    if "x-www-form-urlencoded" in kind:
        return {name: values[-1] for name, values in parse_qs(raw.decode()).items()}
    try:
        value = json.loads(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {"": value}


def _without_secrets(body: dict[str, Any]) -> dict[str, Any]:
    hidden = ("client_secret", "refresh_token", "device_code", "code", "code_verifier")
    return {name: "…" if name in hidden else value for name, value in body.items()}
