"""A real MLflow behind aidp's own proxy, on a port of its own: what kernels see of a server, without Jupyter."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from aidp_ext.core.errors import AidpError
from aidp_ext.experiments.models import Caller, Written
from aidp_ext.experiments.proxy.forward import Proxy
from aidp_ext.experiments.proxy.gate import Asked, OpenGate
from aidp_ext.experiments.server.child import Setup
from aidp_ext.experiments.server.local import LocalServer, address_of

T = TypeVar("T")
Observer = Callable[[Written], Awaitable[None]]


class TrackingHost:
    """MLflow, the proxy before it and their event loop, in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loop = asyncio.new_event_loop()
        self.observers: list[Observer] = []
        self.seen: list[Written] = []
        setup = Setup(folder, folder / "run", address_of(folder / "mlflow.db"), str(folder / "artifacts"))
        self.upstream = LocalServer(setup)
        self.url = ""
        self._thread = threading.Thread(target=self.loop.run_forever, name="tracking")

    def start(self) -> None:
        self._thread.start()
        self.url = self.run(self._serve())

    def run(self, work: Coroutine[Any, Any, T], seconds: float = 120) -> T:
        """Run a coroutine in the host's loop and return what it gives."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def stop(self) -> None:
        self.run(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _serve(self) -> str:
        self._proxy = Proxy(self.upstream, OpenGate(), self._observe)
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        await self.upstream.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _end(self) -> None:
        await self._runner.cleanup()
        await self.upstream.close()

    async def _observe(self, written: Written) -> None:
        self.seen.append(written)
        for observer in self.observers:
            await observer(written)

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(
            Caller("ana"), request.method, request.rel_url.raw_path, request.rel_url.raw_query_string,
            dict(request.headers),
        )  # fmt: skip
        body = request.content.iter_any() if request.body_exists else None
        try:
            async with self._proxy.passing(asked, body, prefix="") as answer:
                response = web.StreamResponse(status=answer.status, headers=answer.headers)
                await response.prepare(request)
                async for chunk in answer.chunks:
                    await response.write(chunk)
        except AidpError as error:
            return web.json_response({"error_code": "TEMPORARILY_UNAVAILABLE", "message": error.message}, status=503)
        await response.write_eof()
        return response

    # ---- MLflow's REST API, as a client calls it

    def post(self, route: str, **body: Any) -> dict[str, Any]:
        return self.call("POST", route, body)

    def call(self, method: str, route: str, body: Any = None) -> dict[str, Any]:
        data = json.dumps(body).encode() if body is not None else None
        url = f"{self.url}/api/2.0/mlflow/{route}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return dict(json.load(response))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{route}: {error.code} {error.read()[:500]!r}") from error

    def experiment(self, name: str) -> str:
        return str(self.post("experiments/create", name=name)["experiment_id"])

    def run_of(self, run_id: str) -> dict[str, Any]:
        return dict(self.call("GET", f"runs/get?run_id={run_id}")["run"])

    def tags(self, run_id: str) -> dict[str, str]:
        return {one["key"]: one["value"] for one in self.run_of(run_id)["data"].get("tags", [])}

    def runs(self, experiment_id: str) -> list[str]:
        """Return the runs of an experiment, the oldest first."""
        found = self.post("runs/search", experiment_ids=[experiment_id], max_results=1000).get("runs", [])
        return [run["info"]["run_id"] for run in reversed(found)]

    def artifact(self, run_id: str, name: str) -> bytes | None:
        """Return a captured file of a run."""
        uri = self.run_of(run_id)["info"]["artifact_uri"]
        file = self.folder / "artifacts" / uri.removeprefix("mlflow-artifacts:/") / "aidp" / name
        return file.read_bytes() if file.exists() else None


@contextlib.contextmanager
def tracking_host(folder: Path) -> Iterator[TrackingHost]:
    """Run one while the block runs."""
    host = TrackingHost(folder)
    host.start()
    try:
        yield host
    finally:
        host.stop()
