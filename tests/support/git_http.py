"""A real Git server over smart HTTP: ``git http-backend`` behind users, tokens and faults on request.

It behaves as GitHub does: a private repository asks who you are, one that you may not see does not exist, a push always
needs a token. A stand-in for a forge's REST API can be mounted on it, see `GitHttpServer.mount`, so that both have one
address, as a GitHub Enterprise or a GitLab has.
"""

from __future__ import annotations

import io
import os
import re
import secrets
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from tests.support.exchange import BLOCK, Asked, Exchange, Listening

_GIT_PATH = re.compile(
    r"^/(?P<name>.+?)(?:\.git)?/(?P<rest>info/refs|git-upload-pack|git-receive-pack|HEAD|objects/.+)$"
)


@dataclass
class Repository:
    """A bare repository and who may use it. ``members`` None: whoever has a token may read and write."""

    full_name: str
    path: Path
    private: bool
    members: dict[str, str] | None  # login -> "read" | "write"
    about: dict[str, Any] = field(default_factory=dict)  # for a REST API: description, fork, archived, labels …

    def may(self, login: str | None, what: str) -> bool:
        """Tell whether a user may ``read`` or ``write``; the owner may both."""
        if what == "read" and not self.private:
            return True
        if login is None:
            return False
        if self.members is None or login == self.full_name.split("/")[0]:
            return True
        right = self.members.get(login)
        return right == "write" or right == what


class GitHttpServer(Listening):
    """The server; use it as a context manager, or call ``close``.

    ``url`` is its address, ``root`` holds the bare repositories, ``tokens`` says whose each token is, ``expiries``
    until when (``time.time()``), ``requests`` what was asked. ``delay_s`` passes before each POST of git is answered;
    ``gate`` (a threading.Event, set at first) holds them while it is clear; ``down`` resets each connection.
    ``certificate``: a PEM file with certificate and key, for https.
    """

    def __init__(self, root: Path, *, certificate: Path | None = None) -> None:
        self.root = root
        self.root.mkdir(parents=True, exist_ok=True)
        self.tokens: dict[str, str] = {}
        self.expiries: dict[str, float] = {}
        self.repositories: dict[str, Repository] = {}
        self.delay_s = 0.0
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()  # set when a POST of git is held or delayed
        self.before_pack: Callable[[str], None] | None = None  # given the service, before a POST of git is authorised
        self._cut: tuple[str, int] | None = None
        self._mounted: list[Callable[[Exchange], bool]] = []
        super().__init__(certificate)

    def close(self) -> None:
        """Stop, and end what is still being answered."""
        self.closing.set()
        self.gate.set()
        super().close()

    def answer(self, exchange: Exchange) -> None:
        """Answer one request: by what is mounted, or by git."""
        if any(answers(exchange) for answers in self._mounted):
            return None
        match = _GIT_PATH.match(unquote(exchange.location))
        if match is None:
            return exchange.send(404, b"Not Found", "text/plain")
        return _GitExchange(self, exchange, match["name"], match["rest"]).answer()

    # ---- users

    def issue(self, login: str, *, prefix: str = "ghu_", ttl_s: float | None = None) -> str:
        """Return a new token of a user; it ends after ``ttl_s`` seconds."""
        token = prefix + secrets.token_hex(18)
        self.tokens[token] = login
        if ttl_s is not None:
            self.expiries[token] = time.time() + ttl_s
        return token

    def revoke(self, token: str) -> None:
        """Let a token be good for nothing from now on."""
        self.tokens.pop(token, None)
        self.expiries.pop(token, None)

    def login_of(self, token: str | None) -> str | None:
        """Return whose token this is, or None for an unknown or expired one."""
        if token is None or self.expiries.get(token, time.time() + 1) <= time.time():
            return None
        return self.tokens.get(token)

    # ---- faults

    def revoke_before_push(self, token: str) -> None:
        """Let a token end in mid-push: after the refs were told, before the objects are taken."""

        def end(service: str) -> None:
            if service == "git-receive-pack":
                self.revoke(token)
                self.before_pack = None

        self.before_pack = end

    def cut_next_push(self, *, after_bytes: int = 16, when: str = "receiving") -> None:
        """Reset the next push's connection: ``receiving`` its objects, or ``answering``, when all is done."""
        self._cut = (when, after_bytes)

    def take_cut(self, service: str, when: str) -> int | None:
        """Return after how many bytes to cut this once, or None."""
        if service == "git-receive-pack" and self._cut is not None and self._cut[0] == when:
            after, self._cut = self._cut[1], None
            return after
        return None

    def wait_as_told(self) -> None:
        """Hold an answer as long as ``gate`` and ``delay_s`` say, or until the server closes."""
        if self.delay_s or not self.gate.is_set():
            self.reached.set()
        if self.delay_s:
            self.closing.wait(self.delay_s)
        self.gate.wait(600)

    # ---- repositories

    def add_repository(
        self,
        full_name: str,
        *,
        files: Mapping[str, str | bytes] | None = None,
        private: bool = True,
        members: Iterable[str] | Mapping[str, str] | None = None,
        branch: str = "main",
        **about: Any,
    ) -> Path:
        """Make a bare repository, with a first commit where files are given, and return its path.

        ``members``: logins that may write, or login -> "read" | "write"; None: whoever has a token.
        """
        path = self.root / f"{full_name}.git"
        self.run("init", "--quiet", "--bare", "--initial-branch", branch, "--", str(path))
        for key in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
            self.run("-C", str(path), "config", key, "true")
        rights = members if isinstance(members, Mapping) or members is None else dict.fromkeys(members, "write")
        self.repositories[full_name] = Repository(
            full_name, path, private, dict(rights) if rights is not None else None, dict(about)
        )
        if files is not None:
            self.commit(full_name, files, branch=branch, message="First")
        return path

    def commit(
        self,
        full_name: str,
        files: Mapping[str, str | bytes | None],
        *,
        branch: str = "main",
        start: str | None = None,
        message: str = "More",
    ) -> str:
        """Put a commit on a branch, as somebody else's push would, and return its id. A file that is None is deleted.

        ``start`` is the branch that a new one begins at.
        """
        tip = self.branches(full_name).get(start or branch)
        said = message.encode()
        lines = [
            f"commit refs/heads/{branch}\ncommitter Sam Else <sam@example.org> {int(time.time())} +0000\n".encode()
        ]
        lines.append(b"data %d\n%s\n" % (len(said), said))
        if tip is not None:
            lines.append(f"from {tip}\n".encode())
        for name, content in files.items():
            quoted = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            if content is None:
                lines.append(f'D "{quoted}"\n'.encode())
                continue
            data = content.encode() if isinstance(content, str) else content
            lines.append(f'M 100644 inline "{quoted}"\n'.encode() + b"data %d\n%s\n" % (len(data), data))
        self.run("-C", str(self.path(full_name)), "fast-import", "--quiet", "--done", stdin=b"".join(lines) + b"done\n")
        return self.branches(full_name)[branch]

    def path(self, full_name: str) -> Path:
        """Return where a bare repository is."""
        return self.repositories[full_name].path

    def branches(self, full_name: str) -> dict[str, str]:
        """Return the branches of a repository and the commits they are at."""
        out = self.run(
            *("-C", str(self.path(full_name)), "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/")
        )
        pairs = (line.split(" ", 1) for line in out.decode().splitlines())
        return {name.removeprefix("refs/heads/"): commit for commit, name in pairs}

    def read(self, full_name: str, file: str, ref: str = "HEAD") -> bytes | None:
        """Return a file of a branch or commit, or None where there is none."""
        try:
            return self.run("-C", str(self.path(full_name)), "cat-file", "blob", f"{ref}:{file}")
        except subprocess.CalledProcessError:
            return None

    def default_branch(self, full_name: str) -> str:
        """Return the branch that a clone checks out."""
        return self.run("-C", str(self.path(full_name)), "symbolic-ref", "--short", "HEAD").decode().strip()

    def files(self, full_name: str, ref: str) -> list[str] | None:
        """Return the files of a branch or commit, or None where there is no such thing."""
        try:
            out = self.run("-C", str(self.path(full_name)), "ls-tree", "-r", "-z", "--name-only", f"{ref}^{{commit}}")
        except subprocess.CalledProcessError:
            return None
        return os.fsdecode(out).split("\0")[:-1]

    def is_ancestor(self, full_name: str, old: str, new: str) -> bool:
        """Tell whether all of a commit is in another one."""
        try:
            self.run("-C", str(self.path(full_name)), "merge-base", "--is-ancestor", old, new)
        except subprocess.CalledProcessError:
            return False
        return True

    def add_hook(self, full_name: str, name: str, script: str) -> None:
        """Give a repository a server-side hook: ``pre-receive``, ``update`` …; a shell script's text."""
        hook = self.path(full_name) / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
        hook.chmod(0o755)

    def protect(self, full_name: str, branch: str) -> None:
        """Refuse pushes to a branch, in GitHub's words."""
        words = f'echo "error: GH006: Protected branch update failed for refs/heads/{branch}." >&2'
        more = 'echo "error: Changes must be made through a pull request." >&2'
        self.add_hook(full_name, "update", f'if [ "$1" = "refs/heads/{branch}" ]; then\n{words}\n{more}\nexit 1\nfi')

    def mount(self, answers: Callable[[Exchange], bool]) -> None:
        """Let ``answers`` see each request first; it tells whether it has answered."""
        self._mounted.append(answers)

    def asked(self, service: str | None = None) -> list[Asked]:
        """Return the requests of git itself, or those of one of its services."""
        return [one for one in self.requests if one.service and (service is None or one.service == service)]

    def run(self, *args: str, stdin: bytes = b"") -> bytes:
        """Run the server's own git and return what it says; raises CalledProcessError."""
        return subprocess.run(
            ["git", *args], input=stdin, capture_output=True, check=True, env=self.environment()
        ).stdout

    def environment(self) -> dict[str, str]:
        """Return an environment for the server's own git, with no configuration of anybody."""
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.root),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }


class _GitExchange:
    """A request of git."""

    def __init__(self, git: GitHttpServer, exchange: Exchange, full_name: str, rest: str) -> None:
        self._on = exchange
        self._git = git
        self._repository = git.repositories.get(full_name)
        self._name, self._rest = full_name, rest
        self._service = exchange.query.get("service", "git-upload-pack") if rest == "info/refs" else rest

    def answer(self) -> None:
        on, git = self._on, self._git
        if on.command == "POST" and git.before_pack is not None:
            git.before_pack(self._service)
        probe = on.headers.get("Content-Length") == "4"  # git asks first whether it may send a large body
        cut = git.take_cut(self._service, "receiving") if on.command == "POST" and not probe else None
        if cut is not None:
            on.body(limit=cut)
            on.remember(git.login_of(on.token()), 0)
            return on.break_off("application/x-git-receive-pack-result")
        with tempfile.TemporaryFile() as body:
            on.body(into=body)
            login = git.login_of(on.token())
            refusal = self._refusal(login)
            on.remember(login, refusal[0] if refusal else 200)
            if refusal:
                status, words, headers = refusal
                return on.send(status, words.encode(), "text/plain", headers)
            if on.command == "POST":
                git.wait_as_told()
            return self._run(body, login)

    def _refusal(self, login: str | None) -> tuple[int, str, dict[str, str]] | None:
        ask = {"WWW-Authenticate": 'Basic realm="GitHub"'}
        token = self._on.token()
        if token is not None and login is None:
            return 401, "Invalid username or token. Password authentication is not supported.", ask
        writes = self._service == "git-receive-pack"
        known = self._repository
        if known is not None and known.may(login, "write" if writes else "read"):
            return None
        if login is None:
            return 401, "Authentication required.", ask
        if known is not None and known.may(login, "read"):
            return 403, f"Permission to {self._name}.git denied to {login}.", {}
        return 404, "Repository not found.", {}

    def _run(self, body: IO[bytes], login: str | None) -> None:
        assert self._repository is not None
        on = self._on
        length = body.tell()
        body.seek(0)
        environment = {
            **self._git.environment(),
            "GIT_PROJECT_ROOT": str(self._git.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{self._name}.git/{self._rest}",
            "QUERY_STRING": on.path.partition("?")[2],
            "REQUEST_METHOD": on.command,
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": on.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(length),
            **({"REMOTE_USER": login} if login else {}),
        }
        for name in ("Git-Protocol", "Content-Encoding"):
            if value := on.headers.get(name):
                environment["HTTP_" + name.upper().replace("-", "_")] = value
        backend = subprocess.Popen(
            ["git", "http-backend"], stdin=body, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        assert isinstance(backend.stdout, io.BufferedReader)
        try:
            self._forward(backend.stdout)
        finally:
            backend.kill()
            backend.stdout.close()
            backend.wait()

    def _forward(self, out: io.BufferedReader) -> None:
        """Send what the backend says: its header, then what follows, in chunks as they come."""
        on = self._on
        status, headers = 200, []
        while line := out.readline().strip():
            name, _, value = line.decode().partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        if on.command == "POST" and self._git.take_cut(self._service, "answering") is not None:
            out.read()
            on.break_off("application/x-git-receive-pack-result")
            return
        on.send_response(status)
        for name, value in headers:
            on.send_header(name, value)
        on.send_header("Transfer-Encoding", "chunked")
        on.end_headers()
        while block := out.read1(BLOCK):
            on.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
        on.wfile.write(b"0\r\n\r\n")
