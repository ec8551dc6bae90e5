"""Which repository a path of the workspace is in."""

from __future__ import annotations

from pathlib import Path

import pytest

from aidp_ext.core import proc
from aidp_ext.core.errors import Forbidden, InvalidRequest, NotARepository
from aidp_ext.git.command import Locks
from aidp_ext.git.repositories import Repositories
from tests.git.repo import Repo


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    return made


@pytest.fixture
def repositories(workspace: Path, locks: Locks) -> Repositories:
    return Repositories(workspace, locks, {})


async def test_a_file_or_folder_is_in_the_innermost_repository(workspace: Path, repositories: Repositories) -> None:
    outer = Repo.make(workspace / "outer")
    inner = Repo.make(outer.root / "deep" / "inner")
    outer.write({"x/y.txt": ""})
    for path in ("outer", "outer/x", "outer/x/y.txt", "outer/x/deleted/before.txt", "/outer"):
        assert (await repositories.at(path)).root == outer.root
    git = await repositories.at("outer/deep/inner")
    assert (git.root, git.path) == (inner.root, "outer/deep/inner")


async def test_it_is_found_without_a_process_the_second_time(
    workspace: Path, repositories: Repositories, monkeypatch: pytest.MonkeyPatch
) -> None:
    Repo.make(workspace / "r")
    first = await repositories.at("r")
    monkeypatch.setattr(proc, "output", None)
    assert await repositories.at("r") is first


async def test_another_repository_in_its_place_is_noticed(workspace: Path, repositories: Repositories) -> None:
    made = Repo.make(workspace / "r")
    first = await repositories.at("r")
    made.root.rename(workspace / "old")
    Repo.make(workspace / "r")
    assert await repositories.at("r") is not first


async def test_the_top_may_be_above_the_workspace_that_lies_in_it(tmp_path: Path, locks: Locks) -> None:
    made = Repo.make(tmp_path / "r")
    made.write({"a/b/c.txt": ""})
    git = await Repositories(made.root / "a" / "b", locks, {}).at("c.txt")
    assert (git.root, git.path) == (made.root, "../..")


@pytest.mark.parametrize("path", ["..", "../other", "r/../../other", "link", "link/deeper"])
async def test_nothing_out_of_the_workspace_is_reached(
    tmp_path: Path, workspace: Path, repositories: Repositories, path: str
) -> None:
    Repo.make(tmp_path / "other")
    Repo.make(workspace / "r")
    (workspace / "link").symlink_to(tmp_path / "other")
    with pytest.raises(Forbidden):
        await repositories.at(path)


async def test_no_repository_is_told(workspace: Path, repositories: Repositories) -> None:
    (workspace / "empty").mkdir()
    for path in ("", "empty", "nothing/here"):
        with pytest.raises(NotARepository) as failed:
            await repositories.at(path)
        assert failed.value.next_step
    with pytest.raises(InvalidRequest):
        await repositories.at("a\0b")


async def test_a_bare_repository_and_gits_own_folder_are_refused(workspace: Path, repositories: Repositories) -> None:
    Repo.make(workspace / "bare.git", "--bare")
    Repo.make(workspace / "r")
    for path in ("bare.git", "r/.git", "r/.git/objects"):
        with pytest.raises(NotARepository, match="without working files"):
            await repositories.at(path)


@pytest.mark.parametrize("damage", ["HEAD", "config", "objects"])
async def test_a_damaged_repository_is_told(workspace: Path, repositories: Repositories, damage: str) -> None:
    made = Repo.make(workspace / "r")
    place = made.root / ".git" / damage
    if damage == "objects":
        place.rename(made.root / "elsewhere")
    else:
        place.write_text("\0rubbish")
    with pytest.raises(Exception) as failed:
        await repositories.at("r")
    assert failed.value.code in ("not_a_repository", "git_failed")  # type: ignore[attr-defined]


async def test_working_files_elsewhere_are_refused(tmp_path: Path, workspace: Path, repositories: Repositories) -> None:
    made = Repo.make(workspace / "r")
    made("config", "core.worktree", str(tmp_path))
    with pytest.raises(NotARepository):
        await repositories.at("r")


async def test_submodules_and_worktrees_are_repositories_of_their_own(
    tmp_path: Path, workspace: Path, repositories: Repositories
) -> None:
    library = Repo.make(tmp_path / "library")
    library.commit({"lib.py": "x = 1\n"})
    made = Repo.make(workspace / "r")
    made("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library.root), "lib")
    made.commit({"a.txt": "a"})
    made("worktree", "add", "-q", "-b", "side", str(workspace / "side"))
    assert (await repositories.at("r/lib")).root == made.root / "lib"
    assert (await repositories.at("side")).root == workspace / "side"


async def test_what_jupyter_keeps_beside_files_is_nothing_to_commit(tmp_path: Path, locks: Locks) -> None:
    repo = Repo.make(tmp_path / "work")
    (repo.root / ".git" / "info" / "exclude").write_text("mine")
    repo.write({".ipynb_checkpoints/a-checkpoint.ipynb": "{}", "sub/.ipynb_checkpoints/b": "{}", "a.ipynb": "{}"})
    for _ in range(2):
        await Repositories(tmp_path, locks, {}).at("work")
    assert (repo.root / ".git" / "info" / "exclude").read_text() == "mine\n.ipynb_checkpoints/\n.~*\n"
    assert repo("status", "--porcelain", "--untracked-files=all") == "?? a.ipynb"
