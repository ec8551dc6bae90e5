"""What is measured, and what each server is asked: the same of all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import aiohttp

PROMPT = "Write a function that reads a CSV file and returns the mean of each numeric column. " * 4
TIMEOUT = aiohttp.ClientTimeout(total=60)

Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Kind:
    """A kind of request: which of the upstream's models is asked, how many at a time, and how often in each round."""

    name: str
    model: str
    streams: bool
    concurrency: int
    count: int
    count_litellm: int


JSON_ALONE = Kind("JSON, one at a time", "stub", False, 1, 800, 160)
JSON_MANY = Kind("JSON, 32 at a time", "stub", False, 32, 1280, 256)
STREAM = Kind("stream, back to back", "stub", True, 1, 240, 32)
PACED = Kind("stream, paced", "paced", True, 4, 60, 24)
KINDS = (JSON_ALONE, JSON_MANY, STREAM, PACED)


@dataclass(frozen=True)
class Target:
    """A server to be measured, and what it calls the upstream's models."""

    name: str
    url: str  # OpenAI's base URL
    pid: int
    token: str = ""
    prefix: str = ""  # of its models' names
    is_litellm: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """The headers that a request needs."""
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def chat_url(self) -> str:
        """Where it is asked."""
        return f"{self.url}/chat/completions"

    def body(self, model: str, *, streams: bool) -> dict[str, object]:
        """Return a request."""
        messages = [{"role": "user", "content": PROMPT}]
        more = {"stream": True} if streams else {}
        return {"model": f"{self.prefix}{model}", "messages": messages, "temperature": 0.2, **more}

    def count(self, kind: Kind) -> int:
        """Return how often it is asked in each round; LiteLLM less often, since it takes so much longer."""
        return kind.count_litellm if self.is_litellm else kind.count

    def work(self, session: aiohttp.ClientSession, kind: Kind) -> Work:
        """Return a function that makes one request and checks its answer."""
        ask = _stream if kind.streams else _document
        return partial(ask, session, self.chat_url, self.headers, self.body(kind.model, streams=kind.streams))


async def _document(session: aiohttp.ClientSession, url: str, headers: dict[str, str], body: object) -> None:
    async with session.post(url, json=body, headers=headers) as response:
        answer = await response.json()
        assert response.status == 200 and answer["usage"]["completion_tokens"] == 64, answer


async def _stream(session: aiohttp.ClientSession, url: str, headers: dict[str, str], body: object) -> None:
    async with session.post(url, json=body, headers=headers) as response:
        received = b"".join([chunk async for chunk in response.content.iter_any()])
        events = [line for line in received.splitlines() if line.startswith(b"data:")]
        # LiteLLM and aidp leave the event with the usage out unless it is asked for
        assert response.status == 200 and len(events) >= 65 and events[-1] == b"data: [DONE]", received[:500]


async def ready(target: Target, seconds: float = 60.0) -> None:
    """Wait until a target knows its models and answers: some look for them after they have opened their port."""
    end = time.monotonic() + seconds
    body = target.body("stub", streams=False)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=TIMEOUT) as session:
        while True:
            async with session.post(target.chat_url, json=body, headers=target.headers) as response:
                if response.status == 200:
                    return
                said = await response.text()
            if time.monotonic() > end:
                raise AssertionError(f"{target.name} does not answer: {said[:500]}")
            await asyncio.sleep(0.2)
