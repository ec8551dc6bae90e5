"""MLflow's own tests of its REST client and of artifacts pass through aidp's proxy, unchanged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
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
LIMIT_S = 90  # for one of them


@dataclass(frozen=True)
class Ran:
    """What became of the tests, and what pytest said."""

    passed: frozenset[str]
    failed: frozenset[str]
    said: str


def run(folder: Path, chosen: Iterable[str] = (), **environment: str) -> Ran:
    """Run them, or only those of these names, with the plugin of ours."""
    folder.mkdir()
    (folder / "plugin").mkdir()
    shutil.copy(PLUGIN, folder / "plugin")  # alone: beside it lie modules whose names are common
    report = folder / "report.xml"
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "mlflow_tests", "--import-mode=importlib", "--noconftest"]
    argv += ["-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=", "-W", "ignore", f"--timeout={LIMIT_S}"]
    argv += ["-k", " and ".join(f"not {name}" for name in LEFT_OUT), f"--junitxml={report}"]
    done = subprocess.run(
        [*argv, *(chosen or FILES)],
        cwd=HOME,
        env={**os.environ, "PYTHONPATH": str(folder / "plugin"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), done.stdout[-4000:] + done.stderr[-4000:]
    passed, failed = set(), set()
    for case in ET.parse(report).getroot().iter("testcase"):
        name = f"{str(case.get('classname')).rsplit('.', 1)[-1]}.py::{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            failed.add(name)
        elif case.find("skipped") is None:
            passed.add(name)
    return Ran(frozenset(passed), frozenset(failed), done.stdout)


@pytest.mark.timeout(3600)
@pytest.mark.skipif(
    not (HOME / FILES[0]).exists(),
    reason="MLflow's own tests are not here: `make .venv/.done/mlflow-tests` fetches them from its repository",
)
def test_mlflows_own_tests_pass_through_the_proxy_as_they_do_without_it(tmp_path: Path) -> None:
    through = run(tmp_path / "through")
    if through.failed:
        straight = run(tmp_path / "straight", sorted(through.failed), MLFLOW_TESTS_STRAIGHT="1")
        print("These fail at MLflow itself too:", *sorted(straight.failed), sep="\n")
        assert through.failed <= straight.failed, through.said[-8000:]  # each was tried, and failed there as well
    assert len(through.passed) >= NEEDED
