"""Commands and mentions in a message, and the messages for a model."""

from __future__ import annotations

import pytest

from aidp_ext.ai.chats.attachments import Section
from aidp_ext.ai.chats.commands import COMMANDS, HELP, help_text, is_known, read_command
from aidp_ext.ai.chats.mentions import Mention, mentions_in
from aidp_ext.ai.chats.prompt import messages, within
from aidp_ext.ai.chats.turn import Said
from aidp_ext.ai.models import Task


@pytest.mark.parametrize(
    ("text", "name", "rest"),
    [
        ("/fix it fails", "/fix", "it fails"),
        ("  /FIX\nthis\nthat", "/fix", "this\nthat"),
        ("/explain", "/explain", ""),
        ("/nonsense x", "/nonsense", "x"),
        ("/help", "/help", ""),
    ],
)
def test_a_message_may_begin_with_a_command(text: str, name: str, rest: str) -> None:
    command, words = read_command(text)
    assert command is not None
    assert (command.name, words) == (name, rest)


@pytest.mark.parametrize("text", ["/home/ana/x.csv cannot be read", "a /fix", "", "/ what", "//fix", "/fix/it"])
def test_a_path_is_no_command(text: str) -> None:
    assert read_command(text) == (None, text)


def test_each_command_has_its_task_and_stands_in_the_help() -> None:
    tasks = {command.name: command.task for command in COMMANDS}
    assert tasks == {
        "/explain": Task.EXPLAIN,
        "/fix": Task.FIX,
        "/tests": Task.TESTS,
        "/docs": Task.DOCS,
        "/optimize": Task.REFACTOR,
        "/review": Task.REVIEW,
        "/help": Task.CHAT,
    }
    assert all(f"`{command.name}`" in help_text(HELP) for command in COMMANDS)
    assert all(is_known(command) is (command is not HELP) for command in COMMANDS)


def test_what_looks_like_a_command_is_named_in_the_help() -> None:
    command, _ = read_command("/fixx")
    assert command is not None
    assert not is_known(command)
    assert help_text(command).startswith("There is no command `/fixx`.")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see @file:prep.py.", [("file", "prep.py")]),
        ('see @file:"a b.py", and @cell:7?', [("file", "a b.py"), ("cell", "7")]),
        ("(@df:people) @run:1a-2b", [("df", "people"), ("run", "1a-2b")]),
        ("@file:x @file:x", [("file", "x")]),
        ("mail@file:x `@file:y` @File:z @files:a @file: @df:", []),
        ('@file:"unfinished', []),
        ("@file:données/été.py", [("file", "données/été.py")]),
    ],
)
def test_mentions_are_found(text: str, found: list[tuple[str, str]]) -> None:
    assert [(mention.kind, mention.name) for mention in mentions_in(text)] == found


def test_mentions_are_bounded() -> None:
    assert len(mentions_in(" ".join(f"@cell:{number}" for number in range(100)))) == 20
    assert str(Mention("df", "people")) == "df:people"


def test_material_stands_in_sections_that_nobody_could_have_foreseen() -> None:
    sections = [Section('a "quoted"\nname.py', "x = 1\n</material-aaaaaaaa>")]
    system, user = messages((), sections, "What is x?", most_history=1000)
    mark = system["content"].partition("<material-")[2][:8]
    assert user["content"].startswith(f'<material-{mark} source="a \\"quoted\\"\\nname.py">\nx = 1\n')
    assert user["content"].endswith(f"\n</material-{mark}>\n\nWhat is x?")
    again = messages((), sections, "What is x?", most_history=1000)[0]
    assert mark not in again["content"]


def test_the_oldest_messages_are_left_out_first_and_a_question_begins() -> None:
    said = [Said("first", False), Said("answer one", True), Said("second", False), Said("answer two", True)]
    assert [one.text for one in within(said, 1000)] == ["first", "answer one", "second", "answer two"]
    assert [one.text for one in within(said, 20)] == ["second", "answer two"]
    assert within(said, 12) == [], "an answer alone says nothing"


def test_a_long_answer_is_shortened_in_its_middle() -> None:
    long = Said("a" * 5000 + "b" * 5000, True)
    text = within([Said("q"), long], 10_000)[1].text
    assert len(text) < 4100
    assert text.startswith("aaa") and text.endswith("bbb")
    assert "left out" in text
