"""A real JupyterLab of this checkout, started directly and so in seconds, with a home of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import nbformat

from aidp_ext.live import variables
from hub_config import live
from tests.support.jupyter import Server, clean_environment
from tests.support.processes import free_port, running, wait_for_http

#: A cell: its code, ("markdown" or "raw" or "code", its text), or one of nbformat's with outputs and all.
Cell = str | tuple[str, str] | nbformat.NotebookNode


@contextlib.contextmanager
def jupyter_lab(folder: Path, env: Mapping[str, str], *args: str) -> Iterator[Server]:
    """Run `jupyter lab` while the block runs; its app can be reached in the page as ``jupyterapp``."""
    token, port = secrets.token_hex(16), free_port()
    root, home = folder / "work", folder / "home"
    root.mkdir(parents=True)
    argv = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    if os.geteuid() == 0:
        argv.append("--allow-root")
    argv += ["--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}", "--LabApp.expose_app_in_browser=True"]
    places = {
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    environment = clean_environment(home, {**places, **env, "JUPYTER_TOKEN": token})
    with running([*argv, *args], log=folder / "lab.log", env=environment, cwd=root) as process:
        wait_for_http(f"http://127.0.0.1:{port}/api", process)
        yield Server(f"http://127.0.0.1:{port}/", token, root, home, folder / "lab.log", process.pid)


@contextlib.contextmanager
def collaborative_lab(folder: Path, env: Mapping[str, str], *args: str) -> Iterator[Server]:
    """Run one with jupyter-collaboration while the block runs, as a hub's users have it."""
    assert live.absent_here() is None, "jupyter-collaboration is not set up: run `make .venv/.done/live`"
    found = variables(live.folder(), {"PYTHONPATH": os.environ.get("PYTHONPATH", "")})
    with jupyter_lab(folder, {**found, **env}, *args) as server:
        yield server


def write_notebook(file: Path, cells: Sequence[Cell], *, language: str = "python") -> nbformat.NotebookNode:
    """Write a notebook with these cells, for the Python kernel, and return it."""
    made = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    made["raw"] = nbformat.v4.new_raw_cell
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": language}
    notebook.metadata["language_info"] = {"name": language}
    for cell in cells:
        if isinstance(cell, nbformat.NotebookNode):
            notebook.cells.append(cell)
        else:
            kind, source = ("code", cell) if isinstance(cell, str) else cell
            notebook.cells.append(made[kind](source))
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, file)
    return notebook
