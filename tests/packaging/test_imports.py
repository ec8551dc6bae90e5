"""What the pinned packages cost whoever starts a server: each start of Lab, of a hub and of a user's server pays it."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["jupyter_server.serverapp", "jupyterhub.app", "nbformat"])
def test_no_parser_is_built_where_nothing_is_parsed(module: str) -> None:
    """From 4.25 on jsonschema builds one for IRIs as it is imported, which takes longer than the server's own code."""
    code = f"import sys, {module}; sys.exit('lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
