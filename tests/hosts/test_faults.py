"""What a client sees of a fault, over HTTP and in both dialects; and what is left when the server is killed."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from aidp_ext.ai.ledger import Ledger
from tests.ai.ledgers import rows
from tests.support.faults import BREAKS, CASES, Break, Fault
from tests.support.jupyter import Server, jupyter_server
from tests.support.processes import wait_until
from tests.support.upstream import KEY, Upstream

CHAT = {"messages": [{"role": "user", "content": "Which bird is it?"}], "max_tokens": 50}
DIALECTS = ("ai/v1/chat/completions", "ai/v1/messages")
# Each fault in one dialect. The form of the other one is made of the error alone, so one of each kind is enough for it.
_ALIKE = {(one.code, one.status, one.attempts, one.retry_after_s, form): (one, form) for one, form in CASES}
SEEN = [(DIALECTS[0], *case) for case in CASES] + [(DIALECTS[1], *case) for case in _ALIKE.values()]
SEEN_IDS = [f"{fault.what}-{'streamed' if stream else 'whole'}-{path}" for path, fault, stream in SEEN]
SETTINGS = (
    "--AiConfig.read_timeout_s=1.5",  # a busy machine takes its time for 4 MB
    "--AiConfig.max_retry_wait_s=0.05",
    "--AiConfig.monthly_budget_usd=10",
    "--AiConfig.preferred_models=busy-once",
    "--AiConfig.preferred_models=good",
)


def environment(upstream: Upstream) -> dict[str, str]:
    """OpenAI is the misbehaving server, and so is a local one."""
    url = f"{upstream.url}/v1"
    return {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": KEY, "LOCAL_OPENAI_BASE_URL": url}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, _upstream: Upstream) -> Iterator[Server]:
    with jupyter_server(tmp_path_factory.mktemp("faults"), environment(_upstream), *SETTINGS) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"{server.url}aidp/", headers=server.headers) as session:
        yield session


async def latest(client: aiohttp.ClientSession) -> dict[str, Any]:
    """Return the latest call as the panel shows it."""
    async with client.get("ai/calls?limit=1") as response:
        (call,) = (await response.json())["calls"]
    return dict(call)


@pytest.mark.parametrize(("path", "fault", "stream"), SEEN, ids=SEEN_IDS)
async def test_what_a_client_sees_of_a_server_that_fails(
    client: aiohttp.ClientSession, upstream: Upstream, path: str, fault: Fault, stream: bool
) -> None:
    async with client.post(path, json={**CHAT, "model": f"openai/{fault.what}", "stream": stream}) as response:
        text = await response.text()
    said = json.loads(text)
    assert said.get("type") == ("error" if path.endswith("messages") else None)
    error = said["error"]
    assert (response.status, error["code"]) == (fault.status, fault.code)
    assert response.content_type == "application/json"
    assert fault.says in error["message"]
    assert fault.step is None or fault.step in error["details"]["next_step"]
    assert response.headers["X-AIDP-Attempts"] == str(fault.attempts) == str(error["details"]["attempts"])
    assert response.headers.get("Retry-After") == (str(fault.retry_after_s) if fault.retry_after_s else None)
    assert len(upstream.posts()) == fault.attempts
    assert KEY not in text
    call = await latest(client)
    assert (call["id"], call["outcome"], call["attempts"]) == (
        response.headers["X-AIDP-Call"],
        fault.code,
        fault.attempts,
    )


@pytest.mark.parametrize("path", DIALECTS)
@pytest.mark.parametrize("fault", BREAKS, ids=lambda fault: fault.what)
async def test_what_a_client_sees_of_a_stream_that_breaks_off(
    client: aiohttp.ClientSession, upstream: Upstream, path: str, fault: Break
) -> None:
    async with client.post(path, json={**CHAT, "model": f"openai/{fault.what}", "stream": True}) as response:
        assert (response.status, response.headers["X-AIDP-Attempts"]) == (200, "1")
        received = await response.content.readuntil(b"Pen")
        upstream.go_on()
        received += await response.content.read()
    *before, last = received.decode().strip().split("\n\n")
    assert any("Pen" in one for one in before), "what came before the error is there"
    name, _, data = last.rpartition("data: ")
    said = json.loads(data)
    if path.endswith("messages"):
        assert (name, said["type"]) == ("event: error\n", "error")
    else:
        assert name == ""
    assert said["error"]["code"] == fault.code
    assert fault.says in said["error"]["message"]
    assert (await latest(client))["outcome"] == fault.code


async def test_another_model_answers_and_the_headers_say_so(client: aiohttp.ClientSession, upstream: Upstream) -> None:
    async with client.post(DIALECTS[0], json={**CHAT, "model": "auto"}) as response:
        assert response.status == 200
        assert response.headers["X-AIDP-Route"] == "openai/good"
        assert response.headers["X-AIDP-Attempts"] == "2"
    assert [request.model for request in upstream.posts()] == ["busy-once", "good"]


@pytest.mark.parametrize("model", ["hang", "forever"])
async def test_a_client_that_goes_is_recorded_as_gone(
    client: aiohttp.ClientSession, upstream: Upstream, model: str
) -> None:
    asking = asyncio.create_task(client.post(DIALECTS[0], json={**CHAT, "model": f"local/{model}", "stream": True}))
    if model == "forever":
        response = await asking
        await response.content.readuntil(b"\n\n")
        response.close()
    else:
        async with asyncio.timeout(60):
            while not upstream.posts():
                await asyncio.sleep(0.001)
        asking.cancel()
    async with asyncio.timeout(60):
        while (call := await latest(client))["outcome"] == "running":
            await asyncio.sleep(0.005)
        while upstream.busy:
            await asyncio.sleep(0.005)
    assert (call["route"], call["outcome"]) == (f"local/{model}", "cancelled")


# --- kill -9


def ask(server: Server, model: str, stream: bool = False) -> None:
    """Ask until the answer ends, in whatever way."""
    body = json.dumps({**CHAT, "model": model, "stream": stream}).encode()
    request = urllib.request.Request(f"{server.url}aidp/{DIALECTS[0]}", body, server.headers)
    with contextlib.suppress(OSError, http.client.HTTPException), urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


def reserved(server: Server, upstream: Upstream) -> None:
    """A call that costs has been sent, and waits for its answer."""
    threading.Thread(target=ask, args=(server, "openai/hang"), daemon=True).start()
    wait_until(upstream.posts, "the model is asked")


def streaming(server: Server, upstream: Upstream) -> None:
    """An answer that costs is under way."""
    threading.Thread(target=ask, args=(server, "openai/forever", True), daemon=True).start()
    wait_until(lambda: [r for r in upstream.posts() if r.model == "forever"], "the model is asked")


def writing(server: Server, upstream: Upstream) -> None:
    """Calls end, and are written down, at every moment."""

    def on_and_on() -> None:
        for _ in range(2000):
            ask(server, "openai/good")
            if gone.is_set():
                return

    gone = threading.Event()
    threads = [threading.Thread(target=on_and_on, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(upstream.posts()) > 60, "calls are written down")
    os.kill(server.pid, signal.SIGKILL)
    gone.set()
    for thread in threads:
        thread.join(30)


@pytest.mark.parametrize("moment", [reserved, streaming, writing], ids=lambda moment: moment.__name__)
async def test_a_server_that_is_killed_leaves_all_in_order(
    tmp_path: Path, upstream: Upstream, moment: Callable[[Server, Upstream], None]
) -> None:
    state = tmp_path / "state"
    url = f"sqlite:///{state}/aidp.sqlite"
    options = (*SETTINGS[2:], f"--AidpApp.state_dir={state}")
    with jupyter_server(tmp_path / "first", environment(upstream), *options) as server:
        ask(server, "openai/good")
        upstream.clear()
        await asyncio.to_thread(moment, server, upstream)
        with contextlib.suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGKILL)

    argv = [sys.executable, "-m", "aidp_ext", "audit", "verify", str(state / "audit.jsonl")]
    verified = subprocess.run(argv, capture_output=True, text=True)
    assert verified.returncode == 0, verified.stderr
    assert "unbroken" in verified.stdout
    assert rows(url, "PRAGMA integrity_check") == [("ok",)]
    held = rows(url, "SELECT id FROM ai_reservation")
    if moment is not writing:  # which may have been between two calls
        assert held

    survivor = Ledger(url, lease_s=0.3)
    await survivor.start()
    async with asyncio.timeout(60):
        while rows(url, "SELECT id FROM ai_reservation"):
            await survivor.flush()
            await asyncio.sleep(0.02)
    await survivor.close()
    lost = rows(url, "SELECT id, route, user <> '' FROM ai_call WHERE outcome = 'lost'")
    assert {name for name, _, _ in lost} == {name.rsplit(".", 1)[0] for (name,) in held}
    assert {route for _, route, _ in lost} <= {"openai/hang", "openai/forever", "openai/good"}
    assert rows(url, "SELECT * FROM ai_spend WHERE reserved <> 0") == []
    assert rows(url, "SELECT coalesce(sum(cost), 0) FROM ai_call") == rows(
        url, "SELECT spent FROM ai_spend WHERE bucket LIKE '____-__/deployment/'"
    )

    with jupyter_server(tmp_path / "second", environment(upstream), *options) as server:
        ask(server, "openai/good")
        async with aiohttp.ClientSession(f"{server.url}aidp/", headers=server.headers) as client:
            assert (await latest(client))["outcome"] == "ok"
        assert "Traceback" not in server.log.read_text()
    verified = subprocess.run(argv, capture_output=True, text=True)
    assert verified.returncode == 0, verified.stderr
