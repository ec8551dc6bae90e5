"""Ollama's own dialect (``/api/chat``, ``/api/generate``, ``/api/embed``), from and to OpenAI's.

Sources: Ollama's docs/api.md, api/types.go and openai/openai.go, whose defaults are taken, so that an answer does not
depend on which of the two ways it took.
"""

from __future__ import annotations

from typing import Any

import msgspec

from aidp_ext.ai.models import Usage
from aidp_ext.ai.providers import openai_dialect as openai
from aidp_ext.core.errors import InvalidRequest, UpstreamIncomplete, UpstreamInvalid, UpstreamRejected

Body = dict[str, Any]

SERVER = "Ollama"
#: Ollama's own parameters, which callers may send beside OpenAI's, and which only the native calls take.
NATIVE = frozenset({"keep_alive", "think"})
_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    # not OpenAI's, but common
    "top_k": "top_k",
    "min_p": "min_p",
    "repeat_penalty": "repeat_penalty",
}
#: What only the native calls honour among the options.
NATIVE_OPTIONS = frozenset({"top_k", "min_p", "repeat_penalty"})
SHARED = frozenset({*_OPTIONS, *NATIVE, "stop", "max_tokens", "max_completion_tokens"})
CHAT = SHARED | {"tools", "response_format", "reasoning_effort", "logprobs", "top_logprobs"}
COMPLETION = SHARED | {"suffix"}
_BYTES_AROUND_A_MESSAGE = 16  # its role and the tokens that mark its ends
_EFFORTS = {"none": False, "minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "max"}


def chat_request(body: Body, model: str, window: int | None, *, thinks: bool) -> Body:
    """Return a chat for ``/api/chat``. Raises InvalidRequest for what Ollama cannot be asked.

    ``window`` is how many tokens the model is to be loaded for, None for the server's own choice. A prompt that does
    not fit is an error then, where Ollama would silently drop the oldest messages.
    """
    names = openai.tool_names(body["messages"])
    sent = _request(body, model, window) | {"messages": [_message(one, names) for one in body["messages"]]}
    tools = body.get("tools")
    if tools and body.get("tool_choice") != "none":
        sent["tools"] = [{"type": "function", "function": one} for one in openai.functions_of(body, SERVER)]
    schema = openai.schema_of(body)
    if schema is not None:
        sent["format"] = schema or "json"
    if body.get("logprobs"):
        sent["logprobs"] = True
        sent["top_logprobs"] = body.get("top_logprobs") or 0
    effort = body.get("reasoning_effort")
    if effort is not None and effort not in _EFFORTS:
        raise InvalidRequest(f"`reasoning_effort`: expected one of {', '.join(_EFFORTS)}.", field="reasoning_effort")
    if thinks and body.get("think") is not None:
        sent["think"] = body["think"]
    elif thinks and effort is not None:
        sent["think"] = _EFFORTS[effort]
    return sent


def generate_request(body: Body, model: str, window: int | None) -> Body:
    """Return a completion for ``/api/generate``, in the middle of a text where there is a suffix."""
    suffix = body.get("suffix") or ""
    # Ollama takes an empty prompt as the wish to load the model, and answers nothing: at the very beginning of a file
    # a line break stands in for it.
    prompt = openai.one_prompt(body, SERVER) or ("\n" if suffix else "")
    sent = _request(body, model, window) | {"prompt": prompt}
    return {**sent, "suffix": suffix} if suffix else sent


def _request(body: Body, model: str, window: int | None) -> Body:
    """Return what chats and completions have in common."""
    # the defaults are those of Ollama's own OpenAI dialect
    options: Body = {"temperature": 1.0, "top_p": 1.0}
    options |= {theirs: body[ours] for ours, theirs in _OPTIONS.items() if body.get(ours) is not None}
    if stops := openai.stops(body):
        options["stop"] = stops
    if (most := openai.max_tokens(body)) is not None:
        options["num_predict"] = most
    sent: Body = {"model": model, "stream": bool(body.get("stream")), "options": options}
    if window is not None:
        options["num_ctx"] = window
        sent |= {"truncate": False, "shift": False}
    if body.get("keep_alive") is not None:
        sent["keep_alive"] = body["keep_alive"]
    return sent


def _message(message: dict[str, Any], names: dict[str, str]) -> Body:
    role = message["role"]
    content = message.get("content")
    made: Body = {"role": "system" if role == "developer" else role}
    if isinstance(content, list) and role == "user":
        texts = [part for part in content if part.get("type") != "image_url"]
        images = [openai.image_of(part, SERVER)[1] for part in content if part.get("type") == "image_url"]
        made["content"] = openai.text_of(texts)
        if images:
            made["images"] = images
    else:
        made["content"] = openai.text_of(content)
    if role in ("tool", "function"):
        given_id = message.get("tool_call_id")
        made["role"] = "tool"
        if name := message.get("name") or names.get(str(given_id)):
            made["tool_name"] = name
        if given_id:
            made["tool_call_id"] = given_id
    if calls := message.get("tool_calls"):
        made["tool_calls"] = [_call(call, place) for place, call in enumerate(calls)]
    if isinstance(thought := message.get("reasoning"), str):
        made["thinking"] = thought
    return made


def _call(call: dict[str, Any], place: int) -> Body:
    function = {"index": place, "name": openai.name_of(call), "arguments": openai.arguments_of(call)}
    return {"id": str(call.get("id") or ""), "function": function}


# --- what Ollama answers ---


class _Function(msgspec.Struct):
    name: str
    arguments: dict[str, Any] | None = None


class _ToolCall(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct):
    content: str = ""
    thinking: str = ""
    tool_calls: list[_ToolCall] | None = None


class _Said(msgspec.Struct):
    """A line, or all, of an answer to a chat (``message``) or a completion (``response``)."""

    message: _Message | None = None
    response: str | None = None
    done: bool = False
    done_reason: str | None = None
    load_duration: int = 0  # 10⁻⁹ s
    prompt_eval_count: int = 0
    eval_count: int = 0
    logprobs: list[dict[str, Any]] | None = None
    error: str | None = None


_decode = msgspec.json.Decoder(_Said).decode


def _read(data: bytes) -> _Said:
    said = _decode(data)
    if said.error is not None:
        raise UpstreamRejected(f"{SERVER} broke off: {said.error[:500]}", status=500, provider=SERVER)
    if said.message is None and said.response is None:
        raise UpstreamInvalid(f"{SERVER} answered without an answer.", provider=SERVER)
    return said


def _usage(said: _Said) -> Usage:
    return Usage(prompt_tokens=said.prompt_eval_count, completion_tokens=said.eval_count)


def _finish(said: _Said, *, has_called: bool) -> str:
    if said.done_reason == "length":
        return "length"
    return "tool_calls" if has_called else "stop"


def _delta(message: _Message) -> dict[str, Any]:
    """Return a message's parts as OpenAI's, without its role; nothing that is not there."""
    made: dict[str, Any] = {}
    if message.thinking:
        made["reasoning"] = message.thinking  # as Ollama's own OpenAI dialect calls it
    if message.content:
        made["content"] = message.content
    if message.tool_calls:
        made["tool_calls"] = [
            openai.tool_call(call.function.name, call.function.arguments, call.id) for call in message.tool_calls
        ]
    return made


def _more(said: _Said) -> dict[str, int]:
    """Return what the usage says beyond OpenAI's: how long the model took to load, in ms."""
    return {"load_ms": said.load_duration // 1_000_000} if said.load_duration else {}


def document(data: bytes, writer: openai.Writer) -> bytes:
    """Return a whole answer as OpenAI's."""
    said = _read(data)
    if said.message is None:
        choice: dict[str, Any] = {"text": said.response, "logprobs": None}
        choice["finish_reason"] = _finish(said, has_called=False)
    else:
        message = {"role": "assistant", "content": "", **_delta(said.message)}
        choice = {"message": message, "logprobs": {"content": said.logprobs} if said.logprobs else None}
        choice["finish_reason"] = _finish(said, has_called="tool_calls" in message)
    return writer.document([{"index": 0, **choice}], _usage(said), **_more(said))


class Lines:
    """Turns Ollama's stream of lines into OpenAI's events."""

    def __init__(self, writer: openai.Writer) -> None:
        self.usage = Usage()
        self._writer = writer
        self._has_begun = False
        self._calls = 0
        self._last: _Said | None = None

    def feed(self, data: bytes) -> bytes:
        """Return the event, or the last ones, for a line. Raises UpstreamRejected for an error that it reports."""
        said = _read(data)
        made = self._chat(said.message, said.logprobs) if said.message is not None else self._text(said.response or "")
        if said.done:
            self.usage = _usage(said)
            self._last = said
            is_chat = said.message is not None
            made += self._writer.event(0, {} if is_chat else "", _finish(said, has_called=self._calls > 0))
        return made

    def _chat(self, message: _Message, logprobs: list[dict[str, Any]] | None) -> bytes:
        delta = _delta(message)
        if not self._has_begun:
            self._has_begun = True
            delta = {"role": "assistant", "content": "", **delta}
        for call in delta.get("tool_calls", ()):
            call["index"] = self._calls
            self._calls += 1
        if not delta and not logprobs:
            return b""
        return self._writer.event(0, delta, logprobs={"content": logprobs} if logprobs else None)

    def _text(self, text: str) -> bytes:
        return self._writer.event(0, text) if text else b""

    def end(self) -> bytes:
        """Return the usage, if it was asked for, and the end mark."""
        if self._last is None:
            raise UpstreamIncomplete(f"{SERVER} broke off in the middle of its answer.")
        return self._writer.usage_event(self.usage, **_more(self._last)) + b"data: [DONE]\n\n"


class _Embeddings(msgspec.Struct):
    embeddings: list[list[float]]
    prompt_eval_count: int = 0


def embeddings(data: bytes, model: str, encoding_format: str | None) -> bytes:
    """Return an answer of ``/api/embed`` as OpenAI's."""
    said = msgspec.json.decode(data, type=_Embeddings)
    return openai.embedding_list(model, said.embeddings, said.prompt_eval_count, encoding_format)


def length_of(body: Body) -> int:
    """Return about how many bytes of text a request has for the model: texts, calls and tools; pictures not."""
    total = _length(body.get("prompt")) + _length(body.get("suffix"))
    for message in body.get("messages") or ():
        total += _length(message.get("content")) + _BYTES_AROUND_A_MESSAGE
        if message.get("tool_calls"):
            total += len(msgspec.json.encode(message["tool_calls"]))
    return total + (len(msgspec.json.encode(body["tools"])) if body.get("tools") else 0)


def _length(content: Any) -> int:
    if isinstance(content, str):
        return len(content) if content.isascii() else len(content.encode(errors="replace"))
    if isinstance(content, list):
        return sum(_length(part.get("text")) if isinstance(part, dict) else _length(part) for part in content)
    return 0


def images_in(body: Body) -> int:
    """Return how many pictures a chat has."""
    return sum(
        part.get("type") == "image_url"
        for message in body.get("messages") or ()
        if isinstance(message.get("content"), list)
        for part in message["content"]
    )
