"""What the tests of Git in a server share: how it is begun, and what is asked of its processes."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import psutil

from tests.support.git_client import Forge

KEY = "AKIA" + "QYLPMN5HHHFPZAM2"
#: The checks of a commit are not waited for, a system's keyring is not looked for, and the log says all that it can.
OPTIONS = ("--GitConfig.checks_wait_s=0", "--ServerApp.log_level=DEBUG")
NO_KEYRING = {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}


def environment(*forges: Forge, **more: str) -> dict[str, str]:
    return {"AIDP_FORGES": ",".join(f"{one.git.url}=github" for one in forges), **NO_KEYRING, **more}


def notebook(source: str, output: str) -> str:
    cell = {
        "cell_type": "code",
        "id": "cell-1",
        "metadata": {},
        "execution_count": 1,
        "source": [source],
        "outputs": [{"output_type": "stream", "name": "stdout", "text": [output]}],
    }
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def family(pid: int) -> list[psutil.Process]:
    return [one for one in psutil.Process(pid).children(recursive=True) if one.is_running()]


def sockets(pid: int) -> list[str]:
    """Return the sockets of files that a process listens on."""
    return [str(one.laddr) for one in psutil.Process(pid).net_connections("unix") if "aidp-git-" in str(one.laddr)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def gits(pid: int) -> list[psutil.Process]:
    """Return the git processes of a server."""
    found = []
    for one in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            if one.name().startswith("git") and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
    return found
