"""One turn of a chat: what is asked with all that belongs to it, and the events that its answer comes as."""

from __future__ import annotations

from dataclasses import dataclass

from aidp_ext.ai.chats.attachments import Attached
from aidp_ext.ai.models import Locality, Privacy, Task


@dataclass(frozen=True)
class Said:
    """An earlier message."""

    text: str
    is_answer: bool = False
    paths: tuple[str, ...] = ()  # the files that an answer was made from; their rules hold for it too
    has_values: bool = False  # an answer that was made from values of data, which were allowed then
    stays_local: bool = False  # it was asked for models on the user's own machines alone


@dataclass(frozen=True)
class Turn:
    """A message to be answered."""

    chat: str  # the chat's id: its requests are one conversation
    user: str  # who asks, for the record
    text: str
    history: tuple[Said, ...] = ()  # oldest first
    attachments: tuple[Attached, ...] = ()
    model: str = "auto"
    privacy: Privacy | None = None  # None: as the rules say
    context: str = ""  # the id of a question that ContextService keeps; empty where the front end told nothing
    is_quiet: bool = False  # the user wants nothing told but what the message names or has attached


@dataclass(frozen=True)
class Began:
    """A model answers: which, why, and what it was told."""

    route: str
    locality: Locality
    reason: str  # a code
    message: str  # the reason in words
    privacy: Privacy | None  # the class that held
    call: str
    task: Task
    context: str  # "4 cells, 1 file"; empty where nothing was told beside the messages
    paths: tuple[str, ...]
    has_values: bool = False  # the user allowed values of data


@dataclass(frozen=True)
class Piece:
    """Some text of the answer."""

    text: str


@dataclass(frozen=True)
class Ended:
    """The answer is whole, as far as it goes. ``notes`` are sentences for the user."""

    notes: tuple[str, ...] = ()


Event = Began | Piece | Ended


@dataclass(frozen=True)
class Bill:
    """What an answer took. Tokens as the provider reported them."""

    cost_usd: float
    prompt_tokens: int | None
    completion_tokens: int | None
