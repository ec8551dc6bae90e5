"""Asks as the front end does: first the context service, then the router, both in a real Jupyter server."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import aiohttp
import nbformat

from bench.assist.corpus import Place
from tests.support.jupyter import Server

BUDGET = 3000  # characters of context: the default of the front end's setting
TOKENS = 48
TIMEOUT = aiohttp.ClientTimeout(total=60)


class Way(StrEnum):
    """What the model is told beside the cell itself."""

    ALONE = "nothing"
    BEFORE = "the cells before, as they fit"
    CONTEXT = "our context"


@dataclass(frozen=True)
class Answer:
    """What was asked and said. Times are from the question on, the context included."""

    prompt: str
    raw: str
    first_ms: float
    whole_ms: float
    context_ms: float


async def ask(session: aiohttp.ClientSession, server: Server, place: Place, way: Way, model: str) -> Answer:
    """Return the answer for a place."""
    began = time.perf_counter()
    before = ""
    if way is Way.BEFORE:
        before = cells_before(place)
    elif way is Way.CONTEXT:
        before = await _context(session, server, place)
    context_ms = _since(began)
    prompt = (before + place.prefix).removesuffix(" ")  # as `untilNextWord` of the front end
    body = {
        "model": model,
        "prompt": prompt,
        "suffix": place.suffix,
        "max_tokens": TOKENS,
        "temperature": 0,
        "stream": True,
        # within a line the front end asks for the rest of it, at its beginning for several
        **({"stop": ["\n"]} if place.in_line else {}),
    }
    headers = {**server.headers, "X-AIDP-Task": "complete", "X-AIDP-Path": f"{place.notebook}.ipynb"}
    text, first_ms = "", 0.0
    async with session.post(f"{server.ai}/completions", json=body, headers=headers) as response:
        if response.status != 200:
            raise AssertionError(f"the router answers {response.status}: {(await response.text())[:500]}")
        async for piece in _pieces(response):
            first_ms = first_ms or _since(began)
            text += piece
            if "\n" in text.lstrip():
                break  # which closes the connection: the model stops
    return Answer(prompt, text, first_ms or _since(began), _since(began), context_ms)


async def _pieces(response: aiohttp.ClientResponse) -> AsyncIterator[str]:
    async for line in response.content:
        if not line.startswith(b"data: ") or line.strip() == b"data: [DONE]":
            continue
        event = json.loads(line.removeprefix(b"data: "))
        if "error" in event:
            raise AssertionError(f"the model failed: {event['error']}")
        for choice in event.get("choices", ()):
            if choice.get("text"):
                yield choice["text"]


def cells_before(place: Place) -> str:
    """Return the cells before, the nearest first to be taken, until the budget is used up: what is simplest to do."""
    parts: list[str] = []
    left = BUDGET
    for cell in reversed(place.cells[:-1]):
        if cell.cell_type == "code" and (left := left - len(cell.source) - 2) >= 0:
            parts.insert(0, f"{cell.source}\n\n")
    return "".join(parts)


async def _context(session: aiohttp.ClientSession, server: Server, place: Place) -> str:
    question = {
        "task": "complete",
        "document": {
            "path": f"{place.notebook}.ipynb",
            "kind": "notebook",
            "language": "python",
            "cells": [_said(cell) for cell in place.cells[:-1]]
            + [{"id": place.cells[-1].id, "type": "code", "source": place.source, "outputs": []}],
            "active": place.cells[-1].id,
        },
        "query": place.prefix,
        "budget": BUDGET,
    }
    async with session.post(f"{server.url}aidp/ai/context", json=question, headers=server.headers) as response:
        answer = await response.json()
        assert response.status == 200, answer
        chosen = str(answer["text"]).rstrip()
        return f"{chosen}\n\n" if chosen else ""


def _said(cell: nbformat.NotebookNode) -> dict[str, Any]:
    outputs = [_output(output) for output in cell.get("outputs", ())]
    count = cell.get("execution_count")
    return {"id": cell.id, "type": cell.cell_type, "source": cell.source, "count": count, "outputs": outputs}


def _output(output: nbformat.NotebookNode) -> dict[str, str]:
    if output.output_type == "stream":
        return {"kind": "text", "text": output.text}
    data = output.get("data", {})
    if "image/png" in data:
        return {"kind": "image", "text": "image/png"}
    kind = "table" if "<table" in data.get("text/html", "") else "text"
    return {"kind": kind, "text": data.get("text/plain", "")}


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
