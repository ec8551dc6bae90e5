"""Stage, commit, take back, branch, fetch, push, pull."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aidp_ext.core.errors import (
    CannotUndo,
    Conflict,
    HookChangedFiles,
    HookFailed,
    IdentityUnknown,
    IndexChanged,
    InvalidRequest,
    LocalChanges,
    MergeConflict,
    NotFound,
    NothingToCommit,
    RemoteMoved,
    RemoteNotFound,
)
from aidp_ext.git import work
from aidp_ext.git.command import Git, Locks
from aidp_ext.git.models import Author, Progress
from aidp_ext.git.state import state
from tests.git.repo import Repo


async def done(progress: object) -> list[Progress]:
    return [one async for one in progress]  # type: ignore[attr-defined]


@pytest.fixture
def other(repo: Repo, tmp_path: Path) -> Repo:
    """Another clone of the repository's remote."""
    repo.with_remote(tmp_path / "remote.git")
    return repo.other_clone(tmp_path / "other")


# ---- the index


async def test_files_are_staged_and_taken_back(git: Git, repo: Repo) -> None:
    repo.commit({"gone.txt": "g"})
    repo.write({"a.txt": "changed", "new.txt": "n", "other.txt": "o"})
    (repo.root / "gone.txt").unlink()
    await work.stage(git, ["a.txt", "gone.txt", "new.txt"], True)
    assert repo("status", "--porcelain") == "M  a.txt\nD  gone.txt\nA  new.txt\n?? other.txt"
    await work.stage(git, ["a.txt", "gone.txt", "new.txt"], False)
    assert repo("status", "--porcelain") == " M a.txt\n D gone.txt\n?? new.txt\n?? other.txt"
    assert (repo.root / "a.txt").read_text() == "changed"
    await work.stage(git, [], True)


async def test_a_rename_is_taken_back_whole(git: Git, repo: Repo) -> None:
    repo("mv", "a.txt", "A.txt")  # of case only
    await work.stage(git, ["A.txt"], False)
    assert repo("status", "--porcelain") == " D a.txt\n?? A.txt"


async def test_before_the_first_commit_staging_works_too(tmp_path: Path, locks: Locks) -> None:
    made = Repo.make(tmp_path / "r")
    made.write({"a.txt": "a", "-x": "x"})
    git = Git(made.root, locks)
    await work.stage(git, ["a.txt", "-x"], True)
    made.write({"a.txt": "changed since"})
    await work.stage(git, ["a.txt"], False)
    assert made("status", "--porcelain") == "A  -x\n?? a.txt"
    assert (made.root / "a.txt").read_text() == "changed since"


async def test_odd_names_are_staged_as_they_are_told(git: Git, repo: Repo) -> None:
    repo.write(dict.fromkeys(["new\nline", "-x", "--all", "*", ":(top)b", '"q"', b"caf\xe9"], "1"))
    repo.write({"not-asked.txt": "n"})
    paths = [change.path for change in (await state(git)).changes if change.path != "not-asked.txt"]
    await work.stage(git, paths, True)
    staged = {change.path: change.staged for change in (await state(git)).changes}
    assert staged == {**dict.fromkeys(paths, "yes"), "not-asked.txt": "no"}
    await work.stage(git, paths, False)
    assert {change.staged for change in (await state(git)).changes} == {"no"}


@pytest.mark.parametrize(
    ("path", "error"),
    [("../x", InvalidRequest), ("/etc/passwd", InvalidRequest), (".git/config", InvalidRequest), ("nothing", NotFound),
     ("link/secret.txt", InvalidRequest), ("ignored.log", Conflict), ("nested/", Conflict)],
)  # fmt: skip
async def test_what_cannot_be_staged_is_told(
    git: Git, repo: Repo, tmp_path: Path, path: str, error: type[Exception]
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret")
    (repo.root / "link").symlink_to(tmp_path / "outside")
    repo.write({".gitignore": "*.log", "ignored.log": ""})
    Repo.make(repo.root / "nested").commit({"x": "x"})
    with pytest.raises(error):
        await work.stage(git, [path], True)
    assert repo("diff", "--cached", "--name-only") == ""


async def test_a_link_out_of_the_repository_is_staged_as_a_link(git: Git, repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (repo.root / "link").symlink_to(tmp_path / "secret.txt")
    await work.stage(git, ["link"], True)
    assert repo.staged("link") == str(tmp_path / "secret.txt")


async def test_the_staged_diff_is_cut_and_names_large_files_only(git: Git, repo: Repo) -> None:
    repo("config", "diff.noprefix", "true")
    repo("config", "color.ui", "always")
    repo("config", "diff.external", "false")
    repo.write({"a.txt": "one\n2\nthree\n", "big.csv": "x\n" * 1_000_000, "not-staged.txt": ""})
    repo("add", "a.txt", "big.csv")
    diff = await work.staged_diff(git, 100_000)
    assert "--- a/a.txt\n+++ b/a.txt\n" in diff
    assert "-two\n+2\n" in diff
    assert "Binary files /dev/null and b/big.csv differ" in diff
    assert len(await work.staged_diff(git, 50)) == 50


# ---- commits


async def test_a_commit_has_its_message_trailers_and_author(git: Git, repo: Repo) -> None:
    repo.write({"a.txt": "changed"})
    await work.stage(git, ["a.txt"], True)
    message = "feat: ünï\n\n# not a comment\n-m"
    author = Author("Bea", "bea@example.org")
    made = await work.commit(git, message, trailers=[("MLflow-Run", "abc"), ("MLflow-Run", "def")], author=author)
    assert made == repo.head
    assert repo("log", "-1", "--format=%B").strip() == f"{message}\n\nMLflow-Run: abc\nMLflow-Run: def"
    assert repo("log", "-1", "--format=%an %ae %cn") == "Bea bea@example.org Bea"


async def test_nothing_staged_and_no_message_are_told(git: Git, repo: Repo) -> None:
    repo.write({"b.txt": "b"})
    with pytest.raises(NothingToCommit):
        await work.commit(git, "message")
    for message in ("", " \n", "a\0b"):
        with pytest.raises(InvalidRequest):
            await work.commit(git, message)
    with pytest.raises(InvalidRequest):
        await work.commit(git, "m", trailers=[("Run", "a\nEvil: yes")])


async def test_the_first_commit(tmp_path: Path, locks: Locks) -> None:
    made = Repo.make(tmp_path / "r")
    git = Git(made.root, locks)
    with pytest.raises(NothingToCommit):
        await work.commit(git, "First")
    made.write({"a.txt": "a"})
    await work.stage(git, ["a.txt"], True)
    assert await work.commit(git, "First") == made.head


async def test_without_an_identity_it_is_asked_for(git: Git, repo: Repo) -> None:
    Path(os.environ["GIT_CONFIG_GLOBAL"]).write_text("[user]\n\tuseConfigOnly = true\n")
    repo.write({"a.txt": "changed"})
    await work.stage(git, ["a.txt"], True)
    with pytest.raises(IdentityUnknown) as failed:
        await work.commit(git, "message")
    assert failed.value.next_step
    await work.commit(git, "message", author=Author("Ana", "ana@example.org"))


async def test_something_else_than_was_looked_at_is_not_committed(git: Git, repo: Repo) -> None:
    repo.write({"a.txt": "changed"})
    await work.stage(git, ["a.txt"], True)
    seen = await work.index_tree(git)
    repo.write({"a.txt": "changed again"})
    await work.stage(git, ["a.txt"], True)
    head = repo.head
    with pytest.raises(IndexChanged):
        await work.commit(git, "message", expected_tree=seen)
    assert repo.head == head
    await work.commit(git, "message", expected_tree=await work.index_tree(git))


async def test_a_hook_that_refuses_is_quoted(git: Git, repo: Repo) -> None:
    repo.hook("pre-commit", "echo 'flake: nothing to commit, CONFLICT ( No space left on device'; echo 'E501'; exit 1")
    repo.write({"a.txt": "changed"})
    await work.stage(git, ["a.txt"], True)
    head = repo.head
    with pytest.raises(HookFailed, match="pre-commit") as failed:
        await work.commit(git, "message")
    assert failed.value.details["output"].endswith("E501")
    assert repo.head == head


async def test_a_hook_that_changes_what_is_committed_is_told(git: Git, repo: Repo) -> None:
    repo.hook("pre-commit", "echo formatted > a.txt; git add a.txt")
    repo.write({"a.txt": "changed"})
    await work.stage(git, ["a.txt"], True)
    with pytest.raises(HookChangedFiles) as changed:
        await work.commit(git, "message", expected_tree=await work.index_tree(git))
    assert (changed.value.details["commit"], changed.value.details["files"]) == (repo.head, ["a.txt"])


async def test_a_hook_that_changes_only_working_files_changes_no_commit(git: Git, repo: Repo) -> None:
    repo.hook("pre-commit", "echo formatted > a.txt")
    repo.write({"a.txt": "changed"})
    await work.stage(git, ["a.txt"], True)
    await work.commit(git, "message", expected_tree=await work.index_tree(git))
    assert repo("show", "HEAD:a.txt") == "changed"


# ---- taking back


async def test_the_last_commit_is_taken_back_and_nothing_is_lost(git: Git, repo: Repo) -> None:
    first = repo.head
    repo.commit({"a.txt": "changed", "b.txt": "b"}, "feat: two\n\nlines")
    repo.write({"c.txt": "c"})
    assert await work.undo_commit(git) == "feat: two\n\nlines"
    assert repo.head == first
    assert repo("status", "--porcelain") == "M  a.txt\nA  b.txt\n?? c.txt"


async def test_the_first_commit_is_taken_back_too(git: Git, repo: Repo) -> None:
    await work.undo_commit(git)
    assert repo("status", "--porcelain") == "A  a.txt"
    assert (await state(git)).head is None
    with pytest.raises(CannotUndo, match="no commit"):
        await work.undo_commit(git)


async def test_what_is_on_a_remote_stays(git: Git, repo: Repo, other: Repo) -> None:
    with pytest.raises(CannotUndo, match="on a remote"):
        await work.undo_commit(git)
    repo.commit({"b.txt": "b"})
    repo("push", "-q")
    with pytest.raises(CannotUndo, match="on a remote"):
        await work.undo_commit(git)


async def test_a_merge_and_a_first_commit_without_branch_stay(git: Git, repo: Repo) -> None:
    repo("switch", "-q", "--detach")
    with pytest.raises(CannotUndo, match="only on a branch"):
        await work.undo_commit(git)
    repo.commit({"b.txt": "b"})
    repo("merge", "-q", "--no-ff", "-m", "m", repo("commit-tree", "-p", "HEAD~1", "-m", "x", "HEAD~1^{tree}"))
    with pytest.raises(CannotUndo, match="two branches"):
        await work.undo_commit(git)


# ---- branches


@pytest.mark.parametrize("name", ["release-1.0", "ünï/ço-de", "a.b"])
async def test_a_branch_is_made_and_work_comes_along(git: Git, repo: Repo, name: str) -> None:
    repo.write({"a.txt": "changed", "b.txt": "b"})
    await work.create_branch(git, name)
    assert repo("branch", "--show-current") == name
    assert (repo.root / "a.txt").read_text() == "changed"
    with pytest.raises(Conflict, match="already"):
        await work.create_branch(git, name)


async def test_a_branch_may_start_elsewhere_and_follows_nothing(git: Git, repo: Repo, other: Repo) -> None:
    repo.commit({"b.txt": "b"})
    await work.create_branch(git, "feature", "origin/main")
    assert not (repo.root / "b.txt").exists()
    assert (await state(git)).upstream is None
    for start in ("nothing", "--all", "-x"):
        with pytest.raises(NotFound):
            await work.create_branch(git, "more", start)


async def test_a_branch_whose_files_are_in_the_way_is_not_gone_to(git: Git, repo: Repo) -> None:
    repo.commit({"a.txt": "second"})
    repo.write({"a.txt": "mine"})
    with pytest.raises(LocalChanges) as failed:
        await work.create_branch(git, "old", "HEAD~1")
    assert failed.value.details["files"] == ["a.txt"]
    assert (repo.root / "a.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["-x", "--force", "ünï/ço de", "a..b", ""])
async def test_names_that_git_would_not_take_are_refused(git: Git, repo: Repo, other: Repo, name: str) -> None:
    with pytest.raises(InvalidRequest):
        await work.create_branch(git, name)
    with pytest.raises(InvalidRequest):
        await done(work.push(git, "origin", name))
    with pytest.raises(InvalidRequest):
        await done(work.fetch(git, name))


async def test_before_the_first_commit_a_branch_can_be_named(tmp_path: Path, locks: Locks) -> None:
    made = Repo.make(tmp_path / "r")
    await work.create_branch(Git(made.root, locks), "feature")
    assert made("symbolic-ref", "HEAD") == "refs/heads/feature"


# ---- remotes


async def test_a_branch_is_pushed_alone_and_without_tags(git: Git, repo: Repo, other: Repo) -> None:
    repo("config", "push.followTags", "true")
    repo("config", "push.default", "matching")
    repo("switch", "-q", "-c", "release-1.0")
    repo.commit({"b.txt": "b"})
    repo("tag", "-a", "-m", "v1", "v1")
    repo("branch", "-f", "main")
    progress = await done(work.push(git, "origin", "release-1.0", set_upstream=True))
    assert any(one.percent == 100 for one in progress)
    assert sorted(repo("ls-remote", "origin").split()[1::2]) == ["HEAD", "refs/heads/main", "refs/heads/release-1.0"]
    assert (await state(git)).upstream == "origin/release-1.0"


async def test_a_remote_that_moved_is_told_pulled_and_pushed_to(git: Git, repo: Repo, other: Repo) -> None:
    other.commit({"theirs.txt": "t"})
    other("push", "-q")
    repo.commit({"mine.txt": "m"})
    with pytest.raises(RemoteMoved) as moved:
        await done(work.push(git, "origin", "main"))
    assert moved.value.next_step
    with pytest.raises(RemoteMoved):
        await work.pull(git, "ff-only")
    repo.write({"a.txt": "not committed"})
    await work.pull(git, "rebase")
    assert (repo.root / "a.txt").read_text() == "not committed"
    await done(work.push(git, "origin", "main"))
    assert (await state(git)).ahead == 0


async def test_a_pull_merges_where_told_so_and_touches_nothing_without_news(git: Git, repo: Repo, other: Repo) -> None:
    assert not await work.integrate(git, "rebase")
    other.commit({"theirs.txt": "t"})
    other("push", "-q")
    repo.commit({"mine.txt": "m"})
    before = repo.head
    await work.pull(git, "merge")
    assert repo("log", "-1", "--format=%P").split()[0] == before
    assert (repo.root / "theirs.txt").exists()


async def test_an_unborn_branch_takes_what_it_follows(tmp_path: Path, locks: Locks, repo: Repo, other: Repo) -> None:
    made = Repo.make(tmp_path / "r")
    made("remote", "add", "origin", str(tmp_path / "remote.git"))
    made("config", "branch.main.remote", "origin")
    made("config", "branch.main.merge", "refs/heads/main")
    await work.pull(Git(made.root, locks), "rebase")
    assert made.head == repo.head


@pytest.mark.parametrize("how", ["rebase", "merge"])
async def test_conflicts_name_their_files_and_lead_back_and_on(
    git: Git, repo: Repo, other: Repo, how: work.How
) -> None:
    other.commit({"a.txt": "theirs\n"})
    other("push", "-q")
    repo.commit({"a.txt": "mine\n"})
    head = repo.head
    repo.write({"b.txt": "not committed"})
    with pytest.raises(MergeConflict) as conflict:
        await work.pull(git, how)
    assert conflict.value.details["files"] == ["a.txt"]
    assert (await state(git)).operation == how
    with pytest.raises(MergeConflict):
        await work.integrate(git, how)
    with pytest.raises(MergeConflict):
        await work.carry_on(git)
    await work.abort(git)
    found = await state(git)
    assert (found.operation, found.head, repo("show", "HEAD:a.txt")) == (None, head, "mine")
    with pytest.raises(Conflict):
        await work.abort(git)
    with pytest.raises(MergeConflict):
        await work.pull(git, how)
    repo.write({"a.txt": "both\n"})
    await work.stage(git, ["a.txt"], True)
    await work.carry_on(git)
    found = await state(git)
    assert (found.operation, found.behind, found.branch) == (None, 0, "main")
    assert (repo.root / "b.txt").read_text() == "not committed"


async def test_uncommitted_changes_are_not_overwritten(git: Git, repo: Repo, other: Repo) -> None:
    other.commit({"a.txt": "theirs\n"})
    other("push", "-q")
    repo.write({"a.txt": "mine, not committed\n"})
    with pytest.raises(LocalChanges):
        await work.pull(git, "merge")
    assert (repo.root / "a.txt").read_text() == "mine, not committed\n"
    with pytest.raises(LocalChanges, match="stash"):
        await work.pull(git, "rebase")
    assert repo("stash", "show", "-p", "stash@{0}").endswith("+mine, not committed")


async def test_what_follows_nothing_and_unknown_remotes_are_told(git: Git, repo: Repo) -> None:
    with pytest.raises(Conflict, match="follows no branch"):
        await work.pull(git, "rebase")
    with pytest.raises(RemoteNotFound):
        await done(work.push(git, "origin", "main"))
    repo("remote", "add", "origin", "/nowhere/at/all.git")
    with pytest.raises(RemoteNotFound):
        await done(work.fetch(git, "origin"))
    repo("switch", "-q", "--detach")
    with pytest.raises(Conflict, match="No branch"):
        await work.pull(git, "rebase")


async def test_the_default_branch_of_a_remote(git: Git, repo: Repo, other: Repo, locks: Locks) -> None:
    assert await work.default_branch(Git(other.root, locks), "origin") == "main"
    assert await work.default_branch(git, "origin") == "main"  # without the remote's HEAD, by its name
    repo("remote", "add", "two", "/nowhere")
    assert await work.default_branch(git, "two") is None


async def test_all_is_staged_and_taken_back_at_once(git: Git, repo: Repo) -> None:
    repo.write({"a.txt": "changed\n", "new/b.txt": "new\n"})
    await work.stage(git, ["."], True)
    assert repo("diff", "--cached", "--name-only").split() == ["a.txt", "new/b.txt"]
    await work.stage(git, ["."], False)
    assert repo("diff", "--cached", "--name-only") == ""
    Repo.make(repo.root / "nested").commit({"x": "1"})
    with pytest.raises(Conflict, match="of its own"):
        await work.stage(git, ["."], True)
