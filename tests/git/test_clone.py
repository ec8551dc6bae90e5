"""Bringing a repository here, and starting one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from aidp_ext.core.errors import Conflict, InvalidRequest, NotFound, RemoteNotFound
from aidp_ext.git import clone as cloning
from aidp_ext.git.clone import NOTE, check_address, clone, first_to_open, init
from aidp_ext.git.command import Git, Locks
from aidp_ext.git.models import Progress
from aidp_ext.git.state import state
from tests.git.repo import Repo
from tests.support.git_http import GitHttpServer

GOOD = [
    "https://github.com/ana/titanic.git",
    "https://github.com/ana/titanic",
    "https://example.org:8443/a/b/c.git",
    "http://127.0.0.1:8000/a/b.git",
    "http://localhost/a/b",
    "http://[::1]:80/a/b",
    "git@github.com:ana/titanic.git",
    "ssh://git@github.com/ana/titanic.git",
]
REFUSED = [
    "", "-x", "--upload-pack=touch x", "https://ana:hunter2@github.com/a/b", "https://ghp_x@github.com/a/b",
    "https://@github.com/a/b", "ssh://git:pw@github.com/a/b", "ssh://-oProxyCommand=x/a", "-oProxyCommand=x:a/b",
    "http://example.org/a/b", "http://127.0.0.1.example.org/a", "git://github.com/a/b", "ext::sh -c x",
    "file:///srv/x", "/srv/x", "../x", "https:///a/b", "https://[::1/a", "https://a/b c", "https://a/b\nc",
    "ftp://a/b", "javascript:x y",
]  # fmt: skip


async def done(progress: object) -> list[Progress]:
    return [one async for one in progress]  # type: ignore[attr-defined]


@pytest.fixture
def source(tmp_path: Path, repo: Repo) -> Path:
    """A bare repository to clone."""
    repo.commit({"README.md": "# Titanic", "data.bin": os.urandom(200_000)})
    repo.with_remote(tmp_path / "source.git")
    return tmp_path / "source.git"


@pytest.mark.parametrize("url", GOOD)
def test_good_addresses(url: str) -> None:
    check_address(url)


@pytest.mark.parametrize("url", REFUSED)
async def test_addresses_that_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await done(clone(url, tmp_path / "x"))
    assert "hunter2" not in str(refused.value.details) + refused.value.message
    assert not list(tmp_path.iterdir())


async def test_a_clone_is_whole_and_tells_its_progress(source: Path, tmp_path: Path, locks: Locks) -> None:
    told = await done(clone(source.as_uri(), tmp_path / "mine", allow_file=True))
    assert {"Receiving objects"} <= {one.phase for one in told if one.percent == 100}
    found = await state(Git(tmp_path / "mine", locks))
    assert (found.branch, found.upstream, found.changes) == ("main", "origin/main", ())
    assert not [one for one in told if one.phase == NOTE]
    assert not list(tmp_path.glob(".*"))


async def test_a_large_repository_is_fetched_in_part(source: Path, tmp_path: Path) -> None:
    Repo(source)("config", "uploadpack.allowFilter", "true")
    told = await done(clone(source.as_uri(), tmp_path / "a", allow_file=True, size_kb=cloning.LARGE_KB))
    assert Repo(tmp_path / "a")("config", "remote.origin.partialclonefilter") == "blob:none"
    assert [one for one in told if one.phase == NOTE]
    await done(clone(source.as_uri(), tmp_path / "b", allow_file=True, mode="shallow"))
    assert Repo(tmp_path / "b")("rev-parse", "--is-shallow-repository") == "false"  # it has fewer commits than that
    await done(clone(source.as_uri(), tmp_path / "c", allow_file=True, size_kb=10))
    assert (tmp_path / "c" / "README.md").exists()


async def test_what_exists_is_not_touched(source: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "gone").symlink_to("nowhere")
    for name in ("mine", "gone"):
        with pytest.raises(Conflict):
            await done(clone(source.as_uri(), tmp_path / name, allow_file=True))
    with pytest.raises(NotFound):
        await done(clone(source.as_uri(), tmp_path / "no" / "folder", allow_file=True))


async def test_a_failed_clone_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RemoteNotFound):
        await done(clone((tmp_path / "nothing.git").as_uri(), tmp_path / "mine", allow_file=True))
    assert not list(tmp_path.iterdir())


async def test_a_folder_that_came_meanwhile_stays(source: Path, tmp_path: Path) -> None:
    running = clone(source.as_uri(), tmp_path / "mine", allow_file=True)
    await anext(running)
    (tmp_path / "mine").mkdir()
    with pytest.raises(Conflict, match="meanwhile"):
        await done(running)
    assert not list((tmp_path / "mine").iterdir())
    assert not list(tmp_path.glob(".*"))


async def test_half_clones_of_killed_servers_are_swept(source: Path, tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / f".old.aidp-clone-{ended.pid}-abcd").mkdir()
    (tmp_path / f".running.aidp-clone-{os.getpid()}-abcd").mkdir()
    await done(clone(source.as_uri(), tmp_path / "mine", allow_file=True))
    assert [path.name for path in tmp_path.glob(".*")] == [f".running.aidp-clone-{os.getpid()}-abcd"]


async def test_submodules_and_large_files_are_told(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    which = shutil.which
    monkeypatch.setattr("shutil.which", lambda name, **more: None if name == "git-lfs" else which(name, **more))
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 5\n"
    with Path(os.environ["GIT_CONFIG_GLOBAL"]).open("a") as file:  # as `git lfs install` has left it; it is gone now
        file.write('[filter "lfs"]\n\tsmudge = git-lfs smudge -- %f\n\trequired = true\n')
    repo("config", "filter.lfs.clean", "cat")
    repo.commit({".gitattributes": "*.bin filter=lfs diff=lfs\n", "x.bin": pointer, ".gitmodules": ""})
    repo.with_remote(tmp_path / "source.git")
    told = await done(clone((tmp_path / "source.git").as_uri(), tmp_path / "mine", allow_file=True))
    notes = " ".join(one.text for one in told if one.phase == NOTE)
    assert "submodules" in notes
    assert "LFS" in notes
    assert (tmp_path / "mine" / "x.bin").read_text() == pointer


async def test_a_repository_is_started_in_a_folder(tmp_path: Path, locks: Locks) -> None:
    (tmp_path / "a.txt").write_text("a")
    git = await init(tmp_path, locks)
    found = await state(git)
    assert (found.branch, [change.path for change in found.changes]) == ("main", ["a.txt"])
    with pytest.raises(Conflict):
        await init(tmp_path, locks)
    with pytest.raises(NotFound):
        await init(tmp_path / "nothing", locks)


def test_what_to_open_first(tmp_path: Path) -> None:
    assert first_to_open(tmp_path) is None
    made = Repo(tmp_path)
    made.write({"src/b.ipynb": "", "src/a.ipynb": "", ".hidden/x.ipynb": "", "z.py": ""})
    assert first_to_open(tmp_path) == "src/a.ipynb"
    made.write({"one.ipynb": ""})
    assert first_to_open(tmp_path) == "one.ipynb"
    made.write({"README.rst": ""})
    assert first_to_open(tmp_path) == "README.rst"
    made.write({"readme.md": ""})
    assert first_to_open(tmp_path) == "readme.md"
    (tmp_path / "README.en.md").symlink_to("/etc/passwd")
    assert first_to_open(tmp_path) == "readme.md"


async def test_closing_a_clone_ends_its_processes_and_leaves_nothing(tmp_path: Path) -> None:
    with GitHttpServer(tmp_path / "served") as server:
        server.add_repository("ana/titanic", files={"a.txt": "a"}, private=False)
        server.gate.clear()
        running = asyncio.create_task(done(clone(f"{server.url}/ana/titanic.git", tmp_path / "mine")))
        await asyncio.to_thread(server.reached.wait, 60)
        processes = [one for one in psutil.Process().children(recursive=True) if "clone" in " ".join(one.cmdline())]
        assert processes
        assert list(tmp_path.glob(".mine*"))
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        assert not psutil.wait_procs(processes, timeout=0)[1]
        assert not list(tmp_path.glob("*mine*"))
