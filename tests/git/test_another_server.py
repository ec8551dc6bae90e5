"""A server that nobody set up: added by its address, asked for by git at once, known again, and forgotten."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aidp_ext.core.errors import InvalidRequest, NotFound
from aidp_ext.git.credentials import Credentials
from aidp_ext.git.credentials.accounts import forge_address
from tests.support.git_http import GitHttpServer
from tests.support.gitlab_api import GitlabApi

NAME = "ana/secret"


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("https://git.example.org/", "https://git.example.org"),
        (" git.example.org ", "https://git.example.org"),
        ("https://Git.Example.org:443", "https://git.example.org"),
        ("https://git.example.org:8443", "https://git.example.org:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_an_address_is_kept_as_that_of_the_server(said: str, address: str) -> None:
    assert forge_address(said) == address


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("http://git.example.org", "Only https"),
        ("ssh://git.example.org", "Only https"),
        ("https://ana:x@git.example.org", "not the address"),
        ("https://git.example.org/ana/x", "Name the server only"),
        ("https://git.example.org?x", "Name the server only"),
        ("", "not the address"),
        ("https://", "not the address"),
        ("https://git example.org", "not the address"),
        ('https://x"]\n[core', "not the address"),
        ("https://git.example.org:99999", "not the address"),
    ],
)
def test_what_is_no_address_of_a_server_is_refused(said: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        forge_address(said)


@pytest.fixture
def lab(tmp_path: Path) -> AsyncIterator[GitlabApi]:
    with GitHttpServer(tmp_path / "lab") as git:
        api = GitlabApi(git)
        git.add_repository(NAME, files={"a.py": "a = 1\n"}, members=["ana"])
        yield api


async def started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Credentials:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    made = Credentials(folder, lambda event, **said: None)
    await made.start()
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    return made


async def listed(address: str) -> int:
    """Ask the remote for its branches as a terminal that was open before does; return Git's status."""
    argv = ["git", "ls-remote", "--heads", address]
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    return (await asyncio.to_thread(subprocess.run, argv, env=env, capture_output=True)).returncode


async def test_git_asks_for_it_at_once_it_is_known_again_and_forgotten(
    lab: GitlabApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, address = lab.add_user("ana"), f"{lab.url}/{NAME}.git"
    credentials = await started(tmp_path / "state", monkeypatch)
    try:
        assert await listed(address) != 0
        account = await credentials.accounts.add_at(lab.url, token, "gitlab")
        assert (account.login, account.kind, account.source) == ("ana", "gitlab", "keyring")
        assert await listed(address) == 0, "with the environment from before"
        assert account.host in [one.host for one in await credentials.accounts.list()]
        added = Path(os.environ["AIDP_CRED_SOCK"]).parent / "forges.gitconfig"
        assert lab.url in added.read_text() and token not in added.read_text()
    finally:
        await credentials.stop()
    credentials = await started(tmp_path / "state", monkeypatch)
    try:
        assert await listed(address) == 0, "after a restart"
        await credentials.accounts.remove(account.host)
        assert account.host not in [one.host for one in await credentials.accounts.list()]
        assert await listed(address) != 0
        with pytest.raises(NotFound):
            await credentials.accounts.add(account.host, token, "gitlab")
    finally:
        await credentials.stop()


async def test_a_token_that_it_does_not_take_leaves_nothing(
    lab: GitlabApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = await started(tmp_path / "state", monkeypatch)
    try:
        before = credentials.accounts.hosts
        with pytest.raises(InvalidRequest, match="does not take this token"):
            await credentials.accounts.add_at(lab.url, "glpat-nobody-knows-it-0", "gitlab")
        assert credentials.accounts.hosts == before
    finally:
        await credentials.stop()
