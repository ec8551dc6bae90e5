"""What other files define of that which is used here: the open ones as they are, the workspace by its index."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from aidp_ext.ai.context import code
from aidp_ext.ai.context.index import Hit, WorkspaceIndex
from aidp_ext.ai.context.memory import Memory
from aidp_ext.ai.context.parts import LANGUAGES, Part, ending, open_text, parts, pieces
from aidp_ext.ai.context.relevance import Cell, Focus
from aidp_ext.ai.context.wire import ContextQuestion, OpenFileSaid
from aidp_ext.ai.models import Task

_MOST_SNIPPETS = 8
_MOST_NAMES = 80
_MOST_WORDS = 60
_MOST_OPEN = 50
_MOST_OPEN_TEXT = 500_000
_LEAST_MATCHES = 2  # words of a question in plain language that a part must have
#: Words of questions, not of code.
_PLAIN_WORDS = (
    "about add all and any are can cell code could does error explain file fix for from function have help how into"
    " make need not notebook please python should show that the then there these this use used using want what when"
    " where which why will with would write you your"
)
_PLAIN = frozenset(_PLAIN_WORDS.split())


@dataclass(frozen=True)
class Snippet:
    """A part of another file, and why it is of use."""

    hit: Hit
    rank: float
    why: str


class Elsewhere:
    """Knows the workspace's index, and the parts of texts that were open of late."""

    def __init__(self, index: WorkspaceIndex) -> None:
        self._index = index
        self._open = Memory(_parts_of_open)

    def knows(self, file: OpenFileSaid) -> bool:
        """Return whether an open file's parts are known."""
        return self._open.knows(_key(file.path, file.text))

    def snippets(
        self, question: ContextQuestion, query: str, cells: Sequence[Cell], focus: Focus, except_for: AbstractSet[str]
    ) -> list[Snippet]:
        """Return the parts that are of use, in the order of their files, none of the paths in ``except_for``.

        Of a file that is being written the front end says what is around the cursor: the rest of it is elsewhere too.
        """
        own = question.document.path if question.document and question.document.kind == "file" else ""
        if question.task != Task.COMPLETE or not query:
            own = ""
        wanted = _Wanted(cells, focus, own, query)
        except_for = except_for - {own}
        # Of data, as CSV or JSON, nothing is told but what the user names
        readable = [file for file in question.open[:_MOST_OPEN] if ending(file.path) in LANGUAGES]
        open_files = {file.path: file.text for file in readable if file.path not in except_for}
        found: dict[tuple[str, int], Snippet] = {}
        opened = {path: self._open(_key(path, text)) for path, text in open_files.items()}
        hits = [Hit(path, part, 1.0) for path, known in opened.items() for part in known if part.is_definition]
        taken = set(except_for) | set(open_files)
        for name in wanted.names:
            hits += [hit for hit in self._index.defining(name) if hit.path not in taken]
        for hit in hits:
            if snippet := wanted.judged(hit):
                found[hit.path, hit.part.line] = snippet
        if question.task != Task.COMPLETE and query:
            for snippet in self._by_words(query, opened, taken):
                found.setdefault((snippet.hit.path, snippet.hit.part.line), snippet)
        best = sorted(found, key=lambda place: (found[place].rank, place))[:_MOST_SNIPPETS]
        return [found[place] for place in sorted(best)]

    def _by_words(self, query: str, opened: dict[str, tuple[Part, ...]], taken: AbstractSet[str]) -> Iterator[Snippet]:
        words = {piece for word in code.words(query) for piece in pieces(word)} - _PLAIN
        asked = dict.fromkeys(sorted(words)[:_MOST_WORDS], 1.0)
        hits = [hit for hit in self._index.find(asked, 2 * _MOST_SNIPPETS) if hit.path not in taken]
        hits += [Hit(path, part, 1.0) for path, known in opened.items() for part in known]
        for hit in hits:
            shared = hit.part.words & words
            is_named = bool(pieces(hit.part.name) & words)
            if len(shared) >= _LEAST_MATCHES + (not is_named):
                why = f"has {', '.join(sorted(shared)[:3])}"
                yield Snippet(hit, 25 - min(4.0, len(shared) / 2), why)


class _Wanted:
    """The names that are used and not defined here."""

    def __init__(self, cells: Sequence[Cell], focus: Focus, own: str, query: str) -> None:
        self._own, self._query = own, query
        here = set(code.read(query).defines) if own else {name for cell in cells for name in cell.code.defines}
        self._modules = {module for cell in cells for module in cell.code.modules}
        self._imported = {name for cell in cells for name in cell.code.imported}
        self._uses = focus.uses - here
        self._words = focus.words - here
        local = self._words if self._modules else frozenset()
        self.names = sorted(name for name in self._uses | local if len(name) > 2)[:_MOST_NAMES]
        self._all = frozenset(self.names)

    def judged(self, hit: Hit) -> Snippet | None:
        """Return a definition as a snippet; None where it is none of what is used here."""
        name = hit.part.name
        if name not in self._all:
            return None
        if hit.path == self._own:
            is_seen = hit.part.text.partition("\n")[0] in self._query
            return None if is_seen else Snippet(hit, 12, f"defines {name}")
        if self._is_imported(hit.path):
            return Snippet(hit, 14, f"defines {name}, which is imported")
        # A name of a library's may be another's here; an attribute's may be anybody's
        if name in self._uses and name not in self._imported:
            return Snippet(hit, 18, f"defines {name}")
        return None

    def _is_imported(self, path: str) -> bool:
        module = posixpath.splitext(path)[0].replace("/", ".").removesuffix(".__init__")
        folder, _, name = module.rpartition(".")
        for known in self._modules:
            if module == known or module.endswith(f".{known}"):
                return True
            if name in self._imported and (folder == known or folder.endswith(f".{known}")):
                return True
        return False


def _key(path: str, text: str) -> str:
    return f"{path}\0{text[:_MOST_OPEN_TEXT]}"


def _parts_of_open(key: str) -> tuple[Part, ...]:
    path, _, text = key.partition("\0")
    return parts(path, open_text(path, text))
