"""What axe-core finds wrong with a part of the page for people who cannot see it or use a mouse."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from tests.support.processes import REPO, wait_until

AXE = REPO / "labextension" / "node_modules" / "axe-core" / "axe.min.js"
CONTROL = {"image-alt", "button-name", "color-contrast"}

# Lab's body is 0 px high and cuts off what is beyond it, and so is what holds its popups: to axe, no text there would
# have a colour.
_RUN = """async selector => {
    const cut = [];
    for (let one = document.querySelector(selector).parentElement; one; one = one.parentElement) {
        if (one.clientHeight === 0 && getComputedStyle(one).overflow === 'hidden') {
            cut.push(one);
        }
    }
    cut.forEach(({ style }) => { style.overflow = 'visible'; });
    try {
        const { violations } = await axe.run({ include: [selector] }, { resultTypes: ['violations'] });
        return violations.flatMap(({ id, impact, help, nodes }) => nodes.map(({ target, html, failureSummary }) =>
            ({ id, impact, help, target: target.join(' '), html: html.slice(0, 300), why: failureSummary })));
    } finally {
        cut.forEach(({ style }) => { style.overflow = ''; });
    }
}"""
_PLANT = """selector => {
    const control = document.createElement('div');
    control.className = 'planted-fault';
    control.innerHTML = `<img id="planted-fault-1" src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" width=20 height=20>
        <button id="planted-fault-2" style="width:20px;height:20px"></button>
        <p id="planted-fault-3" style="color:#777;background:#888;font-size:13px">hardly legible</p>`;
    document.querySelector(selector).prepend(control);
}"""
_UPROOT = "() => document.querySelectorAll('.planted-fault').forEach(planted => planted.remove())"


def violations(page: Page, selector: str, *, ignored: tuple[str, ...] = ()) -> list[str]:
    """Return what axe finds in the first part of the page that the selector names, a line for each element.

    It is run twice: first with three faults planted in that part, which it must find, so that silence means something.
    ``ignored`` names rules that do not apply to a part of a page.
    """
    assert AXE.exists(), "axe-core is not installed: run `npm ci` in labextension"
    page.locator(selector).first.wait_for()
    page.evaluate(AXE.read_text())

    def sees() -> bool:
        page.evaluate(_PLANT, selector)
        try:
            found = page.evaluate(_RUN, selector)
        finally:
            page.evaluate(_UPROOT)
        return {one["id"] for one in found if "planted-fault" in one["html"]} >= CONTROL

    # while something still lies over a part, such as what says that it loads, axe cannot judge its colours
    wait_until(sees, f"axe finds the planted faults in {selector}")
    return [_line(one) for one in page.evaluate(_RUN, selector) if one["id"] not in ignored]


def _line(found: dict[str, Any]) -> str:
    why = " ".join(found["why"].split())
    return f"{found['id']} ({found['impact']}): {found['help']}: {found['target']}: {why}: {found['html']}"
