"""OpenAI itself: its dialect as it is, with what its list of models does not say.

Anything that speaks like it may stand at its address (``OPENAI_BASE_URL``), so models of unknown names are taken for
plain chat models. Source of the table: https://platform.openai.com/docs/models, and of the renamed and refused
parameters: /docs/guides/reasoning and OpenAI's own refusals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from aidp_ext.ai.models import Answer, Caller, Capability, Offer
from aidp_ext.ai.providers.base import Body
from aidp_ext.ai.providers.openai_compatible import OpenAICompatible
from aidp_ext.core.errors import UpstreamRejected

_CHAT = frozenset({Capability.CHAT})
_TOOLS = _CHAT | {Capability.TOOLS}
_SEES = _TOOLS | {Capability.VISION}
_ALL = _SEES | {Capability.JSON}


@dataclass(frozen=True)
class _Family:
    """What the models of a name can do, and how many tokens they read and write."""

    name: re.Pattern[str]
    capabilities: frozenset[Capability]
    context: int | None
    output: int | None


# The first that matches holds; a dated name (gpt-4o-2024-11-20) belongs to its family.
_FAMILIES = tuple(
    _Family(re.compile(name), capabilities, context, output)
    for name, capabilities, context, output in (
        (r"gpt-5.*-chat", _ALL, 128_000, 16_384),
        (r"gpt-5", _ALL, 400_000, 128_000),
        (r"gpt-4\.1", _ALL, 1_047_576, 32_768),
        (r"chatgpt-4o", _CHAT | {Capability.VISION}, 128_000, 16_384),
        (r"gpt-4o", _ALL, 128_000, 16_384),
        (r"gpt-4-turbo", _SEES, 128_000, 4_096),
        (r"gpt-4", _TOOLS, 8_192, 8_192),
        (r"gpt-3\.5-turbo-instruct", frozenset({Capability.COMPLETE, Capability.FIM}), 4_096, 4_096),
        (r"gpt-3\.5", _TOOLS, 16_385, 4_096),
        (r"o1-(mini|preview)", _CHAT, 128_000, 32_768),
        (r"o3-mini", _TOOLS | {Capability.JSON}, 200_000, 100_000),
        (r"o[1-9]", _ALL, 200_000, 100_000),
        (r"text-embedding", frozenset({Capability.EMBED}), 8_191, None),
        (r"(davinci|babbage)-002", frozenset({Capability.COMPLETE}), 16_384, 16_384),
    )
)
# They think before they answer, and refuse `max_tokens`, which did not count thoughts.
_REASONS = re.compile(r"(ft:)?(o[1-9]|gpt-([5-9]|[1-9]\d))")
_REFUSAL = re.compile(r"Unsupported (?:parameter|value): '(\w+)'")
# An answer without these is still an answer to the question; without others (`stop`, `logprobs`) it would not be.
_MAY_GO = frozenset({"temperature", "top_p", "presence_penalty", "frequency_penalty"})


class OpenAI(OpenAICompatible):
    """See the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refused: dict[str, frozenset[str]] = {}  # by model: parameters that it was found to refuse

    def _offer(self, entry: dict[str, Any], hosted: frozenset[Any]) -> Iterator[Offer]:
        for offer in super()._offer(entry, hosted):
            family = _family(offer.model)
            yield (
                offer
                if family is None
                else replace(
                    offer,
                    context_length=offer.context_length or family.context,
                    max_output_tokens=offer.max_output_tokens or family.output,
                )
            )

    def _capabilities(self, model: str, owner: Any) -> frozenset[Capability]:
        usual = super()._capabilities(model, owner)
        family = _family(model)
        if family is None or (not usual and Capability.COMPLETE not in family.capabilities):
            return usual  # gpt-4o-audio and the like stay out
        return family.capabilities

    async def chat(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Pass the chat on, with its length under the name that the model takes.

        Models that reason refuse some parameters, each its own: what is refused is left out, remembered, and noted.
        """
        body = self._named(body, offer)
        if _REASONS.match(offer.model) and body.get("max_tokens") is not None:
            body = _renamed(body)
        url = f"{self.base_url}/chat/completions"
        while True:
            refused = self._refused.get(offer.model, frozenset())
            sent = _renamed(body) if "max_tokens" in refused else body
            sent = {key: value for key, value in sent.items() if key not in refused}
            notes = tuple(f"{key}_ignored" for key in body if key in refused and key in _MAY_GO)
            try:
                return await self._metered(url, sent, caller, notes=notes)
            except UpstreamRejected as error:
                found = _REFUSAL.search(error.message) if error.status == 400 else None
                if found is None or found[1] not in sent or found[1] not in _MAY_GO | {"max_tokens"}:
                    raise
                self._refused[offer.model] = refused | {found[1]}

    async def complete(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Pass the completion on; the one model with fill in the middle takes the suffix as it is."""
        if body.get("suffix") and Capability.FIM in offer.capabilities:
            return await self._metered(f"{self.base_url}/completions", self._named(body, offer), caller)
        return await super().complete(offer, body, caller)


def _family(model: str) -> _Family | None:
    name = model.lower().removeprefix("ft:")
    return next((family for family in _FAMILIES if family.name.match(name)), None)


def _renamed(body: Body) -> Body:
    """Return the body with ``max_tokens`` under its newer name; a length that stands there already wins."""
    renamed = {key: value for key, value in body.items() if key != "max_tokens"}
    if renamed.get("max_completion_tokens") is None and body.get("max_tokens") is not None:
        renamed["max_completion_tokens"] = body["max_tokens"]
    return renamed
