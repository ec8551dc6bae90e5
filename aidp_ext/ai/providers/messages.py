"""Requests in Anthropic's dialect as chats in OpenAI's, for the models that speak only that.

Sources: https://docs.anthropic.com/en/api/messages and OpenAI's API reference of chat completions. What cannot be
done as asked is named in the notes; what would change the meaning is refused.
"""

from __future__ import annotations

from typing import Any

import msgspec

from aidp_ext.ai.providers.anthropic_dialect import Notes, refused, wanted, with_current_names

_SAME = {"max_tokens": "max_tokens", "temperature": "temperature", "top_p": "top_p", "stop_sequences": "stop"}
_UNDERSTOOD = frozenset(
    {
        *("model", "messages", "system", "stream", "tools", "tool_choice", "metadata", "output_config", *_SAME),
        *("mcp_servers", "container"),  # refused where they ask for anything
    }
)


def to_chat(body: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a Messages request as a chat in OpenAI's dialect, and the codes of what could not be done as asked.

    Raises InvalidRequest, naming the field, for what only Anthropic's own servers can do.
    """
    body = with_current_names(body)
    for name in ("mcp_servers", "container"):
        if body.get(name):
            raise refused(name, "only Anthropic's own servers can do this")
    notes = Notes()
    messages: list[dict[str, Any]] = []
    if body.get("system"):
        messages.append({"role": "system", "content": _words(body["system"], "system", notes)})
    for place, message in enumerate(wanted(body, "messages", list, "")):
        messages += _turn(message, f"messages[{place}]", notes)
    if messages and messages[-1]["role"] == "assistant":
        notes.add("prefill_not_continued")  # to these models it is a turn like any other
    chat: dict[str, Any] = {"model": body.get("model"), "messages": messages}
    for theirs, ours in (
        ("max_tokens", "max_tokens"),
        ("temperature",) * 2,
        ("top_p",) * 2,
        ("stop_sequences", "stop"),
    ):
        if body.get(theirs) is not None and body[theirs] != []:
            chat[ours] = body[theirs]
    if body.get("stream"):
        chat |= {"stream": True, "stream_options": {"include_usage": True}}
    metadata = body.get("metadata") or {}
    if isinstance(metadata, dict) and metadata.get("user_id"):
        chat["user"] = metadata["user_id"]
    _add_tools(chat, body, notes)
    _add_format(chat, body, notes)
    notes.unknown(body, _UNDERSTOOD)
    return chat, tuple(notes)


def _turn(message: Any, where: str, notes: Notes) -> list[dict[str, Any]]:
    """Return the messages that one turn becomes: the results of tools are messages of their own, and come first."""
    role = wanted(message, "role", str, where)
    content = message.get("content")
    if role == "system":
        return [{"role": "system", "content": _words(content, f"{where}.content", notes)}]
    if role not in ("user", "assistant"):
        raise refused(f"{where}.role", "expected user, assistant or system")
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    blocks = [
        (block, wanted(block, "type", str, f"{where}.content[{i}]"), f"{where}.content[{i}]")
        for i, block in enumerate(wanted(message, "content", list, where))
    ]
    if role == "assistant":
        return _assistant(blocks, notes)
    made: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for block, kind, at in blocks:
        if kind != "tool_result":
            parts += _parts(block, kind, at, notes)
            continue
        said = _parts_in(block.get("content"), f"{at}.content", notes)
        made.append({"role": "tool", "tool_call_id": wanted(block, "tool_use_id", str, at), "content": _joined(said)})
        if block.get("is_error"):
            notes.ignored("is_error")
        if pictures := [part for part in said if part["type"] != "text"]:
            parts += pictures
            notes.add("tool_result_image_moved")  # a tool's message holds text only; what follows shows it
    if parts:
        made.append({"role": "user", "content": _plain(parts)})
    return made


def _assistant(blocks: list[tuple[Any, str, str]], notes: Notes) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for block, kind, at in blocks:
        if kind == "tool_use":
            arguments = msgspec.json.encode(wanted(block, "input", dict, at)).decode()
            function = {"name": wanted(block, "name", str, at), "arguments": arguments}
            calls.append({"id": wanted(block, "id", str, at), "type": "function", "function": function})
        elif kind in ("thinking", "redacted_thinking"):
            notes.ignored("thinking")  # signed for Anthropic's own models
        else:
            parts += _parts(block, kind, at, notes)
    if not parts and not calls:
        return []
    message: dict[str, Any] = {"role": "assistant", "content": _joined(parts) if parts else None}
    return [{**message, "tool_calls": calls} if calls else message]


def _parts_in(content: Any, where: str, notes: Notes) -> list[dict[str, Any]]:
    if content is None or isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list):
        raise refused(where, "expected a text or a list of blocks")
    made: list[dict[str, Any]] = []
    for i, block in enumerate(content):
        made += _parts(block, wanted(block, "type", str, f"{where}[{i}]"), f"{where}[{i}]", notes)
    return made


def _parts(block: dict[str, Any], kind: str, where: str, notes: Notes) -> list[dict[str, Any]]:
    """Return the parts of a message that one block becomes."""
    if block.get("cache_control") is not None:
        notes.ignored("cache_control")  # OpenAI's own servers refuse the field; they cache by themselves
    match kind:
        case "text":
            return [{"type": "text", "text": wanted(block, "text", str, where)}]
        case "image":
            return [{"type": "image_url", "image_url": {"url": _url(block, where)}}]
        case "document":
            return _document(block, where, notes)
        case "search_result":
            said = _joined(_parts_in(block.get("content"), f"{where}.content", notes))
            head = [str(block[key]) for key in ("title", "source") if block.get(key)]
            return [{"type": "text", "text": "\n".join([*head, said])}]
    raise refused(f"{where}.type", f"only Anthropic's own models take {kind[:40]!r}")


def _document(block: dict[str, Any], where: str, notes: Notes) -> list[dict[str, Any]]:
    source = wanted(block, "source", dict, where)
    title = block.get("title") if isinstance(block.get("title"), str) else None
    if isinstance(cited := block.get("citations"), dict) and cited.get("enabled"):
        notes.ignored("citations")
    if source.get("type") == "base64":
        file = {"filename": title or "document.pdf", "file_data": _url(block, where)}
        return [{"type": "file", "file": file}]
    if source.get("type") == "text":
        parts = [{"type": "text", "text": wanted(source, "data", str, f"{where}.source")}]
    elif source.get("type") == "content":
        parts = _parts_in(source.get("content"), f"{where}.source.content", notes)
    else:
        raise refused(f"{where}.source.type", "this document is out of reach for a model that is not Anthropic's own")
    said = [text for text in (title, block.get("context")) if isinstance(text, str) and text]
    return [{"type": "text", "text": text} for text in said] + parts


def _url(block: dict[str, Any], where: str) -> str:
    source = wanted(block, "source", dict, where)
    match source:
        case {"type": "base64", "media_type": str(kind), "data": str(data)}:
            return f"data:{kind};base64,{data}"
        case {"type": "url", "url": str(url)}:
            return url
    raise refused(f"{where}.source", "expected base64 or an address")


def _words(content: Any, where: str, notes: Notes) -> str:
    parts = _parts_in(content, where, notes)
    if any(part["type"] != "text" for part in parts):
        raise refused(where, "only text can stand here")
    return _joined(parts)


def _joined(parts: list[dict[str, Any]]) -> str:
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def _plain(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Return text as one text, which every server takes, and anything else as it is."""
    return _joined(parts) if all(part["type"] == "text" for part in parts) else parts


def _add_tools(chat: dict[str, Any], body: dict[str, Any], notes: Notes) -> None:
    tools = []
    for place, tool in enumerate(body.get("tools") or []):
        where = f"tools[{place}]"
        if isinstance(tool, dict) and tool.get("type") not in (None, "custom"):
            raise refused(f"{where}.type", f"only Anthropic's own servers run {str(tool['type'])[:40]!r}")
        function = {"name": wanted(tool, "name", str, where), "parameters": wanted(tool, "input_schema", dict, where)}
        function |= {key: tool[key] for key in ("description", "strict") if tool.get(key) is not None}
        tools.append({"type": "function", "function": function})
        notes.unknown(tool, ("type", "name", "input_schema", "description", "strict"))
    if not tools:
        return
    chat["tools"] = tools
    choice = body.get("tool_choice")
    match choice:
        case None:
            return
        case {"type": "auto" | "none" as kind}:
            chat["tool_choice"] = kind
        case {"type": "any"}:
            chat["tool_choice"] = "required"
        case {"type": "tool", "name": str(name)}:
            chat["tool_choice"] = {"type": "function", "function": {"name": name}}
        case _:
            raise refused("tool_choice", "expected the type auto, any, none, or tool with a name")
    if choice.get("disable_parallel_tool_use"):
        chat["parallel_tool_calls"] = False


def _add_format(chat: dict[str, Any], body: dict[str, Any], notes: Notes) -> None:
    config = body.get("output_config") or {}
    if not isinstance(config, dict):
        raise refused("output_config", "expected an object")
    if isinstance(wish := config.get("format"), dict):
        schema = wanted(wish, "schema", dict, "output_config.format")
        described = {"name": "answer", "schema": schema, "strict": True}
        chat["response_format"] = {"type": "json_schema", "json_schema": described}
    notes.unknown(config, ("format",))
