"""A lexical index of the workspace: which definitions have these words, ranked by BM25.

Built in a thread of its own and kept up to date by the files' times and sizes; who asks gets what is there. BM25 as in
Robertson & Zaragoza, The Probabilistic Relevance Framework (2009), with each word once per part: parts are short.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aidp_ext.ai.context import files
from aidp_ext.ai.context.parts import LANGUAGES, Part, ending, parts

MOST_FILES = 3000
MOST_BYTES = 500_000
MOST_PARTS = 20_000
STALE_S = 30.0
_PAUSE = 20  # times what a scan took, before the next one: a very large or slow folder is looked over less often
_MOST_ENTRIES = 60_000  # looked at in one scan
_MOST_DEPTH = 12
_K1, _B = 1.2, 0.75
_PLACES_OF_ONE_NAME = 20  # a name that is defined more often tells nothing

#: Folders of what was made or brought, not written; beside hidden ones.
_FOLDERS = (
    "node_modules __pycache__ venv env virtualenv site-packages dist-packages build dist target htmlcov coverage wandb"
    " mlruns lightning_logs _build vendor bower_components anaconda3 miniconda3 miniforge3 conda-meta renv checkpoints"
    " tmp temp"
)
_SKIPPED = frozenset(_FOLDERS.split())


@dataclass(frozen=True)
class Hit:
    """A part that was found."""

    path: str  # below the workspace
    part: Part
    score: float


@dataclass(frozen=True)
class _File:
    stamp: tuple[int, int]
    parts: tuple[Part, ...]


class WorkspaceIndex:
    """Knows the parts of the text files below a folder."""

    def __init__(self, root: Path | None, now: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._now = now
        self._files: dict[str, _File] = {}
        self._by_word: dict[str, set[tuple[str, int]]] = {}
        self._by_name: dict[str, set[tuple[str, int]]] = {}
        self._parts = 0
        self._words = 0  # in all parts
        self._lock = threading.Lock()  # around what the scan changes and a search reads
        self._scanning = threading.Lock()
        self._next_scan_at: float | None = None
        self._is_closed = False

    def refresh_soon(self) -> None:
        """Look for changes in a thread, unless that was done of late or is under way. Returns at once."""
        is_fresh = self._next_scan_at is not None and self._now() < self._next_scan_at
        if self._root is None or is_fresh or self._is_closed or self._scanning.locked():
            return
        threading.Thread(target=self.refresh, name="aidp-index", daemon=True).start()

    def refresh(self) -> None:
        """Look for changes now. What another thread does already is not done twice."""
        if self._root is None or not self._scanning.acquire(blocking=False):
            return
        began = self._now()
        try:
            seen = set()
            for path, stamp in _walk(self._root):
                if self._is_closed:
                    return
                seen.add(path)
                known = self._files.get(path)
                if known is None or known.stamp != stamp:
                    self._take(path, stamp)
            for path in self._files.keys() - seen:
                self._drop(path)
        finally:
            ended = self._now()
            self._next_scan_at = ended + max(STALE_S, _PAUSE * (ended - began))
            self._scanning.release()

    def close(self) -> None:
        """End a scan that is under way, at its next file."""
        self._is_closed = True

    def find(self, words: Mapping[str, float], most: int) -> list[Hit]:
        """Return the parts that have most of the weighted words (lower case), best first."""
        scores: dict[tuple[str, int], float] = {}
        with self._lock:
            mean = self._words / max(1, self._parts)
            for word, weight in words.items():
                places = self._by_word.get(word)
                if not places or len(places) > self._parts / 2 + 10:
                    continue
                rarity = math.log(1 + (self._parts - len(places) + 0.5) / (len(places) + 0.5))
                for place in places:
                    length = len(self._part(place).words)
                    saturation = (_K1 + 1) / (1 + _K1 * (1 - _B + _B * length / max(1.0, mean)))
                    scores[place] = scores.get(place, 0.0) + weight * rarity * saturation
            best = sorted(scores, key=lambda place: (-scores[place], place))[:most]
            return [Hit(path, self._part((path, number)), scores[path, number]) for path, number in best]

    def defining(self, name: str) -> list[Hit]:
        """Return the definitions of a name, sorted by their path; none where it is defined all over the place."""
        with self._lock:
            places = self._by_name.get(name, ())
            if len(places) > _PLACES_OF_ONE_NAME:
                return []
            return [Hit(path, self._part((path, number)), 1.0) for path, number in sorted(places)]

    @property
    def size(self) -> tuple[int, int]:
        """The number of files and of parts."""
        return len(self._files), self._parts

    def _part(self, place: tuple[str, int]) -> Part:
        return self._files[place[0]].parts[place[1]]

    def _take(self, path: str, stamp: tuple[int, int]) -> None:
        assert self._root is not None
        file = files.text(self._root / path, MOST_BYTES)
        found = () if file.problem else parts(path, file.text)
        self._drop(path)
        if self._parts + len(found) > MOST_PARTS:
            found = ()
        with self._lock:
            self._files[path] = _File(stamp, found)
            for number, part in enumerate(found):
                for word in part.words:
                    self._by_word.setdefault(word, set()).add((path, number))
                if part.is_definition:
                    self._by_name.setdefault(part.name, set()).add((path, number))
                self._words += len(part.words)
            self._parts += len(found)

    def _drop(self, path: str) -> None:
        with self._lock:
            known = self._files.pop(path, None)
            for number, part in enumerate(known.parts if known else ()):
                for word in part.words:
                    _remove(self._by_word, word, (path, number))
                if part.is_definition:
                    _remove(self._by_name, part.name, (path, number))
                self._words -= len(part.words)
                self._parts -= 1


def _remove(places: dict[str, set[tuple[str, int]]], key: str, place: tuple[str, int]) -> None:
    found = places[key]
    found.discard(place)
    if not found:
        del places[key]


def _walk(root: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the files to be read, by their path below ``root``, and their stamps; no link is followed.

    The files near the root come first, so that in a very large tree these are known.
    """
    folders = [("", 0)]
    entries, count = 0, 0
    for folder, depth in folders:  # grows while it is gone through
        try:
            with os.scandir(root / folder) as found:
                listed = sorted(found, key=lambda entry: entry.name)
        except OSError:
            continue
        if folder and any(entry.name in ("pyvenv.cfg", "CACHEDIR.TAG") for entry in listed):
            continue
        for entry in listed:
            entries += 1
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entries > _MOST_ENTRIES or count >= MOST_FILES:
                return
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    is_skipped = entry.name.lower() in _SKIPPED or entry.name.endswith(".egg-info")
                    if not is_skipped and depth < _MOST_DEPTH:
                        folders.append((path, depth + 1))
                    continue
                if ending(entry.name) not in LANGUAGES or not entry.is_file(follow_symlinks=False):
                    continue
                stat = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.st_size <= MOST_BYTES:
                count += 1
                yield path, (stat.st_mtime_ns, stat.st_size)
