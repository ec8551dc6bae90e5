"""Anthropic, by its own Messages API. Chats are translated; messages in its own dialect pass through byte by byte.

Sources: https://docs.anthropic.com/en/api/messages, .../models-list, .../messages-count-tokens and .../errors.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aidp_ext.ai.models import Answer, Caller, Capability, Locality, Offer
from aidp_ext.ai.providers.anthropic_answers import ToChunks, to_completion
from aidp_ext.ai.providers.anthropic_chat import Abilities, to_messages
from aidp_ext.ai.providers.anthropic_dialect import with_current_names
from aidp_ext.ai.providers.base import Body, Provider
from aidp_ext.core.errors import UpstreamError, UpstreamInvalid

_API_VERSION = "2023-06-01"
_PAGE = 1000  # models a page; the most that the API gives
_MAX_PAGES = 20
_CAPABILITIES = frozenset({Capability.CHAT, Capability.TOOLS})
_COUNTED = ("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config")
# "Your credit balance is too low …", "You have reached your specified API usage limits …": both come as a 400
_BILLING = re.compile(rb"credit balance|usage limit|spend limit", re.IGNORECASE)

_VERSION = re.compile(r"^claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?![\d.])")
# Tokens that a model reads and writes, from this version on, where the list does not say.
# Source: https://docs.anthropic.com/en/docs/about-claude/models/overview
_LENGTHS = (
    ((4, 6), 1_000_000, 128_000),
    ((4, 5), 200_000, 64_000),
    ((3, 7), 200_000, 32_000),
    ((3, 5), 200_000, 8192),
    ((0, 0), 200_000, 4096),
)


class Anthropic(Provider):
    """See the module."""

    def __init__(self, *args: Any, headers: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.base_url = self.base_url.removesuffix("/v1") + "/v1"
        # Its own header for the key, and no bearer: that is for another kind of account.
        self._headers = {"x-api-key": self._api_key, "anthropic-version": _API_VERSION, **(headers or {})}
        self._abilities: dict[str, Abilities] = {}

    async def offers(self) -> tuple[Offer, ...]:
        """Return the models of ``GET /v1/models``, all pages of it."""
        entries: list[Any] = []
        after = ""
        for _ in range(_MAX_PAGES):
            page = await self._get(f"{self.base_url}/models?limit={_PAGE}{after}")
            data = page.get("data") if isinstance(page, dict) else None
            if not isinstance(data, list):
                raise UpstreamInvalid(
                    f"{self.label} answers at {self.url}, but not with a list of models.",
                    next_step="Check ANTHROPIC_BASE_URL.",
                    provider=self.name,
                )
            entries += data
            last = page.get("last_id")
            if page.get("has_more") is not True or not isinstance(last, str) or not last:
                break
            after = f"&after_id={quote(last, safe='')}"
        return tuple(
            self._offer(entry)
            for entry in entries
            if isinstance(entry, dict) and _name(entry) and entry.get("lifecycle") != "retired"
        )

    def _offer(self, entry: dict[str, Any]) -> Offer:
        model = _name(entry)
        listed = entry.get("capabilities")
        listed = listed if isinstance(listed, dict) else {}
        able = self._abilities[model] = abilities(model, listed)
        sees = _supported(listed, "image_input") is not False
        context, longest = _published_lengths(model)
        label = entry.get("display_name")
        return Offer(
            provider=self.name,
            model=model,
            locality=Locality.CLOUD,  # wherever it is reached: a proxy on this machine forwards elsewhere
            capabilities=_CAPABILITIES
            | ({Capability.VISION} if sees else set())
            | ({Capability.JSON} if able.has_structured_outputs else set()),
            label=label if isinstance(label, str) else "",
            context_length=_whole(entry.get("max_input_tokens")) or context,
            max_output_tokens=_whole(entry.get("max_tokens")) or longest,
        )

    async def chat(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Answer a chat. Raises InvalidRequest for what Anthropic's models cannot do, and as `Provider.chat` does."""
        sent, notes = to_messages(body, offer, self._able(offer))
        return await self._answer(
            f"{self.base_url}/messages",
            sent,
            caller,
            translate=lambda document: to_completion(document, self.label),
            translator=functools.partial(ToChunks, self.label, offer.model, body),
            notes=notes,
        )

    async def complete(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Raise UpstreamInvalid: Anthropic has no completions, and no offer says so."""
        raise UpstreamInvalid(f"{self.label} only chats.", provider=self.name)

    async def messages(self, offer: Offer, body: Body, caller: Caller) -> Answer:
        """Pass a request in its own dialect on, with the ``anthropic-beta`` header where the caller has one."""
        beta = caller.headers.get("anthropic-beta")
        return await self._pass_messages(
            f"{self.base_url}/messages",
            {**with_current_names(body), "model": offer.model},
            caller,
            headers={"anthropic-beta": beta} if beta else None,
        )

    async def count(self, offer: Offer, body: Body) -> int | None:
        """Return how many tokens a chat in OpenAI's dialect has for this model, None where the API does not say.

        The text is sent to Anthropic for it: ask only where the chat itself may go there. Raises InvalidRequest as
        `chat` does.
        """
        sent, _ = to_messages(body, offer, self._able(offer))
        try:
            said = await self._ask(
                f"{self.base_url}/messages/count_tokens", {key: sent[key] for key in _COUNTED if key in sent}
            )
        except UpstreamError:
            return None
        return _whole(said.get("input_tokens")) if isinstance(said, dict) else None

    def _able(self, offer: Offer) -> Abilities:
        return self._abilities.get(offer.model) or abilities(offer.model, {})

    def _meant(self, status: int, document: bytes) -> int:
        """Return 402 for a 400 that is about money: another provider can still answer the same request."""
        return 402 if status == 400 and _BILLING.search(document) else status


def abilities(model: str, listed: Mapping[str, Any]) -> Abilities:
    """Return what a model takes: as ``capabilities`` of its entry in the list says, else by its version.

    The list says nothing of sampling: from 4.7 on models refuse any temperature, top_p and top_k but the defaults, from
    4.1 on temperature and top_p together. Source: the documentation's page on thinking, "Sampling parameters".
    """
    version = version_of(model)
    thinking, efforts = _published_thinking(model, version)
    types, levels = (listed.get("thinking") or {}).get("types"), listed.get("effort")
    if isinstance(types, dict):
        thinking = {kind for kind in types if _supported(types, kind)}
    if isinstance(levels, dict):
        efforts = {level for level in levels if _supported(levels, level)}
    structured = _supported(listed, "structured_outputs")
    return Abilities(
        thinking=frozenset(thinking),
        efforts=frozenset(efforts),
        has_structured_outputs=(version or (0, 0)) >= (4, 5) if structured is None else structured,
        may_sample=(version or (0, 0)) < (4, 7) and "mythos" not in model,
        may_sample_twice=(version or (0, 0)) < (4, 1),
    )


def version_of(model: str) -> tuple[int, int] | None:
    """Return the version in a model's id (``claude-opus-4-1-20250805``, ``claude-3-7-sonnet-latest``), or None."""
    match = _VERSION.search(model)
    return (int(match[1]), int(match[2] or 0)) if match else None


def _published_thinking(model: str, version: tuple[int, int] | None) -> tuple[set[str], set[str]]:
    """Return the kinds of thinking and the efforts of a model that the list does not describe."""
    if version is None or version < (3, 7):
        return set(), set()
    if version >= (4, 6):
        return {"adaptive"}, {"low", "medium", "high", "max"} | ({"xhigh"} if version >= (4, 7) else set())
    has_effort = version == (4, 5) and "opus" in model
    return {"enabled", "disabled"}, {"low", "medium", "high"} if has_effort else set()


def _published_lengths(model: str) -> tuple[int | None, int | None]:
    version = version_of(model)
    if version is None:
        return None, None
    return next((read, written) for since, read, written in _LENGTHS if version >= since)


def _supported(listed: Mapping[str, Any], name: str) -> bool | None:
    said = listed.get(name)
    return said.get("supported") is True if isinstance(said, dict) else None


def _name(entry: dict[str, Any]) -> str:
    name = entry.get("id")
    return name if isinstance(name, str) else ""


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
