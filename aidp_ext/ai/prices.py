"""What a model costs: the admin's own prices, then the price list of the genai-prices package, then a careful guess.

The list is the one that the package carries; nothing is ever downloaded.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from aidp_ext.ai.models import Price

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo

Body = dict[str, Any]

#: US dollars per 10⁶ tokens for a model, or a family of models, that the list does not know: above every
#: general-purpose model that it holds from the large providers in 2026. Only versions sold for extra-long thinking
#: cost more.
UNKNOWN = Price(input=30.0, output=150.0, is_estimated=True)

_FIELDS = ("input", "output", "cached_input", "cache_write")
_MEDIA = frozenset({"image_url", "image", "input_audio", "audio", "video_url", "video", "file", "document"})
_MAX_KNOWN = 4096  # prices that are kept after they were looked up
_HEARD = ("input_audio_mtok", "input_image_mtok", "input_video_mtok")
_MADE = ("output_audio_mtok", "output_image_mtok", "output_video_mtok")
_CACHED = ("cache_audio_read_mtok", "cache_image_read_mtok")
_Key = tuple[str, str, bool, bool, str, str]
_Tariff = tuple[tuple[int, Price], ...]  # from so many tokens of prompt on, ascending


class Prices:
    """The prices of cloud models. ``overrides`` come before the list.

    Keys are glob patterns over ``<provider>/<model>`` (the first that matches counts), values hold ``input``,
    ``output``, ``cached_input`` and ``cache_write`` in US dollars per 10⁶ tokens; what is left out stays as listed.
    Raises ValueError for another name, or a price that is no amount.
    """

    def __init__(self, overrides: Mapping[str, Mapping[str, float]] | None = None) -> None:
        self._overrides = dict(overrides or {})
        for pattern, fields in self._overrides.items():
            for name, value in fields.items():
                if name not in _FIELDS:
                    raise ValueError(f"The price of {pattern!r}: {name!r} is none of {', '.join(_FIELDS)}.")
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                    raise ValueError(f"The price of {pattern!r}: {name} is no amount: {value!r}.")
        self._list: DataSnapshot | None = None
        self._loading = threading.Lock()
        self._known: dict[_Key, _Tariff] = {}

    async def load(self) -> None:
        """Read the price list, in a thread: its first import takes up to a second and a half."""
        if self._list is None:
            await asyncio.to_thread(self._read)

    def of(self, provider: str, model: str, *, prompt_tokens: int = 0, body: Body | None = None) -> Price:
        """Return what a model costs, in US dollars per 10⁶ tokens; never free unless a price says so.

        Some models cost more for a long prompt: the answer is the dearest price of a prompt of up to
        ``prompt_tokens``. Some cost more for what a request asks for, which is read from ``body``: another service
        tier, a quick mode, a cache that holds for an hour, or media (then the dearest kind of token counts for all).
        A model that the list does not hold gets the dearest price of its family (``gpt-…``, ``claude-…``) at that
        provider, else UNKNOWN, and ``is_estimated`` says so. Reads the list first where `load` has not.
        """
        asked = body or {}
        tier, speed = _word(asked.get("service_tier")), _word(asked.get("speed"))
        key = (provider, model, has_media(asked), _caches_long(asked), tier, speed)
        tariff = self._known.get(key)
        if tariff is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            tariff = self._known[key] = self._look_up(key)
        return next(price for start, price in reversed(tariff) if prompt_tokens >= start)

    def known(self, provider: str, model: str) -> Price | None:
        """Return a model's price where it is known, never a guess. Reads the list first where `load` has not."""
        price = self.of(provider, model)
        return None if price.is_estimated else price

    def _read(self) -> DataSnapshot:
        with self._loading:
            if self._list is None:
                from genai_prices.data_snapshot import get_snapshot

                self._list = get_snapshot()
            return self._list

    def _look_up(self, key: _Key) -> _Tariff:
        provider, model = key[:2]
        own = next((p for pattern, p in self._overrides.items() if fnmatchcase(f"{provider}/{model}", pattern)), None)
        if own is not None and "input" in own and "output" in own:
            return ((0, Price(own["input"], own["output"], own.get("cached_input"), own.get("cache_write"))),)
        listed = self._listed(key)
        return tuple((start, Price(**{**asdict(price), **own})) for start, price in listed) if own else listed

    def _listed(self, key: _Key) -> _Tariff:
        provider, model = key[:2]
        prices = self._read()
        prefix, _, rest = model.partition("/")
        # A server that resells others' models names them after their makers.
        for maker, name, is_maker in ((provider, model, True), (prefix, rest, False)):
            try:
                found = prices.find_provider_model(name, None, maker, None)[1] if name else None
            except LookupError:
                continue
            tariff = _tariff(found, key) if found is not None else ()
            if tariff:
                return tariff if is_maker else tuple((s, replace(price, is_estimated=True)) for s, price in tariff)
        return ((0, self._estimate(key)),)

    def _estimate(self, key: _Key) -> Price:
        provider, model = key[:2]
        try:
            models = self._read().find_provider(None, provider, None).models
        except LookupError:
            return UNKNOWN
        priced = [(one.id, tariff[-1][1]) for one in models if (tariff := _tariff(one, key)) and tariff[-1][1].output]
        family = model.lower().split("-")[0]
        alike = [price for name, price in priced if name.split("-")[0] == family]
        if not alike:
            return UNKNOWN
        return Price(
            input=max(price.input for price in alike),
            output=max(price.output for price in alike),
            cache_write=max(price.input if price.cache_write is None else price.cache_write for price in alike),
            is_estimated=True,
        )


def has_media(body: Body) -> bool:
    """Return whether a request holds, or asks for, anything but text."""
    if set(body.get("modalities") or ()) - {"text"}:
        return True
    return any(part.get("type") in _MEDIA for part in parts_of(body))


def parts_of(body: Body) -> list[dict[str, Any]]:
    """Return the parts of the messages' contents that are objects, those inside tool results included."""
    found: list[dict[str, Any]] = []
    open_lists: list[Any] = [message.get("content") for message in body.get("messages") or () if _is_object(message)]
    open_lists.append(body.get("system"))
    for content in open_lists:  # grows while it is read
        if isinstance(content, list):
            found += [part for part in content if _is_object(part)]
            open_lists += [part["content"] for part in content if _is_object(part) and "content" in part]
    return found


def _tariff(model: ModelInfo, key: _Key) -> _Tariff:
    """Return a listed model's prices, none where the list names the model without a price for its tokens.

    The list's tiers begin above their ``start``, and then hold for the whole prompt.
    """
    _, _, media, long_cache, tier, speed = key
    now = datetime.now(UTC)
    prices = {name: [value] for name, value in model.get_prices(now).__dict__.items()}
    context = {name: value for name, value in (("service_tier", tier), ("speed", speed)) if value}
    if context:  # beside the plain prices: the provider may serve the request at another tier after all
        for name, value in model.get_prices(now, context).__dict__.items():
            prices.setdefault(name, []).append(value)
    if not {"input_mtok", "output_mtok"} & prices.keys():
        return ()
    starts = {tier.start + 1 for values in prices.values() for v in values for tier in getattr(v, "tiers", ())}

    def dearest(start: int, *names: str) -> float | None:
        amounts = [_amount(value, start) for name in names for value in prices.get(name, ()) if value is not None]
        return max(amounts, default=None)

    heard, made = (_HEARD, _MADE) if media else ((), ())
    return tuple(
        (
            start,
            Price(
                input=dearest(start, "input_mtok", *heard) or 0.0,
                output=dearest(start, "output_mtok", "output_reasoning_mtok", *made) or 0.0,
                cached_input=dearest(start, "cache_read_mtok", *(_CACHED if media else ())),
                cache_write=dearest(start, "cache_write_mtok", *(("cache_write_1h_mtok",) if long_cache else ())),
            ),
        )
        for start in sorted({0, *starts})
    )


def _amount(value: Any, prompt_tokens: int) -> float:
    """Return a listed price, at its dearest for a prompt of up to so many tokens."""
    tiers = [tier.price for tier in getattr(value, "tiers", ()) if prompt_tokens > tier.start]
    return float(max([getattr(value, "base", value), *tiers]))


def _caches_long(body: Body) -> bool:
    """Return whether Anthropic's cache shall hold for an hour, which costs more than five minutes."""
    marked = [*parts_of(body), *(tool for tool in body.get("tools") or () if _is_object(tool)), body]
    return any(_is_object(mark := one.get("cache_control")) and mark.get("ttl") == "1h" for one in marked)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _word(value: Any) -> str:
    return value[:40] if isinstance(value, str) else ""
