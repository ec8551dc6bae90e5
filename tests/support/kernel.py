"""A real kernel of a real Jupyter server, started, interrupted and restarted as Lab does it."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import websocket
from jupyter_client.blocking import BlockingKernelClient

from tests.support.jupyter import Server
from tests.support.processes import wait_until


@dataclass
class Result:
    """What a cell gave."""

    status: str = ""
    text: str = ""  # stdout and stderr
    displays: list[dict[str, Any]] = field(default_factory=list)  # in their last state, by place
    updates: int = 0
    error: dict[str, Any] = field(default_factory=dict)
    payload: list[dict[str, Any]] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """All displays as plain text."""
        return "\n".join(str(display["text/plain"]) for display in self.displays)


class Kernel:
    """One kernel. `begin` and `end` are the two halves of `run`."""

    def __init__(self, server: Server, kernel_id: str) -> None:
        self.server = server
        self.id = kernel_id
        self._early: deque[dict[str, Any]] = deque()
        self._client = self._connect()

    def _connect(self) -> BlockingKernelClient:
        file = self.server.home / "runtime" / f"kernel-{self.id}.json"
        client = BlockingKernelClient(connection_file=str(file))
        client.load_connection_file()
        client.start_channels()

        def is_ready() -> bool:
            try:
                client.wait_for_ready(timeout=60)
            except RuntimeError as error:  # on a busy machine a heartbeat comes late, and it takes that for a death
                if "died" not in str(error):
                    raise
                return False
            return True

        wait_until(is_ready, f"the kernel {self.id} answers")
        return client

    def run(self, code: str, seconds: float = 60) -> Result:
        """Run a cell and return what it gave; fail where it had an error."""
        result = self.end(self.begin(code), seconds)
        assert result.status == "ok", result.error.get("evalue")
        return result

    def fail(self, code: str) -> dict[str, Any]:
        """Run a cell that must end with an error and return it."""
        result = self.end(self.begin(code))
        assert result.status == "error", result
        return result.error

    def begin(self, code: str) -> str:
        """Send a cell and return its number."""
        return str(self._client.execute(code))

    def end(self, number: str, seconds: float = 60) -> Result:
        """Wait for a cell's end and return what it gave."""
        result, places = Result(), dict[str, int]()
        while True:
            message = self._early.popleft() if self._early else self._client.get_iopub_msg(timeout=seconds)
            kind, content = message["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != number:
                continue
            if kind == "stream":
                result.text += content["text"]
            elif kind in ("display_data", "execute_result"):
                places[content.get("transient", {}).get("display_id", f"#{len(result.displays)}")] = len(
                    result.displays
                )
                result.displays.append(content["data"])
            elif kind == "update_display_data":
                result.updates += 1
                result.displays[places[content["transient"]["display_id"]]] = content["data"]
            elif kind == "error":
                result.error = content
            elif kind == "status" and content["execution_state"] == "idle":
                break
        reply = self._reply(number, seconds)
        result.status, result.payload = reply["status"], reply.get("payload", [])
        return result

    def _reply(self, number: str, seconds: float) -> dict[str, Any]:
        """Return the reply to a cell; where the kernel was asked twice whether it is ready, one of those is left."""
        while True:
            message = self._client.get_shell_msg(timeout=seconds)
            if message["parent_header"].get("msg_id") == number:
                return dict(message["content"])

    def wait_for_output(self, number: str) -> None:
        """Wait until a running cell has shown something; `end` sees it all the same."""
        while True:
            self._early.append(self._client.get_iopub_msg(timeout=60))
            message = self._early[-1]
            shows = message["msg_type"] in ("stream", "display_data", "update_display_data")
            if shows and message["parent_header"].get("msg_id") == number:
                return

    def interrupt(self) -> None:
        """Press the button *Interrupt*."""
        call(self.server, "POST", f"api/kernels/{self.id}/interrupt")

    def restart(self) -> None:
        """Press the button *Restart*."""
        self.disconnect()
        call(self.server, "POST", f"api/kernels/{self.id}/restart")
        self._client = self._connect()

    def disconnect(self) -> None:
        """Leave it running."""
        self._client.stop_channels()

    def close(self) -> None:
        """Shut it down."""
        self.disconnect()
        call(self.server, "DELETE", f"api/kernels/{self.id}")


def call(server: Server, method: str, path: str, body: Any = None) -> Any:
    """Ask the server's own REST API and return its JSON."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"{server.url}{path}", data, server.headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.loads(response.read() or b"null")


@contextlib.contextmanager
def kernel(server: Server, name: str = "python3", notebook: str | None = None) -> Iterator[Kernel]:
    """Run a kernel while the block runs: a notebook's, or one without a notebook."""
    if notebook is None:
        found = call(server, "POST", "api/kernels", {"name": name})
    else:
        body = {"path": notebook, "name": notebook.rpartition("/")[2], "type": "notebook", "kernel": {"name": name}}
        found = call(server, "POST", "api/sessions", body)["kernel"]
    running = Kernel(server, found["id"])
    try:
        yield running
    finally:
        running.close()


def in_terminal(server: Server, command: str, done: str) -> str:
    """Type a command into a new terminal of the server and return what is on the screen once ``done`` appears.

    ``done`` must not be part of the command as it is typed.
    """
    name = call(server, "POST", "api/terminals")["name"]
    screen = ""

    def read() -> bool:
        nonlocal screen
        kind, *rest = json.loads(socket.recv())
        screen += rest[0] if kind == "stdout" else ""
        return done in screen

    url = f"{server.url.replace('http', 'ws', 1)}terminals/websocket/{name}"
    try:
        socket = websocket.create_connection(url, timeout=60, header=server.headers)
        with contextlib.closing(socket):
            socket.send(json.dumps(["stdin", f"{command}\r"]))
            wait_until(read, f"{done} on the terminal")
    finally:
        call(server, "DELETE", f"api/terminals/{name}")
    return screen
