"""Running tests, without a server around: what takes too long, and what is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from aidp_ext.ai.actions import runner
from aidp_ext.ai.actions.files import Files
from aidp_ext.ai.actions.wire import Ended
from aidp_ext.core.errors import Unavailable


async def test_tests_that_hang_are_stopped_and_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "test_it.py"
    path.write_text("import time\n\n\ndef test_it():\n    time.sleep(300)\n")
    found = [event async for event in runner.run(Files(tmp_path), path, time_limit_s=2)]
    assert found[-1] == Ended(passed=False, exit=124, summary="Stopped: the tests took longer than 2 s.")


async def test_a_missing_pytest_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "test_it.py"
    path.write_text("def test_it(): pass\n")
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$0: No module named pytest" >&2\nexit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr(runner.sys, "executable", str(python))
    with pytest.raises(Unavailable, match="pytest is not installed") as refused:
        [event async for event in runner.run(Files(tmp_path), path)]
    assert "pip install pytest" in (refused.value.next_step or "")


async def test_variables_that_are_hidden_are_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIDP_DATABASE_URL", "postgresql://ana:secret@host/db")
    path = tmp_path / "test_it.py"
    path.write_text("import os\n\n\ndef test_it():\n    assert not os.environ['AIDP_DATABASE_URL']\n")
    found = [event async for event in runner.run(Files(tmp_path), path, ["AIDP_*DATABASE_URL"])]
    assert isinstance(found[-1], Ended)
    assert found[-1].passed
