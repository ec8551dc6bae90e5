"""Runs as a table for spreadsheets."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from aidp_ext.experiments.models import Row

#: What makes a spreadsheet take a text for a formula (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_HEAD = ("run", "name", "experiment", "status", "started", "ended", "user", "notebook", "commit")


def head(columns: Sequence[str]) -> bytes:
    """Return the first line, after the mark that says UTF-8 to spreadsheets."""
    return b"\xef\xbb\xbf" + _lines([[*_HEAD, *map(harmless, columns)]])


def lines(rows: Iterable[Row], columns: Sequence[str]) -> bytes:
    """Return a line for each run."""
    return _lines([_cells(row, columns) for row in rows])


def harmless(value: object) -> object:
    """Return a text that no spreadsheet takes for a formula; a number stays one."""
    is_formula = isinstance(value, str) and value.startswith(_FORMULA) and not _NUMBER.fullmatch(value)
    return f"'{value}" if is_formula else value


def _cells(row: Row, columns: Sequence[str]) -> list[object]:
    told = [
        row.id,
        row.name,
        row.experiment_id,
        row.status,
        _time(row.start_ms or None),
        _time(row.end_ms),
        row.user,
        row.cell.notebook if row.cell else "",
        row.commit or "",
    ]
    return [*map(harmless, told), *(_value(row.values.get(column)) for column in columns)]


def _value(value: float | str | None) -> object:
    if value in ("NaN", "Infinity", "-Infinity"):
        return value
    return "" if value is None else harmless(value)


def _time(ms: int | None) -> str:
    try:
        return "" if ms is None else datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):  # a clock that was far off
        return str(ms)


def _lines(rows: Sequence[Sequence[object]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode()
