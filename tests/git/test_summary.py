"""What changed in notebooks, in words."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

import pytest

from aidp_ext.git.models import Change
from aidp_ext.git.summary import summaries
from tests.git.staging import Repo, code, markdown, notebook, stream

FIRST = notebook(code("1", id="a"), code("2", id="b"), code("3", id="c"), markdown("text", id="d"))


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path)


def cells(*ids: str, **changed: dict[str, Any]) -> dict[str, Any]:
    known = {cell["id"]: cell for cell in FIRST["cells"]}
    return notebook(*((known | changed)[one] for one in ids))


def old(content: dict[str, Any]) -> dict[str, Any]:
    """The same as nbformat 4.4 has it: cells without ids."""
    said: dict[str, Any] = json.loads(json.dumps(content))
    for cell in said["cells"]:
        del cell["id"]
    return said


async def said(repo: Repo, path: str = "a.ipynb", kind: Any = "modified", *, staged: bool = False, **more: Any) -> str:
    where: Literal["yes", "no"] = "yes" if staged else "no"
    found = await summaries(repo.git, [Change(path, kind, where, **more)], staged=staged)
    return str(found[path])


CASES = [
    (cells("a", "b", "c", "d", b=code("two", id="b")), "1 cell changed"),
    (cells("a", "b", "c", "d", a=code("x", id="a"), b=code("y", id="b"), c=code("z", id="c")), "3 cells changed"),
    (cells("a", "b", "c", "d"), "only metadata changed"),
    (cells("a", "b", "n", "c", "d", n=code("new", id="n")), "1 cell added"),
    (cells("a", "d"), "2 cells removed"),
    (cells("a", "b", "n", "d", b=code("two", id="b"), n=code("n", id="n")), "1 cell changed, 1 added, 1 removed"),
    (cells("a", "b", "c", "d", b=code("2", stream("out"), id="b")), "only outputs of 1 cell changed"),
    (cells("a", "b", "c", "d", b=code("2", id="b", count=7)), "only outputs of 1 cell changed"),
    (cells("a", "b", "c", "d", b=code("x", stream("o" * 5000), id="b")), "1 cell changed, outputs 5.1 kB"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "words"), CASES)
@pytest.mark.parametrize("staged", [True, False])
async def test_cells_are_compared_by_their_ids(repo: Repo, content: dict[str, Any], words: str, staged: bool) -> None:
    repo.stage("a.ipynb", FIRST)
    repo.commit()
    content = {**content, "metadata": {"changed": 1}}
    repo.stage("a.ipynb", content) if staged else repo.write("a.ipynb", content)
    assert await said(repo, staged=staged) == words


@pytest.mark.parametrize(("content", "words"), CASES)
async def test_cells_without_ids_are_compared_by_what_they_say(repo: Repo, content: dict[str, Any], words: str) -> None:
    repo.stage("a.ipynb", old(FIRST))
    repo.commit()
    repo.write("a.ipynb", {**old(content), "metadata": {"changed": 1}})
    assert await said(repo) == words.replace("1 cell changed, 1 added, 1 removed", "2 cells changed")


async def test_cells_that_changed_places_are_told(repo: Repo) -> None:
    repo.stage("a.ipynb", FIRST)
    repo.commit()
    repo.write("a.ipynb", cells("b", "a", "c", "d"))
    assert await said(repo) == "cells moved"


async def test_ids_that_were_made_anew_say_nothing(repo: Repo) -> None:
    repo.stage("a.ipynb", FIRST)
    repo.commit()
    again = old(FIRST)
    for number, cell in enumerate(again["cells"]):
        cell["id"] = f"new-{number}"
    repo.write("a.ipynb", again)
    assert await said(repo) == "only metadata changed"


async def test_a_new_notebook_is_told_by_its_size(repo: Repo) -> None:
    repo.write("a.ipynb", FIRST)
    assert await said(repo, kind="untracked") == "4 cells"
    repo.sh("add", ".")
    assert await said(repo, kind="added", staged=True) == "4 cells"


async def test_a_renamed_notebook_is_compared_with_what_it_was(repo: Repo) -> None:
    repo.stage("a.ipynb", FIRST)
    repo.commit()
    repo.sh("mv", "a.ipynb", "ü -x.ipynb")
    repo.stage("ü -x.ipynb", cells("a", "b", "c"))
    for staged in (True, False):
        assert await said(repo, "ü -x.ipynb", "renamed", staged=staged, old_path="a.ipynb") == "1 cell removed"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\0"])
async def test_what_is_no_notebook_is_said_to_be_none(repo: Repo, content: bytes) -> None:
    repo.stage("a.ipynb", FIRST)
    repo.commit()
    repo.stage("a.ipynb", content)
    for staged in (True, False):
        assert await said(repo, staged=staged) == "not a notebook that can be read"


async def test_what_was_no_notebook_cannot_be_compared(repo: Repo) -> None:
    repo.stage("a.ipynb", b"{")
    repo.commit()
    repo.write("a.ipynb", FIRST)
    assert await said(repo) == "4 cells; the last commit has no notebook that can be read"


async def test_a_huge_notebook_is_told_by_its_size_alone(repo: Repo) -> None:
    repo.stage("a.ipynb", notebook(code("1", stream("x" * 21_000_000))))
    for staged in (True, False):
        assert await said(repo, kind="added", staged=staged) == "outputs 21 MB"


async def test_other_files_pipes_links_and_deleted_notebooks_have_no_summary(repo: Repo) -> None:
    repo.write("a.py", "1")
    os.mkfifo(repo.root / "pipe.ipynb")
    (repo.root / "link.ipynb").symlink_to("/etc/passwd")
    changes = [Change(path, "untracked", "no") for path in ("a.py", "pipe.ipynb", "link.ipynb", "none.ipynb")]
    assert await summaries(repo.git, [*changes, Change("d.ipynb", "deleted", "no")], staged=False) == {}


async def test_a_notebook_that_did_not_change_again_is_not_read_again(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.stage("a.ipynb", FIRST)
    repo.commit()
    repo.write("a.ipynb", cells("a"))
    assert await said(repo) == "3 cells removed"
    read = repo.git.read
    asked: list[str] = []

    async def counted(*args: str, **more: Any) -> Any:
        asked.append(args[0])
        return await read(*args, **more)

    monkeypatch.setattr(repo.git, "read", counted)
    assert await said(repo) == "3 cells removed"
    assert "cat-file" not in asked
    repo.write("a.ipynb", cells("a", "b"))
    assert await said(repo) == "2 cells removed"


async def test_names_with_magic_are_names(repo: Repo) -> None:
    for name in (":(top)a.ipynb", "-x.ipynb", "a*.ipynb", "two\nlines.ipynb"):
        repo.stage(name, FIRST)
    repo.commit()
    for name in (":(top)a.ipynb", "-x.ipynb", "a*.ipynb", "two\nlines.ipynb"):
        repo.write(name, cells("a", "b", "c"))
        assert await said(repo, name) == "1 cell removed"
