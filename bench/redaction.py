"""What redaction costs: one request of notebook text, not seen before, and the same by detect-secrets alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from itertools import count

from aidp_ext.ai.models import Events, Usage
from aidp_ext.ai.redact import Redactor
from bench.figures import Figure, Section
from bench.measure import middle
from tests.support.notebook_text import TEXT, text

LIMIT_MS = {300: 0.2, 10_000: 5.0}  # characters: CPU
ROUNDS = 7
STREAM_EVENTS = 1000


def cpu_ms(work: Callable[[], object], times: int) -> tuple[float, tuple[float, float]]:
    """Return the CPU time of one piece of work, the median of the rounds with the lowest and the highest."""
    found = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(times):
            work()
        found.append((time.process_time() - started) / times * 1000)
    return middle(found)


def scan_lines(whole: str) -> int:
    """Look at each line with each of detect-secrets' plugins, as its own command does; return how much was found."""
    from detect_secrets.core.scan import scan_line
    from detect_secrets.settings import default_settings

    with default_settings():
        return sum(len(list(scan_line(line))) for line in whole.splitlines())


class Recorded:
    """A stream that has come already."""

    on_end: Callable[[str], None] | None = None
    usage = Usage()
    received = 0

    def __init__(self, events: list[bytes]) -> None:
        self._events = events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self._events:
            yield event

    async def aclose(self) -> None:
        pass

    def abort(self) -> None:
        pass


async def read(events: Events) -> int:
    """Read a stream to its end and return how many bytes it had."""
    return sum([len(event) async for event in events])


def run() -> Section:
    """Measure."""
    section = Section("Redaction")
    redactor = Redactor()
    fresh = count()
    spoken = "\nMail ana@example.org or call 555-123-4567."

    def look(loop: asyncio.AbstractEventLoop, size: int) -> None:
        # A number in front: a text that was seen before would come from memory
        body = {"model": "m", "messages": [{"role": "user", "content": f"{next(fresh)} {text(size)}{spoken}"}]}
        assert len(loop.run_until_complete(redactor.redact(body)).findings) == 2

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        look(loop, 300)
        for size in (300, 1000, 10_000, 100_000):
            value, spread = cpu_ms(lambda n=size: look(loop, n), max(2, 200_000 // size))  # type: ignore[misc]
            section.figures.append(
                Figure(f"redact {size:,} characters, CPU", value, "ms", LIMIT_MS.get(size), spread=spread)
            )
        seen = {"model": "m", "messages": [{"role": "user", "content": text(100_000) + spoken}]}
        loop.run_until_complete(redactor.redact(seen))
        value, spread = cpu_ms(lambda: loop.run_until_complete(redactor.redact(seen)), 20)
        section.figures.append(Figure("redact 100,000 characters seen before, CPU", value, "ms", spread=spread))
        restorer = loop.run_until_complete(redactor.redact(seen)).restorer
        assert restorer is not None
        head = (
            b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
        )
        events = [head + b'{"content":" penguin"},"finish_reason":null}]}\n\n'] * STREAM_EVENTS
        bare, _ = cpu_ms(lambda: loop.run_until_complete(read(Recorded(events))), 5)
        value, spread = cpu_ms(lambda: loop.run_until_complete(read(restorer.events(Recorded(events)))), 5)
        each = [(one - bare) / STREAM_EVENTS * 1000 for one in (value, *spread)]
        section.figures.append(Figure("restore one event of a stream, CPU", each[0], "µs", spread=(each[1], each[2])))
    ours = next(figure.value for figure in section.figures if "10,000" in figure.name)
    theirs, spread = cpu_ms(lambda: scan_lines(text(10_000)), 1)
    section.figures += [
        Figure("detect-secrets' scan_line on 10,000 characters, CPU", theirs, "ms", spread=spread),
        Figure("detect-secrets' scan_line over ours", theirs / ours, "times", 1.0, at_least=True),
    ]
    answer = b'{"choices":[{"message":{"content":"' + b"penguins [EMAIL_1] " * 500 + b'"}}]}'
    value, spread = cpu_ms(lambda: restorer.document(answer), 20)
    section.figures.append(Figure("restore a document of 10 kB, CPU", value, "ms", spread=spread))
    section.notes = [
        f"Text of notebooks ({len(TEXT):,} characters, repeated) with an e-mail address and a telephone number.",
        "`Redactor.redact` looks for secrets and personal data, detect-secrets for secrets alone.",
        f"Medians of {ROUNDS} rounds, one process.",
    ]
    section.about_packages("detect-secrets", "msgspec")
    return section
