"""Chooses, of all that ran in a kernel, what must run again for the same result, in the same order.

What ended with an error is left out, since it is in no state that anybody wanted. A cell that was run more than once
is taken once where the code shows that this makes no difference, and else each time: a loop that goes on training
the same model is to train it as often.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aidp_ext.experiments.lineage.log import SEED_NAMES, SEEDERS, CellRun, parsed

_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Import, ast.ImportFrom, ast.Expr)
_PLAIN = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.Assign, ast.Expr)


@dataclass(frozen=True)
class Replay:
    """The cells to run, and what is to be known of the choice."""

    cells: tuple[CellRun, ...]
    notes: tuple[str, ...]


def replay(cells: Sequence[CellRun], count: int | None) -> Replay:
    """Return what ran up to the cell of this number, the last one that had it, as it is to run again."""
    last = next((place for place in range(len(cells) - 1, -1, -1) if cells[place].count == count), len(cells) - 1)
    upto = cells[: last + 1]
    good = [cell for place, cell in enumerate(upto) if cell.source.strip() and (cell.ok is not False or place == last)]
    notes = []
    failed = sum(cell.ok is False for cell in upto[:last])
    if failed:
        notes.append(f"{_executions(failed)} that ended with an error {_are(failed)} left out")
    kept = _without_idle(good)
    if left := len(good) - len(kept):
        notes.append(f"{_executions(left)} that a later or an earlier one makes needless {_are(left)} left out")
    again = len(kept) - len({cell.cell_id or id(cell) for cell in kept})
    if again:
        notes.append(f"{_executions(again)} of cells that ran more than once {_are(again)} kept, as each may matter")
    if any(cell.is_cut for cell in kept):
        notes.append("the code of a cell was too long to be kept whole")
    return Replay(tuple(kept), tuple(notes))


def _executions(number: int) -> str:
    return "one execution" if number == 1 else f"{number} executions"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _without_idle(cells: Sequence[CellRun]) -> list[CellRun]:
    looked = [(cell, _look(cell.source)) for cell in cells]
    all_code = [code for _, code in looked]
    known = _Notebook(
        functions={name for code in all_code for name in code.defined},
        impure={name for code in all_code if code.changes_others for name in code.defined},
        globals={name for code in all_code for name in code.globals},
        has_classes=any(code.has_classes for code in all_code),
    )
    kept: list[tuple[CellRun, _Code]] = []
    for place, (cell, code) in enumerate(looked):
        if _is_known_already(cell, code, kept, known) or _is_done_anew(cell, code, looked[place + 1 :], known):
            continue
        kept.append((cell, code))
    return [cell for cell, _ in kept]


@dataclass(frozen=True)
class _Notebook:
    """What the functions of all cells do behind their names."""

    functions: set[str]
    impure: set[str]  # they may change what is not their own
    globals: set[str]  # they bind these
    has_classes: bool

    def may_read(self, code: _Code) -> bool:
        """Return whether a cell may read names that it does not name: it calls a function of the notebook."""
        return bool(code.called & self.functions) or (self.has_classes and code.calls_methods)


def _is_known_already(cell: CellRun, code: _Code, before: Sequence[tuple[CellRun, _Code]], known: _Notebook) -> bool:
    """Whether a cell only says again what was said, imports and definitions, and nothing has changed it since."""
    if not code.is_plain or code.bound & known.globals:
        return False
    for other, what in reversed(before):
        if other.source == cell.source:
            return True
        if not what.is_known or what.touched & code.bound:
            return False
    return False


def _is_done_anew(cell: CellRun, code: _Code, after: Sequence[tuple[CellRun, _Code]], known: _Notebook) -> bool:
    """Whether the same cell runs again and makes all anew, with a seed of its own, before anything uses it."""
    if cell.cell_id is None or not code.is_known or code.changes_others or code.called & known.impure:
        return False
    for other, what in after:
        if other.cell_id == cell.cell_id:
            covers = code.bound <= what.sure and not (what.read_first & code.bound)
            return covers and (what.seeds or code.is_plain)
        if not what.is_known or (what.touched | what.read) & code.bound or known.may_read(what):
            return False
    return False


@dataclass
class _Code:
    """What a cell does with names, as far as the code shows."""

    is_known: bool = True  # it is plain Python
    is_plain: bool = False  # imports, functions and constants, nothing else
    seeds: bool = False
    changes_others: bool = False  # it may change what other cells made
    bound: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)
    read_first: set[str] = field(default_factory=set)  # before it binds them
    touched: set[str] = field(default_factory=set)  # bound, or changed in place
    sure: set[str] = field(default_factory=set)  # bound, whatever happens
    defined: set[str] = field(default_factory=set)  # functions and classes
    called: set[str] = field(default_factory=set)
    globals: set[str] = field(default_factory=set)
    aliases: dict[str, set[str]] = field(default_factory=dict)
    calls_methods: bool = False
    has_classes: bool = False


def _look(source: str) -> _Code:
    tree = parsed(source)
    if tree is None or any(line.lstrip().startswith(("%", "!")) for line in source.split("\n")):
        return _Code(is_known=False)
    code = _Code(is_plain=all(_is_plain(node) for node in tree.body))
    modules: set[str] = set(_KNOWN_MODULES)
    own = {part.arg for part in ast.walk(tree) if isinstance(part, ast.arg)}  # who calls it gives them
    for statement in tree.body:
        names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        code.read |= {name.id for name in names if isinstance(name.ctx, ast.Load)}
        code.bound |= _stored(statement) | _defined(statement, modules)
        code.touched |= {name.id for name in names if isinstance(name.ctx, ast.Del)}
        for node in ast.walk(statement):
            _note_alias(node, code)
        for node in ast.walk(statement):
            _look_at(node, code, modules, own)
    code.touched |= code.bound
    code.read_first = _read_first(tree.body, code.sure)
    return code


def _read_first(statements: Sequence[ast.stmt], bound: set[str]) -> set[str]:
    """Return the names that are read before these statements surely bind them; adds to ``bound`` those that they do."""
    found: set[str] = set()
    for statement in statements:
        if isinstance(statement, ast.With | ast.AsyncWith):
            for item in statement.items:
                found |= _loaded(item.context_expr) - bound
                bound |= _stored(item.optional_vars)
            found |= _read_first(statement.body, bound)
        elif isinstance(statement, ast.For | ast.AsyncFor):
            found |= _loaded(statement.iter) - bound
            found |= _read_first([*statement.body, *statement.orelse], bound | _stored(statement.target))
        elif isinstance(statement, ast.If | ast.While):
            found |= _loaded(statement.test) - bound
            for branch in (statement.body, statement.orelse):
                found |= _read_first(branch, set(bound))
        else:  # where an AugAssign stores, it has read before
            found |= (_loaded(statement) | _augmented(statement)) - bound
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                bound.add(statement.name)
            elif isinstance(statement, _SIMPLE):
                bound |= _stored(statement) | _defined(statement, set())
    return found


def _loaded(node: ast.AST) -> set[str]:
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    return names - _looped(node)


def _looped(node: ast.AST) -> set[str]:
    """Return the names that comprehensions bind, within themselves."""
    return {name.id for name in _targets(node)}


def _targets(node: ast.AST) -> list[ast.Name]:
    loops = [part.target for part in ast.walk(node) if isinstance(part, ast.comprehension)]
    return [part for target in loops for part in ast.walk(target) if isinstance(part, ast.Name)]


def _stored(node: ast.AST | None) -> set[str]:
    if node is None:
        return set()
    own = {id(name) for name in _targets(node)}
    names = [part for part in ast.walk(node) if isinstance(part, ast.Name) and id(part) not in own]
    return {name.id for name in names if isinstance(name.ctx, ast.Store)}


def _augmented(node: ast.AST) -> set[str]:
    return {_base(part.target) or "" for part in ast.walk(node) if isinstance(part, ast.AugAssign)}


def _is_plain(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign | ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return not node.decorator_list and not node.args.defaults and not any(node.args.kw_defaults)
    return isinstance(node, _PLAIN)


def _defined(statement: ast.stmt, modules: set[str]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
            modules |= names
            found |= names
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
    return found


def _note_alias(node: ast.AST, code: _Code) -> None:
    """Note that a name stands for what another one holds, or for a part of it."""
    source: ast.AST | None = None
    targets: list[ast.AST] = []
    if isinstance(node, ast.Assign) and not isinstance(node.value, ast.Call):
        source, targets = node.value, [*node.targets]
    elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
        source, targets = node.iter, [node.target]
    if source is not None:
        meant = _loaded(source)
        meant |= {further for name in meant for further in code.aliases.get(name, ())}
        for target in targets:
            names = {part.id for part in ast.walk(target) if isinstance(part, ast.Name)}
            code.aliases |= {name: code.aliases.get(name, set()) | meant for name in names}


def _look_at(node: ast.AST, code: _Code, modules: set[str], own: set[str]) -> None:
    """Note what is changed in place: by an assignment to a part of it, or by a call whose value nobody uses."""
    changed: list[ast.AST] = []
    if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        changed.append(node)
    elif isinstance(node, ast.AugAssign):
        changed.append(node.target)
    elif isinstance(node, ast.Global | ast.Nonlocal):
        code.globals.update(node.names)
        code.changes_others = True
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        code.defined.add(node.name)
        code.has_classes |= isinstance(node, ast.ClassDef)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        if isinstance(node.value.func, ast.Attribute):  # model.fit(…): its value is not what it is called for
            changed.append(node.value.func)
    elif isinstance(node, ast.Call):
        changed += _look_at_call(node, code, modules)
    for name in {_base(one) for one in changed} - {None}:
        for real in {str(name), *code.aliases.get(str(name), ())} - own:
            code.touched.add(real)
            code.changes_others |= real not in code.bound and real not in modules


def _look_at_call(node: ast.Call, code: _Code, modules: set[str]) -> list[ast.AST]:
    """Note what is called, and return what that may change."""
    code.seeds |= _is_seeding(node)
    changed: list[ast.AST] = []
    if any(keyword.arg == "inplace" for keyword in node.keywords):
        changed.append(node.func)
    if isinstance(node.func, ast.Name):
        code.called.add(node.func.id)
        if node.func.id not in _BUILT_IN and not node.func.id[:1].isupper():
            changed += [*node.args, *(keyword.value for keyword in node.keywords)]  # train(model)
    elif _base(node.func) not in modules:
        code.calls_methods = True
    return changed


#: Other cells import them, most of the time under these names; their state is a seed, a figure or a run.
_KNOWN_MODULES = frozenset(("mlflow", "np", "numpy", "random", "torch", "plt", "pd", "sns", "tf", "keras", "os", "sys"))
_BUILT_IN = frozenset(dir(builtins)) | {"display"}


def _base(node: Any) -> str | None:
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _is_seeding(node: ast.Call) -> bool:
    called = ast.unparse(node.func).rpartition(".")[2] if isinstance(node.func, ast.Name | ast.Attribute) else ""
    return called in SEEDERS or any(keyword.arg in SEED_NAMES for keyword in node.keywords)


def cells_of(listed: object) -> list[CellRun]:
    """Return the cells of a ``cells.json``. Raises ValueError where it is none."""
    if not isinstance(listed, list):
        raise ValueError("no list of cells")
    return [_cell_of(one) for one in listed]


def _cell_of(one: Mapping[str, Any]) -> CellRun:
    if not isinstance(one, dict) or type(one.get("count")) is not int or not isinstance(one.get("source"), str):
        raise ValueError("no cell")
    cell_id, ok = one.get("cell_id"), one.get("ok")
    return CellRun(
        one["count"],
        cell_id if isinstance(cell_id, str) else None,
        one["source"],
        ok if isinstance(ok, bool) else None,
        bool(one.get("is_cut")),
    )
