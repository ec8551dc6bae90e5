"""OpenAI itself, against a double that refuses what the real one refuses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aidp_ext.ai.models import Answer, Capability, Locality, Offer
from aidp_ext.ai.providers.openai import OpenAI
from aidp_ext.core.errors import UpstreamRejected
from aidp_ext.core.http import HttpClient
from tests.support.openai_api import KEY, OpenAIApi
from tests.support.wire import ANA, chat_of, data_in, embeddings_of, received, serving, streamed_chat, streamed_text

ALL = {Capability.CHAT, Capability.TOOLS, Capability.VISION, Capability.JSON}


@pytest.fixture
async def api() -> OpenAIApi:
    return OpenAIApi()


@pytest.fixture
async def openai(api: OpenAIApi) -> AsyncIterator[OpenAI]:
    http = HttpClient()
    async with serving(api.handle) as url:
        yield OpenAI("openai", "OpenAI", f"{url}/v1", http, locality=Locality.CLOUD, direct=True, api_key=KEY)
        await http.close()


async def offer(openai: OpenAI, model: str) -> Offer:
    return next(o for o in await openai.offers() if o.model == model)


async def ask(openai: OpenAI, model: str = "gpt-4o", **more: Any) -> Answer:
    body = {"model": "x", "messages": [{"role": "user", "content": "Which bird?"}], **more}
    return await openai.chat(await offer(openai, model), body, ANA)


async def test_what_is_offered_and_what_each_can_do(openai: OpenAI) -> None:
    offers = {o.model: o for o in await openai.offers()}
    assert set(offers) == {
        *("gpt-5", "gpt-5-chat-latest", "o3", "o3-mini", "o1-mini", "gpt-4.1-2025-04-14", "gpt-4o", "gpt-4"),
        *("gpt-3.5-turbo-instruct", "babbage-002", "text-embedding-3-small", "gpt-9-surprise", "somebody-elses"),
    }
    assert offers["gpt-5"].capabilities == ALL
    assert offers["o1-mini"].capabilities == {Capability.CHAT}
    assert offers["gpt-4"].capabilities == {Capability.CHAT, Capability.TOOLS}
    assert offers["gpt-3.5-turbo-instruct"].capabilities == {Capability.COMPLETE, Capability.FIM}
    assert offers["text-embedding-3-small"].capabilities == {Capability.EMBED}
    assert offers["somebody-elses"].capabilities == {Capability.CHAT, Capability.TOOLS, Capability.VISION}
    assert (offers["gpt-5"].context_length, offers["gpt-5"].max_output_tokens) == (400_000, 128_000)
    assert offers["gpt-4.1-2025-04-14"].context_length == 1_047_576
    assert offers["somebody-elses"].context_length is None
    assert {o.price for o in offers.values()} == {None}


@pytest.mark.parametrize("model", ["gpt-5", "o3", "gpt-9-surprise"])
async def test_the_length_goes_under_the_name_that_the_model_takes(openai: OpenAI, api: OpenAIApi, model: str) -> None:
    answer = await ask(openai, model, max_tokens=50)
    assert chat_of(answer).choices[0].message.content == "Penguins"
    assert answer.notes == ()
    assert len(api.bodies) == 1
    assert (api.bodies[0]["max_completion_tokens"], "max_tokens" in api.bodies[0]) == (50, False)
    await ask(openai, model, max_tokens=50, max_completion_tokens=20)
    assert api.bodies[1]["max_completion_tokens"] == 20, "who says both means the newer"


async def test_other_models_get_the_length_as_it_came(openai: OpenAI, api: OpenAIApi) -> None:
    for model in ("gpt-4o", "somebody-elses"):
        await ask(openai, model, max_tokens=50)
    assert [body["max_tokens"] for body in api.bodies] == [50, 50]


async def test_what_a_model_refuses_is_left_out_noted_and_remembered(openai: OpenAI, api: OpenAIApi) -> None:
    answer = await ask(openai, "gpt-5", temperature=0.2, top_p=0.5, max_tokens=9, stream=True)
    chat, _ = await streamed_chat(answer)
    assert chat.choices[0].message.content == "Penguins"
    assert answer.notes == ("temperature_ignored", "top_p_ignored")
    assert len(api.bodies) == 3
    again = await ask(openai, "gpt-5", temperature=0.2)
    assert (len(api.bodies), again.notes) == (4, ("temperature_ignored",))
    assert (await ask(openai, "gpt-4o", temperature=0.2)).notes == (), "other models are asked with it"
    assert api.bodies[-1]["temperature"] == 0.2


async def test_what_the_answers_form_hangs_on_is_not_left_out(openai: OpenAI, api: OpenAIApi) -> None:
    with pytest.raises(UpstreamRejected, match="'stop'") as refused:
        await ask(openai, "o3", stop=["END"])
    assert refused.value.is_callers_fault
    assert len(api.bodies) == 1


async def test_usage_is_asked_for_and_kept_from_who_did_not_ask(openai: OpenAI, api: OpenAIApi) -> None:
    quiet = await ask(openai, stream=True)
    chunks = data_in(await received(quiet))
    assert all(chunk["choices"] for chunk in chunks)
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == "Penguins"
    asked = await ask(openai, stream=True, stream_options={"include_usage": True})
    told = data_in(await received(asked))
    assert (told[-1]["choices"], told[-1]["usage"]["total_tokens"]) == ([], 21)
    for answer in (quiet, asked):
        assert answer.events is not None
        usage = answer.events.usage
        assert (usage.prompt_tokens, usage.completion_tokens) == (9, 12)
        assert (usage.cached_tokens, usage.reasoning_tokens) == (4, 7)
    assert [body["stream_options"] for body in api.bodies] == [{"include_usage": True}] * 2


async def test_other_stream_options_stay(openai: OpenAI, api: OpenAIApi) -> None:
    await received(await ask(openai, stream=True, stream_options={"include_obfuscation": False}))
    assert api.bodies[0]["stream_options"] == {"include_obfuscation": False, "include_usage": True}


async def test_a_document_is_not_asked_for_stream_options(openai: OpenAI, api: OpenAIApi) -> None:
    answer = await ask(openai)
    assert answer.usage.reasoning_tokens == 7
    assert "stream_options" not in api.bodies[0]


async def test_the_one_model_with_fill_in_the_middle_gets_the_suffix(openai: OpenAI, api: OpenAIApi) -> None:
    instruct = await offer(openai, "gpt-3.5-turbo-instruct")
    body = {"prompt": "def f(", "suffix": "return x", "max_tokens": 9, "stream": True}
    text, finish, parts = await streamed_text(await openai.complete(instruct, body, ANA))
    assert (text, finish, len(parts)) == ("Penguins", "stop", 1)
    assert (api.paths[0], api.bodies[0]["suffix"]) == ("/v1/completions", "return x")
    old = await openai.complete(await offer(openai, "babbage-002"), {**body, "stream": False}, ANA)
    assert (old.notes, "suffix" in api.bodies[1]) == (("suffix_ignored",), False)


@pytest.mark.parametrize("form", [None, "base64"])
async def test_embeddings_pass_through(openai: OpenAI, api: OpenAIApi, form: str | None) -> None:
    body = {"input": ["bird", "fish!"], **({"encoding_format": form} if form else {})}
    answer = await openai.embed(await offer(openai, "text-embedding-3-small"), body, ANA)
    assert answer.usage.prompt_tokens == 5
    assert api.paths == ["/v1/embeddings"]
    if form is None:
        assert [one.embedding for one in embeddings_of(answer).data] == [[4.0, 0.5], [5.0, 0.5]]
    else:
        assert isinstance(json.loads(answer.document or b"")["data"][0]["embedding"], str)


async def test_a_key_that_is_repeated_in_the_refusal_is_not_repeated_by_us(openai: OpenAI) -> None:
    openai._headers["Authorization"] = f"Bearer {KEY}x"
    with pytest.raises(UpstreamRejected) as refused:
        await openai.offers()
    assert (refused.value.status, "SECRET" in refused.value.message) == (401, False)
