"""A notebook that asks models: `%%ai` and the usual package, in a real browser, without a key."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Started
from tests.e2e.lab_page import RAN, code_cell, run, shoot, wait_for_lab

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CELLS = (
    "bird = 'puffin'",
    "%%ai --model auto:local\nWhat is a {bird}?",
    "from openai import OpenAI\n\n"
    "answer = OpenAI().chat.completions.create(\n"
    "    model='auto:local', max_tokens=16, messages=[{'role': 'user', 'content': 'What is a puffin?'}]\n"
    ")\n"
    "print('It says:', answer.choices[0].message.content)",
    "%%ai\nWhat is a {brid}?",
    "%%ai -m auto:local --format code --insert\nThe mean of a list",
)


@pytest.fixture
def notebook(lab: Started, page: Page) -> Page:
    """The page with a notebook of these cells open and its kernel ready."""
    path = Path(lab.folder, "work", "ask.ipynb")
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    spec = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec}), path)
    page.goto(re.sub(r"/lab[^?]*", "/lab/tree/ask.ipynb", lab.url))
    wait_for_lab(page)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    return page


def test_a_cell_asks_a_model_and_the_answer_says_who_gave_it(notebook: Page) -> None:
    code_cell(notebook, 0).locator(".cm-content").click()
    notebook.keyboard.press("Control+Enter")
    expect(code_cell(notebook, 0).locator(".jp-InputPrompt")).to_have_text(RAN)

    run(notebook, 1)
    outputs = code_cell(notebook, 1).locator(".jp-OutputArea-output")
    expect(outputs).to_have_count(2)
    expect(outputs.nth(0)).to_have_class(re.compile("jp-RenderedMarkdown"))
    assert len(outputs.nth(0).inner_text()) > 20
    expect(outputs.nth(1)).to_contain_text("tiny-coder · local · ")

    expect(run(notebook, 2)).to_contain_text(re.compile(r"It says:\s+\w+"))

    expect(run(notebook, 3)).to_contain_text("There is no variable 'brid'; nothing was sent.")
    expect(code_cell(notebook, 3).locator(".jp-OutputArea")).not_to_contain_text("Traceback")

    before = notebook.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell").count()
    run(notebook, 4)
    expect(notebook.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell")).to_have_count(before + 1)
    code_cell(notebook, 1).scroll_into_view_if_needed()
    shoot(notebook, "kernel-ai")
    assert notebook.errors == []  # type: ignore[attr-defined]
