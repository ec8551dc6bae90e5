"""Who may see and change which experiment and registered model of a team's tracking server.

Each belongs to whoever made it, and may be shared with teams (the hub's groups) and with people, in a role: ``read``,
``write`` or ``manage``, where each holds the one before. What nobody here has heard of is nobody's but the admins'.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeVar

from msgspec import Struct, field

from aidp_ext.core.errors import Conflict, Forbidden, InvalidRequest
from aidp_ext.experiments.models import Caller, Right
from aidp_ext.experiments.team.store import Holder, Key, Rights, Store

T = TypeVar("T")
Kind = Literal["experiment", "model"]
Role = Literal["read", "write", "manage"]

#: What each role allows; their order is that of the rights.
_RANK: Mapping[str, int] = {"read": 1, "write": 2, "manage": 3}
#: What the names of users' own experiments begin with.
OWN = "~"
#: Seconds that a change by another process may stay unseen. Our own are seen at once.
FRESH_S = 2.0
_MOST_GRANTS = 200
_LONGEST_NAME = 255


class Shared(Struct, frozen=True):
    """Whose it is, and with whom it is shared."""

    owner: str | None
    teams: Mapping[str, Role] = field(default_factory=dict)
    users: Mapping[str, Role] = field(default_factory=dict)


class Permissions:
    """The table, and what follows from it. ``record(event, actor, **fields)`` is told of each change of access.

    ``team_role`` is what a creator's team gets where they are in one alone; None: nothing. Nobody can say for whom an
    experiment is where its creator is in several, so that one is theirs until they share it.
    """

    def __init__(self, store: Store, record: Callable[..., object], team_role: Role | None = "read") -> None:
        self._store = store
        self._record = record
        self._team_role = team_role
        self._thread = ThreadPoolExecutor(1, "aidp-permissions")
        self._lock = asyncio.Lock()
        self._number = -1
        self._looked = -FRESH_S
        self._known: Mapping[Key, Rights] = {}
        self._sets: dict[tuple[str, str, tuple[str, ...]], frozenset[str]] = {}

    async def close(self) -> None:
        """Close the database."""
        await self._do(self._store.close)
        self._thread.shutdown()

    async def check(self) -> None:
        """Open the database, which brings it up to date. Raises StorageError where it cannot be used."""
        await self._rights()

    # --- what follows from it

    async def visible(self, caller: Caller) -> frozenset[str] | None:
        """Return the ids of the experiments that the caller may read; None for all."""
        return await self._readable(caller, "experiment")

    async def may(self, caller: Caller, experiment_id: str, right: Right) -> bool:
        """Return whether the caller has this right to an experiment."""
        return await self._may(caller, ("experiment", experiment_id), right)

    async def visible_models(self, caller: Caller) -> frozenset[str] | None:
        """Return the names of the registered models that the caller may read; None for all."""
        return await self._readable(caller, "model")

    async def may_model(self, caller: Caller, name: str, right: Right) -> bool:
        """Return whether the caller has this right to a registered model."""
        return await self._may(caller, ("model", name), right)

    async def knows(self, kind: Kind, id_: str) -> bool:
        """Return whether it is anybody's."""
        return (kind, id_) in await self._rights()

    async def check_name(self, caller: Caller, name: str) -> None:
        """Raise Forbidden for the name of an experiment that is another user's: one that begins with ``~``.

        Kernels log to ``~<user>`` where nobody chose; else somebody could be there first, and read along.
        """
        if name.startswith(OWN) and name.removeprefix(OWN).partition("/")[0] != caller.who and not caller.is_admin:
            raise Forbidden(f"Names that begin with {OWN} are their user's alone.", next_step="Choose another name.")

    # --- what changes it

    async def created(self, caller: Caller, kind: Kind, id_: str, team: str | None = None) -> None:
        """Note what the caller has made. ``team``: for which of theirs.

        Raises Conflict for a model that is known already: it would be taken from its owner. An experiment's id is
        MLflow's to give, and where it gives one anew, the experiment before is gone.
        """
        rights = Rights(caller.who, self._first_grants(caller, team))
        if not await self._do(self._store.save, (kind, id_), rights, new=kind == "model"):
            raise Conflict(f"There is a registered model {id_} already.")
        await self._look()
        teams = {name: role for (to, name), role in rights.grants.items() if to == "team"}
        self._record(f"experiments.{kind}_created", caller.who, **{kind: id_}, teams=teams)

    async def gone(self, kind: Kind, id_: str) -> None:
        """Forget what was deleted for good."""
        await self._do(self._store.save, (kind, id_), None)
        await self._look()

    async def renamed(self, kind: Kind, old: str, new: str) -> None:
        """Let the rights to one name be those to another."""
        await self._do(self._store.rename, (kind, old), (kind, new))
        await self._look()

    async def shared(self, kind: Kind, id_: str) -> Shared:
        """Return whose it is and with whom it is shared."""
        rights = (await self._rights()).get((kind, id_), Rights(None, {}))
        return _shared(rights)

    async def share(self, caller: Caller, kind: Kind, id_: str, wanted: Shared) -> Shared:
        """Share it with these, and nobody else. That the caller may is checked by whoever calls this.

        Raises InvalidRequest. The owner can be another only where an admin says so.
        """
        before = await self.shared(kind, id_)
        if wanted.owner != before.owner and not caller.is_admin:
            raise InvalidRequest("Only an admin gives it to another owner.", field="owner")
        given = {("team", name): role for name, role in wanted.teams.items()}
        given |= {("user", name): role for name, role in wanted.users.items()}
        if len(given) > _MOST_GRANTS:
            raise InvalidRequest(f"It can be shared with {_MOST_GRANTS} at most.", field="teams")
        for (to, name), _ in given.items():
            if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
                raise InvalidRequest(f"{name[:40]!r} is no name of a {to}.", field=f"{to}s")
        # Kept without those that say nothing: it is the owner's anyway.
        grants = {holder: role for holder, role in given.items() if holder != ("user", wanted.owner)}
        await self._do(self._store.save, (kind, id_), Rights(wanted.owner, grants))
        await self._look()
        after = await self.shared(kind, id_)
        said = {"owner": after.owner, "teams": dict(after.teams), "users": dict(after.users)}
        was = {"owner": before.owner, "teams": dict(before.teams), "users": dict(before.users)}
        self._record("experiments.shared", caller.who, **{kind: id_}, access=said, before=was)
        return after

    def _first_grants(self, caller: Caller, team: str | None) -> dict[Holder, str]:
        if team is not None:
            if team not in caller.teams:
                raise InvalidRequest(f"You are in no team {team[:40]!r}.", field="team")
            return {("team", team): self._team_role or "read"}
        if self._team_role is None or len(caller.teams) != 1:
            return {}
        return {("team", caller.teams[0]): self._team_role}

    # --- what is known of it

    async def _may(self, caller: Caller, key: Key, right: Right) -> bool:
        if caller.is_admin:
            return True
        rights = (await self._rights()).get(key)
        return rights is not None and _rank(rights, caller) >= _RANK[right]

    async def _readable(self, caller: Caller, kind: Kind) -> frozenset[str] | None:
        if caller.is_admin:
            return None
        known = await self._rights()
        key = (kind, caller.who, caller.teams)
        found = self._sets.get(key)
        if found is None:
            found = frozenset(id_ for (of, id_), rights in known.items() if of == kind and _rank(rights, caller))
            self._sets[key] = found
        return found

    async def _rights(self) -> Mapping[Key, Rights]:
        if time.monotonic() - self._looked >= FRESH_S:
            await self._look()
        return self._known

    async def _look(self) -> None:
        """See whether something changed, and load it anew where it did. Raises StorageError: nobody may then."""
        async with self._lock:
            looked = time.monotonic()
            if self._number < 0 or await self._do(self._store.number) != self._number:
                self._number, self._known = await self._do(self._store.load)
                self._sets = {}
            self._looked = looked

    async def _do(self, work: Callable[..., T], *args: object, **kwargs: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, functools.partial(work, *args, **kwargs))


def _rank(rights: Rights, caller: Caller) -> int:
    """Return the highest of the caller's roles as a number, 0 for none."""
    if rights.owner == caller.who:
        return _RANK["manage"]
    holders = [("user", caller.who), *(("team", team) for team in caller.teams)]
    return max((_RANK.get(rights.grants.get(holder, ""), 0) for holder in holders), default=0)


def _shared(rights: Rights) -> Shared:
    of: dict[str, dict[str, Role]] = {"team": {}, "user": {}}
    for (to, name), role in sorted(rights.grants.items()):
        of[to][name] = role  # type: ignore[assignment]
    return Shared(rights.owner, of["team"], of["user"])
