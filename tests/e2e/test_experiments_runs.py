"""Runs in a real Lab with a real MLflow and kernel: from the cell to the curves, compared, restored, registered."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.axe import violations
from tests.e2e.conftest import window
from tests.e2e.lab_page import command, dark, open_file, open_notebook, set_width, shoot, wait_for_lab
from tests.support.jupyter import Server
from tests.support.lab import jupyter_lab
from tests.support.processes import wait_until
from tests.support.scripted import Scripted

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NOTEBOOK = "analysis.ipynb"
SETUP = "import mlflow\nimport torch\n"
#: An unmodified PyTorch loop: nothing in it knows of aidp.
LOOP = """
torch.manual_seed(0)
X = torch.linspace(-1, 1, 64).unsqueeze(1)
Y = X**2 + 0.1 * torch.randn_like(X)
net = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
optimizer = torch.optim.Adam(net.parameters(), lr={lr})
with mlflow.start_run(run_name="{name}"):
    mlflow.log_params({{"lr": {lr}, "hidden": 16}})
    for epoch in range(30):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(net(X), Y)
        loss.backward()
        optimizer.step()
        mlflow.log_metric("train/loss", loss.item(), step=epoch)
    mlflow.log_metric("final", loss.item())
print(f"final {{loss.item():.6f}}")
"""
FOREST = """
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

mlflow.sklearn.autolog(log_model_signatures=False)
with mlflow.start_run(run_name="iris"):
    LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))
    mlflow.log_text("<h1>Report</h1><script>document.title = parent.document.title</script>", "report.html")
    mlflow.log_dict({"answer": 42}, "answer.json")
    mlflow.log_table({"word": ["yes", "no"], "count": [3, 5]}, "words.json")
print("fitted")
"""
ENGLISH = "**calm-fox** is better: its `lr` is ten times as high."


@dataclass
class Desk:
    """A Lab whose notebook has run."""

    lab: Server
    runs: dict[str, str]  # ids by names
    final: str  # what the first loop printed

    def ask(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        """Call an endpoint below ``aidp/``."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.lab.url}aidp/{path}",
            data,
            {**self.lab.headers, "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)


def cells() -> list[str]:
    return [SETUP, LOOP.format(lr=0.05, name="calm-fox"), LOOP.format(lr=0.005, name="brave-elk"), FOREST]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, chrome: Browser, _scripted: Scripted) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("runs")
    with jupyter_lab(folder / "lab", {"LOCAL_OPENAI_BASE_URL": _scripted.url}) as lab:
        git = ["git", "-C", str(lab.root), "-c", "user.name=Ana", "-c", "user.email=ana@example.org"]
        subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
        (lab.root / "prep.py").write_text("a = 1\n")
        subprocess.run([*git, "add", "prep.py"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "Prepare"], check=True)
        (lab.root / "prep.py").write_text("a = 1\nb = 2\n")
        desk = Desk(lab, {}, "")
        with window(chrome) as page:
            notebook = open_notebook(page, lab, NOTEBOOK, cells())
            command(page, "notebook:run-all-cells")
            printed = notebook.locator(".jp-OutputArea-output")
            expect(printed.filter(has_text="fitted")).to_be_visible(timeout=360_000)
            first = printed.filter(has_text=re.compile(r"final [\d.]+")).first.inner_text()
            desk.final = first.split("\n")[-1] or first.split("\n")[-2]
            command(page, "docmanager:save")
            said = desk.ask("experiments")
            ids = [one["id"] for one in said["experiments"]]
            question = {"experiments": ids, "filter": "", "order_by": [], "view": "active", "offset": 0, "limit": 50}
            found = desk.ask("experiments/runs/search", {**question, "columns": []})
            desk.runs = {row["name"]: row["id"] for row in found["runs"]}
            shoot(page, "runs-notebook")
        assert set(desk.runs) >= {"calm-fox", "brave-elk", "iris"}
        yield desk


def run_tab(page: Page) -> Locator:
    """Return the tab of a run, or of a comparison, that is seen."""
    return page.locator(".jp-AidpRun:not(.lm-mod-hidden)")


def open_run(desk: Desk, page: Page, name: str) -> Locator:
    """Open the notebook, and by its badge the run that a cell of it made."""
    open_file(page, desk.lab, NOTEBOOK)
    page.locator(".jp-AidpExp-badgeButton", has_text=name).click()
    tab = run_tab(page)
    expect(tab.get_by_role("heading", name=name)).to_be_visible()
    return tab


def choose_tab(tab: Locator, name: str) -> None:
    tab.get_by_role("tab", name=re.compile(f"^{name}")).click()


def open_comparison(desk: Desk, page: Page) -> Locator:
    """Select two runs in the list and press compare."""
    open_file(page, desk.lab, NOTEBOOK)
    command(page, "aidp-experiments:open-panel")
    panel = page.locator("#aidp-experiments-panel")
    for name in ("calm-fox", "brave-elk"):
        panel.locator(".jp-AidpExp-row", has_text=name).first.click(modifiers=["ControlOrMeta"])
    panel.get_by_role("button", name="compare").click()
    tab = run_tab(page)
    expect(tab.get_by_role("heading", name="2 runs compared")).to_be_visible()
    return tab


def test_a_cell_leads_to_its_curves_and_they_lead_back(desk: Desk, page: Page) -> None:
    tab = open_run(desk, page, "calm-fox")
    expect(tab.locator(".jp-AidpRun-state")).to_contain_text("finished")
    expect(tab.locator(".jp-AidpRun-origin")).to_contain_text(re.compile(r"[0-9a-f]{7} \+ \d+ lines? uncommitted"))
    chart = tab.locator("[data-metric='train/loss']")
    expect(chart.locator("canvas")).to_be_visible()
    shoot(page, "run-curves")
    chart.locator(".u-over").hover(position={"x": 150, "y": 60})
    expect(chart.locator(".jp-AidpChart-tip")).to_contain_text("step")
    shoot(page, "run-curves-hover")
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + 60, steps=5)
    page.mouse.up()
    chart.get_by_role("button", name="Show all").wait_for()
    shoot(page, "run-curves-zoomed")
    chart.locator(".u-over").dblclick(position={"x": 100, "y": 60})
    expect(chart.get_by_role("button", name="Show all")).to_have_count(0)
    choose_tab(tab, "Parameters")
    expect(tab.get_by_role("row", name="lr")).to_contain_text("0.05")
    choose_tab(tab, "Code")
    expect(tab.locator(".cm-content").first).to_contain_text("torch.nn.Sequential")
    expect(tab.locator(".jp-AidpDiffText")).to_contain_text("+b = 2")
    shoot(page, "run-code")
    choose_tab(tab, "Environment")
    tab.get_by_label(re.compile("Search .* packages")).fill("torch")
    expect(tab.get_by_role("row", name=re.compile("^torch"))).to_be_visible()
    shoot(page, "run-environment")
    tab.get_by_role("button", name=re.compile(re.escape(NOTEBOOK))).click()
    notebook = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    expect(notebook.locator(".jp-Cell.jp-mod-active")).to_contain_text('run_name="calm-fox"')


def test_two_runs_are_compared_and_a_model_says_how_they_differ(desk: Desk, page: Page, scripted: Scripted) -> None:
    scripted.script(ENGLISH, kind="chat")
    tab = open_comparison(desk, page)
    table = tab.get_by_role("region", name="Table of differences")
    expect(table.get_by_role("row", name="lr")).to_contain_text("0.05")
    expect(table.get_by_role("row", name="hidden")).to_have_count(0)
    tab.get_by_role("button", name="only what differs").click()
    expect(table.get_by_role("row", name="hidden")).to_have_count(1)
    tab.get_by_role("button", name="only what differs").click()
    shoot(page, "compare")
    tab.locator("[data-metric='train/loss'] canvas").scroll_into_view_if_needed()
    expect(tab.locator("[data-metric='train/loss'] canvas")).to_be_visible()
    tab.locator("[data-metric='train/loss'] .u-over").hover(position={"x": 100, "y": 60})
    expect(tab.locator(".jp-AidpCompare-value").first).to_have_text(re.compile(r"\d"))
    shoot(page, "compare-curves")
    tab.locator(".jp-AidpParallel").scroll_into_view_if_needed()
    expect(tab.locator(".jp-AidpParallel-line")).to_have_count(2)
    shoot(page, "compare-parallel")
    tab.get_by_text("calm-fox").last.scroll_into_view_if_needed()
    expect(tab.locator(".jp-AidpDiffText").first).to_contain_text("lr=0.005")
    shoot(page, "compare-code")
    tab.get_by_role("button", name="Explain the difference").click()
    expect(tab.locator(".jp-AidpExplain")).to_contain_text("calm-fox is better")
    expect(tab.locator(".jp-AidpExplain strong")).to_have_text("calm-fox")
    shoot(page, "compare-explained")
    [asked] = scripted.chats
    assert "0.005" in str(asked.body["messages"]) and "numpy" not in str(asked.body["messages"])


def test_a_restored_notebook_runs_and_gives_the_same_metric(desk: Desk, page: Page) -> None:
    tab = open_run(desk, page, "calm-fox")
    tab.get_by_role("button", name="Restore code").click()
    dialog = page.locator("dialog.jp-AidpExpDialog")
    shoot(page, "run-restore")
    dialog.get_by_role("button", name="Restore", exact=True).click()
    expect(dialog).to_contain_text("The notebook is")
    shoot(page, "run-restored")
    dialog.get_by_role("button", name="Done").click()
    notebook = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    expect(notebook).to_contain_text('run_name="calm-fox"')
    assert (desk.lab.root / "analysis-calm-fox.ipynb").exists()
    page.get_by_title("Change kernel for analysis-calm-fox.ipynb").get_by_text("Idle").wait_for()
    command(page, "notebook:run-all-cells")
    printed = notebook.locator(".jp-OutputArea-output").filter(has_text=desk.final)
    expect(printed).to_be_visible(timeout=240_000)


def test_a_model_is_registered_with_an_alias_and_a_stage(desk: Desk, page: Page) -> None:
    tab = open_run(desk, page, "iris")
    tab.get_by_role("button", name="Register model").click()
    dialog = page.locator("dialog.jp-AidpExpDialog")
    dialog.get_by_label("name", exact=True).fill("iris/classifier")
    expect(dialog.get_by_role("button", name="Register", exact=True)).to_be_disabled()
    dialog.get_by_label("name", exact=True).fill("iris-classifier")
    dialog.get_by_label("alias").fill("champion")
    shoot(page, "run-register")
    dialog.get_by_role("button", name="Register", exact=True).click()
    expect(dialog).to_have_count(0, timeout=120_000)
    choose_tab(tab, "Artifacts")
    models = tab.get_by_role("region", name="Registered models")
    expect(models).to_contain_text("@champion")
    models.get_by_label(re.compile("Stage of iris-classifier")).select_option("Production")
    shoot(page, "run-registered")
    models.get_by_label(re.compile("New alias")).fill("best")
    models.get_by_role("button", name="Set").click()
    expect(models).to_contain_text("@best")
    models.get_by_role("button", name="Take the alias champion away").click()
    expect(models).not_to_contain_text("@champion")
    [model] = desk.ask("experiments/models?search=iris-classifier")["models"]
    assert model["aliases"] == {"best": "1"}
    assert model["versions"][0]["stage_tag"] == "Production"


def test_artifacts_are_seen_without_anything_of_them_reaching_lab(desk: Desk, page: Page) -> None:
    tab = open_run(desk, page, "iris")
    choose_tab(tab, "Artifacts")
    tree = tab.get_by_role("tree")
    tree.get_by_role("treeitem", name="answer.json").click()
    expect(tab.locator(".jp-AidpArtifacts-preview .cm-content")).to_contain_text("42")
    shoot(page, "run-artifacts")
    tree.get_by_role("treeitem", name="report.html").click()
    frame = tab.locator("iframe[title='report.html']")
    expect(frame).to_have_attribute("sandbox", "allow-scripts")
    page.frame_locator("iframe[title='report.html']").get_by_role("heading", name="Report").wait_for()
    assert page.frames[-1].title() != page.title()
    shoot(page, "run-artifacts-page")
    with page.expect_download() as download:
        tab.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "report.html"


def undo(page: Page, said: str) -> None:
    """Press Undo in the notification that says this; those of earlier changes may be there too."""
    page.get_by_role("alert").filter(has_text=said).get_by_role("button", name="Undo").click()


def test_what_is_changed_can_be_taken_back(desk: Desk, page: Page) -> None:
    tab = open_run(desk, page, "brave-elk")
    run = f"experiments/runs/{desk.runs['brave-elk']}"
    choose_tab(tab, "Notes")
    tab.get_by_role("button", name="Write a note").click()
    page.keyboard.type("# Slow\n\nIt *learns* <img src=x onerror=alert(1)> slowly.")
    page.keyboard.press("Control+Enter")
    expect(tab.get_by_role("heading", name="Slow")).to_be_visible()
    tab.get_by_label("Name of a new tag").fill("team")
    tab.get_by_label("Value of the new tag").fill("vision")
    page.keyboard.press("Enter")
    expect(tab.get_by_role("row", name="team")).to_contain_text("vision")
    shoot(page, "run-notes")
    tab.get_by_role("button", name="Delete team").click()
    expect(tab.get_by_role("row", name="team")).to_have_count(0)
    undo(page, "is gone")
    expect(tab.get_by_role("row", name="team")).to_contain_text("vision")
    tab.get_by_role("button", name="Rename the run").click()
    page.keyboard.type("bold-elk")
    page.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="bold-elk")).to_be_visible()
    undo(page, "Renamed to")
    expect(tab.get_by_role("heading", name="brave-elk")).to_be_visible()
    tab.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Delete the Run").click()
    expect(tab.locator(".jp-AidpRun-state")).to_contain_text("deleted")
    assert desk.ask(run)["stage"] == "deleted"
    tab.get_by_role("button", name="Take it back").click()
    expect(tab.locator(".jp-AidpRun-state")).not_to_contain_text("deleted")
    assert desk.ask(run)["stage"] == "active"


TABS = ("Curves", "Parameters", "Metrics", "Artifacts", "System", "Code", "Environment", "Notes")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_a_run_and_a_comparison(desk: Desk, page: Page, theme: str) -> None:
    tab = open_run(desk, page, "iris")
    with dark(page) if theme == "dark" else contextlib.nullcontext():
        for name in TABS:
            choose_tab(tab, name)
            expect(tab.locator(".jp-AidpPanel-loading")).to_have_count(0)
            assert violations(page, ".jp-AidpRun:not(.lm-mod-hidden)") == [], name
            shoot(page, f"run-{name.lower()}-{theme}")
        for button in ("Restore code", "Register model"):
            tab.get_by_role("button", name=button).click()
            assert violations(page, "dialog.jp-AidpExpDialog") == []
            shoot(page, f"run-{button.split()[0].lower()}-{theme}")
            page.keyboard.press("Escape")
        tab = open_comparison(desk, page)
        tab.get_by_role("region", name="Table of differences").wait_for()
        assert violations(page, ".jp-AidpCompare:not(.lm-mod-hidden)") == []
        shoot(page, f"compare-{theme}")


def test_a_run_is_read_with_the_keyboard(desk: Desk, page: Page) -> None:
    tab = open_run(desk, page, "calm-fox")
    tab.get_by_role("tab", name=re.compile("^Curves")).focus()
    page.keyboard.press("ArrowRight")
    expect(tab.get_by_role("tab", name=re.compile("^Parameters"))).to_be_focused()
    expect(tab.get_by_role("row", name="lr")).to_be_visible()
    page.keyboard.press("Home")
    chart = tab.locator("[data-metric='train/loss'] .jp-AidpChart")
    chart.locator("canvas").wait_for()
    chart.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(chart.locator(".jp-AidpChart-tip")).to_contain_text("step 1")
    expect(chart.locator("[aria-live]")).to_contain_text("step 1")
    page.keyboard.press("+")
    tab.locator("[data-metric='train/loss']").get_by_role("button", name="Show all").wait_for()
    page.keyboard.press("0")
    expect(tab.get_by_role("button", name="Show all")).to_have_count(0)
    tab.locator("[data-metric='train/loss']").get_by_role("button", name="table").press("Enter")
    expect(tab.get_by_role("region", name="Values of train/loss")).to_contain_text("29")
    choose_tab(tab, "Artifacts")
    expect(tab.get_by_role("treeitem").first).to_be_visible()


def test_nothing_is_beyond_the_edge_of_a_narrow_tab(desk: Desk, page: Page) -> None:
    tab = open_run(desk, page, "iris")
    command(page, "aidp-experiments:open-panel")
    for width, left in ((1280, 250), (640, 250)):
        page.set_viewport_size({"width": width, "height": 800})
        set_width(page, left)
        for name in TABS:
            choose_tab(tab, name)
            beyond = tab.evaluate("one => one.scrollWidth - one.clientWidth")
            shoot(page, f"run-{name.lower()}-{width}")
            assert beyond <= 1, (name, width)


def layout(desk: Desk) -> str:
    """Return what Lab has kept of where its tabs are."""
    request = urllib.request.Request(f"{desk.lab.url}lab/api/workspaces/default", headers=desk.lab.headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.dumps(json.load(response)["data"]["layout-restorer:data"]["main"])


def test_tabs_come_back_when_lab_is_loaded_again(desk: Desk, page: Page) -> None:
    open_comparison(desk, page)
    command(page, "aidp-experiments:open-tab")
    command(page, "aidp-experiments:open-run", {"runs": [desk.runs["iris"]]})
    expect(run_tab(page).get_by_role("heading", name="iris")).to_be_visible()
    labels = page.locator("#jp-main-dock-panel .lm-TabBar-tabLabel")
    before = labels.all_inner_texts()
    assert [one for one in before if "iris" in one or "Compare 2 runs" in one or one == "Experiments"] == before[-3:]
    kinds = ("open-run:", "compare:", "open-tab:")
    wait_until(lambda: all(f"aidp-experiments-{kind}" in layout(desk) for kind in kinds), "Lab has kept its tabs")
    page.reload()
    wait_for_lab(page)
    expect(labels).to_have_text(before)
    expect(run_tab(page).get_by_role("heading", name="iris")).to_be_visible()
    page.locator("#jp-main-dock-panel .lm-TabBar-tab", has_text="Compare 2 runs").click()
    expect(run_tab(page).get_by_role("heading", name="2 runs compared")).to_be_visible()


def test_a_run_that_is_not_there_is_said_so(desk: Desk, page: Page) -> None:
    open_file(page, desk.lab, NOTEBOOK)
    command(page, "aidp-experiments:open-run", {"runs": ["0" * 32]})
    tab = run_tab(page)
    expect(tab.get_by_role("alert")).to_be_visible()
    expect(tab.get_by_role("button", name="Try again")).to_be_visible()
    shoot(page, "run-missing")
