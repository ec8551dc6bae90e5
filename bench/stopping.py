"""How soon a request to a model ends after *Stop* was pressed in Lab, in a real Chromium: in chat and for actions."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Locator, Page, expect, sync_playwright

from bench.figures import Figure, Section
from tests.e2e.actions_page import frame
from tests.e2e.chat_page import STOP, open_chat, say
from tests.e2e.lab_page import command, open_notebook
from tests.support import browser as chromium
from tests.support.lab import jupyter_lab
from tests.support.processes import wait_until
from tests.support.scripted import Scripted, scripted

STOPS, WARM_UP = 20, 2
STOP_MS = 200.0
#: Presses a button in the page and returns when that was, in milliseconds since 1970.
_PRESS = "button => new Promise(done => { button.addEventListener('click', () => done(Date.now())); button.click(); })"


def _stop_ms(button: Locator, model: Scripted) -> float:
    """Press it; return how long after that the model's last reader was gone, in milliseconds."""
    pressed_ms = float(button.evaluate(_PRESS))
    [*_, asked] = model.chats
    gone = wait_until(lambda: asked.disconnected_at, "the request ends")
    return (time.time() - time.monotonic() + gone) * 1000 - pressed_ms


def _in_chat(page: Page, model: Scripted) -> list[float]:
    chat = open_chat(page, "stopping")
    found = []
    for number in range(WARM_UP + STOPS):
        say(chat, f"question {number}")
        expect(chat.locator(".jp-chat-rendered-message").last).to_contain_text("word word word")
        found.append(_stop_ms(chat.locator(STOP), model))
        expect(chat.locator(".jp-chat-rendered-message").last).to_contain_text("Stopped")
    return found[WARM_UP:]


def _in_actions(page: Page, model: Scripted) -> list[float]:
    found = []
    for _ in range(WARM_UP + STOPS):
        command(page, "aidp:explain")
        expect(frame(page, "asking")).to_contain_text("word word word")
        found.append(_stop_ms(frame(page).get_by_role("button", name="Stop", exact=True), model))
        frame(page, "answered").get_by_role("button", name="Close (Esc)", exact=True).click()
    return found[WARM_UP:]


def run() -> Section:
    """Measure."""
    section = Section("Stop")
    with tempfile.TemporaryDirectory() as name, scripted() as model, sync_playwright() as playwright:
        model.script("word ", kind="chat", forever=True, delay_ms=20)
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=list(chromium.ARGS))
        with jupyter_lab(Path(name) / "lab", {"LOCAL_OPENAI_BASE_URL": model.url}) as lab:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            expect.set_options(timeout=30_000)
            open_notebook(page, lab, "stopping.ipynb", ["x = 1"])
            for what, measure in (("an action", _in_actions), ("a chat", _in_chat)):
                took = measure(page, model)
                spread = (min(took), max(took))
                median = statistics.median(took)
                section.figures.append(
                    Figure(f"{what}: click on Stop → request ended", median, "ms", STOP_MS, spread=spread)
                )
        browser.close()
    section.notes = [f"Until the model's server has seen its reader go; of {STOPS} each."]
    section.about_packages("jupyterlab", "playwright")
    return section
