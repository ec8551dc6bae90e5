"""Very many streams at once, held open for a while: does the memory stay flat, and do all of them get their events?"""

from __future__ import annotations

import asyncio
import contextlib
import resource

import aiohttp

from bench.figures import Figure
from bench.measure import cpu_seconds, rss_of_all_mb
from bench.targets import Target

STREAMS, AT_ONCE = 1000, 50
FILES = 4 * STREAMS  # a server has two connections for each
SETTLE_S, INTERVAL_S, INTERVALS = 10, 10, 6
GROWTH_PERCENT = 3.0


def raise_file_limit() -> None:
    """Let this process, and the servers that it starts after this, have enough files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))  # raises where the hard limit is lower


class _Held:
    """Streams that go on for ever, and how many pieces each of them has brought."""

    def __init__(self, target: Target, session: aiohttp.ClientSession) -> None:
        self.pieces = [0] * STREAMS
        self._target = target
        self._session = session
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def read(self, number: int) -> None:
        """Open a stream and count what it brings, for ever."""
        target, user = self._target, f"held-{number}"
        body = {**target.body("slow", streams=True), "user": user}
        async with contextlib.AsyncExitStack() as stack:
            async with self._gate:
                response = await stack.enter_async_context(
                    self._session.post(target.chat_url, json=body, headers=target.headers)
                )
                assert response.status == 200, await response.text()
                chunks = aiter(response.content.iter_any())
                await anext(chunks)
            self.pieces[number] = 1
            async for _ in chunks:
                self.pieces[number] += 1
        raise AssertionError(f"stream {number} has ended")

    async def interval(self, seconds: float) -> int:
        """Wait, and return how many of the streams brought something meanwhile."""
        before = list(self.pieces)
        await asyncio.sleep(seconds)
        return sum(now > then for now, then in zip(self.pieces, before, strict=True))


async def hold(target: Target) -> list[Figure]:
    """Hold the streams, and return how the server's memory grew from the first interval to the last."""
    empty_mb = rss_of_all_mb(target.pid)
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout
    ) as session:
        held = _Held(target, session)
        tasks = [asyncio.create_task(held.read(number)) for number in range(STREAMS)]
        try:
            while not all(held.pieces):
                if broken := next((task for task in tasks if task.done()), None):
                    broken.result()
                await asyncio.sleep(0.1)
            await held.interval(SETTLE_S)
            began_mb, began_s = rss_of_all_mb(target.pid), cpu_seconds(target.pid)
            served = [await held.interval(INTERVAL_S) for _ in range(INTERVALS)]
            ended_mb, spent_s = rss_of_all_mb(target.pid), cpu_seconds(target.pid) - began_s
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    seconds = INTERVAL_S * INTERVALS
    name = f"{target.name}, {STREAMS:,} streams held for {seconds} s"
    growth = (ended_mb / began_mb - 1) * 100
    return [
        Figure(f"{name}: growth of memory (RSS)", growth, "%", GROWTH_PERCENT),
        Figure(f"{name}: that got events in each {INTERVAL_S} s", min(served), "streams", float(STREAMS), True),
        Figure(f"{name}: memory (RSS) a stream", (began_mb - empty_mb) * 1000 / STREAMS, "kB"),
        Figure(f"{name}: memory (RSS) in all", ended_mb, "MB"),
        Figure(f"{name}: CPU", spent_s / seconds * 100, "%"),
    ]
