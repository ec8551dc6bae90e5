"""What all tests share: one real llama.cpp, and one model server that misbehaves on request."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support import spread
from tests.support.llama_server import llama_server
from tests.support.upstream import Upstream

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background, by a shell without job control: what the tests start would not hear Ctrl-C either.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    return spread.workers(config)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return spread.ByServers(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=spread.place)


@pytest.fixture(scope="session")
def llama() -> Iterator[str]:
    """The base URL of a real llama.cpp server with a tiny model."""
    with llama_server() as url:
        yield url


@pytest.fixture(scope="session")
def _upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def upstream(_upstream: Upstream) -> Iterator[Upstream]:
    """The misbehaving model server, with an empty memory; it is left in good order for the servers that use it."""
    _upstream.clear()
    yield _upstream
    _upstream.clear()
