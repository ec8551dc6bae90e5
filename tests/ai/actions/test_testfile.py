"""Tests and modules that are made of a model's code: they are run here, with plain pytest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aidp_ext.ai.actions.wire import Proposal
from aidp_ext.core.errors import Conflict, NoProposal
from tests.ai.actions.asking import proposal

IMPORTS = "import math\nimport os.path as osp\n"
HELPERS = "RATE = 2\nLIMITS = {'low': -1, 'high': RATE}\n\n\ndef half(x):\n    return x / RATE\n"
LOUD = "raise SystemExit('this cell must not run in a test')\n"
CELL = "def root(x):\n    return half(math.sqrt(x))\n\n\nprint(root(4))\n"
TESTS = "```python\nimport pytest\nfrom your_module import root\n\n\ndef test_root():\n    assert root(16) == 2\n```"

TEST_ONE = "```python\ndef test_one():\n    assert one() == 1\n```"


def run(root: Path, path: str) -> subprocess.CompletedProcess[str]:
    """Run plain pytest as a user would, from the workspace."""
    argv = [Path(sys.executable).with_name("pytest"), "-q", "-p", "no:cacheprovider", path]
    return subprocess.run(argv, cwd=root, capture_output=True, text=True, timeout=60, check=False)


def accept(root: Path, found: Proposal) -> str:
    """Write a file that is proposed, and return its path."""
    change = found.changes[0]
    target = root / change.path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(change.source)
    return change.path


def test_tests_of_a_notebooks_function_run_with_all_that_it_needs_and_nothing_else(tmp_path: Path) -> None:
    found = proposal("tests", TESTS, IMPORTS, HELPERS, LOUD, CELL, active=3, root=tmp_path)
    assert found.title == "Tests for root"
    assert found.run is not None
    assert found.run.path == accept(tmp_path, found) == "tests/test_root.py"
    source = (tmp_path / "tests/test_root.py").read_text()
    assert "your_module" not in source
    assert "osp" not in source
    done = run(tmp_path, found.run.path)
    assert "1 passed" in done.stdout, done.stdout


def test_tests_of_a_file_import_it(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    code = "import math\n\ndef root(x):\n    return math.sqrt(x)\n\nif __name__ == '__main__':\n    print(root(4))\n"
    (tmp_path / "src/prep.py").write_text(code)
    answer = "```python\ndef test_root():\n    assert math.isclose(root(16), 4)\n```"
    found = proposal("tests", answer, code, path="src/prep.py", root=tmp_path)
    path = accept(tmp_path, found)
    assert path == "src/tests/test_prep.py"
    assert "from prep import root" in (tmp_path / path).read_text()
    assert "1 passed" in run(tmp_path, path).stdout
    assert "1 passed" in run(tmp_path / "src/tests", "test_prep.py").stdout


def test_tests_of_a_module_in_a_package_import_it_by_its_whole_name(tmp_path: Path) -> None:
    (tmp_path / "app/core").mkdir(parents=True)
    (tmp_path / "tests").mkdir()
    for folder in ("app", "app/core"):
        (tmp_path / folder / "__init__.py").touch()
    code = "def one():\n    return 1\n"
    (tmp_path / "app/core/prep.py").write_text(code)
    found = proposal(
        "tests", "```python\ndef test_one():\n    assert one() == 1\n```", code, path="app/core/prep.py", root=tmp_path
    )
    path = accept(tmp_path, found)
    assert path == "tests/test_prep.py"
    assert "from app.core.prep import one" in (tmp_path / path).read_text()
    assert "1 passed" in run(tmp_path, path).stdout


def test_a_file_that_does_something_when_imported_is_copied_from(tmp_path: Path) -> None:
    code = f"def one():\n    return 1\n\n\n{LOUD}"
    (tmp_path / "script.py").write_text(code)
    path = accept(tmp_path, proposal("tests", TEST_ONE, code, path="script.py", root=tmp_path))
    assert "1 passed" in run(tmp_path, path).stdout


def test_a_copy_of_what_is_tested_in_the_answer_does_not_hide_it(tmp_path: Path) -> None:
    (tmp_path / "prep.py").write_text("def one():\n    return 1\n")
    answer = "```python\ndef one():\n    return 2\n\ndef test_one():\n    assert one() == 1\n```"
    path = accept(tmp_path, proposal("tests", answer, "def one():\n    return 1\n", path="prep.py", root=tmp_path))
    assert "1 passed" in run(tmp_path, path).stdout


def test_a_forgotten_import_of_pytest_is_there(tmp_path: Path) -> None:
    answer = "```python\n@pytest.mark.parametrize('x', [1, 4])\ndef test_root(x):\n    assert root(x)\n```"
    path = accept(tmp_path, proposal("tests", answer, IMPORTS, HELPERS, CELL, active=2, root=tmp_path))
    assert "2 passed" in run(tmp_path, path).stdout


def test_a_cell_without_a_function_is_tested_by_one_that_the_model_makes_of_it(tmp_path: Path) -> None:
    total = "def total(values):\n    return sum(values)\n"
    answer = f"```python\n{total}\n\ndef test_total():\n    assert total([1, 2]) == 3\n```"
    path = accept(tmp_path, proposal("tests", answer, "x = sum([1, 2])", root=tmp_path))
    assert path == "tests/test_analysis.py"
    assert "1 passed" in run(tmp_path, path).stdout


def test_tests_that_are_there_stay_and_the_preview_has_them_as_the_original(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    old = "def test_old():\n    assert True\n\n\ndef test_root():\n    assert False\n"
    (tmp_path / "tests/test_root.py").write_text(old)
    found = proposal("tests", TESTS, IMPORTS, HELPERS, CELL, active=2, root=tmp_path)
    assert found.changes[0].original == old
    path = accept(tmp_path, found)
    assert "test_old" in (tmp_path / path).read_text()
    assert "2 passed" in run(tmp_path, path).stdout


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("```python\nprint(root(4))\n```", "no test"),
        ("```python\ndef test_root(:\n    pass\n```", "not valid Python"),
        ("I would test the edges.", "no code"),
    ],
)
def test_what_is_no_test_is_refused(answer: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(NoProposal, match=says):
        proposal("tests", answer, CELL, root=tmp_path)


@pytest.mark.parametrize("path", ["../x.ipynb", "a/../../b.ipynb", "/etc/x.ipynb", 'we"ird\n"""name.ipynb'])
def test_no_name_of_a_document_leads_out_of_the_workspace_or_into_the_code(path: str, tmp_path: Path) -> None:
    (change,) = proposal("tests", TESTS, IMPORTS, HELPERS, CELL, active=2, path=path, root=tmp_path).changes
    assert (tmp_path / change.path).resolve().is_relative_to(tmp_path)
    compile(change.source, "x", "exec")


def test_a_link_out_of_the_workspace_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/test_root.py").write_text("SECRET = 1\n")
    root = tmp_path / "work"
    root.mkdir()
    (root / "tests").symlink_to(tmp_path / "outside")
    with pytest.raises(Conflict):
        proposal("tests", TESTS, IMPORTS, HELPERS, CELL, active=2, root=root)


# --- modules

CONVERTED = (
    '```python\ndef scaled(df, by: int = RATE):\n    """Return it."""\n    return math.floor(df * by)\n\n\n'
    "result = scaled(df)\nprint(osp.join('a', str(result)))\n```"
)


def test_a_cell_becomes_a_module_and_an_import_of_it(tmp_path: Path) -> None:
    cells = (IMPORTS, HELPERS, "df = 3\nresult = math.floor(df * RATE)\nprint(osp.join('a', str(result)))")
    found = proposal("convert", CONVERTED, *cells, active=2, root=tmp_path, path_for_new_file="scaling.py")
    assert [change.kind for change in found.changes] == ["create_file", "replace"]
    accept(tmp_path, found)
    cell = found.changes[1].source
    assert cell == "from scaling import scaled\n\nresult = scaled(df)\nprint(osp.join('a', str(result)))"
    code = f"{IMPORTS}df = 3\n{cell}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "a/6\n"


def converted(root: Path, new_file: str) -> Proposal:
    cells = (IMPORTS, HELPERS, "df = 3\n")
    return proposal("convert", CONVERTED, *cells, active=2, root=root, path_for_new_file=new_file)


def test_a_module_that_is_there_keeps_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "scaling.py").write_text("OLD = 1\n")
    found = proposal(
        "convert", CONVERTED, IMPORTS, HELPERS, "df = 3\n", active=2, root=tmp_path, path_for_new_file="scaling.py"
    )
    created = found.changes[0]
    assert created.original == "OLD = 1\n"
    assert created.source.startswith("OLD = 1\n")


@pytest.mark.parametrize(
    ("new_file", "line"),
    [("lib/scaling.py", "from lib.scaling import scaled"), ("my-lib/scaling.py", "sys.path.insert(0, 'my-lib')")],
)
def test_the_import_is_as_seen_from_the_documents_folder(new_file: str, line: str, tmp_path: Path) -> None:
    found = proposal(
        "convert", CONVERTED, IMPORTS, HELPERS, "df = 3\n", active=2, root=tmp_path, path_for_new_file=new_file
    )
    assert line in found.changes[1].source


def test_a_function_takes_the_place_of_the_cell() -> None:
    (change,) = proposal("convert", CONVERTED, "df = 3\nresult = df * 2\nprint(result)\n").changes
    assert (change.kind, change.source.count("def scaled")) == ("replace", 1)


def test_a_name_that_cannot_be_imported_is_refused() -> None:
    with pytest.raises(Conflict, match="could not be imported"):
        proposal("convert", CONVERTED, "df = 3\n", path_for_new_file="my-module.py")
