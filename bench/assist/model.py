"""A real language model, small enough for two cores: SmolLM2-135M-Instruct (Apache-2.0), served by llama.cpp.

A Python package brings it (``requirements.txt``); nothing of that package is run. It knows no fill-in-the-middle, so
it continues what stands before the cursor.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import REPO, free_port, running, wait_for_http

FOLDER = REPO / ".venv" / "assist"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
CONTEXT = 8192  # what it was trained for, in tokens


def fetch() -> Path:
    """Return the model's file, downloaded on the first call (93 MB)."""
    if not (kept := list(FOLDER.glob("*.gguf"))):
        print("Setting up: a small language model (93 MB) …", flush=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-qq", "--no-deps"]
        subprocess.run([*pip, "--require-hashes", "-r", REQUIREMENTS, "-d", FOLDER], check=True)
        wheel = next(FOLDER.glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            [name] = (name for name in archive.namelist() if name.endswith(".gguf"))
            part = FOLDER / "part"
            part.write_bytes(archive.read(name))
        kept = [part.rename(FOLDER / Path(name).name)]
        wheel.unlink()
    return kept[0]


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve it while the block runs; give its base URL."""
    model, port = fetch(), free_port()
    argv = [sys.executable, "-m", "bench.assist.model", str(model), str(port)]
    with running(argv, log=folder / "model.log") as process:
        wait_for_http(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/v1"


def main(model: str, port: str) -> None:
    """Serve until SIGTERM."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx = CONTEXT
    params.n_parallel = 1
    params.port = int(port)
    # Its threads wait for each other by spinning: where they do not all have a core, it is slower by far.
    params.cpuparams.n_threads = max(1, (os.cpu_count() or 1) - 1)
    params.warmup = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(*sys.argv[1:])
