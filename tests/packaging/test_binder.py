"""Binder's set-up, run for real: a fresh environment, the script of the checkout, then Lab."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml

from aidp_ext import __version__
from tests.packaging.installed import Venv, serving
from tests.support.processes import REPO


@pytest.mark.timeout(600)
def test_postbuild_makes_lab_open_with_the_example(tree: Path, venv: Venv, tmp_path: Path) -> None:
    as_conda_fills_it(venv)
    printed = venv.run(tree / "binder" / "postBuild", cwd=tmp_path)

    assert "No broken requirements found." in printed
    assert "aidp_ext enabled" in printed
    assert re.search(rf"aidp_ext {re.escape(__version__)}.*OK", printed)
    assert re.search(rf"aidp-ext v{re.escape(__version__)} enabled OK", printed)
    with serving(venv, ["jupyter", "lab"], tree) as lab:
        assert lab.get_json("aidp/health")["status"] == "ok"
        where, page = lab.get("")
        assert where.endswith("/lab/tree/aidp_ext/examples/penguins.ipynb")
        assert b"jupyter-config-data" in page
        config = page.decode()
        assert '"name": "aidp-ext"' in config
        assert lab.get_json("api/contents/aidp_ext/examples/penguins.ipynb?content=0")["type"] == "notebook"


def as_conda_fills_it(venv: Venv) -> None:
    """Let an environment have what the tests' own has: on Binder all is there by then but aidp."""
    venv.run(venv.bin / "python", "-m", "pip", "uninstall", "--yes", "--quiet", "setuptools", cwd=venv.prefix)
    (venv.site_packages / "conda.pth").write_text(sysconfig.get_path("purelib") + "\n")
    lab = Path("share", "jupyter", "lab")
    (venv.prefix / lab).mkdir(parents=True)
    for part in ("static", "schemas", "themes"):
        (venv.prefix / lab / part).symlink_to(sys.prefix / lab / part)
    for program in Path(sys.executable).parent.glob("jupyter*"):
        ours = venv.bin / program.name
        ours.write_text(program.read_text().replace(str(Path(sys.executable).parent), str(venv.bin)))
        ours.chmod(0o755)


def test_postbuild_fails_where_the_extension_is_switched_off(tree: Path, tmp_path: Path) -> None:
    # stand-ins for the three programs that it calls: this is about its own judgement only
    programs = tmp_path / "bin"
    programs.mkdir()
    answers = {
        "python": f'#!/bin/sh\ncase "$*" in *sys.prefix*) echo {tmp_path}/prefix;; esac\n',
        "jupyter": "#!/bin/sh\nprintf '%s\\n' 'aidp_ext disabled' 'aidp_ext 0.1.0 OK' 'aidp-ext v0.1.0 enabled OK'\n",
    }
    for name, text in answers.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)

    done = subprocess.run(
        [tree / "binder" / "postBuild"],
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "the server extension aidp_ext is not enabled" in done.stderr


def test_binder_installs_what_the_lab_extra_needs() -> None:
    # what conda brings, pip need not fetch again; a range that differs would be fetched twice
    environment = yaml.safe_load((REPO / "binder" / "environment.yml").read_text())["dependencies"]
    extra = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["optional-dependencies"]["lab"]
    of_pip = {"aidp-ext[chat,experiments]"}  # pinned to the day, so pip brings them
    assert set(extra) - of_pip <= {name.replace("matplotlib-base", "matplotlib") for name in environment}
