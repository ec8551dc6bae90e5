"""Servers that speak OpenAI's dialect: OpenAI itself, llama.cpp, vLLM, TensorRT-LLM, the team gateway.

The dialect in and out is the same, so answers pass through byte by byte. The one exception is fill in the middle
with llama.cpp, which has a call of its own for it (``/infill``).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from aidp_ext.ai.models import Answer, Caller, Capability, Locality, Offer
from aidp_ext.ai.providers.answers import EachAlone, decode
from aidp_ext.ai.providers.base import FORWARDED_NAME, Body, Provider
from aidp_ext.ai.providers.fim import template_for
from aidp_ext.core.errors import UpstreamInvalid, UpstreamRejected

# OpenAI's list names models for speech, pictures and more, without saying what each is for.
_NOT_TEXT = re.compile(
    r"whisper|tts|audio|realtime|transcri|dall-e|image|sora|moderation|search|computer-use|davinci|babbage|veo|imagen|aqa"
)
_EMBEDS = re.compile(r"embed|\bbge\b|\be5\b|minilm")
_CONTEXTS = (
    (re.compile(r"^claude-"), 200_000),
    (re.compile(r"^gemini-|^gpt-4\.1"), 1_000_000),
    (re.compile(r"^gpt-5"), 400_000),
)
_CHATS = frozenset({Capability.CHAT, Capability.TOOLS, Capability.VISION})


class OpenAICompatible(Provider):
    """See the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ids: dict[str, str] = {}  # our short model names → the server's own ids
        self._without_infill: set[str] = set()  # llama.cpp models found to have no fill-in-the-middle tokens
        if self.locality is Locality.LOCAL:
            self.next_step = f"Start the model server at {self.url}, or change LOCAL_OPENAI_BASE_URL."

    async def offers(self) -> tuple[Offer, ...]:
        """Return the models of ``GET /models``."""
        listed = await self._get(f"{self.base_url}/models")
        data = listed.get("data") if isinstance(listed, dict) else None
        if not isinstance(data, list):
            raise UpstreamInvalid(
                f"{self.label} answers at {self.url}, but not with a list of models.",
                next_step="The base URL usually ends in /v1.",
                provider=self.name,
            )
        return tuple(offer for entry in data if isinstance(entry, dict) for offer in self._offer(entry))

    def _offer(self, entry: dict[str, Any]) -> Iterable[Offer]:
        model = entry.get("id")
        if not isinstance(model, str) or not model:
            return
        own, model = model, model.removeprefix("models/")  # Gemini's list
        if model.startswith("/"):  # llama.cpp names a model by the path of its file, which is nobody's business
            model = model.rsplit("/", 1)[-1].removesuffix(".gguf")
        self._ids[model] = own
        known = entry.get("aidp")  # another aidp, such as the gateway, tells what it knows of its models
        if self._forwards_headers or entry.get("owned_by") == "aidp" or isinstance(known, dict):
            if isinstance(known, dict):  # its automatic names are no models: the choice is made here, once
                yield _from_gateway(self.name, model, known, self.locality)
            return
        capabilities = self._capabilities(model, entry.get("owned_by"))
        if not capabilities:
            return
        meta = entry.get("meta") if isinstance(entry.get("meta"), dict) else {}
        assert isinstance(meta, dict)
        size = meta.get("n_params")
        yield Offer(
            provider=self.name,
            model=model,
            locality=Locality.CLOUD if FORWARDED_NAME.search(model) else self.locality,
            capabilities=capabilities,
            label=model.rsplit("/", 1)[-1],
            # llama.cpp: what a slot holds, then what the model was trained for; vLLM: max_model_len
            context_length=_whole(meta.get("n_ctx") or entry.get("max_model_len") or meta.get("n_ctx_train"))
            or _published_context(model),
            parameters_b=size / 1e9 if isinstance(size, int | float) and size > 0 else None,
            loaded=True if entry.get("owned_by") == "llamacpp" else None,
        )

    def _capabilities(self, model: str, owner: Any) -> frozenset[Capability]:
        name = model.lower()
        if _EMBEDS.search(name):
            return frozenset({Capability.EMBED})
        if self.locality is Locality.CLOUD:
            # Chat only: the hosted APIs ended their plain completions.
            return frozenset() if _NOT_TEXT.search(name) else _CHATS
        has_fim = (owner == "llamacpp" and model not in self._without_infill) or template_for(name) is not None
        return _CHATS | {Capability.COMPLETE} | ({Capability.FIM} if has_fim else set())

    async def chat(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Pass the chat on."""
        return await self._answer(f"{self.base_url}/chat/completions", self._named(body, offer), caller)

    async def complete(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Complete; with a suffix by the server's own call, else by the family's template, else from the prefix."""
        url = f"{self.base_url}/completions"
        suffix = body.get("suffix") or ""
        if self._forwards_headers:  # the gateway knows its models better
            return await self._answer(url, self._named(body, offer), caller)
        if suffix and self._has_infill(offer):
            try:
                return await self._infill(offer, body, caller)
            except UpstreamRejected as error:
                if error.status not in (404, 501):
                    raise
                self._without_infill.add(offer.model)
        sent = self._named({k: v for k, v in body.items() if k != "suffix"}, offer)
        if not suffix:
            return await self._answer(url, sent, caller)
        template = template_for(offer.model)
        if template is None:
            return await self._answer(url, sent, caller, notes=("suffix_ignored",))
        sent["prompt"] = template.render(body["prompt"], suffix)
        sent["stop"] = [*_stops(body), *template.stop]
        return await self._answer(url, sent, caller)

    def _named(self, body: Body, offer: Offer) -> Body:
        return {**body, "model": self._ids.get(offer.model, offer.model)}

    def _has_infill(self, offer: Offer) -> bool:
        # Only llama.cpp says that its model is loaded; its /infill stands beside /v1.
        return offer.loaded is True and offer.model not in self._without_infill

    async def _infill(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        sent = {k: v for k, v in body.items() if k not in ("prompt", "suffix", "max_tokens", "stream_options")}
        sent = self._named(sent, offer) | {"input_prefix": body["prompt"], "input_suffix": body["suffix"]}
        if body.get("max_tokens") is not None:
            sent["n_predict"] = body["max_tokens"]
        if sent.get("stop") is not None:
            sent["stop"] = _stops(body)

        def translate(data: bytes) -> bytes:
            return _as_completion(data, offer.model, self.label)

        url = f"{self.base_url.removesuffix('/v1')}/infill"
        translator = functools.partial(EachAlone, self.label, translate)
        return await self._answer(url, sent, caller, translate=translate, translator=translator)


def _as_completion(data: bytes, model: str, label: str) -> bytes:
    """Return an answer of llama.cpp's ``/infill`` as OpenAI's text completion. Errors pass as they are."""
    said = decode(data, label)
    answers = said if isinstance(said, list) else [said]  # a list for n > 1
    if not all(isinstance(one, dict) and "content" in one for one in answers):
        return data
    said = answers[-1]
    made: dict[str, Any] = {
        "id": "cmpl-infill",
        "object": "text_completion",
        "created": 0,
        "model": model,
        "choices": [_choice(one, place) for place, one in enumerate(answers)],
    }
    if said.get("stop"):
        read = int(said.get("tokens_evaluated", 0))
        written = sum(int(one.get("tokens_predicted", 0)) for one in answers)
        made["usage"] = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    return msgspec.json.encode(made)


def _choice(said: dict[str, Any], place: int) -> dict[str, Any]:
    finish = None
    if said.get("stop"):
        finish = "length" if said.get("stop_type") == "limit" else "stop"
    return {"index": said.get("index", place), "text": said["content"], "logprobs": None, "finish_reason": finish}


def _published_context(model: str) -> int | None:
    """Return how many tokens a hosted model reads, where its list does not say. Source: the vendors' model pages."""
    return next((length for pattern, length in _CONTEXTS if pattern.search(model.lower())), None)


def _from_gateway(provider: str, model: str, known: dict[str, Any], reached: Locality) -> Offer:
    """Return the gateway's own description; what it does not say is taken for the careful case.

    A gateway somewhere on the internet may call its models local: to us they are not.
    """
    said = known.get("capabilities")
    return Offer(
        provider=provider,
        model=model,
        locality=Locality.LOCAL if Locality.LOCAL == reached == known.get("locality") else Locality.CLOUD,
        capabilities=frozenset(Capability(c) for c in (said if isinstance(said, list) else []) if c in set(Capability)),
        label=str(known.get("label") or model),
        context_length=_whole(known.get("context_length")),
    )


def _stops(body: Body) -> list[str]:
    stop = body.get("stop")
    return [stop] if isinstance(stop, str) else list(stop or [])


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
