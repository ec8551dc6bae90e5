"""The persona ``aidp``: the way between jupyter-ai's chat and ChatService."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from jupyter_ai_persona_manager import (
    BasePersona,
    CommandOption,
    ModelConfiguration,
    ModelOption,
    PersonaDefaults,
    SettingConfiguration,
    SettingOption,
    Usage,
)
from jupyter_server.serverapp import ServerApp
from jupyterlab_chat.models import Message

from aidp_ext.ai.chats import room
from aidp_ext.ai.chats.commands import COMMANDS
from aidp_ext.ai.chats.reply import Reply, is_deleted
from aidp_ext.ai.chats.service import ChatService
from aidp_ext.ai.chats.turn import Began, Bill, Ended, Piece, Turn
from aidp_ext.ai.models import Locality, Offer
from aidp_ext.core.errors import AidpError, Unavailable

_AUTO = "auto"
_REFRESH_S = 15.0  # between two looks at which models there are
_INTERNAL = AidpError(
    "Something went wrong inside aidp.", next_step="Ask again; the server's log says more if it happens again."
)
_AUTOMATIC = (
    ModelOption(id=_AUTO, name="Auto", description="aidp chooses by the task, the rules and the budget"),
    ModelOption(id="auto:local", name="Auto · local", description="the best model on your own machines"),
    ModelOption(id="auto:cloud", name="Auto · cloud", description="the best hosted model"),
)
_PRIVACY = (
    SettingOption(id="auto", name="Auto privacy", description="as the rules say"),
    SettingOption(id="local", name="Local only", description="nothing leaves your own machines"),
    SettingOption(id="redact", name="Redact", description="secrets and personal data are replaced before it leaves"),
)
_USED = ("input_tokens", "output_tokens", "cost_amount")


class AidpPersona(BasePersona):
    """Answers in one chat, one message after the other."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._background: set[asyncio.Task[None]] = set()
        self._offers: tuple[Offer, ...] = ()
        kept = self._kept()
        self._model = _text(kept.get("model")) or _AUTO
        self._privacy = _text(kept.get("privacy")) or "auto"
        self._usage = _usage(kept.get("usage"))
        self._report()
        if getattr(self.parent, "event_logger", None) is not None:  # somebody can be told
            self._keep_running(self._watch_models())

    @property
    def defaults(self) -> PersonaDefaults:
        """Who it is, for jupyter-ai."""
        return PersonaDefaults(
            name="aidp",
            description="Answers with local and hosted models, as the rules and the budget allow.",
            avatar_path=str(Path(__file__).with_name("avatar.svg")),
            system_prompt="",
        )

    # --- what can be chosen

    async def prepare(self) -> None:
        """Tell which models there are, once the persona is chosen; no message waits for that."""
        self._keep_running(self._look_for_models())

    async def update_model(self, model_id: str) -> None:
        """Keep the choice with the chat."""
        self._model = model_id
        self._keep()

    async def update_settings(self, settings: dict[str, str | None]) -> None:
        """Keep the choice with the chat."""
        privacy = settings.get("privacy")
        if privacy in {option.id for option in _PRIVACY}:
            self._privacy = str(privacy)
            self._keep()

    async def _watch_models(self) -> None:
        while True:
            await self._look_for_models()
            await asyncio.sleep(_REFRESH_S)

    async def _look_for_models(self) -> None:
        try:
            offers = await self._service().models(self._user(""))
        except AidpError as error:
            self.log.info("no models for the chat: %s", error.message)
            return
        if offers != self._offers:
            self._offers = offers
            self._report_models()

    def _report(self) -> None:
        self._report_models()
        self.report_settings_configuration(
            [
                SettingConfiguration(
                    id="privacy",
                    name="Privacy",
                    description="How far what you send may go",
                    current=self._privacy,
                    options=list(_PRIVACY),
                )
            ]
        )
        self.report_slash_commands(
            [CommandOption(name=command.name, description=command.description) for command in COMMANDS]
        )
        self._report_usage(None)

    def _report_models(self) -> None:
        options = [*_AUTOMATIC, *(ModelOption(id=o.route, name=o.display, description=_about(o)) for o in self._offers)]
        if self._model not in {option.id for option in options}:
            options.append(ModelOption(id=self._model, name=self._model, description="not there at present"))
        self.report_model_configuration(ModelConfiguration(current=self._model, options=options))

    # --- messages

    async def on_message(self, message: Message) -> None:
        """Take a message whose metadata may be anything."""
        message = dataclasses.replace(message, metadata=room.plain(message.metadata) | _aidp(message.metadata))
        await super().on_message(message)

    async def process_message(self, message: Message) -> None:
        """Answer a message; jupyter-ai calls this for one at a time."""
        if is_deleted(self.chat):
            return
        self._is_stopped = False
        self._task = asyncio.ensure_future(self._answer(message))
        try:
            await self._task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():  # the server goes down: the answer ends too
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
                raise
        finally:
            self._task = None

    async def cancel_response(self) -> None:
        """End the answer under way, and with it the request to the model."""
        if self._task is not None:
            self._is_stopped = True
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def handle_uncaught_exception(self, exc: Exception) -> None:
        """Say that something failed, without a traceback; that is in the log."""
        self.send_message(_words(_INTERNAL))

    async def shutdown(self) -> None:
        """End what is under way: the chat is closed."""
        await super().shutdown()
        for task in self._background:
            # Not waited for: whoever reloads the page opens the chat again at once, and what jupyter-ai takes away
            # after a wait is then the new manager.
            task.cancel()
        await self.cancel_response()

    async def _answer(self, message: Message) -> None:
        metadata = message.metadata or {}
        turn = Turn(
            chat=self.chat.get_id(),
            user=self._user(message.sender),
            text=message.body if isinstance(message.body, str) else "",
            history=room.history(self.chat, message.id, self.id),
            attachments=room.attachments_of(self.chat, message.attachments),
            model=room.model_of(metadata, self._model),
            privacy=room.privacy_of(metadata, self._privacy),
            context=_text(room.ours(metadata).get("context"))[:200],
            is_quiet=room.ours(metadata).get("off") is True,
        )
        reply = Reply(self.chat, self.id, gone=self._end_quietly)
        reply.metadata["answers"] = message.id
        if turn.privacy is not None:
            reply.metadata["asked_privacy"] = str(turn.privacy)
        self._status("is thinking…")
        try:
            await self._stream(turn, reply)
        finally:
            self._status(None)
        if call := reply.metadata.get("call"):
            self._keep_running(self._settle(reply, call, turn.user))
        self._keep_running(self._look_for_models())

    async def _stream(self, turn: Turn, reply: Reply) -> None:
        notes: tuple[str, ...] = ()
        try:
            async with contextlib.aclosing(self._service().answer(turn)) as events:
                async for event in events:
                    match event:
                        case Began():
                            reply.metadata |= _said(event)
                        case Piece(text):
                            if reply.is_empty:
                                self._status("is writing…")
                            reply.add(text)
                        case Ended(said):
                            notes = said
        except asyncio.CancelledError:
            if not self._is_stopped:
                raise
            reply.metadata["stopped"] = True
            notes = ("Stopped.",)
        except AidpError as error:
            reply.metadata["error"] = {"code": error.code, "message": error.message, "next_step": error.next_step}
            notes = (_words(error),)
        except Exception:
            self.log.exception("aidp could not answer in chat %s", self.chat.get_id())
            reply.metadata["error"] = {"code": "internal", "message": _words(_INTERNAL), "next_step": None}
            notes = (_words(_INTERNAL),)
        if notes:
            reply.metadata["notes"] = list(notes)
        reply.end(notes)

    async def _settle(self, reply: Reply, call: str, user: str) -> None:
        """Add what an answer has cost, which is known a little after its end."""
        bill = await self._service().bill(call, user)
        if bill is not None:
            reply.metadata["cost_usd"] = bill.cost_usd
            reply.metadata["prompt_tokens"] = bill.prompt_tokens
            reply.metadata["completion_tokens"] = bill.completion_tokens
            self._report_usage(bill)
            self._keep()
            reply.update()  # which writes the file

    def _end_quietly(self) -> None:
        """End the answer in a chat that was deleted."""
        self.log.info("chat %s was deleted while aidp answered", self.chat.get_id())
        if self._task is not None:
            self._is_stopped = True
            asyncio.get_running_loop().call_soon(self._task.cancel)

    def _status(self, status: str | None) -> None:
        if status is None:
            self.clear_status()
        else:
            self.set_status(status)

    # --- what is kept with the chat

    def _kept(self) -> dict[str, Any]:
        kept = self.chat.get_metadata().get("aidp")
        return kept if isinstance(kept, dict) else {}

    def _keep(self) -> None:
        kept = {"model": self._model, "privacy": self._privacy, "usage": dict(self._usage)}
        if kept != self._kept() and not is_deleted(self.chat):
            self.chat.set_metadata("aidp", kept)

    def _report_usage(self, bill: Bill | None) -> None:
        if bill is not None:
            self._usage["input_tokens"] += bill.prompt_tokens or 0
            self._usage["output_tokens"] += bill.completion_tokens or 0
            self._usage["cost_amount"] += bill.cost_usd
        used = self._usage
        self.report_usage(
            Usage(
                input_tokens=int(used["input_tokens"]),
                output_tokens=int(used["output_tokens"]),
                total_tokens=int(used["input_tokens"] + used["output_tokens"]),
                cost_amount=used["cost_amount"],
                cost_currency="USD",
            )
        )

    # --- the server

    def _settings(self) -> dict[str, Any]:
        manager = self.parent
        extension = manager.parent if manager is not None else None
        # a request by HTTP makes a manager of its own, without a parent
        app = getattr(extension, "serverapp", None) or (ServerApp.instance() if ServerApp.initialized() else None)
        return app.web_app.settings if app is not None else {}

    def _service(self) -> ChatService:
        service = self._settings().get("aidp_chat")
        if not isinstance(service, ChatService):
            raise Unavailable("aidp does not run in this server.", next_step="Enable the server extension aidp_ext.")
        return service

    def _user(self, sender: str) -> str:
        named = self._settings().get("aidp_chat_user")
        return str(named(sender)) if named is not None else sender

    def _keep_running(self, work: Any) -> None:
        task = self.event_loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _aidp(metadata: object) -> dict[str, Any]:
    said = room.ours(metadata)
    return {"aidp": said} if said else {"aidp": {}}


def _said(began: Began) -> dict[str, Any]:
    return {
        "route": began.route,
        "locality": str(began.locality),
        "reason": began.reason,
        "message": began.message,
        "cost_usd": None,
        "call": began.call,
        "context": began.context,
        "privacy": None if began.privacy is None else str(began.privacy),
        "task": str(began.task),
        "paths": list(began.paths),
        "values": began.has_values,
    }


def _about(offer: Offer) -> str:
    """Return where a model runs, and what it costs."""
    if offer.locality is Locality.LOCAL:
        return "local"
    if offer.price is None:
        return "cloud"
    return f"cloud · ${offer.price.input:g} in, ${offer.price.output:g} out per million tokens"


def _words(error: AidpError) -> str:
    return " ".join(filter(None, (error.message, error.next_step)))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _usage(kept: object) -> dict[str, float]:
    known = kept if isinstance(kept, dict) else {}
    return {
        name: value if isinstance(value := known.get(name), int | float) and 0 <= value < 1e15 else 0 for name in _USED
    }
