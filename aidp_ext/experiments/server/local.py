"""A lean MLflow of one's own: a child process on a socket of this machine, started when it is first needed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import aiohttp

from aidp_ext.core import proc
from aidp_ext.core.errors import AidpError, ProcessError, StorageError, Unavailable, UpstreamError, UpstreamUnreachable
from aidp_ext.experiments.server import child, planner, schema
from aidp_ext.experiments.server import record as records
from aidp_ext.experiments.server.child import Setup
from aidp_ext.experiments.server.record import Lock, Record
from aidp_ext.experiments.server.sending import Sending
from aidp_ext.experiments.server.wire import Wire
from aidp_ext.experiments.upstream import TrackingState

log = logging.getLogger("aidp")

_SERVER = "MLflow"
_LOOK_S = 0.1
_MOST_WAIT_S = 30.0  # between two attempts of a server that does not come up
_STATISTICS_S = 60.0
_SHORT_LIFE_S = 60.0


class LocalServer(Sending):
    """MLflow for one state folder. Several Jupyter servers may share the folder, and then share the process."""

    def __init__(self, setup: Setup, *, kind: Literal["local", "team"] = "local", patience_s: float = 180.0) -> None:
        """``patience_s``: how long a start may take."""
        self._setup = setup
        self._kind: Literal["local", "team"] = kind
        self._patience_s = patience_s
        self._process: subprocess.Popen[bytes] | None = None
        self._record: Record | None = None
        self._users: Lock | None = None
        self._wire: Wire | None = None
        self._starting: asyncio.Task[None] | None = None
        self._statistics: asyncio.Task[None] | None = None
        self._began = 0.0
        self._doing = ""
        self._error: AidpError | None = None
        self._failures = 0
        self._failed_at = 0.0
        self._deaths = 0  # one soon after the other
        self._ready_at = 0.0
        self._is_closed = False

    @property
    def database(self) -> Path | None:
        """MLflow's SQLite file, or None where it keeps its runs in another database."""
        path = self._setup.database.removeprefix("sqlite:///")
        return Path(path) if path != self._setup.database else None

    @property
    def artifacts(self) -> Path | None:
        """The folder of the artifacts, or None where they are kept elsewhere."""
        return None if "://" in self._setup.artifacts else Path(self._setup.artifacts)

    def state(self) -> TrackingState:
        """Return how it is."""
        if self._starting is not None:
            seconds = round(time.monotonic() - self._began)
            progress = f"{self._doing} {seconds} s so far; it takes up to a minute on a busy machine."
            return TrackingState("starting", self._kind, True, message="MLflow is starting.", progress=progress)
        if self._is_running():
            return TrackingState("ready", self._kind, True)
        if self._error is not None:
            return TrackingState("failed", self._kind, False, self._error.message, self._error.next_step)
        if schema.installed() is None:
            error = _not_installed()
            return TrackingState("off", self._kind, False, error.message, error.next_step)
        return TrackingState("off", self._kind, True, message="MLflow starts when it is first needed.")

    async def start(self) -> None:
        """Start it and return when it answers. Raises Unavailable, StorageError or DiskFull, with a next step."""
        await self._ready(insists=True)

    @contextlib.asynccontextmanager
    async def _sent(self, method: str, target: str, options: dict[str, Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        async with contextlib.AsyncExitStack() as stack:
            for attempt in (1, 2):
                wire = await self._ready()
                try:
                    response = await stack.enter_async_context(wire.send(method, target, **options))
                    break
                except UpstreamUnreachable as error:
                    # Only where nothing was sent: it has died, or its socket was removed.
                    if attempt == 2 or not isinstance(error.__cause__, aiohttp.ClientConnectorError):
                        error.suggest("Try again: MLflow is started anew where it has ended.")
                        raise
                    await self._forget()
            yield response

    async def close(self) -> None:
        """Stop it, unless another Jupyter server goes on using it."""
        self._is_closed = True
        for task in (self._starting, self._statistics):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, AidpError):
                    await task
        record, process = self._record, self._process
        await self._forget()
        if record is not None:
            await asyncio.to_thread(self._leave, record, process)

    def _leave(self, record: Record, process: subprocess.Popen[bytes] | None) -> None:
        """Stop the server as the last of its users."""
        start = Lock(self._setup.folder / "start.lock")
        users = self._setup.users(record)
        with contextlib.suppress(OSError), start.held(), users.held():
            # Who has the first is about to join its users, and who has the second is one.
            if start.take() and users.take():
                child.end(record, process)
                self._setup.record.unlink(missing_ok=True)
                (self._setup.folder / f"users-{record.id}.lock").unlink(missing_ok=True)
                return
        child.leave_running(process)

    # --- how it comes up ---

    def _is_running(self) -> bool:
        if self._record is None or self._wire is None:
            return False
        child.reap(self._process)
        if self._record.host != records.host():  # seen by its socket only
            return Path(self._record.socket).exists()
        return records.is_alive(self._record)

    async def _ready(self, *, insists: bool = False) -> Wire:
        """Return the connection to a server that runs; ``insists``: also right after an attempt that failed."""
        if self._is_closed:
            raise Unavailable("The server is about to end.", next_step="Try again when it runs.")
        if self._starting is None and self._is_running():
            assert self._wire is not None
            return self._wire
        if self._starting is None:
            self._refuse_for_now(insists)
            self._began, self._doing = time.monotonic(), "MLflow is starting:"
            self._starting = asyncio.create_task(self._bring_up())
            self._starting.add_done_callback(self._started)
        # Shielded: one of those who wait may leave, and the others want it still.
        await asyncio.shield(self._starting)
        if self._wire is None:  # it was closed meanwhile
            raise Unavailable("The server is about to end.", next_step="Try again when it runs.")
        return self._wire

    def _refuse_for_now(self, insists: bool) -> None:
        """Keep programs that ask again and again from starting a server that fails again and again."""
        wait_s = min(_MOST_WAIT_S, 2.0 ** max(0, self._failures - 1)) - (time.monotonic() - self._failed_at)
        if self._error is not None and wait_s > 0 and not insists:
            raise self._error

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._error, self._failures, self._ready_at = None, 0, time.monotonic()
            return
        self._failures += 1
        self._failed_at = time.monotonic()
        self._error = error if isinstance(error, AidpError) else Unavailable(f"MLflow could not be started: {error}")
        log.warning("the tracking server did not start: %s", self._error.message)

    async def _bring_up(self) -> None:
        version = schema.installed()
        if version is None:
            raise _not_installed()
        died_soon = self._ready_at and time.monotonic() - self._ready_at < _SHORT_LIFE_S
        self._deaths = self._deaths + 1 if died_soon else 0
        await asyncio.sleep(min(_MOST_WAIT_S, 2.0 ** max(0, self._deaths - 1) - 1))
        await self._forget()
        if self._process is not None:  # it answers no more
            await asyncio.to_thread(child.put_down, self._process)
            self._process = None
        await asyncio.to_thread(child.prepare, self._setup)
        start = Lock(self._setup.folder / "start.lock")
        with start.held():
            await self._take(start)
            if not await self._adopt(version):
                await self._launch(version)
        self._statistics = asyncio.create_task(self._keep_statistics())

    async def _take(self, start: Lock) -> None:
        """Wait for the turn: another Jupyter server may be starting the very same server."""
        until = time.monotonic() + self._patience_s
        try:
            while not start.take():
                if time.monotonic() > until:
                    step = f"End it, or remove {self._setup.folder / 'start.lock'}."
                    raise Unavailable("Another program has been starting MLflow for long.", next_step=step)
                await asyncio.sleep(_LOOK_S)
        except OSError as error:
            raise child.told_of(error, self._setup.folder) from error

    async def _adopt(self, version: str) -> bool:
        """Return whether a server that runs already could be taken over. One that is of no use is ended."""
        record = records.read(self._setup.record)
        if record is None:
            return False
        wire = Wire("http://localhost", server=_SERVER, socket=record.socket)
        fits = record.serves == self._setup.serves and record.version == version
        if fits and await self._answers(wire, record):
            self._join(record, wire, None)
            return True
        await wire.close()
        await asyncio.to_thread(child.end, record, None)
        return False

    async def _answers(self, wire: Wire, record: Record) -> bool:
        """Return whether a server answers; one whose starter died is given the time to come up."""
        until = time.monotonic() + self._patience_s
        while not await _is_healthy(wire):
            if not records.is_alive(record) or time.monotonic() > until:
                return False
            await asyncio.sleep(_LOOK_S)
        return True

    async def _launch(self, version: str) -> None:
        await self._check_database()
        # Not in a thread: a cancellation between the start and this line would leave it to nobody.
        process, record = child.spawn(self._setup, version)
        wire = Wire("http://localhost", server=_SERVER, socket=record.socket)
        try:
            until = time.monotonic() + self._patience_s
            while not await _is_healthy(wire):
                code = child.reap(process)
                if code is not None or time.monotonic() > until:
                    raise child.told_of_end(self._setup, code)
                await asyncio.sleep(_LOOK_S)
            self._join(record, wire, process)
        except BaseException:
            await wire.close()
            # Not awaited in a thread: this may be a cancellation, and the process must not outlive it.
            child.end(record, process)
            self._setup.record.unlink(missing_ok=True)
            raise

    def _join(self, record: Record, wire: Wire, process: subprocess.Popen[bytes] | None) -> None:
        users = self._setup.users(record)
        try:
            users.take(shared=True)
        except OSError as error:
            raise child.told_of(error, self._setup.folder) from error
        self._record, self._wire, self._process, self._users = record, wire, process, users

    async def _forget(self) -> None:
        """Let go of what is known of a server."""
        if self._statistics is not None:
            self._statistics.cancel()
            self._statistics = None
        if self._wire is not None:
            await self._wire.close()
        if self._users is not None:
            self._users.release()
        self._record = self._wire = self._users = None

    # --- its database ---

    async def _check_database(self) -> None:
        """Bring an older database up to date, with a copy kept beside it. Raises Unavailable for a newer one."""
        if self.database is None:
            return
        try:
            age = await asyncio.to_thread(schema.age, self.database)
            if age == "newer":
                step = "Install that version of MLflow, or set `ExperimentsConfig.folder` to another folder."
                raise Unavailable(
                    f"{self.database} was written by a newer MLflow than {schema.installed()}.", next_step=step
                )
            if age == "new":
                self._doing = "MLflow is setting up its database:"
            elif age == "older":
                await self._upgrade(self.database)
        except (sqlite3.Error, OSError) as error:
            step = "Move it away, or put a copy of it in its place."
            raise StorageError(f"{self.database} cannot be read: {error}.", next_step=step) from error

    async def _upgrade(self, database: Path) -> None:
        self._doing = "MLflow's database is of an older version and is being brought up to date:"
        copy = await asyncio.to_thread(schema.keep_copy, database)
        log.info("the runs' database is brought up to date; a copy of it is %s", copy)
        module = ("-m", "aidp_ext.experiments.server.launch", "db", "upgrade", self._setup.database)
        try:
            await proc.run([sys.executable, *module], env={"MLFLOW_TRACKING_URI": None}, timeout_s=3600)
        except ProcessError as error:
            step = f"The runs are safe in {copy}. Look at what MLflow says of it: {error.message}"
            raise Unavailable("MLflow's database could not be brought up to date.", next_step=step) from error

    async def _keep_statistics(self) -> None:
        while self.database is not None:
            try:
                await asyncio.to_thread(planner.write_ahead, self.database)
                if await asyncio.to_thread(planner.is_due, self.database):
                    await asyncio.to_thread(planner.analyze, self.database)
            except (sqlite3.Error, OSError) as error:  # a search is slower then, and nothing else
                log.debug("no statistics for the runs' database: %s", error)
            await asyncio.sleep(_STATISTICS_S)


async def _is_healthy(wire: Wire) -> bool:
    try:
        async with wire.send("GET", "/health", timeout_s=5.0) as response:
            return response.status == 200
    except UpstreamError:
        return False


def _not_installed() -> Unavailable:
    step = f"Install it: {sys.executable} -m pip install mlflow"
    return Unavailable("MLflow is not installed beside this server.", next_step=step)


def address_of(path: Path) -> str:
    """Return how MLflow names an SQLite file. Raises StorageError for a path that its addresses cannot say."""
    if set("?#%") & set(str(path)):
        step = "Set `ExperimentsConfig.folder` to another one."
        raise StorageError(f"MLflow cannot keep runs below {path}, because of its name.", next_step=step)
    return f"sqlite:///{path}"
