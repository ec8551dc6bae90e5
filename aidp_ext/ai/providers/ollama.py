"""Ollama: its own calls to learn what is installed and loaded, its OpenAI dialect for the answers.

Sources: Ollama's docs/api.md and openai/openai.go. A "local" Ollama also serves models that it forwards to a hosted
service (``remote_host`` in its lists, names ending in ``:cloud`` or ``-cloud``): those count as cloud.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from aidp_ext.ai.models import Answer, Caller, Capability, Locality, Offer
from aidp_ext.ai.providers.base import FORWARDED_NAME, Body, Provider
from aidp_ext.core.errors import UpstreamError, UpstreamInvalid

_CAPABILITIES = {
    "completion": {Capability.CHAT, Capability.COMPLETE},
    "insert": {Capability.FIM},
    "tools": {Capability.TOOLS},
    "vision": {Capability.VISION},
    "embedding": {Capability.EMBED},
}
_SIZES = {"K": 1e-6, "M": 1e-3, "B": 1.0, "T": 1e3}


class Ollama(Provider):
    """See the module."""

    next_step = "Start Ollama (`ollama serve`) and pull a model (`ollama pull qwen2.5-coder:1.5b`)."

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shown: dict[str, dict[str, Any]] = {}  # by digest: what a model can do never changes

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
        is_cloud = self.locality is Locality.CLOUD or _is_forwarded(entry) or _is_forwarded(shown)
        now = loaded.get(name, {})
        return Offer(
            provider=self.name,
            model=name,
            locality=Locality.CLOUD if is_cloud else Locality.LOCAL,
            capabilities=capabilities,
            label=name.removesuffix(":latest"),
            context_length=_whole(now.get("context_length")) or _trained_context(shown),
            parameters_b=_parameters_b(size),
            loaded=None if is_cloud else name in loaded,
        )

    async def _show(self, name: str, digest: str) -> dict[str, Any]:
        if digest not in self._shown:
            try:
                shown = await self._ask(f"{self.base_url}/api/show", {"model": name})
            except UpstreamError:
                return {}  # removed meanwhile, or an old version: taken for a plain chat model, asked again next time
            self._shown[digest] = shown if isinstance(shown, dict) else {}
        return self._shown[digest]

    async def chat(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Chat over ``/v1``, which silently ignores some parameters: those are named in the notes."""
        sent = {**body, "model": offer.model}
        if sent.get("max_tokens") is None and sent.get("max_completion_tokens") is not None:
            sent["max_tokens"] = sent.pop("max_completion_tokens")
        ignored = [
            key
            for key in ("tool_choice", "logit_bias", "user", "parallel_tool_calls")
            if sent.get(key) not in (None, "auto")
        ]
        if (sent.get("n") or 1) > 1:
            ignored.append("n")
        notes = tuple(f"{key}_ignored" for key in ignored)
        return await self._answer(f"{self.base_url}/v1/chat/completions", sent, caller, notes=notes)

    async def complete(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Complete over ``/v1``; the suffix goes along where the model has the tokens for it."""
        sent = {**body, "model": offer.model}
        notes: tuple[str, ...] = ()
        if sent.get("suffix") and Capability.FIM not in offer.capabilities:
            del sent["suffix"]  # Ollama would refuse it: "does not support insert"
            notes = ("suffix_ignored",)
        return await self._answer(f"{self.base_url}/v1/completions", sent, caller, notes=notes)


def _name(entry: dict[str, Any]) -> str:
    name = entry.get("model") or entry.get("name")
    return name if isinstance(name, str) else ""


def _is_forwarded(entry: dict[str, Any]) -> bool:
    return bool(entry.get("remote_host") or entry.get("remote_model")) or bool(FORWARDED_NAME.search(_name(entry)))


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
