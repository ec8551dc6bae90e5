"""What a cell's source imports, defines and uses.

By expressions, not by a parser: what is being written is broken most of the time, and has magics in it. A wrong guess
costs a cell that is of little use, or lacks one that would have been.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Set
from dataclasses import dataclass

#: Characters of a source that are looked at, half of them at each end.
MOST_READ = 40_000
_LONG = 2_000  # characters of a statement: some of the expressions take time by the square of them

_KEYWORDS = frozenset((*keyword.kwlist, *keyword.softkwlist))
#: They tell nothing about what a cell is about.
_COMMON = (
    _KEYWORDS | frozenset(dir(builtins)) | frozenset(("self", "cls", "args", "kwargs", "the", "and", "get", "set"))
)

#: Magics whose cell is Python all the same. https://ipython.readthedocs.io/en/stable/interactive/magics.html
_PYTHON_MAGICS = frozenset(("time", "timeit", "capture", "prun", "python", "python3", "pypy", "memit", "debug"))
_CELL_MAGIC = re.compile(r"\s*%%(\w+)[^\n]*\n?")
_LINE_MAGIC = re.compile(
    r"^[ \t]*%(?:time|timeit|prun|memit|debug)\b(?:[ \t]+-\w+(?:[ \t]*\d+)?)*"
    r"|^[ \t]*[%!?][^\n]*|(?<==)[ \t]*[!%][^\n]*",
    re.MULTILINE,
)

_LITERAL = re.compile(
    r"""(?P<prefix>\b[rRbBuUfFtT]{1,2})?(?P<body>
        \"{3}(?:[^\\]|\\[\s\S])*?(?:\"{3}|\Z) | '{3}(?:[^\\]|\\[\s\S])*?(?:'{3}|\Z)
        | "(?:[^"\\\n]|\\[\s\S])*+"? | '(?:[^'\\\n]|\\[\s\S])*+'?
    ) | \#[^\n]*""",
    re.VERBOSE,
)
_FIELD = re.compile(r"\{([^{}!:]*+)[^{}]*+\}")
_NOT_LINE_END = re.compile(r"[^\n]")

_WORD = re.compile(r"[^\W\d]\w{2,}")
_SHORT_NAME = re.compile(r"[^\W\d]\w+|\b[A-Z]\b")
_NAME = re.compile(r"(?<![.\w])[^\W\d]\w*+(?!\s*=(?!=))")
_BRACKETS = re.compile(r"\[[^\[\]]*\]")
_DEFINITION = re.compile(r"(?:async\s+)?(?:def|class)\s+(\w+)\s*(?:\[[^\]]*\])?\s*(\([^\n]*)?")
_TARGETS = re.compile(r"([^\W\d][^=!<>:]*?|[*(\[][^=!<>:]*?)\s*(?::[^=]*)?(?P<op>[-+*/%@&|^]|//|\*\*|>>|<<)?=(?!=)\s*")
_PARAMETER = re.compile(r"[(,]\s{0,20}\*{0,2}([^\W\d]\w*)")
_FOR = re.compile(r"\bfor\s+([\w\s,()*]+?)\s+in\b")
_AS = re.compile(r"\bas\s+\(?([\w\s,]+)\)?\s*[:,]")
_WALRUS = re.compile(r"(\w+)\s*:=")
_IMPORT = re.compile(r"(?:from\s+([\w.]+)\s+)?import\b\s*(.*)", re.DOTALL)
_IMPORTED = re.compile(r"([\w.]+|\*)(?:\s+as\s+(\w+))?")

#: How other languages bind a name: R, Julia, JavaScript, SQL, shells.
_OTHER = re.compile(
    r"^[ \t]*(?:(?:export\s+)?(?:const|let|var|function|local|struct|type|module|macro|mutable struct|create\s+(?:or\s+"
    r"replace\s+)?(?:temp(?:orary)?\s+)?(?:table|view|function))\s+)?([^\W\d][\w.]*)[ \t]{0,20}"
    r"(?:<-|=(?!=)|\(|as\b|\{)",
    re.MULTILINE | re.IGNORECASE,
)
_OTHER_IMPORT = re.compile(r"^[ \t]*(?:library|require|using|import|source|include|load)\b[^\n]{1,300}", re.MULTILINE)


@dataclass(frozen=True)
class Code:
    """What is known of a source."""

    defines: frozenset[str] = frozenset()  # outside of functions; a name of which a part is changed is one too
    imported: frozenset[str] = frozenset()  # the names that its imports bind
    uses: frozenset[str] = frozenset()  # names that it takes from elsewhere
    words: frozenset[str] = frozenset()  # all that may tell what it is about, also in texts and comments
    imports: str = ""  # its import statements, a line each
    modules: frozenset[str] = frozenset()  # that it imports, ``.prep`` as ``prep``
    has_more: bool = False  # than imports

    @property
    def said(self) -> tuple[frozenset[str], ...]:
        """All that it says: its words, and the names that are too short for one."""
        return self.words, self.uses, self.defines


def read(source: str, language: str = "python") -> Code:
    """Return what a source imports, defines and uses; never fails, whatever the source. Linear in its length."""
    if len(source) > MOST_READ:
        source = f"{source[: MOST_READ // 2]}\n{source[-MOST_READ // 2 :]}"
    all_words = frozenset(words(source))
    if language.lower() not in ("python", "ipython", "python3"):
        return _other(source, all_words)
    if magic := _CELL_MAGIC.match(source):
        if magic[1] not in _PYTHON_MAGICS:
            return Code(words=all_words, has_more=True)
        source = source[magic.end() :]
    reader = _Reader()
    for line in _statements(blanked(source)):
        reader.take(line)
    return reader.code(all_words)


def names(text: str) -> set[str]:
    """Return what may be names in a text, also one in plain language."""
    return set(_SHORT_NAME.findall(text)) - _COMMON


def words(text: str) -> set[str]:
    """Return the words of a text that may tell what it is about."""
    return set(_WORD.findall(text)) - _COMMON


def vocabulary(said: Iterable[Set[str]]) -> frozenset[str]:
    """Return the words of several sources and of the language itself, in small letters."""
    return frozenset(map(str.casefold, _COMMON.union(*said)))


def blanked(source: str) -> str:
    """Return Python code of the same length with spaces for comments, magics and texts, but for an f-string's names."""
    source = _LINE_MAGIC.sub(lambda found: " " * len(found[0]), source)
    return _LITERAL.sub(_blank, source)


def _blank(found: re.Match[str]) -> str:
    body = found["body"]
    if body is None:
        return " " * len(found[0])
    prefix = found["prefix"] or ""
    if "{" in body and ("f" in prefix or "F" in prefix or "t" in prefix):
        kept = list(_NOT_LINE_END.sub(" ", body))
        for part in _FIELD.finditer(body):
            start, end = part.span(1)
            kept[start:end] = part[1]
            kept[start - 1], kept[part.end() - 1] = "(", ")"
        return " " * len(prefix) + "".join(kept)
    return " " * len(prefix) + ('""' + _NOT_LINE_END.sub(" ", body[2:]) if len(body) > 1 else " ")


def _statements(source: str) -> list[str]:
    """Return the statements of blanked code, those in brackets or with a backslash joined to one line."""
    found: list[str] = []
    open_brackets = 0
    parts: list[str] = []
    for line in source.split("\n"):
        if not line or line.isspace():
            continue
        parts.append(line)
        if "(" in line or ")" in line or "[" in line or "]" in line or "{" in line or "}" in line:
            opened = line.count("(") + line.count("[") + line.count("{")
            open_brackets += opened - line.count(")") - line.count("]") - line.count("}")
        if (open_brackets > 0 and len(parts) < 200) or line.endswith("\\"):
            parts[-1] = line.rstrip("\\")
            continue
        found.append(" ".join(parts) if len(parts) > 1 else line)
        parts, open_brackets = [], 0
    if parts:
        found += parts  # a bracket is open to the end: each line for itself
    return found


class _Reader:
    """Goes through statements in their order."""

    def __init__(self) -> None:
        self._defines: set[str] = set()
        self._uses: set[str] = set()
        self._modules: set[str] = set()
        self._imported: set[str] = set()
        self._imports: dict[str, None] = {}
        self._has_more = False
        self._body_indent: int | None = None  # of the definition that we are in
        self._locals: set[str] = set()
        self._in_body: set[str] = set()

    def take(self, line: str) -> None:
        """Take the next statement in."""
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if len(text) > _LONG:
            text = " ".join(text.split())[:_LONG]
        if self._body_indent is not None:
            if indent > self._body_indent:
                self._local(text)
                return
            self._end_body()
        if text.startswith(("import ", "from ")) and (found := _IMPORT.match(text)):
            self._import(found, " ".join(text.split()))
            return
        self._has_more = True
        if (found := _DEFINITION.match(text)) is not None:
            is_class = text.startswith("class")  # what stands in its brackets are no parameters
            self._locals = set() if is_class else set(_PARAMETER.findall(found[2] or ""))
            self._use(text[found.end(1) :], self._locals)
            self._defines.add(found[1])
            self._body_indent = indent
            return
        if text.startswith("@"):
            self._use(text)
            return
        for part in text.split(";"):
            bound, rest = _bound(part.strip())
            self._use(rest, bound[1])
            self._uses |= bound[2] - self._defines
            self._defines |= bound[0] | bound[2]

    def code(self, all_words: frozenset[str]) -> Code:
        """Return what was found."""
        self._end_body()
        return Code(
            frozenset(self._defines),
            frozenset(self._imported),
            frozenset(self._uses - _COMMON),
            all_words,
            "\n".join(self._imports),
            frozenset(self._modules),
            self._has_more,
        )

    def _use(self, text: str, without: set[str] | None = None) -> None:
        names = set(_names(text))
        self._uses |= (names - without if without else names) - self._defines - self._imported

    def _local(self, text: str) -> None:
        if (found := _DEFINITION.match(text)) is not None:
            self._locals.add(found[1])
            self._locals.update(_PARAMETER.findall(found[2] or ""))
        bound, rest = _bound(text)
        self._locals |= bound[0] | bound[1]  # those of its comprehensions too
        self._in_body |= bound[2]
        self._in_body.update(_names(rest))

    def _end_body(self) -> None:
        self._uses |= self._in_body - self._locals - self._defines - self._imported
        self._body_indent = None
        self._locals, self._in_body = set(), set()

    def _import(self, found: re.Match[str], statement: str) -> None:
        module, names = found[1], found[2].replace("(", " ").replace(")", " ")
        self._imports[statement.split(";")[0].strip()] = None
        if module is not None:
            self._modules.add(module.strip("."))
        for part in names.split(";")[0].split(","):
            if (one := _IMPORTED.match(part.strip())) is None:
                continue
            if module is None:
                self._modules.add(one[1])
                self._imported.add(one[2] or one[1].partition(".")[0])
            else:
                if not module.strip("."):
                    self._modules.add(one[1])
                self._imported.add(one[2] or one[1])


def _names(text: str) -> list[str]:
    return [name for name in _NAME.findall(text) if name not in _KEYWORDS]


def _bound(text: str) -> tuple[tuple[set[str], set[str], set[str]], str]:
    """Return the names that a statement binds for all, only within itself, and those that it changes; and the rest."""
    outer: set[str] = set()
    changed: set[str] = set()
    if text.startswith(("for ", "async for ")) and (loop := _FOR.search(text)):
        outer.update(_names(loop[1]))
        text = text[loop.end() :]
    loops: set[str] = set()  # of comprehensions
    if " for " in text:
        for loop in _FOR.finditer(text):
            loops.update(_names(loop[1]))
    inner = set(loops)
    if text.startswith(("with ", "async with ", "except")):
        for part in _AS.findall(text):
            inner.update(_names(part))
    if ":=" in text:
        inner.update(_WALRUS.findall(text))
    outer |= inner - loops
    if "=" in text and not text.startswith(("if ", "while ", "elif ", "return ", "assert ", "with ")):
        text = _assigned(text, outer, changed)
    return (outer, inner, changed), text


def _assigned(text: str, outer: set[str], changed: set[str]) -> str:
    """Add the targets of an assignment to the sets and return what is left of the statement."""
    plain = text
    inside: list[str] = []  # ``df[a > b]``: what stands in brackets is used
    while "[" in plain.partition("=")[0] or "[" in plain:
        shorter, times = _BRACKETS.subn(lambda found: _kept(found, inside), plain)
        if not times or len(inside) > 200:
            break
        plain = shorter
    place = 0
    while (found := _TARGETS.match(plain, place)) is not None and found[1].count("(") == found[1].count(")"):
        for part in found[1].split(","):
            target = part.strip(" \t*()[]")
            root = re.split(r"[.\x00]", target, maxsplit=1)[0].strip()
            if not root.isidentifier() or root in _KEYWORDS:
                continue
            (outer if root == target and not found["op"] else changed).add(root)
        place = found.end()
    return f"{plain[place:]} {' '.join(inside)}"


def _kept(found: re.Match[str], inside: list[str]) -> str:
    inside.append(found[0][1:-1])
    return "\x00"


def _other(source: str, all_words: frozenset[str]) -> Code:
    """Return what can be said of a source in another language: what it binds, and every word as one that it uses."""
    defines = frozenset(_OTHER.findall(source))
    imports = "\n".join(line.strip() for line in _OTHER_IMPORT.findall(source))
    return Code(defines, uses=all_words - defines, words=all_words, imports=imports, has_more=True)
