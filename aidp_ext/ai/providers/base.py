"""What a model server must be able to do for the router, and the parts that every adapter needs.

An adapter is one small file: it lists its models as offers, and turns a chat or a completion in OpenAI's dialect into
an :class:`~aidp_ext.ai.models.Answer`. Foreign errors become ours here, once.
"""

from __future__ import annotations

import abc
import asyncio
import math
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from typing import Any

import aiohttp
import msgspec

from aidp_ext.ai.models import Answer, Caller, Locality, Offer, Task, Usage
from aidp_ext.ai.providers.answers import EventStream, Translator, check_text, decode, understood, usage_of
from aidp_ext.ai.providers.anthropic_dialect import Passage, usage_of_message
from aidp_ext.ai.providers.messages import to_chat
from aidp_ext.ai.providers.messages_answers import MessagesEvents, from_chat
from aidp_ext.ai.providers.rejections import error_of_a_gateway, message_in, retry_after_s_of, without_keys
from aidp_ext.core.errors import (
    AidpError,
    UpstreamError,
    UpstreamInvalid,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from aidp_ext.core.http import HttpClient, shown, translated

Body = dict[str, Any]

_MAX_DOCUMENT = 64 * 1024 * 1024  # bytes of an answer that is held in memory
_ERROR_EXCERPT = 64 * 1024
# A document's head must be there after one silence, all of it after so many: a server may not drip for ever.
_SILENCES_OF_A_DOCUMENT = 5
#: Names of models that a local server forwards to a hosted service: they count as cloud wherever they are listed.
FORWARDED_NAME = re.compile(r"[:-]cloud$", re.IGNORECASE)


def is_forwarded(entry: Mapping[str, Any]) -> bool:
    """Return whether Ollama's own description of a model says that it is hosted elsewhere (api/types.go)."""
    name = entry.get("model") or entry.get("name")
    return bool(
        entry.get("remote_host") or entry.get("remote_model") or (isinstance(name, str) and FORWARDED_NAME.search(name))
    )


class Provider(abc.ABC):
    """One model server. ``name`` is the first part of its models' routes, ``label`` what people read."""

    #: What to do when it does not answer; shown to the user.
    next_step: str | None = None

    def __init__(
        self,
        name: str,
        label: str,
        base_url: str,
        http: HttpClient,
        *,
        locality: Locality,
        api_key: str = "",
        headers: Mapping[str, str] | None = None,
        direct: bool | None = None,
        forwards_headers: bool = False,
        read_timeout_s: float = 120.0,
        completion_timeout_s: float = 20.0,
        probe_timeout_s: float = 3.0,
    ) -> None:
        self.name = name
        self.label = label
        self.base_url = base_url.rstrip("/")
        self.locality = locality
        self._http = http
        self._headers = {**({"Authorization": f"Bearer {api_key}"} if api_key else {}), **(headers or {})}
        self._api_key = api_key
        self._direct = locality is Locality.LOCAL if direct is None else direct
        self._forwards_headers = forwards_headers
        self._read_timeout_s = read_timeout_s
        self._completion_timeout_s = completion_timeout_s
        self._probe_timeout_s = probe_timeout_s
        self._refuses_stream_options = False

    @property
    def url(self) -> str:
        """The address as it may be shown."""
        return shown(self.base_url)

    @property
    def keeps_accounts(self) -> bool:
        """True for the team's gateway: it counts, and limits, the money of what it is asked itself."""
        return self._forwards_headers

    @abc.abstractmethod
    async def offers(self) -> tuple[Offer, ...]:
        """Return the models that it has now. Raises UpstreamError."""

    @abc.abstractmethod
    async def chat(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Answer a chat in OpenAI's dialect. Raises UpstreamError before the first event, and while streaming."""

    @abc.abstractmethod
    async def complete(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Complete ``prompt``, up to ``suffix`` where there is one. Raises as `chat` does."""

    async def embed(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Make embeddings, in OpenAI's dialect. Raises as `chat` does."""
        raise UpstreamInvalid(f"{self.label} makes no embeddings.", provider=self.name)

    async def messages(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Answer a chat in Anthropic's dialect, in and out. Raises as `chat` does.

        Translated through `chat`, unless a provider speaks that dialect itself.
        """
        chat, notes = to_chat(body)
        answer = await self.chat(offer, chat, caller)
        notes = (*notes, *answer.notes)
        if answer.events is not None:
            events = MessagesEvents(answer.events, self.label)
            await events.wait_for_first()
            return replace(answer, events=events, notes=notes)
        assert answer.document is not None
        return replace(answer, document=from_chat(answer.document, self.label), notes=notes)

    async def explain(self, model: str) -> AidpError | None:
        """Return why it does not offer a model; None where it cannot say more than that."""
        return None

    async def count(self, offer: Offer, body: Body) -> int | None:
        """Return how many tokens the prompt has for this model's own tokenizer; None where nobody can say."""
        return None

    async def slots(self) -> int | None:
        """Return how many requests the server works on at once; None where it does not say, as most do not.

        Ollama does not either: OLLAMA_NUM_PARALLEL (1 by default, for each model) is known to its own process alone.
        """
        return None

    async def _get(self, url: str) -> Any:
        """Return the JSON document at ``url``."""
        async with self._http.request(
            "GET",
            url,
            server=self.label,
            headers=self._headers,
            read_timeout_s=self._probe_timeout_s,
            total_timeout_s=self._probe_timeout_s,
            direct=self._direct,
        ) as response:
            return decode(await self._document(response), self.label)

    async def _ask(self, url: str, body: Body) -> Any:
        """Return the JSON answer to ``body`` posted to ``url``, for questions about the server itself."""
        async with self._http.request(
            "POST",
            url,
            server=self.label,
            body=msgspec.json.encode(body),
            headers=self._headers,
            read_timeout_s=self._probe_timeout_s,
            total_timeout_s=self._probe_timeout_s,
            direct=self._direct,
        ) as response:
            return decode(await self._document(response), self.label)

    async def _answer(
        self,
        url: str,
        body: Body,
        caller: Caller,
        *,
        translate: Callable[[bytes], bytes] | None = None,
        translator: Callable[[], Translator] | None = None,
        is_lines: bool = False,
        is_whole: bool = False,
        hides_usage: bool = False,
        read_usage: Callable[[bytes, str], Usage] = usage_of,
        headers: Mapping[str, str] | None = None,
        notes: tuple[str, ...] = (),
        streams: bool | None = None,
    ) -> Answer:
        """Post ``body`` and return the answer, whole or as events passed through byte by byte.

        ``translate`` turns the server's own documents, and a fresh ``translator`` its events (lines of JSON where
        ``is_lines``, whole events with their names where ``is_whole``), into the dialect that was asked for.
        ``hides_usage`` keeps the event that only reports the usage from the caller. ``read_usage`` finds the usage in a
        document of another dialect. ``headers`` go along with this request alone. ``streams`` is for servers whose
        bodies do not say it.
        """
        is_completion = caller.headers.get("X-AIDP-Task") == Task.COMPLETE
        silence_s = self._completion_timeout_s if is_completion else self._read_timeout_s
        streams = bool(body.get("stream")) if streams is None else streams
        request = self._http.request(
            "POST",
            url,
            server=self.label,
            body=msgspec.json.encode(body),
            headers={**self._headers, **(caller.headers if self._forwards_headers else {}), **(headers or {})},
            read_timeout_s=None if streams else silence_s,  # a stream watches over itself
            direct=self._direct,
        )
        if streams:
            return await self._stream(
                request,
                lambda response, connection: EventStream(
                    response,
                    self.label,
                    connection,
                    translator() if translator else None,
                    silence_s,
                    is_lines,
                    hides_usage,
                    is_whole,
                ),
                silence_s,
                "application/x-ndjson" if is_lines else "text/event-stream",
                notes,
            )
        async with AsyncExitStack() as stack:
            response = await self._open(stack, request, silence_s)
            try:
                async with asyncio.timeout(silence_s * _SILENCES_OF_A_DOCUMENT):
                    document = await self._document(response)
            except TimeoutError as error:
                raise UpstreamTimeout(f"{self.label} did not finish its answer.", provider=self.name) from error
        if translate is not None:
            with understood(self.label):
                document = translate(document)
        else:
            check_text(document, self.label)
        return Answer(document=document, usage=read_usage(document, self.label), notes=notes)

    async def _pass_messages(
        self, url: str, body: Body, caller: Caller, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Post a request in Anthropic's dialect to a server that speaks it; the answer passes byte by byte."""
        return await self._answer(
            url,
            body,
            caller,
            translator=lambda: Passage(self.label),
            is_whole=True,
            read_usage=usage_of_message,
            headers=headers,
        )

    async def _metered(self, url: str, body: Body, caller: Caller, *, notes: tuple[str, ...] = ()) -> Answer:
        """Answer in OpenAI's dialect as `_answer` does, with the usage of a stream reported whoever asked for it.

        OpenAI's streams report it only to who sends ``stream_options.include_usage``: it is sent always, since calls
        are paid by it. A caller who did not ask does not see it. Servers that refuse the option go without.
        Without a stream its options mean nothing, and OpenAI refuses them: they stay here.
        """
        options = body.get("stream_options") or {}
        if not body.get("stream"):
            body = {key: value for key, value in body.items() if key != "stream_options"}
            return await self._answer(url, body, caller, notes=notes)
        if not isinstance(options, dict) or self._refuses_stream_options:
            return await self._answer(url, body, caller, notes=notes)
        if options.get("include_usage"):
            return await self._answer(url, body, caller, notes=notes)
        sent = {**body, "stream_options": {**options, "include_usage": True}}
        try:
            return await self._answer(url, sent, caller, notes=notes, hides_usage=True)
        except UpstreamRejected as error:
            if error.status not in (400, 422) or not re.search(r"stream_options|include_usage", error.message):
                raise
        answer = await self._answer(url, body, caller, notes=notes)
        self._refuses_stream_options = True  # only now: the refusal may have meant something else as well
        return answer

    async def _open(
        self, stack: AsyncExitStack, request: AbstractAsyncContextManager[aiohttp.ClientResponse], silence_s: float
    ) -> aiohttp.ClientResponse:
        """Return the response once its whole head is here, which must not take longer than one silence."""
        try:
            async with asyncio.timeout(silence_s):
                return await stack.enter_async_context(request)
        except TimeoutError as error:
            message = f"{self.label} took the request and then stayed silent."
            raise UpstreamTimeout(message, provider=self.name) from error

    async def _stream(
        self,
        request: AbstractAsyncContextManager[aiohttp.ClientResponse],
        events_of: Callable[[aiohttp.ClientResponse, AsyncExitStack], EventStream],
        silence_s: float,
        content_type: str,
        notes: tuple[str, ...],
    ) -> Answer:
        """Return the answer once its first event is here; the connection then belongs to the events."""
        async with AsyncExitStack() as stack:
            response = await self._open(stack, request, silence_s)
            try:
                async with asyncio.timeout(silence_s):
                    await self._check_status(response)
                    if response.content_type != content_type:
                        raise await self._not_events(response)
            except TimeoutError as error:
                raise UpstreamTimeout(f"{self.label} did not finish its answer.", provider=self.name) from error
            events = events_of(response, stack.pop_all())
        try:
            await events.wait_for_first()
        except BaseException:
            await events.aclose()
            raise
        return Answer(events=events, notes=notes)

    async def _document(self, response: aiohttp.ClientResponse) -> bytes:
        await self._check_status(response)
        return await self._read(response, _MAX_DOCUMENT)

    async def _read(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        with translated(self.label, response.url, answering=True):
            async for chunk in response.content.iter_any():
                parts.append(chunk)
                size += len(chunk)
                if size > limit:
                    raise UpstreamInvalid(f"{self.label} sent more than {limit} bytes.", provider=self.name)
        return b"".join(parts)

    async def _not_events(self, response: aiohttp.ClientResponse) -> UpstreamError:
        """Explain a 200 that is no stream: some servers report errors in it."""
        said = message_in(await self._read(response, _ERROR_EXCERPT))
        what = said or f"it sent {response.content_type} instead of a stream of events"
        return UpstreamInvalid(f"{self.label} did not stream: {self._scrubbed(what)}.", provider=self.name)

    async def _check_status(self, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status == 200:
            return
        if 300 <= status < 400:
            raise UpstreamInvalid(
                f"{self.label} answers with a redirect, which is not followed.",
                next_step="Set its base URL to the final address.",
                provider=self.name,
            )
        try:
            document = await self._read(response, _ERROR_EXCERPT)
        except UpstreamError:
            document = b""
        retry_after_s = retry_after_s_of(response.headers, document)
        if self._forwards_headers:
            raise self._error_of_gateway(document, status, retry_after_s)
        status = self._meant(status, document)
        said = message_in(document)
        if status in (408, 504):
            raise UpstreamTimeout(f"{self.label} timed out ({status}).", provider=self.name)
        next_step = None
        if status in (401, 403):
            next_step = f"Check the key for {self.label}."
        elif status in (429, 503, 529):  # too much from us, or too much from everybody (529: Anthropic)
            next_step = f"Try again in {math.ceil(retry_after_s)} s." if retry_after_s else "Try again in a moment."
        raise UpstreamRejected(
            f"{self.label} refused ({status}): {self._scrubbed(said) or 'it gave no reason'}",
            status=status,
            retry_after_s=retry_after_s,
            next_step=next_step,
            provider=self.name,
        )

    def _error_of_gateway(self, document: bytes, status: int, retry_after_s: float | None) -> UpstreamError:
        """Return what the gateway, or the proxy before it, answers with."""
        error = error_of_a_gateway(document, status, self.name, retry_after_s)
        if status == 401:  # said of our token, not of the caller's
            return UpstreamRejected(
                f"{self.label} does not know this server any more.",
                status=status,
                next_step="Restart your server on the hub's control panel.",
                provider=self.name,
            )
        if error is not None:
            return error
        return UpstreamUnreachable(
            f"{self.label} is not there at present ({status}).", next_step=self.next_step, provider=self.name
        )

    def _meant(self, status: int, document: bytes) -> int:
        """Return the status that an error means, for servers that answer with a misleading one."""
        return status

    def _scrubbed(self, text: str) -> str:
        """Return a server's words with our key cut out: some repeat it in their errors."""
        if self._api_key:
            text = text.replace(self._api_key, "…")
        return without_keys(text)[:500]
