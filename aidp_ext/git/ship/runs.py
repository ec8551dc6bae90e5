"""The experiments' runs that go along with a commit: named in its message, and told of it afterwards.

Whose they are is known elsewhere. Whatever fails there is a note of the commit's step, never a failure of it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aidp_ext.core.errors import AidpError
from aidp_ext.git.command import Git
from aidp_ext.git.names import shown
from aidp_ext.git.ship import look

log = logging.getLogger("aidp")

TRAILER = "MLflow-Run"
MOST = 10  # that one commit names
_ASKED_S = 10.0
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAMED = re.compile(rf"^{TRAILER}:[ \t]*([A-Za-z0-9_-]{{1,64}})[ \t]*$", re.IGNORECASE | re.MULTILINE)

#: ``(top of the repository, staged paths, the commit before or None)`` → ids of the runs that the changes made.
RunsOf = Callable[[Path, Sequence[str], str | None], Awaitable[list[str]]]
#: Tells ``(ids of runs, the commit that they are part of now)``.
Shipped = Callable[[Sequence[str], str], Awaitable[None]]


@dataclass(frozen=True)
class Runs:
    """Asks for the runs of what is staged, and tells them of their commit; without callables there are none."""

    runs_of: RunsOf | None = None
    shipped: Shipped | None = None

    async def of(self, git: Git) -> tuple[tuple[str, ...], str]:
        """Return the ids of the runs that go along with what is staged, and a note where they could not be asked."""
        if self.runs_of is None:
            return (), ""
        names = ("diff", "--cached", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--no-relative")
        staged = [shown(path) for path in (await git.read(*names)).stdout.split(b"\0") if path]
        head = await look.head(git)
        try:
            async with asyncio.timeout(_ASKED_S):
                found = await self.runs_of(git.root, staged, head.commit if head else None)
        except Exception as error:  # a commit does not wait for what only adds to it
            return (), _note("its runs are not known", error)
        return _distinct(found), ""

    async def tell(self, runs: Sequence[str], commit: str) -> str:
        """Tell runs which commit they are part of; return a note where that failed."""
        if self.shipped is None or not runs:
            return ""
        try:
            async with asyncio.timeout(_ASKED_S):
                await self.shipped(runs, commit)
        except Exception as error:  # the commit is made
            return _note("its runs do not know of it", error)
        return ""


def named_in(message: str) -> tuple[str, ...]:
    """Return the runs that a message names already."""
    return _distinct(_NAMED.findall(message))


def without_runs(message: str) -> str:
    """Return a message without the runs that it names."""
    return re.sub(r"\n{3,}", "\n\n", _NAMED.sub("", message)).strip()


def all_of(message: str, runs: Sequence[str]) -> tuple[str, ...]:
    """Return the runs that a commit with this message will name, those that it does already first."""
    return _distinct((*named_in(message), *runs))


def said(runs: Sequence[str]) -> str:
    """Return how many they are, in words; nothing for none."""
    return "" if not runs else f"{len(runs)} run{'' if len(runs) == 1 else 's'}"


def _distinct(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for one in ids if _ID.fullmatch(one)))[:MOST]


def _note(what: str, error: Exception) -> str:
    log.warning("ship: %s: %s", what, error, exc_info=not isinstance(error, AidpError | TimeoutError))
    why = (
        error.message if isinstance(error, AidpError) else "it took too long" if isinstance(error, TimeoutError) else ""
    )
    return f"{what}: {why}" if why else what
