"""Idle servers are stopped; one in which something works stays, however silent it is."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_client.blocking import BlockingKernelClient
from traitlets.config import Config

from aidp_ext.busy import Busy, _let_go
from hub_config import idle
from hub_config.given import SettingsError
from hub_config.idle import CULLER, IdleSettings
from tests.hub.browser import Browser
from tests.hub.process import Hub
from tests.support.processes import wait_until

IDLE_S = 24
SETTINGS = {"JUPYTERHUB_ACTIVITY_URL": "http://127.0.0.1:1/", "JUPYTERHUB_ACTIVITY_INTERVAL": "2"}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def begin(hub: Hub, who: Browser, name: str, code: str) -> None:
    """Start a kernel in somebody's server and let it begin with code, by its own sockets: no request tells of it."""
    answer = who.open(f"user/{name}/api/kernels", body={"name": "python3"})
    assert answer.status == 201, answer.text
    file = f"kernel-{answer.json()['id']}.json"
    path = wait_until(lambda: next((hub.state_dir / "homes" / name).rglob(file), None), "the kernel's file is there")
    client = BlockingKernelClient(connection_file=str(path))
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

    try:
        wait_until(is_ready, "the kernel is ready")
        request = client.execute(code)

        def is_busy() -> bool:
            message = client.get_iopub_msg(timeout=60)
            ours = message["parent_header"].get("msg_id") == request
            return ours and message["content"].get("execution_state") == "busy"

        wait_until(is_busy, "the code runs")
    finally:
        client.stop_channels()


def test_an_idle_server_is_stopped_and_one_with_a_busy_kernel_stays(start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(AIDP_ADMIN_USERS="ada", AIDP_IDLE_MINUTES=str(IDLE_S / 60), OLLAMA_HOST="http://127.0.0.1:9")
    ada = Browser(hub.url)
    ada.sign_in("ada", (hub.state_dir / "admin-password").read_text().strip())
    ada.token = ada.api_token("ada")

    def start(name: str) -> Browser:
        browser = Browser(hub.url)
        browser.sign_in(name, hub.password)
        browser.token = browser.api_token(name)
        browser.start_server(name)
        return browser

    def server(name: str) -> dict[str, Any] | None:
        """What the hub knows of somebody's server, asked of the hub alone: a request to the server would be use."""
        found: dict[str, Any] = ada.open(f"hub/api/users/{name}").json()["servers"]
        return found.get("")

    with ThreadPoolExecutor(2) as both:
        idle_one = both.submit(start, "ida")
        bea = start("bea")
        begin(hub, bea, "bea", "import time; time.sleep(3600)")
        began = datetime.now(UTC)
        idle_one.result()
    wait_until(lambda: server("ida") is None, "the idle server is stopped", 120)
    long_enough = began + timedelta(seconds=IDLE_S + IdleSettings(IDLE_S / 60).report_s)
    wait_until(
        lambda: moment((server("bea") or {"last_activity": "1970-01-01T00:00:00Z"})["last_activity"]) > long_enough,
        "the server that works has been in use for longer than an idle one lasts",
    )
    assert [kernel["execution_state"] for kernel in bea.open("user/bea/api/kernels").json()] == ["busy"]
    culled = [line for line in hub.log.splitlines() if "Culling server" in line]
    assert len(culled) == 1
    assert "Culling server ida" in culled[0]
    records = map(json.loads, (hub.state_dir / "service" / "audit.jsonl").read_text().splitlines())
    stopped = [(one["actor"], one["user"]) for one in records if one["event"] == "hub.server_stopped"]
    assert stopped == [("service:aidp-idle-culler", "ida")]


# --- what counts as work


class Server:
    """What `Busy` looks at, with real processes behind it."""

    def __init__(self) -> None:
        self.kernels: dict[str, Any] = {}
        self.terminals: dict[str, Any] = {}
        manager = SimpleNamespace(terminals=self.terminals)
        self.web_app = SimpleNamespace(settings={"terminal_manager": manager, "last_activity_times": {}})
        self.kernel_manager = SimpleNamespace(
            list_kernel_ids=lambda: list(self.kernels), get_kernel=self.kernels.__getitem__
        )
        self.log = SimpleNamespace(exception=lambda *_: pytest.fail("the look failed"))

    def add_kernel(self, pid: int, state: str = "idle") -> SimpleNamespace:
        kernel = SimpleNamespace(execution_state=state, provisioner=SimpleNamespace(pid=pid), last_activity=None)
        self.kernels[str(pid)] = kernel
        return kernel


@contextmanager
def process(*argv: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(argv, **options)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def looks(busy: Busy, seconds: float = 1.0) -> bool:
    """What the second of two looks sees, so far apart that processor time can be told from none."""
    busy.look()
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, "the time has passed")
    return busy.look()


def test_a_kernel_that_is_busy_works_and_one_that_waits_does_not() -> None:
    with process("sleep", "600") as child:
        server = Server()
        kernel = server.add_kernel(child.pid)
        busy = Busy(server, SETTINGS)
        assert looks(busy) is False
        kernel.execution_state = "busy"
        assert busy.look() is True


def test_a_background_job_of_an_idle_kernel_works_and_keeps_the_kernel_too() -> None:
    """Such as a training that a notebook started as a process of its own: its run is not over with the cell."""
    job = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    with process(sys.executable, "-c", job, start_new_session=True) as child:
        server = Server()
        kernel = server.add_kernel(child.pid)
        try:
            wait_until(lambda: looks(Busy(server, SETTINGS), 0.3), "the job is seen")
            assert kernel.last_activity is not None
        finally:
            os.killpg(child.pid, 9)


#: A container's first process, with a server below it and, once a line comes in, a job whose parent has ended.
INIT = """
import ctypes, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: who loses its parent comes here
server = subprocess.Popen(["sleep", "600"])
print(server.pid, flush=True)
for line in sys.stdin:
    subprocess.run(["sh", "-c", 'setsid "$0" -c "$1" & echo $!', sys.executable, line])
"""


@pytest.mark.parametrize(("job", "works"), [("while True: pass", True), ("import time; time.sleep(600)", False)])
def test_a_job_that_let_go_of_its_terminal_works_where_it_computes(
    monkeypatch: pytest.MonkeyPatch, job: str, works: bool
) -> None:
    with process(sys.executable, "-c", INIT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as init:
        assert init.stdin is not None and init.stdout is not None
        pids = [int(init.stdout.readline())]
        busy = Busy(Server(), SETTINGS)
        monkeypatch.setattr(busy, "_lineage", lambda: [pids[0], init.pid])
        try:
            assert looks(busy) is False
            init.stdin.write(job.encode() + b"\n")
            init.stdin.flush()
            pids.append(int(init.stdout.readline()))
            wait_until(lambda: pids[1] in _let_go([pids[0], init.pid]), "the job has lost its parent")
            if works:
                wait_until(lambda: looks(busy, 0.3), "the job is seen")
            else:
                wait_until(lambda: not looks(busy), "its start is over")
            monkeypatch.undo()
            assert busy._lineage() == [] or os.getuid() != 0, "a machine's own init has everybody's processes below it"
        finally:
            for pid in pids:
                os.kill(pid, 9)
            init.stdin.close()
            init.stdout.close()


def test_a_job_in_a_terminal_works_and_a_prompt_does_not() -> None:
    ours, theirs = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "PS1": "ready> "}
    with process("sh", "-i", stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env=environment) as sh:
        server = Server()
        server.terminals["1"] = SimpleNamespace(ptyproc=SimpleNamespace(pid=sh.pid))
        busy = Busy(server, SETTINGS)
        shown = b""
        while b"ready> " not in shown:
            shown += os.read(ours, 1024)
        assert busy.look() is False
        os.write(ours, b"sleep 600 &\n")
        wait_until(busy.look, "the job is seen")
        os.write(ours, b"kill -9 $!; wait\n")  # SIGTERM is lost on a job that the shell is only about to start
        wait_until(lambda: not busy.look(), "its end is seen")
    os.close(ours)
    os.close(theirs)


async def test_work_is_told_to_jupyter_which_tells_the_hub_and_only_where_there_is_one() -> None:
    with process("sleep", "600") as child:
        server = Server()
        server.add_kernel(child.pid, "busy")
        alone = Busy(server, {})
        alone.start()
        await alone.stop()
        assert server.web_app.settings["last_activity_times"] == {}
        busy = Busy(server, SETTINGS)
        busy.start()
        try:
            async with asyncio.timeout(60):
                while not server.web_app.settings["last_activity_times"]:
                    await asyncio.sleep(0.01)
        finally:
            await busy.stop()
        at = server.web_app.settings["last_activity_times"]["aidp_busy"]
        assert abs((datetime.now(UTC) - at).total_seconds()) < 30


# --- settings


def test_the_usual_time_is_two_hours_and_0_is_never() -> None:
    assert IdleSettings.from_env({}).seconds == 7200
    assert not IdleSettings.from_env({"AIDP_IDLE_MINUTES": "0"}).is_on


@pytest.mark.parametrize("text", ["soon", "-1", "0.05", "nan", "inf", "50000"])
def test_a_time_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(SettingsError, match="AIDP_IDLE_MINUTES"):
        IdleSettings.from_env({"AIDP_IDLE_MINUTES": text})


@pytest.mark.parametrize("minutes", [0.1, 0.4, 5, 120, 43200])
def test_servers_report_often_enough_not_to_be_taken_for_idle(minutes: float) -> None:
    settings = IdleSettings(minutes)
    assert settings.report_s * 2 * 1.1 < settings.seconds
    assert settings.report_s <= 300


def test_off_starts_no_culler_and_leaves_kernels_alone() -> None:
    for settings, is_there in ((IdleSettings(0), False), (IdleSettings(1), True)):
        c = Config()
        c.JupyterHub.services, c.Spawner.args, c.Spawner.environment = [], [], {}
        idle.apply(c, settings)
        assert (CULLER in [one["name"] for one in c.JupyterHub.services]) is is_there
        assert any("cull_idle_timeout=60" in one for one in c.Spawner.args) is is_there
        assert not [one for one in c.Spawner.args if one.endswith("=True")]
