"""What a benchmark found: figures with their limits, kept as JSON, shown as one table."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
KEPT = HERE / "results"
REPORT = HERE / "RESULTS.md"
HEADER = ("figure", "measured", "limit", "met")


@dataclass(frozen=True)
class Figure:
    """One measured value. ``limit`` None: for orientation; ``at_least``: the limit is a lower one."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    at_least: bool = False
    spread: tuple[float, float] | None = None  # lowest and highest of the rounds or tries

    @property
    def is_met(self) -> bool:
        """Whether the value keeps to its limit."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def row(self) -> tuple[str, str, str, str]:
        """Return the cells of its line in a table."""
        spread = f" ({_number(self.spread[0])} to {_number(self.spread[1])})" if self.spread else ""
        sign = "≥" if self.at_least else "≤"
        limit = "-" if self.limit is None else f"{sign} {self.limit:g} {self.unit}"
        met = "-" if self.limit is None else ("yes" if self.is_met else "NO")
        return self.name, f"{_number(self.value)} {self.unit}{spread}", limit, met


@dataclass
class Section:
    """What one benchmark found, and under which circumstances."""

    title: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    date: str = ""
    load: str = ""

    def about_packages(self, *names: str) -> None:
        """Note the versions of these packages."""
        self.versions |= {name: version(name) for name in names}


def save(name: str, section: Section) -> None:
    """Keep a section until it is measured again."""
    section.date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    section.load = " ".join(f"{load:.1f}" for load in os.getloadavg())
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"{name}.json").write_text(json.dumps(asdict(section), indent=1) + "\n")


def load(name: str) -> Section | None:
    """Return the section as it was last measured, None where it never was."""
    file = KEPT / f"{name}.json"
    if not file.exists():
        return None
    found = json.loads(file.read_text())
    found["figures"] = [Figure(**figure) for figure in found["figures"]]
    return Section(**found)


def as_text(section: Section) -> str:
    """Return a section for a terminal."""
    rows = [HEADER, *(figure.row() for figure in section.figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([f"\n{section.title}", *lines, *section.notes])


def write_report(sections: list[Section]) -> None:
    """Bring RESULTS.md up to date: what was measured takes the place of what it measured before, the rest stays."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    head = (
        f"# Figures\n\nMade by `python -m bench` ({python}, {os.cpu_count()} cores, {platform.system()}"
        f" {platform.machine()}).\nIn brackets: the lowest and the highest of the rounds or tries; before them their"
        " median."
    )
    there = REPORT.read_text().split("\n## ")[1:] if REPORT.exists() else []
    texts = {text.splitlines()[0]: text.rstrip("\n") for text in there}
    texts |= {section.title: _section(section) for section in sections}
    REPORT.write_text("\n\n## ".join([head, *texts.values()]) + "\n")


def _section(section: Section) -> str:
    lines = [section.title, "", _line(HEADER), _line(["---"] * len(HEADER))]
    lines += [_line(figure.row()) for figure in section.figures]
    lines += ["", *section.notes] if section.notes else []
    about = ", ".join(f"{name} {number}" for name, number in section.versions.items())
    lines += ["", f"{section.date}, load average {section.load}{'; ' + about if about else ''}"]
    return "\n".join(lines)


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
