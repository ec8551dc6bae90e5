"""aidp's hub service, the team's gateway, as JupyterHub starts it; the stub upstream stands in for the hub."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.upstream import SERVICE
from tests.support.jupyter import clean_environment
from tests.support.processes import free_port, running, wait_for_http

PREFIX = "/services/aidp/"


@contextlib.contextmanager
def gateway(folder: Path, upstream: str, extra: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """Run it while the block runs; give its OpenAI base URL and its process id."""
    address = f"http://127.0.0.1:{free_port()}"
    variables = {
        "JUPYTERHUB_API_TOKEN": "token-of-the-service",
        "JUPYTERHUB_API_URL": f"{upstream}/hub/api",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
        "JUPYTERHUB_SERVICE_NAME": "aidp",
        "JUPYTERHUB_SERVICE_URL": address,
        "JUPYTERHUB_CLIENT_ID": "service-aidp",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": json.dumps([SERVICE]),
        "AIDP_STATE_DIR": str(folder / "gateway"),
        **extra,
    }
    argv = [sys.executable, "-m", "aidp_ext.hubservice"]
    environment = clean_environment(folder / "gwhome", variables)
    with running(argv, log=folder / "gateway.log", env=environment) as process:
        wait_for_http(f"{address}{PREFIX}aidp/health", process)
        yield f"{address}{PREFIX}aidp/ai/v1", process.pid
