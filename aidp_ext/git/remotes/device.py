"""Signing in to GitHub by a code that is entered in a browser: the device flow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

from aidp_ext.core.errors import InvalidRequest, UpstreamInvalid, UpstreamRejected
from aidp_ext.core.http import HttpClient, translated
from aidp_ext.git.models import Token
from aidp_ext.git.names import redact
from aidp_ext.git.remotes.base import web_link

#: What an OAuth app asks for; a GitHub App has its permissions by itself and ignores it.
SCOPE = "repo read:org user:email"
_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_BYTES = 100_000
_ENDINGS: Mapping[str, Literal["denied", "expired"]] = {
    "access_denied": "denied",
    "expired_token": "expired",
    "token_expired": "expired",
    "incorrect_device_code": "expired",
}
_SETTINGS = {
    "device_flow_disabled": "Switch the device flow on in the settings of the app on the forge.",
    "incorrect_client_credentials": "Check the client id that is configured.",
    "unauthorized_client": "Check the client id that is configured.",
    "Not Found": "Check the client id that is configured.",
}


@dataclass(frozen=True)
class DeviceCode:
    """What the user enters, and where."""

    user_code: str
    verification_uri: str
    interval_s: float
    expires_in_s: float


@dataclass(frozen=True)
class DeviceState:
    """How far a sign-in is; with the token when it is done."""

    state: Literal["waiting", "done", "denied", "expired"]
    token: Token | None = None
    refresh_token: str | None = field(default=None, repr=False)
    interval_s: float = 5.0


class DeviceFlow:
    """One sign-in. ``host`` is the forge's host or address; ``client_id`` of an app that has the device flow on."""

    def __init__(
        self, host: str, client_id: str, http: HttpClient, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = (host if "://" in host else f"https://{host}").rstrip("/")
        self._host = self._url.partition("://")[2]
        self._client_id = client_id
        self._http = http
        self._clock = clock
        self._code: str | None = None
        self._interval_s, self._next, self._ends = 5.0, 0.0, 0.0
        self._over: DeviceState | None = None

    async def start(self) -> DeviceCode:
        """Ask for a code. Raises an UpstreamError; it is UpstreamRejected, with a next step, where the app may not."""
        said = await self._ask("/login/device/code", {"client_id": self._client_id, "scope": SCOPE})
        if "error" in said:
            raise self._refused(said)
        link, code, shown = web_link(said.get("verification_uri")), said.get("device_code"), said.get("user_code")
        if link is None or not isinstance(code, str) or not isinstance(shown, str):
            raise UpstreamInvalid(f"{self._host} did not answer with a code.", provider=self._host)
        lasts = _seconds(said.get("expires_in"), 900.0)
        self._code, self._over = code, None
        self._interval_s = _seconds(said.get("interval"), 5.0)
        self._next, self._ends = self._clock() + self._interval_s, self._clock() + lasts
        return DeviceCode(shown, link, self._interval_s, lasts)

    async def poll(self) -> DeviceState:
        """Return how far it is. Sooner than the forge allows, it is not asked: the answer is ``waiting``.

        What ended stays so. Raises InvalidRequest before `start`, and what `start` raises; it may be called again.
        """
        if self._code is None:
            raise InvalidRequest("No sign-in was begun.")
        if self._over is not None:
            return self._over
        now = self._clock()
        if now >= self._ends:
            return self._end(DeviceState("expired"))
        if now < self._next:
            return DeviceState("waiting", interval_s=self._interval_s)
        self._next = now + self._interval_s
        form = {"client_id": self._client_id, "device_code": self._code, "grant_type": _GRANT}
        return self._understood(await self._ask("/login/oauth/access_token", form))

    def _understood(self, said: Mapping[str, Any]) -> DeviceState:
        error = said.get("error")
        if error == "slow_down":
            self._interval_s = max(_seconds(said.get("interval"), 0.0), self._interval_s + 5)
            self._next = self._clock() + self._interval_s
        if error in ("authorization_pending", "slow_down"):
            return DeviceState("waiting", interval_s=self._interval_s)
        if isinstance(error, str) and error in _ENDINGS:
            return self._end(DeviceState(_ENDINGS[error]))
        if error is not None:
            raise self._refused(said)
        value, refresh = said.get("access_token"), said.get("refresh_token")
        if not isinstance(value, str) or not value:
            raise UpstreamInvalid(f"{self._host} did not answer with a token.", provider=self._host)
        lasts = _seconds(said.get("expires_in"), 0.0)
        token = Token(value, expires_at=time.time() + lasts if lasts else None)
        return self._end(DeviceState("done", token, refresh if isinstance(refresh, str) else None))

    def _end(self, state: DeviceState) -> DeviceState:
        self._over = state
        return state

    async def _ask(self, path: str, form: Mapping[str, str]) -> dict[str, Any]:
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        url, body, raw = self._url + path, urlencode(form).encode(), bytearray()
        async with self._http.request(
            "POST", url, server=self._host, body=body, headers=headers, read_timeout_s=30, total_timeout_s=60
        ) as response:
            with translated(self._host, url, answering=True):
                async for block in response.content.iter_any():
                    raw += block
                    if len(raw) > _BYTES:
                        break
        try:
            said = json.loads(raw)
        except ValueError:
            said = None
        if response.status >= 500 or response.status == 429:
            raise UpstreamRejected(
                f"{self._host} refused: status {response.status}.", status=response.status, provider=self._host
            )
        if not isinstance(said, dict):
            raise UpstreamInvalid(f"{self._host} does not answer as GitHub's sign-in does.", provider=self._host)
        return {"error": "Not Found", **said} if response.status == 404 else said

    def _refused(self, said: Mapping[str, Any]) -> UpstreamRejected:
        code = str(said.get("error"))[:100]
        words = redact(str(said.get("error_description") or code.replace("_", " ")))[:300].rstrip(".")
        return UpstreamRejected(
            f"{self._host} does not begin a sign-in: {words}.",
            status=400,
            provider=self._host,
            next_step=_SETTINGS.get(code, "Sign in with a token instead."),
        )


def _seconds(value: Any, default: float) -> float:
    """Return a number of seconds that a server gave, if it is one."""
    given = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 10**9
    return float(value) if given else default
