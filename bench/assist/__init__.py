"""Completion on held-out notebooks, with and without our context, by a real model; and the post-processor's cases."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench.assist import model as small_model
from bench.assist import postprocessing
from bench.assist.asking import BUDGET, TIMEOUT, TOKENS, Answer, Way, ask
from bench.assist.corpus import Place, identifiers, places
from bench.assist.metrics import edit_similarity, interval, sign_test
from bench.figures import Figure, Section
from tests.support.jupyter import Server, jupyter_server

EACH = 8  # places in a notebook


@dataclass(frozen=True)
class Result:
    """An answer and how good it is."""

    place: Place
    answer: Answer
    line: str  # what the user would see of it: its first line that is not empty

    @property
    def similarity(self) -> float:
        """The edit similarity of the rest of the line."""
        return edit_similarity(self.line, self.place.truth.strip())

    @property
    def is_exact(self) -> bool:
        """Whether it is the rest of the line."""
        return self.line == self.place.truth.strip()

    @property
    def known(self) -> float | None:
        """The share of the line's names that the prompt has, None for a line without names."""
        names = identifiers(self.place.truth)
        return len(names & identifiers_in_text(self.answer.prompt)) / len(names) if names else None


def identifiers_in_text(text: str) -> set[str]:
    """Return the names in a prompt, line by line: one that is no code must not hide the others."""
    return set().union(*(identifiers(line.lstrip("# ")) for line in text.splitlines()))


def run(url: str = "", model: str = "auto:local", each: int = EACH) -> Section:
    """Measure with the small model, or with a better one at ``url`` (OpenAI's base URL)."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = url or stack.enter_context(small_model.served(folder))
        server = stack.enter_context(jupyter_server(folder / "server", {"LOCAL_OPENAI_BASE_URL": url}))

        results = asyncio.run(_measure(server, places(each), model))
    section = Section("Completion on held-out notebooks")
    section.figures = [
        *(figure for way in Way for figure in _quality(way, results[way])),
        *_compared(results[Way.CONTEXT], results[Way.ALONE], Way.ALONE),
        *_compared(results[Way.CONTEXT], results[Way.BEFORE], Way.BEFORE),
        *_of_foreign_names(results),
        *(figure for way in Way for figure in _latency(way, results[way])),
        *postprocessing.figures(),
    ]
    count = len(results[Way.CONTEXT])
    name = Path(small_model.fetch()).stem if model == "auto:local" else model
    section.notes = [
        f"The next line, or the rest of one, at {count} places in {count // each} notebooks; {name}, greedy,"
        f" at most {TOKENS} tokens, at most {BUDGET} characters of context."
        " In brackets: the 95 % interval of the paired difference, by the bootstrap over notebooks.",
    ]
    section.about_packages("xllamacpp")
    return section


async def _measure(server: Server, asked: Sequence[Place], model: str) -> dict[Way, list[Result]]:
    answers: dict[Way, list[Answer]] = defaultdict(list)
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        for number, place in enumerate(asked, start=1):
            for way in Way:
                answers[way].append(await ask(session, server, place, way, model))
            if number % 10 == 0:
                print(f"place {number} of {len(asked)}", flush=True)
    results = {}
    for way, said in answers.items():
        seen = postprocessing.tidied([(a.raw, p.prefix, p.suffix) for a, p in zip(said, asked, strict=True)])
        lines = [text.strip().split("\n", 1)[0].strip() for text in seen]
        results[way] = [Result(*one) for one in zip(asked, said, lines, strict=True)]
    return results


def _quality(way: Way, results: Sequence[Result]) -> list[Figure]:
    known = [result.known for result in results if result.known is not None]
    return [
        Figure(f"told {way}: exact match", _percent(result.is_exact for result in results), "%"),
        Figure(f"told {way}: edit similarity", _percent(result.similarity for result in results), "%"),
        Figure(f"told {way}: names of the line that are in the prompt", _percent(known), "%"),
    ]


def _compared(ours: Sequence[Result], others: Sequence[Result], way: Way) -> list[Figure]:
    differences: dict[str, list[float]] = defaultdict(list)
    for one, other in zip(ours, others, strict=True):
        differences[one.place.notebook].append((one.similarity - other.similarity) * 100)
    flat = [value for values in differences.values() for value in values]
    better = sum(one.is_exact > other.is_exact for one, other in zip(ours, others, strict=True))
    worse = sum(one.is_exact < other.is_exact for one, other in zip(ours, others, strict=True))
    name = f"our context against {way}"
    # Against the cell alone it must be better, beyond chance: that is what it is for.
    low, high = interval(differences)
    must = [Figure(f"{name}: edit similarity gained, at least (95 %)", low, "points", 0.0, True)]
    return [
        Figure(f"{name}: edit similarity gained", statistics.mean(flat), "points", spread=(low, high)),
        *(must if way is Way.ALONE else []),
        Figure(f"{name}: exact matches gained", better, "lines"),
        Figure(f"{name}: exact matches lost", worse, "lines"),
        Figure(f"{name}: chance of that by luck (sign test)", sign_test(better, worse), ""),
    ]


def _of_foreign_names(results: Mapping[Way, Sequence[Result]]) -> list[Figure]:
    """Return the gain at the lines with a name that the cell itself does not have: only context can tell it."""
    pairs = zip(results[Way.CONTEXT], results[Way.ALONE], strict=True)
    differences: dict[str, list[float]] = defaultdict(list)
    for one, alone in pairs:
        if alone.known is not None and alone.known < 1:
            differences[one.place.notebook].append((one.similarity - alone.similarity) * 100)
    flat = [value for values in differences.values() for value in values]
    name = f"the same at the {len(flat)} lines with a name that is not in the cell"
    return [Figure(f"{name}: edit similarity gained", statistics.mean(flat), "points", spread=interval(differences))]


def _latency(way: Way, results: Sequence[Result]) -> list[Figure]:
    first = sorted(result.answer.first_ms for result in results)
    figures = [
        Figure(f"told {way}: first text, median", statistics.median(first), "ms"),
        Figure(f"told {way}: first text, 95th percentile", first[int(0.95 * len(first))], "ms"),
        Figure(f"told {way}: whole line, median", statistics.median(r.answer.whole_ms for r in results), "ms"),
    ]
    if way is Way.CONTEXT:
        spent = sorted(result.answer.context_ms for result in results)
        figures.append(Figure(f"{way}: the server's choice of it, median", statistics.median(spent), "ms"))
        figures.append(
            Figure(f"{way}: the server's choice of it, 95th percentile", spent[int(0.95 * len(spent))], "ms")
        )
    return figures


def _percent(values: Iterable[float]) -> float:
    return statistics.mean(values) * 100
