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
from hub_config import forge, providers
from hub_config.audited import HubRecord, plain
from hub_config.callback import meaning
from hub_config.forge import GitHubSignIn
from hub_config.people import People, account_of
from hub_config.settings import SettingsError
from hub_config.standing import Dismissed, Lists, SignedOut, Standing, TakenBack, Unreachable, Withheld, face
from tests.hub.github import CLIENT_ID, CLIENT_SECRET, GitHubStandIn


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path / "people.sqlite", "github github.com")


# accounts


def test_a_person_keeps_the_account_and_the_first_name_and_earns_nothing_by_another(people):
    assert people.keep("1", "Ada").account == "ada"
    for _ in range(2):
        person = people.keep("1", "root")
        assert (person.account, person.names) == ("ada", {"ada", "id:1"})
    assert people.accounts({"ada"}) == people.accounts({"id:1"}) == {"ada"}
    assert people.accounts({"root"}) == set()
    admin = people.keep("2", "root")
    assert (admin.account, admin.names) == ("root", {"root", "id:2"}), "nor is the name kept from who comes under it"


def test_a_name_that_only_looks_like_one_of_a_list_is_none(people):
    kelvin = people.keep("1", "\u212aate")
    assert not Lists(frozenset({"kate"})).admits(kelvin.names, Standing())
    assert kelvin.account == "ate"
    assert people.keep("2", "Kate").names == {"kate", "id:2"}
    assert people.keep("3", "id:7").names == {"id:3"}, "whoever calls themselves an id has not got it"
    assert people.accounts({"id:7"}) == set()


def test_an_account_that_the_hub_has_already_is_no_newcomers(people):
    assert people.find("1", "ada", {"ada"}.__contains__).account == "ada-1"
    assert people.keep("1", "ada", {"ada"}.__contains__).account == "ada-1"
    assert people.keep("1", "ada", {"ada", "ada-1"}.__contains__).account == "ada-1", "their own is theirs"
    assert people.keep("2", "bob", {"ada"}.__contains__).account == "bob"


def test_when_somebody_was_confirmed_outlives_the_hub(people, monkeypatch):
    clock = SimpleNamespace(time=lambda: 1000.0)
    monkeypatch.setattr("hub_config.people.time", clock)
    assert people.confirmed_at("ada") == 1000.0, "unknown: from now on"
    clock.time = lambda: 2000.0
    again = People(people.path, people.provider)
    assert (again.confirmed_at("ada"), again.out_at("ada")) == (1000.0, 2000.0)
    clock.time = lambda: 3000.0
    assert again.out_at("ada") == 2000.0
    again.confirm("ada")
    assert (again.confirmed_at("ada"), again.out_at("ada")) == (3000.0, 3000.0)


def test_to_look_somebody_up_gives_them_nothing(people):
    assert people.find("2", "eve").account == "eve"
    assert people.find("3", "eve").account == "eve"
    assert not people.has_account("eve")
    assert people.accounts({"eve"}) == set()


def test_whoever_takes_a_name_gets_neither_the_account_nor_the_name(people):
    people.keep("1", "ada")
    impostor = people.keep("7", "ada")
    assert (impostor.account, impostor.names) == ("ada-7", {"id:7"})
    people.keep("8", "ada-9")
    assert people.keep("9", "ada").account == "ada-9-2", "an account of that very name was there"


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
        (400, {}, b"", Withheld),
        (401, {}, b"", Dismissed),
        (403, {}, b'{"message": "Sorry. Your account was suspended"}', Dismissed),
        (403, {"X-RateLimit-Remaining": "0"}, b"{}", Withheld),
        (403, {"Retry-After": "60"}, b"{}", Withheld),
        (403, {}, b'{"message": "API rate limit exceeded"}', Withheld),
        (429, {}, b"", Withheld),
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
        self.admin = False

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
    with pytest.raises(TakenBack):
        await sign_in.look(ada)


async def test_a_token_that_cannot_be_renewed_does_until_its_end(sign_in, github):
    github.lasts_s = 600  # soon enough to be renewed
    ada = signed_in(sign_in, github)
    github.refresh_tokens.clear()
    info, _ = await sign_in.look(ada)
    assert (info["login"], github.renewals) == ("ada", 0)


class Watched:
    """What becomes of a user whose provider says this or that, at any hour."""

    def __init__(self, sign_in: GitHubSignIn, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sign_in, self.now, self.what = sign_in, time.time(), ""
        self.done: list[str] = []
        clock = SimpleNamespace(time=lambda: self.now, monotonic=time.monotonic)
        for module in ("signed", "people"):
            monkeypatch.setattr(f"hub_config.{module}.time", clock)

        async def dismiss(user: Any, why: str) -> None:
            self.done.append("dismissed")

        async def stop(user: Any) -> None:
            self.done.append("stopped")

        monkeypatch.setattr(sign_in, "dismiss", dismiss)
        monkeypatch.setattr(sign_in, "_stop_servers", stop)
        monkeypatch.setattr(sign_in, "_settle", lambda *_: None)
        self.monkeypatch = monkeypatch

    async def at(self, hours: float, said: Exception | None) -> bool:
        """Whether they may still be here, so many hours later."""

        async def look(user: Any) -> tuple[dict[str, Any], Standing]:
            if said is not None:
                raise said
            return {}, Standing()

        self.monkeypatch.setattr(self.sign_in, "look", look)
        self.now += hours * 3600
        self.done.clear()
        may_stay = await self.sign_in.refresh_user(Account({"access_token": "x"}))
        for task in list(self.sign_in._tasks):
            await task
        return may_stay


@pytest.fixture
async def watched(sign_in, monkeypatch) -> Watched:
    return Watched(sign_in, monkeypatch)


async def test_an_answer_that_is_withheld_keeps_nobody_here_for_long(watched):
    assert await watched.at(0, None)
    assert await watched.at(0.4, Withheld("limit"))
    assert not await watched.at(0.2, Withheld("limit"))
    assert watched.done == []
    assert await watched.at(0.1, None), "whoever is confirmed again is here again"
    assert await watched.at(0.4, Withheld("limit")), "and has the time anew"


async def test_a_provider_that_is_away_keeps_everybody_for_a_day(watched):
    assert await watched.at(0, None)
    assert await watched.at(23.9, Unreachable("no answer"))
    assert not await watched.at(0.2, TimeoutError())
    assert watched.done == []
    assert not await watched.at(24.1, Unreachable("no answer"))
    assert watched.done == ["stopped"]


async def test_tokens_that_are_good_no_more_are_taken_back_after_a_grace_unless_somebody_signs_in(watched):
    assert await watched.at(0, None)
    assert not await watched.at(72, TakenBack("ended over the weekend"))
    assert (watched.done, watched.sign_in.signed_out) == ([], {"ada"})
    assert not await watched.at(0.4, TakenBack("ended"))
    watched.sign_in._is_in("ada")
    assert watched.sign_in.signed_out == set()
    assert not await watched.at(0.2, TakenBack("ended")), "a new sign-in begins anew"
    assert watched.done == []
    assert not await watched.at(0.6, TakenBack("ended"))
    assert watched.done == ["dismissed"]


async def test_who_is_only_signed_out_has_their_servers_for_a_day(watched):
    assert not await watched.at(0, SignedOut("ended"))
    assert not await watched.at(23.9, SignedOut("ended"))
    assert watched.done == []
    assert not await watched.at(0.2, SignedOut("ended"))
    assert watched.done == ["stopped"]
    assert not await watched.at(0, Dismissed("left"))
    assert watched.done == ["dismissed"], "that holds at once"


async def test_a_refusal_to_renew_says_whom_it_is_about(sign_in, monkeypatch):
    answers: list[Any] = []

    async def httpfetch(*_: Any, **__: Any) -> Any:
        code, body = answers.pop()
        if code >= 400:
            raise HTTPClientError(code, response=SimpleNamespace(body=body, headers=HTTPHeaders()))
        return forge.json.loads(body)

    monkeypatch.setattr(sign_in, "httpfetch", httpfetch)
    for code, body, kind in (
        (400, b'{"error": "invalid_grant"}', TakenBack),
        (200, b'{"error": "bad_refresh_token"}', TakenBack),
        (400, b'{"error": "interaction_required"}', Withheld),
        (400, b'{"error": "access_denied"}', Withheld),
        (429, b"slow down", Withheld),
        (401, b'{"error": "invalid_client"}', Unreachable),
        (503, b'{"error": "temporarily_unavailable"}', Unreachable),
        (502, b"<html>", Unreachable),
        (404, b"<html>", Unreachable),
    ):
        answers.append((code, body))
        with pytest.raises((SignedOut, Unreachable)) as caught:
            await sign_in.renewed("r")
        assert type(caught.value) is kind, body


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


def test_a_list_takes_ids_as_the_provider_has_them_and_names_in_any_case():
    listed = {"AIDP_ADMIN_USERS": "Ada, id:auth0|AbC", "OIDC_CLIENT_ID": "x"}
    assert providers.people(listed, "AIDP_ADMIN_USERS") == {"ada", "id:auth0|AbC"}
    for sign_in_with, names in (("local", "id:7"), ("github", "id:"), ("github", "id:a b"), ("keycloak", "a b")):
        with pytest.raises(SettingsError, match="AIDP_ADMIN_USERS"):
            providers.people({"AIDP_SIGN_IN": sign_in_with, "AIDP_ADMIN_USERS": names}, "AIDP_ADMIN_USERS")
