"""`aidp hub check` without an engine: each line says how things are and what to do, and nothing is started."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from aidp_ext.commands import hub_check, hub_engine
from hub_config.engine import EngineFault
from hub_config.settings import Settings
from tests.hub.github import CLIENT_ID, CLIENT_SECRET, GitHubStandIn
from tests.hub.process import environment, run_to_end
from tests.support.processes import free_port

NO_ENGINE = "unix:///nonexistent/docker.sock"


def check(tmp_path: Path, **env: str) -> dict[str, hub_check.Line]:
    """The lines by what was looked at, with settings as a shell would give them."""
    told = {**environment(tmp_path / "state", AIDP_HUB_PORT=str(free_port()), AIDP_GPU="off"), **env}
    return {line.what: line for line in hub_check.check(told)}


def with_github(github: GitHubStandIn, **env: str) -> dict[str, str]:
    return {
        "GITHUB_CLIENT_ID": CLIENT_ID,
        "GITHUB_CLIENT_SECRET": CLIENT_SECRET,
        "GITHUB_URL": github.url,
        "GITHUB_ALLOWED_ORGANIZATIONS": "analysts",
        **env,
    }


@pytest.fixture(scope="module")
def github():
    with GitHubStandIn() as stand_in:
        yield stand_in


@pytest.fixture(autouse=True)
def engine_is_elsewhere(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE)


def run_command(tmp_path: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aidp_ext.cli", "hub", "--port", str(free_port()), "check", *words],
        env={**environment(tmp_path / "state", AIDP_GPU="off"), **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_machine_that_has_all_passes(tmp_path):
    done = run_command(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✔ servers      processes of this account, on this machine only" in done.stdout
    assert done.stdout.endswith("The hub can start: aidp hub\n")
    assert "✖" not in done.stdout
    assert not (tmp_path / "state" / "password").exists()


def test_as_json_it_is_a_list_and_the_status_says_whether_it_failed(tmp_path):
    done = run_command(tmp_path, "--json", AIDP_MEMORY="a lot")
    lines = json.loads(done.stdout)
    assert done.returncode == 1
    assert lines[-1]["what"] == "settings"
    assert lines[-1]["mark"] == "fail"
    assert "AIDP_MEMORY" in lines[-1]["found"]


def test_a_port_that_is_taken_and_a_state_that_cannot_be_kept_fail(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (tmp_path / "state").write_text("a file")
        lines = check(tmp_path, AIDP_HUB_PORT=str(taken.getsockname()[1]))
    assert (lines["port"].mark, lines["state"].mark) == ("fail", "fail")
    assert "AIDP_HUB_PORT" in lines["port"].found


def test_github_is_asked_whether_it_knows_the_app(tmp_path, github):
    lines = check(tmp_path, **with_github(github))
    assert lines["provider"].mark == "ok"
    assert lines["sign-in"].found == "with GitHub: analysts"
    wrong = "8" + CLIENT_SECRET[1:] if CLIENT_SECRET[0] != "8" else "9" + CLIENT_SECRET[1:]
    lines = check(tmp_path, **with_github(github, GITHUB_CLIENT_SECRET=wrong))
    assert lines["provider"].mark == "fail"
    assert "GITHUB_CLIENT_SECRET" in lines["provider"].next_step
    assert wrong not in str(lines)


def test_a_github_that_is_away_is_no_reason_not_to_start(tmp_path, github):
    lines = check(tmp_path, **with_github(github, GITHUB_URL=f"http://127.0.0.1:{free_port()}"))
    assert lines["provider"].mark == "warn"


def test_an_open_port_without_tls_and_a_callback_that_is_not_said_are_warned_of(tmp_path, github):
    lines = check(tmp_path, **with_github(github), AIDP_HUB_HOST="0.0.0.0", AIDP_SPAWNER="docker")
    assert "plain HTTP" in lines["port"].found
    assert lines["callback"].mark == "warn"
    assert "OAUTH_CALLBACK_URL" in lines["callback"].next_step
    env = with_github(github, OAUTH_CALLBACK_URL="https://hub.example.org/hub/oauth_callback")
    assert "https://hub.example.org/hub/oauth_callback" in check(tmp_path, **env)["callback"].found


def test_processes_behind_a_public_address_are_warned_of(tmp_path, github):
    env = with_github(github, OAUTH_CALLBACK_URL="https://hub.example.org/hub/oauth_callback")
    line = check(tmp_path, **env)["servers"]
    assert (line.mark, line.next_step) == ("warn", "Use containers: AIDP_SPAWNER=docker.")
    assert check(tmp_path, **env)["origin"].mark == "warn"  # where others sign in, one of them may have made a page


def test_containers_that_are_asked_for_need_an_engine(tmp_path):
    line = check(tmp_path, AIDP_SPAWNER="docker")["engine"]
    assert line.mark == "fail"
    assert NO_ENGINE in line.found


def test_left_to_itself_a_machine_without_an_engine_runs_processes(tmp_path):
    lines = check(tmp_path, AIDP_SPAWNER="auto")
    assert lines["containers"].mark == "warn"
    assert lines["servers"].mark == "ok"


def test_a_hub_for_others_does_not_start_without_containers(tmp_path, github):
    env = with_github(github, AIDP_HUB_HOST="0.0.0.0", AIDP_SPAWNER="auto", DOCKER_HOST=NO_ENGINE)
    assert check(tmp_path, **env)["engine"].mark == "fail"
    done = run_to_end(tmp_path / "state", AIDP_GPU="off", **env)
    assert done.returncode == 2
    assert "aidp: no_engine: " in done.stderr
    assert "in containers only" in done.stderr


def test_left_to_itself_a_hub_on_loopback_says_in_one_line_that_it_runs_processes(tmp_path):
    settings = Settings.from_env({**environment(tmp_path / "state", AIDP_SPAWNER="auto")})
    ready = hub_engine.make_ready(settings)
    assert ready.settings.containers.spawner == "local"
    assert ready.note == f"no containers: No container engine answers at {NO_ENGINE}."


def test_a_fault_of_an_engine_that_is_there_is_no_reason_for_processes(tmp_path, monkeypatch):
    settings = Settings.from_env({**environment(tmp_path / "state", AIDP_SPAWNER="auto")})
    monkeypatch.setattr(hub_engine, "why_none", lambda _: None)

    def refuse(_: Settings) -> str:
        raise EngineFault("network_differs", "The network is another.", "Remove it.")

    monkeypatch.setattr(hub_engine, "prepare", refuse)
    with pytest.raises(EngineFault, match="another"):
        hub_engine.make_ready(settings)
