"""What somebody may at the hub, as their provider and the lists of the settings say now. No network, no JupyterHub."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

_LONGEST_NAME, _LONGEST_ADDRESS = 100, 1000


class SignedOut(Exception):
    """The provider takes the user's tokens no more, or there are none: only a new sign-in helps."""


class Dismissed(SignedOut):
    """The provider says that they may not be here: the tokens were taken back, the account suspended, a team left."""


class Unreachable(Exception):
    """The provider gave no answer that says anything about the user."""


@dataclass(frozen=True)
class Standing:
    """What a provider says about somebody. ``groups`` are those that the hub shall keep them in."""

    groups: frozenset[str] = frozenset()
    may_enter: bool = False
    """Because of what they are a member of; a name on a list is another matter."""


@dataclass(frozen=True)
class Lists:
    """The names in the settings."""

    users: frozenset[str] = frozenset()
    admins: frozenset[str] = frozenset()

    def admits(self, names: Iterable[str], standing: Standing) -> bool:
        """Return whether somebody with these names may be in the hub."""
        return standing.may_enter or bool(set(names) & (self.users | self.admins))

    def is_admin(self, names: Iterable[str]) -> bool:
        """Return whether one of these names is an administrator's. Teams and groups give the role by themselves."""
        return bool(set(names) & self.admins)


@dataclass(frozen=True)
class Face:
    """How somebody is shown to those who work with them."""

    name: str
    avatar_url: str = ""
    initials: str = field(default="")

    def user_info(self) -> dict[str, str]:
        """Return what JupyterHub tells users' servers, which show it in Lab."""
        said = {"display_name": self.name, "name": self.name, "initials": self.initials, "avatar_url": self.avatar_url}
        return {key: value for key, value in said.items() if value}


def face(account: str, name: Any, avatar_url: Any) -> Face:
    """Return how somebody is shown; what the provider says is taken where it is a name, and an https address."""
    shown = " ".join(str(name).split())[:_LONGEST_NAME] if isinstance(name, str) else ""
    shown = "".join(letter for letter in shown if letter.isprintable()) or account
    words = shown.split()
    initials = (words[0][0] + (words[-1][0] if len(words) > 1 else "")).upper()
    return Face(shown, _avatar(avatar_url), initials)


def _avatar(address: Any) -> str:
    if not isinstance(address, str) or len(address) > _LONGEST_ADDRESS:
        return ""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return address if parts.scheme == "https" and parts.hostname and not parts.username else ""
