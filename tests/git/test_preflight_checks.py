"""Each check on what is staged in a real repository."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import pytest

from aidp_ext.git.preflight import apply_fix, waive
from aidp_ext.git.preflight.search import secrets_in
from tests.git.corpus import KINDS
from tests.git.staging import Repo, code, display, markdown, notebook, stream, written

TOKEN = "gh" + "p_" + "a1B2c3D4e5F6g7H8i9" + "J0k1L2m3N4o5P6q7R8"
OTHER = "gl" + "pat-" + "Zz9Yy8Xx7Ww6Vv5Uu4Tt"


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path)


async def test_checks_come_in_their_order_and_find_nothing_in_nothing(repo: Repo) -> None:
    results = await repo.check(personal=True)
    assert [*results] == ["conflicts", "notebooks", "secrets", "personal", "outputs", "large", "paths", "hooks"]
    assert not any(one.findings or one.waived or one.skipped for one in results.values())


async def test_a_secret_is_told_by_its_cell_and_never_by_what_it_says(repo: Repo) -> None:
    repo.stage("a.ipynb", notebook(code("1"), code("2", stream(f"x\n{TOKEN}\n"), id="two")))
    found = await repo.finding("secrets")
    assert (found.message, found.severity) == ("A GitHub token is in cell 2 (output).", "block")
    assert (found.cell, found.cell_id, found.line) == (2, "two", None)
    assert [fix.name for fix in found.fixes] == ["strip", "unstage"]
    assert TOKEN not in repr(found)


@pytest.mark.parametrize(
    ("path", "content", "message", "line"),
    [
        ("a.py", f"import os\nkey = '{TOKEN}'\n", "A GitHub token is in line 2.", 2),
        ("a.ipynb", notebook(code(f"1\n2\nk = '{TOKEN}'")), "A GitHub token is in cell 1, line 3.", 3),
        ("a.ipynb", notebook(markdown(f"a\n{TOKEN}")), "A GitHub token is in cell 1 (text).", None),
        ("a.ipynb", notebook(code("1", k=TOKEN)), "A GitHub token is in cell 1 (metadata).", None),
        ("a.ipynb", notebook(code("1"), k=TOKEN), "A GitHub token is in the notebook's metadata.", None),
        ("a.txt", f"\ufeff{TOKEN}".encode("utf-16"), "A GitHub token is in line 1.", 1),
        ("a.txt", b"caf\xe9\n" + TOKEN.encode(), "A GitHub token is in line 2.", 2),
    ],
)
async def test_the_place_of_a_secret(
    repo: Repo, path: str, content: bytes | str, message: str, line: int | None
) -> None:
    repo.stage(path, content)
    found = await repo.finding("secrets")
    assert (found.message, found.line) == (message, line)


async def test_one_secret_in_many_places_is_one_finding(repo: Repo) -> None:
    repo.stage("a.ipynb", notebook(code(f"k = '{TOKEN}'", stream(f"{TOKEN}\n{TOKEN}"))))
    found = await repo.finding("secrets")
    assert found.message == "A GitHub token is in cell 1, line 1, and in 2 more places."
    assert [fix.name for fix in found.fixes] == ["unstage"], "stripping would leave it in the source"


async def test_many_secrets_of_one_file_are_not_listed_without_end(repo: Repo) -> None:
    keys = ["gh" + f"p_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6{n:04}" for n in range(120)]
    repo.stage("keys.txt", "\n".join(keys))
    found = await repo.findings("secrets")
    assert len(found) == 51
    assert found[-1].message == "70 more secrets are in this file, the first in line 51."


async def test_the_index_is_looked_at_and_not_the_working_file(repo: Repo) -> None:
    repo.stage("a.py", f"k = '{TOKEN}'\n")
    repo.write("a.py", "k = None\n")
    assert await repo.findings("secrets")
    repo.sh("add", "a.py")
    repo.write("a.py", f"k = '{TOKEN}'\n")
    assert not await repo.findings("secrets")


async def test_a_secret_of_the_last_commit_warns_and_blocks_nothing(repo: Repo) -> None:
    repo.stage("a.py", f"k = '{TOKEN}'\n")
    repo.commit()
    repo.stage("a.py", f"k = '{TOKEN}'\nother = '{OTHER}'\n")
    old, new = sorted(await repo.findings("secrets"), key=lambda one: one.severity, reverse=True)
    assert (old.severity, old.message) == (
        "warn",
        "A GitHub token is in line 1. It is in the last commit already: replace it where it was issued.",
    )
    assert (new.severity, new.message) == ("block", "A GitLab token is in line 2.")


async def test_a_string_that_only_looks_random_warns(repo: Repo) -> None:
    repo.stage("a.py", "x = '" + "q7Xv2Lp9Zk4Rt8" + "Wm3Ys6Bn1Dc5Hf'\n")
    found = await repo.finding("secrets")
    assert (found.severity, found.message) == ("warn", "A random string that may be a key is in line 1.")


async def test_files_that_cannot_be_read_as_text_are_counted(repo: Repo) -> None:
    repo.stage("a.bin", b"\0\1\2" + TOKEN.encode())
    result = (await repo.check())["secrets"]
    assert (result.findings, result.note) == ((), "Not read: 1 file of no text.")


@pytest.mark.parametrize("name", ["ünï/ço de.py", "-x.py", "two\nlines.py", "tab\t.py", ":(top)a.py", "a[b]*.py"])
async def test_any_name_of_a_file_can_be_checked_and_left_out(repo: Repo, name: str) -> None:
    repo.stage(name, f"k = '{TOKEN}'\n")
    found = await repo.finding("secrets")
    assert found.path == name
    await apply_fix(repo.git, found, "unstage")
    assert repo.sh("diff", "--cached", "--name-only") == b""
    assert TOKEN.encode() in (repo.root / name).read_bytes()


async def test_a_name_that_is_no_utf8_can_be_checked_and_left_out(repo: Repo) -> None:
    blob = repo.sh("hash-object", "-w", "--stdin", stdin=f"k = '{TOKEN}'".encode()).strip()
    repo.sh("update-index", "-z", "--index-info", stdin=b"100644 " + blob + b"\tcaf\xe9.py\0")
    found = await repo.finding("secrets")
    found.path.encode()
    await apply_fix(repo.git, found, "unstage")
    assert repo.sh("diff", "--cached", "--name-only") == b""


async def test_deleted_files_links_and_submodules_have_no_content_to_look_at(repo: Repo) -> None:
    repo.stage("gone.py", f"k = '{TOKEN}'\n")
    repo.commit()
    repo.sh("rm", "-q", "gone.py")
    (repo.root / "link.py").symlink_to(f"/nowhere/{TOKEN}")
    repo.sh("add", "link.py")
    head = repo.sh("rev-parse", "HEAD").strip()
    repo.sh("update-index", "-z", "--index-info", stdin=b"160000 " + head + b"\tsub\0")
    assert not any(one.findings for one in (await repo.check()).values())


# ---- personal data


async def test_personal_data_is_looked_for_by_those_who_asked(repo: Repo) -> None:
    repo.stage("a.csv", f"name,mail\nAna,ana@example.org\nBo,bo@example.org\nkey,{TOKEN}\n")
    assert (await repo.check())["personal"].skipped == "It is switched off in the settings."
    found = await repo.finding("personal", personal=True)
    assert found.message == "2 e-mail addresses are in this file, the first in line 2."
    assert found.severity == "warn"


# ---- conflicts


async def test_conflict_markers_are_found(repo: Repo) -> None:
    repo.stage("a.py", "x = 1\n<<<<<<< HEAD\ny = 1\n=======\ny = 2\n>>>>>>> other\n")
    found = await repo.finding("conflicts")
    assert (found.message, found.severity) == ("A merge left its conflict markers in line 2.", "block")


async def test_conflict_markers_in_a_cell_are_found(repo: Repo) -> None:
    repo.stage("a.ipynb", notebook(code("<<<<<<< local\n1\n=======\n2\n>>>>>>> remote")))
    assert (await repo.finding("conflicts")).cell == 1


@pytest.mark.parametrize(
    "text",
    [
        "Heading\n=======\n\ntext\n",
        "<<<<<<< is how it begins\n\nHeading\n=======\n",
        ">>>>>>> b\n=======\n<<<<<<< a\n",
        "  <<<<<<< a\n  =======\n  >>>>>>> b\n",
    ],
)
async def test_lines_of_equals_signs_are_no_conflict(repo: Repo, text: str) -> None:
    repo.stage("a.rst", text)
    assert not await repo.findings("conflicts")


async def test_a_file_in_conflict_blocks_and_cannot_be_waived(repo: Repo) -> None:
    repo.stage("a.txt", "one\n")
    repo.commit()
    repo.sh("switch", "-q", "-c", "other")
    repo.stage("a.txt", "two\n")
    repo.commit()
    repo.sh("switch", "-q", "main")
    repo.stage("a.txt", "three\n")
    repo.commit()
    repo.sh("merge", "other", check=False)
    found = await repo.finding("conflicts")
    assert (found.path, found.severity, found.can_waive) == ("a.txt", "block", False)


# ---- notebooks


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty."),
        (b"{\n 'cells': []\n}", "it is not JSON (line 2)."),
        (b"[]", "it holds no notebook."),
        (b'{"nbformat": 4}', "it has no cells."),
        (b'{"cells": 4}', "its cells are not what a notebook's cells are."),
        (b'{"cells": [{"source": 4}]}', "its cells are not what a notebook's cells are."),
        (b"{\n<<<<<<< HEAD\n}", "a merge left conflict markers in it (line 2)."),
        (b'{"cells": ["\xff"]}', "it is not JSON in UTF-8."),
        (b"\0\0\0", "it is not JSON (line 1)."),
        (b"[" * 100_000, "it is not JSON in UTF-8."),
    ],
)
async def test_what_is_no_notebook_blocks_and_can_be_left_out(repo: Repo, content: bytes, why: str) -> None:
    repo.stage("a.ipynb", content)
    found = await repo.finding("notebooks")
    assert (found.severity, found.message) == ("block", f"This notebook cannot be opened: {why}")
    await apply_fix(repo.git, found, "unstage")
    assert not await repo.findings("notebooks")


@pytest.mark.parametrize(
    "content",
    [
        written(notebook()),
        b"\xef\xbb\xbf" + written(notebook()),
        b'{"cells": [{"source": "1", "metadata": {"x": NaN}, "outputs": []}]}',
        b'{"worksheets": [{"cells": []}], "nbformat": 3}',
    ],
)
async def test_what_is_a_notebook_passes(repo: Repo, content: bytes) -> None:
    repo.stage("a.ipynb", content)
    assert not await repo.findings("notebooks")


async def test_a_broken_notebook_is_searched_for_secrets_all_the_same(repo: Repo) -> None:
    repo.stage("a.ipynb", b"{'k': '" + TOKEN.encode() + b"'")
    assert await repo.findings("secrets")


# ---- paths


@pytest.mark.parametrize(
    "path", ["/home/" + "ana/data.csv", "/Users/" + "ana/data.csv", "C:\\Users\\" + "ana\\data.csv"]
)
async def test_a_home_folder_in_code_is_told_with_its_line(repo: Repo, path: str) -> None:
    repo.stage("a.ipynb", notebook(code(f"import x\nread(r'{path}')")))
    found = await repo.finding("paths")
    assert (found.severity, found.cell, found.line) == ("warn", 1, 2)
    assert found.message.endswith("ana is in cell 1, line 2: it will not be there for others.")


@pytest.mark.parametrize(
    "text",
    [
        "/home/" + "jovyan/work",
        "https://example.org/home/" + "ana/x",
        "~/home/" + "ana/x",
        "/home/{user}/x",
        "/homes/ana/x",
    ],
)
async def test_paths_that_everybody_has_are_not_told(repo: Repo, text: str) -> None:
    repo.stage("a.py", f"x = '{text}'\n")
    assert not await repo.findings("paths")


async def test_home_folders_in_words_and_outputs_are_not_told(repo: Repo) -> None:
    repo.stage("a.ipynb", notebook(markdown("/home/" + "ana/x"), code("1", stream("/home/" + "ana/x"))))
    repo.stage("a.md", "/home/" + "ana/x")
    assert not await repo.findings("paths")


# ---- large files


async def test_a_large_file_warns_and_can_be_ignored(repo: Repo) -> None:
    repo.write(".gitignore", "*.tmp")
    repo.stage("data/a [1].bin", b"\0" * 2000)
    found = await repo.finding("large", large_bytes=1000)
    assert (found.severity, found.size) == ("warn", 2000)
    assert found.message == "This file is 2 kB. Git keeps every version of it for ever."
    await apply_fix(repo.git, found, "ignore")
    assert (repo.root / ".gitignore").read_text() == "*.tmp\n/data/a \\[1].bin\n"
    assert repo.sh("status", "--porcelain") == b"?? .gitignore\n"
    assert (repo.root / "data/a [1].bin").stat().st_size == 2000


async def test_a_file_that_forges_refuse_blocks_and_cannot_be_waived(repo: Repo) -> None:
    repo.stage("a.bin", b"\0" * 100_000_001)
    found = await repo.finding("large", large_bytes=10**9)
    assert (found.severity, found.can_waive) == ("block", False)
    assert (await repo.check())["secrets"].note == "Not read: 1 file of more than 48 MB."


async def test_a_notebook_that_is_large_by_its_outputs_is_told_of_once(repo: Repo) -> None:
    repo.stage("a.ipynb", notebook(code("x", stream("y" * 9000))))
    repo.stage("b.ipynb", notebook(code("x = '" + "z" * 9000 + "'", stream("y" * 9000))))
    asked = {"large_bytes": 5000, "outputs_bytes": 1000}
    results = await repo.check(**asked)
    assert [one.path for one in results["outputs"].findings] == ["a.ipynb", "b.ipynb"]
    assert [one.path for one in results["large"].findings] == ["b.ipynb"]
    await waive(repo.git, results["outputs"].findings[0], "a figure for the paper", "ana")
    assert [one.path for one in (await repo.check(**asked))["large"].findings] == ["a.ipynb", "b.ipynb"]


async def test_lfs_is_offered_only_where_it_is_installed(repo: Repo) -> None:
    repo.stage("a.bin", b"\0" * 2000)
    has_lfs = bool(repo.sh("lfs", "version", check=False))
    found = await repo.finding("large", large_bytes=1000)
    assert ("lfs" in {fix.name for fix in found.fixes}) is has_lfs


async def test_large_text_is_searched_around_what_is_telling(repo: Repo) -> None:
    rows = "\n".join(f"{n},{n * n},{n % 7}" for n in range(200_000))
    repo.stage("a.csv", f"{rows}\nkey,{TOKEN},1\n{rows}\n")
    found = await repo.finding("secrets")
    assert found.line == 200_001


async def test_lines_that_differ_in_their_numbers_alone_are_read_once(repo: Repo) -> None:
    texts: list[str] = []

    def seen(text: str, personal: bool) -> list[tuple[int, int, str, str]]:
        texts.append(text)
        return []

    log = "\n".join(f"epoch {n} of 9000, loss {1 / (n + 1):.12f}" for n in range(9000))
    secrets_in(log, seen)
    assert sum(map(len, texts)) < 1000


async def test_a_secret_in_one_long_line_of_data_is_found(repo: Repo) -> None:
    values = ", ".join(f"{n / 7}" for n in range(20_000))
    repo.stage("a.ipynb", notebook(code("1", display(application_json={"x": values.split(), "k": TOKEN}))))
    repo.stage("b.json", f'{{"x": [{values}],\n"k": "{TOKEN}", "y": [{values}]}}')
    found = {one.path: one for one in await repo.findings("secrets")}
    assert (found["a.ipynb"].cell, found["b.json"].line) == (1, 2)


def test_a_hostile_text_is_read_in_linear_time() -> None:
    for text in ("a" * 1_999 + "-", "://a" * 400, "gl" * 900, "<<<<<<< a\n", "token" * 300, "data:;base64,"):
        secrets_in(text * (1_000_000 // len(text)), lambda text, personal: [])


async def test_every_kind_of_the_corpus_is_in_one_finding_per_file(repo: Repo) -> None:
    for number, make in enumerate(KINDS.values()):
        repo.stage(f"{number}.txt", f"before\n{make(random.Random(number))}\nafter\n")
    found = await repo.findings("secrets")
    assert sorted(one.path for one in found) == sorted(f"{n}.txt" for n in range(len(KINDS)))


async def test_a_picture_in_an_output_is_no_secret_but_a_key_beside_it_is(repo: Repo) -> None:
    picture = base64.encodebytes(bytes(range(256)) * 400).decode()
    repo.stage("a.ipynb", notebook(code("plot()", display(image_png=picture), stream(TOKEN))))
    assert len(await repo.findings("secrets")) == 1


async def test_waived_findings_are_counted(repo: Repo) -> None:
    repo.stage("a.py", f"k = '{TOKEN}'\n")
    await waive(repo.git, await repo.finding("secrets"), "a key of the documentation", "ana")
    result = (await repo.check())["secrets"]
    assert (result.findings, result.waived) == ((), 1)
