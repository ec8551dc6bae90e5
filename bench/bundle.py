"""How much a browser loads of ours: the production bundle, compressed as a server would."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from pathlib import Path

from bench.figures import Figure, Section
from tests.support.processes import REPO

STATIC = REPO / "aidp_ext" / "labextension" / "static"
LIMIT_KB = 60.0
ON_DEMAND = "on-demand-"  # chunks of what is opened later: their import names them so

_NUMBERED = re.compile(rf'(\d+):"({ON_DEMAND}[\w-]+)')
_TOGETHER = re.compile(r"Promise\.all\(\[([^\]]*)\]\)")


def run() -> Section:
    """Measure; skip where it is not built."""
    section = Section("The front end")
    files = sorted(STATIC.glob("*.js"))
    if not files:
        section.notes = ["skipped: the front end is not built (`make lab` builds it)"]
        return section
    if list(STATIC.glob("*.map")):
        section.notes = ["this is a development build: the production one is smaller"]
    sizes = {file: len(gzip.compress(file.read_bytes(), 9)) / 1000 for file in files}
    later = _on_demand(files)
    start = sum(size for file, size in sizes.items() if file.name.split(".")[0] not in later)
    section.figures = [
        Figure("bundle, what a page loads at its start, gzip", start, "kB", LIMIT_KB),
        Figure("bundle, all files, gzip", sum(sizes.values()), "kB"),
        Figure("bundle, all files, as they are", sum(file.stat().st_size for file in files) / 1000, "kB"),
    ]
    return section


def _on_demand(files: Sequence[Path]) -> set[str]:
    """Return the names of the chunks of what is opened later, with those that are asked for along with them."""
    text = "".join(file.read_text() for file in files)
    numbers = dict(_NUMBERED.findall(text))  # in a production build
    groups = [set(re.findall(r"\d+", group)) for group in _TOGETHER.findall(text)]
    return set(numbers.values()).union(*(group for group in groups if numbers.keys() & group))
