"""What somebody may at the hub, as their provider and the lists of the settings say now. No network, no JupyterHub."""

from __future__ import annotations

import string
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

_LONGEST_NAME, _LONGEST_ADDRESS = 100, 1000
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

#: Seconds after the provider last confirmed somebody that their sign-in ends where it withholds an answer about them.
WITHHELD_S = 30 * 60.0
#: The same where it gives no answer at all.
OUTAGE_S = 24 * 3600.0
#: Seconds that somebody whose tokens are good no more has to sign in again, before that counts as taken back.
GRACE_S = 30 * 60.0
#: Seconds after the end of a sign-in at which servers that still run are stopped.
SIGNED_OUT_S = 24 * 3600.0


class SignedOut(Exception):
    """The provider takes the user's tokens no more, or there are none: only a new sign-in helps."""


class TakenBack(SignedOut):
    """The provider takes the tokens no more before their time: the user took them back, or signed out there."""


class Dismissed(SignedOut):
    """The provider says that they may not be here: the account was suspended, a team left."""


class Unreachable(Exception):
    """The provider gave no answer that says anything about the user."""


class Withheld(Unreachable):
    """The provider answers, but not what was asked: too many questions with the user's token, or it refuses.

    A user can bring this about, so it is believed for a short time only.
    """


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


def fold(name: str) -> str:
    """Return a name as lists hold it. ASCII alone has cases here: other letters would turn into some of a list's."""
    return name.translate(_LOWER)


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
