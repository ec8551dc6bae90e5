"""One real Jupyter server for this folder: llama.cpp as the local model, the misbehaving server as OpenAI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.support.jupyter import Server, jupyter_server
from tests.support.upstream import KEY, Upstream


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory, llama: str, _upstream: Upstream) -> Iterator[Server]:
    environment = {
        "LOCAL_OPENAI_BASE_URL": llama,
        "OPENAI_BASE_URL": f"{_upstream.url}/v1",
        "OPENAI_API_KEY": KEY,
    }
    with jupyter_server(tmp_path_factory.mktemp("server"), environment, "--AiConfig.read_timeout_s=1.0") as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    """A client with the server's token."""
    async with aiohttp.ClientSession(f"{server.url}aidp/", headers=server.headers) as session:
        yield session
