"""The way of a GPU into a container: a real hub and a real engine, and a stand-in for NVIDIA's own hook.

The engine hands a request for a GPU to that hook, which on a machine with GPUs brings the devices into the container.
What it would be asked for is seen here, and that nobody else's container is given any.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.hub.browser import Answer, Browser
from tests.hub.process import Hub
from tests.support.engine import NoEngine, docker, engine
from tests.support.image import IMAGE
from tests.support.nvidia_smi import GPU0, NvidiaSmi
from tests.support.processes import wait_until

pytestmark = pytest.mark.timeout(300)

PREFIX = "aidp-test-gpu"
#: The engine says on its input which container it is about, before that begins.
HOOK = "#!/bin/sh\n{{ cat; echo; }} >> {log}\n"
PROFILES = """
[[hub.profiles]]
name = "plain"
memory = "640M"

[[hub.profiles]]
name = "gpu"
memory = "640M"
gpu = true
"""


@dataclass
class Team:
    """A hub with one GPU, two people, and the engine with what its hook was asked."""

    host: str
    log: Path
    settings: dict[str, str]
    hub: Hub
    people: dict[str, Browser]

    def docker(self, *words: str) -> str:
        return docker(*words, host=self.host)

    def ask(self, name: str, profile: str) -> Answer:
        return self.people[name].open(f"hub/api/users/{name}/server", body={"profile": profile})

    def is_up(self, name: str) -> bool:
        servers = self.people[name].open(f"hub/api/users/{name}").json()["servers"]
        assert "" in servers, self.hub.log[-3000:]
        return bool(servers[""]["ready"])

    def stop(self, name: str) -> None:
        assert self.people[name].open(f"hub/api/users/{name}/server", method="DELETE").status in (202, 204)
        wait_until(
            lambda: self.people[name].open(f"hub/api/users/{name}").json()["servers"] == {}, f"{name}'s has stopped"
        )

    def hooked(self) -> set[str]:
        """The ids of the containers that the hook was asked about."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return {json.loads(line)["id"] for line in lines if line.strip()}

    def inspect(self, name: str) -> dict[str, Any]:
        return json.loads(self.docker("inspect", f"{PREFIX}-{name}--"))[0]

    def devices(self, name: str) -> str | None:
        """What the container's first process was told of the devices that it has."""
        text = self.docker("exec", f"{PREFIX}-{name}--", "cat", "/proc/1/environ")
        told = dict(line.split("=", 1) for line in text.split("\0") if "=" in line)
        return told.get("NVIDIA_VISIBLE_DEVICES")

    def clean(self) -> None:
        ours = f"label=org.aidp.hub={PREFIX}"
        for kind, remove in (("ps -aq", "rm -fv"), ("volume ls -q", "volume rm -f"), ("network ls -q", "network rm")):
            for found in self.docker(*kind.split(), "--filter", ours).split():
                self.docker(*remove.split(), found)
        for name in self.people:
            self.docker("volume", "rm", "-f", f"{PREFIX}-home-{name}")


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("gpus")
    log, programs, smi = folder / "asked", folder / "programs", NvidiaSmi(folder / "bin")
    programs.mkdir()
    hook = programs / "nvidia-container-runtime-hook"
    hook.write_text(HOOK.format(log=log))
    hook.chmod(0o755)
    (folder / "profiles.toml").write_text(PROFILES)
    with ExitStack() as stack:
        try:
            host = stack.enter_context(engine(programs))
            docker("image", "inspect", IMAGE, host=host)
        except NoEngine as error:
            pytest.skip(str(error))
        except subprocess.CalledProcessError:
            pytest.skip("the image of a user's server is not built; `make test` builds it")
        settings = {
            "AIDP_SPAWNER": "docker",
            "DOCKER_HOST": host,
            "AIDP_LAB_IMAGE": IMAGE,
            "AIDP_LAB_GPU_IMAGE": IMAGE,
            "AIDP_DOCKER_PREFIX": PREFIX,
            "AIDP_DOCKER_NETWORK": PREFIX,
            "AIDP_METADATA": "unguarded",
            "AIDP_LIVE_EDITING": "off",
            "AIDP_PROFILES": str(folder / "profiles.toml"),
            "OLLAMA_HOST": "http://127.0.0.1:9",
            "PATH": smi.path,
        }
        hub = Hub(folder / "state", **settings)
        team = Team(host, log, settings, hub, {})
        stack.callback(team.clean)
        stack.callback(lambda: team.hub.close())
        hub.wait_ready()
        for name in ("ana", "ben"):
            browser = team.people[name] = Browser(hub.url)
            browser.sign_in(name, hub.password)
            browser.token = browser.api_token(name)
        yield team


def test_one_container_gets_the_gpu_and_the_other_gets_none_until_its_turn(team: Team) -> None:
    with ThreadPoolExecutor(2) as both:  # at once
        asked = dict(zip(("ana", "ben"), both.map(lambda name: team.ask(name, "gpu"), ("ana", "ben")), strict=True))
    having, waiting = sorted(asked, key=lambda name: asked[name].status)
    assert asked[having].status in (201, 202), asked[having].text
    assert (asked[waiting].status, "1st in line" in asked[waiting].json()["message"]) == (409, True)
    wait_until(lambda: team.is_up(having), "who has it is up", 120)
    found = team.inspect(having)
    requests = [(one["Driver"], one["DeviceIDs"], one["Capabilities"]) for one in found["HostConfig"]["DeviceRequests"]]
    assert requests == [("nvidia", [GPU0], [["gpu"]])]
    assert (team.devices(having), team.hooked()) == (GPU0, {found["Id"]})
    # without one meanwhile: whatever the image says of itself, there is nothing to be seen
    assert team.ask(waiting, "plain").status in (201, 202)
    wait_until(lambda: team.is_up(waiting), "who waits is up without one", 120)
    assert team.inspect(waiting)["HostConfig"]["DeviceRequests"] is None
    assert (team.devices(waiting), team.hooked()) == ("void", {found["Id"]})
    team.stop(waiting)
    team.stop(having)
    assert team.ask(waiting, "gpu").status in (201, 202)
    wait_until(lambda: team.is_up(waiting), "the next has it", 120)
    assert team.devices(waiting) == GPU0
    assert team.hooked() == {found["Id"], team.inspect(waiting)["Id"]}


def test_a_hub_that_starts_anew_leaves_the_gpu_with_the_container_that_has_it(team: Team) -> None:
    holder = next(name for name in team.people if team.people[name].open(f"hub/api/users/{name}").json()["servers"])
    other = next(name for name in team.people if name != holder)
    before = team.inspect(holder)["Id"]
    team.hub.find("-m jupyterhub -f").kill()
    team.hub.wait()
    team.hub.close()
    team.hub = Hub(team.hub.state_dir, port=team.hub.port, **team.settings)
    team.hub.wait_ready()
    assert team.is_up(holder)
    assert team.inspect(holder)["Id"] == before
    refused = team.ask(other, "gpu")
    assert (refused.status, f"in use by {holder}" in refused.json()["message"]) == (409, True)
