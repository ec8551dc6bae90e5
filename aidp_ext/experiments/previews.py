"""What is shown of a file, without running anything that is in it."""

from __future__ import annotations

import csv
import io
import json
import mimetypes
from pathlib import PurePosixPath
from typing import Any, Literal

from aidp_ext.experiments.models import Preview

Kind = Literal["image", "table", "text", "json", "html", "notebook", "audio", "video", "none"]

#: These are fetched as they are by whoever shows them.
AS_THEY_ARE: tuple[Kind, ...] = ("image", "html", "audio", "video")
TEXT_BYTES, TABLE_BYTES, WHOLE_BYTES = 1_000_000, 4_000_000, 8_000_000
ROWS, COLUMNS, CELL = 200, 200, 500
_TEXTS = {
    *(".txt", ".log", ".md", ".py", ".r", ".jl", ".sh", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".sql", ".patch"),
    *(".diff", ".xml", ".js", ".ts", ".css", ".c", ".h", ".cpp", ".rs", ".go", ".tex", ".jsonl", ".ndjson", ".mlmodel"),
}
_MIMES = {".ipynb": "application/x-ipynb+json", ".parquet": "application/vnd.apache.parquet", ".webp": "image/webp"}
_PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml", "image/bmp", "image/avif"}


def mime_of(path: str) -> str:
    """Return what kind of file it is by its name."""
    suffix = PurePosixPath(path).suffix.lower()
    return _MIMES.get(suffix) or mimetypes.guess_type(f"file{suffix}")[0] or "application/octet-stream"


def kind_of(path: str) -> tuple[Kind, str]:
    """Return how a file is shown, by its name; "none" where its content has to say."""
    suffix, mime = PurePosixPath(path).suffix.lower(), mime_of(path)
    if mime in _PICTURES:
        return "image", mime
    if mime in ("text/html", "application/xhtml+xml"):
        return "html", mime
    if suffix in (".csv", ".tsv"):
        return "table", mime
    if suffix == ".ipynb":
        return "notebook", mime
    if suffix in (".json", ".geojson"):
        return "json", "application/json"
    if mime.startswith(("audio/", "video/")):
        return ("audio" if mime.startswith("audio/") else "video"), mime
    return ("text" if suffix in _TEXTS or mime.startswith("text/") else "none"), mime


def limit_of(kind: Kind) -> int:
    """Return how many bytes are read."""
    return {"table": TABLE_BYTES, "json": WHOLE_BYTES, "notebook": WHOLE_BYTES}.get(kind, TEXT_BYTES)


def shown(kind: Kind, path: str, mime: str, head: bytes, size: int | None, is_cut: bool) -> Preview:
    """Return what is shown of a file that begins so."""
    text = _text(head, is_cut)
    if text is None:
        return Preview("none", path, size, mime, why="It is no text: download it to look at it.")
    if kind == "table":
        return _table(path, mime, text, size, is_cut)
    if kind in ("json", "notebook"):
        return _document(kind, path, mime, text, size, is_cut)
    return Preview("text", path, size, mime if kind == "text" else "text/plain", text=text, is_cut=is_cut)


def _text(head: bytes, is_cut: bool) -> str | None:
    """Return bytes as text; None where they are none. What is cut may end within a sign."""
    if b"\0" in head:
        return None
    for cut in range(4 if is_cut else 1):
        try:
            return head[: len(head) - cut].decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
    return None


def _table(path: str, mime: str, text: str, size: int | None, is_cut: bool) -> Preview:
    lines = text.splitlines(keepends=True)
    if is_cut and len(lines) > 1:
        lines.pop()  # half a line
    sign = "\t" if path.lower().endswith(".tsv") else ","
    try:
        rows = [row for row in csv.reader(io.StringIO("".join(lines)), delimiter=sign) if row]
    except csv.Error:
        return Preview(
            "text", path, size, "text/plain", text=text[:TEXT_BYTES], is_cut=is_cut or len(text) > TEXT_BYTES
        )
    if not rows:
        return Preview("table", path, size, mime, columns=(), rows=(), total_rows=0, is_cut=is_cut)
    total = None if is_cut else len(rows) - 1
    return _rows(path, mime, size, rows[0], rows[1:], total, is_cut)


def _rows(
    path: str, mime: str, size: int | None, columns: list[Any], rows: list[Any], total: int | None, is_cut: bool
) -> Preview:
    return Preview(
        "table",
        path,
        size,
        mime,
        columns=tuple(_cell(one) for one in columns[:COLUMNS]),
        rows=tuple(tuple(_cell(one) for one in row[:COLUMNS]) for row in rows[:ROWS]),
        total_rows=total,
        is_cut=is_cut or len(rows) > ROWS or len(columns) > COLUMNS,
    )


def _cell(value: Any) -> str:
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return said if len(said) <= CELL else f"{said[:CELL]}…"


def _document(kind: Kind, path: str, mime: str, text: str, size: int | None, is_cut: bool) -> Preview:
    """Return JSON as it is, MLflow's tables as tables, notebooks without anything but texts."""
    try:
        said = None if is_cut else json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if kind == "notebook" and isinstance(said, dict) and isinstance(said.get("cells"), list):
        cells = [_notebook_cell(cell) for cell in said["cells"] if isinstance(cell, dict)]
        return Preview("notebook", path, size, mime, text=json.dumps({"cells": cells}, ensure_ascii=False))
    if isinstance(said, dict) and set(said) == {"columns", "data"}:  # as mlflow.log_table writes them
        columns, data = said["columns"], said["data"]
        if isinstance(columns, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
            return _rows(path, mime, size, columns, data, len(data), False)
    short = text[:TEXT_BYTES]
    kind = "json" if kind == "json" else "text"
    return Preview(kind, path, size, mime, text=short, is_cut=is_cut or len(text) > TEXT_BYTES)


def _notebook_cell(cell: dict[str, Any]) -> dict[str, Any]:
    outputs = [text for output in _list(cell.get("outputs")) if (text := _output(output))]
    return {
        "cell_type": str(cell.get("cell_type", "")),
        "source": _joined(cell.get("source")),
        "outputs": [{"text": text} for text in outputs],
    }


def _output(output: Any) -> str:
    if not isinstance(output, dict):
        return ""
    data = output.get("data")
    said = _joined(output.get("text")) or _joined(data.get("text/plain") if isinstance(data, dict) else None)
    words = [str(output[name]) for name in ("ename", "evalue") if output.get(name)]
    return (said or ": ".join(words))[:20_000]


def _joined(text: Any) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else text if isinstance(text, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
