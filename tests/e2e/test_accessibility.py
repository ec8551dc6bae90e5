"""axe finds nothing in the AI panel, in light and dark; chat and actions have tests of their own."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.axe import violations
from tests.e2e.lab_page import dark, ghost, open_notebook
from tests.support.jupyter import Server
from tests.support.scripted import Scripted

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_in_the_panel(scripted_lab: Server, scripted: Scripted, page: Page, is_dark: bool) -> None:
    notebook = open_notebook(page, scripted_lab, "axe.ipynb", [""])
    notebook.locator(".cm-content").click()
    page.keyboard.type("import ")
    ghost(page).first.wait_for()
    page.keyboard.press("Escape")
    with dark(page) if is_dark else nullcontext():
        page.keyboard.press("Control+Shift+A")
        panel = page.locator(".jp-AidpAI")
        expect(panel.get_by_label("Where answers may come from")).to_be_focused()
        closed = panel.locator(".jp-AidpSection h3 button[aria-expanded='false']")
        while closed.count():
            closed.first.click()
        assert violations(page, ".jp-AidpAI") == []
