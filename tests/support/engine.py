"""A real Docker engine for the tests: the one that answers, else one of our own. ``python tests/support/engine.py``.

Our own (as root, where Docker's programs are) lies in one place of the machine, since two engines there disturb one
another. Whoever uses it holds a lock; the last one to let go stops it. What was built in it stays.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PLACE = Path(tempfile.gettempdir()) / "aidp-engine"
SOCKET = f"unix://{PLACE}/docker.sock"


#: Those that this process started: they are waited for when they end.
_STARTED: list[subprocess.Popen[bytes]] = []


class NoEngine(Exception):
    """Why there is no engine here, in one line."""


@functools.cache
def client() -> str:
    """Return a ``docker`` that builds with BuildKit: 23 and later need buildx for it, those before have it inside."""
    found = [Path(folder) / "docker" for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    for path in (str(path) for path in found if os.access(path, os.X_OK)):
        if _said(path, "buildx", "version") or int((_version(path) or "99").split(".")[0]) < 23:
            return path
    raise NoEngine("no docker that can build (buildx is missing)" if any(map(Path.exists, found)) else "no docker here")


def docker(*words: str, host: str, timeout: float = 300) -> str:
    """Return what a command of Docker's prints; raises CalledProcessError, with its words, where it fails."""
    env = {**os.environ, "DOCKER_HOST": host, "DOCKER_BUILDKIT": "1", "DOCKER_CLI_HINTS": "false"}
    done = subprocess.run([client(), *words], env=env, capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, words, done.stdout, done.stderr[-4000:])
    return done.stdout.strip()


@contextmanager
def engine(programs: Path | None = None) -> Iterator[str]:
    """The address of an engine that answers, while the block runs; raises NoEngine where none can be had.

    With a folder of ``programs`` it is one of our own that finds those first, and that nobody else has.
    """
    for host in (os.environ.get("DOCKER_HOST"), "unix:///var/run/docker.sock"):
        if host and host != SOCKET and programs is None and _answers(host):
            yield host
            return
    if os.geteuid() != 0:
        raise NoEngine("no Docker engine answers, and only root can start one")
    if shutil.which("dockerd") is None:
        raise NoEngine("no Docker engine answers, and dockerd is not installed")
    PLACE.mkdir(mode=0o700, exist_ok=True)
    with (PLACE / "users").open("w") as users:
        with _alone():
            fcntl.flock(users, fcntl.LOCK_SH)
            if not _answers(SOCKET):
                _start(programs)
            elif programs is not None:
                raise NoEngine("the engine of the tests runs already, without the programs that are wanted")
        try:
            yield SOCKET
        finally:
            with _alone():
                _stop_unless_used(users.fileno())


@contextmanager
def _alone() -> Iterator[None]:
    """Nobody else starts or stops our engine meanwhile."""
    with (PLACE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(programs: Path | None) -> None:
    path = os.environ.get("PATH", os.defpath)
    (PLACE / "dockerd.pid").unlink(missing_ok=True)
    with (PLACE / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *("dockerd", "--host", SOCKET, "--pidfile", f"{PLACE}/dockerd.pid"),
                *("--data-root", f"{PLACE}/data", "--exec-root", f"{PLACE}/exec"),
            ],
            env={**os.environ, "PATH": path if programs is None else f"{programs}{os.pathsep}{path}"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # it may outlive whoever started it, where others use it by then
        )
    _STARTED.append(process)
    end = time.monotonic() + 60
    while not _answers(SOCKET):
        if process.poll() is not None or time.monotonic() > end:
            last = (PLACE / "dockerd.log").read_text(errors="replace").strip().splitlines()[-1:]
            raise NoEngine(f"dockerd does not start here: {' '.join(last)[-300:]}")
        time.sleep(0.1)


def _stop_unless_used(users: int) -> None:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    with suppress(OSError, ValueError):
        pid = int((PLACE / "dockerd.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + 60
        while (PLACE / "dockerd.pid").exists() and time.monotonic() < end:
            time.sleep(0.1)
    for process in _STARTED:
        process.wait(60)
    _STARTED.clear()


def _answers(host: str) -> bool:
    path = host.removeprefix("unix://")
    if host.startswith("unix://") and not os.path.exists(path):  # noqa: PTH110 - it need not be readable
        return False
    with suppress(NoEngine):
        return bool(_said(client(), "--host", host, "version", "--format", "{{.Server.Version}}"))
    return False


def _version(path: str) -> str | None:
    return _said(path, "version", "--format", "{{.Client.Version}}")


def _said(*argv: str) -> str | None:
    """Return what a program prints, whether or not an engine answers it; None where it prints nothing."""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
        return done.stdout.strip().splitlines()[0] if done.stdout.strip() else None
    return None


def install() -> None:
    """Install Debian's Docker where that works without asking; nothing is started by it."""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    policy = Path("/usr/sbin/policy-rc.d")  # what a package asks whether it may start its service
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        subprocess.run(["apt-get", "update", "-qq"], check=False, env=environment)
        argv = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "docker.io", "iptables"]
        subprocess.run(argv, check=False, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    finally:
        if ours:
            policy.unlink()


if __name__ == "__main__":
    try:
        with engine():
            pass
    except NoEngine:
        print("Setting up: a Docker engine for the tests …", flush=True)
        install()
        client.cache_clear()
        try:
            with engine():
                pass
        except NoEngine as error:
            # not an error: what needs an engine says so, and is skipped
            print(f"aidp: no_engine: {error}; tests that need one will be skipped", file=sys.stderr)
