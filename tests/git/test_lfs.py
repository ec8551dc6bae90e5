"""Git LFS with the real program, a server of it, and our credentials: fetched when imported, uploaded when shipped."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aidp_ext.core.errors import Conflict
from tests.git.forge import NAME, Desk, desk
from tests.git.repo import Repo
from tests.support.git_lfs import LfsServer

pytestmark = pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed here")

LARGE = bytes(range(256)) * 24_000  # 6 MB
TRACKED = "*.bin filter=lfs diff=lfs merge=lfs -text\n"


@pytest.fixture
async def ana(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    async with desk(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def lfs(ana: Desk) -> LfsServer:
    return LfsServer(ana.server)


def pointer(oid_of: bytes | None) -> bool:
    return oid_of is not None and oid_of.startswith(b"version https://git-lfs.github.com/spec/v1\noid sha256:")


async def imported(ana: Desk) -> list[str]:
    """Clone, and return the notes."""
    progress = [one async for one in ana.service.clone(ana.address, "", None, "auto")]
    return [one.text for one in progress if one.phase == "note"]


async def test_an_import_fetches_the_large_files_with_the_users_token(ana: Desk, lfs: LfsServer) -> None:
    made = {".gitattributes": TRACKED, "model.bin": lfs.add(LARGE), "deep/other.bin": lfs.add(b"small")}
    ana.server.commit(NAME, made)
    assert await imported(ana) == []
    root = ana.root / "titanic"
    assert (root / "model.bin").read_bytes() == LARGE and (root / "deep/other.bin").read_bytes() == b"small"
    assert Repo(root)("status", "--porcelain") == ""
    asked = [one for one in ana.server.requests if one.path.endswith("/objects/batch")]
    assert {one.login for one in asked if one.status == 200} == {"ana"}
    assert ana.token not in (root / ".git/config").read_text()


async def test_large_files_that_cannot_be_fetched_are_told_and_the_rest_is_there(ana: Desk, lfs: LfsServer) -> None:
    held = lfs.add(LARGE)
    lfs.objects.clear()
    ana.server.commit(NAME, {".gitattributes": TRACKED, "model.bin": held, "a.py": "a = 1\n"})
    [note] = await imported(ana)
    assert "git lfs pull" in note
    root = ana.root / "titanic"
    assert (root / "a.py").exists() and (root / "model.bin").read_bytes() == held
    assert Repo(root)("status", "--porcelain") == ""
    lfs.add(LARGE)
    await asyncio.to_thread(Repo(root), "lfs", "pull")  # our broker answers it, in this thread
    assert (root / "model.bin").read_bytes() == LARGE


async def test_a_folder_with_attributes_of_its_own_is_seen(ana: Desk, lfs: LfsServer) -> None:
    ana.server.commit(NAME, {"deep/.gitattributes": TRACKED, "deep/model.bin": lfs.add(LARGE)})
    assert await imported(ana) == []
    assert (ana.root / "titanic/deep/model.bin").read_bytes() == LARGE


@pytest.mark.parametrize("name", ["model.bin", "with [a] space*.bin", "-x.bin", "ünï/mod#el.bin"])
async def test_a_large_file_goes_to_lfs_and_is_uploaded_when_shipped(ana: Desk, lfs: LfsServer, name: str) -> None:
    root = await ana.clone()
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_bytes(LARGE)
    await ana.stage_all()
    [found] = (await ana.check())["large"]
    assert [fix.name for fix in found.fixes] == ["lfs", "ignore", "unstage"]
    state = await ana.service.fix("titanic", found.id, "lfs")
    assert {change.path: change.staged for change in state.changes} == {".gitattributes": "yes", name: "yes"}
    assert (root / name).read_bytes() == LARGE
    assert not (await ana.check())["large"]
    job = await ana.ship("Keep the model", open=None)
    assert job.state == "done", job
    assert pointer(ana.server.read(NAME, name, "main"))
    assert [*lfs.objects.values()] == [LARGE]
    # who imports it has it whole
    shutil.rmtree(root)
    assert await imported(ana) == []
    assert (root / name).read_bytes() == LARGE


async def test_an_upload_that_fails_stops_the_push_and_ship_goes_on_later(ana: Desk, lfs: LfsServer) -> None:
    root = await ana.clone()
    (root / "model.bin").write_bytes(LARGE)
    await ana.stage_all()
    [found] = (await ana.check())["large"]
    await ana.service.fix("titanic", found.id, "lfs")
    lfs.down = True
    job = await ana.ship("Keep the model", open=None)
    assert job.state == "failed" and job.step("push").error is not None
    assert "model" not in str(ana.server.files(NAME, "main"))
    lfs.down = False
    job = await ana.resume()
    assert job.state == "done", job
    assert pointer(ana.server.read(NAME, "model.bin", "main")) and [*lfs.objects.values()] == [LARGE]


async def test_a_repository_with_a_hook_of_its_own_keeps_it(ana: Desk, lfs: LfsServer) -> None:
    root = await ana.clone()
    Repo(root).hook("pre-push", "exit 0")
    before = (root / ".git/hooks/pre-push").read_text()
    (root / "model.bin").write_bytes(LARGE)
    await ana.stage_all()
    [found] = (await ana.check())["large"]
    with pytest.raises(Conflict, match="hook of its own"):
        await ana.service.fix("titanic", found.id, "lfs")
    assert (root / ".git/hooks/pre-push").read_text() == before
    assert not (root / ".gitattributes").exists() and (await ana.check())["large"]
