"""What aidp costs in the browser: a suggestion's way to the screen and back, typing along, a long notebook."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from bench.figures import Figure, Section
from bench.measure import middle
from tests.e2e.chat_page import PANEL, open_chat, say, wait_for_cost
from tests.support import browser as chromium
from tests.support.jupyter import Server
from tests.support.lab import jupyter_lab, write_notebook
from tests.support.processes import wait_until
from tests.support.scripted import Scripted, scripted

SUGGESTIONS = 40
WARM_UP = 5
ADDED_MS = 20.0
PAUSE_MS = 100  # that the user sets, after the last key
ALONG = 60
ANSWERS, CHAT_MS = 15, 100.0
CELLS = 500
ROUNDS = 5
KEYS = 60
# Milliseconds between two keys: too fast for suggestions, and slowly enough that each key asks for one.
PACES = {"typing fast": 30, "typing with a pause after each key": 160}
SCROLL_STEPS, SCROLL_PX = 120, 400

GHOST = ".jp-GhostText[data-provided-by='aidp-ext:inline']:not(.jp-GhostText-hiding)"
# When a word of an answer is on the screen.
_WORD = """([selector, word]) => {
    window.aidpWord = 0;
    const watch = new MutationObserver(() => {
        if (!document.querySelector(selector)?.textContent.includes(word)) {
            return;
        }
        watch.disconnect();
        requestAnimationFrame(() => {
            const channel = new MessageChannel();
            channel.port1.onmessage = () => { window.aidpWord = performance.timeOrigin + performance.now(); };
            channel.port2.postMessage(null);
        });
    });
    watch.observe(document.body, { childList: true, subtree: true, characterData: true });
}"""
_OFFSET = "() => performance.timeOrigin + performance.now()"
# The moments of the key, of the question and of the answer's first bytes in the browser, and that after the frame in
# which the suggestion is painted: what is posted in a frame is handled when it is done.
_WATCH = """selector => {
    window.aidpBench = { key: 0, painted: 0, sent: 0, first: 0 };
    new PerformanceObserver(list => list.getEntries().filter(({ name }) => name.includes('/v1/completions')).forEach(
        ({ requestStart, responseStart }) => {
            window.aidpBench.sent = performance.timeOrigin + requestStart;
            window.aidpBench.first = performance.timeOrigin + responseStart;
        }
    )).observe({ type: 'resource' });
    const now = () => performance.timeOrigin + performance.now();
    document.addEventListener('keydown', event => {
        window.aidpBench = { key: performance.timeOrigin + event.timeStamp, painted: 0, sent: 0, first: 0 };
    }, true);
    new MutationObserver(() => {
        if (window.aidpBench.key && !window.aidpBench.begun && document.querySelector(selector)?.textContent) {
            window.aidpBench.begun = true;
            requestAnimationFrame(() => {
                const channel = new MessageChannel();
                channel.port1.onmessage = () => { window.aidpBench.painted = now(); };
                channel.port2.postMessage(null);
            });
        }
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
}"""


# The time from each key to the end of the frame that shows it.
_KEYS = """() => {
    window.aidpKeys = [];
    document.addEventListener('keydown', event => requestAnimationFrame(() => {
        const channel = new MessageChannel();
        channel.port1.onmessage = () => { window.aidpKeys.push(performance.now() - event.timeStamp); };
        channel.port2.postMessage(null);
    }), true);
}"""


@dataclass(frozen=True)
class Work:
    """What a step of some work (a key, a turn of the wheel) cost the page, in ms."""

    task: float  # its main thread was busy
    script: float  # of it, in JavaScript
    key: float = 0.0  # from the key to the screen, median


@contextmanager
def _lab(
    folder: Path, model: Scripted, *, has_aidp: bool = True, settings: dict[str, Any] | None = None
) -> Iterator[Server]:
    home = folder / "home"
    if not has_aidp:
        config = home / "config" / "labconfig" / "page_config.json"
        config.parent.mkdir(parents=True)
        config.write_text(json.dumps({"disabledExtensions": {"aidp-ext": True}}))
    if settings:
        file = home / "settings" / "aidp-ext" / "ai.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(settings))
    with jupyter_lab(folder, {"LOCAL_OPENAI_BASE_URL": model.url}) as server:
        yield server


def _open(browser: Browser, lab: Server, path: str, *, has_aidp: bool = True) -> Page:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(f"{lab.url}lab/tree/{path}?reset&token={lab.token}")
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    found = page.evaluate("() => jupyterapp.listPlugins().some(id => id.startsWith('aidp-ext:'))")
    assert found == has_aidp, f"aidp's front end is loaded: {found}"
    if has_aidp:
        page.locator(".jp-AidpStatus[data-state='local']").wait_for()
    return page


def run() -> Section:
    """Measure."""
    section = Section("aidp in the browser")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = stack.enter_context(scripted())
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=list(chromium.ARGS))
        stack.callback(browser.close)
        section.versions["Chromium"] = browser.version
        with _lab(folder / "quick", model, settings={"debounce": PAUSE_MS}) as lab:
            section.figures += _suggestions(browser, lab, model)
            section.figures += _typing_along(browser, lab, model)
            section.figures += _chat(browser, lab, model)
        with (
            _lab(folder / "with", model) as ours,
            _lab(folder / "without", model, has_aidp=False) as bare,
        ):
            section.figures += _long_notebook(browser, ours, bare)
    section.notes = [
        f"Suggestions: {SUGGESTIONS} of a model server that answers at once; the pause after a key that the user sets,"
        f" {PAUSE_MS} ms, is taken off;"
        " from the key's time stamp until the browser sends the question, and from the first byte of the answer in the"
        " browser until the end of the frame that shows it: waiting for the screen, half a frame of 16.7 ms, is in it.",
        f"The long notebook has {CELLS} cells; {ROUNDS} rounds, in turn with and without aidp's front end;"
        " ratios are of neighbours, in brackets the lowest and the highest. The last figure is the noise: the same"
        " ratio between neighbours that both have none of it.",
    ]
    section.about_packages("jupyterlab", "playwright")
    return section


def _clock(page: Page) -> float:
    """Return what to add to the page's clock (ms since 1970) to get `time.monotonic` in ms."""
    best = (float("inf"), 0.0)
    for _ in range(30):
        before = time.monotonic()
        there = page.evaluate(_OFFSET)
        after = time.monotonic()
        best = min(best, (after - before, (before + after) / 2 * 1000 - there))
    return best[1]


def _suggestions(browser: Browser, lab: Server, model: Scripted) -> list[Figure]:
    write_notebook(lab.root / "quick.ipynb", ["import pandas as pd", "df = pd.DataFrame({'a': [1, 2]})", ""])
    model.reset()
    model.script("", kind="completion")
    model.script("'a').mean()", kind="completion", when=r"\($")
    page = _open(browser, lab, "quick.ipynb")
    page.evaluate(_WATCH, GHOST)
    page.locator(".jp-CodeCell .cm-content").nth(2).click()
    in_page, whole = [], []
    for number in range(SUGGESTIONS + WARM_UP):
        model.forget()
        page.keyboard.insert_text(f"value_{number} = df.groupby")
        _settle(model)
        offset = _clock(page)
        model.forget()
        page.keyboard.press("(")
        page.wait_for_function("() => window.aidpBench.painted && window.aidpBench.sent")
        seen = page.evaluate("() => window.aidpBench")
        _settle(model)
        asked = model.completions[-1]
        assert asked.first_byte_at is not None
        if number >= WARM_UP:
            in_page.append((seen["sent"] - seen["key"] - PAUSE_MS, seen["painted"] - seen["first"]))
            arrived, first = (moment * 1000 - offset for moment in (asked.arrived_at, asked.first_byte_at))
            whole.append(arrived - seen["key"] - PAUSE_MS + seen["painted"] - first)
        page.keyboard.press("Escape")
        page.keyboard.press("Control+a")
        page.keyboard.press("Delete")
    page.context.close()
    both = sorted(map(sum, in_page))
    return [
        _figure("suggestion: key stroke to question sent, and first token to painted", both, "ms", ADDED_MS),
        Figure("suggestion: the same, 95th percentile", both[int(0.95 * len(both))], "ms"),
        _figure("suggestion: key stroke to question sent", [sent for sent, _ in in_page], "ms"),
        _figure("suggestion: first token to painted", [painted for _, painted in in_page], "ms"),
        _figure("suggestion: the same to and from the model server, the router included", whole, "ms"),
    ]


def _settle(model: Scripted) -> None:
    """Wait until the model server has been asked and has answered, and nothing more comes."""
    wait_until(lambda: model.completions and all(one.ended_at for one in model.completions), "it was asked")


def _typing_along(browser: Browser, lab: Server, model: Scripted) -> list[Figure]:
    text = "groupby('species')[['bill_length_mm', 'body_mass_g']].agg(['mean', 'std'])"
    write_notebook(lab.root / "along.ipynb", ["import pandas as pd", ""])
    model.reset()
    model.script("", kind="completion")
    model.script(text, kind="completion", when=r"penguins\.$")
    page = _open(browser, lab, "along.ipynb")
    page.locator(".jp-CodeCell .cm-content").nth(1).click()
    page.keyboard.insert_text("means = penguins")
    _settle(model)
    page.keyboard.press(".")
    page.locator(GHOST).wait_for()
    wait_until(lambda: model.completions[-1].ended_at, "the answer is whole")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "/aidp/ai/" in request.url else None)
    before = len(model.asked)
    page.keyboard.type(text[:ALONG], delay=20)
    page.wait_for_function(
        "([selector, rest]) => document.querySelector(selector)?.textContent === rest", arg=[GHOST, text[ALONG:]]
    )
    asked = len(model.asked) - before
    page.context.close()
    completions = sum("/completions" in url for url in sent)
    assert asked == completions, "the browser and the model server count the same"
    return [Figure(f"questions while {ALONG} characters are typed along a suggestion", completions, "", 0.0)]


def _chat(browser: Browser, lab: Server, model: Scripted) -> list[Figure]:
    model.reset()
    page = _open(browser, lab, "quick.ipynb")
    chat = open_chat(page, "figures")
    waits = []
    for number in range(ANSWERS + 1):
        word = f"first{number}th"
        model.script(f"{word} and some words more", kind="chat", when=f"question {number}$", delay_ms=5)
        offset = _clock(page)
        page.evaluate(_WORD, [PANEL, word])
        say(chat, f"question {number}")
        page.wait_for_function("() => window.aidpWord")
        asked = next(one for one in model.chats if f"question {number}" in one.text)
        assert asked.first_byte_at is not None
        if number:  # the first one fills the caches
            waits.append(page.evaluate("() => window.aidpWord") + offset - asked.first_byte_at * 1000)
        wait_for_cost(chat, number + 1)
    page.context.close()
    return [
        _figure("chat: first token from the model server to painted", waits, "ms", CHAT_MS),
        Figure("chat: the same, slowest", max(waits), "ms"),
    ]


def _long_notebook(browser: Browser, ours: Server, bare: Server) -> list[Figure]:
    for lab in (ours, bare):
        write_notebook(lab.root / "long.ipynb", [_cell(number) for number in range(CELLS)])
    found: dict[str, dict[str, list[Work]]] = {"with": {}, "without": {}, "again": {}}
    for number in range(ROUNDS + 1):
        order = [("with", ours), ("without", bare), ("again", bare)]
        for name, lab in order if number % 2 else reversed(order):
            for what, work in _round(browser, lab, has_aidp=lab is ours).items():
                if number:  # the first round fills the caches
                    found[name].setdefault(what, []).append(work)
        print(f"long notebook, round {number} of {ROUNDS}", flush=True)
    figures = []
    for what in found["with"]:
        with_aidp, without, again = (found[name][what] for name in ("with", "without", "again"))
        for part in ("task", "script", "key"):
            values = [getattr(work, part) for work in with_aidp]
            bare_values = [getattr(work, part) for work in without]
            noise_values = [getattr(work, part) for work in again]
            if not any(values):
                continue
            label = f"{CELLS} cells, {what}: {_PARTS[part]}"
            ratios = [a / b for a, b in zip(values, bare_values, strict=True)]
            noise = [a / b for a, b in zip(noise_values, bare_values, strict=True)]
            figures.append(_figure(f"{label}, with to without", ratios, "times"))
            figures.append(_figure(f"{label}, without to without", noise, "times"))
            figures.append(_figure(f"{label}, with", values, "ms"))
            figures.append(_figure(f"{label}, without", bare_values, "ms"))
    return figures


_PARTS = {"task": "the page is busy", "script": "of it in scripts", "key": "from a key to the screen"}


def _cell(number: int) -> tuple[str, str]:
    if number % 5 == 0:
        return "markdown", f"## Part {number}\nWhat *follows* is about `value_{number}`."
    lines = [f"value_{number} = [n * {number} for n in range(10)]"]
    lines += [f"# step {step}" + "\n" + f"total_{number}_{step} = sum(value_{number}[:{step}])" for step in range(4)]
    return "code", "\n".join(lines)


def _round(browser: Browser, lab: Server, *, has_aidp: bool) -> dict[str, Work]:
    """Return what scrolling and typing cost in a page that is fresh."""
    page = _open(browser, lab, "long.ipynb", has_aidp=has_aidp)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")
    page.locator(".jp-WindowedPanel-outer").hover()
    began = _metrics(devtools)
    for _ in range(SCROLL_STEPS):
        page.mouse.wheel(0, SCROLL_PX)
        page.evaluate("() => new Promise(requestAnimationFrame)")
    found = {"scrolling": _work(began, _metrics(devtools), SCROLL_STEPS)}
    page.locator(".jp-CodeCell .cm-content:visible").nth(2).click()
    page.keyboard.press("Control+End")
    page.keyboard.press("Enter")
    page.evaluate(_KEYS)
    for name, pace_ms in PACES.items():
        page.evaluate("() => { window.aidpKeys.length = 0; }")
        began = _metrics(devtools)
        for key in range(KEYS):
            page.keyboard.press("abcdefghij"[key % 10] if key % 25 else "Enter")
            page.wait_for_timeout(pace_ms)
        ended = _metrics(devtools)
        found[name] = _work(began, ended, KEYS, statistics.median(page.evaluate("() => window.aidpKeys")))
    page.context.close()
    return found


def _metrics(devtools: CDPSession) -> dict[str, float]:
    return {metric["name"]: metric["value"] for metric in devtools.send("Performance.getMetrics")["metrics"]}


def _work(began: dict[str, float], ended: dict[str, float], steps: int, key: float = 0.0) -> Work:
    task, script = ((ended[name] - began[name]) * 1000 / steps for name in ("TaskDuration", "ScriptDuration"))
    return Work(task, script, key)


def _figure(name: str, values: list[float], unit: str, limit: float | None = None) -> Figure:
    value, spread = middle(values)
    return Figure(name, value, unit, limit, spread=spread)
