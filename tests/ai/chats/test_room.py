"""What is read of a chat, whose file may say anything."""

from __future__ import annotations

from typing import Any

import pytest

from aidp_ext.ai.chats import room
from aidp_ext.ai.chats.attachments import Attached
from aidp_ext.ai.models import Privacy

ME = "jupyter-ai-personas::aidp_ext::AidpPersona"
OTHER = "jupyter-ai-personas::x::Other"


class Chat:
    """A chat as jupyterlab-chat's model without live editing holds it."""

    def __init__(self, *messages: Any, **more: Any) -> None:
        self._content = {"messages": list(messages), **more}

    def to_dict(self) -> dict[str, Any]:
        return self._content


def said(id: str, body: str = "?", sender: str = "ana", **more: Any) -> dict[str, Any]:
    return {"id": id, "body": body, "sender": sender, "time": 1.0, **more}


def answer(id: str, to: str | None, body: str = "!", **more: Any) -> dict[str, Any]:
    metadata = {"aidp": {"answers": to, **more}} if to is not None else None
    return said(id, body, ME, metadata=metadata)


def test_each_answer_stands_below_its_question_in_the_history() -> None:
    chat = Chat(said("1", "one"), said("2", "two"), answer("a", "1", "to one"), said("3", "three"), answer("b", "2"))
    assert [one.text for one in room.history(chat, "2", ME)] == ["one", "to one"]
    assert [one.text for one in room.history(chat, "3", ME)] == ["one", "to one", "two", "!"]


def test_the_history_leaves_out_others_what_was_deleted_and_our_notes() -> None:
    chat = Chat(
        said("0", "hidden", "hidden::jupyter_ai_system"),
        said("1", "one"),
        said("x", "other", OTHER),
        said("2", "gone", deleted=True),
        answer("a", "1", "half\n\n*— Stopped.*"),
        answer("b", None, "old"),
        said("3"),
    )
    assert [(one.text, one.is_answer) for one in room.history(chat, "3", ME)] == [
        ("one", False),
        ("half", True),
        ("old", True),
    ]


def test_the_history_knows_what_was_for_local_models_and_where_it_came_from() -> None:
    chat = Chat(said("1"), answer("a", "1", asked_privacy="local", paths=["data/x", 7]), said("2"))
    first, second = room.history(chat, "2", ME)
    assert (first.stays_local, second.stays_local) == (True, True)
    assert second.paths == ("data/x",)


def test_a_message_is_unanswered_until_an_answer_names_it_or_an_older_one_stands_below() -> None:
    assert [one["id"] for one in room.unanswered(Chat(said("1"), said("2"), answer("a", "1")))] == ["2"]
    assert room.unanswered(Chat(said("1"), answer("a", None))) == []
    assert room.unanswered(Chat(said("1"), said("x", sender=OTHER))) == []
    assert room.unanswered(Chat(said("1", deleted=True), said("s", sender="hidden::jupyter_ai_system"))) == []


@pytest.mark.parametrize(
    "messages",
    [
        7,
        [7, None, []],
        [{"id": "1"}, {"id": 1, "body": "x", "sender": "a", "time": 1}],
        [said("1", metadata={"aidp": 7}), said("2", metadata=[1]), answer("a", "x", paths={"a": 1})],
        [{**said("1", sender=ME), "metadata": {"aidp": {"answers": {"deep": [1]}}}}],
    ],
)
def test_broken_messages_do_no_harm(messages: Any) -> None:
    chat = Chat()
    chat.to_dict()["messages"] = messages
    room.history(chat, "9", ME)
    room.unanswered(chat)


@pytest.mark.parametrize(
    ("metadata", "privacy"),
    [
        ({}, None),
        ({"settings": {"privacy": "local"}}, Privacy.LOCAL),
        ({"settings": {"privacy": "auto"}, "aidp": {"privacy": "redact"}}, Privacy.REDACT),
        ({"settings": {"privacy": "redact"}, "aidp": {"privacy": "local"}}, Privacy.LOCAL),
        ({"settings": {"privacy": "cloud"}}, None),
        ({"settings": 7, "aidp": {"privacy": ["local"]}}, None),
    ],
)
def test_the_strictest_word_about_privacy_holds(metadata: dict[str, Any], privacy: Privacy | None) -> None:
    assert room.privacy_of(metadata, "auto") is privacy


def test_what_was_chosen_for_the_chat_holds_where_a_message_says_nothing() -> None:
    assert room.privacy_of({}, "local") is Privacy.LOCAL
    assert room.privacy_of({"settings": {"privacy": "auto"}}, "local") is None
    assert room.model_of({}, "auto:local") == "auto:local"
    assert room.model_of({"model": {"id": "a/b", "settings": {}}}, "auto") == "a/b"
    assert room.model_of({"model": {"id": 7}}, "auto") == "auto"


def test_attachments_are_found_by_their_ids() -> None:
    chat = Chat(attachments={"a": {"type": "file", "value": "x.py"}, "b": 7})
    assert room.attachments_of(chat, ["a", "b", "c", 7, {}]) == (Attached("x.py"),)
    assert room.attachments_of(chat, "a") == ()
    assert room.attachments_of(Chat(attachments=[7]), ["a"]) == ()
