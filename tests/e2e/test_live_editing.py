"""Several people in one notebook and one chat, and several tabs of one person: each sees a result, and sees it once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.actions_page import document, faults, fix_button, frame, press, reviewed, text
from tests.e2e.chat_page import PANEL, STOP, answers, open_chat, questions, say, wait_for_cost
from tests.e2e.conftest import window
from tests.e2e.lab_page import code_cell, command, open_file, open_notebook, run, save, shoot
from tests.support.jupyter import Server
from tests.support.processes import wait_until
from tests.support.scripted import Scripted

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

BROKEN = "total = 0\nfor x in [1, 2, 3]:\n    totl += x\nprint(total)"
MENDED = BROKEN.replace("totl", "total")
Pair = tuple[Page, Page, Path]


def fenced(code: str, why: str = "It was misspelt.") -> str:
    return f"{why}\n\n```python\n{code}\n```\n"


@pytest.fixture
def other(chrome: Browser) -> Iterator[Page]:
    """The window of a second person."""
    with window(chrome) as page:
        yield page


def join(page: Page, lab: Server, name: str) -> None:
    """Open a notebook that another one has open."""
    open_file(page, lab, name)
    cells(page).first.wait_for()


def cells(page: Page) -> Locator:
    return page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell")


def both_have(pages: tuple[Page, Page], expected: str, cell: int = 0) -> None:
    """Wait until a cell has the same text for both."""
    for page in pages:
        page.wait_for_function(
            """([cell, expected]) => {
                const { content } = jupyterapp.shell.currentWidget;
                return content.widgets[cell]?.model.sharedModel.getSource() === expected;
            }""",
            arg=[cell, expected],
        )


def write(page: Page, line: str, key: str, words: str) -> None:
    """Type into a line of the first code cell, at its Home or End."""
    code_cell(page, 0).locator(".jp-InputArea .cm-line", has_text=line).click()
    page.keyboard.press(key)
    page.keyboard.type(words)


@pytest.fixture
def pair(
    collab_lab: Server, scripted: Scripted, page: Page, other: Page, request: pytest.FixtureRequest
) -> Iterator[Pair]:
    """Two people in a notebook with a cell that will fail."""
    scripted.script(fenced(MENDED), kind="chat")
    name = f"{request.node.name[5:50]}.ipynb"
    open_notebook(page, collab_lab, name, [BROKEN, "print('after')"])
    join(other, collab_lab, name)
    both_have((page, other), BROKEN)
    yield page, other, collab_lab.root / name
    assert faults(page) + faults(other) == []


def test_an_accepted_change_is_there_once_for_both_and_one_undo_takes_it_back(pair: Pair) -> None:
    page, other, file = pair
    run(page, 0)
    for one in (page, other):
        expect(fix_button(one)).to_have_count(1)
    fix_button(page).click()
    reviewed(page)
    # The proposal is in the window of who asked for it, and nowhere else.
    expect(frame(other)).to_have_count(0)
    assert text(page) == text(other) == BROKEN
    assert MENDED.splitlines()[2] not in document(page)["json"] + document(other)["json"]
    press(page, "Accept & run")
    both_have((page, other), MENDED)
    for one in (page, other):
        expect(code_cell(one, 0).locator(".jp-OutputArea-output")).to_have_text("6")
        expect(fix_button(one)).to_have_count(0)
        expect(cells(one)).to_have_count(2)
    wait_until(lambda: "total += x" in file.read_text(), "the notebook is saved by itself")
    assert file.read_text().count("total += x") == 1
    code_cell(page, 0).locator(".jp-InputArea .cm-content").click()
    page.keyboard.press("Control+z")
    both_have((page, other), BROKEN)


def test_a_new_cell_comes_once_for_both_and_goes_with_one_undo(pair: Pair, scripted: Scripted) -> None:
    page, other, _ = pair
    scripted.script("# Sums\n\nIt adds numbers.", kind="chat")
    command(page, "aidp:summarise-notebook")
    reviewed(page)
    expect(cells(other)).to_have_count(2)
    press(page, "Accept")
    for one in (page, other):
        expect(cells(one)).to_have_count(3)
        expect(one.locator(".jp-MarkdownCell").filter(has_text="It adds numbers.")).to_have_count(1)
    command(page, "notebook:undo-cell-action")
    for one in (page, other):
        expect(cells(one)).to_have_count(2)


def test_what_another_types_elsewhere_in_the_cell_stays_and_the_proposal_follows(pair: Pair) -> None:
    page, other, _ = pair
    command(page, "aidp:optimize")
    reviewed(page)
    write(other, "total = 0", "Home", "# theirs\n")
    both_have((page, other), f"# theirs\n{BROKEN}")
    expect(reviewed(page)).to_contain_text("# theirs")
    assert text(other) == f"# theirs\n{BROKEN}"
    press(page, "Accept")
    both_have((page, other), f"# theirs\n{MENDED}")
    # One undo takes back what was accepted, and nothing of the other's.
    code_cell(page, 0).locator(".jp-InputArea .cm-content").click()
    page.keyboard.press("Control+z")
    both_have((page, other), f"# theirs\n{BROKEN}")


def test_what_another_types_at_the_same_place_wins_and_it_can_be_asked_again(pair: Pair) -> None:
    page, other, _ = pair
    command(page, "aidp:optimize")
    reviewed(page)
    write(other, "totl += x", "End", " * 2")
    theirs = BROKEN.replace("totl += x", "totl += x * 2")
    both_have((page, other), theirs)
    expect(frame(page, "failed")).to_contain_text("has changed since")
    shoot(page, "live-changed-since")
    press(page, "Try again")
    reviewed(page)
    press(page, "Accept")
    both_have((page, other), MENDED)


def test_a_cell_that_another_deletes_takes_its_answer_along(pair: Pair, scripted: Scripted) -> None:
    page, other, _ = pair
    scripted.script(fenced("x = 1 # again\n"), kind="chat", forever=True, delay_ms=20)
    command(page, "aidp:optimize")
    wait_until(lambda: scripted.chats and scripted.chats[0].first_byte_at, "the answer has begun")
    command(other, "notebook:delete-cell")
    for one in (page, other):
        expect(cells(one)).to_have_count(1)
    expect(frame(page)).to_have_count(0)
    wait_until(lambda: scripted.chats[0].disconnected_at, "the request has ended")
    both_have((page, other), "print('after')")


def test_two_who_ask_for_the_same_get_it_once(pair: Pair, scripted: Scripted) -> None:
    page, other, _ = pair
    for one in (page, other):
        command(one, "aidp:optimize")
    for one in (page, other):
        reviewed(one)
    assert len(scripted.chats) == 2
    press(page, "Accept")
    both_have((page, other), MENDED)
    expect(frame(page)).to_have_count(0)
    expect(frame(other, "failed")).to_contain_text("has changed since")
    press(other, "Close (Esc)")
    both_have((page, other), MENDED)


@contextmanager
def apart(pages: Sequence[Page]) -> Iterator[None]:
    """While the block runs, each of these people writes without hearing of what the others write."""
    for page in pages:
        page.evaluate("() => window.apart = true")
    yield
    for page in pages:
        page.evaluate("() => { window.apart = false; window.together.splice(0).forEach(send => send()); }")


#: Keeps back what is sent to a shared document while ``window.apart`` is set.
KEEP_BACK = """() => {
    window.together = [];
    const { send } = WebSocket.prototype;
    WebSocket.prototype.send = function (data) {
        const tell = () => send.call(this, data);
        window.apart && this.url.includes('/api/collaboration/') ? window.together.push(tell) : tell();
    };
}"""


def test_what_two_accept_in_the_same_instant_is_there_once(pair: Pair, scripted: Scripted) -> None:
    page, other, _ = pair
    for one in (page, other):
        one.evaluate(KEEP_BACK)
        command(one, "aidp:optimize")
        reviewed(one)
    with apart([page, other]):
        for one in (page, other):
            press(one, "Accept")
            assert text(one) == MENDED
    both_have((page, other), MENDED)
    # The same of a cell that is new …
    scripted.script("# Sums\n\nIt adds numbers.", kind="chat")
    for one in (page, other):
        command(one, "aidp:summarise-notebook")
        reviewed(one)
    with apart([page, other]):
        for one in (page, other):
            press(one, "Accept")
            expect(cells(one)).to_have_count(3)
    page.wait_for_timeout(1000)  # for what should not come
    for one in (page, other):
        expect(cells(one)).to_have_count(3)
        expect(one.locator(".jp-MarkdownCell").filter(has_text="It adds numbers.")).to_have_count(1)
    both_have((page, other), MENDED, 1)
    # … and where one of them sees that the other was faster.
    scripted.script("# Sums\n\nIt adds three numbers.", kind="chat")
    for one in (page, other):
        command(one, "aidp:summarise-notebook")
        reviewed(one)
    press(page, "Accept")
    expect(cells(other)).to_have_count(4)
    press(other, "Accept")
    expect(frame(other)).to_have_count(0)
    page.wait_for_timeout(500)
    for one in (page, other):
        expect(cells(one)).to_have_count(4)


def test_one_answer_comes_to_one_question_in_a_new_chat(collab_lab: Server, scripted: Scripted, page: Page) -> None:
    open_notebook(page, collab_lab, "chats.ipynb", [MENDED], kernel=False)
    asked = [f"question {number} of a live chat" for number in range(5)]
    for number, words in enumerate(asked):
        name = f"one answer {number}"
        assert not [*collab_lab.root.rglob(f"{name}.chat")], "the chat is new: other tests share this lab"
        command(page, "aidp:ask", {"body": words, "name": name})
        title = page.locator(".jp-chat-sidepanel-widget-title")
        expect(title).to_have_text(re.compile(rf"(^|/){name}$"))
        # the chat before it may still be seen below its title
        wait_until(lambda words=words: questions(scripted, words), "the question arrives")
        wait_for_cost(page.locator(PANEL), 1)
    assert [len(questions(scripted, words)) for words in asked] == [1] * 5
    expect(answers(page.locator(PANEL))).to_have_count(1)


@pytest.mark.parametrize("who", ["asker", "other"])
def test_both_see_an_answer_once_as_it_comes_and_either_can_stop_it(
    collab_lab: Server, scripted: Scripted, page: Page, other: Page, who: str
) -> None:
    scripted.script("Once upon a time. ", when="endless", kind="chat", forever=True, delay_ms=20)
    open_notebook(page, collab_lab, "talk.ipynb", [MENDED], kernel=False)
    name = f"together with {who}"
    chats = (open_chat(page, name), other.locator(PANEL))
    [file] = collab_lab.root.rglob(f"{name}.chat")
    open_file(other, collab_lab, "talk.ipynb")
    command(other, "jupyterlab-chat:open", {"filepath": str(file.relative_to(collab_lab.root)), "inSidePanel": True})
    chats[1].locator(".jp-jai-personaControls-persona").wait_for()
    say(chats[0], "endless")
    for chat in chats:
        said = chat.locator(".jp-chat-rendered-message").filter(has_text="Once upon a time.")
        expect(said).to_have_count(1)
        length = len(said.inner_text())
        wait_until(lambda said=said, length=length: len(said.inner_text()) > length, "more of it comes")
    chats[0 if who == "asker" else 1].locator(STOP).click()
    asked = questions(scripted, "endless")
    wait_until(lambda: asked[0].disconnected_at, "the request ends")
    for chat in chats:
        expect(answers(chat)).to_have_count(1)
        expect(answers(chat)).to_contain_text("stopped")
    assert len(questions(scripted, "endless")) == 1
    shoot(other, "live-chat")


def test_two_tabs_without_live_editing_do_not_change_each_other(
    scripted_lab: Server, scripted: Scripted, page: Page
) -> None:
    scripted.script(fenced(MENDED), kind="chat")
    open_notebook(page, scripted_lab, "tabs.ipynb", [BROKEN])
    second = page.context.new_page()
    join(second, scripted_lab, "tabs.ipynb")
    for tab in (page, second):
        command(tab, "aidp:optimize")
        reviewed(tab)
    press(page, "Accept & run")
    expect(code_cell(page, 0).locator(".jp-OutputArea-output")).to_have_text("6")
    assert text(second) == BROKEN
    save(page, scripted_lab.root / "tabs.ipynb")
    press(second, "Reject")
    assert text(second) == BROKEN
    # Whoever takes what is on the disk has the change, once.
    second.evaluate("() => void jupyterapp.commands.execute('docmanager:reload')")
    second.locator(".jp-Dialog .jp-mod-accept").click()
    second.wait_for_function(
        "expected => jupyterapp.shell.currentWidget.content.widgets[0].model.sharedModel.getSource() === expected",
        arg=MENDED,
    )
    assert len(scripted.chats) == 2
