"""Reads a file of the workspace that was named by its path, and none from elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from aidp_ext.ai.context.parts import ending, notebook_text

OUTSIDE = "it lies outside of the workspace"
MOST_BYTES = 500_000
MOST_NOTEBOOK_BYTES = 20_000_000  # most of which are pictures


@dataclass(frozen=True)
class Found:
    """A file's text, or why there is none."""

    text: str = ""
    problem: str = ""


def read(root: Path | None, path: str) -> Found:
    """Return the text of a file below ``root``; of a notebook its sources without outputs. Links are followed inside.

    Of a larger file the first MOST_BYTES bytes are read; a notebook larger than MOST_NOTEBOOK_BYTES is not understood.
    """
    if root is None:
        return Found(problem="there is no workspace")
    target = inside(root, path)
    if target is None:
        return Found(problem=OUTSIDE)
    if any(part.startswith(".") and part not in (".", "..") for part in path.replace("\\", "/").split("/")):
        return Found(problem="it is hidden")
    return text(target, MOST_NOTEBOOK_BYTES if ending(path) == "ipynb" else MOST_BYTES)


def inside(root: Path, path: str) -> Path | None:
    """Return where a path below ``root`` leads, links followed; None for a place outside, or none at all."""
    try:
        base = root.resolve()
        target = (base / path.replace("\\", "/")).resolve()
    except (OSError, ValueError, RuntimeError):  # a loop, a zero character, a name that is too long
        return None
    return target if target.is_relative_to(base) else None


def text(path: Path, most_bytes: int) -> Found:
    """Return the beginning of a regular file's text; of a notebook, if it is read whole, its sources."""
    try:
        # What a link now stands for is not read: who calls has resolved it, or wants none. No pipe is waited for.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return Found(problem="there is no such file")
    except (OSError, ValueError):
        return Found(problem="it cannot be read")
    try:
        mode = os.fstat(handle).st_mode
        if not S_ISREG(mode):
            return Found(problem="it is a folder" if S_ISDIR(mode) else "it is no file")
        with open(handle, "rb", closefd=False) as file:
            data = file.read(most_bytes)
    except OSError:
        return Found(problem="it cannot be read")
    finally:
        os.close(handle)
    if b"\0" in data[:8000]:
        return Found(problem="it is not text")
    found = data.decode(errors="replace")
    if ending(path.name) == "ipynb":
        sources = notebook_text(found)
        return Found(problem="it is too large, or no notebook") if sources is None else Found(sources)
    return Found(found)
