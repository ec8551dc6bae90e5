"""Ship beside jupyterlab-git in a real Lab: the same repository in both, conflicts handed over and taken back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.lab_page import command, dark, open_file, shoot
from tests.git.repo import Repo
from tests.support.jupyter import Server
from tests.support.lab import jupyter_lab
from tests.support.processes import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

GIT = "#jp-git-sessions"
SHIP = "#aidp-ship-panel"
IDENTITY = "[user]\n\tname = Ana\n\temail = ana@example.org\n"
#: A Git that keeps what it is called with. Ours is always called with `--no-pager` first.
SHIM = '#!/bin/sh\nprintf "%s\\n" "$*" >> "$AIDP_TEST_CALLS"\nexec {git} "$@"\n'


@dataclass
class Desk:
    """A Lab with two repositories, one of them with a remote where others push too."""

    lab: Server
    repo: Repo
    theirs: Repo
    calls: Path


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("beside")
    config = folder / "gitconfig"
    config.write_text(IDENTITY)
    git, calls = shutil.which("git"), folder / "calls"
    assert git is not None
    (folder / "bin").mkdir()
    (folder / "bin" / "git").write_text(SHIM.format(git=git))
    (folder / "bin" / "git").chmod(0o755)
    path = f"{folder / 'bin'}:{Path(shutil.which('node') or git).parent}:/usr/local/bin:/usr/bin:/bin"
    environment = {"GIT_CONFIG_GLOBAL": str(config), "PATH": path, "AIDP_TEST_CALLS": str(calls)}
    with pytest.MonkeyPatch.context() as patch, jupyter_lab(folder / "lab", environment) as lab:
        patch.setenv("GIT_CONFIG_GLOBAL", str(config))
        repo = Repo.make(lab.root / "titanic")
        repo.commit({"prep.py": "a = 1\n", "ages.py": "old = 1\n"}, "First")
        repo.with_remote(folder / "remote")
        Repo.make(lab.root / "other").commit({"x.py": "x = 1\n"}, "Other")
        yield Desk(lab, repo, repo.other_clone(folder / "theirs"), calls)


def open_ship(page: Page, desk: Desk, path: str = "titanic/prep.py") -> Locator:
    open_file(page, desk.lab, path)
    command(page, "aidp:open-ship-panel")
    ship = page.locator(SHIP)
    expect(ship).to_contain_text(path.split("/")[0], timeout=30_000)
    return ship


def open_git(page: Page) -> Locator:
    page.locator(SHIP).get_by_role("button", name="open in Git").click()
    git = page.locator(GIT)
    git.wait_for()
    return git


def calls(desk: Desk) -> list[str]:
    return desk.calls.read_text().splitlines()


def test_a_lab_whose_user_never_ships_runs_no_git_of_ours(desk: Desk, page: Page) -> None:
    open_file(page, desk.lab, "titanic/prep.py")
    command(page, "git:ui")
    expect(page.locator(GIT)).to_contain_text("First")
    theirs = calls(desk)
    assert any(line.startswith("status ") for line in theirs)
    command(page, "docmanager:save")
    page.locator(".jp-git-toolbarRefresh button").click()
    wait_until(lambda: len(calls(desk)) > len(theirs), "jupyterlab-git looked again")
    assert not [line for line in calls(desk) if line.startswith("--no-pager")]


def test_jupyterlab_git_looks_less_often_than_by_itself(desk: Desk, page: Page) -> None:
    answer = page.request.get(f"{desk.lab.url}lab/api/settings/@jupyterlab/git:plugin?token={desk.lab.token}")
    assert answer.json()["schema"]["properties"]["refreshInterval"]["default"] == 15_000


def test_the_same_repository_opens_in_git_and_a_change_as_its_diff(desk: Desk, page: Page) -> None:
    desk.repo.write({"prep.py": "a = 2\n"})
    ship = open_ship(page, desk)
    command(
        page, "filebrowser:go-to-path", {"path": "other", "dontShowBrowser": True}
    )  # jupyterlab-git shows that one by itself
    expect(ship.locator(".jp-AidpShip-changes")).to_contain_text("prep.py")
    git = open_git(page)
    expect(git.locator(".jp-git-toolbarRepository")).to_contain_text("titanic")
    expect(git).to_contain_text("prep.py")
    shoot(page, "beside-git")
    command(page, "filebrowser:go-to-path", {"path": "other", "dontShowBrowser": True})
    command(page, "aidp:open-ship-panel")
    ship.locator(".jp-AidpShip-file").first.click()
    diff = page.locator("[id='git-diff-titanic/prep.py-INDEX-WORKING']")
    expect(diff).to_contain_text("a = 2")
    expect(ship).to_contain_text("titanic")  # a look at a change is no step to elsewhere
    shoot(page, "beside-diff")
    assert page.errors == []  # type: ignore[attr-defined]


def test_what_one_of_them_commits_the_other_shows(desk: Desk, page: Page) -> None:
    desk.repo.write({"prep.py": "a = 3\n"})
    ship = open_ship(page, desk)
    git = open_git(page)
    expect(git).to_contain_text("prep.py")
    command(page, "aidp:open-ship-panel")
    ship.get_by_role("button", name="stage all").click()
    ship.locator("textarea.jp-AidpShip-message").fill("Three, by Ship")
    ship.locator(".jp-AidpShip-button").click()
    expect(ship.locator(".jp-AidpShip-job")).to_have_attribute("data-state", "done")
    command(page, "git:ui")
    expect(git).to_contain_text("Three, by Ship")
    desk.repo.write({"prep.py": "a = 4\n"})
    page.locator(".jp-git-toolbarRefresh button").click()
    git.locator("textarea").first.fill("Four, by Git")
    git.get_by_text("prep.py").first.hover()
    git.get_by_title("Stage this change").first.click()
    git.get_by_role("button", name="Commit", exact=True).click()
    wait_until(lambda: desk.repo("log", "-1", "--format=%s") == "Four, by Git", "its commit")
    command(page, "aidp:open-ship-panel")
    expect(ship).to_contain_text("↑1", timeout=20_000)
    expect(ship).to_contain_text("Nothing has changed since the last commit.")


@pytest.mark.parametrize("how", ["rebase", "merge"])
def test_a_conflict_is_settled_in_git_and_ship_goes_on(desk: Desk, page: Page, how: str) -> None:
    desk.theirs("pull", "--quiet", "--rebase")
    desk.theirs.commit({"ages.py": f"theirs = '{how}'\n"}, f"Theirs {how}")
    desk.theirs("push", "--quiet")
    desk.repo.commit({"ages.py": f"ours = '{how}'\n"}, f"Ours {how}")
    desk.repo("config", "user.name", "Ana")
    ship = open_ship(page, desk, "titanic/ages.py")
    page.evaluate(
        "how => jupyterapp.serviceManager.settings.save('aidp-ext:git', JSON.stringify({integrate: how}))",
        how,
    )
    ship = open_ship(page, desk, "titanic/ages.py")
    command(page, "aidp:pull")
    expect(ship).to_contain_text("Settle the conflicts", timeout=20_000)
    go_on = ship.get_by_role("button", name="Go on")
    expect(go_on).to_be_disabled()
    shoot(page, f"beside-conflict-{how}")
    with dark(page):
        shoot(page, f"beside-conflict-{how}-dark")
    ship.locator(".jp-AidpShip-file").first.click()
    view = page.locator("[id^='git-diff-titanic/ages.py']")
    expect(view).to_contain_text("theirs = ", timeout=20_000)
    shoot(page, f"beside-conflict-view-{how}")
    view.get_by_role("button", name="Mark as resolved").click()
    expect(go_on).to_be_enabled(timeout=20_000)
    go_on.click()
    expect(ship).not_to_contain_text("No conflicts are left", timeout=20_000)
    assert desk.repo("status", "--porcelain") == ""
    parents = desk.repo("log", "-1", "--format=%P").split()
    assert len(parents) == (1 if how == "rebase" else 2)
    desk.repo("push", "--quiet")


def test_a_conflict_can_be_taken_back(desk: Desk, page: Page) -> None:
    desk.theirs("pull", "--quiet", "--rebase")
    desk.theirs.commit({"ages.py": "theirs = 'back'\n"}, "Theirs, back")
    desk.theirs("push", "--quiet")
    ours = desk.repo.commit({"ages.py": "ours = 'back'\n"}, "Ours, back")
    ship = open_ship(page, desk, "titanic/ages.py")
    command(page, "aidp:pull")
    expect(ship).to_contain_text("Settle the conflicts", timeout=20_000)
    ship.get_by_role("button", name="Take it back").click()
    page.locator(".jp-Dialog").get_by_role("button", name="Take it back").click()
    expect(ship).not_to_contain_text("Settle the conflicts")
    assert desk.repo.head == ours and desk.repo("status", "--porcelain") == ""
