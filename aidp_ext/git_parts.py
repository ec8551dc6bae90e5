"""What the Git slice needs of the AI slice, as narrow callables: slices never know each other."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from aidp_ext.ai import detect
from aidp_ext.ai.models import Caller, RouteRequest, Task
from aidp_ext.ai.talk import Router, Talk, talk
from aidp_ext.git.messages import Ask, Words

_MOST_TOKENS = 1200


def find_secrets(text: str, personal: bool) -> list[tuple[int, int, str, str]]:
    """Return the places of secrets, and with ``personal`` of personal data, as (start, end, kind, kind in words)."""
    kinds = detect.DEFAULT_KINDS if personal else detect.SECRET_KINDS
    return [(match.start, match.end, match.kind, detect.LABELS[match.kind]) for match in detect.find(text, kinds)]


def ask_with(ai: Router) -> Ask:
    """Return what asks a model for a message through the router, as the task ``commit-message``."""

    async def ask(
        messages: Sequence[Mapping[str, Any]], paths: Sequence[str], caller: tuple[str, tuple[str, ...]]
    ) -> Words:
        who, teams = caller
        request = RouteRequest(task=Task.COMMIT_MESSAGE, paths=tuple(paths))
        return _Words(await talk(ai, messages, request, Caller(who, {}, teams), max_tokens=_MOST_TOKENS))

    return ask


class _Words:
    """A model's words, with who said them."""

    def __init__(self, answer: Talk) -> None:
        self._talk = answer
        self.route = answer.answer.route
        self.locality = str(answer.answer.locality)

    def __aiter__(self) -> AsyncGenerator[str, None]:
        return self._talk.__aiter__()

    async def aclose(self) -> None:
        """End it, upstream too."""
        await self._talk.aclose()
