"""The chat under live editing (jupyter-collaboration): no message is lost, stop stops, all see the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import aiohttp
import pytest

from tests.support.chat import about
from tests.support.jupyter import Server
from tests.support.lab import collaborative_lab
from tests.support.live_chat import LiveChat, live_chat
from tests.support.scripted import MODEL, Scripted, scripted

LOCAL = {"model": {"id": f"local/{MODEL}", "settings": {}}}


@pytest.fixture(scope="module")
def local() -> Iterator[Scripted]:
    with scripted() as running:
        yield running


@pytest.fixture(scope="module")
def live_server(tmp_path_factory: pytest.TempPathFactory, local: Scripted) -> Iterator[Server]:
    with collaborative_lab(tmp_path_factory.mktemp("live"), {"LOCAL_OPENAI_BASE_URL": local.url}) as running:
        yield running


@pytest.mark.parametrize("clock", [0.0, 0.0, 0.0, -300.0, 300.0])
async def test_the_first_message_of_a_new_chat_is_answered_whatever_the_browsers_clock_says(
    live_server: Server, clock: float, request: pytest.FixtureRequest
) -> None:
    path = f"new{abs(hash(request.node.name))}.chat"
    (live_server.root / path).write_text("{}")
    async with live_chat(live_server, path) as client:
        answer = await client.answered(client.send("/help", clock=clock))
        assert answer["body"].startswith("- `/explain`")
        answer = await client.answered(client.send("/nonsense", clock=clock))
        assert "There is no command" in answer["body"]
        assert len(client.answers()) == 2, "each once"


async def test_two_users_see_one_answer_as_it_grows(live_server: Server, local: Scripted) -> None:
    local.script("One two three", when="Count", chunk=4, hold_after=1)
    (live_server.root / "both.chat").write_text("{}")
    async with live_chat(live_server, "both.chat") as one, live_chat(live_server, "both.chat") as other:
        id = one.send("Count", metadata=LOCAL)
        await other.until(other.answers, "the first words are there")
        local.release()
        assert (await one.answered(id))["body"] == (await other.answered(id))["body"] == "One two three"
        assert len(one.answers()) == len(other.answers()) == 1
    assert len(local.asked) == 1


async def test_stopping_ends_the_request_and_keeps_what_came(live_server: Server, local: Scripted) -> None:
    local.script("tick ", when="Go on", forever=True, delay_ms=5)
    (live_server.root / "stop.chat").write_text("{}")
    async with live_chat(live_server, "stop.chat") as client:
        id = client.send("Go on", metadata=LOCAL)
        await client.until(lambda: client.answers() and "tick tick" in client.answers()[0]["body"], "it goes on")
        await _stop(live_server, client)
        async with asyncio.timeout(60):
            while local.asked[-1].disconnected_at is None:
                await asyncio.sleep(0.01)
        answer = await client.answered(id)
        assert answer["body"].endswith("*— Stopped.*")
        assert about(answer)["stopped"] is True


async def _stop(server: Server, client: LiveChat) -> None:
    url = f"{server.url}api/ai/personas/cancel"
    async with (
        aiohttp.ClientSession(headers=server.headers) as session,
        session.post(url, params={"chat_id": client.id}) as response,
    ):
        assert response.status == 200
