"""A Jupyter server of its own for what needs another environment, or an end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from aidp_ext.core.audit import verify
from tests.support.jupyter import Server, clean_environment, jupyter_server
from tests.support.processes import free_port, running, wait_for_http, wait_until


def call(server: Server, path: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"{server.url}aidp/{path}", data, server.headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_with_no_model_anywhere_the_answer_says_what_to_do(tmp_path: Path) -> None:
    with jupyter_server(tmp_path, {}) as server:
        status, said = call(server, "ai/route", "POST", {"task": "complete"})
        assert (status, said["route"], said["reason"]) == (200, None, "no_model")
        assert "Start Ollama" in said["next_step"]
        status, said = call(server, "ai/v1/completions", "POST", {"prompt": "x"})
        assert (status, said["error"]["code"]) == (503, "no_model_available")
        assert "Start Ollama" in said["error"]["details"]["next_step"]
        assert call(server, "ai/v1/models") == (200, {"object": "list", "data": []})
        os.kill(server.pid, signal.SIGINT)
        process = psutil.Process(server.pid)
        wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, "it ends")
        log = server.log.read_text()
    assert "Traceback" not in log
    assert "never awaited" not in log
    assert "Unclosed" not in log
    assert verify(server.home / "data" / "aidp" / "audit.jsonl") == 1


def test_a_home_that_cannot_be_written_stops_nobody(tmp_path: Path, llama: str) -> None:
    """The mode holds until the end and the user is told that it cannot be kept; answers still come."""
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    with jupyter_server(
        tmp_path / "s", {"LOCAL_OPENAI_BASE_URL": llama}, f"--AidpApp.state_dir={blocked}/aidp"
    ) as server:
        status, said = call(server, "ai/mode", "PUT", {"mode": "offline"})
        assert (status, said["error"]["code"]) == (507, "storage_error")
        assert "writable" in said["error"]["details"]["next_step"]
        assert call(server, "ai/mode")[1]["mode"] == "offline"
        status, said = call(server, "ai/v1/completions", "POST", {"prompt": "x", "max_tokens": 2})
        assert status == 200
        assert server.log.read_text().count("no audit record can be written") == 1


def aidp_lab(home: Path, folder: Path, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aidp_ext", "lab", "--no-browser", str(folder), *argv],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(home, env),
    )


def test_lab_says_what_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = aidp_lab(tmp_path / "home", tmp_path / "work", f"--port={taken.getsockname()[1]}")
    assert (done.returncode, done.stderr.split(": ")[:2]) == (2, ["aidp", "port_in_use"])
    done = aidp_lab(tmp_path / "home", tmp_path / "work", "--port=99999")
    assert (done.returncode, done.stderr.split(": ")[:2]) == (2, ["aidp", "invalid_request"])
    done = aidp_lab(tmp_path / "home", tmp_path / "work", JUPYTER_RUNTIME_DIR=f"{tmp_path}/file/runtime")
    assert (done.returncode, done.stderr.split(": ")[:2]) == (2, ["aidp", "storage_error"])
    done = aidp_lab(tmp_path / "home", tmp_path / "file" / "work")
    assert (done.returncode, done.stderr.split(": ")[:2]) == (2, ["aidp", "storage_error"])
    assert "Traceback" not in done.stderr


def test_a_file_named_like_a_module_of_python_is_not_run_by_lab(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "random.py").write_text("raise SystemExit('it was run')")
    argv = [sys.executable, "-m", "aidp_ext", "lab", "--no-browser", str(work), f"--port={free_port()}"]
    environment = clean_environment(tmp_path / "home", {"JUPYTER_TOKEN": "t"})
    with running(argv, log=tmp_path / "log", env=environment, cwd=tmp_path) as process:
        wait_for_http(f"http://127.0.0.1:{argv[-1].removeprefix('--port=')}/api", process)


@pytest.mark.parametrize("argv", [["doctor"], ["doctor", "--json"]])
def test_doctor_names_what_is_missing_and_never_shows_a_key(argv: list[str], llama: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "LOCAL_OPENAI_BASE_URL": llama,
        "OLLAMA_HOST": "127.0.0.1:9",
        "OPENAI_API_KEY": "sk-hunter2hunter2",
    }
    done = subprocess.run([sys.executable, "-m", "aidp_ext", *argv], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    for said in (
        "Python",
        "Node",
        "git",
        "Docker",
        "GPU",
        "ollama serve",
        "tiny-coder",
        "OPENAI_API_KEY is set",
        "Hub",
    ):
        assert said in done.stdout
    assert "hunter2" not in done.stdout + done.stderr
