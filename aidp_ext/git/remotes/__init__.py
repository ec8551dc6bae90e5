"""The forges: where repositories and reviews are."""

from __future__ import annotations

from urllib.parse import urlsplit

from aidp_ext.core.errors import InvalidRequest
from aidp_ext.core.http import HttpClient
from aidp_ext.git.remotes.addresses import parse_remote
from aidp_ext.git.remotes.base import Forge, Tokens
from aidp_ext.git.remotes.device import DeviceCode, DeviceFlow, DeviceState
from aidp_ext.git.remotes.github import GitHub
from aidp_ext.git.remotes.gitlab import GitLab

__all__ = ["DeviceCode", "DeviceFlow", "DeviceState", "Forge", "Tokens", "forge_for", "parse_remote"]


def forge_for(kind: str, where: str, http: HttpClient, tokens: Tokens, *, api: str | None = None) -> Forge:
    """Return a forge. ``where`` is its host or the address of its pages; ``api`` that of its API, if it is unusual.

    Raises InvalidRequest for another kind than ``github`` and ``gitlab``, and for what is no address.
    """
    url = (where if "://" in where else f"https://{where}").rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise InvalidRequest("This is not the address of a forge.", field="url")
    match kind:
        case "github":
            return GitHub(url, http, tokens, api=api)
        case "gitlab":
            return GitLab(url, http, tokens, api=api)
    raise InvalidRequest(f"There is no kind of forge named {kind[:40]}.", field="kind")
