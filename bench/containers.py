"""How long a user's container takes until Lab answers: with all that aidp brings and as plain JupyterLab, in turn.

Both are the same image, started as a hub starts it, with a hub beside them that says yes to everything.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from bench.figures import Figure, Section
from tests.support.engine import docker, engine
from tests.support.image import IMAGE
from tests.support.processes import free_port

PAIRS = 7
LATER_S, MEMORY_MB = 2.0, 170.0
IDLE_S = 10.0
#: What Lab itself and a hub's server need; every other extension of the server is aidp's, or comes with it.
_PLAIN = ("jupyterlab", "jupyter_lsp", "jupyter_server_terminals", "notebook_shim")
_LIMITS = ("--memory=4g", "--cpus=2", "--read-only", "--tmpfs=/tmp", "--tmpfs=/home/jovyan:uid=1000,gid=100")


@asynccontextmanager
async def _hub() -> AsyncIterator[int]:
    """A hub as far as a server asks for one when it starts; gives its port."""

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"version": "6.1.1"}, headers={"X-JupyterHub-Version": "6.1.1"})

    async def yes(_: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.add_routes([web.get("/hub/api/", version), web.get("/hub/api", version), web.route("*", "/{path:.*}", yes)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield port
    finally:
        await runner.cleanup()


def _argv(name: str, hub: int, port: int, *, with_aidp: bool, extensions: list[str]) -> list[str]:
    told = {
        "JUPYTERHUB_API_TOKEN": secrets.token_hex(16),
        "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub}/hub/api",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-ana",
        "JUPYTERHUB_OAUTH_CALLBACK_URL": "/user/ana/oauth_callback",
        "JUPYTERHUB_SERVICE_PREFIX": "/user/ana/",
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}/user/ana/",
        "JUPYTERHUB_USER": "ana",
        **({"AIDP_LIVE_DIR": "/opt/aidp-live", "OLLAMA_HOST": "http://127.0.0.1:9"} if with_aidp else {}),
    }
    without = {one: False for one in extensions if one not in _PLAIN}
    return [
        *("run", "--detach", "--name", name, "--network=host", "--user=1000:100", *_LIMITS),
        *(f"--env={key}={value}" for key, value in told.items()),
        *(IMAGE, "start-lab"),
        *([] if with_aidp else [f"--ServerApp.jpserver_extensions={without}"]),
    ]


async def _start(host: str, hub: int, *, with_aidp: bool, extensions: list[str]) -> tuple[float, float, float]:
    """Start one; return the seconds until Lab answers, its CPU seconds by then, and its memory in MB once it rests."""
    name, port = f"aidp-bench-{secrets.token_hex(4)}", free_port()
    begun = time.monotonic()
    try:
        argv = _argv(name, hub, port, with_aidp=with_aidp, extensions=extensions)
        await asyncio.to_thread(docker, *argv, host=host)
        async with aiohttp.ClientSession() as http:
            while True:
                try:
                    url = f"http://127.0.0.1:{port}/user/ana/api"
                    async with http.get(url, allow_redirects=False) as answer:
                        if answer.status < 500:  # as a hub waits for it
                            break
                except aiohttp.ClientError:
                    pass
                if time.monotonic() - begun > 120:
                    raise AssertionError(await asyncio.to_thread(docker, "logs", name, host=host))
                await asyncio.sleep(0.05)
        seconds = time.monotonic() - begun
        files = "cat /sys/fs/cgroup/cpu.stat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null || true"
        words = (await asyncio.to_thread(docker, "exec", name, "sh", "-c", files, host=host)).split()
        cpu = int(words[1]) / 1e6 if words[0] == "usage_usec" else int(words[-1]) / 1e9
        await asyncio.sleep(IDLE_S)
        form = "{{.MemUsage}}"
        used = await asyncio.to_thread(docker, "stats", "--no-stream", "--format", form, name, host=host)
        return seconds, cpu, float(used.split("MiB")[0]) * 2**20 / 1e6
    finally:
        await asyncio.to_thread(docker, "rm", "--force", name, host=host)


async def _measure(host: str) -> dict[bool, list[tuple[float, float, float]]]:
    folder = "/opt/aidp/etc/jupyter/jupyter_server_config.d"
    files = ("run", "--rm", "--entrypoint", "sh", IMAGE, "-c", f"cat {folder}/*.json")
    said = await asyncio.to_thread(docker, *files, host=host)
    extensions: list[str] = []
    decoder, at = json.JSONDecoder(), 0
    while (at := said.find("{", at)) >= 0:
        found, at = decoder.raw_decode(said, at)
        extensions += found.get("ServerApp", {}).get("jpserver_extensions", {})
    measured: dict[bool, list[tuple[float, float, float]]] = {True: [], False: []}
    async with _hub() as hub:
        for number in range(PAIRS + 1):
            for with_aidp in (True, False) if number % 2 else (False, True):
                one = await _start(host, hub, with_aidp=with_aidp, extensions=extensions)
                if number:  # the first pair fills the caches
                    measured[with_aidp].append(one)
            print(f"pair {number} of {PAIRS}", flush=True)
    return measured


def run() -> Section:
    """Measure; raises NoEngine where there is no engine."""
    with engine() as host:
        found = asyncio.run(_measure(host))
    section = Section("How long a user's container takes until Lab answers")
    kinds = (("seconds", "s", LATER_S), ("CPU", "s", None), ("memory at rest", "MB", None))
    for place, (what, unit, limit) in enumerate(kinds):
        ours, plain = ([one[place] for one in found[kind]] for kind in (True, False))
        pairs = [a - b for a, b in zip(ours, plain, strict=True)]
        most = MEMORY_MB if what.startswith("memory") else None
        for label, values, bound in (("plain JupyterLab", plain, None), ("with aidp, live editing too", ours, most)):
            spread = (min(values), max(values))
            section.figures.append(Figure(f"{what}: {label}", statistics.median(values), unit, bound, spread=spread))
        spread = (min(pairs), max(pairs))
        section.figures.append(Figure("… more", statistics.median(pairs), unit, limit, spread=spread))
    section.notes = [f"Medians of {PAIRS} starts each; memory {IDLE_S:g} s later, as `docker stats` counts it."]
    return section
