"""What a person does in Lab, as steps."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import SHOTS
from tests.support.jupyter import Server
from tests.support.lab import Cell, write_notebook
from tests.support.processes import wait_until

GHOST = ".jp-GhostText[data-provided-by='aidp-ext:inline']:not(.jp-GhostText-hiding)"
STATUS = ".jp-AidpStatus"
RAN = re.compile(r"\[\d+\]:")


def shoot(page: Page, name: str) -> None:
    """Keep a screenshot for whoever looks at it."""
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def wait_for_lab(page: Page) -> None:
    """Wait until Lab is there, and has opened what its address names.

    The splash screen comes and goes before anything can be used. The document of the address is opened after that, and
    takes the keyboard from whatever has it: what a test had begun to write would go on elsewhere.
    """
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    page.wait_for_selector("#jp-main-dock-panel")
    page.wait_for_selector(".jp-FileBrowser.jp-mod-restoring", state="detached")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


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


def open_file(page: Page, lab: Server, path: str) -> None:
    """Open a file of the lab's folder by its address, in a page without what was open before."""
    page.goto(f"{lab.url}lab/tree/{path}?reset&token={lab.token}")
    wait_for_lab(page)


def open_notebook(page: Page, lab: Server, name: str, cells: Sequence[Cell], *, kernel: bool = True) -> Locator:
    """Write a notebook, open it by its address, wait for its kernel unless told not to, and return the notebook."""
    write_notebook(lab.root / name, cells)
    open_file(page, lab, name)
    notebook = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    notebook.locator(".jp-Cell").first.wait_for()
    if kernel:
        # Before that, running a cell would make Lab ask for a kernel.
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    return notebook


def new_notebook(page: Page) -> None:
    """Make one by the launcher, in a Lab that shows it, and wait for its kernel."""
    page.locator(".jp-LauncherCard[data-category='Notebook']", has_text="Python 3").first.click()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()


def command(page: Page, name: str, args: dict[str, Any] | None = None) -> None:
    """Execute one of Lab's commands and wait for its end."""
    page.evaluate("async ([name, args]) => { await jupyterapp.commands.execute(name, args); }", [name, args or {}])


@contextmanager
def dark(page: Page) -> Iterator[None]:
    """Show Lab in its dark theme while the block runs."""
    _theme(page, "JupyterLab Dark")
    try:
        yield
    finally:
        _theme(page, "JupyterLab Light")  # the choice is kept on the server, for all who come later


def _theme(page: Page, name: str) -> None:
    command(page, "apputils:change-theme", {"theme": name})
    page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)
    page.locator("#jupyterlab-splash").wait_for(state="detached")  # it covers the page while the theme loads


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

    return wait_until(saved, "the notebook is on the disk")


def set_width(page: Page, width: int) -> None:
    """Drag the edge of the left side, so that it becomes so wide; Lab's own least width is 250."""
    stack = page.locator("#jp-left-stack").bounding_box()
    assert stack is not None
    edge, middle = stack["x"] + stack["width"] + 2, stack["y"] + stack["height"] / 2
    page.mouse.move(edge, middle)
    page.mouse.down()
    page.mouse.move(stack["x"] + width + 2, middle, steps=4)
    page.mouse.up()
