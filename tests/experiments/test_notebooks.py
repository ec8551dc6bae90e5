"""In a real kernel against a real MLflow: the example notebook, `%%experiment` and the buffered logger."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aidp_ext
from tests.support.notebook_kernel import NotebookKernel, notebook_kernel
from tests.support.tracking import TrackingHost

EXAMPLES = Path(aidp_ext.__file__).parent / "examples"


@pytest.fixture(scope="module")
def kernel(tracking: TrackingHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NotebookKernel]:
    folder = tmp_path_factory.mktemp("notebooks")
    shutil.copytree(EXAMPLES, folder / "examples")
    environment = {
        "MLFLOW_TRACKING_URI": tracking.url,
        "MLFLOW_EXPERIMENT_NAME": "notebooks",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    }
    with notebook_kernel(folder / "kernel", folder / "examples", environment) as running:
        yield running


def runs(tracking: TrackingHost, experiment: str) -> list[dict[str, Any]]:
    found = tracking.call("GET", f"experiments/get-by-name?experiment_name={experiment}")["experiment"]
    return [tracking.run_of(run) for run in tracking.runs(found["experiment_id"])]


def last(tracking: TrackingHost, experiment: str = "notebooks") -> dict[str, Any]:
    return runs(tracking, experiment)[-1]


def values(run: dict[str, Any], kind: str) -> dict[str, Any]:
    return {one["key"]: one["value"] for one in run["data"].get(kind, [])}


def history(tracking: TrackingHost, run_id: str, key: str) -> list[tuple[int, Any]]:
    told = tracking.call("GET", f"metrics/get-history?run_id={run_id}&metric_key={key}&max_results=25000")
    return [(int(one.get("step", 0)), one["value"]) for one in told["metrics"]]


def test_the_example_runs_and_its_runs_are_there(tracking: TrackingHost, kernel: NotebookKernel) -> None:
    cells = json.loads((EXAMPLES / "experiment.ipynb").read_text())["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            kernel.run("".join(cell["source"]), cell["id"])
    found = runs(tracking, "penguins")
    names = [run["info"]["run_name"] for run in found]
    assert names == ["logistic C=0.01", "logistic C=0.1", "logistic C=1.0", "small network", "nearest neighbours"]
    assert {run["info"]["status"] for run in found} == {"FINISHED"}
    assert all(values(run, "metrics")["accuracy"] > 0.8 for run in found)
    assert [values(run, "tags")["aidp.cell.id"] for run in found] == ["sklearn"] * 3 + ["torch", "magic"]
    assert len(history(tracking, found[3]["info"]["run_id"], "loss")) == 40


# ---- %%experiment


def test_a_cell_is_a_run(tracking: TrackingHost, kernel: NotebookKernel) -> None:
    kernel.run("import mlflow; mlflow.set_experiment('notebooks'); depth = 3")
    said = kernel.run(
        "%%experiment 'my run' --param depth --param lr=0.1 --tag team=red --metric score --metric nothing\n"
        "score = depth / 2\nscore",
        "magic",
    )
    run = last(tracking)
    assert "1.5" in said, "the value of the last line is shown"
    assert f"run my run · {run['info']['run_id']} · there is no variable nothing" in said
    assert run["info"]["run_name"] == "my run"
    assert run["info"]["status"] == "FINISHED"
    assert values(run, "params") == {"depth": "3", "lr": "0.1"}
    assert values(run, "metrics") == {"score": 1.5}
    tags = values(run, "tags")
    assert (tags["team"], tags["aidp.cell.id"]) == ("red", "magic")
    assert kernel.run("print(score, mlflow.active_run())").strip() == "1.5 None"


def test_an_error_of_the_cell_is_shown_as_always_and_the_run_has_failed(
    tracking: TrackingHost, kernel: NotebookKernel
) -> None:
    said = kernel.fail("%%experiment\nvalue = 1\nvalue / 0")
    assert said.count("ZeroDivisionError: division by zero") == 2, "once in the traceback, once as the error's name"
    assert "aidp_ext" not in said, "the magic is not in the traceback"
    assert last(tracking)["info"]["status"] == "FAILED"
    assert "SyntaxError" in kernel.fail("%%experiment\nvalue = (")
    assert last(tracking)["info"]["status"] == "FAILED"


def test_an_interrupted_run_was_killed(tracking: TrackingHost, kernel: NotebookKernel) -> None:
    number = kernel.begin("%%experiment\nimport time\nprint('go', flush=True)\ntime.sleep(600)")
    kernel.wait_for_output(number)
    kernel.interrupt()
    status, said = kernel.end(number)
    assert status == "error" and "KeyboardInterrupt" in said
    assert last(tracking)["info"]["status"] == "KILLED"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--parm x=1", "aidp: Unrecognized arguments: --parm."),
        ("--param 'x", "aidp: The options cannot be read: No closing quotation."),
        ("--param =1", "--param '=1': the name is missing."),
        ("--param unknown_name", "--param unknown_name: there is no variable of this name."),
    ],
)
def test_what_cannot_be_read_starts_no_run(
    tracking: TrackingHost, kernel: NotebookKernel, line: str, says: str
) -> None:
    before = len(runs(tracking, "notebooks"))
    said = kernel.fail(f"%%experiment {line}\nx = 1")
    assert says in said and "Traceback" not in said
    assert len(runs(tracking, "notebooks")) == before


def test_a_run_that_is_open_is_named(kernel: NotebookKernel) -> None:
    kernel.run("opened = mlflow.start_run()")
    said = kernel.fail("%%experiment\nx = 1")
    assert "is open already" in said and "mlflow.end_run()" in said
    kernel.run("mlflow.end_run()")
    assert "--system-metrics" in kernel.run("%%experiment --help\n1")


# ---- the logger


def test_the_logger_keeps_order_steps_and_values_that_are_no_numbers(
    tracking: TrackingHost, kernel: NotebookKernel
) -> None:
    kernel.run(
        """
from aidp_ext.experiments import MetricLogger
with mlflow.start_run() as run, MetricLogger() as log:
    for step in range(2500):
        log(loss=step / 2, step=step * 10)
    log.log({'a/b c': 1})
    log.log({'a/b c': float('nan')})
    log.log({'a/b c': float('inf')}, timestamp_ms=1234567890123)
"""
    )
    run_id = last(tracking)["info"]["run_id"]
    found = history(tracking, run_id, "loss")
    assert found == [(step * 10, step / 2) for step in range(2500)]
    told = dict(history(tracking, run_id, "a%2Fb%20c"))
    assert sorted(told) == [0, 1, 2]
    assert told[0] == 1 and "nan" in str(told[1]).lower() and float(told[2]) > 1e308
    assert kernel.run("print(log.sent, log.lost, log.errors)").strip() == "2503 0 []"


def test_what_is_left_is_sent_when_the_run_ends_and_when_the_cell_is_interrupted(
    tracking: TrackingHost, kernel: NotebookKernel
) -> None:
    kernel.run("with mlflow.start_run():\n    log = MetricLogger(every_s=600)\n    log(x=1)")
    assert values(last(tracking), "metrics") == {"x": 1}
    number = kernel.begin(
        "with mlflow.start_run():\n    with MetricLogger(every_s=600) as log:\n        log(y=2)\n"
        "        print('go', flush=True)\n        import time; time.sleep(600)"
    )
    kernel.wait_for_output(number)
    kernel.interrupt()
    assert kernel.end(number)[0] == "error"
    assert values(last(tracking), "metrics") == {"y": 2}
    assert "is closed" in kernel.fail("log(y=3)")
    assert "There is no active run" in kernel.fail("MetricLogger()")


def test_many_threads_may_log_and_nothing_is_lost(tracking: TrackingHost, kernel: NotebookKernel) -> None:
    kernel.run(
        """
import threading
with mlflow.start_run():
    with MetricLogger(most=500) as log:
        def work(number):
            for step in range(1000): log.log({f't{number}': step}, step=step)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert log.flush(60)
        assert log.sent == 4000
"""
    )
    run_id = last(tracking)["info"]["run_id"]
    for number in range(4):
        assert history(tracking, run_id, f"t{number}") == [(step, step) for step in range(1000)]


def test_a_metric_that_is_refused_takes_no_other_along(tracking: TrackingHost, kernel: NotebookKernel) -> None:
    said = kernel.run(
        "with mlflow.start_run():\n    with MetricLogger() as log:\n        log.log({'good': 1, 'b' * 600: 2})\n"
        "print(log.sent, log.lost, len(log.errors))"
    )
    assert "1 1 1" in said and "could not be sent and are lost" in said
    assert values(last(tracking), "metrics") == {"good": 1}


def test_a_loop_goes_on_while_the_tracking_server_is_away(tracking: TrackingHost, kernel: NotebookKernel) -> None:
    said = kernel.run(
        """
class Away:
    'A client whose server is away until it is told otherwise.'
    real, is_away, calls = mlflow.MlflowClient(), True, 0
    def log_batch(self, *args, **kwargs):
        self.calls += 1
        if self.is_away: raise ConnectionError('nobody is there')
        return self.real.log_batch(*args, **kwargs)
client = Away()
with mlflow.start_run() as run:
    log = MetricLogger(client=client, every_s=0.01, most=100)
    for step in range(50): log(z=step, step=step)
    assert log.flush(30) is False
    client.is_away = False
    assert log.flush(60), log.errors
    client.is_away = True
    for step in range(1000): log(w=step, step=step)
    log.close()
print(log.sent, log.lost)
"""
    )
    assert "nobody is there" in said
    assert "50 1000" in said
    assert history(tracking, last(tracking)["info"]["run_id"], "z") == [(step, step) for step in range(50)]
