"""What stands around the package agrees with it: the workflow, the hooks and the image use what there is."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from aidp_ext.live import FOLDER, LEADS, variables
from tests.support.processes import REPO

WORKFLOW = REPO / ".github" / "workflows" / "ci.yml"
DOCKERFILE = REPO / "deploy" / "Dockerfile"


def steps(job: dict[str, object]) -> list[dict[str, str]]:
    found = job["steps"]
    assert isinstance(found, list)
    return found


def test_the_workflow_runs_the_targets_of_the_makefile() -> None:
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    runs = {name: [step["run"] for step in steps(job) if "run" in step] for name, job in jobs.items()}
    assert runs["lint"] == ["make check"]
    assert runs["test"] == ["make test"]
    assert runs["build"] == ["make docs", "make dist"]
    built = {"lab-cpu": "aidp", "hub": "aidp-hub"}
    assert runs["image"][:2] == [
        f"docker build -f deploy/Dockerfile --target {target} -t {tag} ." for target, tag in built.items()
    ]
    assert [job.get("needs") for job in jobs.values()] == [None, "lint", "test", "build"]


def test_the_workflow_may_only_read() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert not [name for name, job in workflow["jobs"].items() if "permissions" in job]
    for job in workflow["jobs"].values():
        checkout = next(step for step in steps(job) if step.get("uses", "").startswith("actions/checkout@"))
        assert checkout["with"] == {"persist-credentials": False}
        assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"]) for step in steps(job) if "uses" in step)


def test_what_the_image_copies_is_let_through_and_exists() -> None:
    ignore = (REPO / "deploy" / "Dockerfile.dockerignore").read_text()
    allowed = [line[1:] for line in ignore.splitlines() if line.startswith("!")]
    text = DOCKERFILE.read_text()
    lines = re.findall(r"^COPY (?!--from)(?:--chmod=\d+ )?(.+) \S+$", text, re.MULTILINE)
    mounts = re.findall(r"--mount=type=bind,source=([^,]+)", text)
    copied = {name for line in lines for name in line.split()} | set(mounts)
    assert {name.replace("dist", "dist/*.whl") for name in copied} == set(allowed)
    assert [name for name in copied if name != "dist" and not (REPO / name).exists()] == []


def test_no_image_is_rooted() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE.read_text(), flags=re.MULTILINE)[1:]
    users = {stage.split()[2]: re.findall(r"^USER (.*)", stage, re.MULTILINE) for stage in stages}
    assert all(users[name] == ["1000:100"] for name in ("lab-cpu", "lab-gpu", "hub"))


def test_the_image_lists_what_pyproject_asks_for_with_its_extras(tmp_path: Path) -> None:
    for name in ("deploy/install-packages", "pyproject.toml"):
        (tmp_path / Path(name).name).write_bytes((REPO / name).read_bytes())
    said = subprocess.run(
        ["sh", tmp_path / "install-packages", "list", "lab,server"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    names = {re.split(r"[\[<>=~!]", line)[0] for line in said}
    assert {"jupyter_server", "jupyterlab", "mlflow", "jupyter-ai-router", "jupyterhub"} <= names
    assert not {"aidp-ext", "torch", "dockerspawner"} & names


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "jupyter lab --ip=0.0.0.0 --port=8888 --no-browser --debug"),
        ({"JUPYTERHUB_API_TOKEN": "t"}, "jupyterhub-singleuser --debug"),
    ],
)
def test_the_image_starts_what_it_was_started_for(tmp_path: Path, environment: dict[str, str], expected: str) -> None:
    for name in ("jupyter", "jupyterhub-singleuser"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [REPO / "deploy" / "start-lab", "--debug"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected


@pytest.mark.parametrize("told", [{"JUPYTERHUB_API_TOKEN": "t"}, {}])
def test_the_image_leads_a_hubs_server_to_live_editing_before_what_is_there(
    tmp_path: Path, told: dict[str, str]
) -> None:
    shown = "\n".join(f"echo {name}=${name}" for name in LEADS)
    for name in ("jupyter", "jupyterhub-singleuser"):
        (tmp_path / name).write_text(f"#!/bin/sh\n{shown}\n")
        (tmp_path / name).chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": "/theirs"}

    def led(folder: Path) -> dict[str, str]:
        done = subprocess.run(
            [REPO / "deploy" / "start-lab"],
            env={**path, **told, FOLDER: str(folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        return dict(line.split("=", 1) for line in done.stdout.splitlines())

    as_it_is = {"PYTHONPATH": "/theirs", "JUPYTER_PATH": "", "JUPYTER_CONFIG_PATH": ""}
    assert led(tmp_path / "nowhere") == as_it_is
    if told:
        found = variables(tmp_path, path)
        assert led(tmp_path) == {name: found[name] for name in LEADS}
    else:
        assert led(tmp_path) == as_it_is, "Lab for one person has none"


def test_scripts_may_be_run() -> None:
    scripts = ("binder/postBuild", "deploy/install-live", "deploy/install-packages", "deploy/start-lab")
    assert all(os.access(REPO / name, os.X_OK) for name in scripts)
