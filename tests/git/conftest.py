"""What Git's tests share: nothing of this machine's own configuration, and repositories made on the spot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aidp_ext.git.command import Git, Locks
from tests.git.repo import Repo

IDENTITY = "[user]\n\tname = Ana Test\n\temail = ana@example.org\n[init]\n\tdefaultBranch = main\n"


@pytest.fixture(autouse=True)
def _own_configuration(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Git see a home of its own, with an identity, and nothing else of this machine."""
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(IDENTITY)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def locks() -> Locks:
    return Locks()


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository with one commit of `a.txt`."""
    made = Repo.make(tmp_path / "repo")
    made.commit({"a.txt": "one\ntwo\nthree\n"}, "First")
    return made


@pytest.fixture
def git(repo: Repo, locks: Locks) -> Git:
    return Git(repo.root, locks)
