"""The AI router: one governed, OpenAI-compatible way to every model, local or in the cloud.

For code in notebooks this package is the client as well: ``from aidp_ext import ai``, then :func:`ai.chat
<aidp_ext.ai.client.chat>`, :func:`ai.stream <aidp_ext.ai.client.stream>`, :func:`ai.embed <aidp_ext.ai.client.embed>`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aidp_ext.ai.client import AiError, Reply, ReplyStream, chat, embed, route, stream

__all__ = ["AiError", "Reply", "ReplyStream", "chat", "embed", "route", "stream"]


def __getattr__(name: str) -> object:
    # On first use: the router's own modules are imported through here, and need none of it.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from aidp_ext.ai import client

    return getattr(client, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
