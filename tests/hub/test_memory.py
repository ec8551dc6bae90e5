"""What a server is told of its memory, as Linux says it in either version of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from aidp_ext.hub.memory import MemorySaid, look

NOTHING = MemorySaid(limit=None, ended=0)
EVENTS = "low 0\nhigh 0\nmax 312\noom 4\noom_kill 3\noom_group_kill 0\n"
CASES: dict[str, tuple[dict[str, str], MemorySaid]] = {
    "a container": (
        {"memory.max": "4294967296\n", "memory.events": EVENTS},
        MemorySaid(limit=4 << 30, ended=3),
    ),
    "one without a limit": (
        {
            "memory.max": "max\n",
            "memory.current": "4096\n",
            "memory.events": EVENTS.replace("oom_kill 3", "oom_kill 0"),
        },
        MemorySaid(limit=None, ended=0),
    ),
    "a container, version 1": (
        {
            "memory/memory.limit_in_bytes": "671088640\n",
            "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
        },
        MemorySaid(limit=640 << 20, ended=1),
    ),
    "no limit, version 1": (
        {"memory/memory.limit_in_bytes": "9223372036854771712\n", "memory/memory.oom_control": "under_oom 0\n"},
        NOTHING,
    ),
    "an old kernel's events": ({"memory.max": "max", "memory.events": "oom 1\nmax\n\n"}, NOTHING),
    "what is no number": ({"memory.max": "٣", "memory.events": "oom_kill x\n"}, NOTHING),
    "a laptop": ({}, NOTHING),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_read_from_the_control_group(tmp_path: Path, name: str) -> None:
    files, said = CASES[name]
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    assert look(tmp_path) == said
