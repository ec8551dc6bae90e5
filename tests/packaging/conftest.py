"""The tree as a fresh clone has it after the front end was built, and the wheel that is made from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.installed import Venv
from tests.support.processes import REPO

BUNDLE = "aidp_ext/labextension"


@pytest.fixture(scope="package")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout without what git ignores, but with the front end's production bundle."""
    copy = tmp_path_factory.mktemp("tree") / "aidp"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPO,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (REPO / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPO / name, copy / name)
    if _is_production(REPO / BUNDLE):
        shutil.copytree(REPO / BUNDLE, copy / BUNDLE)
    else:
        _build_front_end(copy)
    return copy


@pytest.fixture(scope="package")
def dist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist and the wheel; the wheel is built from the sdist, as `make dist` does it."""
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, tree],
        env={**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return out


@pytest.fixture(scope="package")
def wheel(dist: Path) -> Path:
    """The wheel."""
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture
def venv(tmp_path: Path) -> Venv:
    """A new, empty virtual environment."""
    return Venv(tmp_path)


def _is_production(bundle: Path) -> bool:
    """Whether a finished bundle is there that was not made for debugging."""
    return (bundle / "static" / "style.js").exists() and not [*bundle.rglob("*.map"), *bundle.rglob("build_log.json")]


def _build_front_end(copy: Path) -> None:
    (copy / "labextension" / "node_modules").symlink_to(REPO / "labextension" / "node_modules")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(
        ["npm", "run", "build:prod"],
        cwd=copy / "labextension",
        env={**os.environ, "PATH": path},
        check=True,
        capture_output=True,
    )
    (copy / "labextension" / "node_modules").unlink()
