"""A stand-in for ``nvidia-smi`` on the PATH, which says what one said on a machine with GPUs.

It answers the two questions that are asked of it and refuses all others, and reads what to say anew each time, so that
a test can break the driver or let a GPU work while a hub runs.
"""

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

A100 = "NVIDIA A100-SXM4-40GB"
GPU0, GPU1 = "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77", "GPU-15f3bc4d-0b2c-7d2e-3a77-5a7c1f0f9a10"
MIG0, MIG1 = "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb"

ONE = {"list": f"GPU 0: {A100} (UUID: {GPU0})\n", "query": f"0, {GPU0}, {A100}, 40960, 0, Disabled\n"}
TWO = {
    "list": f"GPU 0: {A100} (UUID: {GPU0})\nGPU 1: Tesla T4 (UUID: {GPU1})\n",
    "query": f"0, {GPU0}, {A100}, 40960, 87, Disabled\n1, {GPU1}, Tesla T4, 15360, 0, [N/A]\n",
}
MIG = {
    "list": (
        f"GPU 0: {A100} (UUID: {GPU0})\n"
        f"  MIG 3g.20gb     Device  0: (UUID: {MIG0})\n"
        f"  MIG 1g.5gb+me   Device  1: (UUID: {MIG1})\n"
        f"GPU 1: {A100} (UUID: {GPU1})\n"
    ),
    "query": f"0, {GPU0}, {A100}, 40960, [N/A], Enabled\n1, {GPU1}, {A100}, 40960, 3, Disabled\n",
}
OLD_MIG = {
    "list": f"GPU 0: A100 (UUID: {GPU0})\n  MIG 1g.5gb Device 0: (UUID: MIG-{GPU0}/7/0)\n",
    "query": f"0, {GPU0}, A100, 40960, [Not Supported], Enabled\n",
}
EMPTY_MIG = {"list": f"GPU 0: {A100} (UUID: {GPU0})\n", "query": f"0, {GPU0}, {A100}, 40960, [N/A], Enabled\n"}
NONE = {"list": "No devices were found\n", "query": "No devices were found\n", "status": 6}
UNLOADED = {
    "list": "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest "
    "NVIDIA driver is installed and running.\n\n",
    "status": 9,
}
MISMATCH = {
    "list": "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 550.54\n",
    "status": 18,
}
LOST = {
    "list": "Unable to determine the device handle for GPU0000:01:00.0: GPU is lost.  Reboot the system to recover "
    "this GPU\n",
    "status": 15,
}
HANGS = {"list": "", "hangs": True}

_SCRIPT = """#!{python}
import json, os, signal, sys
said = json.load(open({told!r}))
if said.get("hangs"):
    signal.pause()
known = sys.argv[1:] == ["-L"], len(sys.argv) == 3 and sys.argv[1].startswith("--query-gpu=index,uuid,name,")
if not any(known):
    sys.exit("Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.")
sys.stdout.write(said["list"] if known[0] or "query" not in said else said["query"])
sys.exit(said.get("status", 0))
"""


class NvidiaSmi:
    """The program, in a folder of its own for the PATH."""

    def __init__(self, folder: Path, said: dict[str, Any] = ONE) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._told = folder, folder / "told.json"
        self.say(said)
        program = folder / "nvidia-smi"
        program.write_text(_SCRIPT.format(python=sys.executable, told=str(self._told)))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    @property
    def path(self) -> str:
        """A PATH on which it is found first."""
        return os.pathsep.join([str(self.folder), os.environ["PATH"]])

    def say(self, said: dict[str, Any]) -> None:
        """Change what it says, at once and whole."""
        fresh = self._told.with_suffix(".new")
        fresh.write_text(json.dumps(said))
        fresh.replace(self._told)
