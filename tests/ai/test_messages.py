"""Anthropic's dialect for models that speak OpenAI's: Anthropic's own SDK asks, a chat server answers."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter

from aidp_ext.ai.dialect import MessagesRequest
from aidp_ext.ai.models import Answer, Caller, Capability, Locality, Offer, Usage
from aidp_ext.ai.providers.anthropic import abilities
from aidp_ext.ai.providers.anthropic_chat import to_messages
from aidp_ext.ai.providers.messages import to_chat
from aidp_ext.ai.providers.messages_answers import ChatToMessages, from_chat
from aidp_ext.ai.providers.openai_compatible import OpenAICompatible
from aidp_ext.core.errors import (
    AidpError,
    InvalidRequest,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamInvalid,
    UpstreamRejected,
)
from aidp_ext.core.http import HttpClient

ANA = Caller("ana", {"X-AIDP-Task": "chat"})
OFFER = Offer("local", "stub", Locality.CLOUD, frozenset({Capability.CHAT}))  # a local one takes no addresses
ASK: list[Any] = [{"role": "user", "content": "Which bird is it?"}]
USAGE = {
    "prompt_tokens": 36,
    "completion_tokens": 9,
    "total_tokens": 45,
    "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 5},
}
WEATHER: dict[str, Any] = {
    "name": "weather",
    "description": "Tells the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def call(name: str, arguments: str, call_id: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


MESSAGES: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"role": "assistant", "content": "Pinguine sind Vögel. 🐧"}, "stop"),
    "long": ({"role": "assistant", "content": "Pen"}, "length"),
    "filtered": ({"role": "assistant", "content": "Pen"}, "content_filter"),
    "refusal": ({"role": "assistant", "content": None, "refusal": "Not this."}, "stop"),
    "empty": ({"role": "assistant", "content": ""}, "stop"),
    "tools": (
        {
            "role": "assistant",
            "reasoning_content": "Two cities. I look both up.",
            "content": "I look.",
            "tool_calls": [call("weather", '{"city": "Köln", "days": [1, 2]}', "call_1"), call("now", "{}", "call_2")],
        },
        "tool_calls",
    ),
    "tools-that-stop": (
        {"role": "assistant", "content": None, "tool_calls": [call("now", "", "call_3")]},
        "stop",
    ),
}


def completion(behaviour: str) -> dict[str, Any]:
    message, finish = MESSAGES[behaviour]
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "stub", "choices": [choice], "usage": USAGE}


def chunks(behaviour: str) -> list[dict[str, Any]]:
    message, finish = MESSAGES[behaviour]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for name in ("reasoning_content", "content", "refusal"):
        text = message.get(name) or ""
        deltas += [{name: text[i : i + 4]} for i in range(0, len(text), 4)]
    for index, one in enumerate(message.get("tool_calls", ())):
        written = one["function"]["arguments"]
        deltas.append({"tool_calls": [{"index": index, **one, "function": {**one["function"], "arguments": ""}}]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": written[i : i + 5]}}]}
            for i in range(0, len(written), 5)
        ]
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "stub"}
    said = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    said.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    return [*said, {**head, "choices": [], "usage": USAGE}]


def sse(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


_CHAT_FIELDS = {
    *("model", "messages", "max_tokens", "temperature", "top_p", "stop", "stream", "stream_options", "user"),
    *("tools", "tool_choice", "parallel_tool_calls", "response_format"),
}


class Bench:
    """A chat server that checks what it is sent, and aidp's own endpoint before it, on one port."""

    def __init__(self) -> None:
        self.behaviour = "text"
        self.bodies: list[dict[str, Any]] = []
        self.answers: list[Answer] = []
        self.ended: list[str] = []
        self.gone = asyncio.Event()
        self.http = HttpClient()
        self.url = ""

    @property
    def provider(self) -> OpenAICompatible:
        return OpenAICompatible("local", "Stub", f"{self.url}/up/v1", self.http, locality=Locality.LOCAL)

    async def upstream(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        assert set(body) <= _CHAT_FIELDS
        for message in body["messages"]:
            TypeAdapter(ChatCompletionMessageParam).validate_python(message)
        if self.behaviour == "overloaded":
            return web.json_response({"error": {"message": "slow down"}}, status=429)
        if not body.get("stream"):
            return web.json_response(completion(self.behaviour))
        assert body["stream_options"] == {"include_usage": True}
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        said = list(map(sse, chunks(self.behaviour if self.behaviour in MESSAGES else "text")))
        failing = b'data: {"error": {"message": "out of memory"}}\n\n'
        if self.behaviour == "error-first":
            await response.write(failing)
        elif self.behaviour == "error":
            await response.write(b"".join(said[:3]) + failing)
        elif self.behaviour == "cut":
            await response.write(b"".join(said[:3]))
        elif self.behaviour == "hang":
            await response.write(b"".join(said[:3]))
            try:
                await asyncio.Event().wait()
            finally:
                self.gone.set()
        else:
            await response.write(b"".join(said) + b"data: [DONE]\n\n")
        return response

    async def endpoint(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        msgspec.convert(body, MessagesRequest)
        try:
            answer = await self.provider.messages(OFFER, body, ANA)
        except AidpError as error:
            status = error.status if isinstance(error, UpstreamRejected) else 502
            said = {"type": "error", "error": {"type": "api_error", "message": error.message}}
            return web.json_response(said, status=status)
        self.answers.append(answer)
        if answer.events is None:
            return web.Response(body=answer.document, content_type="application/json")
        answer.events.on_end = self.ended.append
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            async for events in answer.events:
                await response.write(events)
        except AidpError as error:
            said = {"type": "error", "error": {"type": "api_error", "message": error.message}}
            await response.write(b"event: error\n" + sse(said))
        finally:
            await answer.events.aclose()
        return response


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    app = web.Application()
    app.router.add_post("/up/v1/chat/completions", made.upstream)
    app.router.add_post("/v1/messages", made.endpoint)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = "http://{}:{}".format(*runner.addresses[0][:2])
    yield made
    await made.http.close()
    await runner.cleanup()


@pytest.fixture
async def sdk(bench: Bench) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=bench.url, api_key="x", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("behaviour", list(MESSAGES))
async def test_anthropics_sdk_reads_the_document_and_the_stream_alike(
    bench: Bench, sdk: anthropic.AsyncAnthropic, behaviour: str
) -> None:
    bench.behaviour = behaviour
    asked: dict[str, Any] = {"model": "auto", "max_tokens": 9, "messages": ASK, "tools": [WEATHER]}
    whole = await sdk.messages.create(**asked)
    anthropic.types.Message.model_validate_json(bench.answers[-1].document or b"", strict=True)
    async with sdk.messages.stream(**asked) as stream:
        events = [event async for event in stream]
        streamed = await stream.get_final_message()
    assert streamed.to_dict() == whole.to_dict()
    assert whole.usage.to_dict() == {
        "input_tokens": 11,
        "cache_creation_input_tokens": 5,
        "cache_read_input_tokens": 20,
        "output_tokens": 9,
    }
    kinds = [event.type for event in events]
    assert (kinds[0], kinds[-1], bench.ended) == ("message_start", "message_stop", ["ok"])
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == len(whole.content)
    assert bench.answers[-1].events is not None
    assert bench.answers[-1].events.usage == Usage(36, 9, cached_tokens=20, cache_write_tokens=5)
    assert bench.answers[0].usage == bench.answers[-1].events.usage


async def test_thinking_text_and_calls_become_blocks(bench: Bench, sdk: anthropic.AsyncAnthropic) -> None:
    bench.behaviour = "tools"
    said = await sdk.messages.create(model="auto", max_tokens=9, messages=ASK, tools=[WEATHER])
    assert [block.to_dict() for block in said.content] == [
        {"type": "thinking", "thinking": "Two cities. I look both up.", "signature": ""},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Köln", "days": [1, 2]}},
        {"type": "tool_use", "id": "call_2", "name": "now", "input": {}},
    ]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("text", "end_turn"),
        ("long", "max_tokens"),
        ("filtered", "refusal"),
        ("refusal", "refusal"),
        ("tools", "tool_use"),
        ("tools-that-stop", "tool_use"),
    ],
)
def test_the_reason_of_the_end_is_translated(behaviour: str, reason: str) -> None:
    assert json.loads(from_chat(json.dumps(completion(behaviour)).encode()))["stop_reason"] == reason


async def test_a_conversation_is_sent_as_a_chat(bench: Bench, sdk: anthropic.AsyncAnthropic) -> None:
    mark = {"type": "ephemeral"}
    png = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    messages: list[Any] = [
        {"role": "user", "content": [
            {"type": "text", "text": "And here?", "cache_control": mark},
            {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
            {"type": "document", "title": "Birds",
             "source": {"type": "text", "media_type": "text/plain", "data": "Eggs."}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}},
            {"type": "search_result", "title": "T", "source": "S", "content": [{"type": "text", "text": "found"}]},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Ulm"}},
            {"type": "tool_use", "id": "toolu_2", "name": "look", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain", "is_error": True},
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "see"}, png]},
            {"type": "text", "text": "So?"},
        ]},
        {"role": "system", "content": "Be brief now."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ]  # fmt: skip
    before = copy.deepcopy(messages)
    await sdk.messages.create(
        model="auto",
        max_tokens=9,
        messages=messages,
        system=[{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}],
        tools=[WEATHER],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        stop_sequences=["END"],
        metadata={"user_id": "u-1"},
        thinking={"type": "adaptive"},
        output_config={"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        extra_body={"temperature": 0.5, "top_p": 0.9, "top_k": 4, "service_tier": "auto"},
    )
    assert messages == before
    assert set(bench.answers[-1].notes) == {
        *("cache_control_ignored", "thinking_ignored", "is_error_ignored", "tool_result_image_moved"),
        *("effort_ignored", "top_k_ignored", "service_tier_ignored"),
    }
    pixel = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    assert bench.bodies[-1] == {
        "model": "stub",
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["END"],
        "user": "u-1",
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "weather",
                    "description": "Tells the weather.",
                    "parameters": WEATHER["input_schema"],
                },
            }
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
        },
        "messages": [
            {"role": "system", "content": "One.\nTwo."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "And here?"},
                    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
                    {"type": "text", "text": "Birds"},
                    {"type": "text", "text": "Eggs."},
                    {
                        "type": "file",
                        "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
                    },
                    {"type": "text", "text": "T\nS\nfound"},
                ],
            },
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [call("weather", '{"city":"Ulm"}', "toolu_1"), call("look", "{}", "toolu_2")],
            },
            {"role": "tool", "tool_call_id": "toolu_1", "content": "rain"},
            {"role": "tool", "tool_call_id": "toolu_2", "content": "see"},
            {"role": "user", "content": [pixel, {"type": "text", "text": "So?"}]},
            {"role": "system", "content": "Be brief now."},
            {"role": "user", "content": "a\nb"},
        ],
    }


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "weather"}, {"type": "function", "function": {"name": "weather"}}),
    ],
)
def test_a_choice_of_tools_is_translated(choice: dict[str, Any], sent: Any) -> None:
    chat, notes = to_chat({"messages": ASK, "max_tokens": 9, "tools": [WEATHER], "tool_choice": choice})
    assert (chat["tool_choice"], "parallel_tool_calls" in chat, notes) == (sent, False, ())


def test_the_beginning_of_an_answer_is_noted_not_continued() -> None:
    chat, notes = to_chat({"messages": [*ASK, {"role": "assistant", "content": "It is a"}], "max_tokens": 9})
    assert chat["messages"][-1] == {"role": "assistant", "content": "It is a"}
    assert notes == ("prefill_not_continued",)


def _user(*blocks: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"mcp_servers": [{"url": "https://example.org"}]}, "mcp_servers"),
        ({"container": "c1"}, "container"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool"}}, "tool_choice"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"system": [{"type": "image", "source": {"type": "url", "url": "https://x"}}]}, "system"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        (_user({"type": "container_upload", "file_id": "f"}), "messages[0].content[0].type"),
        (_user({"type": "image", "source": {"type": "file", "file_id": "f"}}), "messages[0].content[0].source"),
        (
            _user({"type": "document", "source": {"type": "url", "url": "https://x"}}),
            "messages[0].content[0].source.type",
        ),
        (_user({"type": "tool_result", "content": "x"}), "messages[0].content[0].tool_use_id"),
        (_user("x"), "messages[0].content[0].type"),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f"}]}]},
            "messages[0].content[0].input",
        ),
    ],
)
def test_what_only_anthropic_can_do_is_refused_by_its_name(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        to_chat({"messages": ASK, "max_tokens": 9, **asked})
    assert refused.value.details["field"] == field


async def test_a_refusal_of_the_server_keeps_its_status(bench: Bench) -> None:
    bench.behaviour = "overloaded"
    for streams in (False, True):
        with pytest.raises(UpstreamRejected, match="slow down") as failed:
            await bench.provider.messages(OFFER, {"messages": ASK, "max_tokens": 9, "stream": streams}, ANA)
        assert failed.value.status == 429


async def test_an_error_before_the_first_word_can_still_be_answered_by_another(bench: Bench) -> None:
    bench.behaviour = "error-first"
    with pytest.raises(UpstreamError, match="out of memory"):
        await bench.provider.messages(OFFER, {"messages": ASK, "max_tokens": 9, "stream": True}, ANA)


@pytest.mark.parametrize(("behaviour", "words"), [("error", "out of memory"), ("cut", "broke off")])
async def test_a_failure_in_the_middle_reaches_the_sdk(
    bench: Bench, sdk: anthropic.AsyncAnthropic, behaviour: str, words: str
) -> None:
    bench.behaviour = behaviour
    received = []
    with pytest.raises(anthropic.APIStatusError, match=words):
        async for event in await sdk.messages.create(model="auto", max_tokens=9, messages=ASK, stream=True):
            received.append(event.type)
    assert received[0] == "message_start"
    assert bench.ended == [{"error": UpstreamError.code, "cut": UpstreamIncomplete.code}[behaviour]]


async def test_closing_the_stream_ends_the_work_below(bench: Bench) -> None:
    bench.behaviour = "hang"
    answer = await bench.provider.messages(OFFER, {"messages": ASK, "max_tokens": 9, "stream": True}, ANA)
    assert answer.events is not None
    answer.events.on_end = bench.ended.append
    assert b"message_start" in await anext(aiter(answer.events))
    await answer.events.aclose()
    await answer.events.aclose()
    await asyncio.wait_for(bench.gone.wait(), 10)
    assert bench.ended == ["cancelled"], "once"


async def test_a_stream_that_is_cut_from_here_is_incomplete(bench: Bench) -> None:
    bench.behaviour = "hang"
    answer = await bench.provider.messages(OFFER, {"messages": ASK, "max_tokens": 9, "stream": True}, ANA)
    assert answer.events is not None
    events = aiter(answer.events)
    await anext(events)
    answer.events.abort()
    with pytest.raises(UpstreamIncomplete):
        async for _ in events:
            pass


async def test_a_real_model_answers_anthropics_sdk(llama: str, bench: Bench) -> None:
    provider = OpenAICompatible("local", "llama.cpp", llama, bench.http, locality=Locality.LOCAL)
    offer = (await provider.offers())[0]
    body = {"max_tokens": 4, "messages": ASK, "system": "Be brief.", "temperature": 0.0}
    answer = await provider.messages(offer, body, ANA)
    said = anthropic.types.Message.model_validate_json(answer.document or b"", strict=True)
    assert (said.stop_reason, said.usage.output_tokens) == ("max_tokens", 4)
    answer = await provider.messages(offer, {**body, "stream": True}, ANA)
    assert answer.events is not None
    received = b"".join([events async for events in answer.events])
    kinds = [line[7:] for line in received.decode().splitlines() if line.startswith("event: ")]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])


@pytest.mark.parametrize("document", [b"[]", b"{}", b'{"choices": []}', b'{"choices": 3}', b"<html>", b"\xff"])
def test_what_is_no_completion_is_called_so(document: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        from_chat(document)


def test_an_error_in_a_document_is_an_error() -> None:
    with pytest.raises(UpstreamError, match="out of memory"):
        from_chat(b'{"error": {"message": "out of memory"}}')


def feed(*deltas: dict[str, Any]) -> list[dict[str, Any]]:
    translator = ChatToMessages()
    made = b"".join(
        translator.feed(json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()) for delta in deltas
    )
    made += translator.end()
    return [json.loads(line[6:]) for line in made.decode().splitlines() if line.startswith("data: ")]


def test_calls_without_numbers_or_ids_are_told_apart_as_far_as_they_can_be() -> None:
    one, two = {"id": "a", "function": {"name": "f", "arguments": "{}"}}, {"function": {"name": "g", "arguments": "{}"}}
    events = feed({"tool_calls": [one]}, {"tool_calls": [{**one, "id": "b"}]}, {"tool_calls": [{"index": 5, **two}]})
    blocks = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert [block["name"] for block in blocks] == ["f", "f", "g"]
    assert blocks[2]["id"].startswith("toolu_")


def test_a_server_that_goes_back_to_an_earlier_call_is_not_understood() -> None:
    calls = [{"index": i, "function": {"name": "f", "arguments": "{"}} for i in (0, 1, 0)]
    with pytest.raises(UpstreamInvalid, match="earlier tool call"):
        feed(*({"tool_calls": [one]} for one in calls))


def test_a_stream_without_any_event_is_incomplete() -> None:
    with pytest.raises(UpstreamIncomplete):
        ChatToMessages().end()


def test_the_reasoning_may_have_either_name() -> None:
    events = feed({"reasoning": "Hm."}, {"reasoning_content": "So."}, {"content": "Yes."})
    assert [
        event["delta"]["thinking"] for event in events if event.get("delta", {}).get("type") == "thinking_delta"
    ] == [
        "Hm.",
        "So.",
    ]


NAMES = st.sampled_from(["weather", "now"])
TEXTS = st.text(min_size=1).filter(str.strip)
VALUES = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(), lambda v: st.lists(v, max_size=2))


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw a chat as OpenAI's clients keep it: what is asked is answered, and nobody speaks twice in a row."""
    counter = itertools.count()
    turns: list[dict[str, Any]] = [{"role": "system", "content": draw(TEXTS)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        turns.append({"role": "user", "content": draw(TEXTS)})
        asked = draw(st.lists(st.tuples(NAMES, st.dictionaries(st.text(), VALUES, max_size=2)), max_size=2))
        while asked:
            calls = [call(name, msgspec.json.encode(given).decode(), f"call_{next(counter)}") for name, given in asked]
            turns.append({"role": "assistant", "content": draw(st.none() | TEXTS), "tool_calls": calls})
            turns += [{"role": "tool", "tool_call_id": one["id"], "content": draw(TEXTS)} for one in calls]
            asked = asked[:-1]
        turns.append({"role": "assistant", "content": draw(TEXTS)})
    return [*turns, {"role": "user", "content": draw(TEXTS)}]


@given(conversations())
def test_a_chat_survives_the_way_to_anthropics_dialect_and_back(turns: list[dict[str, Any]]) -> None:
    body = {"model": "auto", "messages": turns, "max_tokens": 9}
    before = copy.deepcopy(body)
    offer = Offer("anthropic", "claude-opus-5-5", Locality.CLOUD, frozenset())
    sent, notes = to_messages(body, offer, abilities(offer.model, {}))
    back, more = to_chat(sent)
    assert (body, notes, more) == (before, (), ())
    assert back["messages"] == turns


def test_a_request_says_what_it_needs() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 400_000}}
    request = msgspec.convert(
        {
            "model": "auto",
            "max_tokens": 9,
            "system": "x" * 400,
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "y" * 400}]},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": "z" * 400}}],
                },
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [picture]}]},
            ],
            "tools": [WEATHER],
            "output_config": {"format": {"type": "json_schema", "schema": {}}},
            "unknown": 1,
        },
        MessagesRequest,
    )
    assert request.needs() == {Capability.CHAT, Capability.TOOLS, Capability.VISION, Capability.JSON}
    assert 1305 <= request.tokens() <= 1325, "three hundred for the text, a thousand for the picture, and the tool"
    older = msgspec.convert({"max_tokens": 1, "messages": ASK, "output_format": {"type": "x"}}, MessagesRequest)
    assert Capability.JSON in older.needs()
    plain = msgspec.convert({"max_tokens": 1, "messages": ASK}, MessagesRequest)
    assert (plain.needs(), plain.model) == ({Capability.CHAT}, "auto")
    assert 1 <= plain.tokens() <= 10


def test_a_text_document_needs_no_eyes_and_a_pdf_does() -> None:
    def needs(source: dict[str, Any]) -> frozenset[Capability]:
        turn = {"role": "user", "content": [{"type": "document", "source": source}]}
        return msgspec.convert({"max_tokens": 1, "messages": [turn]}, MessagesRequest).needs()

    assert Capability.VISION not in needs({"type": "text", "media_type": "text/plain", "data": "x"})
    assert Capability.VISION in needs({"type": "base64", "media_type": "application/pdf", "data": "x"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": []},
        {"max_tokens": 0},
        {"max_tokens": None},
        {"temperature": 1.1},
        {"stream": "yes"},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "user", "content": None}]},
        {"stop_sequences": "END"},
        {"model": ""},
    ],
)
def test_a_request_that_does_not_fit_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"max_tokens": 1, "messages": ASK, **wrong}, MessagesRequest)
