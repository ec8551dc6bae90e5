"""What goes wrong on the way to a review, each with a code, and nothing lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from aidp_ext.core.errors import (
    AidpError,
    DiskFull,
    GitAuthenticationFailed,
    NetworkFailed,
    PushRejected,
    RemoteMoved,
    RemoteNotFound,
    RepositoryBusy,
)
from aidp_ext.git import work
from aidp_ext.git.clone import clone
from aidp_ext.git.command import Git, Locks
from aidp_ext.git.models import Progress
from aidp_ext.git.state import state
from tests.git.repo import Repo
from tests.support.git_http import GitHttpServer

NAME = "ana/titanic"


async def done(progress: AsyncIterator[Progress]) -> list[Progress]:
    return [one async for one in progress]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitHttpServer]:
    with GitHttpServer(tmp_path / "served") as running:
        running.add_repository(NAME, files={"a.txt": "a\n"}, members=["ana"])
        yield running


@pytest.fixture
def token(server: GitHttpServer) -> Iterator[Path]:
    """A file with the token that Git's helper gives out."""
    place = server.root / "token"
    place.write_text(server.issue("ana"))
    with Path(os.environ["GIT_CONFIG_GLOBAL"]).open("a") as config:
        config.write(f'[credential]\n\thelper = "!f() {{ echo username=x; echo password=$(cat {place}); }}; f"\n')
    yield place


@pytest.fixture
async def mine(server: GitHttpServer, token: Path, tmp_path: Path) -> Repo:
    """A clone with a commit that is to be pushed."""
    await done(clone(f"{server.url}/{NAME}.git", tmp_path / "mine"))
    made = Repo(tmp_path / "mine")
    made.commit({"b.bin": os.urandom(100_000)}, "Mine")
    return made


@pytest.fixture
def git(mine: Repo, locks: Locks) -> Git:
    return Git(mine.root, locks, patience_s=0)


# ---- remotes


async def test_a_token_that_ends_in_mid_push(git: Git, mine: Repo, server: GitHttpServer, token: Path) -> None:
    server.revoke_before_push(token.read_text())
    with pytest.raises(GitAuthenticationFailed) as failed:
        await done(work.push(git, "origin", "main"))
    assert failed.value.next_step
    assert token.read_text() not in str(failed.value.details) + failed.value.message
    token.write_text(server.issue("ana"))
    await done(work.push(git, "origin", "main"))
    assert server.branches(NAME)["main"] == mine.head


async def test_a_connection_that_breaks_off_while_sending(git: Git, mine: Repo, server: GitHttpServer) -> None:
    server.cut_next_push(when="receiving")
    with pytest.raises(NetworkFailed):
        await done(work.push(git, "origin", "main"))
    await done(work.push(git, "origin", "main"))
    assert server.branches(NAME)["main"] == mine.head


async def test_a_connection_that_breaks_off_after_all_was_taken(git: Git, mine: Repo, server: GitHttpServer) -> None:
    server.cut_next_push(when="answering")
    with pytest.raises(NetworkFailed):
        await done(work.push(git, "origin", "main"))
    assert server.branches(NAME)["main"] == mine.head
    await done(work.push(git, "origin", "main"))


async def test_a_server_that_is_gone(git: Git, server: GitHttpServer) -> None:
    server.close()
    for talk in (work.fetch(git, "origin"), work.push(git, "origin", "main")):
        with pytest.raises(NetworkFailed) as failed:
            await done(talk)
        assert failed.value.next_step


async def test_a_remote_that_moved(git: Git, server: GitHttpServer) -> None:
    server.commit(NAME, {"theirs.txt": "t"})
    with pytest.raises(RemoteMoved):
        await done(work.push(git, "origin", "main"))
    await work.pull(git, "rebase")
    await done(work.push(git, "origin", "main"))
    assert server.read(NAME, "theirs.txt") == b"t"


async def test_a_protected_branch_is_quoted_and_another_branch_goes(
    git: Git, mine: Repo, server: GitHttpServer
) -> None:
    server.protect(NAME, "main")
    with pytest.raises(PushRejected) as refused:
        await done(work.push(git, "origin", "main"))
    assert "GH006: Protected branch update failed for refs/heads/main." in refused.value.details["output"]
    assert "through a pull request" in refused.value.details["output"]
    await work.create_branch(git, "feature")
    await done(work.push(git, "origin", "feature", set_upstream=True))
    assert server.branches(NAME)["feature"] == mine.head


async def test_a_hook_of_the_remote_is_quoted_without_secrets(git: Git, server: GitHttpServer) -> None:
    fake = "ghp_" + "A1b2" * 9
    server.add_hook(NAME, "pre-receive", f"echo 'policy: found {fake} on disk, No space left on device' >&2; exit 1")
    with pytest.raises(PushRejected) as refused:
        await done(work.push(git, "origin", "main"))
    assert refused.value.details["output"].startswith("policy: found … on disk")
    assert "pre-receive hook declined" in refused.value.details["output"]


async def test_a_hook_of_ones_own_stops_a_push(git: Git, mine: Repo, server: GitHttpServer) -> None:
    mine.hook("pre-push", "echo 'tests fail' >&2; exit 1")
    with pytest.raises(PushRejected, match="hook stopped") as refused:
        await done(work.push(git, "origin", "main"))
    assert "tests fail" in refused.value.details["output"]


async def test_who_may_not_write_or_see_is_told(git: Git, server: GitHttpServer, token: Path, tmp_path: Path) -> None:
    server.repositories[NAME].members = {"bea": "read"}
    token.write_text(server.issue("bea"))
    with pytest.raises(GitAuthenticationFailed, match="does not allow"):
        await done(work.push(git, "origin", "main"))
    token.write_text(server.issue("stranger"))
    with pytest.raises(RemoteNotFound):
        await done(work.fetch(git, "origin"))
    token.write_text("ghu_unknown")
    with pytest.raises(GitAuthenticationFailed, match="does not accept"):
        await done(clone(f"{server.url}/{NAME}.git", tmp_path / "again"))
    assert not list(tmp_path.glob("*again*"))


async def test_without_any_credentials_nothing_asks(server: GitHttpServer, tmp_path: Path) -> None:
    with pytest.raises(GitAuthenticationFailed):
        await done(clone(f"{server.url}/{NAME}.git", tmp_path / "again"))


# ---- what takes long


async def test_a_long_push_delays_nothing(
    git: Git, mine: Repo, server: GitHttpServer, repo: Repo, locks: Locks
) -> None:
    server.gate.clear()
    pushing = asyncio.create_task(done(work.push(git, "origin", "main")))
    await asyncio.to_thread(server.reached.wait, 60)
    other = Git(repo.root, locks)
    for one, its in ((other, repo), (git, mine)):  # another repository, and this one
        its.write({"c.txt": "c"})
        await work.stage(one, ["c.txt"], True)
        await work.commit(one, "While a push is on its way")
        assert (await state(one)).last is not None
    assert not pushing.done()
    server.gate.set()
    await pushing


async def test_a_cancelled_push_ends_with_all_its_processes(git: Git, mine: Repo, server: GitHttpServer) -> None:
    before = server.branches(NAME)
    server.gate.clear()
    pushing = asyncio.create_task(done(work.push(git, "origin", "main")))
    await asyncio.to_thread(server.reached.wait, 60)
    processes = [one for one in psutil.Process().children(recursive=True) if str(mine.root) == _folder(one)]
    assert any("remote-http" in " ".join(one.cmdline()) for one in processes)
    pushing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await pushing
    assert not psutil.wait_procs(processes, timeout=0)[1]
    server.gate.set()
    assert (await state(git)).ahead == 1
    if server.branches(NAME) == before:  # the server may have had all of it already
        await done(work.push(git, "origin", "main"))


def _folder(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return str(process.cwd())
    return ""


async def test_a_cancelled_commit_ends_its_hook_and_leaves_no_lock(repo: Repo, locks: Locks, tmp_path: Path) -> None:
    git = Git(repo.root, locks)
    mark = tmp_path / "hook-runs"
    repo.hook("pre-commit", f"echo $$ > {mark}.part; mv {mark}.part {mark}; sleep 300")
    repo.write({"a.txt": "changed"})
    await work.stage(git, ["a.txt"], True)
    committing = asyncio.create_task(work.commit(git, "message"))
    while not mark.exists():
        assert not committing.done()
        await asyncio.sleep(0.01)
    git.layout.lock.touch()
    with pytest.raises(RepositoryBusy):  # not while it runs, however old
        await work.unlock(git, older_than_s=0)
    git.layout.lock.unlink()
    committing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await committing
    assert not psutil.pid_exists(int(mark.read_text()))
    repo.hook("pre-commit", "exit 0")
    await work.commit(git, "message")
    assert not git.is_writing


# ---- a lock left behind


async def test_an_old_lock_that_nobody_holds_is_removed(repo: Repo, locks: Locks) -> None:
    git = Git(repo.root, locks, patience_s=0)
    await work.unlock(git)  # there is none
    git.layout.lock.touch()
    with pytest.raises(RepositoryBusy, match="new"):
        await work.unlock(git)
    os.utime(git.layout.lock, (1, 1))
    await work.unlock(git)
    assert not git.layout.lock.exists()


async def test_a_lock_that_is_held_stays(repo: Repo, locks: Locks) -> None:
    git = Git(repo.root, locks, patience_s=0)
    with git.layout.lock.open("w"):
        os.utime(git.layout.lock, (1, 1))
        with pytest.raises(RepositoryBusy, match="at work"):
            await work.unlock(git)
    working = subprocess.Popen(["git", "cat-file", "--batch"], cwd=repo.root, stdin=subprocess.PIPE)
    try:
        with pytest.raises(RepositoryBusy, match="at work"):
            await work.unlock(git)
    finally:
        working.communicate()
    async with git.alone():
        with pytest.raises(RepositoryBusy, match="at work"):
            await work.unlock(git)
    assert git.layout.lock.exists()


async def test_everything_that_writes_tells_of_the_lock_and_loses_nothing(repo: Repo, locks: Locks) -> None:
    git = Git(repo.root, locks, patience_s=0)
    repo.write({"b.txt": "b"})
    git.layout.lock.touch()
    for attempt in (
        work.stage(git, ["b.txt"], True),
        work.stage(git, ["a.txt"], False),
        work.index_tree(git),
        work.commit(git, "message"),
    ):
        with pytest.raises(RepositoryBusy):
            await attempt
    assert (await state(git)).changes[0].path == "b.txt"


# ---- this machine


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB. Skips where no such thing may be mounted; the limit of file sizes below stands in for it."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


async def test_a_full_disk_is_told(small_disk: Path, locks: Locks, repo: Repo, tmp_path: Path) -> None:
    made = Repo.make(small_disk / "r", "--template=")
    git = Git(made.root, locks)
    made.commit({"a.txt": "a"})
    made.write({"big": os.urandom(400_000)})
    (small_disk / "filler").write_bytes(b"x" * 1_300_000)
    with pytest.raises(DiskFull) as failed:
        await work.stage(git, ["big"], True)
    assert failed.value.next_step
    assert [(c.path, c.kind) for c in (await state(git)).changes] == [("big", "untracked")]
    repo.commit({"big": os.urandom(500_000)})
    repo.with_remote(tmp_path / "remote.git")
    with pytest.raises(DiskFull):
        await done(clone((tmp_path / "remote.git").as_uri(), small_disk / "mine", allow_file=True))
    assert not list(small_disk.glob("*mine*"))
    (small_disk / "filler").unlink()
    await work.stage(git, ["big"], True)


async def test_a_limit_of_file_sizes_is_told(repo: Repo, locks: Locks) -> None:
    git = Git(repo.root, locks)
    repo.write({"big": os.urandom(300_000)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(DiskFull):
            await work.stage(git, ["big"], True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    await work.stage(git, ["big"], True)


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        ("index", "git_failed", "index is damaged"),
        ("HEAD", "not_a_repository", "damaged"),
        ("objects", "git_failed", "damaged"),
    ],
)
async def test_a_damaged_repository_says_so(repo: Repo, locks: Locks, damage: str, code: str, words: str) -> None:
    git = Git(repo.root, locks)
    repo.write({"a.txt": "changed"})
    repo("add", "a.txt")
    if damage == "objects":
        for place in (repo.root / ".git" / "objects").glob("??/*"):
            place.chmod(0o644)
            place.write_bytes(b"rubbish")
    else:
        (repo.root / ".git" / damage).write_text("rubbish")
    for attempt in (state, partial(work.stage, files=["a.txt"], staged=False), partial(work.commit, message="m")):
        with pytest.raises(AidpError, match=words) as failed:
            await attempt(git)
        assert failed.value.code == code
        assert failed.value.next_step
    assert (repo.root / "a.txt").read_text() == "changed"


async def test_a_lock_that_a_killed_command_of_ours_left_is_taken_away(repo: Repo, locks: Locks) -> None:
    git = Git(repo.root, locks, patience_s=0)
    killed = await git.write("-c", "alias.die=!touch .git/index.lock; kill -9 $PPID", "die", check=False)
    assert killed.returncode == -9
    assert not git.layout.lock.exists()
    git.layout.lock.touch()  # that of another one stays
    assert (await git.write("-c", "alias.die=!kill -9 $PPID", "die", check=False)).returncode == -9
    assert git.layout.lock.exists()


async def test_a_tree_that_cannot_be_trusted_says_what_to_do(repo: Repo, locks: Locks) -> None:
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    git = Git(repo.root, locks)
    for place in (repo.root, repo.root / ".git"):
        os.chown(place, 12345, 12345)
    with pytest.raises(AidpError, match="does not trust") as failed:
        await state(git)
    assert "safe.directory" in (failed.value.next_step or "")


async def test_work_in_two_worktrees_comes_in_turn(repo: Repo, locks: Locks, tmp_path: Path) -> None:
    repo("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    one, other = Git(repo.root, locks), Git(tmp_path / "side", locks)
    repo.write({"b.txt": "b"})
    Repo(other.root).write({"c.txt": "c"})
    await asyncio.gather(work.stage(one, ["b.txt"], True), work.stage(other, ["c.txt"], True))
    made = await asyncio.gather(work.commit(one, "One"), work.commit(other, "Two"))
    assert made == [repo.head, Repo(other.root).head]
