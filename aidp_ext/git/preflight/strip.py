"""Takes the outputs out of a notebook's JSON and leaves every other byte where it was."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from aidp_ext.git.preflight.notebook import Cell, NotANotebook, parse

_KEY = re.compile(rb'[\s{,]*"((?:[^"\\]|\\.)*)"\s*:\s*', re.DOTALL)
_BETWEEN = re.compile(rb"[\s\[,]*")
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])


def stripped(data: bytes) -> bytes:
    """Return a notebook without outputs and execution counts. Cells marked ``keep_output`` keep theirs.

    The rest is the same byte for byte, so that a diff shows nothing else. Raises NotANotebook.
    """
    notebook = parse(data)
    if notebook.cells is None:
        raise NotANotebook("it is of a format of before 2014, whose outputs cannot be taken out")
    try:
        parts = list(_parts(data))
    except (ValueError, msgspec.DecodeError, UnicodeDecodeError):
        return _rewritten(data, notebook.cells)
    return b"".join(parts)


def _parts(data: bytes) -> Iterator[bytes]:
    """Yield the notebook in parts. Raises ValueError where the bytes are not where they should be."""
    done = 0
    start = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    for key, at, value in _members(data, start, data[start:]):
        if key != "cells":
            continue
        for cell_at, cell in _items(data, at, value):
            if msgspec.json.decode(cell, type=Cell).keeps_outputs:
                continue
            for name, place, old in _members(data, cell_at, cell):
                new = {"outputs": b"[]", "execution_count": b"null"}.get(name)
                if new is not None and old.strip() != new and not (name == "outputs" and not msgspec.json.decode(old)):
                    yield data[done:place]
                    yield new
                    done = place + len(old)
    yield data[done:]


def _members(data: bytes, at: int, raw: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Yield each member of the object that begins at a place: its key, where its value is, and the value."""
    for key, value in _MEMBERS.decode(raw).items():
        found = _KEY.match(data, at)
        said = bytes(value)
        if not found or json.loads(b'"' + found[1] + b'"') != key or not data.startswith(said, found.end()):
            raise ValueError("a key is there twice")
        yield key, found.end(), said
        at = found.end() + len(said)


def _items(data: bytes, at: int, raw: bytes) -> Iterator[tuple[int, bytes]]:
    for value in _ITEMS.decode(raw):
        found = _BETWEEN.match(data, at)
        said = bytes(value)
        if not found or not data.startswith(said, found.end()):
            raise ValueError("an item is not where it should be")
        yield found.end(), said
        at = found.end() + len(said)


def _rewritten(data: bytes, cells: list[Cell]) -> bytes:
    """Return it written anew in the file's own manner: for what only Python's reader takes (NaN, a key twice)."""
    whole: dict[str, Any] = json.loads(data)
    for cell, read in zip(whole["cells"], cells, strict=True):
        if read.keeps_outputs:
            continue
        if cell.get("outputs"):
            cell["outputs"] = []
        if cell.get("execution_count") is not None:
            cell["execution_count"] = None
    found = re.search(rb"\{\r?\n([ \t]*)", data)
    indent = found[1].decode() if found else None
    text = json.dumps(
        whole, indent=indent, ensure_ascii=data.isascii(), separators=(",", ": ") if found else (", ", ": ")
    )
    end = data[len(data.rstrip()) :].decode()
    return (text + end).encode("utf-8", "surrogatepass")
