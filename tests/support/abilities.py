"""What each provider can do, and what comes where it cannot: the rows of the tests with official SDKs.

Every provider has a word for every ability; `tests/hosts/test_sdk_openai.py` checks that none is missing.
"""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass

ABILITIES = (
    *("chat", "stream", "tools", "streamed tools", "json", "schema", "image"),
    *("embeddings", "completion", "streamed completion", "suffix"),
)
PROVIDERS = ("openai", "anthropic", "gemini", "ollama", "local")


@dataclass(frozen=True)
class Can:
    """An ability of a model: what `X-AIDP-Notes` says beside the answer, or the error instead of one."""

    route: str
    notes: str = ""
    status: int = 200
    code: str = ""

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self.route.split("/", 1)[0]

    @property
    def is_real(self) -> bool:
        """Whether a real model answers, of random weights: then nobody knows what it will say."""
        return self.provider == "local"


def _cannot(route: str) -> Can:
    """Return the refusal of a model that was asked for and cannot do it: no other one takes its place."""
    return Can(route, status=403, code="policy_refused")


_CHATS = ("chat", "stream", "tools", "streamed tools", "json", "schema", "image")
_COMPLETES = ("completion", "streamed completion", "suffix")

TABLE: dict[str, dict[str, Can]] = {
    "openai": {
        **dict.fromkeys(_CHATS, Can("openai/gpt-4o")),
        "embeddings": Can("openai/text-embedding-3-small"),
        **dict.fromkeys(_COMPLETES, Can("openai/gpt-3.5-turbo-instruct")),
    },
    "anthropic": {
        **dict.fromkeys(_CHATS, Can("anthropic/claude-opus-5-5")),
        # Anthropic holds answers to a schema only; without one it is asked for JSON in words
        "json": Can("anthropic/claude-opus-5-5", notes="response_format_by_prompt"),
        "embeddings": _cannot("anthropic/claude-opus-5-5"),
        **dict.fromkeys(_COMPLETES, _cannot("anthropic/claude-opus-5-5")),
    },
    "gemini": {
        **dict.fromkeys(_CHATS, Can("gemini/gemini-2.5-flash")),
        "embeddings": Can("gemini/gemini-embedding-001", notes="usage_estimated"),  # Google does not report it
        **dict.fromkeys(_COMPLETES, _cannot("gemini/gemini-2.5-flash")),
    },
    "ollama": {
        **dict.fromkeys(_CHATS, Can("ollama/llama3.2:3b")),
        "image": Can("ollama/thinker:8b"),
        "embeddings": Can("ollama/nomic-embed-text:latest"),
        **dict.fromkeys(_COMPLETES, Can("ollama/qwen2.5-coder:1.5b")),
    },
    "local": {
        **dict.fromkeys(_CHATS, Can("local/tiny-coder")),
        # llama.cpp is asked, and says itself that this model was loaded without eyes
        "image": Can("local/tiny-coder", status=502, code="upstream_rejected"),
        "embeddings": _cannot("local/tiny-coder"),
        **dict.fromkeys(_COMPLETES, Can("local/tiny-coder")),
    },
}

WEATHER = {
    "name": "weather",
    "description": "The weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
BIRD_SCHEMA = {
    "type": "object",
    "properties": {"bird": {"type": "string"}},
    "required": ["bird"],
    "additionalProperties": False,
}


def _png() -> bytes:
    """Return a picture of one grey point."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\x80")) + chunk(b"IEND", b"")


PNG = base64.b64encode(_png()).decode()
