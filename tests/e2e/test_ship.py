"""Ship in a real Lab with a real Git server: what is seen, what a click does, what the keyboard does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.axe import violations
from tests.e2e.lab_page import command, dark, open_file, shoot, wait_for_lab
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
        files = {"README.md": "# Titanic\n\nWho survived?\n", "analysis.ipynb": analysis.read_text(), "prep.py": "a = 1\n"}
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


def test_from_an_empty_workspace_to_a_pull_request(desk: Desk, scripted: Scripted, page: Page) -> None:
    page.goto(f"{desk.lab.url}lab?reset&token={desk.lab.token}")
    wait_for_lab(page)
    ship = open_panel(page)
    expect(ship).to_contain_text("No repository here")
    shoot(page, "ship-empty")
    command(page, "aidp:git-accounts")
    dialog = page.locator("dialog.jp-AidpGitDialog")
    dialog.wait_for()
    shoot(page, "ship-accounts")
