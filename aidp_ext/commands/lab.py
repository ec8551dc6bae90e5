"""`aidp lab`: JupyterLab with aidp in it, in a folder of yours."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from jupyter_core.paths import jupyter_config_dir, jupyter_data_dir, jupyter_runtime_dir

from aidp_ext.core.errors import InvalidRequest, PortInUse, StorageError, Unavailable

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(folder: Path, *, port: int | None, browser: bool) -> NoReturn:
    """Become JupyterLab, and so never return. Raises StorageError or Unavailable where it cannot start."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise Unavailable("JupyterLab is not installed here.", next_step="pip install 'aidp-ext[lab]'")
    root = prepare(folder)
    check_home()
    if port is not None:
        check_port(port)
    # -P: a file of yours that is named like a module of Python's must not be taken for it.
    argv = [sys.executable, "-P", "-m", "jupyterlab", f"--ServerApp.root_dir={root}"]
    # Ctrl-C ends it at once: notebooks are saved as you go, and a question would be lost in the log.
    argv += ["--ServerApp.answer_yes=True"]
    if port is not None:
        argv += [f"--port={port}", "--ServerApp.port_retries=0"]
    if not browser:
        argv.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        argv.append("--allow-root")
    os.chdir(root)
    os.execv(argv[0], argv)  # noqa: S606 - one process: Ctrl-C and signals reach Lab itself


def check_port(port: int) -> None:
    """Raise PortInUse or InvalidRequest where Lab could not listen on this port."""
    if not 0 < port < 65536:
        raise InvalidRequest(f"{port} is no port.", next_step="Choose one from 1024 to 65535.", field="port")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortInUse(
                f"Lab cannot listen on port {port}: {error.strerror}.",
                next_step="Choose another one with --port, or none: then Lab looks for a free one.",
            ) from error


def check_home() -> None:
    """Raise StorageError where Jupyter could not keep what it keeps in your home."""
    for place in (jupyter_runtime_dir(), jupyter_data_dir(), jupyter_config_dir()):
        try:
            Path(place).mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            raise StorageError(
                f"{place} cannot be written: {error.strerror}.",
                next_step="Make it writable, or set JUPYTER_DATA_DIR, JUPYTER_RUNTIME_DIR and JUPYTER_CONFIG_DIR.",
            ) from error


def prepare(folder: Path) -> Path:
    """Return the folder, made if missing; an empty one gets the example. Raises StorageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        root = folder.resolve()
        if not any(root.iterdir()):
            shutil.copytree(EXAMPLES, root / "examples")
    except OSError as error:
        raise StorageError(
            f"The folder {folder} cannot be used: {error.strerror}.",
            next_step="Name another one: aidp lab FOLDER.",
        ) from error
    return root
