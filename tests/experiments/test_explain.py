"""A model's words about runs come through the router, for the caller, as the task that they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from traitlets.config import Config

from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.service import AiService
from aidp_ext.experiment_parts import explain_with
from tests.support.upstream import KEY, WORDS, Upstream

QUESTION = [{"role": "user", "content": "Why is the second run better?"}]


@pytest.fixture
async def ai(tmp_path: Path, upstream: Upstream) -> AsyncIterator[AiService]:
    traits = {
        "openai_base_url": f"{upstream.url}/v1",
        "openai_api_key": KEY,
        "anthropic_api_key": "",
        "gemini_api_key": "",
        "ollama_host": "",
        "local_openai_base_url": "",
        "mode": "hybrid",
    }
    service = AiService(AiConfig(config=Config({"AiConfig": traits})), tmp_path)
    await service.start()
    yield service
    await service.stop()


async def test_runs_are_explained_through_the_router(ai: AiService, upstream: Upstream) -> None:
    words = await explain_with(ai)(QUESTION, ("ana", ("birds",)))
    said = "".join([piece async for piece in words])
    assert said and "".join(WORDS).startswith(said)
    assert words.route.startswith("openai/") and words.reason and words.locality == "cloud"
    await words.aclose()
