"""Two people in one notebook on a real hub: each sees the other, a restart loses nothing, and nothing else has it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from playwright.sync_api import Browser as Chrome
from playwright.sync_api import Locator, Page, expect
from traitlets.config import Config

from aidp_ext.commands import hub_check, hub_engine
from aidp_ext.live import FOLDER, LEADS, variables, without
from hub_config import live
from hub_config.given import SettingsError
from hub_config.live import LABEL, LIVE_EDITING, STORE, LiveSettings
from hub_config.settings import Settings
from tests.hub.browser import Browser
from tests.hub.process import Hub, environment
from tests.support.lab import write_notebook
from tests.support.processes import REPO, free_port, wait_until

NOTEBOOK = "together.ipynb"
#: Says where the server's kernel was led to by the variables that are for the server alone.
WITNESS = (
    "import importlib.util, os, sys\n"
    "print('led to', [one for one in [*sys.path, *os.environ.values()] if {folder!r} in one],"
    " importlib.util.find_spec('jupyter_server_ydoc'))"
)


# --- the setting ---


def test_it_is_on_unless_the_setting_says_off() -> None:
    assert LiveSettings.from_env({}) == LiveSettings.from_env({LIVE_EDITING: "On"}) == LiveSettings(True)
    assert LiveSettings.from_env({LIVE_EDITING: "off"}) == LiveSettings(False)
    with pytest.raises(SettingsError, match=r"AIDP_LIVE_EDITING \(live_editing in aidp.toml\) is 'maybe'; it takes on"):
        LiveSettings.from_env({LIVE_EDITING: "maybe"})


def applied(settings: LiveSettings, *, in_containers: bool = False, **told: str) -> dict[str, str]:
    c = Config()
    c.Spawner.environment = told
    live.apply(c, settings, in_containers=in_containers)
    return dict(c.Spawner.environment)


def test_a_process_is_led_there_first_and_then_to_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/theirs::/more")
    told = applied(LiveSettings(True), JUPYTER_PATH="/data", OLLAMA_HOST="kept")
    folder = str(live.folder())
    assert told == {
        "OLLAMA_HOST": "kept",
        "PYTHONPATH": os.pathsep.join([folder, "/theirs", "/more"]),
        "JUPYTER_PATH": os.pathsep.join([f"{folder}/share/jupyter", "/data"]),
        "JUPYTER_CONFIG_PATH": f"{folder}/etc/jupyter",
        FOLDER: folder,
    }


def test_a_container_is_told_where_its_image_has_it() -> None:
    assert applied(LiveSettings(True), in_containers=True) == {FOLDER: "/opt/aidp-live"}
    dockerfile, start = (REPO / "deploy" / "Dockerfile").read_text(), (REPO / "deploy" / "start-lab").read_text()
    assert dockerfile.count(f'LABEL {LABEL}="{live.IN_IMAGE}"\n') == 2, "both images of users' containers"
    assert live.IN_IMAGE in (REPO / "deploy" / "install-live").read_text()
    assert all(f'export {name}="${FOLDER}{"/" * bool(below)}{below}$' in start for name, below in LEADS.items())


def test_off_is_off() -> None:
    assert applied(LiveSettings(False)) == applied(LiveSettings(False), in_containers=True) == {}


# --- where it is missing ---


def test_without_the_folder_the_hub_says_so_in_a_line_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert applied(LiveSettings(True)) == {}
    told = environment(tmp_path / "state", AIDP_HUB_PORT=str(free_port()), AIDP_GPU="off")
    (line,) = (one for one in hub_check.check(told) if one.what == "live editing")
    assert (line.mark, line.found) == ("warn", f"jupyter-collaboration is not in {tmp_path}/live")
    assert f"--target {tmp_path}/live -r {live.PACKAGES}), or set AIDP_LIVE_EDITING=off" in line.next_step
    said = hub_engine.without_live(Settings.from_env(told))
    assert said == f"no live editing: {line.found}. {line.next_step}"
    assert "\n" not in said
    assert hub_engine.without_live(Settings.from_env({**told, LIVE_EDITING: "off"})) == ""


def test_check_says_that_it_is_there_or_that_it_is_off(tmp_path: Path) -> None:
    told = environment(tmp_path / "state", AIDP_HUB_PORT=str(free_port()), AIDP_GPU="off")
    found = {value: hub_check.check({**told, LIVE_EDITING: value}) for value in ("on", "off")}
    lines = {value: next(one for one in all_ if one.what == "live editing") for value, all_ in found.items()}
    assert [lines["on"].mark, lines["off"].mark] == ["ok", "ok"]
    assert "AIDP_LIVE_EDITING=off" in lines["off"].found


def test_images_without_it_are_named() -> None:
    with_it, others = {"Config": {"Labels": {LABEL: live.IN_IMAGE}}}, {"Config": {"Labels": None}}
    assert live.absent_in([("aidp-lab", with_it)]) is None
    absent = live.absent_in([("aidp-lab", with_it), ("ours", others), ("theirs", {})])
    assert absent is not None
    assert absent.found == "ours, theirs have no /opt/aidp-live"


# --- what lies in the folder, and who is led there ---


def test_the_folder_holds_the_listed_packages_and_all_that_they_ask_for_is_there() -> None:
    here = {one.name.lower().replace("_", "-"): one for one in distributions(path=[str(live.folder())])}
    listed = dict(line.split("==") for line in live.PACKAGES.read_text().splitlines() if not line.startswith("#"))
    assert {name: one.version for name, one in here.items()} == listed
    wanted = [Requirement(text) for one in here.values() for text in one.requires or () if "extra ==" not in text]
    assert len(wanted) > len(here)
    for one in wanted:
        name = one.name.lower().replace("_", "-")
        assert one.specifier.contains(listed.get(name) or version(name), prereleases=True), str(one)


def test_a_lab_that_nobody_leads_there_has_nothing_of_it(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in LEADS}
    look = [sys.executable, "-m", "jupyter", "labextension", "list"]
    for led, more in ((False, {}), (True, variables(live.folder(), {}))):
        done = subprocess.run(
            look, env={**kept, "HOME": str(tmp_path), **more}, capture_output=True, text=True, timeout=120, check=True
        )
        assert ("@jupyter/collaboration-extension" in done.stdout + done.stderr) is led


def test_children_of_a_server_are_not_led_there() -> None:
    server = {**variables(Path("/opt/live"), {"PYTHONPATH": "/opt/live-else:/theirs"}), "HOME": "/home/ana"}
    assert without(server) == {
        FOLDER: None,
        "PYTHONPATH": "/opt/live-else:/theirs",
        "JUPYTER_PATH": None,
        "JUPYTER_CONFIG_PATH": None,
    }
    assert without({"PYTHONPATH": "/theirs"}) == {}


# --- two people ---


@pytest.fixture(scope="module")
def live_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(tmp_path_factory.mktemp("live") / "state", AIDP_ADMIN_USERS="ada", OLLAMA_HOST="http://127.0.0.1:9")
    try:
        hub.wait_ready()
        yield hub
    finally:
        hub.close()


def signed_in(chrome: Chrome, hub: Hub, name: str, password: str) -> Page:
    context = chrome.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(f"{hub.url}hub/login?next=%2Fhub%2Fhome")
    page.fill("#username_input", name)
    page.fill("#password_input", password)
    page.click("#login_submit")
    page.wait_for_url("**/hub/home")
    return page


def enter(page: Page, hub: Hub) -> None:
    """Open the notebook of Ana's by its address; whoever else it is tells her server who they are first."""
    page.goto(f"{hub.url}user/ana/lab/tree/{NOTEBOOK}?reset")
    if "/oauth2/authorize" in page.url:
        page.get_by_role("button", name="Authorize").click()
    page.wait_for_selector("#jp-main-dock-panel")
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    cells(page).first.wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()


def cells(page: Page) -> Locator:
    return page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell")


def editor(page: Page, cell: int) -> Locator:
    return cells(page).nth(cell).locator(".cm-content")


def write(page: Page, cell: int, words: str) -> None:
    editor(page, cell).click()
    page.keyboard.press("End")
    page.keyboard.type(words)


def sources(file: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(file.read_text())["cells"]]


def is_whole(file: Path) -> bool:
    try:
        return bool(sources(file))
    except ValueError:
        return False


def faults(page: Page) -> list[str]:
    """What is shown as an error: dialogs, and Lab's notifications of that kind."""
    return page.locator(".jp-Dialog, .Toastify__toast--error").all_inner_texts()


def look_at(page: Page, title: str, panel: str) -> None:
    """Open a panel of aidp's and wait until it shows what is there, and no error."""
    page.get_by_role("tab", name=title, exact=True).click()
    shown = page.locator(f"#{panel}")
    expect(shown).to_be_visible()
    expect(shown).to_have_text(re.compile(r"\w"))
    expect(shown.get_by_role("alert")).to_have_count(0)


@pytest.mark.e2e
def test_two_people_edit_one_notebook_and_a_restart_loses_nothing(live_hub: Hub, chrome: Chrome) -> None:
    owner = Browser(live_hub.url)
    owner.sign_in("ana", live_hub.password)
    owner.start_server("ana")
    home = live_hub.state_dir / "homes" / "ana"
    witness = WITNESS.format(folder=str(live.folder()))
    write_notebook(home / NOTEBOOK, ["first = 1", "second = 2", witness])
    ana = signed_in(chrome, live_hub, "ana", live_hub.password)
    ada = signed_in(chrome, live_hub, "ada", (live_hub.state_dir / "admin-password").read_text().strip())
    both = ((ana, "ada"), (ada, "ana"))
    for page, _ in both:
        enter(page, live_hub)
    # each sees what the other types, and who it is, beside it and in the list
    write(ana, 0, "  # from ana")
    write(ada, 1, "  # from ada")
    for page, other in both:
        expect(editor(page, 0)).to_contain_text("first = 1  # from ana")
        expect(editor(page, 1)).to_contain_text("second = 2  # from ada")
        page.get_by_role("tab", name="Collaboration").click()
        expect(page.locator(".jp-CollaboratorsList")).to_contain_text(other)
    expect(ana.locator(".jp-remote-userFlag-name")).to_have_text("ada")
    # a kernel is not led to the folder, and both see what it prints
    editor(ana, 2).click()
    ana.keyboard.press("Control+Enter")
    for page, _ in both:
        expect(cells(page).nth(2).locator(".jp-OutputArea-output")).to_have_text("led to [] None")
    # aidp is as it always is
    for page, _ in both:
        look_at(page, "Ship", "aidp-ship-panel")
        look_at(page, "Experiments", "aidp-experiments-panel")
        assert faults(page) == []
    # what is typed in the moment before the server is stopped is kept too
    write(ada, 1, " at last")
    expect(editor(ana, 1)).to_contain_text("at last")
    stop(owner)
    for page, _ in both:
        expect(page.get_by_role("dialog")).to_contain_text("is not running")
    assert sources(home / NOTEBOOK) == ["first = 1  # from ana", "second = 2  # from ada at last", witness]
    assert (home / STORE).stat().st_size > 0
    owner.start_server("ana")
    for page, _ in both:
        page.on("dialog", lambda asked: asked.accept())  # that a page with unsaved changes asks before it goes
        enter(page, live_hub)
        expect(cells(page)).to_have_count(3)
        expect(editor(page, 1)).to_have_text("second = 2  # from ada at last")
    write(ana, 0, " again")
    expect(editor(ada, 0)).to_have_text("first = 1  # from ana again")
    # as text: it is looked at while it is being written
    wait_until(lambda: "first = 1  # from ana again" in (home / NOTEBOOK).read_text(), "it is in the file")
    wait_until(lambda: is_whole(home / NOTEBOOK), "all of it is")
    assert len(sources(home / NOTEBOOK)) == 3
    for page, _ in both:
        assert faults(page) == []
        page.context.close()


def stop(owner: Browser) -> None:
    answer = owner.open("hub/api/users/ana/server", body={}, method="DELETE")
    assert answer.status in (202, 204), answer.text
    wait_until(lambda: owner.open("hub/api/users/ana").json()["servers"] == {}, "the server is stopped")
