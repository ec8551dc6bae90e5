"""The sign-in reaches kernels and terminals, the token is nowhere to be seen, and servers end in mid-push."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.git.repo import Repo
from tests.hosts.git.ground import OPTIONS, environment, family, gits, names, sockets
from tests.support.git_client import Forge, GitClient, steps
from tests.support.jupyter import Server, jupyter_server
from tests.support.kernel import in_terminal, kernel
from tests.support.processes import wait_until

# --- kernels and terminals


def test_a_kernel_pushes_and_pulls_with_no_prompt(ana: GitClient, repo: Repo, name: str, hub: Forge) -> None:
    with kernel(ana.server) as cell:
        environ = json.loads(cell.run("import json, os; print(json.dumps(dict(os.environ)))").text)
        assert hub.token not in json.dumps(environ)
        assert Path(environ["AIDP_CRED_SOCK"]).stat().st_mode & 0o777 == 0o600
        said = cell.run(
            f"!cd {name} && echo 'k = 1' > k.py && git add k.py && git commit -q -m 'From a kernel' &&"
            " git push -q origin main && git fetch -q origin && echo all-is-well"
        ).text
        assert "all-is-well" in said, said
    assert hub.branches(name)["main"] == repo.head
    assert repo("log", "-1", "--format=%s by %an") == "From a kernel by ana"


def test_a_terminal_clones_and_pushes_with_no_prompt(ana: GitClient, hub: Forge, name: str) -> None:
    hub.add(name)
    command = (
        f"git clone -q {hub.address(name)} {name}-t && cd {name}-t && git commit -q --allow-empty -m 'From a terminal'"
        " && git push -q origin main; echo EN''D $?"
    )
    screen = in_terminal(ana.server, command, "END")
    assert re.search(r"END 0", screen), screen
    assert hub.branches(name)["main"] == Repo(ana.server.root / f"{name}-t").head
    assert hub.token not in screen


def test_a_token_that_is_good_no_more_makes_a_cell_fail_and_not_wait(
    ana: GitClient, repo: Repo, name: str, hub: Forge
) -> None:
    mortal = hub.git.issue("ana")
    ana.post("accounts", host=hub.host, token=mortal)
    repo("commit", "--quiet", "--allow-empty", "-m", "More")
    hub.git.revoke(mortal)
    with kernel(ana.server) as cell:
        for _ in range(2):  # git asks for another one after the first time
            said = cell.end(cell.begin(f"!cd {name} && git push -q origin main; echo EN''D $?"), seconds=30).text
            assert re.search(r"END [1-9]", said), said
        assert "Add the account again" in said
        ana.post("accounts", host=hub.host, token=hub.token)
        assert "END 0" in cell.run(f"!cd {name} && git push -q origin main; echo EN''D $?").text
    assert hub.branches(name)["main"] == repo.head


def test_the_token_that_kernels_have_opens_no_endpoint_of_git(ana: GitClient, server: Server) -> None:
    with kernel(server) as cell:
        token = cell.run("import os; print(os.environ['AIDP_AI_TOKEN'], end='')").text
    theirs = GitClient(replace(server, token=token))
    for path in ("accounts", "state", "repositories"):
        assert theirs.refused("GET", path)[0] == 403
    assert theirs.refused("DELETE", f"accounts/{ana.server.url}")[0] in (403, 404)
    assert theirs.refused("POST", "ship", {"path": ""})[0] == 403


# --- the token


def needles(token: str) -> list[bytes]:
    """Return a token as it is, and as HTTP sends it."""
    pairs = [f"{who}:{token}" for who in ("x-access-token", "ana", "oauth2")]
    return [token.encode(), *(base64.b64encode(pair.encode()) for pair in pairs)]


def files_with(token: str, *folders: Path) -> list[Path]:
    found = []
    for top in folders:
        for path in top.rglob("*"):
            if path.is_file() and not path.is_symlink() and any(one in path.read_bytes() for one in needles(token)):
                found.append(path)
    return found


def processes_with(token: str) -> list[str]:
    """Return every process of this machine that shows a token in its command line or its environment."""
    found = []
    for pid in psutil.pids():
        for what in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                shown = Path(f"/proc/{pid}/{what}").read_bytes()
                found += [f"{pid}/{what}"] if any(one in shown for one in needles(token)) else []
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_the_token_is_nowhere_to_be_seen(ana: GitClient, repo: Repo, name: str, hub: Forge, folder: Path) -> None:
    repo.write({"a.py": "a = 1\n"})
    ana.stage_all(name)
    hub.git.gate.clear()
    watching = ana.stream("ship", path=name, message="Add a", branch="topic", open={"title": "A"})
    assert hub.git.reached.wait(60)
    assert {one.name() for one in gits(ana.server.pid)} >= {"git"}
    assert processes_with(hub.token) == []  # while git talks to the forge
    hub.git.gate.set()
    assert list(watching)[-1]["job"]["state"] == "done"
    watching.close()
    with kernel(ana.server) as cell:  # beside a kernel, and a terminal that has pushed too
        assert "well" in cell.run(f"!cd {name} && git push -q --dry-run origin topic && echo well").text
        assert processes_with(hub.token) == []
        place = Path(cell.run("import os; print(os.environ['AIDP_CRED_SOCK'], end='')").text).parent
    # Log, workspace with each .git, home with the accounts and the record, and where the socket is
    assert files_with(hub.token, folder, place) == []
    assert hub.token.encode() not in b"".join(ana.heard)
    # It is kept all the same: sealed, in files that only their owner reads
    kept = ana.server.home / "data" / "aidp" / "git"
    accounts = json.loads((kept / "accounts.json").read_text())
    assert accounts[hub.host]["login"] == "ana"
    for path in kept.rglob("*"):
        assert path.is_dir() or path.stat().st_mode & 0o077 == 0, path
    record = (ana.server.home / "data" / "aidp" / "audit.jsonl").read_text()
    assert '"git.credential"' in record and hub.host in record
    assert not (ana.server.home / ".git-credentials").exists()


# --- a server that is killed


def test_a_server_that_is_stopped_in_mid_push_ends_git_and_the_next_one_goes_on(
    tmp_path: Path, hub: Forge, name: str
) -> None:
    hub.add(name)
    with jupyter_server(tmp_path, environment(hub), *OPTIONS) as first:
        ana = GitClient(first)
        ana.post("accounts", host=hub.host, token=hub.token)
        place = Path(next(iter(sockets(first.pid)))).parent
        repo = Repo(ana.clone(hub, name))
        repo.write({"a.py": "a = 1\n"})
        ana.stage_all(name)
        hub.git.gate.clear()
        shipping = ana.stream("ship", path=name, message="Add a", branch="topic", open={"title": "A"})
        assert hub.git.reached.wait(60)
        below = family(first.pid)
        psutil.Process(first.pid).terminate()
        shipping.close()
        assert not psutil.wait_procs(below, timeout=30)[1]
        hub.git.gate.set()
    assert not place.exists()
    assert "Traceback" not in first.log.read_text()
    with jupyter_server(tmp_path, environment(hub), *OPTIONS) as second:
        ana = GitClient(second)
        job = ana.job(name)
        assert job is not None and job["state"] in ("cancelled", "interrupted")
        job = ana.events("ship/resume", path=name)[-1]["job"]
        assert job["state"] == "done" and hub.branches(name)["topic"] == job["commit"] == repo.head


@pytest.mark.parametrize("whole", [True, False], ids=["with its children", "alone"])
def test_a_server_that_is_killed_in_mid_push_says_where_it_stood_and_goes_on(
    tmp_path: Path, hub: Forge, name: str, whole: bool
) -> None:
    hub.add(name)
    hub.add(f"{name}-2")
    with jupyter_server(tmp_path, environment(hub), *OPTIONS) as first:
        ana = GitClient(first)
        ana.post("accounts", host=hub.host, token=hub.token)
        repo = Repo(ana.clone(hub, name))
        repo.write({"a.py": "a = 1\n"})
        ana.stage_all(name)
        hub.git.gate.clear()
        shipping = ana.stream("ship", path=name, message="Add a", branch="topic", open={"title": "A"})
        assert hub.git.reached.wait(60)
        cloning = ana.stream("clone", url=hub.address(f"{name}-2"))
        wait_until(lambda: len(names(first.root)) == 2, "the clone has begun")
        below = family(first.pid)
        for one in (psutil.Process(first.pid), *(below if whole else [])):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        shipping.close()
        cloning.close()
        hub.git.gate.set()
        psutil.wait_procs(below, timeout=60)
    with jupyter_server(tmp_path, environment(hub), *OPTIONS) as second:
        ana = GitClient(second)
        job = ana.job(name)
        assert job is not None and job["state"] == "interrupted"
        assert steps(job)["commit"] == "done" and steps(job)["push"] == "waiting"
        assert job["commit"] == repo.head
        job = ana.events("ship/resume", path=name)[-1]["job"]
        assert job["state"] == "done", [one for one in job["steps"] if one["error"]]
        assert hub.branches(name)["topic"] == job["commit"] == repo.head
        assert repo("rev-list", "--count", "main..topic") == "1"
        assert len(hub.api.pulls[hub.full(name)]) == 1
        assert not list(repo.root.rglob("*.lock"))
        ana.clone(hub, f"{name}-2")  # which sweeps away what was left of the first one
        assert names(second.root) == [name, f"{name}-2"]


def test_the_log_has_no_traceback_and_no_git_is_left(server: Server) -> None:
    assert "Traceback" not in server.log.read_text()
    assert not gits(server.pid)
