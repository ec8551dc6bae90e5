"""What somebody who means harm would try: at what is private, at the money, at the server itself.

The hostile ones are a caller, a repository that brings its own aidp.toml, a model server and what stands before it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from traitlets.config import Config

from aidp_ext.ai.budgets import worst_case_usd
from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.dialect import (
    ChatRequest,
    CompletionRequest,
    EmbeddingsRequest,
    MessagesRequest,
    Request,
)
from aidp_ext.ai.magic import inert
from aidp_ext.ai.models import Answer, Caller, Capability, Dialect, Locality, Mode, Price, Privacy, RouteRequest, Task
from aidp_ext.ai.providers import ollama
from aidp_ext.ai.redact import Redacted
from aidp_ext.ai.rules import Rules, Verdict, WorkspaceRules
from aidp_ext.ai.service import AiService
from aidp_ext.core.errors import (
    AidpError,
    InvalidRequest,
    ModelNotFound,
    PolicyRefused,
    StorageError,
    UpstreamUnreachable,
)
from tests.support.upstream import GATEWAY_MODELS, KEY, Upstream
from tests.support.wire import serving

ANA = Caller("ana")
ASK = [{"role": "user", "content": "Which bird is it?"}]
Make = Callable[..., Awaitable[AiService]]


@pytest.fixture
async def make(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Make]:
    """Make and start a router with nothing but the misbehaving server as OpenAI; settings come on top."""
    made: list[AiService] = []

    async def build(**traits: Any) -> AiService:
        usual = {
            "openai_base_url": f"{upstream.url}/v1",
            "openai_api_key": KEY,
            "anthropic_api_key": "",
            "gemini_api_key": "",
            "gateway_url": "",
            "ollama_host": "127.0.0.1:9",
            "local_openai_base_url": "",
            "mode": "hybrid",
            "allow_local_models": True,
        }
        config = AiConfig(config=Config({"AiConfig": {**usual, **traits}}))
        service = AiService(config, tmp_path, keeps_keys=False)
        made.append(service)
        await service.start()
        return service

    yield build
    for service in made:
        await service.stop()


def behind_a_gateway(url: str) -> dict[str, Any]:
    """Return the settings of a server whose models all stand behind the team's gateway, on this machine."""
    return {"openai_api_key": "", "gateway_url": url, "gateway_token": "t"}


async def ask(service: AiService, model: str, messages: Any = ASK, **body: Any) -> Answer:
    request = RouteRequest(model=model, prompt_tokens=1000, output_tokens=body.get("max_tokens"))
    return await service.answer(Dialect.CHAT, request, {"model": model, "messages": messages, **body}, ANA, 100)


# --- what is private


@pytest.mark.parametrize("mode", [Mode.LOCAL, Mode.OFFLINE])
@pytest.mark.parametrize("model", ["gateway/openai/gpt", "ollama/gpt-oss:120b-cloud"])
async def test_a_mode_that_changes_before_the_request_leaves_holds_behind_a_local_address_too(
    make: Make, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, mode: Mode, model: str
) -> None:
    """What forwards to the cloud may stand on this machine: the last door, by addresses, lets it pass."""
    service = await make(**behind_a_gateway(f"{upstream.url}/gw"), ollama_host=f"{upstream.url}/ollama")
    redactor = service._dispatcher.parts.redactor
    redact = redactor.redact

    async def redacted_as_the_mode_changes(body: dict[str, Any]) -> Redacted:
        service.set_mode(mode, ANA)
        return await redact(body)

    monkeypatch.setattr(redactor, "redact", redacted_as_the_mode_changes)
    with pytest.raises(PolicyRefused):
        await ask(service, model)
    assert upstream.posts() == []


FILE = {"type": "file", "file": {"file_data": "data:text/plain;base64,QUtJQQ=="}}
SOUND = {"type": "input_audio", "input_audio": {"data": "QUtJQQ==", "format": "wav"}}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUtJQQ=="}}
UPLOAD = {"type": "container_upload", "file_id": "f1"}
INSIDE = {"type": "document", "source": {"type": "content", "content": [PICTURE]}}
UNREADABLE: dict[str, tuple[type[Request], dict[str, Any]]] = {
    "file": (ChatRequest, {"messages": [{"role": "user", "content": [FILE]}]}),
    "sound": (ChatRequest, {"messages": [{"role": "user", "content": [SOUND]}]}),
    "tokens to complete": (CompletionRequest, {"prompt": [15339, 1917]}),
    "tokens to embed": (EmbeddingsRequest, {"input": [[15339, 1917]]}),
    "upload": (MessagesRequest, {"messages": [{"role": "user", "content": [UPLOAD]}], "max_tokens": 5}),
    "picture in a document": (MessagesRequest, {"messages": [{"role": "user", "content": [INSIDE]}], "max_tokens": 5}),
}
READABLE: dict[str, tuple[type[Request], dict[str, Any]]] = {
    "chat": (ChatRequest, {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}),
    "completion": (CompletionRequest, {"prompt": ["a", "b"]}),
    "embeddings": (EmbeddingsRequest, {"input": "a"}),
    "messages": (MessagesRequest, {"messages": ASK, "max_tokens": 5}),
}


@pytest.mark.parametrize(
    ("form", "body", "leaves"),
    [(*one, False) for one in UNREADABLE.values()] + [(*one, True) for one in READABLE.values()],
    ids=[*UNREADABLE, *READABLE],
)
async def test_what_cannot_be_redacted_does_not_leave_where_only_the_redacted_may(
    make: Make, upstream: Upstream, form: type[Request], body: dict[str, Any], leaves: bool
) -> None:
    service = await make()
    parsed = msgspec.convert(body, form)
    needs = parsed.needs() & {Capability.VISION} | {Capability.CHAT}
    request = RouteRequest(privacy=Privacy.REDACT, needs=needs, is_text=parsed.is_text())
    decision = await service.route(request, ANA)
    assert bool(decision.ranked) is leaves
    assert leaves or {choice.reason for choice in decision.refused} >= {"not_redactable"}


async def test_who_names_a_local_model_is_not_answered_by_a_cloud_that_has_one_of_that_name(
    make: Make, upstream: Upstream
) -> None:
    service = await make(openai_base_url=f"{upstream.url}/forwarding/v1")
    with pytest.raises(UpstreamUnreachable):
        await ask(service, "ollama/llama3.2:3b")
    assert upstream.posts() == []
    assert (await ask(service, "openai/ollama/llama3.2:3b")).locality is Locality.CLOUD, "by its own name it may"


@pytest.mark.parametrize("kind", ["image_url", "video_url"])
@pytest.mark.parametrize("url", ["https://example.org/?text", "http://169.254.169.254/", "file:///etc/passwd"])
async def test_a_local_server_is_not_made_to_fetch_an_address(
    make: Make, upstream: Upstream, kind: str, url: str
) -> None:
    service = await make(openai_api_key="", local_openai_base_url=f"{upstream.url}/v1", mode="offline")
    for held in (url, {"url": url}):
        with pytest.raises(InvalidRequest, match="addresses"):
            await ask(service, "local/good", [{"role": "user", "content": [{"type": kind, kind: held}]}])
    assert upstream.posts() == []
    held = {"url": "data:image/png;base64,AAAA"}
    await ask(service, "local/good", [{"role": "user", "content": [{"type": kind, kind: held}]}])


async def test_a_model_is_not_pulled_over_a_server_that_the_mode_closes(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def pull(model: str, *_: Any, **__: Any) -> AsyncIterator[ollama.PullProgress]:
        asked.append(model)
        for completed in range(3):
            yield ollama.PullProgress("pulling", completed)

    monkeypatch.setattr(ollama, "pull", pull)
    away = await make(ollama_host="ollama.example.org", mode="local")
    with pytest.raises(PolicyRefused, match="Local"):
        await anext(away.pull("ollama", "llama3.2", ANA))
    assert asked == []

    here = await make(mode="local")
    reports = here.pull("ollama", "llama3.2", ANA)
    await anext(reports)
    here.set_mode(Mode.OFFLINE, ANA)
    with pytest.raises(PolicyRefused, match="Offline"):
        await anext(reports)
    assert asked == ["llama3.2"]


async def test_a_name_of_a_model_leads_the_gateways_token_nowhere_else(make: Make) -> None:
    asked: list[str] = []

    async def gateway(request: web.Request) -> web.Response:
        asked.append(request.raw_path)
        listed = request.path.endswith("/v1/models")
        return web.json_response({"data": GATEWAY_MODELS} if listed else {}, status=200 if listed else 404)

    async with serving(gateway) as url:
        service = await make(**behind_a_gateway(f"{url}/services/aidp"))
        for name in ("../../../../../../hub/api/user", "..", "x/../../../y", "unknown"):
            with pytest.raises(ModelNotFound):
                await ask(service, f"gateway/{name}")
    assert {path.removeprefix("/services/aidp/aidp/ai/v1/models") for path in asked} == {"", "/unknown"}


# --- money


def test_the_longer_of_two_limits_is_what_an_answer_may_cost() -> None:
    """Servers heed one of the names; a small one must not hide a large one."""
    both = {"messages": ASK, "max_completion_tokens": 1, "max_tokens": 100_000}
    assert msgspec.convert(both, ChatRequest).output_tokens() == 100_000


def test_a_field_that_means_nothing_hides_no_texts_from_the_bill() -> None:
    texts = ["x " * 4000] * 50
    price, context = Price(1, 1), 8191
    plain = worst_case_usd(price, {"input": texts}, 0, context_tokens=context)
    assert worst_case_usd(price, {"input": texts, "prompt": "x"}, 0, context_tokens=context) >= plain
    assert worst_case_usd(price, {"input": "x", "prompt": texts}, 0, context_tokens=context) >= plain


async def test_who_leaves_before_the_answer_pays_for_the_prompt_that_was_read(make: Make, upstream: Upstream) -> None:
    service = await make(monthly_budget_usd=10.0, prices={"openai/*": {"input": 100, "output": 1}})
    asking = asyncio.create_task(ask(service, "openai/hang", max_tokens=50))
    async with asyncio.timeout(60):
        while not upstream.posts():
            await asyncio.sleep(0.005)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    (row,) = await service.recent(10, None)
    report = await service.usage(1, None)
    assert (row.outcome, row.cost_usd, row.notes) == ("cancelled", pytest.approx(0.1), ("usage_estimated",))
    assert report.total.cost_usd == pytest.approx(0.1)


async def test_an_answer_that_claims_to_have_read_nothing_is_not_free(make: Make) -> None:
    async def server(request: web.Request) -> web.Response:
        if request.path.endswith("/models"):
            return web.json_response({"data": [{"id": "m"}]})
        choice = {"index": 0, "message": {"role": "assistant", "content": "x" * 400}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 0, "completion_tokens": 0}})

    async with serving(server) as url:
        answer = await ask(await make(openai_base_url=f"{url}/v1"), "openai/m", max_tokens=500)
    assert answer.cost_usd is not None
    assert answer.cost_usd > 0


@pytest.mark.parametrize("price", [{"input": -5, "output": 1}, {"input": 1e300, "output": 1}, {"input": "x"}, 7])
async def test_a_gateways_price_that_is_none_is_not_reckoned_with(make: Make, price: Any) -> None:
    async def gateway(request: web.Request) -> web.Response:
        known = {"capabilities": ["chat"], "price": price}
        if request.path.endswith("/v1/models"):
            return web.json_response({"data": [{"id": "openai/gpt", "aidp": known}]})
        choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 10**6, "completion_tokens": 5}})

    async with serving(gateway) as url:
        service = await make(**behind_a_gateway(url))
        await ask(service, "gateway/openai/gpt")
        (row,) = await service.recent(10, None)
    assert (row.outcome, row.cost_usd) == ("ok", 0)


# --- the server itself


@pytest.mark.parametrize("code", [502, {"a": 1}, ["x"], "x" * 5000, "Bad Gateway", None])
async def test_what_stands_before_the_gateway_cannot_poison_the_records(make: Make, code: Any) -> None:
    """An error's code becomes a label of the metrics and a column of the ledger."""

    async def proxy(request: web.Request) -> web.Response:
        if request.path.endswith("/v1/models"):
            return web.json_response({"data": GATEWAY_MODELS})
        return web.json_response({"error": {"code": code, "message": "No.", "details": {}}}, status=502)

    async with serving(proxy) as url:
        service = await make(**behind_a_gateway(url))
        with pytest.raises(AidpError) as failed:
            await ask(service, "gateway/openai/gpt")
        (row,) = await service.recent(10, None)
    assert failed.value.code == row.outcome == UpstreamUnreachable.code


def _name(bring: Callable[[Path], None]) -> str:
    return bring.__name__.strip("_")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _folder(path: Path) -> None:
    path.mkdir()


def _long_key(path: Path) -> None:
    path.write_text("[ai]\n" + "a." * 100_000 + "b = 1\n")


def _long_key_after_texts(path: Path) -> None:
    path.write_text("[ai]\n" + '"a\\"".' * 30_000 + "b = 1\n")


def _many_patterns(path: Path) -> None:
    path.write_text("[ai]\nnever_leave = [" + ", ".join(f'"*a*b{n}"' for n in range(10_000)) + "]\n")


def _too_large(path: Path) -> None:
    path.write_text("# " + "x" * 300_000)


@pytest.mark.parametrize(
    "bring",
    [_pipe, _device, _folder, _long_key, _long_key_after_texts, _many_patterns, _too_large],
    ids=_name,
)
def test_a_repository_cannot_stop_the_server_by_its_rules(tmp_path: Path, bring: Callable[[Path], None]) -> None:
    """Each is refused at once, and closes all; read to its end, each would take minutes, or for ever."""
    bring(tmp_path / "aidp.toml")
    verdict = Rules(tmp_path).judge(None, ["a.ipynb"])
    assert (verdict.privacy, verdict.reason) == (Privacy.LOCAL, "broken_rules")


@pytest.mark.parametrize("bring", [_pipe, _device, _folder, _long_key, _too_large], ids=_name)
def test_rules_are_not_written_into_what_is_no_file_of_rules(tmp_path: Path, bring: Callable[[Path], None]) -> None:
    bring(tmp_path / "aidp.toml")
    with pytest.raises(StorageError):
        Rules(tmp_path).write(WorkspaceRules(("data/",)))


def test_rules_with_many_dots_in_their_patterns_are_understood(tmp_path: Path) -> None:
    """As they are written by the panel: all on one line."""
    patterns = ", ".join(f'"data.{n}/*.tar.gz"' for n in range(400))
    (tmp_path / "aidp.toml").write_text(f"[ai]\nnever_leave = [{patterns}]\n")
    found = Rules(tmp_path).judge(None, ["data.7/x.tar.gz"])
    assert found == Verdict(Privacy.LOCAL, "never_leave", "data.7/*.tar.gz")


async def test_another_name_for_a_hosted_model_does_not_make_it_local(make: Make, upstream: Upstream) -> None:
    """An Ollama behind the plain API lists `ollama cp gpt-oss:120b-cloud mine` like any other model."""
    service = await make(local_openai_base_url=f"{upstream.url}/aliased/v1")
    where = {offer.model: offer.locality for offer in await service.models(ANA) if offer.provider == "local"}
    assert where == {"mine": Locality.CLOUD, "llama3.2:3b": Locality.LOCAL, "ana/theirs": Locality.CLOUD}
    with pytest.raises(PolicyRefused):
        await service.answer(
            Dialect.CHAT, RouteRequest(model="local/mine", privacy=Privacy.LOCAL), {"messages": ASK}, ANA
        )


async def test_an_ollama_that_does_not_say_what_it_forwards_is_not_trusted(make: Make, upstream: Upstream) -> None:
    service = await make(local_openai_base_url=f"{upstream.url}/library/v1")
    where = {offer.model: offer.locality for offer in await service.models(ANA) if offer.provider == "local"}
    assert where == {"mine": Locality.CLOUD, "other": Locality.LOCAL}


async def test_made_up_models_are_not_counted(make: Make) -> None:
    service = await make()
    await service.models(ANA)
    for number in range(5):
        service.feedback(ANA, f"made/up-{number}", Task.COMPLETE, 1, 0)
    service.feedback(ANA, "openai/good", Task.COMPLETE, 1, 0)
    report = await service.usage(1, None)
    assert [group.key for group in report.by["model"]] == ["openai/good"]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("A ![plot](https://evil.example/?k=1) here", "A [plot](https://evil.example/?k=1) here"),
        ('<img src="https://evil.example/?k=1">', '&lt;img src="https://evil.example/?k=1">'),
        ("`![kept](x)` and\n```html\n<img src=x>\n```", "`![kept](x)` and\n```html\n<img src=x>\n```"),
        ("if a < b: pass", "if a < b: pass"),
        ("![[x](y)](z) ![a][b]", "[[x](y)](z) [a][b]"),
    ],
)
def test_an_answer_in_a_cell_fetches_nothing(said: str, shown: str) -> None:
    assert inert(said) == shown
