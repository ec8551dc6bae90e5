"""What the endpoints take and give beside the values of models.py."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from aidp_ext.git.models import Account, CheckResult, Checks, PullRequest, RepositoryState
from aidp_ext.git.ship.job import Open, ShipJob

Path = Annotated[str, Meta(max_length=4096, description="Of any file or folder of the repository, in the workspace.")]
Files = Annotated[list[Annotated[str, Meta(min_length=1, max_length=4096)]], Meta(min_length=1, max_length=10_000)]
How = Literal["rebase", "merge"]


class PathAsked(Struct):
    """A repository, by any path in it."""

    path: Path = ""


class StateQuery(Struct):
    """Which repository, and the fingerprint of what is known of it already."""

    path: Path = ""
    known: str = ""


class Unchanged(Struct):
    """It is as it was."""

    fingerprint: str
    unchanged: bool = True


class Nowhere(Struct):
    """There is no repository: what a panel asks of each folder is no error."""

    message: str
    next_step: str | None
    nowhere: bool = True


class StageAsked(Struct):
    """Which files are to be staged, or not to be."""

    files: Files
    staged: bool
    path: Path = ""


class FixAsked(Struct):
    """What to do about a finding of the last checks."""

    finding: Annotated[str, Meta(max_length=200)]
    fix: Annotated[str, Meta(max_length=50)]
    path: Path = ""


class WaiveAsked(Struct):
    """Why a finding may stay."""

    finding: Annotated[str, Meta(max_length=200)]
    reason: Annotated[str, Meta(min_length=1, max_length=1000)]
    path: Path = ""


class MessageAsked(Struct):
    """What is to be written about."""

    what: Literal["commit", "pull-request"] = "commit"
    path: Path = ""
    base: Annotated[str, Meta(max_length=250)] | None = None


class OpenAsked(Struct):
    """The pull request to be opened."""

    title: Annotated[str, Meta(max_length=1000)] = ""
    body: Annotated[str, Meta(max_length=60_000)] = ""
    draft: bool = False
    reviewers: Annotated[list[str], Meta(max_length=50)] = []
    labels: Annotated[list[str], Meta(max_length=50)] = []
    base: Annotated[str, Meta(max_length=250)] | None = None

    def value(self) -> Open:
        """Return it as a value of the slice."""
        return Open(self.title, self.body, self.draft, tuple(self.reviewers), tuple(self.labels), self.base)


class ShipQuestion(Struct):
    """What to ship, and how."""

    path: Path = ""
    message: Annotated[str, Meta(max_length=60_000)] = ""
    tree: Annotated[str, Meta(max_length=64)] | None = None
    branch: Annotated[str, Meta(max_length=250)] | None = None
    open: OpenAsked | None = None
    how: How | None = None
    acknowledge: Annotated[list[str], Meta(max_length=1000)] = []
    with_runs: Annotated[bool, Meta(description="Name the runs of experiments that the changes made.")] = True


class PullAsked(Struct):
    """How to take in what others pushed."""

    path: Path = ""
    how: Literal["rebase", "merge", "ff-only"] | None = None


class BranchAsked(Struct):
    """The branch to be checked out, made where there is none."""

    name: Annotated[str, Meta(min_length=1, max_length=250)]
    path: Path = ""


class CloneAsked(Struct):
    """What to clone, and where to."""

    url: Annotated[str, Meta(min_length=1, max_length=2048)]
    folder: Path = ""
    name: Annotated[str, Meta(max_length=255)] | None = None
    mode: Literal["auto", "full", "shallow", "partial"] = "auto"


class AccountAsked(Struct):
    """A token for a forge that is known, by its ``host``; or for another server, by its https address and its kind."""

    token: Annotated[str, Meta(min_length=1, max_length=4096)]
    host: Annotated[str, Meta(max_length=255)] = ""
    kind: Literal["github", "gitlab"] | None = None
    url: Annotated[str, Meta(max_length=300)] | None = None


class HostAsked(Struct):
    """A forge."""

    host: Annotated[str, Meta(min_length=1, max_length=255)]


class RepositoriesQuery(Struct):
    """Which repositories of the user's."""

    host: Annotated[str, Meta(max_length=255)] = "github.com"
    q: Annotated[str, Meta(max_length=250)] = ""
    page: Annotated[int, Meta(ge=1, le=1000)] = 1


# ---- answers


class AccountsSaid(Struct):
    """Who the user is on each forge."""

    accounts: tuple[Account, ...]


class DeviceCodeSaid(Struct):
    """A code to enter on the forge's page."""

    id: str
    user_code: str
    verification_uri: str
    interval_s: float
    expires_in_s: float


class DeviceSaid(Struct):
    """What became of a code."""

    state: Literal["waiting", "done", "denied", "expired"]
    account: Account | None = None


class UndoneSaid(Struct):
    """How it stands without the commit, and what that said."""

    state: RepositoryState
    message: str


class JobSaid(Struct):
    """The last job of a repository."""

    job: ShipJob | None


class RunsSaid(Struct):
    """The runs of experiments that go along with what is staged; ``note`` says why they are not known."""

    runs: tuple[str, ...]
    note: str = ""


class RequestSaid(Struct):
    """The pull request of the branch, and the checks of its last commit."""

    pull_request: PullRequest | None
    checks: Checks | None


class SuggestionsSaid(Struct):
    """What a pull request could say."""

    title: str
    base: str
    bases: tuple[str, ...]
    reviewers: tuple[str, ...]
    labels: tuple[str, ...]
    template: str | None


class ProgressEvent(Struct, tag_field="kind", tag="progress"):
    """How far a clone is."""

    phase: str
    percent: int | None
    text: str


class ClonedEvent(Struct, tag_field="kind", tag="done"):
    """It is there; ``open`` is what one would look at first."""

    path: str
    open: str | None
    notes: tuple[str, ...] = ()


CloneEvent = ProgressEvent | ClonedEvent


class CheckEvent(Struct, tag_field="kind", tag="check"):
    """What one check found."""

    check: CheckResult


class CheckedEvent(Struct, tag_field="kind", tag="done"):
    """All checks are over; ``tree`` is what they looked at."""

    tree: str
    blocking: int


PreflightEvent = CheckEvent | CheckedEvent


class TextEvent(Struct, tag_field="kind", tag="text"):
    """A piece of the text."""

    text: str


class WrittenEvent(Struct, tag_field="kind", tag="done"):
    """It is whole; ``text`` is all of it, tidied."""

    text: str
    route: str
    locality: str


MessageEvent = TextEvent | WrittenEvent


class JobEvent(Struct, tag_field="kind", tag="job"):
    """The job as it stands now."""

    job: ShipJob
