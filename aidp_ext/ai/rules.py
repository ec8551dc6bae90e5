"""What may leave: the workspace's rules in its ``aidp.toml``, the admin's, and what the request itself asks for.

::

    [ai]
    never_leave = ["data/**", "*.csv", "outputs"]   # text from these stays on local models
    privacy = "redact"                              # local, redact or cloud

The strictest holds. Rules that cannot be understood keep everything local: a mistake must not open what it should
close.
"""

from __future__ import annotations

import difflib
import fnmatch
import os
import posixpath
import re
import tempfile
import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any

import msgspec

from aidp_ext.ai.models import Privacy
from aidp_ext.core.errors import InvalidRequest, StorageError

FILE_NAME = "aidp.toml"
#: The path that stands for the outputs of cells.
OUTPUTS = "outputs"

#: From the most to the least private.
STRICTNESS = (Privacy.LOCAL, Privacy.REDACT, Privacy.CLOUD)
_KEYS = ("never_leave", "privacy")
_MAX_BYTES = 256 * 1024
_MOST_PATTERNS = 1000
_MOST_DOTS = 64  # in one key: reading one takes time by the square of its parts, minutes for what a file can hold
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?|\'[^\']*+\'?')  # or what there is of one: so that it is read once


@dataclass(frozen=True)
class WorkspaceRules:
    """What a workspace's file says. ``problem`` says why it cannot be understood; then everything stays local."""

    never_leave: tuple[str, ...] = ()
    privacy: Privacy | None = None
    problem: str = ""


@dataclass(frozen=True)
class Verdict:
    """How far a request may go and the code of the reason, with what it is about: a pattern, a path, a problem.

    ``never_leave``: its text comes from a place of which nothing leaves. ``outside``: it comes from a file outside the
    workspace, which no rule can judge. ``broken_rules``: the rules cannot be understood. ``asked``: the request says
    so. ``workspace``, ``admin``: their rules do. ``default``: nobody says anything.
    """

    privacy: Privacy
    reason: str
    detail: str = ""


class Rules:
    """The rules of one workspace, read again whenever its file changes, and the admin's beside them."""

    def __init__(
        self,
        root: Path | None,
        never_leave: Sequence[str] = (),
        privacy: Privacy | None = None,
        default: Privacy = Privacy.REDACT,
    ) -> None:
        """Take the admin's patterns, the least private class they allow, and the class where nobody says any."""
        self._root = root
        self._file = None if root is None else str(root / FILE_NAME)
        self._admin = WorkspaceRules(tuple(never_leave), privacy, _problem_with(never_leave))
        self._default = default
        self._stamp: tuple[int, ...] | None = None
        self._rules = WorkspaceRules()

    @property
    def exists(self) -> bool:
        """Whether the workspace has a file of rules."""
        return self._root is not None and (self._root / FILE_NAME).is_file()

    def judge(self, asked: Privacy | None, paths: Sequence[str]) -> Verdict:
        """Return how far text from these paths (relative to the workspace) may go, by the strictest of all rules."""
        own, admin = self.read(), self._admin
        found = list(self._by_paths(own, paths))
        for problem in (own.problem, admin.problem):
            if problem:
                found.append(Verdict(Privacy.LOCAL, "broken_rules", problem))
        if asked is not None:
            found.append(Verdict(asked, "asked"))
        if own.privacy is not None:
            found.append(Verdict(own.privacy, "workspace"))
        if asked is None and own.privacy is None:
            found.append(Verdict(self._default, "default"))
        if admin.privacy is not None:
            found.append(Verdict(admin.privacy, "admin"))
        return min(found, key=lambda verdict: STRICTNESS.index(verdict.privacy))

    def read(self) -> WorkspaceRules:
        """Return what the workspace's file says now; empty rules where there is none."""
        if self._file is None:
            return WorkspaceRules()
        try:
            stat = os.stat(self._file)  # noqa: PTH116 - each request asks, and a Path takes twice as long
            stamp = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)
            if stamp != self._stamp:
                self._rules = _parsed_file(self._file) if S_ISREG(stat.st_mode) else _broken("it is no file")
                self._stamp = stamp
        except FileNotFoundError:
            if os.path.islink(self._file):  # noqa: PTH114
                return _broken("it is a link to nowhere")
            return WorkspaceRules()
        except OSError as error:
            return _broken(error.strerror or "it cannot be read")
        except UnicodeDecodeError:
            return _broken("it is not UTF-8")
        return self._rules

    def write(self, rules: WorkspaceRules) -> None:
        """Put rules into the workspace's file and keep all else that it says.

        Raises InvalidRequest for a rule that cannot be understood; StorageError where there is no workspace, the file
        as it is cannot be understood, or it cannot be written.
        """
        by_hand = f"Edit {FILE_NAME} by hand."
        if self._root is None:
            raise StorageError("There is no workspace whose rules could be kept.")
        if problem := _problem_with(rules.never_leave):
            raise InvalidRequest(f"The rules were not kept: {problem}.", field="never_leave")
        path = (self._root / FILE_NAME).resolve()
        try:
            if path.exists() and (not path.is_file() or path.stat().st_size > _MAX_BYTES):
                raise StorageError(f"{FILE_NAME} is too large, or no file, so it was not changed.", next_step=by_hand)
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            if _has_long_key(text):
                raise StorageError(f"{FILE_NAME} has a line with too many dots.", next_step=by_hand)
            wanted = {**tomllib.loads(text)}
            wanted["ai"] = {**wanted.get("ai", {}), **dict.fromkeys(_KEYS), **_as_table(rules)}
            wanted["ai"] = {key: value for key, value in wanted["ai"].items() if value is not None}
            edited = _edited(text, _as_table(rules))
            if tomllib.loads(edited) != wanted:
                raise StorageError(f"{FILE_NAME} is written in a way that cannot be edited safely.", next_step=by_hand)
            _replace(path, edited)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError) as error:
            raise StorageError(
                f"{FILE_NAME} cannot be understood, so it was not changed.", next_step=by_hand
            ) from error
        except OSError as error:
            raise StorageError(
                f"{FILE_NAME} cannot be written: {error.strerror}.", next_step=f"Make {path.parent} writable."
            ) from error

    def _by_paths(self, own: WorkspaceRules, paths: Sequence[str]) -> Iterator[Verdict]:
        patterns = (*own.never_leave, *self._admin.never_leave)
        for path in paths:
            places = _places(path)
            if places and patterns and self._root is not None:
                targets = [_target(self._root, place) for place in places]
                places = [] if None in targets else [*places, *(target for target in targets if target is not None)]
            if not places:
                yield Verdict(Privacy.LOCAL, "outside", path[:200])
            for pattern in patterns:
                if any(matches(pattern, place) for place in places):
                    yield Verdict(Privacy.LOCAL, "never_leave", pattern)


# ---- the file


def _broken(why: str) -> WorkspaceRules:
    return WorkspaceRules(problem=f"{FILE_NAME}: {why}")


def _parsed_file(path: str) -> WorkspaceRules:
    """Return what a file says. A repository may bring anything by its name, a link to a device among it."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # no pipe is waited for
        data = file.read(_MAX_BYTES + 1)
    return _parsed(data.decode()) if len(data) <= _MAX_BYTES else _broken("it is too large")


def _has_long_key(text: str) -> bool:
    """Return whether a line may hold a key of very many parts. What is inside of texts does not count."""
    return any(_STRING.sub("", line).count(".") > _MOST_DOTS for line in text.splitlines())


def _parsed(text: str) -> WorkspaceRules:
    """Return the rules in a file's text; with a problem where they are not as they should be."""
    if _has_long_key(text):
        return _broken("a line has too many dots")
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return _broken(str(error)[:200])
    table: Any = found.get("ai", {})
    if not isinstance(table, dict):
        return _broken("`ai` must be a table, [ai]")
    for key in _KEYS:
        if key in found:
            return _broken(f"`{key}` belongs below [ai]")
    for key in table:
        close = difflib.get_close_matches(key.lower().replace("-", "_"), _KEYS, n=1, cutoff=0.75)
        if close and key not in _KEYS:
            return _broken(f"`{key}`: did you mean `{close[0]}`?")
    patterns, privacy = table.get("never_leave", []), table.get("privacy")
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        return _broken("`never_leave` must be a list of texts")
    if problem := _problem_with(patterns):
        return _broken(problem)
    if privacy is not None and privacy not in list(Privacy):
        return _broken(f"`privacy` must be one of {', '.join(Privacy)}")
    return WorkspaceRules(tuple(patterns), None if privacy is None else Privacy(privacy))


def _as_table(rules: WorkspaceRules) -> dict[str, Any]:
    table: dict[str, Any] = {}
    if rules.never_leave:
        table["never_leave"] = list(rules.never_leave)
    if rules.privacy is not None:
        table["privacy"] = str(rules.privacy)
    return table


_TABLE = re.compile(r"\s*\[[^\[\]]*\]\s*(?:#.*)?|\s*\[\[[^\[\]]*\]\]\s*(?:#.*)?")
_AI_TABLE = re.compile(r"\s*\[\s*ai\s*\]\s*(?:#.*)?")
_OUR_KEY = re.compile(rf"\s*[\"']?(?:{'|'.join(_KEYS)})[\"']?\s*=")


def _edited(text: str, table: dict[str, Any]) -> str:
    """Return a TOML text with our keys of [ai] set anew. Who calls checks the result: this knows lines, not TOML."""
    # JSON's texts and lists are TOML's too, but for DEL
    ours = [
        f"{key} = {msgspec.json.format(msgspec.json.encode(value), indent=0).decode()}".replace("\x7f", r"\u007f")
        for key, value in table.items()
    ]
    made: list[str] = []
    place: int | None = None
    is_ai = False
    for statement in _statements(text.splitlines()):
        if _TABLE.fullmatch(statement):
            is_ai = _AI_TABLE.fullmatch(statement) is not None
            place = len(made) + 1 if is_ai else place
        elif is_ai and _OUR_KEY.match(statement):
            continue
        made.append(statement)
    if place is None:
        made += [*([""] if made and made[-1].strip() else []), "[ai]"]
        place = len(made)
    return "\n".join([*made[:place], *ours, *made[place:]]) + "\n"


def _statements(lines: Sequence[str]) -> Iterator[str]:
    """Yield lines, those of a value that goes over several as one."""
    done = 0
    while done < len(lines):
        end = done + 1
        if "=" in lines[done] and not _TABLE.fullmatch(lines[done]):
            while end < len(lines) and not _is_toml("\n".join(lines[done:end])):
                end += 1
        yield "\n".join(lines[done:end])
        done = end


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _replace(path: Path, text: str) -> None:
    """Write a file at once: a reader never sees half of it, and a crash leaves the old one."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{FILE_NAME}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(fresh).chmod(mode)
        Path(fresh).replace(path)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise


# ---- paths and patterns


def _places(path: str) -> list[str]:
    """Return a path as rules see it; empty where it does not lie in the workspace."""
    plain = path.replace("\\", "/")
    if plain.startswith("/") or re.match(r"[A-Za-z]:/", plain) or "\0" in plain:
        return []
    # Jupyter's drives: RTC:data/a.ipynb
    found = [posixpath.normpath(form) for form in dict.fromkeys((plain, plain.split(":", 1)[-1].lstrip("/")))]
    return [] if any(form == ".." or form.startswith("../") for form in found) else found


def _target(root: Path, place: str) -> str | None:
    """Return where links lead a path, relative to the workspace; None for a place outside of it."""
    try:
        base = root.resolve()
        return (base / place).resolve().relative_to(base).as_posix()
    except (OSError, ValueError, RuntimeError):  # a loop, a name that is too long, another place
        return None


def _problem_with(patterns: Sequence[str]) -> str:
    if len(patterns) > _MOST_PATTERNS:  # each request looks at all of them
        return f"there are more than {_MOST_PATTERNS:,} patterns"
    for pattern in patterns:
        if pattern.lstrip().startswith("!"):
            return f"`{pattern[:100]}`: exceptions (!) are not supported"
        if len(pattern) > 1000:
            return f"`{pattern[:100]}…` is too long"
    return ""


def matches(pattern: str, path: str) -> bool:
    """Return whether a path, or a folder above it, matches a pattern as .gitignore has them, in any case.

    ``*.csv`` matches in each folder; ``data/`` and ``data`` a file or folder of that name anywhere with all below;
    ``/data`` and ``data/raw`` only from the workspace's root; ``**`` any number of folders. Source: gitignore(5).
    """
    pattern = _folded(pattern.strip())
    if not pattern.strip("/") or pattern.startswith("#"):
        return False
    parts = [part for part in pattern.strip("/").split("/") if part]
    if "/" not in pattern.rstrip("/"):
        parts.insert(0, "**")
    last = len(parts)
    states = {0}
    for name in _folded(path).split("/"):
        reached = set()
        for state in _with_skips(states, parts):
            if parts[state] == "**":
                reached |= {state, last} if state == last - 1 else {state}
            elif fnmatch.fnmatchcase(name, _segment(parts[state])):
                reached.add(state + 1)
        if last in reached:
            return True
        states = reached
    return False


def _with_skips(states: set[int], parts: Sequence[str]) -> set[int]:
    """Return the states with those behind each ``**``, which may stand for no folder; at the end it stands for one."""
    found = set(states)
    for place, part in enumerate(parts[:-1]):
        if place in found and part == "**":
            found.add(place + 1)
    return found


def _segment(part: str) -> str:
    """Return a part of a pattern as fnmatch writes it: ``[!…]`` for ``[^…]``, ``[*]`` for an escaped star."""
    return re.sub(r"\\(.)|\[\^", lambda found: f"[{found[1]}]" if found[1] else "[!", part)


def _folded(text: str) -> str:
    """Return a text in one case and one Unicode form: file systems differ in both."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
