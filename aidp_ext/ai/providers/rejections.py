"""What a server's refusal says: in which words, when to come back, and, of another aidp, with which code."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from aidp_ext.core.errors import UpstreamError, UpstreamRejected

_CODE = re.compile(r"[a-z_]{1,50}")
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
        if not (_CODE.fullmatch(said["code"]) and isinstance(said["message"], str)):
            return None  # of a proxy before it; codes become labels and rows
        error = UpstreamRejected(said["message"][:1000], status=status, retry_after_s=retry_after_s, provider=provider)
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


def error_in(data: bytes, label: str) -> UpstreamError | None:
    """Return the error that an event of a stream in OpenAI's dialect reports, None where it is no such event.

    Servers whose status has gone out already say it so (vLLM, llama.cpp, OpenRouter, another aidp).
    """
    try:
        said = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(said, dict) or not said.get("error") or said.get("choices"):
        return None
    error = said["error"] if isinstance(said["error"], dict) else {}
    code = error.get("code")
    words = without_keys(message_in(data))[:500] or "it gave no reason"
    if isinstance(error.get("details"), dict) and isinstance(code, str) and _CODE.fullmatch(code):  # another aidp
        found = UpstreamError(words)
        found.code = code
        found.suggest(error["details"].get("next_step"))
        return found
    if isinstance(code, int) and 400 <= code < 600:
        return UpstreamRejected(f"{label} broke off ({code}): {words}", status=code)
    return UpstreamError(f"{label} broke off: {words}")


def without_keys(text: str) -> str:
    """Return a server's words with what looks like a key cut out: some repeat ours in their errors."""
    return re.sub(r"\b(sk|gsk|key|AIza)[-_A-Za-z0-9]{12,}", r"\1…", text)
