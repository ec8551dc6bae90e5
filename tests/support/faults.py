"""What can go wrong with a model server, as a table: what it does, and what the router makes of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """What a server does, and what comes of it. The attempts are those with one model named; of two, each has one."""

    what: str
    code: str
    status: int
    says: str  # in the message
    step: str | None = None  # in what the user can do about it
    attempts: int = 1  # 2: the same server was asked once more
    elsewhere: bool = True  # another model is asked, where there is one
    health: str = "failing"  # "ok": the server is not to blame; "cooling": it asked to be left alone
    retry_after_s: int | None = None
    forms: tuple[bool, ...] = (False, True)  # whole, streamed


WHOLE, STREAMED = (False,), (True,)
SOON = "Try again in a moment."
FAULTS = [
    Fault("status-400", "upstream_rejected", 400, "because of 400", elsewhere=False, health="ok"),
    Fault("status-401", "upstream_rejected", 502, "because of 401", "Check the key for OpenAI."),
    Fault("status-403", "upstream_rejected", 502, "because of 403", "Check the key for OpenAI."),
    Fault("status-404", "upstream_rejected", 404, "because of 404"),
    Fault("status-408", "upstream_timeout", 504, "timed out (408)"),
    Fault("status-409", "upstream_rejected", 502, "because of 409"),
    Fault("status-413", "upstream_rejected", 413, "because of 413", elsewhere=False, health="ok"),
    Fault("status-422", "upstream_rejected", 422, "because of 422", elsewhere=False, health="ok"),
    Fault("status-429", "upstream_rejected", 429, "because of 429", SOON, attempts=2),
    Fault("status-429-soon", "upstream_rejected", 429, "429", "in 1 s", attempts=2, health="cooling", retry_after_s=1),
    Fault("status-429-later", "upstream_rejected", 429, "429", "in 7 s", health="cooling", retry_after_s=7),
    Fault("status-500", "upstream_rejected", 502, "because of 500"),
    Fault("status-501", "upstream_rejected", 502, "because of 501"),
    Fault("status-502", "upstream_rejected", 502, "because of 502"),
    Fault("status-503", "upstream_rejected", 502, "because of 503", SOON, attempts=2),
    Fault("status-503-later", "upstream_rejected", 502, "503", "in 7 s", health="cooling", retry_after_s=7),
    Fault("status-504", "upstream_timeout", 504, "timed out (504)"),
    Fault("status-529", "upstream_rejected", 502, "because of 529", SOON, attempts=2),
    Fault("hang", "upstream_timeout", 504, "stayed silent"),
    Fault("slow-head", "upstream_timeout", 504, "stayed silent"),
    Fault("slow-body", "upstream_timeout", 504, "did not finish", forms=WHOLE),
    Fault("slow-body", "upstream_timeout", 504, "fell silent", forms=STREAMED),
    Fault("reset", "upstream_unreachable", 502, "closed the connection"),
    Fault("garbage", "upstream_invalid_response", 502, "does not speak HTTP"),
    Fault("redirect", "upstream_invalid_response", 502, "not followed", "Set its base URL to the final address."),
    Fault("html", "upstream_invalid_response", 502, "a web page", "Check that its address", forms=WHOLE),
    Fault("html", "upstream_invalid_response", 502, "text/html instead of a stream", forms=STREAMED),
    Fault("plain-text", "upstream_invalid_response", 502, "not JSON", "Check that its address", forms=WHOLE),
    Fault("plain-text", "upstream_invalid_response", 502, "text/plain instead of a stream", forms=STREAMED),
    Fault("truncated-json", "upstream_incomplete", 502, "broke off", forms=WHOLE),
    Fault("empty-stream", "upstream_incomplete", 502, "broke off", forms=STREAMED),
    Fault("error-first", "upstream_rejected", 404, "no such adapter", forms=STREAMED),
    Fault("not-utf8", "upstream_invalid_response", 502, "not UTF-8"),
    Fault("huge-event", "upstream_invalid_response", 502, "more than 4194304 bytes", forms=STREAMED),
]
CASES = [(fault, form) for fault in FAULTS for form in fault.forms]
IDS = [f"{fault.what}-{'streamed' if form else 'whole'}" for fault, form in CASES]


@dataclass(frozen=True)
class Break:
    """How a stream breaks off after its first event."""

    what: str
    code: str
    status: int
    says: str


BREAKS = [
    Break("cut", "upstream_incomplete", 502, "broke off"),
    Break("half-event", "upstream_incomplete", 502, "broke off"),
    Break("reset-midway", "upstream_incomplete", 502, "broke off"),
    Break("stall", "upstream_timeout", 504, "fell silent"),
    Break("error-event", "upstream_rejected", 502, "out of memory"),
    Break("not-utf8-midway", "upstream_invalid_response", 502, "not UTF-8"),
    Break("huge-midway", "upstream_invalid_response", 502, "more than 4194304 bytes"),
]
