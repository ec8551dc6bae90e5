"""Runs Git for one repository: one writer at a time, readers beside it, time limits, and words that become errors."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from aidp_ext.core import proc
from aidp_ext.core.errors import AidpError, NotARepository, ProcessError, ProcessTimeout, ProgramNotFound
from aidp_ext.core.proc import Output
from aidp_ext.git import layout
from aidp_ext.git.failures import busy, busy_file, failure
from aidp_ext.git.layout import Layout
from aidp_ext.git.names import redact
from aidp_ext.git.stamps import Stamp, stamp

PATIENCE_S = 5.0  # for a lock that another Git holds
NETWORK_S = 3600.0
_PAUSES_S = (0.05, 0.1, 0.2, 0.4)  # between tries; the last one again and again
_MOST_SAID = 400  # lines kept of a command's words, for the error that they may become

# What would make Git work elsewhere than asked, or write secrets into its words.
_REMOVED = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX",
    "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS", "GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS",
    "GIT_TRACE", "GIT_TRACE_CURL", "GIT_TRACE_PACKET", "GIT_TRACE_SETUP", "GIT_CURL_VERBOSE",
    "LANGUAGE", "LC_MESSAGES",
)  # fmt: skip
_FIXED = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "SSH_ASKPASS_REQUIRE": "never",
    "GCM_INTERACTIVE": "never",
    "GIT_EDITOR": "true",
    "GIT_SEQUENCE_EDITOR": "true",
    "GIT_MERGE_AUTOEDIT": "no",
    "GIT_PAGER": "cat",
    "LC_ALL": "C.UTF-8",
}
# A dead connection is given up then. A server that thinks sends a sign of life every five seconds.
_SILENT_S = 120
_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"


class Locks:
    """The locks of all repositories: each has one for its writers and one for its talk with remotes.

    Worktrees of one repository share them, and no repository ever waits for another.
    """

    def __init__(self) -> None:
        self._locks: dict[tuple[Path, str], asyncio.Lock] = {}

    def writing(self, common_dir: Path) -> asyncio.Lock:
        """Return the lock for what changes the index, the branch or the files."""
        return self._locks.setdefault((common_dir, "writing"), asyncio.Lock())

    def network(self, common_dir: Path) -> asyncio.Lock:
        """Return the lock for fetch and push, which may take long and leave the files alone."""
        return self._locks.setdefault((common_dir, "network"), asyncio.Lock())


class Git:
    """Git for one working tree.

    ``path`` is where its top lies for the user (relative to the workspace). ``memory`` keeps what is dear to find
    out and is known to hold while the files it was read from are the same.
    """

    def __init__(
        self,
        root: Path,
        locks: Locks,
        *,
        env: Mapping[str, str] = {},
        timeout_s: float = 60,
        patience_s: float = PATIENCE_S,
        path: str = "",
    ) -> None:
        """Raises NotARepository where ``root`` is not the top of one."""
        found = layout.at(root)
        if found is None:
            raise NotARepository("There is no Git repository here.", next_step="Start or import one.")
        self.root = root
        self.path = path
        self.layout: Layout = found
        self.memory: dict[str, Any] = {}
        self._locks = locks
        self._env = env
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._is_held = False

    @property
    def is_writing(self) -> bool:
        """Whether one of our own commands is changing the repository."""
        return self._locks.writing(self.layout.common_dir).locked()

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[Git]:
        """Hold the writers' lock for several commands; give the Git whose :meth:`write` is to be used meanwhile."""
        if self._is_held:
            yield self
            return
        async with self._locks.writing(self.layout.common_dir):
            held = Git.__new__(Git)
            held.__dict__.update(self.__dict__, _is_held=True)
            yield held

    async def read(
        self,
        *args: str,
        stdin: bytes | None = None,
        timeout_s: float | None = None,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        most_bytes: int | None = None,
    ) -> Output:
        """Run a command that changes nothing, beside whatever else is running, and return what it printed.

        With ``most_bytes`` it is ended once it has printed more. Raises ProcessTimeout, ProgramNotFound and, unless
        ``check`` is off, what :func:`aidp_ext.git.failures.failure` makes of Git's words.
        """
        env = {"GIT_OPTIONAL_LOCKS": "0", **(env or {})}
        done = await self._run(args, stdin=stdin, timeout_s=timeout_s, env=env, most_bytes=most_bytes)
        if check and done.returncode:
            raise failure(args, done.returncode, _said(done))
        return done

    async def write(
        self,
        *args: str,
        stdin: bytes | None = None,
        timeout_s: float | None = None,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        retry: bool = True,
    ) -> Output:
        """Run a command that changes the repository, after those that are doing so, and return what it printed.

        Where another Git holds the index it is tried again for some seconds (``retry`` off: for commands that cannot
        simply be repeated), then raises RepositoryBusy. Raises as :meth:`read` does.
        """
        async with self.alone():
            end = time.monotonic() + (self._patience_s if retry else 0)
            pauses = iter(_PAUSES_S)
            while True:
                done = await self._run_and_tidy(args, stdin=stdin, timeout_s=timeout_s, env=env)
                lock = busy_file(done.stderr) if done.returncode else None
                if lock is None:
                    break
                if time.monotonic() >= end:
                    raise busy(lock)
                await asyncio.sleep(next(pauses, _PAUSES_S[-1]))
        if check and done.returncode:
            raise failure(args, done.returncode, _said(done))
        return done

    async def lines(
        self, *args: str, timeout_s: float | None = None, env: Mapping[str, str] | None = None
    ) -> AsyncGenerator[str, None]:
        """Run a command that talks with a remote and yield its words as they come, without credentials.

        One at a time for a repository; readers and writers go on. Closing the generator ends the command with all its
        children. Raises as :meth:`read` does.
        """
        async with self._locks.network(self.layout.common_dir):
            ssh = await self.read("config", "--get", "core.sshCommand", check=False)
            more = network_environment(is_ssh_configured=ssh.returncode == 0)
            argv = ["git", "--no-pager", *network_options(), *args]
            told = talk(argv, args, self.root, self._environment({**more, **(env or {})}), timeout_s or NETWORK_S)
            async with contextlib.aclosing(told):
                async for line in told:
                    yield line

    async def _run_and_tidy(self, args: tuple[str, ...], **options: Any) -> Output:
        """Run a command that writes; where it was killed, remove the lock that it could not take along."""
        before = stamp(self.layout.lock)
        try:
            done = await self._run(args, **options)
        except (asyncio.CancelledError, ProcessTimeout):
            self._remove_own_lock(before)
            raise
        if done.returncode < 0:
            self._remove_own_lock(before)
        return done

    def _remove_own_lock(self, before: Stamp) -> None:
        lock = self.layout.lock
        if stamp(lock) not in (None, before) and not layout.users_of(lock, self.root):
            lock.unlink(missing_ok=True)

    async def _run(
        self,
        args: tuple[str, ...],
        *,
        stdin: bytes | None,
        timeout_s: float | None,
        env: Mapping[str, str] | None,
        most_bytes: int | None = None,
    ) -> Output:
        try:
            return await proc.output(
                ["git", "--no-pager", *args],
                cwd=self.root,
                env=self._environment(env),
                stdin=stdin,
                timeout_s=timeout_s or self._timeout_s,
                most_bytes=most_bytes,
            )
        except ProcessError as error:
            raise _without_git(error) from error

    def _environment(self, more: Mapping[str, str] | None) -> dict[str, str | None]:
        # Where this repository is damaged, Git is not to look for another one further up.
        return environment({**self._env, "GIT_CEILING_DIRECTORIES": str(self.root.parent), **(more or {})})


def environment(more: Mapping[str, str]) -> dict[str, str | None]:
    """Return what Git's environment has other than this process's: it never asks, and speaks English.

    The configuration that this process's environment holds for Git goes along, though its names look like secrets'.
    """
    source = {**os.environ, **more}
    count = source.get("GIT_CONFIG_COUNT", "")
    names = [
        f"GIT_CONFIG_{what}_{n}" for n in range(int(count) if count.isdecimal() else 0) for what in ("KEY", "VALUE")
    ]
    given = {name: source[name] for name in names if name in source}
    return {**dict.fromkeys(_REMOVED), **_FIXED, **given, **more}


def network_options() -> tuple[str, ...]:
    """Return the options of a Git that talks with a remote: it gives a dead connection up."""
    return "-c", "http.lowSpeedLimit=1", "-c", f"http.lowSpeedTime={_SILENT_S}"


def network_environment(*, is_ssh_configured: bool) -> dict[str, str]:
    """Return how SSH is to be called: never asking, and noticing a dead connection; the user's own way goes first."""
    if is_ssh_configured or os.environ.get("GIT_SSH_COMMAND") or os.environ.get("GIT_SSH"):
        return {}
    return {"GIT_SSH_COMMAND": _SSH}


async def talk(
    argv: list[str], args: tuple[str, ...], cwd: Path, env: Mapping[str, str | None], timeout_s: float
) -> AsyncGenerator[str, None]:
    """Run a Git command and yield its words as they come; raise what they mean where it fails. See Git.lines."""
    said: list[str] = []
    running = proc.lines(argv, cwd=cwd, env=env, timeout_s=timeout_s)
    try:
        async for told in running:
            line = redact(told)
            if "%" not in line:  # progress is no part of an error
                said.append(line)
                del said[:-_MOST_SAID]
            yield line
    except ProcessTimeout as error:
        error.suggest("The remote may be slow or gone. Try again: nothing is lost.")
        raise
    except ProcessError as error:
        code = error.details.get("returncode")
        if code is None:
            raise _without_git(error) from error
        raise failure(args, code, "\n".join(said)) from error
    finally:
        await running.aclose()  # type: ignore[attr-defined]  # an async generator


def _said(done: Output) -> str:
    return f"{done.stderr}\n{done.stdout[:65536].decode(errors='replace')}"


def _without_git(error: ProcessError) -> AidpError:
    if isinstance(error, ProgramNotFound):
        error.suggest("Install Git.")
        return error
    if isinstance(error, ProcessTimeout):
        return error
    return NotARepository("The repository's folder is gone.", next_step="Choose another folder.")
