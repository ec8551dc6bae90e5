"""A chat under live editing, as a browser has it: a shared document over jupyter-collaboration's websocket."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
from pycrdt import (
    Array,
    Doc,
    Map,
    TransactionEvent,
    YMessageType,
    create_sync_message,
    create_update_message,
    handle_sync_message,
)

from tests.support.chat import PERSONA, about
from tests.support.jupyter import Server


class LiveChat:
    """One browser's copy of a chat."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._doc: Doc[Any] = Doc()
        self._doc["messages"] = self._messages = Array()
        self._doc["users"] = Map()
        self._doc["attachments"] = Map()
        self._doc["metadata"] = self._metadata = Map()
        self._news = asyncio.Condition()
        self._is_ours = True
        self._sending: set[asyncio.Task[None]] = set()
        self._subscription = self._doc.observe(self._changed)
        self._reading = asyncio.create_task(self._read())

    def _changed(self, event: TransactionEvent) -> None:
        if self._is_ours:
            task = asyncio.ensure_future(self._socket.send_bytes(create_update_message(event.update)))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _read(self) -> None:
        await self._socket.send_bytes(create_sync_message(self._doc))
        async for frame in self._socket:
            if frame.type is not aiohttp.WSMsgType.BINARY or frame.data[0] != YMessageType.SYNC:
                continue
            self._is_ours = False
            try:
                reply = handle_sync_message(frame.data[1:], self._doc)
            finally:
                self._is_ours = True
            if reply is not None:
                await self._socket.send_bytes(reply)
            async with self._news:
                self._news.notify_all()

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self._messages.to_py() or []

    @property
    def id(self) -> str:
        """The chat's id, once the server has given it one."""
        return str((self._metadata.to_py() or {}).get("id", ""))

    def answers(self) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["sender"] == PERSONA]

    def send(self, body: str, *, clock: float = 0.0, **more: Any) -> str:
        """Send a message from a browser whose clock is ``clock`` seconds ahead."""
        id = str(uuid.uuid4())
        said = {"id": id, "body": body, "time": time.time() + clock, "sender": "ana", "type": "msg", "raw_time": True}
        self._messages.append(Map({**said, **more}))
        return id

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
        try:
            async with asyncio.timeout(seconds), self._news:
                while not (found := condition()):
                    await self._news.wait()
                return found
        except TimeoutError:
            raise AssertionError(f"never came true: {what}; the chat holds {self.messages}") from None

    async def answered(self, id: str) -> dict[str, Any]:
        """Return the answer to a message once it is whole."""

        def whole() -> dict[str, Any] | None:
            answer = next((m for m in self.answers() if about(m).get("answers") == id), None)
            if answer is None or (about(answer).get("call") and about(answer).get("cost_usd") is None):
                return None
            return answer

        return await self.until(whole, f"message {id} is answered")  # type: ignore[no-any-return]

    async def close(self) -> None:
        await asyncio.gather(*self._sending)
        await self._socket.close()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


@contextlib.asynccontextmanager
async def live_chat(server: Server, path: str) -> AsyncIterator[LiveChat]:
    """Open a chat that exists as a file, as a browser does under live editing."""
    async with aiohttp.ClientSession(headers=server.headers) as session:
        url = f"{server.url}api/collaboration/session/{path}"
        async with session.put(url, json={"format": "text", "type": "chat"}) as response:
            assert response.status in (200, 201), await response.text()
            found = await response.json()
        room = f"api/collaboration/room/text:chat:{found['fileId']}?sessionId={found['sessionId']}"
        async with session.ws_connect(f"{server.url.replace('http', 'ws', 1)}{room}") as socket:
            client = LiveChat(socket)
            try:
                yield client
            finally:
                await client.close()
