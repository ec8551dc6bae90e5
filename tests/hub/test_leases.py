"""Who gets which GPU: the rules, a week of 200 people, interleavings with kills, and the database."""

import asyncio
import heapq
import itertools
import random
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from aidp_ext.core.db import migrate, open_engine
from aidp_ext.core.errors import Conflict, NotFound, StorageError
from aidp_ext.hub import schedule
from aidp_ext.hub.leases import MIGRATIONS, VERSION_TABLE, Leases
from aidp_ext.hub.schedule import Lease, Place, Rules, State
from tests.support.postgresql import PostgreSql, postgresql

MINUTE, HOUR = 60_000, 3_600_000
RULES = Rules(lease_ms=8 * HOUR, offer_ms=5 * MINUTE, silence_ms=1000 * HOUR)


def fresh(*kinds: str) -> State:
    state = State()
    schedule.found(state, RULES, {f"gpu{number}": kind for number, kind in enumerate(kinds)}, 0)
    return state


def held(state: State) -> dict[str, str]:
    return {lease.device: lease.holder for lease in state.leases.values()}


def test_one_gets_it_and_the_other_sees_the_queue_and_gets_it_at_release():
    state = fresh("gpu")
    schedule.ask(state, RULES, "ana/", "ana", "", 0)
    schedule.ask(state, RULES, "ben/", "ben", "", 0)
    assert schedule.take(state, RULES, "ana/", 0) == Lease("gpu0", "ana/", "ana", True, 0, 8 * HOUR)
    assert schedule.places(state, RULES, HOUR) == {"ben/": Place(1, 8 * HOUR)}
    assert schedule.take(state, RULES, "ben/", HOUR) is None
    schedule.give_back(state, RULES, "ana/", 2 * HOUR)
    assert held(state) == {"gpu0": "ben/"}
    assert schedule.take(state, RULES, "ben/", 2 * HOUR).until_ms == 10 * HOUR


def test_asking_again_keeps_the_place():
    state = fresh("gpu")
    for name in ("ana", "ben", "eve", "ben", "ana"):
        schedule.ask(state, RULES, f"{name}/", name, "", 0)
    assert [schedule.places(state, RULES, 0)[f"{name}/"].position for name in ("ben", "eve")] == [1, 2]


def test_who_has_one_comes_after_those_who_have_none_and_gets_no_more_than_the_rule_says():
    rules = Rules(per_user=2)
    state = fresh("gpu", "gpu", "gpu")
    for holder in ("ana/", "ana/a", "ana/b"):
        schedule.ask(state, rules, holder, "ana", "", 0)
    assert sorted(held(state).values()) == ["ana/", "ana/a"], "a third is free, and she has two"
    schedule.ask(state, rules, "ben/", "ben", "", 1)
    assert sorted(held(state).values()) == ["ana/", "ana/a", "ben/"]
    schedule.ask(state, rules, "eve/", "eve", "", 2)
    schedule.give_back(state, rules, "ana/a", 3)
    assert sorted(held(state).values()) == ["ana/", "ben/", "eve/"], "Eve asked later than Ana's third"


def test_an_offer_that_nobody_takes_goes_to_the_next():
    state = fresh("gpu")
    for name in ("ana", "ben"):
        schedule.ask(state, RULES, f"{name}/", name, "", 0)
    schedule.advance(state, RULES, RULES.offer_ms - 1)
    assert held(state) == {"gpu0": "ana/"}
    assert schedule.take(state, RULES, "ana/", RULES.offer_ms) is None
    assert held(state) == {"gpu0": "ben/"}


def test_a_lease_that_is_over_goes_on_until_somebody_waits_and_ends_with_its_server():
    state = fresh("gpu", "gpu")
    for name in ("ana", "ben"):
        schedule.ask(state, RULES, f"{name}/", name, "", 0)
        schedule.take(state, RULES, f"{name}/", 0 if name == "ana" else MINUTE)
    later = 20 * HOUR
    assert schedule.to_end(state, RULES, later) == []
    schedule.ask(state, RULES, "eve/", "eve", "", later)
    (lease,) = schedule.to_end(state, RULES, later)
    assert lease.holder == "ana/", "hers is over for longer, and only one is waited for"
    assert held(state) == {"gpu0": "ana/", "gpu1": "ben/"}, "not before her server is gone"
    schedule.give_back(state, RULES, "ana/", later)
    assert held(state) == {"gpu0": "eve/", "gpu1": "ben/"}
    assert schedule.to_end(state, RULES, later) == []


def test_a_lease_is_extended_unless_somebody_waits_for_its_kind():
    state = fresh("gpu", "mig")
    schedule.ask(state, RULES, "ana/", "ana", "gpu", 0)
    schedule.take(state, RULES, "ana/", 0)
    schedule.ask(state, RULES, "ben/", "ben", "mig", 0)
    assert schedule.extend(state, RULES, "ben/", 1) is None, "it is an offer"
    schedule.take(state, RULES, "ben/", 1)
    schedule.ask(state, RULES, "eve/", "eve", "mig", 2)
    longer = schedule.extend(state, RULES, "ana/", HOUR)
    assert longer is not None
    assert longer.until_ms == 9 * HOUR, "Eve waits for another kind"
    schedule.ask(state, RULES, "bo/", "bo", "", 2 * HOUR)
    assert schedule.extend(state, RULES, "ana/", 2 * HOUR) is None


def test_only_a_server_that_is_gone_for_several_looks_loses_its_gpu():
    state = fresh("gpu")
    schedule.ask(state, RULES, "ana/", "ana", "", 0)
    schedule.take(state, RULES, "ana/", 0)
    assert schedule.see(state, RULES, [], 1) == []
    assert schedule.see(state, RULES, ["ana/"], 2) == []
    assert schedule.see(state, RULES, [], 3) == []
    (lost,) = schedule.see(state, RULES, [], 4)
    assert (lost.holder, held(state)) == ("ana/", {})


def test_a_device_that_is_gone_is_given_to_nobody():
    state = fresh("gpu", "gpu")
    for name in ("ana", "ben", "eve"):
        schedule.ask(state, RULES, f"{name}/", name, "", 0)
    (lost,) = schedule.found(state, RULES, {"gpu1": "gpu"}, 1)
    assert lost.holder == "ana/"
    schedule.give_back(state, RULES, "ben/", 2)
    assert held(state) == {"gpu1": "eve/"}
    schedule.ask(state, RULES, "bo/", "bo", "tpu", 3)
    assert schedule.places(state, RULES, 3)["bo/"].turn_ms is None


@pytest.mark.parametrize("step", [-HOUR, 0, 100 * HOUR])
def test_a_clock_that_jumps_gives_no_device_to_two(step: int):
    state = fresh("gpu")
    now = 50 * HOUR
    for name in ("ana", "ben"):
        schedule.ask(state, RULES, f"{name}/", name, "", now)
    schedule.take(state, RULES, "ana/", now)
    now += step
    assert schedule.take(state, RULES, "ben/", now) is None
    assert held(state) == {"gpu0": "ana/"}


def test_who_is_silent_for_a_while_waits_no_more():
    rules = Rules(silence_ms=5 * MINUTE)
    state = fresh("gpu")
    for name in ("ana", "ben", "eve"):
        schedule.ask(state, rules, f"{name}/", name, "", 0)
    schedule.take(state, rules, "ana/", 0)
    schedule.ask(state, rules, "eve/", "eve", "", 4 * MINUTE)
    assert list(schedule.places(state, rules, 4 * MINUTE)) == ["ben/", "eve/"]
    schedule.advance(state, rules, 5 * MINUTE)
    assert schedule.places(state, rules, 5 * MINUTE)["eve/"].position == 1
    assert "ben/" not in state.waits


def test_a_device_that_does_nothing_is_over_where_somebody_waits():
    state = fresh("gpu", "gpu")
    for name in ("ana", "ben"):
        schedule.ask(state, RULES, f"{name}/", name, "", 0)
        schedule.take(state, RULES, f"{name}/", 0)
    assert schedule.to_end(state, RULES, HOUR, {"gpu1"}) == []
    schedule.ask(state, RULES, "eve/", "eve", "", HOUR)
    assert schedule.to_end(state, RULES, HOUR) == []
    assert [lease.holder for lease in schedule.to_end(state, RULES, HOUR, {"gpu1"})] == ["ben/"]


def test_who_asks_for_another_kind_lets_go_of_what_was_offered_and_keeps_the_place():
    state = fresh("gpu", "mig")
    schedule.ask(state, RULES, "ana/", "ana", "gpu", 0)
    schedule.ask(state, RULES, "ben/", "ben", "gpu", 1)
    schedule.ask(state, RULES, "ben/", "ben", "mig", 2)
    assert held(state) == {"gpu0": "ana/", "gpu1": "ben/"}
    schedule.ask(state, RULES, "ana/", "ana", "mig", 3)
    assert held(state) == {"gpu1": "ben/"}
    assert state.waits["ana/"].kind == "mig"


def test_a_kind_is_asked_for_by_its_words():
    whole, part = "NVIDIA A100-SXM4-40GB", "NVIDIA A100-SXM4-40GB MIG 1g.5gb"
    assert all(schedule.fits(wanted, whole) for wanted in ("", whole, "a100", "40GB"))
    assert all(schedule.fits(wanted, part) for wanted in ("", part, "1g.5gb", "MIG"))
    assert not any(schedule.fits(wanted, whole) for wanted in ("T4", "mig", "1g.5gb", part))
    assert not any(schedule.fits(wanted, part) for wanted in ("a100", whole, "3g.20gb")), "a slice is no A100"


def check(state: State, running: dict[str, str]) -> None:
    """What always holds: `running` has the devices that servers really use."""
    assert len(set(running.values())) == len(running), "no device is used by two"
    holders = [lease.holder for lease in state.leases.values()]
    assert len(set(holders)) == len(holders)
    assert not set(holders) & set(state.waits), "nobody waits for what they have"
    assert set(state.leases) <= set(state.devices)


def test_a_week_of_200_people(capsys: pytest.CaptureFixture[str]):
    """Everybody who stays gets a turn, nobody is passed over by more than chance, and nothing stands idle."""
    rules, chance = Rules(lease_ms=4 * HOUR, silence_ms=1000 * HOUR), random.Random(7)
    state = State()
    schedule.found(state, rules, {f"gpu{n}": "gpu" if n < 8 else "mig" for n in range(16)}, 0)
    running: dict[str, str] = {}
    asked: dict[str, int] = {}
    waited: dict[str, list[int]] = {}
    numbers = itertools.count()
    events: list[tuple[int, int, str, str]] = []

    def at(time: int, what: str, who: str) -> None:
        heapq.heappush(events, (time, next(numbers), what, who))

    week = 7 * 24 * HOUR
    for person in range(200):
        for day in range(7):
            if chance.random() < 0.6:
                at(day * 24 * HOUR + int(chance.gauss(10, 2.5) * HOUR), "ask", f"p{person}/{day}")
    for tick in range(0, week + 24 * HOUR, MINUTE):
        at(tick, "tick", "")
    idle = total = 0
    while events:
        now, _, what, who = heapq.heappop(events)
        user = who.partition("/")[0]
        if what == "ask":
            asked.setdefault(who, now)
            schedule.ask(state, rules, who, user, chance.choice(["", "gpu", "mig"]), now)
        elif what == "end":
            if who in running:
                del running[who]
                schedule.give_back(state, rules, who, now)
        else:
            for lease in schedule.to_end(state, rules, now):  # as the hub does: stopped first, then given back
                running.pop(lease.holder, None)
                schedule.give_back(state, rules, lease.holder, now)
            for lease in list(state.leases.values()):
                if not lease.is_held and chance.random() < 0.9:  # who looks takes it; who has gone home does not
                    taken = schedule.take(state, rules, lease.holder, now)
                    assert taken is not None
                    assert taken.device not in running.values()
                    running[taken.holder] = taken.device
                    waited.setdefault(taken.user, []).append(now - asked[taken.holder])
                    at(now + int(chance.expovariate(1 / (3 * HOUR))) + MINUTE, "end", taken.holder)
            free = set(state.devices) - set(state.leases)
            total += len(state.devices)
            wanted = {wait.kind for wait in state.waits.values()}
            idle += sum("" in wanted or state.devices[device] in wanted for device in free)
        check(state, running)
    assert not state.waits, "everybody has had their turn"
    means = sorted(sum(times) / len(times) for times in waited.values())
    assert len(means) > 190
    assert idle == 0, f"{idle} of {total} device-minutes stood idle while somebody waited for one"
    assert means[-1] < 12 * HOUR, "nobody starves"


@pytest.mark.parametrize("seed", range(0, 1000, 50))
def test_interleavings_with_kills_leave_no_lease_twice_and_none_lost(seed: int):
    """1,000 runs: servers ask, take, stop and crash, offers lapse, clocks jump, the hub is killed and started anew."""
    for number in range(seed, seed + 50):
        chance, rules = random.Random(number), Rules(lease_ms=HOUR, offer_ms=5 * MINUTE, per_user=chance_of(number))
        devices = {f"gpu{n}": chance.choice(["gpu", "mig"]) for n in range(chance.randint(1, 4))}
        state, running, now = State(), {}, 0
        schedule.found(state, rules, devices, now)
        names = [f"u{n % 6}/{n}" for n in range(10)]
        for _ in range(120):
            now = max(0, now + chance.choice([1, MINUTE, 10 * MINUTE, HOUR, -MINUTE]))
            who = chance.choice(names)
            match chance.randrange(9):
                case 0 | 1:
                    schedule.ask(state, rules, who, who.split("/")[0], chance.choice(["", "gpu", "mig"]), now)
                case 2 | 3:
                    kept = copied(state)
                    lease = schedule.take(state, rules, who, now)
                    if chance.random() < 0.2:  # killed before it was written down: nobody was told
                        state = kept
                    elif lease is not None:
                        running[who] = lease.device  # it is started only now that it is written down
                case 4:
                    running.pop(who, None)
                    schedule.give_back(state, rules, who, now)
                case 5:
                    running.pop(who, None)  # crashed: nobody says so
                case 6:
                    for lost in schedule.see(state, rules, running, now):
                        assert lost.holder not in running
                case 7:
                    for lease in schedule.to_end(state, rules, now):
                        running.pop(lease.holder, None)
                        schedule.give_back(state, rules, lease.holder, now)
                case _:
                    state = copied(state)  # the hub is killed, and reads what it wrote down
            check(state, running)
        for _ in range(rules.patience):  # in the end nothing is lost: what is not used comes back
            now += rules.offer_ms
            schedule.see(state, rules, running, now)
        for wait in list(state.waits):
            schedule.give_back(state, rules, wait, now)
        schedule.advance(state, rules, now + rules.offer_ms)
        assert {lease.holder: lease.device for lease in state.leases.values()} == running


def chance_of(number: int) -> int:
    return 1 + number % 2


def copied(state: State) -> State:
    return State(dict(state.devices), dict(state.leases), dict(state.waits), state.number)


# --- the database


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with postgresql() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/leases.sqlite"
    return request.getfixturevalue("server").database()


@pytest.fixture
def said() -> list[tuple[str, str, dict[str, Any]]]:
    return []


@pytest.fixture
async def hubs(url: str, said: list[Any]) -> AsyncIterator[list[Leases]]:
    """Three processes' worth of leases on one database."""
    clock = itertools.count(1000, 0.001)
    made = [
        Leases(url, lambda event, actor, **more: said.append((event, actor, more)), RULES, lambda: next(clock))
        for _ in range(3)
    ]
    await made[0].found({"gpu0": "gpu"})
    yield made
    for one in made:
        await one.close()


async def test_of_many_who_ask_at_once_exactly_one_gets_it(hubs: list[Leases], said: list[Any]):
    async def start(number: int) -> bool:
        leases = hubs[number % len(hubs)]
        await leases.ask(f"u{number}/", f"u{number}")
        try:
            return (await leases.take(f"u{number}/")).is_held
        except NotFound:
            return False

    assert sum(await asyncio.gather(*map(start, range(12)))) == 1
    seen = await hubs[1].look()
    assert len(seen.leases) == 1
    assert sorted(place.position for place in seen.places.values()) == list(range(1, 12))
    assert [event for event, _, _ in said] == ["gpu.leased"]


async def test_it_outlives_the_process_and_is_released_when_its_server_is_gone(
    hubs: list[Leases], said: list[Any], url: str
):
    await hubs[0].ask("ana/", "ana")
    await hubs[0].take("ana/")
    await hubs[0].ask("ben/", "ben")
    later = Leases(url, lambda event, actor, **more: said.append((event, actor, more)), RULES, lambda: 5000.0)
    assert [lease.holder for lease in (await later.look()).leases] == ["ana/"]
    assert await later.see(["ana/"]) == []
    with pytest.raises(Conflict):
        await later.extend("ana/")
    assert await later.see([]) == []
    (lost,) = await later.see([])
    assert lost.holder == "ana/"
    assert [lease.holder for lease in (await later.look()).leases] == ["ben/"]
    assert (await later.take("ben/")).is_held
    assert (await later.extend("ben/")).until_ms > 5_000_000
    for who in ("ana/", "eve/"):
        with pytest.raises(NotFound):
            await later.extend(who)
        with pytest.raises(NotFound):
            await later.take(who)
    await later.close()
    events = [(event, actor) for event, actor, _ in said]
    assert events == [("gpu.leased", "ana"), ("gpu.released", "ana"), ("gpu.leased", "ben")]


async def test_a_database_that_fails_gives_nothing_away(tmp_path: Path):
    leases = Leases(f"sqlite:///{tmp_path}/leases.sqlite", lambda *_, **__: None)
    await leases.found({"gpu0": "gpu"})
    await leases.ask("ana/", "ana")
    with sqlite3.connect(tmp_path / "leases.sqlite") as other:
        other.execute("ALTER TABLE gpu_lease RENAME TO away")
    with pytest.raises(StorageError):
        await leases.take("ana/")
    with sqlite3.connect(tmp_path / "leases.sqlite") as other:
        other.execute("ALTER TABLE away RENAME TO gpu_lease")
    assert (await leases.take("ana/")).is_held
    await leases.close()


def test_migrations_make_what_the_tables_state(url: str):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from aidp_ext.hub.lease_tables import metadata

    engine = open_engine(url)
    migrate(engine, MIGRATIONS, VERSION_TABLE)
    with engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    engine.dispose()
