"""What it costs to choose what a model is told: notebooks of 500 and 2,000 cells, seen before or not."""

from __future__ import annotations

import tempfile
import time
from itertools import count
from pathlib import Path

from aidp_ext.ai.context.service import ContextService
from aidp_ext.ai.context.wire import (
    CellSaid,
    ColumnSaid,
    ContextQuestion,
    DocumentSaid,
    KernelSaid,
    OpenFileSaid,
    OutputSaid,
    VariableSaid,
)
from aidp_ext.ai.models import Task
from aidp_ext.ai.rules import Rules
from bench.figures import Figure, Section
from bench.measure import middle
from tests.support.notebook_text import TEXT

LIMIT_MS = 10.0
ROUNDS = 9
TIMES = 10
FILES = 60

_LINES = [line for line in TEXT.splitlines() if line.strip()]


def cell(number: int) -> CellSaid:
    """Return a cell of some lines of a real notebook that uses what earlier ones define."""
    if number % 5 == 0:
        return CellSaid(id=f"c{number}", type="markdown", source=f"## Step {number}\nWhat comes next, and why.")
    start = number * 7 % len(_LINES)
    lines = [f"df_{number} = clean(df_{max(0, number - 3)}, {number})", *_LINES[start : start + 8]]
    output = OutputSaid(kind="text", text=f"{number} rows\n" * 20)
    return CellSaid(id=f"c{number}", source="\n".join(lines), count=number, outputs=[output])


def question(cells: list[CellSaid], task: Task) -> ContextQuestion:
    """Return a question about the last cell but ten."""
    columns = [ColumnSaid(name=f"column_{number}", dtype="float64") for number in range(12)]
    frames = [VariableSaid(name=f"df_{n}", type="DataFrame", shape=[891, 12], columns=columns) for n in range(40)]
    return ContextQuestion(
        task=task,
        document=DocumentSaid(path="bench.ipynb", cells=cells, active=cells[-10].id),
        kernel=KernelSaid(variables=frames),
        open=[OpenFileSaid(path="prep.py", text="def clean(df, step):\n    return df.dropna()\n")],
        query="why does clean drop these rows?" if task == Task.CHAT else "",
    )


def workspace(folder: Path) -> Path:
    """Write some files with functions."""
    for number in range(FILES):
        functions = "\n\n".join(f"def helper_{number}_{n}(frame):\n    return frame.head({n})" for n in range(20))
        (folder / f"module_{number}.py").write_text(functions)
    return folder


def cpu_ms(service: ContextService, cells: list[CellSaid], task: Task) -> tuple[float, tuple[float, float]]:
    """Return the CPU time of one choice while the active cell is being written: it is new each time."""
    asked = question(cells, task)
    assert asked.document is not None
    active = asked.document.cells[-10]
    written = count()
    base = active.source
    found = []
    service.choose(asked, owner="bench")
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(TIMES):
            active.source = f"{base}\nstep = clean(df_{len(cells) - 13}, {next(written)})"
            service.choose(asked, owner="bench")
        found.append((time.process_time() - started) / TIMES * 1000)
    active.source = base
    return middle(found)


def cold_ms(folder: Path, cells: list[CellSaid]) -> tuple[float, tuple[float, float]]:
    """Return the CPU time of a service's first choice."""
    found = []
    for _ in range(ROUNDS):
        service = ContextService(folder, Rules(folder))
        service.index.close()
        started = time.process_time()
        service.choose(question(cells, Task.CHAT), owner="bench")
        found.append((time.process_time() - started) * 1000)
    return middle(found)


def run() -> Section:
    """Measure."""
    section = Section("Context")
    with tempfile.TemporaryDirectory() as name:
        folder = workspace(Path(name))
        service = ContextService(folder, Rules(folder))
        started = time.process_time()
        service.index.refresh()
        indexed = (time.process_time() - started) * 1000
        for size in (500, 2000):
            cells = [cell(number) for number in range(size)]
            for task in (Task.COMPLETE, Task.CHAT):
                value, spread = cpu_ms(service, cells, task)
                limit = LIMIT_MS if size == 500 else None
                section.figures.append(
                    Figure(f"choose of {size:,} cells, {task}, CPU", value, "ms", limit, spread=spread)
                )
            value, spread = cold_ms(folder, cells)
            section.figures.append(Figure(f"choose of {size:,} cells never seen, CPU", value, "ms", spread=spread))
        section.figures.append(Figure(f"index {FILES} files of 20 functions, CPU", indexed, "ms"))
    section.notes = [
        f"Cells of about {sum(len(one.source) for one in cells) // len(cells)} characters; the active one changes with"
        " each choice, as while it is written. Ones never seen are chosen from in a thread.",
        f"Medians of {ROUNDS} rounds, one process.",
    ]
    section.about_packages("msgspec")
    return section
