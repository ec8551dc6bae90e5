"""Takes data out of the messages of errors: ``could not convert string to float: 'Braund'`` names a value.

What the user's own code says already is no news to a model: ``KeyError: 'age'`` stays where the code has ``df['age']``.
Libraries quote what they were given, so of their messages what is quoted is looked at. A message that the user's own
code makes (``raise``, ``assert``) has words of that code and, for the rest, values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from aidp_ext.ai.context.values import without_groups, without_values

_HIDDEN = "…"
_MOST_KNOWN = 1000  # characters of what is looked for
_MOST_LINE = 2000

_NAME = re.compile(r"[A-Za-z_][\w.]{0,200}(?=: )")
#: Errors that quote names of the code or of libraries.
_NAMING = re.compile(r"(?:Name|Attribute|Import|ModuleNotFound|UnboundLocal|Syntax|Indentation|Tab|Recursion)Error$")
_QUOTED = re.compile(r"""(?<!\w)(?:'(?:[^'\\]|\\.)*+'(?!\w)|"(?:[^"\\]|\\.)*+"(?!\w))""")
#: Quoted names of types, codecs and parameters.
_TYPE = re.compile(
    r"(?:str|bytes|bytearray|u?int\d*|float\d*|complex\d*|bool|boolean|object|category|NoneType|list|dict|tuple|set|"
    r"frozenset|range|type|function|method|module|generator|slice|Series|DataFrame|Index|\w+Index|GroupBy|ndarray|"
    r"Tensor|datetime\w*(?:\[\w+\])?|timedelta\w*(?:\[\w+\])?|date|Timestamp|Timedelta|utf-?\d*|ascii|latin-?1|\W+)",
    re.IGNORECASE,
)
_BEFORE_NAME = re.compile(r"(?:argument|arguments|keyword|parameter|attribute|method|function|accessor)s?:? $")
_BEHIND_NAME = re.compile(r" (?:object|codec|dtype|argument|parameter|accessor)\b")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d_,]*(?:\.\d+)?(?:e[-+]?\d+)?", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_][\w'-]*")
#: What stands behind these words and a colon, to the end, was to be read.
_READ = re.compile(
    r"\b(?:pars\w{1,6}|format|literal|convert\w{0,5}|value|key|label|date|string)\b[^:'\"\n]{0,60}: (?=\S)"
)
_RUN = re.compile(rf"{_HIDDEN}(?:[\s,;-]{{0,3}}{_HIDDEN})+")

Knows = Callable[[str], bool]


def vocabulary(texts: Iterable[str]) -> Knows:
    """Return what tells whether a text stands in one of these as whole words."""
    known = list(texts)
    answers: dict[str, bool] = {}

    def knows(text: str) -> bool:
        if len(text) > _MOST_KNOWN:
            return False
        if text not in answers:
            whole = re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")
            answers[text] = any(text in one and whole.search(one) is not None for one in known)
        return answers[text]

    return knows


def without_data(error: str, knows: Knows, *, is_own: bool) -> str:
    """Return an error's lines without data. ``is_own``: the user's own code made its message."""
    first, _, more = error.partition("\n")
    name = _NAME.match(first)
    said = first[name.end() + 2 :] if name else first
    if name is None and not _QUOTED.search(first):
        kept = first
    elif is_own:
        kept = _own(said[:_MOST_LINE], knows)
    elif name and _NAMING.search(name[0]):
        kept = said
    else:
        kept = _foreign(said[:_MOST_LINE], knows, is_key=name is not None and name[0].endswith("KeyError"))
    line = f"{name[0]}: {kept}" if name else kept
    if not more.strip():
        return line
    rest = "\n".join(_quoted(one[:_MOST_LINE], knows) for one in without_values(more).split("\n"))
    return f"{line}\n{rest}"


def _own(said: str, knows: Knows) -> str:
    """Return a message of the user's own code: its words are in the code, what they are filled with is not."""
    masked = without_groups(_QUOTED.sub(lambda found: found[0] if knows(found[0][1:-1]) else _HIDDEN, said))

    def known(found: re.Match[str]) -> str:
        return found[0] if knows(found[0]) else _HIDDEN

    return _RUN.sub(_HIDDEN, _NUMBER.sub(known, _WORD.sub(known, masked)))


def _foreign(said: str, knows: Knows, *, is_key: bool) -> str:
    """Return a library's message without what it quotes of data."""
    masked = _quoted(said, knows)
    if found := _READ.search(masked):
        tail = masked[found.end() :]
        if not _QUOTED.match(tail) and _HIDDEN not in tail and not knows(tail):
            masked = f"{masked[: found.end()]}{_HIDDEN}"
    if is_key or masked.endswith("not in list"):
        masked = _NUMBER.sub(lambda found: found[0] if knows(found[0]) else _HIDDEN, masked)
    has_data = masked != said or "{" in masked
    return without_groups(masked) if has_data else masked


def _quoted(said: str, knows: Knows) -> str:
    """Return a text with ``'…'`` for what is quoted in it, unless that is known or a name of a type."""

    def kept(found: re.Match[str]) -> str:
        mark, inner = found[0][0], found[0][1:-1]
        if not inner or knows(inner) or _TYPE.fullmatch(inner):
            return found[0]
        if _BEFORE_NAME.search(said, max(0, found.start() - 30), found.start()) or _BEHIND_NAME.match(
            said, found.end()
        ):
            return found[0] if inner.isidentifier() or " " not in inner else f"{mark}{_HIDDEN}{mark}"
        if _QUOTED.search(inner):  # "['age'] not in index"
            return f"{mark}{_foreign(inner, knows, is_key=True)}{mark}"
        return f"{mark}{_HIDDEN}{mark}"

    return _QUOTED.sub(kept, said)
