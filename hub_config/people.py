"""Who is who: an account belongs to the person whom the provider's id names, whatever they are called today.

Names get changed, and at GitHub a name that was given up can be taken by anybody. So the first who is let in under a
name has it here for good: the account of that name, and whatever a list says of it. A name that somebody takes later
gives them nothing, or whoever may rename themselves could become anybody on a list who has not come yet.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hub_config.settings import Settings, SettingsError
from hub_config.standing import fold

FILE = "people.sqlite"
BY_ID = "id:"
"""Before a provider's id where a list names somebody by it."""

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
CREATE TABLE IF NOT EXISTS looks (
    account TEXT PRIMARY KEY, confirmed_at REAL NOT NULL, out_at REAL
);
"""


@dataclass(frozen=True)
class Person:
    """Somebody as the hub knows them: their account's name, and what lists may call them.

    That is the name that they first came with, and their id.
    """

    account: str
    names: frozenset[str]


class People:
    """The file with the accounts and names of a provider's people; safe with several processes and threads."""

    def __init__(self, path: Path, provider: str) -> None:
        """``provider`` is where ids are counted: two providers may both have somebody of id 1."""
        self.path, self.provider = path, provider

    def find(self, id: str, name: str, is_taken: Callable[[str], bool] | None = None) -> Person:
        """Return who has this id, or who they would be if they were let in now. Changes nothing.

        ``is_taken`` says of an account that nobody here has whether it is somebody's all the same.
        """
        with self._open() as records:
            return self._find(records, id, fold(name), is_taken)

    def keep(self, id: str, name: str, is_taken: Callable[[str], bool] | None = None) -> Person:
        """Return who has this id; whoever comes for the first time has the account and the name from now on."""
        name = fold(name)
        with self._open() as records:
            records.execute("BEGIN IMMEDIATE")
            person = self._find(records, id, name, is_taken)
            added = records.execute(
                "INSERT OR IGNORE INTO people VALUES (?, ?, ?)", (self.provider, id, person.account)
            )
            if added.rowcount:
                records.execute("INSERT OR IGNORE INTO names VALUES (?, ?, ?)", (self.provider, name, id))
            records.execute("COMMIT")
            return person

    def confirm(self, account: str) -> None:
        """Keep that the provider said just now that somebody may be here."""
        with self._open() as records:
            records.execute("INSERT OR REPLACE INTO looks VALUES (?, ?, NULL)", (account, time.time()))

    def confirmed_at(self, account: str) -> float:
        """Return when the provider last said that somebody may be here; now, and from now on, where that is unknown."""
        with self._open() as records:
            records.execute("INSERT OR IGNORE INTO looks VALUES (?, ?, NULL)", (account, time.time()))
            found = records.execute("SELECT confirmed_at FROM looks WHERE account = ?", (account,)).fetchone()
        return float(found[0])

    def out_at(self, account: str) -> float:
        """Return since when somebody's sign-in has ended; now, and from now on, where it had not before."""
        now = time.time()
        with self._open() as records:
            records.execute("INSERT OR IGNORE INTO looks VALUES (?, ?, NULL)", (account, now))
            records.execute("UPDATE looks SET out_at = ? WHERE account = ? AND out_at IS NULL", (now, account))
            found = records.execute("SELECT out_at FROM looks WHERE account = ?", (account,)).fetchone()
        return float(found[0])

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
        """Return the accounts of those whose names or ids these are; none for one that nobody has come with yet."""
        by_name = "SELECT account FROM people JOIN names USING (provider, id) WHERE provider = ? AND name = ?"
        by_id = "SELECT account FROM people WHERE provider = ? AND id = ?"
        found = set()
        with self._open() as records:
            for name in names:
                is_id = name.startswith(BY_ID)
                what = (self.provider, name.removeprefix(BY_ID) if is_id else name)
                found |= {account for (account,) in records.execute(by_id if is_id else by_name, what)}
        return found

    def _find(self, records: sqlite3.Connection, id: str, name: str, is_taken: Callable[[str], bool] | None) -> Person:
        mine = records.execute("SELECT name FROM names WHERE provider = ? AND id = ?", (self.provider, id))
        names = {known for (known,) in mine}
        owner = records.execute("SELECT id FROM names WHERE provider = ? AND name = ?", (self.provider, name))
        is_free = (owner.fetchone() or (id,))[0] == id
        known = records.execute("SELECT account FROM people WHERE provider = ? AND id = ?", (self.provider, id))
        found = known.fetchone()
        if is_free and not found:
            names.add(name)
        # whoever may choose a name may choose one that reads as somebody's id
        listed = frozenset({one for one in names if not one.startswith(BY_ID)} | {BY_ID + id})
        if found:
            return Person(found[0], listed)
        taken = "SELECT 1 FROM people WHERE account = ?"
        for account in _candidates(name, id, may_be_plain=is_free):
            if records.execute(taken, (account,)).fetchone() is None and not (is_taken and is_taken(account)):
                return Person(account, listed)
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
    plain = re.sub(r"[^a-z0-9_.-]+", "-", fold(name).partition("@")[0]).lstrip("_.-")
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
