"""`aidp lab`: JupyterLab with aidp in it, in a folder of yours."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

from aidp_ext.core.errors import StorageError, Unavailable

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(folder: Path, *, port: int | None, browser: bool) -> NoReturn:
    """Become JupyterLab, and so never return. Raises StorageError or Unavailable where it cannot start."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise Unavailable("JupyterLab is not installed here.", next_step="pip install 'aidp-ext[lab]'")
    root = prepare(folder)
    argv = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}"]
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
