"""Everything without a mouse: no test here clicks, and wherever the keyboard is, it can be seen there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.actions_page import fix_button, focused, frame, reviewed, steps, text
from tests.e2e.chat_page import PANEL, STOP, answers, field, open_chat, questions, told, wait_for_cost
from tests.e2e.lab_page import code_cell, ghost, open_notebook, shoot
from tests.support.jupyter import Server
from tests.support.processes import wait_until
from tests.support.scripted import Scripted

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

BROKEN = "total = 0\nfor x in [1, 2, 3]:\n    totl += x\nprint(total)"
MENDED = BROKEN.replace("totl", "total")
MEAN = "def mean(values):\n    return sum(values) / len(values)\n\n\nx = 1\ny = 2\n\nprint(mean([x, y]))"
TYPED = MEAN.replace(
    "def mean(values):", 'def mean(values: list[float]) -> float:\n    """Return the mean."""'
).replace("y = 2", "y = 3")
TABS = 40


def fenced(code: str, why: str = "It was misspelt.") -> str:
    return f"{why}\n\n```python\n{code}\n```\n"


@pytest.fixture(autouse=True)
def no_mouse(scripted: Scripted, page: Page, request: pytest.FixtureRequest) -> Iterator[None]:
    """Notice a mouse, and what the console says of errors."""
    page.add_init_script("addEventListener('mousedown', ({ isTrusted }) => { window.mouse ||= isTrusted; }, true)")
    yield
    assert page.evaluate("() => window.mouse") is None
    assert not [error for error in page.errors if "404" not in error]  # type: ignore[attr-defined]


def is_seen(page: Page) -> bool:
    """Whether what has the keyboard is on the screen and looks like it; a field shows where by its caret."""
    return bool(
        page.evaluate(
            """() => {
                const one = document.activeElement;
                const { top, bottom, height } = one.getBoundingClientRect();
                const { outlineStyle, boxShadow } = getComputedStyle(one);
                return height > 0 && bottom > 0 && top < innerHeight && one.matches(':focus-visible')
                    && (one.matches('input, textarea') || outlineStyle !== 'none' || boxShadow !== 'none');
            }"""
        )
    )


def tab_to(page: Page, target: Locator, key: str = "Tab") -> None:
    """Press Tab until something has the keyboard."""
    for _ in range(TABS):
        page.keyboard.press(key)
        if target.evaluate_all("(all) => all.includes(document.activeElement)"):
            assert is_seen(page), target
            return
    raise AssertionError(f"{target} is not reached with {key}; the keyboard is at {focused(page)!r}")


def is_in_cell(page: Page, number: int) -> None:
    """The keyboard is at a cell again, not in its proposal nor nowhere."""
    expect(code_cell(page, number)).to_be_focused()


def begin(page: Page, lab: Server, name: str, cells: list[str]) -> None:
    """Open a notebook and wait until Lab has put the keyboard into it for the last time."""
    open_notebook(page, lab, name, cells)
    is_in_cell(page, 0)


def edit(page: Page) -> None:
    """Go into the text of the first cell, from the cell."""
    page.keyboard.press("Enter")
    expect(code_cell(page, 0).locator(".jp-InputArea .cm-content")).to_be_focused()


def palette(page: Page, words: str) -> None:
    """Choose a command by its words."""
    page.keyboard.press("Control+Shift+C")
    expect(page.locator(".lm-CommandPalette-input")).to_be_focused()
    page.keyboard.type(words)
    expect(page.locator(".lm-CommandPalette-item.lm-mod-active")).to_contain_text(words)
    page.keyboard.press("Enter")


def test_a_failed_cell_becomes_green(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    scripted.script(fenced(MENDED), kind="chat")
    begin(page, scripted_lab, "keys-fix.ipynb", [BROKEN, "1"])
    page.keyboard.press("Control+Enter")
    tab_to(page, fix_button(page))
    page.keyboard.press("Enter")
    reviewed(page)
    expect(frame(page).get_by_role("button", name="Accept", exact=True)).to_be_focused()
    assert is_seen(page)
    tab_to(page, frame(page).get_by_role("button", name="Accept & run"))
    page.keyboard.press("Enter")
    expect(code_cell(page, 0).locator(".jp-OutputArea-output")).to_have_text("6")
    is_in_cell(page, 0)
    # The same by its shortcut, from the text of the cell.
    edit(page)
    scripted.script(fenced(MENDED.replace("total = 0", "total = 1")), kind="chat")
    page.keyboard.press("Control+Shift+;")
    reviewed(page)
    page.keyboard.press("Shift+Enter")
    expect(code_cell(page, 0).locator(".jp-OutputArea-output")).to_have_text("7")
    is_in_cell(page, 0)


def test_changes_one_by_one_and_back_to_the_cell(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    scripted.script(fenced(TYPED), kind="chat")
    begin(page, scripted_lab, "keys-parts.ipynb", [MEAN, "1"])
    palette(page, "Optimize with AI")
    reviewed(page)
    page.keyboard.press("Alt+ArrowDown")
    assert steps(page) == "2 of 2"
    page.keyboard.press("Enter")
    assert steps(page) == "1 of 2"
    assert is_seen(page)
    page.keyboard.press("Escape")
    expect(frame(page)).to_have_count(0)
    assert text(page) == MEAN.replace("y = 2", "y = 3")
    is_in_cell(page, 0)
    edit(page)
    page.keyboard.press("Control+z")
    assert text(page) == MEAN
    # Nothing accepted, and a question, an error and prose that are closed, lead back to the cell, too.
    page.keyboard.press("Control+;")
    expect(page.get_by_role("textbox", name="What should change?")).to_be_focused()
    page.keyboard.press("Escape")
    is_in_cell(page, 0)
    scripted.script("I am a teapot.", kind="chat")
    for name, phase in (("Optimize with AI", "failed"), ("Explain with AI", "answered")):
        palette(page, name)
        frame(page, phase).wait_for()
        assert is_seen(page)
        page.keyboard.press("Escape")
        expect(frame(page)).to_have_count(0)
        is_in_cell(page, 0)
    # Away from a proposal and back to it.
    scripted.script(fenced(TYPED), kind="chat")
    palette(page, "Optimize with AI")
    reviewed(page)
    tab_to(page, code_cell(page, 0), "Shift+Tab")
    page.keyboard.press("Control+Alt+.")
    expect(frame(page).get_by_role("button", name="Accept", exact=True)).to_be_focused()
    tab_to(page, frame(page).get_by_role("button", name="Reject all"))
    page.keyboard.press("Enter")
    is_in_cell(page, 0)


def test_an_answer_is_stopped(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    scripted.script("No end of it. ", kind="chat", forever=True, delay_ms=20)
    begin(page, scripted_lab, "keys-stop.ipynb", [MEAN])
    page.keyboard.press("Control+.")
    page.locator(".lm-Menu .lm-mod-active").wait_for()
    page.keyboard.press("Enter")
    expect(frame(page, "asking")).to_contain_text("No end of it.")
    expect(frame(page).get_by_role("button", name="Stop")).to_be_focused()
    page.keyboard.press("Escape")
    wait_until(lambda: scripted.chats[0].disconnected_at, "the request has ended")
    expect(frame(page, "answered")).to_contain_text("Stopped.")
    assert is_seen(page)
    page.keyboard.press("Escape")
    is_in_cell(page, 0)


def test_suggestions_are_taken_changed_and_left(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    scripted.script(["one + two\nthree = 4\nfive = 6", "[another]"], when="x =$", kind="completion")
    begin(page, scripted_lab, "keys-ghost.ipynb", ["", "1"])
    edit(page)
    page.keyboard.type("x = ")
    expect(ghost(page)).to_contain_text("one + two")
    page.keyboard.press("Alt+]")
    expect(ghost(page)).to_have_text("[another]")
    page.keyboard.press("Alt+[")
    expect(ghost(page)).to_contain_text("one + two")
    page.keyboard.press("Control+ArrowRight")
    assert text(page) == "x = one"
    page.keyboard.press("Control+Shift+ArrowRight")
    assert text(page) == "x = one + two"
    page.keyboard.press("Alt+End")
    assert text(page) == "x = one + two\nthree = 4\nfive = 6"
    page.keyboard.type("\nx = ")
    expect(ghost(page)).to_contain_text("[another]")
    page.keyboard.press("Escape")
    expect(ghost(page)).to_have_count(0)
    assert text(page).endswith("\nx = ")
    expect(code_cell(page, 0).locator(".cm-content")).to_be_focused()


def test_a_chat_from_the_first_question_to_a_search(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    begin(page, scripted_lab, "keys-chat.ipynb", [MEAN, "unrelated = 1"])
    open_chat(page, "keys")  # else the last one is opened, which other tests may have had
    page.keyboard.press("Control+Shift+Y")
    chat = page.locator(PANEL)
    chat.locator(".jp-jai-personaControls-persona").wait_for()
    expect(field(chat)).to_be_focused()
    for control, option, key in (("Privacy", "Local only", "Tab"), ("Model", "Auto · local", "Shift+Tab")):
        button = chat.locator(f".jp-jai-personaControls-control-btn[title='{control}']:visible")
        tab_to(page, button, key)
        page.keyboard.press("Enter")
        page.locator("input:focus").wait_for()
        page.keyboard.type(option)
        page.get_by_role("menuitem").filter(has_text=option).first.wait_for()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(button).to_contain_text(option)
        expect(button).to_be_focused()
    tab_to(page, field(chat), "Shift+Tab")
    page.keyboard.type("What of mean and unrelated?")
    chip = chat.locator(".jp-AidpChip").filter(has_text="cell 1").get_by_role("button")
    chip.wait_for()
    tab_to(page, chip, "Shift+Tab")
    page.keyboard.press("Enter")
    expect(chip).to_have_count(0)
    assert focused(page) != ""
    tab_to(page, field(chat))
    page.keyboard.press("Enter")
    line = wait_for_cost(chat, 1)
    assert "def mean(values)" not in told(scripted, "What of mean and unrelated?")
    expect(field(chat)).to_be_focused()
    tab_to(page, line.get_by_role("button", name="why"), "Shift+Tab")
    page.keyboard.press("Enter")
    expect(line.locator("dl")).to_contain_text("Local models only")
    code = chat.locator(".jp-chat-code-toolbar")
    tab_to(page, code.get_by_role("button", name=re.compile("Insert below")), "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell")).to_have_count(3)
    shoot(page, "keyboard-chat")
    page.keyboard.press("Control+Shift+Y")
    expect(field(chat)).to_be_focused()
    scripted.script("No end of it. ", when="endless", kind="chat", forever=True, delay_ms=20)
    page.keyboard.type("endless")
    page.keyboard.press("Enter")
    expect(chat.locator(".jp-chat-rendered-message").last).to_contain_text("No end of it.")
    tab_to(page, chat.locator(STOP))
    page.keyboard.press("Enter")
    [asked] = questions(scripted, "endless")
    wait_until(lambda: asked.disconnected_at, "the request ends")
    expect(answers(chat)).to_have_count(2)
    palette(page, "Search Chats")
    search = page.get_by_role("dialog")
    expect(search.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("unrelated")
    found = search.get_by_role("listitem").filter(has_text="What of mean")
    found.wait_for()
    page.keyboard.press("Escape")
    expect(search).to_have_count(0)
    palette(page, "Search Chats")
    page.keyboard.type("unrelated")
    found.wait_for()
    tab_to(page, found.get_by_role("button"), "ArrowDown")
    page.keyboard.press("Enter")
    expect(search).to_have_count(0)
    expect(page.locator(f"{PANEL} .jp-chat-messages-container [data-index='0']")).to_be_focused()


def test_every_command_is_in_the_palette(scripted_lab: Server, page: Page) -> None:
    begin(page, scripted_lab, "keys-palette.ipynb", [MEAN])
    page.keyboard.press("Control+Shift+C")
    items = page.locator(".lm-CommandPalette-item[data-command^='aidp:']")
    expect(page.locator(".lm-CommandPalette-input")).to_be_focused()
    shown = set(items.evaluate_all("items => items.map(item => item.dataset.command)"))
    commands = page.evaluate("() => jupyterapp.commands.listCommands().filter(name => name.startsWith('aidp:'))")
    # `ask` is for other extensions: its question is an argument.
    assert set(commands) - shown == {"aidp:ask"}
    page.keyboard.press("Escape")
    is_in_cell(page, 0)
