"""The main job, from the README's two commands to a saved notebook, with a real model server and a real browser."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Started, make_hub, make_lab
from tests.e2e.lab_page import STATUS, code_cell, ghost, open_example, run, save, shoot, source, wait_for_lab

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TYPED = "print(len(penguins), 'birds')\n# next,"


def write_with_ghost_text(page: Page, notebook: Path, shot: str) -> None:
    """Read the data set, type, take a suggestion, run, save: what happens is the same in both hosts."""
    open_example(page)
    expect(page.locator(STATUS)).to_have_attribute("data-state", "local")
    expect(page.locator(STATUS)).to_contain_text("tiny-coder")
    expect(run(page, 0)).to_contain_text("Adelie")
    expect(run(page, 1)).to_contain_text("Gentoo")
    shoot(page, f"{shot}-data")

    code_cell(page, 3).locator(".cm-content").click()
    page.keyboard.type(TYPED, delay=10)
    ghost(page).wait_for()
    # A real model writes at most 64 tokens; the suggestion is whole when it no longer grows.
    page.wait_for_function("n => document.querySelector('.jp-GhostText')?.textContent.length > n", arg=8)
    shoot(page, f"{shot}-ghost")
    assert source(page, 3).startswith(TYPED)
    page.keyboard.press("Alt+End")
    expect(ghost(page)).to_have_count(0)
    accepted = source(page, 3)
    assert accepted.startswith(TYPED)
    assert len(accepted) > len(TYPED) + 8

    expect(run(page, 3)).to_have_text("344 birds")
    shoot(page, f"{shot}-ran")
    cells = save(page, notebook)["cells"]
    last = "".join(cells[-1]["source"])
    assert last == accepted
    assert "344 birds" in json.dumps(cells[-1]["outputs"])


def no_errors_of_ours(page: Page) -> None:
    assert page.errors == []  # type: ignore[attr-defined]


def test_with_make_lab(lab: Started, page: Page) -> None:
    page.goto(lab.url)
    wait_for_lab(page)
    shoot(page, "lab-open")
    write_with_ghost_text(page, lab.folder / "work" / "examples" / "penguins.ipynb", "lab")
    no_errors_of_ours(page)
    log = lab.log.read_text()
    assert "Traceback" not in log
    assert not [line for line in log.splitlines() if "aidp" in line.lower() and line.startswith(("[E", "[C"))]


def test_with_make_hub(hub: Started, page: Page) -> None:
    page.goto(hub.url)
    shoot(page, "hub-sign-in")
    page.get_by_label("Username").fill("ana")
    page.get_by_label("Password").fill("wrong-" + hub.password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".login_error")).to_contain_text("Invalid username or password")
    page.get_by_label("Username").fill("ana")
    page.get_by_label("Password").fill(hub.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/user/ana/lab**", timeout=120_000)
    wait_for_lab(page)
    shoot(page, "hub-lab-open")
    home = hub.folder / "state" / "homes" / "ana"
    write_with_ghost_text(page, home / "examples" / "penguins.ipynb", "hub")

    page.get_by_role("menuitem", name="File", exact=True).click()
    page.get_by_role("menuitem", name="Log Out").click()
    page.wait_for_url("**/hub/l*")
    shoot(page, "hub-signed-out")
    page.goto(f"{hub.url}user/ana/lab")
    assert "/hub/login" in page.url, "who has signed out is asked to sign in again"


def test_lab_ends_on_ctrl_c_with_nothing_left(tmp_path: Path, llama: str, page: Page) -> None:
    with make_lab(tmp_path, LOCAL_OPENAI_BASE_URL=llama) as lab:
        page.goto(lab.url)
        wait_for_lab(page)
        open_example(page)  # a kernel is running now
        page.goto("about:blank")
        assert lab.press_ctrl_c() == []
        assert "Traceback" not in lab.log.read_text()


def test_hub_ends_on_ctrl_c_and_starts_again_with_its_password(tmp_path: Path) -> None:
    with make_hub(tmp_path) as hub:
        password = hub.password
        assert hub.press_ctrl_c() == []
    with make_hub(tmp_path) as again:
        assert password not in again.log.read_text()
        with urllib.request.urlopen(f"{again.url}hub/health", timeout=10) as response:
            assert response.status == 200
