"""Lists, curves and live news of 100,000 runs through our endpoints, MLflow's own REST API beside them.

``AIDP_BENCH_RUNS`` is another number of runs. They are written straight into the SQLite file that MLflow has made.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from bench.figures import Figure, Section
from bench.measure import cpu_seconds, rss_mb
from tests.support.jupyter import Server, jupyter_server

RUNS = int(os.environ.get("AIDP_BENCH_RUNS", "100000"))
KEYS, TAGS = 10, 5
LONG, POINTS = 60, 10_000  # runs with a long history
ROUNDS, ROUNDS_MLFLOW = 21, 5
FIRST_MS, SORTED_MS, FILTERED_MS, CURVES_MS = 100.0, 100.0, 150.0, 150.0
QUICKER, PER_S, ON_SCREEN_S = 5.0, 2000.0, 3.0
SIDEBARS, WATCHED_S, LOGGED = 50, 15.0, 12
_START = 1_700_000_000_000

_MAKE = "import sys; from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore; SqlAlchemyStore(*sys.argv[1:])"


def make(folder: Path) -> Path:
    """Let MLflow make its database, and fill it. Returns the file."""
    folder.mkdir(parents=True)
    file = folder / "mlflow.db"
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    argv = [sys.executable, "-c", _MAKE, f"sqlite:///{file}", "mlflow-artifacts:/"]
    subprocess.run(argv, check=True, capture_output=True, env=environment)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        fill(connection)
    return file


def run_id(number: int) -> str:
    return f"{number:032x}"


def fill(connection: sqlite3.Connection) -> None:
    """Write the runs, and the statistics without which MLflow's searches take minutes."""
    dice = random.Random(7)
    connection.executemany(
        "INSERT INTO runs(run_uuid, name, source_type, status, start_time, end_time, lifecycle_stage, experiment_id,"
        " user_id, artifact_uri) VALUES(?, ?, 'LOCAL', 'FINISHED', ?, ?, 'active', 0, 'ana', ?)",
        (
            (
                run_id(n),
                f"run {n}",
                _START + n * 1000,
                _START + n * 1000 + 500,
                f"mlflow-artifacts:/0/{run_id(n)}/artifacts",
            )
            for n in range(RUNS)
        ),
    )
    connection.executemany("INSERT INTO params(key, value, run_uuid) VALUES(?, ?, ?)", _params(dice))
    connection.executemany("INSERT INTO tags(key, value, run_uuid) VALUES(?, ?, ?)", _tags(dice))
    connection.executemany(
        "INSERT INTO latest_metrics(key, value, timestamp, step, is_nan, run_uuid) VALUES(?, ?, ?, 1, 0, ?)",
        ((f"m{k}", dice.random(), _START + n * 1000, run_id(n)) for n in range(RUNS) for k in range(KEYS)),
    )
    for n in range(LONG):
        history = [(dice.random() + 100 / (step + 1), _START + step, step) for step in range(POINTS)]
        connection.executemany(
            "INSERT INTO metrics(key, value, timestamp, step, is_nan, run_uuid) VALUES('loss', ?, ?, ?, 0, ?)",
            ((*point, run_id(n)) for point in history),
        )
        connection.execute("INSERT INTO latest_metrics VALUES('loss', ?, ?, ?, 0, ?)", (*history[-1], run_id(n)))
    connection.commit()
    connection.execute("ANALYZE")
    connection.commit()


def _params(dice: random.Random) -> Iterator[tuple[str, str, str]]:
    for n in range(RUNS):
        for k in range(KEYS):
            yield f"p{k}", str(dice.randrange(20 if k % 2 else 10**6)), run_id(n)


def _tags(dice: random.Random) -> Iterator[tuple[str, str, str]]:
    for n in range(RUNS):
        yield "mlflow.runName", f"run {n}", run_id(n)
        for k in range(TAGS - 1):
            yield f"t{k}", str(dice.randrange(50)), run_id(n)


# ---- questions


class Asker:
    """A page: our endpoints, and MLflow's through the same server."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self.server = server
        self._session = session

    async def post(self, path: str, body: Any) -> Any:
        async with self._session.post(f"{self.server.url}aidp/{path}", json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def get(self, path: str) -> Any:
        async with self._session.get(f"{self.server.url}aidp/{path}") as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def search(self, **asked: Any) -> Any:
        body = {"experiments": ["0"], "limit": 100, "columns": [f"metrics.m{k}" for k in range(KEYS)], **asked}
        return await self.post("experiments/runs/search", body)

    async def mlflow(self, **asked: Any) -> Any:
        body = {"experiment_ids": ["0"], "max_results": 100, **asked}
        return await self.post("mlflow/api/2.0/mlflow/runs/search", body)


def _questions(
    asker: Asker,
) -> dict[str, tuple[float, Callable[[int], Awaitable[Any]], Callable[[int], Awaitable[Any]]]]:
    """Return each question in both forms; the number makes no two of them the same."""
    return {
        "first page": (
            FIRST_MS,
            lambda n: asker.search(order_by=["attributes.start_time DESC"]),
            lambda n: asker.mlflow(order_by=["attributes.start_time DESC"]),
        ),
        "sorted by a metric": (
            SORTED_MS,
            lambda n: asker.search(order_by=[f"metrics.m{n % KEYS} {'DESC' if n % 2 else 'ASC'}"]),
            lambda n: asker.mlflow(order_by=[f"metrics.m{n % KEYS} {'DESC' if n % 2 else 'ASC'}"]),
        ),
        "filter on a parameter and a metric, sorted": (
            FILTERED_MS,
            lambda n: asker.search(filter=_filter(n), order_by=["metrics.m3 DESC"]),
            lambda n: asker.mlflow(filter=_filter(n), order_by=["metrics.m3 DESC"]),
        ),
    }


def _filter(number: int) -> str:
    return f"params.p{1 + number % 5 * 2} = '{number % 20}' AND metrics.m{number % 3} > 0.{1 + number % 8}"


async def _ms(rounds: int, ask: Callable[[int], Awaitable[Any]]) -> list[float]:
    found = []
    for number in range(rounds):
        began = time.perf_counter()
        await ask(number)
        found.append((time.perf_counter() - began) * 1000)
    return found


def _spread(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)


# ---- measuring


async def _measure(server: Server, section: Section) -> None:
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(headers=server.headers, timeout=timeout) as session:
        asker = Asker(server, session)
        before = rss_mb(server.pid)
        await _catch_up(asker, section)
        section.figures.append(
            Figure("memory of the server, with the index in use", rss_mb(server.pid) - before, "MB more")
        )
        await asker.post("experiments/start", {})
        await _lists(asker, section)
        await _curves(asker, section)
        await _sidebars(asker, session, section)
        await _live(asker, session, section)


async def _catch_up(asker: Asker, section: Section) -> None:
    began = time.perf_counter()
    while True:
        page = await asker.search(limit=1, columns=[])
        if page["total"] == RUNS:
            break
        await asyncio.sleep(0.2)
    took = time.perf_counter() - began
    section.figures.append(Figure("index, from nothing to all runs", RUNS / took, "runs/s", PER_S, at_least=True))


async def _lists(asker: Asker, section: Section) -> None:
    for name, (limit, ours, theirs) in _questions(asker).items():
        await ours(100)
        await theirs(100)
        mine, mlflow = await _ms(ROUNDS, ours), await _ms(ROUNDS_MLFLOW, theirs)
        p50, p50_mlflow = statistics.median(mine), statistics.median(mlflow)
        section.figures.append(Figure(name, p50, "ms", limit, spread=_spread(mine)))
        section.figures.append(Figure(f"{name}: MLflow's REST", p50_mlflow, "ms", spread=_spread(mlflow)))
        section.figures.append(Figure(f"{name}: MLflow's REST / ours", p50_mlflow / p50, "x", QUICKER, at_least=True))


async def _curves(asker: Asker, section: Section) -> None:
    async def ours(number: int) -> None:
        runs = [run_id((number * 5 + k) % LONG) for k in range(5)]
        said = await asker.post("experiments/curves", {"runs": runs, "metrics": ["loss"]})
        assert [curve["total"] for curve in said["curves"]] == [POINTS] * 5

    async def theirs(number: int) -> None:
        runs = "&".join(f"run_ids={run_id((number * 5 + k) % LONG)}" for k in range(5))
        await asker.get(
            f"mlflow/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?{runs}&metric_key=loss&max_results=320"
        )

    rounds = LONG // 5 - 1
    first, again = await _ms(rounds, ours), await _ms(rounds, ours)
    mlflow = await _ms(ROUNDS_MLFLOW, theirs)
    name = f"five curves of {POINTS:,} points"
    section.figures.append(Figure(name, statistics.median(first), "ms", CURVES_MS, spread=_spread(first)))
    section.figures.append(Figure(f"{name}, seen before", statistics.median(again), "ms", spread=_spread(again)))
    section.figures.append(
        Figure(f"{name}: MLflow's bulk REST", statistics.median(mlflow), "ms", spread=_spread(mlflow))
    )


def _tracking(server: Server) -> psutil.Process:
    """Return MLflow's server, the child of ours."""
    return next(child for child in psutil.Process(server.pid).children() if "mlflow" in " ".join(child.cmdline()))


async def _sidebars(asker: Asker, session: aiohttp.ClientSession, section: Section) -> None:
    """What open pages cost the tracking server and ours, while nobody logs."""
    costs = {}
    for count in (1, SIDEBARS):
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(count):
                socket = await stack.enter_async_context(session.ws_connect(f"{asker.server.url}aidp/experiments/live"))
                await socket.send_json({"watch": {"experiments": ["0"]}})
            await asyncio.sleep(3)
            mlflow, whole = cpu_seconds(_tracking(asker.server).pid), cpu_seconds(asker.server.pid)
            await asyncio.sleep(WATCHED_S)
            theirs = cpu_seconds(_tracking(asker.server).pid) - mlflow
            costs[count] = (theirs, cpu_seconds(asker.server.pid) - whole - theirs)
    for count, (theirs, ours) in costs.items():
        section.figures.append(Figure(f"{count} open sidebar(s): CPU of MLflow", theirs / WATCHED_S * 1000, "ms/s"))
        section.figures.append(Figure(f"{count} open sidebar(s): CPU of ours", ours / WATCHED_S * 1000, "ms/s"))


async def _live(asker: Asker, session: aiohttp.ClientSession, section: Section) -> None:
    """How long a value that was logged takes to a page."""
    api = "mlflow/api/2.0/mlflow"
    made = await asker.post(f"{api}/runs/create", {"experiment_id": "0", "start_time": int(time.time() * 1000)})
    run, waits = made["run"]["info"]["run_id"], []
    async with session.ws_connect(f"{asker.server.url}aidp/experiments/live") as socket:
        await socket.send_json({"watch": {"runs": [run]}})
        await asyncio.sleep(3)
        for step in range(LOGGED):
            body = {"run_id": run, "key": "loss", "value": 0.5, "timestamp": int(time.time() * 1000), "step": step}
            began = time.perf_counter()
            await asker.post(f"{api}/runs/log-metric", body)
            while True:
                news = json.loads((await socket.receive(timeout=30)).data)
                if news["kind"] == "points" and step in news["x"]:
                    break
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(random.random())
    figure = Figure("log-metric to a page, the longest", max(waits), "s", ON_SCREEN_S, spread=_spread(waits))
    section.figures.append(figure)


def run() -> Section:
    """Measure."""
    section = Section(f"Experiments of {RUNS:,} runs, {KEYS} parameters, {KEYS} metrics and {TAGS} tags each")
    with tempfile.TemporaryDirectory(prefix="aidp-bench-experiments-") as name:
        folder = Path(name)
        make(folder / "home" / "data" / "aidp" / "experiments")
        with jupyter_server(folder, {}) as server:
            asyncio.run(_measure(server, section))
    section.notes = [
        "Through a real Jupyter server; MLflow's REST through our proxy, with `ANALYZE` done.",
        "In brackets: the least and the greatest.",
        "No question is asked twice but the first page; the curves are of other runs each time.",
    ]
    section.about_packages("mlflow", "jupyter_server")
    return section
