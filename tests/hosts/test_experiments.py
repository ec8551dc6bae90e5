"""Experiments in a real Jupyter server with a real MLflow behind it: the endpoints, the websocket, and who may ask."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.support.jupyter import Server, jupyter_server
from tests.support.processes import wait_until

MLFLOW = "mlflow/api/2.0/mlflow"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with jupyter_server(tmp_path_factory.mktemp("experiments"), {}) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=180)
    async with aiohttp.ClientSession(f"{server.url}aidp/", headers=server.headers, timeout=timeout) as session:
        yield session


async def ask(client: aiohttp.ClientSession, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    async with client.request(method, path, json=body) as response:
        said = await response.text()
        assert response.status == status, said
        return json.loads(said)


async def started(client: aiohttp.ClientSession, name: str) -> tuple[str, str]:
    """Return a new experiment and a run of it."""
    experiment = (await ask(client, "POST", "experiments", {"name": name}))["id"]
    body = {"experiment_id": experiment, "run_name": "r", "start_time": int(time.time() * 1000)}
    made = await ask(client, "POST", f"{MLFLOW}/runs/create", body)
    return experiment, made["run"]["info"]["run_id"]


def mlflow_of(server: Server) -> list[psutil.Process]:
    return [one for one in psutil.Process(server.pid).children(recursive=True) if "mlflow" in " ".join(one.cmdline())]


async def test_looking_starts_no_tracking_server_and_writing_does(
    server: Server, client: aiohttp.ClientSession
) -> None:
    said = await ask(client, "GET", "experiments")
    assert said["experiments"] == [] and said["tracking"]["state"] == "off"
    page = await ask(client, "POST", "experiments/runs/search", {"filter": "metrics.loss < 1"})
    assert (page["runs"], page["total"]) == ([], 0)
    await ask(client, "GET", "experiments/cells?notebook=a.ipynb")
    await ask(client, "GET", f"experiments/runs/{'0' * 32}", status=404)
    assert not mlflow_of(server)
    assert (await ask(client, "POST", "experiments/start"))["state"] == "ready"
    assert mlflow_of(server)


async def test_a_page_lives_through_a_run(client: aiohttp.ClientSession) -> None:
    experiment, run = await started(client, "a page")
    async with client.ws_connect("experiments/live") as socket:
        await socket.send_json({"watch": {"experiments": [experiment], "runs": [run], "columns": ["metrics.loss"]}})

        async def until(kind: str) -> dict[str, Any]:
            while True:
                news = json.loads((await socket.receive(timeout=30)).data)
                if news["kind"] == kind and (kind != "runs" or news["rows"]):
                    return dict(news)

        assert (await until("tracking"))["state"]["kind"] == "local"
        await asyncio.sleep(2)
        now = int(time.time() * 1000)
        body = {"run_id": run, "key": "loss", "value": 0.5, "timestamp": now, "step": 7}
        await ask(client, "POST", f"{MLFLOW}/runs/log-metric", body)
        points = await until("points")
        assert (points["run"], points["metric"], points["x"], points["y"]) == (run, "loss", [7], [0.5])
        ended = {"run_id": run, "status": "FINISHED", "end_time": now}
        await ask(client, "POST", f"{MLFLOW}/runs/update", ended)
        assert (await until("ended"))["row"]["status"] == "FINISHED"
    said = await ask(client, "POST", "experiments/curves", {"runs": [run], "metrics": ["loss"], "from": 0, "to": 9})
    assert said["curves"][0]["x"] == [7]


@pytest.mark.parametrize("message", ["nonsense", "[]", '{"watch": 7}', '{"watch": {"runs": ["../x"]}}', "x" * 300_000])
async def test_what_a_page_says_wrongly_ends_its_connection(client: aiohttp.ClientSession, message: str) -> None:
    async with client.ws_connect("experiments/live") as socket:
        await socket.send_str(message)
        while (heard := await socket.receive(timeout=30)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert (heard.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, 1007)


async def test_pages_that_go_leave_nothing_behind(server: Server, client: aiohttp.ClientSession) -> None:
    before = psutil.Process(server.pid).num_fds()
    for _ in range(20):
        async with client.ws_connect("experiments/live") as socket:
            await socket.send_json({"watch": {}})
    wait_until(lambda: psutil.Process(server.pid).num_fds() <= before + 3, "its files are closed")


async def test_a_bad_filter_says_where(client: aiohttp.ClientSession) -> None:
    said = await ask(client, "POST", "experiments/runs/search", {"filter": "metrics.loss <"}, 400)
    assert (said["error"]["code"], said["error"]["details"]["position"]) == ("invalid_request", 14)


async def test_a_page_among_the_files_has_no_origin(server: Server, client: aiohttp.ClientSession) -> None:
    experiment, run = await started(client, "files")
    path = f"mlflow/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/sub/p.html"
    async with client.put(path, data=b"<script>alert(1)</script>") as response:
        assert response.status == 200, await response.text()
    async with client.put(path.replace("p.html", "a%20%C3%A4.bin"), data=io.BytesIO(b"\0" * 3_000_000)) as response:
        assert response.status == 200
    files = (await ask(client, "GET", f"experiments/runs/{run}/artifacts?path=sub"))["files"]
    assert [(one["name"], one["bytes"]) for one in files] == [("a ä.bin", 3_000_000), ("p.html", 25)]
    async with client.get(f"experiments/runs/{run}/raw?path=sub/p.html") as response:
        assert response.headers["Content-Security-Policy"].startswith("sandbox allow-scripts; default-src 'none'")
        assert "allow-same-origin" not in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.content_type == "text/html" and await response.read() == b"<script>alert(1)</script>"
    async with client.get(f"experiments/runs/{run}/raw", params={"path": "sub/a ä.bin"}) as response:
        assert response.headers["Content-Disposition"] == "attachment; filename*=UTF-8''a%20%C3%A4.bin"
        assert len(await response.read()) == 3_000_000
    span = {"Range": "bytes=10-19"}
    async with client.get(f"experiments/runs/{run}/raw", params={"path": "sub/a ä.bin"}, headers=span) as response:
        assert (response.status, response.headers["Content-Range"]) == (206, "bytes 10-19/3000000")
        assert await response.read() == b"\0" * 10
    for outside in ("../x", "/etc/passwd", "sub/../../../1"):
        async with client.get(f"experiments/runs/{run}/raw", params={"path": outside}) as response:
            assert response.status == 400


async def test_runs_go_into_a_spreadsheet(client: aiohttp.ClientSession) -> None:
    experiment, run = await started(client, "sheet")
    names = [("experiment", experiment), ("columns", "params.a"), ("columns", "metrics.b"), ("runs", run)]
    async with client.get("experiments/csv", params=names) as response:
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        head, line, _ = (await response.read()).decode("utf-8-sig").split("\r\n")
    assert head.endswith("params.a,metrics.b") and line.startswith(run)
    async with client.get("experiments/csv", params={"filter": "x <"}) as response:
        assert response.status == 400


async def test_nobody_without_a_token_sees_anything(server: Server) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("experiments", f"experiments/runs/{'0' * 32}", "experiments/csv"):
            async with session.get(f"{server.url}aidp/{path}") as response:
                assert response.status == 401
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(f"{server.url}aidp/experiments/live")


async def test_the_index_is_kept_and_the_owners_only(server: Server, client: aiohttp.ClientSession) -> None:
    folder = server.home / "data" / "aidp" / "experiments"
    for file in folder.glob("index.db*"):
        assert Path(file).stat().st_mode & 0o077 == 0
    before = (await ask(client, "POST", "experiments/runs/search", {}))["version"]
    assert before.split(".")[0] == (await ask(client, "POST", "experiments/runs/search", {}))["version"].split(".")[0]


def test_nothing_went_wrong_unseen(server: Server) -> None:
    assert "Traceback" not in server.log.read_text()
