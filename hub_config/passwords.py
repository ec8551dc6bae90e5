"""The local sign-in's passwords: made here, kept in files that only their owner reads, never passed around."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from hub_config.settings import Settings, SettingsError

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without i, l, o, 0 and 1: a password is read from a terminal and typed into a page."""
GROUP = 5


@dataclass(frozen=True)
class PasswordFile:
    """One password, in ``groups`` groups of five characters, in a file of its own."""

    path: Path
    groups: int

    def make(self) -> str:
        """A new password, in place of any that was there; written whole or not at all."""
        password = "-".join("".join(secrets.choice(ALPHABET) for _ in range(GROUP)) for _ in range(self.groups))
        fresh = self.path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(password + "\n")
        fresh.replace(self.path)
        return password

    def read(self) -> str:
        """The password; raises SettingsError where there is none, or one too short to be ours."""
        try:
            password = self.path.read_text().strip()
        except OSError as error:
            raise SettingsError(f"{self.path} cannot be read ({error.strerror}); start with `aidp hub`.") from error
        if len(password) < self.groups * GROUP:
            raise SettingsError(f"The password in {self.path} is too short; run `aidp hub --new-password`.")
        return password


def user_password(settings: Settings) -> PasswordFile:
    """The password that every user of the local sign-in shares."""
    return PasswordFile(settings.state_dir / "password", groups=4)


def admin_password(settings: Settings) -> PasswordFile:
    """The administrators' own password, longer, as JupyterHub asks for 32 characters."""
    return PasswordFile(settings.state_dir / "admin-password", groups=7)


def needed_passwords(settings: Settings) -> list[PasswordFile]:
    """The passwords that a hub with these settings signs in with."""
    if not settings.is_local:
        return []
    return [user_password(settings), *([admin_password(settings)] if settings.admin_users else [])]
