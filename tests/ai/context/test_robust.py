"""Whatever a front end says: no error, bounded, and text that can be sent."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_ext.ai import find_secrets
from aidp_ext.ai.context.memory import Memory
from aidp_ext.ai.context.models import Chosen
from aidp_ext.ai.context.wire import ContextQuestion
from aidp_ext.ai.models import Task
from tests.ai.context.said import cell, choose, failed, frame, kernel, printed, prose, question, service

SERVICE = service()


def is_sound(chosen: Chosen, budget: int) -> bool:
    return len(chosen.text) <= budget and bool(msgspec.json.encode(chosen))


def text(size: int = 60) -> st.SearchStrategy[str]:
    odd = st.sampled_from(
        ["</cell>", "\ud800", "\u202e", "\0", "%%bash\n", "import a\n", "x = y\n", "# A\n", "In[1], line 1"]
    )
    return st.lists(st.one_of(odd, st.text(max_size=8)), max_size=size // 8).map("".join)


OUTPUTS = st.fixed_dictionaries({"kind": st.sampled_from(["text", "error", "table", "image", "other"]), "text": text()})
CELLS = st.fixed_dictionaries(
    {
        "id": st.one_of(st.sampled_from(["", "a", "b", "1"]), text(20)),
        "type": st.sampled_from(["code", "markdown", "raw"]),
        "source": text(),
        "count": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        "outputs": st.lists(OUTPUTS, max_size=3),
    }
)
VARIABLES = st.fixed_dictionaries(
    {"name": text(20), "type": text(20)},
    optional={
        "shape": st.lists(st.integers(-9, 2**62), max_size=12),
        "columns": st.lists(st.fixed_dictionaries({"name": text(20), "dtype": text(20)}), max_size=3),
        "more_columns": st.integers(-5, 2**62),
        "length": st.integers(-5, 2**62),
        "signature": text(20),
        "dtype": text(20),
        "value": text(20),
    },
)
QUESTIONS = st.fixed_dictionaries(
    {
        "task": st.sampled_from(list(Task)),
        "budget": st.sampled_from([0, 1, 50, 300, 2000, 400_000]),
        "query": text(),
        "keep": st.booleans(),
        "mentions": st.lists(
            st.one_of(
                text(20), st.sampled_from(["cell:a", "cell:1", "cell:99999", "file:../x", "df:x", "file:\0", ":"])
            ),
            max_size=4,
        ),
        "open": st.lists(st.fixed_dictionaries({"path": text(20), "text": text()}), max_size=2),
    },
    optional={
        "document": st.fixed_dictionaries(
            {
                "path": text(20),
                "kind": st.sampled_from(["notebook", "file", "console"]),
                "language": st.sampled_from(["python", "R", "", "\ud800"]),
                "cells": st.lists(CELLS, max_size=6),
                "active": st.sampled_from(["", "a", "b", "nobody"]),
            }
        ),
        "kernel": st.fixed_dictionaries(
            {
                "state": st.sampled_from(["idle", "busy", "dead", "none"]),
                "variables": st.lists(VARIABLES, max_size=4),
                "allows_values": st.booleans(),
            }
        ),
    },
)


@given(QUESTIONS)
def test_no_question_is_too_odd(said: dict[str, object]) -> None:
    asked = msgspec.convert(said, ContextQuestion)
    assert is_sound(SERVICE.choose(asked, owner="ana"), asked.budget)


@pytest.mark.parametrize("task", [Task.COMPLETE, Task.CHAT, Task.FIX])
def test_a_huge_output_is_no_matter(task: Task) -> None:
    huge = "x" * 50_000_000
    cells = [cell("a", "x = 1", outputs=[printed(huge)]), cell("here", "x", outputs=[printed(huge), failed(huge)])]
    assert is_sound(choose(question(cells, "here", task, mentions=["cell:a"])), 12_000)


def test_a_huge_cell_is_no_matter() -> None:
    cells = [cell("a", "x = 1\n" * 2_000_000), cell("here", "x\n" * 2_000_000)]
    for task in (Task.COMPLETE, Task.CHAT):
        assert is_sound(choose(question(cells, "here", task)), 12_000)


def test_thousands_of_cells_and_variables_are_no_matter() -> None:
    cells = [cell(f"c{number}", f"name_{number} = name_{number - 1} + 1") for number in range(5000)]
    held = kernel(*[frame(f"name_{number}") for number in range(5000)])
    chosen = choose(question(cells, "c4999", kernel=held))
    assert is_sound(chosen, 12_000)
    assert "name_4998 = name_4997 + 1" in chosen.text


def test_cells_with_one_id_or_none_are_told_apart_by_their_number() -> None:
    cells = [cell("", "x = 1"), cell("", "y = 2"), cell("same", "z = x"), cell("same", "q = y")]
    chosen = choose(question(cells, "same"))
    assert '<cell n="3" id="same" current="true">\nz = x' in chosen.text
    assert "x = 1" in chosen.text


def test_an_unknown_active_cell_means_the_end_of_the_notebook() -> None:
    chosen = choose(question([cell("a", "x = 1"), prose("p", "Text")], "nobody", query="x"))
    assert "x = 1" in chosen.text
    assert "current" not in chosen.text


def test_right_to_left_text_stays_as_it_is() -> None:
    cells = [prose("p", "# تحليل البيانات"), cell("here", "סכום = 1  # שלום")]
    text = choose(question(cells, "here")).text
    assert "# تحليل البيانات" in text
    assert "סכום = 1  # שלום" in text


def test_half_characters_become_whole_ones() -> None:
    cells = [cell("\ud800", "x = '\udc00'", outputs=[printed("\ud83d")])]
    assert is_sound(choose(question(cells, "\ud800", mentions=["df:\ud800", "file:\ud800"])), 12_000)


def test_nothing_said_gives_nothing() -> None:
    assert choose(ContextQuestion()) == Chosen()


async def test_what_takes_long_is_done_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    made = service()
    threads: list[bool] = []
    real = made.choose

    def choose_and_note(asked: ContextQuestion, *, owner: str) -> Chosen:
        threads.append(threading.current_thread() is threading.main_thread())
        return real(asked, owner=owner)

    monkeypatch.setattr(made, "choose", choose_and_note)
    asked = question([cell(f"c{number}", f"x_{number} = 1\n" * 20) for number in range(500)], "c9")
    first = await made.chosen(asked, owner="ana")
    assert first == await made.chosen(asked, owner="ana")
    assert threads == [False, True]  # at once when it is known
    monkeypatch.setattr(find_secrets, "is_ready", lambda: False)  # it has yet to be imported
    await made.chosen(asked, owner="ana")
    asked.mentions = ["file:a.py"]  # a disk may be slow
    await made.chosen(asked, owner="ana")
    assert threads == [False, True, False, False]


async def test_many_may_ask_at_the_same_time(tmp_path: Path) -> None:
    (tmp_path / "prep.py").write_text("def clean(): pass\n")
    made = service(tmp_path)
    cells = [cell(f"c{number}", f"x_{number} = clean()\n" * 20) for number in range(300)]
    asked = question(cells, "c299")
    found = await asyncio.gather(*[asyncio.to_thread(made.choose, asked, owner="ana") for _ in range(8)])
    assert len({one.text for one in found}) == 1


def test_a_memory_is_bounded_and_keeps_what_is_used() -> None:
    made: list[str] = []

    def make(text: str) -> str:
        made.append(text)
        return text.upper()

    memory = Memory(make, most_characters=1000)
    for number in range(100):
        assert memory("used") == "USED"
        memory(f"text {number}")
    assert made.count("used") == 1
    assert not memory.knows("text 0")
    assert memory.knows("text 99")
    assert len(memory._young) + len(memory._old) < 20
