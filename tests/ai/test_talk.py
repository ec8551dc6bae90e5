"""A chat with the router from inside the server: text as it comes, an end that ends the model's work, its price."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from traitlets.config import Config

from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.models import Caller, Capability, Privacy, RouteRequest, Task
from aidp_ext.ai.service import AiService
from aidp_ext.ai.talk import talk
from aidp_ext.core.errors import AidpError, UpstreamError
from tests.support.processes import wait_until
from tests.support.upstream import KEY, WORDS, Upstream

ANA = Caller("ana")
QUESTION = [{"role": "user", "content": "Which bird is it?"}]


@pytest.fixture
async def ai(tmp_path: Path, upstream: Upstream) -> AsyncIterator[AiService]:
    traits = {
        "openai_base_url": f"{upstream.url}/v1",
        "openai_api_key": KEY,
        "anthropic_api_key": "",
        "gemini_api_key": "",
        "gateway_url": f"{upstream.url}/gw",
        "gateway_token": "t",
        "ollama_host": "",
        "local_openai_base_url": "",
        "read_timeout_s": 5.0,
        "mode": "hybrid",
    }
    service = AiService(AiConfig(config=Config({"AiConfig": traits})), tmp_path)
    await service.start()
    yield service
    await service.stop()


async def test_an_answer_comes_as_pieces_of_text_and_its_price_is_known_at_the_end(ai: AiService) -> None:
    talking = await talk(ai, QUESTION, RouteRequest(model="openai/good"), ANA)
    assert [piece async for piece in talking] == list(WORDS)
    assert talking.finish_reason == "stop"
    call = await ai.call(talking.answer.call_id, "ana")
    assert call is not None and call.cost_usd > 0 and call.completion_tokens == len(WORDS)
    assert await ai.call(talking.answer.call_id, "ben") is None, "nobody else's"
    assert await ai.call("no-such-call", "ana") is None


async def test_ending_it_early_ends_the_work_upstream(ai: AiService, upstream: Upstream) -> None:
    talking = await talk(ai, QUESTION, RouteRequest(model="openai/forever"), ANA)
    await anext(aiter(talking))
    await talking.aclose()
    await asyncio.to_thread(wait_until, lambda: upstream.aborted, "the server notices")


async def test_one_that_nobody_reads_can_be_ended_too(ai: AiService, upstream: Upstream) -> None:
    talking = await talk(ai, QUESTION, RouteRequest(model="openai/forever"), ANA)
    await talking.aclose()
    await asyncio.to_thread(wait_until, lambda: upstream.aborted, "the server notices")


@pytest.mark.parametrize("model", ["cut", "reset-midway", "half-event", "error-event"])
async def test_what_breaks_off_is_an_error_after_the_text_that_came(ai: AiService, model: str) -> None:
    talking = await talk(ai, QUESTION, RouteRequest(model=f"openai/{model}"), ANA)
    came: list[str] = []
    with pytest.raises(AidpError) as caught:
        async for piece in talking:
            came.append(piece)
    assert came and isinstance(caught.value, UpstreamError)


async def test_the_policy_learns_what_the_request_needs(ai: AiService, upstream: Upstream) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]}]
    seen: list[RouteRequest] = []

    class Watched:
        async def answer(self, dialect, request, body, caller, size=0):  # type: ignore[no-untyped-def]
            seen.append(request)
            return await ai.answer(dialect, request, body, caller, size)

        call = ai.call

    talking = await talk(Watched(), messages, RouteRequest(model="openai/good"), ANA, max_tokens=9, temperature=0.2)
    await talking.aclose()
    assert Capability.VISION in seen[0].needs and seen[0].output_tokens == 9 and seen[0].prompt_tokens > 0
    body = upstream.posts()[0].body
    assert (body["max_tokens"], body["temperature"], body["stream"]) == (9, 0.2, True)


async def test_a_gateway_sees_task_privacy_paths_and_conversation(ai: AiService, upstream: Upstream) -> None:
    request = RouteRequest(
        task=Task.FIX,
        model="gateway/openai/gpt",
        privacy=Privacy.REDACT,
        paths=("a b.py", "outputs"),
        conversation="c1",
    )
    talking = await talk(ai, QUESTION, request, ANA)
    await talking.aclose()
    headers = upstream.posts()[0].headers
    assert headers["x-aidp-task"] == "fix" and headers["x-aidp-privacy"] == "redact"
    assert headers["x-aidp-path"] == "a%20b.py,outputs" and headers["x-aidp-conversation"] == "c1"
