"""Live editing in a server: where a hub has told it to look for jupyter-collaboration, and that its children do not.

A folder with it leads every Lab to it, and every Python to its packages. It is for the server alone: not for a kernel,
which may be of another Python, nor for a Lab that somebody starts in a terminal.

What two people see on their screens is in the file once nobody has typed for a second. A server that is stopped before
that would drop it, so it is saved first.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

FOLDER = "AIDP_LIVE_DIR"
"""The variable that names the folder."""

LEADS = {"PYTHONPATH": "", "JUPYTER_PATH": "share/jupyter", "JUPYTER_CONFIG_PATH": "etc/jupyter"}
"""The variables by which a server finds it, and where below the folder they lead."""

_EXTENSION = "jupyter_server_ydoc"
_SAVING_S = 5.0
"""Less than whoever stops a server waits before they end it with force."""


def variables(folder: Path, current: Mapping[str, str]) -> dict[str, str]:
    """Return what a server is told that finds live editing in ``folder`` before what ``current`` says."""
    led = {
        # no empty part: Python takes one for the folder that it was started in
        name: os.pathsep.join(filter(None, [str(folder / below), *current.get(name, "").split(os.pathsep)]))
        for name, below in LEADS.items()
    }
    return {**led, FOLDER: str(folder)}


def without(current: Mapping[str, str]) -> dict[str, str | None]:
    """Return what of a server's environment is another for its children: None for what they do not get at all."""
    if not (folder := current.get(FOLDER)):
        return {}
    changed: dict[str, str | None] = {FOLDER: None}
    for name in LEADS:
        if name in current:
            left = [part for part in current[name].split(os.pathsep) if not Path(part).is_relative_to(folder)]
            changed[name] = os.pathsep.join(left) or None
    return changed


def save_at_the_end(serverapp: Any) -> None:
    """Let the server, where it has live editing, save what is not in the files yet before it stops."""
    for app in serverapp.extension_manager.extension_apps.get(_EXTENSION, ()):
        app.stop_extension = _after_saving(app, app.stop_extension)


def _after_saving(app: Any, stop: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def stop_extension() -> None:
        rooms = list(app.ywebsocket_server.rooms.values())
        waiting = [room for room in rooms if (task := getattr(room, "_saving_document", None)) and not task.done()]
        saving = [task for room in waiting if (task := room._save_to_disc())]
        if saving:
            await asyncio.wait(saving, timeout=_SAVING_S)
        await stop()

    return stop_extension
