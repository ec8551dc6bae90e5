"""Searching the chats of a workspace, whatever their files say."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from aidp_ext.ai.chats.search import search


def write(path: Path, *bodies: str, at: float = 1.0, **more: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    said = [{"id": f"m{n}", "body": body, "time": at + n, "sender": "u"} for n, body in enumerate(bodies)]
    users = {"u": {"username": "u", "display_name": "Ana"}}
    path.write_text(json.dumps({"messages": said, "users": users, **more}))
    os.utime(path, (at, at))


def test_all_chats_come_newest_first_without_words(tmp_path: Path) -> None:
    write(tmp_path / "old.chat", "a", at=1_000_000)
    write(tmp_path / "chats" / "new.chat", "a", "b", at=2_000_000)
    found = search(tmp_path, "  ")
    assert [(chat.path, chat.title, chat.messages) for chat in found.chats] == [
        ("chats/new.chat", "new", 2),
        ("old.chat", "old", 1),
    ]
    assert found.chats[0].updated_at.timestamp() == 2_000_000
    assert found.is_all


@pytest.mark.parametrize("words", ["pinguin", "PINGUIN lauft", "läuft", "eis pinguin"])
def test_all_words_must_occur_in_a_message_in_any_case_and_without_accents(tmp_path: Path, words: str) -> None:
    write(tmp_path / "a.chat", "Ein Pinguin läuft über das Eis.", "nothing")
    write(tmp_path / "b.chat", "Ein Vogel läuft.", "über das Eis")
    found = search(tmp_path, f"{words} Ein")
    (chat,) = (chat for chat in found.chats if chat.path == "a.chat")
    assert [(match.message, match.sender) for match in chat.matches] == [("m0", "Ana")]
    assert "Pinguin" in chat.matches[0].text
    assert search(tmp_path, "pinguin vogel").chats == ()


def test_a_chat_is_found_by_its_name(tmp_path: Path) -> None:
    write(tmp_path / "Penguin plots.chat", "x")
    assert [chat.path for chat in search(tmp_path, "plots penguin").chats] == ["Penguin plots.chat"]


def test_a_long_message_is_told_around_the_words(tmp_path: Path) -> None:
    write(tmp_path / "a.chat", "x " * 500 + "needle\nin hay " + "y " * 500)
    text = search(tmp_path, "needle").chats[0].matches[0].text
    assert "needle in hay" in text
    assert len(text) < 160
    assert text.startswith("…") and text.endswith("…")


def test_of_a_chat_the_latest_matches_come_first_and_not_too_many(tmp_path: Path) -> None:
    write(tmp_path / "a.chat", *["word"] * 12)
    matches = search(tmp_path, "word").chats[0].matches
    assert [match.message for match in matches] == ["m11", "m10", "m9", "m8", "m7"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "7", '{"messages": 7}', '{"messages": [7, null, {"body": 7}, {"body": "word"}]}', "[" * 100_000],
)
def test_broken_chats_are_passed_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "broken.chat").write_text(content)
    (tmp_path / "latin.chat").write_bytes(b"\xff\xfe")
    write(tmp_path / "good.chat", "word")
    assert [chat.path for chat in search(tmp_path, "word").chats] == ["good.chat"]


def test_odd_times_users_and_deleted_messages_do_no_harm(tmp_path: Path) -> None:
    messages = [
        {"id": 1, "body": "word", "time": 1e300, "sender": 7},
        {"id": "2", "body": "word", "time": "x"},
        {"id": "3", "body": "word gone", "deleted": True},
    ]
    (tmp_path / "a.chat").write_text(json.dumps({"messages": messages, "users": [7]}))
    (chat,) = search(tmp_path, "word").chats
    assert [(match.message, match.time) for match in chat.matches] == [("2", None), ("1", None)]


def test_hidden_folders_links_and_huge_files_are_not_searched(tmp_path: Path) -> None:
    root = tmp_path / "work"
    write(tmp_path / "outside.chat", "word")
    write(root / ".ipynb_checkpoints" / "a.chat", "word")
    write(root / "node_modules" / "a.chat", "word")
    (root / "link.chat").symlink_to(tmp_path / "outside.chat")
    (root / "folder.chat").mkdir()
    (root / "up").symlink_to(tmp_path, target_is_directory=True)
    with (root / "huge.chat").open("wb") as file:
        file.truncate(100_000_000)
    os.mkfifo(root / "pipe.chat")
    assert search(root, "word").chats == ()


def test_there_may_be_no_workspace() -> None:
    assert search(None, "word").chats == ()


def test_more_than_can_be_shown_is_said(tmp_path: Path) -> None:
    for number in range(101):
        write(tmp_path / f"{number}.chat", "word")
    found = search(tmp_path, "word")
    assert (len(found.chats), found.is_all) == (100, False)


def test_a_pipe_with_the_name_of_a_chat_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.chat")
    write(tmp_path / "a.chat", "a")
    handle = os.open(tmp_path / "p.chat", os.O_RDWR)  # somebody holds it open
    try:
        assert [chat.path for chat in search(tmp_path, "").chats] == ["a.chat"]
    finally:
        os.close(handle)
