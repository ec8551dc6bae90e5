"""Host 1: aidp in a real Jupyter server, asked as its users ask it."""

from __future__ import annotations

import asyncio
import io
import json
import re
from typing import Any

import aiohttp
import openai
import pytest
from jupyter_server.serverapp import ServerWebApplication
from openai import AsyncOpenAI

from aidp_ext import app
from aidp_ext.core.web import METHODS, UnknownEndpoint, bind
from tests.support.jupyter import Server
from tests.support.upstream import KEY, Upstream

ALL_ROUTES = [*((pattern, handler) for pattern, handler in app.ROUTES if handler is not UnknownEndpoint)]
ALL_ROUTES += [("no/such/endpoint", UnknownEndpoint)]
PATHS = [pattern.replace("(.+)", "some/model") for pattern, _ in ALL_ROUTES]
USER = {"role": "user", "content": "Which bird is it?"}


# --- nobody gets in ---


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("credentials", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "token wrong"}])
async def test_no_endpoint_answers_without_a_token(
    server: Server, path: str, method: str, credentials: dict[str, str]
) -> None:
    async with (
        aiohttp.ClientSession(headers=credentials) as nobody,
        nobody.request(method, f"{server.url}aidp/{path}", json={}) as response,
    ):
        assert response.status == 401
        error = (await response.json())["error"]
        assert (error["code"], error["type"]) == ("unauthenticated", "authentication_error")
        assert server.token not in json.dumps(error)


def test_every_handler_carries_jupyters_own_mark_of_authentication() -> None:
    routes = bind(ALL_ROUTES, app.HttpBase, app.WsBase, app.guard)
    for pattern, handler in routes:
        assert ServerWebApplication._check_handler_auth(None, pattern, handler) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Origin": "http://evil.example"}])
async def test_no_websocket_opens_without_a_token(server: Server, headers: dict[str, str]) -> None:
    async with aiohttp.ClientSession() as nobody:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await nobody.ws_connect(f"{server.url}test/ws", headers=headers)
    assert refused.value.status in (401, 403)


async def test_a_websocket_opens_with_a_token(server: Server) -> None:
    async with (
        aiohttp.ClientSession(headers=server.headers) as session,
        session.ws_connect(f"{server.url}test/ws") as socket,
    ):
        await socket.send_str("hello")
        assert (await socket.receive_str()).endswith(": 'hello'")


async def test_a_browsers_cookie_needs_the_xsrf_header(server: Server) -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        await browser.get(f"{server.url}?token={server.token}")
        mode = f"{server.url}aidp/ai/mode"
        async with browser.get(mode) as response:
            assert response.status == 200
        async with browser.put(mode, json={"mode": "hybrid"}) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (403, "forbidden")
        xsrf = next(cookie.value for cookie in jar if cookie.key == "_xsrf")
        async with browser.put(mode, json={"mode": "hybrid"}, headers={"X-XSRFToken": xsrf}) as response:
            assert response.status == 200


# --- the official SDK ---


@pytest.fixture
async def sdk(server: Server) -> Any:
    async with AsyncOpenAI(base_url=server.ai, api_key=server.token, max_retries=0) as client:
        yield client


async def test_the_sdk_lists_models(sdk: AsyncOpenAI) -> None:
    names = [model.id async for model in sdk.models.list()]
    assert names[:3] == ["auto", "auto:local", "auto:cloud"]
    assert {"local/tiny-coder", "openai/good"} <= set(names)
    assert (await sdk.models.retrieve("local/tiny-coder")).owned_by == "local"
    assert (await sdk.models.retrieve("auto")).owned_by == "aidp"
    with pytest.raises(openai.NotFoundError):
        await sdk.models.retrieve("local/none")


async def test_the_sdk_chats_with_a_real_model(sdk: AsyncOpenAI) -> None:
    raw = await sdk.chat.completions.with_raw_response.create(model="auto:local", messages=[USER], max_tokens=8)
    assert raw.headers["X-AIDP-Route"] == "local/tiny-coder"
    answer = raw.parse()
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8


async def test_the_sdk_streams_from_a_real_model(sdk: AsyncOpenAI) -> None:
    options = {"include_usage": True}
    stream = await sdk.chat.completions.create(
        model="local/tiny-coder", messages=[USER], max_tokens=8, stream=True, stream_options=options
    )
    chunks = [chunk async for chunk in stream]
    assert sum(bool(c.choices and c.choices[0].delta.content) for c in chunks) >= 2
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 8


@pytest.mark.parametrize("suffix", [None, "\nreturn a"])
async def test_the_sdk_completes_with_a_real_model(sdk: AsyncOpenAI, suffix: str | None) -> None:
    whole = await sdk.completions.create(model="auto", prompt="def add(a, b):", suffix=suffix, max_tokens=8)
    assert whole.choices[0].text
    assert whole.choices[0].finish_reason == "length"
    stream = await sdk.completions.create(model="auto", prompt="def add(", suffix=suffix, max_tokens=8, stream=True)
    chunks = [chunk async for chunk in stream]
    assert len("".join(c.choices[0].text for c in chunks)) >= 2
    assert chunks[-1].choices[0].finish_reason == "length"


async def test_the_sdk_completes_lists_and_several(sdk: AsyncOpenAI) -> None:
    two = await sdk.completions.create(model="auto", prompt=["def a(", "def b("], max_tokens=2)
    assert len(two.choices) == 2
    assert (await sdk.completions.create(model="auto", prompt=[30, 31], max_tokens=2)).choices[0].text
    several = await sdk.completions.create(model="auto", prompt="def a(", suffix="return", n=2, max_tokens=2)
    assert [choice.index for choice in several.choices] == [0, 1]
    with pytest.raises(openai.BadRequestError, match="suffix"):
        await sdk.completions.create(model="auto", prompt=["def a("], suffix="return")


async def test_real_fill_in_the_middle_reads_what_follows(sdk: AsyncOpenAI) -> None:
    """The prompt that the model read must be longer by the suffix: it was not dropped on the way."""

    async def read(suffix: str) -> int:
        answer = await sdk.completions.create(model="auto", prompt="x = ", suffix=suffix, max_tokens=1)
        assert answer.usage is not None
        return answer.usage.prompt_tokens

    assert await read("a" * 100) - await read("a") == 99


async def test_the_sdk_raises_its_own_errors(sdk: AsyncOpenAI, upstream: Upstream) -> None:
    ask = sdk.chat.completions.create
    with pytest.raises(openai.NotFoundError, match="no model 'none'"):
        await ask(model="none", messages=[USER])
    with pytest.raises(openai.BadRequestError, match="temperature"):
        await ask(model="auto", messages=[USER], temperature=3)
    with pytest.raises(openai.RateLimitError, match="slow down"):
        await ask(model="openai/overloaded", messages=[USER])
    with pytest.raises(openai.APIError, match="broke off"):
        async for _ in await ask(model="openai/cut", messages=[USER], stream=True):
            pass
    with pytest.raises(openai.AuthenticationError):
        await sdk.with_options(api_key="wrong").chat.completions.create(model="auto", messages=[USER])


# --- bad input, bad servers ---


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        (b"", 400, "invalid_json", "no body"),
        (b"<html>", 400, "invalid_json", "not valid JSON"),
        (b"[]", 400, "invalid_request", "object"),
        ({"messages": []}, 400, "invalid_request", "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, 400, "invalid_request", "messages[0].role"),
        ({"messages": [USER], "temperature": 3}, 400, "invalid_request", "temperature"),
        ({"messages": [USER], "max_tokens": -1}, 400, "invalid_request", "max_tokens"),
        ({"messages": [USER], "stream": "yes"}, 400, "invalid_request", "stream"),
        ({"messages": [USER], "model": "gpt-9"}, 404, "model_not_found", "gpt-9"),
        ({}, 400, "invalid_request", "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, 400, "invalid_request", "text"),
        ({"messages": [USER], "model": ""}, 400, "invalid_request", "model"),
        ({"messages": [{"role": "user", "content": "x" * 2_000_000}]}, 400, "context_length_exceeded", "500,001"),
        ({"messages": [USER], "model": "openai/html"}, 502, "upstream_invalid_response", "web page"),
        ({"messages": [USER], "model": "openai/hang"}, 504, "upstream_timeout", "silent"),
        ({"messages": [USER], "model": "openai/reset"}, 502, "upstream_unreachable", "closed"),
        ({"messages": [USER], "model": "openai/truncated-json"}, 502, "upstream_incomplete", "broke off"),
        ({"messages": [USER], "model": "openai/unauthorized"}, 502, "upstream_rejected", "refused (401)"),
    ],
)
async def test_bad_input_and_bad_servers_get_a_clear_error(
    client: aiohttp.ClientSession, body: Any, status: int, code: str, says: str
) -> None:
    data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
    async with client.post("ai/v1/chat/completions", data=data) as response:
        text = await response.text()
    error = json.loads(text)["error"]
    assert (response.status, error["code"]) == (status, code)
    assert says in error["message"]
    assert KEY not in text


@pytest.mark.parametrize("header", ["X-AIDP-Task", "X-AIDP-Privacy"])
async def test_an_unknown_header_value_is_refused_rather_than_ignored(
    client: aiohttp.ClientSession, header: str
) -> None:
    async with client.post("ai/v1/chat/completions", json={"messages": [USER]}, headers={header: "x"}) as response:
        assert response.status == 400
        assert header in (await response.json())["error"]["message"]


async def test_private_text_stays_local(client: aiohttp.ClientSession, upstream: Upstream) -> None:
    headers = {"X-AIDP-Privacy": "local", "X-AIDP-Task": "review"}
    body = {"messages": [USER], "max_tokens": 4}
    async with client.post("ai/v1/chat/completions", json=body, headers=headers) as response:
        assert (response.headers["X-AIDP-Locality"], response.headers["X-AIDP-Reason"]) == ("local", "private")
    async with client.post(
        "ai/v1/chat/completions", json={**body, "model": "openai/good"}, headers=headers
    ) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (403, "policy_refused")
    assert upstream.posts() == []


async def test_half_an_event_ends_in_an_error_event(client: aiohttp.ClientSession) -> None:
    body = {"messages": [USER], "model": "openai/half-event", "stream": True}
    async with client.post("ai/v1/chat/completions", json=body) as response:
        assert response.content_type == "text/event-stream"
        events = [json.loads(part.removeprefix("data: ")) for part in (await response.text()).strip().split("\n\n")]
    assert events[0]["choices"][0]["delta"]["content"] == "Pen"
    assert [e["error"]["code"] for e in events[1:]] == ["upstream_incomplete"]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_the_work_upstream(
    server: Server, client: aiohttp.ClientSession, upstream: Upstream, stream: bool
) -> None:
    if stream:
        body = {"messages": [USER], "model": "openai/forever", "stream": True}
        async with client.post("ai/v1/chat/completions", json=body) as response:
            await response.content.readuntil(b"\n\n")
            response.close()
        async with asyncio.timeout(60):
            while not upstream.aborted:
                await asyncio.sleep(0.005)
        return
    asking = asyncio.ensure_future(
        client.post("ai/v1/chat/completions", json={"messages": [USER], "model": "openai/hang"})
    )
    while not upstream.posts():
        await asyncio.sleep(0.005)
    asking.cancel()
    record = server.home / "data" / "aidp" / "audit.jsonl"
    async with asyncio.timeout(60):  # left alone it would end as upstream_timeout
        while (last := json.loads(record.read_text().splitlines()[-1]))["route"] != "openai/hang":
            await asyncio.sleep(0.005)
    assert last["outcome"] == "cancelled"


# --- what the front end asks ---


async def test_the_route_is_explained(client: aiohttp.ClientSession) -> None:
    async with client.post("ai/route", json={"task": "complete"}) as response:
        said = await response.json()
    assert (said["route"], said["locality"], said["reason"]) == ("local/tiny-coder", "local", "local_first")
    assert said["message"].endswith(".")
    assert said["loaded"] is True
    assert {c["reason"] for c in said["refused"]} == {"no_complete"}


async def test_providers_are_listed_with_state_and_next_step(client: aiohttp.ClientSession) -> None:
    async with client.get("ai/providers?refresh=1") as response:
        providers = {p["name"]: p for p in (await response.json())["providers"]}
    assert {name: p["state"] for name, p in providers.items()} == {
        "ollama": "unreachable",
        "local": "ready",
        "openai": "ready",
        "anthropic": "unconfigured",
        "gemini": "unconfigured",
    }
    assert "ollama serve" in providers["ollama"]["next_step"]
    assert "ANTHROPIC_API_KEY" in providers["anthropic"]["next_step"]
    assert "fim" in providers["local"]["models"][0]["capabilities"]
    assert KEY not in json.dumps(providers)


async def test_the_mode_is_changed_and_holds(client: aiohttp.ClientSession, upstream: Upstream) -> None:
    try:
        async with client.put("ai/mode", json={"mode": "offline"}) as response:
            assert (await response.json())["mode"] == "offline"
        async with client.post("ai/route", json={"task": "review"}) as response:
            assert (await response.json())["locality"] == "local"
        async with client.post("ai/v1/chat/completions", json={"messages": [USER], "model": "openai/good"}) as response:
            assert response.status == 403
        assert upstream.posts() == []
        async with client.put("ai/mode", json={"mode": "sideways"}) as response:
            assert response.status == 400
    finally:
        async with client.put("ai/mode", json={"mode": "hybrid"}) as response:
            assert (await response.json())["mode"] == "hybrid"


async def test_nothing_secret_is_in_the_log(server: Server, client: aiohttp.ClientSession) -> None:
    await client.post("ai/v1/chat/completions", json={"messages": [USER], "model": "openai/unauthorized"})
    log = server.log.read_text()
    assert "unauthorized" in log or "upstream_rejected" in log
    assert KEY not in log
    assert server.token not in log
    assert USER["content"] not in log
    assert "Traceback" not in log


# --- Lab's page ---


async def test_a_load_of_labs_page_runs_no_node(server: Server) -> None:
    async with (
        aiohttp.ClientSession(headers=server.headers) as session,
        session.get(f"{server.url}lab") as response,
    ):
        page = await response.text()
    found = re.search(r'<script id="jupyter-config-data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    assert json.loads(found[1])["buildCheck"] is False
