"""Searches the chats of the workspace. They are files of JSON that anybody may have written."""

from __future__ import annotations

import heapq
import os
import stat
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

SUFFIX = ".chat"
_MOST_ENTRIES = 100_000  # files that are looked at by name
_MOST_CHATS = 1_000  # the newest, that are opened
_MOST_BYTES = 16_000_000  # of one of them
_MOST_SECONDS = 5.0
_MOST_SHOWN = 100
_MOST_MATCHES = 5  # of one chat
_AROUND = 70  # characters before and after a word that was found


@dataclass(frozen=True)
class Match:
    """A message in which the words occur."""

    message: str  # its id
    sender: str
    text: str  # what stands around the first word
    time: datetime | None


@dataclass(frozen=True)
class Chat:
    """A chat of the workspace."""

    path: str
    title: str
    updated_at: datetime
    messages: int
    matches: tuple[Match, ...] = ()


@dataclass(frozen=True)
class Found:
    """Chats, newest first. ``is_all`` is False where there may be more than were looked at."""

    chats: tuple[Chat, ...] = ()
    is_all: bool = True


def search(workspace: Path | None, words: str) -> Found:
    """Return the chats with a message, or a name, that has all words in it, without regard to case and accents.

    Without words: all chats. Hidden folders are not searched and links not followed. Reads files: call it in a thread.
    """
    if workspace is None:
        return Found()
    ends = time.monotonic() + _MOST_SECONDS
    wanted = folded(words[:1000]).split()[:20]
    entries = list(_chats(workspace, ends))
    newest = heapq.nlargest(_MOST_CHATS, entries)
    is_all = len(newest) == len(entries) and time.monotonic() < ends
    found: list[Chat] = []
    for changed, path in newest:
        if len(found) == _MOST_SHOWN or time.monotonic() > ends:
            is_all = False
            break
        chat = _matching(workspace, path, changed, wanted)
        if chat is not None:
            found.append(chat)
    return Found(tuple(found), is_all)


def folded(text: str) -> str:
    """Return a text without case and accents, for comparing."""
    plain = unicodedata.normalize("NFKD", text)
    return "".join(c for c in plain if not unicodedata.combining(c)).casefold()


def _chats(workspace: Path, ends: float) -> Iterator[tuple[float, str]]:
    """Yield when each chat was last changed, and its path below the workspace."""
    seen = 0
    for folder, folders, files in os.walk(workspace):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "node_modules"]
        seen += len(files) + 1
        if seen > _MOST_ENTRIES or time.monotonic() > ends:
            return
        for name in files:
            if name.endswith(SUFFIX) and not name.startswith("."):
                place = Path(folder, name)
                try:
                    found = place.lstat()
                except OSError:
                    continue
                if stat.S_ISREG(found.st_mode) and found.st_size <= _MOST_BYTES:
                    yield found.st_mtime, place.relative_to(workspace).as_posix()


def _matching(workspace: Path, path: str, changed: float, wanted: list[str]) -> Chat | None:
    try:
        with os.fdopen(os.open(workspace / path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
            content = msgspec.json.decode(file.read(_MOST_BYTES))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    messages = [one for one in _list(content.get("messages")) if _is_message(one)]
    names = _names(content.get("users"))
    matches: list[Match] = []
    for one in reversed(messages) if wanted else ():
        text = folded(one["body"])
        if all(word in text for word in wanted):
            sender = str(one.get("sender", ""))
            snippet = _snippet(one["body"], wanted)
            matches.append(Match(str(one["id"])[:100], names.get(sender, sender)[:100], snippet, _moment(one)))
            if len(matches) == _MOST_MATCHES:
                break
    title = path.rsplit("/", 1)[-1].removesuffix(SUFFIX)
    if wanted and not matches and not all(word in folded(title) for word in wanted):
        return None
    return Chat(_utf8(path), _utf8(title), datetime.fromtimestamp(changed, UTC), len(messages), tuple(matches))


def _is_message(one: object) -> bool:
    return isinstance(one, dict) and isinstance(one.get("body"), str) and "id" in one and not one.get("deleted")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _names(users: object) -> dict[str, str]:
    if not isinstance(users, dict):
        return {}
    return {
        name: str(user.get("display_name") or user.get("name") or name)
        for name, user in users.items()
        if isinstance(user, dict)
    }


def _moment(message: dict[str, Any]) -> datetime | None:
    said = message.get("time")
    try:
        return datetime.fromtimestamp(said, UTC) if isinstance(said, int | float) else None
    except (ValueError, OverflowError, OSError):
        return None


def _snippet(body: str, wanted: list[str]) -> str:
    """Return what stands around the first word. Folding may change a text's length: then it is near it."""
    text = folded(body)
    place = min(text.find(word) for word in wanted)
    place = place * len(body) // max(1, len(text))
    start, end = max(0, place - _AROUND), place + _AROUND
    words = " ".join(body[start:end].split())
    return f"{'…' if start else ''}{words}{'…' if end < len(body) else ''}"


def _utf8(name: str) -> str:
    return name.encode("utf-8", "replace").decode()
