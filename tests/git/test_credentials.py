"""From the broker to a repository: real git, a real server that wants a token, and whoever should not get one."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from aidp_ext.core.errors import AidpError, GitAuthenticationFailed, SignedOutOfForge, StorageError
from aidp_ext.git.clone import clone
from aidp_ext.git.command import Git, Locks
from aidp_ext.git.credentials import AllowedOwners, CredentialBroker, helper
from aidp_ext.git.credentials.environment import Identity, appended, git_environment, helper_command
from aidp_ext.git.models import Account, Token
from aidp_ext.git.work import fetch
from tests.support.git_http import GitHttpServer

HELPER = Path(helper.__file__)
#: A Python that another account can run too.
ANYBODYS_PYTHON = shutil.which("python3", path="/usr/bin:/bin")


class Source:
    """Has a token for one host, and tells how often it was asked."""

    def __init__(self, host: str, token: str) -> None:
        self.host, self.value = host, token
        self.asked: list[bool] = []
        self.expires_at: float | None = None
        self.error: AidpError | None = None
        self.next: list[str] = []
        self.hold: asyncio.Event | None = None

    async def token(self, host: str, *, fresh: bool = False) -> Token | None:
        if host != self.host:
            return None
        self.asked.append(fresh)
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        if fresh and self.next:
            self.value = self.next.pop(0)
        return Token(self.value, expires_at=self.expires_at)

    async def account(self, host: str) -> Account | None:
        return Account(host, "github", f"http://{host}", login="ana") if host == self.host else None


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[GitHttpServer]:
    with GitHttpServer(tmp_path / "forge") as server:
        server.add_repository("ana/titanic", files={"README.md": "# Titanic\n"})
        server.add_repository("eve/trap", files={"README.md": "# Trap\n"})
        yield server


@pytest.fixture
def source(forge: GitHttpServer) -> Source:
    return Source(forge.host, forge.issue("ana"))


@pytest.fixture
def records() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def place() -> Iterator[Path]:
    """A short path: a socket's may not be long."""
    folder = tempfile.mkdtemp(prefix="aidp-test-")
    yield Path(folder)
    shutil.rmtree(folder)


@pytest.fixture
async def broker(
    place: Path, source: Source, records: list[dict[str, Any]], forge: GitHttpServer
) -> AsyncIterator[CredentialBroker]:
    broker = CredentialBroker(
        place / "private" / "git",
        source,
        lambda event, **fields: records.append({"event": event, **fields}),
        AllowedOwners(lambda: frozenset({forge.host, "github.com"}), frozenset({"Ana", "bob"})),
        plain=frozenset({forge.host}),
    )
    await broker.start()
    yield broker
    await broker.stop()


@pytest.fixture
def env(broker: CredentialBroker, forge: GitHttpServer, tmp_path: Path) -> dict[str, str]:
    """What a terminal of the server has, with a helper for every host that somebody set up before."""
    home = tmp_path / "home"
    home.mkdir()
    leak = home / "other-helper"
    leak.write_text(f'#!/bin/sh\necho "$1" >> {home}/asked; cat >> {home}/asked\n')
    leak.chmod(0o755)
    (home / ".gitconfig").write_text(f"[credential]\n\thelper = {leak}\n")
    base = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}
    return {**base, **git_environment(base, [forge.url], broker.socket_path)}


async def git(env: dict[str, str], *args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run, ["git", *args], env=env, cwd=cwd, capture_output=True, text=True, timeout=60
    )


async def ask(
    broker: CredentialBroker, action: str = "get", python: str = sys.executable, **fields: str
) -> subprocess.CompletedProcess[str]:
    """Run the helper as git does."""
    asked = "".join(f"{name}={value}\n" for name, value in fields.items())
    return await asyncio.to_thread(
        subprocess.run,
        [python, "-I", "-S", str(HELPER), action],
        input=asked,
        env={"AIDP_CRED_SOCK": str(broker.socket_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def of(forge: GitHttpServer, path: str = "ana/titanic.git", **more: str) -> dict[str, str]:
    return {"protocol": "http", "host": forge.host, "path": path, **more}


# ---- what works


async def test_git_clones_commits_and_pushes_with_the_token_of_the_sign_in(env, forge, tmp_path, source, records):
    copy = tmp_path / "copy"
    done = await git(env, "clone", f"{forge.url}/ana/titanic.git", str(copy))
    assert done.returncode == 0, done.stderr
    (copy / "new.txt").write_text("new\n")
    identity = ["-c", "user.name=Ana", "-c", "user.email=ana@example.org"]
    assert (await git(env, "add", "new.txt", cwd=copy)).returncode == 0
    assert (await git(env, *identity, "commit", "-qm", "New", cwd=copy)).returncode == 0
    done = await git(env, "push", "origin", "main", cwd=copy)
    assert done.returncode == 0, done.stderr
    assert forge.read("ana/titanic", "new.txt") == b"new\n"
    assert {one.login for one in forge.asked("git-receive-pack") if one.status == 200} == {"ana"}
    given = [record for record in records if record["outcome"] == "given"]
    assert {(record["event"], record["host"], record["path"]) for record in given} == {
        ("git.credential", forge.host, "ana/titanic.git")
    }
    assert all(record["pid"] > 0 for record in given)
    assert source.value not in repr(records)
    assert not (tmp_path / "home" / "asked").exists(), "the helper for every host saw nothing, and keeps nothing"


async def test_the_token_is_nowhere_while_a_slow_push_runs(env, forge, tmp_path, source):
    """Not in the arguments or the environment of any program, not in git's files, and not in what git says."""
    copy = tmp_path / "copy"
    await git(env, "clone", "-q", f"{forge.url}/ana/titanic.git", str(copy))
    identity = ["-c", "user.name=Ana", "-c", "user.email=ana@example.org"]
    await git(env, *identity, "commit", "-q", "--allow-empty", "-m", "New", cwd=copy)
    forge.gate.clear()
    log = tmp_path / "log"
    with log.open("wb") as output:
        push = subprocess.Popen(
            ["git", "push", "-v", "origin", "main"],
            cwd=copy,
            env={**env, "GIT_TRACE": "1"},
            stdout=output,
            stderr=output,
        )
        try:
            assert await asyncio.to_thread(forge.reached.wait, 30)
            seen = [
                content
                for folder in Path("/proc").glob("[0-9]*")
                if folder.name != str(os.getpid())  # this one made the token
                for name in ("cmdline", "environ")
                if (content := _read(folder / name))
            ]
            assert any(b"git-remote-http" in content for content in seen), "the push runs"
            assert not [content for content in seen if source.value.encode() in content]
        finally:
            forge.gate.set()
            assert await asyncio.to_thread(push.wait, 60) == 0, log.read_text()
    assert source.value not in log.read_text()
    for folder in (copy, tmp_path / "home"):
        for path in folder.rglob("*"):
            assert not path.is_file() or source.value.encode() not in path.read_bytes(), path


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended meanwhile
        return b""


async def test_a_token_that_ended_is_replaced_the_next_time(env, forge, tmp_path, source):
    url = f"{forge.url}/ana/titanic.git"
    assert (await git(env, "ls-remote", url)).returncode == 0
    forge.revoke(source.value)
    source.next = [forge.issue("ana")]
    assert (await git(env, "ls-remote", url)).returncode != 0, "git was told no, and tells the helper"
    assert (await git(env, "ls-remote", url)).returncode == 0
    assert source.asked == [False, True]


async def test_a_clone_and_a_fetch_go_on_with_a_new_token_where_theirs_has_ended(env, forge, tmp_path, source, broker):
    for _ in range(2):
        source.next.append(forge.issue("ana"))
    await broker.token(forge.host)
    forge.revoke(source.value)
    target = tmp_path / "titanic"
    told = [one async for one in clone(f"{forge.url}/ana/titanic.git", target, env=env)]
    assert (target / "README.md").exists()
    assert told
    forge.revoke(source.value)
    moved = forge.commit("ana/titanic", {"prep.py": "a = 1\n"})
    repository = Git(target, Locks(), env=env)
    async for _ in fetch(repository, "origin"):
        pass
    assert (await repository.read("rev-parse", "origin/main")).stdout.decode().strip() == moved
    assert source.asked == [False, True, True]
    forge.revoke(source.value)
    with pytest.raises(GitAuthenticationFailed):
        async for _ in fetch(repository, "origin"):
            pass
    assert source.asked == [False, True, True, True], "where the new one is refused too, that is told"


async def test_what_git_is_told(broker, forge, source):
    source.expires_at = time.time() + 3600
    done = await ask(broker, **of(forge))
    assert done.stdout.splitlines() == [
        "username=x-access-token",
        f"password={source.value}",
        f"password_expiry_utc={int(source.expires_at)}",
    ]


async def test_many_who_ask_at_once_ask_the_source_once(broker, forge, source):
    source.hold = asyncio.Event()
    asked = [asyncio.create_task(broker.token(forge.host)) for _ in range(20)]
    while not source.asked:
        await asyncio.sleep(0)
    asked[0].cancel()  # who leaves does not take the answer from the others
    source.hold.set()
    tokens = await asyncio.gather(*asked[1:])
    assert {token.value for token in tokens} == {source.value}
    assert source.asked == [False]


async def test_a_token_that_is_about_to_end_is_asked_for_anew(broker, forge, source):
    source.expires_at = time.time() + 60
    await broker.token(forge.host)
    await broker.token(forge.host)
    assert len(source.asked) == 2


# ---- whom it refuses


@pytest.mark.parametrize(
    "fields",
    [
        {"protocol": "http", "host": "github.com", "path": "ana/titanic.git"},
        {"protocol": "https", "host": "evil.example.org", "path": "ana/titanic.git"},
        {"protocol": "https", "host": "github.com.evil.example.org", "path": "ana/titanic.git"},
        {"protocol": "https", "host": "github.com:8443", "path": "ana/titanic.git"},
        {"protocol": "https", "host": "GitHub.com\u200b", "path": "ana/titanic.git"},
        {"protocol": "ssh", "host": "github.com", "path": "ana/titanic.git"},
        {"protocol": "https", "host": "", "path": "ana/titanic.git"},
        {"path": "ana/titanic.git"},
    ],
)
async def test_another_host_or_way_gets_nothing(broker, source, fields, records):
    source.host = fields.get("host", "")  # even where the source has one
    done = await ask(broker, **fields)
    assert (done.returncode, done.stdout, source.asked) == (0, "", [])
    assert [record["outcome"] for record in records] in (["not https"], ["not allowed"], [])


@pytest.mark.parametrize(
    "path",
    [
        "eve/trap.git",
        "",
        "ana",
        "/ana/titanic.git",
        "ana/../eve/trap.git",
        "ana//titanic.git",
        "ana/./titanic.git",
        "ana/.../x",
        "ana%2f..%2feve/trap.git",
        "ana\\..\\eve/trap.git",
        "ana/titanic.git?x=/eve/trap",
        "ana/titanic.git#",
        "anа/titanic.git",  # noqa: RUF001 - a Cyrillic letter
        "ana /titanic.git",
        "bobby/titanic.git",
    ],
)
async def test_another_owner_or_a_path_with_two_meanings_gets_nothing(broker, forge, source, path):
    done = await ask(broker, **of(forge, path))
    assert (done.returncode, done.stdout, source.asked) == (0, "", [])


@pytest.mark.parametrize(
    "said",
    [
        b"get\nprotocol=http\nhost=HOST\nhost=evil.example.org\npath=ana/titanic.git\n",
        b"get\nprotocol=http\nhost=HOST\0\npath=ana/titanic.git\n",
        b"get\nprotocol=http\r\nhost=HOST\r\npath=ana/titanic.git\r\n",
        b"get\nprotocol=http\nhost=HOST\npath=ana/titanic.git\nnonsense\n",
        b"store\nprotocol=http\nhost=HOST\npath=ana/titanic.git\n",
        b"protocol=http\nhost=HOST\npath=ana/titanic.git\n",
        b"get\n" + b"x" * 20_000 + b"=\nprotocol=http\nhost=HOST\npath=ana/titanic.git\n",
        b"\xff\xfe",
        b"",
    ],
)
async def test_what_is_no_question_of_gits_gets_nothing(broker, forge, source, said):
    answer = await asyncio.to_thread(_say, broker.socket_path, said.replace(b"HOST", forge.host.encode()))
    assert (answer, source.asked) == (b"", [])


def _say(place: Path, said: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(place))
        answer = b""
        try:
            client.sendall(said)
            client.shutdown(socket.SHUT_WR)
            while part := client.recv(65536):
                answer += part
        except ConnectionError:
            pass
        return answer


async def test_one_who_never_ends_the_question_does_not_keep_others_waiting(broker, forge, source):
    with socket.socket(socket.AF_UNIX) as client:
        await asyncio.to_thread(client.connect, str(broker.socket_path))
        client.sendall(b"get\n")
        assert source.value in (await ask(broker, **of(forge))).stdout


async def test_a_user_in_the_address_gets_the_token_only_if_it_is_theirs(broker, forge, source):
    assert source.value in (await ask(broker, **of(forge, username="Ana"))).stdout
    assert source.value in (await ask(broker, **of(forge, username="x-access-token"))).stdout
    assert (await ask(broker, **of(forge, username="eve"))).stdout == ""


@pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux" or ANYBODYS_PYTHON is None, reason="needs another account"
)
async def test_another_account_gets_nothing(broker, forge, place, source, records):
    copy = place / "helper.py"
    shutil.copy(HELPER, copy)
    command = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        ANYBODYS_PYTHON,
        "-I",
        "-S",
        str(copy),
        "get",
    ]
    asked = "".join(f"{name}={value}\n" for name, value in of(forge).items())

    def run() -> subprocess.CompletedProcess[str]:
        env = {"AIDP_CRED_SOCK": str(broker.socket_path)}
        return subprocess.run(command, input=asked, env=env, capture_output=True, text=True, timeout=60)

    place.chmod(0o755)
    copy.chmod(0o644)
    assert (await asyncio.to_thread(run)).stdout == "", "the folder keeps it out"
    broker.socket_path.parent.chmod(0o777)
    broker.socket_path.chmod(0o666)
    done = await asyncio.to_thread(run)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), "and so does the socket itself"
    assert (source.asked, records) == ([], [])
    # the same program, asked by the right account
    broker.socket_path.chmod(0o600)
    assert source.value in (await ask(broker, python=ANYBODYS_PYTHON, **of(forge))).stdout


async def test_the_socket_is_its_owners_alone(broker):
    assert stat.S_IMODE(broker.socket_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(broker.socket_path.parent.stat().st_mode) == 0o700


async def test_a_socket_that_was_left_behind_is_replaced_and_anything_else_is_not(place, source, forge):
    def made(path: Path) -> CredentialBroker:
        return CredentialBroker(path, source, lambda *_, **__: None, lambda *_: True, plain=frozenset({forge.host}))

    with socket.socket(socket.AF_UNIX) as old:
        (place / "left").mkdir()
        old.bind(str(place / "left" / "git"))
    broker = made(place / "left" / "git")
    await broker.start()
    assert source.value in (await ask(broker, **of(forge))).stdout
    await broker.stop()
    assert not broker.socket_path.exists()
    broker.socket_path.write_text("a file")
    with pytest.raises(StorageError, match="no socket"):
        await broker.start()
    (place / "link").symlink_to(place / "left")
    with pytest.raises(StorageError, match="no folder of yours"):
        await made(place / "link" / "git").start()


async def test_plain_http_is_for_this_machine_only(place, source):
    source.host = "git.example.org"
    broker = CredentialBroker(
        place / "s", source, lambda *_, **__: None, lambda *_: True, plain=frozenset({"git.example.org"})
    )
    await broker.start()
    done = await ask(broker, protocol="http", host="git.example.org", path="ana/titanic.git")
    assert done.stdout == ""
    assert source.value in (await ask(broker, protocol="https", host="git.example.org", path="a/b.git")).stdout
    await broker.stop()


async def test_a_token_with_a_line_break_tells_git_nothing(broker, forge, source):
    source.value = "ghu_0123456789\nhost=evil.example.org"
    assert (await ask(broker, **of(forge))).stdout == ""


# ---- refused tokens, and failures


async def test_only_the_token_that_was_given_can_be_erased(broker, forge, source):
    await ask(broker, **of(forge))
    await ask(broker, "erase", **of(forge, username="x-access-token", password="another"))
    await ask(broker, **of(forge))
    assert source.asked == [False]
    await ask(broker, "erase", **of(forge, username="x-access-token", password=source.value))
    await ask(broker, **of(forge))
    await ask(broker, **of(forge))
    assert source.asked == [False, True]


async def test_why_there_is_no_token_is_told_and_remembered(broker, forge, source, records):
    source.error = SignedOutOfForge("The sign-in does not hold any more.", next_step="Sign in again.")
    done = await ask(broker, **of(forge))
    assert (done.returncode, done.stdout) == (0, "quit=1\n")  # so that git asks nobody else
    assert done.stderr == "aidp: The sign-in does not hold any more. Sign in again.\n"
    assert broker.problem(forge.host) is source.error
    assert [record["outcome"] for record in records] == ["signed_out_of_forge"]
    source.error = None
    assert source.value in (await ask(broker, **of(forge))).stdout
    assert broker.problem(forge.host) is None


async def test_a_server_that_is_gone_leaves_git_as_it_would_be_without(env, broker, forge):
    await broker.stop()
    done = await git(env, "ls-remote", f"{forge.url}/ana/titanic.git")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "could not read Username" in done.stderr
    assert (await ask(broker, **of(forge))).stderr == ""


async def test_the_helper_needs_nothing_but_the_standard_library(broker, forge, source, tmp_path):
    """And takes no module from the folder or the environment that git is run in."""
    (tmp_path / "socket.py").write_text("raise SystemExit('taken over')")
    done = await asyncio.to_thread(
        subprocess.run,
        ["sh", "-c", helper_command().removeprefix("!") + " get"],
        input="".join(f"{name}={value}\n" for name, value in of(forge).items()),
        env={"AIDP_CRED_SOCK": str(broker.socket_path), "PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": "x"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert source.value in done.stdout, done.stderr


async def test_the_helper_stores_nothing(broker, forge):
    done = await ask(broker, "store", **of(forge, username="x", password="y"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---- the environment


async def test_what_is_set_for_git_already_stays(tmp_path):
    base = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    given = {**base, **appended(base, [("user.name", "Ana"), ("core.editor", "true")])}
    both = {**given, **git_environment(given, ["https://github.com", "https://git.example.org:8443/"], Path("/s"))}
    assert both["GIT_CONFIG_COUNT"] == "8"
    assert (await git(both, "config", "user.name")).stdout == "Ana\n"
    helpers = await git(both, "config", "--get-urlmatch", "credential.helper", "https://git.example.org:8443/a/b")
    assert helpers.stdout.strip() == helper_command()
    used = await git(both, "config", "--get-urlmatch", "credential.useHttpPath", "https://github.com/a/b")
    assert used.stdout == "true\n"
    assert (await git(both, "config", "--get-urlmatch", "credential.helper", "https://example.org/a")).stdout == ""


@pytest.mark.parametrize("said", ["", "many", "-1", "99999999"])
def test_a_count_that_git_would_not_take_is_begun_anew(said):
    assert appended({"GIT_CONFIG_COUNT": said}, [("a.b", "c")])["GIT_CONFIG_COUNT"] == "1"


async def test_whom_commits_name_gives_way_to_everything_that_the_user_has_set(tmp_path):
    home, system = tmp_path / "home", tmp_path / "system.gitconfig"
    home.mkdir()
    system.write_text("[init]\n\tdefaultBranch = trunk\n")
    base = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_SYSTEM": str(system)}
    identity = Identity(tmp_path)
    env = {**base, **await identity.environment(base)}
    repository = tmp_path / "r"
    assert (await git(env, "init", "-q", str(repository))).returncode == 0

    async def who() -> str:
        done = await git(env, "var", "GIT_AUTHOR_IDENT", cwd=repository)
        return done.stdout.rpartition(" ")[0].rpartition(" ")[0]

    identity.set('Ana "B" C\\D', "ana@example.org")
    assert await who() == 'Ana "B" C\\D <ana@example.org>'
    assert (await git(env, "symbolic-ref", "HEAD", cwd=repository)).stdout == "refs/heads/trunk\n", "the system's holds"
    await git(env, "config", "user.email", "work@example.org", cwd=repository)
    assert await who() == 'Ana "B" C\\D <work@example.org>'
    await git(env, "config", "--global", "user.name", "Own Name")
    assert await who() == "Own Name <work@example.org>"
    identity.set("Evil\n[core]\n\tsshCommand = touch /tmp/x", "x@example.org")
    assert (await git(env, "config", "core.sshCommand", cwd=repository)).stdout == ""
    assert await Identity(tmp_path).environment({**base, "GIT_CONFIG_NOSYSTEM": "1"}) == {}
