"""GitHub's sign-in keeps the tokens that it got, hands them out one at a time, and alone renews them.

Renewing a token of a GitHub App kills the one before at once, so there must be one place that does it: the hub, which
is one process however many serve its gateway. What it got lies encrypted in JupyterHub's records, in the user's
``auth_state``. The hub's service gets an access token by a scope of its own; it never sees what renews one, nor may it
read or change anything else of a user.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from oauthenticator.github import GitHubOAuthenticator
from tornado import web
from tornado.httpclient import HTTPClientError
from traitlets import Set

from hub_config.callback import meaning
from hub_config.given import SettingsError
from hub_config.roles import FORGE_SCOPE
from hub_config.signed import KnownPeople
from hub_config.standing import Dismissed, Face, SignedOut, Standing, TakenBack, Unreachable, face, fold
from hub_config.teams import Membership

#: A token that ends within this many seconds is renewed before it is handed out: a push may take a while.
MARGIN_S = 900.0


class GitHubSignIn(KnownPeople, GitHubOAuthenticator):
    """GitHub's sign-in, which knows people by their ids, and hands out the tokens of those who signed in."""

    admin_teams = Set(config=True, help="organization:team, whose members administer the hub.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._looks: dict[str, asyncio.Task[dict[str, Any]]] = {}

    def id_of(self, user_info: Mapping[str, Any]) -> str:
        """Return the number that GitHub gave the account; logins get changed, and taken by others."""
        return str(int(user_info["id"]))

    def name_of(self, user_info: Mapping[str, Any]) -> str:
        """Return the login."""
        return fold(str(user_info["login"]))

    def face_of(self, account: str, user_info: Mapping[str, Any]) -> Face:
        """Return the name and the picture of the profile."""
        return face(account, user_info.get("name") or user_info.get("login"), user_info.get("avatar_url"))

    async def standing(self, user_info: Mapping[str, Any], tokens: Mapping[str, Any]) -> Standing:
        """Return the teams of the organisations that are named, and whether one of them lets the user in."""
        ask = Membership(self.httpfetch, self.github_api, self.build_userdata_request_headers(**_bearer(tokens)))
        return await ask.standing(str(user_info["login"]), self.allowed_organizations, self.admin_teams)

    async def look(self, user: Any) -> tuple[dict[str, Any], Standing] | None:
        """Return what GitHub says now of somebody, None where they have never signed in.

        Raises SignedOut, Dismissed or Unreachable.
        """
        if not await user.get_auth_state():
            return None
        kept = await self.token_of(user)
        try:
            info = await self._check(kept)
        except Dismissed:
            if not kept.get("refresh_token"):
                raise
            kept = await self.token_of(user, refused=digest(kept["access_token"]))
            info = await self._check(kept)
        return info, await self.standing(info, kept["token_response"])

    @property
    def host(self) -> str:
        """GitHub's host, and its port where it has one of its own, as an address of a repository names it."""
        return urlsplit(self.github_url).netloc.rpartition("@")[2].lower()

    def get_handlers(self, app: Any) -> list[tuple[Any, ...]]:
        """Return the pages of the sign-in, and the endpoint that the hub's service asks."""
        return [*super().get_handlers(app), (r"/api/aidp/forge/([^/]+)", ForgeHandler)]

    def build_auth_state_dict(self, token_info: dict[str, Any], user_info: dict[str, Any]) -> dict[str, Any]:
        """Return what is kept, with the time at which the token ends: GitHub only says how long it lasts."""
        kept: dict[str, Any] = super().build_auth_state_dict(token_info, user_info)
        return {**kept, "expires_at": _expiry(token_info)}

    async def token_of(self, user: Any, *, refused: str | None = None) -> dict[str, Any]:
        """Return what is kept of a user, with an access token that holds for a while.

        ``refused`` is the digest of a token that GitHub did not take: where it is still the one that is kept, it is
        renewed, or looked into where it cannot be. Raises SignedOut or Unreachable.
        """
        while True:
            look = self._looks.get(user.name)
            is_ours = look is None
            if look is None:
                look = self._looks[user.name] = asyncio.create_task(self._look(user, refused))
                look.add_done_callback(lambda done: self._forget(user.name, done))
            # Not to be stopped half-way: what GitHub has answered by then would be lost, and the old token is dead.
            kept = await asyncio.shield(look)
            if is_ours or refused != digest(kept["access_token"]):
                return kept

    def _forget(self, name: str, done: asyncio.Task[dict[str, Any]]) -> None:
        del self._looks[name]
        if not done.cancelled():
            done.exception()  # it was raised where somebody still waited

    async def _look(self, user: Any, refused: str | None) -> dict[str, Any]:
        kept = await user.get_auth_state()
        if not kept or not kept.get("access_token"):
            raise SignedOut("there is no token of theirs")
        left = (kept.get("expires_at") or math.inf) - time.time()
        is_refused = refused == digest(kept["access_token"])
        if kept.get("refresh_token") and (is_refused or left < MARGIN_S):
            try:
                return await self._renew(user, kept)
            except (Unreachable, TakenBack):  # the token that there is still does
                if is_refused or left <= 0:
                    raise
                return dict(kept)
        if left <= 0:
            raise SignedOut("their token has ended")
        if is_refused:
            await self._check(kept)
        return dict(kept)

    async def _renew(self, user: Any, kept: Mapping[str, Any]) -> dict[str, Any]:
        self.log.info("Renewing the GitHub token of %s", user.name)
        got = await self.renewed(kept["refresh_token"])
        got.setdefault("refresh_token", kept["refresh_token"])
        fresh = {
            **kept,
            **{name: got[name] for name in ("access_token", "refresh_token")},
            "token_response": got,
            "expires_at": _expiry(got),
        }
        meanwhile = await user.get_auth_state()
        if meanwhile and meanwhile.get("access_token") != kept["access_token"]:
            return dict(meanwhile)  # they signed in anew, and that token is good too
        await user.save_auth_state(fresh)
        return fresh

    async def _check(self, kept: Mapping[str, Any]) -> dict[str, Any]:
        """Return whose the token is. Raises Dismissed where GitHub refuses them, Unreachable where it does not say."""
        try:
            info: dict[str, Any] = await self.token_to_user(kept["token_response"])
        except HTTPClientError as error:
            raise meaning(error, "GitHub takes their token no more, or suspended the account") from error
        except (OSError, ValueError) as error:
            raise Unreachable("no answer") from error
        return info


class ForgeHandler(APIHandler):
    """``/hub/api/aidp/forge/<user>``: for the hub's own service alone."""

    async def get(self, name: str) -> None:
        """Answer who the user is at GitHub, without asking GitHub."""
        kept = await self._user(name).get_auth_state() or {}
        known = kept.get(GitHubSignIn.user_auth_state_key) or {}
        said = {field: known.get(field) for field in ("id", "login", "name", "email")}
        self.write(json.dumps({**self._where(), **said, "is_signed_in": bool(kept.get("access_token"))}))

    async def post(self, name: str) -> None:
        """Answer with an access token of the user's. It is the only secret in the answer."""
        user = self._user(name)
        asked = self.get_json_body() or {}
        if asked.get("host") != self.authenticator.host:
            raise web.HTTPError(404, "The hub signs nobody in there.")
        refused = asked.get("refused")
        try:
            kept = await self.authenticator.token_of(user, refused=refused if isinstance(refused, str) else None)
        except SignedOut as error:
            raise web.HTTPError(409, "Signed out at GitHub.", reason="Signed out") from error
        except Unreachable as error:
            raise web.HTTPError(503, "GitHub does not answer.") from error
        self.set_header("Cache-Control", "no-store")
        self.write(json.dumps({**self._where(), "token": kept["access_token"], "expires_at": kept.get("expires_at")}))

    def _user(self, name: str) -> Any:
        # No person's token is enough, whatever it may: this gives anybody's to whoever asks.
        if not isinstance(self.current_user, orm.Service) or not self.has_scope(FORGE_SCOPE):
            raise web.HTTPError(403, "This is for the hub's own service.")
        user = self.find_user(name)
        if user is None:
            raise web.HTTPError(404, "There is no such user.")
        return user

    def _where(self) -> dict[str, str]:
        return {"host": self.authenticator.host, "url": self.authenticator.github_url, "kind": "github"}


def digest(token: str) -> str:
    """Return what a token is called where it must not be named."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


def crypt_key(path: Path) -> str:
    """Return the key that users' tokens are encrypted with, made where there is none; its owner alone may read it.

    Raises SettingsError where it cannot be used. Without it everybody has to sign in again, and nothing else is lost.
    """
    try:
        if not path.exists():
            fresh = path.with_name(f"{path.name}.new")
            fresh.unlink(missing_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32) + "\n")
            fresh.replace(path)
        key = path.read_text().strip()
        if path.stat().st_mode & 0o077:
            raise SettingsError(f"Others can read {path}; close it: chmod 600 {path}, or remove it for a new one.")
        if len(bytes.fromhex(key)) != 32:
            raise ValueError(key)
    except OSError as error:
        raise SettingsError(f"{path} cannot be used ({error.strerror}); start with `aidp hub`.") from error
    except ValueError:
        raise SettingsError(f"{path} is damaged; remove it for a new one, and everybody signs in again.") from None
    return key


def _expiry(token_info: Mapping[str, Any]) -> float | None:
    """Return when a token ends, None where GitHub does not say: a classic app's lasts until it is taken back."""
    lasts = token_info.get("expires_in")
    return time.time() + float(lasts) if lasts else None


def _bearer(tokens: Mapping[str, Any]) -> dict[str, str]:
    return {"access_token": str(tokens["access_token"]), "token_type": str(tokens.get("token_type", "bearer"))}
