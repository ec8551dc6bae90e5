"""MLflow's own pages through the proxy, in a real Chromium: they work, and a page of a run does no harm to Lab."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Response, expect

from tests.support.jupyter import Server, jupyter_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

#: What a page that somebody logged would try: to read this server as its user.
ATTACK = """<h1>logged page</h1><script>
document.querySelector('h1').textContent = 'scripts run';
fetch('/api/contents').then(r => { new Image().src = '/stolen/' + r.status; });
try { parent.document.title = 'stolen'; } catch (e) {}
</script>"""


FRAME = """url => {
  const frame = document.createElement('iframe');
  Object.assign(frame, { src: url, width: 1000, height: 700 });
  document.body.replaceChildren(frame);
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with jupyter_server(tmp_path_factory.mktemp("mlflow"), {}, "--ServerApp.base_url=/user/ana") as running:
        yield Server(f"{running.url}user/ana/", *(getattr(running, n) for n in ("token", "root", "home", "log", "pid")))


def call(server: Server, method: str, path: str, body: bytes | None = None) -> Any:
    url = f"{server.url}aidp/mlflow/{path}"
    request = urllib.request.Request(url, body, {**server.headers, "Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=180) as response:
        return json.loads(response.read() or b"null")


@pytest.fixture(scope="module")
def run(server: Server) -> dict[str, Any]:
    """A run with a parameter, a metric and a page."""
    made = call(server, "POST", "api/2.0/mlflow/runs/create", b'{"experiment_id": "0", "run_name": "brave-elk"}')
    info: dict[str, Any] = made["run"]["info"]
    values = {
        "run_id": info["run_id"],
        "metrics": [{"key": "loss", "value": 1 / (n + 1), "timestamp": n, "step": n} for n in range(10)],
        "params": [{"key": "lr", "value": "0.1"}],
    }
    call(server, "POST", "api/2.0/mlflow/runs/log-batch", json.dumps(values).encode())
    root = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
    call(server, "PUT", f"api/2.0/mlflow-artifacts/artifacts/{root}/page.html", ATTACK.encode())
    call(
        server,
        "POST",
        "api/2.0/mlflow/runs/update",
        json.dumps({"run_id": info["run_id"], "status": "FINISHED"}).encode(),
    )
    return info


@pytest.fixture
def signed_in(server: Server, page: Page) -> Page:
    page.goto(f"{server.url}nowhere?token={server.token}")  # a page of Jupyter's own, whatever it says
    return page


def test_the_list_a_run_and_its_page_are_shown_and_can_be_changed(
    server: Server, run: dict[str, Any], signed_in: Page
) -> None:
    page = signed_in
    answers: list[Response] = []
    page.on("response", lambda response: answers.append(response))
    page.goto(f"{server.url}aidp/mlflow/#/experiments/0/runs")
    expect(page.get_by_text("brave-elk").first).to_be_visible(timeout=60_000)

    page.goto(f"{server.url}aidp/mlflow/#/experiments/0/runs/{run['run_id']}")
    expect(page.get_by_text("0.1", exact=True).first).to_be_visible(timeout=60_000)

    unsafe = [one for one in answers if one.request.method != "GET" and "/aidp/mlflow/" in one.url]
    assert unsafe, "its searches are POSTs"
    failed = {(one.status, one.request.method, one.url) for one in answers if one.status >= 400}
    # There are no accounts of MLflow's, and what is closed it asks for all the same.
    expected = ("users/current", "/mlflow/assistant/", "/mlflow/gateway-proxy")
    assert not [one for one in failed if not any(part in one[2] for part in expected)], failed


def test_a_page_that_a_run_logged_cannot_act_on_this_server(
    server: Server, run: dict[str, Any], signed_in: Page
) -> None:
    page = signed_in
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{server.url}aidp/mlflow/#/experiments/0/runs/{run['run_id']}/artifacts/page.html")
    shown = page.frame_locator("iframe").get_by_role("heading")
    expect(shown).to_have_text(re.compile("logged page|scripts run"), timeout=60_000)
    assert "stolen" not in page.title()
    assert not [url for url in asked if "/stolen/200" in url]

    # The same in a frame without any guard of its own
    page.goto(f"{server.url}nowhere")
    asked.clear()
    page.evaluate(FRAME, f"{server.url}aidp/mlflow/get-artifact?run_id={run['run_id']}&path=page.html")
    page.wait_for_load_state("networkidle")
    assert not [url for url in asked if "/stolen/" in url or url.endswith("/api/contents")]


def test_it_is_shown_inside_a_page_of_this_servers(server: Server, run: dict[str, Any], signed_in: Page) -> None:
    page = signed_in
    page.evaluate(FRAME, f"{server.url}aidp/mlflow/#/experiments/0/runs")
    expect(page.frame_locator("iframe").get_by_text("brave-elk").first).to_be_visible(timeout=60_000)
