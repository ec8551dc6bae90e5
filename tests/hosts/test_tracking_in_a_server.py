"""A real Jupyter server with a tracking server of its own: kernels log to it with nothing to set up."""

from __future__ import annotations

import importlib
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.jupyter import Server, jupyter_server
from tests.support.kernel import Kernel, call, in_terminal, kernel

psutil: Any = importlib.import_module("psutil")  # it has no types

WITNESS = {"ServerApp": {"jpserver_extensions": {"tests.support.witness_modules": True}}}
TORCH = """
import mlflow, torch
torch.manual_seed(0)
x = torch.linspace(-1, 1, 64).unsqueeze(1)
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
with mlflow.start_run() as run:
    mlflow.log_params({"lr": 0.1, "optimizer": "SGD"})
    for step in range(20):
        loss = torch.nn.functional.mse_loss(model(x), 3 * x + 1)
        optimizer.zero_grad(); loss.backward(); optimizer.step()
        mlflow.log_metric("loss", loss.item(), step=step)
print(run.info.run_id, end="")
"""
SKLEARN = """
import mlflow, sklearn.datasets, sklearn.linear_model
mlflow.sklearn.autolog(log_models=False)
x, y = sklearn.datasets.load_iris(return_X_y=True)
with mlflow.start_run() as run:
    sklearn.linear_model.LogisticRegression(max_iter=200).fit(x, y)
mlflow.sklearn.autolog(disable=True)
print(run.info.run_id, end="")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    env = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
    more = folder / "home" / "config" / "jupyter_server_config.d"
    more.mkdir(parents=True)
    (more / "witness.json").write_text(json.dumps(WITNESS))
    with jupyter_server(folder, env, "--ExperimentsConfig.system_metrics=True") as running:
        yield running
    left = [p for p in psutil.process_iter() if p.is_running() and str(folder) in " ".join(_command(p))]
    assert not left, "the tracking server outlived its server"


@pytest.fixture(scope="module")
def cell(server: Server) -> Iterator[Kernel]:
    with kernel(server, notebook="train.ipynb") as running:
        yield running


def _command(process: Any) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def mlflows(server: Server) -> list[Any]:
    """The tracking servers below a server."""
    below = psutil.Process(server.pid).children(recursive=True)
    return [p for p in below if "aidp_ext.experiments.server.launch" in _command(p)]


def state_of(server: Server) -> dict[str, Any]:
    return dict(call(server, "GET", "aidp/experiments")["tracking"])


def run_of(server: Server, run_id: str) -> dict[str, Any]:
    return dict(call(server, "GET", f"aidp/mlflow/api/2.0/mlflow/runs/get?run_id={run_id}")["run"])


def values(run: dict[str, Any], kind: str) -> dict[str, Any]:
    return {one["key"]: one["value"] for one in run["data"].get(kind, [])}


def test_nothing_runs_and_nothing_is_made_before_it_is_needed(server: Server, cell: Kernel) -> None:
    told = cell.run("import json, os; print(json.dumps(dict(os.environ)))").text
    environment = json.loads(told)
    assert environment["MLFLOW_TRACKING_URI"] == f"{server.url}aidp/mlflow"
    assert environment["MLFLOW_TRACKING_TOKEN"] == environment["AIDP_AI_TOKEN"]
    assert environment["MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"] == "true"
    assert Path(environment["AIDP_KERNEL_LOG"]).parent.parent == server.home / "runtime"
    assert state_of(server)["state"] == "off"
    assert call(server, "GET", "aidp/experiments")["experiments"] == []
    assert not mlflows(server)
    assert not (server.home / "data" / "aidp" / "experiments" / "mlflow.db").exists()


def test_an_unmodified_training_loop_logs(server: Server, cell: Kernel) -> None:
    run_id = cell.run(TORCH, 240).text.split()[-1]
    run = run_of(server, run_id)
    assert run["info"]["status"] == "FINISHED"
    assert values(run, "params") == {"lr": "0.1", "optimizer": "SGD"}
    history = call(server, "GET", f"aidp/mlflow/api/2.0/mlflow/metrics/get-history?run_id={run_id}&metric_key=loss")[
        "metrics"
    ]
    assert [point["step"] for point in history] == list(range(20))
    assert history[-1]["value"] < history[0]["value"]
    assert len(mlflows(server)) == 1
    assert state_of(server)["state"] == "ready"


def test_autolog_logs(server: Server, cell: Kernel) -> None:
    run_id = cell.run(SKLEARN, 240).text.split()[-1]
    run = run_of(server, run_id)
    assert values(run, "params")["max_iter"] == "200"
    assert values(run, "metrics")["training_accuracy_score"] > 0.9


def test_files_go_there_and_back(server: Server, cell: Kernel) -> None:
    code = """
import mlflow, pathlib
pathlib.Path("a b#ü.txt").write_text("hello")
with mlflow.start_run() as run:
    mlflow.log_artifact("a b#ü.txt", "sub folder")
    mlflow.log_dict({"x": 1}, "d.json")
    mlflow.log_text("<p>x</p>", "page.html")
names = sorted(f.path for f in mlflow.artifacts.list_artifacts(run_id=run.info.run_id) if f.path != "aidp")
print(names, mlflow.artifacts.load_dict(run.info.artifact_uri + "/d.json"), run.info.run_id)
"""
    told = cell.run(code, 120).text
    assert "['d.json', 'page.html', 'sub folder'] {'x': 1}" in told
    run_id = told.split()[-1]
    request = urllib.request.Request(
        f"{server.url}aidp/mlflow/get-artifact?run_id={run_id}&path=page.html", headers=server.headers
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.read() == b"<p>x</p>"
        assert response.headers["Content-Security-Policy"].startswith("sandbox; ")


def test_a_path_out_of_the_runs_files_is_refused(server: Server, cell: Kernel) -> None:
    (server.home / "data" / "aidp" / "secret.txt").write_text("SECRET")
    run_id = cell.run(TORCH, 120).text.split()[-1]
    for path in (
        "../../../../secret.txt",
        "..%2f..%2f..%2f..%2fsecret.txt",
        "%252e%252e%252fsecret.txt",
        "/etc/passwd",
    ):
        for place in (f"get-artifact?run_id={run_id}&path={path}", f"api/2.0/mlflow-artifacts/artifacts/{path}"):
            request = urllib.request.Request(f"{server.url}aidp/mlflow/{place}", headers=server.headers)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=30)
            body = refused.value.read()
            assert refused.value.code in (400, 404)
            assert b"SECRET" not in body
            assert b"root:" not in body


def test_two_kernels_log_to_one_run(server: Server, cell: Kernel) -> None:
    code = "import mlflow\nwith mlflow.start_run(run_id={!r}):\n    mlflow.log_metric({!r}, 1.5)"
    run_id = cell.run(
        "import mlflow; r = mlflow.MlflowClient().create_run('0'); print(r.info.run_id)", 120
    ).text.split()[-1]
    with kernel(server) as other:
        asked = other.begin(code.format(run_id, "theirs"))
        cell.run(code.format(run_id, "ours"), 120)
        assert other.end(asked, 120).status == "ok"
    metrics = values(run_of(server, run_id), "metrics")
    assert {name: value for name, value in metrics.items() if not name.startswith("system/")} == {
        "ours": 1.5,
        "theirs": 1.5,
    }


def test_terminals_know_it_too(server: Server) -> None:
    screen = in_terminal(server, "echo at:$MLFLOW_TRACKING_URI:$((1+1))", "mlflow:2")
    assert f"at:{server.url}aidp/mlflow" in screen


def test_mlflow_is_never_loaded_into_the_server(server: Server, cell: Kernel) -> None:
    loaded = set(call(server, "GET", "test/modules")["modules"])
    assert "aidp_ext.experiments.server.local" in loaded
    assert not [name for name in loaded if name.split(".")[0] in ("mlflow", "torch", "sklearn", "flask", "alembic")]
