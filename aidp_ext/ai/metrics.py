"""Prometheus metrics of the router. In a Jupyter server they appear at ``/metrics``, in the hub at ``aidp/metrics``."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from aidp_ext.ai.ongoing import Ongoing

_OF_A_CALL = ("provider", "model", "task", "locality", "outcome")
CALLS = Counter("aidp_ai_calls_total", "Calls to models, by how they ended", _OF_A_CALL)
TOKENS = Counter("aidp_ai_tokens_total", "Tokens that the providers reported", ("provider", "model", "kind"))
COST = Counter("aidp_ai_cost_usd_total", "US dollars spent", ("provider", "model"))
FALLBACKS = Counter("aidp_ai_fallbacks_total", "Calls that more than one model was asked for", ("provider",))
REFUSED = Counter("aidp_ai_refused_total", "Requests that no model was asked for, by error code", ("code",))
REDACTED = Counter("aidp_ai_redactions_total", "Values that were replaced before a request left", ("kind",))
FIRST_WORD = Histogram(
    "aidp_ai_first_word_seconds",
    "Until the first word of an answer",
    ("provider", "model"),
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120),
)
ONGOING = Gauge("aidp_ai_ongoing", "Calls under way")


def finished(call: Ongoing) -> None:
    """Count a call that has ended."""
    offer = call.choice.offer if call.choice is not None and call.attempts else None
    if offer is None:
        REFUSED.labels(call.outcome).inc()
        return
    _calls(offer.provider, offer.model, str(call.request.task), str(offer.locality), call.outcome).inc()
    prompt, completion = _tokens(offer.provider, offer.model)
    if call.usage.prompt_tokens:
        prompt.inc(call.usage.prompt_tokens)
    if call.usage.completion_tokens:
        completion.inc(call.usage.completion_tokens)
    if call.cost_usd:
        COST.labels(offer.provider, offer.model).inc(call.cost_usd)
    if call.attempts > 1:
        FALLBACKS.labels(offer.provider).inc()
    if call.first_ms is not None:
        _first_word(offer.provider, offer.model).observe(call.first_ms / 1000)
    for kind, count in call.redactions.items():
        REDACTED.labels(kind).inc(count)


# Looking a child up by its labels takes longer than counting.
@functools.lru_cache(maxsize=2048)
def _calls(*labels: str) -> Counter:
    return CALLS.labels(*labels)


@functools.lru_cache(maxsize=512)
def _tokens(provider: str, model: str) -> tuple[Counter, Counter]:
    return TOKENS.labels(provider, model, "prompt"), TOKENS.labels(provider, model, "completion")


@functools.lru_cache(maxsize=512)
def _first_word(provider: str, model: str) -> Histogram:
    return FIRST_WORD.labels(provider, model)
