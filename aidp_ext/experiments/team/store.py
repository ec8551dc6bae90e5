"""The permissions in a database: SQLite in a file, or the team's PostgreSQL. Synchronous: one thread uses a Store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from aidp_ext.core.db import migrated_engine
from aidp_ext.core.errors import StorageError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "tracking_version"
_PATIENCE_S = 10.0

#: Of what, and which: ``("experiment", "7")`` or ``("model", "churn")``.
Key = tuple[str, str]
#: To a team or a user, and their name.
Holder = tuple[str, str]


class Rights(Struct, frozen=True):
    """Whose it is, and the roles of those with whom it is shared."""

    owner: str | None
    grants: Mapping[Holder, str]


class Store:
    """One database, opened and brought up to date on first use. Every method raises StorageError where it fails."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine: Engine | None = None

    def close(self) -> None:
        """Close all connections. A later call opens them again."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def number(self) -> int:
        """Return the number of the latest change."""
        with self._begin() as connection:
            return _number(connection)

    def load(self) -> tuple[int, dict[Key, Rights]]:
        """Return everything, and the number of the change that it shows."""
        from sqlalchemy import select

        from aidp_ext.experiments.team.tables import grants, owners

        with self._begin() as connection:
            number = _number(connection)
            shared: dict[Key, dict[Holder, str]] = {}
            for kind, id_, to, name, role in connection.execute(select(grants)):
                shared.setdefault((kind, id_), {})[to, name] = role
            found = {
                (kind, id_): Rights(owner, shared.get((kind, id_), {}))
                for kind, id_, owner in connection.execute(select(owners))
            }
        return number, found

    def save(self, key: Key, rights: Rights | None, *, new: bool = False) -> bool:
        """Keep the rights to one thing, or forget it. Return False where it should be new and is not."""
        from sqlalchemy import delete, insert, select

        from aidp_ext.experiments.team.tables import grants, owners

        kind, id_ = key
        with self._begin() as connection:
            _count(connection)  # first: it makes writers of a PostgreSQL wait for each other
            if new and connection.execute(select(owners.c.id).where(owners.c.kind == kind, owners.c.id == id_)).first():
                return False
            for table in (owners, grants):
                connection.execute(delete(table).where(table.c.kind == kind, table.c.id == id_))
            if rights is not None:
                connection.execute(insert(owners).values(kind=kind, id=id_, owner=rights.owner))
                rows = [
                    {"kind": kind, "id": id_, "to": to, "name": name, "role": role}
                    for (to, name), role in rights.grants.items()
                ]
                if rows:
                    connection.execute(insert(grants), rows)
        return True

    def rename(self, old: Key, new: Key) -> None:
        """Let what was known under one name be known under another; what had that name is forgotten."""
        from sqlalchemy import delete, update

        from aidp_ext.experiments.team.tables import grants, owners

        with self._begin() as connection:
            _count(connection)
            for table in (owners, grants):
                connection.execute(delete(table).where(table.c.kind == new[0], table.c.id == new[1]))
                found = (table.c.kind == old[0], table.c.id == old[1])
                connection.execute(update(table).where(*found).values(id=new[1]))

    @contextlib.contextmanager
    def _begin(self) -> Iterator[Connection]:
        """Give a connection in one transaction."""
        from sqlalchemy.exc import SQLAlchemyError

        if self._engine is None:
            self._engine = migrated_engine(self._url, MIGRATIONS, VERSION_TABLE, patience_s=_PATIENCE_S)
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            self.close()  # the next one connects anew: the database may have been restarted
            raise StorageError(
                f"The permissions of experiments cannot be used: {type(error).__name__}.",
                next_step="Try again in a moment; where it lasts, ask the hub's admin to look at the database.",
            ) from error


def _number(connection: Connection) -> int:
    from sqlalchemy import select

    from aidp_ext.experiments.team.tables import changes

    return int(connection.execute(select(changes.c.number)).scalar_one())


def _count(connection: Connection) -> None:
    from sqlalchemy import update

    from aidp_ext.experiments.team.tables import changes

    connection.execute(update(changes).values(number=changes.c.number + 1))
