"""Git in a real Jupyter server, against a real Git server, a stand-in for GitHub's REST and a scripted model."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.git.repo import Repo
from tests.support.git_client import Forge, GitClient, error_of, failed, forge, steps
from tests.support.git_http import GitHttpServer
from tests.support.gitlab_api import GitlabApi
from tests.support.jupyter import Server, jupyter_server
from tests.support.kernel import in_terminal, kernel
from tests.support.processes import wait_until
from tests.support.scripted import MODEL, Scripted, scripted

KEY = "AKIA" + "QYLPMN5HHHFPZAM2"
#: The checks of a commit are not waited for, a system's keyring is not looked for, and the log says all that it can.
OPTIONS = ("--GitConfig.checks_wait_s=0", "--ServerApp.log_level=DEBUG")
NO_KEYRING = {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}


def environment(*forges: Forge, **more: str) -> dict[str, str]:
    return {"AIDP_FORGES": ",".join(f"{one.git.url}=github" for one in forges), **NO_KEYRING, **more}


def notebook(source: str, output: str) -> str:
    cell = {
        "cell_type": "code",
        "id": "cell-1",
        "metadata": {},
        "execution_count": 1,
        "source": [source],
        "outputs": [{"output_type": "stream", "name": "stdout", "text": [output]}],
    }
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """The forge where Ana is signed in."""
    with forge(tmp_path_factory.mktemp("forge")) as running:
        yield running


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """A forge where nobody is signed in."""
    with forge(tmp_path_factory.mktemp("other")) as running:
        yield running


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitlabApi]:
    """A GitLab, where Ana has a token."""
    with GitHttpServer(tmp_path_factory.mktemp("gitlab")) as git:
        yield GitlabApi(git)


@pytest.fixture(scope="module")
def model() -> Iterator[Scripted]:
    with scripted() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ana")


@pytest.fixture(scope="module")
def server(folder: Path, hub: Forge, other: Forge, lab: GitlabApi, model: Scripted) -> Iterator[Server]:
    (folder / "home").mkdir()
    (folder / "home" / ".gitconfig").write_text("[credential]\n\thelper = store\n")  # which keeps what it is given
    told = environment(hub, other, LOCAL_OPENAI_BASE_URL=model.url)
    told["AIDP_FORGES"] += f",{lab.url}=gitlab"
    with jupyter_server(folder, told, *OPTIONS) as running:
        yield running


@pytest.fixture(scope="module")
def ana(server: Server, hub: Forge) -> GitClient:
    """Ana, signed in at the forge."""
    client = GitClient(server)
    account = client.post("accounts", host=hub.host, token=hub.token)
    assert (account["login"], account["source"]) == ("ana", "keyring")
    return client


@pytest.fixture(autouse=True)
def _tidy(hub: Forge, model: Scripted) -> Iterator[None]:
    hub.git.reached.clear()
    yield
    hub.git.gate.set()
    model.reset()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for the test's own repository."""
    return f"r{zlib.crc32(request.node.name.encode())}"


@pytest.fixture
def repo(ana: GitClient, hub: Forge, name: str) -> Repo:
    """The test's own repository, cloned."""
    hub.add(name)
    return Repo(ana.clone(hub, name))


def family(pid: int) -> list[psutil.Process]:
    return [one for one in psutil.Process(pid).children(recursive=True) if one.is_running()]


def sockets(pid: int) -> list[str]:
    """Return the sockets of files that a process listens on."""
    return [str(one.laddr) for one in psutil.Process(pid).net_connections("unix") if "aidp-git-" in str(one.laddr)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def gits(pid: int) -> list[psutil.Process]:
    """Return the git processes of a server."""
    found = []
    for one in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            if one.name().startswith("git") and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
    return found


# --- accounts


def test_a_token_is_kept_once_the_forge_has_said_whose_it_is(ana: GitClient, other: Forge) -> None:
    def account() -> dict[str, Any]:
        return next(dict(one) for one in ana.get("accounts")["accounts"] if one["host"] == other.host)

    assert (account()["source"], account()["login"], account()["kind"]) == ("none", None, "github")
    status, error = ana.refused("POST", "accounts", {"host": other.host, "token": "ghu_" + "0" * 36})
    assert (status, error["code"], error["details"]["field"]) == (400, "invalid_request", "token")
    assert account()["source"] == "none"
    assert ana.refused("GET", "repositories", host=other.host)[0] == 409
    added = ana.post("accounts", host=other.host, token=other.token, kind="github")
    assert added == account()
    assert (added["login"], added["source"], added["problem"]) == ("ana", "keyring", None)
    assert ana.get("repositories", host=other.host)["repositories"] == []
    status, _ = ana.call("DELETE", f"accounts/{other.host}")
    assert status == 200
    assert account()["source"] == "none"
    assert ana.refused("DELETE", f"accounts/{other.host}")[0] == 404
    assert other.token.encode() not in b"".join(ana.heard)
    assert other.token not in ana.server.log.read_text()


@pytest.mark.parametrize(
    "token", ["x", "ghu_0123456789\r\nX-Evil: yes", "ghu_with a space", "ghu_üüüüüüüüüü", "\0" * 20]
)
def test_what_is_no_token_is_sent_nowhere(ana: GitClient, other: Forge, token: str) -> None:
    before = len(other.git.requests) + len(other.api.requests)
    status, error = ana.refused("POST", "accounts", {"host": other.host, "token": token})
    assert (status, error["code"], error["details"]["field"]) == (400, "invalid_request", "token")
    assert len(other.git.requests) + len(other.api.requests) == before
    assert "X-Evil" not in ana.server.log.read_text()


def test_an_unknown_forge_and_one_of_another_kind_are_refused(ana: GitClient, other: Forge) -> None:
    status, error = ana.refused("POST", "accounts", {"host": "git.example.org", "token": "x" * 20})
    assert (status, error["code"]) == (404, "not_found")
    assert "AIDP_FORGES" in error["details"]["next_step"]
    assert ana.refused("POST", "accounts", {"host": other.host, "token": "x" * 20, "kind": "gitlab"})[0] == 409


# --- import


def test_the_repositories_are_listed_and_searched(ana: GitClient, hub: Forge, name: str) -> None:
    hub.add(name)
    hub.git.add_repository("sam/secret", files={"a": "1"}, members=["sam"])
    hub.git.add_repository("sam/shared", files={"a": "1"}, members=["sam", "ana"])
    listed = {one["full_name"]: one for one in ana.get("repositories", host=hub.host)["repositories"]}
    assert listed[hub.full(name)]["private"] is True
    assert listed[hub.full(name)]["clone_url"] == hub.address(name)
    assert "sam/shared" in listed and "sam/secret" not in listed
    found = ana.get("repositories", host=hub.host, q=name)["repositories"]
    assert [one["full_name"] for one in found] == [hub.full(name)]


def test_a_clone_tells_how_far_it_is_and_what_to_open(ana: GitClient, hub: Forge, name: str) -> None:
    hub.add(name, **{"README.md": "# Titanic\n", "big.bin": os.urandom(2_000_000), "a.ipynb": "{}"})
    *progress, done = ana.events("clone", url=hub.address(name))
    assert done == {"kind": "done", "path": name, "open": f"{name}/README.md", "notes": []}
    assert progress and {one["kind"] for one in progress} == {"progress"}
    assert any(one["percent"] == 100 for one in progress), progress
    root = ana.server.root / name
    assert (root / "README.md").read_text() == "# Titanic\n"
    assert Repo(root)("config", "--get", "remote.origin.url") == hub.address(name)
    [refused] = ana.events("clone", url=hub.address(name))
    assert error_of(refused)["code"] == "conflict"
    *_, done = ana.events("clone", url=hub.address(name), name=f"{name}-2", mode="shallow")
    assert done["path"] == f"{name}-2" and "unshallow" in done["notes"][0]


def test_closing_the_connection_of_a_clone_ends_it_and_leaves_nothing(ana: GitClient, hub: Forge, name: str) -> None:
    hub.add(name)
    before = names(ana.server.root)
    hub.git.gate.clear()
    cloning = ana.stream("clone", url=hub.address(name))
    assert hub.git.reached.wait(60)
    assert gits(ana.server.pid)
    cloning.close()
    wait_until(lambda: not gits(ana.server.pid), "git has ended")
    wait_until(lambda: names(ana.server.root) == before, "nothing is left")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://ana:{token}@{host}/ana/x.git", "invalid_request"),
        ("file:///etc", "invalid_request"),
        ("--upload-pack=touch /tmp/x", "invalid_request"),
        ("http://{host}/ana/not-there.git", "remote_not_found"),
        ("http://127.0.0.1:9/ana/x.git", "network_failed"),
    ],
)
def test_what_cannot_be_cloned_says_why_without_the_token(ana: GitClient, hub: Forge, url: str, code: str) -> None:
    events = ana.events("clone", url=url.format(token=hub.token, host=hub.host), name="never")
    assert error_of(events[-1])["code"] == code
    assert not (ana.server.root / "never").exists()
    assert hub.token.encode() not in b"".join(ana.heard)


def test_a_folder_becomes_a_repository(ana: GitClient, name: str) -> None:
    (ana.server.root / name).mkdir()
    state = ana.post("init", path=name)
    assert (state["path"], state["branch"], state["head"]) == (name, "main", None)
    assert ana.refused("POST", "init", {"path": name})[1]["code"] == "conflict"
    assert ana.refused("POST", "init", {"path": "../outside"})[0] == 403


# --- the state and the checks


def test_a_repository_that_is_as_it_was_is_told_in_a_word(ana: GitClient, repo: Repo, name: str) -> None:
    state = ana.get("state", path=name)
    assert (state["branch"], state["upstream"], state["changes"]) == ("main", "origin/main", [])
    assert ana.get("state", path=name, known=state["fingerprint"]) == {
        "unchanged": True,
        "fingerprint": state["fingerprint"],
    }
    repo.write({"a.py": "a = 1\n"})
    changed = ana.get("state", path=f"{name}/README.md")  # any path in it will do
    assert [(one["path"], one["kind"], one["staged"]) for one in changed["changes"]] == [("a.py", "untracked", "no")]
    staged = ana.post("stage", path=name, files=["a.py"], staged=True)
    assert [(one["path"], one["kind"], one["staged"]) for one in staged["changes"]] == [("a.py", "added", "yes")]
    assert staged["fingerprint"] != state["fingerprint"]
    assert "changes" in ana.get("state", path=name, known=state["fingerprint"])
    unstaged = ana.post("stage", path=name, files=["a.py"], staged=False)
    assert unstaged["changes"][0]["staged"] == "no"


def test_outputs_are_stripped_from_what_is_staged_and_never_from_the_file(
    ana: GitClient, repo: Repo, name: str
) -> None:
    repo.write({"a.ipynb": notebook(f"key = '{KEY}'", "x" * 300_000)})
    on_disk = (repo.root / "a.ipynb").read_bytes()
    state = ana.stage_all(name)
    assert "outputs" in state["changes"][0]["summary"]
    *checks, done = ana.events("preflight", path=name)
    found = {one["check"]["name"]: one["check"]["findings"] for one in checks}
    assert {one["kind"] for one in checks} == {"check"}
    assert [one["severity"] for one in found["secrets"]] == ["block"]
    assert KEY.encode() not in b"".join(ana.heard)
    assert done["blocking"] >= 1 and done["tree"] == repo("write-tree")
    assert ana.refused("POST", "fix", {"path": name, "finding": found["outputs"][0]["id"], "fix": "burn"})[0] == 400
    ana.post("fix", path=name, finding=found["outputs"][0]["id"], fix="strip")
    assert (repo.root / "a.ipynb").read_bytes() == on_disk
    staged = json.loads(repo.staged("a.ipynb"))
    assert staged["cells"][0]["outputs"] == [] and staged["cells"][0]["source"] == [f"key = '{KEY}'"]
    ana.post("waive", path=name, finding=found["secrets"][0]["id"], reason="a key of the documentation")
    *checks, done = ana.events("preflight", path=name)
    assert done["blocking"] == 0
    assert next(one["check"]["waived"] for one in checks if one["check"]["name"] == "secrets") == 1
    status, error = ana.refused("POST", "fix", {"path": name, "finding": "nothing-1", "fix": "strip"})
    assert (status, error["code"]) == (404, "finding_gone")


def test_a_model_writes_the_message_of_what_is_staged(
    ana: GitClient, repo: Repo, name: str, model: Scripted, hub: Forge
) -> None:
    model.script("Impute age by title\n\nThe median of each title.", when="")
    repo.write({"prep.py": "age = titles.median()\n"})
    ana.stage_all(name)
    *words, done = ana.events("message", path=name)
    assert "".join(one["text"] for one in words).startswith("Impute age by title")
    assert done["text"].startswith("Impute age by title")
    assert (done["kind"], done["route"], done["locality"]) == ("done", f"local/{MODEL}", "local")
    [asked] = model.chats
    assert "titles.median()" in str(asked.body["messages"])
    repo("commit", "--quiet", "-m", "Median")
    assert ana.events("message", path=name, what="pull-request")[-1]["kind"] == "done"
    assert "titles.median()" in str(model.chats[-1].body["messages"])


def test_no_model_is_told_of_a_secret(ana: GitClient, repo: Repo, name: str, model: Scripted) -> None:
    repo.write({"prep.py": f"key = '{KEY}'\n"})
    ana.stage_all(name)
    status, error = ana.refused("POST", "message", {"path": name})
    assert (status, error["code"]) == (409, "secrets_staged")
    assert error["details"]["findings"]
    assert not model.asked


def test_there_is_nothing_to_say_of_nothing(ana: GitClient, repo: Repo, name: str, model: Scripted) -> None:
    status, error = ana.refused("POST", "message", {"path": name})
    assert (status, error["code"]) == (409, "conflict") and repo.head
    assert not model.asked


def test_what_leaves_the_page_stops_the_model(ana: GitClient, repo: Repo, name: str, model: Scripted) -> None:
    model.script("word ", forever=True, delay_ms=5)
    repo.write({"prep.py": "age = 1\n"})
    ana.stage_all(name)
    with contextlib.closing(ana.stream("message", path=name)) as writing:
        assert next(iter(writing))["kind"] == "text"
    wait_until(lambda: model.chats[-1].disconnected_at, "the model's reader has gone")


def test_a_secret_that_was_committed_past_the_checks_is_told_to_no_model_either(
    ana: GitClient, repo: Repo, name: str, model: Scripted
) -> None:
    repo("switch", "--quiet", "--create", "topic")
    repo.write({"prep.py": f"key = '{KEY}'\n"})
    repo("add", "prep.py")
    repo("commit", "--quiet", "-m", "Past the checks")
    assert ana.events("message", path=name, what="pull-request")[-1]["kind"] == "done"
    asked = str(model.chats[-1].body["messages"])
    assert "Past the checks" in asked and "prep.py" in asked
    assert KEY not in asked


# --- ship


def test_ship_goes_from_what_is_staged_to_a_pull_request(ana: GitClient, repo: Repo, name: str, hub: Forge) -> None:
    repo.write({"a.py": "a = 1\n"})
    ana.stage_all(name)
    tree = ana.events("preflight", path=name)[-1]["tree"]
    opened = {"title": "A title", "body": "Why", "draft": True}
    events = ana.events("ship", path=name, message="Add a", tree=tree, branch="feature/a", open=opened)
    assert {one["kind"] for one in events} == {"job"}
    job = events[-1]["job"]
    assert job["state"] == "done", [one for one in job["steps"] if one["error"]]
    seen = {(step["name"], step["state"]) for one in events for step in one["job"]["steps"]}
    assert {("push", "running"), ("push", "done"), ("pull-request", "done")} <= seen
    [pull] = hub.api.pulls[hub.full(name)]
    assert (pull["title"], pull["head"]["ref"], pull["base"]["ref"], pull["draft"]) == (
        "A title",
        "feature/a",
        "main",
        True,
    )
    assert job["pull_request"]["url"] == pull["html_url"]
    assert hub.branches(name)["feature/a"] == job["commit"] == repo.head
    assert repo("log", "-1", "--format=%an <%ae>").startswith("ana <")
    assert ana.job(name) == job
    hub.api.add_check(job["commit"], "tests", "failure", log="line 1\nAssertionError: 1 != 2\n")
    said = ana.get("pull-request", path=name)
    assert (said["pull_request"]["number"], said["checks"]["state"]) == (1, "failure")
    assert "AssertionError" in said["checks"]["checks"][0]["log_tail"]
    suggestions = ana.get("suggestions", path=name)
    assert (suggestions["base"], suggestions["title"]) == ("main", "Add a")
    assert ana.call("DELETE", "ship", path=name) == (200, {"job": None})
    assert ana.job(name) is None


def test_a_closed_tab_stops_nothing(ana: GitClient, repo: Repo, name: str, hub: Forge) -> None:
    repo.write({"a.py": "a = 1\n"})
    ana.stage_all(name)
    hub.git.gate.clear()
    watching = ana.stream("ship", path=name, message="Add a")
    assert hub.git.reached.wait(60)
    watching.close()
    job = ana.job(name)
    assert job is not None and job["state"] == "running"
    status, error = ana.refused("POST", "ship", {"path": name, "message": "Again"})
    assert (status, error["code"]) == (409, "already_shipping")
    with contextlib.closing(ana.stream("ship/resume", path=name)) as again:  # a tab that is opened anew watches it
        assert next(iter(again))["job"]["id"] == job["id"]
        hub.git.gate.set()
        assert list(again)[-1]["job"]["state"] == "done"
    done = ana.job_in(name, "done")
    assert done["id"] == job["id"] and hub.branches(name)["main"] == done["commit"]


def test_a_stop_ends_git_and_it_can_be_gone_on_with(ana: GitClient, repo: Repo, name: str, hub: Forge) -> None:
    repo.write({"a.py": "a = 1\n"})
    ana.stage_all(name)
    before = hub.branches(name)
    hub.git.gate.clear()
    with contextlib.closing(ana.stream("ship", path=name, message="Add a")) as watching:
        assert hub.git.reached.wait(60)
        assert ana.post("ship/cancel", path=name)["job"]["state"] == "cancelled"
        assert list(watching)[-1]["job"]["state"] == "cancelled"
    wait_until(lambda: not gits(ana.server.pid), "git has ended")
    hub.git.gate.set()
    assert hub.branches(name) == before
    job = ana.events("ship/resume", path=name)[-1]["job"]
    assert job["state"] == "done" and hub.branches(name)["main"] == job["commit"] == repo.head
    assert ana.refused("POST", "ship/resume", {"path": name})[0] == 404


def test_a_forge_that_limits_or_is_gone_stops_only_what_needs_it(
    ana: GitClient, repo: Repo, name: str, hub: Forge
) -> None:
    repo.write({"a.py": "a = 1\n"})
    ana.stage_all(name)
    hub.api.limited = "primary"
    try:
        assert ana.refused("GET", "repositories", host=hub.host)[1]["code"] == "rate_limited"
        job = ana.ship(name, branch="topic", open={"title": "A"})
        assert failed(job) == "rate_limited"
        assert (steps(job)["push"], steps(job)["pull-request"]) == ("done", "failed")
        suggestions = ana.get("suggestions", path=name)
        assert (suggestions["reviewers"], suggestions["base"]) == ([], "main")
    finally:
        hub.api.limited = None
    job = ana.events("ship/resume", path=name)[-1]["job"]
    assert job["state"] == "done" and len(hub.api.pulls[hub.full(name)]) == 1
    hub.git.down = True
    try:
        assert ana.refused("GET", "repositories", host=hub.host)[0] in (502, 503)
        assert ana.refused("POST", "pull", {"path": name})[1]["code"] == "network_failed"
        assert ana.refused("POST", "accounts", {"host": hub.host, "token": "ghu_" + "0" * 36})[0] in (502, 503)
        assert ana.get("state", path=name)["branch"] == "topic"
        assert next(one for one in ana.get("accounts")["accounts"] if one["host"] == hub.host)["login"] == "ana"
    finally:
        hub.git.down = False


def test_a_token_that_is_revoked_in_mid_push_is_told_and_a_new_one_goes_on(
    ana: GitClient, repo: Repo, name: str, hub: Forge
) -> None:
    repo.write({"a.py": "a = 1\n"})
    ana.stage_all(name)
    mortal = hub.git.issue("ana")
    ana.post("accounts", host=hub.host, token=mortal)
    hub.git.revoke_before_push(mortal)
    job = ana.ship(name)
    assert failed(job) in ("authentication_failed", "signed_out_of_forge")
    assert steps(job)["commit"] == "done"
    ana.post("accounts", host=hub.host, token=hub.token)
    job = ana.events("ship/resume", path=name)[-1]["job"]
    assert job["state"] == "done" and hub.branches(name)["main"] == job["commit"]
    said = b"".join(ana.heard) + ana.server.log.read_bytes()
    assert mortal.encode() not in said


def test_two_tabs_that_go_on_at_once_share_one_job(ana: GitClient, repo: Repo, name: str, hub: Forge) -> None:
    hub.git.add_hook(hub.full(name), "pre-receive", "sleep 0.2; exit 1")
    repo.write({"a.py": "a = 1\n"})
    ana.stage_all(name)
    assert failed(ana.ship(name)) == "push_rejected"
    pushes = len(hub.git.asked("git-receive-pack"))
    with ThreadPoolExecutor(6) as tabs:
        ends = [one[-1]["job"] for one in tabs.map(lambda _: ana.events("ship/resume", path=name), range(6))]
    assert {failed(one) for one in ends} == {"push_rejected"}
    tried = [one for one in hub.git.asked("git-receive-pack")[pushes:] if one.method == "POST"]
    # Who came while the first one was pushing saw its job; who came later, their own
    assert len(tried) == len({one["updated_at"] for one in ends})


@pytest.mark.parametrize("branch", ["-x", "a b", "a..b", "refs/heads/"])
def test_a_branch_that_cannot_be_is_refused_and_nothing_is_committed(
    ana: GitClient, repo: Repo, name: str, branch: str
) -> None:
    before = repo.head
    repo.write({"a.py": "a = 1\n"})
    ana.stage_all(name)
    assert failed(ana.ship(name, branch=branch)) == "invalid_request"
    assert repo.head == before and repo("branch", "--list", "--format=%(refname:short)") == "main"


def test_odd_names_of_branches_and_files_are_shipped(
    ana: GitClient, repo: Repo, name: str, hub: Forge, model: Scripted
) -> None:
    birds = ("heron", "crane", "stork", "egret", "goose", "eider", "snipe")
    odd: dict[str | bytes, str | bytes] = {
        "-x.py": "heron\n",
        "new\nline.py": "crane\n",
        "ünï.py": "stork\n",
        b"\xff.py": "egret\n",
        "*.py": "goose\n",
        ":(glob)x": "eider\n",
        "-.ipynb": notebook("snipe", "1"),
    }
    repo.write(odd)
    state = ana.get("state", path=name)
    assert len(state["changes"]) == len(odd)
    state = ana.post("stage", path=name, files=[one["path"] for one in state["changes"]], staged=True)
    assert {one["staged"] for one in state["changes"]} == {"yes"}
    assert ana.events("preflight", path=name)[-1]["kind"] == "done"
    assert ana.events("message", path=name)[-1]["kind"] == "done"
    asked = str(model.chats[-1].body["messages"])
    assert {bird: asked.count(bird) for bird in birds} == dict.fromkeys(birds, 1)
    job = ana.ship(name, branch="ünï/c'ode-1.0", open={"title": "Odd"})
    assert job["state"] == "done", [one for one in job["steps"] if one["error"]]
    assert hub.branches(name)["ünï/c'ode-1.0"] == job["commit"]
    assert ana.events("message", path=name, what="pull-request")[-1]["kind"] == "done"
    asked = str(model.chats[-1].body["messages"])
    assert {bird: asked.count(bird) for bird in birds} == dict.fromkeys(birds, 1)


def test_gitlab_goes_the_same_way_to_a_merge_request(ana: GitClient, lab: GitlabApi, name: str) -> None:
    token, host = lab.add_user("ana"), lab.url.removeprefix("http://")
    lab.git.add_repository(f"ana/{name}", files={"README.md": "x\n"}, members=["ana"])
    assert ana.post("accounts", host=host, token=token)["login"] == "ana"
    [listed] = ana.get("repositories", host=host, q=name)["repositories"]
    done = ana.events("clone", url=listed["clone_url"])[-1]
    repo = Repo(ana.server.root / done["path"])
    repo.write({"a.py": "a = 1\n"})
    ana.stage_all(name)
    job = ana.ship(name, branch="topic", open={"title": "A title"})
    assert job["state"] == "done", [one for one in job["steps"] if one["error"]]
    [request] = lab.merge_requests[f"ana/{name}"]
    assert (request["title"], request["source_branch"], request["target_branch"]) == ("A title", "topic", "main")
    assert lab.git.branches(f"ana/{name}")["topic"] == job["commit"]
    assert token.encode() not in b"".join(ana.heard) + ana.server.log.read_bytes()


# --- branch, undo, pull


def test_a_branch_is_made_and_its_last_commit_taken_back(ana: GitClient, repo: Repo, name: str) -> None:
    assert ana.post("branch", path=name, name="release-1.0")["branch"] == "release-1.0"
    assert ana.refused("POST", "branch", {"path": name, "name": "-x"})[0] == 400
    assert ana.refused("POST", "undo", {"path": name})[1]["code"] == "cannot_undo"
    repo.write({"a.py": "a = 1\n"})
    repo("add", "a.py")
    repo("commit", "--quiet", "-m", "Add a")
    assert ana.get("state", path=name)["can_undo"] is True
    state = ana.post("undo", path=name)
    assert [(one["path"], one["staged"]) for one in state["changes"]] == [("a.py", "yes")]
    assert state["last"]["subject"] == "First" and (repo.root / "a.py").read_text() == "a = 1\n"


@pytest.mark.parametrize("how", ["rebase", "merge"])
def test_a_conflict_is_told_with_its_files_and_can_be_taken_back(
    ana: GitClient, repo: Repo, name: str, hub: Forge, how: str
) -> None:
    hub.git.commit(hub.full(name), {"theirs.py": "t = 1\n"})
    assert ana.post("pull", path=name, how=how)["behind"] == 0
    assert (repo.root / "theirs.py").exists()
    repo.write({"README.md": "# Ours\n"})
    repo("commit", "--quiet", "-a", "-m", "Ours")
    ours = repo.head
    hub.git.commit(hub.full(name), {"README.md": "# Theirs\n"})
    status, error = ana.refused("POST", "pull", {"path": name, "how": how})
    assert (status, error["code"], error["details"]["files"]) == (409, "merge_conflict", ["README.md"])
    state = ana.get("state", path=name)
    assert state["operation"] == how
    assert [(one["path"], one["kind"]) for one in state["changes"]] == [("README.md", "conflict")]
    assert ana.refused("POST", "pull", {"path": name, "how": how})[1]["code"] == "merge_conflict"
    state = ana.post("abort", path=name)
    assert (state["operation"], state["changes"], state["head"]) == (None, [], ours)
    assert (repo.root / "README.md").read_text() == "# Ours\n"


def test_a_lock_that_was_left_behind_is_told_and_removed(ana: GitClient, repo: Repo, name: str) -> None:
    lock = repo.root / ".git" / "index.lock"
    lock.touch()
    os.utime(lock, (0, 0))
    assert ana.get("state", path=name)["lock_age_s"] > 1000
    repo.write({"a.py": "a = 1\n"})
    status, error = ana.refused("POST", "stage", {"path": name, "files": ["a.py"], "staged": True})
    assert (status, error["code"]) == (409, "repository_busy")
    assert "index.lock" in json.dumps(error)
    assert ana.post("unlock", path=name)["lock_age_s"] is None
    assert ana.post("stage", path=name, files=["a.py"], staged=True)["changes"][0]["staged"] == "yes"


# --- errors


@pytest.mark.parametrize(
    ("method", "path", "body", "query", "expected"),
    [
        ("GET", "suggestions", None, {"path": "nowhere"}, (404, "not_a_repository")),
        ("GET", "state", None, {"path": "../.."}, (403, "forbidden")),
        ("GET", "suggestions", None, {"path": "/etc"}, (404, "not_a_repository")),
        ("GET", "suggestions", None, {"path": "a\0b"}, (404, "not_a_repository")),
        ("GET", "repositories", None, {"host": "nowhere.example"}, (409, "conflict")),
        ("GET", "repositories", None, {"page": "0"}, (400, "invalid_request")),
        ("GET", "ship", None, {"path": "nowhere"}, (404, "not_a_repository")),
        ("POST", "stage", {"path": "", "files": [], "staged": True}, {}, (400, "invalid_request")),
        ("POST", "stage", b"{", {}, (400, "invalid_json")),
        ("POST", "ship", {"path": "nowhere", "message": "x"}, {}, (404, "not_a_repository")),
        ("POST", "ship/cancel", {"path": "nowhere"}, {}, (404, "not_a_repository")),
        ("POST", "accounts", {"host": "", "token": "x"}, {}, (400, "invalid_request")),
        ("POST", "accounts/device", {"host": "github.com"}, {}, (409, "conflict")),
        ("POST", "accounts/device/none", {}, {}, (404, "not_found")),
        ("PUT", "state", {}, {}, (405, "method_not_allowed")),
        ("GET", "nothing", None, {}, (404, "not_found")),
    ],
)
def test_every_refusal_has_the_one_form(
    ana: GitClient, method: str, path: str, body: Any, query: dict[str, str], expected: tuple[int, str]
) -> None:
    status, error = ana.refused(method, path, body, **query)
    assert (status, error["code"]) == expected


@pytest.mark.parametrize("path", ["preflight", "clone"])
def test_what_is_refused_in_a_stream_has_it_too(ana: GitClient, path: str) -> None:
    [event] = ana.events(path, path="nowhere", url="gopher://x/y")
    assert error_of(event)["code"] in ("not_a_repository", "invalid_request")


def test_nobody_gets_in_without_a_token(server: Server) -> None:
    stranger = GitClient(replace(server, token="wrong"))
    for method, path in (("GET", "accounts"), ("GET", "state"), ("POST", "ship"), ("POST", "clone")):
        assert stranger.refused(method, path, {} if method == "POST" else None)[0] in (401, 403)


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
