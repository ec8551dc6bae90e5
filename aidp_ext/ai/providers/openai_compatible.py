"""Servers that speak OpenAI's dialect: llama.cpp, vLLM, TensorRT-LLM, the team gateway, and many that are hosted.

The dialect in and out is the same, so answers pass through byte by byte. The one exception is fill in the middle
with llama.cpp, which has a call of its own for it (``/infill``). Sources: llama.cpp's tools/server/README.md, vLLM's
docs/serving/openai_compatible_server.md.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import msgspec

from aidp_ext.ai.models import FREE, Answer, Caller, Capability, Locality, Offer, Price, Usage
from aidp_ext.ai.providers.answers import EachAlone, decode, usage_of
from aidp_ext.ai.providers.base import FORWARDED_NAME, Body, Provider, is_forwarded
from aidp_ext.ai.providers.fim import template_for
from aidp_ext.ai.providers.openai_dialect import stops
from aidp_ext.core.errors import AidpError, InvalidRequest, UpstreamError, UpstreamInvalid, UpstreamRejected

# OpenAI's list names models for speech, pictures and more, without saying what each is for.
_NOT_TEXT = re.compile(
    r"whisper|tts|audio|realtime|transcri|dall-e|image|sora|moderation|search|computer-use|davinci|babbage|veo|imagen|aqa"
)
_EMBEDS = re.compile(r"embed|\bbge\b|\be5\b|minilm")
_DEAREST = 1e5  # dollars per 10⁶ tokens: a price beyond is none
_MEDIA = ("image_url", "video_url", "audio_url")
_CHATS = frozenset({Capability.CHAT, Capability.TOOLS, Capability.VISION})
# Who they are, as their lists of models say; both can hold an answer to a JSON schema.
_LLAMA_CPP, _VLLM = "llamacpp", "vllm"


class _Embeddings(msgspec.Struct):
    data: list[msgspec.Raw]


def _usage_of_embeddings(document: bytes, label: str) -> Usage:
    """Return the tokens that embeddings took. Raises UpstreamInvalid where there are no embeddings in the answer."""
    usage = usage_of(document, label)
    try:
        msgspec.json.decode(document, type=_Embeddings)
    except msgspec.ValidationError as error:
        raise UpstreamInvalid(f"{label} answered without embeddings.") from error
    return usage


class OpenAICompatible(Provider):
    """See the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ids: dict[str, str] = {}  # our short model names → the server's own ids
        self._without_infill: set[str] = set()  # llama.cpp models found to have no fill-in-the-middle tokens
        self._owners: dict[str, str] = {}  # our short model names → which server holds the model
        if self._forwards_headers:
            self.next_step = "Try again in a moment; if it lasts, tell the hub's admin."
        elif self.locality is Locality.LOCAL:
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
        entries = [entry for entry in data if isinstance(entry, dict)]
        hosted = await self._hosted(entries)
        return tuple(offer for entry in entries for offer in self._offer(entry, hosted))

    async def _hosted(self, entries: list[dict[str, Any]]) -> frozenset[Any]:
        """Return the ids of models that the server is known to forward to a hosted service.

        An Ollama may stand behind this API as well, and only its own list tells that of a model under another name.
        """
        known = (_LLAMA_CPP, _VLLM)
        asked = [entry for entry in entries if entry.get("owned_by") not in known]
        if not asked or self.locality is Locality.CLOUD or self._forwards_headers:
            return frozenset()
        try:
            listed = await self._get(f"{self.base_url.removesuffix('/v1')}/api/tags")
            tags = [entry for entry in listed["models"] if isinstance(entry, dict)]
        except (UpstreamError, LookupError, TypeError):
            # No Ollama, or one that does not say: "library" is what it calls its usual models.
            return frozenset(entry.get("id") for entry in asked if entry.get("owned_by") == "library")
        return frozenset(entry.get("model") or entry.get("name") for entry in tags if is_forwarded(entry))

    def _offer(self, entry: dict[str, Any], hosted: frozenset[Any]) -> Iterable[Offer]:
        model = entry.get("id")
        if not isinstance(model, str) or not model:
            return
        own, model = model, model.removeprefix("models/")  # Gemini's list
        if model.startswith("/"):  # llama.cpp names a model by the path of its file, which is nobody's business
            model = model.rsplit("/", 1)[-1].removesuffix(".gguf")
        self._ids[model] = own
        self._owners[model] = str(entry.get("owned_by"))
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
        locality = Locality.CLOUD if FORWARDED_NAME.search(model) or own in hosted else self.locality
        yield Offer(
            provider=self.name,
            model=model,
            locality=locality,
            capabilities=capabilities,
            label=model.rsplit("/", 1)[-1],
            # llama.cpp: what a slot holds, then what the model was trained for; vLLM: max_model_len
            context_length=_whole(meta.get("n_ctx") or entry.get("max_model_len") or meta.get("n_ctx_train")),
            parameters_b=size / 1e9 if isinstance(size, int | float) and size > 0 else None,
            loaded=True if entry.get("owned_by") == _LLAMA_CPP else None,
            price=FREE if locality is Locality.LOCAL else None,
        )

    def _capabilities(self, model: str, owner: Any) -> frozenset[Capability]:
        name = model.lower()
        if _EMBEDS.search(name):
            return frozenset({Capability.EMBED})
        if self.locality is Locality.CLOUD:
            # Chat only: the hosted APIs ended their plain completions.
            return frozenset() if _NOT_TEXT.search(name) else _CHATS
        has_fim = (owner == _LLAMA_CPP and model not in self._without_infill) or template_for(name) is not None
        more = {Capability.FIM} if has_fim else set()
        if owner in (_LLAMA_CPP, _VLLM):
            more.add(Capability.JSON)
        return _CHATS | {Capability.COMPLETE} | more

    async def chat(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Pass the chat on. Raises InvalidRequest for media that a local server would have to fetch."""
        if offer.locality is Locality.LOCAL and not self._forwards_headers:
            _check_media(body, self.label)
        return await self._metered(f"{self.base_url}/chat/completions", self._named(body, offer), caller)

    async def complete(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Complete; with a suffix by the server's own call, else by the family's template, else from the prefix."""
        url = f"{self.base_url}/completions"
        suffix = body.get("suffix") or ""
        if self._forwards_headers:  # the gateway knows its models better
            return await self._metered(url, self._named(body, offer), caller)
        if suffix and self._has_infill(offer):
            try:
                return await self._infill(offer, body, caller)
            except UpstreamRejected as error:
                if error.status not in (404, 501):
                    raise
                self._without_infill.add(offer.model)
        sent = self._named({k: v for k, v in body.items() if k != "suffix"}, offer)
        if not suffix:
            return await self._metered(url, sent, caller)
        template = template_for(offer.model)
        if template is None:
            return await self._metered(url, sent, caller, notes=("suffix_ignored",))
        sent["prompt"] = template.render(body["prompt"], suffix)
        sent["stop"] = [*stops(body), *template.stop]
        return await self._metered(url, sent, caller)

    async def messages(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Pass a chat in Anthropic's dialect to the gateway, which speaks it; translate it for other servers."""
        if not self._forwards_headers:
            return await super().messages(offer, body, caller)
        return await self._pass_messages(f"{self.base_url}/messages", self._named(body, offer), caller)

    async def embed(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Pass the texts on."""
        sent = self._named(body, offer)
        return await self._answer(
            f"{self.base_url}/embeddings", sent, caller, streams=False, read_usage=_usage_of_embeddings
        )

    async def count(self, offer: Offer, body: Body) -> int | None:
        """Return the tokens of a prompt by the server's own tokenizer: llama.cpp's and vLLM's can be asked."""
        owner = self._owners.get(offer.model)
        if owner == _VLLM:
            kept = ("messages", "tools", "prompt")
            said = await self._ask(
                f"{self._root}/tokenize", self._named({k: body[k] for k in kept if k in body}, offer)
            )
            return _whole(said.get("count")) if isinstance(said, dict) else None
        if owner != _LLAMA_CPP or self.locality is Locality.CLOUD:
            return None
        text = body.get("prompt")
        if "messages" in body:
            shaping = ("messages", "tools", "tool_choice", "response_format")
            said = await self._ask(f"{self._root}/apply-template", {k: body[k] for k in shaping if k in body})
            text = said.get("prompt") if isinstance(said, dict) else None
        if not isinstance(text, str):
            return None
        said = await self._ask(f"{self._root}/tokenize", {"content": text, "add_special": True, "parse_special": True})
        tokens = said.get("tokens") if isinstance(said, dict) else None
        return len(tokens) if isinstance(tokens, list) else None

    async def explain(self, model: str) -> AidpError | None:
        """Return what the gateway says of a model that it does not list, such as which rule forbids it."""
        if not self._forwards_headers or {".", ".."} & set(model.split("/")):  # that would be another address
            return None
        try:
            await self._get(f"{self.base_url}/models/{quote(model)}")
        except UpstreamRejected as error:
            return error if error.code != UpstreamRejected.code else None
        except AidpError:
            return None
        return None

    async def slots(self) -> int | None:
        """Return llama.cpp's slots (its ``--parallel``); None for other servers, and where it does not say."""
        if _LLAMA_CPP not in self._owners.values():
            return None
        try:
            said = await self._get(f"{self._root}/props")
        except UpstreamError:  # a proxy may let only /v1 through
            return None
        return _whole(said.get("total_slots")) if isinstance(said, dict) else None

    @property
    def _root(self) -> str:
        """The address beside which the server's own calls stand: without the dialect's ``/v1``."""
        return self.base_url.removesuffix("/v1")

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
            sent["stop"] = stops(body)

        def translate(data: bytes) -> bytes:
            return _as_completion(data, offer.model, self.label)

        translator = functools.partial(EachAlone, self.label, translate)
        return await self._answer(f"{self._root}/infill", sent, caller, translate=translate, translator=translator)


def _check_media(body: Body, server: str) -> None:
    """Raise InvalidRequest where an image, a video or a sound is but an address: whoever fetches it tells its host.

    llama.cpp and vLLM would fetch it. What stays here must not reach another host by that way, nor a request the
    hosts that only the server can reach.
    """
    contents = [message.get("content") for message in body.get("messages") or () if isinstance(message, dict)]
    for part in (part for parts in contents if isinstance(parts, list) for part in parts if isinstance(part, dict)):
        for kind in _MEDIA:
            held = part.get(kind)
            url = held.get("url") if isinstance(held, dict) else held
            if isinstance(url, str) and not url.startswith("data:"):
                raise InvalidRequest(
                    f"`{kind}`: {server} is not sent addresses, and aidp does not fetch them.",
                    next_step="Send the file itself as a data: URL.",
                    field=kind,
                )


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


def _from_gateway(provider: str, model: str, known: dict[str, Any], reached: Locality) -> Offer:
    """Return the gateway's own description; what it does not say is taken for the careful case.

    A gateway somewhere on the internet may call its models local: to us they are not.
    """
    said = known.get("capabilities")
    locality = Locality.LOCAL if Locality.LOCAL == reached == known.get("locality") else Locality.CLOUD
    return Offer(
        provider=provider,
        model=model,
        locality=locality,
        capabilities=frozenset(Capability(c) for c in (said if isinstance(said, list) else []) if c in set(Capability)),
        label=str(known.get("label") or model),
        context_length=_whole(known.get("context_length")),
        max_output_tokens=_whole(known.get("max_output_tokens")),
        price=FREE if locality is Locality.LOCAL else _price(known.get("price")),
    )


def _price(said: Any) -> Price | None:
    """Return a price as another aidp says it, None where it says none."""
    try:
        found = msgspec.convert(said, Price)
    except msgspec.ValidationError:
        return None
    amounts = (found.input, found.output, found.cached_input or 0.0, found.cache_write or 0.0)
    return found if all(0 <= amount <= _DEAREST for amount in amounts) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
