"""What the kernel holds, in words: names, types, shapes, columns. Values only where the user allows them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aidp_ext.ai.context.wire import KernelSaid, VariableSaid

_MOST_COLUMNS = 60
_MOST_VALUE = 200
#: A type of columns that lists its values: pandas' CategoricalDtype, polars' Enum and Categorical.
_LISTING = re.compile(r"^(\w+)\s*[(\[].*(?:categories|['\"]).*", re.DOTALL)
_SPACE = re.compile(r"\s+")


def variables(kernel: KernelSaid | None) -> Sequence[VariableSaid]:
    """Return the variables of a kernel that a model may be told of: of a living Python kernel."""
    if kernel is None or kernel.state in ("dead", "none") or kernel.language.lower() not in ("python", "ipython"):
        return ()
    return kernel.variables


def shape(variable: VariableSaid) -> str:
    """Return a variable's size in short: ``891 x 12``, ``3 items``; empty where it has none."""
    if variable.shape is not None:
        return "\N{MULTIPLICATION SIGN}".join(str(size) for size in variable.shape[:8]) or "scalar"
    return "" if variable.length is None else f"{variable.length} items"


def described(variable: VariableSaid, *, allows_values: bool) -> str:
    """Return one line about a variable: ``df: DataFrame 891 x 12: age float64, sex object``.

    Without ``allows_values`` nothing is in it that a value could hide in: the value itself, the defaults of a
    signature, the categories of a column's type. What the front end has left out or not does not matter.
    """
    parts = [f"{_line(variable.name, 200)}: {_line(variable.type, 100)}"]
    parts += filter(None, (shape(variable), variable.dtype and dtype(variable.dtype, allows_values=allows_values)))
    said = " ".join(parts)
    if variable.signature:
        said += f" {_line(variable.signature if allows_values else without_defaults(variable.signature), 300)}"
    if variable.columns is not None:
        columns = [
            f"{_line(column.name, 100)} {dtype(column.dtype, allows_values=allows_values)}".rstrip()
            for column in variable.columns[:_MOST_COLUMNS]
        ]
        more = variable.more_columns + max(0, len(variable.columns) - _MOST_COLUMNS)
        columns += [f"and {more} more"] if more > 0 else []
        said += f": {', '.join(columns)}" if columns else ""
    if allows_values and variable.value is not None:
        said += f" = {_line(variable.value, _MOST_VALUE)}"
    return said


def dtype(name: str, *, allows_values: bool) -> str:
    """Return the name of an element's type; one that lists values without them, unless they are allowed."""
    if not allows_values and (found := _LISTING.match(name)):
        return found[1]
    return _line(name, 60)


def without_defaults(signature: str) -> str:
    """Return a signature with ``…`` for each default: ``(a, b=…)``; they are values. ``(…)`` where it is none."""
    made: list[str] = []
    depth, is_default, quote = 0, False, ""
    for place, letter in enumerate(signature):
        if quote:
            if letter == quote and signature[place - 1] != "\\":
                quote = ""
            continue
        if letter in "\"'":
            quote = letter  # also in an annotation: a literal is a value
            continue
        if letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        if is_default and (depth == 0 or (depth == 1 and letter == ",")):
            is_default = False
        if not is_default:
            made.append(letter)
            if letter == "=" and depth == 1:
                made.append("…")
                is_default = True
    return "(…)" if quote or depth or is_default or not signature.startswith("(") else "".join(made)


def _line(text: str, most: int) -> str:
    text = _SPACE.sub(" ", text[: most * 4]).strip()
    return text if len(text) <= most else f"{text[: most - 1]}…"
