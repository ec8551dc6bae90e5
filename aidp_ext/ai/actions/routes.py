"""``actions``: what a model is asked to do with a cell, a selection or a file."""

from __future__ import annotations

from aidp_ext.core.web import Route

ROUTES: tuple[Route, ...] = ()
