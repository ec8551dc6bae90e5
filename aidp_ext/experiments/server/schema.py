"""Which version of MLflow a database is of, read without MLflow; and how an older one is brought up to date."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import re
import sqlite3
from functools import cache
from pathlib import Path
from typing import Literal

_REVISION = re.compile(r"^(revision|down_revision) = (.+?)\s*$", re.MULTILINE)
_NAME = re.compile(r"[\"'](\w+)[\"']")


@cache
def installed() -> str | None:
    """Return the version of MLflow that is installed here with its server, or None."""
    try:
        version = importlib.metadata.version("mlflow")
    except importlib.metadata.PackageNotFoundError:  # mlflow-skinny alone has no server
        return None
    return version if importlib.util.find_spec("mlflow") is not None else None


@cache
def _revisions() -> tuple[frozenset[str], frozenset[str]]:
    """Return all that the installed MLflow knows, and the latest of them."""
    spec = importlib.util.find_spec("mlflow")
    if spec is None or not spec.submodule_search_locations:
        return frozenset(), frozenset()
    known: set[str] = set()
    older: set[str] = set()
    for path in Path(spec.submodule_search_locations[0], "store", "db_migrations", "versions").glob("*.py"):
        for kind, names in _REVISION.findall(path.read_text(encoding="utf-8")):
            (known if kind == "revision" else older).update(_NAME.findall(names))
    return frozenset(known), frozenset(known - older)


def age(database: Path) -> Literal["new", "same", "older", "newer", "unknown"]:
    """Return how a database compares with the installed MLflow; "new": there is none, or an empty one.

    Raises sqlite3.Error where it cannot be read.
    """
    if not database.exists() or not database.stat().st_size:
        return "new"
    with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "alembic_version" not in tables:
            return "unknown" if tables else "new"
        versions = {version for (version,) in connection.execute("SELECT version_num FROM alembic_version")}
    known, latest = _revisions()
    if not known or versions <= latest:
        return "same"
    return "older" if versions <= known else "newer"


def keep_copy(database: Path) -> Path:
    """Write a copy beside a database, as it is at this moment, and return its path. Raises sqlite3.Error, OSError."""
    with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=5)) as source:
        (version,) = source.execute("SELECT version_num FROM alembic_version").fetchone()
        copy = database.with_name(f"{database.name}.before-upgrade-{version}")
        copy.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(copy)) as target:
            copy.chmod(0o600)
            source.backup(target)
    return copy
