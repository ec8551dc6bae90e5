"""What `aidp hub` cannot start with: one line that says what to do, before anything runs."""

import socket
from pathlib import Path

import pytest

from aidp_ext.commands import hub
from hub_config.settings import Settings
from tests.hub.process import run_to_end


def refusal(state_dir: Path, **more) -> tuple[int, str, str]:
    """The exit status, the code and the message."""
    answer = run_to_end(state_dir, **more)
    name, code, message = answer.stderr.strip().split(": ", 2)
    assert name == "aidp"
    assert answer.stdout == ""
    assert "\n" not in message
    return answer.returncode, code, message


def programs(folder: Path, **scripts: str) -> str:
    """A PATH with these programs and no other."""
    folder.mkdir()
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return str(folder)


def test_a_port_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, code, message = refusal(tmp_path / "state", port=port)
    assert (status, code) == (2, "port_in_use")
    assert f"127.0.0.1:{port}" in message
    assert "--port" in message


def test_an_address_that_is_not_this_machines(tmp_path):
    assert refusal(tmp_path / "state", AIDP_HUB_HOST="127.0.0.1.example")[1] == "bad_settings"
    with pytest.raises(hub.CannotStart, match="AIDP_HUB_HOST") as caught:
        hub.check_port(Settings(host="192.0.2.1", state_dir=tmp_path))
    assert caught.value.code == "port_not_usable"


def test_no_node(tmp_path):
    status, code, message = refusal(tmp_path / "state", PATH=programs(tmp_path / "bin"))
    assert (status, code) == (2, "no_node")
    assert "https://nodejs.org" in message


@pytest.mark.parametrize(
    ("script", "words"),
    [("#!/bin/sh\necho v18.20.4\n", "v18.20.4 is too old"), ("#!/bin/sh\nexit 3\n", "does not run")],
)
def test_a_node_that_is_too_old_or_broken(tmp_path, script, words):
    _, code, message = refusal(tmp_path / "state", PATH=programs(tmp_path / "bin", node=script))
    assert code == "no_node"
    assert words in message


def test_no_proxy(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "find_proxy", lambda: None)
    monkeypatch.setattr(hub, "check_node", lambda: None)
    with pytest.raises(hub.CannotStart, match="make hub") as caught:
        hub.check_machine(Settings(state_dir=tmp_path))
    assert caught.value.code == "no_proxy"


def test_no_jupyterhub(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "find_spec", lambda name: None)
    with pytest.raises(hub.CannotStart, match="pip install") as caught:
        hub.check_machine(Settings(state_dir=tmp_path))
    assert caught.value.code == "no_jupyterhub"


def test_a_state_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    status, code, message = refusal(tmp_path / "file" / "state")
    assert (status, code) == (2, "state_not_writable")
    assert "AIDP_STATE_DIR" in message


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a place that even root cannot write to")
def test_a_state_folder_that_cannot_be_written():
    with pytest.raises(hub.CannotStart) as caught:
        hub.check_state_dir(Path("/proc/self"))
    assert caught.value.code == "state_not_writable"


def test_bad_settings(tmp_path):
    status, code, message = refusal(tmp_path / "state", AIDP_HUB_HOST="0.0.0.0")
    assert (status, code) == (2, "bad_settings")
    assert "GITHUB_CLIENT_ID" in message


def test_a_password_file_that_was_emptied(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "password").write_text("")
    assert "--new-password" in refusal(tmp_path / "state")[2]


def test_records_that_are_damaged(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "jupyterhub.sqlite").write_bytes(b"not a database" * 100)
    assert refusal(tmp_path / "state")[:2] == (2, "state_damaged")


def test_a_hub_that_fails_as_it_starts_says_why_and_where_its_log_is(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "cookie-secret").write_text("00" * 32)
    (tmp_path / "state" / "cookie-secret").chmod(0o644)  # JupyterHub refuses a key that others can read
    answer = run_to_end(tmp_path / "state")
    first, *why = answer.stderr.splitlines()
    assert answer.returncode == 1
    assert first.startswith("aidp: hub_failed: ")
    assert first.endswith("hub.log")
    assert "cookie_secret_file" in why[0]
