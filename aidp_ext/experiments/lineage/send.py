"""Gives the tracking server what was gathered of a run: its files as artifacts, then its tags in one call."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from aidp_ext.core.errors import AidpError, NotFound, UpstreamError, UpstreamRejected
from aidp_ext.experiments.lineage.evidence import Evidence
from aidp_ext.experiments.upstream import Upstream

_API = "/api/2.0/mlflow"
_FILES = "/api/2.0/mlflow-artifacts/artifacts"
_FOLDER = "aidp"
_MOST_VALUE = 8000  # MLflow's own limit for a tag
_UPLOAD_S = 120.0


async def call(upstream: Upstream, path: str, body: Mapping[str, Any], *, method: str = "POST") -> dict[str, Any]:
    """Ask MLflow's REST API, ``path`` below ``/api/2.0/mlflow``, and return its answer.

    Raises NotFound for what is not there, UpstreamRejected for what it refuses, and what the request raises.
    """
    given: dict[str, Any] = {"params": body} if method == "GET" else {"json": dict(body)}
    async with upstream.request(method, f"{_API}/{path}", **given) as response:
        if response.status == 200:
            found = await response.json(content_type=None)
            return found if isinstance(found, dict) else {}
        said = (await response.text())[:500]
        raise _refused(response.status, said)


def _refused(status: int, said: str) -> AidpError:
    if status == 404 or "RESOURCE_DOES_NOT_EXIST" in said:
        return NotFound("The tracking server has no such run.")
    return UpstreamRejected(f"The tracking server answered {status}.", status=status)


def is_passing(error: AidpError) -> bool:
    """Return whether the same may work later: the server is away, busy or locked, and does not refuse it."""
    return not isinstance(error, UpstreamRejected) or error.status in (408, 425, 429) or error.status >= 500


async def tag(upstream: Upstream, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags of a run in one call. Raises as :func:`call` does."""
    listed = [{"key": name, "value": value[:_MOST_VALUE]} for name, value in tags.items()]
    await call(upstream, "runs/log-batch", {"run_id": run_id, "tags": listed})


async def untag(upstream: Upstream, run_id: str, name: str) -> None:
    """Take a tag away, which need not be there. Raises as :func:`call` does."""
    with contextlib.suppress(NotFound):
        await call(upstream, "runs/delete-tag", {"run_id": run_id, "key": name})


async def send_files(upstream: Upstream, artifact_uri: str, evidence: Evidence) -> list[str]:
    """Put the files among a run's artifacts, below ``aidp/``; return what is missing of them, in words.

    Raises as :func:`call` does where they may be sent later.
    """
    place = _below_root(artifact_uri)
    if place is None:
        kind = urlsplit(artifact_uri).scheme or "a folder"
        return [f"the artifacts of this experiment go straight to {kind}, where the server cannot write"]
    if upstream.artifacts is not None:
        return await asyncio.to_thread(_put_here, upstream.artifacts, place, evidence.folder, evidence.files)
    for name in evidence.files:
        await _put(upstream, place / _FOLDER / name, evidence.folder / name)
    return []


def _below_root(artifact_uri: str) -> PurePosixPath | None:
    """Return the place of a run's artifacts below the root of those that the tracking server itself serves."""
    parts = urlsplit(artifact_uri)
    path = PurePosixPath(unquote(parts.path).lstrip("/"))
    return path if parts.scheme == "mlflow-artifacts" and ".." not in path.parts else None


def _put_here(root: Path, place: PurePosixPath, folder: Path, names: Sequence[str]) -> list[str]:
    target = root / place / _FOLDER
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in names:
            with contextlib.suppress(FileExistsError):
                _link(folder / name, target / name)
    except OSError as error:
        return [f"its files could not be written: {error.strerror or 'no reason was given'}"]
    return []


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, which costs nothing for the hundred runs of one cell; or copy it."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


async def _put(upstream: Upstream, path: PurePosixPath, file: Path) -> None:
    target = f"{_FILES}/{quote(str(path))}"
    data = await asyncio.to_thread(file.open, "rb")  # which aiohttp reads in a thread of its own
    with data:
        async with upstream.request("PUT", target, data=data, timeout_s=_UPLOAD_S) as response:
            status = response.status
    if status >= 500:
        raise UpstreamError(f"The tracking server answered {status}.")
    if status != 200:
        raise _refused(status, "")
