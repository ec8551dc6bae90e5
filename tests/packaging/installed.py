"""Fresh environments, and Jupyter servers that run in them rather than in the tests' own."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.jupyter import clean_environment
from tests.support.processes import REPO, free_port, running, wait_for_http


class Venv:
    """A new, empty virtual environment; what runs in it finds its programs first and has a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.prefix = folder / "venv"
        self.bin = self.prefix / "bin"
        self._home = folder / "home"
        subprocess.run([sys.executable, "-m", "venv", self.prefix], check=True)

    @property
    def site_packages(self) -> Path:
        """Where its packages are installed."""
        (found,) = self.prefix.glob("lib/python3*/site-packages")
        return found

    @property
    def environment(self) -> dict[str, str]:
        """Jupyter's folders are fresh; pip keeps the machine's configuration and cache, or each run would download."""
        machine = {name: value for name, value in clean_environment(self._home).items() if name != "PYTHONPATH"}
        return {
            **machine,
            "HOME": os.environ["HOME"],
            "PATH": os.pathsep.join([str(self.bin), os.environ["PATH"]]),
            "PIP_CONSTRAINT": str(REPO / "constraints.txt"),
            "PIP_PREFER_BINARY": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_COMPILE": "1",  # most modules are never imported here
        }

    def run(self, *argv: str | Path, cwd: Path) -> str:
        """Run a program that succeeds; return all that it prints."""
        done = subprocess.run(
            argv, cwd=cwd, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert done.returncode == 0, done.stdout[-6000:]
        return done.stdout


@dataclass(frozen=True)
class Installed:
    """A Jupyter server that runs in such an environment."""

    url: str
    token: str

    def get(self, path: str) -> tuple[str, bytes]:
        """Return the final address and the body of a page."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.url, response.read()

    def get_json(self, path: str) -> Any:
        return json.loads(self.get(path)[1])


@contextlib.contextmanager
def serving(
    venv: Venv, program: Sequence[str], folder: Path, env: Mapping[str, str] | None = None
) -> Iterator[Installed]:
    """Run ``jupyter server`` or ``jupyter lab`` of an environment while the block runs."""
    token, port = secrets.token_hex(16), free_port()
    argv = [str(venv.bin / program[0]), *program[1:], "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    argv += [f"--port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"]
    environment = {**venv.environment, **(env or {}), "JUPYTER_TOKEN": token}
    with running(argv, log=folder.parent / "server.log", env=environment, cwd=folder) as process:
        wait_for_http(f"http://127.0.0.1:{port}/api", process)
        yield Installed(f"http://127.0.0.1:{port}/", token)
