"""The hub's users and their servers: its API lets the hub's service look at them, and stop them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from msgspec import Struct, field

from aidp_ext.core.errors import AidpError, Conflict, NotFound, Unavailable
from aidp_ext.core.http import HttpClient

Shown = Literal["all", "running"]

#: The most users that the hub's API gives at a time, unless its admin has changed that.
LARGEST_PAGE = 200
_TIMEOUT_S = 20.0
#: A server that holds a container with a busy disk takes long to stop; the hub answers by itself after 10 seconds.
_STOP_TIMEOUT_S = 60.0
#: How long a count of all servers is good for: it costs the hub a request for every 200 users who have one.
_COUNT_FOR_S = 30.0
_MOST_PAGES = 100
#: A hub's profiles are few; a label's values must be, whatever somebody calls them.
_MOST_PROFILES = 20
_PAGINATED = "application/jupyterhub-pagination+json"
_NEXT_STEP = "Look whether the hub runs, and into its log."


class Server(Struct, frozen=True):
    """A server of a user's that runs, starts or stops."""

    name: str = ""
    started: str | None = None
    last_activity: str | None = None
    pending: str | None = None  # "spawn" or "stop"
    ready: bool = False
    user_options: Mapping[str, Any] | None = None

    @property
    def profile(self) -> str:
        """The profile that was chosen for it, empty where none was."""
        said = (self.user_options or {}).get("profile")
        return said if isinstance(said, str) else ""

    @property
    def state(self) -> str:
        """``starting``, ``stopping``, ``running``, or ``unknown``."""
        pending = {"spawn": "starting", "stop": "stopping"}.get(self.pending or "")
        return pending or ("running" if self.ready else "unknown")


class Person(Struct, frozen=True):
    """A user, with their servers that are not stopped."""

    name: str
    servers: Mapping[str, Server] = {}


class _Pagination(Struct, frozen=True):
    total: int


class Page(Struct, frozen=True):
    """Some users out of ``total``."""

    items: tuple[Person, ...]
    pagination: _Pagination = field(name="_pagination")

    @property
    def total(self) -> int:
        """How many there are on all pages."""
        return self.pagination.total


class Roster:
    """Asks the hub at ``api_url``. What it may there is the role ``aidp-admin-page`` in ``hub_config/roles.py``."""

    def __init__(self, api_url: str, api_token: str) -> None:
        self._url = api_url.rstrip("/") + "/users"
        self._headers = {"Authorization": f"Bearer {api_token}", "Accept": _PAGINATED}
        self._http = HttpClient()
        self._counted: tuple[float, dict[tuple[str, str], int]] | None = None

    async def close(self) -> None:
        """Close the connections to the hub."""
        await self._http.close()

    async def page(self, shown: Shown = "all", name: str = "", offset: int = 0, limit: int = LARGEST_PAGE) -> Page:
        """Return users by name, those whose name holds ``name``; ``running`` are those who have a server.

        Raises Unavailable.
        """
        asked = {"sort": "name", "offset": offset, "limit": limit, "name_filter": name}
        if shown == "running":
            asked["state"] = "active"
        status, data = await self._ask("GET", f"{self._url}?{urlencode(asked)}", _TIMEOUT_S)
        if status != HTTPStatus.OK:
            raise Unavailable(f"The hub does not list its users ({status}).", next_step=_NEXT_STEP)
        try:
            return msgspec.json.decode(data, type=Page)
        except msgspec.DecodeError as error:
            raise Unavailable("The hub's list of users cannot be read.", next_step=_NEXT_STEP) from error

    async def count(self) -> dict[tuple[str, str], int]:
        """Return how many servers there are, by profile and state, as they were half a minute ago at the most.

        All but the 20 most used profiles are one, ``other``. Raises Unavailable.
        """
        now = time.monotonic()
        if self._counted is not None and now - self._counted[0] < _COUNT_FOR_S:
            return self._counted[1]
        found: Counter[tuple[str, str]] = Counter()
        for number in range(_MOST_PAGES):
            page = await self.page("running", offset=number * LARGEST_PAGE)
            found.update((one.profile, one.state) for person in page.items for one in person.servers.values())
            if (number + 1) * LARGEST_PAGE >= page.total:
                break
        self._counted = (now, _bounded(found))
        return self._counted[1]

    async def running(self, user: str) -> set[str] | None:
        """Return the names of a user's servers that run, start or stop; None where the hub does not say."""
        try:
            status, data = await self._ask("GET", f"{self._url}/{quote(user, safe='')}", _TIMEOUT_S)
            if status == HTTPStatus.NOT_FOUND:  # they were deleted, and their servers with them
                return set()
            return set(msgspec.json.decode(data, type=Person).servers) if status == HTTPStatus.OK else None
        except (Unavailable, msgspec.DecodeError):
            return None

    async def stop(self, user: str, server: str) -> bool:
        """Stop a server; return True where it has ended, False where that goes on.

        Raises NotFound where there is no such user or server, Conflict where it does not run or already stops, and
        Unavailable.
        """
        which = f"servers/{quote(server, safe='')}" if server else "server"
        url = f"{self._url}/{quote(user, safe='')}/{which}"
        status, _ = await self._ask("DELETE", url, _STOP_TIMEOUT_S)
        self._counted = None
        match status:
            case HTTPStatus.NO_CONTENT | HTTPStatus.ACCEPTED:
                return status == HTTPStatus.NO_CONTENT
            case HTTPStatus.NOT_FOUND:
                raise NotFound("There is no such user or server.")
            case HTTPStatus.BAD_REQUEST:
                raise Conflict("This server does not run, or it is just being started or stopped.")
            case _:
                raise Unavailable(f"The hub did not stop the server ({status}).", next_step=_NEXT_STEP)

    async def _ask(self, method: str, url: str, timeout_s: float) -> tuple[int, bytes]:
        request = self._http.request(
            method, url, server="the hub", headers=self._headers, read_timeout_s=timeout_s, direct=True
        )
        try:
            async with request as response:
                return response.status, await response.read()
        except (AidpError, aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable("The hub does not answer.", next_step=_NEXT_STEP) from error


def _bounded(found: Counter[tuple[str, str]]) -> dict[tuple[str, str], int]:
    by_profile: Counter[str] = Counter()
    for (profile, _), number in found.items():
        by_profile[profile] += number
    kept = {profile for profile, _ in by_profile.most_common(_MOST_PROFILES)}
    bounded: Counter[tuple[str, str]] = Counter()
    for (profile, state), number in found.items():
        bounded[profile if profile in kept else "other", state] += number
    return dict(bounded)
