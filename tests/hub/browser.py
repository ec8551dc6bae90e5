"""A browser without a screen: cookies, redirects and XSRF tokens over the standard library."""

import json
import urllib.request
from dataclasses import dataclass
from http.client import HTTPMessage
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode, urljoin


@dataclass(frozen=True)
class Answer:
    status: int
    url: str
    headers: HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class _StatusIsNoError(urllib.request.HTTPErrorProcessor):
    """Follow redirects, and hand every other status to the caller."""

    def http_response(self, request, response):
        return super().http_response(request, response) if 300 <= response.status < 400 else response


class Browser:
    def __init__(self, base: str, token: str | None = None) -> None:
        self.base, self.token, self.jar = base, token, CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.jar), _StatusIsNoError
        )

    def cookie(self, name: str, path: str) -> str:
        return next((c.value or "" for c in self.jar if c.name == name and c.path == path), "")

    def open(self, path: str, **request: Any) -> Answer:
        """Send what `stream` takes, and read the answer."""
        with self.stream(path, **request) as response:
            return Answer(response.status, response.url, response.headers, response.read())

    def stream(
        self,
        path: str,
        *,
        form: dict | None = None,
        body: Any = None,
        method: str | None = None,
        more: dict[str, str] | None = None,
    ):
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        data = None
        if form is not None:
            data = urlencode(form).encode()
        elif body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
            headers["X-XSRFToken"] = self.cookie("_xsrf", "/hub/")
        headers |= more or {}
        url = urljoin(self.base, path)
        return self._opener.open(urllib.request.Request(url, data, headers, method=method), timeout=60)

    def sign_in(self, username: str, password: str) -> Answer:
        """Fill in the hub's form; the answer is the page that it leads to."""
        self.open("hub/login")
        form = {"username": username, "password": password, "_xsrf": self.cookie("_xsrf", "/hub/")}
        return self.open("hub/login?next=%2Fhub%2Fhome", form=form)

    def api_token(self, username: str) -> str:
        """A token of the user's own, made the way that the hub's token page makes one."""
        self.open("hub/home")
        answer = self.open(f"hub/api/users/{username}/tokens", body={"note": "test"})
        assert answer.status == 201, answer.text
        return answer.json()["token"]

    def start_server(self, username: str) -> None:
        """Start the user's server and follow the hub's own progress report until it is up."""
        token, self.token = self.token, self.token or self.api_token(username)
        answer = self.open(f"hub/api/users/{username}/server", method="POST")
        assert answer.status in (201, 202), answer.text
        with self.stream(f"hub/api/users/{username}/server/progress") as events:
            for line in events:
                event = json.loads(line[6:]) if line.startswith(b"data: ") else {}
                assert not event.get("failed"), event
                if event.get("ready"):
                    break
        self.token = token
