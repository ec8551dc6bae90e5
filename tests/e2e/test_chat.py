"""The chat beside the work: real Lab, real router, a scripted model whose wire tells what it was told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, Route, expect

from tests.e2e.axe import violations
from tests.e2e.chat_page import (
    PANEL,
    STOP,
    answers,
    choose,
    field,
    open_chat,
    questions,
    say,
    told,
    wait_for_cost,
)
from tests.e2e.conftest import window
from tests.e2e.lab_page import command, dark, open_file, open_notebook, shoot, wait_for_lab
from tests.support.jupyter import Server
from tests.support.processes import wait_until
from tests.support.scripted import Scripted

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

CELLS = [
    ("markdown", "# Titanic"),
    "def mean_age(people):\n    return sum(people) / len(people)",
    "unrelated = 'nothing of the kind'",
]


@pytest.fixture(scope="module")
def _beside(scripted_lab: Server, chrome: Browser) -> Iterator[Page]:
    with window(chrome) as page:
        open_notebook(page, scripted_lab, "titanic.ipynb", CELLS)
        yield page


@pytest.fixture(name="beside")
def _without_errors(_beside: Page, scripted: Scripted) -> Iterator[Page]:
    """A page with an open notebook, which the tests share and leave as it was. None of them may make errors."""
    errors: list[str] = _beside.errors  # type: ignore[attr-defined]
    errors.clear()
    # What a test that failed has left open stands in the way of none of the others
    _beside.evaluate("() => document.querySelectorAll('dialog[open]').forEach(one => one.close())")
    yield _beside
    assert not [error for error in errors if "404" not in error]


@pytest.fixture
def chat(beside: Page, request: pytest.FixtureRequest) -> Locator:
    """A new chat beside it."""
    return open_chat(beside, re.sub(r"\W+", "-", request.node.name)[:60].strip("-"))


def chips(chat: Locator) -> Locator:
    return chat.locator(".jp-AidpChip")


def test_an_answer_tells_its_model_place_cost_and_what_it_was_told(chat: Locator, scripted: Scripted) -> None:
    say(chat, "What does mean_age do?")
    line = wait_for_cost(chat, 1)
    expect(line).to_contain_text("scripted")
    expect(line).to_contain_text("local")
    expect(line).to_contain_text(re.compile(r"context: \d+ cell"))
    assert "def mean_age(people)" in told(scripted, "What does mean_age do?")
    line.get_by_role("button", name="why").click()
    expect(line.locator("dl")).to_contain_text("Left this machine")
    expect(line.locator("dl")).to_contain_text("nothing")
    shoot(chat.page, "chat-answer")


def test_stop_ends_the_request_and_retry_asks_again(chat: Locator, scripted: Scripted) -> None:
    scripted.script("word ", when="endless", forever=True, delay_ms=10)
    say(chat, "endless")
    expect(chat.locator(".jp-chat-rendered-message").last).to_contain_text("word word word")
    chat.locator(STOP).click()
    [asked] = questions(scripted, "endless")
    wait_until(lambda: asked.disconnected_at, "the request ends")  # how soon: `python -m bench stopping`
    expect(answers(chat)).to_contain_text("stopped")
    scripted.script("whole", when="endless")
    answers(chat).get_by_role("button", name="Retry").click()
    wait_for_cost(chat, 2)
    assert len(questions(scripted, "endless")) == 2


def test_an_error_is_said_with_a_way_on(chat: Locator, scripted: Scripted) -> None:
    scripted.script("overloaded", when="fails", status=500)
    say(chat, "fails")
    expect(chat).to_contain_text("500", timeout=30_000)
    scripted.script("fine now", when="fails")
    answers(chat).get_by_role("button", name="Retry").click()
    expect(chat).to_contain_text("fine now")


def test_what_goes_along_is_shown_and_can_be_left_out_of_one_message(chat: Locator, scripted: Scripted) -> None:
    field(chat).press_sequentially("mean_age one")
    chip = chips(chat).filter(has_text="cell 2")
    chip.get_by_role("button", name="Leave out cell 2").click()
    expect(chip).to_have_count(0)
    expect(chat.locator(".jp-AidpContext")).to_contain_text("1 left out")
    field(chat).press("Enter")
    wait_for_cost(chat, 1)
    say(chat, "mean_age two")
    wait_for_cost(chat, 2)
    assert "def mean_age" not in told(scripted, "mean_age one")
    assert "def mean_age" in questions(scripted, "mean_age two")[0].text


def test_a_chat_can_be_told_nothing_and_stays_so(chat: Locator, scripted: Scripted) -> None:
    page = chat.page
    chat.get_by_role("switch", name="Context").click()
    expect(chips(chat)).to_have_count(0)
    say(chat, "mean_age alone")
    expect(wait_for_cost(chat, 1)).to_contain_text("no context went along")
    assert told(scripted, "mean_age alone") == "mean_age alone"
    path = f"{chat.locator('.jp-chat-sidepanel-widget-title').text_content()}.chat"
    page.reload()
    wait_for_lab(page)
    # which chat is there again is for jupyter-chat to say
    command(page, "jupyterlab-chat:open", {"filepath": path, "inSidePanel": True})
    expect(page.locator(PANEL).get_by_role("switch", name="Context")).to_have_attribute("aria-checked", "false")


def test_mentions_are_completed_with_the_keyboard_and_told(
    chat: Locator, scripted_lab: Server, scripted: Scripted
) -> None:
    (scripted_lab.root / "two words.py").write_text("MENTIONED = 'by name'\n")
    menu = chat.page.get_by_role("listbox")
    field(chat).press_sequentially("@")
    expect(menu).to_contain_text("@file:")
    field(chat).press_sequentially("file:two")
    # the list of the word before has one entry too
    expect(menu.get_by_role("option")).to_contain_text(["two words.py"])
    field(chat).press("Enter")
    expect(field(chat)).to_have_value('@file:"two words.py" ')
    field(chat).press_sequentially("and @cell:")
    expect(menu).to_contain_text("unrelated = 'nothing of the kind'")
    field(chat).press_sequentially("3 named")
    expect(chips(chat).filter(has_text="cell 3")).to_be_visible()
    field(chat).press("Enter")
    wait_for_cost(chat, 1)
    sent = told(scripted, "named")
    assert sent.count("MENTIONED = ") == 1
    assert "unrelated = 'nothing of the kind'" in sent


def test_the_model_and_the_privacy_of_the_picker_hold(chat: Locator, scripted: Scripted) -> None:
    choose(chat, "Privacy", "Local only")
    choose(chat, "Model", "Auto · local")
    say(chat, "kept here")
    line = wait_for_cost(chat, 1)
    line.get_by_role("button", name="why").click()
    expect(line.locator("dl")).to_contain_text("Local models only")
    assert len(questions(scripted, "kept here")) == 1


def test_nothing_in_a_message_is_fetched(chat: Locator, scripted: Scripted) -> None:
    page = chat.page
    fetched: list[str] = []

    def listen(request: Request) -> None:
        if "evil" in request.url:
            fetched.append(request.url)

    page.on("request", listen)
    root = scripted.root
    evil = (
        f"![one]({root}/evil1.png) <img src='{root}/evil2.png' srcset='{root}/evil3.png 2x'> "
        f"<video src='{root}/evil4' poster='{root}/evil5' autoplay></video><iframe src='{root}/evil6'></iframe>"
        f'<p style="background-image:url({root}/evil7)">p</p> $\\style{{background:url({root}/evil8)}}{{x}}$\n\n'
        f'```mermaid\nflowchart TD\n  A@{{ img: "{root}/evil9", w: 60, h: 60 }}\n```\n\nthe end'
    )
    scripted.script(evil, when="pictures", delay_ms=2)
    say(chat, "pictures")
    wait_for_cost(chat, 1)
    # A person's message is not cleaned by the server.
    command(page, "aidp:ask", {"body": evil})
    wait_for_cost(chat, 2)
    expect(chat).to_contain_text("[one: not loaded from 127.0.0.1")
    expect(chat.locator("img[src^='http'], iframe, video, [style*='url(']")).to_have_count(0)
    page.wait_for_load_state("networkidle")
    page.remove_listener("request", listen)
    assert fetched == []


@pytest.mark.parametrize("how", ["aidp:ask", "jupyterlab-chat:openWithMessage"])
def test_a_question_to_a_new_chat_is_never_lost(beside: Page, scripted: Scripted, how: str) -> None:
    page = beside
    for number in range(3):
        words = f"mean_age {how[:4]} {number}"
        name = f"new {how[:4]} {number}"
        args = {"body": words} if how == "aidp:ask" else {"input": words, "autoSend": True, "inSidePanel": True}
        command(page, how, {"name": name, **args})
        expect(page.locator(".jp-chat-sidepanel-widget-title")).to_have_text(re.compile(rf"(^|/){name}$"))
        wait_for_cost(page.locator(PANEL), 1)
        assert "def mean_age" in told(scripted, words)


def test_a_question_asked_before_lab_is_ready_arrives(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    page.goto(f"{scripted_lab.url}lab?reset&token={scripted_lab.token}")
    page.wait_for_function("() => window.jupyterapp?.commands.hasCommand('aidp:ask')")
    command(page, "aidp:ask", {"body": "very early", "name": "early"})
    wait_for_cost(page.locator(PANEL), 1)
    assert len(questions(scripted, "very early")) == 1


def test_a_chat_is_there_after_a_reload_and_is_found_by_its_words(chat: Locator, scripted: Scripted) -> None:
    page = chat.page
    scripted.script("A puffin is a bird of the sea.", when="puffin")
    for number in range(3):
        say(chat, f"Question {number} about a puffin")
        wait_for_cost(chat, number + 1)
    page.reload()
    wait_for_lab(page)
    chat = page.locator(PANEL)
    expect(answers(chat)).to_have_count(3)
    assert len(scripted.chats) == 3, "nothing is asked again"
    command(page, "aidp:search-chats")
    search = page.get_by_role("dialog")
    expect(search.get_by_role("searchbox")).to_be_focused()
    lines = search.get_by_role("listitem")
    page.keyboard.type("question puffin")
    expect(lines).to_have_count(4)  # the chat and its messages
    held: list[Route] = []
    page.route(lambda url: "aidp/ai/chats" in url, lambda route: held.append(route))
    with page.expect_request(lambda request: "aidp/ai/chats" in request.url):
        page.keyboard.type(" 1")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(lines.nth(1).get_by_role("button")).to_be_focused()
    held[0].continue_()
    page.unroute_all()
    expect(lines).to_have_count(2)
    expect(lines.nth(1)).to_contain_text("Question 1 about a puffin")
    expect(search.get_by_role("searchbox")).to_be_focused()  # the line that was is gone
    shoot(page, "chat-search")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(search).to_have_count(0)
    expect(chat.locator("[data-index='2']")).to_be_focused()
    expect(chat.locator("[data-index='2']")).to_contain_text("Question 1 about a puffin")


def test_nothing_is_made_and_nothing_fails_before_the_first_message(
    scripted_lab: Server, scripted: Scripted, page: Page
) -> None:
    open_notebook(page, scripted_lab, "titanic.ipynb", CELLS)
    before = files(scripted_lab)
    page.get_by_role("tab", name="Jupyter Chat").click()
    page.locator(PANEL).get_by_text("New chat").first.wait_for()
    command(page, "aidp:search-chats")
    page.get_by_role("dialog").get_by_role("searchbox").wait_for()
    page.wait_for_load_state("networkidle")
    assert files(scripted_lab) == before
    assert page.errors == []  # type: ignore[attr-defined]


def test_a_chat_in_a_folder_is_found_and_goes_on_there(beside: Page, scripted_lab: Server, scripted: Scripted) -> None:
    file = scripted_lab.root / "birds" / "sea" / "notes.chat"
    file.parent.mkdir(parents=True)
    message = {"type": "msg", "id": "m1", "body": "Seen: a kittiwake", "sender": "ana", "time": 1_700_000_000.0}
    file.write_text(json.dumps({"messages": [message], "users": {"ana": {"username": "ana", "name": "Ana"}}}))
    before = files(scripted_lab)
    command(beside, "aidp:search-chats")
    search = beside.get_by_role("dialog")
    expect(search.get_by_role("searchbox")).to_be_focused()
    beside.keyboard.type("kittiwake")
    search.get_by_role("listitem").filter(has_text="Seen: a kittiwake").get_by_role("button").click()
    chat = beside.locator(PANEL)
    expect(chat).to_contain_text("Seen: a kittiwake")
    chat.locator(".jp-jai-personaControls-persona").wait_for()
    say(chat, "And what is it?")
    wait_for_cost(chat, 1)
    assert len(questions(scripted, "And what is it?")) == 1
    wait_until(lambda: "And what is it?" in file.read_text(), "the chat is saved where it was")
    assert files(scripted_lab) == before


def test_a_file_is_asked_about_from_its_menu(chat: Locator, scripted_lab: Server, scripted: Scripted) -> None:
    (scripted_lab.root / "attached.py").write_text("ATTACHED = 'by the menu'\n")
    page = chat.page
    command(page, "filebrowser:activate")
    command(page, "filebrowser:refresh")
    page.locator(".jp-DirListing-item", has_text="attached.py").click(button="right")
    page.get_by_role("menuitem", name="Ask AI About This File").click()
    expect(field(chat)).to_be_focused()
    say(chat, "about the file")
    wait_for_cost(chat, 1)
    assert "ATTACHED = 'by the menu'" in told(scripted, "about the file")


def test_code_goes_into_the_notebook_that_was_used_last(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    open_notebook(page, scripted_lab, "code.ipynb", CELLS)
    chat = open_chat(page, "some code")
    say(chat, "some code")
    wait_for_cost(chat, 1)
    toolbar = chat.locator(".jp-chat-code-toolbar")
    for name in ("Insert above", "Insert below", "Replace", "Copy"):
        expect(toolbar.get_by_role("button", name=re.compile(name))).to_be_visible()
    below = toolbar.get_by_role("button", name=re.compile("Insert below"))
    below.focus()
    page.keyboard.press("Enter")
    cells = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell")
    expect(cells).to_have_count(4)
    expect(cells.nth(1)).to_contain_text("def mean(values):")


def test_a_new_chat_says_what_it_can_do_and_who_would_answer(chat: Locator) -> None:
    page = chat.page
    empty = chat.locator(".jp-AidpEmpty")
    expect(empty).to_contain_text("scripted would answer · local")
    shoot(page, "chat-empty")
    empty.get_by_role("button").first.press("Enter")
    wait_for_cost(chat, 1)
    expect(empty).to_have_count(0)


def test_it_is_wide_enough_at_first_and_its_controls_stand_apart_when_narrow(
    scripted_lab: Server, scripted: Scripted, page: Page
) -> None:
    open_notebook(page, scripted_lab, "titanic.ipynb", CELLS, kernel=False)
    chat = open_chat(page, "narrow")
    box = chat.bounding_box()
    assert box is not None
    assert box["width"] >= 320
    say(chat, "hello")
    wait_for_cost(chat, 1)
    stack = page.locator("#jp-left-stack").bounding_box()
    assert stack is not None
    for width in (0, 320):
        edge = page.locator("#jp-left-stack").bounding_box()
        assert edge is not None
        x, y = edge["x"] + edge["width"] + 2, edge["y"] + edge["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(edge["x"] + width + 2, y, steps=4)
        page.mouse.up()
        controls = chat.locator(f".jp-jai-usage-chip, {STOP}, .jp-chat-attach-button, .jp-chat-send-button")
        boxes = [one.bounding_box() for one in controls.all()]
        assert len(boxes) == 4
        for number, one in enumerate(boxes):
            for other in boxes[number + 1 :]:
                assert one is not None and other is not None
                assert not _overlap(one, other), f"at {width} px"
        shoot(page, f"chat-{width}")


def test_axe_finds_nothing_in_what_is_ours(chat: Locator) -> None:
    page = chat.page
    assert violations(page, ".jp-AidpEmpty") == []
    say(chat, "What does mean_age do?")
    line = wait_for_cost(chat, 1)
    line.get_by_role("button", name="why").click()
    for theme in ("light", "dark"):
        if theme == "light":
            assert violations(page, ".jp-AidpAnswer") == []
            assert violations(page, ".jp-AidpContext") == []
            shoot(page, "chat-light")
            continue
        with dark(page):
            assert violations(page, ".jp-AidpAnswer") == []
            assert violations(page, ".jp-AidpContext") == []
            shoot(page, "chat-dark")
    command(page, "aidp:search-chats")
    page.get_by_role("dialog").get_by_role("listitem").first.hover()
    assert violations(page, "dialog.jp-AidpChats") == []
    page.keyboard.press("Escape")


def test_it_works_in_the_main_area_too(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    open_notebook(page, scripted_lab, "titanic.ipynb", CELLS)
    command(page, "jupyterlab-chat:createAndOpen", {"name": "in the middle"})
    chat = page.locator(".jp-lab-chat-main-panel")
    chat.locator(".jp-jai-personaControls-persona").wait_for()
    say(chat, "mean_age from the middle")
    wait_for_cost(chat, 1)
    assert "def mean_age" in told(scripted, "mean_age from the middle")
    shoot(page, "chat-main")


def test_with_live_editing_questions_to_new_chats_arrive_once_and_two_people_see_the_same(
    collab_lab: Server, scripted: Scripted, page: Page, chrome: Browser
) -> None:
    open_notebook(page, collab_lab, "titanic.ipynb", CELLS)
    for number in range(3):
        command(page, "aidp:ask", {"body": f"mean_age live {number}", "name": f"live {number}"})
        expect(page.locator(".jp-chat-sidepanel-widget-title")).to_have_text(re.compile(rf"(^|/)live {number}$"))
        wait_for_cost(page.locator(PANEL), 1)
        assert "def mean_age" in told(scripted, f"mean_age live {number}")
    other = chrome.new_context(viewport={"width": 1280, "height": 800}).new_page()
    other.goto(f"{collab_lab.url}lab?reset&token={collab_lab.token}")
    wait_for_lab(other)
    command(other, "jupyterlab-chat:createAndOpen", {"name": "live 2", "inSidePanel": True})
    wait_for_cost(other.locator(PANEL), 1)
    say(other.locator(PANEL), "from the other one")
    for one in (page, other):
        wait_for_cost(one.locator(PANEL), 2)
        expect(one.locator(f"{PANEL} .jp-chat-message")).to_have_count(4)
    assert len(questions(scripted, "from the other one")) == 1
    other.context.close()


def test_a_file_in_the_editor_is_what_a_chat_is_about(scripted_lab: Server, scripted: Scripted, page: Page) -> None:
    (scripted_lab.root / "edited.py").write_text("EDITED = 'in the editor'\n")
    open_file(page, scripted_lab, "edited.py")
    page.locator(".jp-FileEditor").wait_for()
    chat = open_chat(page, "about a file")
    expect(chips(chat)).to_contain_text("edited.py")
    say(chat, "what is EDITED?")
    wait_for_cost(chat, 1)
    assert "EDITED = 'in the editor'" in told(scripted, "what is EDITED?")


def files(lab: Server) -> set[str]:
    """Return what is in a lab's folder."""
    return {str(file.relative_to(lab.root)) for file in lab.root.rglob("*") if ".ipynb_checkpoints" not in file.parts}


def _overlap(one: dict[str, float], other: dict[str, float]) -> bool:
    return (
        one["x"] < other["x"] + other["width"]
        and other["x"] < one["x"] + one["width"]
        and one["y"] < other["y"] + other["height"]
        and other["y"] < one["y"] + one["height"]
    )
