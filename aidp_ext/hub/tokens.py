"""The tokens of the hub's sign-in at a forge, one at a time, for whoever shows that they are the user's own server.

The hub itself keeps and renews them (``hub_config/forge.py``). Here is only who gets which, and the record of it.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from aidp_ext.core.errors import Forbidden, NotFound, SignedOutOfForge, Unavailable, UpstreamInvalid
from aidp_ext.core.http import HttpClient

T = TypeVar("T")

#: Longer than the hub itself waits for GitHub.
TIMEOUT_S = 60.0


class NoForge(NotFound):
    """The hub's sign-in has no tokens for this forge."""

    code = "no_forge"


class GivenToken(msgspec.Struct, frozen=True):
    """An access token that holds for a while."""

    host: str
    token: str
    expires_at: float | None = None  # seconds since 1970

    def __repr__(self) -> str:
        return f"GivenToken({self.host!r})"


class GivenAccount(msgspec.Struct, frozen=True):
    """Who a user of the hub's is on the forge."""

    host: str
    kind: str
    url: str
    is_signed_in: bool
    id: int | None = None
    login: str | None = None
    name: str | None = None
    email: str | None = None  # as the forge shows it to everybody


class ForgeTokens:
    """Asks the hub. ``record(event, actor, **fields)`` is told of each token that is handed out, never the token."""

    def __init__(self, api_url: str, api_token: str, record: Callable[..., object]) -> None:
        self._url = api_url.rstrip("/") + "/aidp/forge/"
        self._token = api_token
        self._record = record
        self._http = HttpClient()

    async def close(self) -> None:
        """Close the connections to the hub."""
        await self._http.close()

    async def token(self, user: str, host: str, refused: str | None = None) -> GivenToken:
        """Return a token of the user's for ``host``; ``refused`` is the digest of one that the forge did not take.

        Raises NoForge, SignedOutOfForge, and Unavailable where the hub or the forge does not answer.
        """
        asked = {"host": host, **({"refused": refused} if refused else {})}
        given = await self._ask("POST", user, GivenToken, body=msgspec.json.encode(asked))
        self._record("git.token", user, host=given.host, renewed=bool(refused), expires_at=given.expires_at)
        return given

    async def account(self, user: str) -> GivenAccount:
        """Return who the user is on the forge. Raises NoForge and Unavailable."""
        return await self._ask("GET", user, GivenAccount)

    async def _ask(self, method: str, user: str, kind: type[T], body: bytes | None = None) -> T:
        if user.startswith("service:"):
            raise Forbidden("Only a user's server gets their token.")
        headers = {"Authorization": f"Bearer {self._token}"}
        request = self._http.request(
            method,
            self._url + quote(user, safe=""),
            server="the hub",
            body=body,
            headers=headers,
            read_timeout_s=TIMEOUT_S,
            direct=True,
        )
        async with request as response:
            if response.status != HTTPStatus.OK:
                raise _refusal(response)
            try:
                return msgspec.json.decode(await response.read(), type=kind)
            except msgspec.DecodeError:
                raise UpstreamInvalid("The hub's answer cannot be read.", provider="the hub") from None


def _refusal(response: aiohttp.ClientResponse) -> Exception:
    match response.status:
        case HTTPStatus.NOT_FOUND:
            return NoForge("The hub's sign-in has no token for this forge.", next_step="Add an account of your own.")
        case HTTPStatus.CONFLICT:
            return SignedOutOfForge(
                "The hub's sign-in at the forge does not hold any more.",
                next_step="Sign out of the hub and in again.",
            )
        case HTTPStatus.SERVICE_UNAVAILABLE:
            return Unavailable("The forge does not answer the hub.", next_step="Try again in a moment.")
        case status:
            return Unavailable(
                f"The hub does not give out tokens ({status}).", next_step="Ask the hub's admin to look into its log."
            )
