"""Run as a program: MLflow's own ``mlflow server``, in one process.

The command would start a second interpreter for the server, load everything anew there, and stay beside it only to
wait for its end: twice the time to start, and 180 MB more.
"""

from __future__ import annotations

import os
import sys
from typing import Any

_UVICORN = ["-m", "uvicorn"]


def main() -> None:
    """Run the command that the arguments name."""
    import uvicorn  # first: MLflow guards its routes when it sees that it is loaded to serve
    from mlflow import server
    from mlflow.cli import cli

    start = getattr(server, "_exec_cmd", None)

    def serve(command: list[str], *, extra_env: dict[str, str], **options: Any) -> Any:
        if command[1:3] != _UVICORN:
            return start(command, extra_env=extra_env, **options)  # type: ignore[misc]
        os.environ.update(extra_env)
        uvicorn.main(command[3:], prog_name="uvicorn")
        sys.exit()

    if start is not None:  # a version without it runs its server as a child, in the same process group
        setattr(server, "_exec_cmd", serve)  # noqa: B010 - it is private, and its types are others
    cli(prog_name="mlflow")


if __name__ == "__main__":
    main()
