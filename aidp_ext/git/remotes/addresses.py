"""Which forge a remote's address leads to, and what its repository is called there."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

_SCP = re.compile(r"(?:(?P<user>[^@/:\s]+)@)?(?P<host>[^@/:\s\[\]]+|\[[0-9a-fA-F:]+\]):(?!//)(?P<path>\S+)")
_PART = re.compile(r"[A-Za-z0-9_.~][A-Za-z0-9_.~+-]*")
_PORTS = {"https": 443, "http": 80, "ssh": 22, "git+ssh": 22, "ssh+git": 22}
#: ssh over https's port, for networks that let nothing else through: the forge is the same.
_OTHER_DOORS = {"ssh.github.com": "github.com", "altssh.gitlab.com": "gitlab.com"}


def parse_remote(url: str) -> tuple[str, str] | None:
    """Return the host, with the port of its pages where it has one of its own, and ``owner/name`` there.

    None for a folder, for what is no address of a repository, and for one that holds a user or a password: what is
    in there may be a secret, so nothing is done with such an address.
    """
    url = url.strip()
    if "\\" in url or any(ord(character) < 33 or ord(character) == 127 for character in url):
        return None
    if "://" not in url:
        match = _SCP.fullmatch(url)
        # One letter before a colon is a drive of Windows.
        return _found(match["host"], match["path"]) if match and len(match["host"]) > 1 else None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not host or parts.query or parts.fragment:
        return None
    if parts.scheme in ("http", "https"):
        if "@" in parts.netloc:
            return None
        shown = f"[{host}]" if ":" in host else host
        return _found(shown if port in (None, _PORTS[parts.scheme]) else f"{shown}:{port}", parts.path)
    # The port of ssh is not the one of the forge's pages.
    return None if parts.password is not None else _found(f"[{host}]" if ":" in host else host, parts.path)


def is_full_name(text: str) -> bool:
    """Whether a text can be the full name of a repository: ``owner/name``, and on GitLab groups in groups."""
    parts = text.split("/")
    return len(parts) > 1 and all(_PART.fullmatch(part) and part not in (".", "..") for part in parts)


def _found(host: str, path: str) -> tuple[str, str] | None:
    name = unquote(path).strip("/").removesuffix(".git")
    host = host.lower()
    return (_OTHER_DOORS.get(host, host), name) if is_full_name(name) else None
