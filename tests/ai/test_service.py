"""The router without a web framework: fall back, refuse, keep a record, against a server that misbehaves on request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from traitlets.config import Config

from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.models import Answer, Caller, Capability, Dialect, Locality, Mode, Privacy, RouteRequest, State, Task
from aidp_ext.ai.service import AiService
from aidp_ext.core.audit import verify
from aidp_ext.core.errors import (
    AidpError,
    ContextTooLong,
    ModelNotFound,
    NoModelAvailable,
    PolicyRefused,
    UpstreamIncomplete,
    UpstreamInvalid,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from aidp_ext.core.web import status_of
from tests.support.processes import free_port, wait_until
from tests.support.upstream import ANSWER, GATEWAY_MODELS, KEY, WORDS, Upstream, event
from tests.support.wire import serving

ANA = Caller("ana")
CHAT = {"messages": [{"role": "user", "content": "Which bird is it?"}]}
FIM = frozenset({Capability.COMPLETE, Capability.FIM})
Make = Callable[..., AiService]


@pytest.fixture
async def make(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Make]:
    """Make a router; ``cloud`` is the misbehaving server as OpenAI, with Ollama on the same machine."""
    made: list[AiService] = []

    def build(**traits: Any) -> AiService:
        usual = {
            "openai_base_url": f"{upstream.url}/v1",
            "openai_api_key": KEY,
            "anthropic_api_key": "",
            "gemini_api_key": "",
            "gateway_url": "",
            "ollama_host": f"{upstream.url}/ollama",
            "local_openai_base_url": "",
            "read_timeout_s": 3.0,
            "completion_timeout_s": 3.0,
            "mode": "hybrid",
            "monthly_budget_usd": None,
            "allow_local_models": True,
        }
        config = AiConfig(config=Config({"AiConfig": {**usual, **traits}}))
        service = AiService(config, tmp_path)
        made.append(service)
        return service

    yield build
    for service in made:
        await service.stop()


@pytest.fixture
def records(tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
    def read() -> list[dict[str, Any]]:
        verify(tmp_path / "audit.jsonl")
        return [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]

    return read


async def text(answer: Answer) -> str:
    if answer.events is None:
        return json.loads(answer.document or b"")["choices"][0]["message"]["content"]  # type: ignore[no-any-return]
    received = b"".join([chunk async for chunk in answer.events])
    events = [line[6:] for line in received.decode().splitlines() if line.startswith("data: ")]
    return "".join(json.loads(e)["choices"][0]["delta"].get("content", "") for e in events if e != "[DONE]")


async def ask(service: AiService, model: str, *, stream: bool = False, **more: Any) -> Answer:
    request = RouteRequest(model=model, **more)
    return await service.answer(Dialect.CHAT, request, {**CHAT, "model": model, "stream": stream}, ANA)


async def test_a_chat_is_answered_and_recorded_without_its_text(make: Make, records: Any, upstream: Upstream) -> None:
    answer = await ask(make(), "openai/good")
    assert await text(answer) == "Penguins are birds."
    assert dict(answer.headers) == {
        "X-AIDP-Route": "openai/good",
        "X-AIDP-Reason": "asked_for",
        "X-AIDP-Attempts": "1",
        "X-AIDP-Locality": "cloud",
        "X-AIDP-Privacy": "redact",
        "X-AIDP-Call": answer.call_id,
        "X-AIDP-Cost-USD": f"{answer.cost_usd:.6f}",
    }
    assert answer.cost_usd and answer.cost_usd > 0, "a model without a known price is never free"
    assert upstream.posts()[0].headers["authorization"] == f"Bearer {KEY}"
    assert upstream.posts()[0].model == "good", "the server is asked by its own name for the model"
    record = records()[-1]
    assert (record["event"], record["actor"], record["outcome"]) == ("ai.call", "ana", "ok")
    assert (record["prompt_tokens"], record["completion_tokens"]) == (7, len(WORDS))
    assert "bird" not in json.dumps(records())


@pytest.mark.parametrize("model", ["good", "split", "crlf", "no-done"])
async def test_a_stream_arrives_whole_however_it_was_cut(make: Make, records: Any, model: str) -> None:
    answer = await ask(make(), f"openai/{model}", stream=True)
    assert answer.events is not None
    chunks = [chunk async for chunk in answer.events]
    received = b"".join(chunks)
    assert received.replace(b"\r\n", b"\n") == ANSWER
    assert all(chunk.replace(b"\r\n", b"\n").endswith(b"\n\n") for chunk in chunks), "never a part of an event"
    assert (records()[-1]["outcome"], records()[-1]["prompt_tokens"]) == ("ok", 7)


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        ("html", UpstreamInvalid, "a web page"),
        ("truncated-json", UpstreamIncomplete, "broke off"),
        ("reset", UpstreamUnreachable, "closed the connection"),
        ("garbage", UpstreamInvalid, "does not speak HTTP"),
        ("hang", UpstreamTimeout, "silent"),
        ("redirect", UpstreamInvalid, "redirect"),
        ("unauthorized", UpstreamRejected, "Incorrect API key"),
        ("overloaded", UpstreamRejected, "slow down"),
        ("broken", UpstreamRejected, "cuda died"),
        ("bad-request", UpstreamRejected, "frobnicate"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_that_misbehaves_gets_a_clear_error(
    make: Make, records: Any, model: str, error: type[AidpError], words: str, stream: bool
) -> None:
    if model == "html" and stream:
        words = "did not stream"
    with pytest.raises(error, match=words) as failed:
        await ask(make(), f"openai/{model}", stream=stream)
    said = json.dumps([failed.value.message, *map(str, failed.value.details.values())])
    assert "SECRET" not in said, "a server that repeats our key must not make us repeat it"
    assert records()[-1]["outcome"] == failed.value.code


@pytest.mark.parametrize("model", ["half-event", "cut", "reset-midway"])
async def test_a_stream_that_breaks_off_ends_with_an_error_and_no_half_event(
    make: Make, records: Any, model: str
) -> None:
    answer = await ask(make(), f"openai/{model}", stream=True)
    assert answer.events is not None
    received = []
    with pytest.raises(UpstreamIncomplete):
        async for chunk in answer.events:
            received.append(chunk)
    assert b"".join(received) == event("Pen")
    assert records()[-1]["outcome"] == "upstream_incomplete"


async def test_after_a_failure_the_server_is_asked_again_before_it_is_called_ready(
    make: Make, upstream: Upstream
) -> None:
    service = make()
    answer = await ask(service, "openai/cut", stream=True)
    upstream.down = True
    with pytest.raises(UpstreamIncomplete):
        async for _ in answer.events or ():
            pass
    assert {s.name: s.state for s in await service.providers()}["openai"] is State.UNREACHABLE


async def test_a_stream_that_falls_silent_ends_with_a_timeout(make: Make, records: Any) -> None:
    answer = await ask(make(), "openai/stall", stream=True)
    assert answer.events is not None
    received = []
    with pytest.raises(UpstreamTimeout, match="fell silent"):
        async with asyncio.timeout(60):
            async for chunk in answer.events:
                received.append(chunk)
    assert b"".join(received) == event("Pen")
    assert records()[-1]["outcome"] == "upstream_timeout"


async def test_a_reader_that_takes_its_time_is_no_silence_of_the_server(make: Make) -> None:
    answer = await ask(make(read_timeout_s=0.5), "openai/forever", stream=True)
    assert answer.events is not None
    events = aiter(answer.events)
    await anext(events)
    await asyncio.sleep(1.2)  # more than twice the limit, with nobody reading
    assert await anext(events)
    await answer.events.aclose()


async def test_a_stream_without_any_event_is_no_answer(make: Make) -> None:
    with pytest.raises(UpstreamIncomplete):
        await ask(make(), "openai/empty-stream", stream=True)


async def test_an_error_that_the_server_streams_is_one(make: Make, records: Any) -> None:
    answer = await ask(make(), "openai/error-event", stream=True)
    assert answer.events is not None
    received = []
    with pytest.raises(UpstreamRejected, match="out of memory"):
        async for chunk in answer.events:
            received.append(chunk)
    assert b"".join(received) == event("Pen")
    assert records()[-1]["outcome"] == "upstream_rejected"


async def test_leaving_ends_the_work_upstream(make: Make, upstream: Upstream, records: Any) -> None:
    answer = await ask(make(), "openai/forever", stream=True)
    assert answer.events is not None
    async for _ in answer.events:
        break
    await answer.events.aclose()
    await asyncio.to_thread(wait_until, lambda: upstream.aborted, "the server is told")
    assert records()[-1]["outcome"] == "cancelled"


async def test_an_answer_that_nobody_reads_holds_no_connection(make: Make, upstream: Upstream) -> None:
    answer = await ask(make(), "openai/forever", stream=True)
    assert answer.events is not None
    await answer.events.aclose()
    async with asyncio.timeout(60):
        while not upstream.aborted:
            await asyncio.sleep(0.005)


async def test_cancelling_before_the_first_event_ends_the_work(make: Make, records: Any) -> None:
    service = make(read_timeout_s=30)
    await service.models(ANA)
    waiting = asyncio.ensure_future(ask(service, "openai/hang", stream=True))
    await asyncio.sleep(0.1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    assert records()[-1]["outcome"] == "cancelled"


async def test_the_next_offer_answers_when_the_first_fails(make: Make, records: Any) -> None:
    service = make(preferred_models=["broken", "hang", "good"])
    answer = await ask(service, "auto")
    assert await text(answer) == "Penguins are birds."
    assert (answer.route, answer.attempts) == ("openai/good", 3)
    assert [r["outcome"] for r in records()] == ["upstream_rejected", "upstream_timeout", "ok"]


async def test_a_request_that_is_wrong_is_not_tried_elsewhere(make: Make, upstream: Upstream) -> None:
    with pytest.raises(UpstreamRejected):
        await ask(make(preferred_models=["bad-request", "good"]), "auto")
    assert len(upstream.posts()) == 1


async def test_the_fallback_is_judged_again(make: Make, upstream: Upstream) -> None:
    """The user goes offline while the first model hangs: the next one in the cloud must not be asked."""
    service = make(preferred_models=["hang", "good"])
    waiting = asyncio.ensure_future(ask(service, "auto:cloud"))
    while not upstream.posts():
        await asyncio.sleep(0.01)
    service.set_mode(Mode.OFFLINE, ANA)
    with pytest.raises(PolicyRefused, match="Offline"):
        await waiting
    assert [r.model for r in upstream.posts()] == ["hang"]


async def test_completion_goes_to_the_local_model_with_its_suffix(make: Make, upstream: Upstream) -> None:
    request = RouteRequest(task=Task.COMPLETE, needs=FIM)
    answer = await make().answer(Dialect.COMPLETIONS, request, {"prompt": "def f(", "suffix": "return x"}, ANA)
    assert (answer.route, answer.reason) == ("ollama/qwen2.5-coder:1.5b", "local_first")
    sent = upstream.posts()[0]
    assert (sent.path, sent.body["suffix"]) == ("/ollama/api/generate", "return x")


async def test_a_model_without_fill_in_completes_from_the_prefix_and_says_so(make: Make, upstream: Upstream) -> None:
    request = RouteRequest(task=Task.COMPLETE, model="ollama/llama3.2:3b", needs=FIM)
    answer = await make().answer(Dialect.COMPLETIONS, request, {"prompt": "def f(", "suffix": "return x"}, ANA)
    assert answer.headers["X-AIDP-Notes"] == "suffix_ignored"
    assert "suffix" not in upstream.posts()[0].body


async def test_parameters_that_ollama_ignores_are_named(make: Make, upstream: Upstream) -> None:
    body = {**CHAT, "max_completion_tokens": 5, "logit_bias": {"1": 1}, "n": 2}
    answer = await make().answer(Dialect.CHAT, RouteRequest(model="ollama/llama3.2:3b"), body, ANA)
    assert answer.notes == ("logit_bias_ignored", "n_ignored")
    assert upstream.posts()[0].body["max_tokens"] == 5


async def test_what_ollama_forwards_counts_as_cloud(make: Make) -> None:
    service = make()
    offers = {o.route: o for o in await service.models(ANA)}
    assert offers["ollama/gpt-oss:120b-cloud"].locality == "cloud"
    assert offers["ollama/llama3.2:3b"].locality == "local"
    assert offers["ollama/llama3.2:3b"].context_length == 131072, "the window of a loaded model grows with the prompt"
    for privacy, mode in ((Privacy.LOCAL, Mode.HYBRID), (None, Mode.OFFLINE), (None, Mode.LOCAL)):
        service.set_mode(mode, ANA)
        with pytest.raises(PolicyRefused):
            await ask(service, "ollama/gpt-oss:120b-cloud", privacy=privacy)


async def test_offline_nothing_of_the_cloud_is_even_asked(make: Make, upstream: Upstream) -> None:
    service = make(mode="offline")
    await service.providers(refresh=True)
    await ask(service, "auto")
    assert all(r.path.startswith("/ollama/") for r in upstream.requests)
    states = {s.name: s.state for s in await service.providers()}
    assert states["openai"] is State.DISABLED


async def test_the_chosen_mode_survives_a_restart(make: Make) -> None:
    make().set_mode(Mode.OFFLINE, ANA)
    assert make().mode is Mode.OFFLINE


async def test_names_that_do_not_exist(make: Make) -> None:
    service = make()
    with pytest.raises(ModelNotFound) as typo:
        await ask(service, "openai/goood")
    assert "openai/good" in str(typo.value.next_step)
    with pytest.raises(ModelNotFound):
        await ask(service, "x" * 400)


async def test_a_named_model_of_a_server_that_is_down(make: Make) -> None:
    service = make(ollama_host=f"127.0.0.1:{free_port()}")
    with pytest.raises(UpstreamUnreachable) as down:
        await ask(service, "ollama/llama3.2:3b")
    assert "ollama serve" in str(down.value.next_step)


async def test_nothing_to_answer_says_what_to_do(make: Make, records: Any) -> None:
    service = make(ollama_host=f"127.0.0.1:{free_port()}", openai_api_key="")
    with pytest.raises(NoModelAvailable) as none:
        await ask(service, "auto")
    assert "Start Ollama" in str(none.value.next_step)
    assert records()[-1]["event"] == "ai.refused"


async def test_a_user_of_a_hub_is_told_whom_to_ask_for_a_model(make: Make) -> None:
    hub = f"http://127.0.0.1:{free_port()}/services/aidp"
    service = make(gateway_url=hub, gateway_token="t" * 32, ollama_host=f"127.0.0.1:{free_port()}", openai_api_key="")
    with pytest.raises(NoModelAvailable) as none:
        await ask(service, "auto")
    assert "hub's admin" in str(none.value.next_step)
    assert service.next_step() == none.value.next_step


async def test_a_prompt_that_fits_nowhere(make: Make) -> None:
    with pytest.raises(ContextTooLong, match="500,001"):
        await ask(make(), "auto", prompt_tokens=500_001)


async def test_a_server_that_comes_up_is_found_by_the_next_request(
    make: Make, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aidp_ext.ai.catalog.RETRY_S", 0.0)
    service = make(openai_api_key="")
    upstream.down = True
    with pytest.raises(NoModelAvailable):
        await ask(service, "auto")
    upstream.down = False
    assert (await ask(service, "auto")).route.startswith("ollama/")


async def test_many_at_once_ask_for_the_models_once(make: Make, upstream: Upstream) -> None:
    service = make(read_timeout_s=60)  # thirty at once take long on a busy machine
    answers = await asyncio.gather(*(ask(service, "openai/good") for _ in range(30)))
    assert {a.route for a in answers} == {"openai/good"}
    assert sum(r.path == "/v1/models" for r in upstream.requests) == 1


async def test_the_list_holds_what_may_be_used(make: Make) -> None:
    routes = {offer.route for offer in await make().models(ANA)}
    assert "openai/good" in routes
    assert "openai/text-embedding-3-small" in routes
    assert "openai/whisper-1" not in routes
    assert {r for r in (o.route for o in await make(mode="offline").models(ANA)) if r.startswith("openai/")} == set()


async def test_a_gateway_is_believed_about_its_models(make: Make, upstream: Upstream) -> None:
    """A gateway on this very machine may forward elsewhere: its own word counts, and without it the careful case."""
    service = make(gateway_url=f"{upstream.url}/gw", gateway_token="t", openai_api_key="", ollama_host=":9")
    offers = {o.route: o for o in await service.models(ANA)}
    assert offers["gateway/local/coder"].locality == "local"
    assert offers["gateway/openai/gpt"].locality == "cloud"
    request = RouteRequest(task=Task.COMPLETE, needs=FIM)
    caller = Caller("ana", {"X-AIDP-Task": "complete", "X-AIDP-Privacy": "local"})
    answer = await service.answer(Dialect.COMPLETIONS, request, {"prompt": "def f(", "suffix": "return x"}, caller)
    assert answer.route == "gateway/local/coder"
    sent = upstream.posts()[0]
    assert (sent.model, sent.body["suffix"]) == ("local/coder", "return x")
    assert (sent.headers["authorization"], sent.headers["x-aidp-privacy"]) == ("Bearer t", "local")


@pytest.mark.parametrize("mode", ["local", "offline"])
@pytest.mark.parametrize("model", ["auto", "auto:local", "gateway/auto", "gateway/auto:cloud", "gateway/openai/gpt"])
async def test_closed_to_the_cloud_a_gateway_gets_nothing_that_it_could_pass_on(
    make: Make, upstream: Upstream, mode: str, model: str
) -> None:
    """Its `auto` is no model: the gateway would choose, by its own mode. And what it does get is marked as private."""
    service = make(gateway_url=f"{upstream.url}/gw", gateway_token="t", openai_api_key="", ollama_host=":9", mode=mode)
    try:
        answer = await ask(service, model)
    except AidpError:
        assert upstream.posts() == []
    else:
        assert answer.route == "gateway/local/coder"
        assert [r.headers["x-aidp-privacy"] for r in upstream.posts()] == ["local"]


async def test_a_gateway_out_in_the_world_has_no_local_models(make: Make) -> None:
    from aidp_ext.ai.providers.openai_compatible import OpenAICompatible
    from aidp_ext.core.http import HttpClient

    far = OpenAICompatible(
        "gateway", "G", "https://hub.example/v1", HttpClient(), locality=Locality.CLOUD, forwards_headers=True
    )
    offers = [o for entry in GATEWAY_MODELS for o in far._offer(entry, frozenset())]
    assert {o.locality for o in offers} == {Locality.CLOUD}


@pytest.mark.parametrize(("status", "code"), [(402, "budget_exhausted"), (429, "rate_limited")])
async def test_a_gateway_that_refuses_for_money_or_haste_is_asked_once_and_its_models_stay_healthy(
    make: Make, monkeypatch: pytest.MonkeyPatch, status: int, code: str
) -> None:
    asked: list[str] = []

    async def gateway(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/models"):
            listed = [{"id": f"openai/{n}", "aidp": {"capabilities": ["chat"], "locality": "cloud"}} for n in "abcd"]
            return web.json_response({"object": "list", "data": listed})
        asked.append((await request.json())["model"])
        error = {"code": code, "message": "No more.", "type": "x", "details": {}}
        return web.json_response({"error": error}, status=status)

    async with serving(gateway) as url:
        service = make(
            gateway_url=url, gateway_token="t", openai_api_key="", ollama_host=":9", max_retry_wait_s=0, mode="cloud"
        )
        for _ in range(4):  # more often than a model may fail
            with pytest.raises(UpstreamRejected, match="No more") as refused:
                await ask(service, "auto")
            assert (refused.value.code, status_of(refused.value)) == (code, status)
    assert asked == ["openai/a"] * 4
    assert service.condition("gateway/openai/a")[0] == "ok"


async def test_what_a_gateway_allows_since_a_moment_ago_can_be_had_by_name(make: Make) -> None:
    names = ["a"]

    async def gateway(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/models"):
            listed = [{"id": f"openai/{n}", "aidp": {"capabilities": ["chat"], "locality": "cloud"}} for n in names]
            return web.json_response({"object": "list", "data": listed})
        if request.method == "GET":
            error = {"code": "policy_refused", "message": "Not for interns.", "type": "x", "details": {}}
            return web.json_response({"error": error}, status=403)
        choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
        return web.json_response({"object": "chat.completion", "choices": [choice]})

    async with serving(gateway) as url:
        service = make(gateway_url=url, gateway_token="t", openai_api_key="", ollama_host=":9")
        with pytest.raises(UpstreamRejected, match="Not for interns") as refused:
            await ask(service, "gateway/openai/b")
        assert (refused.value.code, status_of(refused.value)) == ("policy_refused", 403)
        names.append("b")
        assert await text(await ask(service, "gateway/openai/b")) == "ok"


@pytest.mark.parametrize(
    ("status", "kind", "words", "code"),
    [
        (503, "text/html", "Team gateway is not there at present", "upstream_unreachable"),
        (401, "application/json", "does not know this server", "upstream_rejected"),
    ],
)
async def test_a_gateway_that_is_away_or_disowns_us_is_said_so(
    make: Make, status: int, kind: str, words: str, code: str
) -> None:
    async def gateway(request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            listed = [{"id": "openai/a", "aidp": {"capabilities": ["chat"], "locality": "cloud"}}]
            return web.json_response({"object": "list", "data": listed})
        said = {"error": {"code": "unauthenticated", "message": "A token is needed.", "type": "x", "details": {}}}
        return web.Response(
            text=json.dumps(said) if status == 401 else "<h1>503</h1>", status=status, content_type=kind
        )

    async with serving(gateway) as url:
        service = make(gateway_url=url, gateway_token="t", openai_api_key="", ollama_host=":9")
        with pytest.raises(AidpError, match=words) as failed:
            await ask(service, "gateway/openai/a")
    assert (failed.value.code, status_of(failed.value)) == (code, 502)
    assert failed.value.next_step


async def test_what_a_gateway_says_in_refusal_is_passed_on(make: Make, upstream: Upstream) -> None:
    service = make(gateway_url=f"{upstream.url}/gw", gateway_token="t", openai_api_key="", ollama_host=":9")
    GATEWAY_MODELS.append({"id": "policy-refused", "aidp": {"capabilities": ["chat"]}})
    try:
        with pytest.raises(UpstreamRejected, match="Not here") as refused:
            await ask(service, "gateway/policy-refused")
    finally:
        GATEWAY_MODELS.pop()
    assert (refused.value.code, refused.value.next_step, status_of(refused.value)) == (
        "policy_refused",
        "Ask Ben.",
        403,
    )


async def test_forwarded_models_are_cloud_whoever_lists_them(make: Make, upstream: Upstream) -> None:
    service = make(local_openai_base_url=f"{upstream.url}/forwarding/v1")
    where = {o.route: o.locality for o in await service.models(ANA)}
    assert where["local/gpt-oss:120b-cloud"] == where["local/kimi-k2:cloud"] == "cloud"
    assert where["local/llama3.2:3b"] == "local"


async def test_a_whole_route_names_one_model_and_a_bare_name_the_nearest(make: Make, upstream: Upstream) -> None:
    service = make(local_openai_base_url=f"{upstream.url}/forwarding/v1")
    assert (await service.route(RouteRequest(model="ollama/llama3.2:3b"), ANA)).best.offer.provider == "ollama"  # type: ignore[union-attr]
    ranked = (await service.route(RouteRequest(model="llama3.2:3b"), ANA)).ranked
    assert {c.offer.locality for c in ranked} == {"local"}


async def test_a_server_that_drips_holds_up_nobody_for_long(make: Make, upstream: Upstream) -> None:
    service = make(local_openai_base_url=f"{upstream.url}/drip/v1", probe_timeout_s=0.5)
    async with asyncio.timeout(60):
        assert (await ask(service, "openai/good")).route == "openai/good"
    assert {s.name: s.state for s in await service.providers()}["local"] is State.ERROR


async def test_a_failed_server_is_asked_again_behind_the_next_requests_back(make: Make, upstream: Upstream) -> None:
    service = make(probe_timeout_s=5)
    with pytest.raises(UpstreamRejected):
        await ask(service, "openai/broken")
    upstream.list_hangs = True  # who waited for the new look would wait five seconds
    async with asyncio.timeout(4):
        await ask(service, "openai/good")


async def test_a_request_that_a_fresh_connection_lost_is_not_sent_twice(make: Make, upstream: Upstream) -> None:
    with pytest.raises(UpstreamUnreachable):
        await ask(make(), "openai/reset")
    assert len(upstream.posts()) == 1


async def test_going_offline_cuts_what_streams_from_the_cloud(make: Make, upstream: Upstream) -> None:
    service = make()
    answer = await ask(service, "openai/forever", stream=True)
    assert answer.events is not None
    with pytest.raises(UpstreamIncomplete):
        async with asyncio.timeout(60):
            async for _ in answer.events:
                service.set_mode(Mode.OFFLINE, ANA)
    async with asyncio.timeout(60):
        while not upstream.aborted:
            await asyncio.sleep(0.005)


async def test_trying_a_provider_out_stays_here_where_it_can(make: Make, upstream: Upstream) -> None:
    service = make()
    trial = await service.try_out("ollama", ANA)
    assert trial.ok and trial.route is not None
    offers = {offer.route: offer for offer in await service.models(ANA)}
    assert offers[trial.route].locality is Locality.LOCAL
    assert all("cloud" not in request.model for request in upstream.posts())


async def test_trying_out_a_server_that_is_down_says_what_to_do(make: Make) -> None:
    trial = await make(ollama_host=f"127.0.0.1:{free_port()}").try_out("ollama", ANA)
    assert not trial.ok
    assert "does not answer" in trial.message
    assert trial.next_step is not None and "ollama serve" in trial.next_step
