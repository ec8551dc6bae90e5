"""What Git says when it fails, as an error with a code. It is made to speak English, whatever the user's language."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path

from aidp_ext.core.errors import (
    AidpError,
    Conflict,
    DiskFull,
    GitAuthenticationFailed,
    GitError,
    IdentityUnknown,
    InvalidRequest,
    LocalChanges,
    MergeConflict,
    NetworkFailed,
    NotARepository,
    NotFound,
    NothingToCommit,
    PushRejected,
    RemoteMoved,
    RemoteNotFound,
    RepositoryBusy,
)
from aidp_ext.git.layout import age_s
from aidp_ext.git.names import redact

_MOST_OUTPUT = 8000  # characters of a hook's or a remote's words

_LOCK = re.compile(r"Unable to create '(?P<file>[^'\n]+\.lock)': File exists")
_DISK = re.compile(r"No space left on device|Disk quota exceeded|File too large|cannot fsync", re.IGNORECASE)
_FORBIDDEN = re.compile(r"returned error: 403|HTTP 403|Permission to \S+ denied|You are not allowed to push")
_AUTH = re.compile(
    r"Authentication failed|could not read (?:Username|Password)|terminal prompts disabled|Permission denied \(|"
    r"told us to quit|returned error: 401|HTTP 401|HTTP Basic: Access denied|Invalid username or (?:password|token)"
)
_ABSENT = re.compile(
    r"[Rr]epository not found|repository '[^'\n]*' not found|does not appear to be a git repository|"
    r"returned error: 404|No such remote"
)
_MOVED = re.compile(
    r"\((?:fetch first|non-fast-forward|stale info)\)|Not possible to fast-forward|remote ref updated since"
)
_REJECTED = re.compile(
    r"\[remote rejected\]|hook declined|protected branch|pre-push hook|\[remote failure\]|GH\d{3}: ", re.IGNORECASE
)
_NETWORK = re.compile(
    r"Could not resolve host|Failed to connect|Connection (?:refused|timed out|reset)|Couldn't connect|"
    r"Operation (?:too slow|timed out)|RPC failed|hung up unexpectedly|early EOF|Could not read from remote|"
    r"unexpected disconnect|unable to access|Network is unreachable|SSL|unable to rewind|invalid server response|"
    r"transfer closed|unexpected flush packet|protocol error|bad line length",
    re.IGNORECASE,
)
_NOTHING = re.compile(r"nothing to commit|nothing added to commit|no changes added to commit")
_IDENTITY = re.compile(r"tell me who you are|unable to auto-detect email|empty ident name|no email was given")
_OVERWRITTEN = re.compile(
    r"would be overwritten by|You have unstaged changes|Your index contains uncommitted changes|"
    r"contains uncommitted changes|Please commit (?:your changes )?or stash them"
)
_CONFLICTS = re.compile(
    r"CONFLICT \(|Automatic merge failed|fix conflicts|unmerged (?:files|paths)|error building trees"
)
_UNTRUSTED = re.compile(r"detected dubious ownership")
_BAD_INDEX = re.compile(r"index file (?:smaller|corrupt)|bad index|index uses|bad signature 0x")
_BAD_OBJECT = re.compile(r"is corrupt|object file \S+ is empty|bad object HEAD|unable to read tree|missing blob object")
_NO_REPOSITORY = re.compile(r"not a git repository|must be run in a work tree|invalid gitfile format|not a gitdir")
_IGNORED = re.compile(r"paths are ignored by one of your \.gitignore")
_NO_PATH = re.compile(r"pathspec '(?P<path>[^\n]*)' did not match|'(?P<beyond>[^\n]*)' is beyond a symbolic link")


def busy_file(said: str) -> str | None:
    """Return the lock file that was in Git's way, None where it was something else."""
    match = _LOCK.search(said)
    return match["file"] if match is not None else None


def words(said: str) -> str:
    """Return what Git or a remote said, fit to be shown: no credentials, no endless output."""
    return redact(said).strip()[-_MOST_OUTPUT:]


def failure(args: Sequence[str], returncode: int, said: str) -> AidpError:
    """Return the error for a Git command that failed. ``said`` is all that it printed."""
    said = redact(said)
    ours = "\n".join(line for line in said.splitlines() if not line.startswith("remote:"))
    if returncode == -signal.SIGXFSZ:
        ours += "\nFile too large"
    error = _of_this_machine(ours) or _of_a_remote(said, ours) or _of_the_work(said)
    if error is None:
        error = GitError(f"git {_verb(args)} failed ({returncode}): {_last_words(ours or said)}", output=words(said))
    error.details.setdefault("returncode", returncode)
    return error


def busy(file: str) -> RepositoryBusy:
    """Return the error for a lock that does not go away."""
    age = age_s(Path(file))
    old = "" if age is None else f" for {_duration(age)}"
    return RepositoryBusy(
        f"Another Git command holds {Path(file).name}{old}.",
        next_step="Wait until it has ended. Where none is running, one that was killed left it behind: remove it.",
        file=Path(file).name,
        age_s=age,
    )


def _of_this_machine(said: str) -> AidpError | None:
    if (lock := busy_file(said)) is not None:
        return busy(lock)
    if _DISK.search(said):
        return DiskFull("The disk is full, or a quota is used up.", next_step="Make room, then try again.")
    if _UNTRUSTED.search(said):
        return GitError(
            "Git does not trust this folder, since it belongs to another user.",
            next_step="If you trust it: `git config --global --add safe.directory` with its path, in a terminal.",
        )
    if _BAD_INDEX.search(said):
        return GitError(
            "The repository's index is damaged.",
            next_step="Delete .git/index and run `git reset` in a terminal: files and commits stay.",
        )
    if _BAD_OBJECT.search(said):
        return GitError(
            f"The repository is damaged: {_last_words(said)}",
            next_step="Import it anew beside this one and copy your files over; `git fsck` tells what is missing.",
        )
    if _NO_REPOSITORY.search(said):
        return NotARepository("There is no Git repository here, or it is damaged.", next_step="Start or import one.")
    if _IDENTITY.search(said):
        return IdentityUnknown(
            "Git does not know whom commits are to name.",
            next_step="Sign in, or set `git config --global user.name` and `user.email`.",
        )
    return None


def _of_a_remote(said: str, ours: str) -> AidpError | None:
    if _MOVED.search(ours):
        return RemoteMoved("The remote has commits that are not here yet.", next_step="Pull them, then try again.")
    if _FORBIDDEN.search(said):
        return GitAuthenticationFailed(
            "The remote does not allow this to your account.",
            next_step="Ask its owner for write access, or sign in with another account.",
            output=words(said),
        )
    if _AUTH.search(said):
        return GitAuthenticationFailed(
            "The remote does not accept your sign-in.",
            next_step="Sign in again: the access token has expired, was revoked, or there is none.",
        )
    if _ABSENT.search(said):
        return RemoteNotFound(
            "The remote has no such repository, or does not show it to your account.",
            next_step="Check the address, and that your account may read it.",
        )
    if _REJECTED.search(said):
        return PushRejected(
            "The remote refused the push.",
            next_step="Its words say why; a new branch may be allowed.",
            output=_told(said),
        )
    if "src refspec" in ours:
        return NotFound("There is no such branch, or it has no commit yet.", next_step="Commit something first.")
    if "failed to push some refs" in ours and not _NETWORK.search(ours):  # a pre-push hook of the user's own
        return PushRejected("A hook stopped the push.", next_step="Its words say why.", output=words(said))
    if "Host key verification failed" in said:
        return GitError(
            "The remote's SSH host key is not known here.",
            next_step="Connect once with `ssh` in a terminal to check it.",
        )
    if _NETWORK.search(ours):
        return NetworkFailed(
            "The connection to the remote could not be made, or broke off.",
            next_step="Check the network, then try again: nothing is lost.",
            provider="git remote",
            output=words(ours)[-500:],
        )
    return None


def _of_the_work(said: str) -> AidpError | None:
    if _NOTHING.search(said):
        return NothingToCommit("Nothing is staged.", next_step="Choose the files that the commit is to hold.")
    if _OVERWRITTEN.search(said):
        return LocalChanges(
            "Changes that are not committed are in the way.",
            next_step="Commit them first, or put them aside with `git stash`.",
            files=_indented(said),
        )
    if _CONFLICTS.search(said):
        return MergeConflict("There are conflicts.", next_step="Resolve them, or go back to how it was.", files=[])
    if _IGNORED.search(said):
        return Conflict("The file is ignored by .gitignore.", next_step="Take it out of .gitignore first.")
    if match := _NO_PATH.search(said):
        if match["beyond"] is not None:
            return InvalidRequest(f"`{match['beyond'][:200]}` lies behind a symbolic link.", field="files")
        return NotFound(f"There is no file `{match['path'][:200]}` to be staged.")
    if "gpg failed to sign" in said or "failed to write commit object" in said:
        return GitError(
            "The commit could not be signed.", next_step="See `git config commit.gpgsign`.", output=words(said)
        )
    return None


def _told(said: str) -> str:
    """Return what the remote told the user, without the progress around it."""
    lines = [line.removeprefix("remote:").strip() for line in said.splitlines() if line.startswith("remote:")]
    lines += [line.strip() for line in said.splitlines() if "rejected]" in line]
    kept = [line for line in lines if line and not re.match(r"(?:Resolving|Counting|Compressing|Enumerating) ", line)]
    return words("\n".join(kept) or said)


def _indented(said: str) -> list[str]:
    return [line.strip() for line in said.splitlines() if line.startswith("\t")][:100]


def _verb(args: Sequence[str]) -> str:
    return next((arg for arg in args if not arg.startswith("-") and "=" not in arg), "")


def _last_words(said: str) -> str:
    lines = [
        line for line in said.strip().splitlines() if not line.startswith(("hint:", "Please make sure", "and the repo"))
    ]
    telling = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines
    return telling[-1][:500] if telling else "it said nothing"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
