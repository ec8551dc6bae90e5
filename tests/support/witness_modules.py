"""A server extension that tells which modules the server has loaded."""

from __future__ import annotations

import sys
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web


class Loaded(APIHandler):
    """``test/modules``: the names of all that was imported."""

    @web.authenticated
    def get(self) -> None:
        """Return them."""
        self.finish({"modules": sorted(sys.modules)})


def _load_jupyter_server_extension(serverapp: Any) -> None:
    base = serverapp.web_app.settings["base_url"]
    serverapp.web_app.add_handlers(".*", [(url_path_join(base, "test/modules"), Loaded)])
