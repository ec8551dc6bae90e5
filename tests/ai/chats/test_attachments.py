"""Attachments as a model is told them: what is meant, within bounds, from inside the workspace."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from aidp_ext.ai.chats.attachments import Attached, AttachedCell, AttachmentReader, Selection, Told, attached
from aidp_ext.ai.context.wire import CellSaid, ContextQuestion, DocumentSaid, KernelSaid, OpenFileSaid, OutputSaid

FRAME = "   age  name\n0   41   Ana\n1   7777   Ben\n\n[2 rows x 2 columns]"


def notebook(*cells: dict[str, Any]) -> bytes:
    return json.dumps({"cells": list(cells), "metadata": "any", "nbformat": 4}).encode()


def code(id: str, source: str, *outputs: dict[str, Any], count: int | None = None) -> dict[str, Any]:
    return {"id": id, "cell_type": "code", "source": source, "outputs": list(outputs), "execution_count": count}


def read(root: Path, *wanted: Attached, live: ContextQuestion | None = None, characters: int = 10_000) -> Told:
    return AttachmentReader(root).read(wanted, live, characters)


def test_a_file_is_told_whole(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    told = read(tmp_path, Attached("a.py"))
    assert [(s.source, s.text, s.paths) for s in told.sections] == [("a.py", "x = 1\n", ("a.py",))]
    assert told.notes == ()


def test_of_a_selection_the_lines_are_told_with_some_around(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("\n".join(f"line {n}" for n in range(1, 41)))
    told = read(tmp_path, Attached("a.py", selection=Selection((19, 2), (20, 4), "ne 20\nline")))
    assert told.sections[0].source == "a.py, lines 20 to 21 selected"
    lines = told.sections[0].text.split("\n")
    assert lines[5:9] == ["[selection begins]", "line 20", "line 21", "[selection ends]"]
    assert (lines[0], lines[-1]) == ("line 15", "line 26")


def test_a_selection_is_found_again_where_lines_came_before_it(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("new\nnew\nnew\nwanted = 1\n")
    told = read(tmp_path, Attached("a.py", selection=Selection((0, 0), (0, 10), "wanted = 1")))
    assert "[selection begins]\nwanted = 1\n[selection ends]" in told.sections[0].text
    assert told.notes == ()


def test_a_selection_that_is_gone_is_told_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("other\n")
    told = read(tmp_path, Attached("a.py", selection=Selection((0, 0), (0, 5), "wanted")))
    assert told.sections[0].text == "wanted"
    assert told.notes == ("a.py has changed; the selection is told as it was.",)


def test_a_selection_beyond_the_end_tells_all(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("short")
    told = read(tmp_path, Attached("a.py", selection=Selection((90, 0), (91, 0))))
    assert told.sections[0].text == "short"
    assert "shorter" in told.notes[0]


def test_of_a_notebook_the_attached_cells_are_told_with_their_outputs_in_short(tmp_path: Path) -> None:
    error = {
        "output_type": "error",
        "ename": "KeyError",
        "evalue": "'age'",
        "traceback": ["\x1b[31mKeyError\x1b[0m: 'age'"],
    }
    stream = {"output_type": "stream", "text": ["a\n", "df " * 1700]}
    picture = {"output_type": "display_data", "data": {"image/png": "iVBOR"}}
    cells = (code("a", "one"), code("b", "df['age']", stream, error, picture, count=3), code("c", "three"))
    (tmp_path / "n.ipynb").write_bytes(notebook(*cells))
    told = read(tmp_path, Attached("n.ipynb", True, cells=(AttachedCell("b"),)))
    (section,) = told.sections
    assert section.source == "n.ipynb, 1 of its 3 cells"
    assert section.text.startswith("[cell 2: code, execution count 3]\ndf['age']\n[output]\na\n")
    assert "KeyError: 'age'" in section.text
    assert "\x1b" not in section.text
    assert "(image/png)" in section.text
    assert "iVBOR" not in section.text
    assert "one" not in section.text and "three" not in section.text
    assert 10 < section.text.count("df") < 400
    assert section.paths == ("n.ipynb", "outputs")


def test_a_selection_in_a_cell_is_marked(tmp_path: Path) -> None:
    (tmp_path / "n.ipynb").write_bytes(notebook(code("a", "x = 1\ny = 2\nz = 3")))
    cell = AttachedCell("a", Selection((1, 0), (1, 5), "y = 2"))
    text = read(tmp_path, Attached("n.ipynb", True, cells=(cell,))).sections[0].text
    assert text == "[cell 1: code, lines 2 to 2 selected]\nx = 1\n[selection begins]\ny = 2\n[selection ends]\nz = 3"


def test_cells_that_are_gone_are_said(tmp_path: Path) -> None:
    (tmp_path / "n.ipynb").write_bytes(notebook(code("a", "x")))
    told = read(tmp_path, Attached("n.ipynb", True, cells=(AttachedCell("a"), AttachedCell("b"))))
    assert told.notes == ("1 of the attached cells are not in n.ipynb any more.",)
    told = read(tmp_path, Attached("n.ipynb", True, cells=(AttachedCell("b"),)))
    assert told.sections == ()
    assert "not in it any more" in told.notes[0]


@pytest.mark.parametrize("kind", ["execute_result", "stream"])
def test_the_values_of_a_dataframe_are_told_only_where_the_user_allows_it(tmp_path: Path, kind: str) -> None:
    output: dict[str, Any] = {"output_type": kind}
    output |= {"text": FRAME} if kind == "stream" else {"data": {"text/html": "<table>", "text/plain": FRAME}}
    (tmp_path / "n.ipynb").write_bytes(notebook(code("a", "df", output)))
    one = Attached("n.ipynb", True)
    assert "7777" not in read(tmp_path, one).sections[0].text
    assert "age  name" not in read(tmp_path, one).sections[0].text  # a header may be a row
    question = ContextQuestion(kernel=KernelSaid(allows_values=True))
    assert "7777" in read(tmp_path, one, live=question).sections[0].text


def test_what_the_editor_holds_is_newer_than_the_disk(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("old")
    (tmp_path / "n.ipynb").write_bytes(notebook(code("a", "old")))
    cell = CellSaid(id="a", source="new", outputs=[OutputSaid(kind="table", text=FRAME)])
    live = ContextQuestion(
        document=DocumentSaid(path="RTC:n.ipynb", cells=[cell]), open=[OpenFileSaid(path="a.py", text="new too")]
    )
    told = read(tmp_path, Attached("n.ipynb", True), Attached("a.py"), live=live)
    assert "new" in told.sections[0].text and "old" not in told.sections[0].text
    assert "7777" not in told.sections[0].text
    assert told.sections[1].text == "new too"


def test_secrets_are_not_told(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('TOKEN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"\n')
    assert "ghp_16C7" not in read(tmp_path, Attached("a.py")).sections[0].text


def test_long_files_are_told_in_part_and_all_share_the_room(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text(f"{name} word\n" * 10_000)
    told = read(tmp_path, *(Attached(f"{name}.txt") for name in "abc"), characters=9_000)
    assert [len(s.text) <= 4_600 for s in told.sections] == [True] * 3
    assert sum(len(s.text) for s in told.sections) <= 9_000
    assert told.notes[0] == "a.txt is long; it was told in part."


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "C:/x", "..\\x", ".env", "sub/.git/config", "", "a\0b", "RTC:../x"]
)
def test_paths_that_lead_out_or_to_hidden_files_are_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / ".env").write_text("SECRET=1")
    told = read(tmp_path, Attached(path))
    assert told.sections == ()
    assert "not a path inside the workspace" in told.notes[0]


def test_links_out_pipes_folders_and_binaries_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "work"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "outside.py").write_text("outside")
    (root / "link.py").symlink_to(tmp_path / "outside.py")
    (root / "inside.py").symlink_to(root / "real.py")
    (root / "real.py").write_text("real")
    (root / "loop.py").symlink_to(root / "loop.py")
    (root / "latin.txt").write_bytes("été".encode("latin-1"))
    (root / "data.bin").write_bytes(b"ab\0cd")
    (root / "bad.ipynb").write_text('{"cells": 7}')
    (root / "deep.ipynb").write_text('{"cells":' + "[" * 100_000)
    os.mkfifo(root / "pipe.py")
    names = ("link.py", "loop.py", "latin.txt", "data.bin", "bad.ipynb", "deep.ipynb", "pipe.py", "folder", "none.py")
    told = read(root, *(Attached(name, name.endswith(".ipynb")) for name in names))
    assert told.sections == ()
    assert len(told.notes) == len(names)
    assert all(note.startswith(f"{name} was not read: ") for note, name in zip(told.notes, names, strict=True))
    assert read(root, Attached("inside.py")).sections[0].text == "real"


def test_a_notebook_with_a_huge_output_is_told_without_it(tmp_path: Path) -> None:
    huge = {"output_type": "stream", "text": "x" * 20_000_000}
    (tmp_path / "n.ipynb").write_bytes(notebook(code("a", "print(x)", huge), code("b", "y")))
    text = read(tmp_path, Attached("n.ipynb", True)).sections[0].text
    assert text == "[cell 1: code]\nprint(x)\n[output]\n(an output too large to be told)\n\n[cell 2: code]\ny"


def test_only_so_many_are_read(tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / f"{number}.txt").write_text("x")
    told = read(tmp_path, *(Attached(f"{number}.txt") for number in range(25)))
    assert len(told.sections) == 20
    assert told.notes == ("Only the first 20 of 25 attachments were read.",)


@pytest.mark.parametrize("raw", [None, 7, "a.py", [], {}, {"value": 7}, {"value": ""}, {"type": "file"}])
def test_what_is_no_attachment_is_none(raw: object) -> None:
    assert attached(raw) is None


@pytest.mark.parametrize(
    "selection",
    [7, {}, {"start": [1], "end": [2, 3]}, {"start": [-1, 0], "end": [1, 0]}, {"start": "ab", "end": [1, True]}],
)
def test_a_selection_that_is_none_is_left_out(selection: object) -> None:
    assert attached({"value": "a.py", "selection": selection}) == Attached("a.py")


def test_the_form_of_the_wire_is_understood() -> None:
    selection = {"start": [3, 1], "end": [2, 0], "content": "x"}
    raw = {"type": "notebook", "value": "n.ipynb", "cells": [{"id": "a", "selection": selection}, {"id": 7}, 7]}
    assert attached(raw) == Attached("n.ipynb", True, cells=(AttachedCell("a", Selection((2, 0), (3, 1), "x")),))
    assert attached({"type": "file", "value": "n.ipynb"}) == Attached("n.ipynb", True)
