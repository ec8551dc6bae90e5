"""Files that runs logged: where they may come from, and what is shown of them."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from aidp_ext.core.errors import AidpError, Forbidden, InvalidRequest, NotFound
from aidp_ext.experiments import previews
from aidp_ext.experiments.artifacts import ArtifactStore, Place, checked
from tests.support.desk import ANA, Desk

PLACE = Place("r1", "7", "mlflow-artifacts:/7/r1/artifacts", False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "artifacts" / "7" / "r1" / "artifacts"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def store(tmp_path: Path, folder: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts", None)  # type: ignore[arg-type]


async def read(store: ArtifactStore, path: str, span: str | None = None, place: Place = PLACE) -> bytes:
    async with store.opened(place, path, span) as file:
        return b"".join([chunk async for chunk in file.chunks])


@pytest.mark.parametrize(
    "path", ["../r2/artifacts/x", "a/../../x", "/etc/passwd", "..", "a\\..\\b", "a\0b", "C:/x", "file:///etc/passwd"]
)
async def test_a_path_that_leads_elsewhere_is_refused(store: ArtifactStore, path: str) -> None:
    for work in (store.files(PLACE, path), store.preview(PLACE, path), read(store, path)):
        with pytest.raises((InvalidRequest, NotFound)):
            await work


async def test_a_link_that_leads_out_of_the_run_is_not_followed(
    store: ArtifactStore, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to(tmp_path)
    (folder / "real.txt").write_text("real")
    (folder / "alias").symlink_to(folder / "real.txt")
    for path in ("out", "up/secret"):
        with pytest.raises(NotFound):
            await read(store, path)
    with pytest.raises(NotFound):
        await store.files(PLACE, "up")
    assert [one.name for one in (await store.files(PLACE, "")).files] == ["alias", "real.txt"]
    assert await read(store, "alias") == b"real"


async def test_pipes_and_folders_are_no_files(store: ArtifactStore, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "sub").mkdir()
    for path in ("pipe", "sub", "", "none"):
        with pytest.raises(NotFound):
            await asyncio.wait_for(read(store, path), 10)
    with pytest.raises(NotFound):
        (folder / "f").write_text("x")
        await store.files(PLACE, "f")
    assert (await store.files(PLACE, "none")).files == ()


@pytest.mark.parametrize(
    "uri",
    [
        "mlflow-artifacts:/8/other/artifacts",
        "mlflow-artifacts:/7/r1/artifacts/../../../8",
        "file:///etc",
        "s3://bucket/7/r1/artifacts",
        "",
    ],
)
async def test_a_run_whose_files_are_said_to_lie_elsewhere_shows_none_of_them_to_a_team(
    store: ArtifactStore, uri: str
) -> None:
    with pytest.raises(Forbidden):
        await store.files(PLACE._replace(uri=uri), "")


async def test_a_part_of_a_file_is_read(store: ArtifactStore, folder: Path) -> None:
    (folder / "f").write_bytes(bytes(range(100)))
    assert await read(store, "f", "bytes=10-19") == bytes(range(10, 20))
    assert await read(store, "f", "bytes=-5") == bytes(range(95, 100))
    assert await read(store, "f", "bytes=90-") == bytes(range(90, 100))
    for whole in ("bytes=5-1", "bytes=200-", "lines=1-2", "bytes=0-1,5-6", None):
        assert await read(store, "f", whole) == bytes(range(100))


async def test_five_gigabytes_are_streamed_and_previewed_in_bounds(store: ArtifactStore, folder: Path) -> None:
    with (folder / "large.txt").open("wb") as file:
        file.write(b"beginning\n" * 1000)
        file.truncate(5_000_000_000)
    shown = await store.preview(PLACE, "large.txt")
    assert (shown.kind, shown.bytes) == ("none", 5_000_000_000)  # behind its beginning there are zeros
    assert (await read(store, "large.txt", "bytes=4999999990-")) == b"\0" * 10
    async with store.opened(PLACE, "large.txt") as opened:
        assert opened.size == 5_000_000_000
        assert len(await anext(opened.chunks)) <= 1 << 18


async def test_a_folder_of_very_many_files_is_cut(store: ArtifactStore, folder: Path) -> None:
    for n in range(1005):
        (folder / f"f{n:04}").touch()
    said = await store.files(PLACE, "")
    assert (len(said.files), said.is_cut) == (1000, True)


# --- previews


def shown(name: str, data: bytes, is_cut: bool = False) -> Any:
    kind, mime = previews.kind_of(name)
    return previews.shown(kind, name, mime, data, len(data), is_cut)


def test_kinds_are_known_by_name() -> None:
    names = {"a.PNG": "image", "a.svg": "image", "a.html": "html", "a.csv": "table", "a.ipynb": "notebook"}
    names |= {"a.wav": "audio", "a.mp4": "video", "a.py": "text", "MLmodel": "none", "a.bin": "none", "a.json": "json"}
    assert {name: previews.kind_of(name)[0] for name in names} == names


def test_a_table_is_cut_at_two_hundred_rows_and_knows_how_many_there_are() -> None:
    made = shown("t.csv", b'\xef\xbb\xbfa,b\n"x, y",1\n' + b"z,2\n" * 500)
    assert (made.columns, made.rows[0], len(made.rows)) == (("a", "b"), ("x, y", "1"), 200)
    assert (made.total_rows, made.is_cut) == (501, True)
    assert shown("t.tsv", b"a\tb\n1\t2\n").rows == (("1", "2"),)
    assert shown("t.csv", b"").rows == ()
    assert shown("t.csv", b"a\n1\n2", is_cut=True).rows == (("1",),)  # half a row is none


def test_mlflows_tables_are_tables_and_other_json_is_text() -> None:
    made = shown("t.json", json.dumps({"columns": ["a"], "data": [[1], [None], ["x"]]}).encode())
    assert (made.kind, made.rows) == ("table", (("1",), ("null",), ("x",)))
    assert shown("t.json", b'{"a": 1}').kind == "json"
    assert shown("t.json", b"[" * 100_000).kind == "json"  # nested too deeply to be read
    assert shown("t.json", b"not json").text == "not json"


def test_a_notebook_shows_texts_and_nothing_that_runs() -> None:
    outputs = [
        {"output_type": "display_data", "data": {"text/html": "<script>x</script>", "text/plain": ["a", "b"]}},
        {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["t"]},
        {"output_type": "display_data", "data": {"image/png": "x", "application/javascript": "alert(1)"}},
    ]
    cells = [{"cell_type": "code", "source": ["1 + ", "1"], "outputs": outputs, "metadata": {"x": "y"}}, "odd"]
    made = shown("n.ipynb", json.dumps({"cells": cells}).encode())
    expected = [{"cell_type": "code", "source": "1 + 1", "outputs": [{"text": "ab"}, {"text": "E: v"}]}]
    assert made.kind == "notebook" and json.loads(made.text) == {"cells": expected}
    assert shown("n.ipynb", b"{").kind == "text"


def test_what_is_no_text_is_not_shown() -> None:
    assert shown("f.txt", b"\x00\x01").kind == "none" and shown("f.txt", b"\x00").why
    assert shown("f", b"\xff\xfe\xfd").kind == "none"
    assert shown("f.txt", "ä".encode()[:1], is_cut=True).text == ""  # cut within a sign
    assert shown("noname", b"just text").text == "just text"


def test_a_plain_path_is_told() -> None:
    assert checked("./a//b/") == "a/b" and checked("") == ""


# --- before a real MLflow


@pytest.mark.parametrize("where", ["desk", "far"])
def test_files_are_the_same_from_disk_and_by_rest(where: str, request: pytest.FixtureRequest) -> None:
    desk: Desk = request.getfixturevalue(where)
    run = desk.start_run(desk.host.experiment(f"files {where}"))
    desk.until(lambda: desk.search(filter=f"run_id = '{run}'").total, "the run is known")
    assert desk.ask(desk.service.files(ANA, run, "")).files == ()
    uri = desk.host.run_of(run)["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
    top = desk.host.folder / "artifacts" / uri
    (top / "sub").mkdir(parents=True)
    (top / "sub" / "a.csv").write_text("x,y\n1,2\n")
    assert [(one.path, one.is_dir) for one in desk.ask(desk.service.files(ANA, run, "")).files] == [("sub", True)]
    (file,) = desk.ask(desk.service.files(ANA, run, "sub")).files
    assert (file.path, file.name, file.bytes) == ("sub/a.csv", "a.csv", 8)
    assert desk.ask(desk.service.preview(ANA, run, "sub/a.csv")).rows == (("1", "2"),)

    async def bytes_of(path: str) -> bytes:
        async with desk.service.opened(ANA, run, path, None) as opened:
            return b"".join([chunk async for chunk in opened.chunks])

    assert desk.ask(bytes_of("sub/a.csv")) == b"x,y\n1,2\n"
    for path in ("sub/none.csv", "../x"):
        with pytest.raises(AidpError):
            desk.ask(bytes_of(path))
