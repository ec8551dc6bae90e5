"""The parts of a file that can be told by themselves: a function, a class, a chapter, a query."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from aidp_ext.ai.context import code

_MOST_PARTS = 500  # of a file
_MOST_TEXT = 1500  # characters of a part
_MOST_WORDS = 60  # of a part, that it is found by
_MOST_ASSIGNED = 300  # characters of an assignment at a module's top level

_TOP = re.compile(
    r"^(?:(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)|([^\W\d]\w*)[ \t]*(?::[^=\n]{0,200})?=(?!=)|(@))", re.M
)
_METHOD = re.compile(r"^[ \t]+(?:async[ \t]+)?def[ \t]+\w+[^\n]*", re.MULTILINE)
_END = re.compile(r"^[^\s#)\]}]", re.MULTILINE)
_CHAPTER = re.compile(r"^#{1,6}[ \t]+(\S[^\n]*)", re.MULTILINE)
_R_FUNCTION = re.compile(r"^([^\W\d][\w.]*)[ \t]*(?:<-|=)[ \t]*function\b", re.MULTILINE)
_JULIA_FUNCTION = re.compile(r"^(?:function|(?:mutable )?struct|macro)[ \t]+([^\W\d][\w!.]*)", re.MULTILINE)
_SQL_OBJECT = re.compile(
    r"^[ \t]*create[ \t]+(?:or[ \t]+replace[ \t]+)?(?:temp(?:orary)?[ \t]+)?(?:table|view|function)[ \t]+"
    r"(?:if[ \t]+not[ \t]+exists[ \t]+)?([\w.]+)",
    re.MULTILINE | re.IGNORECASE,
)
_SQL_ROWS = re.compile(r"^[ \t]*(?:insert|copy|replace)[ \t]+[\s\S]*", re.MULTILINE | re.IGNORECASE)
_TOML_TABLE = re.compile(r"^\[{1,2}([^\[\]\n]{1,200})\]{1,2}", re.MULTILINE)
_STARTS = {
    "md": _CHAPTER,
    "rmd": _CHAPTER,
    "qmd": _CHAPTER,
    "r": _R_FUNCTION,
    "jl": _JULIA_FUNCTION,
    "sql": _SQL_OBJECT,
    "toml": _TOML_TABLE,
}
_PIECES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

#: Endings of files that hold data, and a notebook's file, which holds its outputs.
DATA = frozenset(("csv", "tsv", "tab", "psv", "dat", "data", "json", "jsonl", "ndjson", "geojson", "arff", "ipynb"))
#: Endings of what is read, and the language as kernels name it.
LANGUAGES = {
    "py": "python",
    "ipynb": "python",
    "r": "r",
    "jl": "julia",
    "sql": "sql",
    "md": "markdown",
    "rmd": "markdown",
    "qmd": "markdown",
    "toml": "toml",
    "yaml": "yaml",
    "yml": "yaml",
    "txt": "text",
    "sh": "bash",
    "js": "javascript",
    "ts": "typescript",
}


@dataclass(frozen=True)
class Part:
    """A part of a file."""

    name: str
    line: int  # its first, from 1
    text: str
    words: frozenset[str]  # lower case, with the pieces of compound names
    is_definition: bool  # of ``name``, in code


class _NotebookCell(msgspec.Struct):
    source: str | list[str] = ""
    cell_type: str = ""


class _NotebookFile(msgspec.Struct):
    cells: list[_NotebookCell] = msgspec.field(default_factory=list)


_NOTEBOOK_BEGINS = re.compile(r'\s*\{\s*"(?:cells|metadata|nbformat)')
_NOTEBOOK = msgspec.json.Decoder(_NotebookFile)


def ending(path: str) -> str:
    """Return a file's ending, ``py``; empty where it has none."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name else ""


def language(path: str) -> str:
    """Return the language of a file by its ending, ``text`` where nobody knows it."""
    return LANGUAGES.get(ending(path), "text")


def notebook_text(text: str) -> str | None:
    """Return the sources of a notebook's file, without outputs; None where it is none.

    Markdown comes as comments. Half characters and what is not as it should be are no reason to fail.
    """
    try:
        found = _NOTEBOOK.decode(text.encode(errors="replace"))
    except (msgspec.DecodeError, RecursionError):
        return None
    parts = []
    for cell in found.cells:
        source = cell.source if isinstance(cell.source, str) else "".join(cell.source)
        if cell.cell_type == "markdown":
            source = "\n".join(f"# {line}".rstrip() for line in source.splitlines())
        if source.strip():
            parts.append(source.strip("\n"))
    return "\n\n".join(parts)


def open_text(path: str, text: str) -> str:
    """Return the text of an open file; of a notebook that comes as its file, its sources: nothing where it was cut."""
    if ending(path) == "ipynb" and _NOTEBOOK_BEGINS.match(text):
        return notebook_text(text) or ""
    return text


def parts(path: str, text: str) -> tuple[Part, ...]:
    """Return the parts of a file; of a notebook those of its sources (see notebook_text)."""
    kind = ending(path)
    if kind in ("py", "ipynb"):
        found = _python(text)
    elif kind in _STARTS:
        found = _between(text, _STARTS[kind], is_code=kind in ("r", "jl", "sql"))
    else:
        found = iter(())
    made = tuple(part for part, _ in zip(found, range(_MOST_PARTS), strict=False))
    if made or not text.strip():
        return made
    name = path.rpartition("/")[2].partition(".")[0]
    return (Part(name, 1, _cut(text[: 2 * _MOST_TEXT]), _words(f"{name} {text[:20_000]}"), is_definition=False),)


def pieces(name: str) -> set[str]:
    """Return a name in lower case and its pieces: ``cleanNames`` gives clean, names and cleannames."""
    return {name.lower(), *(piece.lower() for piece in _PIECES.findall(name) if len(piece) > 2)}


def _python(text: str) -> Iterator[Part]:
    plain = code.blanked(text)
    decorated: int | None = None
    done = 0
    for match in _TOP.finditer(plain):
        if match.start() < done:
            continue
        if match[3]:
            decorated = match.start() if decorated is None else decorated
            continue
        start = match.start() if decorated is None else decorated
        decorated = None
        line_end = plain.find("\n", match.end())
        following = _END.search(plain, line_end + 1) if line_end >= 0 else None
        done = following.start() if following else len(text)
        body = text[start:done].rstrip()
        name = match[1] or match[2]
        if match[2]:
            if len(body) > _MOST_ASSIGNED:
                body = f"{body[:_MOST_ASSIGNED]}…"
        elif len(body) > _MOST_TEXT and plain.startswith("class", match.start()):
            body = _outline(body)
        yield Part(name, text.count("\n", 0, start) + 1, _cut(body), _words(f"{name} {text[start:done][:4000]}"), True)


def _outline(body: str) -> str:
    """Return a class by its first lines and the signatures of its methods."""
    first = body[:400].rpartition("\n")[0]
    methods = [match[0].rstrip() + " ..." for match in _METHOD.finditer(body, len(first))]
    return "\n".join([first, *methods])


def _between(text: str, starts: re.Pattern[str], *, is_code: bool) -> Iterator[Part]:
    places = [(match.start(), match[1].strip()) for match in starts.finditer(text)]
    for number, (start, name) in enumerate(places):
        end = places[number + 1][0] if number + 1 < len(places) else len(text)
        body = text[start:end].rstrip()
        if starts is _SQL_OBJECT:  # a dump has the rows behind each table
            body = _SQL_ROWS.sub("", body).rstrip()
        yield Part(name[:200], text.count("\n", 0, start) + 1, _cut(body), _words(body[:4000]), is_code)


def _cut(text: str) -> str:
    """Return the first lines of a text."""
    if len(text) <= _MOST_TEXT:
        return text
    head = text[:_MOST_TEXT]
    return (head.rpartition("\n")[0] or head) + "\n…"


def _words(text: str) -> frozenset[str]:
    found: dict[str, None] = {}
    for word in re.findall(r"[^\W\d]\w{2,}", text):
        if word not in found:
            found[word] = None
            if len(found) > _MOST_WORDS:
                break
    return frozenset(piece for word in found for piece in pieces(word))
