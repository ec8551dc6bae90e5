"""Answers a message of a chat: what the model is told, which model, and its answer as events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import msgspec

from aidp_ext.ai.calls import Call
from aidp_ext.ai.chats import prompt
from aidp_ext.ai.chats.attachments import AttachmentReader, Section
from aidp_ext.ai.chats.commands import Command, help_text, is_known, read_command
from aidp_ext.ai.chats.mentions import mentions_in
from aidp_ext.ai.chats.search import Found, search
from aidp_ext.ai.chats.turn import Began, Bill, Ended, Event, Piece, Said, Turn
from aidp_ext.ai.context.clean import clean
from aidp_ext.ai.context.service import ContextService
from aidp_ext.ai.context.wire import ContextQuestion
from aidp_ext.ai.models import Caller, Capability, Offer, Privacy, RouteRequest, Task
from aidp_ext.ai.policy import REASONS
from aidp_ext.ai.talk import Router, Talk, talk
from aidp_ext.core.errors import AidpError, ContextTooLong

log = logging.getLogger("aidp")

#: Reads a run of the tracking server in short. Raises AidpError.
RunReader = Callable[[str], Awaitable[str]]

_MOST_ANSWER = 100_000  # characters; what is longer has lost its way
_MOST_MESSAGE = 100_000
_MOST_QUERY = 2_000
_SETTLING_S = 0.05  # between two looks for what a call has cost
_SETTLED_AFTER_S = 3.0


@dataclass(frozen=True)
class _Budget:
    """Characters for what goes beside the question."""

    context: int
    attachments: int
    history: int


#: The second one for models that hold little.
_BUDGETS = (_Budget(16_000, 24_000, 24_000), _Budget(3_000, 3_000, 2_000))


class ChatRouter(Router, Protocol):
    """What is needed of the AI service."""

    async def models(self, caller: Caller) -> tuple[Offer, ...]:
        """Return the models that the rules allow."""


@dataclass(frozen=True)
class _Gathered:
    """What goes beside the question, and where it comes from."""

    sections: tuple[Section, ...]
    summary: str
    paths: tuple[str, ...]
    notes: tuple[str, ...]
    has_values: bool


class ChatService:
    """Knows the router and what is to be told beside the question."""

    def __init__(
        self, ai: ChatRouter, context: ContextService, workspace: Path | None, runs: RunReader | None = None
    ) -> None:
        """``runs`` reads a run of the tracking server; None where there is none."""
        self._ai = ai
        self._context = context
        self._workspace = workspace
        self._reader = AttachmentReader(workspace)
        self._runs = runs

    async def answer(self, turn: Turn) -> AsyncGenerator[Event, None]:
        """Yield the answer to a turn: `Began` once a model answers, its text in pieces, `Ended` at the end.

        A command that needs no model has no `Began`. Closing the generator ends the work upstream.
        Raises what AiService.answer raises, before or between the pieces.
        """
        command, words = read_command(turn.text[:_MOST_MESSAGE])
        if command is not None and not is_known(command):
            yield Piece(help_text(command))
            yield Ended()
            return
        task = command.task if command is not None else Task.CHAT
        talking, gathered = await self._ask(turn, task, command, words)
        notes = [*gathered.notes]
        if len(turn.text) > _MOST_MESSAGE:
            notes.append(f"Only the first {_MOST_MESSAGE:,} characters of the message were read.")
        try:
            yield _began(talking, task, gathered)
            received = 0
            async for text in talking:
                yield Piece(text[: _MOST_ANSWER - received])
                received += len(text)
                if received >= _MOST_ANSWER:
                    notes.append(f"The answer was ended at {_MOST_ANSWER:,} characters.")
                    break
            if not received:
                notes.append("The model gave no answer. Ask again, or choose another model.")
        finally:
            await talking.aclose()
        if talking.finish_reason == "length":
            notes.append("The answer was cut off at the model's limit. Ask it to go on.")
        elif talking.finish_reason == "content_filter":
            notes.append("The provider's filter ended the answer.")
        yield Ended(tuple(notes))

    async def models(self, user: str) -> tuple[Offer, ...]:
        """Return the models that can chat, as the rules allow them now."""
        return tuple(o for o in await self._ai.models(Caller(user)) if Capability.CHAT in o.capabilities)

    async def bill(self, call_id: str, user: str) -> Bill | None:
        """Return what a call that has just ended took; None where that is not known soon."""
        for _ in range(round(_SETTLED_AFTER_S / _SETTLING_S)):
            call: Call | None = await self._ai.call(call_id, user)
            if call is not None and call.outcome != "running":
                return Bill(call.cost_usd, call.prompt_tokens, call.completion_tokens)
            await asyncio.sleep(_SETTLING_S)
        return None

    async def search(self, words: str) -> Found:
        """Return the workspace's chats in which all words occur, newest first."""
        return await asyncio.to_thread(search, self._workspace, words)

    # --- what is sent

    async def _ask(self, turn: Turn, task: Task, command: Command | None, words: str) -> tuple[Talk, _Gathered]:
        kept = self._context.kept(turn.context, turn.user) if turn.context else None
        history, left_out = _open_to(turn.privacy, kept, turn.history)
        asked = "\n\n".join(part for part in (command.prompt if command is not None else "", words) if part.strip())
        for budget in _BUDGETS:
            gathered = await self._gather(turn, kept, task, words, budget)
            told = prompt.within(history, budget.history)
            paths = dict.fromkeys((*gathered.paths, *(path for said in told for path in said.paths)))
            request = RouteRequest(
                task=task, model=turn.model, privacy=turn.privacy, paths=tuple(paths), conversation=turn.chat
            )
            sent = prompt.messages(told, gathered.sections, asked, most_history=budget.history)
            try:
                talking = await talk(self._ai, sent, request, Caller(turn.user))
            except ContextTooLong:
                if budget is _BUDGETS[-1]:
                    raise
                continue
            return talking, replace(gathered, paths=tuple(paths), notes=(*gathered.notes, *left_out))
        raise AssertionError("there is a last budget")

    async def _gather(
        self, turn: Turn, kept: ContextQuestion | None, task: Task, words: str, budget: _Budget
    ) -> _Gathered:
        mentions = mentions_in(words)
        question = kept or ContextQuestion()  # what is not open is known from the disk
        named = [str(mention) for mention in mentions if mention.kind != "run"]  # runs are read here
        chosen = await self._context.chosen(
            msgspec.structs.replace(
                question,
                task=task,
                query="" if turn.is_quiet else words[:_MOST_QUERY],  # without words no file is looked for
                mentions=list(dict.fromkeys((*(m for m in question.mentions if not m.startswith("run:")), *named))),
                budget=budget.context,
                keep=False,
            ),
            owner=turn.user,
        )
        told = await asyncio.to_thread(self._reader.read, turn.attachments, kept, budget.attachments)
        runs, notes = await self._told_runs([m.name for m in mentions if m.kind == "run"])
        if kept is None and any(m.kind in ("cell", "df") for m in mentions):
            notes.append("Cells and dataframes are known only in a message that is sent beside an open notebook.")
        else:
            notes += [
                f"{item.label} was not told: {item.why}."
                for item in chosen.withheld
                if any(mention.name in (item.id, item.label) for mention in mentions)
            ]
        around = (Section("what the user works on", chosen.text, chosen.paths),) if chosen.text else ()
        sections = (*around, *told.sections, *runs)
        paths = dict.fromkeys(path for section in sections for path in section.paths)
        attached = _counted(len(told.sections), "attachment")
        summary = ", ".join(filter(None, (chosen.summary, attached, _counted(len(runs), "run"))))
        return _Gathered(sections, summary, tuple(paths), (*told.notes, *notes), _allows_values(kept))

    async def _told_runs(self, names: list[str]) -> tuple[list[Section], list[str]]:
        sections: list[Section] = []
        notes: list[str] = []
        for name in names:
            if self._runs is None:
                notes.append("Runs cannot be read here: MLFLOW_TRACKING_URI names no tracking server.")
                break
            try:
                sections.append(Section(f"run {name}", clean(await self._runs(name)).text))
            except AidpError as error:
                notes.append(" ".join(filter(None, (error.message, error.next_step))))
        return sections, notes


def _began(talking: Talk, task: Task, gathered: _Gathered) -> Began:
    answer = talking.answer
    return Began(
        route=answer.route,
        locality=answer.locality,
        reason=answer.reason,
        message=REASONS.get(answer.reason, ""),
        privacy=answer.privacy,
        call=answer.call_id,
        task=task,
        context=gathered.summary,
        paths=gathered.paths,
        has_values=gathered.has_values,
    )


def _open_to(
    privacy: Privacy | None, question: ContextQuestion | None, history: tuple[Said, ...]
) -> tuple[list[Said], list[str]]:
    """Return the messages that may go where this one goes, and notes about the others."""
    notes: list[str] = []
    open_ = [said for said in history if privacy is Privacy.LOCAL or not said.stays_local]
    if len(open_) < len(history):
        notes.append("Earlier messages that were for local models only were not sent along.")
    # Beside no document nobody knows whether values are allowed: then it is as before
    if question is not None and question.document is not None and not _allows_values(question):
        without = [said for said in open_ if not said.has_values]
        if len(without) < len(open_):
            notes.append("Earlier answers about values of your data were not sent along: values are not allowed now.")
        open_ = without
    return open_, notes


def _allows_values(question: ContextQuestion | None) -> bool:
    return question is not None and question.kernel is not None and question.kernel.allows_values


def _counted(count: int, what: str) -> str:
    return "" if not count else f"{count} {what}{'s' if count > 1 else ''}"
