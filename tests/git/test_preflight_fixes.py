"""What findings' buttons do: to the index, never to the working file."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from aidp_ext.core.errors import Conflict, InvalidRequest, NotFound
from aidp_ext.git.models import Finding, Fix
from aidp_ext.git.preflight import apply_fix, load, waive
from aidp_ext.git.preflight.notebook import NotANotebook
from aidp_ext.git.preflight.strip import stripped
from tests.git.staging import Repo, code, display, markdown, notebook, stream, written

PLAIN = notebook(
    markdown("# é"),
    code("1", stream("x" * 1000), display(text_plain="y"), count=3, id="a", tags=["b"]),
    code("2", count=4),
    kernelspec={"name": "python3"},
)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path)


def outputs(content: dict[str, Any]) -> dict[str, Any]:
    """The same without outputs and counts, as a plain reading of the format says."""
    new: dict[str, Any] = json.loads(json.dumps(content))
    for cell in new["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    return new


# ---- outputs


async def test_outputs_warn_by_their_size_and_are_removed_from_the_index_only(repo: Repo) -> None:
    place = repo.stage("a.ipynb", PLAIN)
    repo.sh("update-index", "--chmod=+x", "a.ipynb")
    before, times = place.read_bytes(), place.stat()
    assert not await repo.findings("outputs", outputs_bytes=100_000)
    found = await repo.finding("outputs", outputs_bytes=1000)
    assert (found.severity, found.message) == (
        "warn",
        "1.2 kB of outputs are in 1 cell. Stripped from the commit, your file keeps them.",
    )
    await apply_fix(repo.git, found, "strip")
    assert place.read_bytes() == before
    assert (place.stat().st_mtime_ns, place.stat().st_mode) == (times.st_mtime_ns, times.st_mode)
    assert repo.staged("a.ipynb") == written(outputs(PLAIN))
    assert repo.sh("ls-files", "-s", "a.ipynb").startswith(b"100755 ")
    assert not await repo.findings("outputs", outputs_bytes=1)


async def test_the_diff_of_what_was_stripped_shows_outputs_and_counts_alone(repo: Repo) -> None:
    repo.stage("a.ipynb", PLAIN)
    await apply_fix(repo.git, await repo.finding("outputs", outputs_bytes=1), "strip")
    removed = [line for line in repo.sh("diff", "-U0", "a.ipynb").decode().splitlines() if line[0] == "-"][1:]
    assert [line.strip("- ,") for line in removed] == [
        '"execution_count": null', '"outputs": []', '"execution_count": null'
    ]  # fmt: skip


async def test_what_is_staged_in_part_stays_so(repo: Repo) -> None:
    repo.stage("a.ipynb", PLAIN)
    place = repo.write("a.ipynb", notebook(*PLAIN["cells"], markdown("not staged")))
    before = place.read_bytes()
    await apply_fix(repo.git, await repo.finding("outputs", outputs_bytes=1), "strip")
    assert b"not staged" not in repo.staged("a.ipynb")
    assert place.read_bytes() == before


async def test_a_decision_to_strip_holds_for_the_repository(repo: Repo) -> None:
    repo.stage("a.ipynb", PLAIN)
    await apply_fix(repo.git, await repo.finding("outputs", outputs_bytes=1), "always-strip")
    assert (await load(repo.git)).outputs == "strip"
    assert not await repo.findings("outputs")
    repo.stage("b.ipynb", PLAIN)
    found = await repo.finding("outputs")
    assert (found.severity, found.message) == (
        "block",
        "1.2 kB of outputs are in 1 cell; this repository keeps none in its commits.",
    )


async def test_a_decision_to_keep_holds_for_the_repository(repo: Repo) -> None:
    repo.stage("a.ipynb", PLAIN)
    await apply_fix(repo.git, await repo.finding("outputs", outputs_bytes=1), "keep")
    assert not await repo.findings("outputs", outputs_bytes=1)
    assert repo.staged("a.ipynb") == written(PLAIN)


async def test_cells_that_are_marked_keep_their_outputs(repo: Repo) -> None:
    repo.stage("a.ipynb", notebook(code("1", stream("kept"), tags=["keep_output"]), code("2", stream("gone"))))
    await apply_fix(repo.git, await repo.finding("outputs", outputs_bytes=1), "strip")
    assert b"kept" in repo.staged("a.ipynb")
    assert b"gone" not in repo.staged("a.ipynb")
    assert not await repo.findings("outputs", outputs="strip")


@pytest.mark.parametrize("indent", [1, 2, 4, "\t", None])
@pytest.mark.parametrize("end", ["\n", "", "\r\n"])
def test_the_manner_of_a_file_is_kept(indent: int | str | None, end: str) -> None:
    data = json.dumps(PLAIN, indent=indent).encode() + end.encode()
    assert stripped(data) == json.dumps(outputs(PLAIN), indent=indent).encode() + end.encode()


@pytest.mark.parametrize(
    ("data", "clean"),
    [
        (
            b'{"metadata" : {"a": [1.0, 1e5, 1234567890123456]},\r\n"cells":[ {"outputs" :[{}] ,"source":"\\u00e9"}]}',
            b'{"metadata" : {"a": [1.0, 1e5, 1234567890123456]},\r\n"cells":[ {"outputs" :[] ,"source":"\\u00e9"}]}',
        ),
        (b'{"cells": [{"execution_count":2, "outputs":[ ]}]}', b'{"cells": [{"execution_count":null, "outputs":[ ]}]}'),
        (
            b'{"cells": [{"source": "\\"outputs\\": [1]", "ou\\u0074puts": [1], "execution_count": 1}]}',
            b'{"cells": [{"source": "\\"outputs\\": [1]", "ou\\u0074puts": [], "execution_count": null}]}',
        ),
        (b'{"cells": [], "cells": [{"outputs": [1]}]}', b'{"cells": [{"outputs": []}]}'),
        (b'{\n  "cells": [{"outputs": [NaN], "metadata": {"x": NaN}}]\n}\n', None),
        (b'\xef\xbb\xbf{"cells": [{"outputs": [1]}]}', b'\xef\xbb\xbf{"cells": [{"outputs": []}]}'),
    ],
)  # fmt: skip
def test_odd_json_is_stripped_where_it_is(data: bytes, clean: bytes | None) -> None:
    new = stripped(data)
    if clean is not None:
        assert new == clean
    else:
        assert b'"outputs": []' in new and b"NaN" in new and new.endswith(b"}\n")
    assert stripped(new) == new


@pytest.mark.parametrize("data", [b"", b"[]", b'{"worksheets": []}', b"{", b'{"cells": 1}'])
def test_what_is_no_notebook_is_not_stripped(data: bytes) -> None:
    with pytest.raises(NotANotebook):
        stripped(data)


async def test_a_secret_in_an_output_goes_with_it(repo: Repo) -> None:
    repo.stage("a.ipynb", notebook(code("1", stream("gl" + "pat-" + "Zz9Yy8Xx7Ww6Vv5Uu4Tt"))))
    await apply_fix(repo.git, await repo.finding("secrets"), "strip")
    assert not await repo.findings("secrets")


# ---- others


async def test_leaving_out_gives_the_index_what_the_last_commit_has(repo: Repo) -> None:
    repo.stage("a.ipynb", PLAIN)
    repo.commit()
    place = repo.stage("a.ipynb", b"broken")
    repo.stage("b.txt", "stays")
    await apply_fix(repo.git, await repo.finding("notebooks"), "unstage")
    assert repo.sh("diff", "--cached", "--name-only") == b"b.txt\n"
    assert place.read_bytes() == b"broken"


async def test_a_name_for_the_ignore_file_is_taken_as_it_is(repo: Repo) -> None:
    for name in ("a*.bin", "!b.bin", "#c.bin", "d .bin ", "é\\f.bin", "g\nh.bin", "[i].bin"):
        repo.stage(name, b"\0" * 100)
        await apply_fix(repo.git, await repo.finding("large", large_bytes=10), "ignore")
        assert repo.sh("status", "--porcelain") == b"?? .gitignore\n", name


async def test_a_file_that_has_gone_from_the_index_is_said(repo: Repo) -> None:
    repo.stage("a.ipynb", b"")
    found = await repo.finding("notebooks")
    repo.sh("rm", "-q", "--cached", "a.ipynb")
    with pytest.raises(NotFound):
        await apply_fix(repo.git, found, "unstage")


async def test_a_fix_that_the_finding_does_not_have_is_refused(repo: Repo) -> None:
    repo.stage("a.ipynb", b"")
    with pytest.raises(InvalidRequest):
        await apply_fix(repo.git, await repo.finding("notebooks"), "strip")


async def test_what_is_no_notebook_any_more_is_not_stripped(repo: Repo) -> None:
    repo.stage("a.ipynb", PLAIN)
    found = await repo.finding("outputs", outputs_bytes=1)
    repo.stage("a.ipynb", b"broken")
    with pytest.raises(Conflict):
        await apply_fix(repo.git, found, "strip")
    assert repo.staged("a.ipynb") == b"broken"


# ---- what is decided


async def test_a_waiver_says_who_and_why_and_nothing_of_the_secret(repo: Repo) -> None:
    token = "gl" + "pat-" + "Zz9Yy8Xx7Ww6Vv5Uu4Tt"
    repo.stage("a.py", f"k = '{token}'\n")
    found = await repo.finding("secrets")
    await waive(repo.git, found, "a key of\nthe documentation", "ana")
    kept = json.loads((repo.root / ".aidp/git.json").read_text())
    waiver = kept["waivers"][0]
    assert (waiver["by"], waiver["reason"], waiver["path"]) == ("ana", "a key of the documentation", "a.py")
    assert token not in json.dumps(kept)
    assert not await repo.findings("secrets")
    repo.stage("a.py", f"import os\n\nk = '{token}'\n")
    assert not await repo.findings("secrets"), "it may move"
    repo.stage("a.py", f"k = '{token[:-1]}x'\n")
    assert await repo.findings("secrets"), "another secret is not waived with it"
    repo.stage("b.py", f"k = '{token}'\n")
    assert {one.path for one in await repo.findings("secrets")} == {"a.py", "b.py"}, "nor another place"


async def test_ids_are_the_same_for_the_same_content_and_tell_nothing(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Repo(tmp_path / "other")
    ids = []
    for each in (repo, repo, other):
        each.stage("a.ipynb", b"")
        ids.append((await each.finding("notebooks")).id)
    assert ids[0] == ids[1] != ids[2]
    assert repo.sh("status", "--porcelain", "--untracked-files=all") == b"A  a.ipynb\n", "looking leaves nothing behind"


async def test_a_waiver_needs_a_reason_and_a_finding_that_allows_it(repo: Repo) -> None:
    repo.stage("a.ipynb", b"")
    found = await repo.finding("notebooks")
    with pytest.raises(InvalidRequest):
        await waive(repo.git, found, "  ", "ana")
    with pytest.raises(InvalidRequest):
        await waive(repo.git, Finding("x", "large", "block", "a", "m", can_waive=False), "why", "ana")


async def test_two_waivers_at_once_are_both_kept(repo: Repo) -> None:
    for name in ("a", "b", "c", "d"):
        repo.stage(f"{name}.ipynb", b"")
    found = await repo.findings("notebooks")
    await asyncio.gather(*(waive(repo.git, one, "why", "ana") for one in found))
    assert (await repo.check())["notebooks"].waived == 4


@pytest.mark.parametrize("content", ["{", "<<<<<<< HEAD\n", "[]", '{"outputs": "no"}', '{"waivers": [1]}'])
async def test_decisions_that_cannot_be_read_are_told_and_not_overwritten(repo: Repo, content: str) -> None:
    repo.write(".aidp/git.json", content)
    repo.stage("a.ipynb", b"")
    results = await repo.check()
    assert str(results["conflicts"].note).startswith(".aidp/git.json cannot be read")
    with pytest.raises(Conflict):
        await waive(repo.git, results["notebooks"].findings[0], "why", "ana")
    assert (repo.root / ".aidp/git.json").read_text() == content


async def test_decisions_are_not_written_through_a_link(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (repo.root / ".aidp").symlink_to(tmp_path / "elsewhere")
    repo.stage("a.ipynb", b"")
    with pytest.raises(Conflict):
        await waive(repo.git, await repo.finding("notebooks"), "why", "ana")
    assert not list((tmp_path / "elsewhere").iterdir())


async def test_a_large_file_goes_to_lfs_through_its_filter(tmp_path: Path) -> None:
    """With a stand-in for git-lfs, as few machines have it."""
    programs = tmp_path / "bin"
    programs.mkdir()
    lfs = programs / "git-lfs"
    lfs.write_text(
        "#!/bin/sh\ncase $1 in\nversion) echo git-lfs/3;;\n"
        "install) git config filter.lfs.clean 'git-lfs clean'; git config filter.lfs.required true;;\n"
        'track) echo "$4 filter=lfs -text" >> .gitattributes;;\n'
        "clean) cat > /dev/null; echo 'version https://git-lfs.github.com/spec/v1';;\nesac\n"
    )
    lfs.chmod(0o755)
    repo = Repo(tmp_path, {"PATH": f"{programs}:{os.environ['PATH']}"})
    place = repo.stage("a.bin", b"\0" * 2000)
    found = await repo.finding("large", large_bytes=1000)
    assert found.fixes[0] == Fix("lfs", "Keep it in Git LFS")
    await apply_fix(repo.git, found, "lfs")
    assert repo.staged("a.bin") == b"version https://git-lfs.github.com/spec/v1\n"
    assert repo.staged(".gitattributes") == b"a.bin filter=lfs -text\n"
    assert place.read_bytes() == b"\0" * 2000
    assert not await repo.findings("large", large_bytes=1000)
