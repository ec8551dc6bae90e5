"""Questions that are kept for a chat message."""

from __future__ import annotations

from aidp_ext.ai.context import kept
from aidp_ext.ai.context.kept import LIFETIME_S, MOST, MOST_CHARACTERS, Kept
from tests.ai.context.said import cell, printed, question, service


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_question_is_kept_for_its_owner_alone() -> None:
    made = service()
    asked = question([cell("a", "x")], "a", keep=True)
    name = made.choose(asked, owner="ana").id
    assert name is not None
    assert made.kept(name, "ana") == asked
    assert made.kept(name, "bob") is None
    assert made.kept("no such name", "ana") is None
    assert made.choose(question([], ""), owner="ana").id is None


def test_its_time_ends() -> None:
    clock = Clock()
    held = Kept(clock)
    name = held.keep(question([], ""), "ana")
    clock.now = LIFETIME_S - 1
    assert held.get(name, "ana") is not None
    clock.now = LIFETIME_S
    assert held.get(name, "ana") is None


def test_the_oldest_go_where_there_are_too_many() -> None:
    held = Kept()
    names = [held.keep(question([], ""), "ana") for _ in range(MOST + 5)]
    assert [held.get(name, "ana") is None for name in names] == [True] * 5 + [False] * MOST


def test_the_oldest_go_where_they_are_too_long() -> None:
    held = Kept()
    size = MOST_CHARACTERS // 4
    names = [held.keep(question([cell("a", f"{number}" * size)], "a"), "ana") for number in range(5)]
    assert [held.get(name, "ana") is None for name in names] == [True, True, False, False, False]
    held.keep(question([cell("a", "x" * (MOST_CHARACTERS + 1))], "a"), "ana")
    assert held.get(names[-1], "ana") is None


def test_of_a_huge_output_the_ends_are_kept() -> None:
    held = Kept()
    asked = question([cell("a", "x", outputs=[printed("first" + "x" * 50_000_000 + "last")])], "a")
    found = held.get(held.keep(asked, "ana"), "ana")
    assert found is not None
    assert found.document is not None
    text = found.document.cells[0].outputs[0].text
    assert text.startswith("first")
    assert text.endswith("last")
    assert len(text) < 3 * kept._MOST_OUTPUT
