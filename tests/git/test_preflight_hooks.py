"""The repository's own hooks, with the real pre-commit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aidp_ext.git.preflight import apply_fix, run_hooks
from aidp_ext.git.preflight.hooks import CONFIG, readable
from tests.git.staging import Repo

AT_COMMIT = "This repository runs its pre-commit hook at the commit."


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path)


@pytest.fixture
def framework(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """With one hook, a script of the repository, that is installed."""
    pytest.importorskip("pre_commit", reason="pre-commit is not installed here")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "kept"))
    for name, value in repo.env.items():
        monkeypatch.setenv(name, value)
    repo.stage(
        CONFIG,
        "repos:\n- repo: local\n  hooks:\n"
        "  - {id: tidy, name: tidy, entry: sh tidy.sh, language: system, files: '[.]txt$'}\n",
    )
    repo.stage("tidy.sh", "printf '\\033[31mlooking\\033[0m\\n'; ! grep -q bad \"$@\"\n")
    repo.commit()
    subprocess.run(["pre-commit", "install"], cwd=repo.root, check=True, capture_output=True)
    return repo


def install(repo: Repo, program: str) -> None:
    place = repo.root / ".git/hooks/pre-commit"
    place.parent.mkdir(exist_ok=True)
    place.write_text(program)
    place.chmod(0o755)


async def test_a_repository_without_hooks_has_nothing_to_say(repo: Repo) -> None:
    result = await run_hooks(repo.git)
    assert (result.findings, result.note, result.skipped) == ((), None, None)


async def test_a_hook_is_announced_and_left_to_the_commit(repo: Repo) -> None:
    install(repo, "#!/bin/sh\ntouch ran\n")
    assert (await run_hooks(repo.git)).note == AT_COMMIT
    assert not (repo.root / "ran").exists()


async def test_a_hook_elsewhere_is_found_too(repo: Repo) -> None:
    install(repo, "#!/bin/sh\n")
    (repo.root / ".git/hooks").rename(repo.root / "hooks")
    repo.sh("config", "core.hooksPath", "hooks")
    assert (await run_hooks(repo.git)).note == AT_COMMIT


async def test_a_configuration_that_nobody_installed_is_not_run(repo: Repo) -> None:
    repo.stage(CONFIG, "repos: []\n")
    note = (await run_hooks(repo.git)).note
    assert note == f"{CONFIG} is there but not installed: `pre-commit install` makes commits run it."


async def test_hooks_that_pass_say_so(framework: Repo) -> None:
    framework.stage("a.txt", "good\n")
    result = await run_hooks(framework.git)
    assert (result.findings, result.note) == ((), "The pre-commit hooks pass.")


async def test_a_hook_that_fails_is_shown_with_what_it_printed(framework: Repo) -> None:
    framework.stage("a.txt", "bad\n")
    found = await framework.finding("hooks")
    assert (found.severity, found.path, found.can_waive) == ("block", CONFIG, False)
    assert found.output is not None
    assert "tidy" in found.output and "Failed" in found.output and "looking" in found.output
    assert "\x1b" not in found.output


async def test_a_hook_that_changes_files_is_told_with_a_way_to_stage_them(framework: Repo) -> None:
    framework.stage("tidy.sh", 'echo tidied >> "$1"\n')
    framework.commit()
    framework.stage("a.txt", "good\n")
    found = await framework.finding("hooks")
    assert (found.path, found.message) == ("a.txt", "The hook changed this file: look at it and stage it again.")
    await apply_fix(framework.git, found, "stage")
    assert framework.staged("a.txt") == b"good\ntidied\n"


async def test_hooks_are_not_run_beside_changes_that_are_not_staged(framework: Repo) -> None:
    framework.stage("a.txt", "bad\n")
    framework.write("a.txt", "mine\n")
    result = await run_hooks(framework.git)
    assert (result.note, result.skipped) == (AT_COMMIT, "There are changes that are not staged.")
    assert (framework.root / "a.txt").read_text() == "mine\n"


async def test_hooks_can_be_switched_off(framework: Repo) -> None:
    framework.stage("a.txt", "bad\n")
    assert (await framework.check(hooks=False))["hooks"].skipped == "It is switched off in the settings."


def test_long_output_keeps_its_end() -> None:
    shown = readable("\x1b[1mx\x1b[0m\r\n\x07" * 50_000 + "end")
    assert shown.endswith("x\nend")
    assert len(shown) < 21_000
    assert not any(c in shown for c in "\x1b\x07\r")
