"""axe finds nothing in what aidp shows, in light and dark. What Lab and the chat show by themselves is theirs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.actions_page import DOCUMENT, FRAME, fix_button, frame, press, reviewed
from tests.e2e.axe import violations
from tests.e2e.chat_page import PANEL, open_chat, say, wait_for_cost
from tests.e2e.lab_page import STATUS, code_cell, command, dark, ghost, open_notebook, run, shoot
from tests.support.jupyter import Server
from tests.support.scripted import Scripted

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

BROKEN = "total = 0\nfor x in [1, 2, 3]:\n    totl += x\nprint(total)"
MEAN = "def mean(values):\n    return sum(values) / len(values)\n\n\nx = 1\ny = 2\n\nprint(mean([x, y]))"
TYPED = MEAN.replace(
    "def mean(values):", 'def mean(values: list[float]) -> float:\n    """Return the mean."""'
).replace("y = 2", "y = 3")
WIDE = "numbers = [" + ", ".join(map(str, range(100))) + "]"
PROSE = f"""## What it does

It computes the **mean** of `values`, see [this](http://example.test/mean).

```python
{WIDE}
```

| name | what |
|------|------|
| x    | 1    |
{"".join(f"{chr(10)}{number}. step" for number in range(1, 60))}

The end.
"""
# The colours of code and of a traceback, and the editor's own attributes, are Lab's.
LABS = re.compile(r"\bclass=\"(ͼ|ansi-|cm-)")


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest, scripted_lab: Server, scripted: Scripted, page: Page) -> Iterator[str]:
    """A notebook in a theme."""
    open_notebook(page, scripted_lab, "axe.ipynb", [BROKEN, MEAN, ""])
    if request.param == "light":
        yield "light"
    else:
        with dark(page):
            yield "dark"


def ours(page: Page, selector: str) -> list[str]:
    """What axe finds in a part of ours, but for what Lab paints in it."""
    return [one for one in violations(page, selector) if not LABS.search(one)]


def fenced(code: str, why: str) -> str:
    return f"{why}\n\n```python\n{code}\n```\n"


def test_axe_finds_nothing_in_the_status_bar_and_the_panel(theme: str, page: Page) -> None:
    code_cell(page, 2).locator(".cm-content").click()
    page.keyboard.type("import ")
    ghost(page).first.wait_for()
    # A suggestion is dimmed, and can be read all the same.
    assert ours(page, f"{DOCUMENT} .jp-Cell.jp-mod-active .jp-GhostText") == []
    page.keyboard.press("Escape")
    page.locator(STATUS).click()
    assert ours(page, STATUS) == []
    assert ours(page, ".jp-AidpStatus-popup") == []
    shoot(page, f"accessibility-status-{theme}")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Shift+A")
    panel = page.locator(".jp-AidpAI")
    expect(panel.get_by_label("Where answers may come from")).to_be_focused()
    closed = panel.locator(".jp-AidpSection h3 button[aria-expanded='false']")
    while closed.count():
        closed.first.click()
    assert ours(page, ".jp-AidpAI") == []


def test_axe_finds_nothing_in_an_action_whatever_its_phase(theme: str, scripted: Scripted, page: Page) -> None:
    run(page, 0)
    assert ours(page, ".jp-AidpFix") == []
    assert ours(page, ".jp-cell-toolbar") == []
    scripted.script(fenced(BROKEN.replace("totl", "total"), "It was misspelt."), kind="chat", hold_after=14)
    fix_button(page).click()
    frame(page, "asking").locator("pre").wait_for()
    assert ours(page, FRAME) == []
    scripted.release()
    reviewed(page)
    press(page, "Reject")
    code_cell(page, 1).locator(".cm-content").click()
    scripted.script(fenced(TYPED, "Types tell what is **meant**, see `mean`."), kind="chat")
    command(page, "aidp:document")
    reviewed(page)
    frame(page).locator("summary").click()
    assert ours(page, FRAME) == []
    press(page, "Reject all")
    scripted.script("I am a teapot.", kind="chat")
    command(page, "aidp:optimize")
    frame(page, "failed").wait_for()
    assert ours(page, FRAME) == []
    scripted.script(PROSE, kind="chat")
    command(page, "aidp:explain")
    expect(frame(page, "answered")).to_contain_text("The end.")
    assert ours(page, FRAME) == []
    shoot(page, f"accessibility-answer-{theme}")
    command(page, "aidp:edit")
    frame(page, "instructing").wait_for()
    assert ours(page, FRAME) == []
    tests = "def test_that():\n    assert mean([1, 2]) == 2\n"
    scripted.script(fenced(tests, "A case."), kind="chat")
    command(page, "aidp:write-tests")
    reviewed(page)
    assert ours(page, FRAME) == []
    press(page, "Accept")
    press(page, "Run tests")
    verdict = frame(page).locator(".jp-AidpAction-verdict")
    expect(verdict).to_have_attribute("data-passed", "false", timeout=30_000)
    assert ours(page, FRAME) == []
    shoot(page, f"accessibility-tests-{theme}")
    page.keyboard.press("Escape")
    page.evaluate("path => jupyterapp.serviceManager.contents.delete(path)", "tests/test_mean.py")


def test_axe_finds_nothing_in_what_is_ours_of_a_chat(theme: str, scripted: Scripted, page: Page) -> None:
    scripted.script(PROSE.partition("|")[0], kind="chat")
    chat = open_chat(page, f"axe in {theme}")
    chat.locator(".jp-AidpEmpty-model").wait_for()
    assert ours(page, ".jp-AidpEmpty") == []
    say(chat, "What does mean do?")
    line = wait_for_cost(chat, 1)
    line.get_by_role("button", name="why").click()
    line.locator("dl").get_by_text("Took").wait_for()
    for part in (".jp-AidpAnswer", ".jp-AidpContext", f"{PANEL} .jp-RenderedMarkdown"):
        assert ours(page, part) == []
    shoot(page, f"accessibility-chat-{theme}")
    command(page, "aidp:search-chats")
    page.get_by_role("dialog").get_by_role("listitem").first.wait_for()
    assert ours(page, "dialog.jp-AidpChats") == []
