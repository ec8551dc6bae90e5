"""The tags that MLflow's client gives each new run, by its plug-in for that (``mlflow.run_context_provider``).

It is part of every process that imports MLflow and has aidp installed; where aidp's server did not start it, it says
nothing. The code of the cell is not among the tags: the server adds it, without the secrets that may be in it.
"""

from __future__ import annotations

import atexit
import json
import os
import platform
import sys
from pathlib import Path

from aidp_ext.experiments.lineage import environment, kernel, process, threads

_registered: list[int] = []


class LineageContext:
    """What MLflow asks for the tags of a run, in the thread and the task that start it."""

    def in_context(self) -> bool:
        """Return whether aidp's server started this process, or one further up."""
        return bool(os.environ.get(kernel.FOLDER)) or kernel.hook() is not None

    def tags(self) -> dict[str, str]:
        """Return the tags; what cannot be found out is left out."""
        _end_runs_as_what_they_are()
        known = os.environ
        given = {
            "aidp.process": json.dumps(process.identity(), separators=(",", ":")),
            "aidp.python": platform.python_version(),
            "aidp.notebook": known.get("AIDP_NOTEBOOK", ""),
            "aidp.job.id": known.get("AIDP_JOB_ID", ""),
            "aidp.environment": environment.note(known.get(kernel.FOLDER)),
            **_cell(),
        }
        if not kernel.hook():
            given |= _script()
        elif given["aidp.notebook"]:
            given |= {"mlflow.source.name": given["aidp.notebook"], "mlflow.source.type": "NOTEBOOK"}
        return {name: value for name, value in given.items() if value}


def _cell() -> dict[str, str]:
    if kernel.hook() is not None:
        cell = threads.current()
        if cell is None:
            return {"aidp.kernel.id": kernel.hook().kernel_id}  # type: ignore[union-attr]
        return {"aidp.kernel.id": cell.kernel_id, "aidp.cell.count": str(cell.count), "aidp.cell.id": cell.id or ""}
    # Of a child process; the server knows which cell has the number.
    kernel_id, _, count = os.environ.get(kernel.CELL, "").partition("/")
    return {"aidp.kernel.id": kernel_id, "aidp.cell.count": count} if count.isdecimal() else {}


def _script() -> dict[str, str]:
    """Return the file that runs. It is an absolute path, which the server makes relative to the workspace."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if not file:
        return {}
    try:
        return {"aidp.file": str(Path(file).absolute())}
    except OSError:  # the current folder is gone
        return {}


def _end_runs_as_what_they_are() -> None:
    """Have a run that is open when the kernel goes end as killed, where its cell did not come to its end.

    MLflow would say FINISHED. What is registered later runs earlier, and MLflow is imported by now.
    """
    if os.getpid() not in _registered:
        _registered[:] = [os.getpid()]
        atexit.register(_at_exit, os.getpid())


def _at_exit(pid: int) -> None:
    hook = kernel.hook()
    if hook is None or pid != os.getpid() or not (hook.is_busy or hook.was_interrupted):
        return
    import mlflow

    try:
        while (run := mlflow.active_run()) is not None:
            mlflow.set_tag("aidp.ended", "kernel shut down or restarted")
            mlflow.end_run("KILLED")
            if mlflow.active_run() is run:
                return
    except Exception:  # noqa: S110 - the tracking server is gone too; the process's end tells later
        pass
