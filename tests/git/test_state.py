"""A repository at a glance."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aidp_ext.core import proc
from aidp_ext.git import porcelain, stamps
from aidp_ext.git.command import Git, Locks
from aidp_ext.git.models import Change, Remote
from aidp_ext.git.state import fingerprint, state
from tests.git.repo import Repo


def by_path(changes: tuple[Change, ...]) -> dict[str, Change]:
    return {change.path: change for change in changes}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Git commands that are started from here on."""
    seen: list[str] = []
    real = proc.output

    async def output(argv: list[str], **options: object) -> proc.Output:
        seen.append(next(arg for arg in argv[2:] if not arg.startswith("-") and "=" not in arg))
        return await real(argv, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(proc, "output", output)
    return seen


async def test_a_clean_repository(git: Git, repo: Repo) -> None:
    found = await state(git)
    assert (found.name, found.path, found.branch, found.head) == ("repo", "", "main", repo.head)
    assert (found.upstream, found.ahead, found.behind, found.operation) == (None, 0, 0, None)
    assert (found.changes, found.more, found.remotes, found.lock_age_s) == ((), 0, (), None)
    assert found.last is not None
    assert (found.last.subject, found.last.author, found.last.id) == ("First", "Ana Test", repo.head)
    assert found.can_undo


async def test_every_kind_of_change_with_its_lines(git: Git, repo: Repo) -> None:
    lines = "".join(f"{n}\n" for n in range(30))
    repo.commit({"gone.txt": "1\n2\n", "moved.txt": lines, "bin": b"\0\1", "both.txt": "1\n", "type.txt": "x"})
    repo.write(
        {"a.txt": "one\n2\nthree\nfour\n", "new.txt": "1\n2", "bin": b"\0\2", "both.txt": "1\n2\n", "u/v.txt": "?"}
    )
    (repo.root / "gone.txt").unlink()
    (repo.root / "type.txt").unlink()
    (repo.root / "type.txt").symlink_to("a.txt")
    repo("mv", "moved.txt", "there.txt")
    repo("add", "new.txt", "both.txt")
    repo.write({"both.txt": "1\n2\n3\n"})
    changes = by_path((await state(git)).changes)
    assert changes == {
        "a.txt": Change("a.txt", "modified", "no", added=2, removed=1, size=17),
        "gone.txt": Change("gone.txt", "deleted", "no", added=0, removed=2),
        "there.txt": Change("there.txt", "renamed", "yes", "moved.txt", added=0, removed=0, size=len(lines)),
        "new.txt": Change("new.txt", "added", "yes", added=2, removed=0, size=3),
        "bin": Change("bin", "modified", "no", size=2),
        "both.txt": Change("both.txt", "modified", "partly", added=2, removed=0, size=6),
        "type.txt": Change("type.txt", "type", "no", size=5),
        "u/v.txt": Change("u/v.txt", "untracked", "no", size=1),
    }


async def test_a_file_that_is_back_after_it_was_deleted_in_the_index_is_one_change(git: Git, repo: Repo) -> None:
    repo("rm", "--cached", "-q", "a.txt")
    (found,) = (await state(git)).changes
    assert (found.path, found.kind, found.staged) == ("a.txt", "modified", "partly")


async def test_large_files_are_not_compared(git: Git, repo: Repo) -> None:
    repo.commit({"big.csv": "1,2,3\n" * 1_000_000})
    repo.write({"big.csv": "1,2,4\n" * 1_000_000})
    (found,) = (await state(git)).changes
    assert (found.path, found.added, found.removed, found.size) == ("big.csv", None, None, 6_000_000)


async def test_ahead_behind_and_remotes(git: Git, repo: Repo, tmp_path: Path) -> None:
    repo.with_remote(tmp_path / "remote.git")
    other = repo.other_clone(tmp_path / "other")
    other.commit({"theirs.txt": "t"})
    other("push", "-q")
    repo("fetch", "-q")
    repo.commit({"mine.txt": "m"})
    repo("remote", "add", "forge", "https://ana:hunter2@example.org/ana/titanic.git")
    found = await state(git)
    assert (found.upstream, found.ahead, found.behind) == ("origin/main", 1, 1)
    assert found.remotes == (
        Remote("origin", str(tmp_path / "remote.git")),
        Remote("forge", "https://example.org/ana/titanic.git", "example.org", "ana/titanic"),
    )


async def test_a_repository_without_a_commit(tmp_path: Path, locks: Locks) -> None:
    made = Repo.make(tmp_path / "r")
    made.write({"a.txt": "1\n", "b.txt": "1\n2\n"})
    made("add", "a.txt")
    found = await state(Git(made.root, locks))
    assert (found.branch, found.head, found.last, found.can_undo) == ("main", None, None, False)
    assert found.changes == (
        Change("a.txt", "added", "yes", added=1, removed=0, size=2),
        Change("b.txt", "untracked", "no", size=4),
    )


async def test_a_detached_head_has_no_branch(git: Git, repo: Repo) -> None:
    repo("switch", "-q", "--detach")
    found = await state(git)
    assert (found.branch, found.head) == (None, repo.head)
    assert not found.can_undo  # it would leave HEAD without anything


@pytest.mark.parametrize("name", ["release-1.0", "ünï/ço-de", "a.b/c.d"])
async def test_odd_branches_have_their_names(git: Git, repo: Repo, tmp_path: Path, name: str) -> None:
    repo("switch", "-q", "-c", name)
    repo.with_remote(tmp_path / "remote.git")
    found = await state(git)
    assert (found.branch, found.upstream) == (name, f"origin/{name}")


async def test_odd_file_names(git: Git, repo: Repo) -> None:
    names: list[str | bytes] = [
        "new\nline.txt",
        "-x",
        "tab\there",
        '"quoted"',
        "ünï ço.txt",
        b"caf\xe9.txt",
        " ",
        "a -> b",
    ]
    repo.write(dict.fromkeys(names, "1\n"))
    repo("add", "--all")
    paths = {change.path: change.added for change in (await state(git)).changes}
    shown = {'"\\042quoted\\042"', '"caf\\351.txt"', *(n for n in names if isinstance(n, str) and n != '"quoted"')}
    assert paths == dict.fromkeys(shown, 1)
    repo("commit", "-q", "-m", "odd")
    repo.write(dict.fromkeys(names, "1\n2\n"))
    assert {change.path: change.added for change in (await state(git)).changes} == dict.fromkeys(shown, 1)


async def test_a_rename_of_case_only(git: Git, repo: Repo) -> None:
    repo("mv", "a.txt", "A.txt")
    (found,) = (await state(git)).changes
    assert (found.path, found.old_path, found.kind) == ("A.txt", "a.txt", "renamed")


async def test_links_out_of_the_repository_are_not_followed(git: Git, repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret")
    (repo.root / "link").symlink_to(tmp_path / "outside")
    (found,) = (await state(git)).changes
    assert (found.path, found.size) == ("link", len(str(tmp_path / "outside")))


async def test_submodules_are_marked(git: Git, repo: Repo, tmp_path: Path) -> None:
    library = Repo.make(tmp_path / "library")
    library.commit({"lib.py": "x = 1\n"})
    repo("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library.root), "lib")
    repo.commit({})
    Repo(repo.root / "lib").commit({"lib.py": "x = 2\n"})
    (found,) = (await state(git)).changes
    assert found == Change("lib", "modified", "no", submodule=True)


async def test_conflicts_and_what_is_under_way(git: Git, repo: Repo) -> None:
    repo("switch", "-q", "-c", "side")
    repo.commit({"a.txt": "side\n"})
    repo("switch", "-q", "main")
    repo.commit({"a.txt": "main\n"})
    with pytest.raises(AssertionError):
        repo("merge", "side")
    found = await state(git)
    assert (found.operation, found.can_undo) == ("merge", False)
    assert [(change.path, change.kind, change.staged) for change in found.changes] == [("a.txt", "conflict", "no")]
    repo("merge", "--abort")
    with pytest.raises(AssertionError):
        repo("rebase", "side")
    assert (await state(git)).operation == "rebase"


async def test_what_is_beyond_the_limit_is_counted(git: Git, repo: Repo) -> None:
    repo.write({f"u/{n}.txt": "" for n in range(2005)})
    repo("mv", "a.txt", "b.txt")
    found = await state(git)
    assert (len(found.changes), found.more) == (porcelain.MOST_CHANGES, 6)
    assert found.changes[0].kind == "renamed"


async def test_a_lock_left_behind_is_shown_and_in_nobodys_way(git: Git) -> None:
    git.layout.lock.touch()
    os.utime(git.layout.lock, (1, 1))
    age = (await state(git)).lock_age_s
    assert age is not None
    assert age > 1_000_000


async def test_the_last_commit_can_be_undone_until_it_is_on_a_remote(git: Git, repo: Repo, tmp_path: Path) -> None:
    repo.with_remote(tmp_path / "remote.git")
    assert not (await state(git)).can_undo
    repo.commit({"b.txt": "b"})
    assert (await state(git)).can_undo
    repo("push", "-q", "origin", "HEAD:refs/heads/elsewhere")
    assert not (await state(git)).can_undo


async def test_looking_changes_nothing(git: Git, repo: Repo) -> None:
    repo.write({"a.txt": "changed\n", "b.txt": "b"})
    before = {path: path.stat().st_mtime_ns for path in (repo.root / ".git").rglob("*") if path.is_file()}
    await state(git)
    assert {path: path.stat().st_mtime_ns for path in (repo.root / ".git").rglob("*") if path.is_file()} == before


async def test_a_second_look_starts_one_process(git: Git, repo: Repo, started: list[str]) -> None:
    repo.write({"a.txt": "changed\n", "b.txt": "b"})
    first = await state(git)
    assert sorted(started) == ["diff-files", "log", "remote", "rev-list", "status", "update-index"]
    started.clear()
    assert await state(git) == first
    assert started == ["status"]


async def test_the_fingerprint_costs_no_process_and_stays(git: Git, repo: Repo, started: list[str]) -> None:
    repo.write({"a.txt": "changed\n", "b.txt": "b"})
    found = await state(git)
    started.clear()
    assert await fingerprint(git) == found.fingerprint
    assert await fingerprint(git) == found.fingerprint
    assert started == []
    assert (await state(git)).fingerprint == found.fingerprint


@pytest.mark.parametrize(
    "what", ["stage", "commit", "branch", "edit", "new", "fetch", "remote", "lock", "merge", "ignore"]
)
async def test_the_fingerprint_tells_a_change(git: Git, repo: Repo, tmp_path: Path, what: str) -> None:
    repo.with_remote(tmp_path / "remote.git")
    other = repo.other_clone(tmp_path / "other")
    other.commit({"theirs.txt": "t"})
    other("push", "-q")
    repo.write({"a.txt": "changed\n"})
    before = (await state(git)).fingerprint
    if what == "stage":
        repo("add", "a.txt")
    elif what == "commit":
        repo("commit", "-q", "--allow-empty", "-m", "empty")
    elif what == "branch":
        repo("switch", "-q", "-c", "other")
    elif what == "edit":
        repo.write({"a.txt": "changed again\n"})
    elif what == "new":
        repo.write({"b.txt": "b"})
    elif what == "fetch":
        repo("fetch", "-q")
    elif what == "remote":
        repo("remote", "add", "two", "/nowhere")
    elif what == "lock":
        git.layout.lock.touch()
    elif what == "merge":
        repo("fetch", "-q")
        repo("merge", "-q", "--no-commit", "--no-ff", "origin/main")
    else:
        repo.write({".gitignore": "x"})
    assert await fingerprint(git) != before
    assert (await state(git)).fingerprint != before


async def test_the_fingerprint_grows_old_once_a_minute(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await state(git)
    monkeypatch.setattr(stamps, "STALE_S", -1.0)
    assert await fingerprint(git) != found.fingerprint
    monkeypatch.undo()
    assert (await state(git)).fingerprint == found.fingerprint


async def test_before_the_first_look_the_fingerprint_is_none_that_was_told(git: Git) -> None:
    before = await fingerprint(git)
    assert (await state(git)).fingerprint != before
