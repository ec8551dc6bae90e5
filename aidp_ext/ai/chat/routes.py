"""The chats of the workspace."""

from __future__ import annotations

from aidp_ext.core.web import Route

ROUTES: tuple[Route, ...] = ()
