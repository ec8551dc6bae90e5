"""A server extension that writes down what the server serves: of every route its pattern, and what it answers to."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from tornado.routing import ReversibleRuleRouter
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

ROUTES_FILE = "routes.json"


class Served(NamedTuple):
    """A route: its pattern, the methods that its handler has, and whether it is a websocket."""

    pattern: str
    methods: list[str]
    is_websocket: bool

    @property
    def example(self) -> str:
        """A path that the pattern may match: every group is taken for ``x``."""
        pattern = self.pattern
        while (simpler := re.sub(r"\((?:\?P<\w+>|\?:)?[^()]*\)[*+?]?", "x", pattern)) != pattern:
            pattern = simpler
        return pattern.replace("\\", "").replace(".*", "x").rstrip("$?")


def served(folder: Path) -> list[Served]:
    """Return what the server with this root folder has written down."""
    return [Served(*one) for one in json.loads((folder / ROUTES_FILE).read_text())]


def _methods(handler: type[RequestHandler]) -> list[str]:
    missing = RequestHandler._unimplemented_method
    return [name for name in RequestHandler.SUPPORTED_METHODS if getattr(handler, name.lower()) is not missing]


def _load_jupyter_server_extension(serverapp: Any) -> None:
    """Nothing yet: other extensions are still adding theirs."""


async def _start_jupyter_server_extension(serverapp: Any) -> None:
    found: dict[str, Served] = {}

    def walk(router: Any) -> None:
        for rule in router.rules:
            if isinstance(rule.target, ReversibleRuleRouter):
                walk(rule.target)
            elif hasattr(rule.matcher, "regex"):
                pattern, handler = rule.matcher.regex.pattern, rule.target
                # of two routes with one pattern the first answers
                found.setdefault(pattern, Served(pattern, _methods(handler), issubclass(handler, WebSocketHandler)))

    walk(serverapp.web_app.default_router)
    walk(serverapp.web_app.wildcard_router)
    Path(serverapp.root_dir, ROUTES_FILE).write_text(json.dumps(sorted(found.values())))
