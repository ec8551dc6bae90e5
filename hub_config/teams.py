"""Which organisations and teams somebody belongs to, as GitHub's API says."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from tornado.httpclient import HTTPClientError

from hub_config.callback import meaning
from hub_config.standing import Standing, Unreachable, Withheld

_NEXT = re.compile(r'<([^>]+)>;[^,]*\brel="next"')
_MOST_PAGES = 50

Fetch = Callable[..., Awaitable[Any]]


class Membership:
    """Asks with one user's own token."""

    def __init__(self, fetch: Fetch, api: str, headers: Mapping[str, str]) -> None:
        """``fetch`` is oauthenticator's ``httpfetch``."""
        self._fetch, self._api, self._headers = fetch, api, dict(headers)

    async def standing(self, login: str, allowed: Iterable[str], admin_teams: Iterable[str]) -> Standing:
        """Return the user's teams in the organisations that are named, and whether they may enter by one.

        ``allowed`` holds organisations and teams (``organization:team``). Raises Dismissed where GitHub does not take
        the token, Unreachable where it does not say.
        """
        allowed, admins = {one.lower() for one in allowed}, {one.lower() for one in admin_teams}
        organizations = {one.partition(":")[0] for one in allowed | admins}
        if not organizations:
            return Standing()
        teams = {team for team in await self._teams() if team.partition(":")[0] in organizations}
        for team in sorted(one for one in allowed | admins if ":" in one and one not in teams):
            # who is in a team below it, is in it; the list of one's teams does not say so
            if await self._is_in_team(team, login):
                teams.add(team)
        may_enter = bool(teams & (allowed | admins))
        unknown: Unreachable | None = None
        for organization in sorted(one for one in allowed if ":" not in one):
            if may_enter:
                break
            try:
                may_enter = await self._is_in_organization(organization, login)
            except Unreachable as error:  # another may still let them in
                unknown = error if unknown is None or isinstance(error, Withheld) else unknown
        if unknown is not None and not may_enter:
            raise unknown
        return Standing(frozenset(teams), may_enter)

    async def _teams(self) -> set[str]:
        """All teams that GitHub lists, with the one above each; none where the app may not see them."""
        url: str | None = f"{self._api}/user/teams?per_page=100"
        found: set[str] = set()
        for _ in range(_MOST_PAGES):
            answer = await self._get(url)
            if answer.code in (403, 404):
                break
            for team in json.loads(answer.body):
                organization = str(team["organization"]["login"]).lower()
                slugs = [team["slug"], *([team["parent"]["slug"]] if team.get("parent") else [])]
                found |= {f"{organization}:{str(slug).lower()}" for slug in slugs}
            following = _NEXT.search(answer.headers.get("Link", ""))
            if following is None:
                break
            url = following[1]
        return found

    async def _is_in_team(self, team: str, login: str) -> bool:
        organization, _, slug = team.partition(":")
        answer = await self._get(
            f"{self._api}/orgs/{organization}/teams/{quote(slug, safe='')}/memberships/{quote(login, safe='')}"
        )
        # somebody who is invited has not come yet
        return bool(answer.code == 200) and json.loads(answer.body).get("state") == "active"

    async def _is_in_organization(self, organization: str, login: str) -> bool:
        answer = await self._get(f"{self._api}/orgs/{organization}/members/{quote(login, safe='')}")
        if answer.code == 403:
            raise Withheld("GitHub does not let the app see the members")
        return bool(answer.code == 204)

    async def _get(self, url: str | None) -> Any:
        """An answer that says something: yes, no or "you may not see that"."""
        try:
            answer = await self._fetch(
                url, "asking for memberships", parse_json=False, raise_error=False, method="GET", headers=self._headers
            )
        except HTTPClientError as error:  # no connection, or no answer in time
            raise Unreachable("no answer") from error
        except OSError as error:
            raise Unreachable("no answer") from error
        if answer.code in (200, 204, 404):
            return answer
        refusal = meaning(HTTPClientError(answer.code, response=answer), "GitHub takes their token no more")
        if answer.code == 403 and not isinstance(refusal, Unreachable):
            return answer
        raise refusal
