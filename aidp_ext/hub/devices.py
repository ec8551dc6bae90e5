"""Which GPUs this machine has, whole or in MIG slices, as NVIDIA's own ``nvidia-smi`` says.

A GPU that is divided into slices is leased by the slice. Nothing of CUDA is loaded: the hub needs none of it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from aidp_ext.core.errors import ProcessError, ProcessTimeout, ProgramNotFound, Unavailable
from aidp_ext.core.proc import run

PROGRAM = "nvidia-smi"
#: Seconds. A driver that has lost a GPU may let it hang for ever.
TIMEOUT_S = 20.0

_FIELDS = ("index", "uuid", "name", "memory.total", "utilization.gpu", "mig.mode.current")
_GPU = re.compile(r"GPU (\d+): (.+) \(UUID: (\S+)\)")
_SLICE = re.compile(r"\s+MIG (\S+)\s+Device\s+(\d+): \(UUID: (\S+)\)")
_SIZE = re.compile(r"(\d+)gb")
_NO_DEVICES = "No devices were found"


class NoDriver(Unavailable):
    """NVIDIA's driver is not there."""

    code = "no_gpu_driver"


class BrokenDriver(Unavailable):
    """NVIDIA's driver is there, and does not say which GPUs there are."""

    code = "broken_gpu_driver"


@dataclass(frozen=True)
class Device:
    """A GPU, or a slice of one, that one server can have to itself."""

    id: str  # a UUID, which outlives a restart of the machine
    index: str  # as people number them: "0", or "0:1" for the second slice of the first
    kind: str  # NVIDIA's name for it, with the slice's profile
    memory_mib: int | None
    busy_percent: int | None  # None where the driver does not say: it never does for slices


async def discover(timeout_s: float = TIMEOUT_S) -> list[Device]:
    """Return what this machine has. Raises NoDriver, and BrokenDriver with what to do."""
    query = f"--query-gpu={','.join(_FIELDS)}"
    try:
        listed = await _said(["-L"], timeout_s)
        asked = await _said([query, "--format=csv,noheader,nounits"], timeout_s)
    except ProgramNotFound as error:
        raise NoDriver(
            f"There is no {PROGRAM}: NVIDIA's driver is not installed on this machine.",
            next_step="Install the driver, or set AIDP_GPU=off.",
        ) from error
    return _devices(listed, asked)


def chosen(devices: Sequence[Device], names: Sequence[str]) -> tuple[list[Device], list[str]]:
    """Return the devices that are named, by id or index, and the names that fit none.

    The name of a GPU that is divided stands for all of its slices.
    """
    found: list[Device] = []
    missing = []
    for name in names:
        fitting = [one for one in devices if name in (one.id, one.index, one.index.partition(":")[0])]
        found += [one for one in fitting if one not in found]
        if not fitting:
            missing.append(name)
    return found, missing


async def _said(arguments: list[str], timeout_s: float) -> str:
    try:
        done = await run([PROGRAM, *arguments], timeout_s=timeout_s, check=False)
    except ProcessTimeout as error:
        raise BrokenDriver(
            f"{PROGRAM} did not answer within {timeout_s:g} s.",
            next_step="The driver or a GPU hangs: look at the kernel's log (dmesg), and restart the machine.",
        ) from error
    except ProgramNotFound:
        raise
    except ProcessError as error:
        raise BrokenDriver(f"{PROGRAM} could not be run: {error.message}") from error
    said = f"{done.stdout}\n{done.stderr}".strip()
    if _NO_DEVICES in said:
        return ""
    if done.returncode:
        raise _broken(said, done.returncode)
    return done.stdout


def _broken(said: str, code: int) -> BrokenDriver:
    first = next((line.strip() for line in said.splitlines() if line.strip()), f"status {code}")[:300]
    if "version mismatch" in said:
        step = "The driver was updated while it was in use: restart the machine."
    elif "communicate with the NVIDIA driver" in said:
        step = "The driver is not loaded: restart the machine, or install it anew for this version of Linux."
    elif "is lost" in said or "Unable to determine the device handle" in said:
        step = "A GPU does not answer any more: restart the machine; where it happens again, the GPU may be broken."
    else:
        step = f"Run `{PROGRAM}` on this machine and put right what it says, or set AIDP_GPU=off."
    return BrokenDriver(f"{PROGRAM} says: {first}", next_step=step)


def _devices(listed: str, asked: str) -> list[Device]:
    slices: dict[str, list[tuple[str, str, str]]] = {}
    gpu = None
    for line in listed.splitlines():
        if whole := _GPU.match(line):
            gpu = whole[3]
        elif gpu and (part := _SLICE.match(line)):
            slices.setdefault(gpu, []).append((part[1], part[2], part[3]))
    found = []
    for row in csv.reader(asked.splitlines(), skipinitialspace=True):
        if len(row) != len(_FIELDS):
            raise BrokenDriver(f"{PROGRAM} says what cannot be read: {', '.join(row)[:200]}")
        index, id_, name, memory, busy, mig = (field.strip() for field in row)
        if mig == "Enabled":  # without slices it is good for nothing
            found += [
                Device(uuid, f"{index}:{number}", f"{name} MIG {profile}", _memory(profile), None)
                for profile, number, uuid in slices.get(id_, ())
            ]
        else:
            found.append(Device(id_, index, name, _number(memory), _number(busy)))
    return found


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None  # "[N/A]", "[Not Supported]"


def _memory(profile: str) -> int | None:
    """Return the memory of a slice by its profile's name: ``1g.5gb``, ``1g.10gb+me``."""
    size = _SIZE.search(profile)
    return int(size[1]) * 1024 if size else None
