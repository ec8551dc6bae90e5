"""Ship over HTTP, from what is staged to a review, with what comes between; and what is taken back."""

from __future__ import annotations

import contextlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.git.repo import Repo
from tests.hosts.git.ground import gits, notebook
from tests.support.git_client import Forge, GitClient, failed, steps
from tests.support.gitlab_api import GitlabApi
from tests.support.processes import wait_until
from tests.support.scripted import Scripted

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
    repo("commit", "--quiet", "-m", "Add a\n\nSince b needs it.\n\nMLflow-Run: elk")
    assert ana.get("state", path=name)["can_undo"] is True
    undone = ana.post("undo", path=name)
    state = undone["state"]
    assert undone["message"] == "Add a\n\nSince b needs it."
    assert ana.get("runs", path=name) == {"runs": [], "note": ""}
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
