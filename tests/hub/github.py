"""GitHub's OAuth endpoints and API as far as a sign-in needs them; refuses whatever GitHub would refuse."""

import asyncio
import base64
import hashlib
import secrets
import threading
from typing import Any
from urllib.parse import urlencode

from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

CLIENT_ID, CLIENT_SECRET = "Iv1.0123456789abcdef", "stand-in-client-secret-7f3a"


class GitHubStandIn:
    """An Enterprise server at ``url`` where ``login`` is signed in; ``requests`` holds what it was sent."""

    def __init__(self) -> None:
        self.login = "octocat"
        self.members: set[str] = set()
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, str] = {}
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

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        routes = [
            ("/login/oauth/authorize", _Authorize, {"github": self}),
            ("/login/oauth/access_token", _Token, {"github": self}),
            ("/api/v3/user", _User, {"github": self}),
            ("/api/v3/orgs/analysts/members/(.+)", _Member, {"github": self}),
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

    def arguments(self) -> dict[str, str]:
        sent = {name: self.get_argument(name) for name in self.request.arguments}
        self.github.requests.append((self.request.path, sent))
        return sent

    def user(self) -> str:
        login = self.github.tokens.get(self.request.headers.get("Authorization", "").split(" ")[-1])
        if login is None:
            raise web.HTTPError(401)
        return login


class _Authorize(_Handler):
    def get(self) -> None:
        sent = self.arguments()
        if sent["client_id"] != CLIENT_ID or not sent["state"] or sent["code_challenge_method"] != "S256":
            raise web.HTTPError(404)
        code = secrets.token_urlsafe(12)
        self.github.codes[code] = {**sent, "login": self.github.login}
        self.redirect(sent["redirect_uri"] + "?" + urlencode({"code": code, "state": sent["state"]}))


class _Token(_Handler):
    def post(self) -> None:
        sent = self.arguments()
        asked = self.github.codes.pop(sent["code"], None)
        digest = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if not secrets.compare_digest(sent["client_secret"], CLIENT_SECRET) or sent["client_id"] != CLIENT_ID:
            self.finish({"error": "incorrect_client_credentials"})
        elif asked is None or asked["code_challenge"] != challenge or asked["redirect_uri"] != sent["redirect_uri"]:
            self.finish({"error": "bad_verification_code"})
        else:
            token = "ghu_" + secrets.token_hex(18)
            self.github.tokens[token] = asked["login"]
            self.finish({"access_token": token, "token_type": "bearer", "scope": asked.get("scope", "")})


class _User(_Handler):
    def get(self) -> None:
        self.finish({"login": self.user(), "id": 583231, "name": "Octo Cat", "email": None})


class _Member(_Handler):
    def get(self, login: str) -> None:
        self.user()
        self.set_status(204 if login in self.github.members else 404)
