"""The values of the slice. They go over the wire under the same names; paths are relative to the repository's top."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

# ---- a repository


@dataclass(frozen=True)
class Change:
    """A file that differs from the last commit."""

    path: str
    kind: Literal["added", "modified", "deleted", "renamed", "copied", "type", "untracked", "conflict"]
    staged: Literal["no", "yes", "partly"]
    old_path: str | None = None  # of a rename or copy
    added: int | None = None  # lines; None for binary files, and where it was not counted
    removed: int | None = None
    size: int | None = None  # bytes of the working file
    submodule: bool = False
    summary: str | None = None  # "3 cells changed, 1 added, outputs 4.2 MB"


@dataclass(frozen=True)
class Remote:
    """A remote by its name; the address holds no credentials."""

    name: str
    url: str
    host: str | None = None
    full_name: str | None = None  # owner/name on its forge


@dataclass(frozen=True)
class Commit:
    """A commit, in short."""

    id: str
    subject: str
    author: str
    at: str  # ISO 8601


@dataclass(frozen=True)
class RepositoryState:
    """A repository at a glance."""

    path: str  # of its top, relative to the workspace; "" is the workspace itself
    name: str
    branch: str | None  # None: detached
    head: str | None  # None: no commit yet
    upstream: str | None
    ahead: int
    behind: int
    operation: Literal["merge", "rebase", "cherry-pick", "revert", "bisect"] | None
    changes: tuple[Change, ...]
    more: int  # changes that are not listed, beyond the limit
    remotes: tuple[Remote, ...]
    last: Commit | None
    can_undo: bool  # the last commit is on no remote
    lock_age_s: float | None  # of an index.lock left behind
    fingerprint: str


@dataclass(frozen=True)
class Progress:
    """How far a long piece of work is."""

    phase: str
    percent: int | None
    text: str


@dataclass(frozen=True)
class Author:
    """Whom commits name."""

    name: str
    email: str


# ---- preflight

Severity = Literal["block", "warn", "note"]


@dataclass(frozen=True)
class Fix:
    """What can be done about a finding: ``name`` for programs, ``label`` on the button."""

    name: str
    label: str


@dataclass(frozen=True)
class Finding:
    """A thing to look at before a commit. It tells of a secret where it is and of which kind, never what it says."""

    id: str
    check: str
    severity: Severity
    path: str
    message: str
    line: int | None = None  # from 1
    cell: int | None = None  # from 1, of a notebook
    cell_id: str | None = None
    size: int | None = None
    fixes: tuple[Fix, ...] = ()
    can_waive: bool = True
    output: str | None = None  # of a hook


CheckName = Literal["conflicts", "notebooks", "secrets", "personal", "outputs", "large", "paths", "hooks"]


@dataclass(frozen=True)
class CheckResult:
    """What one check found. ``skipped`` says why it was not run."""

    name: CheckName
    findings: tuple[Finding, ...] = ()
    waived: int = 0
    skipped: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class PreflightOptions:
    """What is looked for."""

    personal: bool = False
    outputs: Literal["ask", "strip", "keep"] = "ask"
    large_bytes: int = 5_000_000
    outputs_bytes: int = 100_000
    hooks: bool = True


# ---- forges


@dataclass(frozen=True)
class Token:
    """An access token with the name to send beside it."""

    value: str = field(repr=False)
    username: str = "x-access-token"
    expires_at: float | None = None  # seconds since 1970


@dataclass(frozen=True)
class Account:
    """Who the user is on a forge."""

    host: str
    kind: Literal["github", "gitlab"]
    url: str
    login: str | None = None
    name: str | None = None
    email: str | None = None
    source: Literal["hub", "keyring", "none"] = "none"
    can_use_device: bool = False
    problem: str | None = None


@dataclass(frozen=True)
class ForgeUser:
    """The user as a forge knows them."""

    login: str
    id: int
    name: str | None = None
    email: str | None = None  # one to commit with: public, or the forge's no-reply one


@dataclass(frozen=True)
class RemoteRepository:
    """A repository on a forge."""

    full_name: str
    owner: str
    name: str
    description: str | None
    private: bool
    fork: bool
    archived: bool
    clone_url: str
    web_url: str
    default_branch: str | None
    updated_at: str | None
    size_kb: int | None


@dataclass(frozen=True)
class RepositoryPage:
    """Some repositories, the ones used last first."""

    repositories: tuple[RemoteRepository, ...]
    next_page: int | None = None


@dataclass(frozen=True)
class NewPullRequest:
    """A pull or merge request to be."""

    title: str
    body: str
    head: str
    base: str
    draft: bool = False
    reviewers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class PullRequest:
    """A pull or merge request."""

    number: int
    title: str
    url: str
    state: Literal["open", "closed", "merged"]
    draft: bool
    head: str
    base: str
    notes: tuple[str, ...] = ()  # what of it could not be set, in words


@dataclass(frozen=True)
class Check:
    """One check of a commit on its forge."""

    name: str
    state: Literal["pending", "success", "failure", "neutral"]
    url: str | None = None
    summary: str | None = None
    log_tail: str | None = None


@dataclass(frozen=True)
class Checks:
    """All checks of a commit, and what they come to."""

    state: Literal["pending", "success", "failure", "none"]
    checks: tuple[Check, ...] = ()
