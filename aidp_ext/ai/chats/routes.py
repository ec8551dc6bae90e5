"""``chats``: the chats of the workspace."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta, Struct

from aidp_ext.ai.chats.search import Chat, Match
from aidp_ext.ai.chats.service import ChatService
from aidp_ext.core.web import Api, Route, endpoint


class ChatsQuery(Struct, forbid_unknown_fields=False):
    """Which chats."""

    q: Annotated[str, Meta(max_length=1000, description="Words that all must occur; without any, every chat.")] = ""


class MatchSaid(TypedDict):
    """A message in which the words occur."""

    message: str
    sender: str
    text: str
    time: str | None


class ChatSaid(TypedDict):
    """A chat of the workspace."""

    path: str
    title: str
    updated_at: str
    messages: int
    matches: list[MatchSaid]


class ChatsSaid(TypedDict):
    """Chats, newest first. ``is_all`` is false where there may be more."""

    chats: list[ChatSaid]
    is_all: bool


class Chats(Api):
    """``chats``."""

    @endpoint("read", query=ChatsQuery, gives=ChatsSaid)
    async def get(self) -> None:
        """Return the chats of the workspace, those with the words ``q`` where there are any."""
        service: ChatService = self.settings["aidp_chat"]
        found = await service.search(self.query(ChatsQuery).q)
        said: ChatsSaid = {"chats": [_chat(chat) for chat in found.chats], "is_all": found.is_all}
        self.reply(said)


def _chat(chat: Chat) -> ChatSaid:
    return {
        "path": chat.path,
        "title": chat.title,
        "updated_at": chat.updated_at.isoformat(),
        "messages": chat.messages,
        "matches": [_match(match) for match in chat.matches],
    }


def _match(match: Match) -> MatchSaid:
    time = None if match.time is None else match.time.isoformat()
    return {"message": match.message, "sender": match.sender, "text": match.text, "time": time}


ROUTES: tuple[Route, ...] = ((r"ai/chats", Chats),)
