"""The lexical index of the workspace."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_ext.ai.context import files
from aidp_ext.ai.context import index as module
from aidp_ext.ai.context.index import STALE_S, WorkspaceIndex
from aidp_ext.ai.context.parts import notebook_text, parts, pieces
from tests.ai.context.said import cell, choose, question, service, told

MODULE = '''"""Cleans."""
import re

LIMIT = 3
names: list[str] = []


@cache
def clean(frame, how="all"):
    """Drop what is missing."""
    text = "def fake(): no"
    return frame

class Model(Base):
    """Fits."""

    def fit(self, x):
        return self
'''


def built(root: Path) -> WorkspaceIndex:
    made = WorkspaceIndex(root)
    made.refresh()
    return made


def names(index: WorkspaceIndex, *words: str) -> list[str]:
    return [hit.part.name for hit in index.find(dict.fromkeys(words, 1.0), 10)]


def test_a_module_has_its_definitions_as_parts() -> None:
    found = {part.name: part for part in parts("prep.py", MODULE)}
    assert list(found) == ["LIMIT", "names", "clean", "Model"]
    assert found["clean"].line == 8
    assert found["clean"].text.startswith("@cache\ndef clean(frame")
    assert found["clean"].text.endswith("return frame")
    assert all(part.is_definition for part in found.values())


def test_a_long_class_is_told_by_the_signatures_of_its_methods() -> None:
    methods = "\n".join(f"    def step_{number}(self):\n        return {number}\n" for number in range(60))
    (part,) = parts("m.py", f"class Model:\n{methods}")
    assert "def step_30(self): ..." in part.text
    assert "return 30" not in part.text


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("a.md", "# One\ntext\n## Two\nmore", ["One", "Two"]),
        ("a.R", "area <- function(r) r\nx <- 1\n", ["area"]),
        ("a.sql", "CREATE TABLE people (id int);\ncreate or replace view old as select 1", ["people", "old"]),
        ("a.toml", "[ai]\nx = 1\n[tool.ruff]\n", ["ai", "tool.ruff"]),
        ("a.jl", "function area(r)\nend\n", ["area"]),
        ("notes.txt", "some words", ["notes"]),
        ("empty.py", "  \n", []),
    ],
)
def test_other_files_have_parts_too(path: str, text: str, found: list[str]) -> None:
    assert [part.name for part in parts(path, text)] == found


def test_names_are_found_by_their_pieces() -> None:
    assert pieces("cleanNames") == {"cleannames", "clean", "names"}
    assert pieces("load_raw_data") == {"load_raw_data", "load", "raw", "data"}


def test_the_best_match_comes_first(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def load_people(): pass\n\ndef load(): pass\n\ndef save_people(): pass\n")
    found = built(tmp_path)
    assert names(found, "load", "people")[0] == "load_people"
    assert names(found, "nothing") == []
    assert [hit.path for hit in found.defining("load")] == ["a.py"]
    assert found.defining("Load") == []


def test_a_changed_file_is_read_again_and_only_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(f"def old_{name}(): pass\n")
    found = built(tmp_path)
    read: list[Path] = []
    real = files.text

    def noted(path: Path, most_bytes: int) -> files.Found:
        read.append(path)
        return real(path, most_bytes)

    monkeypatch.setattr(files, "text", noted)
    (tmp_path / "a.py").write_text("def fresh(): pass\ndef other(): pass\n")
    found.refresh()
    assert read == [tmp_path / "a.py"]
    assert names(found, "fresh") == ["fresh"]
    assert "old_a" not in names(found, "old")
    (tmp_path / "b.py").unlink()
    found.refresh()
    assert names(found, "old") == []
    assert found.size == (1, 2)


@pytest.mark.parametrize(
    "path",
    [
        ".hidden/a.py",
        ".a.py",
        "node_modules/x/a.py",
        "env/lib/a.py",
        "sub/__pycache__/a.py",
        ".ipynb_checkpoints/a.py",
        "build/lib/a.py",
        "x.egg-info/a.py",
        "data.csv",
        "a.parquet",
    ],
)
def test_what_nobody_wrote_is_not_read(tmp_path: Path, path: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("def found(): pass\n")
    assert built(tmp_path).size[0] == 0


@pytest.mark.parametrize("marker", ["pyvenv.cfg", "CACHEDIR.TAG"])
def test_a_virtual_environment_by_any_name_is_not_read(tmp_path: Path, marker: str) -> None:
    (tmp_path / "mine" / "lib").mkdir(parents=True)
    (tmp_path / "mine" / marker).write_text("")
    (tmp_path / "mine" / "lib" / "a.py").write_text("def found(): pass\n")
    assert built(tmp_path).size[0] == 0


def test_a_large_file_and_a_binary_one_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "large.py").write_text("def found(): pass\n" * 40_000)
    (tmp_path / "binary.py").write_bytes(b"def found(): pass\n\0")
    assert built(tmp_path).size[1] == 0


def test_no_link_is_followed_and_a_circle_ends(tmp_path: Path) -> None:
    (tmp_path / "secret.py").write_text("def outside(): pass\n")
    root = tmp_path / "work"
    root.mkdir()
    (root / "link.py").symlink_to(tmp_path / "secret.py")
    (root / "up").symlink_to(tmp_path)
    (root / "self").symlink_to(root)
    os.mkfifo(root / "pipe.py")
    assert built(root).size == (0, 0)


def test_only_so_many_files_are_read_the_upper_ones_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FILES", 3)
    for number in range(5):
        folder = tmp_path / f"deep{number}"
        folder.mkdir()
        (folder / "a.py").write_text("def deep(): pass\n")
    (tmp_path / "zz.py").write_text("def top(): pass\n")
    found = built(tmp_path)
    assert found.size[0] == 3
    assert names(found, "top") == ["top"]


def test_of_a_notebook_the_definitions_are_read_and_no_outputs(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text(
        '{"cells": [{"cell_type": "code", "source": "def area(r):\\n    return r", "outputs": [{"text": "Braund"}]}]}'
    )
    found = built(tmp_path)
    assert names(found, "area") == ["area"]
    assert names(found, "braund") == []


@pytest.mark.parametrize("text", ["", "[]", "{", '{"cells": 3}', '{"cells": [{"source": 3}]}', "[" * 100_000])
def test_what_is_no_notebook_has_no_text(text: str) -> None:
    assert notebook_text(text) is None


def test_a_half_character_in_a_notebook_is_no_reason_to_fail() -> None:
    assert notebook_text('{"cells": [{"cell_type": "code", "source": "x = \ud800 1"}]}') == "x = ? 1"


def test_a_fresh_index_is_not_looked_over_again(tmp_path: Path) -> None:
    now = [0.0]
    found = WorkspaceIndex(tmp_path, now=lambda: now[0])
    found.refresh()
    (tmp_path / "a.py").write_text("def fresh(): pass\n")
    found.refresh_soon()
    join("aidp-index")
    assert found.size[0] == 0
    now[0] = STALE_S + 1
    found.refresh_soon()
    join("aidp-index")
    assert found.size[0] == 1


def test_a_closed_index_starts_no_thread(tmp_path: Path) -> None:
    found = WorkspaceIndex(tmp_path)
    found.close()
    found.refresh_soon()
    assert not [thread for thread in threading.enumerate() if thread.name == "aidp-index"]


def test_without_a_workspace_there_is_nothing_to_find() -> None:
    found = WorkspaceIndex(None)
    found.refresh_soon()
    found.refresh()
    assert found.find({"a": 1.0}, 5) == []


def test_what_the_library_of_a_name_is_matters(tmp_path: Path) -> None:
    """``clone`` comes from a library: that a file of the workspace has one too means nothing."""
    (tmp_path / "tools.py").write_text("def clone(x): pass\n\ndef fit(x): pass\n")
    cells = [cell("i", "from sklearn.base import clone"), cell("here", "clone(model).fit(1)")]
    assert told(choose(question(cells, "here"), tmp_path), "file") == []
    cells = [cell("i", "from src.tools import clone"), cell("here", "clone(model)")]
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "tools.py").write_text("def clone(x): return 'ours'\n")
    assert told(choose(question(cells, "here"), tmp_path), "file") == ["src/tools.py"]


def test_a_function_of_an_imported_module_is_found_by_its_attribute(tmp_path: Path) -> None:
    (tmp_path / "prep.py").write_text("def clean(x): return 'ours'\n")
    cells = [cell("i", "import prep as p"), cell("here", "p.clean(df)")]
    assert told(choose(question(cells, "here"), tmp_path), "file") == ["prep.py"]


def test_a_question_in_plain_words_finds_what_has_them(tmp_path: Path) -> None:
    (tmp_path / "churn.py").write_text("def churn_rate(plan):\n    return plan.lost / plan.all\n\ndef other(): pass\n")
    chosen = choose(question([cell("here", "1")], "here", query="How is the churn rate of a plan computed?"), tmp_path)
    assert told(chosen, "file") == ["churn.py"]
    assert "def other" not in chosen.text


def test_a_request_does_not_wait_for_the_index(tmp_path: Path) -> None:
    made = service(tmp_path)
    with made.index._scanning:  # a scan that never ends
        made.index._next_scan_at = None
        assert made.choose(question([cell("here", "1")], "here"), owner="ana").text


def join(name: str) -> None:
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(10)


@given(st.text(alphabet=st.sampled_from("ab(:)\n #@'\"=[]\ud800\tdefclass"), max_size=300))
def test_no_file_is_too_odd(text: str) -> None:
    for path in ("a.py", "a.md", "a.r", "a.sql", "a.toml", "a", "a.txt"):
        parts(path, text)
