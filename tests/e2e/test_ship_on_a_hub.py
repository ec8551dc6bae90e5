"""From the sign-in with GitHub to a pull request and on, as one person does it: a real hub, Lab, Chromium and git."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import ClassVar

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.lab_page import code_cell, shoot, wait_for_lab
from tests.hub.process import Hub
from tests.support.exchange import Exchange
from tests.support.git_http import GitHttpServer
from tests.support.github_api import GithubApi
from tests.support.github_sign_in import CLIENT_ID, GithubSignIn
from tests.support.lab import Cell, write_notebook
from tests.support.processes import wait_until
from tests.support.scripted import Scripted

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NAME, NOTEBOOK = "ana/titanic", "analysis.ipynb"
CLIENT_SECRET = "stand-in-client-secret-7f3a"
KEY = "AKIA" + "QYLPMN5HHHFPZAM2"
SUBJECT = "feat(ages): impute the missing ages"
MESSAGE = f"{SUBJECT}\n\nThe median of each class stands in for them."
BRANCH = "feat/impute-the-missing-ages"
TEMPLATE = "## What changes\n\n## How it was checked\n"
EIGHT_HOURS_S = 8 * 3600
SIDE = 1150  # pixels of noise, three bytes each: 5 MB as a notebook keeps them


class Github(GithubApi):
    """It takes requests that name no version too, as GitHub does: the hub's sign-in names none."""

    versions: ClassVar[set[str]] = {*GithubApi.versions, ""}


class Ci:
    """Begins a check of a commit when somebody first asks for its checks; ``commits`` has those."""

    def __init__(self, server: GitHttpServer) -> None:
        self.commits: list[str] = []
        self.ignored: set[str] = set()
        self.api: GithubApi | None = None
        server.mount(self._asked)

    def _asked(self, exchange: Exchange) -> bool:
        found = re.search(r"/commits/([0-9a-f]{40})/check-runs$", exchange.location)
        if found and self.api is not None and found[1] not in self.ignored | set(self.commits):
            self.commits.append(found[1])
            self.api.add_check(found[1], "tests", None, log="collecting …\n")
        return False

    def passes(self, commit: str) -> None:
        """Let the check of a commit end well."""
        assert self.api is not None
        self.api.add_check(commit, "tests", "success", log="12 passed\n")


@dataclass
class Traces:
    """What the environments and command lines of the hub's processes held, those of git at work too."""

    hub: Hub
    seen: dict[tuple[int, str], bytes] = field(default_factory=dict)
    services: set[str] = field(default_factory=set)

    def look(self, service: str = "") -> None:
        """Note them; git's server calls it while git waits for its answer."""
        self.services.add(service)
        for process in self.hub.processes():
            for name in ("cmdline", "environ"):
                try:
                    content = Path("/proc", str(process.pid), name).read_bytes()
                except OSError:
                    continue  # it has ended
                self.seen[(process.pid, name)] = self.seen.get((process.pid, name), b"") + content


@dataclass
class World:
    """A forge with its sign-in and git, and a hub that signs in there."""

    server: GitHttpServer
    sign_in: GithubSignIn
    api: GithubApi
    ci: Ci
    hub: Hub
    traces: Traces

    @property
    def root(self) -> Path:
        """Ana's clone."""
        return self.hub.state_dir / "homes" / "ana" / "titanic"


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """Answers come from the hub, Lab, git and a forge in turn: on a busy machine that takes its time."""
    expect.set_options(timeout=20_000)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture
def world(tmp_path: Path, scripted: Scripted) -> Iterator[World]:
    with GitHttpServer(tmp_path / "forge") as server:
        ci = Ci(server)  # it sees what is asked before it is answered
        sign_in, api = GithubSignIn(server), Github(server)
        ci.api = api
        sign_in.ttl_s, sign_in.client_secret = EIGHT_HOURS_S, CLIENT_SECRET
        api.people["ana"] = {"name": "Ana Ruiz"}
        analysis = tmp_path / NOTEBOOK
        cells: list[Cell] = [
            ("markdown", "# Who survived"),
            "ages = [22, 38, None, 35]",
            "sorted(filter(None, ages))",
            "len(ages)",
        ]
        write_notebook(analysis, cells)
        files = {NOTEBOOK: analysis.read_text(), ".github/pull_request_template.md": TEMPLATE}
        files[".gitignore"] = ".ipynb_checkpoints/\n"
        server.add_repository(NAME, files=files, members=["ana", "bo"], description="Who survived, and why")
        server.add_repository("ana/penguins", files={"README.md": "# Penguins\n"}, private=False)
        server.add_repository("cleo/secret", files={"README.md": "# Not Ana's\n"}, members=["cleo"])
        ci.ignored = set(server.branches(NAME).values())
        (tmp_path / "hub").mkdir()
        hub = Hub(
            tmp_path / "hub" / "state",
            GITHUB_CLIENT_ID=CLIENT_ID,
            GITHUB_CLIENT_SECRET=CLIENT_SECRET,
            GITHUB_URL=server.url,
            AIDP_ALLOWED_USERS="ana",
            AIDP_TOKEN_CACHE_S="1",
            LOCAL_OPENAI_BASE_URL=scripted.url,
            OLLAMA_HOST="http://127.0.0.1:9",
        )
        try:
            hub.wait_ready()
            traces = Traces(hub)
            server.before_pack = traces.look
            yield World(server, sign_in, api, ci, hub, traces)
        finally:
            hub.close()


def noise() -> str:
    """Return a picture of 5 MB as a notebook keeps it; every line of it could be taken for a key."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    random = Random(5)
    lines = b"".join(b"\0" + random.randbytes(3 * SIDE) for _ in range(SIDE))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 0)) + chunk(b"IEND", b"")
    return base64.b64encode(png).decode()


def add_picture(notebook: Path, cell: int) -> None:
    """Give a code cell of a notebook its output, as a program does that runs notebooks."""
    content = json.loads(notebook.read_text())
    data = {"image/png": noise(), "text/plain": ["<Figure>"]}
    codes = [one for one in content["cells"] if one["cell_type"] == "code"]
    codes[cell]["outputs"] = [{"output_type": "display_data", "metadata": {}, "data": data}]
    notebook.write_text(json.dumps(content, indent=1) + "\n")


def write(page: Page, cell: int, text: str, file: Path) -> None:
    """Let a code cell hold this text, and wait until the file does: with live editing it is saved by itself.

    A save by the keyboard could still go on when what follows writes the file, and Lab would ask which of them counts.
    """
    code_cell(page, cell).locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)

    def is_saved() -> bool:
        try:
            notebook = json.loads(file.read_text())
        except ValueError:
            return False  # it is being written
        codes = [one for one in notebook["cells"] if one["cell_type"] == "code"]
        return "".join(codes[cell]["source"]) == text

    wait_until(is_saved, "the file has it")


def step(ship: Locator, name: str) -> Locator:
    """Return one line of the steps."""
    return ship.locator(".jp-AidpShip-steps > li", has=ship.page.get_by_text(name, exact=True))


def sign_in(page: Page, hub: Hub) -> None:
    """Sign in with GitHub, and wait for Lab."""
    page.goto(hub.url)
    shoot(page, "hub-ship-1-sign-in")
    page.get_by_role("link", name="Sign in with GitHub").or_(page.get_by_role("button", name="GitHub")).first.click()
    page.wait_for_url("**/user/ana/lab**", timeout=120_000)
    wait_for_lab(page)


def import_repository(page: Page, world: World, ship: Locator) -> None:
    """Choose the private repository from the list, and wait for its notebook."""
    ship.get_by_role("button", name="Import from GitHub").click()
    dialog = page.locator("dialog.jp-AidpGitDialog")
    listed = dialog.get_by_role("list", name="Your repositories").get_by_role("listitem")
    expect(listed).to_have_count(2)
    private = listed.filter(has_text="titanic")
    expect(private).to_contain_text("private")
    expect(listed.filter(has_text="penguins")).not_to_contain_text("private")
    shoot(page, "hub-ship-3-import")
    world.server.gate.clear()
    try:
        private.get_by_role("button").click()
        expect(dialog.get_by_role("progressbar", name="Import of titanic")).to_be_visible()
        assert world.server.reached.wait(60), "git asks for what there is"
        shoot(page, "hub-ship-4-import-progress")
    finally:
        world.server.gate.set()
    expect(dialog).to_have_count(0)
    page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell").first.wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    expect(ship).to_contain_text("Nothing has changed since the last commit.")
    shoot(page, "hub-ship-5-imported")


def check(ship: Locator) -> Locator:
    """Have what is chosen checked, and return what was found."""
    ship.get_by_role("button", name="check", exact=True).click()
    expect(ship.get_by_role("button", name="check", exact=True)).to_be_visible()
    return ship.locator(".jp-AidpShip-findings > li")


def choose_notebook(ship: Locator) -> Locator:
    """Choose the notebook as it is now, and return its box."""
    box = ship.get_by_role("checkbox", name=f"{NOTEBOOK}, changed", exact=True)
    expect(box).not_to_be_checked()
    box.click()
    expect(box).to_be_checked()
    return box


def strip(ship: Locator, file: Path) -> None:
    """Take the outputs out of what would be committed; the file keeps them, byte for byte."""
    before = file.read_bytes()
    outputs = ship.locator(".jp-AidpShip-findings > li").filter(has_text="outputs")
    outputs.get_by_role("button", name="Strip outputs").click()
    expect(ship.locator(".jp-AidpShip-findings > li")).to_have_count(0)
    expect(ship).to_contain_text("✔ all well")
    assert file.read_bytes() == before


def follow(page: Page, world: World, ship: Locator, commits: int, shot: str) -> str:
    """Press the button, let the forge's check run and pass, and return the commit."""
    button = ship.locator(".jp-AidpShip-button")
    expect(button).to_be_enabled()
    button.click()
    expect(step(ship, "Checks")).to_contain_text("0 of 1")
    expect(step(ship, "Checks")).to_have_attribute("data-state", "running")
    assert len(world.ci.commits) == commits
    expect(ship).to_contain_text("◐ checks run")
    for name in ("Check", "Commit", "Fetch", "Push"):
        expect(step(ship, name)).to_have_attribute("data-state", "done")
    shoot(page, f"{shot}-pending")
    world.ci.passes(world.ci.commits[-1])
    expect(ship.locator(".jp-AidpShip-job")).to_have_attribute("data-state", "done")
    expect(ship).to_contain_text("✔ checks passed")
    shoot(page, f"{shot}-done")
    return world.ci.commits[-1]


def in_commit(world: World, commit: str) -> dict[str, list[dict[str, object]]]:
    """Return the notebook of a commit as the forge has it."""
    data = world.server.read(NAME, NOTEBOOK, commit)
    assert data is not None
    assert KEY.encode() not in data
    content: dict[str, list[dict[str, object]]] = json.loads(data)
    assert not [cell for cell in content["cells"] if cell.get("outputs")]
    return content


def no_trace_of_the_tokens(world: World) -> None:
    """In no process's environment or command line, no file of the hub's or of a user's, no log, no database."""
    world.traces.look()
    issued = world.sign_in.issued
    assert {token[:4] for token in issued} == {"ghu_", "ghr_"}
    assert len(issued) >= 4, "it was renewed"
    words = [form for token in issued for form in _forms(token)]
    for place, content in world.traces.seen.items():
        assert not [word for word in words if word in content], place
    assert {"git-upload-pack", "git-receive-pack"} <= world.traces.services
    assert any(b"remote-http" in content for content in world.traces.seen.values()), "git was seen at work"
    assert any(b"ipykernel" in content for content in world.traces.seen.values())
    assert any(CLIENT_SECRET.encode() in content for content in world.traces.seen.values()), "what is seen is read"
    (socket,) = {
        one for content in world.traces.seen.values() for one in re.findall(rb"AIDP_CRED_SOCK=([^\0]+)", content)
    }
    folders = (world.hub.state_dir.parent, Path(socket.decode()).parent)
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    names = {path.name for path in files}
    assert {"hub.log", "jupyterhub.sqlite", "audit.jsonl", "stderr", "config", "identity.gitconfig", NOTEBOOK} <= names
    for path in files:
        content = path.read_bytes()
        assert not [word for word in words if word in content], path
    assert not [word for word in words if word in world.hub.printed.encode()]


def _forms(token: str) -> list[bytes]:
    """Return a token as it is, and as it ends a header of git's, after ``x-access-token:`` of 15 bytes."""
    return [token.encode(), base64.b64encode(token.encode())]


def test_from_the_sign_in_to_a_pull_request_and_on(world: World, scripted: Scripted, page: Page) -> None:
    scripted.script(MESSAGE, kind="chat")
    sign_in(page, world.hub)
    page.locator("[data-id='aidp-ship-panel']").click()
    ship = page.locator("#aidp-ship-panel")
    expect(ship).to_contain_text("No repository here")
    shoot(page, "hub-ship-2-lab")
    import_repository(page, world, ship)
    file = world.root / NOTEBOOK

    # A key is written into a cell, and somewhere else the notebook is run: there is a picture of 5 MB.
    write(page, 0, f'ages = [22, 38, None, 35]\nkey = "{KEY}"', file)
    add_picture(file, 1)
    page.get_by_role("menuitem", name="File", exact=True).click()
    page.get_by_role("menuitem", name="Reload Notebook from Disk").click()
    expect(code_cell(page, 1).locator(".jp-OutputArea-output img")).to_be_visible()
    expect(ship.locator(".jp-AidpShip-changes")).to_contain_text("outputs 5.3 MB")
    choose_notebook(ship)
    findings = check(ship)
    secret, outputs = findings.filter(has_text="secrets"), findings.filter(has_text="outputs")
    expect(secret).to_have_count(1)
    expect(outputs).to_have_count(1)
    shoot(page, "hub-ship-6-findings")
    expect(ship.locator(".jp-AidpShip-button")).to_be_disabled()

    secret.locator(".jp-AidpShip-place").click()
    active = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell.jp-mod-active")
    expect(active).to_contain_text(KEY)
    shoot(page, "hub-ship-7-place")
    write(page, 0, "ages = [22, 38, 31, 35]", file)
    assert KEY not in file.read_text()
    choose_notebook(ship)
    check(ship)
    expect(secret).to_have_count(0)
    strip(ship, file)

    ship.get_by_role("region", name="Message").get_by_role("button", name="suggest").click()
    message = ship.locator("textarea.jp-AidpShip-message")
    expect(message).to_have_value(MESSAGE)
    asked = scripted.chats[-1]
    assert "31, 35" in asked.text
    assert KEY not in json.dumps(asked.body)
    expect(ship.locator(".jp-AidpShip-button")).to_have_text("Ship: new branch → commit → push → pull request")
    shoot(page, "hub-ship-8-message")

    first = follow(page, world, ship, 1, "hub-ship-9")
    (pull,) = world.api.pulls[NAME]
    assert (pull["title"], pull["body"]) == (SUBJECT, TEMPLATE)
    assert (pull["head"]["ref"], pull["head"]["sha"], pull["base"]["ref"]) == (BRANCH, first, "main")
    assert (pull["user"]["login"], pull["draft"]) == ("ana", False)
    assert world.server.branches(NAME)[BRANCH] == first
    in_commit(world, first)
    assert "image/png" in file.read_text(), "the file itself keeps its outputs"
    said = world.server.run("-C", str(world.server.path(NAME)), "log", "-1", "--format=%an <%ae>%n%B", first).decode()
    assert re.fullmatch(rf"Ana Ruiz <\d+\+ana@users\.noreply\.127\.0\.0\.1>\n{re.escape(MESSAGE)}\s*", said), said

    # GitHub takes the token no more. What renews it is the hub's alone, and it works once.
    for token in list(world.server.tokens):
        world.server.revoke(token)
    given = len(world.sign_in.issued)
    write(page, 2, "sorted(ages)", file)
    choose_notebook(ship)
    check(ship)
    strip(ship, file)
    message.fill("fix(ages): all of them are known now")
    second = follow(page, world, ship, 2, "hub-ship-10-again")
    assert len(world.sign_in.issued) == given + 2, "renewed once, and nobody was asked"
    assert page.locator(".jp-Dialog").count() == 0
    assert world.server.branches(NAME)[BRANCH] == second != first
    assert world.server.is_ancestor(NAME, first, second)
    assert "sorted(ages)" in json.dumps(in_commit(world, second))
    assert len(world.api.pulls[NAME]) == 1

    no_trace_of_the_tokens(world)
    assert page.errors == []  # type: ignore[attr-defined]
    assert "Traceback" not in world.hub.log
