"""Takes secrets out of what is kept of a run: nothing of it leaves the kernels' folder with one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

#: Where secrets are in a text, as (start, end, kind, kind in words); True: personal data too.
FindSecrets = Callable[[str, bool], Sequence[tuple[int, int, str, str]]]

_PIECE, _OVERLAP = 65_536, 8_192  # characters: a piece takes some 20 ms, and no other request waits longer
_FILE, _BINARY = "diff --git ", "\nGIT binary patch\n"


async def without_secrets(text: str, find: FindSecrets, *, is_patch: bool = False) -> tuple[str, int]:
    """Return a text with each secret named, not told, and how many there were. A long text is taken in pieces.

    A patch says how many lines it has, so it keeps them, each with the sign before it.
    """
    spans: list[tuple[int, int, str]] = []
    start = 0
    while start < len(text):
        begin, end = max(0, start - _OVERLAP), _line_end(text, start + _PIECE)
        found = await asyncio.to_thread(find, text[begin:end], False)
        spans += [(begin + one[0], begin + one[1], one[3]) for one in found]
        start = end
    merged = _merged(spans)
    parts: list[str] = []
    done = 0
    for first, last, label in merged:
        further = text[first:last].split("\n")[1:] if is_patch else []
        parts += text[done:first], f"[{label}]", *(f"\n{line[:1]}" for line in further)
        done = last
    return "".join((*parts, text[done:])), len(merged)


async def patch_without_secrets(patch: bytes, find: FindSecrets) -> tuple[bytes, int]:
    """Return a patch without the secrets in its texts; what Git wrote of binary files stays as it is."""
    text = patch.decode("utf-8", errors="surrogateescape")
    parts, count = [], 0
    for kind, part in _sections(text):
        clean, number = (part, 0) if kind == "binary" else await without_secrets(part, find, is_patch=True)
        parts.append(clean)
        count += number
    return "".join(parts).encode("utf-8", errors="surrogateescape"), count


def _sections(text: str) -> list[tuple[str, str]]:
    """Return the parts of a patch: runs of files with text in one, each binary file by itself."""
    starts = [0]
    at = text.find(f"\n{_FILE}")
    while at >= 0:
        starts.append(at + 1)
        at = text.find(f"\n{_FILE}", at + 1)
    found: list[tuple[str, list[str]]] = []
    for first, last in zip(starts, [*starts[1:], len(text)], strict=True):
        part = text[first:last]
        kind = "binary" if _BINARY in part[:4096] else "text"
        if kind == "text" and found and found[-1][0] == "text":
            found[-1][1].append(part)
        else:
            found.append((kind, [part]))
    return [(kind, "".join(parts)) for kind, parts in found]


def _line_end(text: str, at: int) -> int:
    """Return the end of the line at a place, or the place itself in a very long line."""
    end = text.find("\n", at, at + _OVERLAP)
    return min(len(text), at if end < 0 else end + 1)


def _merged(spans: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Return spans in order, those that overlap as one: the pieces of a text overlap, and so may kinds of secrets."""
    found: list[tuple[int, int, str]] = []
    for start, end, label in sorted(spans):
        if found and start < found[-1][1]:
            first, last, name = found[-1]
            found[-1] = (first, max(last, end), name)
        else:
            found.append((start, end, label))
    return found
