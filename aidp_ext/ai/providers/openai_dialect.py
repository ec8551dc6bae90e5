"""OpenAI's dialect, in parts: for adapters whose server speaks another one.

What is read here was checked only as far as the endpoints need it (:mod:`aidp_ext.ai.dialect`), so whatever an adapter
must understand and cannot is refused with InvalidRequest naming the field. Source: OpenAI's API reference.
"""

from __future__ import annotations

import base64
import re
import struct
import time
import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from aidp_ext.ai.models import Usage
from aidp_ext.core.errors import InvalidRequest

Body = dict[str, Any]

_DATA_URL = re.compile(r"data:(?P<kind>[\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[^;,]*)*;base64,(?P<data>[A-Za-z0-9+/=_\s-]*)")
_PARAMETER = re.compile(r"[a-z][a-z0-9_]{0,40}")  # what may stand in a response header as a note
# Parameters that every adapter understands; `stream_options` is ours to fill in.
_ALWAYS = frozenset({"model", "messages", "prompt", "input", "stream", "stream_options", "n"})


def stops(body: Body) -> list[str]:
    """Return the texts at which the answer is to end, none or several."""
    stop = body.get("stop")
    return [stop] if isinstance(stop, str) else list(stop or [])


def max_tokens(body: Body) -> int | None:
    """Return how many tokens the answer may have, under either of its two names; None where nothing is said."""
    newer = body.get("max_completion_tokens")
    return newer if newer is not None else body.get("max_tokens")


def wants_usage(body: Body) -> bool:
    """Return whether the caller of a stream asked for the event that reports the usage."""
    options = body.get("stream_options")
    return bool(isinstance(options, dict) and options.get("include_usage"))


def ignored(body: Body, honoured: Collection[str], harmless: Collection[tuple[str, Any]] = ()) -> tuple[str, ...]:
    """Return the notes for the parameters of a request that the adapter does not honour: ``<name>_ignored``.

    Not noted is what asks for nothing: null, false, an empty list, and ``harmless`` pairs of a name and its default.
    """

    def asks(key: str, value: Any) -> bool:
        if key == "parallel_tool_calls":  # here true is the default
            return value is False
        return value not in (None, False, [], {}) and (key, value) not in harmless

    return tuple(
        f"{key}_ignored"
        for key, value in body.items()
        if key not in honoured and key not in _ALWAYS and asks(key, value) and _PARAMETER.fullmatch(key)
    )


def text_of(content: Any, field: str = "messages") -> str:
    """Return a message's content where it can only be text. Raises InvalidRequest for anything else."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = []
    for part in content if isinstance(content, list) else [content]:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in ("text", "refusal") or not isinstance(part.get(kind), str):
            raise InvalidRequest(f"`{field}`: only text can stand here, not {str(kind)[:40]!r}.", field=field)
        parts.append(part[kind])
    return "".join(parts)


def image_of(part: dict[str, Any], server: str) -> tuple[str, str]:
    """Return the media type and the base64 text of a message's image.

    Raises InvalidRequest where it is none that can be sent. An address on the web is refused, not fetched: whoever
    writes the message could otherwise make this server ask for anything that it can reach.
    """
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return data_of(url, server, "image_url")


def data_of(url: Any, server: str, field: str) -> tuple[str, str]:
    """Return the media type and the base64 text of a ``data:`` URL. Raises InvalidRequest where it is none."""
    if isinstance(url, str) and url.startswith(("http://", "https://")):
        raise InvalidRequest(
            f"`{field}`: {server} takes no addresses, and aidp does not fetch them.",
            next_step="Send the file itself as a data: URL.",
            field=field,
        )
    match = _DATA_URL.fullmatch(url) if isinstance(url, str) else None
    if match is None:
        raise InvalidRequest(f"`{field}`: expected a data: URL in base64.", field=field)
    return match["kind"] or "image/png", match["data"]


def arguments_of(call: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a tool call as an object. Raises InvalidRequest where they are none."""
    written = _function(call).get("arguments") or "{}"
    try:
        arguments = msgspec.json.decode(written) if isinstance(written, str) else written
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("`tool_calls`: `arguments` is not JSON.", field="messages") from error
    if not isinstance(arguments, dict):
        raise InvalidRequest("`tool_calls`: `arguments` is no object.", field="messages")
    return arguments


def name_of(call: dict[str, Any]) -> str:
    """Return the name of the function that a tool call is for. Raises InvalidRequest where it has none."""
    name = _function(call).get("name")
    if not isinstance(name, str) or not name:
        raise InvalidRequest("`tool_calls`: a call without the name of its function.", field="messages")
    return name


def _function(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, dict):
        raise InvalidRequest("`tool_calls`: only calls of functions are understood.", field="messages")
    return function


def tool_names(messages: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the function's name of each tool call in a chat, by the call's id: results tell only the id."""
    calls = (call for message in messages for call in message.get("tool_calls") or () if isinstance(call, dict))
    return {str(call.get("id")): name_of(call) for call in calls}


def functions_of(body: Body, server: str) -> list[dict[str, Any]]:
    """Return the function of each of the request's tools. Raises InvalidRequest for tools of another kind."""
    found = []
    for tool in body.get("tools") or []:
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise InvalidRequest(f"`tools`: {server} takes functions only.", field="tools")
        found.append(function)
    return found


def schema_of(body: Body) -> dict[str, Any] | None:
    """Return the JSON schema that the answer must fit; {} for JSON of any shape, None for plain text.

    Raises InvalidRequest for a ``response_format`` that is neither.
    """
    wanted = body.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if wanted is None or kind == "text":
        return None
    if kind == "json_object":
        return {}
    if kind == "json_schema" and isinstance(described := wanted.get("json_schema"), dict):
        schema = described.get("schema") or {}
        if isinstance(schema, dict):
            return schema
    raise InvalidRequest(
        "`response_format`: expected the type text, json_object or json_schema.", field="response_format"
    )


def inputs_of(body: Body, server: str) -> list[str]:
    """Return the texts to embed. Raises InvalidRequest for tokens, which only OpenAI's models can read, and nothing."""
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise InvalidRequest(f"`input`: {server} takes a text or texts, none of them empty.", field="input")
    return texts


def one_prompt(body: Body, server: str) -> str:
    """Return the prompt of a completion. Raises InvalidRequest where there are several, or tokens."""
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise InvalidRequest(f"`prompt`: {server} takes one text.", field="prompt")
    return prompt


def embedding_list(model: str, vectors: Sequence[Sequence[float]], tokens: int, encoding_format: str | None) -> bytes:
    """Return vectors as OpenAI's answer. ``base64`` packs them as little-endian 32-bit floats, as OpenAI does."""

    def written(vector: Sequence[float]) -> Any:
        if encoding_format != "base64":
            return vector
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()

    data = [{"object": "embedding", "index": i, "embedding": written(vector)} for i, vector in enumerate(vectors)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": model, "usage": usage})


def usage_document(usage: Usage) -> dict[str, Any]:
    """Return the usage as OpenAI reports it; what is not known counts as 0 there."""
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    said: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    read, wrote = usage.cached_tokens, usage.cache_write_tokens
    if details := {k: v for k, v in (("cached_tokens", read), ("cache_write_tokens", wrote)) if v is not None}:
        said["prompt_tokens_details"] = details
    if usage.reasoning_tokens is not None:
        said["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return said


def logprob(token: str, value: float, top: Iterable[tuple[str, float]] = ()) -> dict[str, Any]:
    """Return one token's log probability as OpenAI writes it, with the likeliest others."""
    return {**_logprob(token, value), "top_logprobs": [_logprob(*other) for other in top]}


def _logprob(token: str, value: float) -> dict[str, Any]:
    return {"token": token, "logprob": value, "bytes": list(token.encode())}


def tool_call(name: str, arguments: Any, given_id: str | None = None) -> dict[str, Any]:
    """Return a model's call of a function, with an id of our own where the server gave none."""
    written = msgspec.json.encode(arguments if arguments is not None else {}).decode()
    return {
        "id": given_id or f"call_{uuid.uuid4().hex[:24]}",
        "type": "function",
        "function": {"name": name, "arguments": written},
    }


class Writer:
    """Writes one answer, whole or event by event: all of it under one id, model and time."""

    def __init__(self, model: str, *, is_chat: bool = True, usage: bool = False) -> None:
        """Begin an answer; ``usage`` says whether the caller of a stream asked for it."""
        self._is_chat = is_chat
        self._reports_usage = usage
        self._head: dict[str, Any] = {
            "id": f"{'chatcmpl' if is_chat else 'cmpl'}-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }

    def document(self, choices: Iterable[dict[str, Any]], usage: Usage, **more: Any) -> bytes:
        """Return the whole answer. ``more`` goes into its usage, for what OpenAI has no name for."""
        kind = {"object": "chat.completion"} if self._is_chat else {}
        said = {**usage_document(usage), **more}
        return msgspec.json.encode({**self._head, **kind, "choices": list(choices), "usage": said})

    def event(self, index: int, delta: Any, finish: str | None = None, logprobs: Any = None) -> bytes:
        """Return one event: what is new in one choice (a chat's delta, or a completion's text)."""
        what = {"delta": delta} if self._is_chat else {"text": delta}
        choice = {"index": index, **what, "logprobs": logprobs, "finish_reason": finish}
        return self._event([choice])

    def usage_event(self, usage: Usage, **more: Any) -> bytes:
        """Return the event that reports the usage; nothing where the caller did not ask for it."""
        return self._event([], usage={**usage_document(usage), **more}) if self._reports_usage else b""

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        kind = {"object": "chat.completion.chunk"} if self._is_chat else {}
        return b"data: " + msgspec.json.encode({**self._head, **kind, "choices": choices, **more}) + b"\n\n"
