"""jupyterlab-git beside aidp: its own tests pass, and what it does asks for no password."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.git.repo import Repo
from tests.support.git_client import Forge, GitClient, forge
from tests.support.jupyter import Server, clean_environment, jupyter_server
from tests.support.kernel import call, kernel
from tests.support.processes import REPO

HOME = REPO / ".venv" / "jlg"
PLUGIN = REPO / "tests" / "support" / "jlg_tests.py"
#: Upon these words it asks for a user and a password.
DIALOG = r"Invalid username or password|could not read (Username|Password)|Authentication error"
#: They make a file that cannot be read, which there is not for the user root.
NOT_FOR_ROOT = ("tests/test_ignore.py::test_ensure_gitignore_failure", "tests/test_ignore.py::test_ignore_failure")
OPTIONS = ("--ServerApp.log_level=DEBUG", "--GitConfig.checks_wait_s=0")
NEEDED = {"jupyterlab_git": 70, "jupyterlab_git_core": 115}  # tests at least: that none of them was overlooked


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    with forge(tmp_path_factory.mktemp("forge")) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, hub: Forge) -> Iterator[Server]:
    """A server with both extensions, in which Ana is signed in at the forge."""
    assert (HOME / "bin" / "python").exists(), "jupyterlab-git is not set up: run `make .venv/.done/jlg`"
    folder = tmp_path_factory.mktemp("server")
    extensions = folder / "home" / "config" / "jupyter_server_config.d"
    extensions.mkdir(parents=True)
    (extensions / "git.json").write_text(json.dumps({"ServerApp": {"jpserver_extensions": {"jupyterlab_git": True}}}))
    environment = {
        "AIDP_FORGES": f"{hub.git.url}=github",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }
    with jupyter_server(folder, environment, *OPTIONS, python=HOME / "bin" / "python") as running:
        GitClient(running).post("accounts", host=hub.host, token=hub.token)
        yield running


@pytest.fixture(scope="module")
def told(server: Server) -> dict[str, str]:
    """What aidp puts into the environment of every git below a server."""
    with kernel(server) as cell:
        found: dict[str, str] = json.loads(cell.run("import json, os; print(json.dumps(dict(os.environ)))").text)
    given = {name: value for name, value in found.items() if name.startswith(("GIT_CONFIG_", "AIDP_CRED_"))}
    assert "AIDP_CRED_SOCK" in given and int(given["GIT_CONFIG_COUNT"]) >= 9
    return given


@pytest.mark.parametrize("package", NEEDED)
def test_its_own_tests_pass(package: str, told: dict[str, str], tmp_path: Path) -> None:
    shutil.copy(PLUGIN, tmp_path)
    argv = [
        str(HOME / "bin" / "python"),
        "-m",
        "pytest",
        "-q",
        "-c",
        os.devnull,
        "--rootdir=.",
        "-p",
        "no:cacheprovider",
    ]
    argv += ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function", f"--basetemp={tmp_path}/t"]
    if package == "jupyterlab_git":  # the other one has no server
        argv += ["-p", "pytest_jupyter.jupyter_server", "-p", PLUGIN.stem]
    if os.geteuid() == 0:
        argv += [f"--deselect={name}" for name in NOT_FOR_ROOT]
    environment = clean_environment(tmp_path / "home", {**told, "PYTHONPATH": str(tmp_path)})
    done = subprocess.run(
        [*argv, "tests"], cwd=HOME / "sources" / package, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    passed = re.search(r"^(\d+) passed(?:, (?!.*(failed|error|skipped)).*)? in ", done.stdout, re.MULTILINE)
    assert passed is not None and int(passed[1]) >= NEEDED[package], done.stdout[-2000:]


def theirs(server: Server, path: str, **body: Any) -> Any:
    """Ask one of jupyterlab-git's endpoints; it answers with a status of 500 where git fails."""
    return call(server, "POST", f"git/{path}", body)


def test_it_clones_pushes_and_pulls_with_no_prompt(server: Server, hub: Forge) -> None:
    hub.add("theirs")
    assert theirs(server, "clone", clone_url=hub.address("theirs"))["code"] == 0
    repo = Repo(server.root / "theirs")
    repo.write({"a.py": "a = 1\n"})
    listed = theirs(server, "theirs/status")["files"]
    assert [(one["to"], one["x"], one["y"]) for one in listed] == [("a.py", "?", "?")]
    ours = GitClient(server).get("state", path="theirs")
    assert [(one["path"], one["kind"]) for one in ours["changes"]] == [("a.py", "untracked")]
    assert theirs(server, "theirs/add", add_all=True)["code"] == 0
    assert theirs(server, "theirs/commit", commit_msg="By jupyterlab-git")["code"] == 0
    assert repo("log", "-1", "--format=%s by %an") == "By jupyterlab-git by ana"
    assert theirs(server, "theirs/push")["code"] == 0
    assert hub.branches("theirs")["main"] == repo.head
    commit = hub.git.commit(hub.full("theirs"), {"b.py": "b = 1\n"})
    assert theirs(server, "theirs/pull")["code"] == 0
    assert repo.head == commit
    assert GitClient(server).get("state", path="theirs")["behind"] == 0


def test_a_token_that_is_good_no_more_is_told_and_a_new_one_goes_on(server: Server, hub: Forge) -> None:
    hub.add("mortal")
    ana = GitClient(server)
    repo = Repo(ana.clone(hub, "mortal"))
    repo("commit", "--quiet", "--allow-empty", "-m", "More")
    mortal = hub.git.issue("ana")
    ana.post("accounts", host=hub.host, token=mortal)
    hub.git.revoke(mortal)
    for _ in range(2):  # after the first time aidp knows that there is none
        with pytest.raises(HTTPError) as refused:
            theirs(server, "mortal/push")
        with refused.value as answer:
            said = json.load(answer)["message"]
        assert not re.search(DIALOG, said), said
    assert "Add the account again" in said
    ana.post("accounts", host=hub.host, token=hub.token)
    assert theirs(server, "mortal/push")["code"] == 0
    assert hub.branches("mortal")["main"] == repo.head


def test_a_conflict_of_ours_is_one_in_its_view_too(server: Server, hub: Forge) -> None:
    hub.add("both")
    ana = GitClient(server)
    repo = Repo(ana.clone(hub, "both"))
    repo.write({"README.md": "# Ours\n"})
    ana.stage_all("both")
    hub.git.commit(hub.full("both"), {"README.md": "# Theirs\n"})
    job = ana.ship("both", how="merge")
    assert job["state"] == "failed"
    files = theirs(server, "both/status")["files"]
    assert [(one["to"], one["x"], one["y"]) for one in files] == [("README.md", "U", "U")]
    repo.write({"README.md": "# Both\n"})
    assert theirs(server, "both/add", add_all=True)["code"] == 0
    job = ana.events("ship/resume", path="both")[-1]["job"]
    assert job["steps"][4]["state"] == "done", job
    assert hub.git.read(hub.full("both"), "README.md", "main") == b"# Both\n"


def test_the_token_is_in_none_of_its_files_and_logs(server: Server, hub: Forge) -> None:
    log = server.log.read_text()
    assert "Execute ['git', 'push'" in log  # it does tell of its commands
    assert hub.token not in log
    for path in server.root.rglob("*"):
        assert not path.is_file() or hub.token.encode() not in path.read_bytes(), path
