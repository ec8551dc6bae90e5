"""Find what should not leave this machine in a text: secrets and personal data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aidp_ext.ai import find_personal, find_secrets

_SECRETS = {
    "anthropic-key": "Anthropic key",
    "api-key": "API key",
    "artifactory-token": "Artifactory token",
    "authorization": "authorization header",
    "aws-access-key": "AWS access key",
    "aws-secret-key": "AWS secret key",
    "azure-storage-key": "Azure storage key",
    "databricks-token": "Databricks token",
    "discord-token": "Discord token",
    "github-token": "GitHub token",
    "gitlab-token": "GitLab token",
    "google-key": "Google key",
    "huggingface-token": "Hugging Face token",
    "json-web-token": "JSON web token",
    "mailchimp-key": "Mailchimp key",
    "npm-token": "npm token",
    "openai-key": "OpenAI key",
    "password": "password",
    "private-key": "private key",
    "pypi-token": "PyPI token",
    "random-string": "random string that may be a key",
    "sendgrid-key": "SendGrid key",
    "slack-token": "Slack token",
    "square-token": "Square token",
    "stripe-key": "Stripe key",
    "telegram-token": "Telegram token",
    "token": "token",
    "twilio-key": "Twilio key",
    "url-password": "password in an address",
}

SECRET_KINDS = frozenset(_SECRETS)
PERSONAL_KINDS = frozenset(find_personal.LABELS)
#: All but names: those are found only by a list that the user gives.
DEFAULT_KINDS = SECRET_KINDS | PERSONAL_KINDS - {"name"}
#: Each kind in words for people.
LABELS: Mapping[str, str] = {**_SECRETS, **find_personal.LABELS}


@dataclass(frozen=True)
class Match:
    """A place in a text, ``text[start:end]``, and what it is: a key of LABELS."""

    start: int
    end: int
    kind: str


def find(text: str, kinds: frozenset[str] = DEFAULT_KINDS, names: re.Pattern[str] | None = None) -> list[Match]:
    """Return what was found, sorted and not overlapping; where two overlap, one match covers both.

    ``names`` (see :func:`names_pattern`) are looked for where ``kinds`` has ``name``. Takes time linear in the text.

    >>> find("write to ana@example.org")
    [Match(start=9, end=24, kind='email')]
    """
    secrets = find_secrets.find(text) if kinds & SECRET_KINDS else []
    found = [span for span in secrets if span[2] in kinds]
    found += find_personal.find(text, kinds)
    if names is not None and "name" in kinds:
        found += [(*match.span(), "name") for match in names.finditer(text)]
    return merged(found)


def names_pattern(names: Sequence[str]) -> re.Pattern[str] | None:
    """Return an expression for whole words of these names, in any case; None where there are none."""
    cleaned = sorted({name.strip() for name in names if name.strip()}, key=len, reverse=True)
    if not cleaned:
        return None
    words = "|".join(r"\s+".join(map(re.escape, name.split())) for name in cleaned)
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)


def merged(spans: Sequence[tuple[int, int, str]]) -> list[Match]:
    """Return spans as sorted matches; overlapping ones become one, of the kind of the one found first."""
    if not spans:
        return []
    matches: list[Match] = []
    rank = {span: place for place, span in reversed(list(enumerate(spans)))}
    best = 0
    for span in sorted(spans, key=lambda one: (one[0], -one[1])):
        start, end, kind = span
        last = matches[-1] if matches else None
        if last is None or start >= last.end:
            matches.append(Match(start, end, kind))
            best = rank[span]
            continue
        if rank[span] < best:
            best = rank[span]
        else:
            kind = last.kind
        matches[-1] = Match(last.start, max(last.end, end), kind)
    return matches
