"""The status bar: which model answers and why, the mode, and what happens when the model server goes away."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Started, make_lab
from tests.e2e.lab_page import STATUS, code_cell, ghost, open_example, shoot, source, wait_for_lab
from tests.support.processes import wait_until
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def open_popup(page: Page) -> None:
    page.locator(STATUS).click()
    page.locator(".jp-AidpStatus-popup").wait_for()


def theme(page: Page, name: str) -> None:
    page.locator(".lm-MenuBar-itemLabel", has_text="Settings").click()
    page.locator(".lm-Menu-itemLabel:text-is('Theme')").hover()
    page.locator(f".lm-Menu-itemLabel:text-is('{name}')").click()
    page.wait_for_function("n => document.body.dataset.jpThemeName === n", arg=name)
    page.locator("#jupyterlab-splash").wait_for(state="detached")  # it covers the page while the theme loads


def test_the_popup_says_why_and_changes_the_mode(lab: Started, page: Page) -> None:
    page.goto(lab.url)
    wait_for_lab(page)
    expect(page.locator(STATUS)).to_have_attribute("data-state", "local")
    open_popup(page)
    popup = page.locator(".jp-AidpStatus-popup")
    expect(popup).to_contain_text("local")
    expect(popup).to_contain_text("Ollama")
    shoot(page, "popup-light")
    popup.locator("input[value='offline']").check()
    expect(page.locator(STATUS)).to_have_attribute("data-mode", "offline")
    expect(page.locator(STATUS)).to_contain_text("offline")
    shoot(page, "popup-offline")
    popup.locator("input[value='hybrid']").check()
    expect(page.locator(STATUS)).to_have_attribute("data-mode", "hybrid")
    page.keyboard.press("Escape")
    expect(popup).to_have_count(0)
    theme(page, "JupyterLab Dark")
    open_popup(page)
    shoot(page, "popup-dark")
    page.keyboard.press("Escape")
    theme(page, "JupyterLab Light")
    assert page.errors == []  # type: ignore[attr-defined]


def test_a_model_server_that_stops_in_midstream_disturbs_no_typing(
    tmp_path: Path, upstream: Upstream, page: Page
) -> None:
    with make_lab(tmp_path, LOCAL_OPENAI_BASE_URL=f"{upstream.url}/slow/v1") as lab:
        page.goto(lab.url)
        wait_for_lab(page)
        open_example(page)
        expect(page.locator(STATUS)).to_have_attribute("data-state", "local")
        cell = code_cell(page, 3)
        cell.locator(".cm-content").click()
        page.keyboard.type("total = ")
        ghost(page).wait_for()
        shoot(page, "midstream-before")

        upstream.stop()  # it resets its connections and refuses new ones
        status = page.locator(f"{STATUS}[data-state='error'], {STATUS}[data-state='none']")
        status.wait_for()
        shoot(page, "midstream-error")
        page.keyboard.type("1 + 2", delay=20)
        assert source(page, 3) == "total = 1 + 2"
        assert page.locator(".jp-Dialog").count() == 0
        open_popup(page)
        expect(page.locator(".jp-AidpStatus-popup")).to_contain_text("Start the model server at")
        shoot(page, "no-model")
        page.keyboard.press("Escape")

        upstream.start()
        cell.locator(".cm-content").click()
        page.keyboard.press("End")
        page.keyboard.type(" ")
        expect(page.locator(STATUS)).to_have_attribute("data-state", "local", timeout=60_000)
        page.keyboard.type("+ ")
        # a suggestion that nobody waits for any more is given up upstream
        ghost(page).wait_for()
        page.keyboard.press("Escape")
        page.keyboard.type("3")
        wait_until(lambda: upstream.aborted, "the stream is aborted upstream")
        # the browser itself reports each refused request; of ours there is nothing
        assert [text for text in page.errors if "503 (Service Unavailable)" not in text] == []  # type: ignore[attr-defined]
