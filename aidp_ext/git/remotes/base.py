"""What all forges share: the calls that a slice makes, and how one is asked over HTTP and its refusals are told."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qs, quote, urlencode, urljoin, urlsplit

import aiohttp

from aidp_ext.core.errors import (
    Forbidden,
    InvalidRequest,
    NotFound,
    RateLimited,
    SignedOutOfForge,
    UpstreamInvalid,
    UpstreamRejected,
)
from aidp_ext.core.http import HttpClient, origin, translated
from aidp_ext.git.models import Checks, ForgeUser, NewPullRequest, PullRequest, RemoteRepository, RepositoryPage
from aidp_ext.git.names import redact
from aidp_ext.git.remotes.addresses import is_full_name

#: Gives the token for a forge; called with True once it was refused, to get one that is not that one.
Tokens = Callable[[bool], Awaitable[str]]

PAGE_SIZE = 50
TEMPLATE_BYTES = 65_536
_ANSWER_BYTES = 16_000_000
_LOG_BYTES, _LOG_KEPT = 50_000_000, 200_000
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Forge(Protocol):
    """A place of repositories and reviews, in the name of one user.

    Every call may raise SignedOutOfForge, Forbidden, NotFound, RateLimited (with ``retry_after_s``) or an
    UpstreamError.
    """

    kind: str
    host: str

    async def user(self) -> ForgeUser:
        """Return who the user is there, with an e-mail to commit with."""

    async def repositories(self, *, query: str = "", page: int = 1) -> RepositoryPage:
        """Return some of the repositories that the user works with; with a query those that it finds."""

    async def repository(self, full_name: str) -> RemoteRepository:
        """Return one repository."""

    async def find_pull_request(self, full_name: str, head: str, base: str | None = None) -> PullRequest | None:
        """Return the open pull request of a branch, or None. ``head`` may name a fork's: ``owner:branch``."""

    async def create_pull_request(self, full_name: str, new: NewPullRequest) -> PullRequest:
        """Open a pull request, or return the open one of the same branches with a note.

        What could not be set (a reviewer, a label) is told in ``notes``: the pull request is there all the same.
        """

    async def template(self, full_name: str, ref: str) -> str | None:
        """Return what the repository wants to be answered in a pull request's text, or None."""

    async def checks(self, full_name: str, sha: str) -> Checks:
        """Return the checks of a commit; of failed ones with the end of their log where the forge has it."""

    async def reviewers(self, full_name: str) -> list[str]:
        """Return who can be asked for a review."""

    async def labels(self, full_name: str) -> list[str]:
        """Return the labels of the repository."""


@dataclass(frozen=True)
class Answer:
    """What a forge answered."""

    status: int
    headers: Mapping[str, str]
    data: Any
    raw: bytes = field(repr=False, default=b"")

    def items(self) -> list[dict[str, Any]]:
        """Return the objects of a list, without what is none. Raises UpstreamInvalid for another thing."""
        if not isinstance(self.data, list):
            raise UpstreamInvalid("The forge answered something else than a list.")
        return [one for one in self.data if isinstance(one, dict)]

    def object(self) -> dict[str, Any]:
        """Return the object. Raises UpstreamInvalid for another thing."""
        if not isinstance(self.data, dict):
            raise UpstreamInvalid("The forge answered something else than an object.")
        return self.data

    def said(self) -> str:
        """Return its words on what is wrong, in one line and without credentials."""
        data = self.data if isinstance(self.data, dict) else {}
        parts = [_words(data.get("message") or data.get("error_description") or data.get("error"))]
        errors = data.get("errors")
        parts += [_words(one) for one in errors] if isinstance(errors, list) else []
        return redact("; ".join(part for part in parts if part))[:500]


def _words(said: Any) -> str:
    match said:
        case str():
            return " ".join(said.split())
        case list():
            return ", ".join(filter(None, map(_words, said)))
        case {"message": str(text)}:
            return text
        case {"field": str(name), "code": str(code)}:
            return f"{name}: {code.replace('_', ' ')}"
        case dict():
            return "; ".join(f"{name}: {_words(value)}" for name, value in said.items())
    return ""


class Caller:
    """Asks one forge: with a token, once more with a fresh one, and with its refusals as our errors."""

    def __init__(self, http: HttpClient, tokens: Tokens, *, host: str, base: str, headers: Mapping[str, str]) -> None:
        self.host = host
        self.base = base.rstrip("/")
        self._http = http
        self._tokens = tokens
        self._headers = headers

    async def get(self, path: str, *, accept: tuple[int, ...] = (), **query: str | int | None) -> Answer:
        """Ask for something; statuses in ``accept`` are no error."""
        return await self.call("GET", path, query=query, accept=accept)

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int | None] | None = None,
        body: Mapping[str, Any] | None = None,
        accept: tuple[int, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one call, below the base, and return its answer, whose status is a good one or in ``accept``.

        Raises what :class:`Forge` says.
        """
        given = {name: value for name, value in (query or {}).items() if value is not None}
        url = self.base + path + (f"?{urlencode(given)}" if given else "")
        sent = None if body is None else json.dumps(body).encode()
        answer = await self._send(method, url, sent, headers or {}, fresh=False)
        if answer.status == 401:
            answer = await self._send(method, url, sent, headers or {}, fresh=True)
        if answer.status < 300 or answer.status in accept:
            return answer
        raise self.refusal(answer)

    async def _send(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], *, fresh: bool
    ) -> Answer:
        token = await self._tokens(fresh)
        sent = {**self._headers, **headers, "Authorization": f"Bearer {token}"}
        for _ in range(3):
            async with self._http.request(
                method, url, server=self.host, body=body, headers=sent, read_timeout_s=30, total_timeout_s=60
            ) as response:
                moved = _location(response, url) if response.status in (301, 307, 308) else None
                # A repository that was renamed: the same server says where it is now, and nobody else gets the token.
                if moved is None or origin(moved) != origin(self.base):
                    return await self._read(response)
                url = moved
        raise UpstreamInvalid(f"{self.host} leads from one place to another.", provider=self.host)

    async def _read(self, response: aiohttp.ClientResponse) -> Answer:
        raw = bytearray()
        with translated(self.host, response.url, answering=True):
            async for block in response.content.iter_any():
                raw += block
                if len(raw) > _ANSWER_BYTES:
                    raise UpstreamInvalid(f"{self.host} answers more than can be read.", provider=self.host)
        headers = {name.lower(): value for name, value in response.headers.items()}
        data: Any = None
        if raw and "json" in headers.get("content-type", ""):
            try:
                data = json.loads(raw)
            except (ValueError, RecursionError):
                if response.status < 400 and "raw" not in headers["content-type"]:
                    raise UpstreamInvalid(f"{self.host} answered half a JSON document.", provider=self.host) from None
        elif response.status < 300 and "html" in headers.get("content-type", ""):
            raise UpstreamInvalid(f"{self.host} answered with a web page.", provider=self.host)
        return Answer(response.status, headers, data, bytes(raw))

    def refusal(self, answer: Answer) -> Exception:
        """Return the error for a status that is none of the good ones."""
        host, said = self.host, answer.said()
        match answer.status:
            case 401:
                return SignedOutOfForge(
                    f"{host} does not accept the sign-in any more.", next_step=f"Sign in to {host} again.", host=host
                )
            case 403 | 429 if (wait := _wait(answer)) is not None or answer.status == 429:
                seconds = 60.0 if wait is None else wait
                return RateLimited(
                    f"{host} asks to wait before it answers more.",
                    next_step=f"Try again in {_duration(seconds)}.",
                    retry_after_s=seconds,
                    host=host,
                )
            case 403:
                return Forbidden(
                    f"{host} does not allow this: {said or 'no reason given'}.".replace("..", "."),
                    next_step=_sign_on(answer) or "Ask an owner of the repository for the right, or use another token.",
                    host=host,
                )
            case 404 | 410:
                return NotFound(
                    f"{host} has no such thing, or does not show it to you.",
                    next_step="Check the name, and whether your account may see it.",
                    host=host,
                )
        return UpstreamRejected(
            f"{host} refused: {said or f'status {answer.status}'}.".replace("..", "."),
            status=answer.status,
            provider=host,
        )

    async def pages(self, path: str, *, key: str | None = None, most: int = 3) -> list[Any]:
        """Return the objects of a list's first pages; ``key`` is where in the answer the list is."""
        found: list[dict[str, Any]] = []
        page: int | None = 1
        while page is not None and page <= most:
            answer = await self.get(path, per_page=100, page=page)
            found += Answer(answer.status, {}, answer.object().get(key)).items() if key else answer.items()
            page = next_page(answer)
        return found

    async def log_end(self, path: str) -> str | None:
        """Return the end of a log's text, or None where there is none to be had.

        Forges lead to a store of files for it. That one is asked once, and never gets the token.
        """
        url, headers = self.base + path, {**self._headers, "Authorization": f"Bearer {await self._tokens(False)}"}
        for _ in range(2):
            async with self._http.request(
                "GET", url, server=self.host, headers=headers, read_timeout_s=30, total_timeout_s=60
            ) as response:
                moved = _location(response, url)
                if response.status == 200:
                    return await self._tail(response)
                if response.status not in (301, 302, 303, 307, 308) or moved is None or not _is_safe(moved, self.base):
                    return None
                url, headers = moved, {}
        return None

    async def _tail(self, response: aiohttp.ClientResponse) -> str:
        kept, taken = b"", 0
        with translated(self.host, response.url, answering=True):
            async for block in response.content.iter_any():
                kept = (kept + block)[-_LOG_KEPT:]
                taken += len(block)
                if taken > _LOG_BYTES:
                    break
        return kept.decode(errors="replace")


def next_page(answer: Answer) -> int | None:
    """Return the number of the page after this one, by GitHub's links or GitLab's header."""
    number = answer.headers.get("x-next-page", "")
    for part in answer.headers.get("link", "").split(","):
        url, _, relation = part.partition(";")
        if 'rel="next"' in relation:
            number = parse_qs(urlsplit(url.strip().strip("<>")).query).get("page", [""])[0]
    return int(number) if number.isdecimal() and len(number) < 9 else None


def checked_name(full_name: str) -> str:
    """Return a repository's name as it was given. Raises InvalidRequest for one that no repository has."""
    if not is_full_name(full_name):
        raise InvalidRequest("This is not the name of a repository.", field="full_name")
    return full_name


def escaped(text: str) -> str:
    """Return a text as one part of a URL's path."""
    return quote(text, safe="")


def web_link(url: Any) -> str | None:
    """Return an address that a page may link to, or None: what a forge passes on may come from anybody."""
    return url if isinstance(url, str) and url.startswith(("https://", "http://")) and len(url) < 2000 else None


def optional(value: Any) -> str | None:
    """Return a text that is not empty, or None."""
    return value if isinstance(value, str) and value else None


def _location(response: aiohttp.ClientResponse, url: str) -> str | None:
    where = response.headers.get("Location")
    return urljoin(url, where) if where else None


def _is_safe(url: str, base: str) -> bool:
    """Whether one may be led there: by https, or on the same machine where the forge is there too."""
    parts = urlsplit(url)
    local = parts.hostname in _LOOPBACK and urlsplit(base).hostname in _LOOPBACK
    return parts.scheme == "https" or (parts.scheme == "http" and local) or origin(url) == origin(base)


def _wait(answer: Answer) -> float | None:
    """Return for how long to wait, or None where the forge does not speak of a limit."""
    headers = answer.headers
    retry = headers.get("retry-after", "")
    if retry.isdecimal():
        return min(float(retry), 86_400.0)
    remaining = headers.get("x-ratelimit-remaining", headers.get("ratelimit-remaining"))
    if remaining == "0":
        ends = headers.get("x-ratelimit-reset", headers.get("ratelimit-reset", ""))
        return min(max(float(ends) - time.time(), 1.0), 86_400.0) if ends.isdecimal() else 60.0
    return 60.0 if "rate limit" in answer.said().lower() else None


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _sign_on(answer: Answer) -> str | None:
    """Return what to do where an organisation wants its own sign-on first; GitHub says so in a header."""
    _, found, url = answer.headers.get("x-github-sso", "").partition("url=")
    link = web_link(url.strip()) if found else None
    return f"Authorise the sign-in for the organisation at {link}" if link else None
