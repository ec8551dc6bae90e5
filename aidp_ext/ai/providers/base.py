"""What a model server must be able to do for the router, and the parts that every adapter needs.

An adapter is one small file: it lists its models as offers, and turns a chat or a completion in OpenAI's dialect into
an :class:`~aidp_ext.ai.models.Answer`. Foreign errors become ours here, once.
"""

from __future__ import annotations

import abc
import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import aiohttp
import msgspec

from aidp_ext.ai.models import Answer, Caller, Locality, Offer, Task
from aidp_ext.ai.providers.answers import EventStream, Translator, decode, usage_of
from aidp_ext.core.errors import UpstreamError, UpstreamInvalid, UpstreamRejected, UpstreamTimeout
from aidp_ext.core.http import HttpClient, shown, translated

Body = dict[str, Any]

_MAX_DOCUMENT = 64 * 1024 * 1024  # bytes of an answer that is held in memory
_ERROR_EXCERPT = 64 * 1024
#: Names of models that a local server forwards to a hosted service: they count as cloud wherever they are listed.
FORWARDED_NAME = re.compile(r"[:-]cloud$")


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

    @property
    def url(self) -> str:
        """The address as it may be shown."""
        return shown(self.base_url)

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
        raise NotImplementedError

    async def count(self, offer: Offer, body: Body) -> int | None:
        """Return how many tokens the prompt has for this model's own tokenizer; None where nobody can say."""
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
        headers: Mapping[str, str] | None = None,
        notes: tuple[str, ...] = (),
    ) -> Answer:
        """Post ``body`` and return the answer, whole or as events passed through byte by byte.

        ``translate`` turns the server's own documents, and a fresh ``translator`` its events (lines of JSON where
        ``is_lines``), into the dialect that was asked for. ``headers`` go along with this request alone.
        """
        is_completion = caller.headers.get("X-AIDP-Task") == Task.COMPLETE
        silence_s = self._completion_timeout_s if is_completion else self._read_timeout_s
        streams = bool(body.get("stream"))
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
            return await self._stream(request, silence_s, translator() if translator else None, is_lines, notes)
        async with request as response:
            document = await self._document(response)
        if translate is not None:
            document = translate(document)
        return Answer(document=document, usage=usage_of(document, self.label), notes=notes)

    async def _stream(
        self,
        request: AbstractAsyncContextManager[aiohttp.ClientResponse],
        silence_s: float,
        translator: Translator | None,
        is_lines: bool,
        notes: tuple[str, ...],
    ) -> Answer:
        """Return the answer once its first event is here; the connection then belongs to the events."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(silence_s):
                    response = await stack.enter_async_context(request)
                    await self._check_status(response)
                    if response.content_type != ("application/x-ndjson" if is_lines else "text/event-stream"):
                        raise await self._not_events(response)
            except TimeoutError as error:
                message = f"{self.label} took the request and then stayed silent."
                raise UpstreamTimeout(message, provider=self.name) from error
            events = EventStream(response, self.label, stack.pop_all(), translator, silence_s, is_lines)
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
        said = _message_in(await self._read(response, _ERROR_EXCERPT))
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
        if self._forwards_headers and (error := _error_of_a_gateway(document, status, self.name)):
            raise error
        said = _message_in(document)
        if status in (408, 504):
            raise UpstreamTimeout(f"{self.label} timed out ({status}).", provider=self.name)
        next_step = None
        if status in (401, 403):
            next_step = f"Check the key for {self.label}."
        elif status == 429:
            wait = response.headers.get("Retry-After", "")
            next_step = f"Try again in {wait} s." if wait.isdigit() else "Try again in a moment."
        raise UpstreamRejected(
            f"{self.label} refused ({status}): {self._scrubbed(said) or 'it gave no reason'}",
            status=status,
            next_step=next_step,
            provider=self.name,
        )

    def _scrubbed(self, text: str) -> str:
        """Return a server's words with our key cut out: some repeat it in their errors."""
        if self._api_key:
            text = text.replace(self._api_key, "…")
        return re.sub(r"\b(sk|gsk|key|AIza)[-_A-Za-z0-9]{12,}", r"\1…", text)[:500]


def _error_of_a_gateway(document: bytes, status: int, provider: str) -> UpstreamRejected | None:
    """Return another aidp's error as it said it, with its own code; None where it is no such error."""
    try:
        said = msgspec.json.decode(document)["error"]
        error = UpstreamRejected(said["message"], status=status, provider=provider)
        error.code = said["code"]
        error.suggest(said["details"].get("next_step"))
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return None
    return error


def _message_in(document: bytes) -> str:
    """Return the words of an error in any of the usual shapes, or an empty string."""
    try:
        found = msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if isinstance(found, list) and found:  # Gemini
        found = found[0]
    for key in ("error", "message", "detail"):
        if not isinstance(found, dict):
            break
        found = found.get(key, found)
    return found if isinstance(found, str) else ""
