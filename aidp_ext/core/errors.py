"""The error tree: every failure that a user may see, with a stable code.

::

    AidpError                     internal
    ├── InvalidRequest            invalid_request
    │   ├── InvalidJson           invalid_json
    │   └── ContextTooLong        context_length_exceeded
    ├── Unauthenticated           unauthenticated
    ├── BudgetExhausted           budget_exhausted
    ├── RateLimited               rate_limited
    ├── Forbidden                 forbidden
    │   └── PolicyRefused         policy_refused
    ├── NotFound                  not_found
    │   ├── ModelNotFound         model_not_found
    │   ├── NotARepository        not_a_repository
    │   └── RemoteNotFound        remote_not_found
    ├── Conflict                  conflict
    │   ├── PortInUse             port_in_use
    │   ├── Superseded            superseded
    │   ├── RepositoryBusy        repository_busy           another git holds its lock, or left it behind
    │   ├── RemoteMoved           remote_moved              it has commits that are not here
    │   ├── PushRejected          push_rejected             by a hook or a protected branch
    │   ├── GitAuthenticationFailed authentication_failed
    │   ├── NothingToCommit       nothing_to_commit
    │   ├── HookFailed            hook_failed
    │   ├── HookChangedFiles      hook_changed_files        the commit is not what was looked at
    │   ├── IndexChanged          index_changed             what is staged is not what was looked at
    │   ├── MergeConflict         merge_conflict
    │   ├── LocalChanges          local_changes             they would be overwritten
    │   ├── CannotUndo            cannot_undo
    │   ├── IdentityUnknown       identity_unknown          nobody told git whom commits name
    │   └── SignedOutOfForge      signed_out_of_forge       its token was taken back, or has ended
    ├── Unavailable               unavailable
    │   └── NoModelAvailable      no_model_available
    ├── StorageError              storage_error
    │   └── DiskFull              disk_full
    ├── ProcessError              process_failed
    │   ├── ProgramNotFound       program_not_found
    │   ├── ProcessTimeout        process_timeout
    │   └── GitError              git_failed
    └── UpstreamError             upstream_error            a server that aidp called failed
        ├── UpstreamUnreachable   upstream_unreachable      no connection, or it was reset
        │   └── NetworkFailed     network_failed            while git spoke with a remote
        ├── UpstreamTimeout       upstream_timeout          connected, but silent for too long
        ├── UpstreamInvalid       upstream_invalid_response not what the protocol says
        ├── UpstreamIncomplete    upstream_incomplete       the stream broke off
        ├── NoProposal            no_proposal               a model's answer has no change that can be shown
        └── UpstreamRejected      upstream_rejected         answered with an error status

Services and adapters raise these; only :mod:`aidp_ext.core.web` turns them into a status.
"""

from __future__ import annotations

from typing import Any


class AidpError(Exception):
    """The root: a stable ``code`` for programs and a ``message`` that is safe to show.

    ``details`` holds more for programs and for the curious; ``details["next_step"]`` is a sentence that says
    what the user can do, and front ends show it beside the message. Neither may hold a secret.
    """

    code = "internal"

    def __init__(self, message: str, *, next_step: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = {**({"next_step": next_step} if next_step else {}), **details}

    @property
    def next_step(self) -> str | None:
        """What the user can do about it, or None."""
        step = self.details.get("next_step")
        return step if isinstance(step, str) else None

    def suggest(self, next_step: str | None) -> None:
        """Add a next step where there is none yet."""
        if next_step and self.next_step is None:
            self.details["next_step"] = next_step


class InvalidRequest(AidpError):
    """The request is not what the endpoint takes; ``details["field"]`` names the place."""

    code = "invalid_request"


class InvalidJson(InvalidRequest):
    """The body is not JSON."""

    code = "invalid_json"


class ContextTooLong(InvalidRequest):
    """The prompt is longer than every model that may answer can read."""

    code = "context_length_exceeded"


class Unauthenticated(AidpError):
    """No token, or one that nobody knows."""

    code = "unauthenticated"


class BudgetExhausted(AidpError):
    """The money for the period is used up; ``details`` hold scope, period, limit and the date it resets."""

    code = "budget_exhausted"


class RateLimited(AidpError):
    """Too many requests of one user; ``details["retry_after_s"]``."""

    code = "rate_limited"


class Forbidden(AidpError):
    """The caller is known but may not do this."""

    code = "forbidden"


class PolicyRefused(Forbidden):
    """The mode, the privacy class or a rule forbids every model that was asked for."""

    code = "policy_refused"


class NotFound(AidpError):
    """There is no such thing."""

    code = "not_found"


class ModelNotFound(NotFound):
    """No provider offers a model of this name."""

    code = "model_not_found"


class NotARepository(NotFound):
    """No Git repository with working files is there, or what is there is damaged."""

    code = "not_a_repository"


class RemoteNotFound(NotFound):
    """The remote has no such repository, or does not show it to this account; or there is no remote of this name."""

    code = "remote_not_found"


class Conflict(AidpError):
    """The thing is in a state that does not allow this."""

    code = "conflict"


class PortInUse(Conflict):
    """Another program listens there already."""

    code = "port_in_use"


class Superseded(Conflict):
    """A later request took this one's place before it was sent."""

    code = "superseded"


class RepositoryBusy(Conflict):
    """Another Git command holds the repository's lock; ``details`` name the file and its age in ``age_s``."""

    code = "repository_busy"


class RemoteMoved(Conflict):
    """The remote has commits that are not here yet."""

    code = "remote_moved"


class PushRejected(Conflict):
    """The remote refused the push: a hook, a protected branch; its words are in ``details["output"]``."""

    code = "push_rejected"


class GitAuthenticationFailed(Conflict):
    """The remote does not accept who asks, or does not allow this to them."""

    code = "authentication_failed"


class NothingToCommit(Conflict):
    """Nothing is staged."""

    code = "nothing_to_commit"


class HookFailed(Conflict):
    """A hook of the repository stopped the commit; its words are in ``details["output"]``."""

    code = "hook_failed"


class HookChangedFiles(Conflict):
    """A hook changed files while committing: ``details["commit"]`` was made and is not what was looked at."""

    code = "hook_changed_files"


class IndexChanged(Conflict):
    """What is staged is no longer what was looked at; nothing was committed."""

    code = "index_changed"


class MergeConflict(Conflict):
    """Both sides changed the same places; ``details["files"]`` names the files."""

    code = "merge_conflict"


class LocalChanges(Conflict):
    """Changes that are not committed would be overwritten; ``details["files"]`` names the files where known."""

    code = "local_changes"


class CannotUndo(Conflict):
    """The last commit cannot be taken back: it is on a remote, is a merge, or there is none."""

    code = "cannot_undo"


class IdentityUnknown(Conflict):
    """Git knows no name and e-mail for commits."""

    code = "identity_unknown"


class SignedOutOfForge(Conflict):
    """The forge takes the user's token no more; only a new sign-in there helps."""

    code = "signed_out_of_forge"


class Unavailable(AidpError):
    """A part that is needed is not there at present."""

    code = "unavailable"


class NoModelAvailable(Unavailable):
    """No model server answers, or none that can do this task."""

    code = "no_model_available"


class StorageError(AidpError):
    """A file, a folder or the database cannot be read or written."""

    code = "storage_error"


class DiskFull(StorageError):
    """No space is left on the disk, or a quota or size limit is reached."""

    code = "disk_full"


class ProcessError(AidpError):
    """A child process ended with an error; ``details["returncode"]``."""

    code = "process_failed"


class ProgramNotFound(ProcessError):
    """The program to run is not installed."""

    code = "program_not_found"


class ProcessTimeout(ProcessError):
    """The child process took too long and was ended with its whole group."""

    code = "process_timeout"


class GitError(ProcessError):
    """Git failed for a reason that has no code of its own; its last words are in the message."""

    code = "git_failed"


class UpstreamError(AidpError):
    """A server that aidp called failed; ``details["provider"]`` names it."""

    code = "upstream_error"


class UpstreamUnreachable(UpstreamError):
    """No connection, or it was reset before an answer came."""

    code = "upstream_unreachable"


class NetworkFailed(UpstreamUnreachable):
    """The connection to a Git remote could not be made, or broke off."""

    code = "network_failed"


class UpstreamTimeout(UpstreamError):
    """The server took the request and then stayed silent."""

    code = "upstream_timeout"


class UpstreamInvalid(UpstreamError):
    """The server's answer is not what the protocol says (a web page, half a JSON document)."""

    code = "upstream_invalid_response"


class UpstreamIncomplete(UpstreamError):
    """The stream ended before its own end mark."""

    code = "upstream_incomplete"


class NoProposal(UpstreamError):
    """The model answered, and no change of the document can be made of what it said; nothing was changed."""

    code = "no_proposal"


class UpstreamRejected(UpstreamError):
    """The server answered with an error status, kept in ``status``; it may say when to ask again."""

    code = "upstream_rejected"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        retry_after_s: float | None = None,
        next_step: str | None = None,
        **details: Any,
    ) -> None:
        wait = {} if retry_after_s is None else {"retry_after_s": retry_after_s}
        super().__init__(message, next_step=next_step, status=status, **wait, **details)
        self.status = status
        self.retry_after_s = retry_after_s

    @property
    def is_callers_fault(self) -> bool:
        """True where another server would refuse the same request too (so that no fallback is tried)."""
        return self.status in (400, 413, 422)
