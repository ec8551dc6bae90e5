"""Which persona answers a message, and what of jupyter-ai a workspace may not do."""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import Any

from jupyter_ai_persona_manager import persona_manager
from jupyter_ai_persona_manager.persona_manager import PersonaManager
from jupyter_ai_router.router import matches_pattern
from jupyterlab_chat.models import ChatMessageAction, ChatMessageEvent, Message
from traitlets import Unicode

from aidp_ext.ai.chat import room

log = logging.getLogger("aidp")

_LOOK_AFTER_S = 0.2  # until live collaboration has put the server's time on what came first
_STILL_NEW_S = 30.0  # a message from before the chat was opened here is answered if it is not older


class AidpPersonaManager(PersonaManager):
    """One chat's personas, aidp the default. Each message is answered, and once.

    jupyter-ai's router hears of a message only once it knows the chat, and with live collaboration only where the
    browser's clock is not behind: the first message of a new chat is often lost. So this one listens by itself too,
    and looks for what came before.
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
        # What was there before is not new, except for what the look below finds.
        waiting = set(room.unanswered(self.chat, 0.0))
        self._seen = {one["id"] for one in room.raw_messages(self.chat)} - waiting
        self._observer = self.chat.observe_messages(self._on_event)
        self._look = self.event_loop.call_later(_LOOK_AFTER_S, self._catch_up)

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
            self._look.cancel()
            self.chat.unobserve_messages(self._observer)
            self._stop_listening()

    def _stop_listening(self) -> None:
        # The base class never does: a chat that is opened again would be told the old choices beside the new ones.
        if self.event_logger is None:
            return
        for schema, listener in (
            (persona_manager.CHAT_ROOM_EVENT_SCHEMA_ID, self._on_chat_event),
            (persona_manager.PERSONA_SELECTED_EVENT_SCHEMA_ID, self._on_persona_selected),
        ):
            self.event_logger.remove_listener(schema_id=schema, listener=listener)

    def _on_event(self, event: ChatMessageEvent) -> None:
        if event.action != ChatMessageAction.CLIENT_MSG_RECEIVED:
            return
        message = event.message
        # What a browser brings back after the server was away has the time that it was given before.
        is_old = message.raw_time is False and message.time < self._opened - _STILL_NEW_S
        if not is_old:
            self._take(message)

    def _take(self, message: Message) -> None:
        if isinstance(message.body, str) and not message.deleted and not self._is_for_others(message.body):
            self.on_chat_message(self.chat.get_id(), message)

    def _is_for_others(self, body: str) -> bool:
        """Return whether another extension has registered for the command that a message begins with."""
        words = body.split(None, 1)
        if not words or not words[0].startswith("/"):
            return False
        router = getattr(self.parent, "router", None)
        patterns = router.slash_cmd_observers.get(self.chat.get_id(), {}) if router is not None else {}
        return any(matches_pattern(words[0].removeprefix("/"), pattern) for pattern in patterns)

    def _catch_up(self) -> None:
        """Answer what was sent before anybody listened."""
        for id in room.unanswered(self.chat, time.time() - _STILL_NEW_S):
            if id not in self._seen:
                message = self.chat.get_message(id)
                if message is not None:
                    self._take(message)


def close_workspace_personas() -> None:
    """Keep jupyter-ai from running Python files, and from starting the servers, that a workspace's `.jupyter` names.

    For every manager in this process: `POST api/ai/message/<name>` makes one of the base class.
    """

    def load_nothing(dir: str, log: logging.Logger) -> list[dict[str, Any]]:
        log.info("Persona files in %s are not run: AidpApp.allow_workspace_personas is off.", dir)
        return []

    persona_manager.load_from_dir = load_nothing
    PersonaManager.get_dotjupyter_dir = lambda self: None
