"""GitHub's sign-in of the tests, as a browser and a hub use it."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.support.git_http import GitHttpServer
from tests.support.github_sign_in import CLIENT_ID, GithubSignIn


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[GithubSignIn]:
    with GitHttpServer(tmp_path) as git:
        yield GithubSignIn(git)


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def authorize(forge: GithubSignIn, **more: str) -> dict[str, list[str]]:
    asked = {"client_id": CLIENT_ID, "redirect_uri": "http://hub.example/cb", "state": "s", **more}
    with pytest.raises(urllib.error.HTTPError) as redirect:
        urllib.request.build_opener(_Stays).open(f"{forge.url}/login/oauth/authorize?{urlencode(asked)}")
    redirect.value.close()
    return parse_qs(urlsplit(redirect.value.headers["Location"]).query)


def token(forge: GithubSignIn, **form: str) -> dict[str, Any]:
    body = urlencode({"client_id": CLIENT_ID, **form}).encode()
    request = urllib.request.Request(f"{forge.url}/login/oauth/access_token", body, {"Accept": "application/json"})
    with urllib.request.urlopen(request) as answer:
        said: dict[str, Any] = json.load(answer)
        return said


def test_a_code_is_good_once_and_for_who_asked(forge: GithubSignIn) -> None:
    forge.consenting = "ben"
    challenge = base64.urlsafe_b64encode(hashlib.sha256(b"v").digest()).rstrip(b"=").decode()
    back = authorize(forge, code_challenge=challenge, code_challenge_method="S256")
    assert back["state"] == ["s"]
    said = token(forge, code=back["code"][0], code_verifier="v")
    assert forge.git.login_of(said["access_token"]) == "ben"
    assert token(forge, code=back["code"][0], code_verifier="v") == {"error": "bad_verification_code"}
    other = authorize(forge, code_challenge=challenge)
    assert token(forge, code=other["code"][0], code_verifier="w") == {"error": "bad_verification_code"}
    assert said["access_token"] not in repr(forge.requests)


def test_refreshing_kills_the_old_tokens_at_once(forge: GithubSignIn) -> None:
    forge.ttl_s, forge.client_secret = 28800, "hush"
    first = token(forge, code=authorize(forge)["code"][0], client_secret="hush")
    refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    assert token(forge, **refresh) == {"error": "incorrect_client_credentials"}
    second = token(forge, **refresh, client_secret="hush")
    assert forge.git.login_of(first["access_token"]) is None
    assert forge.git.login_of(second["access_token"]) == "ana"
    assert token(forge, **refresh, client_secret="hush") == {"error": "bad_refresh_token"}


def test_another_app_is_not_known(forge: GithubSignIn) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        token(forge, client_id="other", code="x")
    refused.value.close()
