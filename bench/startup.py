"""What the extension adds to the start of JupyterLab: the same server with and without it, in turn."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import Figure, Section
from bench.measure import cpu_seconds, middle, rss_mb
from tests.support.jupyter import clean_environment
from tests.support.processes import free_port, running, wait_for_http

PAIRS = 7
IDLE_S = 3.0
CPU_S, MEMORY_MB = 0.5, 15.0


def _start(folder: Path, with_aidp: bool) -> tuple[float, float]:
    """Start Lab, let it come to rest, and return its CPU seconds and its memory in MB."""
    port = free_port()
    root = folder / "work"
    root.mkdir(parents=True)
    argv = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    argv += ["--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}"]
    argv += [f'--ServerApp.jpserver_extensions={{"aidp_ext": {with_aidp}}}']
    environment = clean_environment(folder / "home", {"JUPYTER_TOKEN": "bench"})
    log = folder / "lab.log"
    with running(argv, log=log, env=environment, cwd=root) as process:
        wait_for_http(f"http://127.0.0.1:{port}/api", process)
        time.sleep(IDLE_S)
        loaded = "aidp_ext | extension was successfully loaded" in log.read_text()
        assert loaded == with_aidp, f"aidp_ext loaded: {loaded}\n{log.read_text()[-2000:]}"
        return cpu_seconds(process.pid), rss_mb(process.pid)


def run() -> Section:
    """Measure."""
    found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for number in range(PAIRS + 1):
        for with_aidp in (True, False) if number % 2 else (False, True):
            with tempfile.TemporaryDirectory() as name:
                measured = _start(Path(name), with_aidp)
            if number:  # the first pair fills the caches
                found[with_aidp].append(measured)
        print(f"pair {number} of {PAIRS}", flush=True)
    section = Section("What the extension adds to the start of JupyterLab")
    for place, (what, unit, limit) in enumerate((("CPU", "s", CPU_S), ("memory (RSS)", "MB", MEMORY_MB))):
        ours, bare = ([one[place] for one in found[kind]] for kind in (True, False))
        added = statistics.median(ours) - statistics.median(bare)
        pairs = [a - b for a, b in zip(ours, bare, strict=True)]
        section.figures.append(Figure(f"start, {what} added", added, unit, limit, spread=(min(pairs), max(pairs))))
        for label, values in (("with", ours), ("without", bare)):
            value, spread = middle(values)
            section.figures.append(Figure(f"start, {what} {label} the extension", value, unit, spread=spread))
    section.notes = [f"Medians of {PAIRS} starts each, read {IDLE_S:g} s after the first answer."]
    section.about_packages("jupyterlab", "jupyter_server", "aiohttp", "msgspec")
    return section
