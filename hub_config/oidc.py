"""Sign-in with a provider of OpenID Connect: what it says is checked before it is believed.

Its addresses and keys come from its discovery document, which has to name the issuer that the settings name. Who
somebody is stands in an ID token that is signed for this hub and for this very sign-in.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import jwt
from oauthenticator.generic import GenericOAuthenticator
from oauthenticator.oauth2 import OAuthLoginHandler
from tornado import web
from tornado.httpclient import HTTPClientError
from traitlets import Instance

from hub_config import claims
from hub_config.callback import AWAY, Callback, meaning
from hub_config.given import is_loopback
from hub_config.providers import Oidc
from hub_config.signed import KnownPeople
from hub_config.standing import Dismissed, Face, SignedOut, Standing, TakenBack, Unreachable, face

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""How an ID token may be signed: never by the secret that the hub has too, and never not at all."""

#: Which claims came by asking, and so come again.
ASKED = "aidp_asked"

_LEEWAY_S = 60
#: Seconds before keys are fetched again because of one that is not known: anybody can send one.
_KEYS_AGAIN_S = 60.0
#: An access token that ends within this many seconds is renewed: the provider is asked with it right away.
_MARGIN_S = 60.0
#: Seconds that what an ID token alone said counts for, where no new one comes.
ID_TOKEN_S = 12 * 3600.0
#: Seconds after which the addresses are looked up again.
_DISCOVERY_S = 3600.0


class Login(OAuthLoginHandler):
    """Where the sign-in begins."""

    async def get(self) -> None:
        """Send the browser to the provider, or say that it does not answer."""
        try:
            await self.authenticator.discover()
        except (Unreachable, TimeoutError) as error:
            self.log.warning("%s gave no answer: %s", self.authenticator.login_service, error)
            raise web.HTTPError(503, self.authenticator.is_away, reason=AWAY) from error
        super().get()

    def authorize_redirect(self, *args: Any, **kwargs: Any) -> None:
        """Send the browser there with a nonce, which ties the ID token to this sign-in."""
        parameters = kwargs.setdefault("extra_params", {})
        parameters["nonce"] = nonce(parameters["state"])
        super().authorize_redirect(*args, **kwargs)


class OidcCallback(Callback):
    """Where the provider sends the browser back to."""

    def check_arguments(self) -> None:
        """Raise HTTPError 400 for an answer that is another provider's too."""
        super().check_arguments()
        issuer = self.get_argument("iss", None)
        if issuer is not None and issuer != self.authenticator.provider.issuer:
            self.authenticator.refused(self, {}, "another issuer")
            raise web.HTTPError(400, "The answer is another provider's")


class OidcSignIn(KnownPeople, GenericOAuthenticator):
    """Sign-in with the provider that the settings name."""

    provider = Instance(Oidc, config=True)
    login_handler = Login
    callback_handler = OidcCallback

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._found_at = self._keys_at = -math.inf
        self._metadata: dict[str, Any] = {}
        self._keys: dict[str, Any] = {}
        self._looks: dict[str, asyncio.Task[tuple[dict[str, Any], Standing] | None]] = {}

    # who somebody is

    def id_of(self, user_info: Mapping[str, Any]) -> str:
        """Return the provider's id of the person."""
        return claims.subject(user_info, self.provider)

    def name_of(self, user_info: Mapping[str, Any]) -> str:
        """Return what the provider calls the person. Raises HTTPError 403 where that cannot be told for sure."""
        return claims.name(user_info, self.provider)

    def face_of(self, account: str, user_info: Mapping[str, Any]) -> Face:
        """Return the name and the picture."""
        return face(account, user_info.get("name"), user_info.get("picture"))

    async def standing(self, user_info: Mapping[str, Any], tokens: Mapping[str, Any]) -> Standing:
        """Return the groups of the person, and whether one of them or the domain lets them in."""
        return claims.standing(user_info, self.provider)

    async def authenticate(self, handler: Any, data: Any = None, **kwargs: Any) -> Any:
        """Return who signed in. Raises HTTPError, Dismissed or Unreachable."""
        await self.discover()
        got = await self.get_token_info(handler, self.build_access_tokens_request_params(handler, data))
        said = await self._id_claims(got)
        if said.get("nonce") != nonce(handler.get_argument("state")):
            raise web.HTTPError(400, "The answer belongs to another sign-in. Sign in again.")
        return await self._token_to_auth_model(got)

    async def token_to_user(self, token_info: dict[str, Any]) -> dict[str, Any]:
        """Return what the provider says of whoever has these tokens: in the ID token, and if asked."""
        said = await self._id_claims(token_info)
        asked = await self._userinfo(token_info, said["sub"])
        return {**asked, **said, ASKED: sorted(asked)}

    def build_auth_state_dict(self, token_info: dict[str, Any], user_info: dict[str, Any]) -> dict[str, Any]:
        """Return what is kept: how to ask again, and what was said."""
        kept: dict[str, Any] = super().build_auth_state_dict(token_info, user_info)
        lasts = token_info.get("expires_in")
        return {**kept, "expires_at": time.time() + float(lasts) if lasts else None}

    # staying

    async def look(self, user: Any) -> tuple[dict[str, Any], Standing] | None:
        """Return what the provider says now of somebody, None where they have never signed in.

        Raises SignedOut, Dismissed or Unreachable.
        """
        look = self._looks.get(user.name)
        if look is None:
            look = self._looks[user.name] = asyncio.create_task(self._look(user))
            look.add_done_callback(lambda done: self._forget(user.name, done))
        # Not to be stopped half-way: the provider may have changed the token for a new one by then.
        return await asyncio.shield(look)

    def _forget(self, name: str, done: asyncio.Task[Any]) -> None:
        del self._looks[name]
        if not done.cancelled():
            done.exception()  # it was raised where somebody still waited

    async def _look(self, user: Any) -> tuple[dict[str, Any], Standing] | None:
        kept = await user.get_auth_state()
        if not kept:
            return None
        await self.discover()
        info = await self._said_now(user, kept)
        if info["sub"] != kept[self.user_auth_state_key]["sub"]:
            raise Dismissed("the provider's answer is about somebody else")
        return info, self._standing_now(info)

    async def _said_now(self, user: Any, kept: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is said of somebody now, with a token that is renewed where it is about to end, and only then.

        A refresh token may be good once: an answer that gets lost on its way ends the sign-in.
        """
        before, left = kept[self.user_auth_state_key], (kept.get("expires_at") or math.inf) - time.time()
        may_renew = bool(kept.get("refresh_token"))
        if may_renew and (left < _MARGIN_S or not self.userdata_url):
            try:
                return await self._renew(user, kept)
            except (TakenBack, Unreachable):
                if left <= 0 or not self.userdata_url:
                    raise
                may_renew = False  # the token that there is still does, if the provider takes it
        elif left <= 0:
            raise SignedOut("their token has ended, and there is nothing to ask with")
        try:
            return await self._asked_again(kept["token_response"], before)
        except TakenBack:
            if not may_renew:
                raise
            return await self._renew(user, kept)

    async def _renew(self, user: Any, kept: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is said with new tokens, which are kept."""
        self.log.info("Renewing the tokens of %s", user.name)
        key, before = self.user_auth_state_key, kept[self.user_auth_state_key]
        got = await self.renewed(kept["refresh_token"])
        got.setdefault("refresh_token", kept["refresh_token"])
        fresh = {**kept, **self.build_auth_state_dict(got, before)}
        # what was renewed is kept even where what it says is not believed: the token before may be dead
        is_theirs = await self._save(user, kept["access_token"], fresh)
        if not got.get("id_token"):
            return await self._asked_again(got, before)
        info = await self.token_to_user(got)
        if is_theirs and info["sub"] == before["sub"]:
            await self._save(user, fresh["access_token"], {**fresh, key: info})
        return info

    async def _save(self, user: Any, was: str, fresh: dict[str, Any]) -> bool:
        """Keep what was renewed; False where they have signed in anew, or were shown out, meanwhile: that is kept."""
        if (await user.get_auth_state() or {}).get("access_token") != was:
            return False
        await user.save_auth_state(fresh)
        return True

    def _standing_now(self, info: Mapping[str, Any]) -> Standing:
        """Return what the claims say. Raises SignedOut where they say it by an ID token of long ago alone."""
        standing = claims.standing(info, self.provider)
        said_at = info.get("iat")
        if isinstance(said_at, int | float) and time.time() - said_at < ID_TOKEN_S:
            return standing
        asked = {name: value for name, value in info.items() if name in info.get(ASKED, ())}
        try:
            still = claims.standing(asked, self.provider)
        except Dismissed:
            still = None
        if still != standing:
            raise SignedOut("what lets them in was said at a sign-in of long ago")
        return standing

    async def _asked_again(self, tokens: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is said now; what an ID token alone said stays as it was, since there is no new one."""
        kept = {name: value for name, value in before.items() if name not in before.get(ASKED, ())}
        asked = await self._userinfo(tokens, before["sub"])
        return {**kept, **asked, ASKED: sorted({*before.get(ASKED, []), *asked})}

    async def _userinfo(self, tokens: Mapping[str, Any], subject: str) -> dict[str, Any]:
        if not self.userdata_url:
            return {}
        try:
            said = await super().token_to_user(dict(tokens))
        except HTTPClientError as error:
            why = meaning(error, "the provider takes their token no more")
            # who signs out at the provider has no good token either; some call that a bad request
            raise (TakenBack(str(why)) if error.code in (400, 401) else why) from error
        except (OSError, ValueError) as error:
            raise Unreachable("no answer") from error
        if not isinstance(said, dict) or said.get("sub") != subject:
            raise Dismissed("the provider's answer is about somebody else")
        return {name: value for name, value in said.items() if name not in ("iat", ASKED)}

    # whom to believe

    async def discover(self) -> None:
        """Look up the provider's addresses, unless they are known. Raises Unreachable."""
        if self._metadata and time.monotonic() - self._found_at < _DISCOVERY_S:
            return
        issuer = self.provider.issuer
        try:
            found = await self._get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            check_metadata(found, issuer)
        except Unreachable:
            if self._metadata:  # what was known still holds
                return
            raise
        self._metadata, self._found_at = found, time.monotonic()
        self.authorize_url, self.token_url = found["authorization_endpoint"], found["token_endpoint"]
        self.userdata_url = found.get("userinfo_endpoint", "")
        methods = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        self.basic_auth = "client_secret_post" not in methods and "client_secret_basic" in methods
        offered = found.get("scopes_supported") or ()
        scope: list[str] = list(self.trait_values()["scope"])
        if "offline_access" in offered and "offline_access" not in scope:
            self.scope = [*scope, "offline_access"]  # to ask again later, while the person is away

    async def _id_claims(self, tokens: Mapping[str, Any]) -> dict[str, Any]:
        """Return what an ID token says. Raises Dismissed for one that is not to be believed."""
        token = tokens.get("id_token")
        if not isinstance(token, str):
            raise Dismissed("the provider gave no ID token")
        try:
            key = await self._key(jwt.get_unverified_header(token))
            said: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self.client_id,
                issuer=self.provider.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            self.log.warning("An ID token is not to be believed: %s", error)
            raise Dismissed("the provider's ID token is not to be believed") from error
        if isinstance(said["aud"], list) and len(said["aud"]) > 1 and said.get("azp") != self.client_id:
            raise Dismissed("the provider's ID token is for somebody else")
        return said

    async def _key(self, header: Mapping[str, Any]) -> Any:
        """Return the provider's key that a token says it is signed with. Raises PyJWTError where there is none."""
        id = str(header.get("kid", ""))
        if id not in self._keys and time.monotonic() - self._keys_at > _KEYS_AGAIN_S:
            found = jwt.PyJWKSet.from_dict(await self._get(self._metadata["jwks_uri"]))
            self._keys = {str(key.key_id or ""): key for key in found.keys if key.public_key_use != "enc"}
            self._keys_at = time.monotonic()
        if id in self._keys:
            return self._keys[id]
        if not id and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        raise jwt.InvalidTokenError("it is signed with no key of the provider's")

    async def _get(self, url: str) -> dict[str, Any]:
        try:
            found = await self.httpfetch(url, "looking up the provider", validate_cert=self.validate_server_cert)
        except (HTTPClientError, OSError, ValueError) as error:
            raise Unreachable(f"{url} gave no answer") from error
        if not isinstance(found, dict):
            raise Unreachable(f"{url} gave no answer")
        return found


def nonce(state: str) -> str:
    """Return what ties an ID token to the sign-in of this state, which the browser that began it alone has."""
    return hashlib.sha256(state.encode()).hexdigest()


def check_metadata(found: Mapping[str, Any], issuer: str) -> None:
    """Raise Unreachable where a discovery document is not the issuer's, or leads where others can listen."""
    if found.get("issuer") != issuer:
        raise Unreachable(f"the provider calls itself {json.dumps(found.get('issuer'))[:200]}, not {issuer}")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
        address = found.get(name)
        if address is None and name == "userinfo_endpoint":
            continue
        parts = urlsplit(address) if isinstance(address, str) else None
        if parts is None or not (parts.scheme == "https" or is_loopback(parts.hostname or "")):
            raise Unreachable(f"the provider's {name} is no https address")
