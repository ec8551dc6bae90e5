"""Who the user is on each forge: by the hub's sign-in, by a token of their own, or by a code entered in a browser."""

from __future__ import annotations

import builtins
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import urlsplit

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
_ADDRESS = re.compile(r"[a-z]+://(?:[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")


def is_safe(url: str) -> bool:
    """Return whether a token may go to an address: by https, or to this machine itself."""
    parts = urlsplit(url)
    is_here = parts.hostname in ("127.0.0.1", "localhost", "::1")
    return bool(parts.hostname) and "@" not in url and (parts.scheme == "https" or (parts.scheme == "http" and is_here))


def forge_address(text: str) -> str:
    """Return the address of a forge as it is kept: of its server only. Raises InvalidRequest for what is none."""
    text = text.strip()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    host = parts.hostname or ""
    where = f"[{host}]" if ":" in host else host
    address = f"{parts.scheme}://{where}" + ("" if port in (None, 443) else f":{port}")
    if not host or "@" in parts.netloc or not _ADDRESS.fullmatch(address):
        raise InvalidRequest(
            "This is not the address of a server.", next_step="Write it as https://git.example.org.", field="url"
        )
    if not is_safe(address):
        raise InvalidRequest(
            "Only https addresses are taken: by any other your token could be read on its way.",
            next_step="Ask whoever runs the server for its https address.",
            field="url",
        )
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise InvalidRequest(
            f"Name the server only: {address}", next_step="Leave out what follows its name.", field="url"
        )
    return address


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
        learned: Callable[[builtins.list[str]], None] | None = None,
    ) -> None:
        """``learned`` is given the addresses of all forges that the user added, when they are others than before."""
        self._forges = {host_of(url): (url.rstrip("/"), kind) for url, kind in forges.items()}
        self._source = source
        self._local = local
        self._broker = broker
        self._ask_user = ask_user
        self._flow = flow
        self._changed = changed
        self._learned = learned
        self._added: set[str] = set()  # hosts
        self._signs: dict[str, _Sign] = {}

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts of the known forges."""
        return frozenset(self._forges)

    async def recall(self) -> None:
        """Know again the forges that the user added earlier. Raises StorageError."""
        for host, account in (await self._local.accounts()).items():
            if host not in self._forges and is_safe(account.url):
                self._learn(account.url, account.kind)

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
        return await self._take(nobody, token)

    async def add_at(self, url: str, token: str, kind: Kind) -> Account:
        """Keep a token for a forge by its address, which need not be known: it is from then on. Returns the account.

        Raises InvalidRequest for what is no https address of a server, and as :meth:`add` does.
        """
        address = forge_address(url)
        host = host_of(address)
        if host in self._forges:
            return await self.add(host, token, kind)
        account = await self._take(Account(host, kind, address), token)
        self._learn(address, kind)
        await self._has_changed(host)
        return account

    async def _take(self, nobody: Account, token: str) -> Account:
        host = nobody.host
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
        if host in self._added:
            self._added.remove(host)
            del self._forges[host]
            self._tell_learned()
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

    def _learn(self, url: str, kind: Kind) -> None:
        host = host_of(url)
        self._forges[host] = url, kind
        self._added.add(host)
        self._tell_learned()

    def _tell_learned(self) -> None:
        if self._learned is not None:
            self._learned([self._forges[host][0] for host in sorted(self._added)])

    def _known(self, host: str) -> Account:
        if host not in self._forges:
            raise NotFound(
                f"{host[:100]} is no forge that is known here.",
                next_step="Add it by its address, under `Another server`; or to AIDP_FORGES, for all.",
            )
        return self._nobody(host)

    def _nobody(self, host: str) -> Account:
        url, kind = self._forges[host]
        return Account(host, kind, url, can_use_device=self._flow is not None and kind == "github")
