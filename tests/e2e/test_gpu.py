"""Two people and one GPU, in two browsers: who has it, who waits, and how it passes from one to the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.axe import violations
from tests.e2e.conftest import window
from tests.e2e.lab_page import shoot, wait_for_lab
from tests.hub.process import Hub
from tests.support.nvidia_smi import A100, GPU0, NvidiaSmi

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SOON = 90_000  # ms: Lab starts in that on a busy machine


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    smi = NvidiaSmi(tmp_path / "bin")
    hub = Hub(tmp_path / "state", PATH=smi.path, OLLAMA_HOST="http://127.0.0.1:9")
    try:
        hub.wait_ready()
        yield hub
    finally:
        hub.close()


def enter(page: Page, hub: Hub, name: str) -> None:
    """Sign in, and open the page that starts a server."""
    page.goto(f"{hub.url}hub/login?next=%2Fhub%2Fspawn")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(hub.password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Start your server")).to_be_visible()


def gpu_of(hub: Hub, name: str) -> str | None:
    """What CUDA of a user's server would see."""
    for process in hub.processes():
        try:
            told = process.environ()
        except psutil.Error:
            continue
        if told.get("JUPYTERHUB_USER") == name:
            return told.get("CUDA_VISIBLE_DEVICES")
    raise AssertionError(f"no server of {name}'s runs")


def test_one_has_the_gpu_and_the_other_waits_in_line_and_gets_it_at_release(chrome: Browser, hub: Hub) -> None:
    with window(chrome) as ana, window(chrome) as ben:
        pages = {"ana": ana, "ben": ben}
        for name, page in pages.items():
            enter(page, hub, name)
            expect(page.get_by_text("1 of 1 free")).to_be_visible()
            # by keyboard alone: to the other card
            page.get_by_role("radio", name="Notebooks For most work.").focus()
            page.keyboard.press("ArrowDown")
            expect(page.get_by_role("radio", name="Notebooks with a GPU")).to_be_checked()
        for page in pages.values():  # at once: neither waits for an answer
            page.evaluate("document.getElementById('aidp-start').click()")
        line = re.compile(r"You are 1st in line; your turn comes about")
        for page in pages.values():
            page.wait_for_url(re.compile(r"/hub/spawn(-pending|\?)|/user/"))
            expect(
                page.get_by_text(line).or_(page.locator("#progress-bar")).or_(page.locator("#jp-top-panel"))
            ).to_be_visible()
        waiting, having = sorted(pages, key=lambda name: pages[name].get_by_text(line).count(), reverse=True)
        first, second = pages[having], pages[waiting]
        expect(second.get_by_text(line)).to_be_visible()
        expect(second.get_by_text(f"1 of 1 GPU in use by {having} until about")).to_be_visible()
        expect(second.get_by_role("button", name="Waiting for a GPU…")).to_be_disabled()
        assert violations(second, "body > .container") == []
        shoot(second, "gpu-line")

        first.wait_for_url(f"**/user/{having}/lab**", timeout=SOON)
        wait_for_lab(first)
        status = first.get_by_role("button", name=re.compile("GPU · 8 h left"))
        status.click()
        popup = first.get_by_role("dialog", name="GPU")
        expect(popup).to_contain_text(A100)
        expect(popup).to_contain_text("somebody waits for it")
        expect(popup.get_by_role("button", name="Extend")).to_be_disabled()
        shoot(first, "gpu-popup")
        assert gpu_of(hub, having) == GPU0

        first.goto(f"{hub.url}hub/home")
        first.get_by_role("button", name="Stop My Server").click()
        # by itself: nobody touches the second window
        second.wait_for_url(re.compile(rf"/hub/spawn-pending/{waiting}|/user/{waiting}/"), timeout=SOON)
        second.wait_for_url(f"**/user/{waiting}/lab**", timeout=SOON)
        assert gpu_of(hub, waiting) == GPU0

        first.goto(f"{hub.url}hub/spawn")
        expect(first.get_by_text(f"1 of 1 GPU in use by {waiting} until about")).to_be_visible()
        expect(first.get_by_role("radio", name="Notebooks with a GPU")).to_be_checked()
        first.get_by_role("button", name="Wait for a GPU").click()
        first.get_by_role("button", name="Start without a GPU").click()
        first.wait_for_url(f"**/user/{having}/lab**", timeout=SOON)
        wait_for_lab(first)
        assert gpu_of(hub, having) == ""
        first.get_by_role("button", name="No GPU").click()
        popup = first.get_by_role("dialog", name="GPU")
        expect(popup).to_contain_text(f"In use by {waiting} until about")
        popup.get_by_role("button", name="Wait for a GPU").click()
        expect(popup).to_contain_text("You are 1st in line")
        popup.get_by_role("button", name="Leave the line").click()
        expect(first.get_by_role("button", name="No GPU")).to_be_visible()
