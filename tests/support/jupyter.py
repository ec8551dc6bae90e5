"""A real Jupyter server with aidp in it, in a process of its own, with a home of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import free_port, running, wait_for_http

# What the machine's own environment says of models must not reach a test.
FOREIGN = (
    "OPENAI_",
    "ANTHROPIC_",
    "GEMINI_",
    "OLLAMA_",
    "LOCAL_OPENAI_",
    "ALLOW_LOCAL",
    "AIDP_",
    "JUPYTER",
    "GITHUB_",
    "MLFLOW_",
)


def clean_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment with an empty home and without the machine's keys and model servers."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
    fresh = {
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "OLLAMA_HOST": "127.0.0.1:9",  # nobody listens on the discard port
        "PYTHONUNBUFFERED": "1",
    }
    return {**kept, **fresh, **(extra or {})}


@dataclass(frozen=True)
class Server:
    """A running Jupyter server."""

    url: str  # with a slash at its end
    token: str
    root: Path
    home: Path
    log: Path
    pid: int

    @property
    def ai(self) -> str:
        """The base URL that an OpenAI client is given."""
        return f"{self.url}aidp/ai/v1"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that a request needs."""
        return {"Authorization": f"Bearer {self.token}"}


@contextlib.contextmanager
def jupyter_server(
    folder: Path,
    env: Mapping[str, str],
    *args: str,
    token: str | None = None,
    launcher: Sequence[str] = (),
    python: Path | None = None,
) -> Iterator[Server]:
    """Run `jupyter server` with aidp while the block runs. Lab itself is not loaded: it starts in half the time.

    ``launcher`` is a program that is given the server's own command line to run; ``python`` that of another
    environment. A folder where a server ran before is taken as it is.
    """
    token, port = token or secrets.token_hex(16), free_port()
    root = folder / "work"
    root.mkdir(parents=True, exist_ok=True)
    argv = [
        *launcher,
        str(python or sys.executable),
        "-m",
        "jupyter_server",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
    ]
    argv += ["--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}", *args]
    argv += ['--ServerApp.jpserver_extensions={"aidp_ext": True, "tests.support.socket_extension": True}']
    environment = clean_environment(folder / "home", {**env, "JUPYTER_TOKEN": token})
    with running(argv, log=folder / "server.log", env=environment, cwd=root) as process:
        wait_for_http(f"http://127.0.0.1:{port}/api", process)
        yield Server(f"http://127.0.0.1:{port}/", token, root, folder / "home", folder / "server.log", process.pid)
