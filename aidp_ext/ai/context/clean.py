"""Secrets out of what a model is told, whichever model it is: nobody has to know them to help."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from aidp_ext.ai import detect, find_named
from aidp_ext.ai.context.memory import Memory
from aidp_ext.ai.detect import SECRET_KINDS

#: What stands for a secret. The redaction of what leaves makes others, with a number.
PLACEHOLDER = "[SECRET]"
#: Characters beyond a cut that are looked at too, so that a secret is not cut into what nobody recognises.
MARGIN = 20_000
_MOST_ECHOES = 50


@dataclass(frozen=True)
class Clean:
    """A text without its secrets."""

    text: str
    secrets: tuple[str, ...] = ()  # what was taken out
    is_blank: bool = False


def clean(text: str) -> Clean:
    """Return a text with a placeholder for each secret in it. Linear in its length."""
    matches = detect.find(text, SECRET_KINDS)
    if not matches:
        return Clean(text, is_blank=not text or text.isspace())
    parts: list[str] = []
    found: list[str] = []
    done = 0
    for match in matches:
        value = text[match.start : match.end]
        parts += text[done : match.start], PLACEHOLDER
        found.append(value)
        done = match.end
    return Clean("".join((*parts, text[done:])), tuple(found))


class Cleaner:
    """Cleans texts and remembers them."""

    def __init__(self) -> None:
        self._memory = Memory(clean)

    def __call__(self, text: str) -> Clean:
        """Return a text with a placeholder for each secret in it."""
        return self._memory(text)

    def knows(self, text: str) -> bool:
        """Return whether the answer would come from memory."""
        return self._memory.knows(text)

    def ends(self, text: str, most: int) -> Clean:
        """Return a text; of a long one ``most`` characters and a margin at either end, a mark between them.

        Only these are looked at, so the time is bounded. Secrets of up to the margin's length are seen whole.
        """
        if len(text) <= 2 * (most + MARGIN):
            return self(text)
        head, tail = self(text[: most + MARGIN]), self(text[-most - MARGIN :])
        return Clean(f"{head.text[:most]}\n…\n{tail.text[-most:]}", head.secrets + tail.secrets)

    def named(self, name: str, value: str) -> bool:
        """Return whether a value is a secret by the name of its variable."""
        return find_named.kind_of(name, value) is not None


class Echoes:
    """Secrets that were recognised by what stands around them, looked for where they stand without it."""

    def __init__(self, secrets: Iterable[str]) -> None:
        telling = {value for value in secrets if _is_telling(value)}
        self._values = sorted(telling, key=lambda value: (-len(value), value))[:_MOST_ECHOES]

    def replaced(self, text: str) -> tuple[str, int]:
        """Return a text without them, and how many there were."""
        count = 0
        for value in self._values:
            if value in text:
                count += text.count(value)
                text = text.replace(value, PLACEHOLDER)
        return text, count


def _is_telling(value: str) -> bool:
    """Return whether a value is so special that it is a secret wherever it stands. Short ones and words are not."""
    is_special = len(value) >= 6 and re.search(r"[^A-Za-z\s]", value) is not None and not value.isdigit()
    return (is_special or len(value) >= 12) and value not in PLACEHOLDER
