"""The slash commands of the chat."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aidp_ext.ai.models import Task


@dataclass(frozen=True)
class Command:
    """What a word such as ``/fix`` asks for; ``prompt`` says it to the model."""

    name: str
    description: str
    task: Task = Task.CHAT
    prompt: str = ""


HELP = Command("/help", "List the commands")
COMMANDS = (
    Command(
        "/explain",
        "Explain the cell, the selection or the attached file",
        Task.EXPLAIN,
        "Explain what this does and why, from the whole to the parts. Name what is surprising or easy to get wrong.",
    ),
    Command(
        "/fix",
        "Find the error and mend it",
        Task.FIX,
        "Find the cause of the error and mend it. Say the cause in one or two sentences, then give the whole mended "
        "cell or function as one code block. Change nothing that need not change.",
    ),
    Command(
        "/tests",
        "Write tests",
        Task.TESTS,
        "Write pytest tests for this that can be run as a file of their own: imports first, the usual case, the edge "
        "cases and the errors, each test with a name that says the behaviour.",
    ),
    Command(
        "/docs",
        "Write docstrings and type hints",
        Task.DOCS,
        "Give this docstrings in NumPy style and type hints, and give the whole result as one code block. The "
        "behaviour must not change.",
    ),
    Command(
        "/optimize",
        "Make it faster or simpler",
        Task.REFACTOR,
        "Make this faster and simpler with the same results. Say first what costs most and why, then give the whole "
        "new code as one code block, and say how to measure the difference.",
    ),
    Command(
        "/review",
        "Review it as a colleague would",
        Task.REVIEW,
        "Review this as a careful colleague would: errors first, then what is fragile, unclear or slow. Each point "
        "with its place, why it matters, and what to write instead. Say so where it is fine.",
    ),
    HELP,
)
_BY_NAME = {command.name: command for command in COMMANDS}
_COMMAND = re.compile(r"\s*(/[A-Za-z][\w-]*)(?:\s+|$)")


def read_command(text: str) -> tuple[Command | None, str]:
    """Return the command that a message begins with, and its other words; None where it begins with none.

    A word that looks like a command and is none counts as ``/help``, told by a name of its own.
    """
    found = _COMMAND.match(text)
    if found is None:
        return None, text
    name = found[1]
    known = _BY_NAME.get(name.lower())
    return (known or Command(name, HELP.description)), text[found.end() :]


def help_text(asked: Command) -> str:
    """Return the list of commands; it begins with a word about a command that there is not."""
    lines = [] if asked is HELP else [f"There is no command `{asked.name[:50]}`. These are there:", ""]
    lines += [f"- `{command.name}` — {command.description}" for command in COMMANDS]
    lines += ["", "Words after a command say more. `@file:`, `@cell:`, `@df:` and `@run:` name what it is about."]
    return "\n".join(lines)


def is_known(command: Command) -> bool:
    """Return whether a command has a task for a model."""
    return command.name in _BY_NAME and command is not HELP
