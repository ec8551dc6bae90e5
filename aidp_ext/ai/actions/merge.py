"""Puts what a model wrote into the source that it is for. What is not to be changed stays as it is, byte for byte."""

from __future__ import annotations

import ast
import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import dropwhile

from aidp_ext.ai.actions import python
from aidp_ext.ai.actions.parse import Block
from aidp_ext.ai.actions.patch import AGAIN, is_diff, line_end, patched
from aidp_ext.ai.actions.python import Broken, Definition
from aidp_ext.core.errors import NoProposal

_BARE_DOTS = re.compile(r"\s*[\[(<{]?\s*(?:\.\.\.|…)\s*[\])>}]?;?\s*$")
_COMMENT = r"(?:#|//|--|<!--|/\*)\s*"
_OMITS = re.compile(rf"{_COMMENT}[\[(<]?\s*(?:\.\.\.|…)")
_OMITS_IN_WORDS = re.compile(
    rf"{_COMMENT}.*?(?:\b(?:rest|remainder) (?:of|is|remains|stays|unchanged)\b"
    r"|\b(?:existing|previous|remaining|original|other|your)"
    r" (?:code|functions?|methods?|imports?|lines?|logic|cells?)\b"
    r"|\bunchanged\b|\b(?:remains?|stays?|is|are) (?:exactly )?the same\b|\bsame as (?:before|above|the original)\b"
    r"|\bas before\b|\bomitted\b|\bsnip(?:ped)?\b|\btruncated\b"
    r"|\b(?:rest|remaining|existing|other|previous|continues?)\b.*(?:\.\.\.|…)\s*(?:-->|\*/)?\s*$)",
    re.IGNORECASE,
)
#: Characters of a line that are looked at for a remark: the expressions take time by the square of them.
_LONGEST_REMARK = 300
#: Of a source of fewer lines it is plain to see what a change takes away.
_FEW_LINES = 3
_MUCH_ALIKE, _CLEARLY_LESS = 0.7, 0.15  # ratios of difflib
_MOST_COMPARED = 20_000  # characters
_MOST_REPEATED = 50  # lines of what is there that an answer may begin with


@dataclass(frozen=True)
class Target:
    """The source that is worked on, and the part of it that may change: ``source[start:end]``."""

    source: str
    start: int
    end: int
    language: str = "python"

    @classmethod
    def whole(cls, source: str, language: str = "python") -> Target:
        """Return a target all of which may change."""
        return cls(source, 0, len(source), language)

    @property
    def is_part(self) -> bool:
        """Whether only a part may change."""
        return bool(self.before or self.after)

    @property
    def before(self) -> str:
        """What stands before the part, and stays."""
        return self.source[: self.start]

    @property
    def chosen(self) -> str:
        """The part."""
        return self.source[self.start : self.end]

    @property
    def after(self) -> str:
        """What stands behind the part, and stays."""
        return self.source[self.end :]

    @property
    def is_python(self) -> bool:
        """Whether it is Python."""
        return python.is_python(self.source, self.language)


def merged(target: Target, block: Block, *, is_small: bool = False, keeps_names: bool = False) -> str:
    """Return the whole source with the block's code in the place of the part that may change.

    ``is_small``: the task is one that leaves most of the code as it is, so an answer that drops half of it is none;
    ``keeps_names``: nor is one that drops a function.
    Raises NoProposal where that would delete code behind a placeholder, where it is not clear what the code is to
    replace, and where nothing would change.
    """
    if is_diff(block):
        part = patched(target.chosen, block.text)
        refuse_placeholders(part, target.chosen)
    else:
        code = block.text.strip("\n")
        refuse_placeholders(code, target.chosen)
        code = _without_rest(code, target) if target.is_part else code
        part = _part(code, target, is_small=is_small, keeps_names=keeps_names)
    made = target.before + part + target.after
    if made == target.source:
        raise NoProposal("The model's answer changes nothing.", next_step="Say what should be different, or ask again.")
    return made


def _part(code: str, target: Target, *, is_small: bool, keeps_names: bool) -> str:
    """Return what takes the place of the target's part: the code as a whole, or the part with the code in it."""
    made = by_names(target.chosen, code) if target.is_python else None
    if made is not None and (made != target.chosen or is_small):
        return made  # else what comes back is as it was, and the others are meant to go
    if is_small:
        made = by_line(target.chosen, code)
        if made is not None:
            return made
        _refuse_fragment(code, target, keeps_names)
    return fitted(_with_magics(code, target, keeps_lines=is_small), target)


def broken(source: str, language: str) -> str:
    """Return a warning for people where a proposal is no Python, else an empty text."""
    if not python.is_python(source, language):
        return ""
    tree = python.parse(source)
    return f"Look closely: this is not valid Python ({tree.says})." if isinstance(tree, Broken) else ""


# ---- a part of a source


def by_line(source: str, code: str) -> str | None:
    """Return a source of several lines with the one replaced that a single line of code is a new form of.

    None where the code is more than a line, or no line, or more than one, is much like it.
    """
    lines, new = source.split("\n"), code.strip()
    is_one_line = bool(new) and "\n" not in new
    if not is_one_line or len(source) > _MOST_COMPARED or sum(bool(line.strip()) for line in lines) < _FEW_LINES:
        return None
    nearness = [SequenceMatcher(None, line.strip()[:500], new[:500], autojunk=False).ratio() for line in lines]
    best, second = sorted(range(len(lines)), key=nearness.__getitem__)[:-3:-1]
    if nearness[best] < _MUCH_ALIKE or nearness[second] > nearness[best] - _CLEARLY_LESS:
        return None
    old = lines[best]
    lines[best] = old[: len(old) - len(old.lstrip())] + new + old[len(old.rstrip()) :]
    return "\n".join(lines)


def fitted(code: str, target: Target) -> str:
    """Return code with the indentation, the line ends and the blank lines around it of the part that it replaces."""
    chosen = target.chosen
    on_line = target.before.rpartition("\n")[2]
    lead = re.match(r"(?:[ \t\r]*\n)*", chosen)
    blank = lead[0] if lead and chosen.strip() else ""
    first = "" if blank else on_line
    inner = re.match(r"[ \t]*", chosen[len(blank) :])
    if first.strip():  # the part begins in the middle of a line
        indent = first[: len(first) - len(first.lstrip())]
        head = inner[0] if inner else ""
    elif first:
        indent = first + (inner[0] if inner else "")
        head = indent.removeprefix(first)
    else:
        indent = head = _indent_of(chosen)
    lines = textwrap.dedent(code.strip("\n")).rstrip().split("\n")
    made = [head + lines[0].lstrip() if first.strip() else head + lines[0]]
    made += [indent + line if line.strip() else "" for line in lines[1:]]
    tail = chosen[len(chosen.rstrip()) :] if chosen.strip() else ""
    return blank + line_end(target.source).join(made) + tail


def below_comment(target: Target, code: str) -> str:
    """Return the source with code below the comment: the part's end, else its last comment, else its end.

    What is there stays. Raises NoProposal for code that is empty once the repeated comment is taken off.
    """
    source = target.source
    place = target.end if target.is_part else _last_comment(source)
    behind = source.find("\n", max(0, place - 1) if source[place - 1 : place] == "\n" else place)
    behind = len(source) if behind < 0 else behind
    above = source[:behind].removesuffix("\r")
    last = above.rpartition("\n")[2]
    indent = last[: len(last) - len(last.lstrip())]
    repeated = [line.strip() for line in above.split("\n") if line.strip()]
    lines = textwrap.dedent(code.strip("\n")).rstrip().split("\n")
    longest = min(len(lines), _MOST_REPEATED)
    count = next((n for n in range(longest, 0, -1) if [line.strip() for line in lines[:n]] == repeated[-n:]), 0)
    lines = lines[count:]
    if not any(line.strip() for line in lines):
        raise NoProposal("The model's answer has no new code.", next_step=AGAIN)
    end = line_end(source)
    fresh = end.join(indent + line if line.strip() else "" for line in lines)
    return f"{above}{end if above.strip() else ''}{fresh}{source[len(above) :]}"


def _last_comment(source: str) -> int:
    """Return where the last line ends that is a comment and nothing else, or the whole source."""
    place, found = 0, len(source.rstrip())
    for line in source.split("\n"):
        if re.match(r"[ \t]*(?:#(?!\s*%%)|//|--)", line):
            found = place + len(line.rstrip("\r"))
        place += len(line) + 1
    return found


def _indent_of(text: str) -> str:
    """Return the indentation of the line of a text that has the least."""
    lines = [line for line in text.split("\n") if line.strip()]
    return min((line[: len(line) - len(line.lstrip())] for line in lines), key=len, default="")


def _without_rest(code: str, target: Target) -> str:
    """Return code without the lines around the part that a model has repeated."""
    ends_line = target.chosen.endswith("\n") or not target.after.partition("\n")[0].strip()
    if target.before.rpartition("\n")[2].strip() or not ends_line:
        return code  # the part is in the middle of a line
    lines = code.split("\n")
    before = _stripped(target.before)
    after = _stripped(target.after)
    if before and len(lines) > len(before) and _stripped("\n".join(lines[: len(before)])) == before:
        lines = lines[len(before) :]
    if after and len(lines) > len(after) and _stripped("\n".join(lines[-len(after) :])) == after:
        lines = lines[: -len(after)]
    return "\n".join(lines).strip("\n") or code


def _stripped(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.split("\n")]
    return list(dropwhile(_is_blank, list(dropwhile(_is_blank, lines))[::-1]))[::-1]


def _is_blank(line: str) -> bool:
    return not line


# ---- what must not happen


def refuse_placeholders(code: str, original: str) -> None:
    """Raise NoProposal for code in which something stands for code of the original that would be lost."""
    if not original.strip():
        return
    there = Counter(line.strip() for line in original.split("\n"))
    lines = code.split("\n")
    here = Counter(line.strip() for line in lines)
    loses = any(here[line] < times for line, times in there.items() if line and not line.startswith("#"))
    for number, line in enumerate(lines):
        if here[line.strip()] <= there[line.strip()]:
            continue
        dots = _BARE_DOTS.match(line) and not _is_doctest(lines, number) and not _is_new_stub(lines, number, original)
        head = line[:_LONGEST_REMARK]
        if dots or _OMITS.search(head) or (loses and _OMITS_IN_WORDS.search(head)):
            raise NoProposal(
                f"The model left code out behind “{line.strip()[:60]}”; taking that over would have deleted it.",
                next_step=AGAIN,
            )


def _is_doctest(lines: Sequence[str], number: int) -> bool:
    before = lines[number - 1].strip() if number else ""
    return before.startswith((">>>", "... "))


def _is_new_stub(lines: Sequence[str], number: int, original: str) -> bool:
    """Return whether the dots are the whole body of a function or class that the original has not."""
    before = lines[number - 1].strip() if number else ""
    name = re.match(r"(?:async\s+)?(?:def|class)\s+(\w+)", before)
    return bool(name and before.endswith(":") and not re.search(rf"\b{name[1]}\b", original))


def _refuse_fragment(code: str, target: Target, keeps_names: bool) -> None:
    """Raise NoProposal for an answer that is only a piece of what it is to replace."""
    old, new = (sum(bool(line.strip()) for line in text.split("\n")) for text in (target.chosen, code))
    if old < _FEW_LINES:
        return
    if new * 2 < old:
        raise NoProposal(
            "The model answered with a fragment, and it is not clear what that is to replace.", next_step=AGAIN
        )
    if target.is_python:
        made, was = python.parse(code), python.parse(target.chosen)
        if isinstance(made, Broken) or isinstance(was, Broken):
            return
        names = {node.name for node in python.definitions(was)}
        lost = names - {node.name for node in python.definitions(made)}
        only_new = made.body and all(isinstance(node, Definition) for node in made.body) and bool(was.body)
        if (lost and keeps_names) or (only_new and not names):
            what = f"`{min(lost)}`" if lost and keeps_names else "the code that is there"
            raise NoProposal(f"The model's answer would delete {what}.", next_step=AGAIN)


# ---- magics


def _with_magics(code: str, target: Target, *, keeps_lines: bool) -> str:
    """Return code with the original's cell magic where that is gone; for a small change also with its first magics."""
    if target.is_part:
        return code
    lines = target.source.replace("\r\n", "\n").split("\n")
    head: list[str] = []
    if python.cell_magic(target.source):
        first = next(line for line in lines if line.strip())
        if not python.cell_magic(code):
            head.append(first)
    elif keeps_lines and target.is_python:
        for line in lines:
            if line.strip() and not python.is_magic(line):
                break
            if line.strip() and line.strip() not in code:
                head.append(line)
    return "\n".join([*head, code])


# ---- only some functions of a longer source


def by_names(source: str, code: str) -> str | None:
    """Return a source with those functions and classes replaced that the code consists of.

    None where the code is more than functions of this source: then it is all of the new source. Raises NoProposal
    where a name stands for more than one of them.
    """
    new, old = python.parse(code), python.parse(source)
    if isinstance(new, Broken) or isinstance(old, Broken) or "\r" in source.replace("\r\n", ""):
        return None
    made = python.definitions(new)
    added = python.imports(new)
    if not made or len(made) + len(added) != len(new.body):
        return None
    names = {node.name for node in made}
    places = _places(old, names)
    if not places:
        return None
    covered = {node.name for node in python.definitions(old)} <= names
    rest = [node for node in old.body if not isinstance(node, Definition)]
    if covered and all(isinstance(node, ast.Import | ast.ImportFrom) for node in rest) and (added or not rest):
        return None  # it is all there
    return _replaced(source, made, places, code, _new_imports(added, old))


def _places(old: ast.Module, names: set[str]) -> dict[str, Definition]:
    """Return what the names stand for: at the top level, or else inside of one class."""
    for body in (old.body, *(node.body for node in old.body if isinstance(node, ast.ClassDef))):
        found = [node for node in body if isinstance(node, Definition) and node.name in names]
        if not found:
            continue
        twice = [name for name, times in Counter(node.name for node in found).items() if times > 1]
        inside = [
            node.name
            for one in old.body
            if isinstance(one, ast.ClassDef) and one.body is not body
            for node in one.body
            if isinstance(node, Definition) and node.name in names and body is not old.body
        ]
        if twice or inside:
            name = (twice or inside)[0]
            raise NoProposal(
                f"There is more than one `{name}` here; it is not clear which one to change.", next_step=AGAIN
            )
        return {node.name: node for node in found}
    return {}


def _new_imports(added: Sequence[ast.stmt], old: ast.Module) -> list[str]:
    known = {ast.unparse(node) for node in python.imports(old)}
    return [text for node in added if (text := ast.unparse(node)) not in known]


def _replaced(
    source: str, made: Sequence[Definition], places: dict[str, Definition], code: str, imports: Sequence[str]
) -> str:
    """Return the source with the definitions in their places; new ones come before the first that is replaced."""
    ends = "\r" if line_end(source) == "\r\n" else ""
    first = min(places.values(), key=lambda node: node.lineno)
    indent = " " * first.col_offset
    lines = source.split("\n")
    for node in sorted((node for node in made if node.name in places), key=lambda node: -places[node.name].lineno):
        begin, behind = python.lines_of(places[node.name])
        fresh = [line + ends for line in _of(node, code, indent)]
        if not lines[behind - 1].endswith("\r"):
            fresh[-1] = fresh[-1].removesuffix("\r")
        lines[begin:behind] = fresh
    begin, _ = python.lines_of(first)
    helpers = [text for node in made if node.name not in places for text in (*_of(node, code, indent), "", "")]
    lines[begin:begin] = [line + ends for line in helpers]
    place = next((n for n, line in enumerate(lines) if re.match(r"(?:import|from)\s+(?!__future__)", line)), None)
    if place is None:
        place = _below_the_head(lines)
    lines[place:place] = [line + ends for line in imports]
    return "\n".join(lines)


def _below_the_head(lines: Sequence[str]) -> int:
    """Return the place below a cell magic, a docstring, ``from __future__`` and comments at the top."""
    tree = python.parse("\n".join(lines))
    place = 1 if lines and python.cell_magic(lines[0]) else 0
    for node in tree.body if not isinstance(tree, Broken) else ():
        is_text = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
        if not is_text and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            break
        place = max(place, node.end_lineno or 0)
    return place


def _of(node: Definition, code: str, indent: str) -> list[str]:
    text = textwrap.dedent(python.text_of(node, code))
    return [indent + line if line.strip() else line.strip() for line in text.split("\n")]
