"""What is decided for a repository, in its ``.aidp/git.json``: what becomes of outputs, and what was waived.

The file is meant to be committed, so that a decision holds for everybody who works there. It names what was waived by
salted hashes only, never by its text.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from aidp_ext.core.errors import Conflict, InvalidRequest, StorageError
from aidp_ext.git.models import Finding

if TYPE_CHECKING:
    from aidp_ext.git.command import Git

FILE = ".aidp/git.json"
OutputsPolicy = Literal["ask", "strip", "keep"]
_MOST_BYTES = 4_000_000
_WRITING = threading.Lock()


class Waiver(msgspec.Struct, frozen=True):
    """That a finding is accepted, by whom and why."""

    fingerprint: str
    check: str
    path: str
    reason: str
    by: str
    at: str


class _Kept(msgspec.Struct):
    version: int = 1
    salt: str = ""
    outputs: OutputsPolicy | None = None
    waivers: list[Waiver] = msgspec.field(default_factory=list)


@dataclass(frozen=True)
class Choices:
    """What is decided for a repository."""

    salt: str
    outputs: OutputsPolicy | None = None  # None: nothing is decided
    waivers: tuple[Waiver, ...] = ()
    problem: str | None = None  # why the file could not be read
    waived: frozenset[str] = field(default=frozenset(), repr=False)


async def load(git: Git) -> Choices:
    """Return what is decided; one that cannot be read decides nothing and is told in ``problem``."""
    return await asyncio.to_thread(_load, git.root, _own_folder(git))


async def waive(git: Git, finding: Finding, reason: str, who: str) -> None:
    """Record that a finding is accepted.

    Raises InvalidRequest where there is no reason or the finding cannot be waived, Conflict where the file cannot be
    read, and StorageError where it cannot be written.
    """
    reason = " ".join(reason.split())[:500]
    if not finding.can_waive:
        raise InvalidRequest("This finding cannot be waived: it has to be put right.")
    if not reason:
        raise InvalidRequest("Say why this is accepted: those who come later will want to know.", field="reason")
    new = Waiver(
        fingerprint=finding.id,
        check=finding.check,
        path=finding.path.encode("utf-8", "replace").decode(),
        reason=reason,
        by=who[:200],
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )

    def with_it(choices: Choices) -> Choices:
        others = (one for one in choices.waivers if one.fingerprint != finding.id)
        return replace(choices, waivers=(*others, new))

    await asyncio.to_thread(_change, git.root, _own_folder(git), with_it)


async def decide_outputs(git: Git, policy: OutputsPolicy) -> None:
    """Record what becomes of notebooks' outputs here. Raises Conflict and StorageError."""
    await asyncio.to_thread(_change, git.root, _own_folder(git), lambda choices: replace(choices, outputs=policy))


def _own_folder(git: Git) -> Path:
    return git.layout.common_dir / "aidp"


def _load(root: Path, own: Path) -> Choices:
    place = root / FILE
    try:
        if place.parent.is_symlink() or place.is_symlink():
            raise ValueError("it is a link")
        with place.open("rb") as file:
            kept = msgspec.json.decode(file.read(_MOST_BYTES), type=_Kept)
    except FileNotFoundError:
        return Choices(_own_salt(own))
    except (OSError, ValueError, msgspec.DecodeError, RecursionError) as error:
        return Choices(_own_salt(own), problem=f"{FILE} cannot be read ({_plain(error)}): nothing in it is followed.")
    waived = frozenset(one.fingerprint for one in kept.waivers)
    return Choices(kept.salt or _own_salt(own), kept.outputs, tuple(kept.waivers), waived=waived)


def _plain(error: Exception) -> str:
    return (error.strerror or "it cannot be opened") if isinstance(error, OSError) else str(error)[:200]


def _own_salt(own: Path) -> str:
    """Return the salt until one is written into the file: kept in git's own folder, so that ids outlive the server."""
    place = own / "salt"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if salt := place.read_text()[:64].strip():
            return salt
    salt = secrets.token_hex(16)
    try:
        own.mkdir(exist_ok=True)
        with place.open("x") as file:
            file.write(salt)
    except FileExistsError:  # another came first
        with contextlib.suppress(OSError):
            return place.read_text().strip() or salt
    except OSError:  # nothing can be written there: the ids hold for this once
        pass
    return salt


def _change(root: Path, own: Path, change: Callable[[Choices], Choices]) -> None:
    with _WRITING:
        choices = _load(root, own)
        if choices.problem:
            raise Conflict(choices.problem, next_step=f"Put {FILE} right, or delete it, then try again.")
        _save(root / FILE, change(choices))


def _save(place: Path, choices: Choices) -> None:
    said = {
        "version": 1,
        "salt": choices.salt,
        **({"outputs": choices.outputs} if choices.outputs else {}),
        "waivers": [msgspec.to_builtins(one) for one in choices.waivers],
    }
    written = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        place.parent.mkdir(exist_ok=True)
        try:
            written.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            written.replace(place)
        finally:
            written.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{FILE} cannot be written: {error.strerror}.") from error
