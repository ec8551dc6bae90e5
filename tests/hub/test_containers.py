"""A team on a real engine: two people sign in with GitHub in a browser, and each has Lab in a container.

Then: what a hostile user reaches, what outlives what, and what faults say.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from docker.types import DeviceRequest
from playwright.sync_api import Browser as Chrome
from playwright.sync_api import Page, expect

from aidp_ext.commands import hub_engine
from hub_config.engine import GUARD, EngineFault
from hub_config.network import Reach
from hub_config.settings import Settings
from tests.e2e.lab_page import code_cell, new_notebook, run, shoot, wait_for_lab
from tests.hub.browser import Browser
from tests.hub.github import CLIENT_ID, CLIENT_SECRET, WHO, GitHubStandIn
from tests.hub.process import Hub, environment
from tests.support import remote_kernel
from tests.support.engine import NoEngine, docker, engine
from tests.support.image import IMAGE
from tests.support.processes import wait_until

PREFIX = "aidp-test"
GONE = "aidp-test/gone"
MEMORY_MB = 640
PROFILES = f"""
[[hub.profiles]]
name = "small"
memory = "{MEMORY_MB}M"
cpus = 1

[[hub.profiles]]
name = "gone"
image = "{GONE}"
"""
ORGANIZATION_KEY = "sk-proj-the-organisations-own-key"
PEOPLE = {"alice": "Alice Park", "bob": "Bob Roy"}


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """The address of an engine that has the image."""
    with ExitStack() as stack:
        try:
            address = stack.enter_context(engine())
            docker("image", "inspect", IMAGE, host=address)
        except NoEngine as error:
            pytest.skip(str(error))
        except subprocess.CalledProcessError:
            pytest.skip("the image of a user's server is not built; `make test` builds it")
        yield address


@dataclass
class Team:
    """A hub, the people on it, and the engine that it uses.

    ``people`` are programs of theirs, each with a token; ``windows`` is what they see in Chromium.
    """

    host: str
    state_dir: Path
    github: GitHubStandIn
    hub: Hub
    people: dict[str, Browser]
    windows: dict[str, Page]

    def docker(self, *words: str) -> str:
        return docker(*words, host=self.host)

    def container(self, user: str) -> dict[str, Any]:
        return json.loads(self.docker("inspect", f"{PREFIX}-{user}--"))[0]

    def address(self, user: str) -> str:
        return self.container(user)["NetworkSettings"]["Networks"][PREFIX]["IPAddress"]

    def settings(self) -> dict[str, str]:
        return {
            "AIDP_SPAWNER": "docker",
            "DOCKER_HOST": self.host,
            "AIDP_LAB_IMAGE": IMAGE,
            "AIDP_DOCKER_PREFIX": PREFIX,
            "AIDP_DOCKER_NETWORK": PREFIX,
            "AIDP_PROFILES": str(self.state_dir.parent / "profiles.toml"),
            "AIDP_PROJECT_VOLUMES": ",".join(
                [f"*={PREFIX}-shared", f"analysts:ml={PREFIX}-ml"]
                + [f"analysts:{team}={PREFIX}-data:ro" for team in ("research", "data")]
            ),
            "GITHUB_CLIENT_ID": CLIENT_ID,
            "GITHUB_CLIENT_SECRET": CLIENT_SECRET,
            "GITHUB_URL": self.github.url,
            "GITHUB_ALLOWED_ORGANIZATIONS": "analysts",
            "AIDP_GPU": "off",
            "OLLAMA_HOST": "http://127.0.0.1:9",
            "OPENAI_API_KEY": ORGANIZATION_KEY,
        }

    def start_hub(self) -> None:
        """Start it, or start it anew where its people have it open."""
        port = self.hub.port if self.hub is not None else None
        if self.hub is not None:
            self.hub.close()
        self.hub = Hub(self.state_dir, terminal=True, port=port, **self.settings())
        self.hub.wait_ready()

    def sign_in(self, name: str, page: Page) -> None:
        """Sign in with GitHub in a window, and start a server there."""
        self.windows[name] = page
        page.goto(self.hub.url)
        page.get_by_role("link", name="Sign in with GitHub").or_(page.get_by_role("button", name="GitHub")).click()
        expect(page.get_by_role("heading", name="Start your server")).to_be_visible()
        shoot(page, f"containers-start-{name}")
        page.get_by_role("radio", name="small").check()
        page.get_by_role("button", name="Start").click()
        page.wait_for_url("**/hub/spawn-pending/**")
        page.goto("about:blank")  # it would go on to Lab by itself, while the other's container starts
        program = self.people[name] = Browser(self.hub.url)
        program.open("hub/oauth_login?next=%2Fhub%2Fhome", more={WHO: name})
        program.token = program.api_token(name)

    def enter(self, name: str) -> None:
        """Go to Lab in a window, as from a bookmark of the hub's address."""
        self.windows[name].goto(self.hub.url)
        self.windows[name].wait_for_url(f"**/user/{name}/lab**")
        wait_for_lab(self.windows[name])

    def stray(self, name: str, user: str) -> str:
        """A container that runs and is of this hub's and a user's by its labels; its id."""
        labels = ("--label", f"org.aidp.hub={PREFIX}", "--label", f"org.aidp.user={user}")
        return self.docker("run", "-d", "--name", name, *labels, "--entrypoint", "sleep", IMAGE, "600")

    def server(self, user: str, path: str, **request: Any) -> Any:
        answer = self.people[user].open(f"user/{user}/{path}", **request)
        assert answer.status < 300, answer.text
        return answer.json() if answer.body else None

    def clean(self) -> None:
        """Take away all that this hub left in the engine."""
        ours = f"label=org.aidp.hub={PREFIX}"
        for kind, remove in (("ps -aq", "rm -fv"), ("volume ls -q", "volume rm -f")):
            for found in self.docker(*kind.split(), "--filter", ours).split():
                self.docker(*remove.split(), found)
        for network in self.docker("network", "ls", "-q", "--filter", ours).split():
            name = '{{index .Options "com.docker.network.bridge.name"}}'
            bridge = self.docker("network", "inspect", "--format", name, network)
            self.docker("network", "rm", network)
            rights = ("--network", "host", "--user", "0", "--cap-add", "NET_ADMIN", "--entrypoint", "python3")
            self.docker("run", "--rm", *rights, IMAGE, "-I", "-c", GUARD.read_text(), "remove", bridge)
        for name in ("alice", "bob"):
            self.docker("volume", "rm", "-f", f"{PREFIX}-home-{name}")


@pytest.fixture(scope="module")
def github() -> Iterator[GitHubStandIn]:
    """GitHub, where Alice and Bob are in the organisation, and Alice is in its team ``data``."""
    with GitHubStandIn() as github:
        github.members = set(PEOPLE)
        github.names = dict(PEOPLE)
        github.teams = {"analysts:data": {"alice"}}
        yield github


@pytest.fixture(scope="module")
def team(host: str, github: GitHubStandIn, chrome: Chrome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A hub with Alice and Bob on it, each with a server that is up."""
    state = tmp_path_factory.mktemp("containers") / "state"
    (state.parent / "profiles.toml").write_text(PROFILES)
    team = Team(host, state, github, None, {}, {})  # type: ignore[arg-type]  # it is started below
    team.clean()
    team.docker("tag", IMAGE, GONE)
    try:
        team.start_hub()
        for name in PEOPLE:  # each says to GitHub who they are; neither waits for the other's server
            context = chrome.new_context(extra_http_headers={WHO: name}, viewport={"width": 1280, "height": 800})
            context.set_default_timeout(60_000)
            team.sign_in(name, context.new_page())
        for name in PEOPLE:
            wait_until(lambda name=name: is_ready(team, name), f"{name}'s server is up", 120)
        yield team
    finally:
        for page in team.windows.values():
            page.context.close()
        if team.hub is not None:
            team.hub.close()
        team.clean()
        with suppress(subprocess.CalledProcessError):
            team.docker("rmi", GONE)


def is_ready(team: Team, name: str) -> bool:
    server = team.people[name].open(f"hub/api/users/{name}").json()["servers"].get("")
    assert server is not None, team.hub.log[-3000:]
    return bool(server["ready"])


@pytest.fixture(scope="module")
def seen(team: Team) -> dict[str, Any]:
    """What a program found that Alice runs in her kernel, and that means no good."""
    code = (Path(__file__).parent / "inside.py").read_text()
    hub = Reach.read(team.state_dir / "containers.json")
    assert hub is not None
    places = {
        "neighbour": f"{team.address('bob')}:8888",
        "metadata": "169.254.169.254:80",
        "engine": f"{hub.address}:2375",
        "proxy": f"{hub.address}:{team.hub.port}",
        "hub": f"{hub.address}:{hub.hub}",
        "service": f"{hub.address}:{hub.service}",
    }
    kernel = team.server("alice", "api/kernels", body={"name": "python3"})["id"]
    before = f"PLACES = {list(places.values())!r}\n"
    found = json.loads(remote_kernel.run(team.people["alice"], "alice", kernel, before + code))
    team.server("alice", f"api/kernels/{kernel}", method="DELETE")
    return {**found, "reach": {name: found["reach"][place] for name, place in places.items()}}


def test_a_server_that_nobody_has_opened_is_small(team: Team):
    used = team.docker("stats", "--no-stream", "--format", "{{.MemUsage}}", f"{PREFIX}-bob--").split("MiB")[0]
    assert float(used) <= 170


def test_each_has_lab_with_all_of_aidp_in_it_and_a_kernel_of_their_own(team: Team):
    for name, page in team.windows.items():
        # Only now: a container that starts changes the machine's network, and Chromium drops what it is loading.
        team.enter(name)
        for panel in ("Ship", "Experiments", "AI"):
            expect(page.get_by_role("tab", name=panel, exact=True)).to_have_count(1)
        new_notebook(page)
        page.keyboard.insert_text("import os; whose = os.environ['JUPYTERHUB_USER']; whose, 6 * 7")
        expect(run(page, 0)).to_have_text(f"('{name}', 42)")
        shoot(page, f"containers-lab-{name}")
    assert team.server("alice", "api/me")["identity"]["display_name"] == "Alice Park"


def test_only_the_home_the_projects_and_scratch_can_be_written(seen: dict[str, Any]):
    assert set(seen["not to be written"].values()) <= {"EROFS", "EACCES", "EPERM"}, seen["not to be written"]
    assert seen["not to be written"]["/x"] == "EROFS"
    assert set(seen["to be written"].values()) == {"done"}, seen["to be written"]


def test_a_user_has_no_rights_and_gets_none(seen: dict[str, Any]):
    assert seen["uid"] == 1000
    assert {int(seen["status"][name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {0}
    assert (seen["status"]["NoNewPrivs"], seen["status"]["Seccomp"]) == ("1", "2")
    assert "done" not in seen["rights"].values(), seen["rights"]


def test_a_user_has_the_limits_of_the_profile(team: Team, seen: dict[str, Any]):
    limit = MEMORY_MB * 1024**2
    assert int(seen["memory"]) == limit
    assert seen["memory with swap"] in (str(limit), "0", ""), "no swap beyond it"
    assert seen["cpu"].split()[0] == "100000"
    assert 500 < seen["threads"] < 1024
    host = team.container("alice")["HostConfig"]
    assert (host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (limit, limit, 1024)


def test_a_user_reaches_the_hub_and_its_service_and_nothing_else_here(seen: dict[str, Any]):
    reach = seen["reach"]
    assert (reach["hub"], reach["service"]) == ("done", "done")
    for name in ("neighbour", "metadata", "engine", "proxy"):
        assert reach[name] != "done", name
    assert reach["metadata"] == "EHOSTUNREACH", "the host itself refuses it, at once"
    assert seen["engine sockets"] == []


def test_nothing_secret_is_in_a_container_but_its_own_token(team: Team, seen: dict[str, Any]):
    config = team.container("alice")["Config"]
    told = dict(line.split("=", 1) for line in config["Env"])
    secret = {name for name in told if any(word in name for word in ("KEY", "SECRET", "TOKEN", "PASSWORD"))}
    assert secret == {"JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN"}
    assert ORGANIZATION_KEY not in json.dumps([config, seen])
    for secret_of_the_hub in (CLIENT_SECRET, *team.github.tokens):
        assert secret_of_the_hub not in json.dumps([config, seen])
    assert "JUPYTERHUB_API_TOKEN" not in seen["kernel's environment"]
    assert "OLLAMA_HOST" not in told, "loopback is another place in a container"
    assert told["NVIDIA_VISIBLE_DEVICES"] == "void"


def test_a_group_shares_a_volume_and_others_do_not_see_it(team: Team, seen: dict[str, Any]):
    assert seen["projects"] == ["analysts-data", "shared"]
    assert seen["read only"] == "EROFS"
    where = f"{PREFIX}-bob--"
    assert team.docker("exec", where, "ls", "/home/jovyan/projects") == "shared"
    assert team.docker("exec", where, "cat", "/home/jovyan/projects/shared/x") == "x"


def test_a_users_server_is_proven_to_the_hubs_service(team: Team):
    health = team.people["alice"].open("services/aidp/aidp/health")
    assert (health.status, health.json()["user"]) == (200, "alice")
    program = (
        "import os, urllib.request as u; env = os.environ;"
        " asked = u.Request(env['AIDP_SERVICE_URL'] + 'aidp/health');"
        " asked.add_header('Authorization', 'Bearer ' + env['JUPYTERHUB_API_TOKEN']);"
        " print(u.urlopen(asked).read().decode())"
    )
    said = json.loads(team.docker("exec", f"{PREFIX}-alice--", "python3", "-c", program))
    assert said["user"] == "alice"


def saved(team: Team, name: str) -> str:
    """The notebook that somebody made, as it is on the disk."""
    return json.dumps(team.server(name, "api/contents/Untitled.ipynb")["content"])


def test_files_outlive_the_container(team: Team):
    bob, window, old = team.people["bob"], team.windows["bob"], team.container("bob")["Id"]
    window.keyboard.press("Control+s")
    wait_until(lambda: "42)" in saved(team, "bob"), "it is saved")
    notebook = saved(team, "bob")
    window.goto(f"{team.hub.url}hub/home")
    window.get_by_role("button", name="Stop My Server").click()
    wait_until(lambda: "" not in bob.open("hub/api/users/bob").json()["servers"], "Bob's server has stopped")
    assert team.docker("ps", "-aq", "--filter", f"name={PREFIX}-bob--") == ""
    left = team.stray(f"{PREFIX}-bob--", "bob")  # as after a stop that failed
    bob.start_server("bob")
    assert team.container("bob")["Id"] not in (old, left)
    assert saved(team, "bob") == notebook
    assert team.server("bob", "api/contents/examples")["type"] == "directory"
    team.enter("bob")
    window.locator(".jp-DirListing-item[title*='Untitled.ipynb']").dblclick()
    expect(code_cell(window, 0)).to_contain_text("('bob', 42)")


def test_servers_outlive_the_hub_and_are_found_again(team: Team):
    before = {name: team.container(name)["Id"] for name in team.people}
    team.hub.find("-m jupyterhub -f").kill()
    assert team.hub.wait() == 1
    assert "users' servers go on" in team.hub.printed
    assert all(team.container(name)["State"]["Running"] for name in team.people)

    left = {name: team.stray(f"{PREFIX}-{name}--left", name) for name in ("alice", "stranger")}
    team.start_hub()
    there = team.docker("ps", "-aq", "--no-trunc").split()
    assert left["alice"] not in there, "the hub knows of no such server of hers"
    assert left["stranger"] in there, "it may be another hub's"
    assert "ended 1 container whose server had been stopped" in team.hub.errors.read_text()
    team.docker("rm", "-f", left["stranger"])
    for name in team.people:
        assert is_ready(team, name)
    assert {name: team.container(name)["Id"] for name in team.people} == before
    page = team.windows["alice"]  # it has been open all the time, and its kernel knows what it knew
    page.get_by_role("dialog").get_by_role("button", name="Dismiss").click()  # Lab has noticed that it was away
    code_cell(page, 0).locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("'still', whose")
    expect(run(page, 0)).to_have_text("('still', 'alice')")


def test_a_cell_that_takes_too_much_ends_its_kernel_alone_and_the_limit_is_told(team: Team):
    assert team.server("alice", "aidp/hub/memory") == {"limit": MEMORY_MB << 20, "ended": 0}
    page = team.windows["alice"]
    code_cell(page, 0).locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(f"block = bytearray({2 * MEMORY_MB} << 20)")
    page.keyboard.press("Control+Enter")
    told = page.get_by_text(f"lost its kernel: this server used up its {MEMORY_MB} MB of memory")
    expect(told.first).to_be_visible()
    shoot(page, "containers-memory")
    assert team.server("alice", "aidp/hub/memory")["ended"] == 1
    assert team.container("alice")["State"]["Running"]
    assert team.server("alice", "api/status")["kernels"] >= 1


def test_who_runs_out_of_memory_is_told_the_limit(team: Team):
    """The whole server ends: its first process is made the one that the kernel picks."""
    kernel = team.server("alice", "api/kernels", body={"name": "python3"})["id"]
    code = f"open('/proc/1/oom_score_adj', 'w').write('1000'); block = bytearray({2 * MEMORY_MB} << 20)"
    with suppress(Exception):  # the connection ends with the server
        remote_kernel.run(team.people["alice"], "alice", kernel, code, seconds=30)
    wait_until(lambda: not team.container("alice")["State"]["Running"], "the server has ended")
    answer = team.people["alice"].open("hub/api/users/alice/server", method="POST")  # the hub looks, and starts anew
    assert answer.status in (201, 202), answer.text
    assert f"more memory than its limit, {MEMORY_MB} MB" in team.hub.log
    wait_until(lambda: is_ready(team, "alice"), "Alice's server is up again", 120)


def test_an_image_that_is_missing_is_said_with_what_to_do(team: Team):
    bob = team.people["bob"]
    assert bob.open("hub/api/users/bob/server", method="DELETE").status in (202, 204)
    wait_until(lambda: "" not in bob.open("hub/api/users/bob").json()["servers"], "Bob's server has stopped")
    team.docker("rmi", GONE)
    answer = bob.open("hub/api/users/bob/server", body={"profile": "gone"})
    assert answer.status == 503
    assert f"The image {GONE} is not on this machine" in answer.json()["message"]
    unknown = bob.open("hub/api/users/bob/server", body={"profile": "huge"})
    assert (unknown.status, unknown.json()["message"]) == (400, "There is no profile 'huge'; there are: small, gone.")
    other = bob.open("hub/api/users/bob/server", body={"image": "busybox"})
    assert other.status == 400


def test_ctrl_c_says_what_goes_on(team: Team):
    team.hub.signal(signal.SIGINT)
    assert team.hub.wait() == 0
    assert f"1 user's server goes on; the next start finds it. To end it: docker rm -f {PREFIX}-alice--" in (
        team.hub.printed
    )
    assert team.container("alice")["State"]["Running"]


def checked(team: Team, *, code: int, **more: str) -> dict[str, dict[str, str]]:
    """What `aidp hub check --json` says, by what was looked at."""
    done = subprocess.run(
        [sys.executable, "-m", "aidp_ext.cli", "hub", "check", "--json"],
        env={**environment(team.state_dir, **team.settings()), "AIDP_HUB_PORT": str(team.hub.port), **more},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return {line["what"]: line for line in json.loads(done.stdout)}


def test_a_check_tries_the_network_from_inside(team: Team):
    team.docker("tag", IMAGE, GONE)  # the profile asks for it
    lines = checked(team, code=0)
    assert {lines[name]["mark"] for name in ("engine", "image", "isolation", "metadata", "hub")} == {"ok"}
    assert "cannot be reached" in lines["metadata"]["found"]


def test_a_check_of_a_network_without_walls_fails(team: Team):
    team.docker("network", "create", f"{PREFIX}-open")
    try:
        lines = checked(team, code=1, AIDP_DOCKER_NETWORK=f"{PREFIX}-open")
        assert lines["network"]["mark"] == "fail"
        assert "lets containers reach one another" in lines["network"]["found"]
    finally:
        team.docker("network", "rm", f"{PREFIX}-open")


def test_a_network_without_egress_leads_to_the_hub_alone(team: Team):
    lines = checked(team, code=0, AIDP_DOCKER_NETWORK=f"{PREFIX}-none", AIDP_EGRESS="none")
    assert lines["hub"]["mark"] == "ok"
    assert f"{PREFIX}-none" not in team.docker("network", "ls", "--format", "{{.Name}}"), "what it made, it takes away"


def test_an_engine_without_gpus_is_said_so(team: Team, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DOCKER_HOST", team.host)
    settings = Settings.from_env({**team.settings(), "AIDP_STATE_DIR": str(team.state_dir)})
    request = DeviceRequest(driver="nvidia", device_ids=["GPU-0"], capabilities=[["gpu"]])
    with hub_engine.engine_of(settings) as engine, pytest.raises(EngineFault) as caught:
        engine.run("pass", host={"device_requests": [request]})
    assert caught.value.code == "no_gpu_runtime"
    assert "nvidia-ctk" in (caught.value.next_step or "")
