"""The checks in one pass over what is staged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aidp_ext.git.models import CheckName, CheckResult, Finding, PreflightOptions
from aidp_ext.git.preflight import conflicts, large, notebooks, outputs, paths, personal, secrets
from aidp_ext.git.preflight.blobs import Staged, contents, sizes, staged_entries
from aidp_ext.git.preflight.choices import Choices, OutputsPolicy, load
from aidp_ext.git.preflight.document import document
from aidp_ext.git.preflight.findings import Draft, counted, finding
from aidp_ext.git.preflight.hooks import run_hooks
from aidp_ext.git.preflight.search import FindSecrets

if TYPE_CHECKING:
    from aidp_ext.git.command import Git

_ORDER: tuple[CheckName, ...] = ("conflicts", "notebooks", "secrets", "personal", "outputs", "large", "paths")
_MOST_BYTES = 48_000_000  # of a file that is read
_OFF = "It is switched off in the settings."


@dataclass
class _Found:
    """What the pass has found so far."""

    drafts: list[Draft] = field(default_factory=list)
    binary: int = 0
    too_large: int = 0
    in_part: int = 0


async def preflight(git: Git, options: PreflightOptions, find: FindSecrets) -> AsyncGenerator[CheckResult, None]:
    """Yield what each check finds in the index, in the order conflicts … hooks. Raises GitError.

    What the repository decided (``.aidp/git.json``) goes before ``options``. Contents are read in groups and looked
    at in threads; ``find`` is called there.
    """
    choices = await load(git)
    found = await _look(git, await staged_entries(git), options, choices, find)
    for name in _ORDER:
        if name == "personal" and not options.personal:
            yield CheckResult(name, skipped=_OFF)
        else:
            yield _result(name, found, choices)
    yield await run_hooks(git) if options.hooks else CheckResult("hooks", skipped=_OFF)


async def _look(
    git: Git, entries: Sequence[Staged], options: PreflightOptions, choices: Choices, find: FindSecrets
) -> _Found:
    found = _Found([conflicts.unmerged(entry) for entry in entries if entry.status == "U"])
    files = [entry for entry in entries if entry.is_file]
    size_of = await sizes(git, (entry.blob for entry in files))
    await _look_at_sizes(git, files, size_of, options, found)
    small = {blob: size for blob, size in size_of.items() if size <= _MOST_BYTES}
    by_blob: dict[str, list[Staged]] = {}
    for entry in files:
        by_blob.setdefault(entry.blob, []).append(entry)
    policy = choices.outputs or options.outputs
    async for group in contents(git, small):
        pairs = [(entry, data) for blob, data in group.items() for entry in by_blob[blob]]
        await asyncio.to_thread(_inspect, pairs, options, policy, find, found)
    found.drafts = _without_doubles(await _known_before(git, files, found.drafts), options.large_bytes, choices)
    return found


def _without_doubles(drafts: list[Draft], most_bytes: int, choices: Choices) -> list[Draft]:
    """Return the findings without those of notebooks that are large by their outputs only, of which another tells."""
    most_bytes = min(most_bytes, large.FORGES_REFUSE)
    outputs = {draft.path: draft.size or 0 for draft in drafts if draft.check == "outputs" and finding(draft, choices)}
    return [
        draft
        for draft in drafts
        if draft.check != "large" or (draft.size or 0) - outputs.get(draft.path, 0) > most_bytes
    ]


async def _look_at_sizes(
    git: Git, files: Sequence[Staged], size_of: dict[str, int], options: PreflightOptions, found: _Found
) -> None:
    lfs: bool | None = None
    for entry in files:
        size = size_of.get(entry.blob, 0)
        found.too_large += size > _MOST_BYTES
        if size > min(options.large_bytes, large.FORGES_REFUSE):
            lfs = await large.has_lfs(git) if lfs is None else lfs
            found.drafts += large.look(entry, size, options.large_bytes, lfs=lfs)


def _inspect(
    pairs: Sequence[tuple[Staged, memoryview]],
    options: PreflightOptions,
    policy: OutputsPolicy,
    find: FindSecrets,
    found: _Found,
) -> None:
    """Look at a group of contents. Runs in a thread, one group at a time."""
    for entry, data in pairs:
        seen = document(entry, data)
        found.binary += seen.is_binary
        read = secrets.look(seen, find)
        found.in_part += not read.is_whole
        found.drafts += (
            *conflicts.look(seen),
            *notebooks.look(seen),
            *read.drafts,
            *(personal.look(seen, find) if options.personal else ()),
            *outputs.look(seen, policy, options.outputs_bytes),
            *paths.look(seen),
        )


async def _known_before(git: Git, files: Sequence[Staged], drafts: list[Draft]) -> list[Draft]:
    """Return the findings with those of secrets that the last commit holds already made milder."""
    suspects = {draft.path for draft in drafts if draft.check == "secrets"}
    before = {entry.path: entry.before for entry in files if entry.path in suspects and entry.before}
    size_of = await sizes(git, before.values())
    async for group in contents(git, {blob: size for blob, size in size_of.items() if size <= _MOST_BYTES}):
        drafts = [
            secrets.known_before(draft, group[blob])
            if draft.check == "secrets" and (blob := before.get(draft.path) or "") in group
            else draft
            for draft in drafts
        ]
    return drafts


def _result(name: CheckName, found: _Found, choices: Choices) -> CheckResult:
    drafts = [draft for draft in found.drafts if draft.check == name]
    findings = [one for draft in drafts if (one := finding(draft, choices)) is not None]
    return CheckResult(name, tuple(_by_weight(findings)), len(drafts) - len(findings), note=_note(name, found, choices))


def _by_weight(findings: list[Finding]) -> list[Finding]:
    weight = {"block": 0, "warn": 1, "note": 2}
    return sorted(findings, key=lambda one: weight[one.severity])


def _note(name: CheckName, found: _Found, choices: Choices) -> str | None:
    if name == "conflicts":
        return choices.problem
    if name != "secrets":
        return None
    said = [
        f"{counted(found.binary, 'file')} of no text" if found.binary else "",
        f"{counted(found.too_large, 'file')} of more than {_MOST_BYTES // 1_000_000} MB" if found.too_large else "",
        f"parts of {counted(found.in_part, 'long file')}" if found.in_part else "",
    ]
    return f"Not read: {', '.join(filter(None, said))}." if any(said) else None
