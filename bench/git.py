"""What a look at a repository of 100,000 files costs: ours, plain `git status`, and jupyterlab-git if it is there."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from aidp_ext.ai import detect
from aidp_ext.core import proc
from aidp_ext.git.command import Git, Locks
from aidp_ext.git.models import PreflightOptions
from aidp_ext.git.preflight import preflight
from aidp_ext.git.state import fingerprint, state
from bench.figures import Figure, Section
from bench.measure import cpu_seconds

FILES, PER_FOLDER = 100_000, 100
MODIFIED, UNTRACKED = 100, 300
ROUNDS = 9
ROUNDS_JLG = 3  # it takes so much longer
RATIO, QUICKER, PREFLIGHT_S = 1.3, 3.0, 3.0
JLG = Path(__file__).parents[1] / ".venv" / "jlg"  # where `make .venv/.done/jlg` installs it


def _git(root: Path, *args: str, stdin: bytes = b"") -> None:
    subprocess.run(["git", *args], cwd=root, check=True, capture_output=True, input=stdin)


def make(root: Path) -> None:
    """Make the repository: committed files, some of them changed since, and some that Git does not know."""
    root.mkdir()
    _git(root, "init", "--quiet", "--initial-branch=main")
    _git(root, "config", "gc.auto", "0")
    folders = [f"part{n // 100}/set{n}" for n in range(FILES // PER_FOLDER)]
    _git(root, "fast-import", "--quiet", "--done", stdin="".join(_history(folders)).encode())
    _git(root, "reset", "--quiet", "--hard")
    for folder in folders[:: len(folders) // MODIFIED]:
        with (root / folder / "f7.py").open("a") as file:
            file.write("more = True\n")
    for folder in folders[:UNTRACKED]:
        (root / folder / "untracked.txt").write_text("new\n")


def _history(folders: list[str]) -> Iterator[str]:
    """Yield what makes fast-import commit all files."""
    yield "commit refs/heads/main\ncommitter Bench <bench@example.org> 1700000000 +0000\ndata 3\nAll\n"
    for number, folder in enumerate(folders):
        for name in range(PER_FOLDER):
            text = f"value = {number * PER_FOLDER + name}\n"
            yield f"M 100644 inline {folder}/f{name}.py\ndata {len(text)}\n{text}\n"
    yield "done\n"


@contextlib.contextmanager
def _counting() -> Iterator[list[str]]:
    """Count the processes that our runner starts."""
    started: list[str] = []
    real = proc.output

    async def output(argv: list[str], **options: object) -> proc.Output:
        started.append(argv[0])
        return await real(argv, **options)  # type: ignore[arg-type]

    proc.output = output  # type: ignore[assignment]
    try:
        yield started
    finally:
        proc.output = real


async def _plain(root: Path) -> None:
    process = await asyncio.create_subprocess_exec("git", "status", cwd=root, stdout=asyncio.subprocess.DEVNULL)
    assert not await process.wait()


async def _seconds(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def _jupyterlab_git(root: Path) -> Callable[[], Awaitable[object]] | None:
    """Return what jupyterlab-git's endpoint of the status does; None where the package is not installed."""
    sys.path += [str(place) for place in JLG.glob("lib/python*/site-packages") if str(place) not in sys.path]
    if importlib.util.find_spec("jupyterlab_git") is None:
        return None
    has_core = importlib.util.find_spec("jupyterlab_git_core") is not None  # from 0.55 on
    theirs = importlib.import_module("jupyterlab_git_core.git" if has_core else "jupyterlab_git.git").Git()

    async def status() -> None:
        found = await theirs.status(str(root))
        assert found["code"] == 0 and len(found["files"]) == MODIFIED + UNTRACKED, str(found)[:500]

    return status


def _spread(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)


async def _measure(root: Path) -> Section:
    section = Section(f"A look at a repository of {FILES:,} files, {MODIFIED} modified and {UNTRACKED} untracked")
    git = Git(root, Locks())
    await _plain(root)  # the caches are filled
    first = await _seconds(lambda: state(Git(root, Locks())))
    assert len((await state(git)).changes) == MODIFIED + UNTRACKED
    rounds: dict[str, list[float]] = {"plain": [], "ours": [], "first": []}
    for number in range(ROUNDS):
        # A first look knows nothing; a later one need not count lines again
        looks = {
            "plain": lambda: _plain(root),
            "ours": lambda: state(git),
            "first": lambda: state(Git(root, Locks())),
        }
        for name in sorted(looks, reverse=bool(number % 2)):
            rounds[name].append(await _seconds(looks[name]))
    plain, ours = rounds["plain"], rounds["ours"]
    for name, label in (("ours", "state"), ("first", "state, the first look")):
        ratios = [one / other for one, other in zip(rounds[name], plain, strict=True)]
        what = f"{label} / plain `git status`"
        section.figures.append(Figure(what, statistics.median(ratios), "x", RATIO, spread=_spread(ratios)))
    for label, values in (("state", ours), ("state, the first look", rounds["first"]), ("plain `git status`", plain)):
        section.figures.append(Figure(label, statistics.median(values), "s", spread=_spread(values)))
    await _theirs(root, git, section)
    await _idle(git, section)
    await _preflight(root, section)
    section.notes = [
        f"Medians of {ROUNDS} rounds in turn; the very first look, with cold caches of its own, took {first:.2f} s.",
        "The least of the ratios and the greatest are in brackets.",
    ]
    return section


async def _theirs(root: Path, git: Git, section: Section) -> None:
    status = await _jupyterlab_git(root)
    if status is None:
        section.notes.append("jupyterlab-git is not installed: nothing to compare with.")
        return
    theirs, ratios = [], []
    for _ in range(ROUNDS_JLG):
        ours = await _seconds(lambda: state(git))
        theirs.append(await _seconds(status))
        ratios.append(theirs[-1] / ours)
    name = "jupyterlab-git's status / state"
    section.figures.append(Figure(name, statistics.median(ratios), "x", QUICKER, at_least=True, spread=_spread(ratios)))
    section.figures.append(Figure("jupyterlab-git's status", statistics.median(theirs), "s", spread=_spread(theirs)))
    section.about_packages("jupyterlab-git")


async def _idle(git: Git, section: Section) -> None:
    """What a panel costs that looks every three seconds and finds nothing new: for a minute, and the look after it."""
    await state(git)
    with _counting() as started:
        times = [await _seconds(lambda: fingerprint(git)) for _ in range(20)]
        await state(git)
    section.figures.append(Figure("processes of an idle panel", len(started), "a minute", 1.0))
    section.figures.append(
        Figure("fingerprint", statistics.median(times) * 1000, "ms", spread=_spread([t * 1000 for t in times]))
    )


def _stage_work(root: Path) -> None:
    """Stage a hundred changed files, ten of them notebooks of 5 MB: half an image, half a table as text and HTML."""
    pixels = random.Random(7).randbytes(1_900_000)
    rows = "".join(f"{n},{n * 7919 % 10007},{n % 7},ab{n:06d}\n" for n in range(60_000))
    table = "".join(f"<tr><td>{n}</td><td>{n * 7919 % 10007}</td></tr>\n" for n in range(30_000))
    output = {
        "image/png": base64.b64encode(pixels).decode(),
        "text/plain": rows,
        "text/html": f"<table>{table}</table>",
    }
    cell = {"cell_type": "code", "id": "c", "execution_count": 1, "metadata": {}, "source": "df.plot()"}
    cell["outputs"] = [{"output_type": "display_data", "metadata": {}, "data": output}]
    notebook = json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    for number in range(10):
        (root / f"work{number}.ipynb").write_text(notebook.replace("df.plot()", f"df.plot({number})"))
    for number in range(90):
        text = "".join(f"x{n} = load('data/{number}-{n}.csv')  # step {n}\n" for n in range(400))
        (root / f"work{number}.py").write_text(text)
    _git(root, "add", "--", *[path.name for path in root.glob("work*")])


def _find(text: str, personal: bool) -> list[tuple[int, int, str, str]]:
    """Find secrets as the server has it done."""
    kinds = detect.DEFAULT_KINDS if personal else detect.SECRET_KINDS
    return [(m.start, m.end, m.kind, detect.LABELS[m.kind]) for m in detect.find(text, kinds)]


async def _preflight(root: Path, section: Section) -> None:
    """What the checks cost of what would be committed, with the processes that they start."""
    _git(root, "reset", "--quiet", "--hard")
    _stage_work(root)
    spent = []
    for _ in range(3):
        before = cpu_seconds(os.getpid())
        results = [one async for one in preflight(Git(root, Locks()), PreflightOptions(), _find)]
        spent.append(cpu_seconds(os.getpid()) - before)
        assert sum(len(one.findings) for one in results if one.name == "outputs") == 10, results
    what = "checks of 100 changed files, ten of them notebooks of 5 MB, CPU"
    section.figures.append(Figure(what, statistics.median(spent), "s", PREFLIGHT_S, spread=_spread(spent)))


def run() -> Section:
    """Measure."""
    os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    with tempfile.TemporaryDirectory(prefix="aidp-bench-git-") as name:
        make(Path(name) / "repository")
        section = asyncio.run(_measure(Path(name) / "repository"))
    version = subprocess.run(["git", "--version"], check=True, capture_output=True, text=True).stdout.split()[2]
    section.versions["git"] = version
    return section
