"""Check: what the repository's own pre-commit hook will say."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from aidp_ext.core import proc
from aidp_ext.core.errors import ProcessError, ProcessTimeout
from aidp_ext.git.command import environment
from aidp_ext.git.models import CheckResult, Fix
from aidp_ext.git.names import shown
from aidp_ext.git.preflight.choices import Choices
from aidp_ext.git.preflight.findings import Draft, finding
from aidp_ext.git.preflight.notebook import without_colours

if TYPE_CHECKING:
    from aidp_ext.git.command import Git

CONFIG = ".pre-commit-config.yaml"
_STAGE = Fix("stage", "Stage what the hook changed")
_TIMEOUT_S = 120.0
_MOST_OUTPUT = 20_000  # characters
_MOST_FILES = 20


async def run_hooks(git: Git) -> CheckResult:
    """Run the hooks of the pre-commit framework as the commit will, and return what they say. Raises GitError.

    They are run only where somebody installed the hook: a clone's configuration alone is a stranger's program. They
    are not run beside changes that are not staged, which the framework would take away for the time and bring back:
    where it is stopped in between, they were lost.
    """
    hook = await _installed(git)
    has_config = (git.root / CONFIG).is_file()
    if hook is None:
        note = (
            f"{CONFIG} is there but not installed: `pre-commit install` makes commits run it." if has_config else None
        )
        return CheckResult("hooks", note=note)
    at_commit = "This repository runs its pre-commit hook at the commit."
    if not has_config or b"pre-commit" not in hook:
        return CheckResult("hooks", note=at_commit)
    if shutil.which("pre-commit") is None:
        return CheckResult("hooks", note=at_commit, skipped="The program pre-commit is not found by this server.")
    if await _unstaged(git):
        return CheckResult("hooks", note=at_commit, skipped="There are changes that are not staged.")
    return await _run(git, at_commit)


async def _run(git: Git, at_commit: str) -> CheckResult:
    env = environment({"PRE_COMMIT_COLOR": "never"})
    argv = ("pre-commit", "run", "--hook-stage", "pre-commit")
    try:
        done = await proc.run(argv, cwd=git.root, env=env, timeout_s=_TIMEOUT_S, check=False)
    except ProcessTimeout:
        return CheckResult("hooks", note=at_commit, skipped=f"The hooks took longer than {_TIMEOUT_S:g} s.")
    except ProcessError as error:
        return CheckResult("hooks", note=at_commit, skipped=error.message)
    if done.returncode == 0:
        return CheckResult("hooks", note="The pre-commit hooks pass.")
    output = readable(done.stdout + done.stderr)
    drafts = [_changed(path, output) for path in (await _unstaged(git))[:_MOST_FILES]] or [_failed(output)]
    found = (finding(draft, Choices("")) for draft in drafts)
    return CheckResult("hooks", tuple(one for one in found if one is not None))


def readable(output: str) -> str:
    """Return what a hook printed without colours and control characters; of a long one, its end."""
    plain = "".join(c for c in without_colours(output.replace("\r\n", "\n")) if c.isprintable() or c in "\n\t")
    return plain if len(plain) <= _MOST_OUTPUT else f"…\n{plain[-_MOST_OUTPUT:]}"


def _changed(path: str, output: str) -> Draft:
    return Draft(
        check="hooks",
        severity="block",
        path=path,
        message="The hook changed this file: look at it and stage it again.",
        key="changed",
        fixes=(_STAGE,),
        can_waive=False,
        output=output,
    )


def _failed(output: str) -> Draft:
    return Draft(
        check="hooks",
        severity="block",
        path=CONFIG,
        message="A pre-commit hook fails, so the commit would be refused.",
        key="failed",
        can_waive=False,
        output=output,
    )


async def _installed(git: Git) -> bytes | None:
    """Return the beginning of the hook's program; None where there is none, or git would not run it."""
    out = await git.read("rev-parse", "--git-path", "hooks/pre-commit")
    place = git.root / os.fsdecode(out.stdout.rstrip(b"\n"))
    try:
        with place.open("rb") as file:
            return file.read(10_000) if os.access(place, os.X_OK) else None
    except OSError:
        return None


async def _unstaged(git: Git) -> list[str]:
    out = await git.read("diff", "--name-only", "-z", "--no-ext-diff")
    return [shown(name) for name in dict.fromkeys(out.stdout.split(b"\0")) if name]
