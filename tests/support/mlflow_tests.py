"""A plugin of pytest for MLflow's own tests of its REST client, which run in a process of their own.

Each of them starts MLflow anew, for a fresh database. Here it is started where one Jupyter server with aidp takes it
for the tracking server, and the tests are told the address of aidp's proxy instead: their files stay as they are. What
they import from the rest of MLflow's tests is made here.

With ``MLFLOW_TESTS_STRAIGHT`` in the environment they ask MLflow itself, in the very same way: what fails then is none
of the proxy's.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import requests
import uvicorn

LOCALHOST = "127.0.0.1"
TOKEN = secrets.token_hex(16)
REST = requests.Session.request


def free_port() -> int:
    """Return a port on which nobody listens."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind((LOCALHOST, 0))
        return int(probe.getsockname()[1])


JUPYTER, MLFLOW = free_port(), free_port()
IS_STRAIGHT = bool(os.environ.get("MLFLOW_TESTS_STRAIGHT"))
PLACE = f"{MLFLOW}" if IS_STRAIGHT else f"{JUPYTER}/aidp/mlflow"
URL = f"http://{LOCALHOST}:{PLACE}"


def wait_until_it_answers(url: str, seconds: float = 120) -> None:
    """Return when something answers there."""
    until = time.monotonic() + seconds
    while True:
        try:
            with urlopen(url, timeout=5):
                return
        except OSError:
            assert time.monotonic() < until, f"nothing answers at {url}"
            time.sleep(0.1)


class Place(str):
    """What stands for a port in the addresses that tests make: our server's, with the way to MLflow behind it."""


def get_safe_port() -> Place:
    """Return the place at which MLflow is reached."""
    return Place(PLACE)


class ServerThread:
    """MLflow's app in a thread of the test, as their own class of this name runs it."""

    def __init__(self, app: Any, port: object) -> None:
        self.url = URL
        self._server = uvicorn.Server(uvicorn.Config(app, host=LOCALHOST, port=MLFLOW, log_level="error"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        wait_until_it_answers(f"http://{LOCALHOST}:{MLFLOW}/health")
        return URL

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)


@contextlib.contextmanager
def init_server(
    backend_uri: str,
    root_artifact_uri: str,
    extra_env: Mapping[str, str] | None = None,
    app: str | None = None,
    server_type: str = "fastapi",
) -> Iterator[str]:
    """Run MLflow in a process, as their own function of this name does."""
    import mlflow
    from mlflow.server.constants import ARTIFACT_ROOT_ENV_VAR, BACKEND_STORE_URI_ENV_VAR

    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    fast = ["uvicorn", app or "mlflow.server.fastapi_app:app", "--host", LOCALHOST, "--port", str(MLFLOW)]
    slow = ["flask", "--app", app or "mlflow.server:app", "run", "--host", LOCALHOST, "--port", str(MLFLOW)]
    stores = {BACKEND_STORE_URI_ENV_VAR: backend_uri, ARTIFACT_ROOT_ENV_VAR: root_artifact_uri}
    command = [sys.executable, "-m", *(fast if server_type == "fastapi" else slow)]
    with running(command, {**os.environ, **stores, **(extra_env or {})}):
        wait_until_it_answers(f"http://{LOCALHOST}:{MLFLOW}/health")
        yield URL


@contextlib.contextmanager
def running(command: list[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program while the block runs, and end it with all that it started."""
    process = subprocess.Popen(command, env=dict(environment), start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


class Launched(subprocess.Popen[bytes]):
    """A program that ends with the block, where there is one: newer ones of the tests have one, older ones have not."""

    def __exit__(self, *_: Any) -> None:
        kill_process_tree(self.pid)
        self.wait()


def launch_server(host: str, port: str, database: str, root: str, artifacts: str) -> Launched:
    """Start MLflow's own server, as the function of this name in the tests of artifacts does."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(MLFLOW), "--workers", "1"]
    command += ["--backend-store-uri", database, "--default-artifact-root", root, "--artifacts-destination", artifacts]
    process = Launched(
        command, env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}, start_new_session=True
    )
    wait_until_it_answers(f"http://{LOCALHOST}:{MLFLOW}/health")
    return process


def kill_process_tree(pid: int) -> None:
    """End a process with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def invoke_cli_runner(*args: Any, **kwargs: Any) -> Any:
    """Run a command of click's in this process; it must succeed."""
    from click.testing import CliRunner

    result = CliRunner().invoke(*args, **kwargs)
    assert result.exit_code == 0, result.output
    return result


def post(url: str, path: str, payload: Any, auth: Any = None) -> requests.Response:
    """Send JSON to a path."""
    return requests.post(f"{url}{path}", json=payload, auth=auth, timeout=60)


def stand_in(name: str, **members: Any) -> None:
    """Make a module that the tests can import."""
    module = types.ModuleType(name)
    module.__path__ = []
    vars(module).update(members)
    sys.modules[name] = module


def pytest_configure(config: pytest.Config) -> None:
    """Make what the tests import, before they are looked for."""
    stand_in("tests")
    stand_in(
        "tests.helper_functions",
        LOCALHOST=LOCALHOST,
        get_safe_port=get_safe_port,
        kill_process_tree=kill_process_tree,
    )
    stand_in("tests.integration")
    stand_in("tests.integration.utils", invoke_cli_runner=invoke_cli_runner)
    stand_in("tests.tracking")
    stand_in(
        "tests.tracking.integration_test_utils",
        ServerThread=ServerThread,
        _init_server=init_server,
        _await_server_up_or_die=lambda port: wait_until_it_answers(f"http://{LOCALHOST}:{MLFLOW}/health"),
        _send_rest_tracking_post_request=post,
        get_safe_port=get_safe_port,
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the tests of artifacts start MLflow where our server looks for it."""
    for item in items:
        module = getattr(item, "module", None)
        if hasattr(module, "_launch_server"):
            module._launch_server = launch_server  # type: ignore[union-attr]


@pytest.fixture(scope="session", autouse=True)
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Jupyter server whose tracking server is the one that a test starts; bare requests to it bear its token."""
    if IS_STRAIGHT:
        yield
        return
    home = tmp_path_factory.mktemp("jupyter")
    places = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "runtime"}
    environment = {
        **os.environ,
        **{f"JUPYTER_{name}": str(home / place) for name, place in places.items()},
        "HOME": str(home),
        "JUPYTER_TOKEN": TOKEN,
        "MLFLOW_TRACKING_URI": f"http://{LOCALHOST}:{MLFLOW}",
    }
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", f"--ip={LOCALHOST}"]
    command += [f"--port={JUPYTER}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={home}"]
    command += ['--ServerApp.jpserver_extensions={"aidp_ext": True}', "--log-level=WARN"]
    os.environ["MLFLOW_TRACKING_TOKEN"] = TOKEN
    requests.Session.request = with_token  # type: ignore[assignment,method-assign]
    try:
        with running(command, environment):
            wait_until_it_answers(f"http://{LOCALHOST}:{JUPYTER}/api")
            yield
    finally:
        requests.Session.request = REST  # type: ignore[method-assign]


def with_token(session: requests.Session, method: str, url: str, **options: Any) -> requests.Response:
    """Send a request as `requests` does, to our server with its token."""
    if str(url).startswith(URL) and not options.get("auth"):
        options["headers"] = {"Authorization": f"Bearer {TOKEN}", **(options.get("headers") or {})}
    return REST(session, method, url, **options)


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave nothing of a test for the next one; their `conftest.py` does the like."""
    import mlflow

    monkeypatch.chdir(tmp_path)
    before = set(os.environ)
    yield
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    mlflow.tracking.fluent._active_experiment_id = None
    for name in os.environ.keys() - before:  # MLflow tells its children so which experiment is chosen
        del os.environ[name]


@pytest.fixture(scope="session")
def made_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as MLflow makes it, once: that takes longer than most of the tests."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = tmp_path_factory.mktemp("database")
    SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", (folder / "artifacts").as_uri()).engine.dispose()
    return folder / "mlflow.db"


@pytest.fixture
def db_uri(made_database: Path, tmp_path: Path) -> str:
    """The address of an empty database of the test's own."""
    copy = tmp_path / "own.db"
    shutil.copy(made_database, copy)
    return f"sqlite:///{copy}"


@pytest.fixture
def disable_workspace_mode_by_default() -> None:
    """Workspaces are off unless a test says otherwise."""
