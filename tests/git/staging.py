"""A real repository with things staged in it, and notebooks made in code."""

from __future__ import annotations

import json
import os
import subprocess
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aidp_ext.ai import detect
from aidp_ext.git.command import Git, Locks
from aidp_ext.git.models import CheckResult, Finding, PreflightOptions
from aidp_ext.git.preflight import preflight


def find(text: str, personal: bool) -> list[tuple[int, int, str, str]]:
    """Find as the composition root has it done."""
    kinds = detect.DEFAULT_KINDS if personal else detect.SECRET_KINDS
    return [(m.start, m.end, m.kind, detect.LABELS[m.kind]) for m in detect.find(text, kinds)]


class Repo:
    """A repository in a folder of its own, which knows nothing of the machine's configuration."""

    def __init__(self, folder: Path, env: Mapping[str, str] = {}) -> None:
        self.root = folder / "repo"
        self.root.mkdir()
        self.env = {
            "HOME": str(folder),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ana",
            "GIT_AUTHOR_EMAIL": "ana@example.org",
            "GIT_COMMITTER_NAME": "Ana",
            "GIT_COMMITTER_EMAIL": "ana@example.org",
            **env,
        }
        self.sh("init", "-q", "-b", "main")
        self.git = Git(self.root, Locks(), env=self.env)

    def sh(self, *args: str, stdin: bytes | None = None, check: bool = True) -> bytes:
        done = subprocess.run(
            ["git", *args], cwd=self.root, env={**os.environ, **self.env}, input=stdin, capture_output=True, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def write(self, path: str, content: str | bytes | dict[str, Any]) -> Path:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            content = written(content)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
        return place

    def stage(self, path: str, content: str | bytes | dict[str, Any]) -> Path:
        place = self.write(path, content)
        self.sh("--literal-pathspecs", "add", "-f", "--", path)
        return place

    def commit(self, message: str = "work") -> None:
        self.sh("commit", "-q", "--no-verify", "-m", message)

    def staged(self, path: str) -> bytes:
        return self.sh("cat-file", "blob", f":{path}")

    async def check(self, **options: Any) -> dict[str, CheckResult]:
        """Run all checks; by their names, in their order."""
        results = [one async for one in preflight(self.git, PreflightOptions(**options), find)]
        return {one.name: one for one in results}

    async def findings(self, check: str, **options: Any) -> list[Finding]:
        return list((await self.check(**options))[check].findings)

    async def finding(self, check: str, **options: Any) -> Finding:
        found = await self.findings(check, **options)
        assert len(found) == 1, found
        return found[0]


def notebook(*cells: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def code(
    source: str, *outputs: dict[str, Any], id: str = "", count: int | None = None, **metadata: Any
) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": count,
        "id": id or f"{zlib.crc32(source.encode()):08x}",
        "metadata": metadata,
        "outputs": list(outputs),
        "source": source.splitlines(keepends=True),
    }


def markdown(source: str, id: str = "m1", **metadata: Any) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": id, "metadata": metadata, "source": source.splitlines(keepends=True)}


def stream(text: str) -> dict[str, Any]:
    return {"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}


def display(**data: Any) -> dict[str, Any]:
    """Of MIME types with `_` for `/`."""
    types = {name.replace("_", "/", 1): value for name, value in data.items()}
    return {"data": types, "metadata": {}, "output_type": "display_data"}


def error(message: str, *trace: str) -> dict[str, Any]:
    return {"ename": "ValueError", "evalue": message, "output_type": "error", "traceback": list(trace)}


def written(content: dict[str, Any], indent: int | str | None = 1) -> bytes:
    """As Jupyter writes it."""
    return (json.dumps(content, indent=indent, ensure_ascii=False) + "\n").encode()
