"""Where tokens come from. Here: the sign-in of a hub; what the user gave to this server is in local.py."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from aidp_ext.core.errors import AidpError, SignedOutOfForge, Unavailable
from aidp_ext.core.http import HttpClient
from aidp_ext.git.models import Account, Token

_HUB = "the hub"
#: Longer than the hub's service waits for the hub.
_TIMEOUT_S = 70.0
#: Seconds for which it is believed who the user is.
_KNOWN_S = 60.0


class TokenSource(Protocol):
    """Has tokens for some hosts."""

    async def token(self, host: str, *, fresh: bool = False) -> Token | None:
        """Return a token that holds for a while, None for a host that it has none for.

        ``fresh``: the host did not take the last one. Raises SignedOutOfForge where only a new sign-in helps, and other
        errors of the tree where it is not known.
        """

    async def account(self, host: str) -> Account | None:
        """Return who the user is there, None where they are nobody."""


def host_of(url: str) -> str:
    """Return the host of an address, with its port where it has one of its own, as git names it."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


class FirstOf:
    """Several sources: the first that has a token is taken."""

    def __init__(self, *sources: TokenSource) -> None:
        self._sources = sources

    async def token(self, host: str, *, fresh: bool = False) -> Token | None:
        """Return the first token there is. Raises what a source raises."""
        for source in self._sources:
            token = await source.token(host, fresh=fresh)
            if token is not None:
                return token
        return None

    async def account(self, host: str) -> Account | None:
        """Return who the user is by the first source that has a token. Raises what a source raises."""
        for source in self._sources:
            account = await source.account(host)
            if account is not None:
                return account
        return None


class HubTokenSource:
    """The sign-in of the hub: its service gives a token for one forge, to the server that shows its hub token."""

    def __init__(self, url: str, hub_token: str, http: HttpClient, *, forge: str) -> None:
        """``url`` is the service's address, ``forge`` that of the forge where the hub signs in."""
        self._url = url.rstrip("/") + "/aidp/git/"
        self._token = hub_token
        self._http = http
        self._host = host_of(forge)
        self._last: str | None = None  # the digest of the token that was given last
        self._known: tuple[float, Account] | None = None
        self._problem: str | None = None

    def __repr__(self) -> str:
        return f"HubTokenSource({self._url!r})"

    async def token(self, host: str, *, fresh: bool = False) -> Token | None:
        """Return the user's token. Raises SignedOutOfForge, Unavailable and UpstreamError."""
        if host != self._host:
            return None
        asked = {"host": host, **({"refused": self._last} if fresh and self._last else {})}
        try:
            said = await self._ask("POST", "token", asked)
        except SignedOutOfForge as error:
            self._problem = f"{error.message} {error.next_step or ''}".strip()
            raise
        self._problem = None
        if said is None:
            return None
        value, expires = said.get("token"), said.get("expires_at")
        if not isinstance(value, str):
            raise Unavailable("The hub's answer has no token in it.")
        self._last = hashlib.sha256(value.encode()).hexdigest()[:16]
        return Token(value, expires_at=float(expires) if isinstance(expires, int | float) else None)

    async def account(self, host: str) -> Account | None:
        """Return who the user is. Raises Unavailable and UpstreamError."""
        if host != self._host:
            return None
        if self._known is None or time.monotonic() > self._known[0]:
            said = await self._ask("GET", "account")
            if said is None:
                return None
            self._known = (time.monotonic() + _KNOWN_S, _account(host, said))
        return replace(self._known[1], problem=self._problem or self._known[1].problem)

    async def _ask(self, method: str, what: str, body: dict[str, str] | None = None) -> dict[str, Any] | None:
        """Return what the service answers, None where the hub has no sign-in at this forge."""
        request = self._http.request(
            method,
            self._url + what,
            server=_HUB,
            body=None if body is None else msgspec.json.encode(body),
            headers={"Authorization": f"Bearer {self._token}"},
            read_timeout_s=_TIMEOUT_S,
            direct=urlsplit(self._url).hostname in ("127.0.0.1", "localhost", "::1"),
        )
        async with request as response:
            try:
                answer = msgspec.json.decode(await response.read(), type=dict[str, Any])
            except msgspec.DecodeError:
                answer = {}
        if response.status == HTTPStatus.OK:
            return answer
        error = answer.get("error")
        if isinstance(error, dict) and error.get("code") == "no_forge":
            return None
        raise _refusal(response.status, error if isinstance(error, dict) else {})


def _refusal(status: int, error: dict[str, Any]) -> AidpError:
    details = error.get("details")
    step = details.get("next_step") if isinstance(details, dict) else None
    if error.get("code") == SignedOutOfForge.code:
        return SignedOutOfForge(str(error.get("message")), next_step=str(step) if step else None)
    said = error.get("message") if status != HTTPStatus.UNAUTHORIZED else None
    return Unavailable(
        f"The hub gives no token for git: {said or f'status {status}'}",
        next_step=str(step) if step else "Try again in a moment, or start your server anew from the hub.",
    )


def _account(host: str, said: dict[str, Any]) -> Account:
    login, number = said.get("login"), said.get("id")
    hidden = f"{number}+{login}@users.noreply.{host.partition(':')[0]}" if number and login else None
    return Account(
        host,
        "github",
        str(said.get("url") or f"https://{host}"),
        login=login,
        name=said.get("name"),
        email=said.get("email") or hidden,
        source="hub",
        problem=None if said.get("is_signed_in") else "Sign out of the hub and in again.",
    )
