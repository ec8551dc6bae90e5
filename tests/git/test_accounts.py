"""Who the user is on each forge, with tokens in a keyring that lives in memory or in the encrypted file."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail

from aidp_ext.core.errors import (
    AidpError,
    Conflict,
    InvalidRequest,
    NotFound,
    SignedOutOfForge,
    StorageError,
    UpstreamUnreachable,
)
from aidp_ext.git.credentials import Credentials, FirstOf, HubSignIn, LocalTokenSource
from aidp_ext.git.credentials.accounts import Accounts
from aidp_ext.git.credentials.local import Kept, _name
from aidp_ext.git.credentials.wiring import sweep
from aidp_ext.git.models import Account, ForgeUser, Token
from aidp_ext.git.remotes.device import DeviceCode, DeviceState
from tests.support.git_http import GitHttpServer

GITHUB = "https://github.com"
PAT = "github_pat_0123456789abcdefghij"


class Memory(KeyringBackend):
    """A keyring as a desktop has one."""

    priority = 5  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], str] = {}
        self.error: Exception | None = None

    def get_password(self, service: str, username: str) -> str | None:
        if self.error is not None:
            raise self.error
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.held[service, username]


@pytest.fixture(autouse=True)
def memory() -> Iterator[Memory]:
    """The machine's own keyring is not for tests."""
    before, memory = keyring.get_keyring(), Memory()
    keyring.set_keyring(memory)
    yield memory
    keyring.set_keyring(before)


class World:
    """The forges as the accounts ask them, and the broker as they tell it of changes."""

    def __init__(self, folder: Path) -> None:
        self.users = {PAT: ForgeUser("ana", 7, "Ana", "ana@example.org")}
        self.asked: list[tuple[str, str, str]] = []
        self.forgotten: list[str] = []
        self.error: AidpError | None = None
        self.hub = Hub()
        self.states: list[DeviceState] = []
        self.local = LocalTokenSource(folder, renew=self.renew, is_taken=self.is_taken)
        self.source = FirstOf(self.local, self.hub)
        self.renewed: Kept | None = None
        self.accounts = Accounts(
            {GITHUB: "github", "https://gitlab.com": "gitlab", "https://git.example.org:8443": "gitlab"},
            self.source,
            self.local,
            self,
            self.ask_user,
            flow=self.flow,  # type: ignore[arg-type]
        )

    async def ask_user(self, kind: str, url: str, token: Token) -> ForgeUser:
        self.asked.append((kind, url, token.username))
        if self.error is not None:
            raise self.error
        if token.value not in self.users:
            raise SignedOutOfForge("It does not take the token.")
        return self.users[token.value]

    async def is_taken(self, account: Account, token: Token) -> bool:
        return token.value in self.users

    async def renew(self, url: str, kept: Kept) -> Kept | None:
        return self.renewed

    def flow(self, url: str) -> World:
        return self

    async def start(self) -> DeviceCode:
        return DeviceCode("ABCD-1234", f"{GITHUB}/login/device", 5, 900)

    async def poll(self) -> DeviceState:
        return self.states.pop(0)

    async def token(self, host: str, *, fresh: bool = False) -> Token | None:
        return await self.source.token(host, fresh=fresh)

    def forget(self, host: str) -> None:
        self.forgotten.append(host)


class Hub:
    """A hub's sign-in."""

    def __init__(self) -> None:
        self.login: str | None = None
        self.error: AidpError | None = None

    async def token(self, host: str, *, fresh: bool = False) -> Token | None:
        return Token("ghu_of-the-hub") if self.login and host == "github.com" else None

    async def account(self, host: str) -> Account | None:
        if self.error is not None and host == "github.com":
            raise self.error
        return Account(host, "github", GITHUB, login=self.login, source="hub") if self.login else None


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "git")


async def test_without_any_account_every_known_forge_is_listed(world):
    listed = await world.accounts.list()
    assert [(one.host, one.kind, one.source, one.login) for one in listed] == [
        ("github.com", "github", "none", None),
        ("gitlab.com", "gitlab", "none", None),
        ("git.example.org:8443", "gitlab", "none", None),
    ]
    assert [one.can_use_device for one in listed] == [True, False, False]
    assert await world.accounts.get("example.org") is None


async def test_a_token_that_the_forge_takes_is_kept_in_the_keyring_alone(world, memory, tmp_path):
    account = await world.accounts.add("github.com", f" {PAT}\n")
    assert (account.login, account.name, account.email, account.source) == ("ana", "Ana", "ana@example.org", "keyring")
    assert await world.accounts.get("github.com") == account
    assert await world.accounts.tokens("github.com")(False) == PAT
    assert world.forgotten == ["github.com"]
    assert [PAT in value for value in memory.held.values()] == [True]
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or PAT.encode() not in path.read_bytes(), path
    assert stat.S_IMODE((tmp_path / "git" / "accounts.json").stat().st_mode) == 0o600


async def test_a_gitlab_token_goes_with_gitlabs_name(world):
    await world.accounts.add("git.example.org:8443", PAT, "gitlab")
    assert world.asked == [("gitlab", "https://git.example.org:8443", "oauth2")]
    token = await world.source.token("git.example.org:8443")
    assert (token.value, token.username) == (PAT, "oauth2")
    assert await world.source.token("gitlab.com") is None


async def test_without_a_keyring_it_lies_encrypted_in_a_file_of_its_owners(tmp_path):
    keyring.set_keyring(fail.Keyring())
    world = World(tmp_path / "git")
    await world.accounts.add("github.com", PAT)
    files = {path.name: path for path in (tmp_path / "git").iterdir()}
    assert {"keys.enc", "keys.secret", "accounts.json"} <= files.keys()
    for path in files.values():
        assert PAT.encode() not in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = World(tmp_path / "git")
    assert await again.accounts.tokens("github.com")(False) == PAT


@pytest.mark.parametrize(
    ("host", "token", "kind", "words"),
    [
        ("github.com", "ghp_unknown-token-of-nobody", None, "does not take this token"),
        ("evil.example.org", PAT, "github", "no forge that is known"),
        ("gitlab.com", PAT, "github", "is a gitlab"),
    ],
)
async def test_what_cannot_be_an_account_is_refused_and_nothing_is_kept(world, memory, host, token, kind, words):
    with pytest.raises((InvalidRequest, NotFound, Conflict), match=words) as caught:
        await world.accounts.add(host, token, kind)
    assert token not in str(caught.value.details) + caught.value.message
    assert memory.held == {}


async def test_what_is_no_token_is_refused(world):
    world.users["two words of it"] = ForgeUser("ana", 7)
    with pytest.raises(InvalidRequest, match="no token"):
        await world.accounts.add("github.com", "two words of it")


async def test_a_forge_that_is_away_is_said_so(world):
    world.error = UpstreamUnreachable("github.com does not answer.", provider="github.com")
    with pytest.raises(UpstreamUnreachable):
        await world.accounts.add("github.com", PAT)


async def test_an_account_can_be_removed(world, memory):
    await world.accounts.add("github.com", PAT)
    await world.accounts.remove("github.com")
    assert memory.held == {}
    assert (await world.accounts.get("github.com")).source == "none"
    assert world.forgotten == ["github.com", "github.com"]
    with pytest.raises(SignedOutOfForge, match="Nobody is signed in"):
        await world.accounts.tokens("github.com")(False)
    with pytest.raises(NotFound):
        await world.accounts.remove("github.com")


async def test_the_hubs_sign_in_is_an_account_that_only_the_hub_ends(world):
    world.hub.login = "ana"
    account = await world.accounts.get("github.com")
    assert (account.source, account.login, account.can_use_device) == ("hub", "ana", True)
    assert await world.accounts.tokens("github.com")(False) == "ghu_of-the-hub"
    with pytest.raises(Conflict, match="comes with the hub"):
        await world.accounts.remove("github.com")
    await world.accounts.add("github.com", PAT)
    assert await world.accounts.tokens("github.com")(False) == PAT, "what the user gave themselves comes first"


async def test_a_hub_that_is_away_hides_no_other_account(world):
    world.hub.error = UpstreamUnreachable("The hub does not answer.", provider="the hub")
    github, *others = await world.accounts.list()
    assert (github.source, github.problem) == ("none", "The hub does not answer.")
    assert [one.problem for one in others] == [None, None]


async def test_a_code_that_is_entered_in_a_browser_signs_in(world):
    world.users["ghu_by-device-0123456789"] = ForgeUser("ana", 7)
    expires_at = time.time() + 8 * 3600
    world.states = [
        DeviceState("waiting"),
        DeviceState("done", Token("ghu_by-device-0123456789", expires_at=expires_at), "ghr_renews"),
    ]
    begun = await world.accounts.begin_device("github.com")
    assert (begun.user_code, begun.verification_uri) == ("ABCD-1234", f"{GITHUB}/login/device")
    assert await world.accounts.poll_device(begun.id) == ("waiting", None)
    state, account = await world.accounts.poll_device(begun.id)
    assert (state, account.login) == ("done", "ana")
    assert await world.accounts.poll_device(begun.id) == ("done", account), "asking again is harmless"
    token = await world.source.token("github.com")
    assert (token.value, token.expires_at) == ("ghu_by-device-0123456789", expires_at)
    with pytest.raises(NotFound):
        await world.accounts.poll_device("another")
    with pytest.raises(Conflict, match="by a code"):
        await world.accounts.begin_device("gitlab.com")


async def test_a_token_that_is_about_to_end_is_renewed_and_kept(world):
    account = Account("github.com", "github", GITHUB, login="ana", source="keyring")
    await world.local.keep(account, Kept("ghu_old-token", expires_at=time.time() + 60, refresh_token="ghr_1"))
    world.renewed = Kept("ghu_new-token", expires_at=time.time() + 28800, refresh_token="ghr_2")
    assert (await world.local.token("github.com")).value == "ghu_new-token"
    world.renewed = None
    assert (await world.local.token("github.com")).value == "ghu_new-token", "it is kept"
    with pytest.raises(SignedOutOfForge) as caught:
        await world.local.token("github.com", fresh=True)
    assert caught.value.next_step == "Add the account again, with a new token."


async def test_a_token_that_is_refused_is_looked_into_before_it_is_given_up(world):
    await world.accounts.add("github.com", PAT)
    assert (await world.local.token("github.com", fresh=True)).value == PAT, "the forge still takes it"
    world.users.clear()
    with pytest.raises(SignedOutOfForge, match="not take your token"):
        await world.local.token("github.com", fresh=True)


async def test_a_locked_keyring_is_said_so(world, memory):
    await world.accounts.add("github.com", PAT)
    memory.error = RuntimeError("locked")
    with pytest.raises(StorageError, match="keyring refused") as caught:
        await world.local.token("github.com")
    assert caught.value.next_step == "Unlock it and try again."
    assert (await world.accounts.get("github.com")).login == "ana", "who it is needs no keyring"


def test_no_two_hosts_share_a_name_in_the_keyring():
    hosts = ["a.b", "a-b", "a.b:80", "ab", "a.b.80", "a" * 60 + ".b", "a" * 60 + ".c", "127.0.0.1:80", "127.0.0.18:0"]
    assert len({_name(host) for host in hosts}) == len(hosts)
    for host in ("", "a_b", "a b", "../x", "a..b", "a:b", "A.b", "é.b"):
        with pytest.raises(InvalidRequest):
            _name(host)


# ---- all of it together


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[GitHttpServer]:
    with GitHttpServer(tmp_path / "forge") as server:
        server.add_repository("ana/titanic", files={"README.md": "# Titanic\n"})
        yield server


@pytest.fixture
async def credentials(
    tmp_path: Path, forge: GitHttpServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Credentials]:
    for name in [name for name in os.environ if name.startswith(("GIT_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    records: list[dict[str, Any]] = []

    async def ask_user(kind: str, url: str, token: Token) -> ForgeUser:
        login = forge.login_of(token.value)
        if login is None:
            raise SignedOutOfForge("It does not take the token.")
        return ForgeUser(login, 7, "Ana", "ana@example.org")

    made = Credentials(
        tmp_path / "kept",
        lambda event, **fields: records.append({"event": event, **fields}),
        forges={forge.url: "github", "http://git.example.org": "gitlab"},
        ask_user=ask_user,
    )
    await made.start()
    yield made
    await made.stop()
    assert not made.broker.socket_path.parent.exists()
    assert not [record for record in records if "ghp_" in json.dumps(record)]


async def test_an_account_that_is_added_is_git_s_at_once(credentials, forge, tmp_path):
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_TERMINAL_PROMPT": "0", **credentials.environment()}

    async def git(*args: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            subprocess.run, ["git", *args], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )

    url = f"{forge.url}/ana/titanic.git"
    assert (await git("ls-remote", url)).returncode != 0
    token = forge.issue("ana", prefix="ghp_")
    await credentials.accounts.add(forge.host, token)
    assert (await git("ls-remote", url)).returncode == 0
    assert (await git("var", "GIT_AUTHOR_IDENT")).stdout.startswith("Ana <ana@example.org> ")
    assert token not in repr(env)
    await credentials.accounts.remove(forge.host)
    assert (await git("ls-remote", url)).returncode != 0


def test_what_a_killed_server_left_is_removed_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path may not be long
    made = []
    for name, minutes in (("dead", 5), ("alive", 5), ("young", 0)):
        (tmp_path / f"aidp-git-{name}").mkdir()
        place = Path(f"aidp-git-{name}", "git")
        made.append(socket.socket(socket.AF_UNIX))
        made[-1].bind(str(place))
        if name == "alive":
            made[-1].listen()
        os.utime(place, (time.time() - 60 * minutes,) * 2)
    (tmp_path / "aidp-git-empty").mkdir()
    sweep(Path())
    for one in made:
        one.close()
    assert {path.name for path in tmp_path.iterdir()} == {"aidp-git-alive", "aidp-git-young", "aidp-git-empty"}


def test_a_forge_without_tls_is_known_on_this_machine_only(credentials, forge):
    assert credentials.accounts.hosts == {"github.com", "gitlab.com", forge.host}


def test_the_hubs_sign_in_is_known_by_what_the_hub_tells():
    told = {"AIDP_SERVICE_URL": "http://hub/services/aidp/", "JUPYTERHUB_API_TOKEN": "s3cret"}
    assert HubSignIn.from_env(told) is None, "a hub with the local sign-in has no tokens"
    found = HubSignIn.from_env({**told, "AIDP_FORGE_URL": "https://git.example.org"})
    assert found is not None
    assert found.forge == "https://git.example.org"
    assert "s3cret" not in repr(found)
