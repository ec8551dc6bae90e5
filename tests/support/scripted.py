"""A model server that says what it is told to: ``python -m tests.support.scripted --port 8899``.

It speaks OpenAI's dialect (``/v1/models``, ``/v1/chat/completions``, ``/v1/completions``, streamed and whole), checks
what it is sent, and remembers each question with the times (``time.monotonic``, one clock for all processes) of its
arrival, of the first byte and of the end of its answer, and of the moment when its reader went away.

What it answers is set while it runs, the newest rule that fits first; without one it says something plausible:

- ``POST /script`` with the fields of `Rule` adds a rule, ``DELETE /script`` takes all away;
- ``GET /asked`` gives what was asked (`Asked`), ``DELETE /asked`` forgets it;
- ``POST /release`` lets the answers go on that a rule holds back.

Give its address to Jupyter as LOCAL_OPENAI_BASE_URL for a model on this machine, or as OPENAI_BASE_URL (with a key,
and ``--models gpt-4o``) for one elsewhere.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import re
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from aiohttp import web

MODEL = "qwen2.5-coder:scripted"  # of a family that can fill in the middle
CHARACTERS_A_TOKEN = 4
FENCED = '''Here is one way to do it:

```python
def mean(values):
    """Return the arithmetic mean of the values."""
    return sum(values) / len(values)
```

It works for any sequence of numbers.
'''
#: What it continues with by default: the first whose pattern ends the text before the cursor.
CONTINUATIONS = (
    (r"import ?", "pandas as pd"),
    (r"\breturn ?", "sum(values) / len(values)"),
    (r":[ \t]*(\n[ \t]*)?", "\n    total = sum(values)\n    return total / len(values)"),
    (r"\.", "groupby('species').mean(numeric_only=True)"),
    (r"", "df.groupby('species').mean(numeric_only=True)"),
)
_FIM = re.compile(r"<\|fim_prefix\|>(.*)<\|fim_suffix\|>(.*)<\|fim_middle\|>", re.DOTALL)


@dataclass(frozen=True)
class Rule:
    """What to answer to a question in which ``when`` is found."""

    when: str = ""  # a regular expression: searched in the last user message, or in the text before the cursor
    kind: str = ""  # "chat" or "completion"; both by default
    reply: str | list[str] = ""  # of several: one after the other, the last again and again
    chunk: int = CHARACTERS_A_TOKEN  # characters an event
    delay_ms: float = 0.0  # before each event
    forever: bool = False  # the reply again and again, until the reader goes away
    status: int = 200  # else an error, whose message is the reply
    hold: bool = False  # wait for a release before the first byte …
    hold_after: int | None = None  # … or after so many events

    def __post_init__(self) -> None:
        re.compile(self.when)
        if self.chunk < 1 or self.kind not in ("", "chat", "completion"):
            raise ValueError("a chunk has a character at least; the kind is chat or completion")


@dataclass
class Asked:
    """One question, and what became of its answer. Times are `time.monotonic`, None for what has not happened."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    text: str = ""  # the last user message, or the text before the cursor
    suffix: str = ""  # the text after the cursor
    status: int = 0
    said: str = ""  # as much of the answer as was sent
    arrived_at: float = field(default_factory=time.monotonic)
    first_byte_at: float | None = None
    ended_at: float | None = None
    disconnected_at: float | None = None

    @property
    def kind(self) -> str:
        """``chat`` or ``completion``."""
        return "chat" if self.path.endswith("/chat/completions") else "completion"


class Scripted:
    """The server's state. Its functions may be called from any thread."""

    def __init__(self, models: Sequence[str] = (MODEL,), key: str = "") -> None:
        self.models = tuple(models)
        self.key = key
        self.root = ""  # its address, known once it listens
        self._asked: list[Asked] = []
        self._rules: list[tuple[Rule, Iterator[str]]] = []
        self._held: set[asyncio.Event] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        """OpenAI's base URL."""
        return f"{self.root}/v1"

    @property
    def asked(self) -> list[Asked]:
        """What was asked for an answer, in order."""
        return list(self._asked)

    @property
    def chats(self) -> list[Asked]:
        """The chats of it."""
        return [one for one in self.asked if one.kind == "chat"]

    @property
    def completions(self) -> list[Asked]:
        """The completions of it."""
        return [one for one in self.asked if one.kind == "completion"]

    def script(self, reply: str | list[str] = "", **rule: Any) -> None:
        """Answer so from now on; the fields are those of `Rule`."""
        self.add(Rule(reply=reply, **rule))

    def add(self, rule: Rule) -> None:
        """Add a rule before the others."""
        self._rules.insert(0, (rule, _in_turn(rule.reply)))

    def reset(self) -> None:
        """Forget the rules and what was asked, and let held answers go."""
        self._rules.clear()
        self._asked.clear()
        self.release()

    def forget(self) -> None:
        """Forget what was asked."""
        self._asked.clear()

    def release(self) -> None:
        """Let the answers go on that are held back."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._let_go)

    def _let_go(self) -> None:
        for held in self._held:
            held.set()

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.router.add_get("/v1/models", self._list)
        app.router.add_post("/v1/chat/completions", self._ask)
        app.router.add_post("/v1/completions", self._ask)
        app.router.add_get("/asked", self._tell)
        app.router.add_delete("/asked", self._delete)
        app.router.add_post("/script", self._add)
        app.router.add_delete("/script", self._delete)
        app.router.add_post("/release", self._release)
        return app

    @contextlib.asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[None]:
        """Listen while the block runs."""
        self._loop = asyncio.get_running_loop()
        # A handler is cancelled at once when its reader goes away.
        runner = web.AppRunner(self.app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.root = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()

    async def _list(self, request: web.Request) -> web.Response:
        if refused := self._stranger(request):
            return refused
        data = [{"id": name, "object": "model", "created": 1, "owned_by": "scripted"} for name in self.models]
        return web.json_response({"object": "list", "data": data})

    async def _tell(self, _: web.Request) -> web.Response:
        told = [{**asdict(one), "kind": one.kind} for one in self._asked]
        return web.json_response({"now": time.monotonic(), "epoch": time.time(), "asked": told})

    async def _delete(self, request: web.Request) -> web.Response:
        (self._asked if request.path == "/asked" else self._rules).clear()
        return web.json_response({})

    async def _add(self, request: web.Request) -> web.Response:
        try:
            self.add(Rule(**await request.json()))
        except (TypeError, ValueError, re.error) as error:
            return _error(400, str(error))
        return web.json_response({})

    async def _release(self, _: web.Request) -> web.Response:
        self.release()
        return web.json_response({})

    def _stranger(self, request: web.Request) -> web.Response | None:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return _error(401, "Incorrect API key provided.")
        return None

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        if refused := self._stranger(request):
            return refused
        try:
            body = await request.json()
        except ValueError:
            return _error(400, "We could not parse the JSON body of your request.")
        asked = Asked(request.path, {name.lower(): value for name, value in request.headers.items()}, body)
        self._asked.append(asked)
        wrong = self._wrong(asked)
        if wrong:
            asked.status = 404 if "does not exist" in wrong else 400
            return _error(asked.status, wrong)
        try:
            return await self._answer(request, asked)
        except asyncio.CancelledError:
            asked.disconnected_at = time.monotonic()
            raise
        except ConnectionError:  # noticed while writing
            asked.disconnected_at = time.monotonic()
            return web.Response()
        finally:
            asked.ended_at = time.monotonic()

    def _wrong(self, asked: Asked) -> str:
        """Return what is wrong with a question, empty for nothing; read what it is about."""
        body = asked.body
        if not isinstance(body, dict) or body.get("model") not in self.models:
            return f"The model `{body.get('model') if isinstance(body, dict) else body}` does not exist"
        if "stream_options" in body and not body.get("stream"):
            return "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        most = body.get("max_tokens")
        if most is not None and (not isinstance(most, int) or most < 1):
            return "Invalid 'max_tokens': expected a positive integer."
        if asked.kind == "completion":
            prompt = body.get("prompt")
            if not isinstance(prompt, str):
                return "Invalid type for 'prompt': expected a string."
            middle = _FIM.fullmatch(prompt)
            asked.text, asked.suffix = middle.groups() if middle else (prompt, str(body.get("suffix") or ""))
            return ""
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            return "Invalid 'messages': expected an array with at least one message."
        for message in messages:
            if not isinstance(message, dict) or message.get("role") not in ("system", "user", "assistant", "tool"):
                return "Invalid 'messages': each has a role."
            if not isinstance(message.get("content"), str | list | None):
                return "Invalid 'messages': each has a content."
        said = [_words(message) for message in messages if message["role"] == "user"]
        asked.text = said[-1] if said else ""
        return ""

    def _rule(self, asked: Asked) -> tuple[Rule, str]:
        """Return the rule for a question and its reply."""
        for rule, replies in self._rules:
            if rule.kind in ("", asked.kind) and re.search(rule.when, asked.text):
                return rule, next(replies)
        if asked.kind == "chat":
            return Rule(), FENCED
        return Rule(), next(text for pattern, text in CONTINUATIONS if re.search(f"(?:{pattern})\\Z", asked.text))

    async def _answer(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        rule, reply = self._rule(asked)
        asked.status = rule.status
        if rule.hold:
            await self._hold()
        if rule.status != 200:
            return _error(rule.status, reply or "Scripted to fail.")
        text, finish = (reply, "") if rule.forever else _cut(reply, asked.body)
        pieces = [text[start : start + rule.chunk] for start in range(0, len(text), rule.chunk)]
        if asked.body.get("stream"):
            return await self._stream(request, asked, rule, pieces, finish)
        await asyncio.sleep(rule.delay_ms / 1000 * len(pieces))
        while rule.forever:
            await asyncio.sleep(3600)
        asked.first_byte_at, asked.said = time.monotonic(), text
        return web.json_response(_document(asked, text, finish) | {"usage": _usage(asked)})

    async def _stream(
        self, request: web.Request, asked: Asked, rule: Rule, pieces: list[str], finish: str
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)

        async def send(event: dict[str, Any]) -> None:
            asked.first_byte_at = asked.first_byte_at or time.monotonic()
            await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")

        sent = 0
        while True:
            for piece in pieces:
                if rule.delay_ms or rule.forever:
                    await asyncio.sleep(max(rule.delay_ms, 1.0 if rule.forever else 0.0) / 1000)
                if sent == rule.hold_after:
                    await self._hold()
                await send(_event(asked, piece, None))
                asked.said += piece
                sent += 1
            if not rule.forever:
                break
        await send(_event(asked, "", finish))
        if (asked.body.get("stream_options") or {}).get("include_usage"):
            await send(_document(asked, "", finish) | {"choices": [], "usage": _usage(asked)})
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    async def _hold(self) -> None:
        held = asyncio.Event()
        self._held.add(held)
        try:
            await held.wait()
        finally:
            self._held.discard(held)


@contextlib.contextmanager
def scripted(models: Sequence[str] = (MODEL,), key: str = "") -> Iterator[Scripted]:
    """Run one in a thread while the block runs."""
    server = Scripted(models, key)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listening = server.listening()
    asyncio.run_coroutine_threadsafe(listening.__aenter__(), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(listening.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def _in_turn(reply: str | list[str]) -> Iterator[str]:
    replies = reply if isinstance(reply, list) else [reply]
    yield from replies
    while True:
        yield replies[-1]


def _words(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))


def _cut(reply: str, body: dict[str, Any]) -> tuple[str, str]:
    """Return the reply as a model would end it, and why it ends."""
    given = body.get("stop") or []
    for stop in [given] if isinstance(given, str) else given:
        reply = reply.split(stop, 1)[0]
    most = body.get("max_tokens") or body.get("max_completion_tokens")
    if most is not None and len(reply) > most * CHARACTERS_A_TOKEN:
        return reply[: most * CHARACTERS_A_TOKEN], "length"
    return reply, "stop"


def _usage(asked: Asked) -> dict[str, int]:
    read = math.ceil(len(json.dumps(asked.body)) / CHARACTERS_A_TOKEN)
    written = math.ceil(len(asked.said) / CHARACTERS_A_TOKEN)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _document(asked: Asked, text: str, finish: str | None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": finish}
    head = {"id": "scripted-1", "created": 1, "model": asked.body["model"]}
    if asked.kind == "completion":
        return {**head, "object": "text_completion", "choices": [choice | {"text": text}]}
    message = {"role": "assistant", "content": text}
    return {**head, "object": "chat.completion", "choices": [choice | {"message": message}]}


def _event(asked: Asked, text: str, finish: str | None) -> dict[str, Any]:
    document = _document(asked, text, finish)
    if asked.kind == "completion":
        return document
    choice = {"index": 0, "logprobs": None, "finish_reason": finish}
    delta = {"role": "assistant", "content": text} if text else {}
    return document | {"object": "chat.completion.chunk", "choices": [choice | {"delta": delta}]}


def _error(status: int, message: str) -> web.Response:
    error = {"message": message, "type": "invalid_request_error" if status < 500 else "server_error", "code": None}
    return web.json_response({"error": error}, status=status)


async def _serve(port: int, models: Sequence[str], key: str) -> None:
    server = Scripted(models, key)
    async with server.listening(port):
        print(server.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--models", default=MODEL, help="names, separated by commas")
    parser.add_argument("--key", default="", help="the key that it wants; none by default")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(given.port, given.models.split(","), given.key))
