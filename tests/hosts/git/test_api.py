"""Accounts, import, state, checks, messages, branches and refusals, over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import replace
from typing import Any

import pytest

from tests.git.repo import Repo
from tests.hosts.git.ground import KEY, gits, names, notebook
from tests.support.git_client import Forge, GitClient, error_of
from tests.support.jupyter import Server
from tests.support.processes import wait_until
from tests.support.scripted import MODEL, Scripted

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
