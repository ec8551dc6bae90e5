"""Check: files that are large, and those so large that no forge takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aidp_ext.core.errors import ProcessError
from aidp_ext.git.models import Fix
from aidp_ext.git.preflight.blobs import Staged
from aidp_ext.git.preflight.findings import UNSTAGE, Draft, size

if TYPE_CHECKING:
    from aidp_ext.git.command import Git

FORGES_REFUSE = 100_000_000  # GitHub's limit is 100 MiB, GitLab.com's and others' are set near it
_LFS = Fix("lfs", "Keep it in Git LFS")
_IGNORE = Fix("ignore", "Ignore it: keep it out of Git")


async def has_lfs(git: Git) -> bool:
    """Return whether Git LFS is installed."""
    try:
        return (await git.read("lfs", "version", check=False)).returncode == 0
    except ProcessError:
        return False


def look(entry: Staged, found: int, most_bytes: int, *, lfs: bool) -> tuple[Draft, ...]:
    """Return a finding for a file of ``found`` bytes that is too large."""
    if found <= most_bytes and found <= FORGES_REFUSE:
        return ()
    is_refused = found > FORGES_REFUSE
    message = (
        f"This file is {size(found)}: forges refuse files of more than 100 MB."
        if is_refused
        else f"This file is {size(found)}. Git keeps every version of it for ever."
    )
    return (
        Draft(
            check="large",
            severity="block" if is_refused else "warn",
            path=entry.path,
            message=message,
            key="large",
            size=found,
            fixes=(*((_LFS,) if lfs else ()), _IGNORE, UNSTAGE),
            can_waive=not is_refused,
        ),
    )
