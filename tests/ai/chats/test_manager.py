"""Which messages are answered, in jupyter-ai's own classes with the document of live editing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_ai_persona_manager import persona_manager
from jupyter_ai_persona_manager.persona_manager import PersonaManager
from jupyterlab_chat.models import Message
from jupyterlab_chat.ychat import YChat
from pycrdt import Map

from aidp_ext.ai.chats.manager import AidpPersonaManager, close_workspace_personas
from aidp_ext.ai.chats.room import ours, raw_messages

ME = "jupyter-ai-personas::aidp_ext::AidpPersona"


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What close_workspace_personas replaces in this process is put back."""
    monkeypatch.setattr(persona_manager, "load_from_dir", persona_manager.load_from_dir)
    monkeypatch.setattr(PersonaManager, "get_dotjupyter_dir", PersonaManager.get_dotjupyter_dir)
    yield


def message(id: str, *, ago: float = 0.0, **more: Any) -> dict[str, Any]:
    said = {"id": id, "body": "Hello", "time": time.time() - ago, "sender": "ana", "type": "msg", "raw_time": False}
    return {**said, **more}


def chat_of(*messages: dict[str, Any]) -> YChat:
    chat = YChat()
    chat.initial_path = "a.chat"
    chat.ymessages.extend([Map(one) for one in messages])
    return chat


async def answered(chat: YChat, root: Path, *later: dict[str, Any], also: Message | None = None) -> list[str]:
    """The ids of the messages that are answered in a chat that is opened now. Without a server: by an error."""
    before = len(_answers(chat))
    manager = AidpPersonaManager(chat=chat, root_dir=str(root), event_loop=asyncio.get_running_loop())
    for one in later:
        chat.ymessages.append(Map(one))
    if also is not None:
        manager.on_chat_message(chat.get_id(), also)
    probe = message("probe", raw_time=True)
    chat.ymessages.append(Map(probe))
    async with asyncio.timeout(60):
        # answers come one after the other, in the order of the messages
        while "probe" not in (found := _answers(chat)):
            await asyncio.sleep(0.01)
    await manager.shutdown_personas()
    return [id for id in found[before:] if id != "probe"]


def _answers(chat: YChat) -> list[str]:
    return [ours(one.get("metadata")).get("answers", "") for one in raw_messages(chat) if one["sender"] == ME]


@pytest.mark.parametrize(
    ("one", "is_answered"),
    [
        ({"ago": 5.0}, True),
        ({"ago": 600.0}, False),
        ({"ago": 600.0, "raw_time": True}, True),  # by a browser's clock that is behind
        ({"ago": 86_400.0, "raw_time": True}, False),
        ({"ago": -300.0, "raw_time": True}, True),
        ({"deleted": True}, False),
        ({"metadata": {"to_persona": None}}, False),
        ({"metadata": {"to_persona": "nobody-here"}}, False),
        ({"metadata": {"to_persona": ME}}, True),
        ({"metadata": {"to_persona": {"odd": 1}, "model": 7}}, False),
        ({"sender": "hidden::jupyter_ai_system"}, False),
    ],
)
async def test_what_came_before_the_chat_was_known_is_answered_if_it_is_new(
    tmp_path: Path, one: dict[str, Any], is_answered: bool
) -> None:
    assert await answered(chat_of(message("1", **one)), tmp_path) == (["1"] if is_answered else [])


async def test_what_has_an_answer_is_not_answered_again(tmp_path: Path) -> None:
    to_one = message("a", sender=ME, metadata={"aidp": {"answers": "1"}})
    assert await answered(chat_of(message("1"), message("2"), to_one), tmp_path) == ["2"]
    assert await answered(chat_of(message("1"), message("a", sender=ME)), tmp_path) == []


async def test_what_comes_later_is_answered_whatever_the_browsers_clock_says(tmp_path: Path) -> None:
    later = [message("1", ago=90_000.0, raw_time=True), message("2", ago=-90_000.0, raw_time=True), message("3")]
    assert await answered(chat_of(), tmp_path, *later) == ["1", "2", "3"]


async def test_what_a_browser_brings_back_from_before_is_not_answered(tmp_path: Path) -> None:
    assert await answered(chat_of(), tmp_path, message("1", ago=600.0)) == []


async def test_a_message_that_is_heard_of_twice_is_answered_once(tmp_path: Path) -> None:
    one = message("1", raw_time=True)
    also = Message(**{**one, "metadata": {"to_persona": ME}})
    assert await answered(chat_of(), tmp_path, one, also=also) == ["1"]


async def test_an_error_is_told_in_words_and_not_as_a_traceback(tmp_path: Path) -> None:
    chat = chat_of(message("1"))
    await answered(chat, tmp_path)
    bodies = [one["body"] for one in raw_messages(chat) if one["sender"] == ME]
    assert bodies[0] == "*— aidp does not run in this server. Enable the server extension aidp_ext.*"


async def test_what_a_workspace_brings_for_jupyter_ai_is_not_heeded(tmp_path: Path) -> None:
    folder = tmp_path / ".jupyter" / "personas"
    folder.mkdir(parents=True)
    (folder / "a_persona.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (folder.parent / "mcp_settings.json").write_text(
        '{"mcp_servers": [{"name": "x", "command": "touch", "args": [], "env": []}]}'
    )

    def opened() -> PersonaManager:
        return PersonaManager(chat=chat_of(), root_dir=str(tmp_path), event_loop=asyncio.get_running_loop())

    close_workspace_personas()
    assert opened().get_mcp_settings() is None
    assert not (tmp_path / "ran").exists()


async def test_without_that_it_would_be(tmp_path: Path) -> None:
    folder = tmp_path / ".jupyter" / "personas"
    folder.mkdir(parents=True)
    (folder / "a_persona.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    (folder.parent / "mcp_settings.json").write_text(
        '{"mcp_servers": [{"name": "x", "command": "touch", "args": [], "env": []}]}'
    )
    manager = PersonaManager(chat=chat_of(), root_dir=str(tmp_path), event_loop=asyncio.get_running_loop())
    assert manager.get_mcp_settings() is not None
    assert (tmp_path / "ran").exists()
