"""Files that are made of a model's code: tests that really run, and a module with what a cell defined."""

from __future__ import annotations

import ast
import posixpath
import re

from aidp_ext.ai.actions import merge, python
from aidp_ext.ai.actions.files import Files
from aidp_ext.ai.actions.job import Job
from aidp_ext.ai.actions.patch import AGAIN
from aidp_ext.ai.actions.prompts import subjects
from aidp_ext.ai.actions.python import Broken
from aidp_ext.core.errors import NoProposal

#: What tests use so often that a model forgets to import it.
_HARMLESS = frozenset({"__name__", "TYPE_CHECKING"})  # what a condition may ask of a module that only defines
_USUAL = {"pytest": "import pytest", "pd": "import pandas as pd", "np": "import numpy as np"}


def tests_path(job: Job, files: Files) -> str:
    """Return where the tests go: into the workspace's ``tests``, where there is one, else beside the document."""
    if job.new_file:
        return job.new_file
    stem = posixpath.splitext(job.file_name)[0]
    names = subjects(job)
    name = names[0] if job.document.kind == "notebook" and len(names) == 1 else stem
    slug = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "code"
    beside = "tests" if files.is_folder("tests") else posixpath.join(posixpath.dirname(job.place), "tests")
    return posixpath.join(beside, f"test_{slug.removeprefix('test_')}.py")


def tests(job: Job, code: str, path: str, files: Files, existing: str) -> str:
    """Return a file of tests that plain pytest can run. ``code`` is the model's, ``existing`` what is there already.

    The functions under test are imported from a Python file. What a notebook defines cannot be imported, so it is
    copied with all that it needs: imports, constants, other functions. Raises NoProposal where there is no test.
    """
    tree = python.parse(code)
    if isinstance(tree, Broken):
        raise NoProposal(f"The model's tests are not valid Python ({tree.says}).", next_step=AGAIN)
    if not any(_is_test(node) for node in tree.body):
        raise NoProposal("There is no test in the model's answer.", next_step=AGAIN)
    names = set(subjects(job))
    own = [node for node in tree.body if not _is_given(node, names)]
    bound = _bound(existing).union(*(python.binds(node) for node in own))
    used = set[str]().union(*(python.reads(node) for node in own)) - bound
    module = _module(job, files, path) if names & used else None
    head = _copied(job, used) if module is None else _imported(job, used, names, module)
    for name, line in _USUAL.items():
        if name in used and not re.search(rf"^(?:import {name}\b|.*\bas {name}$)", "\n".join(head), re.MULTILINE):
            head.insert(0, line)
    body = "\n\n\n".join(_blocks(own, code))
    if existing:
        return _added(existing, "\n".join(head), body)
    title = f"# Tests of {_one_line(job.document.path or job.file_name)}"
    top = "\n".join([title, *_note(job, module), "", *head]).rstrip()
    return f"{top}\n\n\n{body}\n"


def _note(job: Job, module: tuple[str, str] | None) -> list[str]:
    if module is not None or not subjects(job):
        return []
    return [
        f"# What is tested is a copy of {job.label(job.cell)}: copy it anew when that changes, or make it a module."
    ]


def _is_test(node: ast.stmt) -> bool:
    if isinstance(node, ast.ClassDef):
        return node.name.startswith("Test")
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")


def _is_given(node: ast.stmt, names: set[str]) -> bool:
    """Return whether a statement imports or defines again what is tested."""
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        return True
    is_again = isinstance(node, ast.ImportFrom | python.Definition)
    return is_again and not _is_test(node) and bool(python.binds(node)) and python.binds(node) <= names


def _bound(source: str) -> set[str]:
    tree = python.parse(source)
    return set() if isinstance(tree, Broken) else set().union(*(python.binds(node) for node in tree.body))


def _blocks(nodes: list[ast.stmt], code: str) -> list[str]:
    """Return the statements as they are written, with the comments above them; imports keep together."""
    lines = code.split("\n")
    parts: list[list[str]] = []
    was_plain = False
    for node in nodes:
        first, end = python.lines_of(node)
        while first and lines[first - 1].startswith("#"):
            first -= 1
        is_plain = not isinstance(node, python.Definition)
        if parts and is_plain and was_plain:
            parts[-1] += lines[first:end]
        else:
            parts.append(lines[first:end])
        was_plain = is_plain
    return ["\n".join(part) for part in parts]


def _copied(job: Job, used: set[str]) -> list[str]:
    cells = [cell for cell in job.document.cells if cell.type == "code" and cell is not job.cell]
    sources = [job.veil(cell.source) for cell in cells if python.is_python(cell.source, job.document.language)]
    imports, rest = python.needed(used, [*sources, job.target.source])
    return [*imports, *(["", "\n\n\n".join(rest)] if rest else [])]


def _imported(job: Job, used: set[str], names: set[str], module: tuple[str, str]) -> list[str]:
    folder, name = module
    imports, _ = python.needed(used - names, [job.target.source])
    head = [f"from {name} import {', '.join(sorted(used & names))}"]
    if folder == ".":
        return [*imports, *head]
    place = f'sys.path.insert(0, str(Path(__file__).resolve().parent / "{folder}"))  # so that {name} is found'
    return ["import sys", "from pathlib import Path", *imports, "", place, "", *head]


def _module(job: Job, files: Files, path: str) -> tuple[str, str] | None:
    """Return the folder to import the document from, relative to the tests' one, and its name; None for a notebook.

    A file that does something when it is imported, or has not what is tested, is none to import.
    """
    place = job.place
    folder, name = posixpath.dirname(place), posixpath.splitext(posixpath.basename(place))[0]
    saved = files.text(place) if job.document.kind == "file" and place.endswith(".py") else None
    if saved is None or not name.isidentifier():
        return None
    tree = python.parse(saved)
    if isinstance(tree, Broken) or not set(subjects(job)) <= _bound(saved) or not all(map(_is_quiet, tree.body)):
        return None
    parts = [name]
    while folder and files.text(posixpath.join(folder, "__init__.py")) is not None:
        folder, package = posixpath.split(folder)
        parts.insert(0, package)
    if not all(part.isidentifier() for part in parts) or re.search(r'["\\\n]', folder):
        return None
    return posixpath.relpath(folder or ".", posixpath.dirname(path) or "."), ".".join(parts)


def _is_quiet(node: ast.stmt) -> bool:
    """Return whether a statement of a module does nothing but define."""
    if isinstance(node, ast.If):
        return not python.reads(node.test).isdisjoint(_HARMLESS)
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    kinds = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Try, *python.Definition.__args__)
    return is_text or isinstance(node, kinds)


def _added(existing: str, head: str, body: str) -> str:
    """Return a file with more tests: those of the same name in the place of the old ones, the others at its end."""
    new = "\n\n\n".join(part for part in (head, body) if part)
    replaced = merge.by_names(existing, new)
    return replaced if replaced is not None else f"{existing.rstrip()}\n\n\n{new}\n"


def _one_line(text: str) -> str:
    return re.sub(r"[^\x20-\x7e\w]", " ", text)[:200]


# ---- a module


def module_and_cell(job: Job, code: str, existing: str) -> tuple[str, str]:
    """Return the source of the new module and of what is left of the cell: an import, and what was no definition.

    Raises NoProposal where the code defines nothing.
    """
    name = posixpath.splitext(posixpath.basename(job.new_file))[0]
    tree = python.parse(code)
    made = [] if isinstance(tree, Broken) else python.definitions(tree)
    if isinstance(tree, Broken) or not made:
        raise NoProposal("The model's answer has no function for a module.", next_step=AGAIN)
    names = [node.name for node in made]
    sources = [job.veil(cell.source) for cell in job.document.cells if cell.type == "code"]
    imports, parts = python.needed(set(names), [*sources, code])
    parts = [part for part in parts if part.strip()]
    rest = [node for node in tree.body if not isinstance(node, python.Definition) and not _is_import(node)]
    wanted = set[str]().union(*(python.reads(node) for node in rest))
    kept = [ast.unparse(node) for node in python.imports(tree) if python.binds(node) & wanted]
    cell = [*kept, *_import_of(job, name, names), *([""] if rest else []), *_blocks_of(rest, code)]
    body = "\n\n\n".join(parts)
    module = f"{chr(10).join(imports)}\n\n\n{body}\n" if imports else f"{body}\n"
    return (f"{existing.rstrip()}\n\n\n{module}" if existing.strip() else module), "\n".join(cell)


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _blocks_of(nodes: list[ast.stmt], code: str) -> list[str]:
    return ["\n".join(_blocks(nodes, code))] if nodes else []


def _import_of(job: Job, name: str, names: list[str]) -> list[str]:
    """Return the lines that import names from the new file, as seen from the document's folder, where kernels run."""
    folder = posixpath.relpath(posixpath.dirname(job.new_file) or ".", posixpath.dirname(job.place) or ".")
    line = f"import {', '.join(names)}"
    if folder == ".":
        return [f"from {name} {line}"]
    parts = folder.split("/")
    if all(part.isidentifier() for part in parts):
        return [f"from {'.'.join([*parts, name])} {line}"]
    return ["import sys", "", f"sys.path.insert(0, {folder!r})", f"from {name} {line}"]
