"""A server extension that writes down what the server serves: the pattern of every route."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tornado.routing import ReversibleRuleRouter

ROUTES_FILE = "routes.json"


def _load_jupyter_server_extension(serverapp: Any) -> None:
    """Nothing yet: other extensions are still adding theirs."""


async def _start_jupyter_server_extension(serverapp: Any) -> None:
    found: list[str] = []

    def walk(router: Any) -> None:
        for rule in router.rules:
            if isinstance(rule.target, ReversibleRuleRouter):
                walk(rule.target)
            elif hasattr(rule.matcher, "regex"):
                found.append(rule.matcher.regex.pattern)

    walk(serverapp.web_app.default_router)
    walk(serverapp.web_app.wildcard_router)
    Path(serverapp.root_dir, ROUTES_FILE).write_text(json.dumps(sorted(set(found))))
