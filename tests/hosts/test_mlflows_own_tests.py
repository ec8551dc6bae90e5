"""MLflow's own tests of its REST client and of artifacts pass through aidp's proxy, unchanged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.support.processes import REPO

HOME = REPO / ".venv" / "mlflow-tests"  # `make .venv/.done/mlflow-tests` brings them, of the version that is installed
PLUGIN = REPO / "tests" / "support" / "mlflow_tests.py"
FILES = ("test_rest_tracking.py", "test_mlflow_artifacts.py")
#: What cannot pass, each with its reason.
LEFT_OUT = {
    "gateway": "models are asked through aidp, under its rules: the proxy closes MLflow's gateway",
    "history_bulk_rejects_invalid": "a query of 1,001 fields, which Tornado refuses with the same 400 and no words",
    "history_bulk_interval_rejects_invalid": "the same",
    "test_mlflow_artifacts_example": "it builds images with a Docker engine",
}
NEEDED = 100  # tests at least: that none of them was overlooked


@pytest.mark.timeout(1500)
@pytest.mark.skipif(
    not (HOME / FILES[0]).exists(),
    reason="MLflow's own tests are not here: `make .venv/.done/mlflow-tests` fetches them from its repository",
)
def test_mlflows_own_tests_pass_through_the_proxy(tmp_path: Path) -> None:
    (tmp_path / "plugin").mkdir()
    shutil.copy(PLUGIN, tmp_path / "plugin")  # alone: beside it lie modules whose names are common
    report = tmp_path / "report.xml"
    options = ["--import-mode=importlib", "--noconftest", "-p", "no:cacheprovider", "-o", "addopts=", "-W", "ignore"]
    wanted = " and ".join(f"not {name}" for name in LEFT_OUT)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "mlflow_tests",
            *options,
            "-k",
            wanted,
            f"--junitxml={report}",
            *FILES,
        ],
        cwd=HOME,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "plugin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), done.stdout[-4000:] + done.stderr[-4000:]
    cases = list(ET.parse(report).getroot().iter("testcase"))
    failed = [case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    assert not failed, done.stdout[-8000:]
    assert len(cases) >= NEEDED
