"""The router in both of its hosts beside the LiteLLM proxy: same upstream, same client, same run, round by round.

What counts is the CPU time of the server's process, everything included: the host's own work for a request, the check
of the token, the decision, the records. Nothing is subtracted.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import aiohttp

from bench import bare, delays, holding, litellm
from bench.figures import Figure, Section
from bench.gateway import gateway
from bench.measure import Cost, cost_of, middle, rss_of_all_mb
from bench.targets import JSON_ALONE, JSON_MANY, KINDS, TIMEOUT, Kind, Target, ready
from bench.upstream import EVENTS, HUB_TOKEN, upstream
from tests.support.jupyter import jupyter_server

ROUNDS = 5
JSON_MS, EVENT_US, PER_S, TIMES_LESS, TIMES_SMALLER = 1.5, 60.0, 600.0, 10.0, 5.0
#: The names of what is measured.
LAB, LAB_PAID, HUB, HUB_PAID = "Lab, local model", "Lab, all on", "gateway, local model", "gateway, all on"
LITELLM, BARE, DIRECT, HOST = "LiteLLM proxy", "bare passthrough", "the stub upstream itself", "Jupyter's /api/status"
OURS = (LAB, LAB_PAID, HUB, HUB_PAID)

Costs = dict[str, dict[str, list[Cost]]]


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[dict[str, Target]]:
    """Run everything that is measured while the block runs; give the targets by name."""
    with contextlib.ExitStack() as stack:
        url, upstream_pid = stack.enter_context(upstream(folder))
        models = {
            "LOCAL_OPENAI_BASE_URL": f"{url}/v1",
            # Reached on this machine, and cloud all the same: it has a key, so it costs, and text leaves redacted.
            "OPENAI_BASE_URL": f"{url}/v1",
            "OPENAI_API_KEY": "sk-bench",
            "AIDP_AI_MONTHLY_BUDGET_USD": "100000000",
            "AIDP_AI_USER_DAILY_BUDGET_USD": "100000000",
        }
        lab = stack.enter_context(jupyter_server(folder / "jupyter", models))
        hub, hub_pid = stack.enter_context(gateway(folder, url, models))
        proxy, proxy_pid = stack.enter_context(litellm.litellm_proxy(folder, url))
        least, least_pid = stack.enter_context(bare.bare_proxy(folder, url))
        found = (
            Target(LAB, lab.ai, lab.pid, lab.token, "local/"),
            Target(LAB_PAID, lab.ai, lab.pid, lab.token, "openai/"),
            Target(HUB, hub, hub_pid, HUB_TOKEN, "local/"),
            Target(HUB_PAID, hub, hub_pid, HUB_TOKEN, "openai/"),
            Target(LITELLM, proxy, proxy_pid, litellm.KEY, is_litellm=True),
            Target(BARE, least, least_pid, bare.TOKEN),
            Target(DIRECT, f"{url}/v1", upstream_pid),
        )
        yield {target.name: target for target in found}


async def _status(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> None:
    async with session.get(url, headers=headers) as response:
        assert response.status == 200, response.status
        await response.read()


async def _measure(targets: dict[str, Target], rounds: int) -> Costs:
    """Return the costs by target and kind, one per round; in each round every target has its turn."""
    costs: Costs = {}
    lab = targets[LAB]
    status = f"{lab.url.removesuffix('aidp/ai/v1')}api/status"
    # LiteLLM's server drops an idle connection after 5 s: leave before it does
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
    jar = aiohttp.DummyCookieJar()
    for target in targets.values():
        await ready(target)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar, timeout=TIMEOUT) as session:
        for round_number in range(rounds + 1):  # the first one warms up
            for kind in KINDS:
                works = [(target.name, target.pid, target.work(session, kind)) for target in targets.values()]
                if not kind.streams:
                    works.append((HOST, lab.pid, partial(_status, session, status, lab.headers)))
                for name, pid, work in works:
                    count = targets[name].count(kind) if name in targets else kind.count
                    cost = await cost_of(pid, work, count, kind.concurrency)
                    if round_number:
                        costs.setdefault(name, {}).setdefault(kind.name, []).append(cost)
            print(f"round {round_number} of {rounds}", flush=True)
    return costs


def _cpu(costs: Costs, target: str, kind: Kind) -> list[float]:
    return [cost.cpu_ms for cost in costs[target][kind.name]]


def _cost_figures(costs: Costs) -> list[Figure]:
    """Return what a request, an event and a second cost, and LiteLLM beside them."""
    made = []
    for target in OURS:
        for kind in KINDS:
            own = _cpu(costs, target, kind)
            if kind.streams:
                value, spread = middle([ms * 1000 / len(EVENTS) for ms in own])
                made.append(Figure(f"{target}, {kind.name}: CPU an event", value, "µs", EVENT_US, spread=spread))
            else:
                value, spread = middle(own)
                made.append(Figure(f"{target}, {kind.name}: CPU a request", value, "ms", JSON_MS, spread=spread))
    for target in OURS:
        value, spread = middle([1000 / ms for ms in _cpu(costs, target, JSON_MANY)])
        made.append(Figure(f"{target}: requests that one core's time is enough for", value, "/s", PER_S, True, spread))
    for target in OURS:
        for kind in KINDS:
            pairs = zip(_cpu(costs, target, kind), _cpu(costs, LITELLM, kind), strict=True)
            value, spread = middle([theirs / ours for ours, theirs in pairs])
            name = f"LiteLLM's CPU to that of {target}, {kind.name}"
            made.append(Figure(name, value, "times", TIMES_LESS, True, spread))
    return made


def _orientation(costs: Costs) -> list[Figure]:
    """Return what helps to judge the rest and has no limit."""
    made = []
    for target in (HOST, BARE, LITELLM, DIRECT):
        for kind, found in costs[target].items():
            value, spread = middle([cost.cpu_ms for cost in found])
            made.append(Figure(f"{target}, {kind}: CPU", value, "ms", spread=spread))
    for target in (*OURS, BARE, LITELLM):
        value, spread = middle([cost.per_s for cost in costs[target][JSON_MANY.name]])
        made.append(
            Figure(f"{target}, {JSON_MANY.name}: as done here, beside client and upstream", value, "/s", spread=spread)
        )
    for target in (DIRECT, BARE, *OURS, LITELLM):
        value, spread = middle([cost.wall_ms for cost in costs[target][JSON_ALONE.name]])
        made.append(Figure(f"{target}, {JSON_ALONE.name}: wall", value, "ms", spread=spread))
    return made


def _memory(targets: dict[str, Target]) -> list[Figure]:
    """Return the memory of the servers after all of the load."""
    theirs, ours = (rss_of_all_mb(targets[name].pid) for name in (LITELLM, HUB))
    return [
        Figure("LiteLLM's memory (RSS) to the gateway's, after the load", theirs / ours, "times", TIMES_SMALLER, True),
        Figure("gateway: memory (RSS) after the load", ours, "MB"),
        Figure("LiteLLM proxy: memory (RSS) after the load", theirs, "MB"),
        Figure("Lab's server: memory (RSS) after the load", rss_of_all_mb(targets[LAB].pid), "MB"),
        Figure("bare passthrough: memory (RSS) after the load", rss_of_all_mb(targets[BARE].pid), "MB"),
    ]


def run() -> Section:
    """Measure."""
    litellm.install()
    holding.raise_file_limit()
    section = Section("The router in both of its hosts, and the LiteLLM proxy")
    with tempfile.TemporaryDirectory() as name, servers(Path(name)) as targets:
        costs = asyncio.run(_measure(targets, ROUNDS))
        memory = _memory(targets)
        firsts = asyncio.run(delays.firsts(targets, DIRECT, OURS))
        aborts = asyncio.run(delays.aborts(targets[LAB], targets[DIRECT]))
        held = asyncio.run(holding.hold(targets[HUB_PAID]))
    section.figures = [*_cost_figures(costs), *memory, *firsts, *held, *aborts, *_orientation(costs)]
    section.notes = [
        "Lab is a Jupyter server with aidp, with all that Jupyter does; the gateway is aidp's hub service, which is"
        " LiteLLM's counterpart.",
        "Local model: the policy, the rules, an audit record and a row in the ledger, as with each request; nothing to"
        " pay. All on: a cloud model, so the text is redacted too, and money reserved against two budgets and settled.",
        "LiteLLM keeps no ledger and no audit record here, and redacts nothing; the bare passthrough only checks a"
        " token.",
    ]
    section.about_packages("jupyter_server", "tornado", "aiohttp", "msgspec")
    section.versions["litellm"] = litellm.VERSION
    return section
