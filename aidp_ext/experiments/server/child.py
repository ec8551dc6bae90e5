"""MLflow as a child process: how it is started, found again and stopped. Nothing here waits for it to be ready."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from secrets import token_hex

from aidp_ext.core.errors import AidpError, DiskFull, StorageError, Unavailable
from aidp_ext.experiments.server import record as records
from aidp_ext.experiments.server.record import Lock, Record

_LONGEST_SOCKET = 100  # bytes; the systems' limits are 104 and 108
_LOG_BYTES = 1_000_000
_SAID_CHARS = 4000

#: All that it gets of the server's environment: neither keys nor what MLflow's clients would heed.
_HANDED_ON = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR"),
    *("VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH", "DYLD_*", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
)


@dataclass(frozen=True)
class Setup:
    """Where a server keeps its things and how it is started."""

    folder: Path  # lock, record and log, for this user only
    runtime: Path  # the socket
    database: str  # as MLflow names it, such as sqlite:////home/me/mlflow.db
    artifacts: str  # a folder, or an address such as s3://bucket
    environment: Mapping[str, str] = field(default_factory=dict)  # besides what every child gets

    @property
    def log(self) -> Path:
        """Return where what it says is kept."""
        return self.folder / "mlflow.log"

    @property
    def record(self) -> Path:
        """Return where is written down that it runs."""
        return self.folder / "server.json"

    @property
    def serves(self) -> str:
        """Return a word for where the runs are, which tells nothing of it."""
        return hashlib.sha256(f"{self.database}\n{self.artifacts}".encode()).hexdigest()[:16]

    def users(self, of: Record) -> Lock:
        """Return the lock that all who use this server share."""
        return Lock(self.folder / f"users-{of.id}.lock")


def prepare(setup: Setup) -> None:
    """Make the folders, readable for this user only. Raises StorageError."""
    try:
        for folder in (setup.folder, setup.runtime):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        if "://" not in setup.artifacts:
            Path(setup.artifacts).mkdir(mode=0o700, parents=True, exist_ok=True)
        if setup.log.exists() and setup.log.stat().st_size > _LOG_BYTES:
            setup.log.replace(setup.log.with_suffix(".log.1"))
    except OSError as error:
        raise told_of(error, setup.folder) from error


def told_of(error: OSError, folder: Path) -> AidpError:
    """Return what became of a folder as an error of ours."""
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        return DiskFull("No space is left for runs.", next_step="Free some space, then try again.")
    step = "Make it writable, or set `ExperimentsConfig.folder` to another one."
    return StorageError(f"{folder} cannot be used: {error.strerror or error}.", next_step=step)


def place_of_socket(runtime: Path) -> str:
    """Return a path for a new socket, in a folder that only this user can enter. Raises OSError."""
    name = f"mlflow-{token_hex(4)}.sock"
    path = str(runtime / name)
    if len(os.fsencode(path)) > _LONGEST_SOCKET:  # else the system would cut or refuse it
        path = str(Path(tempfile.mkdtemp(prefix="aidp-"), name))
    return path


def environment(setup: Setup) -> dict[str, str]:
    """Return the whole environment of the server."""
    ours = {
        # By the environment, as a database's address may hold a password, and arguments are seen by all users.
        "MLFLOW_BACKEND_STORE_URI": setup.database,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "localhost",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "PYTHONUNBUFFERED": "1",
    }
    known = {n: v for n, v in os.environ.items() if any(fnmatchcase(n, pattern) for pattern in _HANDED_ON)}
    return {**known, **ours, **setup.environment}


def spawn(setup: Setup, version: str) -> tuple[subprocess.Popen[bytes], Record]:
    """Start MLflow and write down that it runs. Raises StorageError and Unavailable."""
    try:
        socket = place_of_socket(setup.runtime)
        with setup.log.open("wb") as log:
            os.fchmod(log.fileno(), 0o600)
            # No asyncio: its transports end their process when the loop does, and this one may be shared.
            process = subprocess.Popen(
                _command(setup, socket),
                cwd=setup.folder,
                env=environment(setup),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,
            )
    except OSError as error:
        raise told_of(error, setup.folder) from error
    record = Record(
        id=token_hex(4),
        pid=process.pid,
        started=records.started(process.pid) or "",
        boot=records.boot(),
        host=records.host(),
        socket=socket,
        serves=setup.serves,
        version=version,
    )
    try:
        records.write(setup.record, record)
    except OSError as error:
        end(record, process)
        raise told_of(error, setup.folder) from error
    return process, record


def _command(setup: Setup, socket: str) -> list[str]:
    options = f"--uds {shlex.quote(socket)} --no-access-log --timeout-graceful-shutdown 3"
    return [
        *(sys.executable, "-m", "aidp_ext.experiments.server.launch", "server"),
        *("--workers", "1", "--uvicorn-opts", options, "--artifacts-destination", setup.artifacts),
    ]


def reap(process: subprocess.Popen[bytes] | None) -> int | None:
    """Return how a child of ours ended, or None where it runs, or is none."""
    return None if process is None else process.poll()


def put_down(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a child of ours and its group, and wait for it."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def end(record: Record, process: subprocess.Popen[bytes] | None) -> None:
    """End a server and remove what it leaves. It blocks for up to some seconds."""
    records.end(record)
    reap(process)
    socket = Path(record.socket)
    with contextlib.suppress(OSError):
        socket.unlink(missing_ok=True)
    if socket.parent.name.startswith("aidp-") and socket.parent.parent == Path(tempfile.gettempdir()):
        shutil.rmtree(socket.parent, ignore_errors=True)


def leave_running(process: subprocess.Popen[bytes] | None) -> None:
    """Forget a child that others go on using: Popen would complain that nobody waited for it."""
    if process is not None and process.poll() is None:
        process.returncode = 0


def last_words(setup: Setup) -> str:
    """Return the end of what the server said."""
    try:
        with setup.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _SAID_CHARS))
            return log.read().decode(errors="replace").strip()
    except OSError:
        return ""


def told_of_end(setup: Setup, code: int | None) -> AidpError:
    """Return why a server did not come up, from what it said at the end."""
    said = last_words(setup)
    known = said.lower()
    more = {"log": str(setup.log), "output": said}
    if "no space left" in known or "disk is full" in known or "disk quota" in known:
        return DiskFull(
            "MLflow could not start: no space is left.", next_step="Free some space, then try again.", **more
        )
    if "database is locked" in known:
        step = "End the program that uses it, then try again."
        return Unavailable("MLflow could not start: another program holds its database.", next_step=step, **more)
    if "modulenotfounderror" in known or "importerror" in known:
        step = f"Install it anew: {sys.executable} -m pip install --force-reinstall mlflow"
        return Unavailable("MLflow could not start: a part of it is missing.", next_step=step, **more)
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith(" ")]
    how = "did not answer in time" if code is None else f"ended while it was starting ({code})"
    step = f"Look at its log: {setup.log}"
    return Unavailable(f"MLflow {how}: {lines[-1][:300] if lines else 'it said nothing'}", next_step=step, **more)
