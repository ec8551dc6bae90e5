"""Reads the progress that Git tells while it talks with a remote."""

from __future__ import annotations

import re

from aidp_ext.git.models import Progress

_PERCENT = re.compile(r"^(?:remote: )?(?P<phase>[A-Z][A-Za-z ]+?): +(?P<percent>\d+)% \(")


def read_progress(line: str) -> Progress | None:
    """Return what a line says of the progress, or what the remote says to the user; None for anything else."""
    line = line.strip()
    if match := _PERCENT.match(line):
        return Progress(match["phase"], int(match["percent"]), line.removeprefix("remote: "))
    if line.startswith("remote: ") and (text := line.removeprefix("remote: ").strip()):
        return Progress("remote", None, text)
    return None
