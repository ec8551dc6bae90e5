"""Files that runs logged: listed, previewed in bounds, and streamed as they are.

They are read from disk where the tracking server's own folder is here, and through its API elsewhere. No path leads out
of a run's own folder, by dots or by links.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import aiohttp

from aidp_ext.core.errors import Forbidden, InvalidRequest, NotFound, StorageError
from aidp_ext.experiments import previews
from aidp_ext.experiments.models import Artifact, Artifacts, Preview
from aidp_ext.experiments.stores.mlflow import MlflowStore, chunks

#: How many files a folder shows.
MOST_FILES = 1000
_CHUNK = 1 << 18


class Place(NamedTuple):
    """Where the artifacts of a run are, as the tracking server says it."""

    run: str
    experiment: str
    uri: str
    sees_all: bool  # the asker may see every experiment there is


class Opened(NamedTuple):
    """A file's bytes, or a part of them."""

    size: int | None  # of the whole
    first: int
    last: int | None
    chunks: AsyncGenerator[bytes, None]

    @property
    def is_part(self) -> bool:
        """Whether it is not the whole file."""
        return self.size is not None and self.last is not None and self.last - self.first + 1 < self.size


class ArtifactStore:
    """The artifacts of runs. Everything raises NotFound, InvalidRequest, StorageError and UpstreamError."""

    def __init__(self, root: Path | None, store: MlflowStore) -> None:
        self._root = root
        self._store = store

    async def files(self, place: Place, path: str) -> Artifacts:
        """Return what is in a folder of a run; nothing where nothing was logged."""
        path = checked(path)
        folder = self._folder(place)
        if folder is not None:
            return await asyncio.to_thread(_listed, folder, path)
        self._check_foreign(place)
        found, is_cut = await self._store.artifacts(place.run, path, most=MOST_FILES)
        return Artifacts(tuple(_told(one) for one in found), is_cut)

    async def preview(self, place: Place, path: str) -> Preview:
        """Return as much of a file as is shown."""
        path = checked(path)
        kind, mime = previews.kind_of(path)
        async with self.opened(place, path) as file:
            if kind in previews.AS_THEY_ARE:
                return Preview(kind, path, file.size, mime)
            head, is_cut = await _head(file.chunks, previews.limit_of(kind))
        return await asyncio.to_thread(previews.shown, kind, path, mime, head, file.size, is_cut)

    async def text(self, place: Place, path: str, most: int) -> str | None:
        """Return a file's text, cut at so many bytes; None where there is no such file."""
        try:
            async with self.opened(place, path) as file:
                head, _ = await _head(file.chunks, most)
        except NotFound:
            return None
        return head.decode(errors="replace")

    async def size(self, place: Place, path: str) -> int | None:
        """Return a file's bytes; None where there is no such file, or its size is not known."""
        parent, _, name = path.rpartition("/")
        found = await self.files(place, parent)
        return next((one.bytes for one in found.files if one.name == name and not one.is_dir), None)

    @contextlib.asynccontextmanager
    async def opened(self, place: Place, path: str, span: str | None = None) -> AsyncIterator[Opened]:
        """Give a file's bytes; ``span`` is a header ``Range``, and heeded where it is one of bytes."""
        path = checked(path)
        if not path:
            raise NotFound("That is a folder.")
        folder = self._folder(place)
        if folder is not None:
            descriptor, size = await asyncio.to_thread(_opened, folder, path)
            try:
                first, last = _span(span, size)
                yield Opened(size, first, last, _read(descriptor, first, last))
            finally:
                os.close(descriptor)
            return
        self._check_foreign(place)
        async with self._store.artifact(place.run, path) as response:
            yield Opened(_length(response), 0, None, chunks(response))

    def _folder(self, place: Place) -> Path | None:
        """Return where the artifacts lie, where that is here and they are the run's own."""
        return self._root / place.experiment / place.run / "artifacts" if self._root and _is_own(place) else None

    @staticmethod
    def _check_foreign(place: Place) -> None:
        """An experiment may be made with the folder of another one: who sees all may look there, nobody else."""
        if not place.sees_all and not _is_own(place):
            raise Forbidden("The files of this run lie outside of its own folder.")


def _is_own(place: Place) -> bool:
    own = rf"mlflow-artifacts:(//[^/]+)?/+{re.escape(place.experiment)}/{re.escape(place.run)}/artifacts/?"
    return re.fullmatch(own, place.uri) is not None


def checked(path: str) -> str:
    """Return a path below a run's artifacts in its plain form. Raises InvalidRequest where it leads elsewhere."""
    parts = PurePosixPath(path).parts
    if "\0" in path or "\\" in path or path.startswith("/") or ".." in parts or (parts and ":" in parts[0]):
        raise InvalidRequest("The path does not lie below the run's files.", field="path")
    return "/".join(part for part in parts if part != ".")


def _inside(folder: Path, path: str) -> Path:
    """Return the real place of a file. Raises NotFound where a link leads out of the folder."""
    top = folder.resolve()
    found = (top / path).resolve()
    if not found.is_relative_to(top):
        raise NotFound("There is no such file.")
    return found


def _listed(folder: Path, path: str) -> Artifacts:
    place = _inside(folder, path)
    found = []
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                found.append(_entry(folder, path, entry))
    except FileNotFoundError:
        return Artifacts((), False)
    except NotADirectoryError as error:
        raise NotFound("That is a file.") from error
    except OSError as error:
        raise StorageError(f"The run's files cannot be read: {error.strerror}.") from error
    shown = sorted((one for one in found if one is not None), key=lambda one: (not one.is_dir, one.name))
    return Artifacts(tuple(shown[:MOST_FILES]), len(shown) > MOST_FILES)


def _entry(folder: Path, path: str, entry: os.DirEntry[str]) -> Artifact | None:
    below = f"{path}/{entry.name}" if path else entry.name
    try:
        if entry.is_symlink():
            _inside(folder, below)
        is_dir = entry.is_dir()
        return Artifact(below, entry.name, is_dir, None if is_dir else entry.stat().st_size)
    except (OSError, NotFound):
        return None


def _told(one: dict[str, object]) -> Artifact:
    path, size = str(one.get("path", "")), one.get("file_size")
    is_dir = bool(one.get("is_dir", False))
    return Artifact(path, path.rpartition("/")[2], is_dir, None if is_dir or size is None else int(str(size)))


def _opened(folder: Path, path: str) -> tuple[int, int]:
    place = _inside(folder, path)
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound("There is no such file.") from error
    except OSError as error:
        raise StorageError(f"The file cannot be read: {error.strerror}.") from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise NotFound("That is no file.")
    return descriptor, found.st_size


async def _read(descriptor: int, first: int, last: int) -> AsyncGenerator[bytes, None]:
    at = first
    while at <= last:
        chunk = await asyncio.to_thread(os.pread, descriptor, min(_CHUNK, last - at + 1), at)
        if not chunk:
            return
        at += len(chunk)
        yield chunk


async def _head(source: AsyncGenerator[bytes, None], most: int) -> tuple[bytes, bool]:
    """Return the beginning, and whether there is more."""
    found = bytearray()
    async with contextlib.aclosing(source):
        async for chunk in source:
            found += chunk
            if len(found) > most:
                return bytes(found[:most]), True
    return bytes(found), False


def _span(header: str | None, size: int) -> tuple[int, int]:
    """Return the first and last byte that are wanted; all of them where the header does not say it plainly."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if match is None or size == 0 or match[1] == match[2] == "":
        return 0, size - 1
    if match[1] == "":
        return max(0, size - int(match[2])), size - 1
    first = int(match[1])
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    return (first, last) if first <= last else (0, size - 1)


def _length(response: aiohttp.ClientResponse) -> int | None:
    return response.content_length if "Content-Encoding" not in response.headers else None
