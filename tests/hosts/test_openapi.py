"""The OpenAPI document: it leaves nothing out, and schemathesis finds nothing where the servers differ from it."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import schemathesis

from aidp_ext import app, hubservice
from aidp_ext.core.openapi import document
from aidp_ext.core.web import METHODS, Api, Route, UnknownEndpoint, WsApi, endpoint
from tests.hosts.test_hubservice import USERS, _hub_environment, service  # noqa: F401 - fixtures
from tests.support.attack import attack
from tests.support.doubles import Doubles
from tests.support.jupyter import Server, jupyter_server

HOSTS = {"server": app.ROUTES, "hub": (*hubservice.TRACKING_ROUTES, *hubservice.ROUTES)}


def bound(routes: tuple[Route, ...]) -> Iterator[tuple[str, str, type[Api]]]:
    """Yield the path, method and class of everything that a host binds, by its patterns."""
    for pattern, cls in routes:
        if issubclass(cls, UnknownEndpoint | WsApi):  # OpenAPI knows no websockets
            continue
        for method in METHODS:
            if hasattr(getattr(cls, method), "__aidp_action__"):
                yield "/" + re.sub(r"\([^)]*\)", "{}", pattern), method, cls


def described(routes: tuple[Route, ...]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(msgspec.json.encode(document(routes, "/aidp")))
    return made


@pytest.mark.parametrize("host", HOSTS)
def test_the_document_is_valid(host: str) -> None:
    schemathesis.openapi.from_dict(described(HOSTS[host])).validate()


@pytest.mark.parametrize("host", HOSTS)
def test_every_endpoint_is_described_and_nothing_else(host: str) -> None:
    found = described(HOSTS[host])["paths"]
    said = {(re.sub(r"{\w+}", "{}", path), method) for path, methods in found.items() for method in methods}
    assert said == {(path, method) for path, method, _ in bound(HOSTS[host])}
    for methods in found.values():
        for operation in methods.values():
            assert operation["summary"].endswith(".")
            assert {"200", "401", "403", "500"} <= operation["responses"].keys()
            assert ("requestBody" not in operation) or "400" in operation["responses"]


@pytest.mark.parametrize("host", HOSTS)
def test_every_example_fits_its_own_type(host: str) -> None:
    found = [getattr(cls, method).__aidp_operation__ for _, method, cls in bound(HOSTS[host])]
    taking = [operation for operation in found if operation.takes is not None]
    assert taking
    for operation in taking:
        kinds = getattr(operation.takes, "__args__", (operation.takes,))
        assert any(fits(operation.example, kind) for kind in kinds), operation


def fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def test_an_endpoint_that_does_not_say_what_it_gives_is_refused() -> None:
    class Silent(Api):
        @endpoint("read")
        async def get(self) -> None:
            """Say nothing."""

    class Nameless(Api):
        @endpoint("read", gives=str)
        async def get(self) -> None:
            self.reply("x")

    for cls in (Silent, Nameless):
        with pytest.raises(TypeError, match=f"{cls.__name__}.get"):
            document([("silent", cls)], "/aidp")


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory, llama: str, _doubles: Doubles) -> Iterator[Server]:
    """A server of its own: the attack changes the mode and the rules. Behind the proxy is no forge."""
    nowhere = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")
    environment = {**_doubles.environment, "LOCAL_OPENAI_BASE_URL": llama, **nowhere}
    with jupyter_server(tmp_path_factory.mktemp("attacked"), environment) as running:
        start_mlflow(running.url, running.headers)
        yield running


async def test_a_server_gives_its_own_document_to_who_may_read(attacked: Server) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{attacked.url}aidp/openapi.json", headers=attacked.headers) as response:
            assert await response.json() == described(app.ROUTES)
        async with session.get(f"{attacked.url}aidp/openapi.json") as response:
            assert response.status == 401


def operations(routes: tuple[Route, ...]) -> int:
    """How many are attacked: not the document itself, which was read, and not what MLflow answers."""
    return len([path for path, *_ in bound(routes) if not path.startswith("/mlflow")]) - 1


def start_mlflow(url: str, headers: dict[str, str]) -> None:
    """Start it: that takes long, and an attack's requests wait for so long only."""
    request = urllib.request.Request(f"{url}aidp/experiments/start", b"", headers)
    with urllib.request.urlopen(request, timeout=240) as answer:
        assert answer.status == 200


async def test_schemathesis_finds_nothing_in_a_jupyter_server(attacked: Server, tmp_path: Path) -> None:
    report = await attack(f"{attacked.url}aidp/", attacked.token, tmp_path)
    assert re.search(rf"Tested: +{operations(app.ROUTES)}\b", report), report
    assert "Traceback" not in attacked.log.read_text()


@pytest.mark.usefixtures("_hub_environment")
async def test_schemathesis_finds_nothing_in_the_hubs_service(
    service: str,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scopes = {scope for user in USERS.values() for scope in user["scopes"]}
    monkeypatch.setitem(USERS, "every-token", {"name": "eve", "scopes": sorted(scopes)})
    await asyncio.to_thread(start_mlflow, service, {"Authorization": "Bearer every-token"})
    report = await attack(f"{service}aidp/", "every-token", tmp_path)
    assert re.search(rf"Tested: +{operations(HOSTS['hub'])}\b", report), report


RAW: list[tuple[str, bytes, str]] = [
    ("ai/route", b"\xff\xfe", "invalid_json"),
    ("ai/route", b"", "invalid_json"),
    ("ai/route", b"\xef\xbb\xbf{}", "invalid_json"),
    ("ai/route", b"NaN", "invalid_json"),
    ("ai/route", b'{"model": "\\ud800"}', "invalid_json"),
    ("ai/route", b'{"prompt_tokens": ' + b"9" * 5000 + b"}", "invalid_json"),
    ("ai/route", b'{"prompt_tokens": 1e999}', "invalid_json"),
    ("ai/route", b"[" * 100_000, "invalid_json"),
    ("ai/route", b"null", "invalid_request"),
    ("ai/v1/chat/completions", b'{"messages": ' + b"[" * 9000 + b"]" * 9000 + b"}", "invalid_json"),
]


@pytest.mark.parametrize(("path", "body", "code"), RAW)
async def test_bytes_that_no_client_library_sends_are_refused_too(
    attacked: Server, path: str, body: bytes, code: str
) -> None:
    async with (
        aiohttp.ClientSession(headers=attacked.headers) as session,
        session.post(f"{attacked.url}aidp/{path}", data=body) as response,
    ):
        assert (response.status, (await response.json())["error"]["code"]) == (400, code)


@pytest.mark.parametrize("name", ["%ff", "%00", "%2e%2e", "a%2Fb", "%F0%9F%90%A7", "a" * 7000])
async def test_odd_names_in_a_path_are_not_found_or_not_understood(attacked: Server, name: str) -> None:
    async with aiohttp.ClientSession(headers=attacked.headers) as session:
        for method, path in (("GET", "v1/models/{}"), ("POST", "providers/{}/test"), ("DELETE", "keys/{}")):
            url = f"{attacked.url}aidp/ai/{path.format(name)}"
            async with session.request(method, aiohttp.client.URL(url, encoded=True)) as response:
                assert response.status in (400, 404), (method, path)
                assert (await response.json())["error"]["message"]


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "TRACE", "FOO"])
async def test_a_method_that_is_not_there_is_told_which_are(attacked: Server, method: str) -> None:
    async with (
        aiohttp.ClientSession(headers=attacked.headers) as session,
        session.request(method, f"{attacked.url}aidp/ai/mode") as response,
    ):
        assert (response.status, response.headers["Allow"]) == (405, "GET, PUT")


async def test_a_provider_that_downloads_nothing_is_no_mistake_in_the_request(attacked: Server) -> None:
    async with (
        aiohttp.ClientSession(headers=attacked.headers) as session,
        session.post(f"{attacked.url}aidp/ai/pull", json={"provider": "local", "model": "tiny"}) as response,
    ):
        assert (response.status, (await response.json())["error"]["code"]) == (409, "conflict")
