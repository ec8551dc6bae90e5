"""Gemini in its own dialect, against a double that is as strict as the real API; OpenAI's SDK reads the answers."""

from __future__ import annotations

import base64
import dataclasses
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from aidp_ext.ai.models import Answer, Capability, Locality, Offer
from aidp_ext.ai.providers.gemini import Gemini
from aidp_ext.core.errors import (
    InvalidRequest,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamInvalid,
    UpstreamRejected,
)
from aidp_ext.core.http import HttpClient
from tests.support.gemini_api import KEY, GeminiApi, refusal
from tests.support.wire import ANA, chat_of, embeddings_of, received, serving, streamed_chat

PIXEL = base64.b64encode(b"\x89PNG not really").decode()
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place",
        "parameters": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {
                "place": {"type": "string"},
                "unit": {"const": "celsius"},
                "const": {"allOf": [{"$ref": "#/$defs/day"}], "description": "a property of that very name"},
            },
            "$defs": {"day": {"type": "string", "enum": ["today"]}},
        },
    },
}
COUNTS = {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 6, "cachedContentTokenCount": 3}


def said(*parts: Any, finish: str | None = "STOP", index: int = 0, **more: Any) -> dict[str, Any]:
    """Return an answer, or a part of one; parts are texts or whole parts."""
    made = [{"text": part} if isinstance(part, str) else part for part in parts]
    candidate = {"content": {"role": "model", "parts": made}, "index": index}
    return {"candidates": [{**candidate, "finishReason": finish} if finish else candidate], **more}


@pytest.fixture
async def api() -> GeminiApi:
    return GeminiApi()


@pytest.fixture
async def gemini(api: GeminiApi) -> AsyncIterator[Gemini]:
    http = HttpClient()
    async with serving(api.handle) as url:
        yield Gemini("gemini", "Gemini", f"{url}/v1beta", http, locality=Locality.CLOUD, direct=True, api_key=KEY)
        await http.close()


def offer(model: str = "gemini-2.5-flash") -> Offer:
    return Offer("gemini", model, Locality.CLOUD, frozenset({Capability.CHAT}))


async def ask(gemini: Gemini, *messages: Any, model: str = "gemini-2.5-flash", **more: Any) -> Answer:
    given = [{"role": "user", "content": m} if isinstance(m, str) else m for m in messages or ("Which bird?",)]
    return await gemini.chat(offer(model), {"model": "x", "messages": given, **more}, ANA)


async def test_all_pages_of_the_list_are_read_and_only_text_is_offered(gemini: Gemini) -> None:
    offers = {o.model: o for o in await gemini.offers()}
    assert set(offers) == {
        *("gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.0-flash", "gemini-3-pro-preview", "gemma-3-27b-it"),
        *("gemini-embedding-001", "tunedModels/birds-1"),
    }
    flash = offers["gemini-2.5-flash"]
    assert (flash.context_length, flash.max_output_tokens, flash.label) == (1048576, 65536, "Gemini 2.5 Flash")
    assert flash.capabilities == {Capability.CHAT, Capability.TOOLS, Capability.VISION, Capability.JSON}
    assert offers["gemma-3-27b-it"].capabilities == {Capability.CHAT}
    assert offers["gemini-embedding-001"].capabilities == {Capability.EMBED}
    assert {o.locality for o in offers.values()} == {Locality.CLOUD}


async def test_a_chat_and_what_it_cost(gemini: Gemini, api: GeminiApi) -> None:
    api.answers = [said("Pen", "guins", usageMetadata=COUNTS)]
    answer = await ask(gemini, {"role": "system", "content": "Be brief."}, "Which bird?")
    chat = chat_of(answer)
    assert (chat.choices[0].message.content, chat.choices[0].finish_reason) == ("Penguins", "stop")
    assert chat.usage is not None
    assert (chat.usage.prompt_tokens, chat.usage.completion_tokens, chat.usage.total_tokens) == (9, 10, 19)
    assert (answer.usage.completion_tokens, answer.usage.reasoning_tokens, answer.usage.cached_tokens) == (10, 6, 3)
    assert api.bodies[0]["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert answer.notes == ()


async def test_every_parameter_arrives_under_its_name_there(gemini: Gemini, api: GeminiApi) -> None:
    api.answers = [said("x")]
    asked = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 20,
        "seed": 7,
        "n": 2,
        "stop": "END",
        "max_tokens": 50,
        "presence_penalty": 0.1,
        "frequency_penalty": -0.1,
        "logprobs": True,
        "top_logprobs": 2,
    }
    answer = await ask(gemini, **asked)
    assert api.bodies[0]["generationConfig"] == {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 20,
        "seed": 7,
        "candidateCount": 2,
        "stopSequences": ["END"],
        "presencePenalty": 0.1,
        "frequencyPenalty": -0.1,
        "maxOutputTokens": 50,
        "responseLogprobs": True,
        "logprobs": 2,
    }
    assert answer.notes == ()


async def test_what_gemini_ignores_is_named(gemini: Gemini, api: GeminiApi) -> None:
    api.answers = [said("x")]
    answer = await ask(gemini, user="ana", logit_bias={"1": 1}, parallel_tool_calls=False, store=False, n=1)
    assert answer.notes == ("user_ignored", "logit_bias_ignored", "parallel_tool_calls_ignored")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"audio": {"voice": "x"}}, "audio"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"reasoning_effort": "much"}, "reasoning_effort"),
        ({"tools": [WEATHER], "tool_choice": "sometimes"}, "tool_choice"),
    ],
)
async def test_what_would_change_the_answers_meaning_is_refused(
    gemini: Gemini, api: GeminiApi, more: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await ask(gemini, **more)
    assert refused.value.details["field"] == field
    assert api.bodies == []


async def test_an_image_is_sent_along_and_an_address_is_never_fetched(gemini: Gemini, api: GeminiApi) -> None:
    api.answers = [said("A bird.")]

    def picture(url: str) -> dict[str, Any]:
        return {
            "role": "user",
            "content": [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": url}}],
        }

    await ask(gemini, picture(f"data:image/png;base64,{PIXEL}"))
    parts = api.bodies[0]["contents"][0]["parts"]
    assert parts == [{"text": "What?"}, {"inlineData": {"mimeType": "image/png", "data": PIXEL}}]
    with pytest.raises(InvalidRequest, match="does not fetch") as refused:
        await ask(gemini, picture(f"{gemini.base_url}/secret.png"))
    assert refused.value.details["field"] == "image_url"
    assert all("secret" not in path for path in api.paths)


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3-pro-preview"])
async def test_a_whole_loop_with_tools_keeps_the_signature(gemini: Gemini, api: GeminiApi, model: str) -> None:
    first = {"functionCall": {"name": "weather", "args": {"place": "Oslo"}, "id": "a1"}, "thoughtSignature": "c2ln"}
    second = {"functionCall": {"name": "weather", "args": {"place": "Rome"}}}
    api.answers = [said(first, second), said("Cold and warm.")]
    chat = chat_of(await ask(gemini, "Weather?", model=model, tools=[WEATHER], tool_choice="required"))
    assert chat.choices[0].finish_reason == "tool_calls"
    message = chat.choices[0].message.model_dump(exclude_none=True)
    calls = message["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ['{"place":"Oslo"}', '{"place":"Rome"}']
    results = [
        {"role": "tool", "tool_call_id": calls[0]["id"], "content": "-3"},
        {"role": "tool", "tool_call_id": calls[1]["id"], "content": [{"type": "text", "text": "31"}]},
    ]
    answer = await ask(gemini, "Weather?", message, *results, model=model, tools=[WEATHER])
    assert chat_of(answer).choices[0].message.content == "Cold and warm."
    turns = api.bodies[1]["contents"]
    assert [turn["role"] for turn in turns] == ["user", "model", "user"]
    assert turns[1]["parts"][0]["thoughtSignature"] == "c2ln"
    assert turns[2]["parts"][1]["functionResponse"]["response"] == {"output": "31"}


async def test_calls_that_another_model_made_get_the_documented_stand_in(gemini: Gemini, api: GeminiApi) -> None:
    api.answers = [said("ok")]
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    history = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c1", "content": "1"}]
    await ask(gemini, "Weather?", *history, model="gemini-3-pro-preview", tools=[WEATHER])
    part = api.bodies[0]["contents"][1]["parts"][0]
    assert part["thoughtSignature"] == "skip_thought_signature_validator"


async def test_schemas_say_what_they_mean_in_words_that_gemini_knows(gemini: Gemini, api: GeminiApi) -> None:
    api.answers = [said("{}")]
    schema = {"type": "object", "properties": {"bird": {"const": "penguin"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "bird", "schema": schema}}
    await ask(gemini, tools=[WEATHER], response_format=wanted)
    declared = api.bodies[0]["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"]
    assert declared["properties"]["unit"] == {"enum": ["celsius"]}
    assert declared["properties"]["const"] == {"$ref": "#/$defs/day", "description": "a property of that very name"}
    config = api.bodies[0]["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert config["responseJsonSchema"]["properties"] == {"bird": {"enum": ["penguin"]}}


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("none", {"mode": "NONE"}),
        ({"type": "function", "function": {"name": "weather"}}, {"mode": "ANY", "allowedFunctionNames": ["weather"]}),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [WEATHER]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["weather"]},
        ),
    ],
)
async def test_the_choice_of_a_tool(gemini: Gemini, api: GeminiApi, choice: Any, config: Any) -> None:
    api.answers = [said("x")]
    await ask(gemini, tools=[WEATHER], tool_choice=choice)
    assert api.bodies[0]["toolConfig"] == {"functionCallingConfig": config}


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "notes"),
    [
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}, ()),
        ("gemini-2.5-flash", "medium", {"thinkingBudget": 8192}, ()),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}, ("reasoning_effort_ignored",)),
        ("gemini-3-pro-preview", "high", {"thinkingLevel": "HIGH"}, ()),
        ("gemini-3-pro-preview", "minimal", {"thinkingLevel": "LOW"}, ()),
        ("gemini-2.0-flash", "high", None, ("reasoning_effort_ignored",)),
        ("gemini-2.0-flash", "none", None, ()),
        ("gemma-3-27b-it", "low", None, ("reasoning_effort_ignored",)),
    ],
)
async def test_how_much_to_think(
    gemini: Gemini, api: GeminiApi, model: str, effort: str, thinking: Any, notes: tuple[str, ...]
) -> None:
    await gemini.offers()
    api.answers = [said("x")]
    answer = await ask(gemini, model=model, reasoning_effort=effort)
    assert api.bodies[0].get("generationConfig", {}).get("thinkingConfig") == thinking
    assert answer.notes == notes


async def test_models_that_take_no_instruction_read_it_as_a_question(gemini: Gemini, api: GeminiApi) -> None:
    api.answers = [said("x"), said("x")]
    await ask(gemini, {"role": "system", "content": "Be brief."}, "Which?", model="gemma-3-27b-it")
    await ask(gemini, {"role": "system", "content": "Say hello."})
    assert api.bodies[0]["contents"] == [{"role": "user", "parts": [{"text": "Be brief."}, {"text": "Which?"}]}]
    assert api.bodies[1]["contents"] == [{"role": "user", "parts": [{"text": "Say hello."}]}]


async def test_messages_of_one_side_and_empty_ones_are_put_together(gemini: Gemini, api: GeminiApi) -> None:
    api.answers = [said("x")]
    empty = {"role": "assistant", "content": ""}
    await ask(gemini, "One", "Two", empty, "Three")
    assert [part["text"] for part in api.bodies[0]["contents"][0]["parts"]] == ["One", "Two", "Three"]
    with pytest.raises(InvalidRequest, match="none of them says anything"):
        await ask(gemini, "")


@pytest.mark.parametrize(
    "broken",
    [
        {"role": "tool", "tool_call_id": "nobody", "content": "1"},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{"}}]},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "[]"}}]},
        {"role": "assistant", "tool_calls": [{"id": "1", "custom": {}}]},
        {"role": "user", "content": [{"type": "hologram"}]},
        {"role": "system", "content": [{"type": "image_url", "image_url": "data:,"}]},
    ],
)
async def test_messages_that_cannot_be_put_into_geminis_words_are_refused(gemini: Gemini, broken: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await ask(gemini, "Hello", broken)
    assert refused.value.details["field"] == "messages"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("RECITATION", "content_filter"), ("STOP", "stop")],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_why_an_answer_ended(gemini: Gemini, api: GeminiApi, theirs: str, ours: str, stream: bool) -> None:
    answer = said("Pen", finish=theirs)
    api.answers = [[answer] if stream else answer]
    got = await ask(gemini, stream=stream)
    chat = (await streamed_chat(got))[0] if stream else chat_of(got)
    assert chat.choices[0].finish_reason == ours


@pytest.mark.parametrize("stream", [False, True])
async def test_a_blocked_prompt_is_a_refusal(gemini: Gemini, api: GeminiApi, stream: bool) -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}}
    api.answers = [[blocked] if stream else blocked]
    got = await ask(gemini, stream=stream)
    chat = (await streamed_chat(got))[0] if stream else chat_of(got)
    assert chat.choices[0].finish_reason == "content_filter"
    assert "SAFETY" in (chat.choices[0].message.refusal or "")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_call_that_went_wrong_is_no_answer(gemini: Gemini, api: GeminiApi, stream: bool) -> None:
    broken = said(finish="MALFORMED_FUNCTION_CALL")
    api.answers = [[broken] if stream else broken]
    with pytest.raises(UpstreamInvalid, match="tool call"):
        answer = await ask(gemini, stream=stream)
        await received(answer)


async def test_a_stream_with_thoughts_tools_and_usage(gemini: Gemini, api: GeminiApi) -> None:
    call = {"functionCall": {"name": "weather", "args": {"place": "Oslo"}}, "thoughtSignature": "c2ln"}
    api.answers = [
        [
            said({"text": "Hm.", "thought": True}, finish=None, usageMetadata={"promptTokenCount": 9}),
            said("Let me ", finish=None),
            said("look.", finish=None),
            said(call, finish=None),
            said({"functionCall": {"name": "weather", "args": {"place": "Rome"}}}, usageMetadata=COUNTS),
        ]
    ]
    answer = await ask(gemini, stream=True, stream_options={"include_usage": True}, tools=[WEATHER])
    chat, chunks = await streamed_chat(answer)
    choice = chat.choices[0]
    assert (choice.message.content, choice.finish_reason) == ("Let me look.", "tool_calls")
    assert [c.function.arguments for c in choice.message.tool_calls] == ['{"place":"Oslo"}', '{"place":"Rome"}']
    deltas = [c.choices[0].delta for c in chunks if c.choices]
    assert deltas[0].reasoning == "Hm."  # type: ignore[attr-defined]
    with_call = next(delta for delta in deltas if delta.tool_calls)
    assert with_call.tool_calls[0].extra_content == {"google": {"thought_signature": "c2ln"}}  # type: ignore[index]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (9, 10)
    assert answer.events is not None
    assert answer.events.usage.completion_tokens == 10


async def test_usage_is_known_but_not_told_to_who_did_not_ask(gemini: Gemini, api: GeminiApi) -> None:
    api.answers = [[said("x", usageMetadata=COUNTS)]]
    answer = await ask(gemini, stream=True)
    _, chunks = await streamed_chat(answer)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert answer.events is not None
    assert answer.events.usage.prompt_tokens == 9


async def test_several_answers_at_once(gemini: Gemini, api: GeminiApi) -> None:
    api.answers = [
        [
            said("a", finish=None),
            said("b", finish=None, index=1),
            said("A", index=0),
            said("B", finish="MAX_TOKENS", index=1),
        ]
    ]
    chat, _ = await streamed_chat(await ask(gemini, stream=True, n=2))
    assert [(c.message.content, c.finish_reason) for c in chat.choices] == [("aA", "stop"), ("bB", "length")]


async def test_log_probabilities(gemini: Gemini, api: GeminiApi) -> None:
    answer = said("é")
    answer["candidates"][0]["logprobsResult"] = {
        "chosenCandidates": [{"token": "é", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "e", "logProbability": -1.5}]}],
    }
    api.answers = [answer]
    chat = chat_of(await ask(gemini, logprobs=True, top_logprobs=1))
    assert chat.choices[0].logprobs is not None
    token = chat.choices[0].logprobs.content[0]  # type: ignore[index]
    assert (token.token, token.logprob, token.bytes) == ("é", -0.5, [195, 169])
    assert token.top_logprobs[0].token == "e"


@pytest.mark.parametrize("events", [[said("Pen", finish=None)], [said("a", finish=None), said("b", index=1)]])
async def test_a_stream_that_breaks_off(gemini: Gemini, api: GeminiApi, events: Any) -> None:
    api.answers = [events]
    answer = await ask(gemini, stream=True)
    with pytest.raises(UpstreamIncomplete):
        await received(answer)


async def test_an_error_in_the_stream(gemini: Gemini, api: GeminiApi) -> None:
    api.answers = [[said("Pen", finish=None), {"error": {"code": 503, "message": "overloaded"}}]]
    answer = await ask(gemini, stream=True)
    with pytest.raises(UpstreamRejected, match="overloaded") as broken:
        await received(answer)
    assert broken.value.status == 503


@pytest.mark.parametrize("answer", [{}, {"candidates": 5}, {"candidates": [{"content": {"parts": [{"text": 7}]}}]}])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_of_another_shape_is_an_error(
    gemini: Gemini, api: GeminiApi, answer: Any, stream: bool
) -> None:
    api.answers = [[answer] if stream else answer]
    with pytest.raises(UpstreamError):
        await received(await ask(gemini, stream=stream))


async def test_a_wrong_key_is_not_the_callers_fault_and_not_repeated(gemini: Gemini) -> None:
    gemini._headers["x-goog-api-key"] = "wrong"
    with pytest.raises(UpstreamRejected) as refused:
        await ask(gemini)
    assert refused.value.status == 401
    assert not refused.value.is_callers_fault
    assert "key" in str(refused.value.next_step)


async def test_a_used_up_quota_says_when_to_come_back(gemini: Gemini, api: GeminiApi) -> None:
    info = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"}]
    api.answers = [refusal(429, f"Quota exceeded for {KEY}", info)]
    with pytest.raises(UpstreamRejected) as refused:
        await ask(gemini)
    assert refused.value.retry_after_s == 34.07
    assert refused.value.details["retry_after_s"] == 34.07
    assert KEY not in refused.value.message


async def test_a_page_instead_of_an_answer(gemini: Gemini, api: GeminiApi) -> None:
    api.answers = [web.Response(text="<html>", content_type="text/html")]
    with pytest.raises(UpstreamInvalid):
        await ask(gemini)


async def test_embeddings_one_and_many(gemini: Gemini, api: GeminiApi) -> None:
    model = offer("gemini-embedding-001")
    one = embeddings_of(await gemini.embed(model, {"input": "bird", "dimensions": 2}, ANA))
    assert one.data[0].embedding == [4.0, 0.5]
    texts = [f"bird {i}" for i in range(205)]
    answer = await gemini.embed(model, {"input": texts, "encoding_format": "base64"}, ANA)
    many = embeddings_of(_as_floats(answer))
    assert [len(b["requests"]) for b in api.bodies[1:]] == [100, 100, 5]
    assert [d.embedding[0] for d in many.data] == [float(len(text)) for text in texts]
    assert [d.index for d in many.data] == list(range(205))
    assert answer.notes == ("usage_estimated",), "this model reports no tokens"
    assert answer.usage.prompt_tokens is None
    assert many.usage.prompt_tokens > 0


def _as_floats(answer: Answer) -> Answer:
    """Unpack base64 as OpenAI's client does."""
    assert answer.document is not None
    said = json.loads(answer.document)
    for one in said["data"]:
        raw = base64.b64decode(one["embedding"])
        one["embedding"] = list(struct.unpack(f"<{len(raw) // 4}f", raw))
    return dataclasses.replace(answer, document=json.dumps(said).encode())


@pytest.mark.parametrize("given", [[1, 2, 3], [[1]], "", [], None])
async def test_only_texts_can_be_embedded(gemini: Gemini, given: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await gemini.embed(offer("gemini-embedding-001"), {"input": given}, ANA)
    assert refused.value.details["field"] == "input"


async def test_tokens_are_counted_by_the_model_itself(gemini: Gemini) -> None:
    body = {"messages": [{"role": "user", "content": "Which bird?"}], "tools": [WEATHER]}
    assert await gemini.count(offer(), body) == 42
    assert await gemini.count(offer(), {"prompt": "x"}) is None


async def test_a_model_of_ones_own_is_called_by_its_whole_name(gemini: Gemini, api: GeminiApi) -> None:
    await gemini.offers()
    api.answers = [said("x")]
    await ask(gemini, model="tunedModels/birds-1")
    assert api.paths[-1] == "/v1beta/tunedModels/birds-1:generateContent"
