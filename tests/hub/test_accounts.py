"""Whose an account is, what somebody may, and what a provider's answer means: each alone, without a hub."""

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub import orm
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool
from tornado.httpclient import HTTPClientError
from tornado.httputil import HTTPHeaders

from aidp_ext.core.audit import AuditLog, verify
from hub_config import forge
from hub_config.audited import HubRecord, plain
from hub_config.callback import meaning
from hub_config.forge import GitHubSignIn
from hub_config.people import People, account_of
from hub_config.settings import SettingsError
from hub_config.standing import Dismissed, Lists, SignedOut, Standing, Unreachable, face
from tests.hub.github import CLIENT_ID, CLIENT_SECRET, GitHubStandIn


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path / "people.sqlite", "github github.com")


# accounts


def test_a_person_keeps_the_account_and_collects_names(people):
    assert people.keep("1", "Ada").account == "ada"
    person = people.keep("1", "countess")
    assert (person.account, person.names) == ("ada", {"ada", "countess"})
    assert people.accounts({"countess"}) == people.accounts({"ada"}) == {"ada"}


def test_to_look_somebody_up_gives_them_nothing(people):
    assert people.find("2", "eve").account == "eve"
    assert people.find("3", "eve").account == "eve"
    assert not people.has_account("eve")
    assert people.accounts({"eve"}) == set()


def test_whoever_takes_a_name_gets_neither_the_account_nor_the_name(people):
    people.keep("1", "ada")
    impostor = people.keep("7", "ada")
    assert (impostor.account, impostor.names) == ("ada-7", frozenset())
    people.keep("8", "ada-9")
    assert people.keep("9", "ada").account == "ada-9-2", "an account of that very name was there"
    people.keep("1", "countess")
    assert people.keep("10", "countess").account == "countess-10", "nor the account of a name that became somebody's"


def test_providers_count_their_ids_apart_and_share_no_account(people):
    people.keep("1", "ada")
    other = People(people.path, "oidc https://id.example.org")
    assert other.keep("1", "ada").account == "ada-1"
    assert other.accounts({"ada"}) == {"ada-1"}


def test_an_account_from_before_goes_to_its_owner_and_to_nobody_else(people):
    assert people.adopt("1", "ada")
    assert people.adopt("1", "ada"), "again"
    assert not people.adopt("2", "ada")
    assert not people.adopt("1", "bob")
    assert people.find("2", "ada").account == "ada-2"


def test_many_at_once_agree(people):
    with ThreadPoolExecutor(16) as pool:
        same = list(pool.map(lambda _: people.keep("1", "twin").account, range(50)))
        others = list(pool.map(lambda number: people.keep(str(number), "crowd").account, range(2, 52)))
    assert set(same) == {"twin"}
    assert len(set(others)) == 50
    assert others.count("crowd") == 1


def test_the_file_is_private_from_its_first_moment_and_damage_is_told(people):
    people.keep("1", "ada")
    assert people.path.stat().st_mode & 0o777 == 0o600
    people.path.write_bytes(b"no database" * 100)
    with pytest.raises(SettingsError, match=r"people\.sqlite"):
        people.find("1", "ada")


def test_a_writer_that_dies_half_way_leaves_all_or_nothing(people):
    people.keep("1", "ada")
    half = sqlite3.connect(people.path, isolation_level=None)
    half.execute("BEGIN IMMEDIATE")
    half.execute("INSERT INTO people VALUES ('github github.com', '2', 'eve')")
    half.close()
    assert not people.has_account("eve")
    assert people.keep("3", "eve").account == "eve"


@pytest.mark.parametrize(
    ("name", "account"),
    [
        ("Ana.Lee@example.org", "ana.lee"),
        ("../../etc", "etc"),
        ("-rf", "rf"),
        ("日本", "user"),
        ("a\nb", "a-b"),
        ("x" * 300, "x" * 40),
        ("@", "user"),
    ],
)
def test_any_name_reads_as_an_account(name, account):
    assert account_of(name) == account


# rights and faces


def test_lists_mean_every_name_of_a_person():
    lists = Lists(frozenset({"ada"}), frozenset({"root"}))
    assert lists.admits({"countess", "ada"}, Standing())
    assert lists.admits({"root"}, Standing())
    assert lists.is_admin({"root"})
    assert not lists.is_admin({"ada"})
    assert not lists.admits({"eve"}, Standing(frozenset({"a:b"})))
    assert lists.admits({"eve"}, Standing(may_enter=True))


def test_a_face_is_made_of_what_can_be_shown():
    shown = face("ada", "Ada  Lovelace", "https://pics.example.org/1").user_info()
    assert shown == {
        "name": "Ada Lovelace",
        "display_name": "Ada Lovelace",
        "initials": "AL",
        "avatar_url": "https://pics.example.org/1",
    }
    assert face("ada", None, None).user_info() == {"name": "ada", "display_name": "ada", "initials": "A"}
    assert face("ada", "a\u202e\x00b" + "x" * 500, 3).name.startswith("abx")
    assert len(face("ada", "x" * 500, "").name) == 100
    for bad in ("http://pics.example.org/1", "javascript:alert(1)", "https://u:p@x/", "https://[", "data:image/png,x"):
        assert face("ada", "Ada", bad).avatar_url == ""


def test_a_record_is_in_one_line_short_and_whole(tmp_path):
    path = tmp_path / "audit.jsonl"
    record = HubRecord(AuditLog(path))
    record.write("sign_in_refused", "a\nb\x1b[31m" + "x" * 9000, reason="r" * 9000, ip=None, number=3)
    assert verify(path) == 1
    text = path.read_text()
    assert len(text) < 700
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert '"ip"' not in text
    assert plain("a\nb") == r"a\u000ab"
    assert plain("x" * 65) == "x" * 64 + "… (65 characters)"


# what an answer means


@pytest.mark.parametrize(
    ("code", "headers", "body", "kind"),
    [
        (401, {}, b"", Dismissed),
        (403, {}, b'{"message": "Sorry. Your account was suspended"}', Dismissed),
        (403, {"X-RateLimit-Remaining": "0"}, b"{}", Unreachable),
        (403, {"Retry-After": "60"}, b"{}", Unreachable),
        (403, {}, b'{"message": "API rate limit exceeded"}', Unreachable),
        (429, {}, b"", Unreachable),
        (404, {}, b"", Unreachable),
        (500, {}, b"", Unreachable),
        (599, {}, b"", Unreachable),
    ],
)
def test_only_a_refusal_says_something_about_the_user(code, headers, body, kind):
    response = SimpleNamespace(headers=HTTPHeaders(headers), body=body)
    assert type(meaning(HTTPClientError(code, response=response), "why")) is kind
    if code != 403:
        assert type(meaning(HTTPClientError(code), "why")) is kind


class Account:
    """A user of the hub's, as far as an authenticator asks one."""

    def __init__(self, state: dict[str, Any] | None) -> None:
        self.name, self.state = "ada", state
        self.spawners: dict[str, Any] = {}

    async def get_auth_state(self) -> dict[str, Any] | None:
        return self.state

    async def save_auth_state(self, state: dict[str, Any] | None) -> None:
        self.state = state


@pytest.fixture
def github() -> Iterator[GitHubStandIn]:
    with GitHubStandIn() as github:
        yield github


@pytest.fixture
async def sign_in(github: GitHubStandIn, people: People) -> GitHubSignIn:
    return GitHubSignIn(
        github_url=github.url,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        people=people,
        lists=Lists(frozenset({"ada"})),
        enable_auth_state=True,
    )


def signed_in(sign_in: GitHubSignIn, github: GitHubStandIn) -> Account:
    said = github.issue("ada")
    info = {"login": "ada", "id": github.id_of("ada")}
    return Account(sign_in.build_auth_state_dict(said, info))


async def test_a_clock_that_jumps_shows_nobody_out(sign_in, github, monkeypatch):
    github.lasts_s = 8 * 3600
    ada = signed_in(sign_in, github)
    now = time.time()
    clock = SimpleNamespace(time=lambda: now + 30 * 86400, monotonic=time.monotonic)
    monkeypatch.setattr(forge, "time", clock)
    info, _ = await sign_in.look(ada)
    assert (info["login"], github.renewals) == ("ada", 1), "a month ahead: the token is renewed"
    clock.time = lambda: now - 30 * 86400
    for token in github.tokens_of("ada"):
        del github.tokens[token]  # which has ended in truth, while the hub's clock gives it another month
    info, _ = await sign_in.look(ada)
    assert (info["login"], github.renewals) == ("ada", 2), "a month back: GitHub says so, and it is renewed"


async def test_a_token_that_ended_and_cannot_be_renewed_asks_for_a_sign_in_and_ends_nothing(
    sign_in, github, monkeypatch
):
    github.lasts_s = 60
    ada = signed_in(sign_in, github)
    assert ada.state is not None
    ada.state["refresh_token"] = None
    ahead = time.time() + 3600
    monkeypatch.setattr(forge, "time", SimpleNamespace(time=lambda: ahead))
    with pytest.raises(SignedOut) as caught:
        await sign_in.look(ada)
    assert type(caught.value) is SignedOut


async def test_a_hub_that_github_knows_no_more_shows_nobody_out(sign_in, github):
    github.lasts_s = 8 * 3600
    ada = signed_in(sign_in, github)
    github.tokens.clear()
    sign_in.client_secret = "an-older-one"
    with pytest.raises(Unreachable):
        await sign_in.look(ada)
    sign_in.client_secret = CLIENT_SECRET
    github.refresh_tokens.clear()
    with pytest.raises(Dismissed):
        await sign_in.look(ada)


async def test_accounts_from_before_ids_were_kept_go_to_their_owners(sign_in, people):
    engine = create_engine("sqlite://", poolclass=StaticPool)
    orm.Base.metadata.create_all(engine)
    with Session(engine) as db:
        users = [orm.User(name=name, encrypted_auth_state=b"sealed") for name in ("ada", "bob", "cy")]
        db.add_all([*users, orm.User(name="never")])
        db.commit()
        states = [{"github_user": {"id": 1, "login": "ada"}}, {"github_user": {"id": 2, "login": "bobby"}}, {}]
        accounts = [Account(state) for state in states]
        sign_in._app = SimpleNamespace(db=db, users=dict(zip(users, accounts, strict=True)))
        await sign_in._adopt("ada")
        assert people.find("7", "ada").account == "ada-7", "who has the name today is not who made the account"
        assert not people.has_account("bob")
        await sign_in._adopt()
        assert people.find("1", "countess").account == "ada"
        assert people.find("2", "bobby").account == "bob", "renamed before there was a record"
        assert not people.has_account("cy")
    engine.dispose()


async def test_who_has_never_signed_in_is_known_to_nobody(sign_in):
    assert await sign_in.look(Account(None)) is None
    gone = Account({"aidp_dismissed": "left"})
    assert await sign_in.refresh_user(gone, SimpleNamespace(_jupyterhub_user="somebody else")) is False
    ada = Account(None)
    assert await sign_in.refresh_user(ada) is False
    admin_asks = SimpleNamespace(_jupyterhub_user="somebody else")
    assert await sign_in.refresh_user(ada, admin_asks) is True
