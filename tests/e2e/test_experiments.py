"""The Experiments panel in a real Lab with a real MLflow and a real kernel: what is seen, what clicks and keys do."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.axe import violations
from tests.e2e.lab_page import (
    code_cell,
    command,
    dark,
    open_file,
    open_notebook,
    set_width,
    shoot,
    wait_for_lab,
)
from tests.support.jupyter import Server
from tests.support.lab import jupyter_lab

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

PANEL = "#aidp-experiments-panel"
#: The first run of a server waits until MLflow is up.
SLOW = 240_000

TORCH = """\
import time
import mlflow, torch
mlflow.set_experiment("lines")
torch.manual_seed(0)
x = torch.linspace(-1, 1, 64).unsqueeze(1)
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with mlflow.start_run(run_name="torch-line"):
    mlflow.log_param("lr", 0.1)
    for epoch in range(30):
        loss = torch.nn.functional.mse_loss(model(x), 2 * x + 0.5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        mlflow.log_metric("loss", loss.item(), step=epoch)
        time.sleep(0.2)
"""
SKLEARN = """\
import mlflow
mlflow.set_experiment("lines")
mlflow.sklearn.autolog(log_models=False)
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
LogisticRegression(max_iter=200).fit(*load_iris(return_X_y=True))
"""
DIVERGES = """\
import mlflow
mlflow.set_experiment("lines")
with mlflow.start_run(run_name="odd-newt"):
    mlflow.log_metric("loss", float("nan"))
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    expect.set_options(timeout=30_000)  # MLflow takes a processor for itself while it starts
    with jupyter_lab(tmp_path_factory.mktemp("experiments") / "lab", {}) as lab:
        yield lab
    expect.set_options(timeout=5_000)


def open_panel(page: Page) -> Locator:
    command(page, "aidp-experiments:open-panel")
    panel = page.locator(PANEL)
    panel.wait_for()
    return panel


def rows(panel: Locator) -> Locator:
    return panel.locator(".jp-AidpExp-row[data-run]")


def start(page: Page, number: int) -> None:
    """Run a cell without waiting for its end."""
    code_cell(page, number).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")


def test_an_empty_list_says_what_would_be_there_and_makes_a_notebook(study: Server, page: Page) -> None:
    page.goto(f"{study.url}lab?reset&token={study.token}")
    wait_for_lab(page)
    panel = open_panel(page)
    expect(panel).to_contain_text("Runs appear here when a notebook logs one")
    shoot(page, "experiments-empty")
    assert violations(page, PANEL) == []
    panel.get_by_role("button", name="New experiment notebook").click()
    notebook = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    expect(notebook).to_contain_text("mlflow")


def test_runs_of_torch_and_scikit_learn_appear_live_with_curve_and_badge(study: Server, page: Page) -> None:
    open_notebook(page, study, "lines.ipynb", [TORCH, SKLEARN, DIVERGES, "1 + 1"])
    panel = open_panel(page)
    start(page, 0)
    torch = rows(panel).filter(has_text="torch-line")
    expect(torch.get_by_role("img", name="running")).to_have_count(1, timeout=SLOW)
    badge = code_cell(page, 0).locator(".jp-AidpExp-badge")
    expect(badge).to_contain_text("running")
    expect(torch.locator(".jp-AidpExp-number").first).to_have_text(re.compile(r"^\d"))
    shoot(page, "experiments-running")
    # each second it is another time, each moment another loss: no reload, no press
    before = torch.inner_text()
    expect(torch).not_to_have_text(before, use_inner_text=True)
    expect(torch.get_by_role("img", name="finished")).to_have_count(1, timeout=60_000)
    expect(torch.locator(".jp-AidpExp-spark path")).to_have_count(1)
    expect(badge).to_contain_text("finished")
    expect(badge).to_contain_text("loss")
    start(page, 1)
    expect(rows(panel)).to_have_count(2, timeout=60_000)
    expect(code_cell(page, 1).locator(".jp-AidpExp-badge")).to_contain_text("finished", timeout=60_000)
    start(page, 2)
    newt = rows(panel).filter(has_text="odd-newt")
    expect(newt.get_by_role("img", name="diverged")).to_have_count(1, timeout=60_000)
    expect(newt).to_contain_text("NaN")
    expect(code_cell(page, 2).locator(".jp-AidpExp-badge")).to_contain_text("diverged")
    # a cell that made none bears none
    expect(code_cell(page, 3).locator(".jp-AidpExp-badge")).to_have_count(0)
    shoot(page, "experiments-three")
    with dark(page):
        shoot(page, "experiments-three-dark")
    # once more: the badge counts, and leads to all runs of the cell
    start(page, 2)
    expect(code_cell(page, 2).locator(".jp-AidpExp-badge")).to_contain_text("2 runs", timeout=60_000)
    code_cell(page, 2).locator(".jp-AidpExp-badge button").click()
    expect(rows(panel)).to_have_count(2)
    panel.get_by_role("button", name="one cell").click()
    expect(rows(panel)).to_have_count(4)
    # of one run it leads to the run itself
    code_cell(page, 0).locator(".jp-AidpExp-badge button").click()
    expect(page.locator(".jp-AidpRun:not(.lm-mod-hidden)")).to_contain_text("torch-line")


@pytest.fixture
def panel(study: Server, page: Page) -> Locator:
    """The list with the runs of the test above."""
    open_file(page, study, "lines.ipynb")
    panel = open_panel(page)
    expect(rows(panel).first).to_be_visible()
    return panel


def test_one_jumps_to_the_cell_of_a_run(panel: Locator, page: Page) -> None:
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    run = rows(panel).filter(has_text="torch-line").get_attribute("data-run")
    command(page, "notebook:move-cursor-down")
    command(page, "aidp-experiments:jump", {"runs": [run]})
    expect(code_cell(page, 0)).to_have_class(re.compile("jp-mod-active"))
    expect(code_cell(page, 0)).to_have_class(re.compile("jp-AidpExp-flash"))
    expect(code_cell(page, 0)).not_to_have_class(re.compile("jp-AidpExp-flash"))
    # the badge is found again in a notebook that is opened anew, renamed or not
    expect(code_cell(page, 0).locator(".jp-AidpExp-badge")).to_contain_text("finished")


def test_a_filter_is_completed_and_its_faults_are_shown_where_they_are(panel: Locator, page: Page) -> None:
    field = panel.get_by_role("combobox", name="Filter")
    field.click()
    field.press_sequentially("los")
    proposal = panel.get_by_role("option").filter(has_text="metrics.loss")
    expect(proposal.first).to_be_visible()
    shoot(page, "experiments-completion")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(field).to_have_value("metrics.loss ")
    field.press_sequentially("< 1000")
    page.keyboard.press("Enter")
    expect(rows(panel)).to_have_count(1)
    field.fill("metrics.loss >> 3")
    page.keyboard.press("Enter")
    expect(panel.get_by_role("alert")).to_be_visible()
    expect(panel.locator(".jp-AidpExp-where mark")).to_contain_text(">")
    expect(field).to_have_attribute("aria-invalid", "true")
    shoot(page, "experiments-filter-fault")
    assert violations(page, PANEL) == []
    field.fill("newt")
    page.keyboard.press("Enter")
    expect(rows(panel)).to_have_count(2)
    field.fill("nobody")
    page.keyboard.press("Enter")
    expect(panel).to_contain_text("No run is like that.")
    panel.locator(".jp-AidpPanel-message").get_by_role("button", name="Clear the filter").click()
    expect(rows(panel)).to_have_count(4)
    panel.get_by_role("button", name="Only diverged").click()
    expect(rows(panel)).to_have_count(2)
    panel.get_by_role("button", name="Only diverged").click()


def test_columns_and_order_are_there_again_after_a_reload(panel: Locator, study: Server, page: Page) -> None:
    panel.get_by_role("button", name="columns").click()
    chooser = panel.get_by_role("dialog", name="Columns")
    chooser.get_by_role("searchbox").fill("lr")
    chooser.get_by_role("checkbox", name="lr").check()
    shoot(page, "experiments-columns")
    assert violations(page, PANEL) == []
    page.keyboard.press("Escape")
    expect(chooser).to_have_count(0)
    expect(panel.get_by_role("columnheader", name="lr")).to_have_count(1)
    panel.get_by_role("columnheader", name="loss").first.get_by_role("button").click()
    expect(panel.locator("[aria-sort=descending]")).to_contain_text("loss")
    page.wait_for_timeout(1_000)  # it is written when one has come to rest
    page.goto(f"{study.url}lab?token={study.token}")
    wait_for_lab(page)
    panel = open_panel(page)
    expect(panel.get_by_role("columnheader", name="lr")).to_have_count(1)
    expect(panel.locator("[aria-sort=descending]")).to_contain_text("loss")


def test_all_of_it_goes_by_keyboard(panel: Locator, page: Page) -> None:
    grid = panel.get_by_role("grid")
    page.keyboard.press("Control+Alt+e")
    page.keyboard.press("e")
    expect(grid).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(panel.locator("[aria-selected=true]")).to_have_count(1)
    page.keyboard.press("Shift+ArrowDown")
    expect(panel.locator("[aria-selected=true]")).to_have_count(2)
    expect(panel.get_by_role("button", name="compare")).to_be_enabled()
    shoot(page, "experiments-selected")
    page.keyboard.press("Escape")
    expect(panel.locator("[aria-selected=true]")).to_have_count(0)
    page.keyboard.press("/")
    expect(panel.get_by_role("combobox", name="Filter")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(panel.get_by_role("combobox", name="Find an experiment")).to_be_focused()
    page.keyboard.press("Escape")
    expect(panel.locator(".jp-AidpExp-choose")).to_be_focused()
    command(page, "aidp-experiments:open-panel")
    grid.focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.locator(".jp-AidpRun").wait_for()


def test_runs_are_hidden_deleted_and_come_back(panel: Locator, page: Page) -> None:
    newt = rows(panel).filter(has_text="odd-newt").first
    newt.click(modifiers=["Control"])
    command(page, "aidp-experiments:hide-runs")
    expect(rows(panel)).to_have_count(3)
    panel.get_by_role("button", name="1 hidden").click()
    expect(rows(panel)).to_have_count(4)
    rows(panel).filter(has_text="odd-newt").first.click(modifiers=["Control"])
    command(page, "aidp-experiments:show-runs")
    rows(panel).filter(has_text="odd-newt").first.click(modifiers=["Control"])
    page.evaluate("() => { jupyterapp.commands.execute('aidp-experiments:delete-runs'); }")
    page.locator(".jp-Dialog").get_by_role("button", name="Delete").click()
    expect(rows(panel)).to_have_count(3, timeout=60_000)
    command(page, "aidp-experiments:show-deleted-runs")
    expect(rows(panel)).to_have_count(1)
    rows(panel).first.click(modifiers=["Control"])
    panel.get_by_role("button", name="restore").click()
    expect(panel).to_contain_text("No deleted run")
    panel.get_by_role("button", name="Show the others").click()
    expect(rows(panel)).to_have_count(4)


def test_experiments_are_made_renamed_and_deleted(panel: Locator, page: Page) -> None:
    def answer(name: str | None, button: str) -> None:
        dialog = page.locator(".jp-Dialog")
        if name is not None:
            dialog.locator("input").fill(name)
        dialog.get_by_role("button", name=button).click()

    page.evaluate("() => { jupyterapp.commands.execute('aidp-experiments:new-experiment'); }")
    answer("second try", "Create")
    expect(panel.locator(".jp-AidpExp-choose")).to_contain_text("second try", timeout=60_000)
    expect(panel).to_contain_text("Runs appear here")
    page.evaluate("() => { jupyterapp.commands.execute('aidp-experiments:rename-experiment'); }")
    answer("third try", "Rename")
    expect(panel.locator(".jp-AidpExp-choose")).to_contain_text("third try")
    page.evaluate("() => { jupyterapp.commands.execute('aidp-experiments:delete-experiment'); }")
    answer(None, "Delete")
    expect(panel.locator(".jp-AidpExp-choose")).to_contain_text("lines")


def test_mlflows_own_pages_open_inside_lab(panel: Locator, page: Page) -> None:
    command(page, "aidp-experiments:open-mlflow")
    frame = page.frame_locator("#aidp-mlflow iframe")
    expect(frame.get_by_text("lines").first).to_be_visible(timeout=120_000)
    shoot(page, "experiments-mlflow")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_the_panel_the_tab_and_the_badges(panel: Locator, page: Page, theme: str) -> None:
    with dark(page) if theme == "dark" else contextlib.nullcontext():
        rows(panel).first.click(modifiers=["Control"])
        assert violations(page, PANEL) == []
        panel.locator(".jp-AidpExp-choose").click()
        assert violations(page, PANEL) == []
        shoot(page, f"experiments-chooser-{theme}")
        page.keyboard.press("Escape")
        command(page, "aidp-experiments:open-tab")
        tab = page.locator("#aidp-experiments-panel-tab")
        rows(tab).first.wait_for()
        assert violations(page, "#aidp-experiments-panel-tab") == []
        shoot(page, f"experiments-tab-{theme}")


def test_a_narrow_panel_holds_all_of_it(panel: Locator, page: Page) -> None:
    for width in (235, 320, 600):
        set_width(page, width)
        # the list itself is moved sideways; nothing else is cut off
        beyond = panel.evaluate(
            "one => [...one.querySelectorAll('*')].filter(e => e.clientWidth && !e.closest('.jp-AidpExp-grid') &&"
            " e.getBoundingClientRect().right > one.getBoundingClientRect().right + 1 &&"
            " getComputedStyle(e).position !== 'absolute').length"
        )
        shoot(page, f"experiments-narrow-{width}")
        assert beyond == 0


def test_one_is_told_when_the_cell_is_gone_and_shown_what_it_was(panel: Locator, page: Page) -> None:
    run = rows(panel).filter(has_text="torch-line").get_attribute("data-run")
    page.evaluate(
        "async path => { await jupyterapp.serviceManager.contents.delete(path); }",
        "lines.ipynb",
    )
    page.evaluate("run => { jupyterapp.commands.execute('aidp-experiments:jump', {runs: [run]}); }", run)
    dialog = page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("was moved or deleted")
    expect(dialog).to_contain_text("torch.nn.Linear(1, 1)")
    dialog.get_by_role("button", name="Close").click()
