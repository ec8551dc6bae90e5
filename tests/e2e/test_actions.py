"""Actions on cells and files in a real browser: what is proposed, and that nothing changes without a click."""

from __future__ import annotations

import json
import re

import nbformat
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.actions_page import (
    DOCUMENT,
    FRAME,
    document,
    faults,
    fix_button,
    focused,
    frame,
    press,
    reviewed,
    settle,
    steps,
    text,
)
from tests.e2e.axe import violations
from tests.e2e.lab_page import code_cell, command, dark, open_file, open_notebook, run, shoot, wait_for_lab
from tests.support.jupyter import Server
from tests.support.lab import write_notebook
from tests.support.processes import wait_until
from tests.support.scripted import Scripted

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

BROKEN = "total = 0\nfor x in [1, 2, 3]:\n    totl += x\nprint(total)"
MENDED = BROKEN.replace("totl", "total")
MEAN = "def mean(values):\n    return sum(values) / len(values)\n\n\nx = 1\ny = 2\n\nprint(mean([x, y]))"
TYPED = MEAN.replace(
    "def mean(values):", 'def mean(values: list[float]) -> float:\n    """Return the mean."""'
).replace("y = 2", "y = 3")


def fenced(code: str, why: str = "It was misspelt.") -> str:
    return f"{why}\n\n```python\n{code}\n```\n"


def test_two_clicks_lead_from_a_failed_cell_to_a_green_one(
    scripted_lab: Server, scripted: Scripted, page: Page
) -> None:
    scripted.script(fenced(MENDED), kind="chat")
    open_notebook(page, scripted_lab, "fix.ipynb", [("markdown", "# Sums"), BROKEN, "print('after')"])
    expect(fix_button(page)).to_have_count(0)
    run(page, 0)
    fix_button(page).click()
    diff = reviewed(page)
    expect(diff).to_contain_text("totl += x")
    expect(diff).to_contain_text("total += x")
    assert text(page, 1) == BROKEN
    expect(frame(page)).to_contain_text("It was misspelt.")
    expect(frame(page)).to_contain_text("context:")
    expect(frame(page)).to_contain_text("local")
    shoot(page, "actions-fix-light")
    assert violations(page, FRAME) == []
    with dark(page):
        shoot(page, "actions-fix-dark")
        assert violations(page, FRAME) == []
    press(page, "Accept & run")
    output = code_cell(page, 0).locator(".jp-OutputArea-output")
    expect(output).to_have_text("6")
    expect(fix_button(page)).to_have_count(0)
    expect(frame(page)).to_have_count(0)
    assert text(page, 1) == MENDED
    assert len(scripted.chats) == 1
    assert faults(page) == []


def test_two_clicks_do_where_the_cause_is_in_a_function_of_another_cell(
    scripted_lab: Server, scripted: Scripted, page: Page
) -> None:
    cause = "def ratio(a, b):\n    return a / (b - b)"
    open_notebook(page, scripted_lab, "cause.ipynb", [cause, "def half(x):\n    return ratio(x, 2)", "print(half(3))"])
    for number in (0, 1, 2):
        code_cell(page, number).locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
    expect(fix_button(page)).to_have_count(1)
    mended = cause.replace("(b - b)", "b")
    scripted.script(f"It divides by zero.\n\n```python cell=1\n{mended}\n```\n", kind="chat")
    fix_button(page).click()
    reviewed(page)
    expect(frame(page).locator(".jp-AidpAction-where")).to_have_text("Cell 1")
    expect(frame(page).get_by_text("It divides by zero.")).to_have_count(1)
    shoot(page, "actions-fix-elsewhere")
    press(page, "Accept & run")
    expect(code_cell(page, 2).locator(".jp-OutputArea-output")).to_have_text("1.5")
    expect(fix_button(page)).to_have_count(0)
    assert text(page, 0) == mended
    assert faults(page) == []


@pytest.mark.parametrize("action", ["aidp:explain", "aidp:optimize"])
def test_an_action_may_begin_before_the_notebook_is_there(
    scripted_lab: Server, scripted: Scripted, page: Page, action: str
) -> None:
    scripted.script(fenced(TYPED), kind="chat")
    write_notebook(scripted_lab.root / "early.ipynb", [MEAN])
    page.goto(f"{scripted_lab.url}lab?reset&token={scripted_lab.token}")
    wait_for_lab(page)
    page.evaluate(
        """async action => {
            const { commands, shell } = jupyterapp;
            void commands.execute('docmanager:open', { path: 'early.ipynb' });
            while (!shell.currentWidget?.sessionContext) {
                await new Promise(requestAnimationFrame);
            }
            if (shell.currentWidget.context.isReady) {
                throw new Error('It is there already.');
            }
            await commands.execute(action);
        }""",
        action,
    )
    expect(frame(page, "answered" if action == "aidp:explain" else "reviewing")).to_be_visible()
    assert "def mean" in scripted.chats[0].text
    assert faults(page) == []


def test_actions_need_no_kernel(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    scripted.script([fenced(TYPED), fenced(TYPED.replace("y = 3", "y = 4"))], kind="chat")
    open_notebook(page, scripted_lab, "nokernel.ipynb", [MEAN])
    # One that has died …
    page.evaluate(
        """() => {
            const { sessionContext } = jupyterapp.shell.currentWidget;
            return jupyterapp.serviceManager.kernels.shutdown(sessionContext.session.kernel.id);
        }"""
    )
    command(page, "aidp:document")
    reviewed(page)
    press(page, "Accept all")
    expect(frame(page)).to_have_count(0)
    assert text(page) == TYPED
    # … and none.
    page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    expect(page.locator(f"{DOCUMENT} .jp-Toolbar-kernelName")).to_have_text("No Kernel")
    command(page, "aidp:document")
    reviewed(page)
    press(page, "Accept")
    expect(frame(page)).to_have_count(0)
    assert text(page) == TYPED.replace("y = 3", "y = 4")


def test_a_proposal_moves_with_its_cell(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    scripted.script(fenced(MENDED), kind="chat")
    notebook = open_notebook(page, scripted_lab, "move.ipynb", [BROKEN, "1", "2"])
    command(page, "aidp:optimize")
    reviewed(page)
    command(page, "notebook:move-cell-down")
    assert text(page, 1) == BROKEN
    reviewed(page)
    expect(code_cell(page, 1).locator(".jp-AidpAction-frame")).to_have_count(1)
    code_cell(page, 1).locator(".jp-InputArea .cm-content").click()
    page.keyboard.press("Control+Home")
    page.keyboard.type("# mine\n")
    press(page, "Accept")
    expect(frame(page)).to_have_count(0)
    assert [text(page, number) for number in range(3)] == ["1", f"# mine\n{MENDED}", "2"]
    # One that is cut is gone, and its proposal with it.
    command(page, "aidp:optimize")
    reviewed(page)
    command(page, "notebook:cut-cell")
    expect(notebook.locator(".jp-Cell")).to_have_count(2)
    expect(frame(page)).to_have_count(0)
    assert faults(page) == []


def test_the_button_is_there_after_a_reload_and_goes_with_the_traceback(
    scripted_lab: Server, scripted: Scripted, page: Page
) -> None:
    error = nbformat.v4.new_output("error", ename="NameError", evalue="name 'totl'", traceback=["NameError: totl"])
    failed = nbformat.v4.new_code_cell(BROKEN, execution_count=1, outputs=[error])
    open_notebook(page, scripted_lab, "reload.ipynb", ["1", failed])
    expect(fix_button(page)).to_have_count(1)
    command(page, "notebook:clear-all-cell-outputs")
    expect(fix_button(page)).to_have_count(0)


def test_reject_leaves_the_document_as_it_was_to_the_byte(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    scripted.script(fenced(MENDED), kind="chat")
    open_notebook(page, scripted_lab, "reject.ipynb", [BROKEN])
    run(page, 0)
    settle(page)
    file = scripted_lab.root / "reject.ipynb"
    on_disk, before = file.read_bytes(), document(page)
    fix_button(page).click()
    reviewed(page)
    assert document(page) == before
    command(page, "notebook:run-cell")
    expect(code_cell(page, 0).locator(".jp-InputPrompt")).to_have_text("[2]:")
    expect(code_cell(page, 0)).to_contain_text("NameError")  # the proposal is not what runs
    settle(page)
    before = document(page)
    on_disk = file.read_bytes()
    press(page, "Reject")
    expect(frame(page)).to_have_count(0)
    assert document(page) == before
    settle(page)
    assert file.read_bytes() == on_disk


def test_one_undo_takes_an_accepted_change_back(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    scripted.script(fenced(TYPED), kind="chat")
    open_notebook(page, scripted_lab, "undo.ipynb", [MEAN])
    code_cell(page, 0).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type("\n# typed just before")
    before = text(page)
    command(page, "aidp:document")
    reviewed(page)
    press(page, "Accept all")
    expect(frame(page)).to_have_count(0)
    assert text(page) != before
    code_cell(page, 0).locator(".cm-content").click()
    page.keyboard.type(" ")
    page.keyboard.press("Control+z")  # what was typed after it is a step of its own
    page.keyboard.press("Control+z")
    assert text(page) == before


def test_each_change_is_accepted_or_rejected_by_itself(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    scripted.script(fenced(TYPED), kind="chat")
    open_notebook(page, scripted_lab, "parts.ipynb", [MEAN])
    command(page, "aidp:optimize")
    reviewed(page)
    assert steps(page) == "1 of 2"
    press(page, "Next change (Alt+↓)")
    assert steps(page) == "2 of 2"
    press(page, "Accept")
    assert steps(page) == "1 of 2"
    assert text(page) == MEAN
    shoot(page, "actions-parts")
    press(page, "Reject")
    expect(frame(page)).to_have_count(0)
    assert text(page) == MEAN.replace("y = 2", "y = 3")


def test_all_of_it_works_with_the_keyboard_alone(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    scripted.script(fenced(TYPED), kind="chat", hold_after=3)
    open_notebook(page, scripted_lab, "keys.ipynb", [MEAN, "1"])
    code_cell(page, 0).locator(".cm-content").click()
    page.keyboard.press("Control+.")
    page.locator(".lm-Menu .lm-mod-active").wait_for()
    page.keyboard.press("a")  # Add Docstrings and Types
    page.keyboard.press("Enter")
    frame(page, "asking").wait_for()
    expect(frame(page).get_by_role("button", name="Stop")).to_be_focused()
    held = frame(page, "reviewing")
    wait_until(lambda: scripted.release() or held.count(), "the rest has come")
    reviewed(page)
    expect(frame(page).get_by_role("button", name="Accept", exact=True)).to_be_focused()
    page.keyboard.press("Alt+ArrowDown")
    assert steps(page) == "2 of 2"
    for key in ("d", "d", "x", "b", "m", "ArrowDown"):  # would delete, cut, add, convert and leave the cell
        page.keyboard.press(key)
    expect(page.locator(f"{DOCUMENT} .jp-Cell")).to_have_count(2)
    assert steps(page) == "2 of 2"
    page.keyboard.press("Escape")
    assert steps(page) == "1 of 2"
    page.keyboard.press("Shift+Enter")
    expect(frame(page)).to_have_count(0)
    expect(code_cell(page, 0).locator(".jp-OutputArea-output")).to_have_text("1.5")
    assert "list[float]" in text(page)
    assert "y = 2" in text(page)
    page.keyboard.press("Enter")  # the focus is back on the cell
    page.keyboard.type("#")
    assert text(page).count("#") == 1


def test_stop_ends_the_request_upstream(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    scripted.script("No end of it. ", kind="chat", forever=True, delay_ms=20)
    open_notebook(page, scripted_lab, "stop.ipynb", [MEAN])
    for number in range(3):
        command(page, "aidp:explain")
        expect(frame(page, "asking")).to_contain_text("No end of it.")
        press(page, "Stop")
        asked = scripted.chats[number]
        wait_until(lambda asked=asked: asked.disconnected_at, "the request has ended")
        expect(frame(page, "answered")).to_contain_text("Stopped.")
        press(page, "Close (Esc)")
    assert text(page) == MEAN


def test_a_cell_deleted_while_its_answer_comes_ends_the_request(
    scripted_lab: Server, scripted: Scripted, page: Page
) -> None:
    scripted.script(fenced("x = 1 # again\n"), kind="chat", forever=True, delay_ms=20)
    notebook = open_notebook(page, scripted_lab, "gone.ipynb", [MEAN, "1"])
    command(page, "aidp:optimize")
    frame(page, "asking").wait_for()
    wait_until(lambda: scripted.chats and scripted.chats[0].first_byte_at, "the answer has begun")
    command(page, "notebook:delete-cell")
    expect(notebook.locator(".jp-Cell")).to_have_count(1)
    expect(frame(page)).to_have_count(0)
    wait_until(lambda: scripted.chats[0].disconnected_at, "the request has ended")
    assert text(page) == "1"
    # The same where the notebook is closed.
    command(page, "aidp:explain")
    wait_until(lambda: len(scripted.chats) == 2 and scripted.chats[1].first_byte_at, "the answer has begun")
    page.evaluate("() => { const { context } = jupyterapp.shell.currentWidget; return context.save(); }")
    command(page, "application:close")
    wait_until(lambda: scripted.chats[1].disconnected_at, "the request has ended")
    assert faults(page) == []


def test_a_proposal_follows_a_cell_that_changes_elsewhere_and_yields_to_one_that_changes_there(
    scripted_lab: Server, scripted: Scripted, page: Page
) -> None:
    scripted.script(fenced(MEAN.replace("y = 2", "y = 3")), kind="chat")
    open_notebook(page, scripted_lab, "moved.ipynb", [MEAN])
    command(page, "aidp:optimize")
    reviewed(page)
    code_cell(page, 0).locator(".jp-InputArea .cm-content").click()
    page.keyboard.press("Control+Home")
    page.keyboard.type("# mine\n")
    reviewed(page)
    press(page, "Accept")
    expect(frame(page)).to_have_count(0)
    assert text(page) == f"# mine\n{MEAN.replace('y = 2', 'y = 3')}"
    scripted.script(fenced(f"# mine\n{MEAN.replace('y = 2', 'y = 4')}"), kind="chat")
    command(page, "aidp:optimize")
    reviewed(page)
    code_cell(page, 0).locator(".jp-InputArea .cm-line", has_text="y = 3").click()
    page.keyboard.press("End")
    page.keyboard.type("0")
    expect(frame(page, "failed")).to_contain_text("has changed since")
    assert "y = 30" in text(page)
    press(page, "Try again")
    reviewed(page)


def test_a_python_file_is_changed_in_its_editor_and_not_on_the_disk(
    scripted_lab: Server, scripted: Scripted, page: Page
) -> None:
    scripted.script(fenced(TYPED), kind="chat")
    file = scripted_lab.root / "prep.py"
    file.write_text(MEAN)
    open_file(page, scripted_lab, "prep.py")
    page.locator(".jp-FileEditor .cm-content").click(button="right")
    page.locator(".lm-Menu-itemLabel", has_text=re.compile("^AI$")).hover()
    page.locator(".lm-Menu-itemLabel", has_text="Add Docstrings and Types").click()
    reviewed(page)
    shoot(page, "actions-file")
    assert violations(page, FRAME) == []
    expect(frame(page).get_by_role("button", name="Accept all")).to_be_in_viewport()
    box, editor = (
        page.locator(f"{DOCUMENT} .jp-AidpAction").bounding_box(),
        page.locator(f"{DOCUMENT} .jp-FileEditor").bounding_box(),
    )
    assert box and editor and box["y"] >= editor["y"] + editor["height"] - 1  # below the text, not over it
    press(page, "Accept all")
    expect(frame(page)).to_have_count(0)
    assert text(page) == TYPED
    assert file.read_text() == MEAN
    page.locator(".jp-FileEditor .cm-content").click()
    page.keyboard.press("Control+z")
    assert text(page) == MEAN


def test_tests_are_written_accepted_and_run_with_a_click(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    tests = "def test_mean():\n    assert mean([1, 2, 3]) == 2\n\n\ndef test_mean_of_one():\n    assert mean([4]) == 4"
    scripted.script(fenced(tests, "Two cases."), kind="chat")
    open_notebook(page, scripted_lab, "stats/mean.ipynb", [MEAN])
    command(page, "aidp:write-tests")
    expect(reviewed(page)).to_contain_text("def test_mean_of_one")
    expect(frame(page)).to_contain_text("(new file)")
    before = set(scripted_lab.root.rglob("test_*.py"))
    press(page, "Accept")
    frame(page, "applied").wait_for()
    assert len(set(scripted_lab.root.rglob("test_*.py")) - before) == 1
    press(page, "Run tests")
    verdict = frame(page).locator(".jp-AidpAction-verdict")
    expect(verdict).to_contain_text("2 passed", timeout=30_000)
    expect(verdict).to_have_attribute("data-passed", "true")
    shoot(page, "actions-tests")
    assert violations(page, FRAME) == []
    press(page, "Close (Esc)")
    assert text(page) == MEAN
    page.get_by_role("button", name="Undo").click()
    wait_until(lambda: set(scripted_lab.root.rglob("test_*.py")) == before, "the file is taken back")
    assert faults(page) == []


def test_what_is_not_saved_is_saved_before_its_tests_run(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    scripted.script(fenced("from stats import mean\n\n\ndef test_mean():\n    assert mean([1, 3]) == 2"), kind="chat")
    file = scripted_lab.root / "unsaved" / "stats.py"
    file.parent.mkdir()
    file.write_text("def mean(values):\n    return 0\n")
    open_file(page, scripted_lab, "unsaved/stats.py")
    page.locator(".jp-FileEditor .cm-line", has_text="return 0").click()
    page.keyboard.press("End")
    page.keyboard.press("Backspace")
    page.keyboard.type("sum(values) / len(values)")
    command(page, "aidp:write-tests")
    reviewed(page)
    press(page, "Accept")
    press(page, "Run tests")
    verdict = frame(page).locator(".jp-AidpAction-verdict")
    expect(verdict).to_contain_text("1 passed", timeout=30_000)
    assert "sum(values)" in file.read_text()


def test_a_function_becomes_a_module_with_the_name_that_is_given(
    scripted_lab: Server, scripted: Scripted, page: Page
) -> None:
    function = MEAN.split("\n\n\n")[0]
    scripted.script(fenced(function), kind="chat")
    open_notebook(page, scripted_lab, "module.ipynb", [MEAN])
    settle(page)
    before = document(page)["json"]
    command(page, "aidp:convert-to-module")
    name = frame(page, "instructing").get_by_role("textbox", name="New file")
    expect(name).to_be_focused()
    expect(name).to_have_value("mean.py")
    name.fill("../mean.py")
    expect(frame(page).get_by_role("button", name="Convert")).to_be_disabled()
    name.fill("lib/averages.py")
    shoot(page, "actions-module")
    page.keyboard.press("Enter")
    reviewed(page)
    module = scripted_lab.root / "lib" / "averages.py"
    assert not module.exists()
    press(page, "Accept all")
    expect(frame(page)).to_have_count(0)
    assert "def mean" in module.read_text()
    assert "averages import mean" in text(page)
    assert "def mean" not in text(page)
    page.get_by_role("button", name="Undo").click()
    wait_until(lambda: not module.parent.exists(), "the file is taken back")
    assert document(page)["json"] == before
    assert faults(page) == []


def test_words_ask_for_an_edit_of_the_selection(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    scripted.script(fenced("x = 10"), kind="chat")
    open_notebook(page, scripted_lab, "edit.ipynb", ["😀 = 0\nx = 1\ny = 2".replace("😀", "z")])
    code_cell(page, 0).locator(".cm-line", has_text="x = 1").click()
    page.keyboard.press("Home")
    page.keyboard.press("Shift+End")
    page.keyboard.press("Control+;")
    frame(page, "instructing").wait_for()
    page.keyboard.type("ten")
    assert text(page) == "z = 0\nx = 1\ny = 2"
    page.keyboard.press("Enter")
    reviewed(page)
    assert "ten" in scripted.chats[0].text
    press(page, "Accept")
    assert text(page) == "z = 0\nx = 10\ny = 2"


def test_an_action_asks_with_the_privacy_of_the_settings(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    scripted.script(fenced(TYPED), kind="chat")
    choose = "text => jupyterapp.serviceManager.settings.save('aidp-ext:actions', text)"
    asked: list[str | None] = []
    page.on(
        "request", lambda one: "/ai/actions" in one.url and asked.append(json.loads(one.post_data or "")["privacy"])
    )
    open_notebook(page, scripted_lab, "private.ipynb", [MEAN], kernel=False)
    try:
        for privacy in ("auto", "local", "redact"):
            page.evaluate(choose, json.dumps({"privacy": privacy}))
            open_notebook(page, scripted_lab, "private.ipynb", [MEAN], kernel=False)
            command(page, "aidp:optimize")
            reviewed(page)
            assert scripted.chats
    finally:
        page.evaluate(choose, "{}")
    assert asked == [None, "local", "redact"]


def test_a_poisoned_answer_is_shown_as_text_and_fetches_nothing(
    scripted_lab: Server, scripted: Scripted, page: Page
) -> None:
    poison = (
        "# Hello\n\n<script>window.poisoned = 1</script>"
        "<img src='http://evil.test/a.png' onerror='window.poisoned = 2'>\n\n"
        "![b](http://evil.test/b.png) ![c](//evil.test/c.png)\n\n"
        "[run](javascript:window.poisoned=3) [reset](/lab?reset)\n\n"
        "<style>@import url(http://evil.test/d.css);</style><iframe src='http://evil.test/e'></iframe>\n\n"
        "<div style='background:url(http://evil.test/f.png)'>styled</div>\n\n"
        "* <button data-commandlinker-command='notebook:run-all-cells'>Run all</button>\n"
        "* <a data-commandlinker-command='notebook:insert-cell-below' data-commandlinker-args='{}'>Add</a>\n"
        "* <span data-commandlinker-command='notebook:delete-cell'>Delete</span>\n\n"
        "$\\href{javascript:window.poisoned=4}{x}$ $\\style{background-image:url(http://evil.test/g.png)}{y}$\n\n"
        "```mermaid\ngraph TD; A[<img src='http://evil.test/h.png'>]-->B\n```\n\nThe end."
    )
    scripted.script(poison, kind="chat")
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    open_notebook(page, scripted_lab, "poison.ipynb", [MEAN])
    settle(page)
    before = document(page)
    on_disk = (scripted_lab.root / "poison.ipynb").read_bytes()
    command(page, "aidp:explain")
    expect(frame(page, "answered")).to_contain_text("The end.", timeout=20_000)
    expect(frame(page).get_by_role("heading", name="Hello")).to_be_visible()
    shoot(page, "actions-poison")
    answer = frame(page).locator(".jp-AidpAction-answer")
    expect(
        answer.locator("img, script, iframe, style, [onerror], [data-commandlinker-command], [data-commandlinker-args]")
    ).to_have_count(0)
    links = answer.locator("a[href]").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert links == []
    assert page.evaluate("() => window.poisoned") is None
    for words in ("Run all", "Add", "Delete"):
        answer.get_by_text(words, exact=True).click()
    assert [url for url in fetched if "evil.test" in url] == []
    assert document(page) == before
    assert not before["dirty"]
    assert (scripted_lab.root / "poison.ipynb").read_bytes() == on_disk
    assert faults(page) == []


def test_a_model_that_answers_nonsense_changes_nothing_and_says_what_to_do(
    scripted_lab: Server, scripted: Scripted, page: Page
) -> None:
    scripted.script("Sorry, I am a teapot.", kind="chat")
    open_notebook(page, scripted_lab, "nonsense.ipynb", [MEAN])
    before = document(page)
    command(page, "aidp:optimize")
    expect(frame(page, "failed").get_by_role("alert")).to_be_visible()
    shoot(page, "actions-nonsense")
    assert document(page) == before
    scripted.script(fenced(TYPED), kind="chat")
    press(page, "Try again")
    reviewed(page)


def test_a_summary_becomes_a_cell_that_undo_takes_away(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    scripted.script("# Means\n\nIt computes a mean.", kind="chat")
    notebook = open_notebook(page, scripted_lab, "summary.ipynb", [MEAN])
    command(page, "aidp:summarise-notebook")
    expect(reviewed(page)).to_contain_text("# Means")
    assert text(page) == MEAN
    settle(page)
    before = document(page)["json"]
    for undo in (page.get_by_role("button", name="Undo").click, lambda: command(page, "notebook:undo-cell-action")):
        press(page, "Accept")
        expect(notebook.locator(".jp-Cell")).to_have_count(2)
        expect(notebook.locator(".jp-MarkdownCell")).to_contain_text("It computes a mean.")
        undo()
        expect(notebook.locator(".jp-Cell")).to_have_count(1)
        assert document(page)["json"] == before
        command(page, "aidp:summarise-notebook")
        reviewed(page)


def test_a_proposal_outlives_scrolling_and_costs_an_idle_notebook_nothing(
    scripted_lab: Server, scripted: Scripted, page: Page
) -> None:
    scripted.script(fenced("x_0 = 1"), kind="chat")
    open_notebook(page, scripted_lab, "long.ipynb", [f"x_{n} = 0" for n in range(500)])
    page.evaluate(
        """() => {
            const { content } = jupyterapp.shell.currentWidget;
            content.notebookConfig = { ...content.notebookConfig, windowingMode: 'full' };
        }"""
    )
    expect(page.locator(f"{DOCUMENT} .jp-AidpAction, {DOCUMENT} .jp-AidpFix")).to_have_count(0)
    command(page, "aidp:optimize")
    reviewed(page)
    page.evaluate("() => jupyterapp.shell.currentWidget.content.scrollToItem(499, 'end')")
    expect(page.locator(f"{DOCUMENT} .jp-CodeCell").last).to_contain_text("x_499")
    page.evaluate("() => jupyterapp.shell.currentWidget.content.scrollToItem(0, 'start')")
    reviewed(page)
    press(page, "Accept")
    expect(frame(page)).to_have_count(0)
    assert text(page) == "x_0 = 1"


def test_it_fits_a_narrow_notebook(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    wide = MEAN.replace("print(", f"names = {json.dumps(['a long name'] * 12)}\nprint(")
    scripted.script(fenced(wide, "Long lines. " * 8), kind="chat")
    open_notebook(page, scripted_lab, "narrow.ipynb", [MEAN])
    command(page, "application:toggle-left-area")
    page.set_viewport_size({"width": 440, "height": 800})
    command(page, "aidp:edit", {"instruction": "more"})
    reviewed(page)
    shoot(page, "actions-narrow")
    inside = frame(page).evaluate("frame => frame.scrollWidth <= frame.clientWidth + 1")
    assert inside
    assert focused(page).startswith("Accept")
