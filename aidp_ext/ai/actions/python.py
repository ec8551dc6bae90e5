"""What can be read from Python source as notebooks have it: with magics, top-level ``await`` and mistakes."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Beyond this many characters nothing is parsed: it would hold up the server.
LONGEST = 400_000

_CELL_MAGIC = re.compile(r"\s*%%(\w+)")
_PYTHON_MAGICS = frozenset({"time", "timeit", "capture", "prun", "debug", "memit", "mprun", "python", "python3"})
_LINE_MAGIC = re.compile(r"(\s*)[%!](?=\S)")
_ASSIGNED_MAGIC = re.compile(r"(\s*[\w, .\[\]'\"]+=\s*)[%!](?=\S)")
_HELP = re.compile(r"(\s*)\??[\w.%]*\w\?{1,2}\s*$|(\s*)\?{1,2}[\w.%]+\s*$")

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Broken:
    """Why a source is no Python, for people."""

    says: str


def cell_magic(source: str) -> str | None:
    """Return the name of the cell magic that a source begins with (``sql`` of ``%%sql``), or None."""
    found = _CELL_MAGIC.match(source)
    return found[1] if found else None


def is_python(source: str, language: str = "python") -> bool:
    """Return whether a cell of a notebook in ``language`` holds Python: ``%%sql`` cells do not."""
    magic = cell_magic(source)
    return language.lower() in ("", "python", "ipython", "python3") and (magic is None or magic in _PYTHON_MAGICS)


def is_magic(line: str) -> bool:
    """Return whether a line is IPython's and not Python's."""
    return bool(_LINE_MAGIC.match(line) or _HELP.match(line))


def plain(source: str) -> str:
    """Return a source of as many lines, in which magics, shell commands and questions for help are ``pass``.

    Inside of a text of several lines a line that looks like a magic is kept, as long as the whole is Python so.
    """
    if not re.search(r"^[ \t]*(%|!|\?)|=\s*[%!]|\?\s*$", source, re.MULTILINE):
        return source
    made = []
    for number, line in enumerate(source.split("\n")):
        if assigned := _ASSIGNED_MAGIC.match(line):
            made.append(f"{assigned[1]}None")
        elif is_magic(line) or (number == 0 and cell_magic(line)):
            made.append(f"{line[: len(line) - len(line.lstrip())]}pass")
        else:
            made.append(line)
    return "\n".join(made)


def parse(source: str) -> ast.Module | Broken:
    """Return a source's syntax tree, whose line numbers are the source's, or why there is none."""
    if len(source) > LONGEST:
        return Broken("it is too long to be checked")
    for text in dict.fromkeys((source, plain(source))):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of an escape that is not one
                return ast.parse(text)
        except SyntaxError as error:
            broken = Broken(f"line {error.lineno}: {error.msg}" if error.lineno else str(error.msg))
        except (ValueError, RecursionError, MemoryError) as error:  # a NUL, a lone surrogate, too deep
            broken = Broken(str(error).split("\n", 1)[0][:100] or "it is nested too deeply")
    return broken


def definitions(tree: ast.Module) -> list[Definition]:
    """Return a module's own functions and classes, in their order."""
    return [node for node in tree.body if isinstance(node, Definition)]


def imports(tree: ast.Module) -> list[ast.Import | ast.ImportFrom]:
    """Return a module's imports at its top level."""
    return [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]


def lines_of(node: ast.stmt) -> tuple[int, int]:
    """Return the first line of a statement and the one behind its last, counted from 0; decorators belong to it."""
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
    return first - 1, node.end_lineno or node.lineno


def text_of(node: ast.stmt, source: str) -> str:
    """Return the lines that a statement stands in."""
    first, end = lines_of(node)
    return "\n".join(source.split("\n")[first:end])


def binds(node: ast.stmt) -> set[str]:
    """Return the names that a statement at the top level gives a value."""
    if isinstance(node, Definition):
        return {node.name}
    if isinstance(node, ast.Import):
        return {alias.asname or alias.name.split(".", 1)[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}


def reads(node: ast.AST) -> set[str]:
    """Return the names that stand anywhere inside of a node, without those of attributes."""
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)}


@dataclass(frozen=True)
class _Known:
    text: str
    gives: frozenset[str]
    needs: frozenset[str]
    is_import: bool


def needed(names: set[str], sources: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the imports and the other statements of ``sources`` that define ``names``, with what those need.

    Only imports, functions, classes and constants are taken: whatever else a cell does is not to be repeated in a
    test. A later definition of a name comes before an earlier one. Both lists are in the order of the sources.
    """
    known = [one for source in sources for one in _statements(source)]
    giver: dict[str, int] = {name: place for place, one in enumerate(known) for name in one.gives}
    wanted, found = set(names), set[int]()
    while wanted:
        place = giver.get(wanted.pop())
        if place is not None and place not in found:
            found.add(place)
            wanted |= known[place].needs
    taken = [known[place] for place in sorted(found)]
    return (
        list(dict.fromkeys(one.text for one in taken if one.is_import)),
        [one.text for one in taken if not one.is_import],
    )


def _statements(source: str) -> Iterator[_Known]:
    tree = parse(source)
    if isinstance(tree, Broken):
        return
    for node in tree.body:
        is_import = isinstance(node, ast.Import | ast.ImportFrom)
        if is_import and getattr(node, "module", "") == "__future__":
            continue
        if is_import or isinstance(node, Definition) or _is_constant(node):
            text = ast.unparse(node) if is_import else text_of(node, source)
            yield _Known(text, frozenset(binds(node)), frozenset(reads(node)), is_import)


def _is_constant(node: ast.stmt) -> bool:
    """Return whether a statement only names a value that is written out: no call, so nothing happens."""
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    allowed = (ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.UnaryOp, ast.BinOp, ast.Name)
    beside = (ast.expr_context, ast.operator, ast.unaryop)
    return value is not None and all(isinstance(one, (*allowed, *beside)) for one in ast.walk(value))
