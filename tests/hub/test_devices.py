"""Which GPUs there are, by what nvidia-smi said on machines that have them."""

from pathlib import Path

import pytest

from aidp_ext.hub.devices import BrokenDriver, Device, NoDriver, chosen, discover
from tests.support import nvidia_smi
from tests.support.nvidia_smi import A100, GPU0, GPU1, MIG0, MIG1, NvidiaSmi

FOUND = {
    "ONE": [Device(GPU0, "0", A100, 40960, 0)],
    "TWO": [Device(GPU0, "0", A100, 40960, 87), Device(GPU1, "1", "Tesla T4", 15360, 0)],
    "MIG": [
        Device(MIG0, "0:0", f"{A100} MIG 3g.20gb", 20480, None),
        Device(MIG1, "0:1", f"{A100} MIG 1g.5gb+me", 5120, None),
        Device(GPU1, "1", A100, 40960, 3),
    ],
    "OLD_MIG": [Device(f"MIG-{GPU0}/7/0", "0:0", "A100 MIG 1g.5gb", 5120, None)],
    "EMPTY_MIG": [],
    "NONE": [],
}


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NvidiaSmi:
    made = NvidiaSmi(tmp_path / "bin")
    monkeypatch.setenv("PATH", made.path)
    return made


@pytest.mark.parametrize("name", FOUND)
async def test_what_is_there_is_found(smi: NvidiaSmi, name: str):
    smi.say(getattr(nvidia_smi, name))
    assert await discover() == FOUND[name]


BROKEN = [
    ("UNLOADED", "couldn't communicate", "not loaded"),
    ("MISMATCH", "version mismatch", "restart the machine"),
    ("LOST", "GPU is lost", "does not answer any more"),
]


@pytest.mark.parametrize(("name", "what", "step"), BROKEN)
async def test_a_broken_driver_is_told_with_what_to_do(smi: NvidiaSmi, name: str, what: str, step: str):
    smi.say(getattr(nvidia_smi, name))
    with pytest.raises(BrokenDriver, match=what) as refused:
        await discover()
    assert step in str(refused.value.next_step)


async def test_a_driver_that_hangs_is_given_up(smi: NvidiaSmi):
    smi.say(nvidia_smi.HANGS)
    with pytest.raises(BrokenDriver, match=r"did not answer within 0\.3 s"):
        await discover(timeout_s=0.3)


async def test_an_answer_that_cannot_be_read_is_no_device(smi: NvidiaSmi):
    smi.say({"list": "", "query": "0, GPU-1\n"})
    with pytest.raises(BrokenDriver, match="cannot be read: 0, GPU-1"):
        await discover()


async def test_no_driver_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoDriver, match="driver is not installed") as refused:
        await discover()
    assert "AIDP_GPU=off" in str(refused.value.next_step)


def test_devices_are_named_by_id_or_as_people_number_them():
    devices = FOUND["MIG"]
    assert [one.id for one in chosen(devices, ["1", MIG0])[0]] == [GPU1, MIG0]
    assert [one.id for one in chosen(devices, ["0"])[0]] == [MIG0, MIG1], "all slices of the first"
    assert chosen(devices, ["0:1", "7", "0"]) == ([devices[1], devices[0]], ["7"])
