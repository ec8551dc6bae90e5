"""The HTTP client against servers that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from aidp_ext.core.errors import UpstreamInvalid, UpstreamTimeout, UpstreamUnreachable
from aidp_ext.core.http import HttpClient, origin, proxy_for, shown
from tests.support.processes import free_port
from tests.support.upstream import Upstream


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient(connect_timeout_s=1)
    yield client
    await client.close()


async def ask(http: HttpClient, url: str, model: str = "good") -> int:
    body = f'{{"model": "{model}"}}'.encode()
    async with http.request("POST", url, server="It", body=body, read_timeout_s=0.5, direct=True) as response:
        await response.read()
        return response.status


async def test_nobody_there(http: HttpClient) -> None:
    with pytest.raises(UpstreamUnreachable, match=r"It does not answer at http://127\.0\.0\.1:\d+\.$"):
        await ask(http, f"http://user:secret@127.0.0.1:{free_port()}/v1?key=secret")


@pytest.mark.parametrize(
    ("model", "error"),
    [("hang", UpstreamTimeout), ("reset", UpstreamUnreachable), ("garbage", UpstreamInvalid)],
)
async def test_foreign_errors_become_ours(http: HttpClient, upstream: Upstream, model: str, error: type) -> None:
    with pytest.raises(error):
        await ask(http, f"{upstream.url}/v1/chat", model)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://[::1", "nonsense", "http://", "http://127.0.0.1:99999/"])
async def test_an_address_that_is_none(http: HttpClient, url: str) -> None:
    with pytest.raises(UpstreamUnreachable):
        await ask(http, url)


async def test_redirects_are_not_followed(http: HttpClient, upstream: Upstream) -> None:
    assert await ask(http, f"{upstream.url}/v1/chat", "redirect") == 302
    assert len(upstream.requests) == 1


async def test_it_can_be_used_again_after_close(http: HttpClient, upstream: Upstream) -> None:
    assert await ask(http, f"{upstream.url}/v1/chat") == 200
    await http.close()
    assert await ask(http, f"{upstream.url}/v1/chat") == 200


async def test_what_is_local_goes_past_every_proxy(
    http: HttpClient, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("no_proxy", "")
    assert await ask(http, f"{upstream.url}/v1/chat") == 200
    with pytest.raises(UpstreamUnreachable):
        async with http.request("GET", f"{upstream.url}/v1/models", server="It", direct=False):
            pass


def test_the_environments_proxy_is_used_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "internal.example")
    assert proxy_for("https://api.openai.com/v1") == "http://proxy.example:3128"
    assert proxy_for("https://internal.example/v1") is None
    monkeypatch.setenv("https_proxy", "http://another.example:3128")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.delenv("no_proxy")
    assert proxy_for("https://api.openai.com/v1") == "http://another.example:3128"
    assert proxy_for("https://internal.example/v1") == "http://another.example:3128"


def test_what_is_shown_of_an_address_holds_no_secret() -> None:
    assert shown("https://me:secret@api.example:8443/v1?key=secret#secret") == "https://api.example:8443/v1"
    assert shown("http://[::1]:11434/v1") == "http://[::1]:11434/v1"
    assert origin("http://me:secret@host:1/a/b?c") == "http://host:1"
    assert "secret" not in shown("http://me:secret@[broken")


async def test_a_pooled_connection_that_has_died_is_replaced(http: HttpClient) -> None:
    """llama.cpp ends a connection after 100 requests, whatever is on its way."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    connections = 0

    async def one_answer_then_reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read(1)  # the next request arrives on it
        await reader.read(1)
        writer.transport.abort()

    server = await asyncio.start_server(one_answer_then_reset, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        for _ in range(3):
            async with http.request("GET", url, server="It", direct=True) as response:
                assert await response.read() == b"{}"
    assert connections == 3
