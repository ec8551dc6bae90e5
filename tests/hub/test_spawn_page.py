"""The spawn page and the lease behind it, on a real hub with one GPU."""

import json
import re
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aidp_ext.core.audit import verify
from tests.hub.browser import Browser
from tests.hub.process import Hub
from tests.support.nvidia_smi import A100, NvidiaSmi
from tests.support.processes import wait_until

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def smi(tmp_path: Path) -> NvidiaSmi:
    return NvidiaSmi(tmp_path / "bin")


@pytest.fixture
def start(smi: NvidiaSmi, start_hub: Callable[..., Hub]) -> Callable[..., Hub]:
    return lambda **env: start_hub(PATH=smi.path, OLLAMA_HOST="http://127.0.0.1:9", **env)


def enter(hub: Hub, name: str) -> Browser:
    browser = Browser(hub.url)
    browser.sign_in(name, hub.password)
    return browser


def events(hub: Hub) -> list[tuple[str, str]]:
    """What the audit record says of GPUs."""
    path = hub.state_dir / "service" / "audit.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [(line["event"], line["actor"]) for line in lines if line["event"].startswith("gpu.")]


def choose(browser: Browser, **form: str) -> Any:
    browser.open("hub/spawn")
    xsrf = browser.cookie("_xsrf", "/hub/")
    return browser.open(f"hub/spawn?_xsrf={xsrf}", form=form)


def line_of(text: str) -> str:
    found = re.search(r"<strong>(.*?)</strong>", text, re.DOTALL)
    return re.sub(r"<.*?>", "", found[1]).strip() if found else ""


def starting(browser: Browser, name: str) -> threading.Thread:
    """Ask for a server with a GPU, in a thread: the hub answers when it is up, or after a while."""
    token = browser.api_token(name)

    def ask() -> None:
        with suppress(OSError):  # the hub may be killed meanwhile
            Browser(browser.base, token).open(f"hub/api/users/{name}/server", body={"profile": "gpu"}, method="POST")

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def test_who_comes_second_sees_who_has_it_waits_leaves_and_starts_without(start: Callable[..., Hub]):
    hub = start()
    ana, ben = enter(hub, "ana"), enter(hub, "ben")
    page = ben.open("hub/spawn").text
    assert "1 of 1 free" in page
    assert A100 in page
    asked = starting(ana, "ana")
    wait_until(lambda: ("gpu.leased", "ana") in events(hub), "Ana has the GPU")
    page = ben.open("hub/spawn").text
    assert re.search(r"1 of 1 GPU in use by ana until about <time", page)
    assert line_of(page) == "", "looking is not waiting"
    refused = choose(ben, profile="gpu")
    assert refused.status == 409
    assert re.fullmatch(r"You are 1st in line; your turn comes about \d\d:\d\d\.", line_of(refused.text))
    assert "SpawnException" not in refused.text
    assert line_of(ben.open("hub/spawn").text).startswith("You are 1st in line"), "and looking keeps the place"
    token = Browser(hub.url, ben.api_token("ben"))
    seen = token.open("services/aidp/aidp/hub/gpus").json()
    assert (seen["place"]["position"], seen["waiting"], seen["gpus"][0]["user"]) == (1, 1, "ana")
    left = choose(ben, leave="leave")
    assert (left.status, "You have left the line." in left.text, line_of(left.text)) == (200, True, "")
    assert token.open("services/aidp/aidp/hub/gpus").json()["place"] is None
    choose(ben, profile="gpu")
    eve = enter(hub, "eve")
    assert line_of(choose(eve, profile="gpu").text).startswith("You are 2nd in line")
    assert choose(ben, profile="cpu").url.startswith(f"{hub.url}hub/spawn-pending/ben")
    assert line_of(eve.open("hub/spawn").text).startswith("You are 1st in line"), "who starts without waits no more"
    asked.join()


def test_a_hub_killed_while_it_spawns_and_leases_gives_the_gpu_to_the_next(start: Callable[..., Hub]):
    hub = start()
    ana = enter(hub, "ana")
    asked = starting(ana, "ana")
    wait_until(lambda: ("gpu.leased", "ana") in events(hub), "Ana has the GPU")
    hub.process.send_signal(signal.SIGKILL)
    asked.join()
    hub.wait()
    again = start()
    ben = enter(again, "ben")

    def starts() -> bool:
        return choose(ben, profile="gpu").url.startswith(f"{again.url}hub/spawn-pending/ben")

    wait_until(starts, "what Ana had is Ben's, for her server is gone", 90)
    assert events(again) == [("gpu.leased", "ana"), ("gpu.released", "ana"), ("gpu.leased", "ben")]
    assert verify(again.state_dir / "service" / "audit.jsonl") >= 3


@pytest.fixture
def idle_hub(start: Callable[..., Hub]) -> Hub:
    return start(AIDP_GPU_IDLE_MINUTES="0.02", AIDP_GPU_GRACE_MINUTES="0.05")


def test_a_gpu_that_does_nothing_goes_to_whoever_waits(idle_hub: Hub):
    ana, ben = enter(idle_hub, "ana"), enter(idle_hub, "ben")
    starting(ana, "ana").join()
    wait_until(lambda: ana.open("hub/api/users/ana").json()["servers"][""]["ready"], "her server is up", 90)
    own = Browser(idle_hub.url, ana.api_token("ana"))
    lease = own.open("user/ana/aidp/hub/gpus").json()["lease"]
    assert (lease["kind"], lease["is_held"], lease["is_wanted"]) == (A100, True, False)
    longer = own.open("user/ana/aidp/hub/gpus/extend", body={"server": "somebody-elses"})
    assert (longer.status, longer.json()["lease"]["until_ms"] > lease["until_ms"]) == (200, True)
    token = Browser(idle_hub.url, ben.api_token("ben"))
    waits = token.open("services/aidp/aidp/hub/gpus/wait", body={"kind": "a100"})
    assert waits.json()["place"]["position"] == 1
    refused = own.open("user/ana/aidp/hub/gpus/extend", body={})
    assert (refused.status, refused.json()["error"]["message"]) == (409, "Others wait for this GPU.")
    wait_until(lambda: own.open("user/ana/aidp/hub/gpus").json()["lease"]["is_idle"], "Ana is told")
    wait_until(lambda: ("gpu.released", "ana") in events(idle_hub), "her server is gone")
    offer = token.open("services/aidp/aidp/hub/gpus").json()["lease"]
    assert (offer["is_held"], offer["kind"]) == (False, A100)
    wait_until(lambda: ("gpu.ended", "ana") in events(idle_hub), "the hub has stopped it, and says so")
    assert sorted(event for event, _ in events(idle_hub)) == ["gpu.ended", "gpu.leased", "gpu.released"]
    assert ana.open("hub/api/users/ana").json()["servers"] == {}
