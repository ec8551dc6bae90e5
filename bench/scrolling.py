"""What a page does for each frame while a list of 100,000 runs is scrolled, in a real Chromium.

A frame of 60 a second has 16.7 ms, of which the page's own thread must not take more; how many frames a second there
are depends on the machine's graphics too, which tests have none of.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import CDPSession, Page, sync_playwright

from bench.experiments import RUNS, make
from bench.figures import Figure, Section
from tests.e2e.lab_page import command, wait_for_lab
from tests.support import browser as chromium
from tests.support.lab import jupyter_lab

FRAME_MS = 1000 / 60
FRAMES, ROUNDS = 150, 3
ROW_PX = 26
SIDEBAR, TAB = "#aidp-experiments-panel .jp-AidpExp-grid", "#jp-main-dock-panel .jp-AidpExp-grid"
#: Moves the list a little in every frame and returns how long each took, in milliseconds.
_SCROLL = """async ([grid, step, frames]) => {
    const node = document.querySelector(grid);
    const most = node.scrollHeight - node.clientHeight;
    const took = [];
    let last = await new Promise(requestAnimationFrame);
    for (let count = 0; count < frames; count++) {
        node.scrollTop = (node.scrollTop + step) % most;
        const now = await new Promise(requestAnimationFrame);
        took.push(now - last);
        last = now;
    }
    return took;
}"""
_IS_THERE = "([grid, runs]) => document.querySelector(grid)?.scrollHeight > runs * 10"


def _work_s(session: CDPSession) -> float:
    """What the page's own thread has worked since it was opened, in seconds."""
    found = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(found["TaskDuration"])


def _scroll(page: Page, session: CDPSession, grid: str, step: float) -> tuple[float, float]:
    """Return the page's work for a frame in milliseconds, and how many frames there were a second."""
    before = _work_s(session)
    took = page.evaluate(_SCROLL, [grid, step, FRAMES])
    return (_work_s(session) - before) / FRAMES * 1000, FRAMES / (sum(took) / 1000)


def _measure(page: Page, section: Section) -> None:
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})  # its own work, however busy the rest
    for place, grid, command_id in (
        ("sidebar", SIDEBAR, "aidp-experiments:open-panel"),
        ("tab", TAB, "aidp-experiments:open-tab"),
    ):
        command(page, command_id)
        page.wait_for_function(_IS_THERE, arg=[grid, RUNS], timeout=600_000)
        limit = round(FRAME_MS, 1) if place == "sidebar" else None
        # 3,100 pixels a second, 7,800 a second, and 100,000 runs in two and a half
        for label, step in (
            ("two rows a frame", 2 * ROW_PX),
            ("five rows a frame", 5 * ROW_PX),
            ("from one end to the other", RUNS * ROW_PX / FRAMES),
        ):
            _scroll(page, session, grid, step)
            rounds = [_scroll(page, session, grid, step) for _ in range(ROUNDS)]
            work, frames = [one[0] for one in rounds], [one[1] for one in rounds]
            spread = (min(work), max(work))
            name = f"{place}, {label}"
            section.figures.append(Figure(f"{name}: work", statistics.median(work), "ms", limit, spread=spread))
            section.figures.append(Figure(f"{name}: here", statistics.median(frames), "fps"))


def run() -> Section:
    """Measure."""
    section = Section(f"Scrolling a list of {RUNS:,} runs")
    with tempfile.TemporaryDirectory(prefix="aidp-bench-scrolling-") as name, sync_playwright() as playwright:
        folder = Path(name) / "lab"
        make(folder / "home" / "data" / "aidp" / "experiments")
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=list(chromium.ARGS))
        with jupyter_lab(folder, {}) as lab:
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.goto(f"{lab.url}lab?reset&token={lab.token}")
            wait_for_lab(page)
            _measure(page, section)
        browser.close()
    section.notes = ["Work is what the page's main thread does for a frame: scripts, layout, painting."]
    section.about_packages("jupyterlab", "playwright")
    return section
