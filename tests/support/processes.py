"""Real servers as child processes, ended with their whole group, and waiting for what they do."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
REPO = Path(__file__).parents[2]


def free_port() -> int:
    """Return a port that nobody listens on, and that no connection is given meanwhile: theirs begin at 32768."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(condition: Callable[[], T | None], what: str, seconds: float = 60.0) -> T:
    """Return what ``condition`` gives as soon as it is true; fail with ``what`` after ``seconds``."""
    end = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        if time.monotonic() > end:
            raise AssertionError(f"never came true: {what}")
        time.sleep(0.05)


def wait_for_http(url: str, process: subprocess.Popen[bytes], seconds: float = 90.0) -> None:
    """Wait until a server answers anything at ``url``; fail with its log if it ends before."""

    def answers() -> bool:
        if process.poll() is not None:
            log = getattr(process, "log_path", None)
            raise AssertionError(f"it ended with {process.returncode}:\n{log.read_text()[-4000:] if log else ''}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except urllib.error.HTTPError as error:
            return error.code != 503  # llama.cpp says so while it loads its model
        except OSError:
            return False

    wait_until(answers, f"{url} answers", seconds)


@contextlib.contextmanager
def running(
    argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path = REPO
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a group of its own while the block runs; its output goes to ``log``."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    process.log_path = log  # type: ignore[attr-defined]
    try:
        yield process
    finally:
        end_group(process)


def end_group(process: subprocess.Popen[bytes], seconds: float = 20.0) -> None:
    """End a program and everything in its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
