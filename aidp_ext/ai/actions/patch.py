"""Applies a diff that a model gave instead of a source."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aidp_ext.ai.actions.parse import Block
from aidp_ext.core.errors import NoProposal

#: What to do where an answer cannot be taken over.
AGAIN = "Ask again, select less, or choose a stronger model."

_MOST_HUNKS = 200
_DIFF_HEAD = re.compile(r"@@+ ?(?:-(\d+)(?:,\d+)? \+\d+(?:,\d+)? ?@@.*)?")


def line_end(source: str) -> str:
    """Return how the lines of a source end."""
    return "\r\n" if "\r\n" in source else "\n"


def is_diff(block: Block) -> bool:
    """Return whether a block holds a diff and no source."""
    if block.language in ("diff", "patch", "udiff"):
        return True
    lines = block.text.split("\n")
    return any(line.startswith("@@") for line in lines) and any(line.startswith(("+", "-")) for line in lines)


def patched(source: str, diff: str) -> str:
    """Return a source with a unified diff applied, whose line numbers may be wrong and whose context may not.

    Raises NoProposal where the lines that it is about are not in the source, or more than once.
    """
    end = line_end(source)
    lines = source.split("\n")
    done = 0
    made: list[str] = []
    for number, hunk in _hunks(diff):
        old = [text for mark, text in hunk if mark != "+"]
        place = _find(lines, old, number, done)
        made += lines[done:place]
        for mark, text in hunk:
            if mark == " ":
                made.append(lines[place])
            elif mark == "+":
                made.append(text + ("\r" if end == "\r\n" else ""))
            place += mark != "+"
        done = place
    return "\n".join([*made, *lines[done:]])


def _hunks(diff: str) -> list[tuple[int | None, list[tuple[str, str]]]]:
    """Return the hunks of a diff: the line they say they begin at, and their lines with ``+``, ``-`` or a space."""
    found: list[tuple[int | None, list[tuple[str, str]]]] = []
    lines = diff.strip("\n").split("\n")
    is_head = True
    for number, line in enumerate(lines):
        follows = lines[number + 1] if number + 1 < len(lines) else ""
        if line.startswith("@@"):
            head = _DIFF_HEAD.match(line)
            found.append((int(head[1]) if head and head[1] else None, []))
            is_head = False
        elif (line.startswith("--- ") and follows.startswith("+++ ")) or line.startswith(("diff --git", "index ")):
            is_head = True
        elif (is_head and line.startswith("+++ ")) or line.startswith("\\ No newline"):
            continue
        else:
            is_head = False
            if not found:
                found.append((None, []))
            mark = line[0] if line[:1] in ("+", "-", " ") else " "
            found[-1][1].append((mark, line[1:] if line[:1] in ("+", "-", " ") else line))
    hunks = [(number, hunk) for number, hunk in found if any(mark != " " for mark, _ in hunk)]
    if not 0 < len(hunks) <= _MOST_HUNKS:
        what = "that changes nothing" if not hunks else "of too many parts"
        raise NoProposal(f"The model's answer is a diff {what}.", next_step=AGAIN)
    return hunks


def _find(lines: Sequence[str], old: Sequence[str], number: int | None, start: int) -> int:
    """Return where the old lines stand: once, or nearest to the number that the diff gives."""
    if not old and number is not None and start <= number - 1 <= len(lines):
        return number - 1
    wanted = [line.rstrip() for line in old]
    have = [line.rstrip() for line in lines]
    places = [
        place for place in range(start, len(have) - len(wanted) + 1) if have[place : place + len(wanted)] == wanted
    ]
    if old and places and (len(places) == 1 or number is not None):
        return min(places, key=lambda place: abs(place - ((number or 1) - 1)))
    raise NoProposal("The model's answer is a diff that does not fit the code that is there.", next_step=AGAIN)
