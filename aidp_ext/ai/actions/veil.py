"""Takes secrets out of what a model reads, and puts them back into what it proposes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from aidp_ext.ai import detect
from aidp_ext.ai.context.render import CONTROL
from aidp_ext.ai.detect import SECRET_KINDS


@dataclass
class Veil:
    """Replaces each secret by a mark of its own, the same in all texts."""

    name: str
    _marks: dict[str, str] = field(default_factory=dict)  # by the secret

    @classmethod
    def over(cls, texts: Iterable[str]) -> Veil:
        """Return a veil whose marks stand in none of these texts."""
        taken = {found[1] for text in texts for found in re.finditer(r"\[(HIDDEN\w*?)_\d+\]", text)}
        name = "HIDDEN"
        while name in taken:
            name += "X"
        return cls(name)

    def __call__(self, text: str) -> str:
        """Return a text without its secrets."""
        return self.parts(text, 0, 0)[2]

    def parts(self, text: str, start: int, end: int) -> tuple[str, str, str]:
        """Return what is before, inside and behind ``text[start:end]`` without secrets, those on an edge included."""
        bounds = ((0, start), (start, end), (end, len(text)))
        secrets = [(match.start, match.end) for match in detect.find(text, SECRET_KINDS)]
        # A model's control tokens too: it must neither read them as such, nor lose them from the source
        tokens = [
            (found.start(), text.find(">" if found[0] == "<" else "]", found.end()) + 1)
            for found in CONTROL.finditer(text)
        ]
        free = [one for one in tokens if not any(one[0] < end and start < one[1] for start, end in secrets)]
        matches = sorted([*secrets, *free])
        made = []
        for low, high in bounds:
            part: list[str] = []
            done = low
            for match in matches:
                first, behind = max(match[0], low), min(match[1], high)
                if first < behind:
                    part.extend((text[done:first], self._mark(text[first:behind])))
                    done = behind
            made.append("".join((*part, text[done:high])))
        return made[0], made[1], made[2]

    def lifted(self, text: str) -> str:
        """Return a text with the secrets in the places of their marks."""
        secrets = {mark: secret for secret, mark in self._marks.items()}
        return re.sub(rf"\[{self.name}_\d+\]", lambda found: secrets.get(found[0], found[0]), text)

    def _mark(self, secret: str) -> str:
        return self._marks.setdefault(secret, f"[{self.name}_{len(self._marks) + 1}]")
