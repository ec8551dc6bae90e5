"""What happens at the hub goes into the hash-chained record: sign-ins, servers, groups, roles and tokens.

Sign-ins come by the authenticator, which mixes :class:`Audited` in. The rest is watched where it happens and whoever
asks for it: JupyterHub has an event for a server that started and none for one that failed.
"""

from __future__ import annotations

import functools
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from jupyterhub import orm
from jupyterhub.auth import Authenticator
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.handlers.login import LogoutHandler
from jupyterhub.user import User
from sqlalchemy import event
from tornado import web
from traitlets import Unicode

from aidp_ext.core.audit import AuditLog

#: Characters of a text that is written down, and of the longest name of an account.
_LONGEST = 64

#: Whose sign-in it is that this request tries, as far as it is known.
trying: ContextVar[dict[str, str] | None] = ContextVar("trying", default=None)

#: The request that what happens now is done for; what it began goes on in its context when it is long over.
_asking: ContextVar[Any] = ContextVar("asking", default=None)

#: Who does what nobody has asked for.
HUB = "hub"


class HubRecord:
    """Writes what happened, with texts that are short and in one line, whoever made them."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    def write(self, event: str, actor: str, **fields: Any) -> None:
        """Write one record; texts are cut, and what is None is left out."""
        kept = {name: plain(value) if isinstance(value, str) else value for name, value in fields.items()}
        self._log.append(f"hub.{event}", plain(actor), **{name: v for name, v in kept.items() if v is not None})


def plain(text: str) -> str:
    """Return a text that somebody else chose as it may stand in a record: printable, in one line, and not long."""
    shown = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text[:_LONGEST])
    return shown if len(text) <= _LONGEST else f"{shown}… ({len(text)} characters)"


class Audited(Authenticator):
    """Put before an authenticator: its sign-ins and its sign-outs are recorded, and all else that happens too."""

    audit_file = Unicode(config=True, help="The audit record; none is kept without it.")
    record: HubRecord | None = None

    def get_handlers(self, app: Any) -> list[tuple[Any, ...]]:
        """Return the pages of the sign-in; from here on the record is written."""
        if self.audit_file:
            self.record = HubRecord(AuditLog(Path(self.audit_file)))
            watch(self.record)
        mine: list[tuple[Any, ...]] = super().get_handlers(app)
        logout: Any = getattr(self, "logout_handler", LogoutHandler)
        others = [one for one in mine if one[0] != r"/logout"]
        return [*others, (r"/logout", type("AuditedLogout", (_RecordsLogout, logout), {}))]

    async def get_authenticated_user(self, handler: Any, data: Any) -> Any:
        """Return who signed in, as the authenticator says, or None; either is recorded."""
        named = data.get("username") if isinstance(data, dict) else None
        known = {"name": named} if isinstance(named, str) else {}
        trying.set(known)
        if isinstance(named, str) and len(named) > _LONGEST:  # no account is called so; JupyterHub would log it whole
            self.refused(handler, known, "wrong name or password")
            return None
        try:
            found = await super().get_authenticated_user(handler, data)
        except Exception as error:
            self.refused(handler, known, error.reason or "error" if isinstance(error, web.HTTPError) else "error")
            raise
        if found is None:
            self.refused(handler, known, "not allowed" if known.get("id") else "wrong name or password")
        elif self.record:
            self.record.write("sign_in", found["name"], login=known.get("name"), id=known.get("id"), ip=_ip(handler))
        return found

    def refused(self, handler: Any, known: dict[str, str], reason: str) -> None:
        """Record a sign-in that came to nothing."""
        if self.record:
            who = known.get("name", "unknown")
            self.record.write("sign_in_refused", who, id=known.get("id"), reason=reason, ip=_ip(handler))


class _RecordsLogout:
    """A page that signs out, and says so."""

    def _backend_logout_cleanup(self, name: str) -> None:
        super()._backend_logout_cleanup(name)  # type: ignore[misc]
        record = self.authenticator.record  # type: ignore[attr-defined]
        if record:
            record.write("sign_out", name, ip=_ip(self))


def _ip(handler: Any) -> str | None:
    request = getattr(handler, "request", None)
    return getattr(request, "remote_ip", None)


# what JupyterHub does, whoever asked for it

_records: list[HubRecord] = []  # the one that is written, once there is one
_starting: set[tuple[str, str]] = set()


def watch(record: HubRecord) -> None:
    """Write what JupyterHub does to servers, tokens, groups and roles from now on. One record for each process."""
    if not _records:
        _watch_requests()
        _watch_servers()
        event.listen(orm.APIToken, "after_insert", _token_made)
        for relation, kind in ((orm.User.groups, "group"), (orm.User.roles, "role"), (orm.Group.roles, "role")):
            event.listen(relation, "append", functools.partial(_membership, f"{kind}_given"))
            event.listen(relation, "remove", functools.partial(_membership, f"{kind}_taken"))
    _records[:] = [record]


def _write(what: str, actor: str, **fields: Any) -> None:
    for record in _records:
        record.write(what, actor, **fields)


def _watch_requests() -> None:
    prepare = BaseHandler.prepare

    @functools.wraps(prepare)
    async def prepared(self: Any) -> None:
        _asking.set(self)  # who asks is known once it is prepared, and whatever it does before is the hub's doing
        await prepare(self)

    BaseHandler.prepare = prepared


def _asker() -> str:
    """Who asks for what happens now: a user's name, ``service:<name>``, or the hub itself."""
    handler = _asking.get()
    if handler is None or handler._finished:
        return HUB
    who = getattr(handler, "_jupyterhub_user", None)  # `current_user` fails before it is known
    if isinstance(who, orm.Service):
        return f"service:{who.name}"
    return getattr(who, "name", None) or HUB


def _watch_servers() -> None:
    start, stop = User.spawn, User.stop

    @functools.wraps(start)
    async def spawn(self: Any, server_name: str = "", *args: Any, **kwargs: Any) -> Any:
        by, key = _asker(), (self.name, server_name)
        _starting.add(key)
        try:
            done = await start(self, server_name, *args, **kwargs)
        except Exception as error:
            _write("server_failed", by, user=self.name, server=server_name, reason=_reason(error))
            raise
        finally:
            _starting.discard(key)
        _write("server_started", by, user=self.name, server=server_name)
        return done

    @functools.wraps(stop)
    async def stopped(self: Any, server_name: str = "") -> Any:
        by, is_failure = _asker(), (self.name, server_name) in _starting  # JupyterHub cleans up what did not start
        done = await stop(self, server_name)
        if not is_failure:
            _write("server_stopped", by, user=self.name, server=server_name)
        return done

    User.spawn, User.stop = spawn, stopped


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return reason if isinstance(reason, str) and reason else type(error).__name__


def _token_made(mapper: Any, connection: Any, token: Any) -> None:
    """Record that there is a token and whose, by its public id; the token itself is known to nobody but its holder."""
    owner = token.user or token.service
    expires = token.expires_at.isoformat(timespec="seconds") if token.expires_at else None
    name = getattr(owner, "name", "unknown")
    _write("token_made", _asker(), user=name, token=token.api_id, client=token.client_id, expires=expires)


def _membership(what: str, target: Any, value: Any, initiator: Any) -> None:
    name = getattr(value, "name", "")
    if isinstance(value, orm.Role) and name == "user":  # everybody has it
        return
    kind = "group" if isinstance(value, orm.Group) else "role"
    _write(what, _asker(), **{kind: name, "to" if isinstance(target, orm.Group) else "user": target.name or "unknown"})
