"""`aidp hub` as a real process, with what it prints and everything that it starts."""

import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from tests.support.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
RUN = (
    "import argparse, sys; from aidp_ext.commands.hub import run; "
    "sys.exit(run(argparse.Namespace(port=int(sys.argv[1]), new_password='--new-password' in sys.argv)))"
)


def environment(state_dir: Path, **more: str) -> dict[str, str]:
    """What a person's shell would hold, and nothing of this test run's own."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    ours = {"HOME": str(state_dir.parent), "PYTHONPATH": str(ROOT), "AIDP_STATE_DIR": str(state_dir)}
    return {**kept, **ours, "AIDP_SPAWNER": "local", **more}


def run_to_end(state_dir: Path, port: int | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """`aidp hub` where it is expected to refuse."""
    return subprocess.run(
        [sys.executable, "-c", RUN, str(port or free_port())],
        env={**environment(state_dir), **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


class Hub:
    """A hub in a process group of its own, as a terminal would start it."""

    def __init__(
        self, state_dir: Path, *arguments: str, terminal: bool = False, port: int | None = None, **env: str
    ) -> None:
        self.state_dir, self.port = state_dir, port or free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        ours, theirs = pty.openpty() if terminal else os.pipe()
        self.errors = state_dir.parent / "stderr"
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RUN, str(self.port), *arguments],
                env=environment(state_dir, **env),
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=errors,
                start_new_session=True,
            )
        os.close(theirs)
        self._output = os.fdopen(ours, "rb", buffering=0)
        self.printed = ""

    def read(self, until: str | None = None) -> str:
        """Read what it prints until it printed ``until``, or to its end."""
        with suppress(OSError):  # a terminal's end
            while until is None or until not in self.printed:
                if not (data := self._output.read(4096)):
                    break
                self.printed += data.decode().replace("\r\n", "\n")
        return self.printed

    def wait_ready(self) -> None:
        if "Ctrl-C" not in self.read("Ctrl-C stops it"):
            raise AssertionError(f"the hub did not start: {self.printed}{self.errors.read_text()}{self.log}")

    @property
    def log(self) -> str:
        path = self.state_dir / "hub.log"
        return path.read_text() if path.exists() else ""

    @property
    def password(self) -> str:
        return (self.state_dir / "password").read_text().strip()

    def processes(self) -> list[psutil.Process]:
        """The hub's own process and everything below it."""
        ours = psutil.Process(self.process.pid)
        return [ours, *ours.children(recursive=True)]

    def find(self, *words: str) -> psutil.Process:
        """The one descendant whose command line holds all of these words."""
        found = [p for p in self.processes()[1:] if all(word in " ".join(p.cmdline()) for word in words)]
        assert len(found) == 1, (words, [p.cmdline() for p in self.processes()])
        return found[0]

    def signal(self, number: int, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self.process.pid, number)

    def wait(self) -> int:
        """Its exit status; what it printed is read to the end."""
        self.read()
        return self.process.wait(timeout=60)

    def close(self) -> None:
        """Leave nothing behind, however the test went."""
        left = []
        if self.process.poll() is None:
            left = self.processes()
            self.process.send_signal(signal.SIGINT)
            self.read()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=60)
        for process in alive(left):
            process.kill()
        self.process.wait()
        self._output.close()


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those of them that still run (a process waits until its end is noticed as a zombie)."""
    left = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                left.append(process)
    return left
