"""A server goes on saying that it is used while its user has to sign in again."""

from __future__ import annotations

from typing import Any

from jupyterhub.apihandlers.users import ActivityAPIHandler


class Activity(ActivityAPIHandler):
    """``/hub/api/users/<user>/activity``, in the place of JupyterHub's own.

    Without this a server whose user's sign-in has ended could not report, and would be stopped as idle at its work.
    """

    async def refresh_auth(self, user: Any, force: bool = False) -> Any:
        """Return the user also where they are only signed out, but for a token of theirs about themselves alone."""
        found = await super().refresh_auth(user, force)
        if found is None and getattr(self, "_token_authenticated", False) and self.path_args[:1] == [user.name]:
            return user if user.name in self.authenticator.signed_out else None
        return found
