"""What a person does in the chat, as steps."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.e2e.lab_page import command
from tests.support.scripted import Asked, Scripted

PANEL = ".jp-chat-sidepanel"
INPUT = ".jp-chat-input-container"
ANSWER = ".jp-AidpAnswer"
STOP = ".jp-jai-stopButton"


def open_chat(page: Page, name: str) -> Locator:
    """Open a new chat beside the work by jupyter-chat's own command, and return it once it can be written in."""
    command(page, "jupyterlab-chat:createAndOpen", {"name": name, "inSidePanel": True})
    chat = page.locator(PANEL)
    expect(chat.locator(".jp-chat-sidepanel-widget-title")).to_have_text(re.compile(rf"(^|/){re.escape(name)}$"))
    # The choices come with the persona.
    chat.locator(".jp-jai-personaControls-persona").wait_for()
    return chat


def field(chat: Locator) -> Locator:
    """Return the field in which a message is written."""
    return chat.locator(f"{INPUT} textarea:not([aria-hidden])").last


def say(chat: Locator, words: str) -> None:
    """Write a message and send it with Enter."""
    field(chat).click()
    field(chat).press_sequentially(words)
    field(chat).press("Enter")


def answers(chat: Locator) -> Locator:
    """Return the lines below the answers."""
    return chat.locator(ANSWER)


def wait_for_cost(chat: Locator, number: int) -> Locator:
    """Wait until so many answers are whole, as their cost tells, and return the line below the last one."""
    expect(answers(chat)).to_have_count(number, timeout=15_000)
    last = answers(chat).nth(number - 1)
    expect(last).to_contain_text("$", timeout=15_000)
    return last


def told(scripted: Scripted, words: str) -> str:
    """Return all that the model was sent beside the instructions, with the one question that has these words."""
    [asked] = questions(scripted, words)
    return "\n".join(str(message["content"]) for message in asked.body["messages"] if message["role"] != "system")


def questions(scripted: Scripted, words: str) -> list[Asked]:
    """Return the questions whose last words are these."""
    return [asked for asked in scripted.chats if asked.text.rstrip().endswith(words)]


def choose(chat: Locator, control: str, option: str) -> None:
    """Choose the model or the privacy for the messages to come."""
    more = chat.get_by_role("button", name="More controls")
    one = chat.locator(f".jp-jai-personaControls-control-btn[title='{control}']:visible")
    more.or_(one).first.click()  # where there is no room for all of them, they are in one menu
    chat.page.get_by_role("menuitem").filter(has_text=option).first.click()
    chat.page.keyboard.press("Escape")
