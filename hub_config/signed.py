"""What every sign-in with a provider has in common: accounts by id, rights that follow the provider, and an end.

JupyterHub asks whether somebody is still welcome when they come with a request. Whoever is away but has a server that
runs is looked at here, so that the answer holds for servers too.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

from jupyterhub import orm, roles
from oauthenticator.oauth2 import OAuthenticator
from tornado import web
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from traitlets import Instance, Integer, default

from aidp_ext.core.errors import AidpError
from hub_config.audited import Audited, trying
from hub_config.callback import Callback
from hub_config.people import People
from hub_config.reporting import Activity
from hub_config.roles import ADMIN_ROLE
from hub_config.standing import (
    GRACE_S,
    OUTAGE_S,
    SIGNED_OUT_S,
    WITHHELD_S,
    Dismissed,
    Face,
    Lists,
    SignedOut,
    Standing,
    TakenBack,
    Unreachable,
    Withheld,
    fold,
)

#: Seconds that a page of the hub's waits for the provider to say whether somebody may still be here.
CHECK_S = 8.0
#: How many of those who are away are looked at in one go.
AT_ONCE = 8
#: Seconds after its start that the hub looks for the first time: servers may have outlived the hub, or a list changed.
FIRST_LOOK_S = 10.0
STANDING, DISMISSED = "aidp_standing", "aidp_dismissed"
#: What a provider says that does not know the hub, which says nothing about the user.
_ABOUT_THE_HUB = {
    "invalid_client",
    "unauthorized_client",
    "incorrect_client_credentials",
    "server_error",
    "temporarily_unavailable",
}


class KnownPeople(Audited, OAuthenticator):
    """Put before an OAuthenticator. Who subclasses says what an id is, a name, and a standing."""

    people = Instance(People, config=True)
    lists = Instance(Lists, config=True)
    recheck_s = Integer(240, config=True, help="Seconds after which it is asked again who may be here.")
    callback_handler = Callback

    @default("http_client")
    def _more_at_once(self) -> AsyncHTTPClient:
        """A class that begins at nine is a hundred sign-ins in a second, with three questions each."""
        return AsyncHTTPClient(force_instance=True, max_clients=64)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._app: Any = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.signed_out: set[str] = set()

    # what a provider says

    def id_of(self, user_info: Mapping[str, Any]) -> str:
        """Return the provider's id of somebody, which never changes and is nobody else's."""
        raise NotImplementedError

    def name_of(self, user_info: Mapping[str, Any]) -> str:
        """Return what the provider calls them today."""
        raise NotImplementedError

    def face_of(self, account: str, user_info: Mapping[str, Any]) -> Face:
        """Return how they are shown."""
        raise NotImplementedError

    async def standing(self, user_info: Mapping[str, Any], tokens: Mapping[str, Any]) -> Standing:
        """Return what they are a member of. Raises Dismissed or Unreachable."""
        raise NotImplementedError

    async def look(self, user: Any) -> tuple[dict[str, Any], Standing] | None:
        """Return what the provider says now about a user of the hub's, None where they have never signed in.

        Raises SignedOut, Dismissed or Unreachable.
        """
        raise NotImplementedError

    @property
    def is_away(self) -> str:
        """What is said where the provider does not answer."""
        return (
            f"{self.login_service} does not answer, so nobody can sign in at the moment. Servers that run go on."
            " Try again in a few minutes."
        )

    # signing in

    async def get_token_info(self, handler: Any, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tokens that a code is exchanged for. Raises HTTPError 403 where the provider takes it not."""
        try:
            found: dict[str, Any] = await super().get_token_info(handler, params)
        except (web.HTTPError, HTTPClientError) as error:
            code = error.status_code if isinstance(error, web.HTTPError) else error.code
            if isinstance(error, HTTPClientError) and (code >= 500 or code == 429):
                raise
            self.log.warning("%s gave no token for a code: %s", self.login_service, error)
            raise web.HTTPError(403, f"{self.login_service} did not complete the sign-in. Sign in again.") from error
        return found

    def user_info_to_username(self, user_info: dict[str, Any]) -> str:
        """Return the account of whoever has this id: the name that they had when they first came."""
        return self.people.find(self.id_of(user_info), self.name_of(user_info), self._is_taken).account

    async def update_auth_model(self, auth_model: dict[str, Any]) -> dict[str, Any]:
        """Add to what JupyterHub keeps of a sign-in what the provider says about the person."""
        auth_model = await super().update_auth_model(auth_model)
        state = auth_model["auth_state"]
        info = state[self.user_auth_state_key]
        id, name = self.id_of(info), self.name_of(info)
        if (known := trying.get()) is not None:
            known.update(name=name, id=id)
        await self._adopt(fold(name))
        person = self.people.find(id, name, self._is_taken)
        auth_model["name"] = person.account
        standing = await self.standing(info, state["token_response"])
        may_enter = self.lists.admits(person.names, standing)
        state[STANDING] = {"groups": sorted(standing.groups), "may_enter": may_enter}
        auth_model["admin"] = self.lists.is_admin(person.names)
        auth_model["user_info"] = self.face_of(person.account, info).user_info()
        return auth_model

    def _is_taken(self, account: str) -> bool:
        """Return whether JupyterHub has an account: one that nobody is known to own is not a newcomer's to take."""
        return self._app is not None and orm.User.find(self._app.db, account) is not None

    async def _adopt(self, name: str | None = None) -> None:
        """Give accounts from before there was a record of ids to their owners, whose ids lie with their tokens.

        That of a name, or all of them.
        """
        if self._app is None:
            return
        query = self._app.db.query(orm.User).filter(orm.User.encrypted_auth_state.is_not(None))
        for orm_user in (query if name is None else query.filter(orm.User.name == name)).all():
            if not self.people.has_account(orm_user.name):
                kept = await self._app.users[orm_user].get_auth_state() or {}
                with suppress(KeyError, TypeError, ValueError, Dismissed):
                    self.people.adopt(self.id_of(kept[self.user_auth_state_key]), orm_user.name)

    async def get_user_groups(self, auth_state: dict[str, Any]) -> set[str]:
        """Return the groups that the provider says."""
        return set(auth_state[STANDING]["groups"])

    async def check_allowed(self, username: str, auth_model: dict[str, Any] | None) -> bool:
        """Return whether somebody may enter; who may has their account and their name from now on."""
        if auth_model is None or not auth_model["auth_state"][STANDING]["may_enter"]:
            return False
        info = auth_model["auth_state"][self.user_auth_state_key]
        kept = self.people.keep(self.id_of(info), self.name_of(info), self._is_taken)
        if kept.account != username:  # somebody else was given the name a moment ago
            raise web.HTTPError(409, "Somebody else signed in under this name at the same moment. Sign in again.")
        self._is_in(username)
        return True

    def signed_in(self, user: Any) -> None:
        """Give an administrator the role that goes with it, now that JupyterHub knows the account."""
        self._apply_admin(user, is_admin=bool(user.admin))

    def check_allow_config(self) -> None:
        """Say nothing: who may enter is in `lists` and in the standing, which JupyterHub does not look at."""

    # staying, and going

    async def refresh_user(self, user: Any, handler: Any = None, **_: Any) -> bool:
        """Return whether somebody may still be here; True where the provider does not say.

        Their groups and rights are brought up to date. Who may no longer be here is shown out. JupyterHub asks this now
        and then on a request of theirs, and before their server starts. A provider that is away locks nobody out, but
        not for ever.
        """
        if not self.enable_auth_state:
            return True
        if DISMISSED in (await user.get_auth_state() or {}):
            self._later(self._stop_servers(user))
            return False
        try:
            async with asyncio.timeout(CHECK_S):
                found = await self.look(user)
            if found is None:  # an admin may start the server of somebody who has not come yet
                return getattr(handler, "_jupyterhub_user", user) is not user
            self._settle(user, *found)
        except Dismissed as error:
            await self.dismiss(user, str(error))
            return False
        except SignedOut as error:
            return await self._is_out(user, error)
        except (Unreachable, TimeoutError) as error:
            return await self._unsaid(user, error)
        self._is_in(user.name)
        return True

    def _is_in(self, account: str) -> None:
        """Keep that the provider said so."""
        self.people.confirm(account)
        self.signed_out.discard(account)

    async def _unsaid(self, user: Any, error: Exception) -> bool:
        """Return whether somebody may still be here of whom the provider does not say it now."""
        lasts = WITHHELD_S if isinstance(error, Withheld) else OUTAGE_S
        if time.time() - self.people.confirmed_at(user.name) >= lasts:
            return await self._is_out(user, SignedOut(f"{self.login_service} has not confirmed them for long"))
        self.log.warning("%s does not say whether %s may still be here: %s", self.login_service, user.name, error)
        return True

    async def _is_out(self, user: Any, why: SignedOut) -> bool:
        """Return False: they have to sign in again, and what they left goes if they do not."""
        lasted = time.time() - self.people.out_at(user.name)
        if isinstance(why, TakenBack) and lasted >= GRACE_S:
            await self.dismiss(user, str(why))
            return False
        self.log.info("%s has to sign in again: %s", user.name, why)
        self.signed_out.add(user.name)
        if lasted >= SIGNED_OUT_S:
            self._later(self._stop_servers(user))
        return False

    def _settle(self, user: Any, info: dict[str, Any], standing: Standing) -> None:
        """Bring a user's groups, rights and face up to date. Raises Dismissed where they may no longer enter."""
        id, name = self.id_of(info), self.name_of(info)
        if not self.people.has_account(user.name):
            self.people.adopt(id, user.name)
        person = self.people.find(id, name)
        if person.account != user.name:
            raise Dismissed("the account is somebody else's")
        if not self.lists.admits(person.names, standing):
            raise Dismissed("on no list, and a member of nothing that may enter")
        self.people.keep(id, name)
        if self.manage_groups:
            user.sync_groups(sorted(standing.groups))
        self._apply_admin(user, self.lists.is_admin(person.names))
        shown = self.face_of(person.account, info).user_info()
        if user.orm_user.user_info != shown:
            user.orm_user.user_info = shown
            user.db.commit()

    def _apply_admin(self, user: Any, is_admin: bool) -> None:
        """Make somebody an administrator, or no longer one, with the role of the hub's service that goes with it."""
        if bool(user.admin) != is_admin:
            user.admin = is_admin
        roles.assign_default_roles(user.db, entity=user.orm_user)
        role = orm.Role.find(user.db, ADMIN_ROLE)
        if role is not None and (role in user.orm_user.roles) != is_admin:
            (roles.grant_role if is_admin else roles.strip_role)(user.db, entity=user.orm_user, rolename=ADMIN_ROLE)
        user.db.commit()

    async def dismiss(self, user: Any, why: str) -> None:
        """Show somebody out: no token of theirs, no session and no right is left, and their servers are stopped."""
        self.log.warning("%s may no longer be here: %s", user.name, why)
        self.signed_out.discard(user.name)
        if self.record:
            self.record.write("dismissed", user.name, reason=why)
        orm_user, db = user.orm_user, user.db
        for token in [*orm_user.api_tokens, *orm_user.oauth_codes]:
            db.delete(token)
        orm_user.cookie_id = orm.new_token()  # ends every session
        if self.manage_groups:
            user.sync_groups([])
        self._apply_admin(user, is_admin=False)
        db.commit()
        kept = await user.get_auth_state() or {}
        # so that it holds after a restart too, with whose the account is; a sign-in writes over it
        key = self.user_auth_state_key
        await user.save_auth_state({DISMISSED: why, **({key: kept[key]} if key in kept else {})})
        self._later(self._stop_servers(user))

    async def _stop_servers(self, user: Any) -> None:
        """Stop every server of a user's; one that starts just now as soon as it is up."""
        for name, spawner in list(user.spawners.items()):
            with suppress(Exception):  # it has failed, which is as good
                if spawner._spawn_future is not None:
                    await spawner._spawn_future
            if not spawner.active or spawner._stop_pending:
                continue
            spawner._stop_pending = True
            try:
                await self._app.proxy.delete_user(user, name)
                await user.stop(name)
            except Exception:
                self.log.exception("The server %s could not be stopped; tried again", spawner._log_name)
            finally:
                spawner._stop_pending = False

    async def renewed(self, refresh_token: str) -> dict[str, Any]:
        """Return new tokens for a refresh token. Raises TakenBack where that one is good no more.

        Raises Withheld where the provider refuses, and else Unreachable: one that does not know the hub any more says
        nothing about the user.
        """
        params = self.build_refresh_token_request_params(refresh_token)
        try:
            got = await self.httpfetch(
                self.token_url,
                "renewing a token",
                method="POST",
                headers=self.build_token_info_request_headers(),
                body=urlencode(params).encode(),
                validate_cert=self.validate_server_cert,
            )
        except HTTPClientError as error:
            try:
                got = json.loads(error.response.body) if error.response is not None else None
            except ValueError:
                got = None
            if error.code == 429:
                raise Withheld("too many questions") from error
        except (OSError, ValueError) as error:
            raise Unreachable("no answer") from error
        if not isinstance(got, dict):
            raise Unreachable("no answer")
        if got.get("error") in ("bad_refresh_token", "invalid_grant"):
            raise TakenBack("their token was taken back, or has ended")
        if "access_token" not in got:
            said = str(got.get("error"))[:100]
            self.log.error("%s does not renew tokens: %s", self.login_service, said)
            is_about_the_user = "error" in got and said not in _ABOUT_THE_HUB
            raise (Withheld if is_about_the_user else Unreachable)("no token in the answer")
        return got

    # those who are away

    def get_handlers(self, app: Any) -> list[tuple[Any, ...]]:
        """Return the pages of the sign-in; from here on those who are away are looked at."""
        self._app = app
        self._later(self._look_around())
        return [*super().get_handlers(app), (r"/api/users/([^/]+)/activity", Activity)]

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done that nobody waits for."""
        try:
            task = asyncio.get_running_loop().create_task(work)
        except RuntimeError:  # no hub runs: a test
            work.close()
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look_around(self) -> None:
        """Look at everybody who has a server that runs and who has not been asked about lately, again and again."""
        await asyncio.sleep(min(FIRST_LOOK_S, self.recheck_s))
        with suppress(AidpError):  # said at the next sign-in, which needs the file too
            await self._adopt()
        while True:
            began = time.monotonic()
            try:
                await self._look_at_all()
            except Exception:
                self.log.exception("Could not look whether everybody may still be here")
            await asyncio.sleep(max(1.0, self.recheck_s - (time.monotonic() - began)))

    async def _look_at_all(self) -> None:
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(user: Any) -> None:
            async with turns:
                if await self.refresh_user(user):
                    user._auth_refreshed = time.monotonic()

        now = time.monotonic()
        due = [
            user
            for user in list(self._app.users.values())
            if any(spawner.active or spawner.pending for spawner in user.spawners.values())
            and not (user._auth_refreshed and now - user._auth_refreshed < self.recheck_s / 2)
        ]
        for failed in await asyncio.gather(*(one(user) for user in due), return_exceptions=True):
            if isinstance(failed, Exception):
                self.log.error("Could not look at a user: %r", failed)
