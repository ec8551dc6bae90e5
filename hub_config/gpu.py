"""A GPU for a server: leased before it starts, and given back when it has ended.

``apply`` finds the devices and gives the pool to the spawners; a spawner that is a ``LeasedGpu`` has the id of its
device in ``self.gpu`` when the class after it starts the server. The rules are those of ``aidp_ext/hub/schedule.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jupyterhub.spawner import SpawnException
from traitlets import Any as AnyTrait
from traitlets.config import Config, LoggingConfigurable

from aidp_ext.core.audit import AuditLog
from aidp_ext.core.errors import AidpError, NotFound, StorageError
from aidp_ext.hub.devices import BrokenDriver, Device
from aidp_ext.hub.gpus import GpusSaid, holder_of, said
from aidp_ext.hub.leases import Leases
from aidp_ext.hub.schedule import ANY, Lease, Place
from aidp_ext.team_gpus import GpuSettings
from hub_config.gpu_words import busy
from hub_config.profiles import Profile
from hub_config.settings import Settings

if TYPE_CHECKING:
    from jupyterhub.spawner import Spawner as _Base
else:
    _Base = LoggingConfigurable  # a spawner's class has to start and stop servers itself

log = logging.getLogger("aidp")

#: Seconds between looks at how far a server has come, for the page that shows it.
_STEP_S = 0.5
#: Seconds that a page waits for the leases, and that they are left alone after they did not answer.
_PATIENCE_S, _AWAY_S = 3.0, 10.0

T = TypeVar("T")


def apply(c: Config, settings: Settings) -> None:
    """Let servers lease the GPUs of this machine. Raises NoGpu and BrokenDriver where the setting asks for some."""
    found = devices(settings.gpu)
    if not found:
        return
    pool = Pool(settings.gpu, settings.state_dir / "service", found)
    # a function: traitlets copies what is none
    c.LeasedGpu.pool = lambda: pool


@functools.lru_cache(maxsize=4)
def devices(settings: GpuSettings) -> tuple[Device, ...]:
    """Return the GPUs to lease, as they were when this was first asked; it waits for the driver.

    Raises NoGpu where the setting asks for some that are not there, and BrokenDriver where it asks for some and the
    driver does not say; left to itself it does without then.
    """
    with ThreadPoolExecutor(1) as thread:  # JupyterHub reads its configuration inside a running loop
        try:
            return tuple(thread.submit(asyncio.run, settings.devices()).result() or ())
        except BrokenDriver as error:
            if settings.mode != "auto":
                raise
            log.warning("No GPU is leased: %s %s", error.message, error.next_step or "")
            return ()


class Pool:
    """The GPUs that servers share, in the hub's own process."""

    def __init__(self, settings: GpuSettings, folder: Path, found: tuple[Device, ...]) -> None:
        """``folder`` is the state of the hub's service, which looks after the same leases."""
        self._settings = settings
        self._folder = folder
        self.devices = found
        self._leases: Leases | None = None
        self._begun: asyncio.Task[Leases] | None = None
        self._away_until = 0.0  # by time.monotonic

    async def leases(self) -> Leases:
        """Return the leases; what was found at the start is known to them. Raises StorageError."""
        if self._begun is None or (self._begun.done() and self._begun.exception() is not None):
            self._begun = asyncio.create_task(self._begin())
        return await asyncio.shield(self._begun)

    async def _begin(self) -> Leases:
        if self._leases is None:
            audit = AuditLog(self._folder / "audit.jsonl")
            self._leases = self._settings.leases(self._folder, audit.append)
        if not (await self._leases.look()).devices:  # the service has not looked yet
            await self._leases.found({device.id: device.kind for device in self.devices})
        return self._leases

    async def lease(self, holder: str, user: str, kind: str) -> Lease | Place:
        """Return the device that a server has from now on, else its place on the waiting list. Raises StorageError."""
        leases = await self.leases()
        while True:
            got = await leases.ask(holder, user, kind)
            if isinstance(got, Place):
                return got
            with contextlib.suppress(NotFound):  # the offer has just lapsed
                return await leases.take(holder)

    async def look(self, user: str, server: str) -> GpusSaid:
        """Return what there is for a server; whoever waits still does. Raises StorageError, soon."""
        return await self._soon(lambda: self._look(user, server))

    async def leave(self, holder: str) -> None:
        """Take a server off the waiting list. Raises StorageError, soon."""

        async def work() -> None:
            await (await self.leases()).give_back(holder)

        await self._soon(work)

    async def _soon(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do what a page or a start without a GPU waits for: a database that is away must hold up neither.

        After it was away it is left alone for a while: what is asked of it waits in line, and the line would grow.
        """
        now = time.monotonic()
        if now < self._away_until:
            raise StorageError("The leases of GPUs cannot be read at present.", next_step="Try again in a moment.")
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await work()
        except (TimeoutError, StorageError) as error:
            self._away_until = time.monotonic() + _AWAY_S
            if isinstance(error, StorageError):
                raise
            raise StorageError("The leases of GPUs do not answer.", next_step="Try again in a moment.") from error

    async def _look(self, user: str, server: str) -> GpusSaid:
        leases, holder = await self.leases(), holder_of(user, server)
        seen = await leases.look()
        waits = next((wait for wait in seen.waits if wait.holder == holder), None)
        if waits is not None:
            await leases.ask(holder, user, waits.kind)
        return said(seen, holder)


class LeasedGpu(_Base):
    """Put before a spawner's class: leases a GPU where the profile asks for one."""

    pool = AnyTrait(help="Returns the GPUs that are leased; unset where there are none.").tag(config=True)
    profile: Profile | None = None
    """What was chosen for this server."""
    gpu: str | None = None
    """The device that this server has: the id of a GPU, or of a slice of one."""
    _is_taking = False

    @property
    def leases_gpus(self) -> bool:
        """Whether GPUs are leased here, so that a server without a lease must not use one."""
        return self.pool is not None

    @property
    def holder(self) -> str:
        """What this server is called in the leases."""
        return holder_of(self.user.name, self.name)

    def wanted_gpu(self) -> str | None:
        """Return the kind of GPU that the chosen profile asks for, None where it asks for none."""
        gpu = self.profile.gpu if self.profile is not None else False
        return gpu if isinstance(gpu, str) and gpu else ANY if gpu else None

    async def start(self) -> Any:
        """Start with a GPU where one is asked for and to be had. Raises SpawnException, which says how to go on."""
        kind = self.wanted_gpu()
        if kind is None:
            await self._wait_no_more()
        elif self.pool is None:
            raise SpawnException(
                "This hub has no GPU to lease. Choose a profile without one.", reason="no-gpu", status_code=409
            )
        else:
            self.gpu = await self._lease(kind)
        return await super().start()

    async def _lease(self, kind: str) -> str:
        self._is_taking = True  # from here on there may be something to give back, even if this is cancelled
        try:
            got = await self.pool().lease(self.holder, self.user.name, kind)
            if isinstance(got, Lease):
                return got.device
            now = await self.pool().look(self.user.name, self.name)
        except AidpError as error:
            raise SpawnException(
                f"The hub cannot say which GPU is free. {error.next_step or ''} You can start without a GPU meanwhile.",
                reason="gpu-unknown",
                log_message=f"leases: {error.message}",
                status_code=503,
            ) from error
        self._is_taking = False  # they stay on the list
        raise SpawnException(busy(now, self.user.name), reason="gpu-busy", status_code=409)

    async def _wait_no_more(self) -> None:
        """Leave the waiting list: whoever starts without a GPU has decided."""
        if self.pool is None:
            return
        try:
            await self.pool().leave(self.holder)
        except AidpError as error:  # no reason not to start; who does not ask again waits no more anyway
            self.log.warning("leases: %s", error.message)

    async def run_post_stop_hook(self) -> Any:
        """Give the GPU back, after a stop, a crash and a failed start alike; not while the server still runs."""
        try:
            return await _maybe(super().run_post_stop_hook())
        finally:
            if (self.gpu or self._is_taking) and self.pool is not None and await self._has_ended():
                await self._give_back()

    async def _has_ended(self) -> bool:
        try:
            return await self.poll() is not None
        except Exception:
            self.log.exception("%s: its GPU is not given back, for nobody knows whether it runs", self._log_name)
            return False

    async def _give_back(self) -> None:
        self._is_taking = False
        try:
            await (await self.pool().leases()).give_back(self.holder)
        except AidpError as error:  # the hub's service sees soon that the server is gone
            self.log.warning("leases: %s", error.message)

    def get_state(self) -> dict[str, Any]:
        """Keep the device beside the rest, for a hub that starts anew."""
        state: dict[str, Any] = super().get_state()
        if self.gpu:
            state["gpu"] = self.gpu
        return state

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Know the device again."""
        super().load_state(state)
        self.gpu = state.get("gpu")

    def clear_state(self) -> None:
        """Forget the device."""
        super().clear_state()
        self.gpu = None

    async def run_options_from_form(self, form: Mapping[str, list[str]]) -> Any:
        """Read the form; its button "Leave the line" starts nothing. Raises SpawnException then."""
        if "leave" not in form:
            return await _maybe(super().run_options_from_form(form))
        await self._wait_no_more()
        raise SpawnException("You have left the line.", reason="left-line", status_code=200)

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Say in plain words how far the start has come."""
        if self.gpu and self.pool is not None:
            kind = next((one.kind for one in self.pool().devices if one.id == self.gpu), "A GPU")
            yield {"progress": 10, "message": f"{kind} is yours"}
        yield {"progress": 20, "message": "Making room for your server"}
        while not self._waiting_for_response:
            await asyncio.sleep(_STEP_S)
        yield {"progress": 60, "message": "Opening Lab: this takes some seconds"}


async def _maybe(value: Any) -> Any:
    return await value if asyncio.iscoroutine(value) or asyncio.isfuture(value) else value
