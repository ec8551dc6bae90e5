"""What is not committed, kept as a patch, and branches made of it: nobody's working tree or index is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from aidp_ext.core.errors import InvalidRequest, NotARepository
from aidp_ext.git import snapshot as snapshots
from aidp_ext.git.snapshot import BranchTaken, CommitUnknown, PatchFails, Snapshot, root_of, snapshot, snapshot_branch
from tests.git.repo import Repo

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256))


def files_at(repo: Repo, revision: str) -> dict[str, str]:
    """Return what a commit holds."""
    listed = (entry.split("\t") for entry in repo("ls-tree", "-r", "-z", revision).split("\0") if entry)
    return {name: repo("cat-file", "blob", about.split(" ")[2]) for about, name in listed}


async def test_without_a_repository_there_is_nothing(tmp_path: Path) -> None:
    assert await snapshot(tmp_path) == Snapshot()
    assert root_of(tmp_path) is None


async def test_without_git_there_is_nothing(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert await snapshot(repo.root) == Snapshot()


async def test_a_clean_tree_has_no_patch(repo: Repo, tmp_path: Path) -> None:
    repo.with_remote(tmp_path / "bare")
    repo("remote", "set-url", "origin", "https://ana:secret@example.org/ana/a.git")
    (repo.root / "deep").mkdir()
    seen = await snapshot(repo.root / "deep")
    assert seen == Snapshot(repo.head, "main", "https://example.org/ana/a.git", False, None, False)
    assert root_of(repo.root / "deep") == repo.root


async def test_what_is_not_committed_comes_back_on_a_branch(repo: Repo) -> None:
    repo.commit({"b.txt": "b\n", "gone.txt": "x\n", "p.png": PNG, "run.sh": "echo\n", ".gitignore": "*.log\n"})
    start = repo.head
    repo.write({"a.txt": "one\n2\nthree\n", "new.py": "x = 1", "empty.py": "", "p.png": PNG[::-1], "a.log": "no"})
    repo.write({"ünï/ço de.py": "y = 2\n", 'a"\n.txt': "strange\n", b"\xff.txt": "not unicode\n", "data.bin": PNG})
    (repo.root / "gone.txt").unlink()
    (repo.root / "run.sh").chmod(0o755)
    (repo.root / "tool.sh").write_text("echo\n")
    (repo.root / "tool.sh").chmod(0o755)
    repo("add", "a.txt")
    repo.write({"a.txt": "one\n2\n3\n"})
    (repo.root / "link").symlink_to("/etc/passwd")
    before = (repo("status", "--porcelain", "-z"), repo("diff", "--cached"))
    seen = await snapshot(repo.root)
    assert (seen.commit, seen.dirty, seen.truncated) == (start, True, False)
    made = await snapshot_branch(repo.root, "runs/elk", start, seen.patch, {"nb/run.ipynb": b"{}"}, message="Run elk")
    assert (repo("status", "--porcelain", "-z"), repo("diff", "--cached")) == before
    assert repo("rev-parse", "runs/elk") == made and repo("rev-parse", "runs/elk~1") == start == repo.head
    assert repo("log", "-1", "--format=%s %an", made) == "Run elk Ana Test"
    held = files_at(repo, made)
    assert held["a.txt"] == "one\n2\n3" and held["new.py"] == "x = 1" and held["empty.py"] == ""
    assert held["ünï/ço de.py"] == "y = 2" and held['a"\n.txt'] == "strange" and held["nb/run.ipynb"] == "{}"
    assert {"gone.txt", "data.bin", "a.log", "link"} & {*held} == set()
    assert repo("ls-tree", made, "run.sh", "tool.sh").count("100755") == 2
    assert repo("rev-parse", f"{made}:p.png") == repo("hash-object", "p.png")
    assert held["\ufffd.txt"] == "not unicode" and len(held) == 12
    assert not [entry for entry in (repo.root / ".git").iterdir() if entry.name.startswith("aidp-")]


async def test_jupyters_own_copies_are_no_part_of_it(repo: Repo) -> None:
    repo.write({".ipynb_checkpoints/a-checkpoint.ipynb": "{}", "nb/.ipynb_checkpoints/b-checkpoint.ipynb": "{}"})
    seen = await snapshot(repo.root)
    assert (seen.dirty, seen.patch) == (False, None)


async def test_before_the_first_commit_the_patch_is_of_everything(tmp_path: Path) -> None:
    repo = Repo.make(tmp_path / "new")
    repo.write({"a.py": "a = 1\n", "b.py": "b = 1\n"})
    repo("add", "a.py")
    seen = await snapshot(repo.root)
    assert (seen.commit, seen.branch, seen.dirty) == (None, "main", True)
    assert seen.patch is not None and seen.patch.count(b"new file mode") == 2


async def test_a_detached_head_has_no_branch(repo: Repo) -> None:
    repo("switch", "--quiet", "--detach")
    assert (await snapshot(repo.root))[:2] == (repo.head, None)


async def test_settings_of_the_user_do_not_change_the_patch(repo: Repo) -> None:
    for name, value in {"diff.noprefix": "true", "diff.external": "false", "color.diff": "always"}.items():
        repo("config", name, value)
    repo("config", "apply.whitespace", "error-all")
    repo.write({"a.txt": "one  \ntwo\n"})
    seen = await snapshot(repo.root)
    made = await snapshot_branch(repo.root, "b", repo.head, seen.patch, {})
    assert repo("show", f"{made}:a.txt") == "one  \ntwo"


async def test_what_is_large_is_cut_where_a_file_ends(repo: Repo) -> None:
    repo.commit({f"{name}.txt": "".join(f"{n}\n" for n in range(2000)) for name in "bcd"})
    for name in "bcd":
        repo.write({f"{name}.txt": "".join(f"{n}!\n" for n in range(2000))})
    whole = await snapshot(repo.root)
    assert whole.patch is not None and not whole.truncated
    cut = await snapshot(repo.root, most_bytes=len(whole.patch) - 10)
    assert cut.truncated and cut.dirty and cut.patch is not None
    made = await snapshot_branch(repo.root, "cut", repo.head, cut.patch, {})
    assert repo("diff", "--name-only", repo.head, made).split() == ["b.txt", "c.txt"]
    none = await snapshot(repo.root, most_bytes=1000)
    assert none.truncated and none.dirty and none.patch is None


async def test_a_file_that_is_too_large_is_left_out_and_the_rest_is_there(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit({"[big]*.bin": "x", "big.bin": "x"})
    monkeypatch.setattr(snapshots, "_MOST_OF_ONE", 1000)
    repo.write({"[big]*.bin": "y" * 2000, "big.bin": "y" * 10, "a.txt": "1\n"})
    seen = await snapshot(repo.root)
    assert seen.truncated and seen.patch is not None
    made = await snapshot_branch(repo.root, "b", repo.head, seen.patch, {})
    assert repo("diff", "--name-only", repo.head, made).split() == ["a.txt", "big.bin"]


async def test_new_files_end_where_the_limit_is(repo: Repo) -> None:
    repo.write({f"{n}.py": f"x = {n}\n" * 20 for n in range(5)})
    seen = await snapshot(repo.root, most_bytes=500)
    assert seen.truncated and seen.patch is not None and seen.patch.count(b"new file mode") == 2


async def test_a_branch_with_nothing_new_is_the_commit_itself(repo: Repo) -> None:
    assert await snapshot_branch(repo.root, "same", repo.head, None, {"a.txt": b"one\ntwo\nthree\n"}) == repo.head
    assert repo("rev-parse", "same") == repo.head


@pytest.mark.parametrize("name", ["main", "main/deeper", "feature"])
async def test_a_name_that_is_taken_is_refused(repo: Repo, name: str) -> None:
    repo("branch", "feature/age")
    with pytest.raises(BranchTaken):
        await snapshot_branch(repo.root, name, repo.head, None, {})
    assert repo("for-each-ref", "--format=%(refname)").split() == ["refs/heads/feature/age", "refs/heads/main"]


async def test_a_branch_beside_another_of_the_same_folder_is_made(repo: Repo) -> None:
    repo("branch", "feature/age")
    await snapshot_branch(repo.root, "feature/age2", repo.head, None, {})
    assert repo("rev-parse", "feature/age2") == repo.head


@pytest.mark.parametrize("commit", ["0" * 40, "1234567"])
async def test_a_commit_that_is_not_there_is_told(repo: Repo, commit: str) -> None:
    with pytest.raises(CommitUnknown):
        await snapshot_branch(repo.root, "b", commit, None, {})


@pytest.mark.parametrize(("name", "commit"), [("-x", "0" * 40), ("a..b", "0" * 40), ("b", "--all"), ("b", "main")])
async def test_names_that_are_none_are_refused(repo: Repo, name: str, commit: str) -> None:
    with pytest.raises(InvalidRequest):
        await snapshot_branch(repo.root, name, commit, None, {})


async def test_a_patch_that_does_not_fit_leaves_nothing(repo: Repo) -> None:
    repo.write({"a.txt": "one\n2\nthree\n"})
    seen = await snapshot(repo.root)
    other = repo.commit({"a.txt": "something\nelse\n"})
    with pytest.raises(PatchFails) as failed:
        await snapshot_branch(repo.root, "b", other, seen.patch, {})
    assert "a.txt" in failed.value.details["output"]
    assert repo("branch", "--list", "b") == ""
    assert not [entry for entry in (repo.root / ".git").iterdir() if entry.name.startswith("aidp-")]


@pytest.mark.parametrize("path", ["../out.py", "/etc/x", ".git/config", "a/../b", ""])
async def test_files_stay_inside_the_repository(repo: Repo, path: str) -> None:
    with pytest.raises(InvalidRequest):
        await snapshot_branch(repo.root, "b", repo.head, None, {path: b"x"})


async def test_a_patch_that_leads_outside_is_refused(repo: Repo, tmp_path: Path) -> None:
    evil = b"diff --git a/../evil b/../evil\nnew file mode 100644\n--- /dev/null\n+++ b/../evil\n@@ -0,0 +1 @@\n+x\n"
    with pytest.raises(PatchFails):
        await snapshot_branch(repo.root, "b", repo.head, evil, {})
    assert not (tmp_path / "evil").exists()


async def test_nobody_needs_to_be_known_to_git(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    made = await snapshot_branch(repo.root, "b", repo.head, None, {"x": b"1"})
    assert repo("log", "-1", "--format=%an <%ae>", made) == "aidp <aidp@localhost>"


async def test_a_branch_is_made_only_in_a_repository(tmp_path: Path) -> None:
    with pytest.raises(NotARepository):
        await snapshot_branch(tmp_path, "b", "0" * 40, None, {})
