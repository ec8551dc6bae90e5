"""A plugin of pytest for jupyterlab-git's own tests, which run in a process and an environment of their own.

It stands in for the `conftest.py` at the top of their repository, which their source distribution leaves out, and has
aidp loaded into each server beside theirs, as its installation would.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def jp_environ(jp_environ: Any, jp_env_config_path: Path) -> Any:
    """The places of a server's settings; there it finds aidp."""
    folder = jp_env_config_path / "jupyter_server_config.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "aidp_ext.json").write_text(json.dumps({"ServerApp": {"jpserver_extensions": {"aidp_ext": True}}}))
    return jp_environ


@pytest.fixture
def jp_server_config(jp_server_config: Any) -> Any:
    """What their own `conftest.py` sets."""
    return {
        "ServerApp": {"jpserver_extensions": {"jupyterlab_git": True}},
        "JupyterLabGit": {"excluded_paths": ["/ignored-path/*"]},
    }


@pytest.fixture
def jp_serverapp(jp_serverapp: Any) -> Any:
    """The server, in which both must be."""
    assert {"aidp_ext", "jupyterlab_git"} <= set(jp_serverapp.extension_manager.linked_extensions)
    assert "aidp_git" in jp_serverapp.web_app.settings
    return jp_serverapp
