"""Which runs can no longer be running: told from the process that began them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from aidp_ext.experiments.lineage import process
from aidp_ext.experiments.lineage.reconcile import GONE, REBOOTED, REPLACED, Reconciler, is_dead

HERE = process.place()


def tags(pid: int | None = None, **changes: Any) -> dict[str, str]:
    told = {**process.identity(), **({"pid": pid} if pid is not None else {}), **changes}
    return {"aidp.process": json.dumps(told), "aidp.kernel.id": "k1"}


@pytest.fixture(scope="module")
def ended() -> int:
    """The number of a process that was there."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_process_that_is_there_is_not_dead() -> None:
    assert is_dead(tags()) is None


def test_a_process_that_is_gone_is_dead(ended: int) -> None:
    assert is_dead(tags(ended)) == GONE


def test_a_number_that_another_process_has_now_is_dead() -> None:
    assert is_dead(tags(start="1")) == GONE


def test_a_process_whose_parent_has_not_noticed_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    told = tags(child.pid, start=process.start_of(child.pid))
    assert is_dead(told) is None
    assert child.stdin is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_dead(told) == GONE
    child.wait()


def test_a_machine_that_was_restarted_has_none_of_them() -> None:
    assert is_dead(tags(boot="another")) == REBOOTED


def test_other_hosts_other_containers_and_jobs_are_left_alone(ended: int) -> None:
    assert is_dead(tags(ended, host="elsewhere")) is None
    assert is_dead(tags(ended, ns="pid:[1]")) is None
    assert is_dead({**tags(ended), "aidp.job.id": "j1"}) is None


def test_what_an_earlier_server_of_a_hub_began_is_dead_and_what_others_did_is_not(ended: int) -> None:
    for change in ({"host": "old-container"}, {"ns": "pid:[1]"}):
        assert is_dead(tags(server="ana/", **change), HERE, "ana/") == REPLACED
        assert is_dead(tags(server="ana/second", **change), HERE, "ana/") is None
        assert is_dead(tags(server="", **change), HERE, "") is None


@pytest.mark.parametrize(
    "said", ["", "{", "[]", "null", '{"pid": "1", "start": "1"}', '{"pid": -1, "start": "1"}', "[" * 99999]
)
def test_what_cannot_be_understood_is_left_alone(said: str) -> None:
    assert is_dead({"aidp.process": said}) is None


def test_a_kernel_that_was_restarted_is_told_from_one_that_is_gone(ended: int) -> None:
    kernels = {"k1"}
    reconciler = Reconciler(None, kernels.__contains__)  # type: ignore[arg-type]
    assert reconciler.ended_runs([("r1", tags(ended)), ("r2", tags())]) == [("r1", "kernel restarted")]
    assert reconciler.ended_runs([("r1", {**tags(ended), "aidp.file": "a.py"})]) == [("r1", "process gone")]
    kernels.clear()
    assert reconciler.ended_runs([("r1", tags(ended))]) == [("r1", "process gone")]


def test_runs_that_end_by_themselves_are_forgotten() -> None:
    reconciler = Reconciler(None, lambda _: False)  # type: ignore[arg-type]
    reconciler.began("r1", tags())
    reconciler.began("r2", tags())
    reconciler.ended("r1")
    assert [run for run, _ in reconciler.running] == ["r2"]
