"""Which persona answers a message, and what of jupyter-ai a workspace may not do."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any

from jupyter_ai_persona_manager import persona_manager
from jupyter_ai_persona_manager.persona_manager import PersonaManager
from jupyter_ai_router.router import matches_pattern
from jupyterlab_chat.models import ChatMessageAction, ChatMessageEvent, Message
from traitlets import Unicode

from aidp_ext.ai.chats import room

log = logging.getLogger("aidp")

_STILL_NEW_S = 30.0  # a message from before the chat was opened here is answered if it is not older
_CLOCKS_S = 900.0  # by how much a browser's clock may be behind


class AidpPersonaManager(PersonaManager):
    """One chat's personas, aidp the default. Each message is answered, and once.

    jupyter-ai's router hears of a message only once it knows the chat; under live editing moreover only once the chat
    was saved, and where the browser's clock is not behind. The first message of a new chat is often lost. So this one
    listens by itself too, and looks for what came before.
    """

    default_persona_id = Unicode(
        "jupyter-ai-personas::aidp_ext::AidpPersona",
        allow_none=True,
        config=True,
        help="The persona that answers messages that name none.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_refreshing = False
        self._opened = time.time()
        new = {one["id"] for one in room.unanswered(self.chat) if self._is_new(one)}
        self._seen = {one["id"] for one in room.raw_messages(self.chat)} - new
        self._stop = self._listen()
        self.event_loop.call_soon(self._take_new)

    def on_chat_message(self, chat_id: str, message: Message) -> None:
        """Give a message to the persona that it names, else to the default; nothing is answered twice."""
        if message.id in self._seen:
            return
        self._seen.add(message.id)
        metadata = room.plain(message.metadata)
        if self.TO_PERSONA_METADATA_KEY not in metadata and self.default_persona is not None:
            metadata[self.TO_PERSONA_METADATA_KEY] = self.default_persona.id
        super().on_chat_message(chat_id, dataclasses.replace(message, metadata=metadata))

    async def refresh_personas(self) -> None:
        """Load the personas anew."""
        self._is_refreshing = True
        try:
            await super().refresh_personas()
        finally:
            self._is_refreshing = False

    async def shutdown_personas(self) -> None:
        """End the personas; at the chat's end, listen no more."""
        await super().shutdown_personas()
        if not self._is_refreshing:
            self._stop()
            self._forget_events()

    def _forget_events(self) -> None:
        # The base class never does: a chat that is opened again would be told the old choices beside the new ones.
        if self.event_logger is None:
            return
        for schema, listener in (
            (persona_manager.CHAT_ROOM_EVENT_SCHEMA_ID, self._on_chat_event),
            (persona_manager.PERSONA_SELECTED_EVENT_SCHEMA_ID, self._on_persona_selected),
        ):
            self.event_logger.remove_listener(schema_id=schema, listener=listener)

    def _listen(self) -> Callable[[], None]:
        """Look for new messages whenever there are some; return what ends it."""
        shared = getattr(self.chat, "ymessages", None)
        if shared is not None:
            # inside of this call the document cannot be changed
            subscription = shared.observe(lambda _: self.event_loop.call_soon(self._take_new))
            return lambda: shared.unobserve(subscription)
        observer = self.chat.observe_messages(self._on_event)
        return lambda: self.chat.unobserve_messages(observer)

    def _on_event(self, event: ChatMessageEvent) -> None:
        if event.action is ChatMessageAction.CLIENT_MSG_RECEIVED:
            self._take_new()

    def _take_new(self) -> None:
        for one in room.unanswered(self.chat):
            if one["id"] in self._seen:
                continue
            # What a browser brings back after the server was away has the time that it was given before.
            if (one.get("raw_time") is True or self._is_new(one)) and not self._is_for_others(one["body"]):
                self.on_chat_message(self.chat.get_id(), _as_message(one))
            self._seen.add(one["id"])

    def _is_new(self, one: dict[str, Any]) -> bool:
        """Return whether a message was sent about when the chat was opened here, or later."""
        behind = _CLOCKS_S if one.get("raw_time") is True else 0.0
        return bool(one["time"] >= self._opened - _STILL_NEW_S - behind)

    def _is_for_others(self, body: str) -> bool:
        """Return whether another extension has registered for the command that a message begins with."""
        words = body.split(None, 1)
        if not words or not words[0].startswith("/"):
            return False
        router = getattr(self.parent, "router", None)
        patterns = router.slash_cmd_observers.get(self.chat.get_id(), {}) if router is not None else {}
        return any(matches_pattern(words[0].removeprefix("/"), pattern) for pattern in patterns)


def _as_message(one: dict[str, Any]) -> Message:
    attachments = one.get("attachments")
    return Message(
        id=one["id"],
        body=one["body"],
        time=one["time"],
        sender=one["sender"],
        attachments=attachments if isinstance(attachments, list) else None,
        metadata=room.plain(one.get("metadata")),
    )


def close_workspace_personas() -> None:
    """Keep jupyter-ai from running Python files, and from starting the servers, that a workspace's `.jupyter` names.

    For every manager in this process: `POST api/ai/message/<name>` makes one of the base class.
    """

    def load_nothing(dir: str, log: logging.Logger) -> list[dict[str, Any]]:
        log.info("Persona files in %s are not run: AidpApp.allow_workspace_personas is off.", dir)
        return []

    persona_manager.load_from_dir = load_nothing
    PersonaManager.get_dotjupyter_dir = lambda self: None
