"""Anthropic's native adapter, against a double that is as strict as the real API."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from aidp_ext.ai.models import Answer, Caller, Capability, Locality, Offer, Usage
from aidp_ext.ai.providers.answers import EventStream
from aidp_ext.ai.providers.anthropic import Anthropic, abilities, version_of
from aidp_ext.ai.providers.anthropic_answers import ToChunks, to_completion
from aidp_ext.ai.providers.anthropic_chat import DEFAULT_MAX_TOKENS
from aidp_ext.ai.providers.anthropic_dialect import Passage
from aidp_ext.core.errors import (
    AidpError,
    InvalidRequest,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamInvalid,
    UpstreamRejected,
)
from aidp_ext.core.http import HttpClient
from tests.support import anthropic_api
from tests.support.anthropic_api import CONTENTS, KEY, MIDDLE, NEW, OLD, STATUSES, stream

ANA = Caller("ana", {"X-AIDP-Task": "chat", "X-AIDP-Privacy": "cloud"})
ASK = [{"role": "user", "content": "Which bird is it?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SPENT = Usage(prompt_tokens=36, completion_tokens=9, cached_tokens=20, cache_write_tokens=5, reasoning_tokens=3)


@pytest.fixture
async def api() -> AsyncIterator[anthropic_api.Anthropic]:
    async with anthropic_api.anthropic_api() as running:
        yield running


@pytest.fixture
async def claude(api: anthropic_api.Anthropic) -> AsyncIterator[Anthropic]:
    http = HttpClient()
    yield Anthropic("anthropic", "Anthropic", api.url, http, locality=Locality.CLOUD, api_key=KEY, direct=True)
    await http.close()


@pytest.fixture
async def offers(claude: Anthropic) -> dict[str, Offer]:
    return {offer.model: offer for offer in await claude.offers()}


async def read(answer: Answer) -> bytes:
    assert answer.events is not None
    return b"".join([events async for events in answer.events])


def chunks(received: bytes) -> list[ChatCompletionChunk]:
    assert received.endswith(b"data: [DONE]\n\n")
    lines = [line[6:] for line in received.decode().split("\n\n") if line]
    return [ChatCompletionChunk.model_validate_json(line, strict=True) for line in lines if line != "[DONE]"]


def accumulated(received: bytes) -> ChatCompletion:
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks(received):
        state.handle_chunk(chunk)
    return state.current_completion_snapshot


async def test_every_page_of_the_list_becomes_offers(offers: dict[str, Offer]) -> None:
    assert list(offers) == [NEW, MIDDLE, OLD]
    chat = {Capability.CHAT, Capability.TOOLS}
    assert offers[NEW].capabilities == chat | {Capability.VISION, Capability.JSON}
    assert (offers[NEW].label, offers[NEW].context_length, offers[NEW].max_output_tokens) == (
        "Claude Opus 5.5",
        1_000_000,
        128_000,
    )
    assert offers[MIDDLE].capabilities == chat | {Capability.VISION, Capability.JSON}, "by its version: nothing is told"
    assert (offers[MIDDLE].context_length, offers[MIDDLE].max_output_tokens) == (200_000, 64_000)
    assert offers[OLD].capabilities == chat, "as the list says"
    assert {offer.locality for offer in offers.values()} == {Locality.CLOUD}


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
async def test_the_base_url_may_end_in_v1(api: anthropic_api.Anthropic, path: str) -> None:
    http = HttpClient()
    try:
        claude = Anthropic("anthropic", "Anthropic", api.url + path, http, locality=Locality.CLOUD, api_key=KEY)
        assert len(await claude.offers()) == 3
    finally:
        await http.close()


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("claude-3-7-sonnet-latest", (3, 7)),
        ("claude-3-haiku-20240307", (3, 0)),
        ("claude-opus-4-20250514", (4, 0)),
        ("claude-opus-4-1-20250805", (4, 1)),
        ("claude-sonnet-5", (5, 0)),
        ("claude-2.1", (2, 1)),
        ("claude-mythos-preview", None),
        ("house-model", None),
    ],
)
def test_the_version_is_read_from_the_name(model: str, version: tuple[int, int] | None) -> None:
    assert version_of(model) == version


def test_what_a_model_takes_follows_from_its_version_where_the_list_is_silent() -> None:
    assert abilities("claude-opus-4-5", {}).efforts == {"low", "medium", "high"}
    assert abilities("claude-opus-4-6", {}).thinking == {"adaptive"}
    assert abilities("claude-3-5-haiku-latest", {}).thinking == set()
    assert not abilities("claude-opus-4-7", {}).may_sample
    assert not abilities("claude-mythos-preview", {}).may_sample
    house = abilities("house-model", {})
    assert (house.may_sample, house.may_sample_twice, house.has_structured_outputs) == (True, True, False)


async def test_a_chat_is_answered_in_openais_dialect(
    claude: Anthropic, api: anthropic_api.Anthropic, offers: dict[str, Offer]
) -> None:
    answer = await claude.chat(offers[NEW], {"model": "auto", "messages": ASK}, ANA)
    assert answer.document is not None
    said = ChatCompletion.model_validate_json(answer.document, strict=True)
    assert said.choices[0].message.content == CONTENTS["text"][0][0]["text"]
    assert (said.choices[0].finish_reason, said.model, said.object) == ("stop", NEW, "chat.completion")
    assert said.usage is not None and said.usage.prompt_tokens_details is not None
    assert (said.usage.prompt_tokens, said.usage.completion_tokens, said.usage.total_tokens) == (36, 9, 45)
    assert said.usage.prompt_tokens_details.cached_tokens == 20
    assert (answer.usage, answer.notes) == (SPENT, ())
    assert api.sent == {
        "model": NEW,
        "max_tokens": DEFAULT_MAX_TOKENS,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Which bird is it?"}]}],
    }
    assert not [name for name in api.headers if name.startswith("x-aidp")], "aidp's own headers are nobody's business"


@pytest.mark.parametrize("behaviour", list(CONTENTS))
async def test_the_stream_says_what_the_document_says(
    claude: Anthropic, api: anthropic_api.Anthropic, offers: dict[str, Offer], behaviour: str
) -> None:
    api.behaviour = behaviour
    body = {"messages": ASK, "tools": [WEATHER]}
    whole = (await claude.chat(offers[NEW], body, ANA)).document
    answer = await claude.chat(offers[NEW], {**body, "stream": True, "stream_options": {"include_usage": True}}, ANA)
    received = await read(answer)
    streamed = accumulated(received).model_dump(exclude_none=True)
    expected = ChatCompletion.model_validate_json(whole or b"").model_dump(exclude_none=True)
    for either in (streamed, expected):
        del either["id"], either["created"]
        either["choices"][0]["message"].pop("parsed", None)
        for call in either["choices"][0]["message"].get("tool_calls", ()):
            call.pop("index", None)
            call["function"].pop("parsed_arguments", None)
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    streamed["choices"][0]["message"].setdefault("content", "")
    assert streamed == expected
    assert answer.events is not None and answer.events.usage == SPENT
    first = chunks(received)[0].choices[0].delta
    assert first.role == "assistant"


async def test_thinking_tool_calls_and_the_end_are_told_apart(
    claude: Anthropic, api: anthropic_api.Anthropic, offers: dict[str, Offer]
) -> None:
    api.behaviour = "tools"
    answer = await claude.chat(offers[NEW], {"messages": ASK, "tools": [WEATHER]}, ANA)
    choice = json.loads(answer.document or b"")["choices"][0]
    assert choice["message"]["reasoning_content"] == "Two cities. I look both up."
    assert choice["message"]["content"] == "I look."
    calls = [
        (call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in choice["message"]["tool_calls"]
    ]
    assert [(i, name, json.loads(arguments)) for i, name, arguments in calls] == [
        ("toolu_1", "weather", {"city": "Köln", "days": [1, 2]}),
        ("toolu_2", "now", {}),
    ]
    assert choice["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("behaviour", "finish"), [("long", "length"), ("stopped", "stop"), ("refusal", "content_filter")]
)
async def test_the_reason_of_the_end_is_translated(
    claude: Anthropic, api: anthropic_api.Anthropic, offers: dict[str, Offer], behaviour: str, finish: str
) -> None:
    api.behaviour = behaviour
    answer = await claude.chat(offers[NEW], {"messages": ASK}, ANA)
    choice = json.loads(answer.document or b"")["choices"][0]
    assert choice["finish_reason"] == finish
    assert choice["message"]["refusal"] == ("Not this." if behaviour == "refusal" else None)


async def test_the_usage_is_streamed_only_to_who_asked_but_always_known(
    claude: Anthropic, offers: dict[str, Offer]
) -> None:
    answer = await claude.chat(offers[NEW], {"messages": ASK, "stream": True}, ANA)
    assert not [chunk for chunk in chunks(await read(answer)) if chunk.usage]
    assert answer.events is not None and answer.events.usage == SPENT


async def test_a_conversation_with_tools_is_sent_as_anthropic_wants_it(
    claude: Anthropic, api: anthropic_api.Anthropic, offers: dict[str, Offer]
) -> None:
    pixel = "data:image/png;base64,iVBORw0KGgo="
    mark = {"type": "ephemeral"}
    body = {
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Be brief.", "cache_control": mark}]},
            {"role": "developer", "content": "Answer in German."},
            {"role": "user", "content": [
                {"type": "text", "text": "And here?"},
                {"type": "image_url", "image_url": {"url": pixel, "detail": "high"}},
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"}},
            ]},
            {"role": "user", "content": "Well?"},
            {"role": "assistant", "content": "", "reasoning_content": "Hm.", "tool_calls": [
                {"id": "call.1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Ulm"}'}},
                {"id": "call.2", "type": "function", "function": {"name": "now", "arguments": ""}},
                {"id": "call.3", "type": "function", "function": {"name": "now", "arguments": "{broken"}},
            ]},
            {"role": "tool", "tool_call_id": "call.1", "content": [{"type": "text", "text": "rain"}]},
            {"role": "tool", "tool_call_id": "call.2", "content": "noon", "cache_control": mark},
            {"role": "tool", "tool_call_id": "call.3", "content": ""},
            {"role": "user", "name": "Ana", "content": "So?"},
        ],
        "tools": [{**WEATHER, "cache_control": mark}],
    }  # fmt: skip
    before = copy.deepcopy(body)
    answer = await claude.chat(offers[NEW], body, ANA)
    assert body == before, "the caller's request is not ours to change"
    assert set(answer.notes) == {
        "detail_ignored",
        "reasoning_content_ignored",
        "name_ignored",
        "tool_arguments_wrapped",
    }
    sent = api.sent
    assert sent["system"] == [
        {"type": "text", "text": "Be brief.", "cache_control": mark},
        {"type": "text", "text": "Answer in German."},
    ]
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]
    assert [block["type"] for block in sent["messages"][0]["content"]] == ["text", "image", "image", "document", "text"]
    assert sent["messages"][0]["content"][1]["source"] == {
        "type": "base64",
        "media_type": "image/png",
        "data": "iVBORw0KGgo=",
    }
    assert sent["messages"][0]["content"][3]["title"] == "a.pdf"
    assert [block["input"] for block in sent["messages"][1]["content"]] == [
        {"city": "Ulm"},
        {},
        {"arguments": "{broken"},
    ]
    assert sent["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "rain"}]},
        {
            "type": "tool_result",
            "tool_use_id": "call_2",
            "content": [{"type": "text", "text": "noon"}],
            "cache_control": mark,
        },
        {"type": "tool_result", "tool_use_id": "call_3"},
        {"type": "text", "text": "So?"},
    ]
    assert sent["tools"][0]["cache_control"] == mark


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 9, "description": "Its name."},
        "size": {"type": ["number", "null"], "minimum": 0},
        "kin": {"type": "array", "items": {"$ref": "#/$defs/bird"}, "minItems": 1},
        "egg": {"oneOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "egg"}]},
    },
    "required": ["name"],
    "$defs": {"bird": {"type": "object", "properties": {"minimum": {"type": "integer"}}}},
}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "bird", "schema": SCHEMA, "strict": True}}


@pytest.mark.parametrize(
    ("model", "asked", "sent", "notes"),
    [
        (NEW, {"max_tokens": 7}, {"max_tokens": 7}, ()),
        (NEW, {"max_completion_tokens": 8}, {"max_tokens": 8}, ()),
        (OLD, {}, {"max_tokens": 4096}, ()),
        (OLD, {"max_tokens": 9999}, {"max_tokens": 4096}, ("max_tokens_capped",)),
        (MIDDLE, {"temperature": 0.3}, {"temperature": 0.3}, ()),
        (MIDDLE, {"temperature": 1.7}, {"temperature": None}, ("temperature_clamped",)),
        (MIDDLE, {"top_p": 0.5}, {"top_p": 0.5}, ()),
        (MIDDLE, {"temperature": 0.3, "top_p": 0.5}, {"temperature": 0.3, "top_p": None}, ("top_p_ignored",)),
        (OLD, {"temperature": 0.3, "top_p": 0.5, "top_k": 3}, {"temperature": 0.3, "top_p": 0.5, "top_k": 3}, ()),
        (NEW, {"temperature": 1.0, "top_p": 1}, {"temperature": None, "top_p": None}, ()),
        (
            NEW,
            {"temperature": 0, "top_p": 0.5, "top_k": 3},
            {},
            ("temperature_ignored", "top_p_ignored", "top_k_ignored"),
        ),
        (NEW, {"stop": "END"}, {"stop_sequences": ["END"]}, ()),
        (NEW, {"stop": ["\n\n", "END"]}, {"stop_sequences": ["END"]}, ("whitespace_stop_ignored",)),
        (NEW, {"user": "u-1"}, {"metadata": {"user_id": "u-1"}}, ()),
        (NEW, {"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral"}}, ()),
        (NEW, {"tools": [WEATHER], "tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}, ()),
        (
            NEW,
            {"tools": [WEATHER], "tool_choice": "none", "parallel_tool_calls": False},
            {"tool_choice": {"type": "none"}},
            (),
        ),
        (NEW, {"tools": [WEATHER], "tool_choice": "required"}, {"tool_choice": {"type": "any"}}, ()),
        (
            NEW,
            {
                "tools": [WEATHER],
                "tool_choice": {"type": "function", "function": {"name": "weather"}},
                "parallel_tool_calls": False,
            },
            {"tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}},
            (),
        ),
        (
            NEW,
            {"tools": [WEATHER], "parallel_tool_calls": False},
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            (),
        ),
        (NEW, {"tool_choice": "none"}, {"tool_choice": None}, ()),
        (NEW, {"reasoning_effort": "low"}, {"output_config": {"effort": "low"}, "thinking": {"type": "adaptive"}}, ()),
        (NEW, {"reasoning_effort": "minimal"}, {"output_config": {"effort": "low"}}, ()),
        (NEW, {"reasoning_effort": "xhigh"}, {"output_config": {"effort": "high"}}, ("reasoning_effort_lowered",)),
        (NEW, {"reasoning_effort": "none"}, {"thinking": None}, ("reasoning_effort_ignored",)),
        (
            NEW,
            {"reasoning_effort": "high", "tools": [WEATHER], "tool_choice": "required"},
            {"output_config": {"effort": "high"}, "thinking": None},
            (),
        ),
        (
            MIDDLE,
            {"reasoning_effort": "medium", "temperature": 0.3, "top_p": 0.97},
            {
                "thinking": {"type": "enabled", "budget_tokens": 8192},
                "max_tokens": 8192 + DEFAULT_MAX_TOKENS,
                "top_p": 0.97,
            },
            ("temperature_ignored",),
        ),
        (
            MIDDLE,
            {"reasoning_effort": "high", "max_tokens": 4000},
            {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 4000},
            (),
        ),
        (MIDDLE, {"reasoning_effort": "high", "max_tokens": 900}, {"thinking": None}, ("reasoning_effort_ignored",)),
        (
            MIDDLE,
            {"reasoning_effort": "high", "tools": [WEATHER], "tool_choice": "required", "temperature": 0.3},
            {"thinking": None, "temperature": 0.3},
            ("reasoning_effort_ignored",),
        ),
        (MIDDLE, {"reasoning_effort": "low", "top_p": 0.5}, {"top_p": None}, ("top_p_ignored",)),
        (MIDDLE, {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, ()),
        (OLD, {"reasoning_effort": "high"}, {"thinking": None}, ("reasoning_effort_ignored",)),
        (
            MIDDLE,
            {"thinking": {"type": "enabled", "budget_tokens": 1024}, "reasoning_effort": "high"},
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            (),
        ),
        (NEW, {"response_format": {"type": "text"}}, {"output_config": None}, ()),
        (
            NEW,
            {"seed": 0, "logit_bias": {"5": 1}, "logprobs": True, "top_logprobs": 2, "presence_penalty": 0.5},
            {},
            (
                "seed_ignored",
                "logit_bias_ignored",
                "logprobs_ignored",
                "top_logprobs_ignored",
                "presence_penalty_ignored",
            ),
        ),
        (
            NEW,
            {"logit_bias": {}, "logprobs": False, "presence_penalty": 0, "n": 1, "store": False, "seed": None},
            {},
            (),
        ),
        (NEW, {"frobnicate": 1}, {}, ("frobnicate_ignored",)),
        (NEW, {"a\r\nSet-Cookie: b": 1, "ü" * 99: 1}, {}, ("a??Set-Cookie??b_ignored", "?" * 64 + "_ignored")),
    ],
)
async def test_parameters_are_honoured_or_noted(
    claude: Anthropic,
    api: anthropic_api.Anthropic,
    offers: dict[str, Offer],
    model: str,
    asked: dict[str, Any],
    sent: dict[str, Any],
    notes: tuple[str, ...],
) -> None:
    body = {"messages": ASK, **asked}
    before = copy.deepcopy(body)
    answer = await claude.chat(offers[model], body, ANA)
    assert {name: api.sent.get(name) for name in sent} == sent
    assert answer.notes == notes
    assert body == before


async def test_a_schema_is_sent_in_the_words_that_the_api_takes(
    claude: Anthropic, api: anthropic_api.Anthropic, offers: dict[str, Offer]
) -> None:
    function = {"name": "weather", "parameters": SCHEMA, "strict": True}
    body = {"messages": ASK, "response_format": JSON_SCHEMA, "tools": [{"type": "function", "function": function}]}
    before = copy.deepcopy(body)
    answer = await claude.chat(offers[NEW], body, ANA)
    assert answer.notes == ("schema_simplified",)
    assert body == before
    schema = api.sent["output_config"]["format"]["schema"]
    assert schema["properties"]["name"] == {"type": "string", "description": 'Its name.\nAlso: {"maxLength":9}'}
    assert schema["properties"]["egg"] == {
        "anyOf": [{"type": "string", "format": "date"}, {"type": "string", "description": 'Also: {"format":"egg"}'}]
    }
    assert schema["$defs"]["bird"]["additionalProperties"] is False
    assert schema["required"] == ["name"]
    assert api.sent["tools"][0]["input_schema"] == schema


@pytest.mark.parametrize(
    ("model", "wish", "words"),
    [(NEW, {"type": "json_object"}, "one JSON object"), (OLD, JSON_SCHEMA, '"maxLength":9')],
)
async def test_json_is_asked_for_in_words_where_the_api_cannot_enforce_it(
    claude: Anthropic, api: anthropic_api.Anthropic, offers: dict[str, Offer], model: str, wish: Any, words: str
) -> None:
    answer = await claude.chat(offers[model], {"messages": ASK, "response_format": wish}, ANA)
    assert answer.notes == ("response_format_by_prompt",)
    assert words in api.sent["system"][0]["text"]


async def test_a_budget_goes_with_no_tool_results(
    claude: Anthropic, api: anthropic_api.Anthropic, offers: dict[str, Offer]
) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        *ASK,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    ]
    body = {"messages": messages, "tools": [WEATHER], "reasoning_effort": "high"}
    assert (await claude.chat(offers[MIDDLE], body, ANA)).notes == ("reasoning_effort_ignored",)
    assert (await claude.chat(offers[NEW], body, ANA)).notes == (), "adaptive thinking does not want its own back"


async def test_a_later_system_message_moves_to_the_beginning(
    claude: Anthropic, api: anthropic_api.Anthropic, offers: dict[str, Offer]
) -> None:
    messages = [*ASK, {"role": "system", "content": "Be brief."}, {"role": "user", "content": "  "}]
    answer = await claude.chat(offers[NEW], {"messages": messages}, ANA)
    assert answer.notes == ("system_moved",)
    assert api.sent["system"] == [{"type": "text", "text": "Be brief."}]
    assert len(api.sent["messages"]) == 1


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"n": 2}, "n"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "ash"}}, "modalities"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": 3}}]}, "tools.function.parameters"),
        ({"reasoning_effort": "very"}, "reasoning_effort"),
        ({"thinking": "yes"}, "thinking"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc"}}]}]},
            "messages[0].content[0]",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].image_url"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "x"}]}]}, "messages[0].tool_calls[0].function"),
        ({"messages": [{"role": "assistant", "audio": {"id": "x"}}]}, "messages[0].audio"),
    ],
)
async def test_what_would_change_the_answer_is_refused_before_anything_is_sent(
    claude: Anthropic, api: anthropic_api.Anthropic, offers: dict[str, Offer], asked: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await claude.chat(offers[NEW], {"messages": ASK, **asked}, ANA)
    assert refused.value.details["field"] == field
    assert not api.requests


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("dialect", ["chat", "messages"])
@pytest.mark.parametrize("behaviour", list(STATUSES))
async def test_an_error_status_becomes_our_error(
    claude: Anthropic,
    api: anthropic_api.Anthropic,
    offers: dict[str, Offer],
    behaviour: str,
    dialect: str,
    streams: bool,
) -> None:
    api.behaviour = behaviour
    body = {"messages": ASK, "max_tokens": 9, "stream": streams}
    with pytest.raises(UpstreamRejected) as failed:
        await getattr(claude, dialect)(offers[NEW], body, ANA)
    expected = STATUSES[behaviour]
    assert failed.value.status == (402 if behaviour == "poor" else expected.status)
    assert failed.value.is_callers_fault is (behaviour in ("invalid", "too-large")), "else another model may answer"
    if behaviour != "unauthorized":
        assert expected.body["error"]["message"] in failed.value.message  # type: ignore[index]
    assert "SECRET" not in failed.value.message
    if behaviour == "rate-limited":
        assert failed.value.next_step == "Try again in 7 s."


async def test_an_error_in_the_middle_comes_after_what_was_said(
    claude: Anthropic, api: anthropic_api.Anthropic, offers: dict[str, Offer]
) -> None:
    api.behaviour = "error"
    answer = await claude.chat(offers[NEW], {"messages": ASK, "stream": True}, ANA)
    assert answer.events is not None
    ended: list[str] = []
    answer.events.on_end = ended.append
    received = b""
    with pytest.raises(UpstreamRejected, match="Overloaded") as failed:
        async for events in answer.events:
            received += events
    assert (failed.value.status, failed.value.next_step) == (529, "Try again in a moment.")
    assert b'"content":"Pingu"' in received
    assert ended == [failed.value.code]


async def test_an_error_before_the_first_word_can_still_be_answered_by_another(
    claude: Anthropic, api: anthropic_api.Anthropic, offers: dict[str, Offer]
) -> None:
    api.behaviour = "error-first"
    with pytest.raises(UpstreamRejected, match="Overloaded"):
        await claude.chat(offers[NEW], {"messages": ASK, "stream": True}, ANA)


@pytest.mark.parametrize("behaviour", ["cut", "half"])
@pytest.mark.parametrize("dialect", ["chat", "messages"])
async def test_a_stream_without_its_end_is_incomplete(
    claude: Anthropic, api: anthropic_api.Anthropic, offers: dict[str, Offer], behaviour: str, dialect: str
) -> None:
    api.behaviour = behaviour
    body = {"messages": ASK, "max_tokens": 9, "stream": True}
    answer: Answer = await getattr(claude, dialect)(offers[NEW], body, ANA)
    with pytest.raises(UpstreamIncomplete):
        await read(answer)


@pytest.mark.parametrize("behaviour", list(CONTENTS))
async def test_messages_pass_byte_by_byte(
    claude: Anthropic, api: anthropic_api.Anthropic, offers: dict[str, Offer], behaviour: str
) -> None:
    api.behaviour = behaviour
    body = {"model": "auto", "max_tokens": 9, "messages": ASK, "service_tier": "auto", "stream": False}
    caller = Caller("ana", {"anthropic-beta": "files-api-2025-04-14"})
    answer = await claude.messages(offers[NEW], body, caller)
    assert json.loads(answer.document or b"") == anthropic_api.message(behaviour, NEW)
    assert answer.usage == SPENT
    assert api.sent == {**body, "model": NEW}
    assert api.headers["anthropic-beta"] == "files-api-2025-04-14"
    answer = await claude.messages(offers[NEW], {**body, "stream": True}, ANA)
    assert await read(answer) == stream(behaviour)
    assert answer.events is not None and answer.events.usage == SPENT
    assert "anthropic-beta" not in api.headers


async def test_an_error_in_the_middle_of_passing_messages_is_ours_to_tell(
    claude: Anthropic, api: anthropic_api.Anthropic, offers: dict[str, Offer]
) -> None:
    api.behaviour = "error"
    answer = await claude.messages(offers[NEW], {"messages": ASK, "max_tokens": 9, "stream": True}, ANA)
    assert answer.events is not None
    received = b""
    with pytest.raises(UpstreamRejected, match="Overloaded"):
        async for events in answer.events:
            received += events
    assert stream("text").startswith(received) and received.endswith(b"\n\n")
    assert b"Pingu" in received


async def test_tokens_are_counted_by_the_model_itself(
    claude: Anthropic, api: anthropic_api.Anthropic, offers: dict[str, Offer]
) -> None:
    body = {"messages": ASK, "tools": [WEATHER], "temperature": 0.2, "stream": True, "stop": "x"}
    assert await claude.count(offers[MIDDLE], body) == 42
    assert set(api.sent) == {"model", "messages", "tools"}
    api.behaviour = "overloaded"
    assert await claude.count(offers[MIDDLE], body) is None


async def test_there_are_no_completions(claude: Anthropic, offers: dict[str, Offer]) -> None:
    with pytest.raises(UpstreamInvalid, match="only chats"):
        await claude.complete(offers[NEW], {"prompt": "x"}, ANA)


@pytest.mark.parametrize(
    "document", [b"[]", b'{"type": "message"}', b'{"content": 3}', b"<html>", b"\xff", b"[" * 9999]
)
def test_what_is_no_answer_is_called_so(document: bytes) -> None:
    with pytest.raises(UpstreamError):
        to_completion(document, "Anthropic")


class Pieces:
    """What a connection gives, in these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.left = list(pieces)
        self.content = self
        self.url = "http://127.0.0.1/"

    async def readany(self) -> bytes:
        return self.left.pop(0) if self.left else b""

    def close(self) -> None:
        self.left.clear()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(places), len(data)]
    return [piece for a, b in itertools.pairwise(edges) if (piece := data[a:b])]


def run(pieces: list[bytes], *, is_whole: bool) -> tuple[bytes, str, Usage]:
    """Return what comes of a stream in these pieces, how it ended and what it cost."""

    async def reading() -> tuple[bytes, str, Usage]:
        body = {"stream_options": {"include_usage": True}}
        translator = Passage("Anthropic") if is_whole else ToChunks("Anthropic", NEW, body)
        response: Any = Pieces(pieces)
        events = EventStream(response, "Anthropic", AsyncExitStack(), translator, is_whole=is_whole)
        ended: list[str] = []
        events.on_end = ended.append
        received = b""
        try:
            async for made in events:
                assert made.endswith((b"\n\n", b"\r\n\r\n")), "whole events only"
                received += made
        except AidpError:
            pass
        return received, ended[0], events.usage

    return asyncio.run(reading())


def plain(received: bytes) -> list[Any]:
    """Return the events without what is different in each run."""
    found = [json.loads(line[6:]) for line in received.decode().split("\n\n") if line.startswith("data: {")]
    return [{key: value for key, value in event.items() if key not in ("id", "created")} for event in found]


BROKEN = {
    "whole": stream("tools"),
    "crlf": stream("tools").replace(b"\n", b"\r\n"),
    "no-last-line": stream("tools").rstrip(),
    "cut": stream("tools")[:1500],
    "error": stream("text").split(b"event: content_block_stop")[0] + anthropic_api.sse(anthropic_api.MIDWAY),
}
OUTCOMES = {"cut": UpstreamIncomplete.code, "error": UpstreamRejected.code}


@pytest.mark.parametrize("kind", list(BROKEN))
@given(data=st.data())
def test_a_stream_means_the_same_however_it_is_cut(kind: str, data: st.DataObject) -> None:
    wire = BROKEN[kind]
    places = data.draw(st.lists(st.integers(0, len(wire)), max_size=12))
    expected, outcome, usage = run([wire], is_whole=False)
    assert outcome == OUTCOMES.get(kind, "ok")
    received, *rest = run(cut(wire, places), is_whole=False)
    assert (plain(received), rest) == (plain(expected), [outcome, usage])
    passed, *rest = run(cut(wire, places), is_whole=True)
    assert rest == [outcome, usage]
    if outcome == "ok":
        assert passed.rstrip() == wire.rstrip()
    else:
        assert wire.startswith(passed)
        assert passed == run([wire], is_whole=True)[0]


def test_the_end_may_be_told_in_several_events() -> None:
    more = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 12}}
    wire = stream("text").replace(b"event: message_stop", anthropic_api.sse(more) + b"event: message_stop")
    received, outcome, usage = run([wire], is_whole=False)
    finished = [event for event in plain(received) if event["choices"] and event["choices"][0]["finish_reason"]]
    assert (len(finished), outcome) == (1, "ok")
    assert (usage.prompt_tokens, usage.completion_tokens) == (36, 12), "the last total counts, the others stay"


def test_events_that_are_yet_to_be_invented_are_left_out() -> None:
    new = b'event: news\ndata: {"type": "news", "delta": {"type": "news_delta", "text": "!"}}\n\n'
    wire = stream("text")
    with_news = wire.replace(b"event: content_block_stop", new + b"event: content_block_stop")
    assert plain(run([with_news], is_whole=False)[0]) == plain(run([wire], is_whole=False)[0])
    assert run([with_news], is_whole=True)[0] == with_news
