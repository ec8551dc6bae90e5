"""Servers that speak OpenAI's dialect: a real llama.cpp, doubles of others, and some that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web

from aidp_ext.ai.models import FREE, Answer, Caller, Capability, Locality, Offer, Price
from aidp_ext.ai.providers.openai_compatible import OpenAICompatible
from aidp_ext.core.errors import AidpError, UpstreamInvalid, UpstreamRejected, UpstreamTimeout
from aidp_ext.core.http import HttpClient
from tests.support.wire import ANA, Handler, chat_of, data_in, received, serving, streamed, streamed_chat

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Which bird is it?"}]}
MODEL = Offer("local", "m", Locality.LOCAL, frozenset({Capability.CHAT, Capability.COMPLETE}))
CHUNK = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


@contextlib.asynccontextmanager
async def at(handler: Handler | str, **more: Any) -> AsyncIterator[OpenAICompatible]:
    """Give the provider for a handler, or for a base URL."""
    http = HttpClient()
    async with contextlib.AsyncExitStack() as stack:
        url = handler if isinstance(handler, str) else await stack.enter_async_context(serving(handler)) + "/v1"
        usual = {"locality": Locality.LOCAL, "read_timeout_s": 5.0}
        stack.push_async_callback(http.close)
        yield OpenAICompatible("local", "Local model server", url, http, **{**usual, **more})


def event(text: str, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({**CHUNK, "choices": [choice], **more}).encode() + b"\n\n"


def says(*pieces: bytes) -> Handler:
    """Return a server whose every stream is made of these pieces."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return await streamed(request, "text/event-stream", list(pieces))

    return handler


# --- a real llama.cpp ---


async def llama_offer(local: OpenAICompatible) -> Offer:
    (offer,) = await local.offers()
    return offer


async def test_what_llama_cpp_offers(llama: str) -> None:
    async with at(llama) as local:
        offer = await llama_offer(local)
        assert {Capability.JSON, Capability.FIM, Capability.CHAT} <= offer.capabilities
        assert (offer.price, offer.loaded, offer.locality) == (FREE, True, Locality.LOCAL)
        assert await local.slots() == 2


@pytest.mark.parametrize("text", ["Which bird is it?", "naïve — 日本語 <|im_start|>"])
async def test_tokens_are_counted_as_llama_cpp_counts_them(llama: str, text: str) -> None:
    async with at(llama) as local:
        offer = await llama_offer(local)
        chat = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]}
        answer = await local.chat(offer, {**chat, "max_tokens": 1}, ANA)
        assert await local.count(offer, chat) == answer.usage.prompt_tokens
        completed = await local.complete(offer, {"prompt": text, "max_tokens": 1}, ANA)
        assert await local.count(offer, {"prompt": text}) == completed.usage.prompt_tokens


async def test_llama_cpp_reports_the_usage_of_a_stream_though_the_caller_did_not_ask(llama: str) -> None:
    async with at(llama) as local:
        offer = await llama_offer(local)
        answer = await local.chat(offer, {**CHAT, "max_tokens": 3, "stream": True}, ANA)
        chat, chunks = await streamed_chat(answer)
        assert all(chunk.choices for chunk in chunks)
        assert chat.choices[0].finish_reason in ("length", "stop")
        assert answer.events is not None
        assert answer.events.usage.prompt_tokens is not None
        assert answer.events.usage.prompt_tokens > 0


async def test_llama_cpp_answers_in_json(llama: str) -> None:
    async with at(llama) as local:
        schema = {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]}
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        answer = await local.chat(await llama_offer(local), {**CHAT, "response_format": wanted, "max_tokens": 60}, ANA)
        assert (chat_of(answer).choices[0].message.content or "").lstrip().startswith("{")


# --- others ---


async def test_vllm_counts_too() -> None:
    async def vllm(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/models":
            return web.json_response({"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 8192}]})
        assert request.path == "/tokenize"
        body = await request.json()
        assert body["model"] == "m"
        assert ("messages" in body) != ("prompt" in body)
        return web.json_response({"count": 12, "max_model_len": 8192, "tokens": list(range(12))})

    async with at(vllm) as local:
        (offer,) = await local.offers()
        assert (offer.context_length, Capability.JSON in offer.capabilities) == (8192, True)
        assert await local.count(offer, {**CHAT, "temperature": 1}) == 12
        assert await local.count(offer, {"prompt": "x"}) == 12
        assert await local.slots() is None


async def test_who_cannot_count_says_so_without_being_asked() -> None:
    asked: list[str] = []

    async def other(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.json_response({"data": [{"id": "m"}]})

    async with at(other) as local:
        (offer,) = await local.offers()
        assert Capability.JSON not in offer.capabilities
        assert await local.count(offer, CHAT) is None
        assert await local.slots() is None
        assert asked == ["/v1/models", "/api/tags"], "the list, and whether it is an Ollama"


async def test_what_is_not_local_is_not_free() -> None:
    async def listed(_: web.Request) -> web.StreamResponse:
        known = {"locality": "local", "capabilities": ["chat"]}
        return web.json_response({"data": [{"id": "m:cloud"}, {"id": "x", "aidp": known}]})

    async with at(listed) as local:
        assert {o.model: o.price for o in await local.offers()} == {"m:cloud": None, "x": FREE}
    async with at(listed, locality=Locality.CLOUD, direct=True) as far:
        prices: set[Price | None] = {o.price for o in await far.offers()}
        assert prices == {None}


async def test_a_server_that_refuses_stream_options_goes_without_from_then_on() -> None:
    bodies: list[dict[str, Any]] = []

    async def strict(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        bodies.append(body)
        if "stream_options" in body:
            words = "Extra inputs are not permitted: stream_options"
            return web.json_response({"detail": words}, status=422)
        return await streamed(request, "text/event-stream", [event("hi", "stop"), b"data: [DONE]\n\n"])

    async with at(strict) as local:
        for _ in range(2):
            answer = await local.chat(MODEL, {**CHAT, "stream": True}, ANA)
            assert data_in(await received(answer))[0]["choices"][0]["delta"]["content"] == "hi"
    assert ["stream_options" in body for body in bodies] == [True, False, False]


async def test_another_refusal_is_no_reason_to_try_without() -> None:
    bodies: list[dict[str, Any]] = []

    async def strict(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.json())
        return web.json_response({"detail": "no such model"}, status=400)

    async with at(strict) as local:
        with pytest.raises(UpstreamRejected, match="no such model"):
            await local.chat(MODEL, {**CHAT, "stream": True}, ANA)
    assert len(bodies) == 1


async def test_only_the_event_with_nothing_but_usage_is_kept_back() -> None:
    tricky = event('{"choices": [], "usage": {}}')
    filtered = b"data: " + json.dumps({**CHUNK, "choices": [], "prompt_filter_results": [], "usage": None}).encode()
    both = event("last", "stop", usage=USAGE)
    alone = b"data: " + json.dumps({**CHUNK, "choices": [], "usage": USAGE}).encode()
    sent = tricky + b": a comment\r\n\r\n" + filtered + b"\r\n\r\n" + both + alone + b"\n\ndata: [DONE]\n\n"
    kept = sent.replace(alone + b"\n\n", b"")
    for pieces in ([sent], [sent[i : i + 11] for i in range(0, len(sent), 11)]):
        async with at(says(*pieces)) as local:
            answer = await local.chat(MODEL, {**CHAT, "stream": True}, ANA)
            assert await received(answer) == kept
            assert answer.events is not None
            assert answer.events.usage.prompt_tokens == 7
            asked = await local.chat(MODEL, {**CHAT, "stream": True, "stream_options": {"include_usage": True}}, ANA)
            assert await received(asked) == sent


async def test_the_gateway_is_asked_for_the_usage_too_and_gets_embeddings() -> None:
    seen: list[tuple[str, Any, str | None]] = []

    async def gateway(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        seen.append((request.path, body.get("stream_options"), request.headers.get("X-AIDP-Task")))
        if request.path == "/v1/embeddings":
            return web.json_response({"object": "list", "data": [], "model": "m", "usage": USAGE})
        alone = b"data: " + json.dumps({**CHUNK, "choices": [], "usage": USAGE}).encode() + b"\n\n"
        return await streamed(request, "text/event-stream", [event("hi", "stop"), alone, b"data: [DONE]\n\n"])

    caller = Caller("ana", {"X-AIDP-Task": "embed"})
    async with at(gateway, forwards_headers=True) as hub:
        answer = await hub.chat(MODEL, {**CHAT, "stream": True}, caller)
        assert len(data_in(await received(answer))) == 1
        assert answer.events is not None
        assert answer.events.usage.completion_tokens == 2
        assert (await hub.embed(MODEL, {"input": "x", "stream": True}, caller)).usage.prompt_tokens == 7
        assert hub.keeps_accounts
    assert seen == [
        ("/v1/chat/completions", {"include_usage": True}, "embed"),
        ("/v1/embeddings", None, "embed"),
    ]


@pytest.mark.parametrize("said", [{"choices": []}, {"data": None}, {"object": "list"}])
async def test_an_answer_without_embeddings_is_none(said: dict[str, Any]) -> None:
    async def server(request: web.Request) -> web.StreamResponse:
        return web.json_response(said)

    async with at(server) as local:
        with pytest.raises(UpstreamInvalid, match="without embeddings"):
            await local.embed(MODEL, {"input": "x"}, ANA)


async def test_the_gateway_speaks_anthropics_dialect_itself() -> None:
    paths: list[str] = []
    said = {"type": "message", "role": "assistant", "content": [], "usage": {"input_tokens": 3, "output_tokens": 2}}

    async def gateway(request: web.Request) -> web.StreamResponse:
        paths.append(request.path)
        body = await request.json()
        if request.path == "/v1/messages":
            return web.json_response({**said, "model": body["model"]})
        choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
        return web.json_response({"id": "1", "model": "m", "choices": [choice], "usage": USAGE})

    body = {**CHAT, "max_tokens": 9}
    async with at(gateway, forwards_headers=True) as hub, at(gateway) as local:
        passed = await hub.messages(MODEL, body, ANA)
        translated = await local.messages(MODEL, body, ANA)
    assert paths == ["/v1/messages", "/v1/chat/completions"]
    assert json.loads(passed.document or b"") == {**said, "model": "m"}
    assert passed.usage.prompt_tokens == 3
    assert json.loads(translated.document or b"")["content"][0]["text"] == "hi"


# --- servers that misbehave ---


async def test_text_that_is_no_utf_8_is_not_passed_on() -> None:
    raw = 'data: {"choices":[{"delta":{"content":"é日本"}}]}\n\n'.encode()
    for cut in range(1, len(raw)):  # a character that two packets share is no error
        async with at(says(raw[:cut], raw[cut:] + event("", "stop"))) as local:
            answer = await local.chat(MODEL, {**CHAT, "stream": True}, ANA)
            assert (await received(answer)).startswith(raw)
    async with at(says(raw, raw.replace("é".encode(), b"\xe9"), event("", "stop"))) as local:
        with pytest.raises(UpstreamInvalid, match="UTF-8"):
            await received(await local.chat(MODEL, {**CHAT, "stream": True}, ANA))

    async def document(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b'{"choices":[{"message":{"content":"\xff"}}]}', content_type="application/json")

    async with at(document) as local:
        with pytest.raises(UpstreamInvalid, match="UTF-8"):
            await local.chat(MODEL, CHAT, ANA)


async def test_an_event_of_ten_megabytes_is_refused_before_it_is_held() -> None:
    async with at(says(event("hi"), b'data: {"x": "' + b"a" * 10_000_000 + b'"}\n\n')) as local:
        with pytest.raises(UpstreamInvalid, match="more than"):
            await received(await local.chat(MODEL, {**CHAT, "stream": True}, ANA))


@pytest.mark.parametrize("kind", ["text/html", "application/json", "application/x-ndjson"])
async def test_a_stream_of_another_kind_is_none(kind: str) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await streamed(request, kind, [event("hi", "stop")])

    async with at(handler) as local:
        with pytest.raises(UpstreamInvalid, match="did not stream"):
            await local.chat(MODEL, {**CHAT, "stream": True}, ANA)


Raw = Callable[[asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw_server(answer: Raw) -> AsyncIterator[str]:
    """Give the base URL of a server that writes bytes as it likes, until its client leaves."""

    ended = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
        writer.close()
        ended.set()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        await ended.wait()  # the client has left: that is what is tested


async def _drip(writer: asyncio.StreamWriter, head: bytes, drop: bytes) -> None:
    """Send a little, again and again: never silent for as long as the limit."""
    writer.write(head)
    while not writer.is_closing():
        writer.write(drop)
        await writer.drain()
        await asyncio.sleep(0.02)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "drop", "stream"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", False),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", True),
        (HEAD % b"application/json", b"1\r\n \r\n", False),
        (HEAD % b"text/event-stream", b"1\r\na\r\n", True),
    ],
    ids=["head", "head of a stream", "document", "event"],
)
async def test_who_drips_is_left(head: bytes, drop: bytes, stream: bool) -> None:
    async with (
        raw_server(lambda writer: _drip(writer, head, drop)) as url,
        at(url, read_timeout_s=0.2) as local,
        asyncio.timeout(60),
    ):
        with pytest.raises(UpstreamTimeout):
            await received(await local.chat(MODEL, {**CHAT, "stream": stream}, ANA))


async def test_events_that_come_slowly_are_no_silence() -> None:
    async def slowly(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(8):
            await response.write(event("tick "))
            await asyncio.sleep(0.1)
        await response.write(event("", "stop"))
        return response

    async with at(slowly, read_timeout_s=0.4) as local:
        answer = await local.chat(MODEL, {**CHAT, "stream": True}, ANA)
        assert (await received(answer)).count(b"tick") == 8


# --- refusals ---

SOON = format_datetime(datetime.now(UTC) + timedelta(minutes=50), usegmt=True)  # when the tests were collected


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "7"}, 7, 7),
        ({"Retry-After": "0.5"}, 0.5, 0.5),
        ({"Retry-After": "9", "retry-after-ms": "1250"}, 1.25, 1.25),
        ({"Retry-After": SOON}, 1, 3000),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0, 0),
        ({"Retry-After": "99999999"}, 3600, 3600),
        ({"Retry-After": "-5"}, 0, 0),
    ],
)
async def test_a_server_says_when_to_come_back(headers: dict[str, str], least: float, most: float) -> None:
    refused = await refusal(429, headers)
    assert isinstance(refused, UpstreamRejected)
    assert refused.retry_after_s is not None
    assert least <= refused.retry_after_s <= most
    assert refused.details["retry_after_s"] == refused.retry_after_s


@pytest.mark.parametrize("given", ["", "soon", "nan", "inf", "1e999", "Wed, 99 Oct 2015"])
async def test_nonsense_is_no_time(given: str) -> None:
    refused = await refusal(503, {"Retry-After": given})
    assert isinstance(refused, UpstreamRejected)
    assert refused.retry_after_s is None
    assert refused.next_step == "Try again in a moment."


@pytest.mark.parametrize("status", [409, 429, 500, 503, 529])
async def test_what_is_not_the_callers_fault_may_be_tried_elsewhere(status: int) -> None:
    refused = await refusal(status, {})
    assert isinstance(refused, UpstreamRejected)
    assert (refused.status, refused.is_callers_fault) == (status, False)


@pytest.mark.parametrize("status", [408, 504])
async def test_a_time_out_of_theirs_is_a_time_out(status: int) -> None:
    assert isinstance(await refusal(status, {}), UpstreamTimeout)


async def refusal(status: int, headers: dict[str, str]) -> AidpError:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "no"}}, status=status, headers=headers)

    async with at(handler) as local:
        with pytest.raises(AidpError) as refused:
            await local.chat(MODEL, CHAT, ANA)
        return refused.value


async def test_an_answer_knows_what_it_cost(llama: str) -> None:
    async with at(llama) as local:
        answer: Answer = await local.chat(await llama_offer(local), {**CHAT, "max_tokens": 2}, ANA)
        assert answer.usage.completion_tokens == 2
        assert FREE.cost_usd(answer.usage) == 0
