"""Who may see and change which experiment of a team: the rules, the database, and how soon a change holds."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aidp_ext.core.db import migrate, open_engine
from aidp_ext.core.errors import Conflict, InvalidRequest, StorageError
from aidp_ext.experiments.models import Caller
from aidp_ext.experiments.team import permissions as module
from aidp_ext.experiments.team.permissions import Permissions, Shared
from aidp_ext.experiments.team.store import MIGRATIONS, VERSION_TABLE, Rights, Store
from tests.support.postgresql import PostgreSql, postgresql

ANA, BEN, EVE = Caller("ana", ("birds",)), Caller("ben", ("birds",)), Caller("eve", ("fish",))
BOTH, LONER, ADA = Caller("bo", ("birds", "fish")), Caller("lo"), Caller("ada", ("fish",), is_admin=True)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with postgresql() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/permissions.sqlite"
    database: str = request.getfixturevalue("server").database()
    return database


@pytest.fixture
def said() -> list[tuple[str, str, dict[str, Any]]]:
    return []


@pytest.fixture
async def table(tmp_path: Path, said: list[tuple[str, str, dict[str, Any]]]) -> AsyncIterator[Permissions]:
    made = Permissions(
        Store(f"sqlite:///{tmp_path}/permissions.sqlite"),
        lambda event, actor, **fields: said.append((event, actor, fields)),
    )
    yield made
    await made.close()


async def rights(table: Permissions, who: Caller, id_: str = "1") -> str:
    """The highest right that somebody has, as the rules say it one by one."""
    found = [right for right in ("read", "write", "manage") if await table.may(who, id_, right)]  # type: ignore[arg-type]
    visible = await table.visible(who)
    assert (visible is None or id_ in visible) == bool(found), "what is listed is what may be read"
    return found[-1] if found else ""


async def test_what_nobody_has_made_is_nobodys_but_the_admins(table: Permissions) -> None:
    assert [await rights(table, who, "0") for who in (ANA, EVE, LONER)] == ["", "", ""]
    assert await rights(table, ADA, "0") == "manage"


async def test_it_belongs_to_its_maker_and_is_read_by_their_one_team(table: Permissions) -> None:
    await table.created(ANA, "experiment", "1")
    found = {who.who: await rights(table, who) for who in (ANA, BEN, EVE, BOTH, LONER)}
    assert found == {"ana": "manage", "ben": "read", "eve": "", "bo": "read", "lo": ""}


async def test_what_a_member_of_two_teams_makes_is_theirs_alone_unless_they_say_for_whom(table: Permissions) -> None:
    await table.created(BOTH, "experiment", "1")
    assert [await rights(table, who) for who in (BOTH, ANA, EVE)] == ["manage", "", ""]
    await table.created(BOTH, "experiment", "2", team="fish")
    assert [await rights(table, who, "2") for who in (BOTH, ANA, EVE)] == ["manage", "", "read"]
    with pytest.raises(InvalidRequest, match="no team"):
        await table.created(ANA, "experiment", "3", team="fish")
    assert await rights(table, EVE, "3") == ""


@pytest.mark.parametrize(("role", "ben"), [(None, ""), ("read", "read"), ("write", "write"), ("manage", "manage")])
async def test_the_setting_says_what_a_makers_team_gets(tmp_path: Path, role: Any, ben: str) -> None:
    table = Permissions(Store(f"sqlite:///{tmp_path}/x.sqlite"), lambda *_, **__: None, team_role=role)
    await table.created(ANA, "experiment", "1")
    assert await rights(table, BEN) == ben
    await table.close()


async def test_sharing_is_exact_is_said_and_holds_at_once(table: Permissions, said: list[Any]) -> None:
    await table.created(ANA, "experiment", "1")
    wanted = Shared("ana", {"fish": "write"}, {"lo": "manage", "ana": "read"})
    after = await table.share(ANA, "experiment", "1", wanted)
    assert after == Shared("ana", {"fish": "write"}, {"lo": "manage"}), "what is an owner's anyway is not kept"
    found = {who.who: await rights(table, who) for who in (ANA, BEN, EVE, BOTH, LONER)}
    assert found == {"ana": "manage", "ben": "", "eve": "write", "bo": "write", "lo": "manage"}
    event, actor, fields = said[-1]
    assert (event, actor, fields["experiment"]) == ("experiments.shared", "ana", "1")
    assert fields["before"]["teams"] == {"birds": "read"}
    assert fields["access"] == {"owner": "ana", "teams": {"fish": "write"}, "users": {"lo": "manage"}}
    await table.share(ANA, "experiment", "1", Shared("ana"))
    assert [await rights(table, who) for who in (EVE, LONER, ANA)] == ["", "", "manage"]


async def test_only_an_admin_gives_it_to_another_owner(table: Permissions) -> None:
    await table.created(ANA, "experiment", "1")
    for owner in ("eve", None):
        with pytest.raises(InvalidRequest, match="admin"):
            await table.share(ANA, "experiment", "1", Shared(owner))
    await table.share(ADA, "experiment", "1", Shared("eve"))
    assert [await rights(table, who) for who in (ANA, EVE)] == ["", "manage"]


@pytest.mark.parametrize("name", ["", "x" * 256, "a\nb"])
async def test_what_is_no_name_is_refused(table: Permissions, name: str) -> None:
    await table.created(ANA, "experiment", "1")
    for wanted in (Shared("ana", {name: "read"}), Shared("ana", users={name: "read"})):
        with pytest.raises(InvalidRequest, match="no name"):
            await table.share(ANA, "experiment", "1", wanted)
    with pytest.raises(InvalidRequest, match="200"):
        await table.share(ANA, "experiment", "1", Shared("ana", {f"t{n}": "read" for n in range(201)}))


async def test_a_user_is_no_team_of_the_same_name(table: Permissions) -> None:
    await table.created(ANA, "experiment", "1")
    await table.share(ANA, "experiment", "1", Shared("ana", {"lo": "read"}, {"fish": "read"}))
    assert [await rights(table, who) for who in (LONER, EVE, Caller("fish"))] == ["", "", "read"]


async def test_models_are_apart_from_experiments_and_can_be_renamed(table: Permissions) -> None:
    await table.created(ANA, "model", "1")
    assert await rights(table, ANA, "1") == ""
    assert await table.may_model(ANA, "1", "manage")
    assert not await table.may_model(BEN, "1", "write")
    assert await table.visible_models(BEN) == {"1"}
    await table.renamed("model", "1", "churn/2")
    assert (await table.visible_models(ANA), await table.visible_models(EVE)) == ({"churn/2"}, frozenset())
    with pytest.raises(Conflict):
        await table.created(EVE, "model", "churn/2")
    assert not await table.may_model(EVE, "churn/2", "read")
    await table.gone("model", "churn/2")
    await table.created(EVE, "model", "churn/2")
    assert not await table.may_model(ANA, "churn/2", "read"), "a name that is free again brings no old rights with it"


async def test_two_who_make_the_same_at_once_are_not_both_its_owner(url: str) -> None:
    tables = [Permissions(Store(url), lambda *_, **__: None) for _ in range(2)]
    made = await asyncio.gather(
        *(table.created(who, "model", "m") for table in tables for who in (ANA, EVE)), return_exceptions=True
    )
    assert [type(one) for one in made if one is not None] == [Conflict] * 3
    for table in tables:
        await table.close()


async def test_another_process_sees_a_change_within_seconds(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    ours, theirs = (Permissions(Store(url), lambda *_, **__: None) for _ in range(2))
    await ours.created(ANA, "experiment", "1")
    assert await rights(theirs, BEN) == "read"
    await ours.share(ANA, "experiment", "1", Shared("ana"))
    assert await rights(ours, BEN) == ""
    clock[0] += module.FRESH_S - 0.1
    assert await rights(theirs, BEN) == "read"
    clock[0] += 0.2
    assert await rights(theirs, BEN) == ""
    for table in (ours, theirs):
        await table.close()


async def test_a_database_that_fails_lets_nobody_in(table: Permissions, tmp_path: Path, said: list[Any]) -> None:
    await table.created(ANA, "experiment", "1")
    with sqlite3.connect(tmp_path / "permissions.sqlite") as other:
        other.execute("DROP TABLE tracking_change")
    table._looked = -module.FRESH_S
    for _ in range(2):
        with pytest.raises(StorageError) as caught:
            await table.may(ANA, "1", "read")
        assert caught.value.next_step


async def test_a_server_that_was_restarted_is_found_again(server: PostgreSql) -> None:
    store = Store(server.database())
    store.save(("experiment", "1"), Rights("ana", {}))
    server.stop()
    with pytest.raises(StorageError):
        store.number()
    server.start()
    assert store.load()[1] == {("experiment", "1"): Rights("ana", {})}
    store.close()


def test_migrations_make_what_the_tables_state(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from aidp_ext.experiments.team.tables import metadata

    engine = open_engine(url)
    migrate(engine, MIGRATIONS, VERSION_TABLE)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_it_shares_a_database_with_the_ledger(url: str) -> None:
    from aidp_ext.ai.ledger_store import Store as Ledger

    ledger = Ledger(url, 5.0)
    ledger.open()
    ledger.close()
    store = Store(url)
    assert store.load() == (1, {})
    store.close()
    ledger.open()
    ledger.close()
    if url.startswith("postgresql"):
        with psycopg.connect(url) as found:
            tables = {name for (name,) in found.execute("SELECT tablename FROM pg_tables").fetchall()}
        assert {"ai_call", "tracking_owner", "tracking_version", "ai_version"} <= tables
