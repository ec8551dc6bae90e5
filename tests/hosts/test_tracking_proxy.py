"""The way to the tracking server through a real Jupyter server: what passes, who passes, and what becomes of faults."""

from __future__ import annotations

import http.client
import importlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from aiohttp import web

from tests.support.fake_mlflow import FakeMlflow, fake_mlflow, hello
from tests.support.jupyter import Server, jupyter_server
from tests.support.kernel import kernel
from tests.support.processes import wait_until

psutil: Any = importlib.import_module("psutil")  # it has no types

MIB = 1 << 20
WAYS_TO_THE_ASSISTANT = (
    "ajax-api/3.0/mlflow/assistant/config",
    "ajax-api/3.0/mlflow/%61ssistant/config",
    "ajax-api/3.0/mlflow/%2561ssistant/config",
    "ajax-api/3.0/mlflow//assistant/config",
    "ajax-api/3.0/mlflow/x/../assistant/config",
    "ajax-api/3.0/mlflow/x/%2e%2e/assistant/config",
    "AJAX-API/3.0/mlflow/assistant",
    "gateway/mlflow/v1/chat/completions",
    "ajax-api/2.0/mlflow/gateway-proxy?gateway_path=x",
    "ajax-api/2.0/mlflow/gateway-proxy?gateway_path=api/2.0/endpoints/&gateway_path=x",
    "ajax-api/2.0/mlflow/gateway-proxy?gateway_path=api/2.0/endpoints/x/invocations",
    "ajax-api/3.0/jobs/1",
)


@dataclass
class Said:
    """An answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@pytest.fixture(scope="module")
def _fake() -> Iterator[FakeMlflow]:
    with fake_mlflow("/behind/a%20prefix") as running:
        yield running


@pytest.fixture
def fake(_fake: FakeMlflow) -> FakeMlflow:
    """The tracking server, with an empty memory."""
    _fake.got.clear()
    _fake.answer, _fake.ended_early = hello, 0
    return _fake


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, _fake: FakeMlflow) -> Iterator[Server]:
    env = {"MLFLOW_TRACKING_URI": _fake.url, "MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "pa:ss"}
    with jupyter_server(tmp_path_factory.mktemp("server"), env) as running:
        yield running


@pytest.fixture(scope="module")
def kernels_token(server: Server) -> str:
    with kernel(server) as cell:
        return cell.run("import os; print(os.environ['MLFLOW_TRACKING_TOKEN'], end='')").text


def ask(server: Server, path: str, method: str = "GET", body: Any = None, **headers: str) -> Said:
    """Send one request just as it is written, and follow nothing."""
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    sent = {"Authorization": f"Bearer {server.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
    try:
        connection.request(method, f"/{path}", body, {k: v for k, v in sent.items() if v})
        response = connection.getresponse()
        return Said(response.status, response.headers, response.read())
    finally:
        connection.close()


# --- what passes ---


def test_a_request_passes_as_it_is_and_tells_nothing_of_who_asks(server: Server, fake: FakeMlflow) -> None:
    told = ask(
        server,
        "aidp/mlflow/api/2.0/mlflow/artifacts/list?path=a%2Fb%20c&x=%E2%98%83&x=2",
        Cookie="a=b",
        Origin=server.url.rstrip("/"),
        Referer=server.url,
        X_Forwarded_User="root",
        Remote_User="root",
        X_HTTP_Method_Override="DELETE",
        X_Mlflow_Experiment_Id="3",
        Accept="application/json",
    )
    assert told.json() == {"said": "hello"}
    (got,) = fake.got
    assert got.target == "/behind/a%20prefix/api/2.0/mlflow/artifacts/list?path=a%2Fb%20c&x=%E2%98%83&x=2"
    assert got.headers["Authorization"] == "Basic YWRtaW46cGE6c3M="
    assert got.headers["Accept"] == "application/json"
    assert got.headers["X-Mlflow-Experiment-Id"] == "3"
    assert not {"Cookie", "Origin", "Referer", "X-Forwarded-User", "Remote-User", "X-Http-Method-Override"} & set(
        got.headers
    )
    assert server.token not in str(got)


@pytest.mark.parametrize("name", ["a%2Fb", "%2e%2e%2fpasswd", "%F0%9F%8E%89", "a+b", "a;b", "mlflow/x/mlflow/y"])
def test_the_path_stays_as_it_was_written(server: Server, fake: FakeMlflow, name: str) -> None:
    ask(server, f"aidp/mlflow/api/2.0/mlflow-artifacts/artifacts/{name}")
    assert fake.got[0].target == f"/behind/a%20prefix/api/2.0/mlflow-artifacts/artifacts/{name}"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_bodies_pass_with_and_without_their_length(server: Server, fake: FakeMlflow, method: str) -> None:
    known = ask(server, "aidp/mlflow/api/2.0/x", method, b'{"a": 1}', Content_Type="application/json")
    parts = (piece for piece in (b'{"a"', b": 2}"))
    unknown = ask(server, "aidp/mlflow/api/2.0/x", method, parts, Content_Type="application/json")
    assert (known.status, unknown.status) == (200, 200)
    assert [got.method for got in fake.got] == [method, method]
    assert fake.got[0].body == b'{"a": 1}'
    assert fake.got[0].headers["Content-Type"] == "application/json"
    assert fake.got[1].body == 8


def test_answers_pass_as_they_are_but_for_what_would_act_on_this_server(server: Server, fake: FakeMlflow) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        headers = {"Set-Cookie": "a=b", "Access-Control-Allow-Origin": "*", "X-Mine": "1", "Content-Encoding": "br"}
        return web.Response(status=418, body=b"\x00\x01", headers=headers)

    fake.answer = answer
    told = ask(server, "aidp/mlflow/api/2.0/x")
    assert (told.status, told.body) == (418, b"\x00\x01")
    assert told.headers["X-Mine"] == "1"
    assert told.headers["Content-Encoding"] == "br"
    assert "Set-Cookie" not in told.headers
    assert told.headers["Access-Control-Allow-Origin"] in (None, "")


def test_the_way_in_without_a_slash_leads_to_the_one_with_it(server: Server, fake: FakeMlflow) -> None:
    told = ask(server, "aidp/mlflow?a=1")
    assert (told.status, told.headers["Location"]) == (302, "/aidp/mlflow/?a=1")
    assert not fake.got


def test_redirects_of_its_own_stay_below_us_and_others_are_refused(server: Server, fake: FakeMlflow) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=308, headers={"Location": request.query["to"]})

    fake.answer = answer
    own = ask(server, f"aidp/mlflow/x?to={quote(fake.url)}/y%3Fa=1")
    assert own.headers["Location"] == "/aidp/mlflow/y?a=1"
    assert ask(server, "aidp/mlflow/x?to=/behind/a%2520prefix/z").headers["Location"] == "/aidp/mlflow/z"
    other = ask(server, "aidp/mlflow/x?to=https://login.example/in")
    assert (other.status, other.json()["error"]["code"]) == (502, "upstream_invalid_response")
    assert "https://login.example" in other.json()["error"]["message"]


def test_mlflows_page_gets_the_token_that_its_calls_need(server: Server, fake: FakeMlflow) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(text="<html><head><title>x</title></head></html>", content_type="text/html")

    fake.answer = answer
    told = ask(server, "aidp/mlflow/", Accept_Encoding="gzip")
    assert b"<head><script>(function(){var token=" in told.body
    assert told.body.endswith(b"<title>x</title></head></html>")
    assert int(told.headers["Content-Length"]) == len(told.body)
    assert told.headers["Cache-Control"] == "no-store"
    assert told.headers["Content-Security-Policy"] == "frame-ancestors 'self'"


@pytest.mark.parametrize(
    "path",
    [
        "get-artifact?path=x.html&run_id=1",
        "api/2.0/mlflow-artifacts/artifacts/x.html",
        "model-versions/get-artifact?x=1",
    ],
)
def test_a_page_that_a_run_logged_does_not_run_as_one_of_ours(server: Server, fake: FakeMlflow, path: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        loose = {"Content-Security-Policy": "script-src *"}
        return web.Response(text="<script>steal()</script>", content_type="text/html", headers=loose)

    fake.answer = answer
    told = ask(server, f"aidp/mlflow/{path}")
    assert told.headers.get_all("Content-Security-Policy") == ["sandbox; default-src 'none'; frame-ancestors 'self'"]
    assert told.headers["X-Content-Type-Options"] == "nosniff"


# --- who passes ---


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_kernels_may_do_all_here_and_nothing_elsewhere(
    server: Server, fake: FakeMlflow, kernels_token: str, method: str
) -> None:
    bearer = f"Bearer {kernels_token}"
    assert ask(server, "aidp/mlflow/api/2.0/x", method, Authorization=bearer).status == 200
    assert ask(server, "aidp/health", Authorization=bearer).status == 403
    assert ask(server, "api/contents", Authorization=bearer).status == 403


def test_clients_that_find_a_password_send_the_kernels_token_as_one(
    server: Server, fake: FakeMlflow, kernels_token: str
) -> None:
    import base64

    def basic(password: str) -> str:
        return f"Basic {base64.b64encode(f'aidp:{password}'.encode()).decode()}"

    assert ask(server, "aidp/mlflow/version", Authorization=basic(kernels_token)).status == 200
    assert ask(server, "aidp/mlflow/version", Authorization=basic("other")).status == 401
    assert ask(server, "aidp/health", Authorization=basic(kernels_token)).status == 403


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_nobody_passes_without_a_token(server: Server, fake: FakeMlflow, method: str) -> None:
    for bearer in ("", "Bearer wrong", "Basic !!!"):
        told = ask(server, "aidp/mlflow/api/2.0/x", method, b"{}" if method != "GET" else None, Authorization=bearer)
        assert told.status in (401, 403)
        assert told.json()["error"]["code"] in ("unauthenticated", "forbidden")
    assert not fake.got


def test_a_large_body_of_nobodys_is_refused_before_it_comes(server: Server, fake: FakeMlflow) -> None:
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
    connection.putrequest("PUT", "/aidp/mlflow/api/2.0/mlflow-artifacts/artifacts/x")
    connection.putheader("Content-Length", str(50_000 * MIB))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status in (401, 403)
    assert response.headers["Connection"] == "close"
    connection.close()
    assert not fake.got


def test_a_browser_has_to_show_the_token_against_forgery(server: Server, fake: FakeMlflow) -> None:
    first = ask(server, f"lab?token={server.token}", Authorization="")
    cookies = [value.partition(";")[0] for value in first.headers.get_all("Set-Cookie") or []]
    page = ask(server, "aidp/mlflow/version", Authorization="", Cookie="; ".join(cookies))
    assert page.status == 200
    xsrf = next((c.partition("=")[2] for c in cookies if c.startswith("_xsrf=")), "")
    cookie = "; ".join(cookies)
    fake.got.clear()
    own = server.url.rstrip("/")
    refused = [
        ask(server, "aidp/mlflow/api/2.0/x", "POST", b"{}", Authorization="", Cookie=cookie),
        ask(server, "aidp/mlflow/api/2.0/x", "POST", b"{}", Authorization="", Cookie=cookie, Origin=own),
        ask(
            server,
            "aidp/mlflow/api/2.0/x",
            "POST",
            b"{}",
            Authorization="",
            Cookie=cookie,
            Origin="http://evil.example",
            X_XSRFToken=xsrf,
        ),
    ]
    assert [told.status for told in refused] == [403, 403, 404] or {t.status for t in refused} <= {403, 404}
    assert not fake.got
    passed = ask(server, "aidp/mlflow/api/2.0/x", "POST", b"{}", Authorization="", Cookie=cookie, X_XSRFToken=xsrf)
    assert passed.status == 200


@pytest.mark.parametrize("path", WAYS_TO_THE_ASSISTANT)
def test_what_would_run_programs_or_ask_models_is_closed(server: Server, fake: FakeMlflow, path: str) -> None:
    told = ask(server, f"aidp/mlflow/{path}")
    assert (told.status, told.json()["error_code"]) == (403, "PERMISSION_DENIED")
    assert not fake.got


# --- size ---


def test_large_files_stream_both_ways_and_fill_no_memory(server: Server, fake: FakeMlflow) -> None:
    total = 600 * MIB
    process = psutil.Process(server.pid)
    ask(server, "aidp/mlflow/version")
    before, highest = process.memory_info().rss, 0

    def pieces() -> Iterator[bytes]:
        nonlocal highest
        for number in range(total // MIB):
            if number % 20 == 0:
                highest = max(highest, process.memory_info().rss)
            yield bytes(MIB)

    path = "aidp/mlflow/api/2.0/mlflow-artifacts/artifacts/x"
    assert ask(server, path, "PUT", pieces(), Content_Length=str(total)).status == 200
    assert fake.got[-1].body == total

    fake.answer = lambda request: fake.stream(request, total)
    request = urllib.request.Request(f"{server.url}{path}", headers=server.headers)
    read = 0
    with urllib.request.urlopen(request, timeout=60) as response:
        while chunk := response.read(4 * MIB):
            read += len(chunk)
            highest = max(highest, process.memory_info().rss)
    assert read == total
    assert highest - before < 64 * MIB


def test_a_slow_reader_slows_the_tracking_server_down(server: Server, fake: FakeMlflow) -> None:
    fake.answer = lambda request: fake.stream(request, 400 * MIB, length=False)
    request = urllib.request.Request(f"{server.url}aidp/mlflow/get-artifact?path=x", headers=server.headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        response.read(MIB)
        seen: list[int] = []

        def stands_still() -> bool:
            seen.append(fake.sent)
            return seen[-1] > MIB and seen[-10:] == [seen[-1]] * 10

        wait_until(stands_still, "no more is sent than is read")
        assert fake.sent < 100 * MIB
    wait_until(lambda: fake.ended_early, "the tracking server's answer ends with its reader")


# --- faults ---


def test_an_answer_that_breaks_off_is_no_whole_one(server: Server, fake: FakeMlflow) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 1000
        await response.prepare(request)
        await response.write(b"x" * 10)
        assert request.transport is not None
        request.transport.close()
        return response

    fake.answer = answer
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        ask(server, "aidp/mlflow/api/2.0/x")


def test_a_tracking_server_that_does_not_know_us_is_no_matter_of_the_callers(server: Server, fake: FakeMlflow) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=401, headers={"WWW-Authenticate": "Basic"}, text="who?")

    fake.answer = answer
    told = ask(server, "aidp/mlflow/api/2.0/x")
    assert (told.status, told.json()["error"]["code"]) == (502, "upstream_rejected")
    assert "MLFLOW_TRACKING_TOKEN" in told.json()["error"]["details"]["next_step"]
    assert "WWW-Authenticate" not in told.headers


def test_one_that_fails_is_said_in_words_that_mlflows_clients_know(server: Server, fake: FakeMlflow) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    fake.answer = answer
    told = ask(server, "aidp/mlflow/api/2.0/mlflow/runs/search", "POST", b"{}")
    assert told.status == 502
    assert told.json()["error"]["code"] == "upstream_unreachable"
    assert told.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert told.json()["message"] == told.json()["error"]["message"]
    assert fake.url.partition("/behind")[0] in told.json()["error"]["details"]["next_step"]


def test_mlflows_page_may_ask_which_models_there_are_to_try(server: Server, fake: FakeMlflow) -> None:
    for path in ("api/2.0/endpoints/", "api%2F2.0%2Fendpoints%2F"):
        assert ask(server, f"aidp/mlflow/ajax-api/2.0/mlflow/gateway-proxy?gateway_path={path}").status == 200
    refused = ask(server, "aidp/mlflow/ajax-api/2.0/mlflow/gateway-proxy?gateway_path=api/2.0/endpoints/", "POST", "{}")
    assert refused.status == 403
