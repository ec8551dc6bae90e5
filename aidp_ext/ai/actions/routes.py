"""``actions``: what a model is asked to do with a cell, a selection or a file."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import msgspec

from aidp_ext.ai import contract, dialect
from aidp_ext.ai.actions import wire
from aidp_ext.ai.actions.job import TASKS
from aidp_ext.ai.actions.service import ActionService
from aidp_ext.ai.base_routes import ANSWERING, AiApi
from aidp_ext.ai.models import Privacy
from aidp_ext.ai.rules import STRICTNESS
from aidp_ext.core.errors import (
    Conflict,
    NotFound,
    Unavailable,
)
from aidp_ext.core.web import Route, endpoint

_EXAMPLE = {
    "action": "fix",
    "context": {
        "task": "fix",
        "document": {
            "path": "analysis.ipynb",
            "cells": [{"id": "a", "source": "x.len()", "outputs": [{"kind": "error", "text": "AttributeError: len"}]}],
            "active": "a",
        },
    },
    "model": "auto",
    "max_tokens": 500,
}


class _ActionApi(AiApi):
    """What the endpoints have in common."""

    @property
    def actions(self) -> ActionService:
        """The host's actions."""
        service: ActionService = self.settings["aidp_actions"]
        return service


class Actions(_ActionApi):
    """``actions``."""

    @endpoint(
        "execute",
        takes=wire.ActionAsked,
        example=_EXAMPLE,
        streams=wire.Event,
        answer_headers=contract.AnswerHeaders,
        raises=(*ANSWERING, NotFound, Conflict),
        statuses=(413,),
    )
    async def post(self) -> None:
        """Ask a model, and stream its words and the changes that it proposes; nothing is changed by the server.

        An answer of which no change can be made ends in the error `no_proposal`. Closing the connection ends the
        request to the model.
        """
        self.check_size()
        asked = self.body(wire.ActionAsked)
        by_header = dialect.header(Privacy, "X-AIDP-Privacy", self.request.headers.get("X-AIDP-Privacy"))
        said = [privacy for privacy in (asked.privacy, by_header) if privacy is not None]
        asked.privacy = min(said, key=STRICTNESS.index, default=None)
        running = await self.actions.begin(asked, self.caller(TASKS[asked.action]))
        await self.stream(_Events(running), headers=running.headers)


class RunTests(_ActionApi):
    """``actions/run-tests``."""

    @endpoint(
        "execute",
        takes=wire.RunAsked,
        example={"path": "tests/test_prep.py"},
        streams=wire.RunEvent,
        raises=(NotFound, Unavailable),
    )
    async def post(self) -> None:
        """Run a file of tests with pytest in the workspace; closing the connection ends it and its children."""
        await self.stream(_Events(self.actions.run_tests(self.body(wire.RunAsked).path)))


class _Events:
    """Values as server-sent events."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._made = self._encoded()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._made

    async def aclose(self) -> None:
        """End the source."""
        await self._made.aclose()
        await self._source.aclose()

    async def _encoded(self) -> AsyncGenerator[bytes, None]:
        async for event in self._source:
            yield b"data: " + msgspec.json.encode(event) + b"\n\n"
        yield b"data: [DONE]\n\n"


ROUTES: tuple[Route, ...] = (
    (r"ai/actions", Actions),
    (r"ai/actions/run-tests", RunTests),
)
