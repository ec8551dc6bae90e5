"""The end of a check's log as people read it."""

from __future__ import annotations

import re

from aidp_ext.git.names import redact

LINES, CHARACTERS = 80, 6_000
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07")
_TIME = re.compile(r"^\ufeff?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z(?: \d\d[OE]\+?)? ?")
_MARK = re.compile(r"^##\[(group|endgroup|command|error|warning|section|debug)\]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def log_tail(text: str) -> str:
    """Return the last lines up to the failure: no times, no colours, nothing that looks like a credential.

    GitHub's jobs tidy up after a failure; what they say then is left out.
    """
    lines = [_TIME.sub("", line) for line in text.split("\n")]
    errors = [at for at, line in enumerate(lines) if line.startswith("##[error]")]
    if errors:
        lines = lines[: errors[-1] + 1]
    shown = [_CONTROLS.sub("", _ESCAPES.sub("", _spoken(_overwritten(line)))).rstrip() for line in lines[-2 * LINES :]]
    while shown and not shown[-1]:
        shown.pop()
    return redact("\n".join(shown[-LINES:]))[-CHARACTERS:]


def _spoken(line: str) -> str:
    match = _MARK.match(line)
    if match is None:
        return line
    return line[match.end() :] if match[1] != "error" else f"Error: {line[match.end() :]}"


def _overwritten(line: str) -> str:
    """Return what a terminal would show of a line: progress bars, and GitLab's marks, go back to its start."""
    return line.rstrip("\r").rpartition("\r")[2]
