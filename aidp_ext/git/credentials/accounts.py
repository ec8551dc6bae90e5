"""Who the user is on each forge: by the hub's sign-in, by a token of their own, or by a code entered in a browser."""

from __future__ import annotations

import builtins
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

from aidp_ext.core.errors import AidpError, Conflict, InvalidRequest, NotFound, SignedOutOfForge
from aidp_ext.git.credentials.local import Kept, LocalTokenSource, check_token
from aidp_ext.git.credentials.sources import TokenSource, host_of
from aidp_ext.git.models import Account, ForgeUser, Token

if TYPE_CHECKING:
    from aidp_ext.git.remotes.device import DeviceFlow

Kind = Literal["github", "gitlab"]
#: Asks the forge at an address whose a token is.
AskUser = Callable[[str, str, Token], Awaitable[ForgeUser]]  # kind, url, token
DeviceWord = Literal["waiting", "done", "denied", "expired"]

USUAL: Mapping[str, Kind] = {"https://github.com": "github", "https://gitlab.com": "gitlab"}
#: GitLab takes a token as a password beside this name, GitHub beside its own.
_USERNAMES: Mapping[str, str] = {"github": "x-access-token", "gitlab": "oauth2"}
_MOST_CODES = 20


class Broker(Protocol):
    """Gives out tokens, and forgets them."""

    async def token(self, host: str, *, fresh: bool = False) -> Token | None:
        """Return a token for a host."""

    def forget(self, host: str) -> None:
        """Ask the source anew the next time."""


@dataclass(frozen=True)
class Begun:
    """A sign-in by a code: what to enter where, and by which ``id`` to ask how far it is."""

    id: str
    user_code: str
    verification_uri: str
    interval_s: float
    expires_in_s: float


@dataclass
class _Sign:
    account: Account
    flow: DeviceFlow
    done: Account | None = None


class Accounts:
    """The user's accounts. ``forges`` are the known ones by address; ``flow(url)`` begins a sign-in by a code."""

    def __init__(
        self,
        forges: Mapping[str, Kind],
        source: TokenSource,
        local: LocalTokenSource,
        broker: Broker,
        ask_user: AskUser,
        *,
        flow: Callable[[str], DeviceFlow] | None = None,
        changed: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._forges = {host_of(url): (url.rstrip("/"), kind) for url, kind in forges.items()}
        self._source = source
        self._local = local
        self._broker = broker
        self._ask_user = ask_user
        self._flow = flow
        self._changed = changed
        self._signs: dict[str, _Sign] = {}

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts of the known forges."""
        return frozenset(self._forges)

    async def list(self) -> builtins.list[Account]:
        """Return the known forges, each with who the user is there; ``problem`` says what is wrong with one."""
        return [account for host in self._forges if (account := await self.get(host)) is not None]

    async def get(self, host: str) -> Account | None:
        """Return who the user is at a host, with the source ``none`` where nobody; None for an unknown forge."""
        if host not in self._forges:
            return None
        nobody = self._nobody(host)
        try:
            found = await self._source.account(host)
        except AidpError as error:
            return replace(nobody, problem=error.message)
        return nobody if found is None else replace(found, can_use_device=nobody.can_use_device)

    def tokens(self, host: str) -> Callable[[bool], Awaitable[str]]:
        """Return what gives a forge its tokens. It raises SignedOutOfForge where nobody is signed in."""

        async def token(fresh: bool) -> str:
            found = await self._broker.token(host, fresh=fresh)
            if found is None:
                raise SignedOutOfForge(f"Nobody is signed in at {host}.", next_step="Add an account.")
            return found.value

        return token

    async def add(self, host: str, token: str, kind: str | None = None) -> Account:
        """Keep a token, once the forge has said whose it is, and return the account.

        Raises NotFound for an unknown forge, InvalidRequest for a token that it does not take, and what asking raises.
        """
        nobody = self._known(host)
        if kind not in (None, nobody.kind):
            raise Conflict(f"{host} is a {nobody.kind}.")
        kept = Kept(token.strip(), username=_USERNAMES[nobody.kind])
        check_token(kept.token)
        try:
            return await self._keep(nobody, kept)
        except SignedOutOfForge as error:
            raise InvalidRequest(
                f"{host} does not take this token.", next_step="Copy it again, or make a new one there.", field="token"
            ) from error

    async def remove(self, host: str) -> None:
        """Forget the user's own token. Raises NotFound where there is none, Conflict where it is the hub's."""
        account = self._known(host)
        if not await self._local.forget(host):
            found = await self._source.account(host)
            if found is not None and found.source == "hub":
                raise Conflict(f"The account at {host} comes with the hub's sign-in.", next_step="Sign out of the hub.")
            raise NotFound(f"There is no account at {account.host}.")
        await self._has_changed(host)

    async def begin_device(self, host: str) -> Begun:
        """Begin a sign-in by a code. Raises Conflict where there is no way to, and what the forge answers."""
        account = self._known(host)
        if not account.can_use_device or self._flow is None:
            raise Conflict(f"At {host} one cannot sign in by a code.", next_step="Sign in with a token instead.")
        flow = self._flow(account.url)
        code = await flow.start()
        while len(self._signs) >= _MOST_CODES:
            del self._signs[next(iter(self._signs))]
        id = secrets.token_urlsafe(12)
        self._signs[id] = _Sign(account, flow)
        return Begun(id, code.user_code, code.verification_uri, code.interval_s, code.expires_in_s)

    async def poll_device(self, id: str) -> tuple[DeviceWord, Account | None]:
        """Return how far a sign-in is, and the account when it is done. Raises NotFound, and what the forge answers."""
        sign = self._signs.get(id)
        if sign is None:
            raise NotFound("There is no such sign-in.", next_step="Begin a new one.")
        if sign.done is not None:
            return "done", sign.done
        state = await sign.flow.poll()
        if state.state != "done" or state.token is None:
            return state.state, None
        token = state.token
        username = _USERNAMES[sign.account.kind]
        kept = Kept(token.value, username=username, expires_at=token.expires_at, refresh_token=state.refresh_token)
        sign.done = await self._keep(sign.account, kept)
        return "done", sign.done

    async def _keep(self, nobody: Account, kept: Kept) -> Account:
        user = await self._ask_user(nobody.kind, nobody.url, Token(kept.token, username=kept.username))
        account = replace(nobody, login=user.login, name=user.name, email=user.email, source="keyring")
        await self._local.keep(account, kept)
        await self._has_changed(account.host)
        return account

    async def _has_changed(self, host: str) -> None:
        self._broker.forget(host)
        if self._changed is not None:
            await self._changed()

    def _known(self, host: str) -> Account:
        if host not in self._forges:
            raise NotFound(
                f"{host[:100]} is no forge that is known here.",
                next_step="Add its address to c.GitConfig.forges, or to AIDP_FORGES.",
            )
        return self._nobody(host)

    def _nobody(self, host: str) -> Account:
        url, kind = self._forges[host]
        return Account(host, kind, url, can_use_device=self._flow is not None and kind == "github")
