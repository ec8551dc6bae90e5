"""``git/token`` and ``git/account`` of the hub's service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypedDict

from msgspec import Meta, Struct

from aidp_ext.core.errors import SignedOutOfForge, Unauthenticated, Unavailable
from aidp_ext.core.web import Api, Route, endpoint
from aidp_ext.hub.tokens import ForgeTokens, NoForge


class TokenAsked(Struct):
    """For which forge."""

    host: Annotated[str, Meta(min_length=1, max_length=255, description="With its port, where it has one of its own.")]
    refused: (
        Annotated[
            str,
            Meta(max_length=64, description="The first 16 hex digits of the SHA-256 of a token that it did not take."),
        ]
        | None
    ) = None


class TokenSaid(TypedDict):
    """A token for git and for the forge's API."""

    host: str
    token: str
    expires_at: float | None


class AccountSaid(TypedDict):
    """Who the caller is on the forge that the hub signs in at."""

    host: str
    kind: str
    url: str
    is_signed_in: bool
    id: int | None
    login: str | None
    name: str | None
    email: str | None


class _ForgeApi(Api):
    is_program: Callable[[], bool]  # the host's base class answers it

    def forge(self) -> ForgeTokens:
        """Return the hub's tokens. Raises NoForge where it has none."""
        forge: ForgeTokens | None = self.settings.get("aidp_forge")
        if forge is None:
            raise NoForge("The hub signs in at no forge.", next_step="Add an account of your own.")
        return forge


class ForgeToken(_ForgeApi):
    """``git/token``: a token of the caller's own, and nobody else's."""

    @endpoint(
        "execute",
        takes=TokenAsked,
        example={"host": "github.com"},
        gives=TokenSaid,
        raises=(NoForge, SignedOutOfForge, Unavailable),
    )
    async def post(self) -> None:
        """Return a token for the forge. It is for the caller's server; no page in a browser gets one."""
        # A cookie, which a browser sends by itself, does not prove a server, not even beside a header with a token that
        # is none: JupyterHub goes by the cookie then. A query is written into logs.
        if "Authorization" not in self.request.headers or not self.is_program():
            raise Unauthenticated("This takes a server's token.", next_step="Send it as `Authorization: Bearer …`.")
        asked = self.body(TokenAsked)
        given = await self.forge().token(self.who(), asked.host, asked.refused)
        said: TokenSaid = {"host": given.host, "token": given.token, "expires_at": given.expires_at}
        self.reply(said)


class ForgeAccount(_ForgeApi):
    """``git/account``."""

    @endpoint("read", gives=AccountSaid, raises=(NoForge, Unavailable))
    async def get(self) -> None:
        """Return who the caller is on the forge that the hub signs in at."""
        found = await self.forge().account(self.who())
        said: AccountSaid = {
            "host": found.host,
            "kind": found.kind,
            "url": found.url,
            "is_signed_in": found.is_signed_in,
            "id": found.id,
            "login": found.login,
            "name": found.name,
            "email": found.email,
        }
        self.reply(said)


ROUTES: tuple[Route, ...] = ((r"git/token", ForgeToken), (r"git/account", ForgeAccount))
