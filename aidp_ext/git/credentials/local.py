"""The tokens that the user gave to this server: in the system's keyring, or in an encrypted file where there is none.

Who the user is on a forge is no secret, and lies beside in a plain file: what is shown needs no keyring to be unlocked.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from aidp_ext.core.errors import InvalidRequest, SignedOutOfForge, StorageError
from aidp_ext.core.keys import KeyStore
from aidp_ext.git.models import Account, Token

#: A token that ends within this many seconds is renewed before it is given.
_MARGIN_S = 900.0
_HOST = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:[0-9]{1,5})?")
_TOKEN = re.compile(r"[!-~]{8,2000}")


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a token."""

    token: str
    username: str = "x-access-token"
    expires_at: float | None = None
    refresh_token: str | None = None

    def __repr__(self) -> str:
        return "Kept(…)"


#: Renews a token, or tells whether one is still taken, at a host. Both raise errors of the tree where it is not known.
Renew = Callable[[str, Kept], Awaitable[Kept | None]]
IsTaken = Callable[[Account, Token], Awaitable[bool]]


class LocalTokenSource:
    """Keeps the user's own tokens. ``renew`` and ``is_taken`` ask the forge."""

    def __init__(self, folder: Path, *, renew: Renew | None = None, is_taken: IsTaken | None = None) -> None:
        self._folder = folder
        self._file = folder / "accounts.json"
        self._store = KeyStore(folder, otherwise="")
        self._renew = renew
        self._is_taken = is_taken

    def __repr__(self) -> str:
        return f"LocalTokenSource({str(self._folder)!r})"

    async def token(self, host: str, *, fresh: bool = False) -> Token | None:
        """Return the user's token. Raises SignedOutOfForge, StorageError, and what renewing one raises."""
        account = await self.account(host)
        kept = await asyncio.to_thread(self._read, host) if account is not None else None
        if account is None or kept is None:
            return None
        left = (kept.expires_at or float("inf")) - time.time()
        if kept.refresh_token and self._renew is not None and (fresh or left < _MARGIN_S):
            return _token(await self._renewed(account, kept))
        if left <= 0 or (fresh and self._is_taken is not None and not await self._is_taken(account, _token(kept))):
            raise _signed_out(account)
        return _token(kept)

    async def _renewed(self, account: Account, kept: Kept) -> Kept:
        assert self._renew is not None
        new = await self._renew(account.url, kept)
        if new is None:
            # Another server of this user's may have been faster, and then the token that renews was used up.
            new = await asyncio.to_thread(self._read, account.host)
            if new is None or new == kept:
                raise _signed_out(account)
            return new
        await asyncio.to_thread(self._write, account.host, new)
        return new

    async def account(self, host: str) -> Account | None:
        """Return who the user is there. Raises StorageError."""
        return (await asyncio.to_thread(self._accounts)).get(host)

    async def accounts(self) -> dict[str, Account]:
        """Return all accounts, by their hosts. Raises StorageError."""
        return await asyncio.to_thread(self._accounts)

    async def keep(self, account: Account, kept: Kept) -> None:
        """Keep a token and whose it is. Raises InvalidRequest for what is no token, StorageError."""
        check_token(kept.token)
        await asyncio.to_thread(self._write, account.host, kept)
        await asyncio.to_thread(self._change, account.host, account)

    async def forget(self, host: str) -> bool:
        """Forget a token; return whether there was one. Raises StorageError."""
        if await self.account(host) is None:
            return False
        await asyncio.to_thread(self._store.delete, _name(host))
        await asyncio.to_thread(self._change, host, None)
        return True

    # ---- in a thread: a keyring may make one wait

    def _read(self, host: str) -> Kept | None:
        if not self._store.was_used:
            return None
        said = self._store.get(_name(host))
        try:
            return None if said is None else msgspec.json.decode(said, type=Kept)
        except msgspec.DecodeError:
            raise StorageError("What is kept of a token cannot be read.", next_step="Add the account again.") from None

    def _write(self, host: str, kept: Kept) -> None:
        self._store.set(_name(host), msgspec.json.encode(kept).decode())

    def _accounts(self) -> dict[str, Account]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, Account])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            raise StorageError(
                f"The file {self._file.name} cannot be read.", next_step=f"Look into {self._file.parent}."
            ) from error

    def _change(self, host: str, account: Account | None) -> None:
        accounts = {**self._accounts(), host: account}
        text = msgspec.json.encode({name: one for name, one in accounts.items() if one is not None})
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd, fresh = tempfile.mkstemp(dir=self._file.parent, prefix=f".{self._file.name}.")  # of mode 0600
            with os.fdopen(fd, "wb") as file:
                file.write(text)
            Path(fresh).replace(self._file)
        except OSError as error:
            raise StorageError(f"The file {self._file.name} cannot be written: {error.strerror}.") from error


def check_token(token: str) -> None:
    """Raise InvalidRequest for what can be no token: it would not go into a header."""
    if not _TOKEN.fullmatch(token):
        raise InvalidRequest(
            "That is no token: one has 8 to 2000 letters, digits and signs, without spaces and line breaks.",
            next_step="Copy it again from the forge's page.",
            field="token",
        )


def _token(kept: Kept) -> Token:
    return Token(kept.token, username=kept.username, expires_at=kept.expires_at)


def _signed_out(account: Account) -> SignedOutOfForge:
    return SignedOutOfForge(
        f"{account.host} does not take your token any more.", next_step="Add the account again, with a new token."
    )


def _name(host: str) -> str:
    """Return a host as a name that the store takes: no two hosts have the same."""
    if not _HOST.fullmatch(host):
        raise InvalidRequest("That is no host.", field="host")
    name = "forge_" + host.replace(".", "_").replace(":", "__")
    return name if len(name) <= 60 else "forge_" + hashlib.sha256(host.encode()).hexdigest()[:40]
