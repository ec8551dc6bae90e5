"""What a person does with actions on cells and files, as steps."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page

DOCUMENT = ".jp-MainAreaWidget:not(.lm-mod-hidden)"
FRAME = f"{DOCUMENT} .jp-AidpAction-frame"
DIFF = f"{FRAME} .jp-AidpAction-diff .cm-content"


def frame(page: Page, phase: str = "") -> Locator:
    """Return what is shown of an action, in one phase if that is given."""
    return page.locator(f"{FRAME}[data-phase='{phase}']" if phase else FRAME)


def press(page: Page, name: str) -> None:
    """Press a button of the action."""
    frame(page).get_by_role("button", name=name, exact=True).click(timeout=10_000)


def reviewed(page: Page) -> Locator:
    """Wait until a proposal is shown and return its text, signs and all."""
    frame(page, "reviewing").wait_for()
    diff = page.locator(DIFF)
    diff.wait_for()
    return diff


def steps(page: Page) -> str:
    """Return which change is looked at, such as ``1 of 2``."""
    return frame(page).locator(".jp-AidpAction-steps").inner_text().strip()


def document(page: Page) -> dict[str, Any]:
    """Return the open notebook as it would be saved, and whether it is dirty."""
    return page.evaluate(
        """() => {
            const { model } = jupyterapp.shell.currentWidget.context;
            return { json: model.toString(), dirty: model.dirty };
        }"""
    )  # type: ignore[no-any-return]


def text(page: Page, cell: int = 0) -> str:
    """Return the text of a cell of the open notebook, or of the open file, as its model holds it."""
    return str(
        page.evaluate(
            """cell => {
                const { content } = jupyterapp.shell.currentWidget;
                return (content.widgets ? content.widgets[cell] : content).model.sharedModel.getSource();
            }""",
            cell,
        )
    )


def settle(page: Page) -> None:
    """Save and wait until Lab has nothing more to say to the notebook by itself."""
    page.evaluate("() => jupyterapp.shell.currentWidget.context.save()")
    page.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty")


def fix_button(page: Page) -> Locator:
    """Return the button at a failed cell."""
    return page.locator(f"{DOCUMENT} .jp-AidpFix button")


def focused(page: Page) -> str:
    """Return the words on what has the focus."""
    return str(page.evaluate("() => (document.activeElement.ariaLabel || document.activeElement.textContent).trim()"))


def faults(page: Page) -> list[str]:
    """Return what the console says of errors, but for what Lab's debugger says when its notebook closes."""
    return [error for error in page.errors if not error.startswith("Could not restore the debugger state")]  # type: ignore[attr-defined]
