"""The official openai SDK with every provider: each ability works, or is refused in words that the SDK understands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, AsyncStream
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.support.abilities import ABILITIES, BIRD_SCHEMA, PNG, PROVIDERS, TABLE, WEATHER, Can
from tests.support.doubles import BIRD, CITY, Doubles
from tests.support.jupyter import Server, clean_environment
from tests.support.processes import REPO

ASKED = "Which bird is it?"
SAID = {"role": "user", "content": ASKED}
TOOLS = [{"type": "function", "function": WEATHER}]
MOST = 24  # tokens: enough to see that a real model answers
# By whether the model is real: llama.cpp's grammar also lets JSON begin with a code fence, and at random one does.
STEADY = {True: {"temperature": 0}, False: {}}


def test_every_provider_has_a_word_for_every_ability() -> None:
    assert set(TABLE) == set(PROVIDERS)
    assert all(set(row) == set(ABILITIES) for row in TABLE.values())


@pytest.fixture
async def sdk(every_provider: Server) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=every_provider.ai, api_key=every_provider.token, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("ability", ABILITIES)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_sdk_with_each_provider(sdk: AsyncOpenAI, doubles: Doubles, provider: str, ability: str) -> None:
    can = TABLE[provider][ability]
    if can.status == 200:
        headers = await DO[ability](sdk, can, doubles)
        assert (headers["X-AIDP-Route"], headers.get("X-AIDP-Notes", "")) == (can.route, can.notes)
        return
    with pytest.raises(openai.APIStatusError) as refused:
        await DO[ability](sdk, can, doubles)
    assert (refused.value.status_code, refused.value.code) == (can.status, can.code)
    assert refused.value.message


# --- the abilities


async def chat(sdk: AsyncOpenAI, can: Can, doubles: Doubles) -> Any:
    raw = await sdk.chat.completions.with_raw_response.create(model=can.route, messages=[SAID], max_tokens=MOST)
    answer = raw.parse()
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 0
    text = answer.choices[0].message.content
    assert text if can.is_real else text == f"You said: {ASKED}"
    assert answer.choices[0].finish_reason == ("length" if can.is_real else "stop")
    return raw.headers


async def stream(sdk: AsyncOpenAI, can: Can, doubles: Doubles) -> Any:
    raw = await sdk.chat.completions.with_raw_response.create(
        model=can.route, messages=[SAID], max_tokens=MOST, stream=True, stream_options={"include_usage": True}
    )
    answer = await _joined(raw.parse())
    text = answer.choices[0].message.content
    assert text if can.is_real else text == f"You said: {ASKED}"
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0
    return raw.headers


async def tools(sdk: AsyncOpenAI, can: Can, doubles: Doubles) -> Any:
    async def ask(messages: list[Any], choice: str) -> tuple[Any, ChatCompletion]:
        raw = await sdk.chat.completions.with_raw_response.create(
            model=can.route, messages=messages, tools=TOOLS, tool_choice=choice, max_tokens=200
        )
        return raw.headers, raw.parse()

    return await _loop(ask, can)


async def streamed_tools(sdk: AsyncOpenAI, can: Can, doubles: Doubles) -> Any:
    async def ask(messages: list[Any], choice: str) -> tuple[Any, ChatCompletion]:
        raw = await sdk.chat.completions.with_raw_response.create(
            model=can.route, messages=messages, tools=TOOLS, tool_choice=choice, max_tokens=200, stream=True
        )
        return raw.headers, await _joined(raw.parse())

    return await _loop(ask, can)


async def _loop(ask: Callable[[list[Any], str], Awaitable[tuple[Any, ChatCompletion]]], can: Can) -> Any:
    """Ask, do what the model calls for, and tell it what came of that."""
    # Ollama knows no "required"; a model of random weights calls only where it must
    headers, answer = await ask([SAID], "required" if can.is_real else "auto")
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == ("length" if can.is_real else "tool_calls")
    if can.is_real:
        return headers
    assert message.tool_calls
    (call,) = message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", CITY)
    result = {"role": "tool", "tool_call_id": call.id, "content": "4 °C, rain"}
    _, answer = await ask([SAID, message.model_dump(exclude_none=True), result], "auto")
    assert "The tool gave: " in (answer.choices[0].message.content or "")
    assert "4 °C, rain" in (answer.choices[0].message.content or "")
    return headers


async def json_mode(sdk: AsyncOpenAI, can: Can, doubles: Doubles) -> Any:
    return await _as_json(sdk, can, {"type": "json_object"})


async def schema(sdk: AsyncOpenAI, can: Can, doubles: Doubles) -> Any:
    wanted = {"type": "json_schema", "json_schema": {"name": "bird", "schema": BIRD_SCHEMA, "strict": True}}
    headers = await _as_json(sdk, can, wanted)
    if not can.is_real:
        assert doubles.were_sent(can.provider, '"additionalProperties"')
    return headers


async def _as_json(sdk: AsyncOpenAI, can: Can, wanted: Any) -> Any:
    said = {"role": "user", "content": f"{ASKED} Answer as JSON."}
    raw = await sdk.chat.completions.with_raw_response.create(
        model=can.route, messages=[said], response_format=wanted, max_tokens=MOST, extra_body=STEADY[can.is_real]
    )
    text = raw.parse().choices[0].message.content or ""
    assert text.lstrip().startswith("{") if can.is_real else text == BIRD
    return raw.headers


async def image(sdk: AsyncOpenAI, can: Can, doubles: Doubles) -> Any:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    said = {"role": "user", "content": [{"type": "text", "text": ASKED}, picture]}
    raw = await sdk.chat.completions.with_raw_response.create(model=can.route, messages=[said], max_tokens=MOST)
    assert raw.parse().choices[0].message.content == f"You said: {ASKED}"
    assert doubles.were_sent(can.provider, PNG)
    return raw.headers


async def embeddings(sdk: AsyncOpenAI, can: Can, doubles: Doubles) -> Any:
    raw = await sdk.embeddings.with_raw_response.create(model=can.route, input=["a bird", "two birds"])
    first, second = raw.parse().data  # the SDK asks for base64 by itself, and decodes it
    assert (first.embedding[0], second.embedding[0]) == (6.0, 9.0)
    assert (await sdk.embeddings.create(model=can.route, input="a bird", encoding_format="float")).data[
        0
    ].embedding == first.embedding
    return raw.headers


async def completion(sdk: AsyncOpenAI, can: Can, doubles: Doubles) -> Any:
    raw = await sdk.completions.with_raw_response.create(model=can.route, prompt="def add(", max_tokens=MOST)
    answer = raw.parse()
    assert answer.choices[0].text
    assert answer.usage is not None
    return raw.headers


async def streamed_completion(sdk: AsyncOpenAI, can: Can, doubles: Doubles) -> Any:
    raw = await sdk.completions.with_raw_response.create(
        model=can.route, prompt="def add(", max_tokens=MOST, stream=True
    )
    assert "".join([one.choices[0].text async for one in raw.parse()])
    return raw.headers


async def suffix(sdk: AsyncOpenAI, can: Can, doubles: Doubles) -> Any:
    raw = await sdk.completions.with_raw_response.create(
        model=can.route, prompt="def add(", suffix="return a + b", max_tokens=MOST
    )
    assert raw.parse().choices[0].text
    if not can.is_real:
        assert doubles.were_sent(can.provider, '"suffix":"return a + b"')
    return raw.headers


async def _joined(stream: AsyncStream[ChatCompletionChunk]) -> Any:
    state = ChatCompletionStreamState()
    async for chunk in stream:
        state.handle_chunk(chunk)
    return state.current_completion_snapshot


DO: dict[str, Callable[[AsyncOpenAI, Can, Doubles], Awaitable[Any]]] = {
    "chat": chat,
    "stream": stream,
    "tools": tools,
    "streamed tools": streamed_tools,
    "json": json_mode,
    "schema": schema,
    "image": image,
    "embeddings": embeddings,
    "completion": completion,
    "streamed completion": streamed_completion,
    "suffix": suffix,
}


# --- the SDK's own tests

OWN_TESTS = REPO / ".venv" / "openai-tests"
# The other tests of these files are for stored completions and for deleting models, which aidp does not have.
CREATING = "create or ((TestModels or TestAsyncModels) and (retrieve or list))"
# The SDK itself asks for base64 where nobody names an encoding, and its strict mode then refuses the base64 that it
# gets: only a mock that does not look at `encoding_format` can pass. With "loose", and with an encoding, they do.
IMPOSSIBLE = [
    f"tests/api_resources/test_embeddings.py::{case}::{test}[{client}]"
    for case, clients in (("TestEmbeddings", ["strict"]), ("TestAsyncEmbeddings", ["strict", "aiohttp"]))
    for test in ("test_method_create", "test_raw_response_create", "test_streaming_response_create")
    for client in clients
]
FILES = [f"tests/api_resources/{name}.py" for name in ("chat/test_completions", "test_completions")]
FILES += [f"tests/api_resources/{name}.py" for name in ("test_embeddings", "test_models")]


def test_the_sdks_own_tests_of_creating_pass(every_provider: Server) -> None:
    assert (OWN_TESTS / "tests").is_dir(), "`make test` fetches the SDK's own tests"
    argv = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider", "-k", CREATING, *FILES]
    argv += [f"--deselect={test}" for test in IMPOSSIBLE]
    environment = clean_environment(every_provider.home, {"TEST_API_BASE_URL": every_provider.ai})
    done = subprocess.run(argv, cwd=OWN_TESTS, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout[-6000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 100
    assert not re.search(r"failed|error|skipped", done.stdout.splitlines()[-1])
