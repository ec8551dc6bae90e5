"""Ollama: its own calls to learn what is installed and loaded, and for what its OpenAI dialect does not do.

Short plain chats go over its OpenAI dialect, whose answers pass through untouched. That dialect cuts a prompt to the
window that the model happens to be loaded with, without a word, and knows no pictures beside text; such requests take
Ollama's own calls. Sources: Ollama's docs/api.md, openai/openai.go and server/routes.go. A "local" Ollama also serves
models that it forwards to a hosted service (``remote_host`` in its lists, names ending in ``:cloud`` or ``-cloud``):
those count as cloud.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from typing import Any

from aidp_ext.ai.models import FREE, Answer, Caller, Capability, Locality, Offer
from aidp_ext.ai.providers import ollama_native as native
from aidp_ext.ai.providers import openai_dialect as openai
from aidp_ext.ai.providers.base import Body, Provider, is_forwarded
from aidp_ext.ai.providers.ollama_pull import PullProgress, checked, pull
from aidp_ext.core.errors import UpstreamError, UpstreamInvalid

_CAPABILITIES = {
    "completion": {Capability.CHAT, Capability.COMPLETE, Capability.JSON},
    "insert": {Capability.FIM},
    "tools": {Capability.TOOLS},
    "vision": {Capability.VISION},
    "embedding": {Capability.EMBED},
}
_SIZES = {"K": 1e-6, "M": 1e-3, "B": 1.0, "T": 1e3}
# What Ollama loads a model with on a machine without much video memory, where nothing else is said.
_DEFAULT_WINDOW = 4096
# Careful, since too small a window is the error: code in a small model's tokens comes to about 3 bytes each.
_BYTES_PER_TOKEN = 3
_TOKENS_PER_IMAGE = 1500
_ROOM_FOR_THE_ANSWER = 1024  # tokens, where the request does not say
# Memory is taken for all of a window at once: a careless limit of the answer must not cost gigabytes.
_MOST_ROOM_FOR_THE_ANSWER = 8192
_LARGEST_WINDOW = 131_072  # of a model whose own limit is not known


class Ollama(Provider):
    """See the module."""

    next_step = "Start Ollama (`ollama serve`) and pull a model (`ollama pull qwen2.5-coder:1.5b`)."

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shown: dict[str, dict[str, Any]] = {}  # by digest: what a model can do never changes
        self._thinking: set[str] = set()
        self._usual: dict[str, int] = {}  # the window that a model has, or gets, when nobody asks for another
        self._asked: dict[str, int] = {}  # the larger one that we had it loaded with

    async def offers(self) -> tuple[Offer, ...]:
        """Return the installed models, with what each can do and whether it is loaded."""
        tags, running = await asyncio.gather(self._list("api/tags"), self._list("api/ps"))
        loaded = {entry.get("model") or entry.get("name"): entry for entry in running}
        return tuple(await asyncio.gather(*(self._offer(entry, loaded) for entry in tags if _name(entry))))

    async def _list(self, path: str) -> list[dict[str, Any]]:
        listed = await self._get(f"{self.base_url}/{path}")
        models = listed.get("models") if isinstance(listed, dict) else None
        if models is None and isinstance(listed, dict) and "models" in listed:
            return []  # Go writes an empty list as null
        if not isinstance(models, list):
            raise UpstreamInvalid(f"What answers at {self.url} is not Ollama.", next_step="Check OLLAMA_HOST.")
        return [entry for entry in models if isinstance(entry, dict)]

    async def _offer(self, entry: dict[str, Any], loaded: dict[Any, dict[str, Any]]) -> Offer:
        name = _name(entry)
        shown = await self._show(name, str(entry.get("digest") or name))
        said = shown.get("capabilities") or ["completion"]
        capabilities = frozenset(c for word in said for c in _CAPABILITIES.get(word, ()))
        details = entry.get("details")
        size = details.get("parameter_size") if isinstance(details, dict) else None
        is_cloud = self.locality is Locality.CLOUD or is_forwarded(entry) or is_forwarded(shown)
        if "thinking" in said:
            self._thinking.add(name)
        self._note_window(name, loaded.get(name), shown)
        return Offer(
            provider=self.name,
            model=name,
            locality=Locality.CLOUD if is_cloud else Locality.LOCAL,
            capabilities=capabilities,
            label=name.removesuffix(":latest"),
            context_length=_trained_context(shown),  # the window grows with the prompt
            parameters_b=_parameters_b(size),
            loaded=None if is_cloud else name in loaded,
            price=None if is_cloud else FREE,
        )

    def _note_window(self, name: str, loaded: dict[str, Any] | None, shown: dict[str, Any]) -> None:
        """Keep what is known of a model's window: a loaded one has the usual one, unless we asked for more."""
        window = _whole(loaded.get("context_length")) if loaded else None
        if window is None or window < self._asked.get(name, 0):
            self._asked.pop(name, None)  # unloaded, or loaded anew by somebody else
        if window is None:
            said = re.search(r"^num_ctx\s+(\d+)", str(shown.get("parameters") or ""), re.MULTILINE)
            self._usual[name] = int(said[1]) if said else _DEFAULT_WINDOW
        elif name not in self._asked:
            self._usual[name] = window

    async def _show(self, name: str, digest: str) -> dict[str, Any]:
        if digest not in self._shown:
            try:
                shown = await self._ask(f"{self.base_url}/api/show", {"model": name})
            except UpstreamError:
                return {}  # removed meanwhile, or an old version: taken for a plain chat model, asked again next time
            self._shown[digest] = shown if isinstance(shown, dict) else {}
        return self._shown[digest]

    async def chat(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Chat, over ``/v1`` where that loses nothing. What neither way honours is named in the notes.

        More than one answer (``n``) cannot be had; there is one, and a note. Raises InvalidRequest for pictures that
        are only an address.
        """
        thinks = offer.model in self._thinking
        notes = _notes(body, native.CHAT)
        if not thinks and body.get("reasoning_effort") not in (None, "none"):
            notes += ("reasoning_effort_ignored",)
        window = self._window(offer, body)
        if window is None and not _needs_native(body):
            sent = {**body, "model": offer.model}
            if sent.get("max_tokens") is None and sent.get("max_completion_tokens") is not None:
                sent["max_tokens"] = sent.pop("max_completion_tokens")
            if sent.get("tool_choice") == "none":
                sent.pop("tools", None)
            return await self._metered(f"{self.base_url}/v1/chat/completions", sent, caller, notes=notes)
        sent = native.chat_request(body, offer.model, window, thinks=thinks)
        return await self._native("api/chat", sent, offer, body, caller, notes)

    async def complete(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Complete, in the middle of a text where the model has the tokens for it, else from what comes before."""
        notes = _notes(body, native.COMPLETION)
        if body.get("suffix") and Capability.FIM not in offer.capabilities:
            body = {key: value for key, value in body.items() if key != "suffix"}
            notes += ("suffix_ignored",)  # Ollama would refuse it: "does not support insert"
        window = self._window(offer, body)
        if window is None and not body.get("suffix") and not _needs_native(body):
            prompt = openai.one_prompt(body, self.label)
            sent = {**body, "model": offer.model, "prompt": prompt}
            return await self._metered(f"{self.base_url}/v1/completions", sent, caller, notes=notes)
        sent = native.generate_request(body, offer.model, window)
        return await self._native("api/generate", sent, offer, body, caller, notes)

    async def embed(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Make embeddings. A text that is too long is an error; Ollama would make one of its beginning."""
        texts = openai.inputs_of(body, self.label)
        sent: Body = {"model": offer.model, "input": texts, "truncate": False}
        if body.get("dimensions") is not None:
            sent["dimensions"] = body["dimensions"]
        if body.get("keep_alive") is not None:
            sent["keep_alive"] = body["keep_alive"]
        window = self._window(offer, {"prompt": max(texts, key=len), "max_tokens": 0})
        if window is not None:
            sent["options"] = {"num_ctx": window}
        return await self._answer(
            f"{self.base_url}/api/embed",
            sent,
            caller,
            translate=lambda data: native.embeddings(data, offer.model, body.get("encoding_format")),
            notes=openai.ignored(body, {"dimensions", "encoding_format", "keep_alive"}),
        )

    def pull(self, model: str, *, allow_cloud: bool = False) -> AsyncGenerator[PullProgress, None]:
        """Pull a model, and yield how far it is; closing the iterator ends it.

        Raises InvalidRequest for what is no name and PolicyRefused for a hosted model, both at once; while it goes on
        ModelNotFound, StorageError or UpstreamError.
        """
        return pull(
            checked(model, allow_cloud=allow_cloud),
            self.base_url,
            self._headers,
            connect_timeout_s=self._probe_timeout_s,
            trusts_environment=not self._direct,
        )

    async def _native(
        self, path: str, sent: Body, offer: Offer, body: Body, caller: Caller, notes: tuple[str, ...]
    ) -> Answer:
        def writer() -> openai.Writer:
            return openai.Writer(offer.model, is_chat=path == "api/chat", usage=openai.wants_usage(body))

        return await self._answer(
            f"{self.base_url}/{path}",
            sent,
            caller,
            translate=lambda data: native.document(data, writer()),
            translator=lambda: native.Lines(writer()),
            is_lines=True,
            notes=notes,
        )

    def _window(self, offer: Offer, body: Body) -> int | None:
        """Return how many tokens the model must be loaded for, None where its usual window will do.

        In powers of two, and never less than what it was loaded with for us before: a model that is wanted with
        another window is loaded anew, which takes longer than most answers.
        """
        if offer.locality is Locality.CLOUD:
            return None
        room = openai.max_tokens(body)
        need = native.length_of(body) // _BYTES_PER_TOKEN + native.images_in(body) * _TOKENS_PER_IMAGE
        need += _ROOM_FOR_THE_ANSWER if room is None else min(room, _MOST_ROOM_FOR_THE_ANSWER)
        asked = self._asked.get(offer.model)
        if asked is None and need <= self._usual.get(offer.model, _DEFAULT_WINDOW):
            return None
        window = max(asked or _DEFAULT_WINDOW, 1 << (need - 1).bit_length())
        window = min(window, offer.context_length or _LARGEST_WINDOW)
        self._asked[offer.model] = window
        return window


def _needs_native(body: Body) -> bool:
    """Return whether Ollama's OpenAI dialect would lose, or tear apart, something of this request."""
    if any(body.get(key) is not None for key in (*native.NATIVE, *native.NATIVE_OPTIONS)):
        return True
    if body.get("reasoning_effort") is not None or body.get("response_format") is not None:
        return True  # older versions do not know them there
    return any(isinstance(message.get("content"), list) for message in body.get("messages") or ())


def _notes(body: Body, honoured: frozenset[str]) -> tuple[str, ...]:
    notes = openai.ignored(body, honoured, (("tool_choice", "auto"), ("tool_choice", "none")))
    return (*notes, "n_ignored") if (body.get("n") or 1) > 1 else notes


def _name(entry: dict[str, Any]) -> str:
    name = entry.get("model") or entry.get("name")
    return name if isinstance(name, str) else ""


def _trained_context(shown: dict[str, Any]) -> int | None:
    info = shown.get("model_info")
    if not isinstance(info, dict):
        return None
    return next((_whole(value) for key, value in info.items() if key.endswith(".context_length")), None)


def _parameters_b(size: Any) -> float | None:
    """Return "1.5B" or "137M" as a number of 10⁹ parameters."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMBT])", size.strip()) if isinstance(size, str) else None
    return float(match[1]) * _SIZES[match[2]] if match else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
