"""What a chat holds, read so that nothing in its file can break who reads: the file may say anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aidp_ext.ai.chats.attachments import Attached, attached
from aidp_ext.ai.chats.turn import Said
from aidp_ext.ai.models import Privacy

#: How jupyter-ai begins the names of its personas, and of its own messages.
_PERSONAS = "jupyter-ai-personas::"
_SYSTEM = "hidden::jupyter_ai_system"
_STRICTNESS = (Privacy.LOCAL, Privacy.REDACT)


def raw_messages(chat: Any) -> list[dict[str, Any]]:
    """Return the messages of a chat as they are, those alone that have what each one has."""
    found = chat.ymessages.to_py() if hasattr(chat, "ymessages") else chat.to_dict().get("messages")
    return [one for one in found if isinstance(one, dict) and _is_message(one)] if isinstance(found, list) else []


def raw_attachments(chat: Any) -> dict[str, Any]:
    """Return the attachments of a chat as they are, by their ids."""
    found = chat.yattachments.to_py() if hasattr(chat, "yattachments") else chat.to_dict().get("attachments")
    return found if isinstance(found, dict) else {}


def _is_message(one: dict[str, Any]) -> bool:
    is_text = all(isinstance(one.get(key), str) for key in ("id", "body", "sender"))
    return is_text and isinstance(one.get("time"), int | float)


def is_users(sender: str) -> bool:
    """Return whether a person sent a message."""
    return not sender.startswith(_PERSONAS) and sender != _SYSTEM


def ours(metadata: object) -> dict[str, Any]:
    """Return what aidp said in a message's metadata."""
    said = metadata.get("aidp") if isinstance(metadata, Mapping) else None
    return said if isinstance(said, dict) else {}


def plain(metadata: object) -> dict[str, Any]:
    """Return a message's metadata in the form that jupyter-ai takes; what does not fit is left out."""
    if not isinstance(metadata, Mapping):
        return {}
    kept = {key: value for key, value in metadata.items() if key not in ("model", "settings", "to_persona")}
    if "to_persona" in metadata:
        to = metadata["to_persona"]
        kept["to_persona"] = to if isinstance(to, str) else None
    model = metadata.get("model")
    if isinstance(model, Mapping) and isinstance(model.get("id"), str):
        kept["model"] = {"id": model["id"][:200], "settings": {}}
    if settings := _texts(metadata.get("settings")):
        kept["settings"] = settings
    return kept


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, str)}


def model_of(metadata: Mapping[str, Any], otherwise: str) -> str:
    """Return the model that a message asks for."""
    model = plain(metadata).get("model")
    return model["id"] if model else otherwise


def privacy_of(metadata: Mapping[str, Any], otherwise: str) -> Privacy | None:
    """Return how far a message's text may go: the strictest of what it says; None for what the rules say."""
    said = (plain(metadata).get("settings", {}).get("privacy", otherwise), ours(metadata).get("privacy"))
    return next((privacy for privacy in _STRICTNESS if str(privacy) in said), None)


def attachments_of(chat: Any, ids: object) -> tuple[Attached, ...]:
    """Return the attachments that a message names."""
    known = raw_attachments(chat)
    names = [id for id in ids if isinstance(id, str)] if isinstance(ids, list) else []
    found = (attached(known.get(name)) for name in names)
    return tuple(one for one in found if one is not None)


def history(chat: Any, message_id: str, persona: str) -> tuple[Said, ...]:
    """Return what was said before a message: the users' messages, each with its answer, in their order.

    An answer says which message it answers; it may stand below a later one that waited for it.
    """
    messages = raw_messages(chat)
    answers: dict[str, dict[str, Any]] = {}
    for one in messages:
        if one["sender"] == persona and (to := _answers(one)) is not None:
            answers[to] = one
    said: list[Said] = []
    for one in messages:
        if one["id"] == message_id:
            break
        if one.get("deleted"):
            continue
        if is_users(one["sender"]):
            answer = answers.get(one["id"])
            is_local = answer is not None and ours(answer.get("metadata")).get("asked_privacy") == Privacy.LOCAL
            said.append(Said(one["body"], stays_local=is_local))
            if answer is not None and not answer.get("deleted"):
                said.append(_answer(answer, is_local))
        elif one["sender"] == persona and _answers(one) is None:
            said.append(_answer(one, False))
    return tuple(said)


def _answer(one: dict[str, Any], is_local: bool) -> Said:
    paths = ours(one.get("metadata")).get("paths")
    known = tuple(path for path in paths if isinstance(path, str)) if isinstance(paths, list) else ()
    has_values = ours(one.get("metadata")).get("values") is True
    text = one["body"].partition("\n\n*— ")[0]
    return Said(text, is_answer=True, paths=known, has_values=has_values, stays_local=is_local)


def unanswered(chat: Any) -> list[dict[str, Any]]:
    """Return the users' messages, as they are, that nobody has answered, oldest first."""
    messages = raw_messages(chat)
    answers = [(place, _answers(one)) for place, one in enumerate(messages) if one["sender"].startswith(_PERSONAS)]
    answered = {to for _, to in answers}
    last = max((place for place, to in answers if to is None), default=-1)  # it answers all that is above
    return [
        one
        for one in messages[last + 1 :]
        if is_users(one["sender"]) and not one.get("deleted") and one["id"] not in answered
    ]


def _answers(one: dict[str, Any]) -> str | None:
    """Return the id of the message that an answer is to; None where it does not say."""
    to = ours(one.get("metadata")).get("answers")
    return to if isinstance(to, str) else None
