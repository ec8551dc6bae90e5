"""What goes wrong, as a table: what is asked of the router, what it does about it, what it says, what it writes down.

The model server is one that misbehaves on request; the ledger and the audit record are real.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from traitlets.config import Config

from aidp_ext.ai import service as service_module
from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.health import Health
from aidp_ext.ai.ledger import Ledger
from aidp_ext.ai.models import Answer, Caller, Dialect, Mode, RouteRequest, Task
from aidp_ext.ai.prices import Prices
from aidp_ext.ai.service import AiService
from aidp_ext.core.audit import AuditLog, verify
from aidp_ext.core.errors import (
    AidpError,
    BudgetExhausted,
    ModelNotFound,
    PolicyRefused,
    StorageError,
    Superseded,
    Unavailable,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
)
from aidp_ext.core.web import status_of
from tests.ai.ledgers import Clock, rows
from tests.support.faults import BREAKS, CASES, IDS, Break, Fault
from tests.support.ollama_api import OllamaApi
from tests.support.upstream import KEY, Upstream, event
from tests.support.wire import serving

ANA = Caller("ana")
CHAT = {"messages": [{"role": "user", "content": "Which bird is it?"}], "max_tokens": 50}
SILENCE_S = 0.6
BUDGET_USD = 10.0


@dataclass
class Router:
    """A router over the misbehaving server as OpenAI, with a budget, and a look at what it writes."""

    service: AiService
    state: Path
    upstream: Upstream

    async def ask(self, model: str, *, stream: bool = False, body: dict[str, Any] | None = None, **more: Any) -> Answer:
        """Ask for a chat of at most 50 tokens; ``more`` is what the router is told of the request."""
        sent = {**CHAT, **(body or {}), "model": model, "stream": stream}
        request = RouteRequest(model=model, **{"output_tokens": sent.get("max_tokens"), **more})
        return await self.service.answer(Dialect.CHAT, request, sent, ANA, 100)

    @property
    def audit(self) -> list[dict[str, Any]]:
        """The whole record, which must be whole."""
        verify(self.state / "audit.jsonl")
        return [json.loads(line) for line in (self.state / "audit.jsonl").read_text().splitlines()]

    @property
    def audit_exists(self) -> bool:
        """Whether anything has been recorded."""
        return (self.state / "audit.jsonl").exists()

    @property
    def asked(self) -> list[str]:
        """The models that were asked, in their order."""
        return [request.model for request in self.upstream.posts()]

    async def calls(self) -> list[Any]:
        """The ledger's rows, newest first."""
        return list(await self.service.recent(100, None))

    async def money(self) -> tuple[float, float]:
        """Dollars spent and dollars held, as the database has them."""
        await self.service.recent(1, None)  # writes what waits
        found = rows(f"sqlite:///{self.state}/aidp.sqlite", "SELECT bucket, spent, reserved FROM ai_spend")
        month = [(spent / 1e9, held / 1e9) for bucket, spent, held in found if bucket.endswith("/deployment/")]
        held = rows(f"sqlite:///{self.state}/aidp.sqlite", "SELECT coalesce(sum(nano), 0) FROM ai_reservation")
        assert {reserved for _, reserved in month} <= {held[0][0] / 1e9}
        return month[0] if month else (0.0, 0.0)


Make = Callable[..., Awaitable[Router]]


@pytest.fixture
async def make(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Make]:
    """Make and start a router; ``is_local``: the misbehaving server is a local one too, beside OpenAI."""
    made: list[AiService] = []

    async def build(*, is_local: bool = False, workspace: Path | None = None, **traits: Any) -> Router:
        usual = {
            "openai_base_url": f"{upstream.url}/v1",
            "openai_api_key": KEY,
            "anthropic_api_key": "",
            "gemini_api_key": "",
            "gateway_url": "",
            "ollama_host": "127.0.0.1:9",
            "local_openai_base_url": "",
            "read_timeout_s": SILENCE_S,
            "completion_timeout_s": SILENCE_S,
            "max_retry_wait_s": 0.05,
            "mode": "hybrid",
            "monthly_budget_usd": BUDGET_USD,
            "allow_local_models": True,
        }
        if is_local:
            usual["local_openai_base_url"] = f"{upstream.url}/v1"
        config = AiConfig(config=Config({"AiConfig": {**usual, **traits}}))
        service = AiService(config, tmp_path, workspace=workspace, keeps_keys=False)
        made.append(service)
        await service.start()
        return Router(service, tmp_path, upstream)

    yield build
    for service in made:
        await service.stop()


async def read(answer: Answer) -> None:
    """Read an answer to its end."""
    if answer.events is not None:
        async for _ in answer.events:
            pass


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait until something comes true."""
    try:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"never came true: {what}") from None


# --- before the first byte


@pytest.mark.parametrize(("fault", "stream"), CASES, ids=IDS)
async def test_a_named_model_that_fails_says_so_and_costs_nothing(make: Make, fault: Fault, stream: bool) -> None:
    router = await make()
    with pytest.raises(AidpError, match=re.escape(fault.says)) as failed:
        await router.ask(f"openai/{fault.what}", stream=stream)
    error = failed.value
    assert (error.code, status_of(error)) == (fault.code, fault.status)
    assert fault.step is None or fault.step in str(error.next_step)
    wait_s = error.details.get("retry_after_s")
    assert (wait_s is None) == (fault.retry_after_s is None)
    assert wait_s is None or wait_s <= (fault.retry_after_s or 0)

    assert router.asked == [fault.what] * fault.attempts
    assert error.details["attempts"] == fault.attempts
    (row,) = await router.calls()
    assert (row.id, row.route, row.outcome) == (error.details["call"], f"openai/{fault.what}", fault.code)
    assert (row.attempts, row.cost_usd) == (fault.attempts, 0)
    assert [(r["event"], r["outcome"], r["attempt"]) for r in router.audit] == [
        ("ai.call", fault.code, attempt) for attempt in range(1, fault.attempts + 1)
    ]
    assert await router.money() == (0, 0)
    assert router.service.condition(f"openai/{fault.what}")[0] == fault.health
    assert KEY not in error.message + str(error.details)


@pytest.mark.parametrize(("fault", "stream"), CASES, ids=IDS)
async def test_another_model_answers_where_it_may(make: Make, fault: Fault, stream: bool) -> None:
    router = await make(preferred_models=[fault.what, "good"])
    if not fault.elsewhere:
        with pytest.raises(AidpError, match=re.escape(fault.says)) as failed:
            await router.ask("auto", stream=stream)
        assert (failed.value.code, router.asked) == (fault.code, [fault.what])
        assert await router.money() == (0, 0)
        return
    answer = await router.ask("auto", stream=stream)
    await read(answer)
    assert (answer.route, answer.attempts, answer.headers["X-AIDP-Attempts"]) == ("openai/good", 2, "2")
    assert router.asked == [fault.what, "good"], "with another model at hand the first is not asked once more"
    (row,) = await router.calls()
    assert (row.route, row.outcome, row.attempts) == ("openai/good", "ok", 2)
    assert [r["outcome"] for r in router.audit] == [fault.code, "ok"]
    assert await router.money() == (row.cost_usd, 0)
    assert row.cost_usd > 0


# --- in mid-stream: the answer has begun, and nobody else can go on with it


@pytest.mark.parametrize("fault", BREAKS, ids=lambda fault: fault.what)
async def test_a_stream_that_breaks_off_ends_in_its_error_and_is_paid(make: Make, fault: Break) -> None:
    router = await make(preferred_models=[fault.what, "good"])
    answer = await router.ask("auto", stream=True)
    assert answer.events is not None
    received = b""
    with pytest.raises(AidpError, match=fault.says) as failed:
        async for chunk in answer.events:
            received += chunk
            router.upstream.go_on()
    await answer.events.aclose()
    assert (failed.value.code, status_of(failed.value)) == (fault.code, fault.status)
    assert received == event("Pen"), "what came before is the reader's, and no half event"
    assert router.asked == [fault.what], "nobody else can go on with half an answer"
    (row,) = await router.calls()
    assert (row.outcome, row.attempts, row.notes) == (fault.code, 1, ("usage_estimated",))
    assert [(r["outcome"], r["cost_usd"]) for r in router.audit] == [(fault.code, row.cost_usd)]
    assert row.cost_usd > 0
    assert await router.money() == (pytest.approx(row.cost_usd, abs=1e-8), 0)
    assert router.service.condition(f"openai/{fault.what}")[0] == "failing"


async def test_an_estimate_never_costs_more_than_was_held(make: Make) -> None:
    router = await make()
    answer = await router.ask("openai/forever", stream=True, body={"max_tokens": 1})
    held = (await router.money())[1]
    assert held > 0
    assert answer.events is not None
    received = 0
    async for chunk in answer.events:
        received += len(chunk)
        if received > 50_000:  # far more than one token
            break
    await answer.events.aclose()
    spent, left = await router.money()
    assert 0 < spent <= held
    assert left == 0


async def test_an_answer_whose_length_nobody_tells_is_estimated(make: Make) -> None:
    router = await make()
    await router.ask("openai/prompt-usage")
    (row,) = await router.calls()
    assert row.notes == ("usage_estimated",)
    assert row.prompt_tokens == 7
    assert row.completion_tokens is not None
    assert row.completion_tokens > 5


@pytest.mark.parametrize("stream", [False, True])
async def test_tokens_that_cannot_be_are_not_believed(make: Make, stream: bool) -> None:
    """Money is made of them: one absurd number must not keep a call from being settled."""
    router = await make()
    answer = await router.ask("openai/absurd-usage", stream=stream)
    await read(answer)
    (row,) = await router.calls()
    assert (row.outcome, row.notes) == ("ok", ("usage_estimated",))
    spent, held = await router.money()
    assert 0 < spent < 1
    assert held == 0


# --- once more, where that is safe


async def test_a_busy_server_is_asked_once_more(make: Make) -> None:
    router = await make()
    answer = await router.ask("openai/busy-once")
    assert (answer.attempts, router.asked) == (2, ["busy-once"] * 2)
    assert [r["outcome"] for r in router.audit] == ["upstream_rejected", "ok"]
    assert (await router.money())[1] == 0


async def test_who_types_does_not_wait_for_a_busy_server(make: Make) -> None:
    router = await make(mode="cloud")
    with pytest.raises(UpstreamRejected):
        await router.ask("openai/status-429", task=Task.COMPLETE)
    assert router.asked == ["status-429"]


async def test_no_wait_is_no_second_attempt(make: Make) -> None:
    router = await make(max_retry_wait_s=0)
    with pytest.raises(UpstreamRejected):
        await router.ask("openai/busy-once")
    assert router.asked == ["busy-once"]


async def test_the_second_attempt_is_judged_again(make: Make) -> None:
    router = await make(max_retry_wait_s=30)
    asking = asyncio.create_task(router.ask("openai/busy-once"))
    await until(lambda: router.audit_exists and router.audit, "the server has refused")
    router.service.set_mode(Mode.OFFLINE, ANA)
    with pytest.raises(UpstreamRejected):
        await asking
    assert router.asked == ["busy-once"]


# --- what was allowed a moment ago


async def test_the_mode_closes_the_cloud_while_a_model_hangs(make: Make) -> None:
    router = await make(preferred_models=["hang", "good"])
    asking = asyncio.create_task(router.ask("auto"))
    await until(lambda: router.asked, "a model is asked")
    router.service.set_mode(Mode.OFFLINE, ANA)
    with pytest.raises(PolicyRefused, match="Offline"):
        await asking
    assert router.asked == ["hang"]
    assert await router.money() == (0, 0)
    assert router.service.condition("openai/hang")[0] == "ok", "it is not to blame"


async def test_the_budget_is_used_up_by_another_while_a_model_hangs(make: Make) -> None:
    router = await make(preferred_models=["hang", "good"])
    asking = asyncio.create_task(router.ask("auto"))
    await until(lambda: router.asked, "a model is asked")
    (running,) = await router.calls()
    other = Ledger(f"sqlite:///{router.state}/aidp.sqlite")
    await other.start()
    other.settle(None, replace(running, id="other", user="bo", outcome="ok", cost_usd=BUDGET_USD))
    await other.close()
    with pytest.raises(BudgetExhausted) as failed:
        await asking
    assert (status_of(failed.value), failed.value.details["attempts"]) == (402, 1)
    assert router.asked == ["hang"]
    assert (await router.money()) == (BUDGET_USD, 0)


async def test_a_file_must_not_leave_any_more_while_a_model_hangs(make: Make, tmp_path: Path) -> None:
    workspace = tmp_path / "work"
    workspace.mkdir()
    router = await make(workspace=workspace, preferred_models=["hang", "good"])
    asking = asyncio.create_task(router.ask("auto", paths=("data/patients.csv",)))
    await until(lambda: router.asked, "a model is asked")
    (workspace / "aidp.toml").write_text('[ai]\nnever_leave = ["data/**"]\n')
    with pytest.raises(UpstreamTimeout):
        await asking
    assert router.asked == ["hang"]
    assert (await router.calls())[0].privacy == "local"


# --- the breaker


async def failing(router: Router, model: str, times: int) -> None:
    for _ in range(times):
        with pytest.raises(UpstreamError):
            await read(await router.ask(model, stream=True))


@pytest.mark.parametrize("model", ["status-500", "cut"])
async def test_a_model_that_fails_each_time_comes_last(make: Make, model: str) -> None:
    """Also one whose streams begin well, and break off each time."""
    router = await make(preferred_models=[model, "good"])
    await failing(router, f"openai/{model}", 3)
    assert router.service.condition(f"openai/{model}")[0] == "cooling"
    router.upstream.clear()
    assert (await router.ask("auto")).route == "openai/good"
    assert router.asked == ["good"]
    with pytest.raises(UpstreamError):  # who can go nowhere else is sent all the same
        await read(await router.ask(f"openai/{model}", stream=True))
    assert router.asked == ["good", model]


async def test_after_its_rest_one_request_tries_the_model(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(service_module, "Health", lambda **options: Health(clock=lambda: clock.passed, **options))
    router = await make(preferred_models=["status-500", "good"])
    await failing(router, "openai/status-500", 3)
    for rest_s in (10, 20):  # each failed trial doubles the rest
        clock.advance(rest_s - 1)
        assert (await router.ask("auto")).attempts == 1
        clock.advance(1)
        router.upstream.clear()
        answer = await router.ask("auto")
        assert (answer.route, router.asked) == ("openai/good", ["status-500", "good"])
    clock.advance(40)
    router.service._health.succeeded("openai/status-500", 1.0)
    assert (await router.service.route(RouteRequest(), ANA)).ranked[0].offer.model == "status-500"


@pytest.mark.parametrize("jump_s", [-86_400 * 400, 86_400 * 400])
async def test_a_wall_clock_that_jumps_opens_and_closes_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    """A call under way over a jump of its clock is settled where it was reserved, and no breaker moves."""
    clock = Clock(wall=datetime.now(UTC).timestamp())
    monkeypatch.setattr(
        service_module, "Ledger", lambda url, **options: clock.ledger(url, **{"patience_s": 4.0, **options})
    )
    router = await make()
    answer = await router.ask("openai/forever", stream=True)
    assert (await router.money())[1] > 0
    clock.wall += jump_s
    assert answer.events is not None
    await answer.events.aclose()
    spent, held = await router.money()
    assert spent > 0
    assert held == 0
    assert router.service.condition("openai/forever")[0] == "ok"
    assert (await router.ask("openai/good")).attempts == 1


async def test_going_offline_is_no_failure_of_who_was_streaming(make: Make) -> None:
    router = await make()
    answer = await router.ask("openai/forever", stream=True)
    router.service.set_mode(Mode.OFFLINE, ANA)
    with pytest.raises(UpstreamError):
        await read(answer)
    assert router.service.condition("openai/forever")[0] == "ok"
    spent, held = await router.money()
    assert spent > 0
    assert held == 0


async def test_a_conversation_stays_with_the_model_that_answered_it(make: Make) -> None:
    router = await make(preferred_models=["busy-once", "good"], max_retry_wait_s=0)
    first = await router.ask("auto", conversation="c1")
    assert first.route == "openai/good"
    again = await router.ask("auto", conversation="c1")
    assert (again.route, again.reason) == ("openai/good", "same_conversation")
    assert (await router.ask("auto", conversation="c2")).route == "openai/busy-once"


# --- the client goes


async def gone(asking: asyncio.Task[Answer]) -> None:
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert asking.cancelled()


async def test_a_client_gone_before_a_model_was_asked(make: Make) -> None:
    router = await make(probe_timeout_s=30)
    router.upstream.list_hangs = True
    asking = asyncio.create_task(router.ask("auto"))
    await until(lambda: router.upstream.requests, "the models are asked for")
    await gone(asking)
    router.upstream.list_hangs = False
    assert [(r["event"], r["code"]) for r in router.audit] == [("ai.refused", "cancelled")]
    assert [(row.outcome, row.attempts) for row in await router.calls()] == [("cancelled", 0)]
    assert router.asked == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_gone_before_the_first_word(make: Make, stream: bool) -> None:
    router = await make(read_timeout_s=60)
    asking = asyncio.create_task(router.ask("openai/hang", stream=stream))
    await until(lambda: router.asked, "the model is asked")
    await gone(asking)
    await until(lambda: not router.upstream.busy, "the server's connection is closed")
    assert [r["outcome"] for r in router.audit] == ["cancelled"]
    (row,) = await router.calls()
    assert (row.outcome, row.attempts, row.notes) == ("cancelled", 1, ("usage_estimated",))
    assert row.cost_usd > 0, "the provider has read the prompt"
    assert await router.money() == (pytest.approx(row.cost_usd, abs=1e-8), 0)
    assert router.service.condition("openai/hang")[0] == "ok"


async def test_a_client_gone_in_the_middle(make: Make) -> None:
    router = await make()
    answer = await router.ask("openai/forever", stream=True)
    assert answer.events is not None
    async for _ in answer.events:
        break
    await answer.events.aclose()
    await until(lambda: router.upstream.aborted, "the server's connection is closed")
    (row,) = await router.calls()
    assert (row.outcome, row.notes) == ("cancelled", ("usage_estimated",))
    assert [r["outcome"] for r in router.audit] == ["cancelled"]
    assert await router.money() == (pytest.approx(row.cost_usd, abs=1e-8), 0)
    assert row.cost_usd > 0
    assert router.service.condition("openai/forever")[0] == "ok"


async def test_a_client_gone_after_the_end(make: Make) -> None:
    router = await make()
    answer = await router.ask("openai/good", stream=True)
    await read(answer)
    assert answer.events is not None
    await answer.events.aclose()
    assert [row.outcome for row in await router.calls()] == ["ok"]
    assert [r["outcome"] for r in router.audit] == ["ok"]


async def test_an_answer_that_was_never_read_is_given_back(make: Make) -> None:
    router = await make()
    answer = await router.ask("openai/forever", stream=True)
    assert answer.events is not None
    await answer.events.aclose()
    await until(lambda: router.upstream.aborted, "the server's connection is closed")
    assert [row.outcome for row in await router.calls()] == ["cancelled"]
    assert (await router.money())[1] == 0


async def test_a_client_gone_before_the_second_attempt(make: Make) -> None:
    router = await make(max_retry_wait_s=30)
    asking = asyncio.create_task(router.ask("openai/status-429"))
    await until(lambda: router.audit_exists and router.audit, "the server has refused")
    await gone(asking)
    assert router.asked == ["status-429"]
    assert [(row.outcome, row.attempts) for row in await router.calls()] == [("cancelled", 1)]
    assert await router.money() == (0, 0)


async def test_a_client_that_goes_in_the_moment_in_which_the_cloud_is_closed(make: Make) -> None:
    router = await make(read_timeout_s=60)
    asking = asyncio.create_task(router.ask("openai/hang"))
    await until(lambda: router.asked, "the model is asked")
    router.service.set_mode(Mode.OFFLINE, ANA)
    await gone(asking)
    assert [row.outcome for row in await router.calls()] == ["cancelled"]


# --- places of a local server


BROKEN_LOCALLY = [*CASES, *((fault, True) for fault in BREAKS)]


@pytest.mark.parametrize(
    ("fault", "stream"), BROKEN_LOCALLY, ids=[*IDS, *(f"{fault.what}-streamed" for fault in BREAKS)]
)
async def test_a_place_comes_free_whatever_goes_wrong(make: Make, fault: Fault | Break, stream: bool) -> None:
    router = await make(is_local=True, local_concurrency=1, max_retry_wait_s=0)
    router.upstream.go_on()
    with pytest.raises(AidpError, match=re.escape(fault.says)):
        await read(await router.ask(f"local/{fault.what}", stream=stream))
    assert router.service._dispatcher.slots["local"].busy == 0
    assert (await router.ask("local/good")).attempts == 1


async def test_who_types_goes_ahead_and_only_the_newest_completion_waits(make: Make) -> None:
    router = await make(is_local=True, local_concurrency=1, read_timeout_s=60, completion_timeout_s=60)
    slots = router.service._dispatcher.slots
    holder = await router.ask("local/forever", stream=True)
    order: list[str] = []

    async def ask(name: str, **more: Any) -> None:
        await router.ask("local/good", **more)
        order.append(name)

    typing = {"task": Task.COMPLETE, "conversation": "cell"}
    tasks = {"chat": asyncio.create_task(ask("chat"))}
    await until(lambda: slots["local"].waiting == 1, "the chat waits")
    tasks["old"] = asyncio.create_task(ask("old", **typing))
    await until(lambda: slots["local"].waiting == 2, "the older completion waits")
    tasks["new"] = asyncio.create_task(ask("new", **typing))
    with pytest.raises(Superseded) as stale:
        await tasks["old"]
    assert (status_of(stale.value), stale.value.details["attempts"]) == (409, 0)
    assert holder.events is not None
    await holder.events.aclose()
    await asyncio.gather(tasks["chat"], tasks["new"])
    assert order == ["new", "chat"]
    assert slots["local"].busy == 0
    assert ("ai.refused", "superseded") in [(r["event"], r.get("code")) for r in router.audit]


async def test_who_goes_while_waiting_takes_no_place_with_them(make: Make) -> None:
    router = await make(is_local=True, local_concurrency=1, read_timeout_s=60, completion_timeout_s=60)
    slots = router.service._dispatcher.slots
    holder = await router.ask("local/forever", stream=True)
    waiting = asyncio.create_task(router.ask("local/good"))
    await until(lambda: slots["local"].waiting, "the second waits")
    await gone(waiting)
    assert holder.events is not None
    await holder.events.aclose()
    assert slots["local"].busy == 0
    assert (await router.ask("local/good")).attempts == 1


async def test_where_too_many_wait_another_server_answers(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aidp_ext.ai.slots._MOST_WAITING", 0)
    router = await make(is_local=True, local_concurrency=1, preferred_models=["good"])
    holder = await router.ask("local/forever", stream=True)
    answer = await router.ask("auto", task=Task.DOCS)  # local first
    assert answer.route == "openai/good"
    with pytest.raises(Unavailable) as full:
        await router.ask("local/good")
    assert (status_of(full.value), full.value.next_step) == (503, "Try again in a moment.")
    assert holder.events is not None
    await holder.events.aclose()


async def test_a_model_that_is_being_loaded_is_said_to_be(make: Make) -> None:
    gate, chats = asyncio.Event(), []

    async def cold(request: web.Request) -> web.StreamResponse:
        if request.path in ("/api/chat", "/v1/chat/completions"):
            chats.append(request)
            await gate.wait()
        return await ollama.handle(request)

    ollama = OllamaApi()
    async with serving(cold) as url:
        router = await make(ollama_host=url, read_timeout_s=60)
        asking = asyncio.create_task(router.ask("ollama/llama3.2:3b"))
        await until(lambda: router.service.loading_since("ollama/llama3.2:3b"), "it is being loaded")
        (running,) = await router.calls()
        assert (running.route, running.outcome) == ("ollama/llama3.2:3b", "running")
        gate.set()
        await asking
        assert router.service.loading_since("ollama/llama3.2:3b") is None
        gate.clear()
        await router.service.providers(refresh=True)
        again = asyncio.create_task(router.ask("ollama/llama3.2:3b"))
        await until(lambda: len(chats) == 2, "it is asked again")
        assert router.service.loading_since("ollama/llama3.2:3b") is None, "it is in memory"
        await gone(again)


# --- the database


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process writes, and does not end."""
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        " c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", program, str(database)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "locked\n"
        yield
        process.stdin.close()


@contextlib.contextmanager
def full(_: Path) -> Iterator[None]:
    """No file of this process may become larger than two pages: what a full disk is to a database."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def away(database: Path) -> Iterator[None]:
    """Somebody moves the files; later they are back."""
    files = [path for path in database.parent.iterdir() if path.name.startswith(database.name)]
    for path in files:
        path.rename(path.with_name(f"away-{path.name}"))
    yield
    for path in files:
        path.with_name(f"away-{path.name}").rename(path)


@pytest.mark.parametrize("broken", [locked, full, away])
async def test_a_database_that_fails_stops_what_costs_and_nothing_else(
    make: Make, monkeypatch: pytest.MonkeyPatch, broken: Callable[[Path], contextlib.AbstractContextManager[None]]
) -> None:
    monkeypatch.setattr(service_module, "Ledger", partial(Ledger, patience_s=0.2))
    router = await make(is_local=True, preferred_models=["good"])
    await router.ask("openai/good")
    (paid,) = await router.calls()
    router.upstream.clear()
    with broken(router.state / "aidp.sqlite"):
        with pytest.raises(StorageError) as refused:
            await router.ask("openai/good")
        assert (status_of(refused.value), refused.value.details["attempts"]) == (507, 0)
        assert re.search("Calls that cost nothing go on|Put it back", str(refused.value.next_step))
        assert router.asked == [], "no call that costs goes unrecorded"
        answer = await router.ask("auto")
        assert (answer.route, answer.attempts) == ("local/good", 1)
        assert (await router.ask("local/good")).attempts == 1
        with pytest.raises(ModelNotFound):  # and other errors stay what they are
            await router.ask("openai/none")
    assert [r.get("outcome") or r["code"] for r in router.audit[1:]] == ["storage_error", "ok", "ok", "model_not_found"]
    rows_since = [(row.route, row.outcome) for row in await router.calls()]
    assert sorted(rows_since) == sorted(
        [
            ("", "model_not_found"),
            ("local/good", "ok"),
            ("local/good", "ok"),
            ("", "storage_error"),
            ("openai/good", "ok"),
        ]
    )
    assert await router.money() == (paid.cost_usd, 0)
    assert (await router.ask("openai/good")).attempts == 1


async def test_many_models_that_cost_do_not_each_wait_for_the_database(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "Ledger", partial(Ledger, patience_s=0.2))
    router = await make(is_local=True, preferred_models=["good"])
    await router.ask("openai/good")
    asked: list[str] = []
    reserve = Ledger.reserve

    async def counted(self: Ledger, call_id: str, *args: Any, **options: Any) -> Any:
        asked.append(call_id)
        return await reserve(self, call_id, *args, **options)

    monkeypatch.setattr(Ledger, "reserve", counted)
    with locked(router.state / "aidp.sqlite"):
        assert (await router.ask("auto")).route == "local/good"
    assert len(asked) == 1


async def test_a_file_that_is_no_database_stops_what_costs_and_nothing_else(make: Make) -> None:
    router = await make(is_local=True, preferred_models=["good"])
    database = router.state / "aidp.sqlite"
    database.write_bytes(b"this is no database " * 1000)
    with pytest.raises(StorageError, match="not a database"):
        await router.ask("openai/good")
    assert (await router.ask("auto")).route == "local/good"
    assert router.asked == ["good"]
    database.unlink()
    assert (await router.ask("openai/good")).attempts == 1
    assert [row.outcome for row in await router.calls()] == ["ok", "ok", "storage_error"]


async def test_a_client_gone_while_the_database_is_locked(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    router = await make()
    await router.ask("openai/good")
    router.upstream.clear()
    asked = asyncio.Event()
    reserve = Ledger.reserve

    async def noted(self: Ledger, *args: Any, **options: Any) -> Any:
        asked.set()
        return await reserve(self, *args, **options)

    monkeypatch.setattr(Ledger, "reserve", noted)
    with locked(router.state / "aidp.sqlite"):
        asking = asyncio.create_task(router.ask("openai/good"))
        await asked.wait()
        await asyncio.sleep(0)
        await gone(asking)
    assert router.asked == []
    assert [(row.outcome, row.attempts) for row in await router.calls()] == [("cancelled", 0), ("ok", 1)]
    assert (await router.money())[1] == 0


# --- money, when many want the rest


async def test_the_rest_of_a_budget_shortens_answers_and_is_never_exceeded(make: Make) -> None:
    """Five at once, of which the budget holds one at full length; the others share what is left, or are refused."""
    prices = {"openai/*": {"input": 1.0, "output": 100.0}}
    router = await make(prices=prices, monthly_budget_usd=1.0)
    asking = [router.ask("openai/forever", stream=True, body={"max_tokens": None}) for _ in range(5)]
    done = await asyncio.gather(*asking, return_exceptions=True)
    answers = [answer for answer in done if isinstance(answer, Answer)]
    refused = [error for error in done if isinstance(error, BudgetExhausted)]
    assert len(answers) >= 2
    assert len(answers) + len(refused) == 5
    assert {error.details["attempts"] for error in refused} == {0}
    longest = [request.body["max_tokens"] for request in router.upstream.posts()]
    assert len(longest) == len(answers), "who was refused sent nothing"
    assert max(longest) == 8192
    assert 256 <= min(longest) < 8192
    assert any(note.startswith("max_tokens_set_to_") for answer in answers for note in answer.notes)
    assert 0.9 < (await router.money())[1] <= 1.0
    for answer in answers:
        assert answer.events is not None
        await answer.events.aclose()
    spent, held = await router.money()
    assert 0 < spent <= 1.0
    assert held == 0


# --- mistakes of our own


async def test_an_adapter_that_does_not_know_what_to_do_is_a_server_that_failed(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def confused(*_: Any) -> Answer:
        raise KeyError("choices")

    router = await make(is_local=True, preferred_models=["good"])
    monkeypatch.setattr(router.service._catalog.providers["openai"], "chat", confused)
    with pytest.raises(UpstreamError, match="could not deal with OpenAI") as failed:
        await router.ask("openai/good")
    assert (failed.value.code, failed.value.details["attempts"]) == ("upstream_error", 1)
    assert "KeyError" in caplog.text, "the log has it whole"
    assert [r["outcome"] for r in router.audit] == ["upstream_error"]
    assert await router.money() == (0, 0)
    assert (await router.ask("auto:local")).route == "local/good"


async def test_a_record_that_cannot_be_written_takes_neither_money_nor_places(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = await make(is_local=True, local_concurrency=1)

    def broken(*_: Any, **__: Any) -> bool:
        raise RuntimeError("a mistake of ours")

    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "append", broken)
        for model in ("openai/good", "local/good"):
            with pytest.raises(RuntimeError):
                await router.ask(model)
    assert router.service._dispatcher.slots["local"].busy == 0
    assert not router.service._dispatcher.ongoing
    spent, held = await router.money()
    assert spent > 0, "the answer had come, and is paid"
    assert held == 0
    assert len(await router.calls()) == 2


async def test_prices_that_are_unknown_never_make_a_call_free(make: Make) -> None:
    router = await make()
    assert not Prices().of("openai", "good").is_free
    await read(await router.ask("openai/no-done", stream=True))
    assert (await router.calls())[0].cost_usd > 0
