"""aidp: JupyterLab and JupyterHub as an AI-assisted developer platform for data scientists."""

from __future__ import annotations

from typing import Any

from aidp_ext._version import __version__

__all__ = ["__version__"]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "aidp-ext"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from aidp_ext.app import AidpApp

    return [{"module": "aidp_ext.app", "app": AidpApp}]
