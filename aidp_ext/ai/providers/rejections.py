"""What a server's refusal says: in which words, when to come back, and, of another aidp, with which code."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from aidp_ext.core.errors import UpstreamRejected

_MAX_RETRY_AFTER_S = 3600.0  # a server that says more is wrong, or means "not today"


def retry_after_s_of(headers: Mapping[str, str], document: bytes) -> float | None:
    """Return how many seconds a server asks to wait, or None.

    ``Retry-After`` holds seconds or a date (RFC 9110, 10.2.3), ``retry-after-ms`` milliseconds (OpenAI). Google says it
    in the error itself: ``google.rpc.RetryInfo``.
    """
    wait_s: float | None = None
    given = headers.get("Retry-After", "").strip()
    try:
        if "retry-after-ms" in headers:
            wait_s = float(headers["retry-after-ms"]) / 1000
        elif given and not given[:1].isalpha():
            wait_s = float(given)
        elif given:
            wait_s = (parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds()
        elif found := re.search(rb'"retryDelay"\s*:\s*"([\d.]+)s"', document):
            wait_s = float(found[1])
    except (ValueError, TypeError, OverflowError):  # TypeError: a date without a time zone
        return None
    if wait_s is None or not math.isfinite(wait_s):
        return None
    return min(max(wait_s, 0.0), _MAX_RETRY_AFTER_S)


def error_of_a_gateway(
    document: bytes, status: int, provider: str, retry_after_s: float | None
) -> UpstreamRejected | None:
    """Return another aidp's error as it said it, with its own code; None where it is no such error."""
    try:
        said = msgspec.json.decode(document)["error"]
        error = UpstreamRejected(said["message"], status=status, retry_after_s=retry_after_s, provider=provider)
        error.code = said["code"]
        error.suggest(said["details"].get("next_step"))
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return None
    return error


def message_in(document: bytes) -> str:
    """Return the words of an error in any of the usual shapes, or an empty string."""
    try:
        found = msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if isinstance(found, list) and found:  # Gemini
        found = found[0]
    for key in ("error", "message", "detail"):
        if not isinstance(found, dict):
            break
        found = found.get(key, found)
    return found if isinstance(found, str) else ""
