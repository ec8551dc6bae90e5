"""A GPU for a server: the settings, the spawner that leases one, and the eye that takes it back."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from jupyterhub.spawner import Spawner, SpawnException
from traitlets.config import Config

from aidp_ext.core.audit import verify
from aidp_ext.core.errors import Conflict, Forbidden, NotFound, StorageError, Unavailable
from aidp_ext.hub.devices import BrokenDriver, Device
from aidp_ext.hub.gpus import GpuSaid, GpusSaid, PlaceSaid, TeamGpus
from aidp_ext.hub.leases import Leases
from aidp_ext.hub.schedule import Rules
from aidp_ext.hub.watch import Watch
from aidp_ext.team_gpus import GpuSettings, NoGpu, SettingsError
from hub_config import gpu as gpu_part
from hub_config import gpu_words
from hub_config.gpu import LeasedGpu, Pool
from hub_config.profiles import Profile
from hub_config.settings import Settings
from hub_config.spawn_page import page_of
from tests.support import nvidia_smi
from tests.support.nvidia_smi import A100, GPU0, GPU1, MIG0, MIG1, NvidiaSmi

MINUTE, HOUR = 60_000, 3_600_000
CPU, GPU = Profile("cpu", "Notebooks"), Profile("gpu", "Notebooks with a GPU", gpu=True)

# --- the settings


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NvidiaSmi:
    made = NvidiaSmi(tmp_path / "bin")
    monkeypatch.setenv("PATH", made.path)
    return made


def test_what_is_not_said_is_the_usual():
    assert GpuSettings.from_env({}) == GpuSettings("auto", (), 8 * 3600, 30 * 60, 5 * 60)
    said = GpuSettings.from_env(
        {
            "AIDP_GPU": f" {GPU0}, 1,0:1",
            "AIDP_GPU_LEASE_HOURS": "0.5",
            "AIDP_GPU_IDLE_MINUTES": "0",
            "AIDP_GPU_GRACE_MINUTES": "1",
            "AIDP_DATABASE_URL": "postgresql://aidp:hidden@db/aidp",
        }
    )
    assert (said.mode, said.names, said.lease_s, said.idle_s, said.grace_s) == ("on", (GPU0, "1", "0:1"), 1800, 0, 60)
    assert said.database_url
    assert "hidden" not in repr(said)


WRONG = [
    ("AIDP_GPU", "yes"),
    ("AIDP_GPU", "0;1"),
    ("AIDP_GPU", "0,"),
    ("AIDP_GPU_LEASE_HOURS", "0"),
    ("AIDP_GPU_LEASE_HOURS", "long"),
    ("AIDP_GPU_IDLE_MINUTES", "-1"),
    ("AIDP_GPU_GRACE_MINUTES", "inf"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_setting_is_named(name: str, value: str):
    with pytest.raises(SettingsError, match=f"{name} is '{value}'; it takes"):
        GpuSettings.from_env({name: value})


def test_the_database_in_the_keys_file_is_the_hubs_too(tmp_path: Path):
    keys = tmp_path / "keys"
    keys.write_text("AIDP_DATABASE_URL=postgresql://db/aidp\n")
    keys.chmod(0o600)
    assert GpuSettings.from_env({"AIDP_KEYS_FILE": str(keys)}).database_url == "postgresql://db/aidp"


async def test_the_setting_forces_forbids_and_chooses(smi: NvidiaSmi):
    smi.say(nvidia_smi.MIG)
    assert await GpuSettings("off").devices() == []
    assert [one.id for one in await GpuSettings("auto").devices()] == [MIG0, MIG1, GPU1]
    assert [one.id for one in await GpuSettings("on", ("1", MIG1)).devices()] == [GPU1, MIG1]
    with pytest.raises(NoGpu, match=r"names 7, which this machine does not have; there are: 0:0 \(MIG-"):
        await GpuSettings("on", ("7",)).devices()
    smi.say(nvidia_smi.NONE)
    assert await GpuSettings("auto").devices() == []
    with pytest.raises(NoGpu, match="AIDP_GPU is on, but"):
        await GpuSettings("on").devices()


async def test_without_a_driver_auto_does_without_and_on_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await GpuSettings("auto").devices() is None
    with pytest.raises(NoGpu, match="asks for GPUs, but there is no nvidia-smi"):
        await GpuSettings("on").devices()


async def test_a_broken_driver_does_not_keep_a_hub_from_starting_unless_gpus_are_asked_for(smi: NvidiaSmi):
    smi.say(nvidia_smi.UNLOADED)
    gpu_part.devices.cache_clear()
    assert gpu_part.devices(GpuSettings("auto", lease_s=1.0)) == ()
    with pytest.raises(BrokenDriver):
        gpu_part.devices(GpuSettings("on", lease_s=1.0))


def test_spawners_get_the_gpus_that_are_there_and_nothing_where_there_are_none(smi: NvidiaSmi, tmp_path: Path):
    for said, ids in ((nvidia_smi.TWO, [GPU0, GPU1]), (nvidia_smi.NONE, None)):
        smi.say(said)
        gpu_part.devices.cache_clear()
        c = Config()
        gpu_part.apply(c, Settings(state_dir=tmp_path, gpu=GpuSettings("auto")))
        given = c.LeasedGpu.pool if "pool" in c.LeasedGpu else None
        assert ([one.id for one in given().devices] if given else None) == ids


# --- the spawner


class Server(Spawner):
    """A server that runs as long as it is not stopped."""

    runs = fails = False

    async def start(self) -> str:
        if self.fails:
            raise OSError("no")
        self.runs = True
        return "http://127.0.0.1:1"

    async def stop(self, now: bool = False) -> None:
        self.runs = False

    async def poll(self) -> int | None:
        return None if self.runs else 0


class Leasing(LeasedGpu, Server):
    pass


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[Pool]:
    made = Pool(GpuSettings(), tmp_path / "service", (Device(GPU0, "0", A100, 40960, 0),))
    yield made
    await (await made.leases()).close()


def server_of(pool: Pool | None, name: str, profile: Profile = GPU) -> Leasing:
    orm = SimpleNamespace(name="", server=None, user_options={"profile": profile.name})
    made = Leasing(user=SimpleNamespace(name=name), orm_spawner=orm)
    made.pool = (lambda: pool) if pool else None
    made.profile = profile
    return made


async def held(pool: Pool) -> dict[str, str]:
    return {lease.user: lease.device for lease in (await (await pool.leases()).look()).leases if lease.is_held}


async def ended(server: Leasing) -> None:
    """As JupyterHub ends a server, whatever came before."""
    if await server.poll() is None:
        await server.stop()
    await server.run_post_stop_hook()
    server.clear_state()


async def test_of_two_who_start_at_once_one_has_it_and_the_other_is_told_who_and_until_when(pool: Pool):
    servers = [server_of(pool, name) for name in ("ana", "ben")]
    results = await asyncio.gather(*(one.start() for one in servers), return_exceptions=True)
    refused = [result for result in results if isinstance(result, SpawnException)]
    first, second = servers if isinstance(results[1], SpawnException) else reversed(servers)
    assert len(refused) == 1
    assert (refused[0].status_code, refused[0].reason) == (409, "gpu-busy")
    said = refused[0].message
    assert f"1 of 1 GPU in use by {first.user.name} until about " in said
    assert "You are 1st in line; your turn comes about " in said
    assert said.endswith("Wait, or start without a GPU.")
    assert (first.gpu, second.gpu) == (GPU0, None)
    await ended(second)
    await ended(first)
    assert await held(pool) == {}
    await second.start()
    assert (second.gpu, await held(pool)) == (GPU0, {second.user.name: GPU0})


async def test_a_server_without_a_gpu_leases_none_and_leaves_the_line(pool: Pool):
    ana, ben = server_of(pool, "ana"), server_of(pool, "ben")
    await ana.start()
    with pytest.raises(SpawnException):
        await ben.start()
    assert (await pool.look("ben", "")).place == PlaceSaid(1, (await pool.look("ana", "")).lease.until_ms)
    ben.profile = CPU
    await ben.start()
    assert (ben.gpu, ben.leases_gpus) == (None, True)
    assert (await pool.look("ben", "")).place is None
    await ended(ben)
    assert await held(pool) == {"ana": GPU0}


async def test_a_crash_and_a_failed_start_give_it_back_and_a_server_that_runs_on_does_not(pool: Pool):
    ana = server_of(pool, "ana")
    ana.fails = True
    with pytest.raises(OSError, match="no"):
        await ana.start()
    await ended(ana)
    assert await held(pool) == {}
    ana.fails = False
    await ana.start()
    await ana.run_post_stop_hook()  # its stop has failed: it still runs
    assert await held(pool) == {"ana": GPU0}
    ana.runs = False
    await ended(ana)
    assert await held(pool) == {}


async def test_a_start_that_is_cancelled_while_it_leases_keeps_nothing(pool: Pool):
    ana = server_of(pool, "ana")
    await pool.leases()
    start = asyncio.create_task(ana.start())
    await asyncio.sleep(0)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    await ended(ana)
    assert await held(pool) == {}


async def test_the_lease_outlives_the_hub(pool: Pool, tmp_path: Path):
    ana = server_of(pool, "ana")
    await ana.start()
    state = ana.get_state()
    later = Pool(GpuSettings(), tmp_path / "service", pool.devices)
    again = server_of(later, "ana")
    again.load_state(state)
    again.runs = True
    assert (again.gpu, await held(later)) == (GPU0, {"ana": GPU0})
    with pytest.raises(SpawnException):
        await server_of(later, "ben").start()
    await ended(again)
    assert again.get_state() == {}
    assert await held(later) == {}
    await (await later.leases()).close()
    assert verify(tmp_path / "service" / "audit.jsonl") == 2


async def test_without_gpus_a_profile_with_one_is_refused_and_others_start(pool: Pool):
    with pytest.raises(SpawnException, match="no GPU to lease") as refused:
        await server_of(None, "ana").start()
    assert refused.value.reason == "no-gpu"
    cpu = server_of(None, "ana", CPU)
    assert await cpu.start()
    assert not cpu.leases_gpus


async def test_a_database_that_is_gone_is_no_gpu_and_no_obstacle_to_a_server_without(pool: Pool, tmp_path: Path):
    await pool.leases()
    with closing(sqlite3.connect(tmp_path / "service" / "leases.sqlite")) as other, other:
        other.execute("ALTER TABLE gpu_lease RENAME TO away")
    with pytest.raises(SpawnException) as refused:
        await server_of(pool, "ana").start()
    assert "cannot say which GPU is free" in refused.value.message
    assert (refused.value.status_code, refused.value.reason) == (503, "gpu-unknown")
    assert await server_of(pool, "ben", CPU).start()


async def test_a_database_that_does_not_answer_holds_up_no_page_and_no_server_without(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gpu_part, "_PATIENCE_S", 0.2)
    await pool.leases()
    with closing(sqlite3.connect(tmp_path / "service" / "leases.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # whoever comes now waits
        with pytest.raises(StorageError, match="do not answer"):
            await pool.look("ana", "")
        async with asyncio.timeout(1):
            for _ in range(50):
                with pytest.raises(StorageError):  # asked no more for a while
                    await pool.look("ana", "")
            assert await server_of(pool, "ben", CPU).start()
        other.execute("ROLLBACK")
    monkeypatch.setattr(gpu_part, "_AWAY_S", 0.0)
    pool._away_until = 0.0
    monkeypatch.setattr(gpu_part, "_PATIENCE_S", 30.0)
    assert (await pool.look("ana", "")).place is None


async def test_leaving_the_line_starts_nothing(pool: Pool):
    ana, ben = server_of(pool, "ana"), server_of(pool, "ben")
    await ana.start()
    with pytest.raises(SpawnException):
        await ben.start()
    with pytest.raises(SpawnException, match="left the line"):
        await ben.run_options_from_form({"leave": ["leave"]})
    assert (await pool.look("ben", "")).place is None
    assert not ben.runs


async def test_how_far_a_start_has_come_is_said_in_plain_words(pool: Pool):
    ana = server_of(pool, "ana")
    await ana.start()
    ana._waiting_for_response = True
    said = [event["message"] async for event in ana.progress()]
    assert said == [f"{A100} is yours", "Making room for your server", "Opening Lab: this takes some seconds"]


# --- in words, and on the page


def now_of(*gpus: GpuSaid, place: PlaceSaid | None = None) -> GpusSaid:
    return GpusSaid(True, 1_700_000_000_000, list(gpus), place=place)


def in_use(user: str, hours: float = 1) -> GpuSaid:
    return GpuSaid(A100, False, user, 1_700_000_000_000 + round(hours * HOUR))


def test_who_has_them_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    now = 1_700_000_000_000  # 22:13 on a Tuesday
    free = GpuSaid(A100, True)
    said = [
        gpu_words.used(gpus, now).striptags()
        for gpus in (
            [],
            [free, in_use("ana")],
            [in_use("ana")],
            [in_use("ana", 2)],
            [in_use("ben", 3), in_use("ana")],
            [in_use(name) for name in "abcd"],
            [in_use("ana", -1)],
        )
    ]
    assert said == [
        "No GPU is there at present",
        "1 of 2 free",
        "1 of 1 GPU in use by ana until about 23:13",
        "1 of 1 GPU in use by ana until about Wed 00:13",
        "2 of 2 GPUs in use by ana and ben, the first until about 23:13",
        "4 of 4 GPUs in use, the first until about 23:13",
        "1 of 1 GPU in use by ana",
    ]
    assert "<b>" not in gpu_words.used([in_use("<b>eve")], now)
    assert [gpu_words.ordinal(n) for n in (1, 2, 3, 4, 11, 12, 21, 112)] == [
        *("1st", "2nd", "3rd", "4th", "11th", "12th", "21st", "112th")
    ]


def test_the_page_shows_what_is_free_and_remembers_the_last_choice():
    free = page_of((CPU, GPU), "gpu", now_of(GpuSaid(A100, True)))
    assert [(card.is_chosen, card.is_free, card.gpu) for card in free.cards] == [(False, True, ""), (True, True, A100)]
    assert (free.line, free.again_s) == ("", 20)
    waiting = page_of((CPU, GPU), "gpu", now_of(in_use("ana"), place=PlaceSaid(2, None)))
    assert (waiting.line, waiting.without, waiting.again_s) == ("You are 2nd in line.", "cpu", 5)
    assert page_of((CPU, GPU), "gone", None).cards[0].is_chosen
    assert page_of((CPU, GPU), None, None).again_s == 0
    mig = Profile("part", "A part", gpu="1g.5gb")
    kinds = [GpuSaid(A100, True), GpuSaid(f"{A100} MIG 1g.5gb", False, "ana")]
    page = page_of((mig,), None, now_of(*kinds))
    assert [(card.is_free, card.state.striptags()) for card in page.cards] == [(False, "1 of 1 GPU in use by ana")]


# --- the eye on them


class Servers:
    """The hub's servers, as its API would tell them."""

    def __init__(self) -> None:
        self.there: set[str] | None = set()
        self.stopped: list[str] = []
        self.is_away = self.has_ended = False

    async def running(self, user: str) -> set[str] | None:
        if self.there is None:
            return None
        return {holder.partition("/")[2] for holder in self.there if holder.partition("/")[0] == user}

    async def stop(self, user: str, server: str) -> bool:
        if self.is_away:
            raise Unavailable("The hub does not answer.")
        if self.has_ended:
            raise NotFound("There is no such user or server.")
        self.stopped.append(f"{user}/{server}")
        return True


class Scene:
    """Two GPUs, their clock, and what is seen of them."""

    def __init__(self, folder: Path, lease_ms: int = HOUR) -> None:
        self.now, self.busy = 1000.0, {GPU0: 50, GPU1: 50}
        self.fails: Exception | None = None
        self.is_blind = False
        self.servers, self.said = Servers(), []
        rules = Rules(lease_ms=lease_ms, silence_ms=100 * HOUR)
        self.leases = Leases(f"sqlite:///{folder}/leases.sqlite", self.record, rules, lambda: self.now)
        self.watch = Watch(
            *(self.leases, self.servers, self.devices, self.record),
            idle_s=1800,
            grace_s=300,
            clock=lambda: self.now,
        )
        self.gpus = TeamGpus(self.leases, self.watch)

    def record(self, event: str, actor: str, **more: Any) -> None:
        self.said.append((event, actor, more.get("why")))

    async def devices(self) -> list[Device] | None:
        if self.fails:
            raise self.fails
        if self.is_blind:
            return None
        return [Device(id_, "0", A100, None, busy) for id_, busy in self.busy.items()]

    async def has(self, *names: str) -> None:
        """Let people's servers run with a GPU each."""
        for name in names:
            await self.leases.ask(f"{name}/", name)
            await self.leases.take(f"{name}/")
            assert self.servers.there is not None
            self.servers.there.add(f"{name}/")

    async def after(self, minutes: float) -> None:
        self.now += 60 * minutes
        await self.watch.look()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path)
    await made.watch.look()
    yield made
    await made.leases.close()


async def test_a_gpu_whose_server_is_gone_is_free_after_two_looks_and_not_while_the_hub_is_away(scene: Scene):
    await scene.has("ana", "ben")
    scene.servers.there = None
    for _ in range(3):
        await scene.after(1)
    scene.servers.there = {"ben/"}
    await scene.after(1)
    assert len((await scene.leases.look()).leases) == 2
    await scene.after(1)
    assert [lease.holder for lease in (await scene.leases.look()).leases] == ["ben/"]


async def test_a_lease_that_is_over_ends_after_a_warning_and_only_where_somebody_waits(scene: Scene):
    await scene.has("ana", "ben")
    await scene.after(90)
    assert scene.servers.stopped == []
    said = await scene.gpus.wait("eve", "")
    assert said.place is not None
    await scene.after(0)
    seen = await scene.gpus.look("ana", "")
    assert seen.lease is not None
    assert (seen.lease.is_wanted, seen.lease.is_idle) == (True, False)
    assert seen.lease.ends_ms == round(scene.now * 1000) + 5 * MINUTE
    await scene.after(4)
    assert scene.servers.stopped == []
    scene.servers.is_away = True
    with pytest.raises(Unavailable):
        await scene.after(1)
    scene.servers.is_away = False
    await scene.after(1)
    await scene.after(1)
    assert scene.servers.stopped == ["ana/"], "once, and not Ben's: one is waited for"
    await asyncio.sleep(0)
    assert scene.said.count(("gpu.ended", "ana", "over")) == 1


async def test_a_server_that_has_ended_by_itself_meanwhile_is_no_fault(scene: Scene):
    await scene.has("ana", "ben")
    await scene.gpus.wait("eve", "")
    scene.servers.has_ended = True
    await scene.after(90 + 60 * 8)
    await scene.after(6)
    await scene.after(1)
    assert scene.servers.stopped == []
    assert ("gpu.ended", "ana", "over") in scene.said


async def test_who_leaves_the_line_ends_the_warning(scene: Scene):
    await scene.has("ana", "ben")
    await scene.after(90)
    await scene.gpus.wait("eve", "")
    await scene.after(0)
    assert scene.watch.ending("ana/") is not None
    assert (await scene.gpus.leave("eve", "")).place is None
    await scene.after(10)
    assert scene.watch.ending("ana/") is None
    assert (await scene.gpus.extend("ana", "")).lease.until_ms == round(scene.now * 1000) + HOUR
    assert scene.servers.stopped == []


async def test_a_gpu_that_does_nothing_is_over_where_somebody_waits(tmp_path: Path):
    scene = Scene(tmp_path, lease_ms=8 * HOUR)
    await scene.watch.look()
    await scene.has("ana", "ben")
    (its,) = (lease.device for lease in (await scene.leases.look()).leases if lease.user == "ben")
    scene.busy[its] = 0
    for _ in range(31):
        await scene.after(1)
    await scene.gpus.wait("eve", "")
    await scene.after(0.2)
    seen = await scene.gpus.look("ben", "")
    assert seen.lease is not None
    assert seen.lease.is_idle
    scene.busy[its] = 3  # it works again, and with it the notice is gone
    await scene.after(0.2)
    assert scene.watch.ending("ben/") is None
    scene.busy[its] = 0
    for _ in range(28):
        await scene.after(1)
    assert scene.watch.ending("ben/") is None, "it counts anew from there"
    for _ in range(8):
        await scene.after(1)
    assert scene.servers.stopped == ["ben/"]
    await scene.leases.close()


async def test_a_driver_that_does_not_say_or_does_not_measure_takes_nothing_from_anybody(scene: Scene):
    await scene.has("ana", "ben")
    scene.busy = {GPU0: None, GPU1: None}
    await scene.gpus.wait("eve", "")
    for _ in range(40):
        await scene.after(1)
    scene.fails = BrokenDriver("nvidia-smi says: lost")
    await scene.after(1)
    assert (await scene.gpus.look("ana", "")).problem == "nvidia-smi says: lost"
    assert len((await scene.leases.look()).leases) == 2
    scene.fails = None
    await scene.after(1)
    assert (await scene.gpus.look("ana", "")).problem is None
    assert scene.servers.stopped == []


async def test_a_gpu_that_is_not_there_any_more_is_nobodys(scene: Scene):
    await scene.has("ana", "ben")
    del scene.busy[GPU0]
    await scene.after(1)
    assert [lease.device for lease in (await scene.leases.look()).leases] == [GPU1]


async def test_a_machine_without_a_driver_takes_nothing_from_anybody(scene: Scene):
    """Several processes may serve a hub, and not all where the GPUs are."""
    await scene.has("ana", "ben")
    scene.is_blind = True
    for _ in range(3):
        await scene.after(1)
    assert len((await scene.leases.look()).leases) == 2
    assert (await scene.gpus.look("ana", "")).is_on


async def test_a_hub_without_gpus_has_no_database_of_them(tmp_path: Path):
    scene = Scene(tmp_path)
    scene.busy = {}
    await scene.watch.look()
    assert await scene.gpus.look("ana", "") == GpusSaid(is_on=False)
    with pytest.raises(Conflict, match="no GPU"):
        await scene.gpus.wait("ana", "")
    assert not (tmp_path / "leases.sqlite").exists()
    await scene.leases.close()


async def test_people_ask_for_themselves_and_for_few_servers(scene: Scene):
    await scene.has("ana", "ben")
    with pytest.raises(Conflict, match="no such GPU"):
        await scene.gpus.wait("eve", "", "T4")
    for number in range(5):
        await scene.gpus.wait("eve", f"s{number}", "a100")
    with pytest.raises(Conflict, match="5 of your servers"):
        await scene.gpus.wait("eve", "s5")
    assert (await scene.gpus.wait("eve", "s0")).place is not None
    with pytest.raises(Conflict, match="has its GPU already"):
        await scene.gpus.leave("ana", "")
    with pytest.raises(Conflict, match="Others wait"):
        await scene.gpus.extend("ana", "")
    with pytest.raises(Forbidden):
        await scene.gpus.wait("service:prometheus", "")
    with pytest.raises(NotFound):
        await scene.gpus.release("ada", "eve", "s0")
    await scene.gpus.release("ada", "ana", "")
    assert scene.servers.stopped == ["ana/"]
    assert ("gpu.ended", "ada", "admin") in scene.said


async def test_what_is_said_names_people_and_no_ids(scene: Scene):
    await scene.has("ana")
    said = msgspec.to_builtins(await scene.gpus.look("ben", ""))
    assert [(gpu["is_free"], gpu["user"]) for gpu in said["gpus"]] in (
        [(False, "ana"), (True, None)],
        [(True, None), (False, "ana")],
    )
    assert (said["lease"], said["place"], said["waiting"]) == (None, None, 0)
    assert "GPU-" not in str(said)
