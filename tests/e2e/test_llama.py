"""The chat and the actions with a real llama.cpp. Its model writes nonsense, without spaces and without an end."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.actions_page import FRAME, document, faults, fix_button, frame, press, settle
from tests.e2e.chat_page import STOP, answers, open_chat, say, wait_for_cost
from tests.e2e.lab_page import command, open_notebook, run, shoot
from tests.support.jupyter import Server
from tests.support.lab import jupyter_lab
from tests.support.llama_server import llama_server
from tests.support.processes import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

CELLS = [("markdown", "# Sums"), "total = 0\nfor x in [1, 2, 3]:\n    totl += x"]
#: An answer takes seconds: there is time to stop it.
TOKENS = 4_000


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """A llama.cpp that holds what an action tells, which for a model of single letters is many tokens."""
    with llama_server(context=16_384, most_tokens=TOKENS) as url:
        yield url


@pytest.fixture(scope="module")
def llama_lab(tmp_path_factory: pytest.TempPathFactory, served: str) -> Iterator[Server]:
    with jupyter_lab(tmp_path_factory.mktemp("llama") / "lab", {"LOCAL_OPENAI_BASE_URL": served}) as server:
        yield server


def was_cut(served: str) -> bool | None:
    """Return whether the last answer of llama.cpp had more to say when it ended, None while it works for anybody."""
    with urllib.request.urlopen(f"{served.removesuffix('/v1')}/slots", timeout=60) as answer:
        slots = json.load(answer)
    if any(slot["is_processing"] for slot in slots):
        return None
    last = max((slot for slot in slots if "id_task" in slot), key=lambda slot: slot["id_task"])
    return bool(last["next_token"][0]["has_next_token"])


def stop(button: Locator, selector: str, length: int) -> None:
    """Press the button as soon as the last element of this selector holds more characters than that.

    In the page itself: on a busy machine the model may have said all before a click from outside gets through.
    """
    button.evaluate(
        """async (button, [selector, length]) => {
            const shown = () => [...document.querySelectorAll(selector)].at(-1)?.innerText.length ?? 0;
            while (shown() <= length) {
                await new Promise(requestAnimationFrame);
            }
            button.click();
        }""",
        [selector, length],
    )


def test_chat_streams_an_answer_and_stop_frees_the_model(llama_lab: Server, served: str, page: Page) -> None:
    open_notebook(page, llama_lab, "chat.ipynb", CELLS)
    chat = open_chat(page, "with llama")
    last = chat.locator(".jp-chat-rendered-message").last
    say(chat, "What is a sum?")
    chat.locator(STOP).wait_for()
    stop(chat.locator(STOP), ".jp-chat-rendered-message", 40)
    expect(answers(chat)).to_contain_text("stopped")
    wait_until(lambda: was_cut(served) is not None, "llama.cpp is free again")
    assert was_cut(served)
    assert len(last.inner_text()) < TOKENS
    say(chat, "And a product?")
    expect(answers(chat).nth(1)).to_contain_text("$", timeout=60_000)  # a slow machine takes long for the whole
    line = wait_for_cost(chat, 2)
    expect(line).to_contain_text("tiny-coder")
    expect(line).to_contain_text("local")
    expect(line).to_contain_text("context: ")
    expect(chat).to_contain_text("cut off at the model's limit")
    shoot(page, "llama-chat")
    # jupyter-chat asks whether there is a chat of that name before it makes one.
    assert not [fault for fault in faults(page) if "404" not in fault]


def test_explain_streams_prose_and_stop_frees_the_model(llama_lab: Server, served: str, page: Page) -> None:
    open_notebook(page, llama_lab, "explain.ipynb", CELLS)
    page.locator(".jp-CodeCell .cm-content").click()
    before = document(page)
    command(page, "aidp:explain")
    stop(frame(page, "asking").get_by_role("button", name="Stop", exact=True), FRAME, 200)
    expect(frame(page, "answered")).to_contain_text("Stopped.")
    wait_until(lambda: was_cut(served) is not None, "llama.cpp is free again")
    assert was_cut(served)
    expect(frame(page)).to_contain_text("context: 2 cells")
    shoot(page, "llama-explain")
    press(page, "Close (Esc)")
    assert document(page) == before
    assert faults(page) == []


def test_nonsense_is_no_fix_and_changes_nothing(llama_lab: Server, served: str, page: Page) -> None:
    open_notebook(page, llama_lab, "fix.ipynb", CELLS)
    run(page, 0)
    settle(page)
    file = llama_lab.root / "fix.ipynb"
    on_disk, before = file.read_bytes(), document(page)
    fix_button(page).click()
    expect(frame(page, "failed")).to_contain_text("choose another model")
    shoot(page, "llama-fix")
    assert document(page) == before
    press(page, "Close (Esc)")
    settle(page)
    assert file.read_bytes() == on_disk
    assert was_cut(served) is not None
    assert faults(page) == []
