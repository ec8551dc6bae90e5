"""The LiteLLM proxy, in an environment of its own that this benchmark makes: nothing of it is in the product."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.jupyter import clean_environment
from tests.support.processes import REPO, free_port, running, wait_for_http

VERSION = "1.106.2"
VENV = REPO / ".bench-venv"
KEY = "sk-bench"
INSTALL_S, START_S = 1200, 180


def install() -> Path:
    """Return the program ``litellm``, installed where it is not yet in this version (about 750 MB)."""
    program, done = VENV / "bin" / "litellm", VENV / f".litellm-{VERSION}"
    if done.exists() and program.exists():
        return program
    print(f"installing litellm {VERSION} into {VENV.name} …", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True, timeout=INSTALL_S)
    pip = [VENV / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, f"litellm[proxy]=={VERSION}"], check=True, timeout=INSTALL_S)
    done.touch()
    return program


@contextlib.contextmanager
def litellm_proxy(folder: Path, upstream: str) -> Iterator[tuple[str, int]]:
    """Run the proxy with one worker while the block runs; give its OpenAI base URL and its process id."""
    port = free_port()
    config = folder / "litellm.yaml"  # JSON is YAML
    config.write_text(json.dumps(_config(f"{upstream}/v1")))
    argv = [str(install()), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    quiet = {
        "LITELLM_LOG": "ERROR",
        "LITELLM_TELEMETRY": "False",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no download of prices at its start
        "LITELLM_MODE": "PRODUCTION",
    }
    with running(
        argv, log=folder / "litellm.log", env=clean_environment(folder / "llhome", quiet), cwd=folder
    ) as proxy:
        wait_for_http(f"http://127.0.0.1:{port}/health/liveliness", proxy, START_S)
        yield f"http://127.0.0.1:{port}/v1", proxy.pid


def _config(base_url: str) -> dict[str, object]:
    models = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", "api_base": base_url, "api_key": "none"}}
        for name in ("stub", "paced")
    ]
    return {
        "model_list": models,
        "litellm_settings": {"telemetry": False, "set_verbose": False},
        "general_settings": {"master_key": KEY},
    }
