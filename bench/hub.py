"""What the hub's process costs: ours beside a plain JupyterHub, with servers that are none, in one run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from bench import hub_stub
from bench.figures import Figure, Section
from bench.measure import _clock, rss_mb
from hub_config.network import find_proxy
from hub_config.passwords import user_password
from hub_config.settings import Settings
from tests.support.processes import free_port

REPO = Path(__file__).parents[1]
USERS, MANY = 50, 500
AT_ONCE = 10
MORE_MS, RESTART_S = 50.0, 15.0
TOKEN = secrets.token_hex(32)

_BENCH = f"""
c.JupyterHub.services.append({{"name": "bench", "api_token": "{TOKEN}"}})
c.JupyterHub.load_roles.append({{"name": "bench", "services": ["bench"], "scopes": ["admin:users", "admin:servers"]}})
c.JupyterHub.cleanup_servers = False
c.JupyterHub.cleanup_proxy = False
c.JupyterHub.concurrent_spawn_limit = 100
c.Spawner.pre_spawn_hook = None
"""
_PLAIN = """
import os
c.JupyterHub.bind_url = "http://127.0.0.1:{port}/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}/"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.ConfigurableHTTPProxy.command = ["{proxy}"]
c.ConfigurableHTTPProxy.pid_file = "{folder}/proxy.pid"
c.JupyterHub.db_url = "sqlite:///{folder}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie-secret"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "bench.hub_stub.Stub"
c.JupyterHub.services = []
c.JupyterHub.load_roles = []
"""
_OURS = """
with open("{repo}/jupyterhub_config.py") as file:
    exec(file.read())
c.JupyterHub.spawner_class = "bench.hub_stub.LeasedStub"
"""


class _Hub:
    """One hub as a process: its folder, its address, and what it has cost."""

    def __init__(self, folder: Path, *, is_ours: bool, stub: int) -> None:
        folder.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/hub/api/"
        self._folder = folder
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AIDP_", "JUPYTERHUB_"))},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(REPO),
            "AIDP_HUB_PORT": str(self.port),
            "AIDP_STATE_DIR": str(folder),
            "AIDP_SPAWNER": "local",
            "OLLAMA_HOST": "http://127.0.0.1:9",
            hub_stub.PORT: str(stub),
        }
        if is_ours:
            user_password(Settings(state_dir=folder)).make()
            text = _OURS.format(repo=REPO)
        else:
            text = _PLAIN.format(port=self.port, hub=free_port(), api=free_port(), proxy=find_proxy(), folder=folder)
        (folder / "config.py").write_text(text + _BENCH)
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, client: aiohttp.ClientSession) -> float:
        """Start it and wait until it answers; return the seconds of processor time that this took."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(self._folder / "config.py")],
                env=self._environment,
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while True:
            assert self._process.poll() is None, (self._folder / "log").read_text()[-3000:]
            with contextlib.suppress(aiohttp.ClientError):
                async with client.get(self.url.replace("/api/", "/health")) as answer:
                    if answer.status == 200:
                        return self.cpu_s
            await asyncio.sleep(0.5)

    @property
    def cpu_s(self) -> float:
        """Seconds of processor time of the hub's own process, without its proxy and services."""
        assert self._process is not None
        return _clock(self._process.pid)

    @property
    def rss_mb(self) -> float:
        assert self._process is not None
        return rss_mb(self._process.pid)

    def kill(self) -> None:
        """End the hub alone, as a power cut of its process would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it with everything that it started."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        for name in ("proxy.pid",):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int((self._folder / name).read_text()), signal.SIGTERM)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


async def _spawn(client: aiohttp.ClientSession, hub: _Hub, names: list[str]) -> float:
    """Start a server for each, some at a time; return the milliseconds of processor time that one cost the hub."""
    async with client.post(f"{hub.url}users", json={"usernames": names}) as answer:
        assert answer.status == 201, await answer.text()
    before = hub.cpu_s
    left = iter(names)

    async def one_after_another() -> None:
        for name in left:
            async with client.post(f"{hub.url}users/{name}/server") as answer:
                assert answer.status in (201, 202), await answer.text()
                is_pending = answer.status == 202
            while is_pending:
                await asyncio.sleep(1)
                async with client.get(f"{hub.url}users/{name}") as answer:
                    is_pending = not (await answer.json())["servers"].get("", {}).get("ready")

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
    return (hub.cpu_s - before) * 1000 / len(names)


async def _ready(client: aiohttp.ClientSession, hub: _Hub) -> int:
    """Return how many users have a server that is up."""
    count, offset = 0, 0
    while True:
        async with client.get(f"{hub.url}users?state=ready&offset={offset}&limit=200") as answer:
            found: list[Any] = await answer.json()
        count += len(found)
        if len(found) < 200:
            return count
        offset += 200


async def _restart(client: aiohttp.ClientSession, hub: _Hub, expected: int) -> tuple[float, int]:
    """Kill the hub and start it again; return the processor seconds until all are there, and how many are."""
    hub.kill()
    await hub.start(client)
    deadline = time.monotonic() + 120
    while (found := await _ready(client, hub)) < expected and time.monotonic() < deadline:
        await asyncio.sleep(2)
    return hub.cpu_s, found


@contextlib.asynccontextmanager
async def _stub() -> AsyncIterator[int]:
    """The one server that answers for all users."""

    async def hello(_: web.Request) -> web.Response:
        return web.json_response({"version": "0"})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", hello)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _measure(folder: Path) -> Section:
    section = Section("The hub beside a plain JupyterHub, with servers that are none")
    section.about_packages("jupyterhub")
    headers = {"Authorization": f"token {TOKEN}"}
    timeout = aiohttp.ClientTimeout(total=120)
    async with _stub() as stub, aiohttp.ClientSession(headers=headers, timeout=timeout) as client:
        hubs = {
            "plain": _Hub(folder / "plain", is_ours=False, stub=stub),
            "ours": _Hub(folder / "ours", is_ours=True, stub=stub),
        }
        try:
            for hub in hubs.values():
                await hub.start(client)
            spawns: dict[tuple[str, int], float] = {}
            for count in (USERS, MANY):
                names = [f"u{count}-{number}" for number in range(count)]
                for name, hub in hubs.items():
                    spawns[name, count] = await _spawn(client, hub, names)
            everybody = USERS + MANY
            memory = {name: hub.rss_mb for name, hub in hubs.items()}
            restarts = {name: await _restart(client, hub, everybody) for name, hub in hubs.items()}
        finally:
            for hub in hubs.values():
                hub.close()
    for count in (USERS, MANY):
        plain, ours = spawns["plain", count], spawns["ours", count]
        section.figures += [
            Figure(f"CPU of the hub for one start, {count} users, {AT_ONCE} at a time: plain JupyterHub", plain, "ms"),
            Figure("… more than that with aidp", ours - plain, "ms", MORE_MS),
        ]
    section.figures += [
        Figure(
            f"CPU of a hub that was killed, until it has all {everybody} servers again: plain",
            restarts["plain"][0],
            "s",
        ),
        Figure("… with aidp", restarts["ours"][0], "s", RESTART_S),
        Figure("servers that are there again, with aidp", restarts["ours"][1], "", everybody, at_least=True),
        Figure(f"memory of the hub with {everybody} servers: plain", memory["plain"], "MB"),
        Figure("… with aidp", memory["ours"], "MB"),
    ]
    section.notes.append("Of the hub's own process: its proxy and services are not counted.")
    return section


def run() -> Section:
    """Measure both hubs and return the figures."""
    with tempfile.TemporaryDirectory(prefix="aidp-bench-hub-") as folder:
        return asyncio.run(_measure(Path(folder)))
