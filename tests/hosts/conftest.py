"""Two real Jupyter servers for this folder, llama.cpp as the local model of both.

One has the misbehaving server as OpenAI; the other has every provider, each as a double that checks what it is sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.support.doubles import Doubles, all_doubles
from tests.support.jupyter import Server, jupyter_server
from tests.support.upstream import KEY, Upstream

#: Nobody listens there: what tries all routes of a server would start one of its own else, and wait for it.
NO_TRACKING = "http://127.0.0.1:9/tracking"


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory, llama: str, _upstream: Upstream) -> Iterator[Server]:
    environment = {
        "LOCAL_OPENAI_BASE_URL": llama,
        "OPENAI_BASE_URL": f"{_upstream.url}/v1",
        "OPENAI_API_KEY": KEY,
        "MLFLOW_TRACKING_URI": NO_TRACKING,
    }
    with jupyter_server(tmp_path_factory.mktemp("server"), environment, "--AiConfig.read_timeout_s=1.0") as running:
        yield running


@pytest.fixture(scope="package")
def _doubles() -> Iterator[Doubles]:
    with all_doubles() as running:
        yield running


@pytest.fixture
def doubles(_doubles: Doubles) -> Doubles:
    """The doubles of all providers, with an empty memory."""
    _doubles.forget()
    return _doubles


@pytest.fixture(scope="package")
def every_provider(tmp_path_factory: pytest.TempPathFactory, llama: str, _doubles: Doubles) -> Iterator[Server]:
    """A server that has every provider. Its token is the key that OpenAI's own tests send."""
    environment = {**_doubles.environment, "LOCAL_OPENAI_BASE_URL": llama, "MLFLOW_TRACKING_URI": NO_TRACKING}
    with jupyter_server(tmp_path_factory.mktemp("every"), environment, token="My API Key") as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    """A client with the server's token."""
    async with aiohttp.ClientSession(f"{server.url}aidp/", headers=server.headers) as session:
        yield session
