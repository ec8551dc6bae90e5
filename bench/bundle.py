"""How much a browser loads of ours: the production bundle, compressed as a server would."""

from __future__ import annotations

import gzip

from bench.figures import Figure, Section
from tests.support.processes import REPO

STATIC = REPO / "aidp_ext" / "labextension" / "static"
LIMIT_KB = 60.0
ON_DEMAND = "on-demand-"  # chunks of what is opened later: their import names them so


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
    start = sum(size for file, size in sizes.items() if not file.name.startswith(ON_DEMAND))
    section.figures = [
        Figure("bundle, what a page loads at its start, gzip", start, "kB", LIMIT_KB),
        Figure("bundle, all files, gzip", sum(sizes.values()), "kB"),
        Figure("bundle, all files, as they are", sum(file.stat().st_size for file in files) / 1000, "kB"),
    ]
    return section
