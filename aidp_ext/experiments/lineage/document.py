"""A notebook made of the cells that are to run again, with what is to be known of it at its head."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from aidp_ext.experiments.lineage.replay import Replay

_MOST_METRICS = 12
_PYTHON = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}


@dataclass(frozen=True)
class RestoredRun:
    """What the tracking server says of a run."""

    id: str
    name: str
    start_ms: int
    artifact_uri: str
    tags: Mapping[str, str]
    metrics: Mapping[str, Any]

    @property
    def notebook(self) -> PurePosixPath | None:
        """Where its notebook is in the workspace; None where there is none, or its place is none of the workspace's."""
        told = self.tags.get("aidp.notebook")
        path = PurePosixPath(told) if told else None
        return None if path is None or path.is_absolute() or ".." in path.parts else path


def plain(name: str) -> str:
    """Return a name as it may be part of a file's or a branch's name."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:60]


def kernel_of(workspace: Path, run: RestoredRun) -> dict[str, Any]:
    """Return the kernel of the run's own notebook, as it says now; Python where it is not there."""
    try:
        assert run.notebook is not None
        found = json.loads((workspace / run.notebook).read_bytes())["metadata"]
        kept = {name: found[name] for name in ("kernelspec", "language_info") if isinstance(found.get(name), dict)}
    except (AssertionError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return _PYTHON
    return kept if "kernelspec" in kept else _PYTHON


def document(
    run: RestoredRun, chosen: Replay, environment: str | None, link: str | None, metadata: Mapping[str, Any]
) -> bytes:
    """Return the notebook; ``environment`` is the file of its packages, beside it, ``link`` the address of the run."""
    head = {"cell_type": "markdown", "id": "restored", "metadata": {}, "source": _head(run, chosen, environment, link)}
    cells: list[dict[str, Any]] = [head]
    for number, cell in enumerate(chosen.cells, 1):
        cells.append(
            {
                "cell_type": "code",
                "id": f"cell-{number}",
                "metadata": {"aidp": {"restored_from": {"run": run.id, "count": cell.count}}},
                "execution_count": None,
                "outputs": [],
                "source": cell.source,
            }
        )
    whole = {"cells": cells, "metadata": dict(metadata), "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False).encode() + b"\n"


def _head(run: RestoredRun, chosen: Replay, environment: str | None, link: str | None) -> str:
    when = datetime.fromtimestamp(run.start_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    named = f"[`{run.id}`]({link})" if link else f"`{run.id}`"
    lines = [f"# {_said(run.name)}, restored", "", f"- Run {named}, begun {when}"]
    if run.notebook is not None:
        count = run.tags.get("aidp.cell.count")
        lines.append(f"- From `{_code(str(run.notebook))}`" + (f", cell [{_code(count)}]" if count else ""))
    if commit := run.tags.get("mlflow.source.git.commit"):
        branch = run.tags.get("mlflow.source.git.branch")
        on = f" on `{_code(branch)}`" if branch else ""
        dirty = ", with changes that were not committed" if run.tags.get("aidp.git.dirty") == "true" else ""
        lines.append(f"- Commit `{_code(commit)}`{on}{dirty}")
    if run.metrics:
        shown = [f"{_said(name)} = {value}" for name, value in sorted(run.metrics.items())[:_MOST_METRICS]]
        more = len(run.metrics) - len(shown)
        lines.append(f"- Metrics: {', '.join(shown)}" + (f", and {more} more" if more > 0 else ""))
    if environment:
        lines.append(
            f"- Environment: `pip install -r {_code(environment)}` (Python {run.tags.get('aidp.python', '?')})"
        )
    lines += [f"- Note: {note}" for note in (*chosen.notes, *about_code(run))]
    return "\n".join(lines)


def about_code(run: RestoredRun) -> tuple[str, ...]:
    """Return what is missing or changed in what was kept of the code of a run."""
    missing = run.tags.get("aidp.captured", "")
    found = [missing.removeprefix("partly: ")] if missing.startswith("partly: ") else []
    if run.tags.get("aidp.redacted"):
        found.append("secrets in the code were replaced by their kind in brackets")
    return tuple(found)


def _code(text: str | None) -> str:
    return (text or "").replace("`", "'").replace("\n", " ")


def _said(text: str) -> str:
    """Return a name as Markdown shows it, whatever it holds."""
    return re.sub(r"([\\`*_{}\[\]<>#|!])", r"\\\1", " ".join(text.split()))
