"""The parts put together: what a host makes once, starts before kernels and terminals begin, and stops at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec

from aidp_ext.core.errors import SignedOutOfForge, StorageError, UpstreamInvalid, UpstreamRejected
from aidp_ext.core.http import HttpClient
from aidp_ext.git.credentials.accounts import USUAL, Accounts, AskUser, Kind, is_safe
from aidp_ext.git.credentials.broker import AllowedOwners, Audit, CredentialBroker
from aidp_ext.git.credentials.environment import Identity, git_environment, write_forges
from aidp_ext.git.credentials.local import Kept, LocalTokenSource
from aidp_ext.git.credentials.sources import FirstOf, HubTokenSource, host_of
from aidp_ext.git.models import Account, ForgeUser, Token

if TYPE_CHECKING:
    from aidp_ext.git.remotes.device import DeviceFlow

log = logging.getLogger("aidp")

_PREFIX, _SOCKET = "aidp-git-", "git"
_LONGEST_FOLDER = 95  # bytes: the system takes a socket's path of some 104
_YOUNG_S = 60.0


@dataclass(frozen=True)
class HubSignIn:
    """The sign-in of the hub that started this server."""

    service_url: str
    token: str = field(repr=False)
    forge: str = "https://github.com"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> HubSignIn | None:
        """Return what the hub told its user's server, None where it has no tokens or there is no hub."""
        names = ("AIDP_SERVICE_URL", "JUPYTERHUB_API_TOKEN", "AIDP_FORGE_URL")
        url, token, forge = (environ.get(name, "").strip() for name in names)
        return cls(url, token, forge) if url and token and forge else None


class Credentials:
    """The broker, the accounts, and what git is told of them."""

    def __init__(
        self,
        folder: Path,
        audit: Audit,
        *,
        forges: Mapping[str, Kind] | None = None,
        hub: HubSignIn | None = None,
        owners: frozenset[str] = frozenset(),
        device_client_id: str = "",
        ask_user: AskUser | None = None,
    ) -> None:
        """``folder`` keeps what the user gives; ``forges`` are known besides github.com and gitlab.com, by address.

        ``audit`` is called as ``audit("git.credential", host=…, path=…, pid=…, outcome=…)``. A forge without TLS is
        only known where it is on this machine.
        """
        asked: dict[str, Kind] = {**USUAL, **({hub.forge: "github"} if hub else {}), **(forges or {})}
        known = {url.rstrip("/"): kind for url, kind in asked.items() if is_safe(url)}
        for url in asked.keys() - known.keys() - {url + "/" for url in known}:
            log.warning("git gets no token for %s: it is no https address of a forge", host_of(url) or url)
        self._http = HttpClient()
        self._client_id = device_client_id
        self._urls = list(known)
        self._identity: Identity | None = None
        self._environment: dict[str, str] = {}
        self._naming: asyncio.Task[None] | None = None
        self._ask_user = ask_user or self._user
        local = LocalTokenSource(folder, renew=self._renew if device_client_id else None, is_taken=self._is_taken)
        hubs = [HubTokenSource(hub.service_url, hub.token, self._http, forge=hub.forge)] if hub else []
        source = FirstOf(local, *hubs)  # what the user gave themselves comes first
        self._place = _place()
        self._added = self._place / "forges.gitconfig"
        self.broker = CredentialBroker(
            self._place / _SOCKET,
            source,
            audit,
            AllowedOwners(lambda: self.accounts.hosts, owners),
            plain=_plain(known),
        )
        self.accounts = Accounts(
            known,
            source,
            local,
            self.broker,
            self._ask_user,
            flow=self._flow if device_client_id else None,
            changed=self._name,
            learned=self._tell_git,
        )

    async def start(self) -> None:
        """Listen. Raises StorageError where there is no safe place for the socket; git then works without tokens.

        What is asked of a forge or a hub is asked later: they do not delay a server's start.
        """
        await asyncio.to_thread(sweep, self._place.parent)
        await self.broker.start()
        self._identity = Identity(self._place)
        self._tell_git([])
        try:
            await self.accounts.recall()
        except StorageError as error:
            log.warning("git does not know the servers that were added: %s", error.message)
        told = git_environment(os.environ, self._urls, self.broker.socket_path, self._added)
        try:
            told |= await self._identity.environment(os.environ)
        except OSError as error:
            log.warning("git is not told whom commits name: %s", error)
        self._environment = told
        self._naming = asyncio.create_task(self._name())

    async def stop(self) -> None:
        """Give out no more tokens."""
        if self._naming is not None:
            self._naming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._naming
        await self.broker.stop()
        await self._http.close()
        shutil.rmtree(self._place, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """Return what is to be set in the environment of git, and so of kernels and terminals. No secret is in it.

        Empty before `start`. It goes with the environment that the server had then, whose entries for git it keeps.
        """
        return dict(self._environment)

    def _tell_git(self, urls: list[str]) -> None:
        """Have git ask for a token at the forges that the user added: also one that runs in an older kernel."""
        if not self._place.is_dir():  # the broker does not listen
            return
        self.broker.allow_plain(_plain(urls))
        try:
            write_forges(self._added, urls)
        except OSError as error:
            log.warning("git is not told of %s: %s", ", ".join(urls) or "no server", error)

    async def _name(self) -> None:
        """Tell git whom commits name where the user has not: who they are on the first forge that knows an e-mail."""
        if self._identity is None:
            return
        known = ((one.name or one.login, one.email) for one in await self.accounts.list() if one.login and one.email)
        name, email = next(known, (None, None))
        try:
            self._identity.set(name, email)
        except OSError as error:
            log.warning("git is not told whom commits name: %s", error)

    # ---- what asks a forge

    async def _user(self, kind: str, url: str, token: Token) -> ForgeUser:
        from aidp_ext.git.remotes import forge_for  # it is not needed before somebody signs in

        async def given(_: bool) -> str:
            return token.value

        return await forge_for(kind, url, self._http, given).user()

    async def _is_taken(self, account: Account, token: Token) -> bool:
        try:
            await self._ask_user(account.kind, account.url, token)
        except SignedOutOfForge:
            return False
        return True

    def _flow(self, url: str) -> DeviceFlow:
        from aidp_ext.git.remotes import DeviceFlow

        return DeviceFlow(url, self._client_id, self._http)

    async def _renew(self, url: str, kept: Kept) -> Kept | None:
        """Renew a token that came by a code: that takes no secret of the app's. None where the forge refuses it."""
        form = {"client_id": self._client_id, "grant_type": "refresh_token", "refresh_token": kept.refresh_token or ""}
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        where = host_of(url)
        async with self._http.request(
            "POST",
            f"{url}/login/oauth/access_token",
            server=where,
            body=urlencode(form).encode(),
            headers=headers,
            read_timeout_s=30,
            total_timeout_s=60,
        ) as response:
            raw = await response.content.read(100_000)
        if response.status >= 500 or response.status == 429:
            raise UpstreamRejected(f"{where} renews no token now.", status=response.status, provider=where)
        try:
            said = msgspec.json.decode(raw, type=_Renewed)
        except msgspec.DecodeError:
            raise UpstreamInvalid(f"{where} did not answer with a token.", provider=where) from None
        if said.access_token is None:
            return None
        return msgspec.structs.replace(
            kept,
            token=said.access_token,
            expires_at=time.time() + said.expires_in if said.expires_in else None,
            refresh_token=said.refresh_token or kept.refresh_token,
        )


class _Renewed(msgspec.Struct):
    access_token: str | None = None
    refresh_token: str | None = None
    expires_in: float | None = None


def _plain(urls: Iterable[str]) -> frozenset[str]:
    return frozenset(host_of(url) for url in urls if url.startswith("http://"))


def sweep(base: Path) -> None:
    """Remove what servers of this user's left in ``base`` that were killed: nobody listens at their sockets."""
    with contextlib.suppress(OSError):
        for place in [path for path in base.iterdir() if path.name.startswith(_PREFIX)]:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                made = (place / _SOCKET).lstat()
                if made.st_uid != os.geteuid() or time.time() - made.st_mtime < _YOUNG_S:  # it may be about to listen
                    continue
                try:
                    probe.connect(str(place / _SOCKET))
                except ConnectionRefusedError:
                    shutil.rmtree(place, ignore_errors=True)


def _place() -> Path:
    """Return where a folder of this server's own can be, that ends with the session where the system does that.

    Nobody else can know its name, and so nobody can be there first. Raises StorageError where there is no such place.
    """
    name = f"{_PREFIX}{secrets.token_hex(6)}"
    for base in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"):  # noqa: S108 - of mode 0700
        place = Path(base, name)
        if base and len(os.fsencode(place)) < _LONGEST_FOLDER and os.access(base, os.W_OK | os.X_OK):
            return place
    raise StorageError("There is no folder for the socket that git asks.", next_step="Set XDG_RUNTIME_DIR.")
