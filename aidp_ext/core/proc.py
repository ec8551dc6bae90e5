"""The one way to run a program: an argument list, a time limit, its lines as they come, and its whole group ended.

A child gets none of our secrets unless the caller names them: see :func:`child_environment`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aidp_ext.core.errors import ProcessError, ProcessTimeout, ProgramNotFound

_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(_|$)", re.IGNORECASE)
_GRACE_S = 3.0
_LONGEST_LINE = 1 << 20  # bytes; a longer one comes in parts


@dataclass(frozen=True)
class Completed:
    """A program that has ended: its exit status and what it printed, decoded leniently."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Output:
    """A program that has ended: its exit status, the bytes it printed, and its complaints, decoded leniently."""

    returncode: int
    stdout: bytes
    stderr: str
    is_cut: bool = False  # it had more to say than was asked for, and was ended


def child_environment(extra: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Return this process's environment without what is named like a secret, plus ``extra``; None there removes."""
    inherited = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
    return {name: value for name, value in {**inherited, **(extra or {})}.items() if value is not None}


async def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    stdin: bytes | None = None,
    timeout_s: float = 60.0,
    check: bool = True,
) -> Completed:
    """Run a program to its end and return what it printed.

    Raises ProgramNotFound, ProcessTimeout after ``timeout_s`` seconds, and ProcessError for a non-zero status unless
    ``check`` is off. On time-out and on cancellation the whole process group is ended first.
    """
    out = await output(argv, cwd=cwd, env=env, stdin=stdin, timeout_s=timeout_s)
    done = Completed(out.returncode, out.stdout.decode(errors="replace"), out.stderr)
    if check and done.returncode:
        raise _failed(argv, done.returncode, done.stderr or done.stdout)
    return done


async def output(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    stdin: bytes | None = None,
    timeout_s: float = 60.0,
    most_bytes: int | None = None,
) -> Output:
    """Run a program to its end and return the bytes it printed, whatever its exit status.

    With ``most_bytes`` it is ended once it has printed more than that; its status is then 0.
    Raises ProgramNotFound, and ProcessTimeout after ``timeout_s`` seconds. On time-out and on cancellation the whole
    process group is ended first.
    """
    async with _started(argv, cwd=cwd, env=env, has_stdin=stdin is not None) as process:
        try:
            async with asyncio.timeout(timeout_s):
                if most_bytes is None:
                    out, err = await process.communicate(stdin)
                else:
                    out, err = await _beginning(process, stdin, most_bytes)
                    if len(out) > most_bytes:
                        return Output(0, out[:most_bytes], err.decode(errors="replace"), is_cut=True)
        except TimeoutError as error:
            raise _timed_out(argv, timeout_s) from error
    return Output(process.returncode or 0, out, err.decode(errors="replace"))


async def _beginning(process: asyncio.subprocess.Process, stdin: bytes | None, most: int) -> tuple[bytes, bytes]:
    """Return up to ``most`` bytes and one of what a program prints, and its complaints where it printed no more."""
    assert process.stdout is not None and process.stderr is not None
    stdout = process.stdout

    async def begin() -> bytes:
        found = bytearray()
        while len(found) <= most and (chunk := await stdout.read(65536)):
            found += chunk
        return bytes(found)

    async with asyncio.TaskGroup() as group:
        complaints = group.create_task(process.stderr.read())
        feeding = group.create_task(_feed(process, stdin))
        out = await begin()
        if len(out) > most:
            complaints.cancel()
            feeding.cancel()
            return out[: most + 1], b""
    await process.wait()
    return out, complaints.result()


async def _feed(process: asyncio.subprocess.Process, stdin: bytes | None) -> None:
    if process.stdin is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(stdin or b"")
        await process.stdin.drain()
        process.stdin.close()


async def lines(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    timeout_s: float = 3600.0,
) -> AsyncIterator[str]:
    r"""Run a program and yield its lines (stdout and stderr in one, also those ended by ``\r``) as they come.

    A line of more than a mebibyte comes in parts.

    Raises as :func:`run` does. Closing the iterator ends the program and its whole group.
    """
    async with _started(argv, cwd=cwd, env=env, merge=True) as process:
        tail = ""
        try:
            async with asyncio.timeout(timeout_s):
                assert process.stdout is not None
                async for line in _split(process.stdout):
                    tail = line
                    yield line
                code = await process.wait()
        except TimeoutError as error:
            raise _timed_out(argv, timeout_s) from error
    if code:
        raise _failed(argv, code, tail)


async def _split(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    pending = b""
    while chunk := await stream.read(65536):
        # Progress bars end their lines with a carriage return only.
        *whole, pending = re.split(rb"\r\n|\n|\r(?!\n|$)", pending + chunk)
        for line in whole:
            yield line.decode(errors="replace")
        if len(pending) >= _LONGEST_LINE:
            yield pending.decode(errors="replace")
            pending = b""
    if pending:
        yield pending.decode(errors="replace").rstrip("\r")


@contextlib.asynccontextmanager
async def _started(
    argv: Sequence[str],
    *,
    cwd: Path | None,
    env: Mapping[str, str | None] | None,
    has_stdin: bool = False,
    merge: bool = False,
) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=str(cwd) if cwd is not None else None,
            env=child_environment(env),
            stdin=pipe if has_stdin else null,
            stdout=pipe,
            stderr=asyncio.subprocess.STDOUT if merge else pipe,
            start_new_session=True,  # a group of its own, so that its children can be ended with it
        )
    except (FileNotFoundError, PermissionError) as error:
        if cwd is not None and error.filename == str(cwd):
            raise ProcessError(f"There is no folder {cwd.name}.") from error
        raise ProgramNotFound(f"The program {argv[0]} is not installed.", program=argv[0]) from error
    try:
        yield process
    finally:
        await _end_group(process)
        # what was not read to its end, since it was enough, stays open else; asyncio has no public way
        process._transport.close()  # type: ignore[attr-defined]


async def _end_group(process: asyncio.subprocess.Process) -> None:
    """End what is left of the group: politely, then not. The leader is reaped in any case."""
    if process.returncode is not None and not _signal_group(process.pid, 0):
        return
    _signal_group(process.pid, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE_S):
            await process.wait()
            while _signal_group(process.pid, 0):
                await asyncio.sleep(0.02)
    _signal_group(process.pid, signal.SIGKILL)
    await process.wait()


def _signal_group(pid: int, number: int) -> bool:
    """Return whether the group still has a member that took the signal."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _timed_out(argv: Sequence[str], timeout_s: float) -> ProcessTimeout:
    return ProcessTimeout(f"{Path(argv[0]).name} did not end within {timeout_s:g} s and was stopped.")


def _failed(argv: Sequence[str], code: int, said: str) -> ProcessError:
    last = said.strip().rsplit("\n", 1)[-1][:500]
    return ProcessError(f"{Path(argv[0]).name} failed ({code}): {last or 'it said nothing'}", returncode=code)
