"""Suggestions while typing: what the model is told, what of its answer is used, and what it costs. Real Lab."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Request, Response, expect

from tests.e2e.lab_page import (
    GHOST,
    STATUS,
    code_cell,
    command,
    ghost,
    open_file,
    open_notebook,
    run,
    save,
    shoot,
    source,
)
from tests.support.jupyter import Server
from tests.support.processes import wait_until
from tests.support.scripted import Asked, Scripted

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NEXT, WORD, LINE, ALL = "Alt+]", "Control+ArrowRight", "Control+Shift+ArrowRight", "Alt+End"
CONTEXT = "/aidp/ai/context"
ALONG = "penguins.groupby('species')[['bill_length_mm', 'body_mass_g']].agg(['mean', 'std'])"
# Neither the column's name nor its value stands in the code: they can only come from the kernel.
FRAME = "import pandas as pd\nanimals = pd.DataFrame({'zeb' + 'ra_height': ['okap' + 'i_value'] * 3})"


@pytest.fixture
def settings(scripted_lab: Server) -> Iterator[Callable[..., None]]:
    """Set what the user can set of suggestions, before Lab is opened; the defaults come back."""

    def put(**values: Any) -> None:
        url = f"{scripted_lab.url}lab/api/settings/aidp-ext:ai"
        body = json.dumps({"raw": json.dumps(values)}).encode()
        headers = {**scripted_lab.headers, "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method="PUT"), timeout=30) as answer:
            assert answer.status == 204

    yield put
    put()


@pytest.fixture
def notebook(scripted_lab: Server, scripted: Scripted, page: Page) -> Iterator[Page]:
    """A notebook with an import and an empty cell, the cursor in the latter."""
    open_notebook(page, scripted_lab, "small.ipynb", ["import pandas as pd", ""])
    expect(page.locator(STATUS)).to_have_attribute("data-state", "local")
    code_cell(page, 1).locator(".cm-content").click()
    yield page
    assert page.errors == []  # type: ignore[attr-defined]


def shown(page: Page) -> str:
    """The text of the suggestion that is shown."""
    return "".join(ghost(page).all_inner_texts())


def appears(page: Page) -> None:
    """Wait until a suggestion is shown; Lab paints one of several lines in two parts."""
    ghost(page).first.wait_for()


def expect_ghost(page: Page, text: str) -> None:
    page.wait_for_function(
        "([s, t]) => [...document.querySelectorAll(s)].map(one => one.innerText).join('') === t", arg=[GHOST, text]
    )


def last(model: Scripted) -> Asked:
    """The last question for a suggestion, once there is one and its answer is whole."""
    return wait_until(lambda: next((a for a in reversed(model.completions) if a.ended_at), None), "it is answered")


def test_the_model_is_told_the_cells_that_matter_and_the_user_sees_which(
    scripted_lab: Server, scripted: Scripted, page: Page
) -> None:
    filler = [f"filler_{n} = [{n}] * 100  # " + "nothing of interest " * 5 for n in range(60)]
    mean_age = "def mean_age(people):\n    return sum(person.age for person in people) / len(people)"
    open_notebook(page, scripted_lab, "long.ipynb", ["import polars as pl", mean_age, *filler, ""])
    chosen: list[Response] = []
    page.on("response", lambda one: chosen.append(one) if CONTEXT in one.url else None)
    code_cell(page, 62).locator(".cm-content").click()
    page.keyboard.type("average = mean_age")
    wait_until(lambda: page.wait_for_timeout(50) or any("def mean_age" in r.json()["text"] for r in chosen), "chosen")
    page.keyboard.type("(")
    appears(page)
    told = wait_until(lambda: next((a for a in scripted.completions if a.text.endswith("mean_age(")), None), "asked")
    assert mean_age in told.text
    assert "import polars as pl" in told.text
    assert len(told.text) < 6_000, "not the whole notebook"
    page.locator(STATUS).click()
    expect(page.locator(".jp-AidpStatus-popup")).to_contain_text("cells")
    shoot(page, "completion-told")


def test_typing_sixty_characters_along_a_suggestion_asks_nothing(notebook: Page, scripted: Scripted) -> None:
    scripted.script(ALONG, when="means =$", kind="completion")
    notebook.keyboard.type("means = ")
    expect_ghost(notebook, ALONG)
    last(scripted)
    sent: list[Request] = []
    notebook.on("request", lambda one: sent.append(one))
    before = len(scripted.asked)
    for at, key in enumerate(ALONG[:60], start=1):
        notebook.keyboard.type(key)
        expect_ghost(notebook, ALONG[at:])
    assert len(scripted.asked) == before
    assert [one.url for one in sent if "/aidp/ai/v1" in one.url] == []
    assert source(notebook, 1) == f"means = {ALONG[:60]}"


def test_another_key_ends_the_stale_question_at_the_model(notebook: Page, scripted: Scripted) -> None:
    scripted.script("sum(values) + len(values)", when="total =$", kind="completion", hold_after=1)
    notebook.keyboard.type("total = ")
    appears(notebook)
    asked = scripted.completions[-1]
    assert asked.disconnected_at is None
    notebook.keyboard.type("8")
    wait_until(lambda: asked.disconnected_at, "the model is told to stop")
    assert source(notebook, 1) == "total = 8"


def test_a_word_a_line_and_all_of_it_are_taken(notebook: Page, scripted: Scripted) -> None:
    scripted.script("one_word(1)\nsecond = 2\nthird = 3", when="first =$", kind="completion")
    notebook.keyboard.type("first = ")
    expect(ghost(notebook)).to_contain_text("one_word(1)")
    notebook.keyboard.press(WORD)
    assert source(notebook, 1) == "first = one_word"
    expect(ghost(notebook)).to_contain_text("(1)")
    notebook.keyboard.press(LINE)
    assert source(notebook, 1) == "first = one_word(1)"
    expect(ghost(notebook)).to_contain_text("second = 2")
    shoot(notebook, "completion-line")
    notebook.keyboard.press(ALL)
    assert source(notebook, 1) == "first = one_word(1)\nsecond = 2\nthird = 3"
    expect(ghost(notebook).filter(has_text="third")).to_have_count(0)  # the next suggestion may be there by now


def test_next_gives_another_suggestion(notebook: Page, scripted: Scripted) -> None:
    scripted.script(["sum(values)", "len(values)", "max(values)"], when="result =$", kind="completion")
    notebook.keyboard.type("result = ")
    expect_ghost(notebook, "sum(values)")
    notebook.keyboard.press(NEXT)
    expect_ghost(notebook, "len(values)")
    wait_until(lambda: len([a for a in scripted.completions if a.ended_at]) >= 3, "the third was answered")

    def third() -> bool:
        notebook.keyboard.press(NEXT)  # goes round among those that have come
        return shown(notebook) == "max(values)"

    wait_until(third, "the third is shown")
    notebook.keyboard.press(ALL)
    assert source(notebook, 1) == "result = max(values)"


def test_one_line_within_a_line_and_several_where_a_block_begins(notebook: Page, scripted: Scripted) -> None:
    scripted.script("'species').mean()\nplot()", when=r"groupby\($", kind="completion")
    notebook.keyboard.type("print(penguins.groupby)")
    notebook.keyboard.press("ArrowLeft")
    notebook.keyboard.type("(")
    appears(notebook)
    assert "plot" not in shown(notebook)
    assert "\n" in last(scripted).body["stop"]
    notebook.keyboard.press("Escape")
    notebook.keyboard.press("Control+a")
    notebook.keyboard.press("Delete")

    scripted.script("    low = min(values)\n    return low, max(values)", when=r"\):\n *$", kind="completion")
    notebook.keyboard.type("def extent(values):\n")
    expect(ghost(notebook)).to_contain_text("return low, max(values)")
    shoot(notebook, "completion-block")
    notebook.keyboard.press(ALL)
    assert source(notebook, 1) == "def extent(values):\n    low = min(values)\n    return low, max(values)"


def test_what_is_no_code_or_there_already_is_left_out(notebook: Page, scripted: Scripted) -> None:
    said = "Here is the code:\n```python\nprint(x)\n```\nHope this helps!"
    scripted.script(said, when="x = 1\n$", kind="completion")
    notebook.keyboard.type("# show it\nx = 1\n")
    notebook.keyboard.press("Alt+\\")
    expect_ghost(notebook, "print(x)")


def test_a_file_and_a_console_have_suggestions(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    scripted.script("mean(values)", when=r"x =$", kind="completion")
    (scripted_lab.root / "prep.py").write_text("def mean(values):\n    return sum(values) / len(values)\n\n\n")
    open_file(page, scripted_lab, "prep.py")
    expect(page.locator(STATUS)).to_have_attribute("data-state", "local")
    page.locator(".jp-FileEditor .cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type("x = ")
    expect_ghost(page, "mean(values)")
    assert "def mean(values)" in last(scripted).text
    shoot(page, "completion-file")
    page.keyboard.press(ALL)
    expect(page.locator(".jp-FileEditor .cm-content")).to_contain_text("x = mean(values)")
    page.keyboard.press("Control+z")

    page.evaluate("() => { jupyterapp.commands.execute('console:create', { kernelPreference: { name: 'python3' } }); }")
    prompt = page.locator(".jp-CodeConsole-promptCell .cm-content")
    prompt.wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    prompt.click()
    page.keyboard.type("y = 41")
    page.keyboard.press("Shift+Enter")
    page.locator(".jp-CodeConsole-content .jp-CodeCell").first.wait_for()
    page.keyboard.type("x = ")
    expect_ghost(page, "mean(values)")
    assert "y = 41" in last(scripted).text
    shoot(page, "completion-console")


def test_a_notebook_that_is_turned_off_stays_off(notebook: Page, scripted_lab: Server, scripted: Scripted) -> None:
    file = scripted_lab.root / "small.ipynb"
    command(notebook, "aidp:toggle-completion-here")
    code_cell(notebook, 1).locator(".cm-content").click()
    assert save(notebook, file)["metadata"]["aidp"] == {"completion": False}
    notebook.reload()
    notebook.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    expect(notebook.locator(STATUS)).to_have_attribute("data-state", "local")
    cell = code_cell(notebook, 1).locator(".cm-content")
    cell.click()
    scripted.forget()
    notebook.keyboard.type("first = ")
    # Who asks gets a suggestion all the same: it comes after what the keys would have asked for.
    notebook.keyboard.press("Alt+\\")
    appears(notebook)
    assert len(scripted.completions) == 1
    notebook.keyboard.press("Escape")
    command(notebook, "aidp:toggle-completion-here")
    cell.click()
    notebook.keyboard.press("End")
    notebook.keyboard.type("second.")
    appears(notebook)
    assert "aidp" not in save(notebook, file)["metadata"]


@pytest.mark.parametrize(
    ("allowed", "has_schema", "has_values"), [("off", False, False), ("schema", True, False), ("values", True, True)]
)
def test_of_the_kernel_only_what_is_allowed_is_told(
    settings: Callable[..., None],
    scripted_lab: Server,
    scripted: Scripted,
    page: Page,
    allowed: str,
    has_schema: bool,
    has_values: bool,
) -> None:
    settings(kernelContext=allowed)
    open_notebook(page, scripted_lab, f"kernel-{allowed}.ipynb", [f"{FRAME}\nprint('made')", "print('second')", ""])
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.post_data or "") if CONTEXT in one.url else None)
    run(page, 0)
    # Coming to a cell has the context chosen; with the kernel's variables once they are known.
    code_cell(page, 2).locator(".cm-content").click()

    def is_told() -> bool:
        page.wait_for_timeout(50)
        return any('"variables"' in one for one in asked) if has_schema else bool(asked)

    wait_until(is_told, "the context is chosen")
    page.keyboard.type("tall = animals.")
    appears(page)
    if has_schema:
        wait_until(lambda: "zebra_height" in _ask_more(page, scripted).text, "the model is told the columns")
    everything = json.dumps([one.body for one in scripted.asked]) + "".join(asked)
    assert ("zebra_height" in everything) == has_schema
    assert ("okapi_value" in everything) == has_values
    # The kernel's counter is the user's.
    run(page, 1)
    expect(code_cell(page, 1).locator(".jp-InputPrompt")).to_have_text("[2]:")


def _ask_more(page: Page, model: Scripted) -> Asked:
    """Type one key more, and return what the model was told then."""
    model.forget()
    page.keyboard.type("z.")
    return last(model)


def test_a_busy_kernel_is_not_waited_for(
    settings: Callable[..., None], scripted_lab: Server, scripted: Scripted, page: Page
) -> None:
    settings(kernelContext="schema")
    scripted.script("animals.max()", when="most =$", kind="completion")
    wait = "print('begun')\nimport time\nwhile True:\n    time.sleep(0.1)"
    open_notebook(page, scripted_lab, "busy.ipynb", [wait, ""])
    code_cell(page, 0).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    expect(code_cell(page, 0).locator(".jp-OutputArea-output").first).to_contain_text("begun")
    code_cell(page, 1).locator(".cm-content").click()
    page.keyboard.type("most = ")
    expect_ghost(page, "animals.max()")
    page.get_by_text("Python 3 (ipykernel) | Busy").wait_for()
    command(page, "notebook:interrupt-kernel")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()


def test_a_model_that_does_not_answer_holds_up_no_key(notebook: Page, scripted: Scripted) -> None:
    scripted.script("never seen", kind="completion", hold=True)
    notebook.keyboard.type("a = 1")
    wait_until(lambda: scripted.completions, "the model was asked")
    text = " + ".join(str(number) for number in range(40))
    notebook.keyboard.type(text)
    assert source(notebook, 1) == f"a = 1{text}"
    expect(ghost(notebook)).to_have_count(0)
    scripted.release()
    notebook.keyboard.type("\nb = 2")
    assert source(notebook, 1) == f"a = 1{text}\nb = 2"
