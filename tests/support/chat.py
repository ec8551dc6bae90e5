"""A chat as a browser has it, at the wire: jupyterlab-chat's websocket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp

from tests.support.jupyter import Server

PERSONA = "jupyter-ai-personas::aidp_ext::AidpPersona"


class ChatClient:
    """One connection to one chat. Holds the chat's messages as they are, and when each frame came."""

    def __init__(self, server: Server, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.server = server
        self._session = session
        self._socket = socket
        self.messages: dict[str, dict[str, Any]] = {}
        self.frames: list[tuple[float, dict[str, Any]]] = []
        self.writing: list[bool] = []
        self.id = ""
        self._news = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for frame in self._socket:
            if frame.type is not aiohttp.WSMsgType.TEXT:
                continue
            said = json.loads(frame.data)
            async with self._news:
                self._take(said)
                self._news.notify_all()

    def _take(self, said: dict[str, Any]) -> None:
        if said["action"] == "connection":
            self.id = said["id"]
            self.messages = {one["id"]: one for one in said["messages"]}
        elif said["action"] == "message":
            self.messages[said["message"]["id"]] = said["message"]
            self.frames.append((time.monotonic(), said["message"]))
        elif said["action"] == "writing":
            self.writing.append(said["state"])

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
        """Return what ``condition`` gives as soon as it is true."""
        try:
            async with asyncio.timeout(seconds), self._news:
                while not (found := condition()):
                    await self._news.wait()
                return found
        except TimeoutError:
            raise AssertionError(f"never came true: {what}; the chat holds {list(self.messages.values())}") from None

    async def send(self, body: Any, **more: Any) -> str:
        """Send a message and return its id."""
        id = str(uuid.uuid4())
        await self._socket.send_json({"type": "client", "action": "send", "id": id, "body": body, **more})
        return id

    def answers(self) -> list[dict[str, Any]]:
        """Return what the persona said so far, oldest first."""
        return sorted((m for m in self.messages.values() if m["sender"] == PERSONA), key=lambda m: m["time"])

    def answer_to(self, id: str) -> dict[str, Any] | None:
        """Return the answer to a message, if there is one."""
        return next((m for m in self.answers() if about(m).get("answers") == id), None)

    async def answered(self, id: str) -> dict[str, Any]:
        """Return the answer to a message once it is whole, its cost included where a model gave it."""

        def whole() -> dict[str, Any] | None:
            answer = self.answer_to(id)
            if answer is None or (about(answer).get("call") and about(answer).get("cost_usd") is None):
                return None
            return answer

        return await self.until(whole, f"message {id} is answered")

    async def ask(self, body: Any, **more: Any) -> dict[str, Any]:
        """Send a message and return its whole answer."""
        return await self.answered(await self.send(body, **more))

    async def stop(self) -> int:
        """Press the stop button; return the status."""
        async with self._session.post(f"{self.server.url}api/ai/personas/cancel", params={"chat_id": self.id}) as reply:
            await reply.read()
            return reply.status

    async def close(self) -> None:
        """Leave the chat."""
        await self._socket.close()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


def about(message: dict[str, Any]) -> dict[str, Any]:
    """Return what aidp says of a message."""
    return (message.get("metadata") or {}).get("aidp") or {}


@contextlib.asynccontextmanager
async def chatting(server: Server, path: str, *, is_ready: bool = True) -> AsyncIterator[ChatClient]:
    """Open a chat as a browser does. ``is_ready``: jupyter-ai has found it, so that it can be stopped."""
    async with aiohttp.ClientSession(headers=server.headers) as session:
        url = f"{server.url.replace('http', 'ws', 1)}api/chat/ws/{path}"
        async with session.ws_connect(url, max_msg_size=64 * 1024 * 1024) as socket:
            client = ChatClient(server, session, socket)
            try:
                await client.until(lambda: client.id, "the chat is connected")
                if is_ready:
                    await _found(client)
                yield client
            finally:
                await client.close()


async def _found(client: ChatClient) -> None:
    async with asyncio.timeout(60):
        while await client.stop() == 404:
            await asyncio.sleep(0.02)
