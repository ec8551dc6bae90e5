"""The AI panel: what answers, from where, at what cost, and what leaves this machine. Real Lab, real router."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import Started, make_lab
from tests.e2e.lab_page import STATUS, code_cell, ghost, open_example, run, set_width, shoot, wait_for_lab
from tests.e2e.test_status import theme
from tests.support.ollama_api import OllamaApi
from tests.support.openai_api import KEY, OpenAIApi
from tests.support.processes import wait_until
from tests.support.wire import Handler, serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SECRET = "AKIAIOSFODNN7REALKEY"


@contextmanager
def serving_beside(*handlers: Handler) -> Iterator[list[str]]:
    """Serve each handler in a thread, for tests that are synchronous; give the base URLs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    stack = AsyncExitStack()

    async def begin() -> list[str]:
        return [await stack.enter_async_context(serving(handler)) for handler in handlers]

    try:
        yield asyncio.run_coroutine_threadsafe(begin(), loop).result(30)
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class World:
    """Lab with a real llama.cpp, and doubles of Ollama and OpenAI; for the last there is no key yet."""

    def __init__(self, lab: Started, ollama: OllamaApi, openai: OpenAIApi) -> None:
        self.lab = lab
        self.ollama = ollama
        self.openai = openai
        self.root = lab.folder / "work"
        url = urlsplit(lab.url)
        self.server = f"{url.scheme}://{url.netloc}"
        self.token = parse_qs(url.query)["token"][0]

    def call(self) -> str:
        """Ask for a completion, as another program on this machine would, and return the call's id."""
        body = json.dumps({"model": "auto:local", "prompt": "import", "max_tokens": 4}).encode()
        headers = {
            "Authorization": f"token {self.token}",
            "Content-Type": "application/json",
            "X-AIDP-Task": "complete",
        }
        request = urllib.request.Request(f"{self.server}/aidp/ai/v1/completions", body, headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            return str(response.headers["X-AIDP-Call"])

    def put(self, path: str, value: object) -> None:
        """Put a JSON value to one of the server's endpoints."""
        self._change("PUT", path, json.dumps(value).encode())

    def delete(self, path: str) -> None:
        """Delete what one of the server's endpoints keeps."""
        self._change("DELETE", path, None)

    def _change(self, method: str, path: str, body: bytes | None) -> None:
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.server}/aidp/{path}", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as response:
            assert response.status == 200


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, llama: str) -> Iterator[World]:
    ollama, openai = OllamaApi(), OpenAIApi()
    with (
        serving_beside(ollama.handle, openai.handle) as (ollama_url, openai_url),
        make_lab(
            tmp_path_factory.mktemp("panel"),
            LOCAL_OPENAI_BASE_URL=llama,
            OLLAMA_HOST=ollama_url,
            OPENAI_BASE_URL=f"{openai_url}/v1",
        ) as lab,
    ):
        yield World(lab, ollama, openai)


@pytest.fixture
def panel(world: World, page: Page) -> Locator:
    """The panel, opened with the keyboard beside a notebook."""
    page.goto(f"{world.server}/lab/tree/examples/penguins.ipynb?reset&token={world.token}")
    wait_for_lab(page)
    open_example(page)
    page.keyboard.press("Control+Shift+A")
    panel = page.locator(".jp-AidpAI")
    expect(panel.get_by_label("Where answers may come from")).to_be_focused()
    return panel


def unfold(panel: Locator, title: str) -> Locator:
    """Unfold a section, and return it."""
    section = panel.locator(".jp-AidpSection", has=panel.page.locator("h3", has_text=title))
    head = section.locator("h3 button")
    if head.get_attribute("aria-expanded") == "false":
        head.click()
    return section


def provider(panel: Locator, name: str) -> Locator:
    """Unfold a provider, and return it."""
    line = panel.locator(f"#jp-aidp-providers li[data-key='{name}']")
    head = line.locator("button[aria-expanded]")
    if head.get_attribute("aria-expanded") == "false":
        head.click()
    return line


def calls(panel: Locator) -> Locator:
    return panel.locator("#jp-aidp-recent li")


def errors_of_ours(page: Page) -> list[str]:
    """What the console says of errors, but for the refusals that the tests ask for: the browser reports each."""
    return [text for text in page.errors if "Failed to load resource" not in text]  # type: ignore[attr-defined]


def test_a_completion_appears_with_why_and_what_left(world: World, panel: Locator, page: Page) -> None:
    code_cell(page, 3).locator(".cm-content").click()
    page.keyboard.type("import pandas", delay=10)
    ghost(page).wait_for()
    page.keyboard.press("Alt+End")
    call = calls(panel).first
    expect(call).to_contain_text("complete")
    # a random model may repeat itself without end, which ends the request
    expect(call).to_contain_text(re.compile("local|cancelled"))
    call.locator("button[aria-expanded]").press("Enter")
    why = re.compile("This kind of task goes to a local model first|This model has answered the conversation so far")
    expect(call.locator("dl")).to_contain_text(why)
    expect(call.locator("dl dt", has_text="Left this machine").locator("+ dd")).to_have_text("nothing")
    shoot(page, "panel-call")
    call.locator("button[aria-expanded]").press("Escape")
    expect(call.locator("dl")).to_have_count(0)

    sources = unfold(panel, "Where answers came from")
    expect(sources).to_contain_text("local 100%")
    # what became of the suggestion is told a few seconds later
    refresh = panel.get_by_role("button", name="Check providers and read everything again")

    def counted() -> bool:
        refresh.click()
        return "Suggestions taken" in sources.inner_text()

    wait_until(counted, "the accepted suggestion is counted")
    shoot(page, "panel-sources")
    assert errors_of_ours(page) == []


def test_new_calls_wait_above_a_marker_while_the_list_is_read(world: World, panel: Locator, page: Page) -> None:
    key = world.call()
    read = panel.locator(f"#jp-aidp-recent li[data-key='{key}']")
    read.hover()
    place = read.bounding_box()
    world.call()
    world.call()
    marker = panel.get_by_role("button", name="2 new calls")
    marker.wait_for()
    expect(calls(panel).first).to_have_attribute("data-key", key)
    assert read.bounding_box() == place
    shoot(page, "panel-marker")
    page.mouse.move(900, 400)
    expect(marker).to_have_count(0)
    expect(calls(panel).nth(2)).to_have_attribute("data-key", key)


def test_the_mode_and_the_reasons_for_a_model(panel: Locator, page: Page) -> None:
    mode = panel.get_by_label("Where answers may come from")
    mode.select_option("offline")
    expect(page.locator(STATUS)).to_have_attribute("data-mode", "offline")
    why = unfold(panel, "Why this model?")
    why.get_by_label("Task").select_option("complete")
    expect(why.locator("ol li").first).to_contain_text("The mode is Offline")
    why.get_by_label("Task").select_option("chat")
    expect(why).to_contain_text("Not these")
    shoot(page, "panel-offline")
    mode.select_option("hybrid")
    expect(page.locator(STATUS)).to_have_attribute("data-mode", "hybrid")


def test_a_provider_is_tested(panel: Locator, page: Page) -> None:
    ollama = provider(panel, "ollama")
    ollama.get_by_role("button", name="Test").click()
    expect(ollama.get_by_role("status")).to_contain_text("answered in")
    expect(ollama.get_by_role("list", name="Models")).to_contain_text("qwen2.5-coder:1.5b")
    shoot(page, "panel-provider")


def test_a_model_is_pulled_and_a_pull_is_cancelled(world: World, panel: Locator, page: Page) -> None:
    ollama = provider(panel, "ollama")
    field = ollama.get_by_label("Model to download with Ollama")
    world.ollama.pull = []  # it goes on until its client leaves
    field.fill("llama3.2:1b")
    field.press("Enter")
    expect(ollama).to_contain_text("1 B of 100 B")
    shoot(page, "panel-pull")
    ollama.get_by_role("button", name="Cancel").click()
    field.wait_for()
    wait_until(world.ollama.left.is_set, "the download is given up")

    world.ollama.pull = [{"error": "pull model manifest: file does not exist"}]
    field.fill("no-such-model")
    field.press("Enter")
    expect(ollama.get_by_role("alert")).to_contain_text("There is no model 'no-such-model'")

    layer = {"status": "pulling 6a0746a1ec1a", "digest": "sha256:6a", "total": 100, "completed": 100}
    world.ollama.pull = [{"status": "pulling manifest"}, layer, {"status": "success"}]
    field.fill("llama3.2:1b")
    field.press("Enter")
    expect(ollama).to_contain_text("llama3.2:1b is here")


def test_a_key_is_added_used_and_removed_and_never_shown(world: World, panel: Locator, page: Page) -> None:
    panel.get_by_role("button", name="Add a key for OpenAI").click()
    field = panel.get_by_label("Key of OpenAI")
    expect(field).to_be_focused()
    field.press("Escape")
    expect(field).to_have_count(0)
    line = panel.locator("#jp-aidp-providers li[data-key='openai']")
    expect(line.locator("button[aria-expanded]")).to_be_focused()

    panel.get_by_role("button", name="Add a key for OpenAI").click()
    field.fill("too short")
    field.press("Enter")
    expect(line.get_by_role("alert")).to_contain_text("That is no key")
    field.fill(KEY)
    field.press("Enter")
    expect(field).to_have_count(0)
    expect(line).to_have_attribute("data-state", "ready")
    expect(provider(panel, "openai")).to_contain_text("gpt-4o")
    assert KEY not in page.content()
    assert KEY not in world.lab.log.read_text()

    preview = unfold(panel, "What would leave?")
    preview.get_by_label("Text to look at").fill(f'key = "{SECRET}"\nprint(key)')
    preview.get_by_label("Which model").select_option("auto:cloud")
    preview.get_by_role("button", name="Show", exact=True).click()
    answer = preview.locator(".jp-AidpAI-answer")
    expect(answer).to_contain_text("would go to")
    expect(answer.get_by_role("list", name="Found")).to_contain_text("AWS access key")
    assert answer.locator("pre mark").count() > 0
    assert SECRET not in answer.inner_text()
    assert world.openai.bodies == [], "it is shown, not sent"
    answer.scroll_into_view_if_needed()
    shoot(page, "panel-preview")

    preview.get_by_role("button", name="Use current cell").click()
    expect(preview.get_by_label("Text to look at")).not_to_have_value("")
    expect(preview).to_contain_text("examples/penguins.ipynb")

    provider(panel, "openai").get_by_role("button", name="Remove").click()
    dialog = page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("Remove the key of OpenAI?")
    dialog.get_by_role("button", name="Remove the key").click()
    expect(panel.get_by_role("button", name="Add a key for OpenAI")).to_be_visible()
    assert errors_of_ours(page) == []


ASKS = (
    "%%ai --model openai/gpt-4o\nWhat is a puffin?",
    "from openai import OpenAI\n\n"
    "said = OpenAI().chat.completions.create(\n"
    "    model='openai/gpt-4o', messages=[{'role': 'user', 'content': 'What is a puffin?'}]\n"
    ")\n"
    "print('It says:', said.choices[0].message.content)",
)


def test_what_cells_ask_shows_with_its_route_and_its_cost(world: World, page: Page) -> None:
    """The magic and the usual package, with no arguments and no key in the kernel, through a provider that costs."""
    world.put("ai/keys/openai", {"key": KEY})
    cells = [nbformat.v4.new_code_cell(source) for source in ASKS]
    spec = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec}), world.root / "ask.ipynb")
    page.goto(f"{world.server}/lab/tree/ask.ipynb?reset&token={world.token}")
    wait_for_lab(page)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.keyboard.press("Control+Shift+A")
    panel = page.locator(".jp-AidpAI")
    panel.wait_for()

    run(page, 0)
    under = code_cell(page, 0).locator(".jp-OutputArea-output").nth(1)
    expect(under).to_contain_text(re.compile(r"gpt-4o · cloud · \$0\.\d+"))
    expect(run(page, 1)).to_contain_text(re.compile(r"It says: \w+"))
    expect(calls(panel).nth(1)).to_contain_text("gpt-4o", timeout=30_000)  # a kernel's calls are polled for
    for place in (0, 1):
        call = calls(panel).nth(place)
        expect(call).to_contain_text("gpt-4o")
        expect(call).to_contain_text("cloud")
        expect(call).to_contain_text(re.compile(r"\$0\.\d+"))
    calls(panel).first.locator("button[aria-expanded]").click()
    expect(calls(panel).first.locator("dl")).to_contain_text("You asked for this model.")
    expect(calls(panel).first.locator("dl")).to_contain_text("openai/gpt-4o")
    shoot(page, "panel-cells")
    world.delete("ai/keys/openai")
    assert errors_of_ours(page) == []


def test_the_rules_are_edited_in_their_place_and_taken_back(world: World, panel: Locator, page: Page) -> None:
    privacy = unfold(panel, "Privacy")
    edit = privacy.get_by_role("button", name="Edit")
    edit.click()
    field = privacy.get_by_label("Never leaves")
    expect(field).to_be_focused()
    field.fill("!data/public/**")
    privacy.get_by_role("button", name="Save").click()
    expect(privacy.get_by_role("alert")).to_contain_text("exceptions (!) are not supported")
    field.fill("data/**\noutputs\n")
    field.press("Control+Enter")
    expect(privacy).to_contain_text("Saved in aidp.toml")
    rules = world.root / "aidp.toml"
    assert _ai(rules)["never_leave"] == ["data/**", "outputs"]
    shoot(page, "panel-rules")
    privacy.get_by_role("button", name="Undo").click()
    expect(privacy).to_contain_text("No file is kept here yet")
    assert _ai(rules).get("never_leave", []) == []

    privacy.get_by_label("How text may leave this machine").select_option("local")
    expect(privacy).to_contain_text("Saved in aidp.toml")
    assert _ai(rules)["privacy"] == "local"
    privacy.get_by_role("button", name="Undo").click()
    expect(privacy.get_by_label("How text may leave this machine")).to_have_value("")


def test_it_is_used_with_the_keyboard_alone(panel: Locator, page: Page) -> None:
    providers = panel.get_by_role("list", name="Providers")
    heads = providers.locator("li > div > button[aria-expanded]")
    heads.first.focus()
    page.keyboard.press("ArrowDown")
    expect(heads.nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(heads.last).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(heads.first).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(heads.first).to_be_focused()
    expect(heads.first).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Escape")
    expect(page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook")).to_contain_class("jp-mod-commandMode")
    assert panel.evaluate("panel => !panel.contains(document.activeElement)")
    page.locator(STATUS).click()
    popup = page.locator(".jp-AidpStatus-popup")
    expect(popup).to_contain_text("Today $")
    popup.get_by_role("button", name="Open AI panel").press("Enter")
    expect(panel.get_by_label("Where answers may come from")).to_be_focused()


def test_it_is_readable_at_any_width_in_both_themes(world: World, panel: Locator, page: Page) -> None:
    world.call()
    expect(calls(panel).first).to_be_visible()
    provider(panel, "ollama")
    for name in ("JupyterLab Light", "JupyterLab Dark"):
        theme(page, name)
        for width in (235, 320, 600):
            set_width(page, width)
            box = panel.bounding_box()
            assert box is not None and abs(box["width"] - width) <= 20, box  # Lab's own least width is 250
            assert panel.evaluate("panel => [...panel.querySelectorAll('*')].every(e => e.scrollLeft === 0)")
            beyond = panel.locator(".jp-AidpAI-content").evaluate("box => box.scrollWidth - box.clientWidth")
            assert beyond <= 0, "nothing is wider than the panel"
            shoot(page, f"panel-{width}-{name.split()[-1].lower()}")
    theme(page, "JupyterLab Light")


def _ai(rules: Path) -> dict[str, object]:
    table: dict[str, object] = tomllib.loads(rules.read_text()).get("ai", {})
    return table
