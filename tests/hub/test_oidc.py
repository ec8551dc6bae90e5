"""Sign-in with a provider of OpenID Connect, end to end against a real one, and what is not believed."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from types import SimpleNamespace
from typing import Any

import jwt
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tornado.httpclient import HTTPClientError
from traitlets.config import Config

from hub_config import claims
from hub_config.oidc import ASKED, ID_TOKEN_S, OidcSignIn, check_metadata, nonce
from hub_config.people import People
from hub_config.providers import Oidc
from hub_config.standing import Dismissed, Lists, SignedOut, TakenBack, Unreachable, Withheld
from tests.hub.browser import Answer, Browser
from tests.hub.process import Hub
from tests.support.processes import free_port, wait_until

CLIENT_ID, CLIENT_SECRET = "aidp-hub", "9c1f0e5a7b3d4826a0f1b2c3d4e5f607"


class Provider:
    """A provider in a process of its own; people are put into it, and their tokens taken back."""

    def __init__(self) -> None:
        self.url = f"http://localhost:{free_port()}"
        command = [sys.executable, "-m", "oidc_provider_mock", "--port", self.url.rpartition(":")[2]]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "AUTHLIB_INSECURE_TRANSPORT": "1", "PYTHONWARNINGS": "ignore"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        def answers() -> bool:
            assert self.process.poll() is None, "the provider ended"
            with suppress(OSError):
                self.send("/.well-known/openid-configuration", "GET")
                return True
            return False

        wait_until(answers, "the provider answers")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)

    def put(self, subject: str, **claims: Any) -> None:
        self.send(f"/users/{subject}", "PUT", claims)

    def revoke(self, subject: str) -> None:
        self.send(f"/users/{subject}/revoke-tokens", "POST")

    def send(self, path: str, method: str, body: Any = None) -> None:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    provider = Provider()
    try:
        provider.wait()
        yield provider
    finally:
        provider.close()


@pytest.fixture(scope="module")
def oidc_hub(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(
        tmp_path_factory.mktemp("oidc") / "state",
        AIDP_SIGN_IN="keycloak",
        OIDC_CLIENT_ID=CLIENT_ID,
        OIDC_CLIENT_SECRET=CLIENT_SECRET,
        OIDC_ISSUER_URL=provider.url,
        AIDP_ALLOWED_GROUPS="/science",
        AIDP_ADMIN_GROUPS="/admins",
        AIDP_ALLOWED_DOMAINS="example.org",
        AIDP_ALLOWED_USERS="listed",
        AIDP_RECHECK_S="1",
    )
    try:
        hub.wait_ready()
        yield hub
    finally:
        hub.close()


def come(hub: Hub, subject: str) -> tuple[Browser, Answer]:
    """A browser in which somebody signs in at the provider, and what the hub then shows."""
    browser = Browser(hub.url)
    form = browser.open("hub/oauth_login?next=%2Fhub%2Fhome")
    assert form.status == 200, form.text
    return browser, browser.open(form.url, form={"sub": subject})


def member(hub: Hub, subject: str, account: str) -> Browser:
    browser, answer = come(hub, subject)
    assert (answer.status, answer.url) == (200, f"{hub.url}hub/home"), answer.text[-3000:]
    browser.token = browser.api_token(account)
    return browser


def me(browser: Browser) -> dict:
    answer = browser.open("hub/api/user")
    return answer.json() if answer.status == 200 else {}


def eventually(what: Callable[[], bool]) -> None:
    """Wait for what the hub does by itself."""
    wait_until(what, "what the hub does by itself")


def test_a_group_lets_in_becomes_a_group_of_the_hub_and_goes_with_it(oidc_hub, provider):
    provider.put("s-1", preferred_username="Ana", name="Ana Lee", groups=["/science", "/other"])
    ana = member(oidc_hub, "s-1", "ana")
    assert (me(ana)["name"], sorted(me(ana)["groups"])) == ("ana", ["/other", "/science"])
    model = ana.open("hub/api/users/ana").json()
    assert model["user_info"] == {"name": "Ana Lee", "display_name": "Ana Lee", "initials": "AL"}
    provider.put("s-1", preferred_username="ana", groups=["/science"])
    eventually(lambda: me(ana).get("groups") == ["/science"])
    provider.put("s-1", preferred_username="ana", groups=["/other"])
    eventually(lambda: ana.open("hub/api/user").status == 403)
    assert come(oidc_hub, "s-1")[1].status == 403


def test_a_group_administers_the_hub(oidc_hub, provider):
    provider.put("s-2", preferred_username="rita", groups=["/admins", "/science"])
    rita = member(oidc_hub, "s-2", "rita")
    assert rita.open("hub/api/users").status == 200
    provider.put("s-2", preferred_username="rita", groups=["/science"])
    eventually(lambda: rita.open("hub/api/users").status == 403)


def test_a_name_stays_with_the_id_that_had_it_first(oidc_hub, provider):
    provider.put("s-3", preferred_username="listed")
    assert me(member(oidc_hub, "s-3", "listed"))["name"] == "listed"
    provider.put("s-3", preferred_username="renamed")
    assert me(member(oidc_hub, "s-3", "listed"))["name"] == "listed"
    provider.put("s-4", preferred_username="listed")
    assert come(oidc_hub, "s-4")[1].status == 403


def test_a_domain_lets_in_only_whose_address_the_provider_has_verified(oidc_hub, provider):
    provider.put("s-5", preferred_username="vera", email="vera@example.org", email_verified=True)
    assert me(member(oidc_hub, "s-5", "vera"))["name"] == "vera"
    for subject, said in {
        "s-6": {"email": "mal@example.org"},
        "s-7": {"email": "mal@example.org", "email_verified": False},
        "s-8": {"email": "mal@example.org@evil.example", "email_verified": True},
        "s-9": {"email": "mal@notexample.org", "email_verified": True},
    }.items():
        provider.put(subject, preferred_username=f"mal{subject}", **said)
        assert come(oidc_hub, subject)[1].status == 403, subject


def test_tokens_that_were_taken_back_end_everything_here(oidc_hub, provider):
    provider.put("s-10", preferred_username="leo", groups=["/science"])
    leo = member(oidc_hub, "s-10", "leo")
    provider.revoke("s-10")
    eventually(lambda: leo.open("hub/api/user").status == 403)


def test_a_server_whose_user_is_signed_out_may_say_that_it_is_used_and_nothing_else(oidc_hub, provider):
    provider.put("s-13", preferred_username="zoe", groups=["/science"])
    zoe = member(oidc_hub, "s-13", "zoe")
    zoe.start_server("zoe")
    own = Browser(oidc_hub.url, token=server_token(oidc_hub, "zoe"))
    activity = "hub/api/users/zoe/activity"
    when = (datetime.now(UTC) + timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M")  # as far ahead as the hub takes it
    used = {"last_activity": f"{when}:00Z"}
    assert me(own)["name"] == "zoe"
    provider.revoke("s-13")
    eventually(lambda: own.open("hub/api/user").status == 403)
    for _ in range(2):
        assert own.open(activity, body={"servers": {"": used}}).status == 200
        assert own.open("hub/api/user").status == 403
    assert own.open("hub/api/users/ana/activity", body=used).status in (403, 404)
    assert zoe.open("hub/api/users/zoe/server", method="DELETE").status == 403
    again = member(oidc_hub, "s-13", "zoe")
    model = again.open("hub/api/users/zoe").json()["servers"][""]
    assert model["last_activity"].startswith(when), "it ran on, and its report was taken"
    assert again.open("hub/api/users/zoe/server", method="DELETE").status in (202, 204)


def server_token(hub: Hub, account: str) -> str:
    """The token that a user's server has for itself."""
    for process in hub.processes()[1:]:
        with suppress(psutil.Error):
            env = process.environ()
            if env.get("JUPYTERHUB_USER") == account:
                return env["JUPYTERHUB_API_TOKEN"]
    raise AssertionError("no server of theirs runs")


def test_an_oversized_or_missing_name_is_refused_in_words(oidc_hub, provider):
    provider.put("s-11", preferred_username="x" * 5000, groups=["/science"])
    provider.put("s-12", groups=["/science"])
    for subject in ("s-11", "s-12"):
        answer = come(oidc_hub, subject)[1]
        assert answer.status == 403
        assert "preferred_username" in answer.text
    assert "x" * 300 not in (oidc_hub.state_dir / "service" / "audit.jsonl").read_text()


def test_the_answer_of_another_provider_and_a_refusal_open_nothing(oidc_hub, provider):
    browser = Browser(oidc_hub.url)
    form = browser.open("hub/oauth_login?next=%2Fhub%2Fhome")
    state = re.search(r"[?&]state=([^&]+)", unescape(form.url))
    assert state is not None
    wrong = f"hub/oauth_callback?code=x&state={state[1]}&iss=https%3A%2F%2Fevil.example"
    assert browser.open(wrong).status == 400
    assert browser.open(f"hub/oauth_callback?error=access_denied&state={state[1]}").status == 400


def test_what_is_asked_of_the_provider_has_pkce_and_a_nonce(oidc_hub, provider):
    url = Browser(oidc_hub.url).open("hub/oauth_login").url
    assert url.startswith(f"{provider.url}/oauth2/authorize?")
    for word in ("code_challenge_method=S256", "nonce=", "scope=openid+profile+email", f"client_id={CLIENT_ID}"):
        assert word in url
    assert CLIENT_SECRET not in url


# what is not believed, without a network

OIDC = Oidc("keycloak", CLIENT_ID, CLIENT_SECRET, "https://id.example.org/realms/r")
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def authenticator(tmp_path) -> OidcSignIn:
    made = OidcSignIn(
        config=Config(),
        provider=OIDC,
        people=People(tmp_path / "people.sqlite", "p"),
        lists=Lists(),
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
    )
    made._keys = {
        "k1": jwt.PyJWK.from_dict(
            {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key())), "kid": "k1", "alg": "RS256"}
        )
    }
    made._keys_at = time.monotonic()
    return made


def token(key: Any = KEY, algorithm: str = "RS256", kid: str = "k1", **other: Any) -> dict[str, Any]:
    now = int(time.time())
    said = {"iss": OIDC.issuer, "aud": CLIENT_ID, "sub": "s", "iat": now, "exp": now + 300, **other}
    said = {name: value for name, value in said.items() if value is not None}
    return {"id_token": jwt.encode(said, key, algorithm=algorithm, headers={"kid": kid})}


async def test_an_id_token_of_the_provider_for_this_hub_is_believed(authenticator):
    assert (await authenticator._id_claims(token(extra="x")))["extra"] == "x"
    assert (await authenticator._id_claims(token(aud=[CLIENT_ID, "other"], azp=CLIENT_ID)))["sub"] == "s"


@pytest.mark.parametrize(
    "other",
    [
        {"iss": "https://evil.example.org"},
        {"iss": OIDC.issuer + "/"},
        {"iss": None},
        {"aud": "another-app"},
        {"aud": [CLIENT_ID, "other"], "azp": "other"},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"iat": 2**33},
        {"sub": None},
        {"kid": "k2"},
        {"key": rsa.generate_private_key(public_exponent=65537, key_size=2048)},
        {"key": CLIENT_SECRET, "algorithm": "HS256"},
        {"key": None, "algorithm": "none"},
    ],
    ids=lambda other: "-".join(f"{name}={str(value)[:12]}" for name, value in other.items()),
)
async def test_an_id_token_that_is_not_to_be_believed(authenticator, other):
    with pytest.raises(Dismissed):
        await authenticator._id_claims(token(**other))
    with pytest.raises(Dismissed):
        await authenticator._id_claims({})


class Endpoints:
    """A provider's token and userinfo endpoints, as this hub asks them."""

    def __init__(self, authenticator: OidcSignIn) -> None:
        self.says: dict[str, Any] = {"sub": "s", "preferred_username": "ana"}
        self.renewal: dict[str, Any] = {}
        self.id_claims: dict[str, Any] | None = None
        self.good = {"a0"}
        self.asked: list[str] = []
        self.refresh_error: str | None = None
        self.refused_with = 401
        authenticator._metadata, authenticator._found_at = {"issuer": OIDC.issuer}, time.monotonic()
        authenticator.token_url, authenticator.userdata_url = "https://id/t", "https://id/u"
        authenticator.httpfetch = self.fetch

    async def fetch(self, url: str, label: str = "", **kwargs: Any) -> Any:
        self.asked.append(url.rpartition("/")[2])
        if url == "https://id/u":
            if kwargs["headers"]["Authorization"].split()[-1] not in self.good:
                raise HTTPClientError(self.refused_with)
            return dict(self.says)
        if self.refresh_error:
            body = json.dumps({"error": self.refresh_error}).encode()
            raise HTTPClientError(400, response=SimpleNamespace(body=body, headers={}))
        new = f"a{len(self.asked)}"
        self.good = {new}
        given = token(**self.id_claims) if self.id_claims is not None else {}
        return {"access_token": new, "token_type": "Bearer", "refresh_token": f"r-{new}", "expires_in": 3600, **given}


class Account:
    """A user of the hub's, as far as an authenticator asks one."""

    def __init__(self, authenticator: OidcSignIn, left_s: float, *, is_lasting: bool = True, **said: Any) -> None:
        self.name = "ana"
        got = {
            "access_token": "a0",
            "token_type": "Bearer",
            "expires_in": left_s,
            **({"refresh_token": "r0"} if is_lasting else {}),
        }
        info = {"sub": "s", "preferred_username": "ana", "iat": time.time(), ASKED: ["preferred_username"], **said}
        self.state = authenticator.build_auth_state_dict(got, info)

    async def get_auth_state(self) -> dict[str, Any]:
        return self.state

    async def save_auth_state(self, state: dict[str, Any]) -> None:
        self.state = state


async def test_a_token_is_renewed_when_it_is_about_to_end_and_not_before(authenticator):
    endpoints = Endpoints(authenticator)
    ana = Account(authenticator, 600)
    for _ in range(3):
        await authenticator.look(ana)
    assert endpoints.asked == ["u"] * 3
    ana = Account(authenticator, 30)
    await authenticator.look(ana)
    await authenticator.look(ana)
    assert endpoints.asked[3:] == ["t", "u", "u"]
    assert ana.state["refresh_token"] == "r-a4"
    assert ana.state["expires_at"] > time.time() + 3000


@pytest.mark.parametrize("error", ["invalid_grant", "interaction_required"])
async def test_a_token_that_is_not_renewed_does_while_the_provider_takes_it(authenticator, error):
    endpoints = Endpoints(authenticator)
    endpoints.refresh_error = error
    await authenticator.look(Account(authenticator, 30))
    kind = TakenBack if error == "invalid_grant" else Withheld
    with pytest.raises(kind):
        await authenticator.look(Account(authenticator, -1))
    endpoints.good.clear()
    for left in (30, 600):
        with pytest.raises(TakenBack if left == 30 else kind):
            await authenticator.look(Account(authenticator, left))
    with pytest.raises(TakenBack):
        await authenticator.look(Account(authenticator, 600, is_lasting=False))
    with pytest.raises(SignedOut):
        await authenticator.look(Account(authenticator, -1, is_lasting=False))


@pytest.mark.parametrize("code", [400, 401])
async def test_a_token_that_the_provider_takes_no_more_is_renewed_before_its_end(authenticator, code):
    endpoints = Endpoints(authenticator)
    endpoints.refused_with = code
    endpoints.good.clear()
    await authenticator.look(Account(authenticator, 600))
    assert endpoints.asked == ["u", "t", "u"]


async def test_what_is_renewed_while_somebody_signs_in_or_is_shown_out_is_not_kept(authenticator):
    endpoints = Endpoints(authenticator)
    ana = Account(authenticator, 30)
    fetch = endpoints.fetch

    async def meanwhile(*args: Any, **kwargs: Any) -> Any:
        ana.state = {"aidp_dismissed": "left"}
        return await fetch(*args, **kwargs)

    authenticator.httpfetch = meanwhile
    await authenticator.look(ana)
    assert ana.state == {"aidp_dismissed": "left"}


async def test_groups_that_an_id_token_alone_says_count_for_hours_only_and_a_new_one_replaces_them(authenticator):
    endpoints = Endpoints(authenticator)
    groups = {"groups": ["/science"]}
    fresh = Account(authenticator, 600, **groups)
    assert (await authenticator.look(fresh))[1].groups == {"/science"}
    old = Account(authenticator, 600, iat=time.time() - ID_TOKEN_S - 1, **groups)
    with pytest.raises(SignedOut) as caught:
        await authenticator.look(old)
    assert type(caught.value) is SignedOut
    endpoints.says["groups"] = ["/science"]
    endpoints.says["iat"] = time.time()
    assert (await authenticator.look(old))[1].groups == {"/science"}, "said again at the userinfo endpoint"
    del endpoints.says["groups"]
    with pytest.raises(SignedOut):
        await authenticator.look(old)
    await authenticator.look(Account(authenticator, 600, iat=1))  # nothing rests on it
    endpoints.id_claims = {"groups": ["/other"]}
    ending = Account(authenticator, 30, **groups)
    assert (await authenticator.look(ending))[1].groups == {"/other"}
    assert (await authenticator.look(ending))[1].groups == {"/other"}, "and so until the next"


def test_a_discovery_document_of_somebody_else_or_without_https_is_not_followed():
    good = {
        "issuer": OIDC.issuer,
        "authorization_endpoint": "https://id.example.org/a",
        "token_endpoint": "https://id.example.org/t",
        "jwks_uri": "https://id.example.org/k",
    }
    check_metadata(good, OIDC.issuer)
    for wrong in (
        {"issuer": "https://evil.example.org"},
        {"token_endpoint": "http://id.example.org/t"},
        {"jwks_uri": None},
        {"userinfo_endpoint": "http://id.example.org/u"},
    ):
        with pytest.raises(Unreachable):
            check_metadata({**good, **wrong}, OIDC.issuer)


def test_a_nonce_belongs_to_one_sign_in():
    assert nonce("a") != nonce("b")
    assert "a" * 10 not in nonce("a" * 10)


def test_what_each_provider_is_trusted_with():
    google = replace(OIDC, kind="google", username_claim="email", domains=frozenset({"example.org"}))
    verified = {"sub": "1", "email": "Ana@example.org", "email_verified": True}
    assert claims.name(verified, google) == "ana@example.org"
    assert not claims.standing(verified, google).may_enter, "an address is no Workspace"
    assert claims.standing({**verified, "hd": "example.org"}, google).may_enter
    with pytest.raises(Dismissed, match="verified"):
        claims.name({**verified, "email_verified": False}, google)
    entra = replace(OIDC, kind="entra")
    assert claims.subject({"sub": "pairwise", "oid": "the-person"}, entra) == "the-person"
    assert claims.domain(verified, entra) is None
    kelvin = {"email": "a@boo\u212as.example", "email_verified": True, "preferred_username": "\u212aATE"}
    assert claims.domain(kelvin, OIDC) != "books.example"
    assert claims.name(kelvin, OIDC) == "\u212aate"
    cilogon = replace(OIDC, kind="cilogon", username_claim="eppn", institutions=frozenset({"https://idp.uni.example"}))
    cilogon = replace(cilogon, domains=frozenset({"uni.example"}))
    theirs = {"sub": "http://cilogon.org/1", "eppn": "ana@uni.example", "idp": "https://idp.uni.example"}
    assert claims.standing(theirs, cilogon).may_enter
    with pytest.raises(Dismissed, match="institution"):
        claims.standing({**theirs, "idp": "https://github.example"}, cilogon)


def test_groups_may_lie_below_other_claims_and_nothing_else_is_a_group():
    nested = replace(OIDC, groups_claim="realm_access.roles")
    assert claims.standing({"realm_access": {"roles": ["a", 7, "b\n", "", "c,d"]}}, nested).groups == {"a"}
    assert claims.standing({"realm_access": "a"}, nested).groups == frozenset()
    assert claims.standing({"groups": "one"}, OIDC).groups == {"one"}
    dotted = replace(OIDC, groups_claim="https://example.org/groups")
    assert claims.standing({"https://example.org/groups": ["g"]}, dotted).groups == {"g"}
