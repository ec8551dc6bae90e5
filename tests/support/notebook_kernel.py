"""A real kernel with aidp's extension, run as a server runs it: cells have ids, and runs go to a tracking server."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

from tests.support.jupyter import clean_environment
from tests.support.processes import wait_until

_EXTENSION = "--InteractiveShellApp.extra_extensions=aidp_ext"


class NotebookKernel:
    """One kernel. Its id is what the server knows it by."""

    def __init__(self, folder: Path, cwd: Path, environment: Mapping[str, str]) -> None:
        self.log_folder = folder / "kernels"
        self._cwd = cwd
        self._environment = {
            **clean_environment(folder / "home"),
            "AIDP_KERNEL_LOG": str(self.log_folder),
            "MPLBACKEND": "agg",
            "PYTHONWARNINGS": "ignore",
            **environment,
        }
        self.id = f"k{os.urandom(4).hex()}"
        self._manager = KernelManager(connection_file=str(folder / f"kernel-{self.id}.json"))
        self._client: Any = None

    def start(self) -> None:
        self._manager.start_kernel(extra_arguments=[_EXTENSION], env=self._environment, cwd=str(self._cwd))
        self._connect()

    def _connect(self) -> None:
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=120)

    @property
    def pid(self) -> int:
        return int(self._manager.provisioner.pid)

    def begin(self, code: str, cell_id: str | None = None) -> str:
        metadata = {"cellId": cell_id} if cell_id else {}
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
        message = self._client.session.msg("execute_request", content, metadata=metadata)
        self._client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def end(self, number: str, seconds: float = 120) -> tuple[str, str]:
        """Return a cell's status and what it printed, its error's text too."""
        said, status = "", "ok"
        while True:
            message = self._client.get_iopub_msg(timeout=seconds)
            kind, content = message["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != number:
                continue
            if kind == "stream":
                said += content["text"]
            elif kind in ("execute_result", "display_data"):
                said += content["data"].get("text/plain", "") + "\n"
            elif kind == "error":
                status = "error"
                said += "\n".join(content["traceback"]) + f"\n{content['ename']}: {content['evalue']}"
            elif kind == "status" and content["execution_state"] == "idle":
                break
        self._client.get_shell_msg(timeout=seconds)
        return status, re.sub(r"\x1b\[[0-9;]*m", "", said)

    def run(self, code: str, cell_id: str | None = None) -> str:
        """Run a cell that has no error, and return what it printed."""
        status, said = self.end(self.begin(code, cell_id))
        assert status == "ok", said
        return said

    def fail(self, code: str, cell_id: str | None = None) -> str:
        status, said = self.end(self.begin(code, cell_id))
        assert status == "error", said
        return said

    def wait_for_output(self, number: str) -> None:
        while True:
            message = self._client.get_iopub_msg(timeout=120)
            if message["msg_type"] == "stream" and message["parent_header"].get("msg_id") == number:
                return

    def interrupt(self) -> None:
        self._manager.interrupt_kernel()

    def restart(self) -> None:
        """As Lab does it: politely."""
        self._client.stop_channels()
        self._manager.restart_kernel()
        self._connect()

    def kill(self) -> None:
        """As the machine does it when memory is short."""
        os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: not self._manager.is_alive(), "the kernel is gone")

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=not self._manager.is_alive())


@contextlib.contextmanager
def notebook_kernel(folder: Path, cwd: Path, environment: Mapping[str, str]) -> Iterator[NotebookKernel]:
    """Run a kernel while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    kernel = NotebookKernel(folder, cwd, environment)
    kernel.start()
    try:
        yield kernel
    finally:
        kernel.close()
