"""What a call goes through: the scorer's seam, counted tokens, privacy by path, the preview, and who may see what."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from traitlets.config import Config

from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.models import Answer, Caller, Dialect, Locality, Mode, Privacy, RouteRequest, Task
from aidp_ext.ai.policy import Scorer
from aidp_ext.ai.service import AiService
from aidp_ext.core.errors import BudgetExhausted, ContextTooLong, PolicyRefused, RateLimited
from tests.support.llama_server import CONTEXT_PER_SLOT
from tests.support.upstream import KEY, Upstream

ANA, BEN = Caller("ana"), Caller("ben", teams=("interns",))
Make = Callable[..., Awaitable[AiService]]
SECRET = "AKIAIOSFODNN7REALKEY"


@pytest.fixture
async def make(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Make]:
    """Make a router: Ollama on this machine, the misbehaving server as OpenAI, a workspace."""
    made: list[AiService] = []
    (tmp_path / "work").mkdir()

    async def build(**traits: Any) -> AiService:
        usual = {
            "openai_base_url": f"{upstream.url}/v1",
            "openai_api_key": KEY,
            "anthropic_api_key": "",
            "gemini_api_key": "",
            "ollama_host": f"{upstream.url}/ollama",
            "local_openai_base_url": "",
            "mode": "hybrid",
            "preferred_models": ["good"],
        }
        config = AiConfig(config=Config({"AiConfig": {**usual, **traits}}))
        service = AiService(config, tmp_path / "state", workspace=tmp_path / "work")
        made.append(service)
        await service.start()
        return service

    yield build
    for service in made:
        await service.stop()


async def ask(service: AiService, text: str = "Hello", caller: Caller = ANA, **more: Any) -> Answer:
    request = RouteRequest(**{"prompt_tokens": len(text) // 4 + 1, **more})
    body = {"model": request.model, "messages": [{"role": "user", "content": text}]}
    return await service.answer(Dialect.CHAT, request, body, caller, len(text))


class ByLength(Scorer):
    def score(self, task: Task, body: Mapping[str, Any]) -> float | None:
        return 0.9 if len(body["messages"][0]["content"]) > 100 else 0.1


async def test_a_scorer_of_the_admins_chooses_between_local_and_cloud(make: Make) -> None:
    service = await make(scorer_class=ByLength)
    assert ((await ask(service)).locality, (await ask(service)).reason) == (Locality.LOCAL, "judged_easy")
    answer = await ask(service, "why " * 100)
    assert (answer.locality, answer.reason) == (Locality.CLOUD, "judged_hard")
    assert (await ask(service, "why " * 100, privacy=Privacy.LOCAL)).locality is Locality.LOCAL, "rules come first"


async def test_near_the_end_of_the_context_the_model_itself_counts(make: Make, llama: str) -> None:
    service = await make(local_openai_base_url=llama, openai_api_key="", ollama_host=":9")
    # one byte is about one token of this model, so the estimate of four is far too low
    with pytest.raises(ContextTooLong, match=r"needs 1,\d\d\d tokens"):
        await ask(service, "é#" * (CONTEXT_PER_SLOT // 2), model="local/tiny-coder", prompt_tokens=600)
    # and the estimate that is too high does not refuse
    answer = await ask(service, "x" * 300, model="local/tiny-coder", prompt_tokens=2000, output_tokens=8)
    assert answer.route == "local/tiny-coder"


@pytest.mark.parametrize("path", ["data/patients.csv", "other/table.csv", "outputs", "../elsewhere.py"])
async def test_text_from_a_place_that_never_leaves_stays_here(
    make: Make, tmp_path: Path, upstream: Upstream, path: str
) -> None:
    (tmp_path / "work" / "aidp.toml").write_text('[ai]\nnever_leave = ["data/**", "*.csv", "outputs"]\n')
    service = await make()
    answer = await ask(service, paths=(path,))
    assert (answer.locality, answer.reason) == (Locality.LOCAL, "private")
    with pytest.raises(PolicyRefused):
        await ask(service, paths=(path,), model="openai/good")
    with pytest.raises(PolicyRefused):
        await ask(service, paths=(path,), model="openai/good", privacy=Privacy.CLOUD)
    assert all(request.path.startswith("/ollama") for request in upstream.posts())
    assert (await ask(service, paths=("notebook.ipynb",))).locality is Locality.CLOUD


async def test_a_workspace_that_says_local_is_heeded_as_soon_as_it_does(make: Make, tmp_path: Path) -> None:
    service = await make()
    assert (await ask(service)).locality is Locality.CLOUD
    (tmp_path / "work" / "aidp.toml").write_text('[ai]\nprivacy = "local"\n')
    assert (await ask(service)).locality is Locality.LOCAL
    (tmp_path / "work" / "aidp.toml").write_text("[ai\n")
    assert (await ask(service)).locality is Locality.LOCAL, "rules that nobody understands keep everything here"


async def test_the_default_class_local_keeps_everything_here(make: Make) -> None:
    service = await make(default_privacy="local")
    assert (await ask(service)).locality is Locality.LOCAL
    with pytest.raises(PolicyRefused):
        await ask(service, model="openai/good")


async def test_detection_can_keep_a_request_here(make: Make, upstream: Upstream) -> None:
    service = await make(detected="local")
    assert (await ask(service)).locality is Locality.CLOUD
    upstream.clear()
    answer = await ask(service, f"key = '{SECRET}'")
    assert (answer.locality, answer.reason) == (Locality.LOCAL, "private")
    assert all(request.path.startswith("/ollama") for request in upstream.posts())


async def test_the_preview_is_what_leaves_byte_for_byte(make: Make, upstream: Upstream) -> None:
    service = await make()
    text = f"key = '{SECRET}' of ana@example.org"
    body = {"model": "openai/good", "messages": [{"role": "user", "content": text}], "temperature": 0.5}
    request = RouteRequest(model="openai/good")
    shown = await service.preview(Dialect.CHAT, request, body, ANA, 100)
    assert upstream.posts() == [], "nothing is sent"
    assert {finding.kind for finding in shown.findings} >= {"email"}
    await service.answer(Dialect.CHAT, request, body, ANA, 100)
    assert upstream.posts()[0].body == shown.body
    assert SECRET not in json.dumps(shown.body) and "ana@example.org" not in json.dumps(shown.body)
    assert shown.url == f"{upstream.url}/v1/chat/completions"


async def test_the_preview_of_what_stays_here_says_so(make: Make, upstream: Upstream) -> None:
    shown = await (await make()).preview(Dialect.CHAT, RouteRequest(privacy=Privacy.LOCAL), {"messages": []}, ANA)
    assert (shown.url, shown.body, shown.error) == (None, None, None)
    refused = await (await make(mode="offline")).preview(
        Dialect.CHAT, RouteRequest(model="openai/good"), {"messages": []}, ANA
    )
    assert isinstance(refused.error, PolicyRefused)
    assert upstream.posts() == []


async def test_a_teams_lists_bind_every_name_and_every_dialect(make: Make, upstream: Upstream) -> None:
    service = await make(team_models={"interns": {"allowed": ["ollama/*"], "denied": ["*coder*"]}})
    assert (await ask(service, caller=ANA, model="openai/good")).route == "openai/good"
    for name in ("openai/good", "good"):
        for dialect in (Dialect.CHAT, Dialect.MESSAGES):
            with pytest.raises(PolicyRefused):
                body = {"model": name, "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
                await service.answer(dialect, RouteRequest(model=name), body, BEN)
    assert (await ask(service, caller=BEN, privacy=Privacy.LOCAL)).route == "ollama/llama3.2:3b"
    offered = {offer.route for offer in await service.models(BEN)}
    assert offered and not any("coder" in route or route.startswith("openai/") for route in offered)


async def test_near_the_budget_it_stays_here_and_beyond_it_says_until_when(make: Make) -> None:
    service = await make(
        monthly_budget_usd=0.02, soft_budget_share=0.1, prices={"openai/*": {"input": 1, "output": 1000}}
    )
    first = await ask(service, model="openai/good", output_tokens=5)
    assert first.cost_usd == pytest.approx(0.005, abs=0.0001)
    soft = await ask(service)
    while soft.reason != "soft_budget":  # what is spent is looked up at most once a second
        await asyncio.sleep(0.05)
        soft = await ask(service)
    assert (soft.locality, soft.reason) == (Locality.LOCAL, "soft_budget")
    for _ in range(3):
        with pytest.raises(BudgetExhausted, match="resets on") as refused:
            for _ in range(5):
                await ask(service, model="openai/good", output_tokens=5)
    assert refused.value.details["resets_at"] > "2026"
    (state,) = await service.budgets(ANA)
    assert state.spent_usd <= 0.02
    assert state.reserved_usd == 0
    assert (await ask(service)).locality is Locality.LOCAL


async def test_an_answer_without_a_limit_is_given_one_that_the_money_is_enough_for(
    make: Make, upstream: Upstream
) -> None:
    service = await make(monthly_budget_usd=1.0, prices={"openai/*": {"input": 0, "output": 200}})
    answer = await ask(service, model="openai/good")
    (note,) = (note for note in answer.notes if note.startswith("max_tokens_set_to_"))
    most = int(note.rsplit("_", 1)[1])
    assert most == 5000
    assert upstream.posts()[-1].body["max_tokens"] == most
    # a limit of 0 is none: it must not win over the one that the money is enough for
    request = RouteRequest(model="openai/good")
    body = {"model": "openai/good", "messages": [{"role": "user", "content": "Hello"}], "max_completion_tokens": 0}
    await service.answer(Dialect.CHAT, request, body, ANA)
    assert "max_completion_tokens" not in upstream.posts()[-1].body
    assert 0 < upstream.posts()[-1].body["max_tokens"] <= most


async def test_who_asks_too_often_is_told_to_wait(make: Make) -> None:
    service = await make(requests_per_minute=60)
    with pytest.raises(RateLimited) as refused:
        for _ in range(20):
            await ask(service, privacy=Privacy.LOCAL)
    assert refused.value.details["retry_after_s"] >= 1
    assert (await ask(service, caller=BEN, privacy=Privacy.LOCAL)).locality is Locality.LOCAL, "others are let in"


async def test_what_happened_is_told_to_whom_it_concerns(make: Make) -> None:
    service = await make()
    await ask(service, caller=ANA)
    await ask(service, caller=BEN, privacy=Privacy.LOCAL)
    service.feedback(ANA, "ollama/llama3.2:3b", Task.COMPLETE, 3, 1)
    assert [call.user for call in await service.recent(10, "ana")] == ["ana"]
    assert {call.user for call in await service.recent(10, None)} == {"ana", "ben"}
    report = await service.usage(30, "ana")
    assert (report.total.calls, report.total.accepted, report.total.rejected) == (1, 3, 1)
    assert (await service.usage(30, None)).total.local_calls == 1
    service.set_mode(Mode.OFFLINE, ANA)
    assert (await ask(service)).reason == "mode_offline"


async def test_what_is_under_way_is_measured_and_comes_back_to_nothing(make: Make, upstream: Upstream) -> None:
    service, before = await make(), REGISTRY.get_sample_value("aidp_ai_ongoing")
    body = {"model": "openai/forever", "messages": [{"role": "user", "content": "x"}], "stream": True}
    answer = await service.answer(Dialect.CHAT, RouteRequest(model="openai/forever"), body, ANA)
    assert answer.events is not None
    assert REGISTRY.get_sample_value("aidp_ai_ongoing") == (before or 0) + 1
    await answer.events.aclose()
    with pytest.raises(PolicyRefused):
        await ask(service, model="openai/good", privacy=Privacy.LOCAL)
    assert REGISTRY.get_sample_value("aidp_ai_ongoing") == before
