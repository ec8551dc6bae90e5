"""Metrics that a loop logs, one by one and through our buffered logger: from a kernel, through the real server."""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from bench.figures import Figure, Section
from tests.support.jupyter import jupyter_server
from tests.support.kernel import Kernel, kernel

ROUNDS = 3
PLAIN, OURS = 150, 20_000  # metrics in each round
QUICKER = 20.0

_SETUP = """
import json, time, mlflow
from aidp_ext.experiments import MetricLogger
mlflow.set_experiment("bench")
def plain(count):
    with mlflow.start_run():
        began = time.perf_counter()
        for step in range(count): mlflow.log_metric("loss", step / 7, step=step)
        return time.perf_counter() - began
def ours(count):
    with mlflow.start_run() as run:
        began = time.perf_counter()
        with MetricLogger() as log:
            for step in range(count): log(loss=step / 7, step=step)
            called = time.perf_counter() - began
        whole = time.perf_counter() - began
    assert (log.sent, log.lost) == (count, 0), (log.sent, log.lost, log.errors)
    return called, whole
plain(5), ours(5)
"""


def _ask(cell: Kernel, code: str) -> Any:
    """Return what a piece of code gives. MLflow prints lines of its own."""
    said = cell.run(f"print('=>', json.dumps({code}))", seconds=600).text
    return json.loads(said.rpartition("=>")[2].partition("\n")[0])


def run() -> Section:
    """Measure."""
    section = Section("Logging metrics from a kernel, through the server's proxy, into MLflow")
    plain, ours, calls = [], [], []
    with (
        tempfile.TemporaryDirectory(prefix="aidp-bench-logging-") as name,
        jupyter_server(Path(name), {}) as server,
        kernel(server, notebook="bench.ipynb") as cell,
    ):
        cell.run(_SETUP, seconds=600)
        for _ in range(ROUNDS):
            plain.append(PLAIN / _ask(cell, f"plain({PLAIN})"))
            called, whole = _ask(cell, f"ours({OURS})")
            ours.append(OURS / whole)
            calls.append(called / OURS * 1e6)
    ratios = [one / other for one, other in zip(ours, plain, strict=True)]
    label = "MetricLogger / mlflow.log_metric"
    section.figures += [
        Figure(label, statistics.median(ratios), "x", QUICKER, at_least=True, spread=(min(ratios), max(ratios))),
        Figure("MetricLogger, all has arrived", statistics.median(ours), "metrics/s", spread=(min(ours), max(ours))),
        Figure("mlflow.log_metric", statistics.median(plain), "metrics/s", spread=(min(plain), max(plain))),
        Figure("a call of MetricLogger in the loop", statistics.median(calls), "µs", spread=(min(calls), max(calls))),
    ]
    section.notes = [f"{ROUNDS} rounds in turn, of {PLAIN:,} metrics one by one and {OURS:,} through the logger."]
    section.about_packages("mlflow")
    return section
