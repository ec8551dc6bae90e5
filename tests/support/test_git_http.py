"""The Git server of the tests, against git itself."""

from __future__ import annotations

import gzip
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.exchange import certificate
from tests.support.git_http import GitHttpServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitHttpServer]:
    with GitHttpServer(tmp_path / "served") as server:
        server.add_repository("ana/penguins", files={"README.md": "# Penguins\n"}, members=["ben"])
        yield server


class Client:
    """git, as a user with a token: the helper reads it from the environment of the test's own git alone."""

    def __init__(self, home: Path, token: str | None) -> None:
        helper = '!f() { test "$1" = get && echo username=x-access-token && echo "password=$TEST_TOKEN"; }; f'
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            **{f"GIT_{who}_{what}": "ana@x.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
            **({"TEST_TOKEN": token} if token else {}),
        }
        self.options = ("-c", f"credential.helper={helper}") if token else ()

    def __call__(self, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", *self.options, *args], cwd=cwd, env=self.environment, capture_output=True, text=True
        )

    def clone(self, server: GitHttpServer, into: Path, *more: str) -> subprocess.CompletedProcess[str]:
        return self("clone", *more, f"{server.url}/ana/penguins.git", str(into), cwd=into.parent)

    def commit(self, where: Path, text: str | bytes = "new", name: str = "new.txt") -> None:
        (where / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        self("add", "--", name, cwd=where)
        assert self("commit", "-m", "new", cwd=where).returncode == 0


def client(server: GitHttpServer, tmp_path: Path, login: str | None = "ana") -> Client:
    return Client(tmp_path, server.issue(login) if login else None)


def test_a_private_repository_is_cloned_and_pushed_to(server: GitHttpServer, tmp_path: Path) -> None:
    git, here = client(server, tmp_path), tmp_path / "here"
    assert git.clone(server, here).returncode == 0
    git.commit(here)
    pushed = git("push", "origin", "HEAD:refs/heads/topic", cwd=here)
    assert pushed.returncode == 0, pushed.stderr
    assert server.read("ana/penguins", "new.txt", "topic") == b"new"
    assert set(server.branches("ana/penguins")) == {"main", "topic"}
    token = git.environment["TEST_TOKEN"]
    assert token not in repr(server.requests)
    assert {one.login for one in server.asked("git-receive-pack")} == {None, "ana"}


def test_git_asks_for_refs_with_the_second_protocol_and_without_the_suffix(
    server: GitHttpServer, tmp_path: Path
) -> None:
    git = client(server, tmp_path)
    answered = git("-c", "protocol.version=2", "ls-remote", f"{server.url}/ana/penguins", cwd=tmp_path)
    assert answered.stdout.startswith(server.branches("ana/penguins")["main"])
    assert server.requests[-1].headers["git-protocol"] == "version=2"


@pytest.mark.parametrize(
    ("login", "status", "words"),
    [(None, 401, "could not read Username"), ("cleo", 404, "not found"), ("ben", 200, "")],
)
def test_who_may_clone(server: GitHttpServer, tmp_path: Path, login: str | None, status: int, words: str) -> None:
    answered = client(server, tmp_path, login).clone(server, tmp_path / "here")
    assert words in answered.stderr
    assert (answered.returncode == 0) is (status == 200)
    assert server.requests[-1].status == status


def test_who_may_only_read_cannot_push(server: GitHttpServer, tmp_path: Path) -> None:
    server.add_repository("ana/open", files={"a": "1"}, private=False, members={"ben": "read"})
    nobody, ben = client(server, tmp_path, None), client(server, tmp_path, "ben")
    here = tmp_path / "here"
    assert nobody("clone", f"{server.url}/ana/open.git", str(here), cwd=tmp_path).returncode == 0
    ben.commit(here)
    assert "could not read Username" in nobody("push", cwd=here).stderr
    assert "403" in ben("push", cwd=here).stderr


def test_a_large_push_comes_in_chunks_and_a_shallow_and_a_partial_clone_work(
    server: GitHttpServer, tmp_path: Path
) -> None:
    git, here = client(server, tmp_path), tmp_path / "here"
    git.clone(server, here)
    noise = os.urandom(3_000_000)
    git.commit(here, noise, "large.bin")
    assert git("push", cwd=here).returncode == 0
    assert server.read("ana/penguins", "large.bin", "main") == noise
    assert "chunked" in [one.headers.get("transfer-encoding") for one in server.requests]
    assert git.clone(server, tmp_path / "shallow", "--depth=1").returncode == 0
    assert git("rev-list", "--count", "HEAD", cwd=tmp_path / "shallow").stdout == "1\n"
    assert git.clone(server, tmp_path / "partial", "--filter=blob:none", "--no-checkout").returncode == 0
    assert "large.bin" in git("ls-tree", "--name-only", "HEAD", cwd=tmp_path / "partial").stdout


def test_a_token_that_ends_in_mid_push_pushes_nothing_and_a_new_one_does(server: GitHttpServer, tmp_path: Path) -> None:
    git, here = client(server, tmp_path), tmp_path / "here"
    git.clone(server, here)
    git.commit(here)
    before = server.branches("ana/penguins")
    server.revoke_before_push(git.environment["TEST_TOKEN"])
    refused = git("push", cwd=here)
    assert refused.returncode != 0
    assert "Authentication failed" in refused.stderr or "401" in refused.stderr
    assert server.branches("ana/penguins") == before
    git.environment["TEST_TOKEN"] = server.issue("ana")
    assert git("push", cwd=here).returncode == 0
    assert server.branches("ana/penguins") != before


def test_an_expired_token_is_refused(server: GitHttpServer, tmp_path: Path) -> None:
    git = Client(tmp_path, server.issue("ana", ttl_s=-1))
    assert "Authentication failed" in git.clone(server, tmp_path / "here").stderr


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_push_that_is_cut_off_while_it_sends_pushes_nothing(server: GitHttpServer, tmp_path: Path, size: int) -> None:
    git, here = client(server, tmp_path), tmp_path / "here"
    git.clone(server, here)
    git.commit(here, os.urandom(size))
    before = server.branches("ana/penguins")
    server.cut_next_push(after_bytes=100)
    assert git("push", cwd=here).returncode != 0
    assert server.branches("ana/penguins") == before
    assert git("push", cwd=here).returncode == 0


def test_a_push_whose_answer_is_cut_off_has_been_done(server: GitHttpServer, tmp_path: Path) -> None:
    git, here = client(server, tmp_path), tmp_path / "here"
    git.clone(server, here)
    git.commit(here)
    server.cut_next_push(when="answering")
    assert git("push", cwd=here).returncode != 0
    assert server.read("ana/penguins", "new.txt", "main") == b"new"
    assert "up-to-date" in git("push", cwd=here).stderr


def test_a_push_waits_at_the_gate_while_others_are_answered(server: GitHttpServer, tmp_path: Path) -> None:
    git, here = client(server, tmp_path), tmp_path / "here"
    git.clone(server, here)
    git.commit(here)
    server.gate.clear()
    with subprocess.Popen(
        ["git", *git.options, "push"], cwd=here, env=git.environment, stderr=subprocess.DEVNULL
    ) as push:
        assert server.reached.wait(60)
        with urllib.request.urlopen(_refs(server, git)) as answer:
            assert answer.status == 200
        assert push.poll() is None
        server.gate.set()
        assert push.wait(60) == 0


def _refs(server: GitHttpServer, git: Client) -> urllib.request.Request:
    headers = {"Authorization": f"Bearer {git.environment['TEST_TOKEN']}"}
    return urllib.request.Request(f"{server.url}/ana/penguins.git/info/refs?service=git-upload-pack", headers=headers)


def test_a_delay_is_before_the_answer_to_a_pack(server: GitHttpServer, tmp_path: Path) -> None:
    server.delay_s = 0.01
    assert client(server, tmp_path).clone(server, tmp_path / "here").returncode == 0
    assert server.reached.is_set()


def test_a_server_that_is_down_answers_nobody(server: GitHttpServer, tmp_path: Path) -> None:
    server.down = True
    assert client(server, tmp_path).clone(server, tmp_path / "here").returncode != 0
    assert not server.requests
    server.down = False
    assert client(server, tmp_path).clone(server, tmp_path / "here").returncode == 0


def test_a_zipped_body_is_read(server: GitHttpServer, tmp_path: Path) -> None:
    request = _refs(server, client(server, tmp_path))
    want = f"want {server.branches('ana/penguins')['main']}\n".encode()
    body = b"%04x%s" % (len(want) + 4, want) + b"00000009done\n"
    request.full_url = f"{server.url}/ana/penguins.git/git-upload-pack"
    request.data = gzip.compress(body)
    request.add_header("Content-Encoding", "gzip")
    request.add_header("Content-Type", "application/x-git-upload-pack-request")
    with urllib.request.urlopen(request) as answer:
        assert b"PACK" in answer.read()


def test_a_protected_branch_says_why(server: GitHttpServer, tmp_path: Path) -> None:
    server.protect("ana/penguins", "main")
    git, here = client(server, tmp_path), tmp_path / "here"
    git.clone(server, here)
    git.commit(here)
    refused = git("push", cwd=here)
    assert "GH006: Protected branch update failed" in refused.stderr
    assert "hook declined" in refused.stderr
    assert git("push", "origin", "HEAD:refs/heads/topic", cwd=here).returncode == 0


def test_commits_of_others_appear_on_the_branch(server: GitHttpServer) -> None:
    first = server.branches("ana/penguins")["main"]
    name = 'odd "näme"\\\n'
    second = server.commit("ana/penguins", {name: "1", "README.md": None}, branch="main")
    topic = server.commit("ana/penguins", {"b": b"\0"}, branch="topic", start="main")
    assert len({first, second, topic}) == 3
    assert server.read("ana/penguins", name) == b"1"
    assert server.read("ana/penguins", "README.md") is None
    assert server.read("ana/penguins", "b", "topic") == b"\0"
    assert server.read("ana/penguins", name, "topic") == b"1"


def test_what_is_no_repository_is_not_found(server: GitHttpServer) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        urllib.request.urlopen(f"{server.url}/anything")
    refused.value.close()


def test_over_https_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    with GitHttpServer(tmp_path / "served", certificate=pem) as server:
        server.add_repository("ana/penguins", files={"a": "1"})
        git = client(server, tmp_path)
        git.environment["GIT_SSL_CAINFO"] = str(pem)
        assert server.url.startswith("https://")
        cloned = git.clone(server, tmp_path / "here")
        assert cloned.returncode == 0, cloned.stderr
