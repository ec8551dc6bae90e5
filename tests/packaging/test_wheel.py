"""The wheel: what is in it, and that it works in an environment where nothing else was."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from aidp_ext import __version__
from tests.packaging.installed import Venv, serving

SHARED = f"aidp_ext-{__version__}.data/data/"
LAB_EXTENSION = SHARED + "share/jupyter/labextensions/aidp-ext/"


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("pattern", ["*.map", "build_log.json", "*.ts", "*.pyc", ".env*", "*.sqlite"])
def test_nothing_is_in_the_wheel_that_only_its_makers_need(names: set[str], pattern: str) -> None:
    assert [name for name in names if PurePosixPath(name).match(pattern)] == []


@pytest.mark.parametrize("folder", ["node_modules", "tests", "docs", "bench", "__pycache__", ".ipynb_checkpoints"])
def test_no_folder_is_in_the_wheel_that_only_its_makers_need(names: set[str], folder: str) -> None:
    assert [name for name in names if folder in PurePosixPath(name).parts] == []


@pytest.mark.parametrize(
    "name",
    [
        LAB_EXTENSION + "package.json",
        LAB_EXTENSION + "install.json",
        LAB_EXTENSION + "static/style.js",
        LAB_EXTENSION + "static/third-party-licenses.json",
        LAB_EXTENSION + "schemas/aidp-ext/ai.json",
        SHARED + "etc/jupyter/jupyter_server_config.d/aidp_ext.json",
        SHARED + "share/aidp/jupyterhub_config.py",
        SHARED + "share/jupyter/lab/settings/overrides.d/aidp-ext.json",
        "aidp_ext/examples/experiment.ipynb",
        "aidp_ext/examples/penguins.ipynb",
        "aidp_ext/examples/penguins.csv",
        "aidp_ext/examples/README.md",
        "hub_config/settings.py",
        "aidp_ext/ai/migrations/env.py",
        "aidp_ext/ai/migrations/versions/v0001_ledger.py",
    ],
)
def test_what_runs_is_in_the_wheel(names: set[str], name: str) -> None:
    assert name in names


def test_the_front_end_is_in_the_wheel_once(names: set[str]) -> None:
    entries = [name for name in names if PurePosixPath(name).name.startswith("remoteEntry.")]
    assert len(entries) == 1
    assert entries[0].startswith(LAB_EXTENSION + "static/")


def test_the_sdist_holds_the_built_front_end(dist: Path) -> None:
    # so that installing from it needs no Node
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {PurePosixPath(name).relative_to(f"aidp_ext-{__version__}") for name in archive.getnames()}
    assert PurePosixPath("aidp_ext/labextension/static/style.js") in names
    assert PurePosixPath("labextension/src/index.ts") in names
    assert not [name for name in names if name.suffix == ".map" or "node_modules" in name.parts]


@pytest.mark.timeout(600)
def test_the_wheel_works_in_an_empty_environment(wheel: Path, venv: Venv, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    venv.run(venv.bin / "python", "-m", "pip", "install", "--quiet", wheel, "jupyterlab>=4.6.2,<4.7", cwd=work)

    assert venv.run(venv.bin / "aidp", "--version", cwd=work).strip() == f"aidp {__version__}"
    lab = venv.run(venv.bin / "jupyter", "labextension", "list", cwd=work)
    (line,) = [line for line in lab.splitlines() if "aidp-ext" in line]
    assert "enabled" in line
    assert "OK" in line
    assert str(venv.prefix) in lab

    with serving(venv, ["jupyter", "server"], work) as server:
        assert server.get_json("aidp/health") == {"status": "ok", "version": __version__}
        assert {one["name"] for one in server.get_json("aidp/ai/providers")["providers"]} >= {"ollama", "openai"}
