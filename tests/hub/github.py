"""GitHub's OAuth endpoints and API as far as a sign-in needs them; refuses whatever GitHub would refuse."""

import asyncio
import base64
import hashlib
import json
import secrets
import threading
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

WHO = "X-Signed-In-As"
CLIENT_ID, CLIENT_SECRET = "Iv1.0123456789abcdef", "stand-in-client-secret-7f3a"


class GitHubStandIn:
    """An Enterprise server at ``url`` where ``login`` is signed in; ``requests`` holds what it was sent."""

    def __init__(self) -> None:
        self.login = "octocat"
        self.members: set[str] = set()  # of the organisation "analysts"
        self.teams: dict[str, set[str]] = {}  # "organisation:team" → its members
        self.parents: dict[str, str] = {}  # a team → the one above it, both with their organisation
        self.invited: set[tuple[str, str]] = set()  # (team, login): asked to join, and not there yet
        self.ids: dict[str, int] = {}
        self.names: dict[str, str] = {}
        self.suspended: set[str] = set()
        self.limited = False  # everybody has asked too often
        self.on_code: Callable[[str], object] | None = None  # is told where a browser would be sent back to, and is not
        self.asked: list[str] = []  # the paths of the API that were asked for
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, str] = {}
        self.refresh_tokens: dict[str, tuple[str, str]] = {}  # to whom it belongs, and the token that it renews
        self.lasts_s: int | None = None  # a GitHub App's tokens end; None: an OAuth app's do not
        self.renewals = 0
        self.is_down = False
        self.url = ""
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> "GitHubStandIn":
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def issue(self, login: str, scope: str = "") -> dict[str, Any]:
        """A new token, as GitHub's answer tells of it."""
        token = "ghu_" + secrets.token_hex(18)
        self.tokens[token] = login
        said: dict[str, Any] = {"access_token": token, "token_type": "bearer", "scope": scope}
        if self.lasts_s is not None:
            refresh = "ghr_" + secrets.token_hex(38)
            self.refresh_tokens[refresh] = (login, token)
            said |= {"expires_in": self.lasts_s, "refresh_token": refresh, "refresh_token_expires_in": 15897600}
        return said

    def renew(self, refresh_token: str) -> dict[str, Any]:
        """A new pair; the one before is dead from now on."""
        login, token = self.refresh_tokens.pop(refresh_token, (None, ""))
        if login is None:
            return {"error": "bad_refresh_token", "error_description": "The refresh token is incorrect or expired."}
        self.renewals += 1
        self.tokens.pop(token, None)
        return self.issue(login)

    def tokens_of(self, login: str) -> list[str]:
        """Those that GitHub takes now."""
        return [token for token, owner in self.tokens.items() if owner == login]

    def id_of(self, login: str) -> int:
        """The number of an account, which stays when it is renamed."""
        return self.ids.setdefault(login, 1000 + zlib.crc32(login.encode()) % 10**6)

    def rename(self, login: str, new: str) -> None:
        """An account's login becomes another one; the one before is anybody's to take."""
        self.ids[new] = self.id_of(login)
        del self.ids[login]
        self.names[new] = self.names.pop(login, "Octo Cat")
        self.tokens = {token: new if owner == login else owner for token, owner in self.tokens.items()}
        self.refresh_tokens = {
            refresh: (new if owner == login else owner, token)
            for refresh, (owner, token) in self.refresh_tokens.items()
        }
        for members in (self.members, *self.teams.values()):
            if login in members:
                members.remove(login)
                members.add(new)

    def take(self, login: str) -> None:
        """Somebody new takes a login that was given up."""
        self.ids[login] = max([*self.ids.values(), 2 * 10**6]) + 1

    def revoke(self, login: str) -> None:
        """Take everything back that a user gave."""
        for token in self.tokens_of(login):
            del self.tokens[token]
        for refresh, (owner, _) in list(self.refresh_tokens.items()):
            if owner == login:
                del self.refresh_tokens[refresh]

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        routes = [
            ("/login/oauth/authorize", _Authorize, {"github": self}),
            ("/login/oauth/access_token", _Token, {"github": self}),
            ("/api/v3/user", _User, {"github": self}),
            ("/api/v3/user/teams", _Teams, {"github": self}),
            ("/api/v3/orgs/analysts/members/([^/]+)", _Member, {"github": self}),
            ("/api/v3/orgs/([^/]+)/teams/([^/]+)/memberships/([^/]+)", _TeamMember, {"github": self}),
        ]
        server = HTTPServer(web.Application(routes, log_function=lambda _: None))
        sockets = bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        self._started.set()
        await self._stop.wait()
        server.stop()
        await server.close_all_connections()


class _Handler(web.RequestHandler):
    def initialize(self, github: GitHubStandIn) -> None:
        self.github = github

    def prepare(self) -> None:
        if self.github.is_down:
            raise web.HTTPError(502)

    def arguments(self) -> dict[str, str]:
        sent = {name: self.get_argument(name) for name in self.request.arguments}
        self.github.requests.append((self.request.path, sent))
        return sent

    def user(self) -> str:
        login = self.github.tokens.get(self.request.headers.get("Authorization", "").split(" ")[-1])
        self.github.asked.append(self.request.path)
        if login is None:
            raise web.HTTPError(401)
        if self.github.limited:
            self.set_header("X-RateLimit-Remaining", "0")
            self.refuse("API rate limit exceeded")
        if login in self.github.suspended:
            self.refuse("Sorry. Your account was suspended")
        return login

    def refuse(self, message: str) -> None:
        self.set_status(403)
        self.finish({"message": message})
        raise web.Finish


class _Authorize(_Handler):
    def get(self) -> None:
        sent = self.arguments()
        if sent["client_id"] != CLIENT_ID or not sent["state"] or sent["code_challenge_method"] != "S256":
            raise web.HTTPError(404)
        code = secrets.token_urlsafe(12)
        login = self.request.headers.get(WHO, self.github.login)  # of many at once each says who they are
        self.github.codes[code] = {**sent, "login": login}
        back = sent["redirect_uri"] + "?" + urlencode({"code": code, "state": sent["state"]})
        if self.github.on_code is not None:
            self.github.on_code(back)
            self.finish("the browser stays here")
        else:
            self.redirect(back)


class _Token(_Handler):
    def post(self) -> None:
        sent = self.arguments()
        if sent.get("grant_type") == "refresh_token":
            self.renew(sent)
            return
        asked = self.github.codes.pop(sent["code"], None)
        digest = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if not secrets.compare_digest(sent["client_secret"], CLIENT_SECRET) or sent["client_id"] != CLIENT_ID:
            self.finish({"error": "incorrect_client_credentials"})
        elif asked is None or asked["code_challenge"] != challenge or asked["redirect_uri"] != sent["redirect_uri"]:
            self.finish({"error": "bad_verification_code"})
        else:
            self.finish(self.github.issue(asked["login"], asked.get("scope", "")))

    def renew(self, sent: dict[str, str]) -> None:
        if not secrets.compare_digest(sent["client_secret"], CLIENT_SECRET) or sent["client_id"] != CLIENT_ID:
            self.finish({"error": "incorrect_client_credentials", "error_description": "They are incorrect."})
        else:
            self.finish(self.github.renew(sent["refresh_token"]))


class _User(_Handler):
    def get(self) -> None:
        login = self.user()
        id = self.github.id_of(login)
        picture = f"https://avatars.example.org/u/{id}?v=4"
        name = self.github.names.get(login, "Octo Cat")
        self.finish({"login": login, "id": id, "name": name, "email": None, "avatar_url": picture})


class _Teams(_Handler):
    """One team on each page, as if there were hundreds."""

    def get(self) -> None:
        login, page = self.user(), int(self.get_argument("page", "1"))
        mine = sorted(team for team, members in self.github.teams.items() if login in members)
        if page < len(mine):
            self.set_header("Link", f'<{self.github.url}/api/v3/user/teams?per_page=100&page={page + 1}>; rel="next"')
        self.finish(json.dumps([self.told(team) for team in mine[page - 1 : page]]))

    def told(self, team: str) -> dict[str, Any]:
        organization, _, slug = team.partition(":")
        parent = self.github.parents.get(team)
        above = {"slug": parent.partition(":")[2]} if parent else None
        return {"slug": slug, "organization": {"login": organization}, "parent": above}


class _TeamMember(_Handler):
    def get(self, organization: str, team: str, login: str) -> None:
        self.user()
        below = {f"{organization}:{team}"}
        while more := {one for one, parent in self.github.parents.items() if parent in below} - below:
            below |= more
        if any(login in self.github.teams.get(one, ()) for one in below):
            self.finish({"state": "active"})
        elif (f"{organization}:{team}", login) in self.github.invited:
            self.finish({"state": "pending"})
        else:
            self.set_status(404)


class _Member(_Handler):
    def get(self, login: str) -> None:
        self.user()
        self.set_status(204 if login in self.github.members else 404)
