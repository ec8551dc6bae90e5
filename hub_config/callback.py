"""The way back from a provider: a sign-in that went wrong is told in words, and what a refusal means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyterhub.utils import url_path_join
from oauthenticator.oauth2 import OAuthCallbackHandler
from tornado import web
from tornado.escape import xhtml_escape
from tornado.httpclient import HTTPClientError

from hub_config.standing import Dismissed, SignedOut, Unreachable, Withheld

REFUSED, AWAY = "Sign-in refused", "Sign-in is not possible now"


class Callback(OAuthCallbackHandler):
    """Where the provider sends the browser back to."""

    @property
    def extra_error_html(self) -> str:
        """Where to go from a page that says what went wrong."""
        return f'<a href="{xhtml_escape(url_path_join(self.hub.base_url, "login"))}">Back to the sign-in</a>'

    def check_arguments(self) -> None:
        """Raise HTTPError 400, which is recorded, for a request that is no answer to one of ours."""
        try:
            super().check_arguments()
        except web.HTTPError as error:
            self.authenticator.refused(self, {}, error.log_message or "bad request")
            raise

    async def login_user(self, data: Any = None) -> Any:
        """Return who signed in, with all their rights, or None."""
        user = await super().login_user(data)
        if user is not None:
            self.authenticator.signed_in(user)
        return user

    async def get(self) -> None:
        """Sign in, or say that the provider does not answer, or that it refuses."""
        service = self.authenticator.login_service
        try:
            await super().get()
        except web.HTTPError as error:
            error.reason = error.reason or REFUSED
            raise
        except (HTTPClientError, SignedOut, Unreachable, TimeoutError, OSError, ValueError) as error:
            self.log.warning("A sign-in with %s failed: %s", service, error)
            why = meaning(error, "") if isinstance(error, HTTPClientError) else error
            if isinstance(why, SignedOut):
                said = str(why) or "the account may be suspended"
                raise web.HTTPError(403, f"{service} says: {said}.", reason=REFUSED) from error
            raise web.HTTPError(503, self.authenticator.is_away, reason=AWAY) from error


def meaning(error: HTTPClientError, what: str) -> Dismissed | Unreachable:
    """Return what a provider's refusal means.

    Its own faults say nothing about the user; nor do too many questions, but those may be the user's doing.
    """
    headers: Mapping[str, str] = {}
    text = ""
    if error.response is not None:
        headers, text = error.response.headers, (error.response.body or b"").decode(errors="replace").lower()
    is_limit = "rate limit" in text or headers.get("X-RateLimit-Remaining") == "0" or "Retry-After" in headers
    is_refusal = error.code == 401 or (error.code == 403 and not is_limit)
    if is_refusal:
        return Dismissed(what)
    is_fault = error.code >= 500 or error.code == 404  # what stands before a provider that starts says so
    return Unreachable(what) if is_fault else Withheld(what)
