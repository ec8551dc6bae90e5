"""Asks a model to do something with a cell, a selection or a file, and reads the changes that it proposes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

import msgspec

from aidp_ext.ai.actions import parse, prompts, proposals, runner, testfile
from aidp_ext.ai.actions.files import Files
from aidp_ext.ai.actions.job import PROSE, TASKS, Job, prepared
from aidp_ext.ai.actions.wire import (
    Action,
    ActionAsked,
    CodePiece,
    ContextChosen,
    Done,
    Event,
    RunEvent,
    TextPiece,
)
from aidp_ext.ai.context.models import Chosen
from aidp_ext.ai.context.service import ContextService
from aidp_ext.ai.models import Caller, RouteRequest
from aidp_ext.ai.talk import Router, Talk, talk
from aidp_ext.core.errors import NoProposal, UpstreamInvalid

_PROSE_TOKENS = 3000
_CODE_TOKENS = 2000  # beside what the source itself takes
_MOST_TOKENS = 32_000
_PER_TOKEN = 16  # characters; more is no text
_LEAST_CHARACTERS = 4000


class Running:
    """An action under way. Iterate it once; ``aclose`` ends the work upstream."""

    def __init__(self, ai: Router, job: Job, files: Files, told: ContextChosen, answer: Talk, owner: str, most: int):
        self._ai = ai
        self._job = job
        self._files = files
        self._told = told
        self._talk = answer
        self._owner = owner
        self._most_tokens = most
        self._events = self._read()

    @property
    def headers(self) -> Mapping[str, str]:
        """The response headers that say who answers and why."""
        return self._talk.answer.headers

    def __aiter__(self) -> AsyncGenerator[Event, None]:
        return self._events

    async def aclose(self) -> None:
        """End it, read to its end or not."""
        await self._events.aclose()
        await self._talk.aclose()

    async def _read(self) -> AsyncGenerator[Event, None]:
        try:
            yield self._told
            is_prose = self._job.action in PROSE
            splitter = parse.Splitter(
                code_without_fence=not is_prose and self._job.action is not Action.SUMMARY, is_prose=is_prose
            )
            said: list[str] = []
            size, most = 0, max(_LEAST_CHARACTERS, self._most_tokens * _PER_TOKEN)
            async for text in self._talk:
                said.append(text)
                size += len(text)
                for piece in splitter.feed(text):
                    yield _event(piece)
                if size > most:
                    raise UpstreamInvalid(
                        f"The model's answer did not end; it was stopped after {size:,} characters.",
                        next_step="Ask again, or choose another model.",
                    )
            for piece in splitter.end():
                yield _event(piece)
            if not is_prose:
                self._refuse_cut()
                yield await asyncio.to_thread(proposals.proposed, self._job, "".join(said), self._files)
            elif not "".join(said).strip():
                raise NoProposal("The model's answer is empty.", next_step="Ask again, or choose another model.")
            elif self._talk.finish_reason == "length":
                yield TextPiece(text=f"\n\n*(The answer was cut at {self._most_tokens:,} tokens.)*")
            yield await self._done()
        finally:
            await self._talk.aclose()

    def _refuse_cut(self) -> None:
        """Raise NoProposal for an answer that was cut: what is missing would be deleted."""
        if self._talk.finish_reason == "length" and self._job.action is not Action.SUMMARY:
            raise NoProposal(
                f"The model's answer was cut at {self._most_tokens:,} tokens, so it is not whole.",
                next_step="Select less, or choose another model.",
            )

    async def _done(self) -> Done:
        answer = self._talk.answer
        call = await self._ai.call(answer.call_id, self._owner)
        return Done(
            call=answer.call_id,
            route=answer.route,
            locality=str(answer.locality),
            reason=answer.reason,
            cost_usd=call.cost_usd if call else None,
            prompt_tokens=call.prompt_tokens if call else None,
            completion_tokens=call.completion_tokens if call else None,
        )


def _event(piece: parse.Piece) -> Event:
    return CodePiece(text=piece.text) if piece.kind == "code" else TextPiece(text=piece.text)


class ActionService:
    """Knows the router, what is to be told beside the question, and the workspace, of which it changes nothing."""

    def __init__(
        self, ai: Router, context: ContextService, workspace: Path | None = None, hidden: Sequence[str] = ()
    ) -> None:
        """``hidden`` are patterns over the names of variables that tests do not get."""
        self._ai = ai
        self._context = context
        self._files = Files(workspace)
        self._hidden = hidden

    async def begin(self, asked: ActionAsked, caller: Caller) -> Running:
        """Ask a model and return its answer under way, the first word already there.

        Raises NotFound and Conflict where the document has not what is asked about, and what AiService.answer raises.
        """
        job = await asyncio.to_thread(prepared, asked)  # looks for secrets: some time for a large file
        is_tests = job.action is Action.TESTS
        new_file = testfile.tests_path(job, self._files) if is_tests else job.new_file
        existing = self._files.original(new_file) if new_file else ""
        told = job.veil(existing) if is_tests else ""  # a module is only added to
        chosen = await self._choose(asked, job, caller)
        paths = (*chosen.paths, job.document.path, new_file if told else "")
        most = asked.max_tokens or _tokens(job)
        request = RouteRequest(
            task=TASKS[job.action],
            model=asked.model,
            privacy=asked.privacy,
            paths=tuple(dict.fromkeys(path for path in paths if path)),
        )
        messages = await asyncio.to_thread(prompts.messages, job, chosen.text, told)
        answer = await talk(self._ai, messages, request, caller, max_tokens=most)
        first = ContextChosen(
            summary=chosen.summary,
            items=[msgspec.to_builtins(item) for item in chosen.items],
            withheld=[msgspec.to_builtins(item) for item in chosen.withheld],
        )
        return Running(self._ai, job, self._files, first, answer, caller.name, most)

    async def _choose(self, asked: ActionAsked, job: Job, caller: Caller) -> Chosen:
        question = msgspec.structs.replace(
            asked.context,
            task=TASKS[job.action],
            query=asked.context.query or asked.instruction,
            keep=False,
        )
        return await self._context.chosen(question, owner=caller.name)

    def run_tests(self, path: str) -> AsyncGenerator[RunEvent, None]:
        """Run a file of tests. Raises NotFound where it is not in the workspace; see runner.run for the rest."""
        return runner.run(self._files, runner.tests_in(self._files, path), self._hidden)


def _tokens(job: Job) -> int:
    """Return how long an answer may be, in tokens: a source of 3 characters a token, and room for the words."""
    if job.action in PROSE or job.action is Action.SUMMARY:
        return _PROSE_TOKENS
    return min(_MOST_TOKENS, _CODE_TOKENS + len(job.target.source) // 2)
