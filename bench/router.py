"""The router inside a Jupyter server beside the LiteLLM proxy: same upstream, same client, same run, round by round.

What counts is the CPU time of the server's process, everything included: Jupyter's own work for a request, the
check of the token, the decision, the audit record. Nothing is subtracted.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp

from bench import litellm
from bench.figures import Figure, Section
from bench.measure import Cost, cost_of, middle
from bench.upstream import EVENTS, upstream
from tests.support.jupyter import Server, jupyter_server

ROUNDS = 5
ABORTS = 40
FIRSTS = 30
JSON_MS, EVENT_US, TIMES_LESS, ABORT_MS = 1.5, 60.0, 10.0, 200.0
PROMPT = "Write a function that reads a CSV file and returns the mean of each numeric column. " * 4
TIMEOUT = aiohttp.ClientTimeout(total=60)

Work = Callable[[], Awaitable[None]]
Costs = dict[str, dict[str, list[Cost]]]


@dataclass(frozen=True)
class Kind:
    """A kind of request: what is asked, how many at a time, and how often by whom in each round."""

    name: str
    body: dict[str, object]
    concurrency: int
    count: int
    count_litellm: int


def _ask(model: str, **more: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": PROMPT}], "temperature": 0.2, **more}


KINDS = (
    # often enough that the clock's 10 ms are one or two per cent of what is measured
    Kind("JSON, one at a time", _ask("stub"), 1, 1500, 200),
    Kind("JSON, 32 at a time", _ask("stub"), 32, 2000, 320),
    Kind("stream, back to back", _ask("stub", stream=True), 1, 600, 40),
    Kind("stream, paced", _ask("paced", stream=True), 4, 160, 40),
)


@dataclass(frozen=True)
class Target:
    """A server to be measured."""

    name: str
    url: str
    pid: int
    headers: dict[str, str]

    def work(self, session: aiohttp.ClientSession, kind: Kind) -> Work:
        """Return a function that makes one request and checks its answer."""
        path = "/chat/completions"
        if kind.body.get("stream"):
            return partial(_stream, session, self.url + path, self.headers, kind.body)
        return partial(_document, session, self.url + path, self.headers, kind.body)


async def _document(session: aiohttp.ClientSession, url: str, headers: dict[str, str], body: object) -> None:
    async with session.post(url, json=body, headers=headers) as response:
        answer = await response.json()
        assert response.status == 200 and answer["usage"]["completion_tokens"] == 64, answer


async def _stream(session: aiohttp.ClientSession, url: str, headers: dict[str, str], body: object) -> None:
    async with session.post(url, json=body, headers=headers) as response:
        received = b"".join([chunk async for chunk in response.content.iter_any()])
        events = [line for line in received.splitlines() if line.startswith(b"data:")]
        # LiteLLM leaves the event with the usage out unless it is asked for
        assert response.status == 200 and len(events) >= 65 and events[-1] == b"data: [DONE]", received[:500]


async def _status(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> None:
    async with session.get(url, headers=headers) as response:
        assert response.status == 200, response.status
        await response.read()


async def _measure(aidp: Target, other: Target, direct: Target, server: Server) -> Costs:
    """Return the costs by target and kind, one per round; in each round every target has its turn."""
    costs: Costs = {}
    # LiteLLM's server drops an idle connection after 5 s: leave before it does
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar, timeout=TIMEOUT) as session:
        for round_number in range(ROUNDS + 1):  # the first one warms up
            for kind in KINDS:
                for target in (aidp, other, direct):
                    count = kind.count_litellm if target is other else kind.count
                    cost = await cost_of(target.pid, target.work(session, kind), count, kind.concurrency)
                    if round_number:
                        costs.setdefault(target.name, {}).setdefault(kind.name, []).append(cost)
                if not kind.body.get("stream"):
                    work = partial(_status, session, f"{server.url}api/status", server.headers)
                    cost = await cost_of(server.pid, work, kind.count, kind.concurrency)
                    if round_number:
                        costs.setdefault("host", {}).setdefault(kind.name, []).append(cost)
            print(f"round {round_number} of {ROUNDS}", flush=True)
    return costs


async def _arrivals(target: Target) -> tuple[list[float], list[float]]:
    """Return, for paced streams over one kept connection, the milliseconds to the first event and the reads it took.

    67 reads are 67 events that came one by one; fewer say that something on the way collected them.
    """
    firsts, reads = [], []
    body = KINDS[-1].body
    connector = aiohttp.TCPConnector(limit=1, keepalive_timeout=2)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        for _ in range(FIRSTS):
            asked = time.perf_counter()
            async with session.post(f"{target.url}/chat/completions", json=body, headers=target.headers) as response:
                chunks = response.content.iter_any()
                await anext(aiter(chunks))
                firsts.append((time.perf_counter() - asked) * 1000)
                reads.append(1.0 + len([chunk async for chunk in chunks]))
    return firsts[1:], reads[1:]  # the first one opened the connection


async def _abort_latencies(server: Server, upstream_url: str) -> list[float]:
    """Return the milliseconds from the client's leaving to the end of the upstream's connection, try by try."""
    left: dict[str, float] = {}
    for number in range(ABORTS):
        model, user = ("endless", "silent")[number % 2], f"abort-{number}"
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rsplit(":", 1)[1].rstrip("/")))
        body = json.dumps(_ask(f"local/{model}", stream=True, user=user)).encode()
        head = f"POST /aidp/ai/v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        head += f"Authorization: Bearer {server.token}\r\nContent-Type: application/json\r\n\r\n"
        writer.write(head.encode() + body)
        async with asyncio.timeout(30):
            await reader.readuntil(b"data: ")
        await asyncio.sleep(0.05 + 0.003 * number)  # not always at the same moment between two events
        left[user] = time.monotonic()
        writer.close()
    await asyncio.sleep(2)
    async with aiohttp.ClientSession() as session, session.get(f"{upstream_url}/ended") as response:
        ended: dict[str, float] = await response.json()
    return [(ended.get(user, float("inf")) - at) * 1000 for user, at in left.items()]


def _cpu(costs: Costs, target: str, kind: str) -> list[float]:
    return [cost.cpu_ms for cost in costs[target][kind]]


def _figures(costs: Costs) -> list[Figure]:
    """Return what has a limit."""
    made = []
    for kind in KINDS:
        own = _cpu(costs, "aidp", kind.name)
        if kind.body.get("stream"):
            value, spread = middle([ms * 1000 / len(EVENTS) for ms in own])
            made.append(Figure(f"router, {kind.name}: CPU an event", value, "µs", EVENT_US, spread=spread))
        else:
            value, spread = middle(own)
            made.append(Figure(f"router, {kind.name}: CPU a request", value, "ms", JSON_MS, spread=spread))
    for kind in KINDS:
        pairs = zip(_cpu(costs, "aidp", kind.name), _cpu(costs, "litellm", kind.name), strict=True)
        value, spread = middle([theirs / ours for ours, theirs in pairs])
        made.append(Figure(f"LiteLLM's CPU to ours, {kind.name}", value, "times", TIMES_LESS, True, spread))
    return made


def _orientation(costs: Costs) -> list[Figure]:
    """Return what helps to judge the rest and has no limit."""
    made = []
    names = {"host": "Jupyter's own GET /api/status", "litellm": "LiteLLM proxy", "direct": "the stub upstream itself"}
    for target, label in names.items():
        for kind, found in costs[target].items():
            value, spread = middle([cost.cpu_ms for cost in found])
            made.append(Figure(f"{label}, {kind}: CPU", value, "ms", spread=spread))
    for target in ("direct", "aidp", "litellm"):
        value, spread = middle([cost.wall_ms for cost in costs[target][KINDS[0].name]])
        made.append(Figure(f"{names.get(target, 'router')}, {KINDS[0].name}: wall", value, "ms", spread=spread))
    return made


def _arrival_figures(arrivals: dict[str, tuple[list[float], list[float]]]) -> list[Figure]:
    made = []
    for label, (firsts, reads) in arrivals.items():
        for what, unit, values in (("first event after", "ms", firsts), (f"{len(EVENTS)} events in", "reads", reads)):
            value, spread = middle(values)
            made.append(Figure(f"{label}, stream, paced, kept connection: {what}", value, unit, spread=spread))
    return made


def run() -> Section:
    """Measure."""
    litellm.install()
    section = Section("The router in a Jupyter server, and the LiteLLM proxy")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with upstream(folder) as (url, upstream_pid):
            environment = {"LOCAL_OPENAI_BASE_URL": f"{url}/v1"}
            with (
                jupyter_server(folder / "jupyter", environment) as server,
                litellm.litellm_proxy(folder, url) as (proxy, proxy_pid),
            ):
                aidp = Target("aidp", server.ai, server.pid, server.headers)
                other = Target("litellm", proxy, proxy_pid, {"Authorization": f"Bearer {litellm.KEY}"})
                direct = Target("direct", f"{url}/v1", upstream_pid, {})
                costs = asyncio.run(_measure(aidp, other, direct, server))
                labels = {"the stub upstream itself": direct, "router": aidp, "LiteLLM proxy": other}
                arrivals = {label: asyncio.run(_arrivals(target)) for label, target in labels.items()}
                aborts = asyncio.run(_abort_latencies(server, url))
    section.figures = _figures(costs)
    spread = (min(aborts), max(aborts))
    section.figures.append(Figure(f"upstream aborted after, slowest of {ABORTS}", max(aborts), "ms", ABORT_MS))
    section.figures.append(Figure("upstream aborted after, median", statistics.median(aborts), "ms", spread=spread))
    section.figures += _arrival_figures(arrivals) + _orientation(costs)
    section.about_packages("jupyter_server", "tornado", "aiohttp", "msgspec")
    section.versions["litellm"] = litellm.VERSION
    return section
