"""The two commands of the README, run as a person runs them, in a real Chromium."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from tests.support import browser as chromium
from tests.support.jupyter import Server, clean_environment
from tests.support.lab import collaborative_lab, jupyter_lab
from tests.support.processes import REPO, free_port, running, wait_for_http, wait_until
from tests.support.scripted import Scripted, scripted

SHOTS = REPO / "test-results"
#: How long something may take to be seen. No test is about that: a busy machine is slow, and not wrong.
PATIENCE_MS = 30_000
_windows: list[Page] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell of a test that fails what its pages show, and what has the keyboard there."""
    report = yield
    for number, page in enumerate(_windows if report.failed else ()):
        shot = SHOTS / f"failed-{re.sub(r'[^a-z0-9]+', '-', item.name.lower())[:80]}-{number}.png"
        with suppress(Error):
            SHOTS.mkdir(exist_ok=True)
            page.screenshot(path=shot, timeout=10_000)
            focus = page.evaluate("() => document.activeElement?.cloneNode(false).outerHTML")
            report.sections.append((f"window {number}", f"{page.url}\n{shot}\nthe keyboard is in {focus}"))
    return report


@dataclass
class Started:
    """A `make` command that is running."""

    process: subprocess.Popen[bytes]
    folder: Path
    log: Path
    url: str = ""
    password: str = ""

    def find(self, pattern: str) -> str:
        """Wait for a line of its output and return the first group."""

        def found() -> str | None:
            if self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode}:\n{self.log.read_text()[-4000:]}")
            match = re.search(pattern, self.log.read_text())
            return match[1] if match else None

        return wait_until(found, f"{pattern} in its output", 120)

    def press_ctrl_c(self) -> list[psutil.Process]:
        """Interrupt its whole group, as a terminal does, wait for its end, and return what is still alive of it."""
        family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(60)
        _, alive = psutil.wait_procs(family, timeout=5)
        return alive


@contextmanager
def make(folder: Path, target: str, *args: str, **env: str) -> Iterator[Started]:
    """Run ``make <target>`` in the repository while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = clean_environment(folder / "home", {"BROWSER": "true", **env})
    for name in [n for n in environment if n.startswith("MAKE")]:
        del environment[name]  # of the `make test` that we may be in
    log = folder / f"{target}.log"
    with running(["make", target, *args], log=log, env=environment) as process:
        yield Started(process, folder, log)


@contextmanager
def make_lab(folder: Path, **env: str) -> Iterator[Started]:
    """Run `make lab` in an empty folder and wait until it answers."""
    with make(folder, "lab", f"DIR={folder / 'work'}", **env) as started:
        started.url = started.find(r"(http://127\.0\.0\.1:\d+/lab\S*\?token=\w+)")
        wait_for_http(started.url, started.process)  # Jupyter says where it listens shortly before it does
        yield started


@contextmanager
def make_hub(folder: Path, **env: str) -> Iterator[Started]:
    """Run `make hub` with a state of its own and wait until it answers."""
    port = str(free_port())
    with make(folder, "hub", AIDP_HUB_PORT=port, AIDP_STATE_DIR=str(folder / "state"), **env) as started:
        started.url = started.find(r"is ready: (http\S+)")
        started.password = started.find(r"password (\S+)")
        yield started


@pytest.fixture(scope="package")
def chrome() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=list(chromium.ARGS))
        yield browser
        browser.close()


@contextmanager
def window(chrome: Browser) -> Iterator[Page]:
    """A fresh window, of somebody without cookies. What the console says of errors is in ``page.errors``."""
    context = chrome.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(60_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.errors = errors  # type: ignore[attr-defined]
    _windows.append(page)
    try:
        yield page
    finally:
        _windows.remove(page)
        context.close()


@pytest.fixture(autouse=True)
def _patient() -> None:
    expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
def page(chrome: Browser) -> Iterator[Page]:
    """The window of a test."""
    with window(chrome) as page:
        yield page


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory, llama: str) -> Iterator[Started]:
    """`make lab` with a real llama.cpp."""
    with make_lab(tmp_path_factory.mktemp("lab"), LOCAL_OPENAI_BASE_URL=llama) as started:
        yield started


@pytest.fixture(scope="package")
def hub(tmp_path_factory: pytest.TempPathFactory, llama: str) -> Iterator[Started]:
    """`make hub` with a real llama.cpp."""
    with make_hub(tmp_path_factory.mktemp("hub"), LOCAL_OPENAI_BASE_URL=llama) as started:
        yield started


@pytest.fixture(scope="package")
def _scripted() -> Iterator[Scripted]:
    with scripted() as server:
        yield server


@pytest.fixture(name="scripted")
def _cleared(_scripted: Scripted) -> Iterator[Scripted]:
    """The scripted model server of the labs below, with an empty memory and nothing to say but its defaults."""
    _scripted.reset()
    yield _scripted
    _scripted.reset()


@pytest.fixture(scope="package")
def scripted_lab(tmp_path_factory: pytest.TempPathFactory, _scripted: Scripted) -> Iterator[Server]:
    """JupyterLab with the scripted model as its only one."""
    with jupyter_lab(tmp_path_factory.mktemp("scripted") / "lab", {"LOCAL_OPENAI_BASE_URL": _scripted.url}) as server:
        yield server


@pytest.fixture(scope="package")
def collab_lab(tmp_path_factory: pytest.TempPathFactory, _scripted: Scripted) -> Iterator[Server]:
    """The same with live editing."""
    folder = tmp_path_factory.mktemp("collab") / "lab"
    with collaborative_lab(folder, {"LOCAL_OPENAI_BASE_URL": _scripted.url}) as server:
        yield server
