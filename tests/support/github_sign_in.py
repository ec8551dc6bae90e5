"""A stand-in for GitHub's sign-in on the Git server of the tests: by the browser, by a code, and with refreshed tokens.

As with a GitHub App whose tokens end: refreshing kills the old token and the old refresh token at once.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tests.support.forge_api import Call, ForgeApi, Refused, Route
from tests.support.git_http import GitHttpServer

CLIENT_ID = "Iv1.0123456789abcdef"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass
class _Device:
    """A sign-in by a code."""

    user_code: str
    ends: float
    interval_s: float
    next: float
    state: str = "authorization_pending"
    login: str | None = None


class GithubSignIn(ForgeApi):
    """The stand-in. ``consenting`` is the user whose browser always says yes; ``ttl_s`` how long tokens last.

    ``clock`` may be a test's own. ``client_secret`` None: any is taken. ``issued`` are all tokens that were ever given,
    those that renew others too, for who looks where they went.
    """

    def __init__(self, git: GitHttpServer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.client_secret: str | None = None
        self.consenting = "ana"
        self.ttl_s: float | None = None
        self.interval_s = 5
        self.expires_in_s = 900
        self.device_enabled = True
        self.devices: dict[str, _Device] = {}
        self.issued: list[str] = []
        self._codes: dict[str, tuple[str, dict[str, str]]] = {}
        self._refresh: dict[str, tuple[str, str]] = {}
        super().__init__(git)

    def routes(self) -> list[Route]:
        return [
            ("GET", re.compile("/login/oauth/authorize"), self._authorize),
            ("POST", re.compile("/login/oauth/access_token"), self._token),
            ("POST", re.compile("/login/device/code"), self._device_code),
        ]

    # ---- what tests say

    def approve(self, user_code: str, login: str) -> None:
        """Let the user enter the code and say yes."""
        one = self._device(user_code)
        one.state, one.login = "", login

    def deny(self, user_code: str) -> None:
        """Let the user say no."""
        self._device(user_code).state = "access_denied"

    def expire(self, user_code: str) -> None:
        """Let the code end."""
        self._device(user_code).ends = self.clock()

    def _device(self, user_code: str) -> _Device:
        return next(one for one in self.devices.values() if one.user_code == user_code)

    # ---- the calls

    def check(self, call: Call) -> None:
        given = call.query.get("client_id") or call["client_id"]
        if given is not None and given != CLIENT_ID:
            raise Refused(404, {"error": "Not Found"})

    def _authorize(self, call: Call) -> Any:
        code = secrets.token_urlsafe(12)
        self._codes[code] = (self.consenting, dict(call.query))
        answer = urlencode({"code": code, "state": call.query.get("state", "")})
        where = call.query["redirect_uri"]
        raise Refused(302, None, {"Location": where + ("&" if "?" in where else "?") + answer})

    def _token(self, call: Call) -> Any:
        if call["grant_type"] == DEVICE_GRANT:
            return self._said(call, self._device_token(call))
        if self.client_secret is not None and call["client_secret"] != self.client_secret:
            return self._said(call, {"error": "incorrect_client_credentials"})
        if call["grant_type"] == "refresh_token":
            login, old = self._refresh.pop(str(call["refresh_token"]), ("", ""))
            if not login:
                return self._said(call, {"error": "bad_refresh_token"})
            self.git.revoke(old)
            return self._said(call, self._issued(login))
        login, asked = self._codes.pop(str(call["code"]), ("", {}))
        if not login or not _proven(asked, str(call["code_verifier"] or "")):
            return self._said(call, {"error": "bad_verification_code"})
        return self._said(call, self._issued(login))

    def _issued(self, login: str) -> dict[str, Any]:
        token = self.git.issue(login, ttl_s=self.ttl_s)
        self.issued.append(token)
        said = {"access_token": token, "token_type": "bearer", "scope": ""}
        if self.ttl_s is None:
            return said
        refresh = f"ghr_{secrets.token_hex(20)}"
        self.issued.append(refresh)
        self._refresh[refresh] = (login, token)
        return {**said, "expires_in": self.ttl_s, "refresh_token": refresh, "refresh_token_expires_in": 15897600}

    def _said(self, call: Call, said: dict[str, Any]) -> Any:
        if "json" in call.headers.get("accept", ""):
            return said
        call.out["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
        return urlencode(said).encode()

    def _device_code(self, call: Call) -> Any:
        if not self.device_enabled:
            words = "Device Flow must be explicitly enabled for this App"
            return self._said(call, {"error": "device_flow_disabled", "error_description": words})
        code, user_code = secrets.token_hex(20), f"{secrets.token_hex(2)}-{secrets.token_hex(2)}".upper()
        now = self.clock()
        self.devices[code] = _Device(user_code, now + self.expires_in_s, self.interval_s, now + self.interval_s)
        said = {"device_code": code, "user_code": user_code, "verification_uri": f"{self.url}/login/device"}
        return self._said(call, {**said, "expires_in": self.expires_in_s, "interval": self.interval_s})

    def _device_token(self, call: Call) -> dict[str, Any]:
        one, now = self.devices.get(str(call["device_code"])), self.clock()
        if one is None:
            return {"error": "incorrect_device_code"}
        if now >= one.ends:
            return {"error": "expired_token"}
        if now < one.next:
            one.interval_s += 5
            one.next = now + one.interval_s
            return {"error": "slow_down", "interval": one.interval_s}
        one.next = now + one.interval_s
        if one.login is None:
            return {"error": one.state}
        self.devices.pop(str(call["device_code"]))
        return self._issued(one.login)


def _proven(asked: dict[str, str], verifier: str) -> bool:
    """Tell whether who has the code is who asked for it (PKCE), where it was asked so."""
    challenge = asked.get("code_challenge")
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return challenge is None or challenge == digest
