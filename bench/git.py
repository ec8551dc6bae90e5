"""What a look at a repository of 100,000 files costs: ours, plain `git status`, and jupyterlab-git if it is there."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from aidp_ext.core import proc
from aidp_ext.git.command import Git, Locks
from aidp_ext.git.state import fingerprint, state
from bench.figures import Figure, Section

FILES, PER_FOLDER = 100_000, 100
MODIFIED, UNTRACKED = 100, 300
ROUNDS = 9
ROUNDS_JLG = 3  # it takes so much longer
RATIO, QUICKER = 1.3, 3.0
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


def run() -> Section:
    """Measure."""
    os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    with tempfile.TemporaryDirectory(prefix="aidp-bench-git-") as name:
        make(Path(name) / "repository")
        section = asyncio.run(_measure(Path(name) / "repository"))
    version = subprocess.run(["git", "--version"], check=True, capture_output=True, text=True).stdout.split()[2]
    section.versions["git"] = version
    return section
