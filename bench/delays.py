"""What is about time and not about CPU: how soon the first event comes, and how soon an aborted call ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

import aiohttp

from bench.figures import Figure
from bench.measure import middle
from bench.targets import PACED, Target
from bench.upstream import EVENTS

FIRSTS, ABORTS = 20, 40
ADDED_MS, ABORT_MS = 3.0, 200.0


async def firsts(targets: dict[str, Target], direct: str, ours: Iterable[str]) -> list[Figure]:
    """Return how much later the first event comes than straight from the upstream, and the reads of whole streams.

    Target by target in each try, over connections that are kept. 67 reads are 67 events that came one by one; fewer
    say that something on the way collected them.
    """
    found: dict[str, list[float]] = {name: [] for name in targets}
    reads: dict[str, list[float]] = {name: [] for name in targets}
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        for number in range(FIRSTS + 1):  # the first one opens the connections
            for name, target in targets.items():
                first_ms, read = await _read(session, target)
                if number:
                    found[name].append(first_ms)
                    reads[name].append(read)
    made = []
    usual_ms = statistics.median(found[direct])
    for name in targets:
        value, (low, high) = middle(found[name])
        if name != direct:
            spread = (low - usual_ms, high - usual_ms)
            limit = ADDED_MS if name in ours else None
            made.append(Figure(f"{name}: added until the first event", value - usual_ms, "ms", limit, spread=spread))
    for name in targets:
        value, spread = middle(reads[name])
        made.append(Figure(f"{name}, stream, paced: {len(EVENTS)} events in", value, "reads", spread=spread))
    return made


async def _read(session: aiohttp.ClientSession, target: Target) -> tuple[float, int]:
    """Return the milliseconds to the first event of a paced stream, and the reads that the stream took."""
    asked = time.perf_counter()
    body = target.body(PACED.model, streams=True)
    async with session.post(target.chat_url, json=body, headers=target.headers) as response:
        chunks = response.content.iter_any()
        await anext(aiter(chunks))
        first_ms = (time.perf_counter() - asked) * 1000
        return first_ms, 1 + len([chunk async for chunk in chunks])


async def aborts(target: Target, direct: Target) -> list[Figure]:
    """Return the milliseconds from the client's leaving to the end of the upstream's connection."""
    left: dict[str, float] = {}
    url = urlsplit(target.chat_url)
    for number in range(ABORTS):
        model, user = ("endless", "silent")[number % 2], f"abort-{number}"
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        body = json.dumps({**target.body(model, streams=True), "user": user}).encode()
        head = f"POST {url.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        head += f"Authorization: Bearer {target.token}\r\nContent-Type: application/json\r\n\r\n"
        writer.write(head.encode() + body)
        async with asyncio.timeout(30):
            await reader.readuntil(b"data: ")
        await asyncio.sleep(0.05 + 0.003 * number)  # not always at the same moment between two events
        left[user] = time.monotonic()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    await asyncio.sleep(2)
    ended_url = f"{direct.url.removesuffix('/v1')}/ended"
    async with aiohttp.ClientSession() as session, session.get(ended_url) as response:
        ended: dict[str, float] = await response.json()
    took = [(ended.get(user, float("inf")) - at) * 1000 for user, at in left.items()]
    value, spread = middle(took)
    return [
        Figure(f"upstream aborted after, slowest of {ABORTS}", max(took), "ms", ABORT_MS),
        Figure("upstream aborted after, median", value, "ms", spread=spread),
    ]
