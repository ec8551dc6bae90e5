"""A staged file as the checks see it: its texts, each with its place."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aidp_ext.git.preflight.blobs import Staged
from aidp_ext.git.preflight.notebook import NotANotebook, Notebook, Piece, is_notebook, parse, pieces

_CODE = re.compile(
    r"\.(?:py[ix]?|ipy|r|rmd|qmd|jl|scala|java|kt|go|rs|[ch]|[ch]pp|cs|swift|rb|php|pl|lua|m|do|[mc]?js|[jt]sx?"
    r"|(?:ba|z|fi)?sh|ps1|bat|cmd|sql|tf|ya?ml|toml|ini|cfg|conf|properties|dockerfile)$|(?:^|/)[^/]*\.env(?:\.[^/]*)?$",
    re.IGNORECASE,
)
#: Files that programs write: names and random strings in them say nothing.
_LOCKS = re.compile(
    r"(?:^|/)(?:package-lock\.json|npm-shrinkwrap\.json|pnpm-lock\.ya?ml|conda-lock\.ya?ml|go\.sum|[^/]*\.lock"
    r"|[^/]*\.min\.(?:js|css|mjs)|[^/]*\.(?:map|svg))$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Document:
    """A staged file, and what of it can be read."""

    staged: Staged
    size: int
    pieces: tuple[Piece, ...] = ()
    notebook: Notebook | None = None
    problem: NotANotebook | None = None  # of what should be a notebook
    is_binary: bool = False
    is_generated: bool = False

    @property
    def path(self) -> str:
        """Its path below the repository's top."""
        return self.staged.path


def document(staged: Staged, data: memoryview) -> Document:
    """Return a staged file with its texts."""
    if is_notebook(staged.path):
        try:
            notebook = parse(data)
            return Document(staged, data.nbytes, tuple(pieces(notebook)), notebook)
        except NotANotebook as error:
            problem = error
    else:
        problem = None
    text = decoded(data)
    name = staged.path
    if text is None:
        return Document(staged, data.nbytes, problem=problem, is_binary=True)
    piece = Piece(text, "file", is_code=is_code(name))
    return Document(staged, data.nbytes, (piece,), None, problem, is_generated=bool(_LOCKS.search(name)))


def is_code(path: str) -> bool:
    """Return whether a file's name is that of code, or of settings."""
    return _CODE.search(path) is not None


def decoded(data: memoryview) -> str | None:
    """Return a content as text; None for what is no text."""
    start = bytes(data[:8192])
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return str(data, "utf-16", "replace")
    if b"\0" in start:
        return None
    try:
        return str(data, "utf-8-sig")
    except UnicodeDecodeError:
        return str(data, "latin-1")
