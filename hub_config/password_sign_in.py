"""The local sign-in: this machine's generated password, recorded as every other sign-in is."""

from __future__ import annotations

from typing import Any

from jupyterhub.authenticators.shared import SharedPasswordAuthenticator

from hub_config.audited import Audited


class PasswordSignIn(Audited, SharedPasswordAuthenticator):
    """JupyterHub's shared password, for those who are on the lists."""

    async def refresh_user(self, user: Any, handler: Any = None, **_: Any) -> bool:
        """Return whether a name is still on the lists; a session of whoever was taken off ends with it."""
        if self.allow_all or user.name in self.allowed_users | self.admin_users:
            return True
        return getattr(handler, "_jupyterhub_user", user) is not user  # what an administrator does with an account
