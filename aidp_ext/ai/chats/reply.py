"""An answer as a message of a chat: it grows as the text comes, at a rate that browsers and the disk can bear."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from jupyterlab_chat.models import BaseChatModel, Message, NewMessage

from aidp_ext.ai.chats.display import Display

_SHORTEST_S = 0.04  # between two updates: 25 a second
_SHARE = 10  # an update may take a tenth of the time: each one writes the whole file, and tells every browser


class Reply:
    """One answer. The first text is shown at once, what comes after it in steps."""

    def __init__(self, chat: BaseChatModel, sender: str, gone: Callable[[], None]) -> None:
        """``gone`` is called once where the chat has been deleted meanwhile."""
        self._chat = chat
        self._sender = sender
        self._gone = gone
        self._display = Display()
        self._id: str | None = None
        self._time = 0.0
        self._next = 0.0  # when the next update may be
        self._timer: asyncio.TimerHandle | None = None
        self._is_gone = False
        self.metadata: dict[str, Any] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no text has come."""
        return not self._display.received

    def add(self, text: str) -> None:
        """Take some text; it is shown now, or a little later together with what comes then."""
        if not text:
            return
        self._display.add(text)
        if self._timer is None:
            wait = self._next - time.monotonic()
            if wait <= 0:
                self._show()
            else:
                self._timer = asyncio.get_running_loop().call_later(wait, self._show)

    def end(self, notes: tuple[str, ...] = ()) -> None:
        """Show all of it, with sentences for the user below."""
        if notes:
            self._display.close()
        for note in notes:
            self._display.add(f"\n\n*— {note.replace('*', '')}*" if not self.is_empty else f"*— {note}*")
        is_new = self._id is None
        self._show()
        if is_new:  # a new message takes no metadata
            self.update()

    def update(self) -> None:
        """Tell what has changed in the metadata."""
        if self._id is not None:
            self._show()

    def _show(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_gone:
            return
        if is_deleted(self._chat):
            self._is_gone = True
            self._gone()
            return
        began = time.monotonic()
        if self._id is None:
            self._id = self._chat.add_message(NewMessage(body=self._display.text, sender=self._sender))
            message = self._chat.get_message(self._id)
            self._time = message.time if message is not None else time.time()
        else:
            self._write()
        ended = time.monotonic()
        self._next = ended + max(_SHORTEST_S, _SHARE * (ended - began))

    def _write(self) -> None:
        assert self._id is not None
        self._chat.update_message(
            Message(
                id=self._id,
                body=self._display.text,
                time=self._time,
                sender=self._sender,
                raw_time=False,
                metadata={"aidp": self.metadata},
            )
        )


def is_deleted(chat: BaseChatModel) -> bool:
    """Return whether a chat's file is gone. The model would write it anew, and a chat that was deleted came back."""
    root = getattr(chat, "root_dir", None)  # of the model that writes the file itself
    return root is not None and not (root / chat.get_path()).exists()
