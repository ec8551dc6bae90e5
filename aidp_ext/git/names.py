"""Names as Git has them and as people read them: paths that may be any bytes, addresses, and words without secrets."""

from __future__ import annotations

import os
import re
from pathlib import Path

from aidp_ext.core.errors import InvalidRequest

_TOKENS = re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|glpat-[A-Za-z0-9_-]{16,})")
_USERINFO = re.compile(r"(?<=://)[^/@\s'\"]*@")
_HEADER = re.compile(r"(?i)(authorization:\s*\w+\s+)\S+")
_OCTAL = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_WEB = re.compile(
    r"^(?:https?|ssh|git)://(?:[^/@]*@)?(?P<host>[^/:@]+|\[[0-9a-fA-F:]+\])(?P<port>:\d+)?/+(?P<path>.+)$"
)
_SCP = re.compile(r"^(?:[^/@:]+@)?(?P<host>[^/:@]+):(?!/)(?P<path>.+)$")


_LONGEST_NAME = 1024  # bytes; file systems take 255, or so many characters


def shown(path: bytes) -> str:
    """Return a path for people and for JSON; the way back is :func:`raw`.

    It is the path itself wherever it is UTF-8; what is not comes in double quotes with octal escapes, as Git writes
    it, and so does a path that begins with a double quote.
    """
    try:
        text = path.decode()
    except UnicodeDecodeError:
        text = ""
    if text and not text.startswith('"'):
        return text
    quoted = "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in path)
    return f'"{quoted}"'


def raw(path: str) -> bytes:
    """Return the bytes of a path that :func:`shown` gave, checked to lie inside a repository.

    Raises InvalidRequest for one that is absolute, empty, leads upwards or into Git's own folder.
    """
    if len(path) > 1 and path.startswith('"') and path.endswith('"'):
        found = _OCTAL.sub(_unescaped, path[1:-1].encode())
    else:
        found = path.encode(errors="surrogateescape")
    parts = found.rstrip(b"/").split(b"/")
    if len(max(parts, key=len)) > _LONGEST_NAME:
        raise InvalidRequest("A file's name is longer than any file system takes.", field="files")
    if found.startswith(b"/") or b"\0" in found or {b"", b".", b".."} & {*parts} or parts[0].lower() == b".git":
        raise InvalidRequest(f"`{path[:200]}` is no path inside a repository.", field="files")
    return found


def _unescaped(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 8) & 255]) if len(match[1]) == 3 else match[1]


def argument(path: str) -> str:
    """Return a path that :func:`shown` gave as a program's arguments and ``open`` take it. Raises as :func:`raw`."""
    return os.fsdecode(raw(path))


def place(root: Path, path: str) -> Path:
    """Return where a path that :func:`shown` gave lies below ``root``; links in it are followed by nobody yet.

    Raises InvalidRequest as :func:`raw` does.
    """
    return root / argument(path)


def redact(text: str) -> str:
    """Return words of a program without what may be a credential: userinfo of addresses, tokens of forges."""
    return _HEADER.sub(r"\1…", _TOKENS.sub("…", _USERINFO.sub("", text)))


def parse_address(url: str) -> tuple[str, str] | None:
    """Return the host and ``owner/name`` of a remote's address; None for a folder on this machine.

    A port other than https's own is part of the host.
    """
    match = _WEB.match(url) or (None if "://" in url else _SCP.match(url))
    if match is None:
        return None
    full_name = match["path"].strip("/").removesuffix(".git")
    port = match.groupdict().get("port") or ""
    return match["host"].lower() + ("" if port in ("", ":443", ":80", ":22") else port), full_name


def name_of(url: str) -> str:
    """Return the folder name that a clone of ``url`` gets; "repository" where the address tells none."""
    last = re.split(r"[/:\\]", url.rstrip("/"))[-1].removesuffix(".git")
    return last if last not in ("", ".", "..") and not last.startswith("-") else "repository"


def is_reference_name(name: str) -> bool:
    """Whether a branch or remote may have this name: Git's own rules, and no leading dash."""
    if not name or name in ("@", "HEAD") or name.startswith("-") or name.endswith(".") or ".." in name or "@{" in name:
        return False
    if any(ord(letter) < 33 or letter in "~^:?*[\\\x7f" for letter in name):
        return False
    parts = name.split("/")
    return not any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)


def checked_name(name: str, what: str) -> str:
    """Return the name of a branch or remote as it is. Raises InvalidRequest for one that Git would not take."""
    if not is_reference_name(name):
        raise InvalidRequest(
            f"`{name[:100]}` cannot be the name of a {what}.",
            field=what,
            next_step="Names have no spaces, begin with no dash, and have none of ~ ^ : ? * [ \\ and `..` in them.",
        )
    return name
