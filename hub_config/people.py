"""Who is who: an account belongs to the person whom the provider's id names, whatever they are called today.

Names get changed, and at GitHub a name that was given up can be taken by anybody. So the first who is let in under a
name has it here for good: the account of that name, and whatever a list says of it.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hub_config.settings import Settings, SettingsError

FILE = "people.sqlite"

_LONGEST = 40
"""Characters of an account's name before what tells two of the same name apart."""

_TABLES = """
CREATE TABLE IF NOT EXISTS people (
    provider TEXT NOT NULL, id TEXT NOT NULL, account TEXT NOT NULL UNIQUE,
    PRIMARY KEY (provider, id)
);
CREATE TABLE IF NOT EXISTS names (
    provider TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (provider, name)
);
"""


@dataclass(frozen=True)
class Person:
    """Somebody as the hub knows them: their account's name, and the names at the provider that are theirs."""

    account: str
    names: frozenset[str]


class People:
    """The file with the accounts and names of a provider's people; safe with several processes and threads."""

    def __init__(self, path: Path, provider: str) -> None:
        """``provider`` is where ids are counted: two providers may both have somebody of id 1."""
        self.path, self.provider = path, provider

    def find(self, id: str, name: str) -> Person:
        """Return who has this id, or who they would be if they were let in now. Changes nothing."""
        with self._open() as records:
            return self._find(records, id, name.lower())

    def keep(self, id: str, name: str) -> Person:
        """Return who has this id, and give them the account and the name where they are still free."""
        name = name.lower()
        with self._open() as records:
            records.execute("BEGIN IMMEDIATE")
            person = self._find(records, id, name)
            records.execute("INSERT OR IGNORE INTO people VALUES (?, ?, ?)", (self.provider, id, person.account))
            records.execute("INSERT OR IGNORE INTO names VALUES (?, ?, ?)", (self.provider, name, id))
            records.execute("COMMIT")
            return person

    def adopt(self, id: str, account: str) -> bool:
        """Give an account that is older than this file to its owner; False where one of them has another already."""
        with self._open() as records:
            records.execute("BEGIN IMMEDIATE")
            known = records.execute(
                "SELECT provider, id, account FROM people WHERE account = ? OR (provider = ? AND id = ?)",
                (account, self.provider, id),
            ).fetchall()
            if not known:
                records.execute("INSERT INTO people VALUES (?, ?, ?)", (self.provider, id, account))
                records.execute("INSERT OR IGNORE INTO names VALUES (?, ?, ?)", (self.provider, account, id))
            records.execute("COMMIT")
        return not known or known == [(self.provider, id, account)]

    def has_account(self, account: str) -> bool:
        """Return whether an account is somebody's."""
        with self._open() as records:
            return records.execute("SELECT 1 FROM people WHERE account = ?", (account,)).fetchone() is not None

    def accounts(self, names: Iterable[str]) -> set[str]:
        """Return the accounts of those whose names these are; nobody's for a name that nobody has used yet."""
        found = set()
        with self._open() as records:
            for name in names:
                found |= {
                    account
                    for (account,) in records.execute(
                        "SELECT account FROM people JOIN names USING (provider, id) WHERE provider = ? AND name = ?",
                        (self.provider, name),
                    )
                }
        return found

    def _find(self, records: sqlite3.Connection, id: str, name: str) -> Person:
        mine = records.execute("SELECT name FROM names WHERE provider = ? AND id = ?", (self.provider, id))
        names = {known for (known,) in mine}
        owner = records.execute("SELECT id FROM names WHERE provider = ? AND name = ?", (self.provider, name))
        is_free = (owner.fetchone() or (id,))[0] == id
        if is_free:
            names.add(name)
        known = records.execute("SELECT account FROM people WHERE provider = ? AND id = ?", (self.provider, id))
        if found := known.fetchone():
            return Person(found[0], frozenset(names))
        taken = "SELECT 1 FROM people WHERE account = ?"
        for account in _candidates(name, id, may_be_plain=is_free):
            if records.execute(taken, (account,)).fetchone() is None:
                return Person(account, frozenset(names))
        raise AssertionError("there is always a next candidate")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection with both tables; raises SettingsError where the file cannot be used."""
        try:
            if not self.path.exists():  # made here, so that nobody else may ever read it
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            with closing(sqlite3.connect(self.path, timeout=10, isolation_level=None)) as records:
                records.executescript(_TABLES)
                yield records
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(f"{self.path} says whose each account is, and cannot be used: {error}") from error


def people_of(settings: Settings) -> People:
    """Return the people of the provider that the hub signs in with."""
    if settings.github:
        host = urlsplit(settings.github.url or "https://github.com").netloc.rpartition("@")[2].lower()
        return People(settings.state_dir / FILE, f"github {host}")
    assert settings.oidc is not None
    return People(settings.state_dir / FILE, f"oidc {settings.oidc.issuer}")


def admins_of(settings: Settings) -> tuple[list[str], list[str]]:
    """Return the accounts and the groups that administer the hub.

    Of a provider's people those whose names are known already: the account of a name that nobody has used yet is
    nobody's. Whoever first comes under one gets the role then.
    """
    if settings.is_local:
        return sorted(settings.admin_users), []
    groups = {team.lower() for team in settings.github.admin_teams} if settings.github else set()
    groups |= settings.oidc.admin_groups if settings.oidc else set()
    return sorted(people_of(settings).accounts(settings.admin_users)), sorted(groups)


def account_of(name: str) -> str:
    """Return how a provider's name for somebody reads as the name of an account."""
    plain = re.sub(r"[^a-z0-9_.-]+", "-", name.lower().partition("@")[0]).lstrip("_.-")
    return plain[:_LONGEST] or "user"


def _candidates(name: str, id: str, *, may_be_plain: bool) -> Iterator[str]:
    plain = account_of(name)
    if may_be_plain:
        yield plain
    tail = id if re.fullmatch(r"[0-9]{1,20}", id) else hashlib.sha256(id.encode()).hexdigest()[:8]
    yield f"{plain}-{tail}"
    number = 2
    while True:
        yield f"{plain}-{tail}-{number}"
        number += 1
