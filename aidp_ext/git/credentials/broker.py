"""Gives git its tokens: over a socket that its owner alone reaches, for the hosts and owners that are allowed.

It is no wall against the user's own programs, which may ask as git does. What protects is that a token is given only
where it belongs, that it ends, and that each one that was handed out is on record.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aidp_ext.core.errors import AidpError, StorageError
from aidp_ext.git.credentials.sources import TokenSource
from aidp_ext.git.models import Token

log = logging.getLogger("aidp")

#: Is called as ``audit("git.credential", host=…, path=…, pid=…, outcome=…)``.
Audit = Callable[..., object]
Allowed = Callable[[str, str], bool]

_LONGEST = 16384  # bytes of a question
_PATIENCE_S = 10.0  # for a question to come whole
#: Seconds that a token is remembered which does not say when it ends.
_KEPT_S = 300.0
#: A token that ends within this many seconds is asked for anew.
_MARGIN_S = 120.0
_PRINTABLE = re.compile(r"[!-~]{1,4096}")
_PART = re.compile(r"[A-Za-z0-9_.~+-]{1,255}")  # of a path: an owner's or a repository's name


@dataclass(frozen=True)
class _Question:
    action: str
    protocol: str
    host: str
    path: str
    username: str
    password: str


class CredentialBroker:
    """Answers git's helper. ``source`` has the tokens; ``allowed(host, path)`` tells whether they may go there.

    ``plain`` are hosts that may be asked for without TLS: those of tests, on this machine.
    """

    def __init__(
        self,
        socket_path: Path,
        source: TokenSource,
        audit: Audit,
        allowed: Allowed,
        *,
        plain: frozenset[str] = frozenset(),
    ) -> None:
        self._path = socket_path
        self._source = source
        self._audit = audit
        self._allowed = allowed
        self._plain = frozenset(host for host in plain if _is_loopback(host))
        self._server: asyncio.AbstractServer | None = None
        self._tokens: dict[str, tuple[Token, float]] = {}  # until when it is remembered, as time.time() counts
        self._asked: dict[str, asyncio.Task[Token | None]] = {}
        self._refused: set[str] = set()
        self._problems: dict[str, AidpError] = {}

    def allow_plain(self, hosts: frozenset[str]) -> None:
        """Answer also for these hosts without TLS, as far as they are this machine."""
        self._plain |= frozenset(host for host in hosts if _is_loopback(host))

    @property
    def socket_path(self) -> Path:
        """Where it listens."""
        return self._path

    async def start(self) -> None:
        """Listen. Raises StorageError where no safe place for the socket can be made."""
        try:
            _make_private(self._path.parent)
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISSOCK(self._path.lstat().st_mode):
                    raise StorageError(f"{self._path.name} in {self._path.parent} is in the way: it is no socket.")
                self._path.unlink()
            self._server = await asyncio.start_unix_server(self._answer, path=str(self._path), limit=_LONGEST)
            self._path.chmod(0o600)  # until here the folder kept everybody else out
        except OSError as error:
            raise StorageError(f"No socket for git can be made in {self._path.parent}: {error}.") from error

    async def stop(self) -> None:
        """Listen no more, and forget all tokens."""
        for task in self._asked.values():
            task.cancel()
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(TimeoutError):  # one who asks and never ends must not keep a server from ending
                async with asyncio.timeout(1):
                    await self._server.wait_closed()
            self._server = None
        self._tokens.clear()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def problem(self, host: str) -> AidpError | None:
        """Return why there was no token for a host the last time it was asked for, or None."""
        return self._problems.get(host)

    def forget(self, host: str) -> None:
        """Ask the source anew the next time: the user signed in or out."""
        self._tokens.pop(host, None)
        self._refused.discard(host)
        self._problems.pop(host, None)

    async def token(self, host: str, *, fresh: bool = False) -> Token | None:
        """Return a token for a host, None where nobody is signed in there. ``fresh``: the one before was refused.

        Raises what the source raises. Many who ask at once cause one question to the source.
        """
        if fresh:
            self._tokens.pop(host, None)
            self._refused.add(host)
        kept = self._tokens.get(host)
        if kept is not None and time.time() < kept[1]:
            return kept[0]
        task = self._asked.get(host)
        if task is None:
            task = self._asked[host] = asyncio.create_task(self._ask(host))
            task.add_done_callback(lambda done: self._asked_for(host, done))
        return await asyncio.shield(task)

    def _asked_for(self, host: str, done: asyncio.Task[Token | None]) -> None:
        del self._asked[host]
        if not done.cancelled():
            done.exception()  # it was raised where somebody still waited

    async def _ask(self, host: str) -> Token | None:
        fresh = host in self._refused
        self._refused.discard(host)
        try:
            token = await self._source.token(host, fresh=fresh)
        except AidpError as error:
            self._problems[host] = error
            if fresh:
                self._refused.add(host)
            raise
        self._problems.pop(host, None)
        if token is not None:
            ends = time.time() + _KEPT_S if token.expires_at is None else token.expires_at - _MARGIN_S
            self._tokens[host] = (token, ends)
        return token

    # ---- the socket

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            peer = _peer(writer.get_extra_info("socket"))
            if peer is None or peer[0] != os.geteuid():
                log.warning("another account asked for a token of git's, and got none")
                return
            async with asyncio.timeout(_PATIENCE_S):
                question = _question(await _read(reader))
            if question is not None:
                writer.write(await self._answered(question, pid=peer[1]))
                await writer.drain()
        except (TimeoutError, OSError):
            pass  # whoever asked has left, or never asked
        except Exception:
            log.exception("git got no answer")
        finally:
            writer.close()

    async def _answered(self, question: _Question, pid: int) -> bytes:
        if question.action == "erase":
            self._erase(question)
            return b""
        refusal = self._refusal(question)
        if refusal is not None:
            self._note(question, pid, refusal)
            return b""
        try:
            token = await self.token(question.host)
            if token is None or not await self._is_theirs(question, token):
                self._note(question, pid, "nobody is signed in" if token is None else "another user is asked for")
                return b""
        except AidpError as error:
            self._note(question, pid, error.code)
            said = f"{error.message} {error.next_step or ''}"
            return b"message=" + " ".join(said.split()).encode() + b"\n"
        self._note(question, pid, "given")
        return _lines(token)

    def _refusal(self, question: _Question) -> str | None:
        """Return why a question is not answered, or None where it may be."""
        if question.protocol != "https" and not (question.protocol == "http" and question.host in self._plain):
            return "not https"
        if not _is_plain_path(question.path):
            return "no repository's path"
        if not self._allowed(question.host, question.path):
            return "not allowed"
        return None

    async def _is_theirs(self, question: _Question, token: Token) -> bool:
        """Tell whether the user whom an address names, if it does, is the one whose token it is."""
        if question.username in ("", token.username):
            return True
        account = await self._source.account(question.host)
        return account is not None and (account.login or "").lower() == question.username.lower()

    def _erase(self, question: _Question) -> None:
        """Forget a token that the host did not take; somebody else's password is none of ours."""
        kept = self._tokens.get(question.host)
        if kept is not None and kept[0].value == question.password:
            del self._tokens[question.host]
            self._refused.add(question.host)

    def _note(self, question: _Question, pid: int, outcome: str) -> None:
        host, path = question.host[:255], question.path[:1000]
        self._audit("git.credential", host=host, path=path, pid=pid, outcome=outcome)


class AllowedOwners:
    """Which repositories get a token: those at known hosts, of some owners where some are named."""

    def __init__(self, hosts: Callable[[], frozenset[str]], owners: frozenset[str] = frozenset()) -> None:
        self._hosts = hosts
        self._owners = frozenset(owner.lower() for owner in owners)

    def __call__(self, host: str, path: str) -> bool:
        """Tell whether the repository at ``path`` may be asked for with a token."""
        return host in self._hosts() and (not self._owners or path.split("/")[0].lower() in self._owners)


def _make_private(folder: Path) -> None:
    """Make a folder that its owner alone may enter. Raises StorageError where it is somebody else's; OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise StorageError(f"{folder} is no folder of yours; move it away.")
    folder.chmod(0o700)


def _peer(connection: socket.socket) -> tuple[int, int] | None:
    """Return the user and the process at the other end, None where the system does not say."""
    try:
        if sys.platform == "darwin":  # LOCAL_PEERCRED gives a struct xucred, whose version is 0; and LOCAL_PEERPID
            version, uid = struct.unpack_from("=Ii", connection.getsockopt(0, 1, 76))
            (pid,) = struct.unpack("i", connection.getsockopt(0, 2, 4))
            return None if version else (uid, pid)
        pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return uid, pid
    except (OSError, struct.error, AttributeError):
        return None


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the other side has said all. Raises TimeoutError for what is too long for a question."""
    said = b""
    while part := await reader.read(_LONGEST):
        said += part
        if len(said) > _LONGEST:
            raise TimeoutError
    return said


def _question(said: bytes) -> _Question | None:
    """Return git's question, None for what is none: nothing is guessed."""
    try:
        action, *lines = said.decode().split("\n")
    except UnicodeDecodeError:
        return None
    fields: dict[str, str] = {}
    for line in lines:
        name, sign, value = line.partition("=")
        if not line or name.endswith("[]"):  # lists, such as wwwauth[], are of no use here
            continue
        if not sign or name in fields or not value.isprintable():
            return None
        fields[name] = value
    if action not in ("get", "erase"):
        return None
    names = ("protocol", "host", "path", "username", "password")
    return _Question(action, *(fields.get(name, "") for name in names))


def _is_plain_path(path: str) -> bool:
    """Tell whether a path is an owner's and a repository's names, and nothing that could be read in another way."""
    parts = path.split("/")
    return len(parts) >= 2 and all(_PART.fullmatch(part) and part.strip(".") for part in parts)


def _is_loopback(host: str) -> bool:
    return re.fullmatch(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", host) is not None


def _lines(token: Token) -> bytes:
    if not _PRINTABLE.fullmatch(token.value) or not _PRINTABLE.fullmatch(token.username):
        return b""  # a line break in it would tell git something else
    said: Mapping[str, str] = {
        "username": token.username,
        "password": token.value,
        **({"password_expiry_utc": str(int(token.expires_at))} if token.expires_at is not None else {}),
    }
    return "".join(f"{name}={value}\n" for name, value in said.items()).encode()
