"""Running Git: its locks, its environment, its words."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from aidp_ext.core.errors import GitError, InvalidRequest, NotARepository, ProcessTimeout, RepositoryBusy
from aidp_ext.git.command import Git, Locks
from aidp_ext.git.names import checked_name, is_reference_name, name_of, parse_address, raw, redact, shown
from tests.git.repo import Repo

FAKE = "ghp_" + "A1b2C3d4" * 5


async def test_it_returns_bytes_and_raises_gits_words(git: Git, repo: Repo) -> None:
    assert (await git.read("rev-parse", "HEAD")).stdout.decode().strip() == repo.head
    with pytest.raises(GitError, match=r"git rev-parse failed \(128\): fatal:"):
        await git.read("rev-parse", "nothing-like-this")
    assert (await git.read("rev-parse", "nothing-like-this", check=False)).returncode == 128


async def test_output_is_cut_at_what_was_asked_for(git: Git, repo: Repo) -> None:
    repo.commit({"big.txt": "x" * 5_000_000})
    cut = await git.read("cat-file", "blob", "HEAD:big.txt", most_bytes=1000)
    assert (cut.is_cut, cut.stdout) == (True, b"x" * 1000)
    whole = await git.read("cat-file", "blob", "HEAD:a.txt", most_bytes=1000)
    assert (whole.is_cut, whole.stdout) == (False, b"one\ntwo\nthree\n")
    with pytest.raises(GitError, match="nothing"):
        await git.read("cat-file", "blob", "HEAD:nothing", most_bytes=1000)


async def test_gits_configuration_in_the_environment_goes_along_and_its_traces_do_not(
    git: Git, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "2")
    for number, (key, value) in enumerate((("aidp.one", "1"), ("credential.https://example.org.helper", "ours"))):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)
    monkeypatch.setenv("GIT_TRACE", "1")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert (await git.read("config", "aidp.one")).stdout == b"1\n"
    told = await git.read("config", "--get-urlmatch", "credential.helper", "https://example.org/a/b")
    assert (told.stdout, told.stderr) == (b"ours\n", "")
    seen = (await git.read("-c", "alias.seen=!env", "seen")).stdout.decode()
    assert "hunter2" not in seen
    assert "GIT_TERMINAL_PROMPT=0" in seen
    assert "LC_ALL=C.UTF-8" in seen


async def test_configuration_that_was_given_stands_in_for_that_of_the_process(
    repo: Repo, locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "aidp.one")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "theirs")
    given = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "aidp.one", "GIT_CONFIG_VALUE_0": "ours"}
    assert (await Git(repo.root, locks, env=given).read("config", "aidp.one")).stdout == b"ours\n"


async def test_it_never_asks(git: Git, repo: Repo) -> None:
    repo("remote", "add", "origin", "https://localhost:1/x.git")
    done = await git.read("credential", "fill", stdin=b"protocol=https\nhost=example.org\n\n", check=False)
    assert done.returncode
    assert "prompts disabled" in done.stderr


async def test_writers_come_one_after_the_other_and_readers_do_not_wait(git: Git, repo: Repo) -> None:
    async with git.alone() as held:
        waiting = asyncio.create_task(git.write("branch", "later"))
        await held.write("branch", "first")
        assert (await git.read("branch", "--list", "later")).stdout == b""
        assert git.is_writing
        async with held.alone() as again:
            assert again is held
    await waiting
    assert {"first", "later"} <= set(repo("branch", "--format=%(refname:short)").split())


async def test_worktrees_share_their_locks(repo: Repo, locks: Locks, tmp_path: Path) -> None:
    repo("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    one, other = Git(repo.root, locks), Git(tmp_path / "side", locks)
    assert one.layout.common_dir == other.layout.common_dir
    assert other.layout.branch() == "side"
    async with one.alone():
        assert other.is_writing


async def test_a_lock_of_another_git_is_waited_for(repo: Repo, locks: Locks) -> None:
    git = Git(repo.root, locks, patience_s=60)
    lock = git.layout.lock
    lock.touch()
    repo.write({"b.txt": "b"})
    adding = asyncio.create_task(git.write("add", "b.txt"))
    while not git.is_writing:
        await asyncio.sleep(0)
    lock.unlink()
    await adding
    assert repo.staged("b.txt") == "b"


async def test_a_lock_that_stays_is_told_with_its_age(repo: Repo, locks: Locks) -> None:
    git = Git(repo.root, locks, patience_s=0)
    git.layout.lock.touch()
    os.utime(git.layout.lock, (1, 1))
    with pytest.raises(RepositoryBusy, match=r"holds index\.lock for \d+ h") as failed:
        await git.write("add", "--all")
    assert failed.value.details["file"] == "index.lock"
    assert failed.value.details["age_s"] > 1_000_000
    assert failed.value.next_step
    assert (await git.read("status", "--porcelain")).stdout == b""


async def test_a_command_that_takes_too_long_is_ended(git: Git) -> None:
    with pytest.raises(ProcessTimeout, match="git did not end within"):
        await git.read("-c", "alias.wait=!sleep 300", "wait", timeout_s=0.2)


async def test_no_repository_further_up_stands_in_for_a_damaged_one(repo: Repo, locks: Locks) -> None:
    inner = Repo.make(repo.root / "inner")
    git = Git(inner.root, locks)
    (inner.root / ".git" / "HEAD").write_text("rubbish")
    with pytest.raises(NotARepository):
        await git.read("status")


async def test_a_folder_that_is_gone_is_no_repository(tmp_path: Path, locks: Locks) -> None:
    with pytest.raises(NotARepository):
        Git(tmp_path, locks)
    made = Repo.make(tmp_path / "r")
    git = Git(made.root, locks)
    made.root.rename(tmp_path / "s")
    with pytest.raises(NotARepository, match="gone"):
        await git.read("status")


@pytest.mark.parametrize(
    "name", ["main", "release-1.0", "ünï/ço-de", "a/b.c", "-x", "ünï/ço de", "a..b", "a.lock", "x/.y", "a//b", "a~1",
             "a:b", "a\\b", "ends.", "a@{1}", "tab\t", "/a", "a/", "HEAD2"]
)  # fmt: skip
def test_names_of_branches_are_judged_as_git_does(repo: Repo, name: str) -> None:
    try:
        repo("check-ref-format", "--branch", name)
        is_good = not name.startswith("-")
    except AssertionError:
        is_good = False
    assert is_reference_name(name) == is_good


def test_a_name_that_is_refused_says_why() -> None:
    with pytest.raises(InvalidRequest, match="cannot be the name of a branch") as refused:
        checked_name("ünï/ço de", "branch")
    assert "no spaces" in (refused.value.next_step or "")


@pytest.mark.parametrize(
    "path",
    [b"a.txt", "ünï.txt".encode(), b"new\nline", b'"q".txt', b"caf\xe9", b"-x", b"a\\b", b'\xff\\101"', b"folder/"],
)
def test_every_path_can_be_shown_and_found_again(path: bytes) -> None:
    text = shown(path)
    assert text.encode().decode() == text
    assert raw(text) == path


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../x", "a/../../x", "a\0b", ".git/config", '"\\056\\056/x"', ".", "a//b"]
)
def test_paths_out_of_the_repository_are_refused(path: str) -> None:
    with pytest.raises(InvalidRequest):
        raw(path)


def test_credentials_are_taken_out_of_words() -> None:
    said = f"fatal: unable to access 'https://ana:{FAKE}@example.org/x.git/': {FAKE} glpat-{'x' * 20}"
    assert redact(said) == "fatal: unable to access 'https://example.org/x.git/': … …"


def test_addresses_are_read() -> None:
    assert parse_address("https://github.com/ana/titanic.git") == ("github.com", "ana/titanic")
    assert parse_address("https://ana:x@GitLab.example.org:8443/a/b/c") == ("gitlab.example.org:8443", "a/b/c")
    assert parse_address("git@github.com:ana/titanic.git") == ("github.com", "ana/titanic")
    assert parse_address("ssh://git@github.com:22/ana/titanic.git") == ("github.com", "ana/titanic")
    assert parse_address("/srv/git/x.git") is None
    assert parse_address("file:///srv/git/x.git") is None
    assert name_of("git@github.com:ana/titanic.git") == "titanic"
    assert name_of("https://example.org/a/-x.git/") == "repository"
