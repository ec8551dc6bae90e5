from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser as Chrome
from playwright.sync_api import sync_playwright

from tests.hub.browser import Browser
from tests.hub.process import Hub
from tests.support import browser as chromium

ORGANIZATION_KEY = "sk-proj-the-organisations-own-key"


@pytest.fixture(scope="package")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with the local sign-in at its first start, at a terminal, that every test here shares."""
    state = tmp_path_factory.mktemp("hub") / "state"
    hub = Hub(
        state,
        terminal=True,
        AIDP_ADMIN_USERS="ada",
        OLLAMA_HOST="http://127.0.0.1:9",
        OPENAI_API_KEY=ORGANIZATION_KEY,
    )
    try:
        hub.wait_ready()
        yield hub
    finally:
        hub.close()


@pytest.fixture(scope="package")
def alice(hub: Hub) -> Browser:
    """Alice, signed in, with her server up."""
    browser = Browser(hub.url)
    assert browser.sign_in("alice", hub.password).url == f"{hub.url}hub/home"
    browser.start_server("alice")
    return browser


@pytest.fixture
def start_hub(tmp_path: Path) -> Iterator[Callable[..., Hub]]:
    """Starts hubs of a test's own; each is ended with the test."""
    with ExitStack() as stack:

        def start(*arguments: str, **env: Any) -> Hub:
            hub = Hub(tmp_path / "state", *arguments, **env)
            stack.callback(hub.close)
            hub.wait_ready()
            return hub

        yield start


@pytest.fixture(scope="module")
def chrome() -> Iterator[Chrome]:
    """A Chromium, for the modules here that look at pages in one."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium.find(), args=list(chromium.ARGS))
        yield launched
        launched.close()
