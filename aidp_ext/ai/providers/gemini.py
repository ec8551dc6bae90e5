"""Google's Gemini API in its own dialect (v1beta), spoken to as OpenAI's.

Sources: https://ai.google.dev/api/generate-content, /api/embeddings, /api/models, /gemini-api/docs/thought-signatures
and /gemini-api/docs/openai (which values of ``reasoning_effort`` mean which thinking), and the types of Google's
``google-genai`` package.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from aidp_ext.ai.models import Answer, Caller, Capability, Locality, Offer, Usage
from aidp_ext.ai.providers import gemini_request as request
from aidp_ext.ai.providers import openai_dialect as openai
from aidp_ext.ai.providers.base import Body, Provider
from aidp_ext.core.errors import UpstreamIncomplete, UpstreamInvalid, UpstreamRejected

_MAX_PAGES = 20
_EMBEDDINGS_A_CALL = 100  # the most that one batch takes
# Models for speech, pictures and more, which the list does not tell apart from those for text.
_NOT_TEXT = re.compile(r"tts|audio|live|image|veo|imagen|lyria|aqa|computer-use|robotics")
_GEMINI = frozenset({Capability.CHAT, Capability.TOOLS, Capability.VISION, Capability.JSON})
_FINISH = {
    "STOP": "stop",
    "FINISH_REASON_UNSPECIFIED": "stop",
    "MAX_TOKENS": "length",
}
# The answer is of no use, and no filter's doing: another model may do better.
_BROKEN = frozenset({"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"})


class Gemini(Provider):
    """See the module. ``base_url`` ends in the version, ``…/v1beta``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._headers = {"x-goog-api-key": self._api_key}  # in a header: addresses end up in logs
        self._names: dict[str, str] = {}  # our short names → resource names
        self._thinks: dict[str, bool] = {}

    async def offers(self) -> tuple[Offer, ...]:
        """Return the models of all pages of ``GET models`` that chat or embed."""
        found: list[Offer] = []
        page = {"pageSize": "1000"}
        for _ in range(_MAX_PAGES):
            listed = await self._get(f"{self.base_url}/models?{urlencode(page)}")
            models = listed.get("models", []) if isinstance(listed, dict) else None
            if not isinstance(models, list):
                raise UpstreamInvalid(f"{self.label} did not answer with a list of models.", provider=self.name)
            found += [offer for entry in models if isinstance(entry, dict) for offer in self._offer(entry)]
            token = listed.get("nextPageToken")
            if not token or not isinstance(token, str):
                break
            page["pageToken"] = token
        return tuple(found)

    def _offer(self, entry: dict[str, Any]) -> Iterator[Offer]:
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            return
        model = name.removeprefix("models/")
        methods = entry.get("supportedGenerationMethods")
        methods = methods if isinstance(methods, list) else []
        if "embedContent" in methods:
            capabilities = frozenset({Capability.EMBED})
        elif "generateContent" in methods and not _NOT_TEXT.search(model):
            # Gemma is served too, without tools and structured output
            capabilities = frozenset({Capability.CHAT}) if model.startswith("gemma") else _GEMINI
        else:
            return
        self._names[model] = name
        if isinstance(entry.get("thinking"), bool):
            self._thinks[model] = entry["thinking"]
        label = entry.get("displayName")
        yield Offer(
            provider=self.name,
            model=model,
            locality=Locality.CLOUD,
            capabilities=capabilities,
            label=label if isinstance(label, str) else model,
            context_length=_whole(entry.get("inputTokenLimit")),
            max_output_tokens=_whole(entry.get("outputTokenLimit")),
        )

    async def chat(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Answer a chat by ``generateContent``. Raises InvalidRequest for what Gemini cannot be asked."""
        sent, notes = request.content_request(body, offer.model, self._thinks.get(offer.model))
        streams = bool(body.get("stream"))
        call = "streamGenerateContent?alt=sse" if streams else "generateContent"
        writer = functools.partial(openai.Writer, offer.model, usage=openai.wants_usage(body))
        return await self._answer(
            self._url(offer, call),
            sent,
            caller,
            translate=lambda document: _chat(document, writer(), self.label),
            translator=lambda: _Stream(writer(), self.label),
            notes=notes,
            streams=streams,
        )

    async def complete(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Raise UpstreamInvalid: Gemini only chats. No offer says otherwise."""
        raise UpstreamInvalid(f"{self.label} completes no plain text.", provider=self.name)

    async def embed(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Make embeddings, a hundred a call. Gemini reports no tokens for some models: then they are estimated."""
        texts = openai.inputs_of(body, self.label)
        notes = openai.ignored(body, {"dimensions", "encoding_format"})
        vectors: list[list[float]] = []
        tokens: int | None = 0
        for start in range(0, len(texts), _EMBEDDINGS_A_CALL):
            parts = [self._embedding(offer, text, body) for text in texts[start : start + _EMBEDDINGS_A_CALL]]
            one = len(texts) == 1
            sent = parts[0] if one else {"requests": parts}
            url = self._url(offer, "embedContent" if one else "batchEmbedContents")
            answer = await self._answer(url, sent, caller, streams=False)
            assert answer.document is not None
            found, counted = _vectors(answer.document, self.label)
            vectors += found
            tokens = None if tokens is None or counted is None else tokens + counted
        if len(vectors) != len(texts):
            raise UpstreamInvalid(f"{self.label} made {len(vectors)} embeddings of {len(texts)} texts.")
        if tokens is None:
            notes += ("usage_estimated",)
        estimate = sum(len(text.encode()) // 4 + 1 for text in texts)
        document = openai.embedding_list(
            offer.model, vectors, estimate if tokens is None else tokens, body.get("encoding_format")
        )
        return Answer(document=document, usage=Usage(prompt_tokens=tokens), notes=notes)

    async def count(self, offer: Offer, body: Body) -> int | None:
        """Return the tokens of a chat's prompt, by ``countTokens`` (which costs nothing); None for anything else."""
        if "messages" not in body:
            return None
        sent, _ = request.content_request(body, offer.model, self._thinks.get(offer.model))
        sent["model"] = self._name(offer)
        said = await self._ask(self._url(offer, "countTokens"), {"generateContentRequest": sent})
        return _whole(said.get("totalTokens")) if isinstance(said, dict) else None

    def _embedding(self, offer: Offer, text: str, body: Body) -> Body:
        sent: Body = {"model": self._name(offer), "content": {"parts": [{"text": text}]}}
        return sent if body.get("dimensions") is None else {**sent, "outputDimensionality": body["dimensions"]}

    def _name(self, offer: Offer) -> str:
        return self._names.get(offer.model, f"models/{offer.model}")

    def _url(self, offer: Offer, call: str) -> str:
        return f"{self.base_url}/{quote(self._name(offer))}:{call}"

    def _meant(self, status: int, document: bytes) -> int:
        # a wrong key is a 400 here, which would count as the caller's fault
        return 401 if status == 400 and b"API_KEY_INVALID" in document else status


# --- what Gemini answers ---


class _Call(msgspec.Struct):
    name: str
    args: dict[str, Any] | None = None
    id: str | None = None


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool = False
    function_call: _Call | None = None
    thought_signature: str | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] = []


class _Token(msgspec.Struct, rename="camel"):
    token: str = ""
    log_probability: float = 0.0


class _Tokens(msgspec.Struct):
    candidates: list[_Token] = []


class _Logprobs(msgspec.Struct, rename="camel"):
    chosen_candidates: list[_Token] = []
    top_candidates: list[_Tokens] = []


class _Candidate(msgspec.Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    index: int = 0
    logprobs_result: _Logprobs | None = None


class _Counts(msgspec.Struct, rename="camel"):
    prompt_token_count: int = 0
    candidates_token_count: int = 0
    thoughts_token_count: int = 0
    tool_use_prompt_token_count: int = 0
    cached_content_token_count: int | None = None


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class _Error(msgspec.Struct):
    message: str = "it gave no reason"
    code: int = 500


class _Response(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] = []
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Counts | None = None
    error: _Error | None = None


_decode = msgspec.json.Decoder(_Response).decode


def _usage(counts: _Counts | None) -> Usage:
    """Return the tokens: what a tool of Google's read counts as prompt, thoughts as answer (both are paid so)."""
    if counts is None:
        return Usage()
    return Usage(
        prompt_tokens=counts.prompt_token_count + counts.tool_use_prompt_token_count,
        completion_tokens=counts.candidates_token_count + counts.thoughts_token_count,
        cached_tokens=counts.cached_content_token_count,
        reasoning_tokens=counts.thoughts_token_count or None,
    )


def _blocked(said: _Response) -> str | None:
    """Return why the prompt was not answered at all, in words, or None."""
    reason = said.prompt_feedback.block_reason if said.prompt_feedback else None
    return f"Gemini blocked the prompt: {reason}." if reason else None


def _finish(candidate: _Candidate, has_called: bool, label: str) -> str:
    """Return OpenAI's reason for the end of an answer. Raises UpstreamInvalid for an answer of no use."""
    reason = candidate.finish_reason or ""
    if reason in _BROKEN:
        words = candidate.finish_message or reason
        raise UpstreamInvalid(f"{label}'s model could not make its tool call: {words[:200]}")
    if has_called and reason == "STOP":
        return "tool_calls"
    return _FINISH.get(reason, "content_filter")  # SAFETY, RECITATION, SPII and the like


def _message(candidate: _Candidate) -> dict[str, Any]:
    """Return a candidate's parts as OpenAI's message, or delta, without its role; nothing that is not there."""
    message: dict[str, Any] = {}
    calls = []
    for part in candidate.content.parts if candidate.content else ():
        if part.text:
            key = "reasoning" if part.thought else "content"
            message[key] = message.get(key, "") + part.text
        if part.function_call is not None:
            call = openai.tool_call(part.function_call.name, part.function_call.args, part.function_call.id)
            if part.thought_signature:  # has to come back with the call; where Google's own OpenAI dialect has it
                call["extra_content"] = {"google": {"thought_signature": part.thought_signature}}
            calls.append(call)
    return {**message, "tool_calls": calls} if calls else message


def _logprobs(candidate: _Candidate) -> dict[str, Any] | None:
    found = candidate.logprobs_result
    if found is None:
        return None
    tops = [[(other.token, other.log_probability) for other in top.candidates] for top in found.top_candidates]
    tops += [[]] * (len(found.chosen_candidates) - len(tops))
    chosen = zip(found.chosen_candidates, tops, strict=False)
    return {"content": [openai.logprob(one.token, one.log_probability, top) for one, top in chosen]}


def _chat(document: bytes, writer: openai.Writer, label: str) -> bytes:
    """Return a whole answer as OpenAI's ``chat.completion``."""
    said = _decode(document)
    refusal = _blocked(said)
    if not said.candidates and refusal is None:
        raise UpstreamInvalid(f"{label} answered without an answer.")
    choices = []
    for candidate in said.candidates:
        message = {"role": "assistant", "content": None, **_message(candidate)}
        finish = _finish(candidate, "tool_calls" in message, label)
        if message["content"] is None and "tool_calls" not in message:
            message["content"] = ""
        logprobs = _logprobs(candidate)
        choices.append({"index": candidate.index, "message": message, "logprobs": logprobs, "finish_reason": finish})
    if not choices:
        message = {"role": "assistant", "content": "", "refusal": refusal}
        choices = [{"index": 0, "message": message, "logprobs": None, "finish_reason": "content_filter"}]
    return writer.document(choices, _usage(said.usage_metadata))


class _Stream:
    """Turns a stream of Gemini's events into OpenAI's."""

    def __init__(self, writer: openai.Writer, label: str) -> None:
        self.usage = Usage()
        self._writer = writer
        self._label = label
        self._calls: dict[int, int] = {}  # candidates begun → how many tools each has called
        self._finished: set[int] = set()

    def feed(self, data: bytes) -> bytes:
        """Return the events for one of Gemini's, which may carry several candidates."""
        said = _decode(data)
        if said.error is not None:
            raise UpstreamRejected(f"{self._label} broke off: {said.error.message[:500]}", status=said.error.code)
        if said.usage_metadata is not None:
            self.usage = _usage(said.usage_metadata)
        made = b"".join(self._candidate(candidate) for candidate in said.candidates)
        refusal = _blocked(said)
        if refusal is not None and not self._calls:
            self._finished.add(0)
            made += self._writer.event(0, {"role": "assistant", "content": "", "refusal": refusal})
            made += self._writer.event(0, {}, "content_filter")
        return made

    def _candidate(self, candidate: _Candidate) -> bytes:
        index = candidate.index
        delta = _message(candidate)
        made = b""
        if index not in self._calls:
            self._calls[index] = 0
            delta = {"role": "assistant", "content": "", **delta}
        for call in delta.get("tool_calls", ()):
            call["index"] = self._calls[index]
            self._calls[index] += 1
        if delta:
            made = self._writer.event(index, delta, logprobs=_logprobs(candidate))
        if candidate.finish_reason and index not in self._finished:
            self._finished.add(index)
            made += self._writer.event(index, {}, _finish(candidate, self._calls[index] > 0, self._label))
        return made

    def end(self) -> bytes:
        """Return the usage, if it was asked for, and the end mark."""
        if not self._finished or not self._finished >= self._calls.keys():
            raise UpstreamIncomplete(f"{self._label} broke off in the middle of its answer.")
        return self._writer.usage_event(self.usage) + b"data: [DONE]\n\n"


class _Vector(msgspec.Struct):
    values: list[float]


class _Embeddings(msgspec.Struct, rename="camel"):
    embedding: _Vector | None = None  # of one
    embeddings: list[_Vector] = []  # of a batch
    usage_metadata: _Counts | None = None


def _vectors(document: bytes, label: str) -> tuple[list[list[float]], int | None]:
    """Return the vectors, and the tokens where they are reported."""
    try:
        said = msgspec.json.decode(document, type=_Embeddings)
    except ValueError as error:
        raise UpstreamInvalid(f"{label} answered with something that is no embedding.") from error
    found = said.embeddings or ([said.embedding] if said.embedding else [])
    return [vector.values for vector in found], _usage(said.usage_metadata).prompt_tokens or None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
