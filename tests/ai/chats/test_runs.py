"""Reading a run of a tracking server, at the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web

from aidp_ext.ai.chats.runs import TrackingServer
from aidp_ext.core.errors import (
    InvalidRequest,
    NotFound,
    PolicyRefused,
    Unavailable,
    UpstreamInvalid,
    UpstreamUnreachable,
)
from tests.support.processes import free_port
from tests.support.wire import serving

RUN = {
    "run": {
        "info": {"run_id": "1a2b", "run_name": "brave-elk", "status": "FINISHED"},
        "data": {
            "params": [{"key": "depth", "value": "7"}],
            "metrics": [{"key": "val_acc", "value": 0.861}],
            "tags": [{"key": "note", "value": "first\n\ngood one"}],
        },
    }
}


Make = Callable[..., TrackingServer]


@pytest.fixture
async def server() -> AsyncIterator[Make]:
    made: list[TrackingServer] = []

    def make(url: str, *, closed: bool = False, **more: str) -> TrackingServer:
        made.append(TrackingServer({"MLFLOW_TRACKING_URI": url, **more}, lambda: closed))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def test_a_run_is_told_in_some_lines(server: Make) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.path == "/base/api/2.0/mlflow/runs/get"
        assert request.query["run_id"] == "1a2b"
        assert request.headers["Authorization"] == "Bearer t0k"
        return web.json_response(RUN)

    async with serving(answer) as url:
        runs = server(f"{url}/base/", MLFLOW_TRACKING_TOKEN="t0k")
        text = await runs.run("1a2b")
    assert text.split("\n") == [
        "run 1a2b: brave-elk, FINISHED",
        "parameters:",
        "  depth = 7",
        "metrics, last values:",
        "  val_acc = 0.861",
        "tags:",
        "  note = first good one",
    ]


async def test_a_run_with_very_many_values_is_bounded(server: Make) -> None:
    many = [{"key": f"p{number}", "value": "x" * 3000} for number in range(1000)]

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"run": {"info": {}, "data": {"params": many}}})

    async with serving(answer) as url:
        runs = server(url)
        text = await runs.run("a")
    assert len(text) < 50_000
    assert text.endswith("… 940 more")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, "{}", NotFound),
        (500, "{}", UpstreamInvalid),
        (302, "{}", UpstreamInvalid),
        (200, "{}", UpstreamInvalid),
        (200, "[7]", UpstreamInvalid),
        (200, '{"run": {"info": 7}}', UpstreamInvalid),
        (200, '{"run": {"info": {}, "data": {"params": [7]}}}', UpstreamInvalid),
        (200, '{"run": {"info": {}, "data": [7]}}', UpstreamInvalid),
        (200, "[" * 100_000, UpstreamInvalid),
        (200, "<html>", UpstreamInvalid),
    ],
)
async def test_an_answer_that_is_none_is_said(server: Make, status: int, body: str, error: type[Exception]) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body, headers={"Location": "http://192.0.2.1/"})

    async with serving(answer) as url:
        runs = server(url)
        with pytest.raises(error):
            await runs.run("1a2b")


async def test_without_a_tracking_server_that_is_said_and_nothing_contacted(server: Make) -> None:
    for uri in ("", "file:///tmp/mlruns", "sqlite:///x", "databricks"):
        with pytest.raises(Unavailable, match="names no tracking server"):
            await server(uri).run("1a2b")


@pytest.mark.parametrize("run_id", ["", "../x", "a b", "a/b", "a?x=1", "x" * 65, "é"])
async def test_what_is_no_id_is_not_sent(server: Make, run_id: str) -> None:
    with pytest.raises(InvalidRequest):
        await server(f"http://127.0.0.1:{free_port()}").run(run_id)


async def test_a_server_that_is_away_is_said(server: Make) -> None:
    runs = server(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UpstreamUnreachable):
        await runs.run("1a2b")


async def test_where_nothing_may_leave_only_a_server_on_this_machine_is_asked(server: Make) -> None:
    for uri in ("https://mlflow.example", "http://192.0.2.1:5000"):
        with pytest.raises(PolicyRefused):
            await server(uri, closed=True).run("1a2b")

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(RUN)

    async with serving(answer) as url:
        runs = server(url, closed=True)
        assert "brave-elk" in await runs.run("1a2b")
