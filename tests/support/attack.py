"""schemathesis, in a process of its own, against a running server by the server's own OpenAPI document."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.support.processes import REPO

_HERE = Path(__file__).parent


async def attack(url: str, token: str, folder: Path, *, seed: int = 1, examples: int = 8) -> str:
    """Attack what is below ``url``, which ends in ``/aidp/``; return what schemathesis says.

    Raises AssertionError with its whole report where it finds anything.
    """
    argv = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(_HERE / "schemathesis.toml"), "--no-color"]
    argv += ["run", f"{url}openapi.json", "--header", f"Authorization: Bearer {token}", "--checks", "all"]
    argv += ["--seed", str(seed), "--max-examples", str(examples), "--request-timeout", "30", "--continue-on-failure"]
    argv += ["--exclude-path-regex", "^/mlflow"]  # what MLflow answers there is in no document of ours
    environment = {**os.environ, "PYTHONPATH": str(REPO), "SCHEMATHESIS_HOOKS": "tests.support.attack_checks"}
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    report = said.decode(errors="replace")
    assert process.returncode == 0, report
    return report
