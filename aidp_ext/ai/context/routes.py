"""``context``: what a model would be told."""

from __future__ import annotations

from aidp_ext.core.web import Route

ROUTES: tuple[Route, ...] = ()
