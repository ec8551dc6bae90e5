"""What an admin says of a hub's GPUs, and where their leases are kept: for the hub, and for its service."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from aidp_ext.core.errors import AidpError
from aidp_ext.gateway import KEYS_FILE, SettingsError, read_keys

if TYPE_CHECKING:
    from aidp_ext.hub.devices import Device
    from aidp_ext.hub.gpus import TeamGpus
    from aidp_ext.hub.leases import Leases
    from aidp_ext.hub.watch import Servers

SWITCH = "AIDP_GPU"
LEASE = "AIDP_GPU_LEASE_HOURS"
IDLE = "AIDP_GPU_IDLE_MINUTES"
GRACE = "AIDP_GPU_GRACE_MINUTES"
DATABASE = "AIDP_DATABASE_URL"
VARIABLES = (SWITCH, LEASE, IDLE, GRACE)

_NAME = re.compile(r"[0-9]+(:[0-9]+)?|(GPU|MIG)-[A-Za-z0-9/-]+")


class NoGpu(AidpError):
    """GPUs are asked for by the settings, and there are none; the message says why and what to do."""

    code = "no_gpu"


@dataclass(frozen=True)
class GpuSettings:
    """Which GPUs are leased, and for how long."""

    mode: str = "auto"  # off; auto: those that are there, if any; on: there have to be some
    names: tuple[str, ...] = ()  # ids or indices of those that are leased; empty: all
    lease_s: float = 8 * 3600.0
    idle_s: float = 30 * 60.0  # 0: never
    grace_s: float = 5 * 60.0
    database_url: str = field(default="", repr=False)  # empty: SQLite in the service's state

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> GpuSettings:
        """Return the settings in ``environ``. Raises SettingsError, which names the variable and what it takes."""
        env = {name: environ.get(name, "").strip() for name in (*VARIABLES, DATABASE, KEYS_FILE)}
        mode, names = _switch(env[SWITCH] or cls.mode)
        url = env[DATABASE]
        if not url and env[KEYS_FILE] and mode != "off":
            url = read_keys(Path(env[KEYS_FILE]).expanduser()).get(DATABASE, "")
        return cls(
            mode=mode,
            names=names,
            lease_s=_number(LEASE, env[LEASE], "hours", 3600, cls.lease_s, least=0.01),
            idle_s=_number(IDLE, env[IDLE], "minutes", 60, cls.idle_s),
            grace_s=_number(GRACE, env[GRACE], "minutes", 60, cls.grace_s),
            database_url=url,
        )

    @property
    def is_on(self) -> bool:
        """Whether GPUs are leased at all, where there are some."""
        return self.mode != "off"

    def leases(self, folder: Path, record: Callable[..., object]) -> Leases:
        """Return the leases; ``folder`` is the service's state."""
        from aidp_ext.hub.leases import Leases
        from aidp_ext.hub.schedule import Rules

        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        url = self.database_url or f"sqlite:///{folder.absolute()}/leases.sqlite"
        return Leases(url, record, Rules(lease_ms=round(self.lease_s * 1000)))

    async def devices(self) -> list[Device] | None:
        """Return the GPUs that are leased, of those that are there; none where the setting is off.

        None where there is no driver, and the setting does not ask for one: others may know more of GPUs.
        Raises NoGpu where the setting asks for some that are not there, and BrokenDriver where the driver does not say.
        """
        from aidp_ext.hub.devices import NoDriver, chosen, discover

        if not self.is_on:
            return []
        try:
            found = await discover()
        except NoDriver as error:
            if self.mode == "auto":
                return None
            raise NoGpu(f"{SWITCH} asks for GPUs, but {_small(error.message)}", next_step=error.next_step) from error
        if not self.names:
            if not found and self.mode == "on":
                raise NoGpu(
                    f"{SWITCH} is on, but NVIDIA's driver knows of no GPU on this machine.",
                    next_step=f"Look at `nvidia-smi -L`, or set {SWITCH} to auto or off.",
                )
            return found
        named, missing = chosen(found, self.names)
        if missing:
            there = ", ".join(f"{one.index} ({one.id})" for one in found) or "none"
            raise NoGpu(
                f"{SWITCH} names {', '.join(missing)}, which this machine does not have; there are: {there}.",
                next_step="Take the name out, or look at `nvidia-smi -L`.",
            )
        return named


class ServiceGpus:
    """The GPUs of a hub's service: the leases, and the eye on them."""

    def __init__(self, settings: GpuSettings, folder: Path, record: Callable[..., object], servers: Servers) -> None:
        """``folder`` is the service's state, ``servers`` what the hub says of its users' servers."""
        from aidp_ext.hub.gpus import TeamGpus
        from aidp_ext.hub.watch import Watch

        self.leases = settings.leases(folder, record)
        self._watch = Watch(
            self.leases, servers, settings.devices, record, idle_s=settings.idle_s, grace_s=settings.grace_s
        )
        self.service: TeamGpus = TeamGpus(self.leases, self._watch)

    def settings(self) -> dict[str, object]:
        """Return what the routes find in the application's settings."""
        return {"aidp_gpus": self.service, "aidp_leases": self.leases}

    def start(self) -> None:
        """Begin to look after them."""
        self._watch.start()

    async def close(self) -> None:
        """End it."""
        await self._watch.stop()
        await self.leases.close()


def service_gpus(
    environ: Mapping[str, str], folder: Path, record: Callable[..., object], servers: Servers
) -> ServiceGpus | None:
    """Return the GPUs as the environment says, None where they are off. Raises SettingsError."""
    settings = GpuSettings.from_env(environ)
    return ServiceGpus(settings, folder, record, servers) if settings.is_on else None


def _switch(text: str) -> tuple[str, tuple[str, ...]]:
    if text in ("auto", "off", "on"):
        return text, ()
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if not _NAME.fullmatch(name):
            raise SettingsError(
                f"{SWITCH} is {text[:80]!r}; it takes auto, off, on, or GPUs between commas, by number (0, or 0:1 for a"
                " slice) or by the id that `nvidia-smi -L` shows (GPU-…, MIG-…)."
            )
    return "on", names


def _number(variable: str, text: str, unit: str, factor: float, usual: float, least: float = 0.0) -> float:
    if not text:
        return usual
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= 10_000:
        raise SettingsError(f"{variable} is {text[:20]!r}; it takes {unit}, a number from {least:g} to 10000.")
    return value * factor


def _small(text: str) -> str:
    return text[:1].lower() + text[1:]
