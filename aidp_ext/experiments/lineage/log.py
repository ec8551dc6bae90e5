"""Reads in the server what kernels noted of their cells, and what the code says of seeds."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOST_BYTES = 40_000_000  # the hook stops below that

#: What sets a seed, by the last part of its name, and the arguments that are one.
SEEDERS = frozenset(
    ("seed", "manual_seed", "manual_seed_all", "seed_everything", "set_seed", "set_random_seed", "default_rng")
)
SEED_NAMES = frozenset(("seed", "random_seed", "random_state"))


@dataclass(frozen=True)
class CellRun:
    """One execution of a cell. ``ok`` is None while it runs."""

    count: int
    cell_id: str | None
    source: str
    ok: bool | None
    is_cut: bool = False


def file_of(folder: Path, kernel_id: str) -> Path | None:
    """Return where a kernel notes its cells; None for what is no kernel's id."""
    return folder / f"{kernel_id}.jsonl" if _ID.fullmatch(kernel_id) else None


def read_cells(folder: Path, kernel_id: str, process: Mapping[str, Any] | None) -> list[CellRun] | None:
    """Return what ran in a kernel, in its order; None where nothing is known, or only of another process of its name.

    ``process`` is that of the run: a kernel that was restarted begins anew. The order is that of the lines, so no
    clock matters; a line that was not written to its end is passed over.
    """
    file = file_of(folder, kernel_id)
    if file is None:
        return None
    try:
        with file.open("rb") as lines:
            data = lines.read(_MOST_BYTES)
    except OSError:
        return None
    found: list[CellRun] = []
    for line in data.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if "kernel" in said:
            if process is not None and not _is_same(said.get("process") or {}, process):
                return None
        elif "source" in said:
            cell_id = said.get("cell_id")
            found.append(CellRun(said["count"], cell_id, said["source"], None, bool(said.get("is_cut"))))
        else:
            _close(found, said)
    return found


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(str(one.get(name)) == str(other.get(name)) for name in ("pid", "start"))


def _close(found: list[CellRun], said: Mapping[str, Any]) -> None:
    for place in range(len(found) - 1, -1, -1):
        if found[place].count == said.get("count") and found[place].ok is None:
            found[place] = replace(found[place], ok=bool(said.get("ok")))
            return


def cell_of(cells: Sequence[CellRun], count: int | None) -> CellRun | None:
    """Return the execution that had this number; the last one, where a number was used twice."""
    return next((cell for cell in reversed(cells) if cell.count == count), None)


def seed_of(sources: Iterable[str]) -> str | None:
    """Return the seeds that code sets in plain sight, the latest of each kind: "42", or "1, 2" where they differ.

    Only numbers are seen, and names that were given one: ``random.seed(SEED)``, ``fit(random_state=0)``. None for none.
    """
    names: dict[str, int] = {}
    seeds: dict[str, int] = {}
    for source in sources:
        if not any(word in source for word in ("seed", "random_state", "default_rng")):
            names |= _numbers(source)
            continue
        tree = parsed(source)
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Assign):
                names |= _assigned(node)
            elif isinstance(node, ast.Call):
                seeds |= _seeded(node, names)
    return ", ".join(dict.fromkeys(str(seed) for seed in seeds.values())) or None


def _numbers(source: str) -> dict[str, int]:
    """Return the names in capitals that are given a number at the start of a line: ``SEED = 42``."""
    return {name: int(number) for name, number in re.findall(r"^([A-Za-z_]\w*) *= *(\d{1,18}) *$", source, re.M)}


def _assigned(node: ast.Assign) -> dict[str, int]:
    value = node.value.value if isinstance(node.value, ast.Constant) else None
    if type(value) is not int:
        return {}
    return {target.id: value for target in node.targets if isinstance(target, ast.Name)}


def _seeded(node: ast.Call, names: Mapping[str, int]) -> dict[str, int]:
    called = ast.unparse(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else ""
    found = {}
    if called.rpartition(".")[2] in SEEDERS and node.args:
        found[called] = _value(node.args[0], names)
    for keyword in node.keywords:
        if keyword.arg in SEED_NAMES:
            found[f"{called}({keyword.arg})"] = _value(keyword.value, names)
    return {name: value for name, value in found.items() if value is not None}


def _value(node: ast.expr, names: Mapping[str, int]) -> int | None:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    return names.get(node.id) if isinstance(node, ast.Name) else None


def parsed(source: str) -> ast.Module | None:
    """Return a cell's code without the lines that only IPython understands; None where it is no Python."""
    lines = ["" if line.lstrip().startswith(("%", "!", "?")) else line for line in source.split("\n")]
    try:
        return ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
