"""Runs a file of tests with pytest and tells what it prints."""

from __future__ import annotations

import contextlib
import fnmatch
import re
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from aidp_ext.ai.actions.files import Files
from aidp_ext.ai.actions.wire import Ended, Line, RunEvent
from aidp_ext.core import proc
from aidp_ext.core.errors import NotFound, ProcessError, ProcessTimeout, Unavailable

#: Seconds until a run is stopped.
TIME_LIMIT_S = 120.0
MOST_LINES = 2000
MOST_CHARACTERS = 400_000
_LONGEST_LINE = 2000
_TIMED_OUT = 124  # as timeout(1) has it
_MEANS = {
    2: "The run was interrupted, or the file cannot be read as Python.",
    3: "pytest itself failed.",
    4: "pytest was called in a wrong way; look at the workspace's settings of pytest.",
    5: "There are no tests in the file.",
}


def tests_in(files: Files, path: str) -> Path:
    """Return a Python file in the workspace. Raises NotFound where there is none."""
    found = files.find(path)
    try:
        is_there = found is not None and found.suffix == ".py" and found.is_file()
    except OSError:
        is_there = False
    if found is None or not is_there:
        raise NotFound(
            "There is no such file of tests in the workspace.", next_step="Accept the proposal first; that saves it."
        )
    return found


async def run(
    files: Files, path: Path, hidden: Sequence[str] = (), time_limit_s: float = TIME_LIMIT_S
) -> AsyncGenerator[RunEvent, None]:
    """Run the tests in a file and yield its lines, and at last how it ended. Closing it ends the run, children too.

    The workspace is the working folder, and ``hidden`` are patterns over the names of variables that tests do not get.
    Raises Unavailable where pytest is not installed.
    """
    argv = [sys.executable, "-m", "pytest", "--color=no", "-p", "no:cacheprovider", "--", str(path)]
    kept = proc.child_environment()
    environment = {name: "" for name in kept if any(fnmatch.fnmatchcase(name, one) for one in hidden)}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # a run leaves nothing behind in the workspace
    output = _Output()
    try:
        lines = proc.lines(argv, cwd=files.root, env=environment, timeout_s=time_limit_s)
        async with contextlib.aclosing(lines):  # type: ignore[type-var]
            async for line in lines:
                if "No module named pytest" in line and not output.count:
                    raise Unavailable(
                        "pytest is not installed where the server runs.", next_step="Run `pip install pytest` there."
                    )
                if (shown := output.take(line)) is not None:
                    yield Line(text=shown)
        yield Ended(passed=True, exit=0, summary=output.summary or "The tests passed.")
    except ProcessTimeout:
        yield Ended(passed=False, exit=_TIMED_OUT, summary=f"Stopped: the tests took longer than {time_limit_s:g} s.")
    except ProcessError as error:
        code = int(error.details.get("returncode", 1))
        says = output.summary or _MEANS.get(code) or f"The run ended with the status {code}."
        yield Ended(passed=False, exit=code, summary=_MEANS[code] if code == 5 else says)


class _Output:
    """Bounds what is told of a run, and finds pytest's last line in it."""

    def __init__(self) -> None:
        self.count = 0
        self.summary = ""
        self._characters = 0

    def take(self, line: str) -> str | None:
        """Return what to show of a line, None for nothing more."""
        if found := re.fullmatch(r"=+ (.*\bin [\d.]+s.*?) =+", line[:_LONGEST_LINE]):
            self.summary = found[1]
        line = line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"
        self.count += 1
        self._characters += len(line)
        is_full = self.count > MOST_LINES or self._characters > MOST_CHARACTERS
        if not is_full:
            return line
        if self.count < 10**9:
            self.count = 10**9
            return "… the rest of the output is left out …"
        return None
