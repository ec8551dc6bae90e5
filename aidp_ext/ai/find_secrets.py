"""Secrets in a text: tokens by their form, and what :mod:`aidp_ext.ai.find_named` finds by names and entropy.

The forms come from detect-secrets where its expression is exact and linear, and is kept behind a literal that the text
must hold: a look for a literal costs a hundredth of a look for an expression. Its expressions for JSON web tokens,
OpenAI's and npm's keys, and addresses with a password read a hostile text in quadratic time, and that for Artifactory
wants a space or a quote around; they are replaced. Nothing here asks the network, as detect-secrets would to verify
what it found.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterator

from aidp_ext.ai.find_named import HAS_DIGIT, Span, find_named, find_random, is_random, is_template, words

#: Tokens that begin with a literal: the literal (one of up to three characters only where a word begins), what follows
#: it, the kind. Each is bounded.
_TOKENS = [
    (prefix, kind, re.compile(re.escape(prefix) + rest, re.ASCII))
    for prefix, rest, kind in (
        ("sk-ant-", r"[\w-]{20,256}+", "anthropic-key"),
        ("sk-proj-", r"[\w-]{20,256}+", "openai-key"),
        ("sk-", r"[\w-]{20,256}+", "openai-key"),
        ("github_pat_", r"\w{22,255}+", "github-token"),
        ("hf_", r"[A-Za-z0-9]{30,64}+", "huggingface-token"),
        ("AIza", r"[\w-]{35}", "google-key"),
        ("GOCSPX-", r"[\w-]{28}", "google-key"),
        ("ya29.", r"[\w-]{20,1024}+", "google-key"),
        ("xox", r"[a-z](?:\.[a-z]+)?-[\w-]{10,256}+", "slack-token"),
        ("xapp-", r"\d-[\w-]{10,256}+", "slack-token"),
        ("dapi", r"[a-f0-9]{32}(?:-\d)?", "databricks-token"),
        ("gsk_", r"[A-Za-z0-9]{40,128}+", "api-key"),  # Groq
        ("xai-", r"[A-Za-z0-9]{40,128}+", "api-key"),
        ("r8_", r"[A-Za-z0-9]{37}", "api-key"),  # Replicate
        ("nvapi-", r"[\w-]{40,128}+", "api-key"),
        ("pplx-", r"[A-Za-z0-9]{40,128}+", "api-key"),
        ("dop_v1_", r"[a-f0-9]{64}", "api-key"),  # DigitalOcean
        ("npm_", r"[A-Za-z0-9]{36}", "npm-token"),
        ("sk_test_", r"[A-Za-z0-9]{16,128}+", "stripe-key"),
        ("sk_live_", r"[A-Za-z0-9]{16,128}+", "stripe-key"),
        ("rk_live_", r"[A-Za-z0-9]{16,128}+", "stripe-key"),
        ("whsec_", r"[A-Za-z0-9]{24,128}+", "stripe-key"),
        ("eyJ", r"[\w-]{8,4096}+\.eyJ[\w-]{8,65536}+(?:\.[\w-]*+)?", "json-web-token"),
        ("AKC", r"[A-Za-z0-9]{10,256}+", "artifactory-token"),
        ("AP", r"[0-9A-F][A-Za-z0-9]{20,256}+", "artifactory-token"),
        ("glpat-", r"[\w.-]{20,300}+", "gitlab-token"),
    )
]

_GITLAB = (
    "GR1348941",
    "glpat-",
    "gldt-",
    "glft-",
    "glsoat-",
    "glrt-",
    "glcbt-",
    "glimt-",
    "glptt-",
    "glagent-",
    "gloas-",
)
#: Of detect-secrets: module and class, the kind, literals of which the text must hold one.
_PLUGINS = (
    ("aws", "AWSKeyDetector", "aws-access-key", ("A3T", "ABIA", "ACCA", "AKIA", "ASIA", "aws", "AWS", "Aws")),
    ("azure_storage_key", "AzureStorageKeyDetector", "azure-storage-key", ("AccountKey=",)),
    ("discord", "DiscordBotTokenDetector", "discord-token", (".",)),
    ("github_token", "GitHubTokenDetector", "github-token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    ("gitlab_token", "GitLabTokenDetector", "gitlab-token", _GITLAB),
    ("mailchimp", "MailchimpDetector", "mailchimp-key", ("-us",)),
    ("pypi_token", "PypiTokenDetector", "pypi-token", ("pypi-",)),
    ("sendgrid", "SendGridDetector", "sendgrid-key", ("SG.",)),
    ("slack", "SlackDetector", "slack-token", ("xox", "XOX", "hooks.slack.com")),
    ("square_oauth", "SquareOAuthDetector", "square-token", ("sq0csp-",)),
    ("stripe", "StripeDetector", "stripe-key", ("k_live_",)),
    ("telegram_token", "TelegramBotTokenDetector", "telegram-token", (":A",)),  # as every bot's token goes on
    ("twilio", "TwilioKeyDetector", "twilio-key", ("AC", "SK")),
)


def is_ready() -> bool:
    """True once detect-secrets is imported, which takes up to half a second."""
    return bool(_rules.cache_info().currsize and words.cache_info().currsize)


@functools.cache
def _rules() -> tuple[tuple[tuple[str, ...], str, tuple[re.Pattern[str], ...]], ...]:
    """Return detect-secrets' forms: the literals, the kind, the expressions."""
    found = []
    for module, name, kind, literals in _PLUGINS:
        plugin = getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)
        found.append((literals, kind, tuple(plugin.denylist)))
    return tuple(found)


def find(text: str) -> list[Span]:
    """Return where secrets are, unsorted; spans may overlap. Linear in the text's length."""
    if len(text) < 6:
        return []
    # İ alone becomes two characters; positions must hold for both
    lower = (text if text.isascii() else text.replace("İ", "I")).lower()
    return [
        *_private_keys(text),
        *_tokens(text),
        *_by_plugins(text),
        *_in_addresses(text),
        *_in_headers(text, lower),
        *find_named(text, lower),
        *find_random(text),
    ]


_MAX_KEY = 16_384  # characters of one block
_KEY_EDGE = re.compile(
    r"-----(?:BEGIN|END) [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"|PuTTY-User-Key-File-\d|Private-MAC: ?[0-9a-f]{40,64}"
)
_KEY_BODY = re.compile(rf"(?:\\[nr]|[A-Za-z0-9+/=\s:,.\-\"'\\]){{0,{_MAX_KEY}}}+")
_KEY_BODY_BEFORE = re.compile(r"[A-Za-z0-9+/=\s\\\"',]*+")


def _private_keys(text: str) -> Iterator[Span]:
    """Yield whole blocks (PEM, PGP, PuTTY); of one that is cut off at either side, what is there."""
    edges = list(_KEY_EDGE.finditer(text)) if "PRIVATE KEY" in text or "PuTTY" in text else []
    closing: re.Match[str] | None = None
    closings: list[re.Match[str] | None] = []  # for each edge, the next end at or behind it
    for edge in reversed(edges):
        closing = edge if edge[0].startswith(("-----END", "Private")) else closing
        closings.append(closing)
    done = 0
    for edge, closing in zip(edges, reversed(closings), strict=True):
        if edge.start() < done:
            continue
        start, end = edge.span()
        if closing is edge:  # its beginning is not in this text
            before = _KEY_BODY_BEFORE.match(text[max(done, start - _MAX_KEY) : start][::-1])
            start -= before.end() if before else 0
        elif closing and closing.end() - end <= _MAX_KEY:
            end = closing.end()
        elif body := _KEY_BODY.match(text, end):
            end = body.end()
        done = end
        yield start, end, "private-key"


def _tokens(text: str) -> Iterator[Span]:
    for prefix, kind, pattern in _TOKENS:
        at = text.find(prefix)
        while at >= 0:
            end = at + 1
            if (
                (len(prefix) > 3 or _begins_word(text, at))
                and (found := pattern.match(text, at))
                and HAS_DIGIT.search(found[0])
            ):
                end = found.end()
                yield at, end, kind
            at = text.find(prefix, end)


def _begins_word(text: str, at: int) -> bool:
    r"""Return whether a word begins there, also right behind a written ``\n``."""
    if at == 0 or not (text[at - 1].isascii() and text[at - 1].isalnum()):
        return True
    return at > 1 and text[at - 2] == "\\" and text[at - 1] in "nrt"


def _by_plugins(text: str) -> Iterator[Span]:
    for literals, kind, patterns in _rules():
        if not any(literal in text for literal in literals):
            continue
        for pattern in patterns:
            for found in pattern.finditer(text):
                if kind == "aws-access-key" and pattern.groups:
                    yield *found.span(1), "aws-secret-key"
                    continue
                yield *found.span(), kind


_EXAMPLES = ("pass", "password", "passwd", "pwd")
_USERINFO = re.compile(r"([^\s:/@\"'<>\\]{0,128}+)(?::([^\s/\"'<>\\]{1,256}))?@")


def _in_addresses(text: str) -> Iterator[Span]:
    """Yield the password of each ``scheme://user:password@host``, and a long random user without one."""
    at = text.find("://")
    while at >= 0:
        if found := _USERINFO.match(text, at + 3):
            if found[2] and not is_template(found[2]) and found[2].lower() not in _EXAMPLES:
                yield *found.span(2), "url-password"
            elif not found[2] and is_random(found[1]):
                yield *found.span(1), "token"
        at = text.find("://", at + 3)


_BEARER = re.compile(r"bearer[ \t]{1,4}([\w.~+/=-]{16,4096}+)", re.IGNORECASE | re.ASCII)
_AUTHORIZATION = re.compile(
    r"authorization\\?[\"'\]]{0,3}[ \t]{0,4}[:=,][ \t]{0,4}[rbf]?\\?[\"']?"
    r"(?:(?:basic|bearer|token|apikey|digest)[ \t]{1,4})?([\w.~+/=:-]{8,4096}+)",
    re.IGNORECASE | re.ASCII,
)


def _in_headers(text: str, lower: str) -> Iterator[Span]:
    for word, pattern in (("bearer ", _BEARER), ("authorization", _AUTHORIZATION)):
        at = lower.find(word)
        while at >= 0:
            if (found := pattern.match(text, at)) and (HAS_DIGIT.search(found[1]) or is_random(found[1])):
                yield *found.span(1), "authorization"
            at = lower.find(word, at + len(word))
