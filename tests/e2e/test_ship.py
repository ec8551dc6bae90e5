"""Ship in a real Lab with a real Git server: what is seen, what a click does, what the keyboard does."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Error, Locator, Page, expect

from tests.e2e.axe import violations
from tests.e2e.lab_page import command, dark, open_file, set_width, shoot, wait_for_lab
from tests.support.git_http import GitHttpServer
from tests.support.github_api import GithubApi
from tests.support.jupyter import Server
from tests.support.lab import jupyter_lab, write_notebook
from tests.support.processes import wait_until
from tests.support.scripted import Scripted

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

NAME = "ana/titanic"
KEY = "AKIA" + "QYLPMN5HHHFPZAM2"
PANEL = "#aidp-ship-panel"


@dataclass
class Desk:
    """A Lab, a forge, and a user of it."""

    lab: Server
    server: GitHttpServer
    api: GithubApi
    token: str

    @property
    def host(self) -> str:
        return self.server.url.removeprefix("http://")

    @property
    def root(self) -> Path:
        return self.lab.root / "titanic"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, _scripted: Scripted) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("ship")
    with GitHttpServer(folder / "forge") as server:
        api = GithubApi(server)
        token = api.add_user("ana")
        analysis = folder / "analysis.ipynb"
        write_notebook(analysis, ["ages = [22, 38, 26]", "print(sum(ages) / len(ages))", ("markdown", "# Ages")])
        files = {
            "README.md": "# Titanic\n\nWho survived?\n",
            "analysis.ipynb": analysis.read_text(),
            "prep.py": "a = 1\n",
        }
        server.add_repository(NAME, files=files, members=["ana"], labels=["data"], description="Who survived, and why")
        server.add_repository("ana/penguins", files={"README.md": "# Penguins\n"}, private=False)
        environment = {
            "AIDP_FORGES": f"{server.url}=github",
            "LOCAL_OPENAI_BASE_URL": _scripted.url,
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }
        with jupyter_lab(folder / "lab", environment) as lab:
            yield Desk(lab, server, api, token)


def panel(page: Page) -> Locator:
    return page.locator(PANEL)


def open_panel(page: Page) -> Locator:
    command(page, "aidp:open-ship-panel")
    panel(page).wait_for()
    return panel(page)


def steps(page: Page) -> dict[str, str]:
    """Return how each step of Ship stands."""
    return dict(
        page.locator(".jp-AidpShip-steps > li").evaluate_all(
            "all => all.map(one => [one.dataset.step, one.dataset.state])"
        )
    )


def sign_in(desk: Desk, page: Page) -> None:
    """Add an account by a token."""
    command(page, "aidp:git-accounts")
    dialog = page.locator("dialog.jp-AidpGitDialog")
    dialog.get_by_role("listitem").filter(has_text=desk.host).get_by_role("button", name="Add a token").click()
    shoot(page, "ship-token")
    page.keyboard.type(desk.token)
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("ana")
    shoot(page, "ship-accounts")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_from_an_empty_workspace_to_a_pull_request(desk: Desk, scripted: Scripted, page: Page) -> None:
    page.goto(f"{desk.lab.url}lab?reset&token={desk.lab.token}")
    wait_for_lab(page)
    ship = open_panel(page)
    expect(ship).to_contain_text("No repository here")
    shoot(page, "ship-empty")
    sign_in(desk, page)
    ship.get_by_role("button", name="Import").click()
    dialog = page.locator("dialog.jp-AidpGitDialog")
    dialog.get_by_role("combobox").first.wait_for()
    shoot(page, "ship-import")
    dialog.get_by_text(NAME).wait_for()
    shoot(page, "ship-import-list")
    dialog.get_by_role("listitem").filter(has_text=NAME).get_by_role("button").first.click()
    page.locator(".jp-MarkdownViewer, .jp-NotebookPanel, .jp-FileEditor").first.wait_for()
    assert (desk.root / "analysis.ipynb").exists()
    expect(ship).to_contain_text("main")
    shoot(page, "ship-clean")
    # edit: a key, and a large output
    write_notebook(
        desk.root / "analysis.ipynb",
        [f"key = '{KEY}'\nages = [22, 38, 26]", "print('x' * 300_000)", ("markdown", "# Ages, by title")],
    )
    (desk.root / "prep.py").write_text("a = 1\nb = 2\n")
    (desk.root / "notes.txt").write_text("One\n")
    open_file(page, desk.lab, "titanic/analysis.ipynb")
    ship = open_panel(page)
    expect(ship.locator(".jp-AidpShip-changes")).to_contain_text("prep.py")
    shoot(page, "ship-changes")
    ship.get_by_role("button", name="stage all").click()
    shoot(page, "ship-staged")
    command(page, "aidp:check-changes")
    expect(ship.locator(".jp-AidpShip-findings")).to_contain_text("AWS")
    shoot(page, "ship-checks")
    with dark(page):
        shoot(page, "ship-checks-dark")
    # mend: the key goes, the outputs are stripped from what is staged only
    cell = nbformat.v4.new_code_cell("print('x' * 300_000)", execution_count=2)
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="x" * 300_000)]
    write_notebook(desk.root / "analysis.ipynb", ["ages = [22, 38, 26]", cell, ("markdown", "# Ages, by title")])
    on_disk = (desk.root / "analysis.ipynb").read_bytes()
    command(page, "aidp:refresh-repository")
    ship.get_by_role("button", name="stage all").click()
    command(page, "aidp:check-changes")
    expect(ship.locator(".jp-AidpShip-findings")).to_contain_text("output")
    expect(ship.locator(".jp-AidpShip-findings")).not_to_contain_text("AWS")
    shoot(page, "ship-outputs")
    ship.locator(".jp-AidpShip-findings").get_by_role("button", name="Strip").first.click()
    expect(ship.locator(".jp-AidpShip-findings").get_by_text("output")).to_have_count(0)
    assert (desk.root / "analysis.ipynb").read_bytes() == on_disk
    scripted.script("Describe ages by title", kind="chat")
    ship.get_by_role("button", name="suggest").first.click()
    expect(ship.locator("textarea.jp-AidpShip-message")).to_have_value("Describe ages by title")
    ship.locator("button[aria-controls$='request-body']").click()
    shoot(page, "ship-ready")
    button = ship.locator(".jp-AidpShip-button")
    button.click()

    def asked() -> object:
        if not desk.api.pulls.get(NAME) and button.is_visible():
            with contextlib.suppress(Error):  # it may be gone by then: it becomes the list of steps
                button.click(timeout=1000)
        return desk.api.pulls.get(NAME)

    wait_until(asked, "the pull request", 60)
    [pull] = desk.api.pulls[NAME]
    pushed = desk.server.read(NAME, "analysis.ipynb", pull["head"]["ref"])
    assert pushed is not None and b"xxxxxxxx" not in pushed and b"ages = " in pushed
    assert (desk.root / "analysis.ipynb").read_bytes() == on_disk
    shoot(page, "ship-checks-followed")
    expect(ship).to_contain_text("#1")
    commit = desk.server.branches(NAME)[pull["head"]["ref"]]
    desk.api.add_check(commit, "tests", "failure", log="collected 3 items\nAssertionError: 1 != 2\n")
    command(page, "aidp:refresh-repository")
    expect(ship).to_contain_text("AssertionError", timeout=40_000)
    shoot(page, "ship-failed-check")
    with dark(page):
        shoot(page, "ship-failed-check-dark")


@pytest.fixture
def at_work(desk: Desk, page: Page) -> Locator:
    """The panel, in a repository with changes that are checked."""
    for file in desk.root.glob("*.csv"):
        file.unlink()
    command_line = ["git", "-C", str(desk.root), "-c", "user.name=Ana", "-c", "user.email=ana@example.org"]
    if not desk.root.exists():
        subprocess.run(["git", "clone", "-q", str(desk.server.path(NAME)), str(desk.root)], check=True)
    subprocess.run([*command_line, "switch", "-q", "--discard-changes", "-C", "work"], check=True)
    (desk.root / "prep.py").write_text(f"token = '{KEY}'\n")
    subprocess.run([*command_line, "add", "prep.py"], check=True)
    open_file(page, desk.lab, "titanic/prep.py")
    ship = open_panel(page)
    expect(ship.locator(".jp-AidpShip-changes")).to_contain_text("prep.py")
    command(page, "aidp:check-changes")
    expect(ship.locator(".jp-AidpShip-findings")).to_contain_text("AWS")
    return ship


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_the_panel_and_its_dialogs(at_work: Locator, page: Page, theme: str) -> None:
    with dark(page) if theme == "dark" else contextlib.nullcontext():
        at_work.locator("button[aria-controls$='request-body']").click()
        assert violations(page, PANEL) == []
        at_work.get_by_role("button", name="It is fine").click()
        assert violations(page, PANEL) == []
        shoot(page, f"ship-waive-{theme}")
        page.keyboard.press("Escape")
        for name in ("git-accounts", "import-repository"):
            command(page, f"aidp:{name}")
            page.locator("dialog.jp-AidpGitDialog").wait_for()
            assert violations(page, "dialog.jp-AidpGitDialog") == []
            page.keyboard.press("Escape")
            expect(page.locator("dialog.jp-AidpGitDialog")).to_have_count(0)


def test_a_narrow_panel_holds_all_of_it_and_many_files(at_work: Locator, desk: Desk, page: Page) -> None:
    for number in range(30):
        (desk.root / f"a rather long name of a file with figures number {number}.csv").write_text("a,b\n1,2\n")
    command(page, "aidp:refresh-repository")
    expect(at_work.locator(".jp-AidpShip-changes > li", has_text=".csv")).to_have_count(30)
    for width in (235, 320, 600):
        set_width(page, width)
        beyond = at_work.evaluate(
            "one => [...one.querySelectorAll('*')].filter(e => e.clientWidth && e.getBoundingClientRect().right >"
            " one.getBoundingClientRect().right + 1 && getComputedStyle(e).position !== 'absolute').length"
        )
        shoot(page, f"ship-narrow-{width}")
        assert beyond == 0


def test_the_whole_way_goes_by_keyboard(at_work: Locator, desk: Desk, page: Page) -> None:
    (desk.root / "prep.py").write_text("token = None\n")
    page.keyboard.press("Control+Alt+g")
    page.keyboard.press("g")
    expect(at_work.locator(":focus")).to_have_count(1)
    first = at_work.locator(".jp-AidpShip-changes input").first
    for _ in range(40):
        if first.evaluate("one => one === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(first).to_be_focused()
    was = first.is_checked()
    page.keyboard.press("Space")
    expect(first).to_be_checked(checked=not was)
    page.keyboard.press("ArrowDown")
    expect(at_work.locator(".jp-AidpShip-changes input").nth(1)).to_be_focused()
