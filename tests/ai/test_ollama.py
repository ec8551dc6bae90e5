"""Ollama, against a double that cuts long prompts and loads models anew as the real one does."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from aidp_ext.ai.models import FREE, Answer, Capability, Locality, Offer
from aidp_ext.ai.providers.ollama import Ollama
from aidp_ext.ai.providers.ollama_pull import PullProgress
from aidp_ext.core.errors import (
    AidpError,
    InvalidRequest,
    ModelNotFound,
    PolicyRefused,
    StorageError,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamInvalid,
    UpstreamRejected,
    UpstreamUnreachable,
)
from aidp_ext.core.http import HttpClient
from tests.support.ollama_api import OllamaApi
from tests.support.processes import free_port
from tests.support.wire import ANA, chat_of, embeddings_of, received, serving, streamed_chat, streamed_text

PIXEL = base64.b64encode(b"\x89PNG not really").decode()
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def long(tokens: int) -> str:
    """Return a text of so many of the double's tokens."""
    return "abc " * tokens


@pytest.fixture
async def api() -> OllamaApi:
    return OllamaApi()


@pytest.fixture
async def ollama(api: OllamaApi) -> AsyncIterator[Ollama]:
    http = HttpClient()
    async with serving(api.handle) as url:
        yield Ollama("ollama", "Ollama", url, http, locality=Locality.LOCAL)
        await http.close()


async def offer(ollama: Ollama, model: str = "llama3.2:3b") -> Offer:
    return next(o for o in await ollama.offers() if o.model == model)


async def ask(ollama: Ollama, content: Any = "Which bird?", model: str = "llama3.2:3b", **more: Any) -> Answer:
    messages = more.pop("messages", [{"role": "user", "content": content}])
    return await ollama.chat(await offer(ollama, model), {"model": "x", "messages": messages, **more}, ANA)


async def test_what_is_offered(ollama: Ollama) -> None:
    offers = {o.model: o for o in await ollama.offers()}
    coder = offers["qwen2.5-coder:1.5b"]
    assert {Capability.CHAT, Capability.FIM, Capability.TOOLS, Capability.JSON} <= coder.capabilities
    assert (coder.context_length, coder.price, coder.loaded) == (32768, FREE, False)
    hosted = offers["gpt-oss:120b-cloud"]
    assert (hosted.locality, hosted.price, hosted.loaded) == (Locality.CLOUD, None, None)
    assert offers["nomic-embed-text:latest"].capabilities == {Capability.EMBED}


async def test_a_short_chat_passes_through_untouched(ollama: Ollama, api: OllamaApi) -> None:
    answer = await ask(ollama, stream=True)
    chat, chunks = await streamed_chat(answer)
    assert chat.choices[0].message.content == "Penguins"
    assert api.paths == ["/v1/chat/completions"]
    assert all(chunk.choices for chunk in chunks), "the caller did not ask for the usage"
    assert answer.events is not None
    assert answer.events.usage.prompt_tokens == 3, "but it is known"


async def test_a_long_prompt_gets_a_window_that_holds_it(ollama: Ollama, api: OllamaApi) -> None:
    answer = await ask(ollama, long(6000), max_tokens=100)
    assert chat_of(answer).choices[0].message.content == "Penguins"
    assert api.bodies[0]["options"]["num_ctx"] == 8192
    assert api.cut == []


async def test_the_model_is_not_loaded_anew_for_each_prompt(ollama: Ollama, api: OllamaApi) -> None:
    for tokens in (6000, 10, 7000, 500, 5000):
        await ask(ollama, long(tokens))
    model = await offer(ollama, "llama3.2:3b")
    await ollama.complete(model, {"prompt": "def f("}, ANA)
    assert api.loads == 1
    assert {body["options"]["num_ctx"] for body in api.bodies} == {16384}, "a power of two, with room for the answer"
    assert api.cut == []


async def test_a_model_that_was_unloaded_gets_its_usual_window_again(ollama: Ollama, api: OllamaApi) -> None:
    await ask(ollama, long(6000))
    api.windows.clear()  # Ollama unloads after five minutes
    await ask(ollama)
    assert api.paths == ["/api/chat", "/v1/chat/completions"]


async def test_the_window_that_a_model_brings_along_is_known(ollama: Ollama, api: OllamaApi) -> None:
    await ask(ollama, long(5000), model="wide:1b")
    assert api.paths == ["/v1/chat/completions"]
    assert api.cut == []


async def test_what_is_longer_than_the_model_was_trained_for_is_an_error_and_not_cut(
    ollama: Ollama, api: OllamaApi
) -> None:
    with pytest.raises(UpstreamRejected, match="exceeds the context length") as refused:
        await ask(ollama, long(17_000))
    assert api.bodies[0]["options"]["num_ctx"] == 16384, "never more than it was trained for"
    assert refused.value.is_callers_fault
    assert api.cut == []


async def test_a_careless_limit_of_the_answer_takes_no_gigabytes(ollama: Ollama, api: OllamaApi) -> None:
    await ask(ollama, "Hello", model="wide:1b", max_tokens=1_000_000)
    assert api.bodies[0]["options"]["num_ctx"] == 16384
    assert api.bodies[0]["options"]["num_predict"] == 1_000_000


async def test_a_hosted_model_has_no_window_to_set(ollama: Ollama, api: OllamaApi) -> None:
    await ask(ollama, long(50_000), model="gpt-oss:120b-cloud", reasoning_effort="high")
    assert "num_ctx" not in api.bodies[0]["options"]
    assert api.bodies[0]["think"] == "high"


async def test_every_parameter_arrives_natively(ollama: Ollama, api: OllamaApi) -> None:
    asked = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 20,
        "min_p": 0.05,
        "seed": 7,
        "stop": "END",
        "max_tokens": 50,
        "presence_penalty": 0.1,
        "frequency_penalty": -0.1,
        "repeat_penalty": 1.1,
        "keep_alive": "10m",
    }
    answer = await ask(ollama, **asked, logprobs=True, top_logprobs=2)
    assert answer.notes == ()
    assert api.paths == ["/api/chat"]
    sent = api.bodies[0]
    assert sent["options"] == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 20,
        "min_p": 0.05,
        "seed": 7,
        "stop": ["END"],
        "num_predict": 50,
        "presence_penalty": 0.1,
        "frequency_penalty": -0.1,
        "repeat_penalty": 1.1,
    }
    assert (sent["keep_alive"], sent["logprobs"], sent["top_logprobs"]) == ("10m", True, 2)


async def test_what_neither_way_honours_is_named(ollama: Ollama) -> None:
    answer = await ask(
        ollama, n=2, logit_bias={"1": 1}, tool_choice="required", parallel_tool_calls=False, reasoning_effort="low"
    )
    assert set(answer.notes) == {
        *("logit_bias_ignored", "tool_choice_ignored", "parallel_tool_calls_ignored", "n_ignored"),
        "reasoning_effort_ignored",
    }


async def test_no_tool_is_offered_to_a_model_that_must_not_use_one(ollama: Ollama, api: OllamaApi) -> None:
    answer = await ask(ollama, tools=[TOOL], tool_choice="none")
    await ask(ollama, tools=[TOOL], tool_choice="none", keep_alive=0)
    assert answer.notes == ()
    assert ["tools" in body for body in api.bodies] == [False, False]


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ({"type": "json_object"}, "json"),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array"}}}, {"type": "array"}),
    ],
)
async def test_structured_output(ollama: Ollama, api: OllamaApi, wanted: Any, sent: Any) -> None:
    await ask(ollama, response_format=wanted)
    assert api.bodies[0]["format"] == sent


async def test_how_much_to_think_and_what_was_thought(ollama: Ollama, api: OllamaApi) -> None:
    api.lines = [
        {"message": {"content": "", "thinking": "Hm."}, "done": False},
        {"message": {"content": "Penguins"}, "done": True, "done_reason": "length"},
    ]
    for effort, think in (("none", False), ("minimal", "low"), ("high", "high")):
        await ask(ollama, model="thinker:8b", reasoning_effort=effort)
        assert api.bodies[-1]["think"] == think
    chat, _ = await streamed_chat(await ask(ollama, model="thinker:8b", think=True, stream=True))
    assert api.bodies[-1]["think"] is True
    message = chat.choices[0].message
    assert (message.reasoning, message.content, chat.choices[0].finish_reason) == ("Hm.", "Penguins", "length")
    with pytest.raises(InvalidRequest):
        await ask(ollama, model="thinker:8b", reasoning_effort="much")


async def test_pictures_are_sent_and_addresses_refused(ollama: Ollama, api: OllamaApi) -> None:
    def content(url: str) -> list[dict[str, Any]]:
        return [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": url}}]

    await ask(ollama, content(f"data:image/png;base64,{PIXEL}"), model="thinker:8b")
    assert api.bodies[0]["messages"] == [{"role": "user", "content": "What?", "images": [PIXEL]}]
    for wrong in ("https://example.org/a.png", "file:///etc/passwd", "data:image/png,raw", 7):
        with pytest.raises(InvalidRequest) as refused:
            await ask(ollama, content(wrong), model="thinker:8b")  # type: ignore[arg-type]
        assert refused.value.details["field"] == "image_url"
    assert len(api.bodies) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_whole_loop_with_tools(ollama: Ollama, api: OllamaApi, stream: bool) -> None:
    def called(place: str) -> dict[str, Any]:
        call = {"function": {"name": "weather", "arguments": {"place": place, "days": 2}}}
        return {"message": {"content": "", "tool_calls": [call]}, "done": False}

    end = {"message": {"content": ""}, "done": True, "done_reason": "stop", "prompt_eval_count": 5, "eval_count": 3}
    api.lines = [called("Oslo"), called("Rome"), end]
    answer = await ask(ollama, long(5000), tools=[TOOL], stream=stream)
    chat = (await streamed_chat(answer))[0] if stream else chat_of(answer)
    assert chat.choices[0].finish_reason == "tool_calls"
    calls = chat.choices[0].message.tool_calls
    assert [json.loads(c.function.arguments)["place"] for c in calls] == ["Oslo", "Rome"]
    assert len({c.id for c in calls}) == 2
    api.lines = None
    history = [
        {"role": "user", "content": long(5000)},
        {"role": "assistant", "content": None, "tool_calls": [c.model_dump(exclude={"index"}) for c in calls]},
        *({"role": "tool", "tool_call_id": c.id, "content": "cold"} for c in calls),
    ]
    await ask(ollama, messages=history, tools=[TOOL])
    sent = api.bodies[-1]["messages"]
    assert sent[1]["tool_calls"][0]["function"]["arguments"] == {"place": "Oslo", "days": 2}
    assert [(m["tool_name"], m["tool_call_id"]) for m in sent[2:]] == [("weather", c.id) for c in calls]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_an_answer_cost_and_how_long_the_model_took_to_load(ollama: Ollama, stream: bool) -> None:
    answer = await ask(ollama, long(5000), stream=stream, stream_options={"include_usage": True})
    if stream:
        chat, chunks = await streamed_chat(answer)
        usage = chunks[-1].usage
        assert answer.events is not None
        assert answer.events.usage.prompt_tokens == 5000
    else:
        chat = chat_of(answer)
        usage = chat.usage
        assert answer.usage.prompt_tokens == 5000
    assert (chat.choices[0].message.content, chat.choices[0].finish_reason) == ("Penguins", "stop")
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (5000, 2, 5002)
    assert usage.load_ms == 1500  # type: ignore[union-attr]


async def test_the_middle_of_a_text_is_filled_natively(ollama: Ollama, api: OllamaApi) -> None:
    model = await offer(ollama, "qwen2.5-coder:1.5b")
    body = {"prompt": "def f(", "suffix": "return x", "max_tokens": 9, "stop": ["\n\n"], "seed": 3, "stream": True}
    text, finish, _ = await streamed_text(await ollama.complete(model, body, ANA))
    assert (text, finish, api.paths) == ("Penguins", "stop", ["/api/generate"])
    assert api.bodies[0] == {
        "model": "qwen2.5-coder:1.5b",
        "stream": True,
        "prompt": "def f(",
        "suffix": "return x",
        "options": {"temperature": 1.0, "top_p": 1.0, "stop": ["\n\n"], "num_predict": 9, "seed": 3},
    }
    at_the_beginning = await ollama.complete(model, {"prompt": "", "suffix": "import os"}, ANA)
    said = json.loads(at_the_beginning.document or b"")
    assert said["choices"][0]["text"] == "Penguins", "an empty prompt would only load the model"
    assert (said["object"], said["usage"]["completion_tokens"]) == ("text_completion", 2)


async def test_a_model_that_cannot_fill_in_completes_from_what_comes_before(ollama: Ollama, api: OllamaApi) -> None:
    answer = await ollama.complete(await offer(ollama), {"prompt": "def f(", "suffix": "return x", "echo": True}, ANA)
    assert answer.notes == ("echo_ignored", "suffix_ignored")
    assert (api.paths, "suffix" in api.bodies[0]) == (["/v1/completions"], False)
    await ollama.complete(await offer(ollama), {"prompt": [long(6000)]}, ANA)
    assert (api.paths[-1], api.cut) == ("/api/generate", [])


@pytest.mark.parametrize("prompt", [["a", "b"], [1, 2], [[1]], [], None])
async def test_one_text_is_completed_at_a_time(ollama: Ollama, prompt: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await ollama.complete(await offer(ollama), {"prompt": prompt}, ANA)
    assert refused.value.details["field"] == "prompt"


async def test_embeddings(ollama: Ollama, api: OllamaApi) -> None:
    model = await offer(ollama, "nomic-embed-text:latest")
    plain = embeddings_of(await ollama.embed(model, {"input": ["bird", "fish!"], "dimensions": 2}, ANA))
    assert [one.embedding for one in plain.data] == [[4.0, 0.25], [5.0, 0.25]]
    assert (plain.usage.prompt_tokens, api.bodies[0]["truncate"]) == (11, False)
    packed = json.loads((await ollama.embed(model, {"input": "x", "encoding_format": "base64"}, ANA)).document or b"")
    assert struct.unpack("<3f", base64.b64decode(packed["data"][0]["embedding"])) == (1.0, 0.25, -1.0)


async def test_a_text_that_is_too_long_to_embed_is_not_cut(ollama: Ollama, api: OllamaApi) -> None:
    model = await offer(ollama, "nomic-embed-text:latest")
    await ollama.embed(model, {"input": ["short", long(6000)]}, ANA)
    assert api.bodies[0]["options"] == {"num_ctx": 8192}, "as far as the model goes"
    with pytest.raises(UpstreamRejected, match="exceeds"):
        await ollama.embed(model, {"input": long(9000)}, ANA)
    assert api.cut == []


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ([{"message": {"content": "Pen"}, "done": False}], UpstreamIncomplete),
        ([{"message": {"content": "Pen"}, "done": False}, {"error": "out of memory"}], UpstreamRejected),
        ([{"message": {"content": 7}, "done": False}], UpstreamInvalid),
        ([{"capabilities": []}], UpstreamInvalid),
    ],
)
async def test_a_stream_that_goes_wrong(ollama: Ollama, api: OllamaApi, lines: Any, error: type[AidpError]) -> None:
    api.lines = lines
    with pytest.raises(error):
        await received(await ask(ollama, keep_alive=0, stream=True))


async def test_a_document_of_another_shape_is_an_error(ollama: Ollama, api: OllamaApi) -> None:
    for line in ({"capabilities": []}, {"message": []}, {"error": "no"}):
        api.lines = [line]
        with pytest.raises(UpstreamError):
            await ask(ollama, keep_alive=0)


# --- pulling ---


async def test_a_pull_tells_how_far_it_is(ollama: Ollama, api: OllamaApi) -> None:
    api.pull = [
        {"status": "pulling manifest"},
        {"status": "pulling 1", "digest": "sha256:1", "total": 100, "completed": 40},
        {"status": "success"},
    ]
    steps = [step async for step in ollama.pull("qwen2.5-coder:1.5b")]
    assert steps == [
        PullProgress("pulling manifest"),
        PullProgress("pulling 1", completed=40, total=100),
        PullProgress("success"),
    ]


@pytest.mark.parametrize(
    ("line", "status", "error"),
    [
        ({"error": "pull model manifest: file does not exist"}, 500, ModelNotFound),
        ({"error": "pull model manifest: file does not exist"}, 200, ModelNotFound),
        ({"error": "write /models/x: no space left on device"}, 200, StorageError),
        ({"error": "max retries exceeded"}, 200, UpstreamRejected),
        ({"error": "invalid model name"}, 400, InvalidRequest),
        ({"status": "pulling 1"}, 200, UpstreamIncomplete),
        ({}, 302, UpstreamInvalid),
    ],
)
async def test_a_pull_that_fails(
    ollama: Ollama, api: OllamaApi, line: Any, status: int, error: type[AidpError]
) -> None:
    api.pull, api.pull_status = [line], status
    with pytest.raises(error):
        async for _ in ollama.pull("qwen2.5-coder:1.5b"):
            pass


async def test_a_pull_that_nobody_answers() -> None:
    http = HttpClient()
    nowhere = Ollama("ollama", "Ollama", f"http://127.0.0.1:{free_port()}", http, locality=Locality.LOCAL)
    with pytest.raises(UpstreamUnreachable):
        async for _ in nowhere.pull("llama3.2"):
            pass
    await http.close()


async def test_leaving_a_pull_ends_it(ollama: Ollama, api: OllamaApi) -> None:
    async with asyncio.timeout(60):
        async with aclosing(ollama.pull("llama3.2")) as steps:
            async for _ in steps:
                break
        await api.left.wait()


async def test_cancelling_a_pull_ends_it(ollama: Ollama, api: OllamaApi) -> None:
    async def pull() -> None:
        async for _ in ollama.pull("llama3.2"):
            pass

    async with asyncio.timeout(60):
        task = asyncio.create_task(pull())
        await api.pulling.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await api.left.wait()
    assert task.cancelled()


@pytest.mark.parametrize(
    "name", ["-rf", "--insecure", "", "a b", "a\nb", "a/b/c/d", "http://evil/x", "../x", "a:", ":b", "é", "a\x00", "/a"]
)
async def test_what_is_no_name_is_not_pulled(ollama: Ollama, api: OllamaApi, name: str) -> None:
    with pytest.raises(InvalidRequest):
        ollama.pull(name)
    assert api.paths == []


@pytest.mark.parametrize("name", ["llama3.2", "llama3.2:3b", "hf.co/bartowski/Llama-3.2-3B-GGUF:Q4_K_M", "me/x:1"])
async def test_names_of_models(ollama: Ollama, api: OllamaApi, name: str) -> None:
    api.pull = [{"status": "success"}]
    assert [step.status async for step in ollama.pull(name)] == ["success"]
    assert api.bodies[0]["model"] == name


@pytest.mark.parametrize("name", ["kimi-k2:cloud", "gpt-oss:120b-cloud", "Kimi-K2:Cloud"])
async def test_a_hosted_model_is_pulled_only_where_that_is_wanted(ollama: Ollama, api: OllamaApi, name: str) -> None:
    with pytest.raises(PolicyRefused):
        ollama.pull(name)
    api.pull = [{"status": "success"}]
    assert [step.status async for step in ollama.pull(name, allow_cloud=True)] == ["success"]
