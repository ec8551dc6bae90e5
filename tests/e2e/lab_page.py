"""What a person does in Lab, as steps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import SHOTS
from tests.support.processes import wait_until

GHOST = ".jp-GhostText[data-provided-by='aidp-ext:inline']:not(.jp-GhostText-hiding)"
STATUS = ".jp-AidpStatus"
RAN = re.compile(r"\[\d+\]:")


def shoot(page: Page, name: str) -> None:
    """Keep a screenshot for whoever looks at it."""
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def wait_for_lab(page: Page) -> None:
    """Wait until Lab is there: the splash screen comes and goes before anything can be used."""
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    page.wait_for_selector("#jp-main-dock-panel")


def open_example(page: Page) -> Locator:
    """Open the example notebook by the file browser where it is not open yet, and return its cells."""
    notebook = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    if "/tree/examples/" not in page.url:
        page.locator(".jp-DirListing-item[title*='examples']").dblclick()
        page.locator(".jp-DirListing-item[title*='penguins.ipynb']").dblclick()
    notebook.wait_for()
    # Before that, running a cell would make Lab ask for a kernel.
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    return notebook.locator(".jp-Cell")


def code_cell(page: Page, number: int) -> Locator:
    """Return a code cell of the open notebook, counted from 0."""
    return page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell").nth(number)


def run(page: Page, number: int) -> Locator:
    """Run a code cell with the keyboard and return its output."""
    cell = code_cell(page, number)
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    output = cell.locator(".jp-OutputArea-output").first
    output.wait_for()
    expect(cell.locator(".jp-InputPrompt")).to_have_text(RAN)
    return output


def ghost(page: Page) -> Locator:
    """Return the suggestion that is shown."""
    return page.locator(GHOST)


def source(page: Page, number: int) -> str:
    """Return a code cell's text as the editor holds it."""
    without_ghost = """cell => [...cell.querySelectorAll('.cm-line')].map(line => {
        const copy = line.cloneNode(true);
        copy.querySelectorAll('.jp-GhostText').forEach(ghost => ghost.remove());
        return copy.textContent;
    }).join('\\n')"""
    return str(code_cell(page, number).evaluate(without_ghost))


def save(page: Page, file: Path) -> dict[str, Any]:
    """Save with the keyboard and return the notebook that is on the disk once it has changed."""
    before = file.read_text()
    page.keyboard.press("Control+s")

    def saved() -> dict[str, Any] | None:
        text = file.read_text()
        try:
            return json.loads(text) if text != before else None  # type: ignore[no-any-return]
        except ValueError:
            return None  # it is being written

    return wait_until(saved, "the notebook is on the disk", 30)
