"""The official anthropic SDK with every provider: Anthropic's dialect goes in, whatever dialect the provider speaks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import Message

from tests.support.abilities import BIRD_SCHEMA, PNG, PROVIDERS, TABLE, WEATHER, Can
from tests.support.doubles import BIRD, CITY, Doubles
from tests.support.jupyter import Server

ASKED = "Which bird is it?"
SAID = {"role": "user", "content": ASKED}
TOOL = {**{k: WEATHER[k] for k in ("name", "description")}, "input_schema": WEATHER["parameters"]}
MOST = 24  # tokens


@pytest.fixture
async def sdk(every_provider: Server) -> AsyncIterator[AsyncAnthropic]:
    base_url = f"{every_provider.url}aidp/ai"
    async with AsyncAnthropic(base_url=base_url, api_key=every_provider.token, max_retries=0) as client:
        yield client


async def chat(sdk: AsyncAnthropic, can: Can, doubles: Doubles) -> Any:
    raw = await sdk.messages.with_raw_response.create(
        model=can.route, messages=[SAID], max_tokens=MOST, system="Be brief.", stop_sequences=["END"]
    )
    answer = await raw.parse()
    _check_text(answer, can)
    assert answer.usage.input_tokens > 0
    return raw.headers


async def stream(sdk: AsyncAnthropic, can: Can, doubles: Doubles) -> Any:
    async with sdk.messages.stream(model=can.route, messages=[SAID], max_tokens=MOST) as events:
        text = "".join([piece async for piece in events.text_stream])
        answer = await events.get_final_message()
        headers = events.response.headers
    _check_text(answer, can)
    assert text == "".join(block.text for block in answer.content if block.type == "text")
    assert answer.usage.output_tokens > 0
    return headers


def _check_text(answer: Message, can: Can) -> None:
    text = "".join(block.text for block in answer.content if block.type == "text")
    assert text if can.is_real else text == f"You said: {ASKED}"
    assert answer.stop_reason == ("max_tokens" if can.is_real else "end_turn")


async def tools(sdk: AsyncAnthropic, can: Can, doubles: Doubles) -> Any:
    async def ask(messages: list[Any], choice: str) -> tuple[Any, Message]:
        raw = await sdk.messages.with_raw_response.create(
            model=can.route, messages=messages, tools=[TOOL], tool_choice={"type": choice}, max_tokens=200
        )
        return raw.headers, await raw.parse()

    return await _loop(ask, can)


async def streamed_tools(sdk: AsyncAnthropic, can: Can, doubles: Doubles) -> Any:
    async def ask(messages: list[Any], choice: str) -> tuple[Any, Message]:
        async with sdk.messages.stream(
            model=can.route, messages=messages, tools=[TOOL], tool_choice={"type": choice}, max_tokens=200
        ) as events:
            return events.response.headers, await events.get_final_message()

    return await _loop(ask, can)


async def _loop(ask: Callable[[list[Any], str], Awaitable[tuple[Any, Message]]], can: Can) -> Any:
    """Ask, do what the model calls for, and tell it what came of that."""
    headers, answer = await ask([SAID], "any" if can.is_real else "auto")
    if can.is_real:
        assert answer.stop_reason == "max_tokens"
        return headers
    assert answer.stop_reason == "tool_use"
    (call,) = (block for block in answer.content if block.type == "tool_use")
    assert (call.name, call.input) == ("weather", CITY)
    turn = {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "4 °C, rain"}
    _, answer = await ask([SAID, turn, {"role": "user", "content": [result]}], "auto")
    (block,) = answer.content
    assert block.type == "text"
    assert block.text.startswith("The tool gave: ")
    assert "4 °C, rain" in block.text
    return headers


async def schema(sdk: AsyncAnthropic, can: Can, doubles: Doubles) -> Any:
    raw = await sdk.messages.with_raw_response.create(
        model=can.route,
        messages=[SAID],
        max_tokens=MOST,
        output_config={"format": {"type": "json_schema", "schema": BIRD_SCHEMA}},
        # llama.cpp's grammar also lets JSON begin with a code fence, and at random one does
        extra_body={"temperature": 0} if can.is_real else {},
    )
    (block,) = (await raw.parse()).content
    assert block.type == "text"
    assert block.text.lstrip().startswith("{") if can.is_real else json.loads(block.text) == json.loads(BIRD)
    assert can.is_real or doubles.were_sent(can.provider, '"additionalProperties"')
    return raw.headers


async def image(sdk: AsyncAnthropic, can: Can, doubles: Doubles) -> Any:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    said = {"role": "user", "content": [picture, {"type": "text", "text": ASKED}]}
    raw = await sdk.messages.with_raw_response.create(model=can.route, messages=[said], max_tokens=MOST)
    _check_text(await raw.parse(), can)
    assert doubles.were_sent(can.provider, PNG)
    return raw.headers


DO: dict[str, Callable[[AsyncAnthropic, Can, Doubles], Awaitable[Any]]] = {
    "chat": chat,
    "stream": stream,
    "tools": tools,
    "streamed tools": streamed_tools,
    "schema": schema,
    "image": image,
}


@pytest.mark.parametrize("ability", DO)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_sdk_with_each_provider(sdk: AsyncAnthropic, doubles: Doubles, provider: str, ability: str) -> None:
    can = TABLE[provider][ability]
    if can.status == 200:
        headers = await DO[ability](sdk, can, doubles)
        assert (headers["X-AIDP-Route"], headers.get("X-AIDP-Notes", "")) == (can.route, can.notes)
        return
    with pytest.raises(anthropic.APIStatusError) as refused:
        await DO[ability](sdk, can, doubles)
    assert refused.value.status_code == can.status
    assert isinstance(refused.value.body, dict)
    assert (refused.value.body["type"], refused.value.body["error"]["code"]) == ("error", can.code)


async def test_the_sdk_raises_its_own_errors(sdk: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="no model"):
        await sdk.messages.create(model="none", messages=[SAID], max_tokens=MOST)
    with pytest.raises(anthropic.BadRequestError, match="temperature"):
        await sdk.messages.create(model="auto", messages=[SAID], max_tokens=MOST, extra_body={"temperature": 2})
    with pytest.raises(anthropic.AuthenticationError):
        await sdk.with_options(api_key="wrong").messages.create(model="auto", messages=[SAID], max_tokens=MOST)
    with pytest.raises(anthropic.NotFoundError):  # counting tokens is not among aidp's endpoints
        await sdk.messages.count_tokens(model="auto", messages=[SAID])
